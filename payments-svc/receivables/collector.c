// Looks at merchants that may owe, collects their money, and closes repaid debts.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "cases/cases.h"
#include "domain/ids.h"
#include "ledger/accounts.h"
#include "receivables/receivables_internal.h"
#include "receivables/receivables_sql.h"

enum {
    COLLECT_EACH_MS = 3000,
    PAGE = 500, // rows per look
    PAGES_MAX = 100,
    LOOK_TIMEOUT_MS = 15000,
    LOOK_ARENA_MAX = 16 << 20,
};

struct receivables {
    receivables_options o;
};

// A merchant that may owe, in one currency.
typedef struct debtor {
    int64_t book_id;
    str merchant_id, currency;
    int64_t noted;
    int64_t seen; // the amount owed by the row
    int64_t owed; // the amount owed by the ledger
} debtor;

typedef struct look {
    const receivables *r;
    arena *a;
    int64_t deadline;
    debtor after; // the last one of the page before
    debtor *rows;
    size_t n;
} look;

// --- The rows --------------------------------------------------------------------------------------------------------

static bool read_page(db_conn *c, arena *a, void *arg, err *e) {
    look *l = arg;
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, l->after.book_id);
    db_text(p, l->after.merchant_id);
    db_text(p, l->after.currency);
    db_i64(p, PAGE);
    if (!db_exec(c, receivables_sql(RECEIVABLES_SQL_OPEN), p, a, &rows, NULL, e)) {
        return false;
    }
    l->n = db_count(rows);
    l->rows = ARENA_ARRAY(a, debtor, l->n + 1);
    for (size_t i = 0; l->rows != NULL && i < l->n; i++) {
        l->rows[i] = (debtor){.book_id = db_get_i64(rows, i, 0),
                              .merchant_id = db_get_str(rows, i, 1),
                              .currency = db_get_str(rows, i, 2),
                              .noted = db_get_i64(rows, i, 3),
                              .seen = db_get_i64(rows, i, 4)};
    }
    return l->rows != NULL || err_no_memory(e, "the look");
}

// --- The ledger ------------------------------------------------------------------------------------------------------

// For one book, from rows[0] on: reads the amounts owed, and the money that can repay them.
static bool read_balances(const look *l, debtor *rows, size_t n, int64_t *there, err *e) {
    ledger_account *accounts = ARENA_ARRAY(l->a, ledger_account, 2 * n);
    int64_t sequence = 0;
    if (accounts == NULL) {
        return err_no_memory(e, "the look");
    }
    for (size_t i = 0; i < n; i++) {
        const int64_t book = rows[i].book_id;
        accounts[2 * i] = account_of_merchant(book, rows[i].merchant_id, rows[i].currency);
        accounts[2 * i + 1] = account_of_receivable(book, rows[i].merchant_id, rows[i].currency);
    }
    if (!ledger_lookup_accounts_if_any(l->r->o.ledger, rows[0].book_id, accounts, 2 * n, false,
                                       &sequence, l->deadline, l->a, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const ledger_account *available = &accounts[2 * i];
        rows[i].owed = account_owed(&accounts[2 * i + 1]);
        there[i] = available->credits_posted - available->debits_posted - available->debits_pending;
    }
    return true;
}

// *any: something was sent. The transfers balance themselves: even if balances changed since the look, none moves too much.
static bool repay(const look *l, const debtor *rows, size_t n, const int64_t *there, bool *any,
                  err *e) {
    ledger_transfer *transfers = ARENA_ARRAY(l->a, ledger_transfer, n);
    ledger_result *results = ARENA_ARRAY(l->a, ledger_result, n);
    size_t n_sent = 0;
    if (transfers == NULL || results == NULL) {
        return err_no_memory(e, "the look");
    }
    for (size_t i = 0; i < n; i++) {
        if (rows[i].owed > 0 && there[i] > 0) {
            transfers[n_sent++] =
                receivable_repayment(rows[i].book_id, rows[i].merchant_id, rows[i].currency,
                                     uuid_v7(clock_system()), rows[i].owed);
        }
    }
    *any = n_sent > 0;
    return n_sent == 0 || ledger_create_transfers(l->r->o.ledger, rows[0].book_id, transfers,
                                                  n_sent, results, l->deadline, l->a, e);
}

// --- The result ------------------------------------------------------------------------------------------------------

typedef struct ending {
    const debtor *rows;
    size_t n;
} ending;

static db_params *params_of(arena *a, const debtor *d) {
    db_params *p = db_params_create(a);
    db_i64(p, d->book_id);
    db_text(p, d->merchant_id);
    db_text(p, d->currency);
    return p;
}

static bool end_one(db_conn *c, arena *a, const debtor *d, int64_t now_us, err *e) {
    int64_t ended = 0;
    const str subject = receivable_subject(a, d->merchant_id, d->currency);
    db_params *p = params_of(a, d);
    db_i64(p, d->noted);
    return db_exec(c, receivables_sql(RECEIVABLES_SQL_END), p, a, NULL, &ended, e) &&
           (ended == 0 || cases_close(c, d->book_id, RECEIVABLE_KIND, RECEIVABLE_SUBJECT, &subject,
                                      1, STR("nothing is owed any more"), now_us, a, NULL, e));
}

static bool tell_one(db_conn *c, arena *a, const debtor *d, int64_t now_us, err *e) {
    int64_t told = 0;
    db_params *p = params_of(a, d);
    db_i64(p, d->owed);
    db_i64(p, d->noted);
    case_new one = {.kind = RECEIVABLE_KIND,
                    .subject_type = RECEIVABLE_SUBJECT,
                    .subject_id = receivable_subject(a, d->merchant_id, d->currency),
                    .merchant_id = d->merchant_id,
                    .code = STR(RECEIVABLE_KIND),
                    .text = STR("the merchant owes this: a bank has paid, or taken back, more than "
                                "the balance covered"),
                    .amount = d->owed};
    memcpy(one.currency, d->currency.ptr,
           d->currency.len < sizeof one.currency ? d->currency.len : sizeof one.currency - 1);
    return db_exec(c, receivables_sql(RECEIVABLES_SQL_SEEN), p, a, NULL, &told, e) &&
           (told == 0 || cases_keep(c, d->book_id, &one, 1, now_us, a, e));
}

static bool end_tx(db_conn *c, arena *a, void *arg, err *e) {
    const ending *x = arg;
    const int64_t now_us = clock_wall_us(clock_system());
    bool ok = true;
    for (size_t i = 0; ok && i < x->n; i++) {
        const debtor *d = &x->rows[i];
        ok = d->owed == 0         ? end_one(c, a, d, now_us, e)
             : d->owed != d->seen ? tell_one(c, a, d, now_us, e)
                                  : true;
    }
    return ok;
}

static bool has_news(const debtor *rows, size_t n) {
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        any = any || rows[i].owed == 0 || rows[i].owed != rows[i].seen;
    }
    return any;
}

