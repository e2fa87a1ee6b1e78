// When files are cut: at windows before the bank's cut-offs, or as soon as enough has gathered; and how many, since an origin has 36
// file ids a day. Pure. Times of day are those of New York, the zone of the Federal Reserve's own timetable.
#ifndef ACH_ACH_TIMETABLE_H
#define ACH_ACH_TIMETABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    ACH_WINDOWS_MAX = 24,
    ACH_IDS_LOW = 9, // file ids that are left to be spread over the rest of the day
    ACH_WINDOW_OPEN_US = 600 * 1000000 // files are cut so long from the window's time on
};

typedef struct ach_timetable {
    int minute[ACH_WINDOWS_MAX]; // of the day, ascending
    size_t n;                    // 0: files are cut when payouts have gathered
} ach_timetable;

// "08:15,10:15,14:30"; "" is the timetable without windows. INVALID_ARGUMENT that says what is wrong.
bool ach_timetable_parse(const char *text, ach_timetable *out, err *e) WARN_UNUSED;

// What was cut on the day until now.
typedef struct ach_cuts {
    int used;          // file ids, 0 … 36
    int64_t window_us; // of the last cut
    int in_window;     // cut in it since few ids were left
    int64_t cut_us;    // when the last file was cut; 0: none today
} ach_cuts;

typedef struct ach_cut {
    size_t files;        // that may be cut now
    int64_t window_us;   // for which they are
    int64_t retry_at_us; // when what gets no place now is worth another try
} ach_cut;
ach_cut ach_timetable_cut(const ach_timetable *t, const ach_cuts *cuts, int64_t now_us);
// The first window after a time; 0 when the timetable has none.
int64_t ach_timetable_next(const ach_timetable *t, int64_t now_us);
// Counts one file in.
void ach_timetable_count(ach_cuts *cuts, const ach_cut *cut, int64_t now_us);

// The time at which it is this minute of that day in New York. yyyymmdd is a valid date.
int64_t ach_time_of(int64_t yyyymmdd, int minute);
// The day in New York, YYYYMMDD.
int64_t ach_day_of(int64_t wall_us);
// The banking day after (n days on) of a date.
int64_t ach_banking_day(int64_t yyyymmdd, int n);

#endif
