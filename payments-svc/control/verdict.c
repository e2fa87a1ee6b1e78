#include "control/verdict.h"

#include <stdio.h>

void control_say(control_verdict *out, control_answer answer, const char *reason,
                 const char *text) {
    *out = (control_verdict){.answer = answer, .reason = reason, .code = ERR_FAILED_PRECONDITION};
    (void)snprintf(out->text, sizeof out->text, "%s", text);
}
