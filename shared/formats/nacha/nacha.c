#include "formats/nacha/nacha.h"

#include <string.h>

#include "base/assert.h"

char nacha_check_digit(const char routing8[8]) {
    static const int WEIGHTS[8] = {3, 7, 1, 3, 7, 1, 3, 7};
    int sum = 0;
    for (size_t i = 0; i < 8; i++) {
        ASSERT(routing8[i] >= '0' && routing8[i] <= '9');
        sum += WEIGHTS[i] * (routing8[i] - '0');
    }
    return (char)('0' + (10 - sum % 10) % 10);
}

bool nacha_is_digits(str s, size_t len) {
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return false;
        }
    }
    return s.len == len;
}

char nacha_modifier(int index) {
    ASSERT(index >= 0 && index < NACHA_MODIFIERS);
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[index];
}

// --- Return codes ----------------------------------------------------------------------------------------------------

// By the number of the code. Facts: the operator's list of return reasons; the words are ours.
static const char *const RETURN_TEXTS[100] = {
    [1] = "insufficient funds",
    [2] = "account closed",
    [3] = "no account, or unable to locate it",
    [4] = "invalid account number",
    [5] = "debit to a consumer account under a corporate class, not authorized",
    [6] = "returned at the request of the ODFI",
    [7] = "authorization revoked by the customer",
    [8] = "payment stopped",
    [9] = "funds not yet collected",
    [10] = "advised unauthorized",
    [11] = "entry does not follow the terms of the authorization",
    [12] = "account sold to another bank",
    [13] = "invalid routing number",
    [14] = "representative payee deceased or unable to continue",
    [15] = "beneficiary or account holder deceased",
    [16] = "account frozen",
    [17] = "file record edit criteria",
    [18] = "improper effective entry date",
    [19] = "amount field error",
    [20] = "not a transaction account",
    [21] = "invalid company identification",
    [22] = "invalid individual id number",
    [23] = "credit entry refused by receiver",
    [24] = "duplicate entry",
    [25] = "addenda error",
    [26] = "mandatory field error",
    [27] = "trace number error",
    [28] = "routing number check digit error",
    [29] = "corporate customer advises not authorized",
    [30] = "receiving bank takes no part in check truncation",
    [31] = "return of a corporate entry that both banks agreed to",
    [32] = "receiving bank cannot settle",
    [33] = "return of a destroyed check entry",
    [34] = "participation of the receiving bank is limited",
    [35] = "improper debit entry",
    [36] = "improper credit entry",
    [37] = "the source document was presented too",
    [38] = "stop payment on the source document",
    [39] = "improper source document",
    [40] = "returned by a federal enrolment agency",
    [41] = "invalid transaction code of an enrolment",
    [42] = "routing number or check digit error of an enrolment",
    [43] = "invalid account number of an enrolment",
    [44] = "invalid individual id number of an enrolment",
    [45] = "invalid name of an enrolment",
    [46] = "invalid representative payee indicator of an enrolment",
    [47] = "duplicate enrolment",
    [50] = "state law that affects collected checks",
    [51] = "collected item is ineligible or improper",
    [52] = "stop payment on a collected item",
    [53] = "the item and its entry were both presented",
    [61] = "dishonored: the return went to the wrong bank",
    [62] = "dishonored: return of an erroneous or reversing debit",
    [67] = "dishonored: duplicate return",
    [68] = "dishonored: untimely return",
    [69] = "dishonored: field errors in the return",
    [70] = "dishonored: permissible return not accepted, or not requested",
    [71] = "contested: the dishonored return went to the wrong bank",
    [72] = "contested: untimely dishonored return",
    [73] = "contested: the original return was timely",
    [74] = "contested: corrected return",
    [75] = "contested: the return was no duplicate",
    [76] = "contested: no errors found in the return",
    [77] = "contested: the dishonored return is not accepted",
    [80] = "cross-border entry is coded wrongly",
    [81] = "the gateway takes no part in cross-border entries",
    [82] = "invalid identification of the foreign receiving bank",
    [83] = "the foreign receiving bank cannot settle",
    [84] = "the gateway does not process the entry",
    [85] = "cross-border entry is coded as a domestic one",
    [90] = "held or refused because of sanctions",
};

const char *nacha_return_text_known(str code) {
    if (code.len != 3 || code.ptr[0] != 'R' || !nacha_is_digits((str){code.ptr + 1, 2}, 2)) {
        return NULL;
    }
    return RETURN_TEXTS[(code.ptr[1] - '0') * 10 + (code.ptr[2] - '0')];
}

const char *nacha_return_text(str code) {
    const char *text = nacha_return_text_known(code);
    return text == NULL ? "return, for a reason that is not known here" : text;
}
