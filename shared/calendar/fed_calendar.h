// Banking days of the Federal Reserve, and the time in New York, in which ACH files are dated. Pure.
#ifndef CALENDAR_FED_CALENDAR_H
#define CALENDAR_FED_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

// True from Monday to Friday, except on the 11 holidays of the Federal Reserve. A holiday on a Sunday is observed on
// Monday; one on a Saturday is not observed on Friday.
bool fed_is_banking_day(civil_date d);
// The n-th banking day after d (n ≥ 0). n = 0: d itself when it is a banking day, else the next one.
civil_date fed_add_banking_days(civil_date d, int n);
civil_date civil_add_days(civil_date d, int64_t days);
bool civil_is_valid(civil_date d); // a day that exists, in the years 1900 … 9999

// Wall time in New York (US rules since 2007), as microseconds "since 1970 local": for time_civil_date.
int64_t fed_local_us(int64_t wall_us);

#endif
