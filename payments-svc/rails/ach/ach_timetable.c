#include "rails/ach/ach_timetable.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/str.h"
#include "calendar/fed_calendar.h"
#include "formats/nacha/nacha.h"

#define US_PER_MINUTE INT64_C(60000000)

static civil_date date_of(int64_t yyyymmdd) {
    return (civil_date){(int)(yyyymmdd / 10000), (int)(yyyymmdd / 100 % 100),
                        (int)(yyyymmdd % 100)};
}

static int64_t number_of(civil_date d) {
    return d.year * INT64_C(10000) + d.month * INT64_C(100) + d.day;
}

int64_t ach_day_of(int64_t wall_us) {
    return number_of(time_civil_date(fed_local_us(wall_us)));
}

int64_t ach_banking_day(int64_t yyyymmdd, int n) {
    return number_of(fed_add_banking_days(date_of(yyyymmdd), n));
}

int64_t ach_time_of(int64_t yyyymmdd, int minute) {
    const int64_t local_us = time_from_civil(date_of(yyyymmdd)) + minute * US_PER_MINUTE;
    // New York is four or five hours behind UTC. At a change of clocks one of the two may not exist, or both do: then the later is taken.
    const int64_t standard_us = local_us + 300 * US_PER_MINUTE;
    const int64_t daylight_us = local_us + 240 * US_PER_MINUTE;
    return fed_local_us(standard_us) == local_us ? standard_us : daylight_us;
}

static bool bad(err *e, const char *why) {
    return err_set_field(e, ERR_INVALID_ARGUMENT, "BAD_SETTING", "ach.windows", "ach.windows %s",
                         why);
}

bool ach_timetable_parse(const char *text, ach_timetable *out, err *e) {
    str rest = str_of(text);
    *out = (ach_timetable){0};
    while (rest.len > 0) {
        int64_t hour, minute;
        if (rest.len < 5 || rest.ptr[2] != ':' || rest.ptr[0] == '-' || rest.ptr[3] == '-' ||
            !str_to_i64((str){rest.ptr, 2}, 0, 23, &hour) ||
            !str_to_i64((str){rest.ptr + 3, 2}, 0, 59, &minute) ||
            (rest.len > 5 && (rest.ptr[5] != ',' || rest.len == 6))) {
            return bad(e, "must be times like 08:15,14:30");
        }
        const int at = (int)(hour * 60 + minute);
        if (out->n == ACH_WINDOWS_MAX || (out->n > 0 && at <= out->minute[out->n - 1])) {
            return bad(e, "must be at most 24 times, each later than the one before");
        }
        out->minute[out->n++] = at;
        rest = rest.len > 5 ? (str){rest.ptr + 6, rest.len - 6} : (str){rest.ptr, 0};
    }
    return true;
}

// The first window after a time.
static int64_t next_window(const ach_timetable *t, int64_t now_us) {
    int64_t day = ach_banking_day(ach_day_of(now_us), 0);
    for (int tries = 0; tries < 3; tries++) {
        for (size_t i = 0; i < t->n; i++) {
            const int64_t at_us = ach_time_of(day, t->minute[i]);
            if (at_us > now_us) {
                return at_us;
            }
        }
        day = ach_banking_day(day, 1);
    }
    return ach_time_of(day, t->minute[0]);
}

int64_t ach_timetable_next(const ach_timetable *t, int64_t now_us) {
    return t->n > 0 ? next_window(t, now_us) : 0;
}

static size_t at_least_zero(int n) {
    return n > 0 ? (size_t)n : 0;
}

static ach_cut cut_at_window(const ach_timetable *t, const ach_cuts *cuts, int64_t now_us) {
    ach_cut cut = {.retry_at_us = next_window(t, now_us)};
    const int64_t day = ach_day_of(now_us);
    if (ach_banking_day(day, 0) != day) {
        return cut;
    }
    int windows_left = 0;
    for (size_t i = 0; i < t->n; i++) {
        const int64_t at_us = ach_time_of(day, t->minute[i]);
        if (at_us <= now_us && now_us < at_us + ACH_WINDOW_OPEN_US) {
            cut.window_us = at_us;
            windows_left = 0;
        }
        windows_left++;
    }
    if (cut.window_us == 0) {
        return cut;
    }
    const int left = NACHA_MODIFIERS - cuts->used;
    if (left > ACH_IDS_LOW) {
        cut.files = (size_t)(left - ACH_IDS_LOW);
        return cut;
    }
    // Divides the remaining ids evenly among the remaining windows, this one included.
    const int here = cuts->window_us == cut.window_us ? cuts->in_window : 0;
    const int share = (left + here + windows_left - 1) / windows_left;
    cut.files = at_least_zero(share - here < left ? share - here : left);
    return cut;
}

// Without windows: freely while many ids are left, and evenly until midnight when few are left.
static ach_cut cut_when_gathered(const ach_cuts *cuts, int64_t now_us) {
    const int64_t day = ach_day_of(now_us);
    const int64_t midnight_us = ach_time_of(number_of(civil_add_days(date_of(day), 1)), 0);
    const int left = NACHA_MODIFIERS - cuts->used;
    ach_cut cut = {.window_us = now_us, .retry_at_us = midnight_us};
    if (left > ACH_IDS_LOW) {
        cut.files = (size_t)(left - ACH_IDS_LOW);
        return cut;
    }
    if (left > 0 && cuts->cut_us > 0) {
        const int64_t next_us = cuts->cut_us + (midnight_us - cuts->cut_us) / (left + 1);
        cut.files = now_us >= next_us ? 1 : 0;
        cut.retry_at_us = cut.files > 0 ? midnight_us : next_us;
    }
    return cut;
}

ach_cut ach_timetable_cut(const ach_timetable *t, const ach_cuts *cuts, int64_t now_us) {
    return t->n > 0 ? cut_at_window(t, cuts, now_us) : cut_when_gathered(cuts, now_us);
}

void ach_timetable_count(ach_cuts *cuts, const ach_cut *cut, int64_t now_us) {
    ASSERT(cuts->used < NACHA_MODIFIERS);
    if (cuts->window_us != cut->window_us) {
        cuts->window_us = cut->window_us;
        cuts->in_window = 0;
    }
    cuts->in_window += NACHA_MODIFIERS - cuts->used <= ACH_IDS_LOW ? 1 : 0;
    cuts->used++;
    cuts->cut_us = now_us;
}
