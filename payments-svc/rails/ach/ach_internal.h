// What the files of the ACH rail share. Nobody outside of this folder includes it.
#ifndef ACH_ACH_INTERNAL_H
#define ACH_ACH_INTERNAL_H

#include "base/metrics.h"
#include "base/ticker.h"
#include "rails/ach/ach_rail.h"
#include "rails/ach/ach_sftp.h"
#include "rails/ach/nacha_write.h"

enum {
    ACH_NAME_LEN_MAX = 96,
    ACH_SFTP_TIMEOUT_MS = 20 * 1000,
    ACH_DB_TIMEOUT_MS = 15 * 1000,
    ACH_SCRATCH_MAX = 192 * 1024 * 1024, // memory of one call; most of it is never touched
    ACH_INBOUND_FILE_MAX = 16 * 1024 * 1024,
    ACH_INBOUND_LIST_MAX = 1000, // files of one look into the outbox
    ACH_BOOK_MAX = 1000000,
    ACH_UPLOAD_OLD_S = 15 * 60, // an upload that was not touched for so long is nobody's any more
    ACH_SWEEP_EVERY_MS = 5 * 60 * 1000
};

typedef enum inbound_result {
    INBOUND_RECORDED,
    INBOUND_REPEATED,
    INBOUND_BAD,
    INBOUND_RESULTS
} inbound_result;

typedef struct ach_rail {
    rail base;
    ach_settings settings;
    int64_t origin_base, company_base;
    db_pool *pool;
    crypto_keyring *keys;
    const clock_source *clock;
    ach_sftp *out; // for submit and query

    metric *files, *exhausted, *accepted, *not_sent, *unknown;
    metric *inbound[INBOUND_RESULTS];

    // The inbound ticker's, with a session of its own so that a download never delays an upload.
    ach_sftp *in;
    rail_wake wake;
    void *wake_arg;
    ticker *inbound_ticker;
    bool inbound_down;
    int64_t sweep_at_ms; // monotonic
} ach_rail;

// ach_sql.c: every statement of the rail.
typedef enum ach_sql {
    ACH_SQL_COUNTER_LOCK,
    ACH_SQL_COUNTER_INSERT,
    ACH_SQL_COUNTER_UPDATE,
    ACH_SQL_FILE_INSERT,
    ACH_SQL_ENTRIES_OF_ITEMS,
    ACH_SQL_FILES_BY_ID,
    ACH_SQL_FILE_BY_NAME,
    ACH_SQL_ENTRIES_OF_FILE,
    ACH_SQL_ENTRIES_BY_TRACE,
    ACH_SQL_INBOUND_BY_NAME,
    ACH_SQL_INBOUND_INSERT,
    ACH_SQL_COUNT
} ach_sql;
extern const db_stmt ACH_SQL[ACH_SQL_COUNT];

// ach_build.c: numbers of a book, and files out of items. Pure.
typedef struct ach_numbers {
    int64_t next_trace;
    int64_t file_date; // YYYYMMDD
    int next_modifier; // 0 … 36
} ach_numbers;

typedef struct ach_entry_plan {
    size_t item; // index into the items
    int64_t trace;
    const char *description; // as it stands in the file
} ach_entry_plan;

typedef struct ach_file_plan {
    char name[ACH_NAME_LEN_MAX];
    char modifier;
    ach_entry_plan *entries;
    size_t n_entries;
    nacha_totals totals;
    strbuf content; // ach_build_free
} ach_file_plan;

typedef struct ach_build {
    ach_file_plan *files;
    size_t n_files;
    bool exhausted; // some items got no place: no modifier left today, or no trace numbers
} ach_build;

// What the file would refuse of this item: INVALID_ARGUMENT with the field.
bool ach_item_check(const rail_item *item, err *e) WARN_UNUSED;
// Plans and writes the files of the chosen items (indexes; all of them pass ach_item_check) and moves *numbers on, first to
// today if the stored date is past. Fails only on wrong settings or without memory. The caller frees in every case.
bool ach_build_files(const ach_rail *r, int64_t book_id, const rail_item *items,
                     const size_t *chosen, size_t n_chosen, ach_numbers *numbers, arena *a,
                     ach_build *out, err *e) WARN_UNUSED;
void ach_build_free(ach_build *b);
// "1" and nine digits; out holds 11. False when the book's number does not fit.
bool ach_origin_of_book(int64_t base, int64_t book_id, char out[11]);
int64_t ach_today(const clock_source *clock); // YYYYMMDD in New York
void ach_trace_format(const ach_rail *r, int64_t sequence, char out[16]);

// ach_inbound.c
void ach_inbound_look(void *arg); // what the ticker calls; arg is the ach_rail
// One look into the outbox: handles all that is there. False when the bank or the database could not be reached.
bool ach_inbound_poll(ach_rail *r, err *e) WARN_UNUSED;

// Takes away what uploads of ours that ended midway (a killed process) have left in the inbox long ago. An upload that is
// merely slow finds its file gone at the rename, and is resolved by asking.
bool ach_inbound_sweep(ach_rail *r, err *e) WARN_UNUSED;

// ach_report.c: the bank's files. Pure.
typedef enum ach_kind { ACH_ACK = 1, ACH_SETTLEMENT, ACH_RETURNS } ach_kind;

typedef struct ach_name {
    ach_kind kind;
    char origin[11];
    char file[ACH_NAME_LEN_MAX]; // ACK, SETTLEMENT: the file of ours that it is about
    int64_t number;              // SETTLEMENT: N; RETURNS: the sequence
} ach_name;
bool ach_name_parse(const char *name, ach_name *out) WARN_UNUSED;

typedef struct ach_ack {
    bool accepted;
    int64_t entries, total, at_us;
    str reason; // @arena
} ach_ack;

// One line that speaks of an entry of ours.
typedef struct ach_line {
    int line;
    char trace[NACHA_TRACE_LEN + 1];
    int64_t amount, at_us;
    str code, text; // of a return; empty of a settlement
} ach_line;

// All fail with INVALID_ARGUMENT and a message that names line and reason.
bool ach_ack_parse(str bytes, const char *file, arena *a, ach_ack *out, err *e) WARN_UNUSED;
bool ach_settlement_parse(str bytes, const char *file, int64_t number, arena *a, ach_line **lines,
                          size_t *n, err *e) WARN_UNUSED;
bool ach_returns_parse(str bytes, const char *origin, int64_t at_us, arena *a, ach_line **lines,
                       size_t *n, err *e) WARN_UNUSED;

#endif
