#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "domain/ids.h"
#include "recon/journal.h"
#include "recon/recon_sql.h"

enum {
    PAGE = 10000,   // payouts per statement
    ROUNDS_MAX = 8, // how often a moving payout is read again
    MERCHANTS_STEP = 64,
    RECEIVABLES_MAX = 100000, // a book's debtors, by merchant and currency
    ARENA_MAX = 64 << 20
};

typedef struct prover {
    const recon_job *job;
    arena *a; // for one statement, page or call
    recon_window w;
    uuid after; // the last loaded payout
    bool more;  // there may be later payouts
    recon_difference *differences;
    size_t n_differences, differences_cap;
    err *e;
} prover;

static int64_t soon(const recon_job *job) {
    const int64_t limit = clock_mono_ms(clock_system()) + job->read_timeout_ms;
    return limit < job->deadline_mono_ms ? limit : job->deadline_mono_ms;
}

static bool too_large(err *e) {
    return err_set(e, ERR_RESOURCE_EXHAUSTED, "PROOF_TOO_LARGE",
                   "the book is too large for a proof: too many rails and currencies, or too much "
                   "money");
}

bool recon_progress_refuse(err *e) {
    return err_set_field(e, ERR_INVALID_ARGUMENT, "RESUME_TOKEN_INVALID", "resume_token",
                         "resume_token is not one of an earlier answer to this request");
}

bool recon_progress_check(const recon_progress *p, err *e) {
    bool ok = p->sequence >= 0 && p->n_sums >= 0 && p->n_sums <= RECON_ACCOUNTS_MAX;
    for (int64_t i = 0; ok && i < p->n_sums; i++) {
        ok = memchr(p->sums[i].currency, '\0', sizeof p->sums[i].currency) != NULL;
    }
    return ok || recon_progress_refuse(e);
}

// --- A window of payouts ---------------------------------------------------------------------------------------------

static bool place_of_merchant(recon_window *w, str id, const char *currency, uint32_t *place) {
    const uuid account = account_merchant_available(w->book_id, id, str_of(currency));
    *place = (uint32_t)(uintptr_t)map_get(w->by_account, account);
    if (*place == 0) {
        if (w->n_merchants == w->merchants_cap) {
            w->merchants_cap += MERCHANTS_STEP + w->merchants_cap / 2;
            w->merchants = realloc(w->merchants, w->merchants_cap * sizeof *w->merchants);
            ASSERT(w->merchants != NULL);
        }
        recon_merchant *m = &w->merchants[w->n_merchants++];
        *m = (recon_merchant){.account = account,
                              .receivable =
                                  account_merchant_receivable(w->book_id, id, str_of(currency))};
        if (id.len >= sizeof m->id) {
            return false;
        }
        memcpy(m->id, id.ptr, id.len);
        memcpy(m->currency, currency, sizeof m->currency);
        *place = (uint32_t)w->n_merchants;
        if (!map_put(w->by_account, account, (void *)(uintptr_t)*place)) {
            return false;
        }
    }
    *place -= 1;
    return true;
}

static bool place_of_pair(recon_window *w, int rail, const char *currency, uint32_t *place) {
    for (*place = 0; *place < w->n_pairs; (*place)++) {
        if (w->pairs[*place].rail == rail && strcmp(w->pairs[*place].currency, currency) == 0) {
            return true;
        }
    }
    if (w->n_pairs == RECON_ACCOUNTS_MAX) {
        return false;
    }
    recon_pair *made = &w->pairs[w->n_pairs++];
    *made = (recon_pair){.rail = rail,
                         .transit = account_transit(w->book_id, rail, str_of(currency)),
                         .fees = account_fees(w->book_id, str_of(currency))};
    memcpy(made->currency, currency, sizeof made->currency);
    // Compares the accounts that any payout used, even if nothing has moved there.
    const uuid none = {{0}};
    const uuid bank = account_bank(w->book_id, STR(BANK_ACCOUNT_MAIN), str_of(currency));
    return recon_sum_of(w->progress, rail, currency, none) != NULL &&
           recon_sum_of(w->progress, RECON_BANK, currency, bank) != NULL;
}

