// payctl report: three records of the same money, made by three programs: our payouts, the ledger's journal, the bank's books.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/money.h"
#include "cli/cli.h"
#include "domain/ids.h"
#include "ledger/v1/ledger.pb-c.h"
#include "payments/v1/merchant_service.pb-c.h"
#include "payments/v1/payout_service.pb-c.h"

enum { LINES_MAX = 16, BOOKS_MAX = 1024, JOURNAL_READ_MS = 600000 };

// One rail and currency, as each of the three sees it.
typedef struct flow {
    int rail;
    char currency[4];
    int64_t settled, settled_n; // ours: payouts that are SETTLED
    int64_t ledger_out,
        ledger_back; // the ledger: moved from clearing to the bank account, and back
    int64_t bank_paid, bank_returned; // the bank: credited to recipients, and returned
} flow;

typedef struct report {
    cli *c;
    flow flows[LINES_MAX];
    size_t n_flows;
    int64_t books[BOOKS_MAX];
    size_t n_books;
    int64_t book; // whose journal is being read
    bool balanced, clearing_empty;
    json_t *states; // counts and sums by state
    json_t *trial;  // the trial balance of each book
} report;

static flow *flow_of(report *r, int rail, const char *currency_code) {
    for (size_t i = 0; i < r->n_flows; i++) {
        if (r->flows[i].rail == rail && strcmp(r->flows[i].currency, currency_code) == 0) {
            return &r->flows[i];
        }
    }
    ASSERT(r->n_flows < LINES_MAX);
    flow *f = &r->flows[r->n_flows++];
    *f = (flow){.rail = rail};
    (void)snprintf(f->currency, sizeof f->currency, "%.3s", currency_code);
    return f;
}

static void add(int64_t *sum, int64_t n) {
    const bool fits = ck_add_i64(*sum, n, sum);
    ASSERT(fits); // no ledger holds more than one int64 of money in a book
}

// --- ours ------------------------------------------------------------------------------------------------------------------

static bool take_summary(report *r, const Payments__V1__SummarizePayoutsResponse *s, err *e) {
    for (size_t i = 0; i < s->n_lines; i++) {
        const Payments__V1__PayoutSummaryLine *x = s->lines[i];
        int64_t sum = 0;
        if (!str_to_i64(str_of(x->sum_minor), 0, INT64_MAX, &sum)) {
            return err_set(e, ERR_OUT_OF_RANGE, "SUM_TOO_LARGE",
                           "the sums are too large for this report");
        }
        if (x->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED) {
            flow *f = flow_of(r, (int)x->rail, x->currency);
            add(&f->settled, sum);
            f->settled_n += x->count;
        }
        // By state and currency, over all merchants and rails.
        char key[48];
        (void)snprintf(key, sizeof key, "%02d %s", (int)x->state, x->currency);
        json_t *line = json_object_get(r->states, key);
        if (line == NULL) {
            line = json_pack("{s:s,s:s,s:I,s:I}", "state",
                             cli_enum_name(&payments__v1__payout_state__descriptor, (int)x->state),
                             "currency", x->currency, "count", (json_int_t)0, "sum_minor",
                             (json_int_t)0);
            json_object_set_new(r->states, key, line);
        }
        json_integer_set(json_object_get(line, "count"),
                         json_integer_value(json_object_get(line, "count")) + x->count);
        json_integer_set(json_object_get(line, "sum_minor"),
                         json_integer_value(json_object_get(line, "sum_minor")) + sum);
    }
    return true;
}

static void note_book(report *r, int64_t book) {
    for (size_t i = 0; i < r->n_books; i++) {
        if (r->books[i] == book) {
            return;
        }
    }
    ASSERT(r->n_books < BOOKS_MAX);
    r->books[r->n_books++] = book;
}

