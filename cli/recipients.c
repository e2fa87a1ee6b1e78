// payctl recipients: who is paid, as far as the service shows it.
#include <stdio.h>

#include <jansson.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/recipient_service.pb-c.h"

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
    if (!cli_call(c, "payments.v1.RecipientService", "GetRecipient", &request.base,
                  &payments__v1__get_recipient_response__descriptor, &answer, &e)) {
        return cli_failed(c, arena_printf(c->arena, "show the recipient %s", text), &e);
    }
    const Payments__V1__Recipient *r =
        ((const Payments__V1__GetRecipientResponse *)answer)->recipient;
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
    return EXIT_DONE;
}

static int cmd_recipients(cli *c, int argc, char **argv) {
    static const char *const TITLES[] = {"recipient", "name",    "holder", "currency",
                                         "routing",   "account", "created"};
    table t;
    int code = EXIT_DONE;
    if (argc < 2) {
        return cli_usage("recipients takes ids, as MERCHANT/UUID: `payctl payout` shows whom a "
                         "payout pays");
    }
    json_t *list = json_array();
    table_begin(&t, 7, 0, TITLES);
    for (int i = 1; code == EXIT_DONE && i < argc; i++) {
        code = show(c, argv[i], &t, list);
    }
    if (code == EXIT_DONE && !c->json) {
        table_print(&t);
    } else {
        table_drop(&t);
    }
    if (code == EXIT_DONE && c->json) {
        cli_print_value(json_pack("{s:O}", "recipients", list));
    }
    json_decref(list);
    return code;
}

const cli_command COMMAND_RECIPIENTS = {
    .name = "recipients",
    .usage = "MERCHANT/ID...",
    .summary = "who is paid: name, bank and the end of the account number",
    .help = "  The ids are those that `payctl payout` and the answers to registrations name.\n"
            "\n"
            "JSON\n"
            "  {recipients: [{...}]}\n",
    .run = cmd_recipients,
};
