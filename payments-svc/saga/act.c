// The actions of a batch: its ledger steps in as few CreateTransfers as possible, its submissions and its queries in one call of the rail
// each.
#include <string.h>

#include "base/assert.h"
#include "domain/ids.h"
#include "ledger/accounts.h"
#include "ledger/ledger_client.h"
#include "saga/saga_internal.h"

#define LEDGER_IS(status, name)                                                                    \
    ((status) == LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_##name)
#define LEDGER_FLAG(name) LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_##name

// --- Building transfers ----------------------------------------------------------------------------------------------

static const unsigned LEDGER_STEPS = SAGA_STEP_BIT(STEP_RESERVE) | SAGA_STEP_BIT(STEP_CONFIRM) |
                                     SAGA_STEP_BIT(STEP_VOID) | SAGA_STEP_BIT(STEP_RETURN) |
                                     SAGA_STEP_BIT(STEP_CANCEL);

static bool acts_on_ledger(const saga_item *item) {
    return item->acting != STEP_NONE && (SAGA_STEP_BIT(item->acting) & LEDGER_STEPS) != 0;
}

enum { LEGS_MAX = 3 }; // per step

static size_t transfers_of(const saga_item *item) {
    const bool pair = item->acting == STEP_CONFIRM || item->acting == STEP_RETURN;
    const size_t own = pair ? 2 : 1;
    return saga_fee_moves(item) ? own + 1 : own;
}

static ledger_transfer leg(const saga_item *item, uuid id, uuid debit, uuid credit, uint32_t code,
                           uint32_t flags) {
    ledger_transfer t = {.id = id,
                         .debit = debit,
                         .credit = credit,
                         .user_data_128 = item->intent_id,
                         .amount = item->now.moving > 0 ? item->now.moving : item->amount,
                         .flags = flags,
                         .code = code};
    memcpy(t.currency, item->currency, sizeof t.currency);
    return t;
}

// Posts or voids the reservation; all fields except the intent come from the reservation.
static ledger_transfer release(const saga_item *item, int64_t amount, uint32_t flags) {
    return (ledger_transfer){
        .id = item->transfer,
        .pending_id = transfer_of_step(item->intent_id, "reserve", item->now.reserve_leg),
        .user_data_128 = item->intent_id,
        .amount = amount,
        .flags = flags};
}

// The book's own accounts of one currency. A batch has few currencies, mostly one: the accounts are derived when it changes.
typedef struct book_accounts {
    char currency[4];
    uuid transit, bank, suspense, fees;
} book_accounts;

static void accounts_for(const saga_batch *b, const saga_item *item, book_accounts *accounts) {
    if (strcmp(accounts->currency, item->currency) != 0) {
        const str currency = str_of(item->currency);
        memcpy(accounts->currency, item->currency, sizeof accounts->currency);
        accounts->transit = account_transit(b->from.book_id, b->from.rail->id, currency);
        accounts->bank = account_bank(b->from.book_id, saga_bank_account(b), currency);
        accounts->suspense = account_suspense(b->from.book_id, currency);
        accounts->fees = account_fees(b->from.book_id, currency);
    }
}

// Money leaves: the reservation is posted. Without one, the amount is taken from the merchant again, or from suspense after a write-off.
static void build_confirm(const saga_item *item, const book_accounts *accounts,
                          ledger_transfer *out) {
    const uint32_t linked = LEDGER_FLAG(LINKED);
    const uuid second =
        transfer_of_step(item->intent_id, saga_legs_of(&item->now).second, item->now.leg);
    if (item->now.outlook != STATE_NONE) {
        out[0] = leg(item, item->transfer, accounts->suspense, accounts->transit,
                     TRANSFER_WRITE_OFF, linked);
    } else if (item->now.moving > 0) {
        out[0] = leg(item, item->transfer, item->merchant_account, accounts->transit,
                     TRANSFER_PAY_AGAIN, linked);
    } else {
        out[0] = release(item, INT64_MAX, LEDGER_FLAG(POST_PENDING_TRANSFER) | linked);
    }
    out[1] = leg(item, second, accounts->transit, accounts->bank, TRANSFER_BANK_OUT, 0);
}

static void build_return(const saga_item *item, const book_accounts *accounts,
                         ledger_transfer *out) {
    const bool suspense = item->now.outlook != STATE_NONE;
    const uuid second =
        transfer_of_step(item->intent_id, saga_legs_of(&item->now).second, item->now.leg);
    out[0] = leg(item, item->transfer, accounts->bank, accounts->transit, TRANSFER_BANK_RETURN,
                 LEDGER_FLAG(LINKED));
    out[1] =
        leg(item, second, accounts->transit, suspense ? accounts->suspense : item->merchant_account,
            suspense ? TRANSFER_WRITE_OFF : TRANSFER_RETURN, 0);
}

static void build_step(const saga_item *item, const book_accounts *accounts, ledger_transfer *out) {
    switch (item->acting) {
    case STEP_RESERVE:
        out[0] = leg(item, item->transfer, item->merchant_account, accounts->transit,
                     TRANSFER_RESERVE, LEDGER_FLAG(PENDING));
        return;
    case STEP_CONFIRM: build_confirm(item, accounts, out); return;
    case STEP_VOID:
    case STEP_CANCEL: out[0] = release(item, 0, LEDGER_FLAG(VOID_PENDING_TRANSFER)); return;
    case STEP_RETURN: build_return(item, accounts, out); return;
    case STEP_NONE:
    case STEP_EXECUTE:
    case STEP_RESOLVE:
    case STEP_AWAIT:
    case STEP_DONE:
    case STEP_GATE: break;
    }
    ASSERT(!"a step of the ledger");
}

static void build(const saga_item *item, const book_accounts *accounts, ledger_transfer *out) {
    build_step(item, accounts, out);
    if (saga_fee_moves(item)) {
        const size_t last = transfers_of(item) - 1;
        out[last - 1].flags |= LEDGER_FLAG(LINKED);
        out[last] = saga_fee_leg(item, accounts->fees);
    }
}

// --- Reading the ledger's answers -----------------------------------------------------------------------------------

static bool is_done(Ledger__V1__CreateTransferStatus status) {
    return LEDGER_IS(status, CREATED) || LEDGER_IS(status, EXISTS);
}

// In a broken chain LINKED_EVENT_FAILED means that another transfer is to blame. A chain that exists stops at its first transfer: all of it
// was committed together.
static Ledger__V1__CreateTransferStatus blamed(const ledger_result *results, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!is_done(results[i].status) && !LEDGER_IS(results[i].status, LINKED_EVENT_FAILED)) {
            return results[i].status;
        }
    }
    return results[0].status;
}

