// payctl prove: does each payout of a book agree with the ledger's journal? Needs no bank.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/merchant_service.pb-c.h"
#include "payments/v1/reconciliation_service.pb-c.h"

enum { PROVE_MS = 3600 * 1000 };

// All books, however many: a book that was not read is not proven.
typedef struct book_list {
    int64_t *ids; // freed by the caller
    size_t n, cap;
} book_list;

static void add_book(book_list *l, int64_t book_id) {
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : 2 * l->cap;
        l->ids = realloc(l->ids, l->cap * sizeof *l->ids);
        ASSERT(l->ids != NULL);
    }
    l->ids[l->n++] = book_id;
}

static int by_number(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void each_once(book_list *l) {
    size_t kept = 0;
    if (l->n > 1) {
        qsort(l->ids, l->n, sizeof *l->ids, by_number);
    }
    for (size_t i = 0; i < l->n; i++) {
        if (kept == 0 || l->ids[kept - 1] != l->ids[i]) {
            l->ids[kept++] = l->ids[i];
        }
    }
    l->n = kept;
}

typedef struct proving {
    cli *c;
    const char *merchant;
    int64_t book;
    table t;
    int64_t payouts;
    size_t differing;
    json_t *books, *differences, *accounts; // the last two: of the book being read
} proving;

static const char *through(const char *connection, Payments__V1__Rail rail) {
    return connection[0] != '\0' ? connection
                                 : cli_enum_name(&payments__v1__rail__descriptor, (int)rail);
}

static void add_row(proving *p, const char *what, const char *connection, const char *figure,
                    int64_t expected, int64_t found, const char *currency) {
    cli *c = p->c;
    const char *cells[] = {arena_printf(c->arena, "%lld", (long long)p->book),
                           arena_strdup(c->arena, what),
                           arena_strdup(c->arena, connection),
                           figure,
                           cli_money(c, expected, currency),
                           cli_money(c, found, currency)};
    p->differing++;
    table_row(&p->t, cells);
}

static void take_account(proving *p, const Payments__V1__ProvenAccount *x) {
    const char *kind = arena_strdup(p->c->arena, x->kind);
    const char *label = x->bank_account[0] != '\0' ? x->bank_account
                        : x->connection[0] != '\0' ? x->connection
                                                   : x->account_id;
    json_array_append_new(p->accounts, cli_to_json(&x->base));
    if (x->expected_posted_minor != x->found_posted_minor) {
        add_row(p, label, "", kind, x->expected_posted_minor, x->found_posted_minor, x->currency);
    }
    if (x->expected_reserved_minor != x->found_reserved_minor) {
        add_row(p, label, "", arena_printf(p->c->arena, "%s, reserved", kind),
                x->expected_reserved_minor, x->found_reserved_minor, x->currency);
    }
}

static bool on_part(void *arg, const ProtobufCMessage *m) {
    proving *p = arg;
    const Payments__V1__ProveBookResponse *part = (const Payments__V1__ProveBookResponse *)m;
    p->payouts += part->payouts_compared;
    for (size_t i = 0; i < part->n_differences; i++) {
        const Payments__V1__PayoutDifference *x = part->differences[i];
        json_array_append_new(p->differences, cli_to_json(&x->base));
        add_row(p, arena_printf(p->c->arena, "payout %s/%s", x->merchant_id, x->payout_id),
                through(x->connection, x->rail), arena_strdup(p->c->arena, x->figure),
                x->expected_minor, x->found_minor, x->currency);
    }
    for (size_t i = 0; i < part->n_accounts; i++) {
        take_account(p, part->accounts[i]);
    }
    return true;
}

static bool prove_book(proving *p, err *e) {
    Payments__V1__ProveBookRequest request = PAYMENTS__V1__PROVE_BOOK_REQUEST__INIT;
    const int64_t before = p->payouts;
    request.book_id = p->book;
    request.merchant_id = (char *)p->merchant;
    p->differences = json_array();
    p->accounts = json_array();
    const bool ok =
        cli_stream(p->c, "payments.v1.ReconciliationService", "ProveBook", &request.base,
                   &payments__v1__prove_book_response__descriptor, PROVE_MS, on_part, p, e);
    json_array_append_new(p->books,
                          json_pack("{s:I,s:I,s:o,s:o}", "book_id", (json_int_t)p->book, "payouts",
                                    (json_int_t)(p->payouts - before), "differences",
                                    p->differences, "accounts", p->accounts));
    return ok;
}

typedef struct book_search {
    book_list *books;
    const char *merchant; // empty: any
} book_search;

static bool take_book(void *arg, const Payments__V1__Merchant *m) {
    const book_search *x = arg;
    if (x->merchant[0] == '\0' || strcmp(m->merchant_id, x->merchant) == 0) {
        add_book(x->books, m->book_id);
    }
    return true;
}

// The books of all merchants, or of one.
static bool find_books(cli *c, const char *merchant, book_list *books, err *e) {
    book_search x = {books, merchant};
    return cli_each_merchant(c, take_book, &x, e) &&
           (books->n > 0 || merchant[0] == '\0' ||
            err_set(e, ERR_NOT_FOUND, "MERCHANT_NOT_FOUND", "there is no such merchant"));
}

static int say(proving *p, size_t n_books) {
    if (p->c->json) {
        table_drop(&p->t);
        cli_print_value(
            json_pack("{s:b,s:O}", "proven", (int)(p->differing == 0), "books", p->books));
    } else {
        if (p->differing > 0) {
            table_print(&p->t);
        } else {
            table_drop(&p->t);
        }
        cli_print(stdout, "%lld payout(s) of %zu book(s) compared with the ledger: %s\n",
                  (long long)p->payouts, n_books,
                  p->differing == 0 ? "PROVEN" : "NOT PROVEN, see what differs above");
    }
    return p->differing == 0 ? EXIT_DONE : EXIT_NOT_SETTLED;
}

static int prove_books(proving *p, const book_list *books) {
    static const char *const TITLES[] = {"book",   "about",    "through",
                                         "figure", "expected", "in the ledger"};
    cli *c = p->c;
    err e = {0};
    int code = EXIT_DONE;
    p->books = json_array();
    table_begin(&p->t, 6, 48u, TITLES);
    for (size_t i = 0; code == EXIT_DONE && i < books->n; i++) {
        p->book = books->ids[i];
        code = prove_book(p, &e) ? EXIT_DONE : EXIT_SERVICE;
    }
    if (code == EXIT_DONE) {
        code = say(p, books->n);
    } else {
        table_drop(&p->t);
        code = cli_failed(c, arena_printf(c->arena, "prove book %lld", (long long)p->book), &e);
    }
    json_decref(p->books);
    return code;
}

static int cmd_prove(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"merchant", required_argument, NULL, 'm'}, {0}};
    proving p = {.c = c, .merchant = ""};
    book_list books = {0};
    err e = {0};
    int opt = 0, code = EXIT_DONE;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        p.merchant = optarg;
    }
    for (; code == EXIT_DONE && optind < argc; optind++) {
        int64_t book_id = 0;
        if (str_to_i64(str_of(argv[optind]), 0, INT64_MAX, &book_id)) {
            add_book(&books, book_id);
        } else {
            code = cli_usage("\"%s\" is not the number of a book", argv[optind]);
        }
    }
    if (code == EXIT_DONE && books.n == 0 && !find_books(c, p.merchant, &books, &e)) {
        code = cli_failed(c, "find the books", &e);
    }
    each_once(&books);
    code = code == EXIT_DONE ? prove_books(&p, &books) : code;
    free(books.ids);
    return code;
}

const cli_command COMMAND_PROVE = {
    .name = "prove",
    .usage = "[BOOK]... [--merchant M]",
    .summary = "does each payout agree with the ledger's journal? Needs no bank",
    .help =
        "  BOOK                  a book to prove; without one, the books of all merchants\n"
        "  --merchant M          only payouts of this merchant; accounts are then not compared\n"
        "  Exit code 1: something differs. docs/payments/reconciliation.md says what the figures "
        "are.\n"
        "\n"
        "JSON\n"
        "  {proven, books: [{book_id, payouts, differences: [...], accounts: [...]}]}\n",
    .run = cmd_prove,
};
