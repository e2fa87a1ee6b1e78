// payctl cases, case: work that a person must look at, and the orders about it.
#include <getopt.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/uuid.h"
#include "cli/cli.h"
#include "payments/v1/case_service.pb-c.h"
#include "payments/v1/inbox_service.pb-c.h"

static const char *const CASES = "payments.v1.CaseService";

enum { CASES_PAGE = 1000, CASES_SHOWN_MAX = 10000 };

static const char *state_name(Payments__V1__CaseState s) {
    return cli_enum_name(&payments__v1__case_state__descriptor, (int)s);
}

static const char *case_id(cli *c, const Payments__V1__Case *k) {
    return arena_printf(c->arena, "%lld/%s", (long long)k->book_id, k->case_id);
}

// The id of the inbox item that a case is about; NULL when there is none. A subject that names a line has the line behind the id.
static char *inbox_id(cli *c, const Payments__V1__Case *k) {
    const size_t len = strcspn(k->subject_id, ":");
    return strcmp(k->subject_type, "inbox") != 0 || len != UUID_TEXT_LEN
               ? NULL
               : arena_printf(c->arena, "%.*s", (int)len, k->subject_id);
}

// An item in the form that payctl inbox takes: "UUID" for book 0, else "BOOK/UUID".
static const char *inbox_name(cli *c, int64_t book, const char *id) {
    return book == 0 ? id : arena_printf(c->arena, "%lld/%s", (long long)book, id);
}

static const char *subject(cli *c, const Payments__V1__Case *k) {
    const char *item = inbox_id(c, k);
    if (item != NULL) {
        return arena_printf(c->arena, "inbox %s%s", inbox_name(c, k->book_id, item),
                            k->subject_id + UUID_TEXT_LEN);
    }
    return k->merchant_id[0] != '\0' && strcmp(k->subject_type, "payout") == 0
               ? arena_printf(c->arena, "payout %s/%s", k->merchant_id, k->subject_id)
               : arena_printf(c->arena, "%s %s", k->subject_type, k->subject_id);
}

static const char *at(cli *c, const Google__Protobuf__Timestamp *t) {
    return t == NULL ? "-" : cli_time(c, t->seconds, t->nanos);
}

// --- payctl cases ----------------------------------------------------------------------------------------------------------

// All pages of one request, up to CASES_SHOWN_MAX.
static bool collect(cli *c, Payments__V1__ListCasesRequest *request,
                    Payments__V1__ListCasesResponse *all, bool *more, err *e) {
    all->cases = ARENA_ARRAY(c->arena, Payments__V1__Case *, CASES_SHOWN_MAX);
    ASSERT(all->cases != NULL);
    request->page_size = CASES_PAGE;
    do {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, CASES, "ListCases", &request->base,
                      &payments__v1__list_cases_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListCasesResponse *r = (const Payments__V1__ListCasesResponse *)answer;
        for (size_t i = 0; i < r->n_cases && all->n_cases < CASES_SHOWN_MAX; i++) {
            all->cases[all->n_cases++] = r->cases[i];
        }
        request->page_token = r->next_page_token;
    } while (request->page_token[0] != '\0' && all->n_cases < CASES_SHOWN_MAX);
    *more = request->page_token[0] != '\0';
    return true;
}

static void print_cases(cli *c, const Payments__V1__ListCasesResponse *all, bool more) {
    static const char *const TITLES[] = {"case",  "kind",   "opened", "due",
                                         "owner", "amount", "about",  "reason"};
    table t;
    table_begin(&t, 8, 32u, TITLES);
    for (size_t i = 0; i < all->n_cases; i++) {
        const Payments__V1__Case *k = all->cases[i];
        const bool open = k->state == PAYMENTS__V1__CASE_STATE__CASE_STATE_OPEN;
        const char *cells[] = {case_id(c, k),
                               k->kind,
                               at(c, k->open_time),
                               open ? at(c, k->due_time) : k->resolution,
                               k->owner[0] != '\0' ? k->owner : "-",
                               k->currency[0] != '\0' ? cli_money(c, k->amount_minor, k->currency)
                                                      : "-",
                               subject(c, k),
                               k->text[0] != '\0' ? k->text : k->code};
        table_row(&t, cells);
    }
    table_print(&t);
    cli_print(stdout, "%zu case(s)%s\n", all->n_cases, more ? "; there are more" : "");
    if (all->n_cases > 0) {
        cli_print(stdout, "payctl case ID says what to do about one\n");
    }
}

