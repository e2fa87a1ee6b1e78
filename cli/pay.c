// payctl pay: a whole file, checked first, then registered and sent in bulk, then watched until it is done.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/money.h"
#include "cli/cli.h"
#include "cli/payout_file.h"
#include "payments/v1/payout_service.pb-c.h"
#include "payments/v1/recipient_service.pb-c.h"

enum {
    CHUNK = 1000, // rows of one call
    WATCH_IDS_MAX = 10000,
    WATCH_SLICE_MS =
        300000, // one watch call; it is begun again while there is something to wait for
    REFUSED_SHOWN_MAX = 20,
    STATES = 11
};

// A row on its way.
typedef struct sent {
    const payout_row *row;
    const char *recipient_id, *payout_id;
    // The service refused the row: in words, by its name, and the field at fault, "" when it is not about one.
    const char *error, *error_reason, *error_field;
    int state;
    const char *reason, *reason_text;
    bool earlier; // accepted by an earlier run
} sent;

typedef struct payment {
    cli *c;
    payout_file file;
    sent *rows;
    size_t n_refused, n_earlier, n_open;
    int64_t started_us;
    map *by_payout; // payout id → sent
    progress bar;
    size_t by_state[STATES];
} payment;

static int by_merchant(const void *a, const void *b) {
    const sent *x = a, *y = b;
    const int order = strcmp(x->row->merchant_id, y->row->merchant_id);
    return order != 0 ? order : (x->row->line > y->row->line) - (x->row->line < y->row->line);
}

static void refuse(sent *s, const Payments__V1__ItemError *x) {
    s->error = x != NULL ? x->message : "no answer for this row";
    s->error_reason = x != NULL ? x->reason : "NO_ANSWER";
    s->error_field = x != NULL ? x->field : "";
}

// --- recipients ------------------------------------------------------------------------------------------------------------

static Payments__V1__NewRecipient *new_recipient(arena *a, const payout_row *row) {
    Payments__V1__NewRecipient *r = ARENA_NEW(a, Payments__V1__NewRecipient);
    payments__v1__new_recipient__init(r);
    r->idempotency_key = (char *)row->recipient_key;
    r->name = (char *)row->recipient_name;
    r->holder_type = (Payments__V1__HolderType)row->holder_type;
    r->bank_account = ARENA_NEW(a, Payments__V1__BankAccount);
    payments__v1__bank_account__init(r->bank_account);
    r->bank_account->routing_code = (char *)row->routing_code;
    r->bank_account->account_number = (char *)row->account_number;
    r->bank_account->account_type = (Payments__V1__BankAccountType)row->account_type;
    r->bank_account->currency = (char *)row->currency;
    return r;
}

// Registers the recipients of rows [0, n), all of one merchant: one for each row.
static bool register_chunk(payment *p, sent *rows, size_t n, err *e) {
    arena *a = p->c->arena;
    Payments__V1__BulkCreateRecipientsRequest request =
        PAYMENTS__V1__BULK_CREATE_RECIPIENTS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    request.merchant_id = (char *)rows[0].row->merchant_id;
    request.recipients = ARENA_ARRAY(a, Payments__V1__NewRecipient *, n);
    ASSERT(request.recipients != NULL);
    for (size_t i = 0; i < n; i++) {
        request.recipients[request.n_recipients++] = new_recipient(a, rows[i].row);
    }
    if (!cli_call(p->c, "payments.v1.RecipientService", "BulkCreateRecipients", &request.base,
                  &payments__v1__bulk_create_recipients_response__descriptor, &answer, e)) {
        return false;
    }
    const Payments__V1__BulkCreateRecipientsResponse *r =
        (const Payments__V1__BulkCreateRecipientsResponse *)answer;
    for (size_t i = 0; i < n; i++) {
        const Payments__V1__RecipientResult *x = i < r->n_results ? r->results[i] : NULL;
        if (x != NULL && x->outcome_case == PAYMENTS__V1__RECIPIENT_RESULT__OUTCOME_RECIPIENT) {
            rows[i].recipient_id = x->recipient->recipient_id;
        } else {
            refuse(&rows[i], x != NULL ? x->error : NULL);
        }
    }
    return true;
}

// --- payouts ---------------------------------------------------------------------------------------------------------------

static void note_state(payment *p, sent *s, const Payments__V1__Payout *payout) {
    p->by_state[s->state]--;
    s->state = (int)payout->state;
    s->reason = payout->reason;
    s->reason_text = payout->reason_text;
    p->by_state[s->state]++;
}

