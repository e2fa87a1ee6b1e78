// payctl report compares three records of the same money, made by three programs: our payouts, the ledger's journal, the bank's books. It
// compares payout by payout: equal sums may hide that one recipient was paid twice and another never.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/money.h"
#include "cli/report.h"
#include "ledger/v1/ledger.pb-c.h"
#include "payments/v1/merchant_service.pb-c.h"
#include "payments/v1/reconciliation_service.pb-c.h"

enum {
    BOOKS_MAX = 1024,
    PROVE_MS = 600000,
    BANK_PAGE = 10000,
    BANK_PAGE_BYTES = 64 << 20,
    BANK_ITEMS_MAX = 4 << 20,
    ASKED_AGAIN_MAX = 1000,
    REFERENCE_MAX = 72
};

// What a bank's books hold of one payout, over all its attempts.
typedef struct bank_item {
    int bank, rail;
    char currency[4], reference[REFERENCE_MAX];
    int64_t credited, returned;
    bool known; // one of our payouts has this reference
} bank_item;

// A payout whose figures did not match the bank's, when the bank was read first.
typedef struct doubt {
    Payments__V1__ProvenPayout payout; // strings in the run's arena
    int bank;
    struct doubt *next;
} doubt;

typedef struct comparison {
    report *r;
    int64_t books[BOOKS_MAX];
    size_t n_books;
    map *at_bank; // (bank, rail, reference) → bank_item
    int bank;     // the bank being read
    doubt *doubts;
    size_t n_doubts;
    err *e;
} comparison;

static bool add(int64_t *sum, int64_t n, err *e) {
    return ck_add_i64(*sum, n, sum) ||
           err_set(e, ERR_OUT_OF_RANGE, "SUM_TOO_LARGE", "the sums are too large for this report");
}

// connection: of the run's arena, or static.
static report_flow *flow_of(report *r, const char *connection, int bank, int rail,
                            const char *currency_code, err *e) {
    for (size_t i = 0; i < r->n_flows; i++) {
        report_flow *f = &r->flows[i];
        if (strcmp(f->connection, connection) == 0 && f->bank == bank && f->rail == rail &&
            strcmp(f->currency, currency_code) == 0) {
            return f;
        }
    }
    if (r->n_flows == REPORT_LINES_MAX) {
        err_set(e, ERR_OUT_OF_RANGE, "TOO_MANY_LINES",
                "there are too many connections and currencies");
        return NULL;
    }
    report_flow *f = &r->flows[r->n_flows++];
    *f = (report_flow){.connection = connection, .bank = bank, .rail = rail};
    (void)snprintf(f->currency, sizeof f->currency, "%.3s", currency_code);
    return f;
}

static report_state *state_of(report *r, int state, const char *currency_code, err *e) {
    for (size_t i = 0; i < r->n_states; i++) {
        if (r->states[i].state == state && strcmp(r->states[i].currency, currency_code) == 0) {
            return &r->states[i];
        }
    }
    if (r->n_states == sizeof r->states / sizeof r->states[0]) {
        err_set(e, ERR_OUT_OF_RANGE, "TOO_MANY_LINES", "there are too many states and currencies");
        return NULL;
    }
    report_state *s = &r->states[r->n_states++];
    *s = (report_state){.state = state};
    (void)snprintf(s->currency, sizeof s->currency, "%.3s", currency_code);
    return s;
}

// --- the bank --------------------------------------------------------------------------------------------------------------

static uuid bank_key(int bank, int rail, const char *reference) {
    char number[32];
    (void)snprintf(number, sizeof number, "%d/%d", bank, rail);
    const str parts[] = {str_of(number), str_of(reference)};
    return uuid_derive(parts, 2);
}

static bool bank_nonsense(err *e) {
    return err_set(e, ERR_INTERNAL, "BANK_ANSWER_INVALID",
                   "the bank's report could not be understood");
}