// In place. The user may write kinds and orders in upper or lower case.
static char *upper(char *text) {
    for (char *at = text; *at != '\0'; at++) {
        *at = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
    }
    return text;
}

// Those of the service; a test holds them to docs/payments/cases.md.
static const char KINDS[] =
    "PAYOUT_HELD, PAYOUT_CONTRADICTION, PAYOUT_UNREADABLE, PAYOUT_LEDGER, PAYOUT_OVERDUE, "
    "SUBMISSION_UNKNOWN, SUBMISSION_REJECTED, SUBMISSION_OVERDUE, INBOX_FILE, INBOX_WAITING, "
    "INBOX_LINE, INBOX_NOTICE, DEPOSIT_OVERDUE, DEPOSIT_REFUSED, FORGOTTEN_FILE, "
    "CONNECTION_OFF, CONNECTION_DOWN, CONNECTION_UNHEARD, CONNECTION_NUMBERS, MERCHANT_OWES, "
    "RECOVERY, CLOCK";

static bool kind_is_known(const char *name) {
    const size_t len = strlen(name);
    for (const char *at = KINDS; at != NULL; at = strchr(at, ' ')) {
        at += *at == ' ' ? 1 : 0;
        if (len > 0 && strcspn(at, ",") == len && strncmp(at, name, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool cases_option(Payments__V1__ListCasesRequest *q, int64_t *book,
                         Payments__V1__CaseState states[2], int opt) {
    switch (opt) {
    case 'k': q->kind = upper(optarg); return kind_is_known(optarg);
    case 'm': q->merchant_id = optarg; return true;
    case 'o': q->owner = optarg; return true;
    case 'a':
        q->states = states;
        q->n_states = 2;
        return true;
    case 'b':
        q->book_ids = book;
        q->n_book_ids = 1;
        return str_to_i64(str_of(optarg), 0, INT64_MAX, book);
    default: return false;
    }
}

static int cmd_cases(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"kind", required_argument, NULL, 'k'},  {"merchant", required_argument, NULL, 'm'},
        {"owner", required_argument, NULL, 'o'}, {"book", required_argument, NULL, 'b'},
        {"all", no_argument, NULL, 'a'},         {0}};
    Payments__V1__CaseState states[2] = {PAYMENTS__V1__CASE_STATE__CASE_STATE_OPEN,
                                         PAYMENTS__V1__CASE_STATE__CASE_STATE_RESOLVED};
    Payments__V1__ListCasesRequest request = PAYMENTS__V1__LIST_CASES_REQUEST__INIT;
    Payments__V1__ListCasesResponse all = PAYMENTS__V1__LIST_CASES_RESPONSE__INIT;
    int64_t book = 0;
    bool more = false;
    err e = {0};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        if (!cases_option(&request, &book, states, opt)) {
            return cli_bad_value(OPTIONS, opt, optarg, NULL,
                                 opt == 'k' ? KINDS : "the number of a book");
        }
    }
    if (optind != argc) {
        return cli_usage("cases takes options only");
    }
    if (request.n_states > 0 && request.merchant_id[0] == '\0' && request.n_book_ids == 0) {
        return cli_usage("cases --all needs --merchant or --book");
    }
    if (!collect(c, &request, &all, &more, &e)) {
        return cli_failed(c, "list the cases", &e);
    }
    if (c->json) {
        cli_print_rows(&all.base, more);
    } else {
        print_cases(c, &all, more);
    }
    return EXIT_DONE;
}

// --- payctl case ID --------------------------------------------------------------------------------------------------------

static void print_what_to_do(const Payments__V1__GetCaseResponse *r) {
    cli_print(stdout, "\nmeaning    %s\n", r->meaning);
    if (r->n_resolutions + r->n_refused == 0) {
        return;
    }
    cli_print(stdout, "next step  %s\n\nhow it can be resolved now\n", r->next_step);
    for (size_t i = 0; i < r->n_resolutions; i++) {
        const Payments__V1__CaseResolution *x = r->resolutions[i];
        cli_print(stdout, "  %-10s %s%s\n", x->name, x->meaning,
                  x->needs_evidence ? " (needs --evidence TEXT)" : "");
    }
    if (r->n_resolutions == 0) {
        cli_print(stdout, "  not at all, as it stands\n");
    }
    for (size_t i = 0; i < r->n_refused; i++) {
        cli_print(stdout, "%s  %-10s %s\n", i == 0 ? "\nwhat is not possible now\n" : "",
                  r->refused[i]->name, r->refused[i]->why);
    }
}

static void print_case(cli *c, const Payments__V1__GetCaseResponse *r) {
    const Payments__V1__Case *k = r->case_;
    cli_print(stdout, "case       %s\n", case_id(c, k));
    cli_print(stdout, "state      %s%s%s\n", state_name(k->state),
              k->resolution[0] != '\0' ? "  " : "", k->resolution);
    cli_print(stdout, "kind       %s\n", k->kind);
    cli_print(stdout, "about      %s\n", subject(c, k));
    const char *item = inbox_id(c, k);
    if (item != NULL) {
        cli_print(stdout, "           payctl inbox %s shows it\n",
                  inbox_name(c, cli_inbox_book(c, k->book_id, item), item));
    }
    if (r->payout != NULL) {
        cli_print(stdout, "           now %s%s%s\n",
                  cli_enum_name(&payments__v1__payout_state__descriptor, (int)r->payout->state),
                  r->payout->reason[0] != '\0' ? "  " : "", r->payout->reason);
    }
    cli_print(stdout, "reason     %s%s%s\n", k->code,
              k->code[0] != '\0' && k->text[0] != '\0' ? ": " : "", k->text);
    if (k->currency[0] != '\0') {
        cli_print(stdout, "amount     %s\n", cli_money(c, k->amount_minor, k->currency));
    }
    cli_print(stdout, "owner      %s\n", k->owner[0] != '\0' ? k->owner : "nobody yet");
    cli_print(stdout, "opened     %s\n", at(c, k->open_time));
    cli_print(stdout, "due        %s\n", at(c, k->due_time));
    if (k->seen_count > 1) {
        cli_print(stdout, "seen       %lld times, last %s\n", (long long)k->seen_count,
                  at(c, k->seen_time));
    }
    print_what_to_do(r);
}

static void print_history(cli *c, const Payments__V1__GetCaseResponse *r) {
    static const char *const TITLES[] = {"time", "what", "who", "text"};
    table t;
    cli_print(stdout, "\nhistory\n");
    table_begin(&t, 4, 0, TITLES);
    for (size_t i = 0; i < r->n_notes; i++) {
        const Payments__V1__CaseNote *n = r->notes[i];
        const char *text =
            arena_printf(c->arena, "%s%s%s%s%s", n->resolution,
                         n->resolution[0] != '\0' && n->text[0] != '\0' ? ": " : "", n->text,
                         n->evidence[0] != '\0' ? "  evidence: " : "", n->evidence);
        const char *cells[] = {at(c, n->time), n->kind,
                               n->person[0] != '\0' ? n->person : n->program, text};
        table_row(&t, cells);
    }
    table_print(&t);
}

static int show_case(cli *c, int64_t book, const char *id) {
    Payments__V1__GetCaseRequest request = PAYMENTS__V1__GET_CASE_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.book_id = book;
    request.case_id = (char *)id;
    if (!cli_call(c, CASES, "GetCase", &request.base, &payments__v1__get_case_response__descriptor,
                  &answer, &e)) {
        return cli_failed(c, "show the case", &e);
    }
    if (c->json) {
        cli_print_json(answer);
    } else {
        print_case(c, (const Payments__V1__GetCaseResponse *)answer);
        print_history(c, (const Payments__V1__GetCaseResponse *)answer);
    }
    return EXIT_DONE;
}

// --- payctl case ID assign | comment | resolve --------------------------------------------------------------------------------

typedef struct case_doing {
    int64_t book;
    const char *id, *verb, *value, *evidence, *comment, *person;
    char key[2 * SHA256_DIGEST_LENGTH + 8];
} case_doing;

// The same command again is the same request: its words make the key.
static void make_key(cli *c, case_doing *d) {
    d->person = cli_person(c, d->person);
    const char *all = arena_printf(c->arena, "%s|%s|%s|%s|%s|%s", d->id, d->verb, d->value,
                                   d->evidence, d->comment, d->person);
    ASSERT(all != NULL);
    uint8_t hash[SHA256_DIGEST_LENGTH];
    (void)SHA256((const unsigned char *)all, strlen(all), hash);
    memcpy(d->key, "payctl-", 7);
    str_hex(hash, sizeof hash, d->key + 7);
}

static bool do_assign(cli *c, case_doing *d, ProtobufCMessage **answer, err *e) {
    Payments__V1__AssignCaseRequest r = PAYMENTS__V1__ASSIGN_CASE_REQUEST__INIT;
    r.book_id = d->book;
    r.case_id = (char *)d->id;
    r.owner = (char *)d->value;
    r.person = (char *)d->person;
    r.idempotency_key = d->key;
    return cli_call(c, CASES, "AssignCase", &r.base,
                    &payments__v1__assign_case_response__descriptor, answer, e);
}

static bool do_comment(cli *c, case_doing *d, ProtobufCMessage **answer, err *e) {
    Payments__V1__CommentCaseRequest r = PAYMENTS__V1__COMMENT_CASE_REQUEST__INIT;
    r.book_id = d->book;
    r.case_id = (char *)d->id;
    r.comment = (char *)d->value;
    r.person = (char *)d->person;
    r.idempotency_key = d->key;
    return cli_call(c, CASES, "CommentCase", &r.base,
                    &payments__v1__comment_case_response__descriptor, answer, e);
}

static bool do_resolve(cli *c, case_doing *d, ProtobufCMessage **answer, err *e) {
    Payments__V1__ResolveCaseRequest r = PAYMENTS__V1__RESOLVE_CASE_REQUEST__INIT;
    r.book_id = d->book;
    r.case_id = (char *)d->id;
    r.resolution = (char *)d->value;
    r.evidence = (char *)d->evidence;
    r.comment = (char *)d->comment;
    r.person = (char *)d->person;
    r.idempotency_key = d->key;
    return cli_call(c, CASES, "ResolveCase", &r.base,
                    &payments__v1__resolve_case_response__descriptor, answer, e);
}

// After an inbox case is resolved: the lines of the item that still wait for a person.
static void tell_what_is_left(cli *c, const Payments__V1__Case *k) {
    Payments__V1__ListExceptionsRequest request = PAYMENTS__V1__LIST_EXCEPTIONS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.inbox_id = inbox_id(c, k);
    if (request.inbox_id == NULL) {
        return;
    }
    request.book_id = cli_inbox_book(c, k->book_id, request.inbox_id);
    request.page_size = 1;
    if (cli_call(c, "payments.v1.InboxService", "ListExceptions", &request.base,
                 &payments__v1__list_exceptions_response__descriptor, &answer, &e) &&
        ((const Payments__V1__ListExceptionsResponse *)answer)->n_exceptions > 0) {
        cli_print(stderr,
                  "payctl: other lines of it are still set aside: payctl inbox %s shows them\n",
                  inbox_name(c, request.book_id, request.inbox_id));
    }
}

static int after_change(cli *c, const case_doing *d, const ProtobufCMessage *answer) {
    if (strcmp(d->verb, "resolve") == 0) {
        tell_what_is_left(c, ((const Payments__V1__ResolveCaseResponse *)answer)->case_);
    }
    return show_case(c, d->book, d->id);
}

static int change_case(cli *c, case_doing *d) {
    static const struct {
        const char *verb;
        bool (*run)(cli *, case_doing *, ProtobufCMessage **, err *);
    } VERBS[] = {{"assign", do_assign}, {"comment", do_comment}, {"resolve", do_resolve}};
    ProtobufCMessage *answer = NULL;
    err e = {0};
    make_key(c, d);
    for (size_t i = 0; i < sizeof VERBS / sizeof VERBS[0]; i++) {
        if (strcmp(d->verb, VERBS[i].verb) == 0) {
            return VERBS[i].run(c, d, &answer, &e)
                       ? after_change(c, d, answer)
                       : cli_failed(c, arena_printf(c->arena, "%s the case", d->verb), &e);
        }
    }
    return cli_usage("case ID assign NAME | comment TEXT | resolve ORDER");
}

static int cmd_case(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"evidence", required_argument, NULL, 'e'},
                                            {"comment", required_argument, NULL, 'c'},
                                            {"person", required_argument, NULL, 'p'},
                                            {0}};
    case_doing d = {.evidence = "", .comment = "", .person = NULL};
    const char *book = NULL;
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'e': d.evidence = optarg; break;
        case 'c': d.comment = optarg; break;
        case 'p': d.person = optarg; break;
        default: return EXIT_USAGE;
        }
    }
    const int n = argc - optind;
    if ((n != 1 && n != 3) || !cli_split_id(c, argv[optind], &book, &d.id) ||
        !str_to_i64(str_of(book), 0, INT64_MAX, &d.book)) {
        return cli_usage("case takes one id, as BOOK/UUID, and may be followed by assign NAME, "
                         "comment TEXT or resolve ORDER");
    }
    if (n == 1) {
        return show_case(c, d.book, d.id);
    }
    d.verb = argv[optind + 1];
    d.value = strcmp(d.verb, "resolve") == 0 ? upper(argv[optind + 2]) : argv[optind + 2];
    return change_case(c, &d);
}