static void note_accepted(payment *p, sent *s, const Payments__V1__Payout *payout) {
    uuid id = {0};
    const bool parsed = uuid_parse(str_of(payout->payout_id), &id);
    s->payout_id = payout->payout_id;
    const Google__Protobuf__Timestamp *t = payout->create_time;
    s->earlier = t != NULL && t->seconds * 1000000 + t->nanos / 1000 < p->started_us;
    p->n_earlier += s->earlier ? 1 : 0;
    p->by_state[0]++;
    note_state(p, s, payout);
    const bool put = parsed && map_put(p->by_payout, id, s);
    ASSERT(put);
}

static bool send_chunk(payment *p, sent *rows, size_t n, err *e) {
    arena *a = p->c->arena;
    Payments__V1__BulkCreatePayoutsRequest request =
        PAYMENTS__V1__BULK_CREATE_PAYOUTS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    sent **asked = ARENA_ARRAY(a, sent *, n);
    request.merchant_id = (char *)rows[0].row->merchant_id;
    request.payouts = ARENA_ARRAY(a, Payments__V1__NewPayout *, n);
    ASSERT(asked != NULL && request.payouts != NULL);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].error != NULL) {
            continue;
        }
        Payments__V1__NewPayout *x = ARENA_NEW(a, Payments__V1__NewPayout);
        payments__v1__new_payout__init(x);
        x->idempotency_key = (char *)rows[i].row->reference;
        x->recipient_id = (char *)rows[i].recipient_id;
        x->amount_minor = rows[i].row->amount_minor;
        x->currency = (char *)rows[i].row->currency;
        x->rail = (Payments__V1__Rail)rows[i].row->rail;
        x->external_reference = (char *)rows[i].row->reference;
        x->description = (char *)rows[i].row->description;
        asked[request.n_payouts] = &rows[i];
        request.payouts[request.n_payouts++] = x;
    }
    if (request.n_payouts == 0) {
        return true;
    }
    if (!cli_call(p->c, "payments.v1.PayoutService", "BulkCreatePayouts", &request.base,
                  &payments__v1__bulk_create_payouts_response__descriptor, &answer, e)) {
        return false;
    }
    const Payments__V1__BulkCreatePayoutsResponse *r =
        (const Payments__V1__BulkCreatePayoutsResponse *)answer;
    for (size_t i = 0; i < request.n_payouts; i++) {
        const Payments__V1__PayoutResult *x = i < r->n_results ? r->results[i] : NULL;
        if (x != NULL && x->outcome_case == PAYMENTS__V1__PAYOUT_RESULT__OUTCOME_PAYOUT) {
            note_accepted(p, asked[i], x->payout);
        } else {
            refuse(asked[i], x != NULL ? x->error : NULL);
        }
    }
    return true;
}

// How many of the rows from `at` on are of the same merchant, at most max.
static size_t run_length(const payment *p, size_t at, size_t max) {
    size_t n = 1;
    while (n < max && at + n < p->file.n &&
           strcmp(p->rows[at + n].row->merchant_id, p->rows[at].row->merchant_id) == 0) {
        n++;
    }
    return n;
}

// A definite answer about these rows' merchant: repeating the call does not change it, and it says nothing about the other
// merchants. Who we are (PERMISSION_DENIED), and a service that was never asked (no client), concern all of them.
static bool concerns_one_merchant(const payment *p, const err *e) {
    return p->c->payments_client != NULL && err_is_definite(e->code) &&
           e->code != ERR_PERMISSION_DENIED;
}

static void refuse_chunk(payment *p, sent *rows, size_t n, const err *e) {
    const char *error = arena_strdup(p->c->arena, e->message);
    const char *reason = arena_strdup(p->c->arena, e->reason);
    const char *field = arena_strdup(p->c->arena, e->field);
    ASSERT(error != NULL && reason != NULL && field != NULL);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].error == NULL) {
            rows[i].error = error;
            rows[i].error_reason = reason;
            rows[i].error_field = field;
        }
    }
}

static bool send_all(payment *p, err *e) {
    bool ok = true;
    progress_begin(&p->bar, p->c, "sending", p->file.n);
    for (size_t at = 0, n = 0; ok && at < p->file.n; at += n) {
        n = run_length(p, at, CHUNK);
        ok = register_chunk(p, &p->rows[at], n, e) && send_chunk(p, &p->rows[at], n, e);
        if (!ok && concerns_one_merchant(p, e)) {
            refuse_chunk(p, &p->rows[at], n, e);
            err_clear(e);
            ok = true;
        }
        progress_set(&p->bar, at + n, p->rows[at].row->merchant_id);
    }
    progress_end(&p->bar, ok ? "" : "stopped");
    for (size_t i = 0; i < p->file.n; i++) {
        p->n_refused += p->rows[i].error != NULL ? 1 : 0;
    }
    return ok;
}

