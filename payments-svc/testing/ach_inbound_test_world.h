// Shared by the tests of the bank's files: a database, a file server with a bank's folders, and a rail. Tests only; one thread.
#ifndef ACH_ACH_INBOUND_TEST_WORLD_H
#define ACH_ACH_INBOUND_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "rails/ach/ach_internal.h"
#include "testing/bank_file.h"
#include "testing/sftp_server.h"

#define FILE_3 "1900000003-20261121-A.ach" // as send_entries(3, …) names it

extern sftp_server *server;
extern db_pool *pool;
extern crypto_keyring *keys;
extern test_clock wall; // time stands still: 2026-11-24 09:00 UTC
extern inbox *box;
extern rail *ach;
extern strbuf text;
extern atomic_int woken;
extern char ids[16][16]; // individual ids of return_of

rail *open_rail(int64_t quiet_ms);
// A file that was sent for a book three days ago: n entries of 1000, 2000, … cents with the traces 1 … n.
void send_entries(int book, int n);
// A return of the entry of this number, as its bank would write it.
bank_entry return_of(int n, const char *code);

// Puts a file into the bank's outbox.
void put_bytes(const char *name, str bytes);
void put_text(const char *name, const char *content);
void put_file(const char *name, const bank_file *f);
void put_returns(const char *name, const char *company, const bank_entry *entries, size_t n);
bool is_there(const char *folder, const char *name);

void look_once(void);
void look(void); // twice: a file must stand still between two looks

void assert_count(const char *table_and_condition, int64_t n);
void assert_odd(const char *reason, int64_t n);

int ach_world_begin(void **state);
int ach_world_end(void **state);
int ach_world_setup(void **state);
int ach_world_teardown(void **state);

#define TEST(name) cmocka_unit_test_setup_teardown(name, ach_world_setup, ach_world_teardown)

#endif