static bool read_ours(report *r, err *e) {
    Payments__V1__ListMerchantsRequest request = PAYMENTS__V1__LIST_MERCHANTS_REQUEST__INIT;
    request.page_size = 1000;
    do {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(r->c, "payments.v1.MerchantService", "ListMerchants", &request.base,
                      &payments__v1__list_merchants_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListMerchantsResponse *list =
            (const Payments__V1__ListMerchantsResponse *)answer;
        for (size_t i = 0; i < list->n_merchants; i++) {
            Payments__V1__SummarizePayoutsRequest one =
                PAYMENTS__V1__SUMMARIZE_PAYOUTS_REQUEST__INIT;
            one.merchant_id = list->merchants[i]->merchant_id;
            note_book(r, list->merchants[i]->book_id);
            if (!cli_call(r->c, "payments.v1.PayoutService", "SummarizePayouts", &one.base,
                          &payments__v1__summarize_payouts_response__descriptor, &answer, e) ||
                !take_summary(r, (const Payments__V1__SummarizePayoutsResponse *)answer, e)) {
                return false;
            }
        }
        request.page_token = list->next_page_token;
    } while (request.page_token[0] != '\0');
    return true;
}

// --- the ledger ------------------------------------------------------------------------------------------------------------

// Which rail's clearing account it is; 0: none of them.
static int rail_of_clearing(const report *r, const char *account_text, const char *currency_code) {
    uuid account = {0};
    if (!uuid_parse(str_of(account_text), &account)) {
        return 0;
    }
    for (int rail = PAYMENTS__V1__RAIL__RAIL_ACH; rail <= PAYMENTS__V1__RAIL__RAIL_INSTANT;
         rail++) {
        if (uuid_eq(account, account_clearing(r->book, rail, str_of(currency_code)))) {
            return rail;
        }
    }
    return 0;
}

static bool on_journal(void *arg, const ProtobufCMessage *m) {
    report *r = arg;
    const Ledger__V1__ReadJournalResponse *page = (const Ledger__V1__ReadJournalResponse *)m;
    for (size_t i = 0; i < page->n_transfers; i++) {
        const Ledger__V1__Transfer *t = page->transfers[i];
        const int out = t->code == TRANSFER_BANK_OUT
                            ? rail_of_clearing(r, t->debit_account_id, t->currency)
                            : 0;
        const int back = t->code == TRANSFER_BANK_RETURN
                             ? rail_of_clearing(r, t->credit_account_id, t->currency)
                             : 0;
        if (out != 0) {
            add(&flow_of(r, out, t->currency)->ledger_out, t->amount);
        } else if (back != 0) {
            add(&flow_of(r, back, t->currency)->ledger_back, t->amount);
        }
    }
    return true;
}

// An account that carries nothing at rest: both sides equal, nothing pending.
static bool is_empty(const Ledger__V1__Account *a) {
    return a->debits_posted == a->credits_posted && a->debits_pending == 0 &&
           a->credits_pending == 0;
}

static bool check_clearing(report *r, err *e) {
    Ledger__V1__LookupAccountsRequest request = LEDGER__V1__LOOKUP_ACCOUNTS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    char *ids[LINES_MAX];
    request.book_id = r->book;
    request.ids = ids;
    for (size_t i = 0; i < r->n_flows; i++) {
        const uuid id = account_clearing(r->book, r->flows[i].rail, str_of(r->flows[i].currency));
        ids[request.n_ids++] = uuid_text(r->c->arena, id);
    }
    if (!cli_call(r->c, "ledger.v1.LedgerService", "LookupAccounts", &request.base,
                  &ledger__v1__lookup_accounts_response__descriptor, &answer, e)) {
        return false;
    }
    const Ledger__V1__LookupAccountsResponse *found =
        (const Ledger__V1__LookupAccountsResponse *)answer;
    for (size_t i = 0; i < found->n_accounts; i++) {
        r->clearing_empty = r->clearing_empty && is_empty(found->accounts[i]);
    }
    return true;
}

static bool trial_balance(report *r, table *t, err *e) {
    Ledger__V1__GetTrialBalanceRequest request = LEDGER__V1__GET_TRIAL_BALANCE_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    request.book_id = r->book;
    if (!cli_call(r->c, "ledger.v1.LedgerService", "GetTrialBalance", &request.base,
                  &ledger__v1__get_trial_balance_response__descriptor, &answer, e)) {
        return false;
    }
    const Ledger__V1__GetTrialBalanceResponse *b =
        (const Ledger__V1__GetTrialBalanceResponse *)answer;
    r->balanced = r->balanced && b->balanced;
    json_t *json = cli_to_json(answer);
    json_object_set_new(json, "book_id", json_integer(r->book));
    json_array_append_new(r->trial, json);
    for (size_t i = 0; i < b->n_lines; i++) {
        const Ledger__V1__TrialBalanceLine *x = b->lines[i];
        const char *cells[] = {arena_printf(r->c->arena, "%" PRId64, r->book),
                               arena_printf(r->c->arena, "%" PRId64, b->sequence),
                               cli_money_text(r->c, x->debits_posted, x->currency),
                               cli_money_text(r->c, x->credits_posted, x->currency),
                               cli_money_text(r->c, x->debits_pending, x->currency),
                               cli_money_text(r->c, x->credits_pending, x->currency),
                               b->balanced ? "balanced" : "NOT BALANCED"};
        table_row(t, cells);
    }
    return true;
}

static bool read_ledger(report *r, table *t, err *e) {
    for (size_t i = 0; i < r->n_books; i++) {
        Ledger__V1__ReadJournalRequest request = LEDGER__V1__READ_JOURNAL_REQUEST__INIT;
        r->book = r->books[i];
        request.book_id = r->book;
        request.from_sequence = 1;
        request.batch_max = 1000;
        if (!cli_stream(r->c, "ledger.v1.LedgerService", "ReadJournal", &request.base,
                        &ledger__v1__read_journal_response__descriptor, JOURNAL_READ_MS, on_journal,
                        r, e) ||
            !check_clearing(r, e) || !trial_balance(r, t, e)) {
            return false;
        }
    }
    return true;
}

// --- the bank --------------------------------------------------------------------------------------------------------------

static bool read_bank(report *r, err *e) {
    str body = {0};
    if (!cli_bank_get(r->c, "/admin/report", &body, e)) {
        return false;
    }
    json_t *all = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *lines = json_object_get(all, "by_currency");
    bool ok = json_is_array(lines);
    for (size_t i = 0; ok && i < json_array_size(lines); i++) {
        const char *rail_text = NULL, *ccy = NULL;
        json_int_t paid = 0, returned = 0;
        int rail = 0;
        ok = json_unpack(json_array_get(lines, i), "{s:s,s:s,s:I,s:I}", "rail", &rail_text,
                         "currency", &ccy, "credited_sum", &paid, "returned_sum", &returned) == 0 &&
             cli_enum_value(&payments__v1__rail__descriptor, rail_text, &rail) && strlen(ccy) == 3;
        if (ok) {
            flow *f = flow_of(r, rail, ccy);
            add(&f->bank_paid, paid);
            add(&f->bank_returned, returned);
        }
    }
    json_decref(all);
    return ok || err_set(e, ERR_INTERNAL, "BANK_ANSWER_INVALID",
                         "the bank's report could not be understood");
}

// --- all together ----------------------------------------------------------------------------------------------------------

static bool agrees(const flow *f) {
    return f->settled == f->ledger_out - f->ledger_back &&
           f->settled == f->bank_paid - f->bank_returned;
}

static void print_states(report *r) {
    static const char *const TITLES[] = {"state", "payouts", "sum"};
    const char *key = NULL;
    json_t *x = NULL;
    table t;
    table_begin(&t, 3, 6u, TITLES);
    json_object_foreach(r->states, key, x) {
        const char *cells[] = {
            json_string_value(json_object_get(x, "state")),
            arena_printf(r->c->arena, "%lld",
                         (long long)json_integer_value(json_object_get(x, "count"))),
            cli_money(r->c, json_integer_value(json_object_get(x, "sum_minor")),
                      json_string_value(json_object_get(x, "currency")))};
        table_row(&t, cells);
    }
    (void)printf("Payouts by state\n");
    table_print(&t);
}

static bool print_flows(report *r) {
    static const char *const TITLES[] = {"rail",
                                         "payouts settled",
                                         "settled by our books",
                                         "ledger: paid out, net",
                                         "bank: paid out, net",
                                         ""};
    bool all_agree = true;
    table t;
    table_begin(&t, 6, 30u, TITLES);
    for (size_t i = 0; i < r->n_flows; i++) {
        const flow *f = &r->flows[i];
        all_agree = all_agree && agrees(f);
        const char *cells[] = {cli_enum_name(&payments__v1__rail__descriptor, f->rail),
                               arena_printf(r->c->arena, "%" PRId64, f->settled_n),
                               cli_money(r->c, f->settled, f->currency),
                               cli_money(r->c, f->ledger_out - f->ledger_back, f->currency),
                               cli_money(r->c, f->bank_paid - f->bank_returned, f->currency),
                               agrees(f) ? "equal" : "DIFFERENT"};
        table_row(&t, cells);
    }
    (void)printf("\nThe same money in three records\n");
    table_print(&t);
    return all_agree;
}

static void print_json(const report *r, bool all_agree) {
    json_t *flows = json_array();
    json_t *states = json_array();
    const char *key = NULL;
    json_t *x = NULL;
    json_object_foreach(r->states, key, x) {
        json_array_append(states, x);
    }
    for (size_t i = 0; i < r->n_flows; i++) {
        const flow *f = &r->flows[i];
        json_array_append_new(
            flows,
            json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b}", "rail",
                      cli_enum_name(&payments__v1__rail__descriptor, f->rail), "currency",
                      f->currency, "settled_count", (json_int_t)f->settled_n, "settled_minor",
                      (json_int_t)f->settled, "ledger_out_minor", (json_int_t)f->ledger_out,
                      "ledger_back_minor", (json_int_t)f->ledger_back, "ledger_minor",
                      (json_int_t)(f->ledger_out - f->ledger_back), "bank_paid_minor",
                      (json_int_t)f->bank_paid, "bank_returned_minor", (json_int_t)f->bank_returned,
                      "bank_minor", (json_int_t)(f->bank_paid - f->bank_returned), "equal",
                      agrees(f)));
    }
    cli_print_value(json_pack("{s:b,s:b,s:b,s:o,s:O,s:o}", "agree", all_agree, "balanced",
                              r->balanced, "clearing_empty", r->clearing_empty, "states", states,
                              "trial_balance", r->trial, "flows", flows));
}

