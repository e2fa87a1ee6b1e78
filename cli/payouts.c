// payctl payout, payouts, watch: where payouts stand.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/payout_service.pb-c.h"

enum { WATCH_MS = 24 * 3600 * 1000, STATES_MAX = 10 };

static const char *const PAYOUTS = "payments.v1.PayoutService";

static const char *state_name(Payments__V1__PayoutState s) {
    return cli_enum_name(&payments__v1__payout_state__descriptor, (int)s);
}

static const char *rail_name(Payments__V1__Rail r) {
    return cli_enum_name(&payments__v1__rail__descriptor, (int)r);
}

static const char *full_id(cli *c, const Payments__V1__Payout *p) {
    return arena_printf(c->arena, "%s/%s", p->merchant_id, p->payout_id);
}

// --- payout ----------------------------------------------------------------------------------------------------------------

static void print_payout(cli *c, const Payments__V1__Payout *p) {
    cli_print(stdout, "payout     %s\n", full_id(c, p));
    cli_print(stdout, "state      %s%s%s\n", state_name(p->state), p->reason[0] != '\0' ? "  " : "",
              p->reason);
    if (p->reason_text[0] != '\0') {
        cli_print(stdout, "           %s\n", p->reason_text);
    }
    cli_print(stdout, "amount     %s by %s\n", cli_money(c, p->amount_minor, p->currency),
              rail_name(p->rail));
    if (p->fee_minor > 0) {
        const bool is_free = p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_FAILED ||
                             p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_CANCELED;
        cli_print(stdout, "fee        %s%s\n", cli_money(c, p->fee_minor, p->currency),
                  is_free ? " (not charged)" : "");
    }
    if (p->returned_minor > 0) {
        cli_print(stdout, "came back  %s\n", cli_money(c, p->returned_minor, p->currency));
    }
    cli_print(stdout, "through    %s\n", p->connection);
    cli_print(stdout, "recipient  %s\n", p->recipient_id);
    cli_print(stdout, "reference  %s\n",
              p->external_reference[0] != '\0' ? p->external_reference : "-");
    cli_print(stdout, "attempts   %d\n", p->attempts);
    cli_print(stdout, "rail ref.  %s\n", p->rail_reference[0] != '\0' ? p->rail_reference : "-");
    cli_print(stdout, "created    %s\n",
              cli_time(c, p->create_time->seconds, p->create_time->nanos));
    cli_print(stdout, "changed    %s\n",
              cli_time(c, p->update_time->seconds, p->update_time->nanos));
}

// " by ada" of an order that was given for a person, else by which program; "" of anything else.
static const char *by_whom(cli *c, const char *actor) {
    static const char FOR[] = " for ";
    const char *person = strstr(actor, FOR);
    return actor[0] == '\0'
               ? ""
               : arena_printf(c->arena, " by %s", person != NULL ? person + strlen(FOR) : actor);
}

static void print_timeline(cli *c, const Payments__V1__GetPayoutTimelineResponse *r) {
    static const char *const TITLES[] = {"time", "step", "what", "outcome", "attempt", "detail"};
    table t;
    cli_print(stdout, "\ntimeline\n");
    table_begin(&t, 6, 16u, TITLES);
    for (size_t i = 0; i < r->n_entries; i++) {
        const Payments__V1__TimelineEntry *x = r->entries[i];
        const char *detail = arena_printf(
            c->arena, "%s%s%s%s%s%s%s%s%s%s%s%s%s", x->control[0] != '\0' ? "control " : "",
            x->control, x->control[0] != '\0' ? ": " : "", x->reason,
            x->reason[0] != '\0' ? " " : "", x->detail, x->amount_minor > 0 ? " of " : "",
            x->amount_minor > 0 ? cli_money(c, x->amount_minor, r->payout->currency) : "",
            x->rail_reference[0] != '\0' ? " rail " : "", x->rail_reference,
            x->ledger_transfer_id[0] != '\0' ? " ledger " : "", x->ledger_transfer_id,
            by_whom(c, x->actor));
        const char *cells[] = {cli_time(c, x->time->seconds, x->time->nanos),
                               x->step,
                               x->kind,
                               x->outcome,
                               x->attempt > 0 ? arena_printf(c->arena, "%d", x->attempt) : "",
                               detail};
        table_row(&t, cells);
    }
    table_print(&t);
}