// Reads SAGA_COLUMNS, from a column on.
static void take_saga(recon_payout *p, const db_rows *rows, size_t i, int column) {
    p->state = (saga_state)db_get_i16(rows, i, column + 1);
    p->saga = (recon_saga){.step = (saga_step)db_get_i16(rows, i, column),
                           .state = (saga_state)db_get_i16(rows, i, column + 2),
                           .outlook = (saga_state)db_get_i16(rows, i, column + 3),
                           .amount = p->saga.amount,
                           .fee = p->saga.fee,
                           .returned = db_get_i64(rows, i, column + 4),
                           .moving = db_get_i64(rows, i, column + 5),
                           .written_off = db_get_i64(rows, i, column + 6)};
    p->updated_us = db_get_time(rows, i, column + 7);
}

// Reads the log's intent beyond the row: step, outlook, moving, from a column on.
static void take_intent(recon_payout *p, const db_rows *rows, size_t i, int column) {
    p->acts = !db_is_null(rows, i, column);
    p->acting = p->saga;
    if (p->acts) {
        p->acting.step = (saga_step)db_get_i16(rows, i, column);
        p->acting.outlook = (saga_state)db_get_i16(rows, i, column + 1);
        p->acting.moving = db_get_i64(rows, i, column + 2);
    }
}

static bool take_payout(recon_window *w, const db_rows *rows, size_t i) {
    recon_row *r = &w->rows[w->n_rows];
    const str currency = db_get_str(rows, i, 4);
    *r = (recon_row){.payout = {.payout_id = db_get_uuid(rows, i, 0),
                                .intent_id = db_get_uuid(rows, i, 1),
                                .rail = db_get_i16(rows, i, 5)}};
    r->payout.saga.amount = db_get_i64(rows, i, 3);
    r->payout.saga.fee = db_get_i64(rows, i, 6);
    take_saga(&r->payout, rows, i, 7);
    if (currency.len >= sizeof r->payout.currency) {
        return false;
    }
    memcpy(r->payout.currency, currency.ptr, currency.len);
    w->n_rows++;
    return place_of_merchant(w, db_get_str(rows, i, 2), r->payout.currency, &r->merchant) &&
           place_of_pair(w, r->payout.rail, r->payout.currency, &r->pair) &&
           map_put(w->by_intent, r->payout.intent_id, (void *)(uintptr_t)w->n_rows);
}

static size_t page_size(const prover *p) {
    return p->job->window < PAGE ? p->job->window : PAGE;
}