// --- waiting ---------------------------------------------------------------------------------------------------------------

static bool is_final(int state) {
    return state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED ||
           state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_FAILED ||
           state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_RETURNED ||
           state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_CANCELED;
}

// A payout that waits for a person will not move while we wait.
static bool is_resting(int state) {
    return is_final(state) || state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_HELD;
}

static const char *states_line(payment *p) {
    static char line[160];
    size_t len = 0;
    line[0] = '\0';
    for (int s = 1; s < STATES; s++) {
        if (p->by_state[s] > 0 && len < sizeof line) {
            len += (size_t)snprintf(line + len, sizeof line - len, "%s%zu %s", len > 0 ? ", " : "",
                                    p->by_state[s],
                                    cli_enum_name(&payments__v1__payout_state__descriptor, s));
        }
    }
    return line;
}

static size_t count_resting(const payment *p) {
    size_t n = 0;
    for (int s = 1; s < STATES; s++) {
        n += is_resting(s) ? p->by_state[s] : 0;
    }
    return n;
}

static bool on_changes(void *arg, const ProtobufCMessage *m) {
    payment *p = arg;
    const Payments__V1__WatchPayoutsResponse *r = (const Payments__V1__WatchPayoutsResponse *)m;
    for (size_t i = 0; i < r->n_payouts; i++) {
        uuid id = {0};
        const bool parsed = uuid_parse(str_of(r->payouts[i]->payout_id), &id);
        sent *s = parsed ? map_get(p->by_payout, id) : NULL;
        if (s != NULL) {
            note_state(p, s, r->payouts[i]);
            s->reason =
                arena_strdup(p->c->arena, r->payouts[i]->reason); // the message goes when we return
            s->reason_text = arena_strdup(p->c->arena, r->payouts[i]->reason_text);
        }
    }
    progress_set(&p->bar, count_resting(p), states_line(p));
    return count_resting(p) < map_count(p->by_payout);
}

static bool watch_chunk(payment *p, const sent *rows, size_t n, err *e) {
    Payments__V1__WatchPayoutsRequest request = PAYMENTS__V1__WATCH_PAYOUTS_REQUEST__INIT;
    request.merchant_id = (char *)rows[0].row->merchant_id;
    request.until_terminal = true;
    request.payout_ids = ARENA_ARRAY(p->c->arena, char *, n);
    ASSERT(request.payout_ids != NULL);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].payout_id != NULL && !is_resting(rows[i].state)) {
            request.payout_ids[request.n_payout_ids++] = (char *)rows[i].payout_id;
        }
    }
    return request.n_payout_ids == 0 ||
           cli_stream(p->c, "payments.v1.PayoutService", "WatchPayouts", &request.base,
                      &payments__v1__watch_payouts_response__descriptor, WATCH_SLICE_MS, on_changes,
                      p, e);
}

// A stream that breaks is begun again: the service may be restarting, and the payouts go on without us.
static bool wait_all(payment *p, err *e) {
    bool ok = true;
    int failures = 0;
    progress_begin(&p->bar, p->c, "paying", map_count(p->by_payout));
    for (size_t at = 0, n = 0; ok && at < p->file.n; at += n) {
        n = run_length(p, at, WATCH_IDS_MAX);
        err_clear(e);
        while (ok && !watch_chunk(p, &p->rows[at], n, e)) {
            failures = e->code == ERR_DEADLINE_EXCEEDED ? 0 : failures + 1;
            ok = failures < 20 && (e->code == ERR_UNAVAILABLE || e->code == ERR_DEADLINE_EXCEEDED);
            err_clear(ok ? e : NULL);
        }
    }
    progress_set(&p->bar, count_resting(p), states_line(p));
    progress_end(&p->bar, states_line(p));
    return ok;
}

// --- report ----------------------------------------------------------------------------------------------------------------

static void report_refused(const payment *p) {
    size_t shown = 0;
    for (size_t i = 0; i < p->file.n && shown < REFUSED_SHOWN_MAX; i++) {
        const sent *s = &p->rows[i];
        if (s->error != NULL) {
            (void)printf("  line %zu, %s of %s: %s%s%s (%s)\n", s->row->line, s->row->reference,
                         s->row->merchant_id, s->error_field, s->error_field[0] != '\0' ? ": " : "",
                         s->error, s->error_reason);
            shown++;
        }
    }
    if (p->n_refused > shown) {
        (void)printf("  … and %zu more\n", p->n_refused - shown);
    }
}

