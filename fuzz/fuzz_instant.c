// What the instant bank sends: payment objects, webhooks, answers (the first byte chooses), and the references in them.
#include <string.h>

#include "base/log.h"
#include "fuzz.h"
#include "rails/instant/instant_internal.h"

// The webhook's handler and the rail need a database. This target has none, and calls neither.
bool rail_events_record(db_conn *c, int64_t book_id, const rail_event *events, size_t n, arena *a,
                        err *e) {
    (void)c, (void)book_id, (void)events, (void)n, (void)a, (void)e;
    ASSERT(!"no input reaches this");
    return false;
}

static void check_payment(const payment *p) {
    ASSERT(p->status >= PAYMENT_ACCEPTED && p->status <= PAYMENT_RETURNED);
    ASSERT(p->amount >= 0 && strlen(p->currency) == 3 && p->key[sizeof p->key - 1] == '\0');
    ASSERT(str_is_text(p->text.ptr, p->text.len) && str_is_text(p->code.ptr, p->code.len));
    int64_t book_id;
    uuid payout_id;
    MUST(!reference_parse(p->reference, &book_id, &payout_id) || book_id > 0);
}

static void answer(const uint8_t *data, size_t size, arena *a) {
    const int statuses[] = {200, 201, 202, 400, 404, 409, 422, 429, 500, 503};
    const http_exchange x = {.status = statuses[data[0] % 10],
                             .response = fuzz_str(data + 1, size - 1),
                             .outcome = HTTP_ANSWERED};
    rail_item item = {0};
    if ((data[0] & 0x80) != 0) {
        answer_to_query(&x, &item, a);
    } else {
        answer_to_submit(&x, &item, a);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    // a nonsense answer of a bank is an error in the log; here every answer is nonsense
    log_set_level((log_level)(LOG_ERROR + 1));
    if (size < 2) {
        return 0;
    }
    const str text = fuzz_str(data + 1, size - 1);
    arena *a = arena_create(FUZZ_ARENA_MAX);
    payment p = {0};
    bool known = false;
    int64_t at_us = 0;
    err e = {0};
    switch (data[0] % 3) {
    case 0:
        if (payment_parse(text, a, &p, &e)) {
            check_payment(&p);
        } else {
            fuzz_check_refusal(&e);
        }
        break;
    case 1:
        if (!webhook_parse(text, a, &known, &p, &at_us, &e)) {
            fuzz_check_refusal(&e);
        } else if (known) {
            check_payment(&p);
        }
        break;
    default: answer(data + 1, size - 1, a); break;
    }
    arena_destroy(a);
    return 0;
}
