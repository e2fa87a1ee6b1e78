// The last trouble with a connection's bank, for people: kept until the same work succeeds.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "rails/ach/ach_internal.h"

void ach_trouble_init(ach_rail *r) {
    MUST(pthread_mutex_init(&r->trouble_lock, NULL) == 0);
}

void ach_trouble_destroy(ach_rail *r) {
    pthread_mutex_destroy(&r->trouble_lock);
}

void ach_trouble_is(ach_rail *r, ach_trouble_of of, const char *doing, const err *e) {
    char text[RAIL_TROUBLE_MAX + 1];
    int len = snprintf(text, sizeof text, "%s: %s%s%s", doing, e->message,
                       e->detail[0] != '\0' ? ": " : "", e->detail);
    len = len < RAIL_TROUBLE_MAX ? len : RAIL_TROUBLE_MAX;
    for (int i = 0; i < len; i++) { // of a server's words only the ASCII part
        text[i] = (char)(text[i] >= 0x20 && text[i] <= 0x7e ? text[i] : '?');
    }
    MUST(pthread_mutex_lock(&r->trouble_lock) == 0);
    memcpy(r->troubles[of].text, text, sizeof text);
    r->troubles[of].at_us = clock_wall_us(r->clock);
    MUST(pthread_mutex_unlock(&r->trouble_lock) == 0);
}

void ach_trouble_over(ach_rail *r, ach_trouble_of of) {
    MUST(pthread_mutex_lock(&r->trouble_lock) == 0);
    r->troubles[of].at_us = 0;
    MUST(pthread_mutex_unlock(&r->trouble_lock) == 0);
}

void ach_trouble_tell(ach_rail *r, rail_outlook *out) {
    MUST(pthread_mutex_lock(&r->trouble_lock) == 0);
    for (int i = 0; i < ACH_TROUBLES; i++) {
        if (r->troubles[i].at_us > out->trouble_us) {
            memcpy(out->trouble, r->troubles[i].text, sizeof out->trouble);
            out->trouble_us = r->troubles[i].at_us;
        }
    }
    MUST(pthread_mutex_unlock(&r->trouble_lock) == 0);
}