static saga_answer judge(const saga_item *item, const ledger_result *results, arena *a) {
    const saga_answer done = {OUT_DONE, {"", 0}, {"", 0}, 0};
    if (item->acting == STEP_RETURN &&
        LEDGER_IS(results[0].status, EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID)) {
        return done; // made when the connection had another bank account
    }
    const Ledger__V1__CreateTransferStatus status = blamed(results, transfers_of(item));
    return is_done(status) ? done : saga_judge_ledger(item, status, a);
}

// --- One CreateTransfers ---------------------------------------------------------------------------------------------

typedef struct ledger_run {
    ledger_transfer *transfers;
    ledger_result *results;
    saga_item **items;
    size_t n_transfers, n_items;
    saga_item **owing; // of the transfers sent; NULL: none so far, which is nearly always
    size_t n_owing;
    saga_item **again; // like owing: to send again without a fee
    size_t n_again;
    book_accounts accounts;
} ledger_run;

// The whole call failed. Whatever it did, a repeat with the same ids is safe.
static void retry_all(const saga_batch *b, saga_item *const *items, size_t n, const err *e) {
    static saga_complaint complaint;
    if (saga_may_complain(&complaint)) {
        log_err(LOG_WARN, "saga.ledger_failed", e);
    }
    const str code = STR("LEDGER_UNAVAILABLE");
    const char *text = arena_strdup(b->a, err_code_name(e->code));
    for (size_t i = 0; i < n; i++) {
        items[i]->answer = (saga_answer){OUT_RETRY, code, str_of(text), 0};
    }
}

static void note(const saga_batch *b, const ledger_run *run, saga_item ***list, size_t *n,
                 saga_item *item) {
    if (*list == NULL) {
        *list = ARENA_ARRAY(b->a, saga_item *, run->n_items);
    }
    if (*list == NULL) {
        item->answer = (saga_answer){OUT_RETRY, STR("REQUEST_MEMORY"), {"", 0}, 0};
    } else {
        (*list)[(*n)++] = item;
    }
}

// RULE: a chain without the fee is sent only if the ledger has no fee reserved, so at most one of the two happens. If this answer is lost,
// the next try finds the result.
static void send_without_fee(saga_batch *b, const saga_tools *tools, ledger_run *run) {
    size_t n = 0;
    for (size_t i = 0; i < run->n_again; i++) {
        run->again[i]->no_fee = true;
        accounts_for(b, run->again[i], &run->accounts);
        build(run->again[i], &run->accounts, &run->transfers[n]);
        n += transfers_of(run->again[i]);
    }
    err e = {0};
    const int64_t deadline = clock_mono_ms(b->from.clock) + tools->ledger_timeout_ms;
    if (!ledger_create_transfers(tools->ledger, b->from.book_id, run->transfers, n, run->results,
                                 deadline, b->a, &e)) {
        retry_all(b, run->again, run->n_again, &e);
        return;
    }
    const ledger_result *at = run->results;
    for (size_t i = 0; i < run->n_again; i++) {
        run->again[i]->answer = judge(run->again[i], at, b->a);
        at += transfers_of(run->again[i]);
    }
}

