// Shared by the files of the ACH rail only.
#ifndef ACH_ACH_INTERNAL_H
#define ACH_ACH_INTERNAL_H

#include <pthread.h>

#include "base/metrics.h"
#include "base/ticker.h"
#include "domain/ids.h"
#include "formats/nacha/nacha_write.h"
#include "rails/ach/ach_rail.h"
#include "rails/ach/ach_sftp.h"
#include "rails/ach/ach_timetable.h"
#include "rails/inbox.h"
#include "submissions/forgotten.h"
#include "submissions/sender.h"

enum {
    ACH_NAME_LEN_MAX = 96,
    ACH_ENTRIES_MAX = 100000, // of one of our files
    ACH_SFTP_TIMEOUT_MS = 20 * 1000,
    ACH_DB_TIMEOUT_MS = 15 * 1000,
    ACH_SCRATCH_MAX = 192 * 1024 * 1024, // memory of one call; mostly untouched
    ACH_IDLE_FACTOR = 8,                 // slows the looks into an idle outbox by this factor
    ACH_INBOUND_LIST_MAX = 20000,        // files per look into the outbox
    ACH_LOOK_FILES_MAX = 500,            // files taken per look; then the recorded ones are applied
    ACH_LOOK_BYTES_MAX = 64 << 20,       // after so many bytes a look takes no more files
    ACH_LOOK_MS = 20 * 1000,             // and after this time
    ACH_INBOUND_NAME_MAX = 255,          // limit of file systems
    ACH_INBOUND_FAILURES_TOLD = 5,       // failures of one file until a person is told
    ACH_INBOUND_LIES_MS = 3600 * 1000,   // a file left for so long is told, too
    ACH_EMPTY_STAYS_MS = 1800 * 1000,    // an empty file may be unfinished for so long
    ACH_NOTE_EVERY_MS = 30 * 1000,       // how often successful looks are noted
    ACH_AGAIN_EVERY_MS = 3600 * 1000, // interval of fetching a file again that cannot be put away
    ACH_BOOK_MAX = 1000000,
    // An acknowledgement has some hundred bytes, and as many for each refused entry. Parsed JSON may take forty times its bytes, so a
    // larger one is not parsed.
    ACH_ACK_BYTES_MAX = 1024 * 1024,
    // Nobody needs it after this time. Until then it may tell a sender that its upload did not arrive.
    ACH_UPLOAD_OLD_S = 24 * 3600,
    ACH_SWEEP_EVERY_MS = 5 * 60 * 1000
};

typedef enum inbound_result {
    INBOUND_TAKEN,    // recorded, and put away
    INBOUND_REPEATED, // put away; the same was recorded before
    INBOUND_BAD,      // cannot be recorded
    INBOUND_RESULTS
} inbound_result;

// A file of the last look, so that the next look can tell whether it still grows.
typedef struct ach_seen {
    char name[ACH_INBOUND_NAME_MAX + 1];
    uint64_t size;
    int64_t modified_s;
    int64_t since_ms; // monotonic: unchanged since
    // monotonic: time at which it was recorded in this state and could not be put away; 0: never
    int64_t recorded_ms;
    int64_t first_ms, retry_ms; // monotonic: first seen, and next try
    int failures;               // failed tries to take it
    bool told;                  // a case about it is open
} ach_seen;

typedef enum ach_trouble_of {
    ACH_TROUBLE_HEARING, // reading the bank's folders
    ACH_TROUBLE_SENDING, // sending, and unfinished uploads
    ACH_TROUBLES
} ach_trouble_of;

