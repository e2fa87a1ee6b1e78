// payctl: the tool that a person uses.
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "cli/cli.h"

static const cli_command *const COMMANDS[] = {
    &COMMAND_PAY,         &COMMAND_PAYOUT,        &COMMAND_PAYOUTS,  &COMMAND_WATCH,
    &COMMAND_FEED,        &COMMAND_WHOAMI,        &COMMAND_AWAIT,    &COMMAND_IMPORT,
    &COMMAND_IMPORTS,     &COMMAND_IMPORT_RESULT, &COMMAND_CANCEL,   &COMMAND_BALANCE,
    &COMMAND_DEPOSITS,    &COMMAND_MERCHANTS,     &COMMAND_REPORT,   &COMMAND_CASES,
    &COMMAND_CASE,        &COMMAND_CONNECTIONS,   &COMMAND_RECOVERY, &COMMAND_CONNECTION,
    &COMMAND_SUBMISSIONS, &COMMAND_SUBMISSION,    &COMMAND_INBOX,    &COMMAND_CAPABILITIES,
    &COMMAND_RECIPIENTS,  &COMMAND_PROVE,         &COMMAND_AUDIT,    &COMMAND_KEYS,
};

enum { N_COMMANDS = sizeof COMMANDS / sizeof COMMANDS[0] };

static const char OPTIONS_HELP[] =
    "Options (and the environment variables that they stand for)\n"
    "  --json                                JSON on stdout and nothing else there\n"
    "  --progress                            progress in plain lines where stderr is no terminal\n"
    "  --payments HOST:PORT  PAYCTL_PAYMENTS     --ledger HOST:PORT  PAYCTL_LEDGER\n"
    "  --ca-file PEM         PAYCTL_CA_FILE      --cert-file PEM     PAYCTL_CERT_FILE\n"
    "  --key-file PEM        PAYCTL_KEY_FILE     --server-name NAME  PAYCTL_SERVER_NAME (default: "
    "the host)\n"
    "  --bank HOST:PORT      PAYCTL_BANK         the simulator bank's admin address, for `report`; "
    "of\n"
    "                                            several banks: see `payctl report --help`\n"
    "  --insecure                            plaintext, without certificates: never outside of a "
    "laptop\n"
    "  --help, --version\n";

static const char EXIT_CODES_HELP[] =
    "JSON: one object with the names of the protos; amounts are minor units. `payctl COMMAND "
    "--help`\n"
    "shows its form.\n"
    "  With exit code 2 or 3 there is no JSON, except for the bad lines of a file. A command that "
    "was\n"
    "  stopped half way prints what it had done.\n"
    "\n"
    "Exit codes\n"
    "  0  done: every payout of the file is settled, every figure agrees\n"
    "  1  done, but some payouts are not settled (failed, returned, held), or figures differ\n"
    "  2  the command line is wrong, or a file has bad lines: nothing was sent\n"
    "  3  a service could not be reached or refused the call; the message says why. Safe to run "
    "again\n"
    "  4  the service refused some rows, and took the others\n"
    "  5  done, but stdout could not be written (full disk, closed pipe). Safe to run again\n";

static void print_help(FILE *out) {
    (void)fputs("payctl - pay people, and see where every payout stands\n\n"
                "usage: payctl [options] COMMAND ...\n\nCommands\n",
                out);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        cli_print(out, "  %-13s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
    }
    cli_print(out, "  `payctl COMMAND --help` explains one.\n\n%s\n%s", OPTIONS_HELP,
              EXIT_CODES_HELP);
}

static int print_command_help(const cli_command *command) {
    cli_print(stdout, "usage: payctl [options] %s%s%s\n\n%s\n\n%s\n%s", command->name,
              command->usage[0] != '\0' ? " " : "", command->usage, command->summary, command->help,
              OPTIONS_HELP);
    return EXIT_DONE;
}

static const cli_command *find_command(const char *name) {
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, COMMANDS[i]->name) == 0) {
            return COMMANDS[i];
        }
    }
    return NULL;
}

static bool take_option(cli *c, int opt) {
    switch (opt) {
    case 'j': c->json = true; return true;
    case 'P': c->progress = true; return true;
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

// Takes --json and --progress out of the command's own words too, where people write them as often.
static int drop_options(cli *c, int argc, char **argv) {
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            c->json = true;
        } else if (strcmp(argv[i], "--progress") == 0) {
            c->progress = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    return kept;
}

static bool asks_for_help(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return true;
        }
    }
    return false;
}

static int run(cli *c, int argc, char **argv) {
    if (strcmp(argv[0], "help") == 0 && argc == 1) {
        print_help(stdout);
        return EXIT_DONE;
    }
    const bool help = strcmp(argv[0], "help") == 0;
    if (help && argc > 2) {
        return cli_usage("help takes one command");
    }
    const cli_command *command = find_command(argv[help ? 1 : 0]);
    if (command == NULL) {
        return cli_usage("there is no command \"%s\"", argv[help ? 1 : 0]);
    }
    if (help || asks_for_help(argc, argv)) {
        return print_command_help(command);
    }
    c->arena = arena_create(CLI_ARENA_MAX);
    rpc_init();
    optind = 0; // getopt begins anew, with the command's own words
    const int code = command->run(c, argc, argv);
    cli_disconnect(c);
    rpc_shutdown();
    arena_destroy(c->arena);
    return code;
}

static int run_words(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"json", no_argument, NULL, 'j'},
                                            {"insecure", no_argument, NULL, 'i'},
                                            {"payments", required_argument, NULL, 'p'},
                                            {"ledger", required_argument, NULL, 'l'},
                                            {"ca-file", required_argument, NULL, 'a'},
                                            {"cert-file", required_argument, NULL, 'c'},
                                            {"key-file", required_argument, NULL, 'k'},
                                            {"server-name", required_argument, NULL, 's'},
                                            {"bank", required_argument, NULL, 'b'},
                                            {"progress", no_argument, NULL, 'P'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {0}};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "+h", OPTIONS, NULL)) != -1) {
        if (opt == 'h') {
            print_help(stdout);
            return EXIT_DONE;
        }
        if (opt == 'v') {
            cli_print(stdout, "payctl %s\n", DISBURSE_VERSION);
            return EXIT_DONE;
        }
        if (!take_option(c, opt)) {
            return cli_usage("that option is not known");
        }
    }
    if (optind == argc) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    return run(c, drop_options(c, argc - optind, argv + optind), argv + optind);
}

int main(int argc, char **argv) {
    cli c = {
        .payments = getenv("PAYCTL_PAYMENTS"),
        .ledger = getenv("PAYCTL_LEDGER"),
        .bank = getenv("PAYCTL_BANK"),
        .ca_file = getenv("PAYCTL_CA_FILE"),
        .cert_file = getenv("PAYCTL_CERT_FILE"),
        .key_file = getenv("PAYCTL_KEY_FILE"),
        .server_name = getenv("PAYCTL_SERVER_NAME"),
    };
    log_init("payctl", LOG_ERROR);
    // A pipe that closes is an error of writing, which the end of the program tells: it does not end a run half way.
    (void)signal(SIGPIPE, SIG_IGN);
    return cli_close_output(run_words(&c, argc, argv));
}