// Only the ledger knows whether a fee is reserved: mostly there is none, and nothing happens.
static void free_what_is_left(saga_batch *b, const saga_tools *tools, saga_item *item) {
    ledger_transfer t = saga_fee_leg(item, (uuid){{0}});
    ledger_result result;
    err e = {0};
    const int64_t deadline = clock_mono_ms(b->from.clock) + tools->ledger_timeout_ms;
    if (!ledger_create_transfers(tools->ledger, b->from.book_id, &t, 1, &result, deadline, b->a,
                                 &e)) {
        item->answer = (saga_answer){OUT_RETRY, STR("LEDGER_UNAVAILABLE"), {"", 0}, 0};
    }
}

static void take_results(saga_batch *b, const saga_tools *tools, ledger_run *run) {
    const ledger_result *at = run->results;
    for (size_t i = 0; i < run->n_items; i++) {
        saga_item *item = run->items[i];
        const size_t legs = transfers_of(item);
        item->answer = judge(item, at, b->a);
        if (saga_owe_may(item, blamed(at, legs))) {
            note(b, run, &run->owing, &run->n_owing, item);
        } else if (saga_fee_is_missing(item, at, legs)) {
            note(b, run, &run->again, &run->n_again, item);
        } else if (saga_fee_may_be_left(item) && item->answer.outcome == OUT_DONE) {
            free_what_is_left(b, tools, item);
        }
        at += legs;
    }
    if (run->n_again > 0) {
        send_without_fee(b, tools, run);
    }
    saga_owe(b, tools, run->owing, run->n_owing);
}

static void send(saga_batch *b, const saga_tools *tools, ledger_run *run) {
    if (run->n_items == 0) {
        return;
    }
    unsigned steps = 0;
    for (size_t i = 0; i < run->n_items; i++) {
        steps |= SAGA_STEP_BIT(run->items[i]->acting);
    }
    (void)steps; // only crash points use it
    err e = {0};
    saga_crash_at(b, AT_PREPARED, steps);
    const int64_t deadline = clock_mono_ms(b->from.clock) + tools->ledger_timeout_ms;
    const bool ok = ledger_create_transfers(tools->ledger, b->from.book_id, run->transfers,
                                            run->n_transfers, run->results, deadline, b->a, &e);
    saga_crash_at(b, AT_SENT, steps);
    if (!ok) {
        retry_all(b, run->items, run->n_items, &e);
    } else {
        take_results(b, tools, run);
    }
    run->owing = run->again = NULL;
    run->n_items = run->n_transfers = run->n_owing = run->n_again = 0;
}

// Makes the account for write-offs at the first write-off; they are rare.
static bool make_suspense(saga_batch *b, const saga_tools *tools, const saga_item *item,
                          const book_accounts *accounts) {
    static saga_complaint complaint;
    ledger_account account = {.id = accounts->suspense, .code = ACCOUNT_SUSPENSE};
    memcpy(account.currency, item->currency, sizeof account.currency);
    err e = {0};
    const int64_t deadline = clock_mono_ms(b->from.clock) + tools->ledger_timeout_ms;
    if (ledger_create_accounts(tools->ledger, b->from.book_id, &account, 1, deadline, b->a, &e)) {
        return true;
    }
    if (saga_may_complain(&complaint)) {
        log_err(LOG_WARN, "saga.ledger_failed", &e);
    }
    return false;
}

static bool ensure(saga_batch *b, const saga_tools *tools, const ledger_account *accounts,
                   size_t n) {
    static saga_complaint complaint;
    err e = {0};
    if (tools->accounts == NULL) {
        return true;
    }
    const int64_t deadline = clock_mono_ms(b->from.clock) + tools->ledger_timeout_ms;
    if (ledger_accounts_ensure(tools->accounts, b->from.book_id, accounts, n, deadline, b->a, &e)) {
        return true;
    }
    if (saga_may_complain(&complaint)) {
        log_err(LOG_WARN, "saga.ledger_failed", &e);
    }
    return false;
}

