// payctl: the tool that a person uses.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "cli/cli.h"

static const char HELP[] =
    "payctl - pay people, and see where every payout stands\n"
    "\n"
    "usage: payctl [options] COMMAND ...\n"
    "\n"
    "Commands\n"
    "  pay FILE.csv [--no-wait] [--check]    check the whole file, pay it, and wait until every "
    "payout is final;\n"
    "                                        run it again at will: nothing is paid twice\n"
    "  payout MERCHANT/ID                    one payout: state, attempts, rail references, "
    "timeline\n"
    "  payouts [--merchant M] [--state S]... [--rail R] [--currency C] [--reference X] [--limit N] "
    "[--summary]\n"
    "                                        payouts, newest first; --summary: counts and sums\n"
    "  balance [MERCHANT] [--prove]          available, held, total; --prove: against all ledger "
    "entries\n"
    "  watch MERCHANT | MERCHANT/ID [--until-done]\n"
    "                                        print changes as they happen; --until-done: until no "
    "payout is open\n"
    "  merchants [list]\n"
    "  merchants create ID [--name N] --currency C... | create --from FILE.csv\n"
    "  merchants deposit ID --amount 100.00 --currency C --key K [--reference R] | deposit --from "
    "FILE.csv\n"
    "  cases [--kind K] [--merchant M] [--owner NAME] [--book B] [--all]\n"
    "                                        what a person must look at, oldest first; --all: "
    "resolved ones, too\n"
    "  case BOOK/ID                          one case: what it means, what to do, its history\n"
    "  case BOOK/ID assign NAME | comment TEXT\n"
    "  case BOOK/ID resolve ORDER [--evidence TEXT] [--comment TEXT] [--person NAME]\n"
    "                                        ends it; orders that move money need evidence\n"
    "  report                                do our books, the ledger and the bank agree?\n"
    "\n"
    "Options (and the environment variables that they stand for)\n"
    "  --json                                JSON on stdout and nothing else there: see below\n"
    "  --payments HOST:PORT  PAYCTL_PAYMENTS     --ledger HOST:PORT  PAYCTL_LEDGER\n"
    "  --ca-file PEM         PAYCTL_CA_FILE      --cert-file PEM     PAYCTL_CERT_FILE\n"
    "  --key-file PEM        PAYCTL_KEY_FILE     --server-name NAME  PAYCTL_SERVER_NAME (default: "
    "the host)\n"
    "  --bank HOST:PORT      PAYCTL_BANK         the simulator bank's admin address, for `report`\n"
    "  --insecure                            plaintext, without certificates: never outside of a "
    "laptop\n"
    "  --help, --version\n"
    "\n"
    "FILE.csv has a header line with these columns, in any order: reference, merchant_id, "
    "recipient_name,\n"
    "holder_type (individual, company), rail (ach, instant), currency, amount (12.50), "
    "routing_code,\n"
    "account_number, account_type (checking, savings), description (may be missing).\n"
    "\n"
    "JSON: one object, named as in the protos; amounts are minor units\n"
    "  pay        {sent: true, rows, accepted, accepted_earlier, refused, unanswered,\n"
    "              sums: [{state, currency, count, sum_minor}],\n"
    "              refusals: [{line, merchant_id, reference, reason, error}],\n"
    "              unsettled: [{line, merchant_id, reference, payout_id, state, reason, "
    "reason_text}]}\n"
    "  pay --check, and whatever is given a file with bad lines\n"
    "             {sent: false, good, bad: [{line, field, reason, error}]}   line 0: the whole "
    "file\n"
    "  payout     {payout: {...}, entries: [...]}\n"
    "  payouts    {payouts: [{...}], limit_reached}   --summary: {merchants: [{merchant_id, lines: "
    "[...]}]}\n"
    "  balance    {merchants: [{merchant_id, lines: [...]}]}\n"
    "  watch      one payout a line, each an object\n"
    "  merchants  {merchants: [{...}]}   deposit: {deposits: [{merchant_id, transfer_id, ...}]}\n"
    "  report     {agree, balanced, clearing_empty, states: [...], flows: [...],\n"
    "              trial_balance: [{book_id, sequence, balanced, lines: [...]}]}\n"
    "  cases      {cases: [{...}], limit_reached}\n"
    "  case       {case: {...}, meaning, next_step, resolutions: [...], notes: [...], payout}\n"
    "  A command that was not carried out (exit codes 2 and 3) prints none; one that was stopped "
    "half way\n"
    "  prints what it had done.\n"
    "\n"
    "Exit codes\n"
    "  0  all is well: every payout of the file is settled, every figure agrees\n"
    "  1  carried out, but some payouts are not settled (failed, returned, held), or figures "
    "differ;\n"
    "     watch --until-done: a payout that it showed has failed, was returned or was canceled\n"
    "  2  wrong command line, or a file with bad lines: nothing was sent\n"
    "  3  a service could not be reached or refused the call: the message says why; safe to run "
    "again\n"
    "  4  some rows were refused by the service; the others were taken\n";

