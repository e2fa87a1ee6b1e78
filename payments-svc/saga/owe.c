// A debt: the bank has paid returned money again, and the merchant's balance does not cover it. The merchant's debt account bears it, in
// one chain with the bank's leg. The rest of the balance repays it at once.
#include <string.h>

#include "base/crash.h"
#include "domain/ids.h"
#include "receivables/receivables.h"
#include "saga/saga_internal.h"

#define LEDGER_IS(status, name)                                                                    \
    ((status) == LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_##name)

enum { LEGS_MAX = 4, CHAINS_MAX = LEDGER_BATCH_MAX / LEGS_MAX };

bool saga_owe_may(const saga_item *item, Ledger__V1__CreateTransferStatus blamed) {
    return item->acting == STEP_CONFIRM && item->now.moving > 0 &&
           item->now.outlook == STATE_NONE &&
           (LEDGER_IS(blamed, EXCEEDS_CREDITS) || LEDGER_IS(blamed, ID_ALREADY_FAILED));
}

static size_t legs_of(const saga_item *item) {
    return saga_fee_moves(item) ? LEGS_MAX : LEGS_MAX - 1;
}

// The merchant's part: includes the fee when no part of the amount was with the bank.
static int64_t owed_of(const saga_item *item) {
    return item->now.moving + (saga_fee_moves(item) ? item->fee : 0);
}

// RULE: sent only after the chain of the same number has failed for ever, so at most one of the two happens (promise NO-DOUBLE).
static void build(const saga_batch *b, saga_item *item, ledger_transfer *out) {
    const size_t last = legs_of(item) - 1;
    const uint32_t linked = LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_LINKED;
    const int64_t book = b->from.book_id;
    const int32_t number = item->now.leg;
    const str currency = str_of(item->currency);
    const uuid transit = account_transit(book, b->from.rail->id, currency);
    item->transfer = transfer_of_step(item->intent_id, "owe", number);
    out[0] =
        (ledger_transfer){.id = item->transfer,
                          .debit = account_merchant_receivable(book, item->merchant_id, currency),
                          .credit = transit,
                          .amount = item->now.moving,
                          .flags = linked,
                          .code = TRANSFER_OWE};
    out[1] = (ledger_transfer){.id = transfer_of_step(item->intent_id, "owe_bank_out", number),
                               .debit = transit,
                               .credit = account_bank(book, saga_bank_account(b), currency),
                               .amount = item->now.moving,
                               .flags = linked,
                               .code = TRANSFER_BANK_OUT};
    if (last > 2) {
        out[2] = (ledger_transfer){.id = transfer_of_step(item->intent_id, "owe_fee", number),
                                   .debit = out[0].debit,
                                   .credit = account_fees(book, currency),
                                   .amount = item->fee,
                                   .flags = linked,
                                   .code = TRANSFER_OWE};
    }
    out[last] = receivable_repayment(book, item->merchant_id, currency,
                                     transfer_of_step(item->intent_id, "owe_repaid", number),
                                     owed_of(item));
    for (size_t i = 0; i <= last; i++) {
        memcpy(out[i].currency, item->currency, sizeof out[i].currency);
        out[i].user_data_128 = item->intent_id;
    }
}

// In a broken chain only one transfer is to blame. A chain that exists stops at its first transfer.
static bool is_done(const ledger_result *results) {
    return LEDGER_IS(results[0].status, CREATED) ||
           (LEDGER_IS(results[0].status, EXISTS) &&
            LEDGER_IS(results[1].status, LINKED_EVENT_FAILED));
}

static Ledger__V1__CreateTransferStatus blamed(const ledger_result *results, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!LEDGER_IS(results[i].status, LINKED_EVENT_FAILED) &&
            !LEDGER_IS(results[i].status, CREATED) && !LEDGER_IS(results[i].status, EXISTS)) {
            return results[i].status;
        }
    }
    return results[0].status;
}

