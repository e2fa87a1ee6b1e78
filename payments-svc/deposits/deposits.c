#include "deposits/deposits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "cases/cases.h"
#include "command/audit.h"
#include "command/idempotency.h"
#include "command/written_by.h"
#include "deposits/deposits_internal.h"
#include "deposits/deposits_sql.h"
#include "domain/ids.h"
#include "domain/rules.h"
#include "receivables/receivables.h"

enum {
    RACES_MAX = 8,
    SWEEP_EACH_MS = 5000,
    SWEEP_MAX = 500,          // deposits per sweep
    SWEEP_AFTER_US = 2000000, // a younger deposit's own call is probably still at work
    SWEEP_TIMEOUT_MS = 15000,
    SWEEP_ARENA_MAX = 16 << 20,
    COLUMN_BOOK = 13, // after a deposit's own columns
    OWED_UNKNOWN = -1
};

// Where the next look of the sweep continues: 500 stuck deposits must not keep others from their turn. Zero: from the first.
typedef struct sweep_place {
    int64_t book_id;
    uuid id;
} sweep_place;
enum { SWEEP_LOOKS = 2 };

struct deposits {
    deposits_options o;
    sweep_place places[SWEEP_LOOKS]; // for the sweep's thread
};

// --- Intent ----------------------------------------------------------------------------------------------------------

typedef struct crediting {
    deposits *d;
    const merchant *m;
    const deposit_request *r;
    idem_entry entry;
    deposit made;
    const err *refused; // fault of a new request: it is not written
    int64_t owed;       // the merchant's debt, minor units; OWED_UNKNOWN when not looked up
} crediting;

static bool look_up(db_conn *c, crediting *x, arena *a, err *e) {
    idem_entry *one = &x->entry;
    bool found = true;
    if (!idem_lookup(c, x->d->o.keys, x->m->book_id, IDEM_DEPOSIT, &one, 1, a, e)) {
        return false;
    }
    if (!one->known || !one->same || one->kept_answer.ptr != NULL) {
        return true;
    }
    return deposits_read_one(c, x->m->book_id, one->merchant_id, one->kept_made, a, &x->made,
                             &found, e) &&
           (found ||
            err_set(e, ERR_DATA_LOSS, "ANSWER_LOST", "the deposit of a known key is not there"));
}

static bool look_up_tx(db_conn *c, arena *a, void *arg, err *e) {
    return look_up(c, arg, a, e);
}

static bool intend_tx(db_conn *c, arena *a, void *arg, err *e) {
    crediting *x = arg;
    if (!look_up(c, x, a, e) || x->entry.known) {
        return x->entry.known;
    }
    const int64_t now_us = clock_wall_us(clock_system());
    idem_entry *one = &x->entry;
    db_params *p = db_params_create(a);
    x->made = (deposit){.id = transfer_of_deposit(x->m->book_id, one->merchant_id, one->key),
                        .merchant_id = one->merchant_id,
                        .key = one->key,
                        .amount = x->r->amount,
                        .currency = x->r->currency,
                        .reference = x->r->reference,
                        .state = DEPOSIT_PENDING,
                        .created_us = now_us};
    one->made = x->made.id;
    db_i64(p, x->m->book_id);
    db_uuid(p, x->made.id);
    db_text(p, one->merchant_id);
    db_text(p, one->key);
    db_i64(p, x->made.amount);
    db_text(p, x->made.currency);
    db_text(p, x->made.reference);
    db_time(p, now_us);
    written_by_params(p, x->r->by, a);
    return db_exec(c, deposits_sql(DEPOSITS_SQL_INSERT), p, a, NULL, NULL, e) &&
           audit_write_id(c, x->m->book_id, x->r->by, one->merchant_id, "deposit", x->made.id,
                          STR(""), now_us, a, e) &&
           idem_insert(c, x->m->book_id, IDEM_DEPOSIT, &one, 1, now_us, e);
}

// --- Rules of a new request ------------------------------------------------------------------------------------------