typedef struct ach_rail {
    rail base;
    ach_settings settings;
    int64_t origin_base, company_base;
    db_pool *pool;
    crypto_keyring *keys;
    const clock_source *clock;
    ach_sftp *out; // the sender's
    ach_timetable timetable;
    submission_sender *sender;
    char folders[600];            // the folders of uploads, for the evidence
    guard *guard;                 // NULL: no guard
    pthread_mutex_t trouble_lock; // guards troubles
    struct {
        char text[RAIL_TROUBLE_MAX + 1];
        int64_t at_us; // 0: none
    } troubles[ACH_TROUBLES];
    // Trace numbers that this process has taken and not yet used.
    pthread_mutex_t traces_lock; // guards the next three
    int64_t trace_next, trace_end;
    int32_t trace_cycle;
    int64_t traces_at_once; // least number to take at a time
    // added to the database's clock for the dates of files; 0 except in tests
    int64_t database_shift_us;

    metric *files, *exhausted, *entries, *ids_left, *clock_refused;
    metric *inbound[INBOUND_RESULTS];
    // Of the last look: unfinished files, unusable names, and the longest wait.
    metric *unfinished, *passed_over, *oldest_s;
    metric *left; // files of the last look that are recorded and cannot be put away

    // For the inbound ticker, which has its own session, so that a download never delays an upload.
    ach_sftp *in;
    inbox *box; // NULL until ach_rail_use_inbox
    ticker *inbound_ticker;
    ach_seen *seen; // of the last look, sorted by name
    size_t n_seen;
    size_t list_max; // ACH_INBOUND_LIST_MAX except in tests
    // ACH_LOOK_FILES_MAX, _BYTES_MAX and _MS except in tests
    size_t look_files_max, look_bytes_max;
    int64_t look_ms;
    // The next look continues after this file; empty: from the first. So new files before it cannot keep later files from their turn.
    char look_after[ACH_INBOUND_NAME_MAX + 1];
    bool looked_to_the_end; // the last look reached the end of the folder
    bool inbound_down;
    bool inbound_found;   // the last look found new files
    bool cannot_put_away; // logged already
    bool names_told;      // a case about unusable names is open
    // clock_boot_ms: time of the first listing in this recovery; 0: none yet
    int64_t listed_ms;
    int64_t listed_since_us; // and the lower time limit of that listing
    int64_t noted_ms;        // monotonic: last time that a successful look was noted; 0: never
    int64_t sweep_at_ms;     // monotonic
} ach_rail;

// ach_sql.c: every statement of the rail.
typedef enum ach_sql {
    ACH_SQL_CANDIDATES,
    ACH_SQL_INBOUND_BY_NAME,
    ACH_SQL_LOOKED,
    ACH_SQL_NEWEST_FILES,
    ACH_SQL_SENT_FILE,
    ACH_SQL_COUNT
} ach_sql;
extern const db_stmt ACH_SQL[ACH_SQL_COUNT];

// ach_build.c: files from items. Pure except for the ids of files.
typedef struct ach_entry_plan {
    size_t item; // index into the items
    int64_t trace;
    const char *description; // as in the file
} ach_entry_plan;

typedef struct ach_file_plan {
    char name[ACH_NAME_LEN_MAX];
    char modifier;
    uuid id; // of the submission
    int32_t cycle;
    uint8_t sha256[32];
    ach_entry_plan *entries;
    size_t n_entries;
    nacha_totals totals;
    strbuf content; // ach_build_free
} ach_file_plan;

typedef struct ach_build {
    ach_file_plan *files;
    size_t n_files;
    bool exhausted; // some items got no place: no more files may be cut now
} ach_build;

// The file's objection to this item: INVALID_ARGUMENT with the field.
bool ach_item_check(const rail_item *item, err *e) WARN_UNUSED;
// Plans and writes the files of the chosen items (indexes; each passes ach_item_check), at most as many as cut allows, and advances
// *numbers. Fails only on wrong settings or without memory. The caller frees in every case.
bool ach_build_files(const ach_rail *r, int64_t book_id, const rail_item *items,
                     const size_t *chosen, size_t n_chosen, submission_numbers *numbers,
                     const ach_cut *cut, arena *a, ach_build *out, err *e) WARN_UNUSED;
// Names a written file after the pattern, and notes its hash. FAILED_PRECONDITION when the pattern is wrong.
bool ach_file_name(const char *pattern, const submission_numbers *numbers, ach_file_plan *f,
                   err *e) WARN_UNUSED;