// Adds a line of the bank's list of payments to its payout's item. *id: the line's id.
static bool take_bank_line(comparison *x, const json_t *line, json_int_t *id, err *e) {
    const char *rail_text = NULL, *reference = NULL, *ccy = NULL;
    json_int_t credited = 0, returned = 0;
    int rail = 0;
    if (json_unpack((json_t *)line, "{s:s,s:I,s:s,s:s,s:I,s:I}", "rail", &rail_text, "id", id,
                    "payout", &reference, "currency", &ccy, "credited_sum", &credited,
                    "returned_sum", &returned) != 0 ||
        !cli_enum_value(&payments__v1__rail__descriptor, rail_text, &rail) || strlen(ccy) != 3 ||
        strlen(reference) >= REFERENCE_MAX) {
        return bank_nonsense(e);
    }
    const uuid key = bank_key(x->bank, rail, reference);
    bank_item *item = map_get(x->at_bank, key);
    if (item == NULL) {
        item = arena_alloc(x->r->c->arena, sizeof *item);
        if (item == NULL || !map_put(x->at_bank, key, item)) {
            return err_set(e, ERR_RESOURCE_EXHAUSTED, "REPORT_TOO_LARGE",
                           "the bank has too many payments for this report");
        }
        *item = (bank_item){.bank = x->bank, .rail = rail};
        memcpy(item->currency, ccy, sizeof item->currency);
        (void)snprintf(item->reference, sizeof item->reference, "%s", reference);
    }
    return add(&item->credited, credited, e) && add(&item->returned, returned, e);
}

// One page of the payments of x->bank. *n: lines, *after: the last one's id.
static bool read_bank_page(comparison *x, const char *path, size_t *n, json_int_t *after, err *e) {
    arena *page = arena_create(BANK_PAGE_BYTES + (1 << 20));
    str body = {0};
    bool ok = cli_bank_get(x->r->banks.list[x->bank].address, path, page, &body, e);
    json_t *all = ok ? json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (ok && !json_is_array(all)) {
        ok = bank_nonsense(e);
    }
    *n = json_array_size(all);
    for (size_t i = 0; ok && i < *n; i++) {
        ok = take_bank_line(x, json_array_get(all, i), after, e);
    }
    json_decref(all);
    arena_destroy(page);
    return ok;
}

static bool read_bank(comparison *x, err *e) {
    const ProtobufCEnumDescriptor *rails = &payments__v1__rail__descriptor;
    for (unsigned i = 0; i < rails->n_values; i++) {
        size_t n = 0;
        json_int_t after = 0;
        char path[128], rail[32];
        if (rails->values[i].value == 0) {
            continue;
        }
        cli_enum_name_lower(rails, rails->values[i].value, rail, sizeof rail);
        do {
            (void)snprintf(path, sizeof path, "/admin/payments?rail=%s&limit=%d&after=%lld", rail,
                           BANK_PAGE, (long long)after);
            if (!read_bank_page(x, path, &n, &after, e)) {
                return false;
            }
        } while (n == BANK_PAGE);
    }
    return true;
}

static bool read_banks(comparison *x, err *e) {
    for (size_t i = 0; i < x->r->banks.n; i++) {
        x->bank = (int)i;
        if (!read_bank(x, e)) {
            return false;
        }
    }
    return true;
}

// --- payouts, and what the service says of them and the ledger -------------------------------------------------------------

static bool is_final(int state) {
    return state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED ||
           state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_FAILED ||
           state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_RETURNED ||
           state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_CANCELED;
}

// The bank's figure must be the ledger's. While a payout is open, the bank may be ahead.
static bool fits(const Payments__V1__ProvenPayout *p, int64_t net_at_bank) {
    return net_at_bank == p->at_bank_minor ||
           (!is_final((int)p->state) && (net_at_bank == 0 || net_at_bank == p->amount_minor));
}

// bank: the bank that the difference is about; -1: none, or one that was not read.
static void note(report *r, const char *record, int bank, json_t *rest) {
    json_t *line = json_pack("{s:s}", "record", record);
    ASSERT(line != NULL && rest != NULL);
    json_object_update(line, rest);
    json_decref(rest);
    json_array_append_new(r->differences, line);
    if (bank >= 0) {
        r->banks.list[bank].differences++;
    }
}

static bool keep_doubt(comparison *x, const Payments__V1__ProvenPayout *p, int bank, err *e) {
    arena *a = x->r->c->arena;
    doubt *d = arena_alloc(a, sizeof *d);
    if (d != NULL) {
        *d = (doubt){.payout = *p, .bank = bank, .next = x->doubts};
        d->payout.payout_id = arena_strdup(a, p->payout_id);
        d->payout.merchant_id = arena_strdup(a, p->merchant_id);
        d->payout.currency = arena_strdup(a, p->currency);
        d->payout.bank_reference = arena_strdup(a, p->bank_reference);
        d->payout.connection = arena_strdup(a, p->connection);
    }
    if (d == NULL || d->payout.payout_id == NULL || d->payout.merchant_id == NULL ||
        d->payout.currency == NULL || d->payout.bank_reference == NULL ||
        d->payout.connection == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "REPORT_TOO_LARGE",
                       "too many payouts differ for this report");
    }
    x->doubts = d;
    x->n_doubts++;
    return true;
}

