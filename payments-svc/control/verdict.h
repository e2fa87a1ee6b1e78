// A control's verdict on one payout. Pure: no database, no clock.
#ifndef CONTROL_VERDICT_H
#define CONTROL_VERDICT_H

#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

enum { CONTROL_TEXT_MAX = 160 };

typedef enum control_answer {
    CONTROL_PASS,
    CONTROL_WAIT,  // not yet: it is asked again at until_us
    CONTROL_HOLD,  // a person must look: a case of the control's kind
    CONTROL_REFUSE // no, for good
} control_answer;

typedef struct control_verdict {
    control_answer answer;
    const char *reason; // not PASS: one of the control's reasons. Static
    char text[CONTROL_TEXT_MAX];
    int64_t until_us;  // WAIT: time of the next question; the text tells what it waits for
    err_code code;     // REFUSE at the intake: the call's code
    const char *field; // the same: the field at fault, such as "currency". Static; NULL: none
} control_verdict;

// A payout for a control. Strings are borrowed.
typedef struct control_payout {
    str merchant_id;
    uuid recipient_id;
    int64_t amount; // minor units
    const char *currency;
    int connection; // its number
    // The currency of an unregistered recipient that comes with the payout; only in checks. NULL: use recipient_id.
    const char *recipient_currency;
} control_payout;

// Fills *out, except for fields that only some verdicts have.
void control_say(control_verdict *out, control_answer answer, const char *reason, const char *text);

#endif
