// payctl report: its findings, for people and for programs.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/report.h"
#include "payments/v1/common.pb-c.h"

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static int64_t number_of(const json_t *object, const char *name) {
    return json_integer_value(json_object_get(object, name));
}

static bool agrees(const report_flow *f) {
    return f->settled == f->ledger && f->settled == f->bank_paid - f->bank_returned;
}

static int by_state_and_currency(const void *a, const void *b) {
    const report_state *x = a, *y = b;
    return x->state != y->state ? x->state - y->state : strcmp(x->currency, y->currency);
}

// --- for people ------------------------------------------------------------------------------------------------------------

static void print_states(const report *r) {
    static const char *const TITLES[] = {"state", "payouts", "sum"};
    table t;
    table_begin(&t, 3, 6u, TITLES);
    for (size_t i = 0; i < r->n_states; i++) {
        const report_state *s = &r->states[i];
        const char *cells[] = {cli_enum_name(&payments__v1__payout_state__descriptor, s->state),
                               arena_printf(r->c->arena, "%" PRId64, s->n),
                               cli_money(r->c, s->sum, s->currency)};
        table_row(&t, cells);
    }
    cli_print(stdout, "Payouts by state\n");
    table_print(&t);
}

static void print_trial(const report *r) {
    static const char *const TITLES[] = {"book",           "at sequence",     "debits", "credits",
                                         "debits pending", "credits pending", ""};
    static const char *const FIGURES[] = {"debits_posted", "credits_posted", "debits_pending",
                                          "credits_pending"};
    table t;
    size_t i = 0, k = 0;
    const json_t *book = NULL, *line = NULL;
    table_begin(&t, 7, 62u, TITLES);
    json_array_foreach(r->trial, i, book) {
        json_array_foreach(json_object_get(book, "lines"), k, line) {
            const char *cells[7] = {
                arena_printf(r->c->arena, "%" PRId64, number_of(book, "book_id")),
                arena_printf(r->c->arena, "%" PRId64, number_of(book, "sequence"))};
            for (size_t f = 0; f < 4; f++) {
                cells[2 + f] =
                    cli_money_text(r->c, text_of(line, FIGURES[f]), text_of(line, "currency"));
            }
            cells[6] =
                json_is_true(json_object_get(book, "balanced")) ? "balanced" : "NOT BALANCED";
            table_row(&t, cells);
        }
    }
    cli_print(stdout, "\nTrial balance of the ledger\n");
    table_print(&t);
}

static const char *account_of(const report *r, const char *connection) {
    for (size_t i = 0; i < r->banks.n_known; i++) {
        if (strcmp(r->banks.known[i].name, connection) == 0) {
            return r->banks.known[i].bank_account;
        }
    }
    return "";
}

static void print_flows(const report *r) {
    static const char *const TITLES[] = {"connection",
                                         "bank account",
                                         "payouts settled",
                                         "settled by our books",
                                         "ledger: paid out, net",
                                         "bank: paid out, net",
                                         ""};
    table t;
    table_begin(&t, 7, 60u, TITLES);
    for (size_t i = 0; i < r->n_flows; i++) {
        const report_flow *f = &r->flows[i];
        const char *account = account_of(r, f->connection);
        const char *cells[] = {
            f->connection[0] != '\0'
                ? f->connection
                : arena_printf(r->c->arena, "no payout, at %s", r->banks.list[f->bank].address),
            account[0] != '\0' ? account : "-",
            arena_printf(r->c->arena, "%" PRId64, f->settled_n),
            cli_money(r->c, f->settled, f->currency),
            cli_money(r->c, f->ledger, f->currency),
            f->bank < 0 ? "?" : cli_money(r->c, f->bank_paid - f->bank_returned, f->currency),
            f->bank < 0 ? "NOT COMPARED"
            : agrees(f) ? "equal"
                        : "DIFFERENT"};
        table_row(&t, cells);
    }
    cli_print(stdout, "\nThe same money in three records\n");
    table_print(&t);
}