// Counts the bank's figures of a payout for the payout's connection.
static bool take_item(report_flow *f, bank_item *item, err *e) {
    const bool first = !item->known;
    item->known = true;
    return !first ||
           (add(&f->bank_paid, item->credited, e) && add(&f->bank_returned, item->returned, e));
}

static bool take_payout(comparison *x, const Payments__V1__ProvenPayout *p, err *e) {
    const report_connection *k = report_connection_of(x->r->c, &x->r->banks, p->connection, e);
    report_flow *f =
        k == NULL ? NULL : flow_of(x->r, k->name, k->bank, (int)p->rail, p->currency, e);
    report_state *s = state_of(x->r, (int)p->state, p->currency, e);
    if (f == NULL || s == NULL || !add(&s->sum, p->amount_minor, e) ||
        !add(&f->ledger, p->at_bank_minor, e)) {
        return false;
    }
    s->n++;
    x->r->n_payouts++;
    if (p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED) {
        f->settled_n++;
        if (!add(&f->settled, p->amount_minor - p->returned_minor, e)) {
            return false;
        }
    }
    if (k->bank < 0) {
        return true; // reported once, for all payouts
    }
    bank_item *item = map_get(x->at_bank, bank_key(k->bank, (int)p->rail, p->bank_reference));
    if (item != NULL && !take_item(f, item, e)) {
        return false;
    }
    const bool same_currency = item == NULL || strcmp(item->currency, p->currency) == 0;
    return (same_currency && fits(p, item != NULL ? item->credited - item->returned : 0)) ||
           keep_doubt(x, p, k->bank, e);
}

static int bank_behind(report *r, const char *connection) {
    for (size_t i = 0; i < r->banks.n_known; i++) {
        if (strcmp(r->banks.known[i].name, connection) == 0) {
            return r->banks.known[i].bank;
        }
    }
    return r->banks.all;
}

// The bank of an account's connection, or of the connections that pay from the account. -1: several banks, or none.
static int bank_of_account(report *r, const Payments__V1__ProvenAccount *a) {
    int bank = -1;
    if (a->connection[0] != '\0') {
        return bank_behind(r, a->connection);
    }
    for (size_t i = 0; a->bank_account[0] != '\0' && i < r->banks.n_known; i++) {
        const report_connection *k = &r->banks.known[i];
        if (strcmp(k->bank_account, a->bank_account) == 0) {
            if (bank >= 0 && k->bank != bank) {
                return -1;
            }
            bank = k->bank;
        }
    }
    return bank;
}

static void take_difference(report *r, const Payments__V1__PayoutDifference *d) {
    note(r, "ledger", bank_behind(r, d->connection), cli_to_json(&d->base));
}

static void take_account(report *r, int64_t book, const Payments__V1__ProvenAccount *a) {
    const int bank = bank_of_account(r, a);
    json_t *line = cli_to_json(&a->base);
    json_object_set_new(line, "book_id", json_integer(book));
    json_array_append_new(r->accounts, line);
    if (strcmp(a->kind, "TRANSIT") == 0 &&
        (a->found_posted_minor != 0 || a->found_reserved_minor != 0)) {
        r->transit_empty = false;
        if (bank >= 0) {
            r->banks.list[bank].transit_empty = false;
        }
    }
    if (a->expected_posted_minor != a->found_posted_minor ||
        a->expected_reserved_minor != a->found_reserved_minor) {
        note(r, "account", bank, json_deep_copy(line));
    }
}

typedef struct book_reading {
    comparison *x;
    int64_t book;
} book_reading;

static bool on_proof(void *arg, const ProtobufCMessage *m) {
    const book_reading *b = arg;
    comparison *x = b->x;
    const Payments__V1__ProveBookResponse *part = (const Payments__V1__ProveBookResponse *)m;
    for (size_t i = 0; i < part->n_payouts; i++) {
        if (!take_payout(x, part->payouts[i], x->e)) {
            return false;
        }
    }
    for (size_t i = 0; i < part->n_differences; i++) {
        take_difference(x->r, part->differences[i]);
    }
    for (size_t i = 0; i < part->n_accounts; i++) {
        take_account(x->r, b->book, part->accounts[i]);
    }
    return true;
}