static bool load_page(db_conn *c, arena *a, void *arg, err *e) {
    prover *p = arg;
    const size_t before = p->w.n_rows;
    db_rows *rows = NULL;
    db_params *params = db_params_create(a);
    db_i64(params, p->job->book_id);
    db_uuid(params, p->after);
    if (p->job->merchant_id.len > 0) {
        db_text(params, p->job->merchant_id);
    } else {
        db_null(params, OID_TEXT);
    }
    db_i64(params, (int64_t)page_size(p));
    if (!db_exec(c, recon_stmt(RECON_SQL_PAGE), params, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        if (!take_payout(&p->w, rows, i)) {
            return too_large(e);
        }
    }
    p->more = p->w.n_rows - before == page_size(p);
    if (p->w.n_rows > before) {
        p->after = p->w.rows[p->w.n_rows - 1].payout.payout_id;
    }
    return true;
}

static bool load_window(prover *p) {
    recon_window *w = &p->w;
    w->n_rows = 0;
    map_clear(w->by_intent);
    do {
        arena_reset(p->a);
        if (!db_read(p->job->pool, soon(p->job), p->a, load_page, p, p->e)) {
            return false;
        }
    } while (p->more && w->n_rows + page_size(p) <= p->job->window);
    for (size_t i = 0; i < w->n_rows; i++) {
        w->rows[i].payout.merchant_id = w->merchants[w->rows[i].merchant].id;
    }
    return true;
}

// --- The journal -----------------------------------------------------------------------------------------------------

static bool on_row(void *arg, const ledger_row *row) {
    prover *p = arg;
    recon_add_row(&p->w, row);
    return !p->w.overflow && clock_mono_ms(clock_system()) < p->job->deadline_mono_ms;
}

// Read before each reading of the journal: an account that is new since the last reading exists before its first row.
static bool read_banks(prover *p) {
    ledger_account *list = NULL;
    size_t n = 0;
    arena_reset(p->a);
    if (!ledger_list_accounts(p->job->ledger, p->job->book_id, ACCOUNT_BANK, RECON_ACCOUNTS_MAX,
                              &list, &n, soon(p->job), p->a, p->e)) {
        return false;
    }
    p->w.n_banks = n;
    for (size_t i = 0; i < n; i++) {
        p->w.banks[i] = list[i];
        // Compared even if no payout has used it.
        if (recon_sum_of(p->w.progress, RECON_BANK, list[i].currency, list[i].id) == NULL) {
            return too_large(p->e);
        }
    }
    return true;
}

// Reads the rows committed since the last reading.
static bool read_journal(prover *p) {
    if (!read_banks(p)) {
        return false;
    }
    if (!ledger_read_journal(p->job->ledger, p->job->book_id, p->w.read_to + 1,
                             p->job->deadline_mono_ms, on_row, p, p->e)) {
        return false;
    }
    if (clock_mono_ms(clock_system()) >= p->job->deadline_mono_ms) {
        return err_set(p->e, ERR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                       "the deadline passed while the journal was read");
    }
    return !p->w.overflow || too_large(p->e);
}

// --- Judging ---------------------------------------------------------------------------------------------------------

static bool is_right(const recon_row *r) {
    recon_deviation unused[RECON_FIGURES];
    const recon_payout *p = &r->payout;
    return recon_judge(&p->saga, &p->found, unused) == 0 ||
           (p->acts && recon_judge(&p->acting, &p->found, unused) == 0);
}

static void note_difference(prover *p, const recon_row *r) {
    recon_deviation found[RECON_FIGURES];
    const size_t n = recon_judge(&r->payout.saga, &r->payout.found, found);
    for (size_t i = 0; i < n; i++) {
        if (p->n_differences == p->differences_cap) {
            p->differences_cap = p->differences_cap == 0 ? 64 : 2 * p->differences_cap;
            p->differences = realloc(p->differences, p->differences_cap * sizeof *p->differences);
            ASSERT(p->differences != NULL);
        }
        p->differences[p->n_differences++] = (recon_difference){&r->payout, found[i]};
    }
}

typedef struct suspects {
    prover *p;
    uint32_t *places; // indexes into the window's rows
    size_t n;
    size_t at, n_page; // of the current page
    bool *moved;       // for each payout of the page
} suspects;

static bool read_sagas(db_conn *c, arena *a, void *arg, err *e) {
    suspects *s = arg;
    uuid *ids = ARENA_ARRAY(a, uuid, s->n_page);
    db_rows *rows = NULL;
    if (ids == NULL) {
        return too_large(e);
    }
    for (size_t i = 0; i < s->n_page; i++) {
        ids[i] = s->p->w.rows[s->places[s->at + i]].payout.payout_id;
    }
    db_params *params = db_params_create(a);
    db_i64(params, s->p->job->book_id);
    db_uuid_array(params, ids, s->n_page);
    if (!db_exec(c, recon_stmt(RECON_SQL_SAGAS), params, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const size_t at = s->at + (size_t)db_get_i64(rows, i, 0) - 1;
        recon_payout *x = &s->p->w.rows[s->places[at]].payout;
        const recon_payout was = *x;
        take_saga(x, rows, i, 1);
        take_intent(x, rows, i, 9);
        s->moved[at] = was.updated_us != x->updated_us || was.state != x->state ||
                       was.saga.step != x->saga.step || was.saga.moving != x->saga.moving;
    }
    return true;
}

// Reads the suspects' sagas again. A saga that has not moved since before the reading of the journal is no suspect any more: it differs.
static bool sort_out(suspects *s) {
    prover *p = s->p;
    size_t kept = 0;
    memset(s->moved, 0, s->n * sizeof *s->moved);
    for (s->at = 0; s->at < s->n; s->at += s->n_page) {
        s->n_page = s->n - s->at < PAGE ? s->n - s->at : PAGE;
        arena_reset(p->a);
        if (!db_read(p->job->pool, soon(p->job), p->a, read_sagas, s, p->e)) {
            return false;
        }
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->moved[i]) {
            s->places[kept++] = s->places[i];
        } else if (!is_right(&p->w.rows[s->places[i]])) {
            note_difference(p, &p->w.rows[s->places[i]]);
        }
    }
    s->n = kept;
    return true;
}

static void drop_those_that_are_right(suspects *s) {
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!is_right(&s->p->w.rows[s->places[i]])) {
            s->places[kept++] = s->places[i];
        }
    }
    s->n = kept;
}