// A transfer must find its connection's accounts: a missing account burns its id. The merchant's own account is made with the first
// deposit; without a deposit there is nothing to reserve.
static bool make_accounts(saga_batch *b, const saga_tools *tools, const saga_item *item) {
    const str currency = str_of(item->currency);
    const ledger_account accounts[] = {
        account_of_transit(b->from.book_id, b->from.rail->id, currency),
        account_of_bank(b->from.book_id, saga_bank_account(b), currency)};
    return ensure(b, tools, accounts, sizeof accounts / sizeof accounts[0]);
}

// The same for the account of fees, if there is a fee.
static bool make_fees(saga_batch *b, const saga_tools *tools, const saga_item *item) {
    const ledger_account fees = account_of_fees(b->from.book_id, str_of(item->currency));
    return ensure(b, tools, &fees, 1);
}

static void act_on_ledger(saga_batch *b, const saga_tools *tools) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        n += acts_on_ledger(&b->items[i]) ? 1 : 0;
    }
    if (n == 0) {
        return;
    }
    const size_t most = LEGS_MAX * n < LEDGER_BATCH_MAX ? LEGS_MAX * n : LEDGER_BATCH_MAX;
    ledger_run run = {ARENA_ARRAY(b->a, ledger_transfer, most),
                      ARENA_ARRAY(b->a, ledger_result, most),
                      ARENA_ARRAY(b->a, saga_item *, n),
                      0,
                      0,
                      NULL,
                      0,
                      NULL,
                      0,
                      {"", {{0}}, {{0}}, {{0}}, {{0}}}};
    if (run.transfers == NULL || run.results == NULL || run.items == NULL) {
        return; // every answer still says RETRY
    }
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        if (!acts_on_ledger(item)) {
            continue;
        }
        if (run.n_transfers + transfers_of(item) > most) {
            send(b, tools, &run);
        }
        const bool other_currency = strcmp(run.accounts.currency, item->currency) != 0;
        if (other_currency && !make_accounts(b, tools, item)) {
            // later answers still say RETRY: the ledger is not asked again for each
            break;
        }
        accounts_for(b, item, &run.accounts);
        if (saga_writes_off(&item->now) && !make_suspense(b, tools, item, &run.accounts)) {
            continue; // its answer still says RETRY
        }
        if (item->fee > 0 && !make_fees(b, tools, item)) {
            continue; // its answer still says RETRY
        }
        build(item, &run.accounts, &run.transfers[run.n_transfers]);
        run.n_transfers += transfers_of(item);
        run.items[run.n_items++] = item;
    }
    send(b, tools, &run);
}

// --- The rail --------------------------------------------------------------------------------------------------------

static void take_verdicts(saga_batch *b, saga_step step) {
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        if (item->acting == step) {
            item->answer = saga_answer_of(item->rail);
            const str reference = saga_clean_text(item->rail->reference);
            item->reference = reference.len > 0 ? reference : item->reference;
        }
    }
}

// A worker that was stopped past its lease must not use a rail: another worker is resolving its batch, which is then lost as a whole.
static bool lease_is_over(const saga_batch *b) {
    return clock_boot_ms(b->from.clock) >= atomic_load(&b->until_boot_ms);
}

static void execute(saga_batch *b) {
    saga_crash_at(b, AT_PREPARED, SAGA_STEP_BIT(STEP_EXECUTE));
    if (lease_is_over(b)) {
        b->lost = true;
        return;
    }
    b->from.rail->submit(b->from.rail, b->from.book_id, b->rail_items, b->n_execute,
                         &b->until_boot_ms, b->secrets);
    saga_crash_at(b, AT_SENT, SAGA_STEP_BIT(STEP_EXECUTE));
    take_verdicts(b, STEP_EXECUTE);
}

static void resolve(saga_batch *b) {
    saga_crash_at(b, AT_PREPARED, SAGA_STEP_BIT(STEP_RESOLVE));
    if (lease_is_over(b)) {
        b->lost = true;
        return;
    }
    b->from.rail->query(b->from.rail, b->from.book_id, b->rail_items + b->n_execute, b->n_resolve,
                        b->secrets);
    saga_crash_at(b, AT_SENT, SAGA_STEP_BIT(STEP_RESOLVE));
    take_verdicts(b, STEP_RESOLVE);
}

void saga_steps_act(saga_batch *b, const saga_tools *tools) {
    for (size_t i = 0; i < b->n; i++) {
        b->items[i].answer = (saga_answer){OUT_RETRY, STR("NOT_TRIED"), {"", 0}, 0};
    }
    act_on_ledger(b, tools);
    if (b->n_execute > 0) {
        execute(b);
    }
    if (b->n_resolve > 0 && !b->lost) {
        resolve(b);
    }
    saga_intent_wipe(b);
    saga_crash_at(b, AT_ACKED, SAGA_ALL_STEPS);
}
