// payctl inbox: messages of banks, and a person's orders about them.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/pay_file.h"
#include "payments/v1/inbox_service.pb-c.h"

static const char *const INBOX = "payments.v1.InboxService";

enum {
    INBOX_PAGE = 1000,
    INBOX_SHOWN = 50, // of a list, unless --limit says otherwise
    INBOX_SHOWN_MAX = 10000,
    STATES_MAX = 4,
    REPAIR_BYTES_MAX = 32 * 1024 * 1024,
    PART_BYTES = 3000000
};

static const char *at(cli *c, const Google__Protobuf__Timestamp *t) {
    return t == NULL ? "-" : cli_time(c, t->seconds, t->nanos);
}

static const char *state_name(Payments__V1__InboxState s) {
    return cli_enum_name(&payments__v1__inbox_state__descriptor, (int)s);
}

static const char *item_id(cli *c, int64_t book, const char *id) {
    return arena_printf(c->arena, "%lld/%s", (long long)book, id);
}

// BOOK/UUID. A UUID alone means book 0, where files are.
int64_t cli_inbox_book(cli *c, int64_t about, const char *inbox_id) {
    Payments__V1__GetInboxRequest request = PAYMENTS__V1__GET_INBOX_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.book_id = about;
    request.inbox_id = (char *)inbox_id;
    return about != 0 &&
                   !cli_call(c, INBOX, "GetInbox", &request.base,
                             &payments__v1__get_inbox_response__descriptor, &answer, &e) &&
                   e.code == ERR_NOT_FOUND
               ? 0
               : about;
}

static bool split_id(cli *c, const char *text, int64_t *book, char **id) {
    const char *number = NULL, *rest = NULL;
    char *copy = arena_strdup(c->arena, text);
    ASSERT(copy != NULL);
    copy[strcspn(copy, ":")] = '\0'; // a case names a line behind the item
    text = copy;
    *book = 0;
    *id = copy;
    if (strchr(text, '/') == NULL) {
        return true;
    }
    if (!cli_split_id(c, text, &number, &rest) || !str_to_i64(str_of(number), 0, INT64_MAX, book)) {
        return false;
    }
    *id = (char *)rest;
    *book = cli_inbox_book(c, *book, *id);
    return true;
}

// The words of one command line.
typedef struct inbox_words {
    bool exceptions, content, yes;
    const char *reason, *person;
    int64_t limit; // of a list; 0: not given
    Payments__V1__ListInboxRequest list;
    Payments__V1__ListExceptionsRequest odd;
    Payments__V1__InboxState states[STATES_MAX];
} inbox_words;

// --- payctl inbox ------------------------------------------------------------------------------------------------------

static void print_list(const cli *c, const ProtobufCMessage *all, table *t, size_t n, bool more,
                       const char *what) {
    if (c->json) {
        table_drop(t);
        cli_print_rows(all, more);
        return;
    }
    table_print(t);
    cli_print(stdout, "%zu %s%s\n", n, what, more ? "; there are more: --limit N" : "");
}

static int list_items(cli *c, inbox_words *w) {
    static const char *const TITLES[] = {"item",   "state", "came",  "events",
                                         "except", "name",  "about", "reason"};
    Payments__V1__ListInboxResponse all = PAYMENTS__V1__LIST_INBOX_RESPONSE__INIT;
    err e = {0};
    all.items = ARENA_ARRAY(c->arena, Payments__V1__InboxItem *, INBOX_SHOWN_MAX);
    ASSERT(all.items != NULL);
    const size_t most = (size_t)(w->limit > 0 ? w->limit : INBOX_SHOWN);
    do {
        w->list.page_size =
            (int32_t)(most - all.n_items < INBOX_PAGE ? most - all.n_items : INBOX_PAGE);
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, INBOX, "ListInbox", &w->list.base,
                      &payments__v1__list_inbox_response__descriptor, &answer, &e)) {
            return cli_failed(c, "list the inbox", &e);
        }
        const Payments__V1__ListInboxResponse *r = (const Payments__V1__ListInboxResponse *)answer;
        for (size_t i = 0; i < r->n_items && all.n_items < most; i++) {
            all.items[all.n_items++] = r->items[i];
        }
        w->list.page_token = r->next_page_token;
        all.books_left_out = r->books_left_out;
    } while (w->list.page_token[0] != '\0' && all.n_items < most);
    table t;
    table_begin(&t, 8, 24u, TITLES);
    for (size_t i = 0; i < all.n_items; i++) {
        const Payments__V1__InboxItem *x = all.items[i];
        const char *cells[] = {item_id(c, x->book_id, x->inbox_id),
                               state_name(x->state),
                               at(c, x->receive_time),
                               arena_printf(c->arena, "%d", x->event_count),
                               arena_printf(c->arena, "%d", x->exception_count),
                               x->name,
                               x->about,
                               x->reason_text[0] != '\0' ? x->reason_text : x->reason};
        table_row(&t, cells);
    }
    if (all.books_left_out) {
        cli_print(stderr, "payctl: there are more books than one list looks into: what is of the "
                          "others is missing\n");
    }
    print_list(c, &all.base, &t, all.n_items, w->list.page_token[0] != '\0',
               "file(s) or message(s)");
    return EXIT_DONE;
}

