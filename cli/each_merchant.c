// What the commands share that go through all merchants.
#include <jansson.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/merchant_service.pb-c.h"

enum { IDS_MAX = 10000 };

bool cli_each_merchant(cli *c, bool (*take)(void *arg, const Payments__V1__Merchant *m), void *arg,
                       err *e) {
    Payments__V1__ListMerchantsRequest request = PAYMENTS__V1__LIST_MERCHANTS_REQUEST__INIT;
    request.page_size = 1000;
    do {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, "payments.v1.MerchantService", "ListMerchants", &request.base,
                      &payments__v1__list_merchants_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListMerchantsResponse *r =
            (const Payments__V1__ListMerchantsResponse *)answer;
        for (size_t i = 0; i < r->n_merchants; i++) {
            if (!take(arg, r->merchants[i])) {
                return true;
            }
        }
        request.page_token = r->next_page_token;
    } while (request.page_token[0] != '\0');
    return true;
}

typedef struct id_list {
    char **ids;
    size_t *n;
} id_list;

static bool take_id(void *arg, const Payments__V1__Merchant *m) {
    const id_list *l = arg;
    l->ids[(*l->n)++] = m->merchant_id;
    return *l->n < IDS_MAX;
}

bool cli_merchants(cli *c, const char *only, char ***ids, size_t *n, err *e) {
    *ids = ARENA_ARRAY(c->arena, char *, IDS_MAX);
    *n = 0;
    ASSERT(*ids != NULL);
    if (only != NULL) {
        (*ids)[(*n)++] = (char *)only;
        return true;
    }
    id_list l = {*ids, n};
    return cli_each_merchant(c, take_id, &l, e);
}

void cli_append_of_merchant(json_t *list, const char *merchant, const ProtobufCMessage *m) {
    json_t *object = json_pack("{s:s}", "merchant_id", merchant);
    json_t *rest = cli_to_json(m);
    json_object_update(object, rest);
    json_decref(rest);
    json_array_append_new(list, object);
}

void cli_print_merchants(const cli *c, json_t *list, table *t) {
    if (c->json) {
        table_drop(t);
        cli_print_value(json_pack("{s:o}", "merchants", list));
    } else {
        table_print(t);
        json_decref(list);
    }
}