static void report_unsettled(const payment *p) {
    size_t shown = 0, unsettled = 0;
    for (size_t i = 0; i < p->file.n; i++) {
        const sent *s = &p->rows[i];
        if (s->payout_id == NULL || s->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED) {
            continue;
        }
        if (shown++ < REFUSED_SHOWN_MAX) {
            (void)printf("  %-9s %s/%s  %s %s\n",
                         cli_enum_name(&payments__v1__payout_state__descriptor, s->state),
                         s->row->merchant_id, s->payout_id, s->reason != NULL ? s->reason : "",
                         s->reason_text != NULL ? s->reason_text : "");
        }
        unsettled++;
    }
    if (unsettled > REFUSED_SHOWN_MAX) {
        (void)printf("  … and %zu more: `payctl payouts --merchant M --state FAILED`\n",
                     unsettled - REFUSED_SHOWN_MAX);
    }
}

// One line a state and currency: printed, or with --json only returned. @owned
static json_t *report_sums(payment *p) {
    static const char *const TITLES[] = {"state", "payouts", "sum"};
    json_t *json = json_array();
    table t;
    table_begin(&t, 3, 6u, TITLES);
    for (int s = 1; s < STATES; s++) {
        map *done = map_create(16, 64); // currencies that are printed
        for (size_t i = 0; i < p->file.n; i++) {
            const char *ccy = p->rows[i].row->currency;
            const str ccy_str = str_of(ccy);
            const uuid key = uuid_derive(&ccy_str, 1);
            if (p->rows[i].payout_id == NULL || p->rows[i].state != s ||
                map_get(done, key) != NULL) {
                continue;
            }
            size_t n = 0;
            int64_t sum = 0;
            for (size_t k = i; k < p->file.n; k++) {
                if (p->rows[k].payout_id != NULL && p->rows[k].state == s &&
                    strcmp(p->rows[k].row->currency, ccy) == 0) {
                    n++;
                    const bool fits = ck_add_i64(sum, p->rows[k].row->amount_minor, &sum);
                    ASSERT(fits); // far below: a million rows of the largest ACH amount fit
                }
            }
            const bool put = map_put(done, key, (void *)1);
            ASSERT(put);
            const char *name = cli_enum_name(&payments__v1__payout_state__descriptor, s);
            const char *cells[] = {name, arena_printf(p->c->arena, "%zu", n),
                                   cli_money(p->c, sum, ccy)};
            table_row(&t, cells);
            json_array_append_new(json,
                                  json_pack("{s:s,s:s,s:I,s:I}", "state", name, "currency", ccy,
                                            "count", (json_int_t)n, "sum_minor", (json_int_t)sum));
        }
        map_destroy(done);
    }
    if (p->c->json) {
        table_drop(&t);
    } else {
        table_print(&t);
    }
    return json;
}

// Rows of which we do not know whether they were taken: the run was stopped before their answer.
static size_t count_unanswered(const payment *p) {
    return p->file.n - map_count(p->by_payout) - p->n_refused;
}

static void report_text(payment *p, bool waited) {
    (void)printf("%zu rows: %zu accepted", p->file.n, map_count(p->by_payout));
    if (p->n_earlier > 0) {
        (void)printf(" (%zu of them by an earlier run: not paid again)", p->n_earlier);
    }
    (void)printf(", %zu refused", p->n_refused);
    if (count_unanswered(p) > 0) {
        (void)printf(", %zu without an answer", count_unanswered(p));
    }
    (void)printf("\n");
    report_refused(p);
    json_decref(report_sums(p));
    if (waited) {
        report_unsettled(p);
    }
}

static json_t *refusals_json(const payment *p) {
    json_t *all = json_array();
    for (size_t i = 0; i < p->file.n; i++) {
        const sent *s = &p->rows[i];
        if (s->error != NULL) {
            json_array_append_new(
                all, json_pack("{s:I,s:s,s:s,s:s,s:s,s:o}", "line", (json_int_t)s->row->line,
                               "merchant_id", s->row->merchant_id, "reference", s->row->reference,
                               "field", s->error_field, "reason", s->error_reason, "error",
                               cli_json_text(s->error)));
        }
    }
    return all;
}

static json_t *unsettled_json(const payment *p) {
    json_t *all = json_array();
    for (size_t i = 0; i < p->file.n; i++) {
        const sent *s = &p->rows[i];
        if (s->payout_id != NULL && s->state != PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED) {
            json_array_append_new(
                all, json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:o}", "line", (json_int_t)s->row->line,
                               "merchant_id", s->row->merchant_id, "reference", s->row->reference,
                               "payout_id", s->payout_id, "state",
                               cli_enum_name(&payments__v1__payout_state__descriptor, s->state),
                               "reason", s->reason != NULL ? s->reason : "", "reason_text",
                               cli_json_text(s->reason_text != NULL ? s->reason_text : "")));
        }
    }
    return all;
}

