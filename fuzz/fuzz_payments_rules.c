// The rules of the fields of a payout request: the first byte chooses the rule.
#include <string.h>

#include "domain/rules.h"
#include "fuzz.h"

static bool apply(uint8_t which, str s, err *e) {
    static const rule_rail rails[] = {{1, 1, true, "ach", "USD", 9999999999, "USD 0.25"},
                                      {2, 2, true, "instant", "USD,EUR,INR", 1000000, ""}};
    uuid id;
    const currency *found = NULL;
    int64_t amount = 0;
    int number = 0;
    switch (which % 12) {
    case 0: return rule_merchant_id(s, "merchant_id", e);
    case 1: return rule_key(s, "payout.", e);
    case 2: return rule_text(s, 1, RULE_NAME_MAX, "payout.", "name", e);
    case 3: return rule_uuid(s, "payout.", "recipient_id", &id, e);
    case 4: return rule_currency(s, "payout.", &found, e);
    case 5: return rule_routing_code(s, STR("USD"), "payout.", e);
    case 6: return rule_routing_code(s, STR("INR"), "payout.", e);
    case 7: return rule_account_number(s, "payout.", e);
    case 8: return rule_description(s, "payout.", e);
    case 9:
        memcpy(&amount, s.ptr, s.len < sizeof amount ? s.len : sizeof amount);
        return rule_amount(amount, "payout.", e);
    case 10: return rule_connection(rails, 2, which % 3, s, which % 4, "payout.", &number, e);
    default:
        memcpy(&amount, s.ptr, s.len < sizeof amount ? s.len : sizeof amount);
        return rule_rail_carries(rails, 2, 1 + which % 2, s, amount, "payout.", e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    err e = {0};
    const str s = fuzz_str(data + 1, size - 1);
    if (apply(data[0], s, &e)) {
        ASSERT(e.code == ERR_OK);
    } else {
        ASSERT(e.code == ERR_INVALID_ARGUMENT);
        fuzz_check_refusal(&e);
    }
    return 0;
}
