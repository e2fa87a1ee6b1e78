#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"
#ifdef DISBURSE_CRASH_POINTS
#include "base/clock_internal.h"
#endif

enum { US_PER_S = 1000000, US_PER_MS = 1000, NS_PER_US = 1000 };
static const int64_t US_PER_DAY = INT64_C(86400) * US_PER_S;

// --- The system's clock ----------------------------------------------------------------------------------------------

static int64_t read_us(clockid_t id) {
    struct timespec now;
    MUST(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / NS_PER_US;
}

static int64_t machine_wall_us(void *self) {
    (void)self;
#ifdef DISBURSE_CRASH_POINTS
    return read_us(CLOCK_REALTIME) + clock_shift_us();
#else
    return read_us(CLOCK_REALTIME);
#endif
}

static int64_t system_mono_us(void *self) {
    (void)self;
    return read_us(CLOCK_MONOTONIC);
}

// clock_system's wall time minus monotonic time; INT64_MIN: not anchored.
static _Atomic int64_t anchor_us = INT64_MIN;

void clock_anchor(int64_t offset_us) {
    ASSERT(offset_us != INT64_MIN);
    atomic_store(&anchor_us, offset_us);
}

void clock_anchor_lift(void) {
    atomic_store(&anchor_us, INT64_MIN);
}

static int64_t system_wall_us(void *self) {
    const int64_t offset_us = atomic_load(&anchor_us);
    return offset_us == INT64_MIN ? machine_wall_us(self) : system_mono_us(self) + offset_us;
}

static void system_random(void *self, void *out, size_t len) {
    (void)self;
    uint8_t *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0) {
            ASSERT(errno == EINTR); // without randomness no work is safe
            continue;
        }
        at += n;
        len -= (size_t)n;
    }
}

const clock_source *clock_system(void) {
    static const clock_source SYSTEM = {system_wall_us, system_mono_us, system_random, NULL};
    return &SYSTEM;
}

const clock_source *clock_machine(void) {
    static const clock_source MACHINE = {machine_wall_us, system_mono_us, system_random, NULL};
    return &MACHINE;
}

// --- Any clock -------------------------------------------------------------------------------------------------------

int64_t clock_wall_us(const clock_source *c) {
    return c->wall_us(c->self);
}

int64_t clock_mono_us(const clock_source *c) {
    return c->mono_us(c->self);
}

int64_t clock_mono_ms(const clock_source *c) {
    return c->mono_us(c->self) / US_PER_MS;
}

int64_t clock_boot_ms(const clock_source *c) {
    return c->mono_us == system_mono_us ? read_us(CLOCK_BOOTTIME) / US_PER_MS : clock_mono_ms(c);
}

void clock_pause_ms(int64_t ms) {
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int rc = EINTR;
    while (rc == EINTR) {
        rc = clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left);
    }
    ASSERT(rc == 0);
}

void clock_random(const clock_source *c, void *out, size_t len) {
    c->random(c->self, out, len);
}

uint64_t clock_random_below(const clock_source *c, uint64_t bound) {
    ASSERT(bound > 0);
    // 2^64 mod bound: values below it would make the low remainders more likely, so they are drawn again.
    const uint64_t reject_below = (0 - bound) % bound;
    for (;;) {
        uint64_t value = 0;
        clock_random(c, &value, sizeof(value));
        if (value >= reject_below) {
            return value % bound;
        }
    }
}

int64_t clock_backoff_ms(const clock_source *c, int64_t base_ms, int64_t cap_ms, int try_number) {
    ASSERT(base_ms >= 0 && cap_ms >= 0 && try_number >= 0);
    int64_t ceiling_ms = base_ms < cap_ms ? base_ms : cap_ms;
    for (int i = 0; i < try_number && ceiling_ms > 0 && ceiling_ms < cap_ms; i++) {
        ceiling_ms = ceiling_ms > cap_ms / 2 ? cap_ms : ceiling_ms * 2;
    }
    return (int64_t)clock_random_below(c, (uint64_t)ceiling_ms + 1);
}

// --- A clock for tests -----------------------------------------------------------------------------------------------

static int64_t test_now_us(void *self) {
    return ((const test_clock *)self)->now_us;
}

// splitmix64: small, seeded, the same on every machine.
static uint64_t test_next(test_clock *t) {
    t->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = t->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void test_random(void *self, void *out, size_t len) {
    uint8_t *at = out;
    for (size_t i = 0; i < len;) {
        uint64_t word = test_next(self);
        for (size_t k = 0; k < sizeof(word) && i < len; k++, i++) {
            at[i] = (uint8_t)(word >> (8 * k));
        }
    }
}

void test_clock_init(test_clock *t, int64_t wall_us, uint64_t seed) {
    *t = (test_clock){
        .source = {test_now_us, test_now_us, test_random, t},
        .now_us = wall_us,
        .state = seed,
    };
}

void test_clock_advance(test_clock *t, int64_t us) {
    ASSERT(us >= 0);
    t->now_us += us;
}

// --- Civil time (proleptic Gregorian, UTC) ---------------------------------------------------------------------------
// Eras of 400 years that begin on 1 March, so that the leap day is the last day of its year.

enum { DAYS_PER_ERA = 146097, DAYS_TO_1970 = 719468 };

civil_date time_civil_date(int64_t wall_us) {
    int64_t days = wall_us / US_PER_DAY - (wall_us % US_PER_DAY < 0 ? 1 : 0) + DAYS_TO_1970;
    int64_t era = (days >= 0 ? days : days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; // 0 is March
    int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    return (civil_date){(int)year, (int)month, (int)day};
}

int64_t time_from_civil(civil_date d) {
    int64_t year = (int64_t)d.year - (d.month <= 2 ? 1 : 0);
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month = d.month > 2 ? d.month - 3 : d.month + 9;
    int64_t day_of_year = (153 * month + 2) / 5 + d.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970) * US_PER_DAY;
}

void time_format_rfc3339(int64_t wall_us, char *out, size_t out_len) {
    // RFC 3339 has years 0000 to 9999; a time outside is shown as the nearest time inside.
    const int64_t first = time_from_civil((civil_date){0, 1, 1});
    const int64_t last = time_from_civil((civil_date){10000, 1, 1}) - 1;
    wall_us = wall_us < first ? first : wall_us;
    wall_us = wall_us > last ? last : wall_us;
    civil_date date = time_civil_date(wall_us);
    int64_t of_day = wall_us - time_from_civil(date);
    int64_t seconds = of_day / US_PER_S;
    int n = snprintf(out, out_len, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", date.year, date.month,
                     date.day, (int)(seconds / 3600), (int)(seconds / 60 % 60), (int)(seconds % 60),
                     (int)(of_day % US_PER_S));
    ASSERT(n > 0 && (size_t)n < out_len);
}