static bool collect_exceptions(cli *c, Payments__V1__ListExceptionsRequest *request, size_t most,
                               Payments__V1__ListExceptionsResponse *all, err *e) {
    all->exceptions = ARENA_ARRAY(c->arena, Payments__V1__InboxException *, INBOX_SHOWN_MAX);
    ASSERT(all->exceptions != NULL);
    do {
        const size_t left = most - all->n_exceptions;
        request->page_size = (int32_t)(left < INBOX_PAGE ? left : INBOX_PAGE);
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, INBOX, "ListExceptions", &request->base,
                      &payments__v1__list_exceptions_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListExceptionsResponse *r =
            (const Payments__V1__ListExceptionsResponse *)answer;
        for (size_t i = 0; i < r->n_exceptions && all->n_exceptions < most; i++) {
            all->exceptions[all->n_exceptions++] = r->exceptions[i];
        }
        request->page_token = r->next_page_token;
    } while (request->page_token[0] != '\0' && all->n_exceptions < most);
    return true;
}

// The name that `payctl payout` takes.
static const char *payout_name(cli *c, const Payments__V1__InboxException *x) {
    return x->payout_id[0] == '\0' ? "-"
           : x->merchant_id[0] == '\0'
               ? x->payout_id
               : arena_printf(c->arena, "%s/%s", x->merchant_id, x->payout_id);
}

static void fill_exceptions(cli *c, const Payments__V1__ListExceptionsResponse *all, table *t) {
    static const char *const TITLES[] = {"item",   "line", "state",  "set aside", "amount",
                                         "reason", "text", "payout", "compared"};
    table_begin(t, 9, 18u, TITLES);
    for (size_t i = 0; i < all->n_exceptions; i++) {
        const Payments__V1__InboxException *x = all->exceptions[i];
        const char *cells[] = {
            item_id(c, x->book_id, x->inbox_id),
            arena_printf(c->arena, "%d", x->line),
            cli_enum_name(&payments__v1__exception_state__descriptor, (int)x->state),
            at(c, x->create_time),
            x->currency[0] != '\0' ? cli_money(c, x->amount_minor, x->currency) : "-",
            x->reason,
            x->reason_text,
            payout_name(c, x),
            x->compared};
        table_row(t, cells);
    }
}

static int list_exceptions(cli *c, inbox_words *w) {
    Payments__V1__ListExceptionsResponse all = PAYMENTS__V1__LIST_EXCEPTIONS_RESPONSE__INIT;
    err e = {0};
    table t;
    if (!collect_exceptions(c, &w->odd, (size_t)(w->limit > 0 ? w->limit : INBOX_SHOWN), &all,
                            &e)) {
        return cli_failed(c, "list the exceptions", &e);
    }
    fill_exceptions(c, &all, &t);
    print_list(c, &all.base, &t, all.n_exceptions, w->odd.page_token[0] != '\0', "exception(s)");
    return EXIT_DONE;
}

// --- payctl inbox ID ---------------------------------------------------------------------------------------------------

