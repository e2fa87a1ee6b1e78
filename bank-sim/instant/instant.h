// The instant side of the bank: an HTTPS interface that takes payments, and webhooks that tell their outcomes.
#ifndef INSTANT_INSTANT_H
#define INSTANT_INSTANT_H

#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "books/books.h"
#include "faults/faults.h"
#include "habits/habits.h"
#include "who/who.h"

typedef struct instant instant;

typedef struct instant_options {
    books *books; // @borrowed, as is the rest
    faults *faults;
    habits *habits;
    who *who;
    const clock_source *clock;
    int port; // 0: a free one
    const char *cert_file, *key_file;
    int threads;
    str api_key, webhook_secret;
    const char *webhook_url; // "" : webhooks wait until there is one
    const char *ca_file;     // the webhooks' receiver must show a certificate from it
    bool sync_settle, webhook_on_refusal;
    int64_t settle_delay_ms, return_delay_ms, amount_max;
} instant_options;

instant *instant_start(const instant_options *o, err *e); // @owned by the caller
int instant_port(const instant *i);
// sets the address until the next start. @thread any
bool instant_set_webhook_url(instant *i, str url, err *e) WARN_UNUSED;
void instant_wake(instant *i); // new work is due. @thread any
void instant_stop(instant *i); // accepts NULL; waiting webhooks are sent after the next start

#endif
