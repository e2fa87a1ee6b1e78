// Time and randomness, behind an interface, so that tests and simulation can set both.
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct clock_source {
    int64_t (*wall_us)(void *self); // microseconds since 1970-01-01T00:00:00Z
    int64_t (*mono_us)(void *self); // never steps back; only differences mean something
    void (*random)(void *self, void *out, size_t len); // cryptographic in production
    void *self;
} clock_source;

const clock_source *clock_system(void);
// The machine's own clock, which people and time services step. It differs from an anchored clock_system.
const clock_source *clock_machine(void);
// From now on the wall time of clock_system, and so of the whole process, is monotonic time plus offset_us: the clock of another machine
// that several processes share (db/db.h: db_clock). Steps of the machine's clock have no effect any more. Any thread.
void clock_anchor(int64_t offset_us);
// Undoes clock_anchor. For tests.
void clock_anchor_lift(void);
int64_t clock_wall_us(const clock_source *c);
int64_t clock_mono_us(const clock_source *c);
int64_t clock_mono_ms(const clock_source *c);
// Like clock_mono_ms, but continues while the machine is suspended: for ends that do not depend on this process being awake, such as a
// lease's.
int64_t clock_boot_ms(const clock_source *c);
// Sleeps on the machine's monotonic time, also after a signal. For pauses that nothing interrupts; else use base/cond.h.
void clock_pause_ms(int64_t ms);
void clock_random(const clock_source *c, void *out, size_t len);
uint64_t clock_random_below(const clock_source *c, uint64_t bound); // unbiased; bound > 0

// A clock for tests: both times move only by test_clock_advance; randomness is a seeded generator.
typedef struct test_clock {
    clock_source source;
    int64_t now_us;
    uint64_t state;
} test_clock;
void test_clock_init(test_clock *t, int64_t wall_us, uint64_t seed);
void test_clock_advance(test_clock *t, int64_t us);

// Exponential backoff with full jitter: uniform in [0, min(cap, base * 2^try)], try counted from 0.
int64_t clock_backoff_ms(const clock_source *c, int64_t base_ms, int64_t cap_ms, int try_number);

// "2026-11-21T09:42:00.000000Z"; out holds at least 28 bytes.
void time_format_rfc3339(int64_t wall_us, char *out, size_t out_len);
// Civil UTC date of a time.
typedef struct civil_date {
    int year, month, day;
} civil_date;
civil_date time_civil_date(int64_t wall_us);
int64_t time_from_civil(civil_date d); // midnight UTC, microseconds

#endif