static void report_json(payment *p) {
    cli_print_value(json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o}", "sent", 1, "rows",
                              (json_int_t)p->file.n, "accepted",
                              (json_int_t)map_count(p->by_payout), "accepted_earlier",
                              (json_int_t)p->n_earlier, "refused", (json_int_t)p->n_refused,
                              "unanswered", (json_int_t)count_unanswered(p), "sums", report_sums(p),
                              "refusals", refusals_json(p), "unsettled", unsettled_json(p)));
}

static int pay_file(payment *p, const char *path, bool wait) {
    err e = {0};
    bool ok = send_all(p, &e);
    const bool waited = ok && wait;
    if (waited) {
        ok = wait_all(p, &e);
    }
    if (p->c->json) {
        report_json(p);
    } else {
        report_text(p, waited);
    }
    if (!ok) {
        return cli_failed(p->c, "pay the whole file", &e);
    }
    if (p->n_refused > 0) {
        return EXIT_REFUSED;
    }
    if (!wait && !p->c->json) {
        (void)printf("Accepted and on its way. `payctl pay %s` again shows how it stands: nothing "
                     "is paid twice.\n",
                     path);
    }
    return wait && p->by_state[PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED] <
                       map_count(p->by_payout)
               ? EXIT_NOT_SETTLED
               : EXIT_DONE;
}

static int cmd_pay(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"no-wait", no_argument, NULL, 'n'},
                                            {"wait", no_argument, NULL, 'w'},
                                            {"check", no_argument, NULL, 'c'},
                                            {0}};
    bool wait = true, check_only = false;
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        wait = opt == 'n' ? false : opt == 'w' ? true : wait;
        check_only = check_only || opt == 'c';
        if (opt == '?') {
            return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc) {
        return cli_usage("pay takes one file");
    }
    payment p = {.c = c, .started_us = clock_wall_us(clock_system())};
    int code = EXIT_DONE;
    if (!payout_file_read_good(c, argv[optind], &p.file)) {
        code = EXIT_USAGE;
    } else if (check_only && c->json) {
        payout_file_print_json(&p.file);
    } else if (check_only) {
        (void)printf("%zu rows, all good: nothing was sent\n", p.file.n);
    } else {
        p.rows = calloc(p.file.n, sizeof *p.rows);
        p.by_payout = map_create(p.file.n, PAYOUT_FILE_ROWS_MAX);
        ASSERT(p.rows != NULL);
        for (size_t i = 0; i < p.file.n; i++) {
            p.rows[i].row = &p.file.rows[i];
        }
        qsort(p.rows, p.file.n, sizeof *p.rows, by_merchant);
        code = pay_file(&p, argv[optind], wait);
        map_destroy(p.by_payout);
        free(p.rows);
    }
    payout_file_free(&p.file);
    return code;
}

const cli_command COMMAND_PAY = {
    .name = "pay",
    .usage = "FILE.csv|- [--check] [--no-wait]",
    .summary = "check a whole payout file, pay it, and wait until every payout is final",
    .help =
        "Run it again at will: a row that was accepted before is not paid again.\n"
        "  --check               say what is wrong with the file, and send nothing\n"
        "  --no-wait             end as soon as all rows are accepted\n"
        "\n"
        "FILE.csv (- is stdin) is UTF-8, separated by commas, with a header line that has these "
        "columns in any\n"
        "order, each once, and no others: reference, merchant_id, recipient_name, holder_type "
        "(individual,\n"
        "company), rail (ach, instant), currency, amount (12.50: digits and a point), "
        "routing_code, account_number,\n"
        "account_type (checking, savings), description (may be missing). A row has as many cells "
        "as the header line;\n"
        "rows of empty cells are none. If one line is bad, nothing is sent.\n"
        "\n"
        "JSON\n"
        "  {sent: true, rows, accepted, accepted_earlier, refused, unanswered,\n"
        "   sums: [{state, currency, count, sum_minor}],\n"
        "   refusals: [{line, merchant_id, reference, field, reason, error}],\n"
        "   unsettled: [{line, merchant_id, reference, payout_id, state, reason, reason_text}]}\n"
        "  --check, and whatever is given a file with bad lines:\n"
        "  {sent: false, good, bad: [{line, field, reason, error}]}   line 0: the whole file\n",
    .run = cmd_pay,
};