typedef struct command {
    const char *name;
    cli_command run;
} command;

static const command COMMANDS[] = {
    {"pay", cmd_pay},         {"payout", cmd_payout}, {"payouts", cmd_payouts},
    {"balance", cmd_balance}, {"watch", cmd_watch},   {"merchants", cmd_merchants},
    {"report", cmd_report},   {"cases", cmd_cases},   {"case", cmd_case},
};

static bool take_option(cli *c, int opt) {
    switch (opt) {
    case 'j': c->json = true; return true;
    case 'i': c->insecure = true; return true;
    case 'p': c->payments = optarg; return true;
    case 'l': c->ledger = optarg; return true;
    case 'a': c->ca_file = optarg; return true;
    case 'c': c->cert_file = optarg; return true;
    case 'k': c->key_file = optarg; return true;
    case 's': c->server_name = optarg; return true;
    case 'b': c->bank = optarg; return true;
    default: return false;
    }
}

// Takes --json out of the command's own words too, where people write it as often.
static int drop_json(cli *c, int argc, char **argv) {
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            c->json = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    return kept;
}

static int run(cli *c, int argc, char **argv) {
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        if (strcmp(argv[0], COMMANDS[i].name) == 0) {
            c->arena = arena_create(CLI_ARENA_MAX);
            rpc_init();
            optind = 0; // getopt begins anew, with the command's own words
            const int code = COMMANDS[i].run(c, argc, argv);
            cli_disconnect(c);
            rpc_shutdown();
            arena_destroy(c->arena);
            return code;
        }
    }
    return cli_usage("there is no command \"%s\"", argv[0]);
}

int main(int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"json", no_argument, NULL, 'j'},           {"insecure", no_argument, NULL, 'i'},
        {"payments", required_argument, NULL, 'p'}, {"ledger", required_argument, NULL, 'l'},
        {"ca-file", required_argument, NULL, 'a'},  {"cert-file", required_argument, NULL, 'c'},
        {"key-file", required_argument, NULL, 'k'}, {"server-name", required_argument, NULL, 's'},
        {"bank", required_argument, NULL, 'b'},     {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},        {0}};
    cli c = {
        .payments = getenv("PAYCTL_PAYMENTS"),
        .ledger = getenv("PAYCTL_LEDGER"),
        .bank = getenv("PAYCTL_BANK"),
        .ca_file = getenv("PAYCTL_CA_FILE"),
        .cert_file = getenv("PAYCTL_CERT_FILE"),
        .key_file = getenv("PAYCTL_KEY_FILE"),
        .server_name = getenv("PAYCTL_SERVER_NAME"),
    };
    int opt = 0;
    log_init("payctl", LOG_ERROR);
    while ((opt = getopt_long(argc, argv, "+h", OPTIONS, NULL)) != -1) {
        if (opt == 'h') {
            (void)fputs(HELP, stdout);
            return EXIT_DONE;
        }
        if (opt == 'v') {
            (void)puts("payctl " DISBURSE_VERSION);
            return EXIT_DONE;
        }
        if (!take_option(&c, opt)) {
            return cli_usage("that option is not known");
        }
    }
    if (optind == argc) {
        (void)fputs(HELP, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[optind], "help") == 0 ||
        (optind + 1 < argc && strcmp(argv[optind + 1], "--help") == 0)) {
        (void)fputs(HELP, stdout);
        return EXIT_DONE;
    }
    return run(&c, drop_json(&c, argc - optind, argv + optind), argv + optind);
}
