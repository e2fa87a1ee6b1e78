// payctl pay: checks a whole file, registers and sends it in bulk, then watches it until it is done.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "cli/pay_internal.h"

enum {
    WATCH_IDS_MAX = 10000,
    // one watch call; the next begins while something is left to wait for
    WATCH_SLICE_MS = 30000,
    PAUSES_ASKED_MAX = 16 // rows of a chunk whose pause is asked for
};

static int by_merchant(const void *a, const void *b) {
    const sent *x = a, *y = b;
    const int order = strcmp(x->row->merchant_id, y->row->merchant_id);
    return order != 0 ? order : (x->row->line > y->row->line) - (x->row->line < y->row->line);
}

// --- waiting ---------------------------------------------------------------------------------------------------------------

static bool is_final(int state) {
    return state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED ||
           state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_FAILED ||
           state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_RETURNED ||
           state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_CANCELED;
}

// A payout that waits for a person will not move while payctl waits.
static bool is_resting(int state) {
    return is_final(state) || state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_HELD;
}

static const char *states_line(payment *p) {
    static char line[160];
    size_t len = 0;
    line[0] = '\0';
    for (int s = 1; s < PAY_STATES; s++) {
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
    for (int s = 1; s < PAY_STATES; s++) {
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
            pay_note_state(p, s, r->payouts[i]);
        }
    }
    progress_set(&p->bar, count_resting(p), states_line(p));
    return count_resting(p) < map_count(p->by_payout);
}

// How many rows from `at` on are of the same merchant, up to what one call watches.
static size_t watch_length(const payment *p, size_t at) {
    size_t n = 1;
    while (n < WATCH_IDS_MAX && at + n < p->file.n &&
           strcmp(p->rows[at + n].row->merchant_id, p->rows[at].row->merchant_id) == 0) {
        n++;
    }
    return n;
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

static bool goes_alike(const payout_row *a, const payout_row *b) {
    return a->rail == b->rail && strcmp(a->connection, b->connection) == 0;
}

// Tells each pause of the row once. An older service sends none.
static void tell_pause(payment *p, const sent *s) {
    Payments__V1__GetPayoutTimelineRequest request =
        PAYMENTS__V1__GET_PAYOUT_TIMELINE_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.merchant_id = (char *)s->row->merchant_id;
    request.payout_id = (char *)s->payout_id;
    if (!cli_call(p->c, "payments.v1.PayoutService", "GetPayoutTimeline", &request.base,
                  &payments__v1__get_payout_timeline_response__descriptor, &answer, &e)) {
        return;
    }
    const Payments__V1__Pause *pause =
        ((const Payments__V1__GetPayoutTimelineResponse *)answer)->pause;
    const char *text = pause == NULL ? "" : cli_pause_text(p->c, pause);
    if (pause != NULL && (p->told_pause == NULL || strcmp(p->told_pause, text) != 0)) {
        p->told_pause = text;
        cli_print(stderr, "%spayctl: payouts of %s wait %s\n",
                  p->bar.terminal && !p->bar.quiet ? "\n" : "", s->row->merchant_id, text);
    }
}

// Asks for one row of each way to a bank.
static void tell_pauses(payment *p, const sent *rows, size_t n) {
    const sent *asked[PAUSES_ASKED_MAX];
    size_t n_asked = 0;
    for (size_t i = 0; i < n && n_asked < PAUSES_ASKED_MAX; i++) {
        bool known = rows[i].payout_id == NULL || is_resting(rows[i].state);
        for (size_t k = 0; !known && k < n_asked; k++) {
            known = goes_alike(asked[k]->row, rows[i].row);
        }
        if (!known) {
            asked[n_asked++] = &rows[i];
            tell_pause(p, &rows[i]);
        }
    }
}

// Begins a broken stream again: the service may be restarting, and the payouts go on meanwhile.
static bool wait_all(payment *p, err *e) {
    bool ok = true;
    int failures = 0;
    progress_begin(&p->bar, p->c, "paying", map_count(p->by_payout));
    for (size_t at = 0, n = 0; ok && at < p->file.n; at += n) {
        n = watch_length(p, at);
        err_clear(e);
        tell_pauses(p, &p->rows[at], n);
        while (ok && !watch_chunk(p, &p->rows[at], n, e)) {
            tell_pauses(p, &p->rows[at], n);
            failures = e->code == ERR_DEADLINE_EXCEEDED ? 0 : failures + 1;
            ok = failures < 20 && (e->code == ERR_UNAVAILABLE || e->code == ERR_DEADLINE_EXCEEDED);
            err_clear(ok ? e : NULL);
        }
    }
    progress_set(&p->bar, count_resting(p), states_line(p));
    progress_end(&p->bar, states_line(p));
    return ok;
}

// Pays the good rows.
static int pay_rows(payment *p, const char *path, bool wait) {
    err e = {0};
    bool ok = pay_send(p, &e);
    const bool waited = ok && wait;
    if (waited) {
        ok = wait_all(p, &e);
    }
    if (p->c->json) {
        pay_report_json(p);
    } else {
        pay_report_text(p, waited);
    }
    if (!ok) {
        return cli_failed(p->c, "pay the whole file", &e);
    }
    if (p->n_refused > 0 || p->file.bad > 0) {
        return EXIT_REFUSED;
    }
    if (!wait && !p->c->json) {
        const char *again = strcmp(path, "-") == 0
                                ? "`payctl pay -` with the same lines"
                                : arena_printf(p->c->arena, "`payctl pay %s`", path);
        cli_print(stdout,
                  "Accepted and on its way. %s again shows how it stands: nothing is paid "
                  "twice.\n",
                  again);
    }
    return wait && p->by_state[PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED] <
                       map_count(p->by_payout)
               ? EXIT_NOT_SETTLED
               : EXIT_DONE;
}

typedef struct asked {
    bool wait, check_only, skip_bad, offline;
} asked;

// The service could not check the rows, so none was sent.
static int not_checked(payment *p, bool check_only, const err *e) {
    if (!check_only && p->c->json) {
        pay_report_json(p);
    } else if (!check_only) {
        pay_report_text(p, false);
    }
    return cli_failed(p->c, "check the file", e);
}

static int check_and_pay(payment *p, const char *path, const asked *q) {
    err e = {0};
    const bool checked = q->offline || pay_check(p, &e);
    pay_file_tell(&p->file, pay_file_name(path));
    if (!checked) {
        // The bad lines are already told. The service's view of the other lines is told the next time.
        if (p->file.bad > 0 && !q->skip_bad && !pay_file_is_good(p->c, &p->file)) {
            (void)cli_failed(p->c, "check the other lines", &e);
            return EXIT_USAGE;
        }
        return not_checked(p, q->check_only, &e);
    }
    const bool pays_some = q->skip_bad && p->file.n > 0 && !q->check_only;
    if (!pays_some && !pay_file_is_good(p->c, &p->file)) {
        return EXIT_USAGE;
    }
    if (!q->check_only) {
        return pay_rows(p, path, q->wait);
    }
    if (p->c->json) {
        pay_file_print_json(&p->file);
    } else {
        cli_print(stdout, "%zu rows, all good: nothing was sent\n", p->file.n);
    }
    return EXIT_DONE;
}

static int pay_file(cli *c, const char *path, const asked *q) {
    payment p = {.c = c, .started_us = clock_wall_us(clock_system())};
    int code = EXIT_USAGE;
    if (pay_file_load(c, path, &p.file)) {
        p.rows = calloc(p.file.n + 1, sizeof *p.rows);
        p.by_payout = map_create(p.file.n + 1, PAYOUT_FILE_ROWS_MAX);
        ASSERT(p.rows != NULL);
        for (size_t i = 0; i < p.file.n; i++) {
            p.rows[i].row = &p.file.rows[i];
        }
        qsort(p.rows, p.file.n, sizeof *p.rows, by_merchant);
        code = check_and_pay(&p, path, q);
        map_destroy(p.by_payout);
        free(p.rows);
    }
    payout_file_free(&p.file);
    return code;
}

static int cmd_pay(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"no-wait", no_argument, NULL, 'n'}, {"wait", no_argument, NULL, 'w'},
        {"check", no_argument, NULL, 'c'},   {"skip-bad", no_argument, NULL, 's'},
        {"offline", no_argument, NULL, 'o'}, {0}};
    asked q = {.wait = true};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'n': q.wait = false; break;
        case 'w': q.wait = true; break;
        case 'c': q.check_only = true; break;
        case 's': q.skip_bad = true; break;
        case 'o': q.offline = true; break;
        default: return EXIT_USAGE;
        }
    }
    if (q.offline && !q.check_only) {
        return cli_usage(
            "--offline goes with --check: what is paid is checked by the service, too");
    }
    return optind + 1 == argc ? pay_file(c, argv[optind], &q) : cli_usage("pay takes one file");
}