static void answer(saga_item *item, const ledger_result *results, arena *a) {
    if (!is_done(results)) {
        item->answer = saga_judge_ledger(item, blamed(results, legs_of(item)), a);
        return;
    }
    item->owed = owed_of(item); // after the step nothing tells the amount any more
    item->answer = (saga_answer){
        OUT_DONE, STR("MERCHANT_OWES"),
        STR("the merchant's balance did not cover what the bank has paid; the merchant owes it"),
        0};
}

static bool make_accounts(const saga_batch *b, const saga_tools *tools, saga_item *const *items,
                          size_t n, int64_t deadline, err *e) {
    ledger_account *accounts = ARENA_ARRAY(b->a, ledger_account, n);
    if (accounts == NULL) {
        return err_no_memory(e, "the batch");
    }
    for (size_t i = 0; i < n; i++) {
        accounts[i] = account_of_receivable(b->from.book_id, items[i]->merchant_id,
                                            str_of(items[i]->currency));
    }
    return ledger_create_accounts(tools->ledger, b->from.book_id, accounts, n, deadline, b->a, e);
}

static bool send(saga_batch *b, const saga_tools *tools, saga_item *const *items, size_t n,
                 err *e) {
    const int64_t deadline = clock_mono_ms(b->from.clock) + tools->ledger_timeout_ms;
    ledger_transfer *transfers = ARENA_ARRAY(b->a, ledger_transfer, LEGS_MAX * n);
    ledger_result *results = ARENA_ARRAY(b->a, ledger_result, LEGS_MAX * n);
    size_t n_legs = 0;
    if (transfers == NULL || results == NULL) {
        return err_no_memory(e, "the batch");
    }
    for (size_t i = 0; i < n; i++) {
        build(b, items[i], transfers + n_legs);
        n_legs += legs_of(items[i]);
    }
    if (!make_accounts(b, tools, items, n, deadline, e) ||
        !ledger_create_transfers(tools->ledger, b->from.book_id, transfers, n_legs, results,
                                 deadline, b->a, e)) {
        return false;
    }
    CRASH_POINT("saga.owe.sent");
    for (size_t i = 0; i < n; i++) {
        answer(items[i], results, b->a);
        results += legs_of(items[i]);
    }
    return true;
}

void saga_owe(saga_batch *b, const saga_tools *tools, saga_item *const *items, size_t n) {
    static saga_complaint complaint;
    for (size_t at = 0; at < n;) {
        const size_t some = n - at < CHAINS_MAX ? n - at : CHAINS_MAX;
        err e = {0};
        const bool ok = send(b, tools, items + at, some, &e);
        if (!ok && saga_may_complain(&complaint)) {
            log_err(LOG_WARN, "saga.ledger_failed", &e);
        }
        for (size_t i = 0; !ok && i < some; i++) { // a repeat with the same ids is safe
            items[at + i]->answer = (saga_answer){OUT_RETRY, STR("LEDGER_UNAVAILABLE"), {"", 0}, 0};
        }
        at += some;
    }
}

bool saga_owe_note(saga_batch *b, db_conn *c, int64_t now_us, err *e) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        n += b->items[i].owed > 0 ? 1 : 0;
    }
    if (n == 0) {
        return true;
    }
    receivable_note *notes = ARENA_ARRAY(b->a, receivable_note, n);
    if (notes == NULL) {
        return err_no_memory(e, "the batch");
    }
    n = 0;
    for (size_t i = 0; i < b->n; i++) {
        const saga_item *item = &b->items[i];
        char id[UUID_TEXT_LEN + 1];
        if (item->owed == 0) {
            continue;
        }
        uuid_format(item->payout_id, id);
        const char *text = arena_printf(
            b->a, "the bank has paid the payout %s, which the merchant's balance did not cover",
            id);
        notes[n] = (receivable_note){.merchant_id = item->merchant_id,
                                     .amount = item->owed,
                                     .text = str_of(text != NULL ? text : "")};
        memcpy(notes[n].currency, item->currency, sizeof notes[n].currency);
        n++;
    }
    return receivables_note(c, b->from.book_id, notes, n, now_us, b->a, e);
}
