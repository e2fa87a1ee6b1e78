// The bank's habits, the same for every payer. Each has a kind value, the default, and values for less kind banks.
#ifndef HABITS_HABITS_H
#define HABITS_HABITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum {
    HABIT_MS_MAX = 600000,
    HABIT_DAY_MS = 86400000,
    HABIT_COUNT_MAX = 1000000,
    HABIT_DAYS_MAX = 30
};

// X(name, kind value, least, most, meaning). Settings, JSON and documentation come from this table.
// clang-format off
#define HABITS(X)                                                                                                      \
    X(archive, 1, 0, 1, "1: a file that was taken goes to archive/; 0: it is gone")                                    \
    X(archive_files, 0, 0, HABIT_COUNT_MAX, "so many files stay in archive/, the oldest go; 0: all stay")              \
    X(archive_ms, 0, 0, HABIT_DAY_MS, "how long a file stays in archive/; 0: for ever")                                \
    X(duplicate_check, 1, 0, 1, "1: a file name, content, modifier or trace that was used is rejected; 0: taken and paid") \
    X(acks, 1, 0, 1, "1: each file is acknowledged; 0: never")                                                         \
    X(refuse_entries, 0, 0, 3, "entries that the bank will not pay: 0 come back as returns; named in the acknowledgement, 1 and counted there, 2 and not counted, 3 and the whole file is rejected") \
    X(refuse_late, 0, 0, 1, "1: the acknowledgement names nobody, and a second one names those that are refused")      \
    X(settlement_lines, 1, 0, 1, "1: a settlement report for each file; 0: nobody tells of a settlement")              \
    X(settle_days, 0, 0, HABIT_DAYS_MAX, "a file settles so many days later; a flush brings the day")                  \
    X(bank_names, 0, 0, 1, "1: files of the bank have names of its own, which do not tell what they answer")           \
    X(returns_together, 0, 0, 1, "1: one return file for all companies; 0: one for each origin")                       \
    X(odd_dishonored, 0, 0, 1, "1: a return file also has a dishonored return (R61)")                                  \
    X(odd_web, 0, 0, 1, "1: a return file also has a batch of returned WEB debits")                                    \
    X(odd_trace, 0, 0, 1, "1: a return file also has a return of a trace that nobody used")                            \
    X(odd_company, 0, 0, 1, "1: a return file also has another company's return with a trace and amount of ours")     \
    X(crlf, 0, 0, 1, "1: return files have CRLF line ends")                                                            \
    X(fixed_94, 0, 0, 1, "1: return files have no line ends")                                                          \
    X(trim_blanks, 0, 0, 1, "1: the blanks at the ends of lines of return files are cut")                              \
    X(no_padding, 0, 0, 1, "1: return files are not padded with lines of 9s")                                          \
    X(descending_traces, 0, 0, 1, "1: the traces of a returning bank descend")                                         \
    X(blank_date, 0, 0, 1, "1: return batches have a blank effective entry date")                                      \
    X(status_2, 0, 0, 1, "1: return batches have originator status 2")                                                 \
    X(blank_names, 0, 0, 1, "1: return files have blank names of companies and receivers")                             \
    X(forward_codes, 0, 0, 1, "1: returned entries keep transaction code 22 or 32")                                    \
    X(grow_ms, 0, 0, HABIT_MS_MAX, "a file of the bank is written slowly in place for so long; 0: it appears whole")   \
    X(refusals_stored, 1, 0, 1, "1: a refusal is kept under its key; 0: forgotten, and the key is free again")         \
    X(key_first, 1, 0, 1, "1: a known key gets its first answer; 0: a repeat is judged first, and refused as AM05")    \
    X(query_lag_ms, 0, 0, HABIT_MS_MAX, "a query by key does not find a payment that is younger")                      \
    X(query_lag_count, 0, 0, HABIT_COUNT_MAX, "the first queries by a key that find nothing, though it is there")

// Habits of the file server; only with sftp.relay. The first three count down with each use.
#define HABITS_SFTP(X)                                                                                                 \
    X(sftp_drop_writes, 0, 0, HABIT_COUNT_MAX, "so many uploads lose the connection in the middle of their bytes")     \
    X(sftp_refuse_renames, 0, 0, HABIT_COUNT_MAX, "so many renames are refused")                                       \
    X(sftp_lose_renames, 0, 0, HABIT_COUNT_MAX, "so many renames are done, and the connection is lost before the answer") \
    X(sftp_slow_ms, 0, 0, HABIT_MS_MAX, "how long each request waits")                                                 \
    X(sftp_list_late_ms, 0, 0, HABIT_MS_MAX, "a file is there, but not listed before it is so old")                    \
    X(sftp_bare_names, 0, 0, 1, "1: a listing gives names and nothing else: no kinds, sizes and times")                \
    X(sftp_packet_max, 0, 0, HABIT_COUNT_MAX, "a longer request, in bytes, ends the session; 0: any length")
// clang-format on

#define HABITS_FIELD(name, kind, least, most, help) int64_t name;
typedef struct habits_config {
    HABITS(HABITS_FIELD)
    HABITS_SFTP(HABITS_FIELD)
} habits_config;

// The habits that the file server's sessions read, in a mapped file.
#define HABITS_ATOMIC(name, kind, least, most, help) _Atomic int64_t name;
typedef struct habits_shared {
    HABITS_SFTP(HABITS_ATOMIC)
} habits_shared;
#undef HABITS_FIELD
#undef HABITS_ATOMIC

// Maps the file; create: makes a missing file. NULL with *e. The mapping lives until the process ends.
habits_shared *habits_shared_map(const char *path, bool create, err *e);
// For a habit that counts down: uses it once. False when none is left.
bool habits_take(_Atomic int64_t *left);

typedef struct habits habits;
// shared may be NULL: then the file server's habits cannot be set. @owned by the caller; aborts when there is no memory.
habits *habits_create(const habits_config *c, habits_shared *shared);
void habits_destroy(habits *h);      // accepts NULL; the mapping stays
habits_config habits_get(habits *h); // @thread any; counters have their present values
// @thread any; INVALID_ARGUMENT for the file server without a relay
bool habits_replace(habits *h, const habits_config *c, err *e) WARN_UNUSED;

// Sets one field of *c by its name. INVALID_ARGUMENT with the field.
bool habits_config_set(habits_config *c, const char *name, int64_t value, err *e) WARN_UNUSED;
void habits_config_json(const habits_config *c, strbuf *out);

#endif