const cli_command COMMAND_PAY = {
    .name = "pay",
    .usage = "FILE.csv|- [--check [--offline]] [--skip-bad] [--no-wait]",
    .summary = "check a whole payout file, pay it, and wait until every payout is final",
    .help =
        "The command may be run again: a row that was accepted before is not paid again.\n"
        "  --check               say what is wrong with the file, and send nothing\n"
        "  --check --offline     check without the service; what only the service knows, such as "
        "limits, is not checked\n"
        "  --skip-bad            pay the good lines even if others are bad; the exit code is then "
        "4\n"
        "  --no-wait             end as soon as all rows are accepted\n"
        "\n"
        "FILE.csv (- is stdin) is UTF-8, separated by commas. Its header line has these columns, "
        "in any order, each\n"
        "once, and no others: reference, merchant_id, recipient_name, holder_type (individual,\n"
        "company), rail (ach, instant), currency, amount (12.50: digits and a point), "
        "routing_code, account_number,\n"
        "account_type (checking, savings). Two more columns may be there: description, and "
        "connection (the name of a\n"
        "connection; empty: the rail decides). A row has as many cells as the header line. Rows of "
        "empty cells are\n"
        "skipped. payctl and the service check every line before any payout is sent. If one line "
        "is bad, nothing is sent.\n"
        "\n"
        "JSON\n"
        "  {sent: true, rows, accepted, accepted_earlier, refused, unanswered,\n"
        "   sums: [{state, currency, count, sum_minor}],\n"
        "   refusals: [{line, merchant_id, reference, field, reason, error}],\n"
        "   unsettled: [{line, merchant_id, reference, payout_id, state, reason, reason_text}],\n"
        "   bad: [{line, field, reason, error}]}\n"
        "  With --check, or when the file has bad lines:\n"
        "  {sent: false, good, bad: [{line, field, reason, error}]}   line 0: the whole file\n",
    .run = cmd_pay,
};