static int cmd_payout(cli *c, int argc, char **argv) {
    Payments__V1__GetPayoutTimelineRequest request =
        PAYMENTS__V1__GET_PAYOUT_TIMELINE_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    const char *merchant = NULL, *id = NULL;
    err e = {0};
    if (argc != 2 || !cli_split_id(c, argv[1], &merchant, &id)) {
        return cli_usage("payout takes one id, as MERCHANT/UUID");
    }
    request.merchant_id = (char *)merchant;
    request.payout_id = (char *)id;
    if (!cli_call(c, PAYOUTS, "GetPayoutTimeline", &request.base,
                  &payments__v1__get_payout_timeline_response__descriptor, &answer, &e)) {
        return cli_failed(c, "show the payout", &e);
    }
    if (c->json) {
        cli_print_json(answer);
    } else {
        const Payments__V1__GetPayoutTimelineResponse *r =
            (const Payments__V1__GetPayoutTimelineResponse *)answer;
        print_payout(c, r->payout);
        if (r->created_by != NULL) {
            cli_print(stdout, "by         %s\n", r->created_by->actor);
            cli_print(stdout, "request    %s\n", r->created_by->request_id);
        }
        if (r->pause != NULL) {
            cli_print(stdout, "waits      %s\n", cli_pause_text(c, r->pause));
        }
        if (r->submission_id[0] != '\0') {
            cli_print_submission_of_payout(c, r->submission_id);
        }
        cli_print_cases_of_payout(c, merchant, id);
        cli_print_calls_of_payout(c, merchant, id);
        print_timeline(c, r);
    }
    return EXIT_DONE;
}

// --- payouts ---------------------------------------------------------------------------------------------------------------

typedef struct payouts_asked {
    const char *merchant;
    long limit;
    bool summary;
    Payments__V1__PayoutState states[STATES_MAX];
    Payments__V1__ListPayoutsRequest filter;
} payouts_asked;

static void payouts_row(cli *c, table *t, const Payments__V1__Payout *p) {
    const char *cells[] = {full_id(c, p),         state_name(p->state),
                           p->connection,         cli_money(c, p->amount_minor, p->currency),
                           p->external_reference, p->reason};
    table_row(t, cells);
}

static int list_payouts(cli *c, payouts_asked *q, char **merchants, size_t n_merchants) {
    static const char *const TITLES[] = {"payout", "state",     "through",
                                         "amount", "reference", "reason"};
    Payments__V1__ListPayoutsResponse all = PAYMENTS__V1__LIST_PAYOUTS_RESPONSE__INIT;
    table t;
    err e = {0};
    all.payouts = ARENA_ARRAY(c->arena, Payments__V1__Payout *, (size_t)q->limit);
    if (all.payouts == NULL) {
        return cli_usage("--limit is too large");
    }
    for (size_t m = 0; m < n_merchants && all.n_payouts < (size_t)q->limit; m++) {
        Payments__V1__ListPayoutsRequest request = q->filter;
        request.merchant_id = merchants[m];
        do {
            ProtobufCMessage *answer = NULL;
            const size_t left = (size_t)q->limit - all.n_payouts;
            request.page_size = left > 1000 ? 1000 : (int32_t)left;
            if (!cli_call(c, PAYOUTS, "ListPayouts", &request.base,
                          &payments__v1__list_payouts_response__descriptor, &answer, &e)) {
                return cli_failed(c, "list the payouts", &e);
            }
            const Payments__V1__ListPayoutsResponse *r =
                (const Payments__V1__ListPayoutsResponse *)answer;
            for (size_t i = 0; i < r->n_payouts && all.n_payouts < (size_t)q->limit; i++) {
                all.payouts[all.n_payouts++] = r->payouts[i];
            }
            request.page_token = r->next_page_token;
        } while (request.page_token[0] != '\0' && all.n_payouts < (size_t)q->limit);
    }
    if (c->json) {
        cli_print_rows(&all.base, all.n_payouts == (size_t)q->limit);
        return EXIT_DONE;
    }
    table_begin(&t, 6, 8u, TITLES);
    for (size_t i = 0; i < all.n_payouts; i++) {
        payouts_row(c, &t, all.payouts[i]);
    }
    table_print(&t);
    cli_print(stdout, "%zu payout(s)%s\n", all.n_payouts,
              all.n_payouts == (size_t)q->limit ? "; there may be more: --limit N" : "");
    return EXIT_DONE;
}

