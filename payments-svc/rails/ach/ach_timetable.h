// When files are cut: at windows before the bank's cut-offs, or as soon as enough has gathered. And how many, since an origin has 36 file
// ids a day. Pure. Times of day are New York's, the zone of the Federal Reserve's timetable.
#ifndef ACH_ACH_TIMETABLE_H
#define ACH_ACH_TIMETABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    ACH_WINDOWS_MAX = 24,
    ACH_IDS_LOW = 9, // when so few ids are left, they are spread over the rest of the day
    ACH_WINDOW_OPEN_US = 600 * 1000000 // files are cut for so long after the window's time
};

typedef struct ach_timetable {
    int minute[ACH_WINDOWS_MAX]; // of the day, ascending
    size_t n;                    // 0: files are cut when payouts have gathered
} ach_timetable;

// Parses "08:15,10:15,14:30"; "" has no windows. INVALID_ARGUMENT names the fault.
bool ach_timetable_parse(const char *text, ach_timetable *out, err *e) WARN_UNUSED;

// The day's cuts so far.
typedef struct ach_cuts {
    int used;          // file ids, 0 … 36
    int64_t window_us; // window of the last cut
    int in_window;     // files cut in it since few ids were left
    int64_t cut_us;    // time of the last cut; 0: none today
} ach_cuts;

typedef struct ach_cut {
    size_t files;        // how many may be cut now
    int64_t window_us;   // their window
    int64_t retry_at_us; // when an item without a place should try again
} ach_cut;
ach_cut ach_timetable_cut(const ach_timetable *t, const ach_cuts *cuts, int64_t now_us);
// The first window after a time; 0 when the timetable has none.
int64_t ach_timetable_next(const ach_timetable *t, int64_t now_us);
// Counts one file.
void ach_timetable_count(ach_cuts *cuts, const ach_cut *cut, int64_t now_us);

// The time of this minute of the day in New York. yyyymmdd is a valid date.
int64_t ach_time_of(int64_t yyyymmdd, int minute);
// The day in New York, YYYYMMDD.
int64_t ach_day_of(int64_t wall_us);
// The banking day after (n days on) of a date.
int64_t ach_banking_day(int64_t yyyymmdd, int n);

#endif
