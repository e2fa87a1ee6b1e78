// Page tokens. A token is the place where a page ended, plus a checksum of place and request. So a token works with the same filters only,
// and a damaged token is refused. A token is no secret and grants nothing: anyone can make one, so its place is checked like any number
// from outside.
#include <string.h>

#include "api/lists_internal.h"
#include "base/assert.h"

enum { PLACE_BYTES = sizeof(int64_t), CHECK_BYTES = sizeof(uuid) };

bool api_page_size(uint32_t asked, size_t *out, err *e) {
    if (asked > QUERY_PAGE_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_PAGE_SIZE", "page_size",
                             "page_size must be at most %d", QUERY_PAGE_MAX);
    }
    *out = asked == 0 ? LIST_PAGE_DEFAULT : asked;
    return true;
}

bool api_order(Ledger__V1__ListOrder order, bool *newest_first, err *e) {
    if ((unsigned)order > LEDGER__V1__LIST_ORDER__LIST_ORDER_NEWEST_FIRST) {
        return api_refuse_field(e, "INVALID_ORDER", "order",
                                "must be OLDEST_FIRST or NEWEST_FIRST");
    }
    *newest_first = order == LEDGER__V1__LIST_ORDER__LIST_ORDER_NEWEST_FIRST;
    return true;
}

static bool check_make(arena *a, const page_token *t, const uint8_t *place, uuid *out, err *e) {
    const size_t len = protobuf_c_message_get_packed_size(t->request);
    uint8_t *packed = api_array(a, len + 1, 1, e);
    if (packed == NULL) {
        return false;
    }
    (void)protobuf_c_message_pack(t->request, packed);
    const str parts[] = {
        str_of(t->request->descriptor->name),
        {(const char *)packed, len},
        {(const char *)place, t->n * PLACE_BYTES},
    };
    *out = uuid_derive(parts, sizeof parts / sizeof parts[0]);
    return true;
}

char *api_page_token_make(arena *a, const page_token *t, err *e) {
    uint8_t raw[PAGE_PLACE_MAX * PLACE_BYTES + CHECK_BYTES];
    const size_t place_len = t->n * PLACE_BYTES;
    uuid check;
    ASSERT(t->n <= PAGE_PLACE_MAX);
    for (size_t i = 0; i < t->n; i++) {
        for (size_t k = 0; k < PLACE_BYTES; k++) {
            raw[i * PLACE_BYTES + k] = (uint8_t)((uint64_t)t->place[i] >> (56 - 8 * k));
        }
    }
    if (!check_make(a, t, raw, &check, e)) {
        return NULL;
    }
    memcpy(raw + place_len, check.b, CHECK_BYTES);
    char *text = api_array(a, 2 * (place_len + CHECK_BYTES) + 1, 1, e);
    if (text != NULL) {
        str_hex(raw, place_len + CHECK_BYTES, text);
    }
    return text;
}

static bool refuse_token(err *e) {
    return api_refuse_field(
        e, "INVALID_PAGE_TOKEN", "page_token",
        "is not next_page_token of an answer to the same request with the same filters");
}

bool api_page_token_read(arena *a, const char *text, page_token *t, err *e) {
    uint8_t raw[PAGE_PLACE_MAX * PLACE_BYTES + CHECK_BYTES];
    const size_t place_len = t->n * PLACE_BYTES;
    uuid check;
    ASSERT(t->n <= PAGE_PLACE_MAX);
    const bool is_hex = str_of(text).len == 2 * (place_len + CHECK_BYTES) &&
                        str_unhex(str_of(text), raw, place_len + CHECK_BYTES);
    if (is_hex && !check_make(a, t, raw, &check, e)) {
        return false;
    }
    if (!is_hex || memcmp(raw + place_len, check.b, CHECK_BYTES) != 0) {
        return refuse_token(e);
    }
    for (size_t i = 0; i < t->n; i++) {
        uint64_t v = 0;
        for (size_t k = 0; k < PLACE_BYTES; k++) {
            v = v << 8 | raw[i * PLACE_BYTES + k];
        }
        t->place[i] = (int64_t)v;
        if (t->place[i] < t->ranges[i].lowest || t->place[i] > t->ranges[i].highest) {
            return refuse_token(e);
        }
    }
    return true;
}

bool api_found(bool book_exists, bool account_exists, const char *account_field, err *e) {
    if (!book_exists) {
        return err_set_field(e, ERR_NOT_FOUND, "BOOK_NOT_FOUND", "book_id",
                             "there is no such book");
    }
    return account_exists || err_set_field(e, ERR_NOT_FOUND, "ACCOUNT_NOT_FOUND", account_field,
                                           "there is no such account in the book");
}
