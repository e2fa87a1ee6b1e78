#include "calendar/fed_calendar.h"

#include "base/assert.h"

#define US_PER_HOUR (INT64_C(3600) * 1000000)
#define US_PER_DAY (24 * US_PER_HOUR)

enum { SUNDAY = 0, MONDAY = 1, THURSDAY = 4, SATURDAY = 6 };

static int weekday(civil_date d) {
    int64_t days = time_from_civil(d) / US_PER_DAY; // 1970-01-01 was a Thursday
    return (int)(((days + THURSDAY) % 7 + 7) % 7);
}

static bool is_leap(int year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

bool civil_is_valid(civil_date d) {
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (d.year < 1900 || d.year > 9999 || d.month < 1 || d.month > 12 || d.day < 1) {
        return false;
    }
    return d.day <= DAYS[d.month - 1] + (d.month == 2 && is_leap(d.year) ? 1 : 0);
}

civil_date civil_add_days(civil_date d, int64_t days) {
    return time_civil_date(time_from_civil(d) + days * US_PER_DAY);
}

// The n-th given weekday of a month.
static int nth_weekday(int year, int month, int day_of_week, int n) {
    int first = weekday((civil_date){year, month, 1});
    return 1 + (day_of_week - first + 7) % 7 + 7 * (n - 1);
}

static bool is_last_monday_of_may(civil_date d) {
    return d.month == 5 && weekday(d) == MONDAY && d.day > 24;
}

static bool is_fixed_holiday(civil_date d) {
    static const struct { int month, day; } FIXED[] = {{1, 1}, {6, 19}, {7, 4}, {11, 11}, {12, 25}};
    for (size_t i = 0; i < sizeof FIXED / sizeof FIXED[0]; i++) {
        if (d.month == FIXED[i].month && d.day == FIXED[i].day) {
            // Juneteenth became a holiday in June 2021.
            return d.month != 6 || d.year >= 2021;
        }
    }
    return false;
}

static bool is_moving_holiday(civil_date d) {
    static const struct {
        int month, day_of_week, n;
    } MOVING[] = {
        {1, MONDAY, 3},    // Martin Luther King Day
        {2, MONDAY, 3},    // Presidents Day
        {9, MONDAY, 1},    // Labor Day
        {10, MONDAY, 2},   // Columbus Day
        {11, THURSDAY, 4}, // Thanksgiving
    };
    for (size_t i = 0; i < sizeof MOVING / sizeof MOVING[0]; i++) {
        if (d.month == MOVING[i].month &&
            d.day == nth_weekday(d.year, d.month, MOVING[i].day_of_week, MOVING[i].n)) {
            return true;
        }
    }
    return is_last_monday_of_may(d);
}

bool fed_is_banking_day(civil_date d) {
    int day_of_week = weekday(d);
    if (day_of_week == SATURDAY || day_of_week == SUNDAY) {
        return false;
    }
    bool observed = day_of_week == MONDAY && is_fixed_holiday(civil_add_days(d, -1));
    return !observed && !is_fixed_holiday(d) && !is_moving_holiday(d);
}

civil_date fed_add_banking_days(civil_date d, int n) {
    ASSERT(n >= 0);
    while (!fed_is_banking_day(d)) {
        d = civil_add_days(d, 1);
        // A day off that is passed by counts as nothing: from a Saturday, one banking day is the Monday.
        if (fed_is_banking_day(d) && n > 0) {
            n--;
        }
    }
    while (n > 0) {
        d = civil_add_days(d, 1);
        n -= fed_is_banking_day(d) ? 1 : 0;
    }
    return d;
}

int64_t fed_local_us(int64_t wall_us) {
    int64_t standard = wall_us - 5 * US_PER_HOUR;
    int year = time_civil_date(standard).year;
    // Daylight saving time: from the second Sunday of March to the first Sunday of November, both at 2:00 local time,
    // which is 2:00 and 1:00 of standard time.
    int64_t begin =
        time_from_civil((civil_date){year, 3, nth_weekday(year, 3, SUNDAY, 2)}) + 2 * US_PER_HOUR;
    int64_t end =
        time_from_civil((civil_date){year, 11, nth_weekday(year, 11, SUNDAY, 1)}) + US_PER_HOUR;
    return standard >= begin && standard < end ? standard + US_PER_HOUR : standard;
}