// --- The look --------------------------------------------------------------------------------------------------------

// Handles rows of one book. The rows were read before the ledger, so a debt that is noted later does not end here.
static bool look_at(const look *l, debtor *rows, size_t n, err *e) {
    int64_t *there = ARENA_ARRAY(l->a, int64_t, n);
    ending x = {rows, n};
    bool any = false;
    if (there == NULL) {
        return err_no_memory(e, "the look");
    }
    if (!read_balances(l, rows, n, there, e) || !repay(l, rows, n, there, &any, e)) {
        return false;
    }
    CRASH_POINT("receivable.repaid");
    return (!any || read_balances(l, rows, n, there, e)) &&
           (!has_news(rows, n) || db_transact(l->r->o.pool, l->deadline, l->a, end_tx, &x, e));
}

static bool look_at_page(look *l, err *e) {
    bool ok = true;
    size_t n = 0;
    for (size_t i = 0; i < l->n; i += n) {
        for (n = 1; i + n < l->n && l->rows[i + n].book_id == l->rows[i].book_id; n++) {
        }
        err of_book = {0};
        if (!look_at(l, &l->rows[i], n, &of_book)) { // the other books go on
            *e = of_book;
            ok = false;
        }
    }
    return ok;
}

static bool collect(void *arg) {
    look l = {.r = arg,
              .a = arena_create(LOOK_ARENA_MAX),
              .deadline = clock_mono_ms(clock_system()) + LOOK_TIMEOUT_MS,
              .after = {.merchant_id = STR(""), .currency = STR("")}};
    err e = {0};
    bool ok = true;
    for (int page = 0; ok && page < PAGES_MAX && (page == 0 || l.n == PAGE); page++) {
        ok = db_read(l.r->o.pool, l.deadline, l.a, read_page, &l, &e) && look_at_page(&l, &e);
        l.after = l.n > 0 ? l.rows[l.n - 1] : l.after;
    }
    if (!ok) {
        log_err(LOG_WARN, "receivables.not_collected", &e);
    }
    arena_destroy(l.a);
    return ok;
}

receivables *receivables_create(const receivables_options *o) {
    receivables *r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    r->o = *o;
    return r;
}

void receivables_destroy(receivables *r) {
    free(r);
}

job receivables_collector(receivables *r) {
    return (job){
        .name = "receivables.collect", .every_ms = COLLECT_EACH_MS, .alone = collect, .arg = r};
}