static bool prove_book(comparison *x, int64_t book, err *e) {
    Payments__V1__ProveBookRequest request = PAYMENTS__V1__PROVE_BOOK_REQUEST__INIT;
    book_reading b = {x, book};
    request.book_id = book;
    request.with_payouts = true;
    return cli_stream(x->r->c, "payments.v1.ReconciliationService", "ProveBook", &request.base,
                      &payments__v1__prove_book_response__descriptor, PROVE_MS, on_proof, &b, e) &&
           !err_is_set(e);
}

// --- books -----------------------------------------------------------------------------------------------------------------

static bool note_book(comparison *x, int64_t book, err *e) {
    for (size_t i = 0; i < x->n_books; i++) {
        if (x->books[i] == book) {
            return true;
        }
    }
    if (x->n_books == BOOKS_MAX) {
        return err_set(e, ERR_OUT_OF_RANGE, "TOO_MANY_BOOKS", "there are more than %d books",
                       BOOKS_MAX);
    }
    x->books[x->n_books++] = book;
    return true;
}

static bool find_books(comparison *x, err *e) {
    Payments__V1__ListMerchantsRequest request = PAYMENTS__V1__LIST_MERCHANTS_REQUEST__INIT;
    request.page_size = 1000;
    do {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(x->r->c, "payments.v1.MerchantService", "ListMerchants", &request.base,
                      &payments__v1__list_merchants_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListMerchantsResponse *list =
            (const Payments__V1__ListMerchantsResponse *)answer;
        for (size_t i = 0; i < list->n_merchants; i++) {
            if (!note_book(x, list->merchants[i]->book_id, e)) {
                return false;
            }
        }
        request.page_token = list->next_page_token;
    } while (request.page_token[0] != '\0');
    return true;
}

static bool trial_balance(report *r, int64_t book, err *e) {
    Ledger__V1__GetTrialBalanceRequest request = LEDGER__V1__GET_TRIAL_BALANCE_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    request.book_id = book;
    if (!cli_call(r->c, "ledger.v1.LedgerService", "GetTrialBalance", &request.base,
                  &ledger__v1__get_trial_balance_response__descriptor, &answer, e)) {
        return false;
    }
    r->balanced =
        r->balanced && ((const Ledger__V1__GetTrialBalanceResponse *)answer)->balanced != 0;
    json_t *json = cli_to_json(answer);
    json_object_set_new(json, "book_id", json_integer(book));
    json_array_append_new(r->trial, json);
    return true;
}

// --- what the bank has otherwise -------------------------------------------------------------------------------------------

// The bank was read before the payout: reads the bank's present figures of the payout again.
static bool ask_again(comparison *x, doubt *d, bool *right, err *e) {
    comparison now = {.r = x->r, .bank = d->bank, .at_bank = map_create(16, BANK_PAGE)};
    char path[192], rail[32];
    size_t n = 0;
    json_int_t after = 0;
    cli_enum_name_lower(&payments__v1__rail__descriptor, (int)d->payout.rail, rail, sizeof rail);
    (void)snprintf(path, sizeof path, "/admin/payments?rail=%s&limit=%d&payout=%s", rail, BANK_PAGE,
                   d->payout.bank_reference);
    const bool ok = read_bank_page(&now, path, &n, &after, e);
    const bank_item *item =
        map_get(now.at_bank, bank_key(d->bank, (int)d->payout.rail, d->payout.bank_reference));
    const int64_t net = item != NULL ? item->credited - item->returned : 0;
    *right = ok && (item == NULL || strcmp(item->currency, d->payout.currency) == 0) &&
             fits(&d->payout, net);
    if (ok && !*right) {
        json_t *line = cli_to_json(&d->payout.base);
        json_object_set_new(line, "figure", json_string("PAID_BY_BANK"));
        json_object_set_new(line, "expected_minor", json_integer(d->payout.at_bank_minor));
        json_object_set_new(line, "found_minor", json_integer(net));
        note(x->r, "bank", d->bank, line);
    }
    map_destroy(now.at_bank);
    return ok;
}

static bool judge_doubts(comparison *x, err *e) {
    size_t asked = 0;
    for (doubt *d = x->doubts; d != NULL; d = d->next) {
        bool right = false;
        if (asked++ == ASKED_AGAIN_MAX) {
            return err_set(e, ERR_OUT_OF_RANGE, "TOO_MANY_DIFFERENCES",
                           "the bank's books differ from ours in %zu payouts: are they of the same "
                           "system?",
                           x->n_doubts);
        }
        if (!ask_again(x, d, &right, e)) {
            return false;
        }
    }
    return true;
}

// Payments at the bank that belong to no payout of ours.
static bool note_strangers(comparison *x, err *e) {
    map_iter it = map_begin(x->at_bank);
    while (map_next(&it)) {
        const bank_item *item = it.value;
        if (item->known || item->credited == item->returned) {
            continue;
        }
        report_flow *f = flow_of(x->r, "", item->bank, item->rail, item->currency, e);
        if (f == NULL || !add(&f->bank_paid, item->credited, e) ||
            !add(&f->bank_returned, item->returned, e)) {
            return false;
        }
        note(x->r, "bank", item->bank,
             json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I}", "figure", "PAID_BY_BANK", "bank",
                       x->r->banks.list[item->bank].address, "rail",
                       cli_enum_name(&payments__v1__rail__descriptor, item->rail), "currency",
                       item->currency, "bank_reference", item->reference, "expected_minor",
                       (json_int_t)0, "found_minor",
                       (json_int_t)(item->credited - item->returned)));
    }
    return true;
}