// --- for payctl payout -------------------------------------------------------------------------------------------------------

static void print_open(cli *c, const Payments__V1__ListCasesRequest *request) {
    ProtobufCMessage *answer = NULL;
    err e = {0};
    if (!cli_call(c, CASES, "ListCases", &request->base,
                  &payments__v1__list_cases_response__descriptor, &answer, &e)) {
        return; // an older service has no cases
    }
    const Payments__V1__ListCasesResponse *r = (const Payments__V1__ListCasesResponse *)answer;
    for (size_t i = 0; i < r->n_cases; i++) {
        cli_print(stdout, "open case  %s  %s: payctl case %s says what to do\n", r->cases[i]->kind,
                  r->cases[i]->text, case_id(c, r->cases[i]));
    }
}

void cli_print_cases_of_payout(cli *c, const char *merchant, const char *payout_id) {
    Payments__V1__ListCasesRequest request = PAYMENTS__V1__LIST_CASES_REQUEST__INIT;
    request.merchant_id = (char *)merchant;
    request.subject_type = (char *)"payout";
    request.subject_id = (char *)payout_id;
    print_open(c, &request);
}

void cli_print_cases_of_submission(cli *c, int64_t book, const char *submission_id) {
    Payments__V1__ListCasesRequest request = PAYMENTS__V1__LIST_CASES_REQUEST__INIT;
    request.book_ids = &book;
    request.n_book_ids = 1;
    request.subject_type = (char *)"submission";
    request.subject_id = (char *)submission_id;
    print_open(c, &request);
}