static int summarize_payouts(cli *c, char **merchants, size_t n_merchants) {
    static const char *const TITLES[] = {"merchant", "state", "through", "payouts", "sum"};
    json_t *list = json_array();
    table t;
    err e = {0};
    table_begin(&t, 5, 24u, TITLES);
    for (size_t m = 0; m < n_merchants; m++) {
        Payments__V1__SummarizePayoutsRequest request =
            PAYMENTS__V1__SUMMARIZE_PAYOUTS_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;
        request.merchant_id = merchants[m];
        if (!cli_call(c, PAYOUTS, "SummarizePayouts", &request.base,
                      &payments__v1__summarize_payouts_response__descriptor, &answer, &e)) {
            table_drop(&t);
            json_decref(list);
            return cli_failed(c, "summarize the payouts", &e);
        }
        const Payments__V1__SummarizePayoutsResponse *r =
            (const Payments__V1__SummarizePayoutsResponse *)answer;
        cli_append_of_merchant(list, merchants[m], answer);
        for (size_t i = 0; i < r->n_lines; i++) {
            const Payments__V1__PayoutSummaryLine *x = r->lines[i];
            const char *cells[] = {merchants[m], state_name(x->state), x->connection,
                                   arena_printf(c->arena, "%lld", (long long)x->count),
                                   cli_money_text(c, x->sum_minor, x->currency)};
            table_row(&t, cells);
        }
    }
    cli_print_merchants(c, list, &t);
    return EXIT_DONE;
}

static bool payouts_option(payouts_asked *q, int opt, const char *value) {
    int n = 0;
    char *end = NULL;
    switch (opt) {
    case 'm': q->merchant = value; return true;
    case 'c': q->filter.currency = (char *)value; return true;
    case 'k': q->filter.connection = (char *)value; return true;
    case 'x': q->filter.external_reference = (char *)value; return true;
    case 'u': q->summary = true; return true;
    case 'l':
        q->limit = strtol(value, &end, 10);
        return *end == '\0' && q->limit >= 1 && q->limit <= 1000000;
    case 'r':
        if (cli_enum_value(&payments__v1__rail__descriptor, value, &n)) {
            q->filter.rail = (Payments__V1__Rail)n;
            return true;
        }
        return false;
    case 's':
        if (q->filter.n_states < STATES_MAX &&
            cli_enum_value(&payments__v1__payout_state__descriptor, value, &n)) {
            q->states[q->filter.n_states++] = (Payments__V1__PayoutState)n;
            return true;
        }
        return false;
    default: return false;
    }
}

static int cmd_payouts(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"merchant", required_argument, NULL, 'm'},
                                            {"state", required_argument, NULL, 's'},
                                            {"rail", required_argument, NULL, 'r'},
                                            {"currency", required_argument, NULL, 'c'},
                                            {"reference", required_argument, NULL, 'x'},
                                            {"limit", required_argument, NULL, 'l'},
                                            {"summary", no_argument, NULL, 'u'},
                                            {"connection", required_argument, NULL, 'k'},
                                            {0}};
    payouts_asked q = {.limit = 50, .filter = PAYMENTS__V1__LIST_PAYOUTS_REQUEST__INIT};
    char **merchants = NULL;
    size_t n = 0;
    err e = {0};
    int opt = 0;
    q.filter.states = q.states;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        if (!payouts_option(&q, opt, optarg)) {
            return cli_bad_value(OPTIONS, opt, optarg,
                                 opt == 's'   ? &payments__v1__payout_state__descriptor
                                 : opt == 'r' ? &payments__v1__rail__descriptor
                                              : NULL,
                                 "a number from 1 to 1,000,000");
        }
    }
    if (optind != argc) {
        return cli_usage("payouts takes options only");
    }
    if (!cli_merchants(c, q.merchant, &merchants, &n, &e)) {
        return cli_failed(c, "list the merchants", &e);
    }
    return q.summary ? summarize_payouts(c, merchants, n) : list_payouts(c, &q, merchants, n);
}

// --- watch -----------------------------------------------------------------------------------------------------------------

typedef struct watching {
    cli *c;
    bool one_failed; // one has ended otherwise than SETTLED
} watching;