static bool validate_fields(const crediting *x, err *e) {
    const deposit_request *r = x->r;
    const int64_t max = x->d->o.settings.amount_max;
    const currency *ccy = NULL;
    if (r->fault != NULL) {
        *e = *r->fault;
        return false;
    }
    if (!rule_amount(r->amount, "", e) || !rule_currency(r->currency, "", &ccy, e) ||
        !rule_text(r->reference, 0, RULE_NAME_MAX, "", "reference", e)) {
        return false;
    }
    if (!list_has(x->m->currencies, r->currency)) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "CURRENCY_NOT_HELD", "currency",
                             "the merchant holds %s only", x->m->currencies);
    }
    return r->amount <= max ||
           err_set_field(e, ERR_INVALID_ARGUMENT, "AMOUNT_TOO_LARGE", "amount_minor",
                         "a deposit may be at most %" PRId64 " minor units (deposits.amount_max)",
                         max);
}

// Keeps a merchant's money far below an account's limit, where it would block the other deposits of its book. Deposits made at the same
// moment may exceed the limit by their own amounts.
static bool validate_balance(crediting *x, const ledger_account *available, int64_t deadline,
                             arena *a, err *e) {
    ledger_account accounts[] = {
        *available, account_of_receivable(x->m->book_id, str_of(x->m->id), x->r->currency)};
    const int64_t max = x->d->o.settings.balance_max;
    int64_t sequence = 0;
    if (!ledger_lookup_accounts_if_any(x->d->o.ledger, x->m->book_id, accounts, 2, false, &sequence,
                                       deadline, a, e)) {
        return false;
    }
    x->owed = account_owed(&accounts[1]);
    const int64_t balance = accounts[0].credits_posted - accounts[0].debits_posted;
    return balance <= max - x->r->amount ||
           err_set_field(e, ERR_INVALID_ARGUMENT, "AMOUNT_TOO_LARGE", "amount_minor",
                         "the merchant's balance would pass %" PRId64
                         " minor units (deposits.balance_max)",
                         max);
}

static bool validate(crediting *x, int64_t deadline_mono_ms, arena *a, err *e) {
    if (!validate_fields(x, e)) {
        return false;
    }
    const int64_t deadline = deposits_ledger_deadline(&x->d->o, deadline_mono_ms);
    const ledger_account accounts[] = {
        account_of_merchant(x->m->book_id, str_of(x->m->id), x->r->currency),
        account_of_bank(x->m->book_id, STR(BANK_ACCOUNT_MAIN), x->r->currency)};
    return ledger_accounts_ensure(x->d->o.accounts, x->m->book_id, accounts, 2, deadline, a, e) &&
           validate_balance(x, &accounts[0], deadline, a, e);
}

// --- The ledger ------------------------------------------------------------------------------------------------------

typedef struct decision {
    int64_t book_id;
    uuid id;
    deposit_state state;
    str reason;
    int64_t at_us;
    const deposit *unheard; // no call waits for its answer; NULL: its call does
} decision;