static void print_head(cli *c, const Payments__V1__GetInboxResponse *r) {
    const Payments__V1__InboxItem *x = r->item;
    cli_print(stdout, "item       %s\n", item_id(c, x->book_id, x->inbox_id));
    cli_print(stdout, "state      %s%s%s\n", state_name(x->state), x->reason[0] != '\0' ? "  " : "",
              x->reason);
    if (x->reason_text[0] != '\0') {
        cli_print(stdout, "           %s\n", x->reason_text);
    }
    cli_print(stdout, "name       %s\n", x->name);
    cli_print(stdout, "about      %s\n", x->about[0] != '\0' ? x->about : "-");
    cli_print(stdout, "lines      %d, of them %d counted and %d set aside\n", x->line_count,
              x->event_count, x->exception_count);
    cli_print(stdout, "came       %s%s\n", at(c, x->receive_time),
              x->seen_count > 1 ? arena_printf(c->arena, ", %d times", x->seen_count) : "");
    cli_print(stdout, "content    %lld bytes, SHA-256 %s\n", (long long)x->size_bytes, x->sha256);
    for (size_t i = 1; i < r->n_versions; i++) {
        const Payments__V1__InboxVersion *v = r->versions[i];
        cli_print(stdout, "repaired   %s by %s: %s\n", at(c, v->time), v->actor, v->reason);
    }
}

static void print_content(const Payments__V1__GetInboxResponse *r) {
    if (r->content_missing[0] != '\0') {
        cli_print(stdout, "\nthe content is not shown: %s\n", r->content_missing);
        return;
    }
    const size_t len = strlen(r->content);
    cli_print(stdout, "\ncontent, with account numbers masked\n%s%s%s", r->content,
              len > 0 && r->content[len - 1] != '\n' ? "\n" : "",
              r->content_cut ? "(cut here)\n" : "");
}

static int show_item(cli *c, inbox_words *w, int64_t book, char *id) {
    Payments__V1__GetInboxRequest request = PAYMENTS__V1__GET_INBOX_REQUEST__INIT;
    Payments__V1__ListExceptionsResponse odd = PAYMENTS__V1__LIST_EXCEPTIONS_RESPONSE__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.book_id = w->odd.book_id = book;
    request.inbox_id = w->odd.inbox_id = id;
    request.with_content = w->content;
    w->odd.with_closed = true;
    if (!cli_call(c, INBOX, "GetInbox", &request.base,
                  &payments__v1__get_inbox_response__descriptor, &answer, &e) ||
        !collect_exceptions(c, &w->odd, INBOX_SHOWN_MAX, &odd, &e)) {
        return cli_failed(c, "show the item", &e);
    }
    if (c->json) {
        json_t *json = cli_to_json(answer), *list = cli_to_json(&odd.base);
        json_object_set(json, "exceptions", json_object_get(list, "exceptions"));
        json_decref(list);
        cli_print_value(json);
        return EXIT_DONE;
    }
    print_head(c, (const Payments__V1__GetInboxResponse *)answer);
    if (odd.n_exceptions > 0) {
        table t;
        cli_print(stdout, "\nset aside\n");
        fill_exceptions(c, &odd, &t);
        table_print(&t);
    }
    if (w->content) {
        print_content((const Payments__V1__GetInboxResponse *)answer);
    }
    return EXIT_DONE;
}

// --- payctl inbox apply | repair | dismiss -------------------------------------------------------------------------------

// What is still wrong after an order is told; it waits, and is tried again.
static int show_after(cli *c, inbox_words *w, int64_t book, char *id, const char *not_applied) {
    if (not_applied[0] != '\0') {
        cli_print(stderr, "payctl: it was not applied yet, and is tried again: %s\n", not_applied);
    }
    return show_item(c, w, book, id);
}

static int apply_item(cli *c, inbox_words *w, int64_t book, char *id) {
    Payments__V1__ApplyInboxRequest r = PAYMENTS__V1__APPLY_INBOX_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    r.book_id = book;
    r.inbox_id = id;
    r.person = (char *)w->person;
    if (!cli_call(c, INBOX, "ApplyInbox", &r.base, &payments__v1__apply_inbox_response__descriptor,
                  &answer, &e)) {
        return cli_failed(c, "apply the item", &e);
    }
    return show_after(c, w, book, id,
                      ((const Payments__V1__ApplyInboxResponse *)answer)->not_applied);
}

// Sends the bytes, in parts when they are too many for one message.
static bool send_repair(cli *c, Payments__V1__RepairInboxRequest *r, char *bytes, size_t len,
                        ProtobufCMessage **answer, err *e) {
    bool ok = true;
    err_clear(e);
    r->total_bytes = len > PART_BYTES ? (int64_t)len : 0;
    for (size_t at = 0; ok && (at < len || len == 0); at += PART_BYTES) {
        const size_t left = len - at;
        r->offset_bytes = (int64_t)at;
        r->content =
            (ProtobufCBinaryData){left < PART_BYTES ? left : PART_BYTES, (uint8_t *)bytes + at};
        ok = cli_call(c, INBOX, "RepairInbox", &r->base,
                      &payments__v1__repair_inbox_response__descriptor, answer, e) &&
             len > 0;
    }
    return ok;
}