static bool on_change(void *arg, const ProtobufCMessage *m) {
    watching *w = arg;
    cli *c = w->c;
    const Payments__V1__WatchPayoutsResponse *r = (const Payments__V1__WatchPayoutsResponse *)m;
    for (size_t i = 0; i < r->n_payouts; i++) {
        const Payments__V1__Payout *p = r->payouts[i];
        w->one_failed = w->one_failed ||
                        p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_FAILED ||
                        p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_RETURNED ||
                        p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_CANCELED;
        if (c->json) {
            cli_print_json_line(&p->base);
        } else {
            cli_print(stdout, "%s  %-10s %-8s %16s  %s/%s %s\n",
                      cli_time(c, p->update_time->seconds, p->update_time->nanos),
                      state_name(p->state), rail_name(p->rail),
                      cli_money(c, p->amount_minor, p->currency), p->merchant_id, p->payout_id,
                      p->reason);
        }
    }
    arena_reset(c->arena);  // a watch may run for days
    return cli_output_ok(); // nobody reads any more: nothing to watch for
}

static int cmd_watch(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"until-done", no_argument, NULL, 'u'}, {0}};
    Payments__V1__WatchPayoutsRequest request = PAYMENTS__V1__WATCH_PAYOUTS_REQUEST__INIT;
    char merchant_text[128];
    watching w = {.c = c};
    err e = {0};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        request.until_terminal = true;
    }
    const char *merchant = NULL, *id = NULL;
    if (optind + 1 != argc) {
        return cli_usage("watch takes a merchant, or one payout as MERCHANT/UUID");
    }
    char *ids[1];
    char id_text[64];
    if (cli_split_id(c, argv[optind], &merchant, &id)) {
        (void)snprintf(id_text, sizeof id_text, "%s", id);
        ids[0] = id_text;
        request.payout_ids = ids;
        request.n_payout_ids = 1;
    }
    (void)snprintf(merchant_text, sizeof merchant_text, "%s",
                   merchant != NULL ? merchant : argv[optind]);
    request.merchant_id = merchant_text;
    if (!cli_stream(c, PAYOUTS, "WatchPayouts", &request.base,
                    &payments__v1__watch_payouts_response__descriptor, WATCH_MS, on_change, &w,
                    &e)) {
        return cli_failed(c, "watch", &e);
    }
    return w.one_failed ? EXIT_NOT_SETTLED : EXIT_DONE;
}

// --- commands --------------------------------------------------------------------------------------------------------------

const cli_command COMMAND_PAYOUT = {
    .name = "payout",
    .usage = "MERCHANT/ID",
    .summary = "one payout: state, attempts, references of its bank, timeline",
    .help = "JSON\n"
            "  {payout: {...}, entries: [...], submission_id, pause: {...} or null, created_by: "
            "{...} or null}\n",
    .run = cmd_payout,
};

const cli_command COMMAND_PAYOUTS = {
    .name = "payouts",
    .usage =
        "[--merchant M] [--state S]... [--rail R] [--connection K] [--currency C] [--reference X] "
        "[--limit N] [--summary]",
    .summary = "payouts, newest first, or counts and sums of them",
    .help = "  --merchant M          payouts of this merchant; without it, of all merchants, one "
            "after the other\n"
            "  --state S             PENDING, PROCESSING, SENT, SETTLED, FAILED, RETURNED, HELD "
            "...; may be repeated\n"
            "  --rail R, --connection K, --currency C, --reference X\n"
            "                        only payouts of this rail, connection, currency or external "
            "reference\n"
            "  --limit N             the newest N payouts, 1 to 1,000,000; 50 if not given\n"
            "  --summary             counts and sums by merchant, state, connection and currency\n"
            "\n"
            "JSON\n"
            "  {payouts: [{...}], limit_reached}   --summary: {merchants: [{merchant_id, lines: "
            "[...]}]}\n",
    .run = cmd_payouts,
};

const cli_command COMMAND_WATCH = {
    .name = "watch",
    .usage = "MERCHANT | MERCHANT/ID [--until-done]",
    .summary = "print changes of payouts as they happen",
    .help = "  --until-done          end when no payout is open. Exit code 1: a payout that was "
            "shown has failed, was\n"
            "                        returned or was canceled\n"
            "\n"
            "JSON\n"
            "  one payout a line, each an object\n",
    .run = cmd_watch,
};