#define IS(result, name)                                                                           \
    ((result).status == LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_##name)

// repays: in one chain with the repayment of the merchant's debt. At most one of the two forms happens, as both have the deposit's id.
static bool send_deposit(const deposits *d, int64_t book_id, const deposit *made, bool repays,
                         int64_t deadline, arena *a, ledger_result *out, err *e) {
    ledger_result results[2] = {{0}};
    ledger_transfer t[2] = {
        {.id = made->id,
         .debit = account_bank(book_id, STR(BANK_ACCOUNT_MAIN), made->currency),
         .credit = account_merchant_available(book_id, made->merchant_id, made->currency),
         .amount = made->amount,
         .code = TRANSFER_DEPOSIT}};
    if (made->currency.len >= sizeof t[0].currency) {
        return err_set(e, ERR_DATA_LOSS, "DEPOSIT_UNREADABLE", "a deposit has an odd currency");
    }
    memcpy(t[0].currency, made->currency.ptr, made->currency.len);
    if (repays) {
        t[0].flags = LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_LINKED;
        t[1] = receivable_repayment(book_id, made->merchant_id, made->currency,
                                    transfer_of_deposit_leg(made->id, "repay", 0), made->amount);
    }
    if (!ledger_create_transfers(d->o.ledger, book_id, t, repays ? 2 : 1, results, deadline, a,
                                 e)) {
        return false;
    }
    *out = results[0];
    return true;
}

static bool look_up_owed(const deposits *d, int64_t book_id, const deposit *made, int64_t deadline,
                         arena *a, int64_t *owed, err *e) {
    ledger_account account = account_of_receivable(book_id, made->merchant_id, made->currency);
    int64_t sequence = 0;
    const bool ok = ledger_lookup_accounts_if_any(d->o.ledger, book_id, &account, 1, false,
                                                  &sequence, deadline, a, e);
    *owed = ok ? account_owed(&account) : 0;
    return ok;
}

// False: the ledger could not be asked, and the result is unknown.
static bool ask_ledger(const deposits *d, int64_t book_id, const deposit *made, int64_t owed,
                       int64_t deadline, arena *a, decision *out, err *e) {
    ledger_result result = {0};
    if (owed == OWED_UNKNOWN && !look_up_owed(d, book_id, made, deadline, a, &owed, e)) {
        return false;
    }
    bool repays = owed > 0;
    if (!send_deposit(d, book_id, made, repays, deadline, a, &result, e)) {
        return false;
    }
    // It exists in the other form; or the repayment is to blame, which must not keep the money away.
    if (IS(result, EXISTS_WITH_DIFFERENT_FLAGS) || (repays && IS(result, LINKED_EVENT_FAILED))) {
        repays = !repays;
        if (!send_deposit(d, book_id, made, repays, deadline, a, &result, e)) {
            return false;
        }
    }
    *out = (decision){.book_id = book_id, .id = made->id, .state = DEPOSIT_CREDITED};
    switch ((int)result.status) {
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_CREATED:
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_EXISTS:
        out->at_us = result.timestamp_us;
        break;
    default:
        out->state = DEPOSIT_REFUSED;
        out->reason = str_of(ledger_status_name(result.status));
        out->at_us = clock_wall_us(clock_system());
        log_error("deposit.refused", F_STR("status", ledger_status_name(result.status)));
        break;
    }
    return true;
}

// A client's answer ends a refused deposit. For one that the sweep finds, a person is told.
static bool open_case(db_conn *c, const decision *x, arena *a, err *e) {
    const deposit *made = x->unheard;
    char id[UUID_TEXT_LEN + 1];
    uuid_format(x->id, id);
    case_new refused = {.kind = "DEPOSIT_REFUSED",
                        .subject_type = "deposit",
                        .subject_id = str_of(id),
                        .merchant_id = made->merchant_id,
                        .code = x->reason,
                        .text = STR("the ledger refused the deposit for good"),
                        .amount = made->amount};
    memcpy(refused.currency, made->currency.ptr, made->currency.len < 3 ? made->currency.len : 3);
    return cases_open(c, x->book_id, &refused, 1, x->at_us, a, e);
}

static bool decide_tx(db_conn *c, arena *a, void *arg, err *e) {
    const decision *x = arg;
    int64_t n = 0;
    db_params *p = db_params_create(a);
    db_i64(p, x->book_id);
    db_uuid(p, x->id);
    db_i16(p, (int16_t)x->state);
    db_text(p, x->reason);
    db_time(p, x->at_us);
    return db_exec(c, deposits_sql(DEPOSITS_SQL_DECIDE), p, a, NULL, &n, e) &&
           (n == 0 || x->unheard == NULL || x->state != DEPOSIT_REFUSED || open_case(c, x, a, e));
}

// Finishes a deposit from PENDING on. A repeat by anyone is safe: the ledger's id is the deposit's. heard: a caller waits for the result.
static bool finish(const deposits *d, int64_t book_id, deposit *made, int64_t owed, bool heard,
                   int64_t deadline_mono_ms, arena *a, err *e) {
    decision x;
    const int64_t deadline = deposits_ledger_deadline(&d->o, deadline_mono_ms);
    if (!ask_ledger(d, book_id, made, owed, deadline, a, &x, e)) {
        return false;
    }
    x.unheard = heard ? NULL : made;
    CRASH_POINT("deposit.ledger.done");
    if (!db_transact(d->o.pool, deadline_mono_ms, a, decide_tx, &x, e)) {
        return false;
    }
    CRASH_POINT("deposit.kept");
    made->state = (int)x.state;
    made->reason = x.reason;
    made->decided_us = x.at_us;
    return true;
}

// --- Calls -----------------------------------------------------------------------------------------------------------

// Looks the key up; for a new one writes the intent. A race is settled by another look.
static bool intend(crediting *x, int64_t deadline_mono_ms, arena *a, err *e) {
    if (!db_read(x->d->o.pool, deadline_mono_ms, a, look_up_tx, x, e)) {
        return false;
    }
    if (x->entry.known) {
        return true;
    }
    if (!validate(x, deadline_mono_ms, a, e)) {
        return false;
    }
    idem_hash(x->d->o.keys, IDEM_DEPOSIT, &x->entry);
    bool ok = false;
    bool again = true;
    for (int i = 0; again && i < RACES_MAX; i++) {
        err_clear(e);
        ok = db_transact(x->d->o.pool, deadline_mono_ms, a, intend_tx, x, e);
        again = !ok && idem_should_look_again(e);
    }
    CRASH_POINT("deposit.intended");
    return ok || idem_give_up(e);
}

static bool answer_refused(const deposit *made, err *e) {
    (void)err_set(e, ERR_FAILED_PRECONDITION, "DEPOSIT_REFUSED", "the ledger refused the deposit");
    return err_detail(e, "%.*s", (int)made->reason.len, made->reason.ptr);
}

bool deposits_credit(deposits *d, const merchant *m, const deposit_request *r,
                     int64_t deadline_mono_ms, arena *a, deposit_answer *out, err *e) {
    crediting x = {.d = d, .m = m, .r = r, .owed = OWED_UNKNOWN};
    x.entry.merchant_id = str_of(m->id);
    x.entry.key = r->key;
    x.entry.content = r->content;
    *out = (deposit_answer){0};
    if (!intend(&x, deadline_mono_ms, a, e)) {
        return false;
    }
    if (!x.entry.same) {
        return idem_conflict("", e);
    }
    out->kept_answer = x.entry.kept_answer;
    if (out->kept_answer.ptr != NULL) {
        return true;
    }
    if (x.made.state == DEPOSIT_PENDING &&
        !finish(d, m->book_id, &x.made, x.owed, true, deadline_mono_ms, a, e)) {
        return false;
    }
    out->made = x.made;
    switch (x.made.state) {
    case DEPOSIT_CREDITED:
    case DEPOSIT_TAKING_BACK:
    case DEPOSIT_TAKEN_BACK: return true;
    case DEPOSIT_REFUSED: return answer_refused(&x.made, e);
    default:
        return err_set(e, ERR_UNAVAILABLE, "STATE_OF_A_NEWER_VERSION",
                       "the deposit stands where only a newer version of this service can read it");
    }
}

typedef struct reading {
    int64_t book_id;
    str merchant_id;
    uuid id;
    const deposits_query *q;
    deposit *out;
    size_t n;
} reading;

static bool get_tx(db_conn *c, arena *a, void *arg, err *e) {
    reading *r = arg;
    bool found = false;
    return deposits_read_one(c, r->book_id, r->merchant_id, r->id, a, r->out, &found, e) &&
           (found || err_set_field(e, ERR_NOT_FOUND, "DEPOSIT_NOT_FOUND", "deposit_id",
                                   "the merchant has no such deposit"));
}

bool deposits_get(deposits *d, const merchant *m, uuid id, int64_t deadline_mono_ms, arena *a,
                  deposit *out, err *e) {
    reading r = {.book_id = m->book_id, .merchant_id = str_of(m->id), .id = id, .out = out};
    return db_read(d->o.pool, deadline_mono_ms, a, get_tx, &r, e);
}

bool deposits_take_back(deposits *d, const merchant *m, uuid id, str reason, const actor_info *by,
                        int64_t deadline_mono_ms, arena *a, deposit *out, err *e) {
    return deposits_take_back_from(&d->o, m, id, reason, by, deadline_mono_ms, a, out, e);
}

static bool read_rows(const db_rows *rows, arena *a, deposit **out, size_t *n, err *e) {
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, deposit, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = deposits_read_row(rows, i);
    }
    return true;
}

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    reading *r = arg;
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, r->book_id);
    db_text(p, r->merchant_id);
    db_time(p, r->q->before_us);
    db_uuid(p, r->q->before_id);
    db_i16(p, (int16_t)r->q->state);
    db_i64(p, r->q->limit);
    return db_exec(c, deposits_sql(DEPOSITS_SQL_LIST), p, a, &rows, NULL, e) &&
           read_rows(rows, a, &r->out, &r->n, e);
}