// Only a person at a terminal is asked.
static bool is_confirmed(const char *path) {
    char answer[8] = "";
    if (strcmp(path, "-") == 0 || isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
        return false;
    }
    cli_print(stderr, "It was applied, and what it said counts on. Replace its bytes all the same? "
                      "[y/N] ");
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static int repair_item(cli *c, inbox_words *w, int64_t book, char *id, const char *path) {
    Payments__V1__RepairInboxRequest r = PAYMENTS__V1__REPAIR_INBOX_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    char *bytes = NULL;
    size_t len = 0;
    err e = {0};
    if (!cli_load_file(path, REPAIR_BYTES_MAX, &bytes, &len, &e)) {
        return cli_usage("%s: %s", path, e.message);
    }
    r.book_id = book;
    r.inbox_id = id;
    r.person = (char *)w->person;
    r.reason = (char *)w->reason;
    r.replace_applied = w->yes;
    bool ok = send_repair(c, &r, bytes, len, &answer, &e);
    if (!ok && !w->yes && strcmp(e.reason, "INBOX_APPLIED") == 0 && is_confirmed(path)) {
        r.replace_applied = true;
        ok = send_repair(c, &r, bytes, len, &answer, &e);
    }
    free(bytes);
    if (!ok) {
        const int code = cli_failed(c, "repair the item", &e);
        if (strcmp(e.reason, "INBOX_APPLIED") == 0) {
            cli_print(stderr, "  --yes replaces it. What it said counts on.\n");
        }
        return code;
    }
    return show_after(c, w, book, id,
                      ((const Payments__V1__RepairInboxResponse *)answer)->not_applied);
}

static int dismiss_line(cli *c, inbox_words *w, int64_t book, char *id, const char *line) {
    Payments__V1__DismissExceptionRequest r = PAYMENTS__V1__DISMISS_EXCEPTION_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    int64_t number = 0;
    err e = {0};
    if (!str_to_i64(str_of(line), 0, INT32_MAX, &number)) {
        return cli_usage("\"%s\" is not the number of a line", line);
    }
    r.book_id = book;
    r.inbox_id = id;
    r.line = (int32_t)number;
    r.person = (char *)w->person;
    r.reason = (char *)w->reason;
    return cli_call(c, INBOX, "DismissException", &r.base,
                    &payments__v1__dismiss_exception_response__descriptor, &answer, &e)
               ? show_item(c, w, book, id)
               : cli_failed(c, "dismiss the line", &e);
}

// --- the command line ----------------------------------------------------------------------------------------------------

static bool take_word(inbox_words *w, int opt) {
    int value = 0;
    switch (opt) {
    case 'x': w->exceptions = true; return true;
    case 'c': w->content = true; return true;
    case 'r': w->reason = optarg; return true;
    case 'p': w->person = optarg; return true;
    case 'y': w->yes = true; return true;
    case 's':
        if (w->list.n_states == STATES_MAX ||
            !cli_enum_value(&payments__v1__inbox_state__descriptor, optarg, &value)) {
            return false;
        }
        w->states[w->list.n_states++] = (Payments__V1__InboxState)value;
        w->list.states = w->states;
        return true;
    case 'a':
        if (!cli_enum_value(&payments__v1__rail__descriptor, optarg, &value)) {
            return false;
        }
        w->list.rail = w->odd.rail = (Payments__V1__Rail)value;
        return true;
    case 'l': return str_to_i64(str_of(optarg), 1, INBOX_SHOWN_MAX, &w->limit);
    case 'k': w->list.connection = w->odd.connection = optarg; return true;
    default: return false;
    }
}

static int do_order(cli *c, inbox_words *w, int n, char **words) {
    static const char USAGE[] = "inbox apply ID | repair ID FILE --reason TEXT | dismiss ID LINE "
                                "--reason TEXT";
    int64_t book = 0;
    char *id = NULL;
    if (n < 2 || !split_id(c, words[1], &book, &id)) {
        return cli_usage("%s", USAGE);
    }
    if (n == 2 && strcmp(words[0], "apply") == 0) {
        return apply_item(c, w, book, id);
    }
    const bool repair = strcmp(words[0], "repair") == 0;
    if (n != 3 || (!repair && strcmp(words[0], "dismiss") != 0)) {
        return cli_usage("%s", USAGE);
    }
    if (w->reason[0] == '\0') {
        return cli_usage("%s needs --reason TEXT", words[0]);
    }
    return repair ? repair_item(c, w, book, id, words[2]) : dismiss_line(c, w, book, id, words[2]);
}

static int cmd_inbox(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"exceptions", no_argument, NULL, 'x'},   {"content", no_argument, NULL, 'c'},
        {"reason", required_argument, NULL, 'r'}, {"person", required_argument, NULL, 'p'},
        {"yes", no_argument, NULL, 'y'},          {"state", required_argument, NULL, 's'},
        {"rail", required_argument, NULL, 'a'},   {"connection", required_argument, NULL, 'k'},
        {"limit", required_argument, NULL, 'l'},  {0}};
    inbox_words w = {.reason = "",
                     .list = PAYMENTS__V1__LIST_INBOX_REQUEST__INIT,
                     .odd = PAYMENTS__V1__LIST_EXCEPTIONS_REQUEST__INIT};
    int64_t book = 0;
    char *id = NULL;
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        if (!take_word(&w, opt)) {
            return cli_bad_value(OPTIONS, opt, optarg,
                                 opt == 's'   ? &payments__v1__inbox_state__descriptor
                                 : opt == 'a' ? &payments__v1__rail__descriptor
                                              : NULL,
                                 "a number from 1 to 10,000");
        }
    }
    const int n = argc - optind;
    if (w.yes && (n < 2 || strcmp(argv[optind], "repair") != 0)) {
        return cli_usage("--yes is for a repair");
    }
    if (n == 0) {
        return w.exceptions ? list_exceptions(c, &w) : list_items(c, &w);
    }
    if (w.list.n_states > 0 || w.list.rail != 0 || w.list.connection[0] != '\0' || w.exceptions ||
        w.limit > 0) {
        return cli_usage(
            "--exceptions, --state, --rail, --connection and --limit are for the list");
    }
    if (n > 1) {
        w.person = cli_person(c, w.person);
        return do_order(c, &w, n, argv + optind);
    }
    return split_id(c, argv[optind], &book, &id) ? show_item(c, &w, book, id)
                                                 : cli_usage("an item is named by BOOK/UUID");
}

