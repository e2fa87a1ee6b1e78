// Shared by the tests of the instant rail: a small HTTPS bank with scripted faults, a real database, and a caller that sends the bank's
// webhooks. Tests only; one thread except the bank's.
#ifndef INSTANT_TEST_WORLD_H
#define INSTANT_TEST_WORLD_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/log.h"
#include "domain/ids.h"
#include "rails/instant/instant_internal.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"

enum { BOOK = 7 };

extern db_pool *pool;
extern inbox *box;
extern arena *mem;
extern rail *instant;
extern atomic_int woken;
extern char ca_file[96], cert_file[96], key_file[96], api_key_file[96], secret_file[96];

// The bank's behaviour, set before the calls. status 0: correct.
typedef struct instant_script {
    int status;
    const char *body;
    bool drop;
    int delay_ms;
    const char *payment_status, *extra; // extra: members added to the payment object
    bool takes_right;                   // at the first POST the caller loses the items
} instant_script;
extern instant_script script;
extern _Atomic int64_t right; // the caller holds the items until then
extern atomic_int posts, gets, concurrent, concurrent_max;
extern pthread_mutex_t seen_lock; // guards seen
extern char seen[4096];           // body of the last POST

// A message of the bank; missing fields are correct ones.
typedef struct hook {
    const char *method, *path, *id, *body, *secret;
    int64_t skew_s;
} hook;

uuid payout_number(uint32_t n);
rail_item *make_items(size_t n);
rail_item *submit_one(void);
rail_item *query_one(void);
void assert_verdict(const rail_item *item, rail_verdict verdict, const char *code);
const char *payment_json(const rail_item *item, const char *status, int64_t amount,
                         const char *extra);
rail *open_rail(const char *url);
int send_hook(hook h); // the answer's status
const char *hook_body(const char *type, const char *status, int32_t attempt, int64_t amount,
                      const char *reference);
void start_webhook(void);
int64_t events(const char *where);
int64_t count_of(const char *what);

int instant_world_begin(void **state);
int instant_world_end(void **state);
int instant_world_setup(void **state);
int instant_world_teardown(void **state);

#endif