bool deposits_list(deposits *d, const merchant *m, const deposits_query *q,
                   int64_t deadline_mono_ms, arena *a, deposit **out, size_t *n, err *e) {
    reading r = {.book_id = m->book_id, .merchant_id = str_of(m->id), .q = q};
    const bool ok = db_read(d->o.pool, deadline_mono_ms, a, list_tx, &r, e);
    *out = r.out;
    *n = r.n;
    return ok;
}

// --- The sweep -------------------------------------------------------------------------------------------------------

typedef struct sweep {
    sweep_place after;
    deposit_of_book *found;
    size_t n;
} sweep;

bool deposits_read_list(const db_rows *rows, arena *a, deposit_of_book **out, size_t *n, err *e) {
    deposit *list = NULL;
    if (!read_rows(rows, a, &list, n, e)) {
        return false;
    }
    *out = ARENA_ARRAY(a, deposit_of_book, *n + 1);
    for (size_t i = 0; *out != NULL && i < *n; i++) {
        (*out)[i] = (deposit_of_book){db_get_i64(rows, i, COLUMN_BOOK), list[i]};
    }
    return *out != NULL || err_no_memory(e, "the answer");
}

static bool going_back_tx(db_conn *c, arena *a, void *arg, err *e) {
    sweep *s = arg;
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, SWEEP_MAX);
    db_i64(p, s->after.book_id);
    db_uuid(p, s->after.id);
    return db_exec(c, deposits_sql(DEPOSITS_SQL_GOING_BACK), p, a, &rows, NULL, e) &&
           deposits_read_list(rows, a, &s->found, &s->n, e);
}