// Our own spelling of a file name that a bank writes in capitals, with blanks around it, or with its folder. False when no file of this
// pattern can have the name.
bool ach_file_name_restore(const char *pattern, str said, char out[ACH_NAME_LEN_MAX]) WARN_UNUSED;
void ach_build_free(ach_build *b);
// "1" and nine digits; out holds 11. False when the book's number does not fit.
bool ach_origin_of_book(int64_t base, int64_t book_id, char out[11]);
void ach_trace_format(const ach_rail *r, int64_t sequence, char out[16]);

// ach_channel.c: the bank's folders, for the sender of submissions.
submission_channel ach_channel(ach_rail *r);
// True when uploads lie in a different folder from the one that the bank takes files from.
bool ach_has_upload_folder(const ach_rail *r);
// --- ach_trouble.c. Any thread.
void ach_trouble_init(ach_rail *r);
void ach_trouble_destroy(ach_rail *r);
// Notes a failure, after "doing: ", and the end of the trouble.
void ach_trouble_is(ach_rail *r, ach_trouble_of of, const char *doing, const err *e);
void ach_trouble_over(ach_rail *r, ach_trouble_of of);
// Tells the latest trouble.
void ach_trouble_tell(ach_rail *r, rail_outlook *out);

// ach_inbound.c
// called by the ticker; arg is the ach_rail; returns whether there was a file
bool ach_inbound_look(void *arg);
// One look into the outbox: handles its files. False when the bank or the database could not be reached.
bool ach_inbound_poll(ach_rail *r, err *e) WARN_UNUSED;
// True when a file of this name can be fetched and put away: a server may name anything, even a path.
bool ach_inbound_name_ok(const char *name);

// Removes old leftovers in the inbox: uploads of ours that ended midway (a killed process). A merely slow upload finds its file gone at the
// rename, and is resolved by asking.
bool ach_inbound_sweep(ach_rail *r, err *e) WARN_UNUSED;

// ach_forgotten.c: a recovery's findings in the bank's folders.
// Lists the folders when a recovery wants it. False when the bank or the database could not be reached.
bool ach_forgotten_look(ach_rail *r, err *e) WARN_UNUSED;
// Like ach_read and ach_read_also, for a file of ours.
bool ach_forgotten_read(const ach_rail *r, const inbox_item *item, inbox_said *out, arena *a,
                        err *e) WARN_UNUSED;
bool ach_forgotten_remember(db_conn *c, const inbox_item *item, const inbox_said *said, arena *a,
                            err *e) WARN_UNUSED;

// ach_report.c: tells the bank's files apart by their content. Pure.
typedef enum ach_about { ACH_UNKNOWN, ACH_EMPTY, ACH_ACK, ACH_SETTLEMENT, ACH_NACHA } ach_about;
ach_about ach_look(str bytes);
// True when the file seems complete: its totals fit and its trailer is there. An incomplete file may still grow.
bool ach_is_whole(str bytes, arena *a);

// An entry that an acknowledgement refuses.
typedef struct ach_refusal {
    str trace, code, reason; // @arena; trace: 15 digits
} ach_refusal;

typedef struct ach_ack {
    bool accepted;
    bool of_batch; // it names a batch, so it says nothing of the rest of the file
    bool entries_told,
        total_told;                // a bank may write 0 for a rejected file that it has not counted
    int64_t entries, total, at_us; // at_us 0: no readable time
    str file, reason;              // @arena; file is our file
    ach_refusal *refused;          // single entries; the others go on
    size_t n_refused;
} ach_ack;

typedef enum ach_saying {
    ACH_SAYS_NOTHING, // an entry that is not ours
    ACH_SAYS_SETTLED,
    ACH_SAYS_RETURNED,
    ACH_SAYS_CHANGE, // the details need a correction
    ACH_SAYS_DISPUTE // banks dispute a return
} ach_saying;

