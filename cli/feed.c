// payctl feed: events of payouts, in order.
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/feed_service.pb-c.h"

enum { FEED_MS = 24 * 3600 * 1000, STATES_MAX = 10 };

static const char *const FEED = "payments.v1.FeedService";

static const char *name_of(Payments__V1__PayoutState s) {
    return (int)s == 0 ? "new" : cli_enum_name(&payments__v1__payout_state__descriptor, (int)s);
}

static bool on_entries(void *arg, const ProtobufCMessage *m) {
    cli *c = arg;
    const Payments__V1__ReadResponse *r = (const Payments__V1__ReadResponse *)m;
    for (size_t i = 0; i < r->n_entries; i++) {
        const Payments__V1__FeedEntry *x = r->entries[i];
        if (c->json) {
            cli_print_json_line(&x->base);
        } else {
            cli_print(stdout, "%10lld  %s  %-10s  %-10s  %s/%s  %s\n", (long long)x->position,
                      cli_time(c, x->at->seconds, x->at->nanos), name_of(x->from_state),
                      name_of(x->to_state), x->merchant_id[0] != '\0' ? x->merchant_id : "-",
                      x->payout_id, x->reason);
        }
    }
    arena_reset(c->arena); // a follower may run for days
    return cli_output_ok();
}

static bool number(const char *text, int64_t *out) {
    char *end = NULL;
    const long long n = strtoll(text, &end, 10);
    *out = n;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static int cmd_feed(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"merchant", required_argument, NULL, 'm'}, {"book", required_argument, NULL, 'b'},
        {"from", required_argument, NULL, 'f'},     {"state", required_argument, NULL, 's'},
        {"follow", no_argument, NULL, 'w'},         {0}};
    Payments__V1__ReadRequest request = PAYMENTS__V1__READ_REQUEST__INIT;
    Payments__V1__PayoutState states[STATES_MAX];
    err e = {0};
    int opt = 0;
    request.states = states;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        int value = 0;
        if (opt == '?') {
            return EXIT_USAGE;
        }
        if (opt == 'm') {
            request.merchant_id = optarg;
        } else if (opt == 'w') {
            request.follow = true;
        } else if (opt == 's') {
            if (request.n_states == STATES_MAX ||
                !cli_enum_value(&payments__v1__payout_state__descriptor, optarg, &value)) {
                return cli_bad_value(OPTIONS, opt, optarg, &payments__v1__payout_state__descriptor,
                                     NULL);
            }
            states[request.n_states++] = (Payments__V1__PayoutState)value;
        } else if (!number(optarg, opt == 'b' ? &request.book_id : &request.after_position)) {
            return cli_bad_value(OPTIONS, opt, optarg, NULL, "a number");
        }
    }
    if (optind != argc || (request.merchant_id[0] == '\0' && request.book_id == 0)) {
        return cli_usage("feed takes --merchant M or --book N");
    }
    if (!cli_stream(c, FEED, "Read", &request.base, &payments__v1__read_response__descriptor,
                    FEED_MS, on_entries, c, &e)) {
        return cli_failed(c, "feed", &e);
    }
    return EXIT_DONE;
}

const cli_command COMMAND_FEED = {
    .name = "feed",
    .usage = "--merchant M | --book N [--from POSITION] [--state S]... [--follow]",
    .summary = "what happened to payouts, each change once and in order",
    .help = "  --merchant M          changes of this merchant's payouts\n"
            "  --book N              changes of all payouts of this book\n"
            "  --from POSITION       changes behind this position; give the last position that was "
            "printed. From the\n"
            "                        beginning if not given\n"
            "  --state S             only changes to this state; may be repeated\n"
            "  --follow              wait at the end and print new changes, until interrupted\n"
            "\n"
            "JSON\n"
            "  one change a line: {position, at, payout_id, merchant_id, from_state, to_state, "
            "reason}\n",
    .run = cmd_feed,
};
