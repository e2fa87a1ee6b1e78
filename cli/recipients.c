// payctl recipients: the recipients, as far as the service shows them.
#include <getopt.h>
#include <stdio.h>

#include <jansson.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/recipient_service.pb-c.h"

static const char *const SERVICE = "payments.v1.RecipientService";

enum { SHOWN = 50, SHOWN_MAX = 100000, PAGE = 1000 };

static void add_row(cli *c, const Payments__V1__Recipient *r, table *t, json_t *list) {
    const char *cells[] = {
        arena_printf(c->arena, "%s/%s", r->merchant_id, r->recipient_id),
        r->name,
        cli_enum_name(&payments__v1__holder_type__descriptor, (int)r->holder_type),
        r->currency,
        r->routing_code,
        arena_printf(c->arena, "...%s", r->account_last4),
        cli_time(c, r->create_time->seconds, r->create_time->nanos)};
    table_row(t, cells);
    const int added = json_array_append_new(list, cli_to_json(&r->base));
    ASSERT(added == 0);
}

static int show(cli *c, const char *text, table *t, json_t *list) {
    Payments__V1__GetRecipientRequest request = PAYMENTS__V1__GET_RECIPIENT_REQUEST__INIT;
    const char *merchant = NULL, *id = NULL;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    if (!cli_split_id(c, text, &merchant, &id)) {
        return cli_usage("\"%s\": a recipient is named by MERCHANT/UUID", text);
    }
    request.merchant_id = (char *)merchant;
    request.recipient_id = (char *)id;
    if (!cli_call(c, SERVICE, "GetRecipient", &request.base,
                  &payments__v1__get_recipient_response__descriptor, &answer, &e)) {
        return cli_failed(c, arena_printf(c->arena, "show the recipient %s", text), &e);
    }
    add_row(c, ((const Payments__V1__GetRecipientResponse *)answer)->recipient, t, list);
    return EXIT_DONE;
}

// The newest recipients of a merchant. *more: there are others.
static int list_of(cli *c, const char *merchant, size_t limit, table *t, json_t *list, bool *more) {
    Payments__V1__ListRecipientsRequest request = PAYMENTS__V1__LIST_RECIPIENTS_REQUEST__INIT;
    err e = {0};
    request.merchant_id = (char *)merchant;
    do {
        const size_t left = limit - json_array_size(list);
        ProtobufCMessage *answer = NULL;
        request.page_size = left > PAGE ? PAGE : (int32_t)left;
        if (!cli_call(c, SERVICE, "ListRecipients", &request.base,
                      &payments__v1__list_recipients_response__descriptor, &answer, &e)) {
            return cli_failed(c, "list the recipients", &e);
        }
        const Payments__V1__ListRecipientsResponse *r =
            (const Payments__V1__ListRecipientsResponse *)answer;
        for (size_t i = 0; i < r->n_recipients; i++) {
            add_row(c, r->recipients[i], t, list);
        }
        request.page_token = r->next_page_token;
    } while (request.page_token[0] != '\0' && json_array_size(list) < limit);
    *more = request.page_token[0] != '\0';
    return EXIT_DONE;
}

static int cmd_recipients(cli *c, int argc, char **argv) {
    static const char *const TITLES[] = {"recipient", "name",    "holder", "currency",
                                         "routing",   "account", "created"};
    static const struct option OPTIONS[] = {
        {"merchant", required_argument, NULL, 'm'}, {"limit", required_argument, NULL, 'l'}, {0}};
    const char *merchant = NULL;
    int64_t limit = SHOWN;
    bool more = false;
    table t;
    int code = EXIT_DONE, opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'm': merchant = optarg; break;
        case 'l':
            if (!str_to_i64(str_of(optarg), 1, SHOWN_MAX, &limit)) {
                return cli_bad_value(OPTIONS, opt, optarg, NULL, "a number from 1 to 100,000");
            }
            break;
        default: return EXIT_USAGE;
        }
    }
    if ((merchant == NULL) == (optind == argc)) {
        return cli_usage("recipients takes --merchant M, or ids as MERCHANT/UUID");
    }
    json_t *list = json_array();
    table_begin(&t, 7, 0, TITLES);
    if (merchant != NULL) {
        code = list_of(c, merchant, (size_t)limit, &t, list, &more);
    }
    for (int i = optind; code == EXIT_DONE && i < argc; i++) {
        code = show(c, argv[i], &t, list);
    }
    if (code == EXIT_DONE && !c->json) {
        table_print(&t);
        if (merchant != NULL) {
            cli_print(stdout, "%zu recipient(s)%s\n", json_array_size(list),
                      more ? "; there are more: --limit N" : "");
        }
    } else {
        table_drop(&t);
    }
    if (code == EXIT_DONE && c->json) {
        cli_print_value(json_pack("{s:O,s:b}", "recipients", list, "limit_reached", more));
    }
    json_decref(list);
    return code;
}

const cli_command COMMAND_RECIPIENTS = {
    .name = "recipients",
    .usage = "--merchant M [--limit N] | MERCHANT/ID...",
    .summary = "who is paid: name, bank and the end of the account number",
    .help = "  --merchant M          recipients of this merchant, newest first\n"
            "  --limit N             the newest N recipients; 50 if not given\n"
            "\n"
            "  `payctl payout` shows the same ids, and so does the answer to a registration.\n"
            "\n"
            "JSON\n"
            "  {recipients: [{...}], limit_reached}\n",
    .run = cmd_recipients,
};