// A line about an entry. Texts are slices of the file.
typedef struct ach_line {
    int line;
    ach_saying saying;
    // static; NULL, or the reason and words why it cannot be matched
    const char *fault, *fault_text;
    str raw;
    str trace;     // of our entry, 15 digits
    str own_trace; // of the returning bank
    str company_id, rdfi, individual_id, account, code, info;
    bool credit;
    int64_t amount, at_us; // at_us 0: no readable time
} ach_line;

typedef struct ach_report {
    str file;       // SETTLEMENT: our file
    int64_t number; // SETTLEMENT: of the report
    ach_line *lines;
    size_t n;
} ach_report;

// When the file as a whole means nothing, each fails with INVALID_ARGUMENT, reason BAD_FILE, and a message with line and reason;
// RESOURCE_EXHAUSTED when it does not fit into the arena.
bool ach_ack_parse(str bytes, arena *a, ach_ack *out, err *e) WARN_UNUSED;
// True when a list such as "bad header,unknown origin*" has the reason: whole, or its beginning for an item with *; case does not matter.
bool ach_is_listed(const char *list, str reason);
// True for a valid list: no item is empty, and * only ends an item that has other text. NULL and "" are valid.
bool ach_is_list(const char *list);
// Checks folders and lists of reasons: FAILED_PRECONDITION with the bad setting.
bool ach_settings_fit(const ach_settings *s, err *e) WARN_UNUSED;
// bank: the first 8 digits of our traces, or "".
bool ach_settlement_parse(str bytes, const char *bank, arena *a, ach_report *out,
                          err *e) WARN_UNUSED;
bool ach_returns_parse(str bytes, int64_t at_us, arena *a, ach_report *out, err *e) WARN_UNUSED;

// ach_match.c: matches lines and entries. Pure. An entry of ours with the trace of a line.
typedef struct ach_candidate {
    size_t line; // index of the line; candidates are sorted by it
    int64_t book_id;
    uuid payout_id, submission_id;
    submission_state state; // of the submission
    int32_t attempt;
    int64_t amount, sent_us;
    str file, routing, last4;
    char individual_id[NACHA_ID_LEN + 1];
    char currency[4];
} ach_candidate;

typedef struct ach_match {
    const ach_rail *r;
    const ach_report *report;
    const ach_candidate *candidates;
    size_t n_candidates;
    const int64_t *books; // of each line; 0: not a company of ours
    bool settlement;
} ach_match;
// Fills events, exceptions and remarks of *out.
bool ach_match_lines(const ach_match *m, arena *a, inbox_said *out, err *e) WARN_UNUSED;

// ach_read.c: the inbox's reader of this connection. self is the ach_rail.
bool ach_read(void *self, db_conn *c, const inbox_item *item, inbox_said *out, arena *a, err *e);
// ach_refused.c: the entries of the file that an acknowledgement refuses. Entries with a listed reason go into *said, sorted. Others, and
// entries that are not in the file, are set aside. *sum counts each entry once. out->odd has room for all.
typedef struct ach_refused_sum {
    int64_t entries, amount;
} ach_refused_sum;
bool ach_refused_read(const ach_rail *r, db_conn *c, const inbox_item *item, const ach_ack *ack,
                      const submission_ref *ref, submission_ack_text *said, ach_refused_sum *sum,
                      inbox_said *out, arena *a, err *e) WARN_UNUSED;
// The sequence of a trace; 0 when it has none. The submission of the sequence tells whose trace it is.
int64_t ach_sequence_of(str trace);
// A bank's words, safe to keep and show (@arena): plain, with digits hidden that may be an account. Empty when out of memory.
str ach_words(str text, arena *a);
// The effect of an acknowledgement on its submission, in the transaction that ends the item.
bool ach_read_also(void *self, db_conn *c, const inbox_item *item, inbox_said *said, arena *a,
                   err *e);
// The book of an id or origin; 0: not ours.
int64_t ach_book_of(int64_t base, str one_and_nine_digits);

#endif
