// The bank's own books: one SQLite file (WAL, synchronous=FULL). They hold everything the bank did. Each movement of money is a row, and no
// item can be credited, or returned, twice.
//
// Writing: every write is a job for the one writer thread. It commits all waiting jobs together, so that many requests share one fsync.
// Each caller is answered after the commit. A failed job is rolled back alone. Reading: on separate connections, which see committed data
// only.
#ifndef BOOKS_BOOKS_H
#define BOOKS_BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct books books;
typedef struct books_tx books_tx; // a connection, used by one thread

books *books_open(const char *path, err *e); // @owned by the caller; starts the writer thread
void books_close(books *b); // after the last write; finishes waiting jobs; accepts NULL

typedef bool (*books_job)(books_tx *tx, void *arg, err *e);
// Runs the job in the writer and returns when it is on disk. True: committed. @thread any except the writer.
bool books_write(books *b, books_job job, void *arg, err *e) WARN_UNUSED;

typedef enum books_lane { BOOKS_LANE_QUERY, BOOKS_LANE_REPORT, BOOKS_LANES } books_lane;
// Runs the job on a read-only connection. A long report does not delay the lane of queries. @thread any
bool books_read(books *b, books_lane lane, books_job job, void *arg, err *e) WARN_UNUSED;

enum { BOOKS_RAIL_ACH = 1, BOOKS_RAIL_INSTANT = 2 };
enum { BOOKS_CREDIT = 1, BOOKS_RETURN = 2 };

// Money: an item has at most one credit. Each of its parts has at most one return; together they never exceed the
// credit. ALREADY_EXISTS for a second one.
typedef struct books_move {
    int rail, kind;
    int64_t item, part, amount, at_us; // part: from 1; a credit has only one
    const char *currency;
} books_move;
bool books_movement(books_tx *tx, const books_move *m, err *e) WARN_UNUSED;

// The creditor, and the order's words about the creditor. Some are "" for an instant payment.
enum { BOOKS_WHO_LEN = 32 };
typedef struct books_creditor_row {
    int rail;
    int64_t item;
    uint8_t who[BOOKS_WHO_LEN];
    const char *account_type; // "checking" or "savings"
    str sec, company_id, company_name, effective, description;
} books_creditor_row;
bool books_creditor(books_tx *tx, const books_creditor_row *c, err *e) WARN_UNUSED;

// --- Counters (1, 2, 3 …, each name its own) and output files ----------------------------------------------------------
bool books_counter_next(books_tx *tx, const char *name, int64_t *out, err *e) WARN_UNUSED;
bool books_output_add(books_tx *tx, const char *name, str content, err *e) WARN_UNUSED;

// --- ACH -------------------------------------------------------------------------------------------------------------
enum { BOOKS_NAME_MAX = 128 };

typedef struct books_file {
    int64_t id;                                  // out
    const char *name, *origin, *date, *modifier; // origin, date and modifier are "" when unreadable
    uint8_t sha256[32];
    bool accepted;
    const char *reason;
    int64_t entries, total, taken_us, settle_due_us;
} books_file;
bool books_file_insert(books_tx *tx, books_file *f, err *e) WARN_UNUSED;
// Names an accepted file with the same origin, date and modifier, or with the same content. "" : none.
bool books_file_find_duplicate(books_tx *tx, const books_file *f, char name[BOOKS_NAME_MAX],
                               err *e) WARN_UNUSED;

typedef struct books_file_state {
    bool known, archived;
    uint8_t sha256[32];
} books_file_state;
bool books_file_state_get(books_tx *tx, const char *name, books_file_state *out,
                          err *e) WARN_UNUSED;
bool books_file_set_archived(books_tx *tx, const char *name, err *e) WARN_UNUSED;

typedef struct books_entry {
    int64_t id; // out
    int64_t file_id, scope, trace, amount;
    str individual_id;
    int line;
} books_entry;
// Origin and date as one number: traces are unique within it.
int64_t books_scope(const char *origin, const char *date);
// strict: ALREADY_EXISTS when the origin used this trace number on this day.
bool books_entry_insert(books_tx *tx, books_entry *entry, bool strict, err *e) WARN_UNUSED;
// Refuses the entry: it is never credited, and nothing comes back.
bool books_entry_refuse(books_tx *tx, int64_t id, err *e) WARN_UNUSED;
// An entry of the origin that was credited and has no return. *trace 0: none.
bool books_entry_settled(books_tx *tx, const char *origin, int64_t *trace, int64_t *amount,
                         err *e) WARN_UNUSED;

typedef struct books_return {
    int64_t entry_id, part, amount, due_us; // part: from 1. due_us only counts after settlement
    const char *origin, *code;
    bool after_settlement, moves; // moves: false when no money moves
    str entry_record, batch_record;
} books_return;
bool books_return_plan(books_tx *tx, const books_return *r, err *e) WARN_UNUSED;

// Due files, one at a time; *id 0: none.
bool books_file_due(books_tx *tx, int64_t now_us, int64_t *id, char name[BOOKS_NAME_MAX],
                    char origin[16], int64_t *next_due_us, err *e) WARN_UNUSED;
// Credits all entries of the file except those that are returned first; these change state. Calls on_credit for each credited one.
typedef void (*books_on_entry)(void *arg, int64_t trace, int64_t amount);
bool books_file_settle(books_tx *tx, int64_t id, int64_t now_us, books_on_entry on_credit,
                       void *arg, err *e) WARN_UNUSED;

