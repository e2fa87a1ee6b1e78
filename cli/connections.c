// payctl connections, connection: the state of the links to the banks, and the brake.
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "payments/v1/connection_service.pb-c.h"

static const char *const CONNECTIONS = "payments.v1.ConnectionService";

static const char *at(cli *c, const Google__Protobuf__Timestamp *t) {
    return t == NULL ? "-" : cli_time(c, t->seconds, t->nanos);
}

static const char *queue_text(cli *c, const Payments__V1__Connection *k) {
    const char *text = "";
    for (size_t i = 0; i < k->n_queue; i++) {
        text = arena_printf(c->arena, "%s%s%s %lld", text, i == 0 ? "" : ", ", k->queue[i]->step,
                            (long long)k->queue[i]->count);
    }
    return text[0] != '\0' ? text : "-";
}

static const char *oldest_text(cli *c, const Payments__V1__Connection *k) {
    const Google__Protobuf__Timestamp *oldest = NULL;
    for (size_t i = 0; i < k->n_queue; i++) {
        if (oldest == NULL || k->queue[i]->oldest_time->seconds < oldest->seconds) {
            oldest = k->queue[i]->oldest_time;
        }
    }
    return at(c, oldest);
}

static const char *numbers_text(cli *c, const Payments__V1__Connection *k) {
    const char *text = "";
    for (size_t i = 0; i < k->n_numbers; i++) {
        text = arena_printf(c->arena, "%s%s%lld %s", text, i == 0 ? "" : ", ",
                            (long long)k->numbers[i]->left, k->numbers[i]->name);
    }
    return text[0] != '\0' ? text : "-";
}

static const char *scope_text(cli *c, const Payments__V1__Pause *p) {
    if (p->connection[0] == '\0' && p->book_id == 0 && p->merchant_id[0] == '\0') {
        return "everything";
    }
    const char *text = p->connection[0] != '\0' ? p->connection : "every connection";
    if (p->book_id != 0) {
        text = arena_printf(c->arena, "%s, book %lld", text, (long long)p->book_id);
    }
    return p->merchant_id[0] != '\0'
               ? arena_printf(c->arena, "%s, merchant %s", text, p->merchant_id)
               : text;
}

// The options of `payctl connection` that name the same pause.
static const char *scope_options(cli *c, const Payments__V1__Pause *p) {
    const char *text = p->connection[0] != '\0' ? p->connection : "all";
    const char *merchant =
        p->merchant_id[0] != '\0' ? arena_printf(c->arena, " --merchant %s", p->merchant_id) : "";
    const char *book =
        p->book_id != 0 ? arena_printf(c->arena, " --book %lld", (long long)p->book_id) : "";
    return arena_printf(c->arena, "%s resume%s%s --reason TEXT", text, merchant, book);
}

const char *cli_pause_text(cli *c, const Payments__V1__Pause *p) {
    static const char FOR[] = " for ";
    const char *person = strstr(p->actor, FOR);
    return arena_printf(c->arena,
                        "until a pause ends: %s, since %s by %s: %s\n"
                        "           payctl connection %s lifts it",
                        scope_text(c, p), at(c, p->since_time),
                        person != NULL ? person + strlen(FOR) : p->actor, p->reason,
                        scope_options(c, p));
}

static void print_connections(cli *c, const Payments__V1__ListConnectionsResponse *r) {
    static const char *const TITLES[] = {"connection", "scheme",       "state", "waiting",
                                         "oldest",     "next cut-off", "left",  "bank last heard"};
    table t;
    table_begin(&t, 8, 0, TITLES);
    for (size_t i = 0; i < r->n_connections; i++) {
        const Payments__V1__Connection *k = r->connections[i];
        const char *cells[] = {
            k->name,
            k->scheme,
            cli_enum_name(&payments__v1__connection_state__descriptor, (int)k->state),
            queue_text(c, k),
            oldest_text(c, k),
            at(c, k->next_cut_off_time),
            numbers_text(c, k),
            at(c, k->last_word_time)};
        table_row(&t, cells);
    }
    table_print(&t);
    for (size_t i = 0; i < r->n_connections; i++) {
        const Payments__V1__Connection *k = r->connections[i];
        if (k->trouble[0] != '\0') {
            cli_print(stdout, "trouble: %s at %s: %s\n", k->name, at(c, k->trouble_time),
                      k->trouble);
        }
    }
    for (size_t i = 0; i < r->n_pauses; i++) {
        const Payments__V1__Pause *p = r->pauses[i];
        cli_print(stdout, "paused: %s since %s by %s: %s\n", scope_text(c, p), at(c, p->since_time),
                  p->actor, p->reason);
    }
}

