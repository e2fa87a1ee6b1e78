// Shared by the tests of both rails: a database with the schema, and an observable rail_events_record. Tests only.
#ifndef TESTING_RAIL_FIXTURE_H
#define TESTING_RAIL_FIXTURE_H

#include <stdatomic.h>

#include "db/db.h"
#include "rails/rail.h"

// Applies the migrations of PAYMENTS_MIGRATIONS to the database of the test.
void rail_fixture_migrate(void);
void rail_fixture_clear(void); // empties the tables

// Runs r->prepare in its own transaction.
bool rail_fixture_prepare(db_pool *pool, rail *r, int64_t book_id, rail_item *items, size_t n,
                          arena *a, err *e);
// A payout with its saga, for the webhook listener.
void rail_fixture_payout(int64_t book_id, uuid payout_id, int rail_id, int64_t amount,
                         const char *currency, int attempt);

// The double writes each event into rail_event, like the real one, and fails on demand.
extern atomic_bool rail_fixture_events_fail;
// Somebody else records the next added event at the same moment.
extern atomic_bool rail_fixture_events_race;
// While waiting for another process or thread; bounded by the caller's count of naps.
void rail_fixture_nap_ms(int ms);
void rail_fixture_wake(void *arg, int64_t book_id, int connection); // counts in *(atomic_int *)arg

#endif