typedef struct books_return_row {
    int64_t id, amount;
    const char *code, *entry, *batch; // @borrowed
} books_return_row;
typedef void (*books_on_return)(void *arg, const books_return_row *r);
// A file's returns from before its settlement (file_id > 0), or an origin's due ones (file_id 0; origin "": all).
bool books_returns_list(books_tx *tx, int64_t file_id, const char *origin, int64_t now_us,
                        int64_t limit, books_on_return on, void *arg, err *e) WARN_UNUSED;
// An origin with returns due after settlement; "" : none.
bool books_returns_due(books_tx *tx, int64_t now_us, char origin[16], int64_t *next_due_us,
                       err *e) WARN_UNUSED;
// Makes a settled file's returns from before settlement due now, instead of sending them with the settlement.
bool books_returns_later(books_tx *tx, int64_t file_id, int64_t now_us, err *e) WARN_UNUSED;
// Marks the return (id) as sent, and moves the money back if it moves any.
bool books_return_done(books_tx *tx, int64_t id, const char *file_name, int64_t now_us,
                       err *e) WARN_UNUSED;

// Output files that are not yet in the outbox, oldest first. *id 0: none. content: @owned, strbuf of the caller.
bool books_output_next(books_tx *tx, int64_t after, int64_t *id, char name[BOOKS_NAME_MAX],
                       strbuf *content, err *e) WARN_UNUSED;
bool books_output_written(books_tx *tx, int64_t id, err *e) WARN_UNUSED; // also forgets the content

// --- Instant ----------------------------------------------------------------------------------------------------------
enum { BOOKS_REFERENCE_MAX = 64, BOOKS_KEY_LEN = 64, BOOKS_PAYMENT_ID_MAX = 40 };
typedef enum books_status {
    BOOKS_ACCEPTED = 1,
    BOOKS_SETTLED,
    BOOKS_REFUSED,
    BOOKS_RETURNED
} books_status;
const char *books_status_name(books_status s);

typedef struct books_payment {
    int64_t id;
    char key[BOOKS_KEY_LEN + 1], payment_id[BOOKS_PAYMENT_ID_MAX],
        reference[BOOKS_REFERENCE_MAX + 1];
    uint8_t request_sha256[32];
    int64_t amount, created_us;
    char currency[4], code[8], text[96];
    bool retriable;
    books_status status, answered; // now, and what the first answer said
    int webhooks;                  // webhooks per event: 0, 1 or 2
    int64_t webhook_delay_us;
    int64_t settle_due_us, return_due_us; // 0: nothing due
    int returns, oddity;                  // as in faults_instant
    int64_t returned;                     // the amount returned so far
} books_payment;
bool books_payment_by_key(books_tx *tx, str key, bool *found, books_payment *out,
                          err *e) WARN_UNUSED;
bool books_payment_insert(books_tx *tx, books_payment *p, err *e) WARN_UNUSED; // sets id
// Updates status, code, text, due times and returned.
bool books_payment_update(books_tx *tx, const books_payment *p, err *e) WARN_UNUSED;
// Due settlements and returns. The caller owns the array; *n of at most max.
bool books_payments_due(books_tx *tx, int64_t now_us, books_payment *out, size_t max, size_t *n,
                        int64_t *next_due_us, err *e) WARN_UNUSED;
bool books_refusals(books_tx *tx, const char *reference, int64_t *out, err *e) WARN_UNUSED;
bool books_tries(books_tx *tx, str key, int64_t *out, err *e) WARN_UNUSED;
bool books_tries_add(books_tx *tx, str key, err *e) WARN_UNUSED;

typedef struct books_webhook {
    int64_t id;
    char message_id[64];
    int64_t due_us, tries;
    char *body; // out of books_webhooks_due: @owned, free()
} books_webhook;
bool books_webhook_insert(books_tx *tx, const char *message_id, int64_t due_us, str body,
                          err *e) WARN_UNUSED;
bool books_webhooks_due(books_tx *tx, int64_t now_us, books_webhook *out, size_t max, size_t *n,
                        int64_t *next_due_us, err *e) WARN_UNUSED;
// *out: delivery of this message was never tried.
bool books_webhook_untried(books_tx *tx, const char *message_id, bool *out, err *e) WARN_UNUSED;
// due_us 0: finished (delivered, or given up).
bool books_webhook_result(books_tx *tx, int64_t id, bool delivered, int64_t due_us,
                          err *e) WARN_UNUSED;

// Makes all waiting settlements, returns and webhooks due at once.
bool books_flush(books_tx *tx, err *e) WARN_UNUSED;

// --- Reports, as JSON ---------------------------------------------------------------------------------------------------
bool books_report(books_tx *tx, strbuf *out, err *e) WARN_UNUSED;
typedef struct books_query {
    int rail;             // 0: both
    int64_t limit, after; // item ids ascend
    str payout;           // "" : all
} books_query;
bool books_report_payments(books_tx *tx, const books_query *q, strbuf *out, err *e) WARN_UNUSED;
// Payouts credited more than once, net of returns. ach_by_trace: each ACH entry is a payout of its own.
bool books_report_duplicates(books_tx *tx, bool ach_by_trace, strbuf *out, err *e) WARN_UNUSED;
bool books_report_files(books_tx *tx, strbuf *out, err *e) WARN_UNUSED;

#endif