// ordered: the answer to an order of a caller who may not see all connections. NULL: the caller asked for the list.
static int show(cli *c, const ProtobufCMessage *ordered) {
    Payments__V1__ListConnectionsRequest request = PAYMENTS__V1__LIST_CONNECTIONS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    if (!cli_call(c, CONNECTIONS, "ListConnections", &request.base,
                  &payments__v1__list_connections_response__descriptor, &answer, &e)) {
        if (ordered == NULL || e.code != ERR_PERMISSION_DENIED) {
            return cli_failed(c, "list the connections", &e);
        }
        if (c->json) {
            cli_print_json(ordered);
        } else {
            cli_print(stdout, "done\n");
        }
        return EXIT_DONE;
    }
    if (c->json) {
        cli_print_json(answer);
    } else {
        print_connections(c, (const Payments__V1__ListConnectionsResponse *)answer);
    }
    return EXIT_DONE;
}

static int cmd_connections(cli *c, int argc, char **argv) {
    (void)argv;
    return argc == 1 ? show(c, NULL) : cli_usage("connections takes no words");
}

static const char *joined(cli *c, char *const *words, size_t n) {
    const char *text = "";
    for (size_t i = 0; i < n; i++) {
        text = arena_printf(c->arena, "%s%s%s", text, i == 0 ? "" : ", ", words[i]);
    }
    return text;
}

// Each sum has the number of decimals of its currency.
static const char *limit_text(cli *c, const Payments__V1__Capability *k) {
    return k->n_currencies > 0 ? cli_money(c, k->amount_minor_max, k->currencies[0]) : "-";
}

static void print_capabilities(cli *c, const Payments__V1__GetCapabilitiesResponse *r) {
    static const char *const TITLES[] = {"connection", "scheme",       "currencies", "at most",
                                         "pays to",    "from account", "settled by", "finality"};
    table t;
    table_begin(&t, 8, 8u, TITLES);
    for (size_t i = 0; i < r->n_capabilities; i++) {
        const Payments__V1__Capability *k = r->capabilities[i];
        const char *cells[] = {k->connection,
                               k->scheme,
                               joined(c, k->currencies, k->n_currencies),
                               limit_text(c, k),
                               joined(c, k->instruments, k->n_instruments),
                               k->bank_account,
                               k->settlement,
                               k->finality};
        table_row(&t, cells);
    }
    table_print(&t);
}

static int cmd_capabilities(cli *c, int argc, char **argv) {
    Payments__V1__GetCapabilitiesRequest request = PAYMENTS__V1__GET_CAPABILITIES_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    (void)argv;
    if (argc != 1) {
        return cli_usage("capabilities takes no words");
    }
    if (!cli_call(c, CONNECTIONS, "GetCapabilities", &request.base,
                  &payments__v1__get_capabilities_response__descriptor, &answer, &e)) {
        return cli_failed(c, "read the capabilities", &e);
    }
    if (c->json) {
        cli_print_json(answer);
    } else {
        print_capabilities(c, (const Payments__V1__GetCapabilitiesResponse *)answer);
    }
    return EXIT_DONE;
}

typedef struct brake {
    const char *connection, *merchant, *reason, *person;
    int64_t book;
} brake;

static bool pause_it(cli *c, const brake *b, ProtobufCMessage **answer, err *e) {
    Payments__V1__PauseConnectionRequest r = PAYMENTS__V1__PAUSE_CONNECTION_REQUEST__INIT;
    r.connection = (char *)b->connection;
    r.merchant_id = (char *)b->merchant;
    r.book_id = b->book;
    r.reason = (char *)b->reason;
    r.person = (char *)cli_person(c, b->person);
    return cli_call(c, CONNECTIONS, "PauseConnection", &r.base,
                    &payments__v1__pause_connection_response__descriptor, answer, e);
}

static bool resume_it(cli *c, const brake *b, ProtobufCMessage **answer, err *e) {
    Payments__V1__ResumeConnectionRequest r = PAYMENTS__V1__RESUME_CONNECTION_REQUEST__INIT;
    r.connection = (char *)b->connection;
    r.merchant_id = (char *)b->merchant;
    r.book_id = b->book;
    r.reason = (char *)b->reason;
    r.person = (char *)cli_person(c, b->person);
    return cli_call(c, CONNECTIONS, "ResumeConnection", &r.base,
                    &payments__v1__resume_connection_response__descriptor, answer, e);
}