const cli_command COMMAND_INBOX = {
    .name = "inbox",
    .usage = "[--exceptions] [--state S]... [--rail R] [--connection K] [--limit N] | [BOOK/]ID "
             "[--content] | "
             "apply ID | repair ID "
             "FILE --reason TEXT [--yes] | dismiss ID LINE --reason TEXT [--person NAME]",
    .summary = "what banks wrote, which lines do not count, and what to do about them",
    .help =
        "  --exceptions          exceptions: the lines that do not count and need a person\n"
        "  --state S             only items in this state: RECORDED, APPLIED, REFUSED, DISMISSED\n"
        "  --rail R              only items of this rail\n"
        "  --connection K        only items of this connection\n"
        "  --limit N             the newest N items, 1 to 10,000; 50 if not given\n"
        "  --content             shows the bytes, with account numbers masked\n"
        "  apply ID              reads the item again; what counts already does not count twice\n"
        "  repair ID FILE        replaces the bytes of the item by those of FILE (- for stdin) and "
        "applies\n"
        "                        them; the old bytes are kept\n"
        "  dismiss ID LINE       closes the exception and its case, because the line means "
        "nothing; LINE 0\n"
        "                        dismisses a whole refused file\n"
        "  --reason TEXT         why the item is repaired or the line dismissed\n"
        "  --yes                 also repairs an item that was applied; without --yes, payctl asks "
        "at a\n"
        "                        terminal\n"
        "  --person NAME         who gives the order, if the service does not know; else the login "
        "name\n"
        "  Files are in book 0, so an ID without a book is looked for in book 0. So is an ID that "
        "its book\n"
        "  does not have.\n"
        "\n"
        "JSON\n"
        "  {items: [{...}], limit_reached}; with --exceptions {exceptions: [{...}], "
        "limit_reached}; of one\n"
        "  {item: {...}, versions: [...], content, content_cut, content_missing, exceptions: "
        "[...]}\n",
    .run = cmd_inbox,
};
