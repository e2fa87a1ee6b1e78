// payctl balance: the balances of merchants, and with a proof, whether the ledger's entries add up to them.
#include <getopt.h>

#include <jansson.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/merchant_service.pb-c.h"

// False: a proof was asked for, and the entries of some balance do not add up to it.
static bool balance_rows(cli *c, table *t, const char *merchant, bool prove,
                         const Payments__V1__GetBalanceResponse *r) {
    bool all_proven = true;
    for (size_t i = 0; i < r->n_lines; i++) {
        const Payments__V1__BalanceLine *x = r->lines[i];
        const char *proof =
            !prove      ? "-"
            : x->proven ? arena_printf(c->arena, "equals its %lld entries", (long long)x->entries)
                        : "DIFFERS from its entries";
        all_proven = all_proven && (!prove || x->proven);
        const char *cells[] = {merchant,
                               cli_money(c, x->available_minor, x->currency),
                               cli_money(c, x->held_minor, x->currency),
                               cli_money(c, x->total_minor, x->currency),
                               cli_money(c, x->owed_minor, x->currency),
                               proof};
        table_row(t, cells);
    }
    return all_proven;
}

static int cmd_balance(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"prove", no_argument, NULL, 'p'}, {0}};
    static const char *const TITLES[] = {"merchant", "available", "held", "total", "owed", "proof"};
    bool prove = false, all_proven = true;
    char **merchants = NULL;
    size_t n = 0;
    table t;
    err e = {0};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        prove = true;
    }
    if (optind + 1 < argc) {
        return cli_usage("balance takes one merchant, or none for all");
    }
    if (!cli_merchants(c, optind < argc ? argv[optind] : NULL, &merchants, &n, &e)) {
        return cli_failed(c, "list the merchants", &e);
    }
    json_t *list = json_array();
    table_begin(&t, 6, 30u, TITLES);
    for (size_t m = 0; m < n; m++) {
        Payments__V1__GetBalanceRequest request = PAYMENTS__V1__GET_BALANCE_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;
        request.merchant_id = merchants[m];
        request.prove = prove;
        if (!cli_call(c, "payments.v1.MerchantService", "GetBalance", &request.base,
                      &payments__v1__get_balance_response__descriptor, &answer, &e)) {
            table_drop(&t);
            json_decref(list);
            return cli_failed(c, "read the balance", &e);
        }
        cli_append_of_merchant(list, merchants[m], answer);
        all_proven = balance_rows(c, &t, merchants[m], prove,
                                  (const Payments__V1__GetBalanceResponse *)answer) &&
                     all_proven;
    }
    cli_print_merchants(c, list, &t);
    return all_proven ? EXIT_DONE : EXIT_NOT_SETTLED;
}

const cli_command COMMAND_BALANCE = {
    .name = "balance",
    .usage = "[MERCHANT] [--prove]",
    .summary = "available, held, total and owed of one merchant or of all",
    .help = "  --prove               compare each balance with the sum of its ledger entries. Exit "
            "code 1: a balance\n"
            "                        differs\n"
            "\n"
            "JSON\n"
            "  {merchants: [{merchant_id, lines: [...]}]}\n",
    .run = cmd_balance,
};
