// The recall of a deposit by its bank: an intent, the ledger's chain, and the result. The bank has the money whatever the merchant's
// balance, so the part beyond the balance is a debt.
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "command/audit.h"
#include "command/written_by.h"
#include "deposits/deposits_internal.h"
#include "deposits/deposits_sql.h"
#include "domain/ids.h"
#include "receivables/receivables.h"

enum { OWED = 0, REPAID = 1, LEGS = 2 };

#define IS(result, name)                                                                           \
    ((result).status == LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_##name)

// --- The ledger ------------------------------------------------------------------------------------------------------

static bool make_accounts(const deposits_options *o, int64_t book_id, const deposit *x,
                          int64_t deadline, arena *a, err *e) {
    const ledger_account accounts[] = {
        account_of_merchant(book_id, x->merchant_id, x->currency),
        account_of_receivable(book_id, x->merchant_id, x->currency),
        account_of_bank(book_id, STR(BANK_ACCOUNT_MAIN), x->currency)};
    return ledger_accounts_ensure(o->accounts, book_id, accounts,
                                  sizeof accounts / sizeof accounts[0], deadline, a, e);
}

// The whole amount becomes a debt, and the merchant's balance repays it at once.
static bool send(const deposits_options *o, int64_t book_id, const deposit *x, int64_t deadline,
                 arena *a, ledger_result results[LEGS], err *e) {
    ledger_transfer t[LEGS] = {
        {.id = transfer_of_deposit_leg(x->id, "back", x->back_number),
         .debit = account_merchant_receivable(book_id, x->merchant_id, x->currency),
         .credit = account_bank(book_id, STR(BANK_ACCOUNT_MAIN), x->currency),
         .amount = x->amount,
         .flags = LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_LINKED,
         .code = TRANSFER_DEPOSIT_BACK},
        receivable_repayment(book_id, x->merchant_id, x->currency,
                             transfer_of_deposit_leg(x->id, "back_repaid", x->back_number),
                             x->amount)};
    memcpy(t[OWED].currency, t[REPAID].currency, sizeof t[OWED].currency);
    return ledger_create_transfers(o->ledger, book_id, t, LEGS, results, deadline, a, e);
}

// The debt after the recall: a merchant that has paid meanwhile owes nothing.
static bool look_up_owed(const deposits_options *o, int64_t book_id, const deposit *x,
                         int64_t deadline, arena *a, int64_t *owed, err *e) {
    ledger_account account = account_of_receivable(book_id, x->merchant_id, x->currency);
    int64_t sequence = 0;
    if (!ledger_lookup_accounts(o->ledger, book_id, &account, 1, false, &sequence, deadline, a,
                                e)) {
        return false;
    }
    *owed = account_owed(&account);
    return true;
}

// --- The row ---------------------------------------------------------------------------------------------------------

typedef struct taking {
    int64_t book_id;
    str merchant_id;
    uuid id;
    str reason;
    const actor_info *by;
    deposit *x;
    int64_t owed;
} taking;

static bool decide(db_conn *c, const taking *t, int64_t *decided, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, t->book_id);
    db_uuid(p, t->x->id);
    db_i32(p, t->x->back_number);
    db_i16(p, (int16_t)t->x->state);
    if (t->x->back_us == 0) {
        db_null(p, OID_TIMESTAMPTZ);
    } else {
        db_time(p, t->x->back_us);
    }
    return db_exec(c, deposits_sql(DEPOSITS_SQL_DECIDE_BACK), p, a, NULL, decided, e);
}

static bool decide_tx(db_conn *c, arena *a, void *arg, err *e) {
    const taking *t = arg;
    int64_t decided = 0;
    receivable_note note = {
        .merchant_id = t->x->merchant_id,
        .amount = t->owed,
        .text = STR("a bank took a deposit back that the merchant's balance did not cover")};
    const size_t n_notes = t->owed > 0 ? 1 : 0;
    memcpy(note.currency, t->x->currency.ptr,
           t->x->currency.len < sizeof note.currency ? t->x->currency.len
                                                     : sizeof note.currency - 1);
    return decide(c, t, &decided, a, e) &&
           (decided == 0 ||
            receivables_note(c, t->book_id, &note, n_notes, clock_wall_us(clock_system()), a, e));
}

