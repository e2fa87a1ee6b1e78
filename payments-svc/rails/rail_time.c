#include "rails/rail_time.h"

#include "base/clock.h"
#include "calendar/fed_calendar.h"

#define US_PER_S INT64_C(1000000)

// The number in s[at, at+len); all must be digits.
static bool part(str s, size_t at, size_t len, int64_t max, int64_t *out) {
    return at + len <= s.len && s.ptr[at] != '-' && str_to_i64((str){s.ptr + at, len}, 0, max, out);
}

static bool is_at(str s, size_t at, char c) {
    return at < s.len && s.ptr[at] == c;
}

// "Z" or "+05:30" at the end of the text.
static bool offset(str s, size_t at, int64_t *seconds) {
    *seconds = 0;
    if (is_at(s, at, 'Z')) {
        return at + 1 == s.len;
    }
    int64_t hours, minutes;
    bool negative = is_at(s, at, '-');
    if (!(negative || is_at(s, at, '+')) || s.len != at + 6 || !part(s, at + 1, 2, 23, &hours) ||
        !is_at(s, at + 3, ':') || !part(s, at + 4, 2, 59, &minutes)) {
        return false;
    }
    *seconds = (hours * 3600 + minutes * 60) * (negative ? -1 : 1);
    return true;
}

bool rail_time_parse(str s, int64_t *wall_us) {
    int64_t y, mo, d, h, mi, sec, seconds, us = 0;
    bool shape = part(s, 0, 4, 9999, &y) && is_at(s, 4, '-') && part(s, 5, 2, 12, &mo) &&
                 is_at(s, 7, '-') && part(s, 8, 2, 31, &d) && is_at(s, 10, 'T') &&
                 part(s, 11, 2, 23, &h) && is_at(s, 13, ':') && part(s, 14, 2, 59, &mi) &&
                 is_at(s, 16, ':') && part(s, 17, 2, 60, &sec);
    if (!shape) {
        return false;
    }
    civil_date date = {(int)y, (int)mo, (int)d};
    size_t at = 19;
    if (is_at(s, at, '.')) {
        int64_t unit = US_PER_S / 10;
        size_t first = ++at;
        for (; at < s.len && at - first < 9 && s.ptr[at] >= '0' && s.ptr[at] <= '9'; at++) {
            us += (s.ptr[at] - '0') * unit;
            unit /= 10;
        }
        if (at == first) {
            return false;
        }
    }
    if (!civil_is_valid(date) || !offset(s, at, &seconds)) {
        return false;
    }
    *wall_us = time_from_civil(date) + (h * 3600 + mi * 60 + sec - seconds) * US_PER_S + us;
    return true;
}