static bool pending_tx(db_conn *c, arena *a, void *arg, err *e) {
    sweep *s = arg;
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_time(p, clock_wall_us(clock_system()) - SWEEP_AFTER_US);
    db_i64(p, SWEEP_MAX);
    db_i64(p, s->after.book_id);
    db_uuid(p, s->after.id);
    return db_exec(c, deposits_sql(DEPOSITS_SQL_PENDING), p, a, &rows, NULL, e) &&
           deposits_read_list(rows, a, &s->found, &s->n, e);
}

static void finish_one(const deposits *d, int64_t book_id, deposit *made, int64_t deadline,
                       arena *a) {
    const ledger_account accounts[] = {
        account_of_merchant(book_id, made->merchant_id, made->currency),
        account_of_bank(book_id, STR(BANK_ACCOUNT_MAIN), made->currency)};
    err e = {0};
    char id[UUID_TEXT_LEN + 1];
    uuid_format(made->id, id);
    const bool goes_back = made->state == DEPOSIT_TAKING_BACK;
    if (ledger_accounts_ensure(d->o.accounts, book_id, accounts, 2,
                               deposits_ledger_deadline(&d->o, deadline), a, &e) &&
        (goes_back ? deposits_finish_back(&d->o, book_id, made, deadline, a, &e)
                   : finish(d, book_id, made, OWED_UNKNOWN, false, deadline, a, &e))) {
        log_info("deposit.finished", F_STR("deposit", id));
    } else {
        log_err(LOG_WARN, "deposit.not_finished", &e);
    }
}

// Several instances may do it at once.
static bool sweep_once(void *arg) {
    deposits *d = arg;
    bool ok = true;
    arena *a = arena_create(SWEEP_ARENA_MAX);
    bool (*const looks[SWEEP_LOOKS])(db_conn *, arena *, void *, err *) = {pending_tx,
                                                                           going_back_tx};
    for (size_t k = 0; k < SWEEP_LOOKS; k++) {
        // its own for each
        const int64_t deadline = clock_mono_ms(clock_system()) + SWEEP_TIMEOUT_MS;
        sweep s = {.after = d->places[k]};
        size_t i = 0;
        err e = {0};
        if (!db_read(d->o.pool, deadline, a, looks[k], &s, &e)) {
            log_err(LOG_WARN, "deposits.not_swept", &e);
            ok = false;
        }
        for (; i < s.n && clock_mono_ms(clock_system()) < deadline; i++) {
            finish_one(d, s.found[i].book_id, &s.found[i].made, deadline, a);
            d->places[k] = (sweep_place){s.found[i].book_id, s.found[i].made.id};
        }
        if (i == s.n && s.n < SWEEP_MAX) { // each had its turn: the next look begins again
            d->places[k] = (sweep_place){0};
        }
    }
    arena_destroy(a);
    return ok;
}

job deposits_sweep(deposits *d) {
    return (job){
        .name = "deposits.sweep", .every_ms = SWEEP_EACH_MS, .alone = sweep_once, .arg = d};
}

deposits *deposits_create(const deposits_options *o) {
    deposits *d = calloc(1, sizeof *d);
    ASSERT(d != NULL);
    d->o = *o;
    return d;
}

void deposits_destroy(deposits *d) {
    free(d);
}