static int cmd_connection(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"reason", required_argument, NULL, 'r'},
                                            {"merchant", required_argument, NULL, 'm'},
                                            {"book", required_argument, NULL, 'b'},
                                            {"person", required_argument, NULL, 'p'},
                                            {0}};
    brake b = {.merchant = "", .reason = "", .person = NULL};
    ProtobufCMessage *answer = NULL;
    err e = {0};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'r': b.reason = optarg; break;
        case 'm': b.merchant = optarg; break;
        case 'p': b.person = optarg; break;
        case 'b':
            if (!str_to_i64(str_of(optarg), 0, INT64_MAX, &b.book)) {
                return cli_usage("\"%s\" is not a book", optarg);
            }
            break;
        default: return EXIT_USAGE;
        }
    }
    const bool pauses = optind + 2 == argc && strcmp(argv[optind + 1], "pause") == 0;
    const bool resumes = optind + 2 == argc && strcmp(argv[optind + 1], "resume") == 0;
    if ((!pauses && !resumes) || b.reason[0] == '\0') {
        return cli_usage("connection NAME pause|resume --reason TEXT; NAME may be all");
    }
    b.connection = strcmp(argv[optind], "all") == 0 ? "" : argv[optind];
    if (!(pauses ? pause_it(c, &b, &answer, &e) : resume_it(c, &b, &answer, &e))) {
        return cli_failed(c, pauses ? "pause" : "resume", &e);
    }
    const bool changed = pauses ? ((const Payments__V1__PauseConnectionResponse *)answer)->changed
                                : ((const Payments__V1__ResumeConnectionResponse *)answer)->changed;
    if (!changed) {
        cli_print(stderr, "%s: a pause is named by its connection, --merchant and --book\n",
                  pauses ? "it was paused before, and keeps its first reason"
                         : "nothing was paused so");
    }
    return show(c, answer);
}

// --- a recovery --------------------------------------------------------------------------------------------------------------

static void print_recovery(cli *c, const Payments__V1__GetRecoveryResponse *r) {
    if (r->under_way) {
        cli_print(stdout,
                  "recovery %s since %s: %s\nnothing is sent until all of it was compared:\n",
                  r->recovery_id, at(c, r->since_time), r->why);
        for (size_t i = 0; i < r->n_parts; i++) {
            cli_print(stdout, "  %s: %lld left\n", r->parts[i]->name, (long long)r->parts[i]->left);
        }
        return;
    }
    cli_print(stdout, "no recovery is under way\n");
    if (r->recovery_id[0] != '\0') {
        cli_print(stdout, "the last one, %s (%s), ended %s%s%s\n", r->recovery_id, r->why,
                  at(c, r->ended_time), r->ended_by[0] != '\0' ? " by force: " : "", r->ended_by);
    }
}

static int cmd_recovery(cli *c, int argc, char **argv) {
    Payments__V1__GetRecoveryRequest request = PAYMENTS__V1__GET_RECOVERY_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    (void)argv;
    if (argc != 1) {
        return cli_usage("recovery takes no words");
    }
    if (!cli_call(c, CONNECTIONS, "GetRecovery", &request.base,
                  &payments__v1__get_recovery_response__descriptor, &answer, &e)) {
        return cli_failed(c, "ask for the recovery", &e);
    }
    if (c->json) {
        cli_print_json(answer);
    } else {
        print_recovery(c, (const Payments__V1__GetRecoveryResponse *)answer);
    }
    return EXIT_DONE;
}

// --- commands --------------------------------------------------------------------------------------------------------------

const cli_command COMMAND_CONNECTIONS = {
    .name = "connections",
    .usage = "",
    .summary = "the links to the banks: state, waiting payouts, pauses",
    .help = "JSON\n"
            "  {connections: [{...}], pauses: [{...}]}\n",
    .run = cmd_connections,
};

const cli_command COMMAND_CONNECTION = {
    .name = "connection",
    .usage = "NAME|all pause|resume --reason TEXT [--merchant M] [--book B] [--person NAME]",
    .summary = "the brake: stops a connection, a merchant, a book or everything",
    .help = "  pause                 stops reserving and sending; what banks say is still recorded "
            "and applied\n"
            "  resume                ends the pause of the same connection, merchant and book\n"
            "  --reason TEXT         why; must be given\n"
            "  --merchant M, --book B\n"
            "                        only this merchant, only this book\n"
            "  --person NAME         who gives the order, if the service does not know; else the "
            "login name\n"
            "\n"
            "JSON\n"
            "  {connections: [{...}], pauses: [{...}]}\n",
    .run = cmd_connection,
};

const cli_command COMMAND_RECOVERY = {
    .name = "recovery",
    .usage = "",
    .summary = "how much is still to be compared with the banks after a failover or a restore",
    .help = "JSON\n"
            "  {under_way, recovery_id, why, parts: [{name, left}], ...}\n",
    .run = cmd_recovery,
};

const cli_command COMMAND_CAPABILITIES = {
    .name = "capabilities",
    .usage = "",
    .summary = "what the connections carry: currencies, limits, how settlement is known",
    .help = "JSON\n"
            "  {capabilities: [{connection, scheme, currencies, amount_minor_max, instruments, "
            "...}]}\n",
    .run = cmd_capabilities,
};
