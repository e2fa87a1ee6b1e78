#include "rails/ach/nacha.h"

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

typedef struct code_text {
    const char *code, *text;
} code_text;

// By code. Facts: the operator's list of return reasons; the words are ours.
static const code_text RETURN_TEXTS[] = {
    {"R01", "insufficient funds"},
    {"R02", "account closed"},
    {"R03", "no account, or unable to locate it"},
    {"R04", "invalid account number"},
    {"R05", "debit to a consumer account under a corporate class, not authorized"},
    {"R06", "returned at the request of the ODFI"},
    {"R07", "authorization revoked by the customer"},
    {"R08", "payment stopped"},
    {"R09", "funds not yet collected"},
    {"R10", "advised unauthorized"},
    {"R11", "entry does not follow the terms of the authorization"},
    {"R12", "account sold to another bank"},
    {"R13", "invalid routing number"},
    {"R14", "representative payee deceased or unable to continue"},
    {"R15", "beneficiary or account holder deceased"},
    {"R16", "account frozen"},
    {"R17", "file record edit criteria"},
    {"R18", "improper effective entry date"},
    {"R19", "amount field error"},
    {"R20", "not a transaction account"},
    {"R21", "invalid company identification"},
    {"R22", "invalid individual id number"},
    {"R23", "credit entry refused by receiver"},
    {"R24", "duplicate entry"},
    {"R25", "addenda error"},
    {"R26", "mandatory field error"},
    {"R27", "trace number error"},
    {"R28", "routing number check digit error"},
    {"R29", "corporate customer advises not authorized"},
    {"R30", "receiving bank takes no part in check truncation"},
    {"R31", "return of a corporate entry that both banks agreed to"},
    {"R32", "receiving bank cannot settle"},
    {"R33", "return of a destroyed check entry"},
    {"R34", "participation of the receiving bank is limited"},
    {"R35", "improper debit entry"},
    {"R36", "improper credit entry"},
    {"R37", "the source document was presented too"},
    {"R38", "stop payment on the source document"},
    {"R39", "improper source document"},
    {"R40", "returned by a federal enrolment agency"},
    {"R41", "invalid transaction code of an enrolment"},
    {"R42", "routing number or check digit error of an enrolment"},
    {"R43", "invalid account number of an enrolment"},
    {"R44", "invalid individual id number of an enrolment"},
    {"R45", "invalid name of an enrolment"},
    {"R46", "invalid representative payee indicator of an enrolment"},
    {"R47", "duplicate enrolment"},
    {"R50", "state law that affects collected checks"},
    {"R51", "collected item is ineligible or improper"},
    {"R52", "stop payment on a collected item"},
    {"R53", "the item and its entry were both presented"},
    {"R61", "dishonored: the return went to the wrong bank"},
    {"R62", "dishonored: return of an erroneous or reversing debit"},
    {"R67", "dishonored: duplicate return"},
    {"R68", "dishonored: untimely return"},
    {"R69", "dishonored: field errors in the return"},
    {"R70", "dishonored: permissible return not accepted, or not requested"},
    {"R71", "contested: the dishonored return went to the wrong bank"},
    {"R72", "contested: untimely dishonored return"},
    {"R73", "contested: the original return was timely"},
    {"R74", "contested: corrected return"},
    {"R75", "contested: the return was no duplicate"},
    {"R76", "contested: no errors found in the return"},
    {"R77", "contested: the dishonored return is not accepted"},
    {"R80", "cross-border entry is coded wrongly"},
    {"R81", "the gateway takes no part in cross-border entries"},
    {"R82", "invalid identification of the foreign receiving bank"},
    {"R83", "the foreign receiving bank cannot settle"},
    {"R84", "the gateway does not process the entry"},
    {"R85", "cross-border entry is coded as a domestic one"},
    {"R90", "held or refused because of sanctions"},
};

const char *nacha_return_text_known(str code) {
    size_t low = 0, high = sizeof RETURN_TEXTS / sizeof RETURN_TEXTS[0];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const char *here = RETURN_TEXTS[middle].code;
        const int order = code.len == 3 ? memcmp(code.ptr, here, 3) : -1;
        if (order == 0) {
            return RETURN_TEXTS[middle].text;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const char *nacha_return_text(str code) {
    const char *text = nacha_return_text_known(code);
    return text == NULL ? "return" : text;
}