static void print_accounts(const report *r) {
    static const char *const TITLES[] = {"book", "bank account", "ledger", "payouts and deposits",
                                         ""};
    table t;
    size_t i = 0;
    const json_t *a = NULL;
    table_begin(&t, 5, 13u, TITLES);
    json_array_foreach(r->accounts, i, a) {
        const char *ccy = text_of(a, "currency"), *label = text_of(a, "bank_account");
        const int64_t found = number_of(a, "found_posted_minor");
        const int64_t expected = number_of(a, "expected_posted_minor");
        const char *cells[] = {arena_printf(r->c->arena, "%" PRId64, number_of(a, "book_id")),
                               label[0] != '\0' ? label : text_of(a, "account_id"),
                               cli_money(r->c, found, ccy), cli_money(r->c, expected, ccy),
                               found == expected ? "equal" : "DIFFERENT"};
        if (strcmp(text_of(a, "kind"), "BANK") == 0) {
            table_row(&t, cells);
        }
    }
    cli_print(stdout, "\nThe accounts at the banks\n");
    table_print(&t);
}

// With one bank the last line is enough.
static void print_banks(const report *r) {
    const char *missing = report_connections_text(r, -1);
    for (size_t i = 0; r->banks.n > 1 && i < r->banks.n; i++) {
        const report_bank *b = &r->banks.list[i];
        const char *names = report_connections_text(r, (int)i);
        cli_print(stdout, "bank %s (%s): %s", b->address, names[0] != '\0' ? names : "no payouts",
                  report_bank_agrees(b) ? "PROVEN\n" : "NOT PROVEN: ");
        if (!report_bank_agrees(b)) {
            cli_print(stdout, "%zu difference(s)%s\n", b->differences,
                      b->transit_empty ? "" : ", and money is on its way");
        }
    }
    if (missing[0] != '\0') {
        cli_print(stdout,
                  "NOT COMPARED with a bank: what went through %s. Give its address: --bank "
                  "HOST:PORT,NAME=HOST:PORT\n",
                  missing);
    }
}

static const char *transit_name(const json_t *a) {
    const char *connection = text_of(a, "connection");
    return connection[0] != '\0' ? connection : text_of(a, "rail");
}

static void print_transit(const report *r) {
    size_t i = 0;
    const json_t *a = NULL;
    cli_print(stdout, "\ntransit accounts are %s\n",
              r->transit_empty ? "empty: nothing is on its way" : "NOT empty: money is on its way");
    json_array_foreach(r->accounts, i, a) {
        const int64_t reserved = number_of(a, "found_reserved_minor");
        const int64_t posted = number_of(a, "found_posted_minor");
        if (strcmp(text_of(a, "kind"), "TRANSIT") == 0 && (reserved != 0 || posted != 0)) {
            cli_print(stdout, "  book %" PRId64 ", %s: %s reserved, %s posted\n",
                      number_of(a, "book_id"), transit_name(a),
                      cli_money(r->c, reserved, text_of(a, "currency")),
                      cli_money(r->c, posted, text_of(a, "currency")));
        }
    }
}

static void print_owed(const report *r) {
    size_t i = 0;
    const json_t *a = NULL;
    json_array_foreach(r->accounts, i, a) {
        const int64_t owed = -number_of(a, "found_posted_minor");
        if (strcmp(text_of(a, "kind"), "RECEIVABLE") == 0 && owed != 0) {
            cli_print(stdout, "  book %" PRId64 ": merchants owe %s\n", number_of(a, "book_id"),
                      cli_money(r->c, owed, text_of(a, "currency")));
        }
    }
}

static void print_account_difference(const report *r, const json_t *d) {
    const char *ccy = text_of(d, "currency");
    cli_print(stdout,
              "  account  book %" PRId64 ", %s %s: %s posted and %s reserved, and the payouts add "
              "up to %s and %s\n",
              number_of(d, "book_id"), text_of(d, "kind"),
              strcmp(text_of(d, "kind"), "BANK") == 0 ? text_of(d, "bank_account")
                                                      : transit_name(d),
              cli_money(r->c, number_of(d, "found_posted_minor"), ccy),
              cli_money(r->c, number_of(d, "found_reserved_minor"), ccy),
              cli_money(r->c, number_of(d, "expected_posted_minor"), ccy),
              cli_money(r->c, number_of(d, "expected_reserved_minor"), ccy));
}

static void print_payout_difference(const report *r, const json_t *d) {
    const char *ccy = text_of(d, "currency");
    const char *id = text_of(d, "payout_id")[0] == '\0'
                         ? arena_printf(r->c->arena, "no payout, bank reference %s",
                                        text_of(d, "bank_reference"))
                         : arena_printf(r->c->arena, "%s/%s %s", text_of(d, "merchant_id"),
                                        text_of(d, "payout_id"), text_of(d, "state"));
    cli_print(stdout, "  %-8s %s: %s is %s, and should be %s\n", text_of(d, "record"), id,
              text_of(d, "figure"), cli_money(r->c, number_of(d, "found_minor"), ccy),
              cli_money(r->c, number_of(d, "expected_minor"), ccy));
}

