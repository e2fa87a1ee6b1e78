// payctl cancel: asks that a payout not be sent.
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "payments/v1/payout_service.pb-c.h"

static int cmd_cancel(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"reason", required_argument, NULL, 'r'}, {"person", required_argument, NULL, 'p'}, {0}};
    Payments__V1__CancelPayoutRequest request = PAYMENTS__V1__CANCEL_PAYOUT_REQUEST__INIT;
    const char *person = NULL;
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'r': request.reason = optarg; break;
        case 'p': person = optarg; break;
        default: return EXIT_USAGE;
        }
    }
    const char *merchant = NULL, *id = NULL;
    if (argc - optind != 1 || !cli_split_id(c, argv[optind], &merchant, &id)) {
        return cli_usage("cancel takes one id, as MERCHANT/UUID");
    }
    request.merchant_id = (char *)merchant;
    request.payout_id = (char *)id;
    request.person = (char *)cli_person(c, person);
    ProtobufCMessage *answer = NULL;
    err e = {0};
    if (!cli_call(c, "payments.v1.PayoutService", "CancelPayout", &request.base,
                  &payments__v1__cancel_payout_response__descriptor, &answer, &e)) {
        return cli_failed(c, "cancel the payout", &e);
    }
    if (c->json) {
        cli_print_json(answer);
        return EXIT_DONE;
    }
    const Payments__V1__Payout *p = ((Payments__V1__CancelPayoutResponse *)answer)->payout;
    cli_print(stdout, "%s/%s is canceled%s\n", p->merchant_id, p->payout_id,
              p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_CANCELED
                  ? ""
                  : ": its money is free again in a moment, or, if its connection or merchant is "
                    "paused, once that is resumed");
    return EXIT_DONE;
}

const cli_command COMMAND_CANCEL = {
    .name = "cancel",
    .usage = "MERCHANT/ID [--reason TEXT] [--person NAME]",
    .summary = "cancel a payout that has not been sent",
    .help = "  --reason TEXT         why; shown with the payout\n"
            "  --person NAME         who gives the order, if the service does not know; else the "
            "login name\n"
            "  Exit code 3: refused, because the bank has the payout or may have it. A repeat is "
            "safe.\n"
            "\n"
            "JSON\n"
            "  {payout: {...}}\n",
    .run = cmd_cancel,
};