static bool examine(prover *p, suspects *s) {
    for (size_t i = 0; i < p->w.n_rows; i++) {
        s->places[i] = (uint32_t)i;
    }
    s->n = p->w.n_rows;
    drop_those_that_are_right(s);
    for (int round = 0; s->n > 0 && round < ROUNDS_MAX; round++) {
        if (!sort_out(s) || (s->n > 0 && !read_journal(p))) {
            return false;
        }
        drop_those_that_are_right(s);
    }
    for (size_t i = 0; i < s->n; i++) {
        note_difference(p, &p->w.rows[s->places[i]]);
    }
    return true;
}

static bool judge(prover *p) {
    suspects s = {.p = p,
                  .places = calloc(p->w.n_rows + 1, sizeof *s.places),
                  .moved = calloc(p->w.n_rows + 1, sizeof *s.moved)};
    ASSERT(s.places != NULL && s.moved != NULL);
    p->n_differences = 0;
    const bool ok = examine(p, &s);
    free(s.places);
    free(s.moved);
    return ok;
}

// --- Accounts --------------------------------------------------------------------------------------------------------

// Compares the accounts of archived payouts, too.
static bool add_archived(db_conn *c, arena *a, void *arg, err *e) {
    prover *p = arg;
    db_rows *rows = NULL;
    db_params *params = db_params_create(a);
    db_i64(params, p->job->book_id);
    if (!db_exec(c, recon_stmt(RECON_SQL_ARCHIVED), params, a, &rows, NULL, e)) {
        return false;
    }
    p->w.progress->n_sums = 0; // drops the sums of an earlier try
    for (size_t i = 0; i < db_count(rows); i++) {
        char code_text[4] = "";
        const str code = db_get_str(rows, i, 1);
        memcpy(code_text, code.ptr, code.len < sizeof code_text ? code.len : sizeof code_text - 1);
        const uuid bank = account_bank(p->job->book_id, STR(BANK_ACCOUNT_MAIN), str_of(code_text));
        if (!recon_add_archived(p->w.progress, db_get_i16(rows, i, 0), code_text, bank,
                                db_get_i64(rows, i, 2))) {
            return too_large(e);
        }
    }
    return true;
}

static bool begin(prover *p) {
    ledger_account any = {.id = account_bank(p->job->book_id, STR(BANK_ACCOUNT_MAIN), STR("USD"))};
    return p->w.progress->sequence > 0 ||
           (db_read(p->job->pool, soon(p->job), p->a, add_archived, p, p->e) &&
            ledger_balances_as_of(p->job->ledger, p->job->book_id, &any, 1, 0,
                                  &p->w.progress->sequence, soon(p->job), p->a, p->e));
}

