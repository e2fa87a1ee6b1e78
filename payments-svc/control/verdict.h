// What a control says of one payout. Pure: no database, no clock.
#ifndef CONTROL_VERDICT_H
#define CONTROL_VERDICT_H

#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

enum { CONTROL_TEXT_MAX = 160 };

typedef enum control_answer {
    CONTROL_PASS,
    CONTROL_WAIT,  // not yet: asked again at until_us
    CONTROL_HOLD,  // a person must look: a case of the control's kind
    CONTROL_REFUSE // no, for good
} control_answer;

typedef struct control_verdict {
    control_answer answer;
    const char *reason; // not PASS: one of the control's reasons. Static
    char text[CONTROL_TEXT_MAX];
    int64_t until_us;  // WAIT: when it is asked again; for whom it waits says the text
    err_code code;     // REFUSE at the intake: the call's code
    const char *field; // the same: the field at fault, such as "currency". Static; NULL: none
} control_verdict;

// A payout as a control sees it. Strings are borrowed.
typedef struct control_payout {
    str merchant_id;
    uuid recipient_id;
    int64_t amount; // minor units
    const char *currency;
    int connection; // its number
    // Of a recipient that is not registered and comes beside, which is only ever checked. NULL: recipient_id counts.
    const char *recipient_currency;
} control_payout;

// Fills *out but for what only some answers have.
void control_say(control_verdict *out, control_answer answer, const char *reason, const char *text);

#endif