bool deposits_finish_back(const deposits_options *o, int64_t book_id, deposit *x,
                          int64_t deadline_mono_ms, arena *a, err *e) {
    const int64_t deadline = deposits_ledger_deadline(o, deadline_mono_ms);
    ledger_result results[LEGS] = {{0}};
    taking t = {.book_id = book_id, .x = x};
    if (!make_accounts(o, book_id, x, deadline, a, e) ||
        !send(o, book_id, x, deadline, a, results, e)) {
        return false;
    }
    CRASH_POINT("deposit.back.ledger.done");
    const bool done = IS(results[OWED], CREATED) || IS(results[OWED], EXISTS);
    if (done && !look_up_owed(o, book_id, x, deadline, a, &t.owed, e)) {
        return false;
    }
    x->state = done ? DEPOSIT_TAKEN_BACK : DEPOSIT_CREDITED;
    x->back_us = done ? results[OWED].timestamp_us : 0;
    if (!db_transact(o->pool, deadline_mono_ms, a, decide_tx, &t, e)) {
        return false;
    }
    if (!done) {
        const bool other = IS(results[OWED], LINKED_EVENT_FAILED);
        const char *status = ledger_status_name(results[other ? REPAID : OWED].status);
        log_error("deposit.not_taken_back", F_STR("status", status));
        return err_set(e, ERR_FAILED_PRECONDITION, "DEPOSIT_NOT_TAKEN_BACK",
                       "the ledger refused to take the deposit back: %s", status);
    }
    return true;
}

// --- The call --------------------------------------------------------------------------------------------------------

static bool read_tx(db_conn *c, arena *a, void *arg, err *e) {
    const taking *t = arg;
    bool found = false;
    return deposits_read_one(c, t->book_id, t->merchant_id, t->id, a, t->x, &found, e) &&
           (found || err_set_field(e, ERR_NOT_FOUND, "DEPOSIT_NOT_FOUND", "deposit_id",
                                   "the merchant has no such deposit"));
}

static bool intend_tx(db_conn *c, arena *a, void *arg, err *e) {
    const taking *t = arg;
    db_params *p = db_params_create(a);
    db_i64(p, t->book_id);
    db_uuid(p, t->id);
    db_text(p, t->reason);
    written_by_params(p, t->by, a);
    int64_t n = 0;
    return db_exec(c, deposits_sql(DEPOSITS_SQL_INTEND_BACK), p, a, NULL, &n, e) &&
           (n == 0 || audit_write_id(c, t->book_id, t->by, t->merchant_id, "deposit", t->id,
                                     STR(""), clock_wall_us(clock_system()), a, e)) &&
           read_tx(c, a, arg, e);
}

static bool not_credited(err *e) {
    return err_set(e, ERR_FAILED_PRECONDITION, "DEPOSIT_NOT_CREDITED",
                   "only a deposit that was credited can be taken back");
}

bool deposits_take_back_from(const deposits_options *o, const merchant *m, uuid id, str reason,
                             const actor_info *by, int64_t deadline_mono_ms, arena *a, deposit *out,
                             err *e) {
    taking t = {.book_id = m->book_id,
                .merchant_id = str_of(m->id),
                .id = id,
                .reason = reason,
                .by = by,
                .x = out};
    if (!db_transact(o->pool, deadline_mono_ms, a, intend_tx, &t, e)) {
        return false;
    }
    CRASH_POINT("deposit.back.intended");
    switch (out->state) {
    case DEPOSIT_TAKEN_BACK: return true;
    case DEPOSIT_TAKING_BACK:
        return deposits_finish_back(o, m->book_id, out, deadline_mono_ms, a, e);
    default: return not_credited(e);
    }
}
