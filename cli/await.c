// payctl await: waits until a payout has reached a state.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "payments/v1/payout_service.pb-c.h"

enum {
    ONE_CALL_MS = 20000, // well within a call's deadline
    WAIT_MAX_MS = 24 * 3600 * 1000
};

// "500ms", "10s", "2m", or seconds without a unit.
static bool read_duration(const char *text, int64_t *ms) {
    char *end = NULL;
    const long long n = text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10) : -1;
    if (n < 0 || n > WAIT_MAX_MS) {
        return false;
    }
    int64_t unit_ms = 0;
    if (strcmp(end, "ms") == 0) {
        unit_ms = 1;
    } else if (strcmp(end, "s") == 0 || end[0] == '\0') {
        unit_ms = 1000;
    } else if (strcmp(end, "m") == 0) {
        unit_ms = 60000;
    }
    *ms = n * unit_ms;
    return unit_ms > 0 && *ms >= 1 && *ms <= WAIT_MAX_MS;
}

// One call after another, each for a part of the time.
static bool wait_for(cli *c, Payments__V1__AwaitPayoutRequest *request, int64_t ms,
                     const Payments__V1__AwaitPayoutResponse **answer, err *e) {
    const int64_t end_ms = clock_mono_ms(clock_system()) + ms;
    for (;;) {
        ProtobufCMessage *got = NULL;
        const int64_t left_ms = end_ms - clock_mono_ms(clock_system());
        request->timeout_ms = left_ms < 1             ? 1
                              : left_ms < ONE_CALL_MS ? (int32_t)left_ms
                                                      : ONE_CALL_MS;
        if (!cli_call(c, "payments.v1.PayoutService", "AwaitPayout", &request->base,
                      &payments__v1__await_payout_response__descriptor, &got, e)) {
            return false;
        }
        *answer = (const Payments__V1__AwaitPayoutResponse *)got;
        if ((*answer)->outcome != PAYMENTS__V1__AWAIT_OUTCOME__AWAIT_OUTCOME_TIMED_OUT ||
            clock_mono_ms(clock_system()) >= end_ms) {
            return true;
        }
    }
}

static int print_answer(cli *c, const Payments__V1__AwaitPayoutResponse *r, int until) {
    const Payments__V1__Payout *p = r->payout;
    const bool reached = r->outcome == PAYMENTS__V1__AWAIT_OUTCOME__AWAIT_OUTCOME_REACHED;
    const bool final = until == PAYMENTS__V1__PAYOUT_MILESTONE__PAYOUT_MILESTONE_FINAL;
    const bool good =
        reached && (!final || p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED);
    if (c->json) {
        cli_print_json(&r->base);
        return good ? EXIT_DONE : EXIT_NOT_SETTLED;
    }
    cli_print(stdout, "%s/%s  %s%s%s\n", p->merchant_id, p->payout_id,
              cli_enum_name(&payments__v1__payout_state__descriptor, (int)p->state),
              p->reason[0] != '\0' ? "  " : "", p->reason);
    if (!reached) {
        cli_print(stdout, "%s %s\n",
                  r->outcome == PAYMENTS__V1__AWAIT_OUTCOME__AWAIT_OUTCOME_MISSED
                      ? "it will not be"
                      : "the time is up, and it is not yet",
                  cli_enum_name(&payments__v1__payout_milestone__descriptor, until));
    }
    return good ? EXIT_DONE : EXIT_NOT_SETTLED;
}

static int cmd_await(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"until", required_argument, NULL, 'u'}, {"timeout", required_argument, NULL, 't'}, {0}};
    Payments__V1__AwaitPayoutRequest request = PAYMENTS__V1__AWAIT_PAYOUT_REQUEST__INIT;
    int until = PAYMENTS__V1__PAYOUT_MILESTONE__PAYOUT_MILESTONE_FINAL;
    int64_t ms = 30000;
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        if (opt == 'u' &&
            !cli_enum_value(&payments__v1__payout_milestone__descriptor, optarg, &until)) {
            return cli_bad_value(OPTIONS, opt, optarg, &payments__v1__payout_milestone__descriptor,
                                 NULL);
        }
        if (opt == 't' && !read_duration(optarg, &ms)) {
            return cli_bad_value(OPTIONS, opt, optarg, NULL,
                                 "a time such as 500ms, 10s or 2m, at most a day");
        }
    }
    const char *merchant = NULL, *id = NULL;
    if (argc - optind != 1 || !cli_split_id(c, argv[optind], &merchant, &id)) {
        return cli_usage("await takes one id, as MERCHANT/UUID");
    }
    const Payments__V1__AwaitPayoutResponse *answer = NULL;
    err e = {0};
    request.merchant_id = (char *)merchant;
    request.payout_id = (char *)id;
    request.until = (Payments__V1__PayoutMilestone)until;
    if (!wait_for(c, &request, ms, &answer, &e)) {
        return cli_failed(c, "wait for the payout", &e);
    }
    return print_answer(c, answer, until);
}

const cli_command COMMAND_AWAIT = {
    .name = "await",
    .usage = "MERCHANT/ID [--until reserved|sent|final] [--timeout 10s]",
    .summary = "wait until a payout is reserved, sent or final",
    .help = "  --until M             reserved: its money is reserved. sent: its bank has it. "
            "final: it is SETTLED,\n"
            "                        FAILED, RETURNED or CANCELED. final if not given\n"
            "  --timeout T           how long, such as 500ms, 10s or 2m; 30s if not given\n"
            "  Exit code 0: the payout has come so far; with --until final: it is SETTLED. 1: the "
            "payout has\n"
            "  ended otherwise, or the time is up.\n"
            "\n"
            "JSON\n"
            "  {outcome: REACHED, MISSED or TIMED_OUT, payout: {...}}\n",
    .run = cmd_await,
};