// --- commands --------------------------------------------------------------------------------------------------------------

const cli_command COMMAND_CASES = {
    .name = "cases",
    .usage = "[--kind K] [--merchant M] [--owner NAME] [--book B] [--all]",
    .summary = "what a person must look at, oldest first",
    .help = "  --kind K, --merchant M, --owner NAME, --book B\n"
            "                        only cases of this kind, merchant, owner or book\n"
            "  --all                 resolved cases, too; needs --merchant or --book\n"
            "\n"
            "JSON\n"
            "  {cases: [{...}], limit_reached}\n",
    .run = cmd_cases,
};

const cli_command COMMAND_CASE = {
    .name = "case",
    .usage = "BOOK/ID [assign NAME | comment TEXT | resolve ORDER [--evidence TEXT] [--comment "
             "TEXT]] [--person NAME]",
    .summary = "one case: what it means, what to do, its history",
    .help = "  assign NAME           gives the case an owner\n"
            "  comment TEXT          adds a note to the history\n"
            "  resolve ORDER         ends the case with one of the orders that the case offers. "
            "SEND_AGAIN, MARK_PAID, GIVE_BACK,\n"
            "                        WRITE_OFF, BANK_HAS_IT and BANK_HAS_IT_NOT need --evidence, "
            "such as the bank's answer.\n"
            "                        RELEASE, RETRY, CANCEL, DONE and IGNORE do not\n"
            "  --evidence TEXT       what the decision rests on\n"
            "  --comment TEXT        a comment for the history\n"
            "  --person NAME         who gives the order, if the service does not know; else the "
            "login name\n"
            "\n"
            "JSON\n"
            "  {case: {...}, meaning, next_step, resolutions: [...], refused: [{name, why}], "
            "notes: [...], payout}\n",
    .run = cmd_case,
};