static bool all_flows_agree(const report *r) {
    for (size_t i = 0; i < r->n_flows; i++) {
        if (!agrees(&r->flows[i])) {
            return false;
        }
    }
    return true;
}

static int print_report(report *r, table *trial) {
    const bool all_agree = all_flows_agree(r) && r->balanced && r->clearing_empty;
    if (r->c->json) {
        print_json(r, all_agree);
        free(trial->cells);
        return all_agree ? EXIT_DONE : EXIT_NOT_SETTLED;
    }
    print_states(r);
    (void)printf("\nTrial balance of the ledger\n");
    table_print(trial);
    (void)print_flows(r);
    (void)printf("\nclearing accounts are %s\n", r->clearing_empty
                                                     ? "empty: nothing is on its way"
                                                     : "NOT empty: money is on its way");
    (void)printf("%s\n",
                 all_agree ? "PROVEN: our payouts, the ledger and the bank agree to the last cent."
                           : "NOT PROVEN: see the lines above.");
    return all_agree ? EXIT_DONE : EXIT_NOT_SETTLED;
}

static int cmd_report(cli *c, int argc, char **argv) {
    static const char *const TITLES[] = {"book",           "at sequence",     "debits", "credits",
                                         "debits pending", "credits pending", ""};
    report r = {.c = c,
                .balanced = true,
                .clearing_empty = true,
                .states = json_object(),
                .trial = json_array()};
    table trial;
    err e = {0};
    (void)argv;
    if (argc != 1) {
        json_decref(r.states);
        json_decref(r.trial);
        return cli_usage("report takes no arguments");
    }
    table_begin(&trial, 7, 62u, TITLES);
    int code = EXIT_SERVICE;
    if (read_ours(&r, &e) && read_ledger(&r, &trial, &e) && read_bank(&r, &e)) {
        code = print_report(&r, &trial);
    } else {
        free(trial.cells);
        (void)cli_failed(c, "make the report", &e);
    }
    json_decref(r.states);
    json_decref(r.trial);
    return code;
}

const cli_command COMMAND_REPORT = {
    .name = "report",
    .usage = "",
    .summary = "do our books, the ledger and the bank agree?",
    .help = "Exit code 1: they do not.\n"
            "\n"
            "JSON\n"
            "  {agree, balanced, clearing_empty, states: [...], flows: [...],\n"
            "   trial_balance: [{book_id, sequence, balanced, lines: [...]}]}\n",
    .run = cmd_report,
};
