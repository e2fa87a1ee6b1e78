// payctl deposits: incoming money, and what became of it.
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/merchant_service.pb-c.h"

#define STATES "PENDING, CREDITED, REFUSED, TAKING_BACK or TAKEN_BACK"

enum { PAGE = 1000, PAGES_MAX = 1000 };

static void add_rows(cli *c, table *t, json_t *list, const Payments__V1__ListDepositsResponse *r) {
    for (size_t i = 0; i < r->n_deposits; i++) {
        const Payments__V1__Deposit *x = r->deposits[i];
        const char *id = arena_printf(c->arena, "%s/%s", x->merchant_id, x->deposit_id);
        const char *state = cli_enum_name(&payments__v1__deposit_state__descriptor, (int)x->state);
        const char *cells[] = {cli_time(c, x->create_time->seconds, x->create_time->nanos),
                               id,
                               cli_money(c, x->amount_minor, x->currency),
                               state,
                               x->reference,
                               x->reason};
        table_row(t, cells);
        const int added = json_array_append_new(list, cli_to_json(&x->base));
        ASSERT(added == 0);
    }
}

static bool read_merchant(cli *c, char *merchant, int state, table *t, json_t *list, err *e) {
    Payments__V1__ListDepositsRequest request = PAYMENTS__V1__LIST_DEPOSITS_REQUEST__INIT;
    request.merchant_id = merchant;
    request.page_size = PAGE;
    request.state = (Payments__V1__DepositState)state;
    for (int page = 0; page < PAGES_MAX; page++) {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, "payments.v1.MerchantService", "ListDeposits", &request.base,
                      &payments__v1__list_deposits_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListDepositsResponse *r =
            (const Payments__V1__ListDepositsResponse *)answer;
        add_rows(c, t, list, r);
        request.page_token = r->next_page_token;
        if (r->next_page_token[0] == '\0') {
            break;
        }
    }
    return true;
}

static int take_back(cli *c, const char *text, char *reason) {
    Payments__V1__TakeBackDepositRequest request = PAYMENTS__V1__TAKE_BACK_DEPOSIT_REQUEST__INIT;
    const char *merchant = NULL, *id = NULL;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    if (reason == NULL || !cli_split_id(c, text, &merchant, &id)) {
        return cli_usage("deposits take-back MERCHANT/DEPOSIT --reason TEXT");
    }
    request.merchant_id = (char *)merchant;
    request.deposit_id = (char *)id;
    request.reason = reason;
    if (!cli_call(c, "payments.v1.MerchantService", "TakeBackDeposit", &request.base,
                  &payments__v1__take_back_deposit_response__descriptor, &answer, &e)) {
        return cli_failed(c, "take the deposit back", &e);
    }
    const Payments__V1__Deposit *x =
        ((const Payments__V1__TakeBackDepositResponse *)answer)->deposit;
    if (c->json) {
        cli_print_value(json_pack("{s:o}", "deposit", cli_to_json(&x->base)));
    } else {
        cli_print(stdout, "%s of %s was taken back\n", cli_money(c, x->amount_minor, x->currency),
                  x->merchant_id);
    }
    return EXIT_DONE;
}

static int cmd_deposits(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"state", required_argument, NULL, 's'}, {"reason", required_argument, NULL, 'r'}, {0}};
    static const char *const TITLES[] = {"time",  "deposit",   "amount",
                                         "state", "reference", "reason"};
    char **merchants = NULL, *reason = NULL;
    size_t n = 0;
    int opt = 0, state = 0;
    table t;
    err e = {0};
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        if (opt == 'r') {
            reason = optarg;
        } else if (!cli_enum_value(&payments__v1__deposit_state__descriptor, optarg, &state)) {
            return cli_usage("--state takes " STATES);
        }
    }
    if (optind + 2 == argc && strcmp(argv[optind], "take-back") == 0) {
        return take_back(c, argv[optind + 1], reason);
    }
    if (optind + 1 < argc) {
        return cli_usage("deposits takes one merchant, or none for all");
    }
    if (!cli_merchants(c, optind < argc ? argv[optind] : NULL, &merchants, &n, &e)) {
        return cli_failed(c, "list the merchants", &e);
    }
    json_t *list = json_array();
    table_begin(&t, 6, 4u, TITLES);
    for (size_t m = 0; m < n; m++) {
        json_t *found = json_array();
        const bool ok = read_merchant(c, merchants[m], state, &t, found, &e);
        const int added = json_array_append_new(
            list, json_pack("{s:s,s:o}", "merchant_id", merchants[m], "deposits", found));
        ASSERT(added == 0);
        if (!ok) {
            table_drop(&t);
            json_decref(list);
            return cli_failed(c, "list the deposits", &e);
        }
    }
    cli_print_merchants(c, list, &t);
    return EXIT_DONE;
}

const cli_command COMMAND_DEPOSITS = {
    .name = "deposits",
    .usage = "[MERCHANT] [--state STATE] | take-back MERCHANT/DEPOSIT --reason TEXT",
    .summary = "money that came in for one merchant or for all, newest first",
    .help =
        "  --state STATE         " STATES "\n"
        "  take-back             records that the bank has taken the deposit back: the money "
        "leaves the merchant's\n"
        "                        balance, and the merchant owes what the balance does not cover\n"
        "  --reason TEXT         why the bank took it back\n"
        "\n"
        "JSON\n"
        "  {merchants: [{merchant_id, deposits: [...]}]}; of take-back {deposit: {...}}\n",
    .run = cmd_deposits,
};
