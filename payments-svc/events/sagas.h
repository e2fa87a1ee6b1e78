// How an event reaches a saga's row. For the rooms events and saga.
#ifndef EVENTS_SAGAS_H
#define EVENTS_SAGAS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"
#include "db/db.h"

// The most payouts of one row of saga_heard.
enum { EVENTS_LISTED_MAX = 1000 };

// Locks sagas until the transaction ends, in the order of their ids: orders of one payout come one after another.
bool events_lock_sagas(db_conn *c, int64_t book_id, const uuid *ids, size_t n, arena *a,
                       err *e) WARN_UNUSED;
// Makes sagas due that have n[i] new messages each. ids: sorted, each once; at least one. *n_told: how many are there; may be NULL.
bool events_tell(db_conn *c, int64_t book_id, const uuid *ids, const int32_t *n, size_t n_ids,
                 int64_t now_us, int64_t *n_told, arena *a, err *e) WARN_UNUSED;
// Lists payouts of which a bank has said something in bulk: ids, sorted, one for each message. The next claim of AWAIT takes the list up.
bool events_list(db_conn *c, int64_t book_id, int connection, const uuid *ids, size_t n, arena *a,
                 err *e) WARN_UNUSED;
// Planner settings for statements that join a batch with its rows by key. They last until the end of the transaction, so they come right
// before such statements.
bool events_join_by_key(db_conn *c, arena *a, err *e) WARN_UNUSED;

#endif