// --- all together ----------------------------------------------------------------------------------------------------------

static bool compare(comparison *x, err *e) {
    report_banks *banks = &x->r->banks;
    if (!report_banks_read(x->r->c, x->r->c->bank, banks, e) ||
        !report_banks_ask(x->r->c, banks, e) || !find_books(x, e) || !read_banks(x, e)) {
        return false;
    }
    for (size_t i = 0; i < x->n_books; i++) {
        if (!prove_book(x, x->books[i], e) || !trial_balance(x->r, x->books[i], e)) {
            return false;
        }
    }
    return judge_doubts(x, e) && note_strangers(x, e);
}

static int cmd_report(cli *c, int argc, char **argv) {
    static report r;
    r = (report){.c = c, .balanced = true, .transit_empty = true};
    err e = {0};
    (void)argv;
    if (argc != 1) {
        return cli_usage("report takes no arguments");
    }
    comparison x = {.r = &r, .at_bank = map_create(1024, BANK_ITEMS_MAX), .e = &e};
    r.differences = json_array();
    r.accounts = json_array();
    r.trial = json_array();
    int code = EXIT_SERVICE;
    if (!compare(&x, &e)) {
        (void)cli_failed(c, "make the report", &e);
    } else {
        if (c->json) {
            report_print_json(&r);
        } else {
            report_print_text(&r);
        }
        code = report_agrees(&r) ? EXIT_DONE : EXIT_NOT_SETTLED;
    }
    map_destroy(x.at_bank);
    json_decref(r.differences);
    json_decref(r.accounts);
    json_decref(r.trial);
    return code;
}

const cli_command COMMAND_REPORT = {
    .name = "report",
    .usage = "",
    .summary = "do our payouts, the ledger and the banks agree, payout by payout?",
    .help = "Compares each payout with the ledger's journal and with the books of its simulator "
            "bank. Then compares the\n"
            "transit and bank accounts with the sums of the payouts. PROVEN: nothing differs, and "
            "no money is on its way.\n"
            "Exit code 1: something differs, money is on its way, or a payout went through a bank "
            "that is not given.\n"
            "\n"
            "Several banks: --bank HOST:PORT,NAME=HOST:PORT,... where NAME is the connection of a "
            "further bank.\n"
            "\n"
            "JSON\n"
            "  {agree, balanced, transit_empty, payouts,\n"
            "   states: [{state, currency, count, sum_minor}],\n"
            "   banks: [{address, connections, differences, transit_empty, proven}],\n"
            "   not_compared: [connections of banks that are not given],\n"
            "   flows: [{connection, bank_account, bank, rail, currency, settled_count, "
            "settled_minor,\n"
            "            ledger_minor, bank_paid_minor, bank_returned_minor, bank_minor, equal}],\n"
            "   accounts: [{book_id, kind, rail, currency, expected_posted_minor, "
            "found_posted_minor, ...}],\n"
            "   differences: [{record: ledger|bank|account, payout_id, figure, expected_minor, "
            "found_minor, ...}],\n"
            "   trial_balance: [{book_id, sequence, balanced, lines: [...]}]}\n",
    .run = cmd_report,
};