// Nil for the sum of debts.
static uuid account_of_sum(const prover *p, const struct recon_sum *sum) {
    const uuid none = {{0}};
    const str currency = str_of(sum->currency);
    return sum->rail == RECON_RECEIVABLE ? none
           : sum->rail == RECON_BANK     ? sum->account
                                         : account_transit(p->job->book_id, sum->rail, currency);
}

// Compares the merchants' debts: all ledger accounts of receivables together, against the rows of the journal.
static bool add_balance(prover *p, const ledger_account *x, recon_account *out, size_t *n) {
    for (size_t i = 0; i < *n; i++) {
        if (out[i].rail == RECON_RECEIVABLE && strcmp(out[i].currency, x->currency) == 0) {
            const bool over =
                __builtin_add_overflow(out[i].found_posted, x->credits_posted - x->debits_posted,
                                       &out[i].found_posted) ||
                __builtin_add_overflow(out[i].found_reserved,
                                       x->credits_pending - x->debits_pending,
                                       &out[i].found_reserved);
            return !over || too_large(p->e);
        }
    }
    if (*n == RECON_ACCOUNTS_MAX) {
        return too_large(p->e);
    }
    out[*n] = (recon_account){.rail = RECON_RECEIVABLE,
                              .found_posted = x->credits_posted - x->debits_posted,
                              .found_reserved = x->credits_pending - x->debits_pending};
    memcpy(out[*n].currency, x->currency, sizeof out[*n].currency);
    (*n)++;
    return true;
}

static bool read_receivables(prover *p, recon_account *out, size_t *n) {
    ledger_account *list = NULL;
    size_t n_list = 0;
    int64_t sequence = 0;
    arena_reset(p->a);
    if (!ledger_list_accounts(p->job->ledger, p->job->book_id, ACCOUNT_MERCHANT_RECEIVABLE,
                              RECEIVABLES_MAX, &list, &n_list, soon(p->job), p->a, p->e)) {
        return false;
    }
    for (size_t at = 0; at < n_list; at += LEDGER_BALANCES_MAX) {
        const size_t some = n_list - at < LEDGER_BALANCES_MAX ? n_list - at : LEDGER_BALANCES_MAX;
        if (!ledger_balances_as_of(p->job->ledger, p->job->book_id, list + at, some,
                                   p->w.progress->sequence, &sequence, soon(p->job), p->a, p->e)) {
            return false;
        }
    }
    for (size_t i = 0; i < n_list; i++) {
        if (!add_balance(p, &list[i], out, n)) {
            return false;
        }
    }
    return true;
}

static bool add_account(recon_account *to, const recon_account *x) {
    return !__builtin_add_overflow(to->expected_posted, x->expected_posted, &to->expected_posted) &&
           !__builtin_add_overflow(to->found_posted, x->found_posted, &to->found_posted) &&
           !__builtin_add_overflow(to->expected_reserved, x->expected_reserved,
                                   &to->expected_reserved) &&
           !__builtin_add_overflow(to->found_reserved, x->found_reserved, &to->found_reserved);
}

// With archived payouts, a currency's bank accounts are compared as one: the main account, which comes first.
static bool join_banks(prover *p, recon_account *out, size_t *n) {
    const recon_progress *progress = p->w.progress;
    for (int64_t m = 0; m < progress->n_sums; m++) {
        size_t kept = 0;
        for (size_t i = 0; progress->sums[m].archived != 0 && i < *n; i++) {
            const bool other = out[i].rail == RECON_BANK &&
                               strcmp(out[i].currency, progress->sums[m].currency) == 0 &&
                               !uuid_eq(out[i].account_id, progress->sums[m].account);
            if (!other) {
                out[kept++] = out[i];
                continue;
            }
            // made at the beginning of the proof, so it comes before all others of its currency
            size_t to = 0;
            while (to < kept && !uuid_eq(out[to].account_id, progress->sums[m].account)) {
                to++;
            }
            if (to == kept || !add_account(&out[to], &out[i])) {
                return too_large(p->e);
            }
        }
        *n = progress->sums[m].archived != 0 ? kept : *n;
    }
    return true;
}