static void print_differences(const report *r) {
    const size_t n = json_array_size(r->differences);
    if (n == 0) {
        return;
    }
    cli_print(stdout, "\n%zu difference(s)\n", n);
    for (size_t i = 0; i < n && i < REPORT_SHOWN_MAX; i++) {
        const json_t *d = json_array_get(r->differences, i);
        if (strcmp(text_of(d, "record"), "account") == 0) {
            print_account_difference(r, d);
        } else {
            print_payout_difference(r, d);
        }
    }
    if (n > REPORT_SHOWN_MAX) {
        cli_print(stdout, "  … and %zu more: `payctl report --json`\n", n - REPORT_SHOWN_MAX);
    }
}

void report_print_text(report *r) {
    qsort(r->states, r->n_states, sizeof r->states[0], by_state_and_currency);
    print_states(r);
    print_trial(r);
    print_flows(r);
    print_accounts(r);
    print_transit(r);
    print_owed(r);
    print_differences(r);
    cli_print(stdout, "%" PRId64 " payouts were compared one by one\n", r->n_payouts);
    print_banks(r);
    if (report_agrees(r)) {
        cli_print(stdout,
                  "PROVEN: our payouts, the ledger and the bank%s agree to the last cent.\n",
                  r->banks.n > 1 ? "s" : "");
    } else {
        cli_print(stdout, "NOT PROVEN: see the lines above.\n");
    }
}

// --- for programs ----------------------------------------------------------------------------------------------------------

// "a, b" as an array.
static json_t *names_of(const char *list) {
    json_t *names = json_array();
    for (const char *at = list; *at != '\0';) {
        const size_t len = strcspn(at, ",");
        json_array_append_new(names, json_stringn(at, len));
        at += len;
        at += strspn(at, ", ");
    }
    return names;
}

static json_t *banks_json(const report *r) {
    json_t *banks = json_array();
    for (size_t i = 0; i < r->banks.n; i++) {
        const report_bank *b = &r->banks.list[i];
        json_array_append_new(banks,
                              json_pack("{s:s,s:o,s:I,s:b,s:b}", "address", b->address,
                                        "connections", names_of(report_connections_text(r, (int)i)),
                                        "differences", (json_int_t)b->differences, "transit_empty",
                                        b->transit_empty, "proven", report_bank_agrees(b)));
    }
    return banks;
}

void report_print_json(const report *r) {
    json_t *flows = json_array();
    json_t *states = json_array();
    for (size_t i = 0; i < r->n_states; i++) {
        const report_state *s = &r->states[i];
        json_array_append_new(
            states,
            json_pack("{s:s,s:s,s:I,s:I}", "state",
                      cli_enum_name(&payments__v1__payout_state__descriptor, s->state), "currency",
                      s->currency, "count", (json_int_t)s->n, "sum_minor", (json_int_t)s->sum));
    }
    for (size_t i = 0; i < r->n_flows; i++) {
        const report_flow *f = &r->flows[i];
        json_array_append_new(
            flows, json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:b}", "connection",
                             f->connection, "bank_account", account_of(r, f->connection), "bank",
                             f->bank < 0 ? "" : r->banks.list[f->bank].address, "rail",
                             cli_enum_name(&payments__v1__rail__descriptor, f->rail), "currency",
                             f->currency, "settled_count", (json_int_t)f->settled_n,
                             "settled_minor", (json_int_t)f->settled, "ledger_minor",
                             (json_int_t)f->ledger, "bank_paid_minor", (json_int_t)f->bank_paid,
                             "bank_returned_minor", (json_int_t)f->bank_returned, "bank_minor",
                             (json_int_t)(f->bank_paid - f->bank_returned), "equal",
                             f->bank >= 0 && agrees(f)));
    }
    cli_print_value(json_pack("{s:b,s:b,s:b,s:I,s:o,s:o,s:o,s:o,s:O,s:O,s:O}", "agree",
                              report_agrees(r), "balanced", r->balanced, "transit_empty",
                              r->transit_empty, "payouts", (json_int_t)r->n_payouts, "states",
                              states, "flows", flows, "banks", banks_json(r), "not_compared",
                              names_of(report_connections_text(r, -1)), "accounts", r->accounts,
                              "differences", r->differences, "trial_balance", r->trial));
}

bool report_agrees(const report *r) {
    return json_array_size(r->differences) == 0 && r->balanced && r->transit_empty &&
           report_all_compared(r);
}