static bool read_accounts(prover *p, recon_account *out, size_t *n) {
    const recon_progress *progress = p->w.progress;
    ledger_account accounts[RECON_ACCOUNTS_MAX] = {{.id = {{0}}}};
    int64_t sequence = 0;
    *n = (size_t)progress->n_sums;
    for (size_t i = 0; i < *n; i++) {
        const struct recon_sum *sum = &progress->sums[i];
        accounts[i].id = account_of_sum(p, sum);
        out[i] = (recon_account){.rail = sum->rail,
                                 .account_id = accounts[i].id,
                                 .expected_posted = sum->posted,
                                 .expected_reserved = sum->reserved};
        memcpy(out[i].currency, sum->currency, sizeof out[i].currency);
    }
    if (*n > 0 && !ledger_balances_as_of(p->job->ledger, p->job->book_id, accounts, *n,
                                         progress->sequence, &sequence, soon(p->job), p->a, p->e)) {
        return false;
    }
    for (size_t i = 0; i < *n; i++) {
        out[i].found_posted = accounts[i].credits_posted - accounts[i].debits_posted;
        out[i].found_reserved = accounts[i].credits_pending - accounts[i].debits_pending;
    }
    return join_banks(p, out, n) && read_receivables(p, out, n);
}

// --- All of it -------------------------------------------------------------------------------------------------------

static bool prove_window(prover *p, recon_payout *payouts, recon_part *part) {
    p->w.first = uuid_is_nil(p->w.progress->after);
    p->after = p->w.progress->after;
    p->w.read_to = 0;
    if (!load_window(p) || !read_journal(p) || !judge(p)) {
        return false;
    }
    for (size_t i = 0; i < p->w.n_rows; i++) {
        payouts[i] = p->w.rows[i].payout;
    }
    p->w.progress->after = p->after;
    *part = (recon_part){.payouts = payouts,
                         .n_payouts = p->w.n_rows,
                         .differences = p->differences,
                         .n_differences = p->n_differences,
                         .progress = p->w.progress,
                         .last = !p->more};
    return true;
}

static bool prove_all(prover *p, recon_payout *payouts, recon_on_part on_part, void *arg) {
    recon_account accounts[RECON_ACCOUNTS_MAX];
    recon_part part = {.last = false};
    if (!begin(p)) {
        return false;
    }
    while (!part.last) {
        if (!prove_window(p, payouts, &part)) {
            return false;
        }
        part.accounts = accounts;
        if (part.last && p->job->merchant_id.len == 0 &&
            !read_accounts(p, accounts, &part.n_accounts)) {
            return false;
        }
        if (!on_part(arg, &part)) {
            return true;
        }
    }
    return true;
}

bool recon_prove(const recon_job *job, recon_progress *progress, recon_on_part on_part, void *arg,
                 err *e) {
    prover p = {.job = job,
                .a = arena_create(ARENA_MAX),
                .e = e,
                .w = {.book_id = job->book_id,
                      .progress = progress,
                      .by_intent = map_create(PAGE, job->window),
                      .by_account = map_create(MERCHANTS_STEP, job->window)}};
    ledger_account banks[RECON_ACCOUNTS_MAX];
    p.w.banks = banks;
    recon_payout *payouts = calloc(job->window, sizeof *payouts);
    p.w.rows = calloc(job->window, sizeof *p.w.rows);
    ASSERT(payouts != NULL && p.w.rows != NULL);
    const bool ok = prove_all(&p, payouts, on_part, arg);
    map_destroy(p.w.by_intent);
    map_destroy(p.w.by_account);
    free(p.w.merchants);
    free(p.w.rows);
    free(payouts);
    free(p.differences);
    arena_destroy(p.a);
    return ok;
}
