// What the files of the ACH rail share. Nobody outside of this folder includes it.
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
    ACH_ENTRIES_MAX = 100000, // of one file of ours
    ACH_SFTP_TIMEOUT_MS = 20 * 1000,
    ACH_DB_TIMEOUT_MS = 15 * 1000,
    ACH_SCRATCH_MAX = 192 * 1024 * 1024, // memory of one call; most of it is never touched
    ACH_IDLE_FACTOR = 8, // how much more rarely the outbox is looked at while nothing comes
    ACH_INBOUND_LIST_MAX = 20000, // files of one look into the outbox
    ACH_LOOK_FILES_MAX = 500, // of those that one look takes: what it has recorded is then applied
    ACH_LOOK_BYTES_MAX = 64 << 20,     // after so much it takes no further one
    ACH_LOOK_MS = 20 * 1000,           // and after so long
    ACH_INBOUND_NAME_MAX = 255,        // as file systems have it
    ACH_INBOUND_FAILURES_TOLD = 5,     // of one file, after which a person is told
    ACH_INBOUND_LIES_MS = 3600 * 1000, // a file that is not taken for so long is told, too
    ACH_EMPTY_STAYS_MS = 1800 * 1000,  // a file without content may so long still be written
    ACH_NOTE_EVERY_MS = 30 * 1000,     // how often it is written down that looks succeed
    ACH_AGAIN_EVERY_MS = 3600 * 1000,  // what cannot be put away is fetched again so often
    ACH_BOOK_MAX = 1000000,
    // An acknowledgement is some hundred bytes, and as many for each entry that it refuses. JSON in memory may take forty times its bytes,
    // so no larger one is looked into.
    ACH_ACK_BYTES_MAX = 1024 * 1024,
    // Nobody needs it any more: until then it may be what tells a sender that its upload did not arrive.
    ACH_UPLOAD_OLD_S = 24 * 3600,
    ACH_SWEEP_EVERY_MS = 5 * 60 * 1000
};

typedef enum inbound_result {
    INBOUND_TAKEN,    // recorded and put away
    INBOUND_REPEATED, // put away: the same was recorded before
    INBOUND_BAD,      // cannot be recorded at all
    INBOUND_RESULTS
} inbound_result;

// A file of the last look, so that the next one can tell whether it still grows.
typedef struct ach_seen {
    char name[ACH_INBOUND_NAME_MAX + 1];
    uint64_t size;
    int64_t modified_s;
    int64_t since_ms; // monotonic: since when it is like this
    // monotonic: when it was recorded like this and could not be put away; 0: it was not
    int64_t recorded_ms;
    int64_t first_ms, retry_ms; // monotonic: since when it lies there, and when it is tried again
    int failures;               // of tries to take it
    bool told;                  // a case says that it is not taken
} ach_seen;

typedef enum ach_trouble_of {
    ACH_TROUBLE_HEARING, // looking through the bank's folders
    ACH_TROUBLE_SENDING, // sending, and what is left of it there
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
    char folders[600];            // in which uploads lie, for the evidence
    guard *guard;                 // NULL: there is none
    pthread_mutex_t trouble_lock; // guards troubles
    struct {
        char text[RAIL_TROUBLE_MAX + 1];
        int64_t at_us; // 0: none
    } troubles[ACH_TROUBLES];
    // Trace numbers that this process has taken and not used yet.
    pthread_mutex_t traces_lock; // guards the next three
    int64_t trace_next, trace_end;
    int32_t trace_cycle;
    int64_t traces_at_once; // that are taken, at least
    // added to the database's clock where files are dated; 0 but in tests
    int64_t database_shift_us;

    metric *files, *exhausted, *entries, *ids_left, *clock_refused;
    metric *inbound[INBOUND_RESULTS];
    // Of the last look: names of files that are not done, names that cannot be taken, and the longest wait.
    metric *unfinished, *passed_over, *oldest_s;
    metric *left; // files of the last look that were recorded and cannot be put away

    // The inbound ticker's, with a session of its own so that a download never delays an upload.
    ach_sftp *in;
    inbox *box; // NULL until ach_rail_use_inbox
    ticker *inbound_ticker;
    ach_seen *seen; // of the last look, sorted by name
    size_t n_seen;
    size_t list_max; // ACH_INBOUND_LIST_MAX but in tests
    // ACH_LOOK_FILES_MAX, _BYTES_MAX and _MS but in tests
    size_t look_files_max, look_bytes_max;
    int64_t look_ms;
    // The file after which the next look goes on; empty: from the first. So what comes to lie before it keeps no other
    // from its turn.
    char look_after[ACH_INBOUND_NAME_MAX + 1];
    bool looked_to_the_end; // the last look came to the last file of the folder
    bool inbound_down;
    bool inbound_found;   // the last look found files that were not recorded yet
    bool cannot_put_away; // said already
    bool names_told;      // a case speaks of names that cannot be taken
    // clock_boot_ms: when the bank's folders were first listed in this recovery; 0: not yet
    int64_t listed_ms;
    int64_t listed_since_us; // and since when what was in them was asked for
    int64_t noted_ms; // monotonic: when it was last written down that a look succeeded; 0: not yet
    int64_t sweep_at_ms; // monotonic
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

// ach_build.c: files out of items. Pure but for the ids of files.
typedef struct ach_entry_plan {
    size_t item; // index into the items
    int64_t trace;
    const char *description; // as it stands in the file
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

// What the file would refuse of this item: INVALID_ARGUMENT with the field.
bool ach_item_check(const rail_item *item, err *e) WARN_UNUSED;
// Plans and writes the files of the chosen items (indexes; all of them pass ach_item_check), as many as cut says at most, and moves
// *numbers on. Fails only on wrong settings or without memory. The caller frees in every case.
bool ach_build_files(const ach_rail *r, int64_t book_id, const rail_item *items,
                     const size_t *chosen, size_t n_chosen, submission_numbers *numbers,
                     const ach_cut *cut, arena *a, ach_build *out, err *e) WARN_UNUSED;
// Names a written file after the pattern, and notes its hash. FAILED_PRECONDITION when the pattern is wrong.
bool ach_file_name(const char *pattern, const submission_numbers *numbers, ach_file_plan *f,
                   err *e) WARN_UNUSED;
// Our own spelling of a file name that a bank tells in capitals, with blanks around it, or with the folder in front. False when no file
// that is named after the pattern can have it.
bool ach_file_name_restore(const char *pattern, str said, char out[ACH_NAME_LEN_MAX]) WARN_UNUSED;
void ach_build_free(ach_build *b);
// "1" and nine digits; out holds 11. False when the book's number does not fit.
bool ach_origin_of_book(int64_t base, int64_t book_id, char out[11]);
void ach_trace_format(const ach_rail *r, int64_t sequence, char out[16]);

// ach_channel.c: the bank's folders, as the sender of submissions uses them.
submission_channel ach_channel(ach_rail *r);
// Whether uploads lie in a folder other than the one that the bank takes files from.
bool ach_has_upload_folder(const ach_rail *r);
// --- ach_trouble.c. Any thread.
void ach_trouble_init(ach_rail *r);
void ach_trouble_destroy(ach_rail *r);
// What failed, after "doing: ", and that it has gone well.
void ach_trouble_is(ach_rail *r, ach_trouble_of of, const char *doing, const err *e);
void ach_trouble_over(ach_rail *r, ach_trouble_of of);
// The latest of them.
void ach_trouble_tell(ach_rail *r, rail_outlook *out);

// ach_inbound.c
// what the ticker calls; arg is the ach_rail; whether there was any file
bool ach_inbound_look(void *arg);
// One look into the outbox: handles all that is there. False when the bank or the database could not be reached.
bool ach_inbound_poll(ach_rail *r, err *e) WARN_UNUSED;
// Whether a file of this name can be fetched and put away: a server may name anything, also what is a path.
bool ach_inbound_name_ok(const char *name);

// Takes away what uploads of ours that ended midway (a killed process) have left in the inbox long ago. An upload that is
// merely slow finds its file gone at the rename, and is resolved by asking.
bool ach_inbound_sweep(ach_rail *r, err *e) WARN_UNUSED;

// ach_forgotten.c: what a recovery finds in the bank's folders.
// Lists them when that is wanted; false when the bank or the database could not be reached.
bool ach_forgotten_look(ach_rail *r, err *e) WARN_UNUSED;
// As ach_read and ach_read_also, of a file of ours.
bool ach_forgotten_read(const ach_rail *r, const inbox_item *item, inbox_said *out, arena *a,
                        err *e) WARN_UNUSED;
bool ach_forgotten_remember(db_conn *c, const inbox_item *item, const inbox_said *said, arena *a,
                            err *e) WARN_UNUSED;

// ach_report.c: the bank's files, told apart by their content. Pure.
typedef enum ach_about { ACH_UNKNOWN, ACH_EMPTY, ACH_ACK, ACH_SETTLEMENT, ACH_NACHA } ach_about;
ach_about ach_look(str bytes);
// Whether the file seems to be all there: its totals fit, its trailer stands. What is not may still be growing.
bool ach_is_whole(str bytes, arena *a);

// An entry that the bank refuses in an acknowledgement.
typedef struct ach_refusal {
    str trace, code, reason; // @arena; trace: 15 digits
} ach_refusal;

typedef struct ach_ack {
    bool accepted;
    bool entries_told,
        total_told; // a bank that rejects a file may not have counted it, and write 0
    int64_t entries, total, at_us; // at_us 0: the bank gives no time that can be read
    str file, reason;              // @arena; file is the one of ours that it is about
    ach_refusal *refused;          // single entries; the rest of the file goes on
    size_t n_refused;
} ach_ack;

typedef enum ach_saying {
    ACH_SAYS_NOTHING, // an entry that is about none of ours
    ACH_SAYS_SETTLED,
    ACH_SAYS_RETURNED,
    ACH_SAYS_CHANGE, // the details must be corrected
    ACH_SAYS_DISPUTE // banks argue about a return
} ach_saying;

// One line that speaks of an entry. Texts are slices of the file.
typedef struct ach_line {
    int line;
    ach_saying saying;
    const char *fault, *fault_text; // static; NULL, or why it cannot be matched: reason and words
    str raw;
    str trace;     // of our entry, 15 digits
    str own_trace; // of the returning bank
    str company_id, rdfi, individual_id, account, code, info;
    bool credit;
    int64_t amount, at_us; // at_us 0: the bank gives no time that can be read
} ach_line;

typedef struct ach_report {
    str file;       // SETTLEMENT: the file of ours that it is about
    int64_t number; // SETTLEMENT: of the report
    ach_line *lines;
    size_t n;
} ach_report;

// All fail with INVALID_ARGUMENT, reason BAD_FILE, and a message that names line and reason, when the file as a whole means
// nothing; RESOURCE_EXHAUSTED when it does not fit into the arena.
bool ach_ack_parse(str bytes, arena *a, ach_ack *out, err *e) WARN_UNUSED;
// Whether a reason is on a list such as "bad header,unknown origin*": whole, or its beginning where * ends the item; capitals do not count.
bool ach_is_listed(const char *list, str reason);
// Whether it is such a list: no item is empty, and * stands at the end of one only, behind something. NULL and "" are.
bool ach_is_list(const char *list);
// Whether folders and lists of reasons can be what they say: FAILED_PRECONDITION with the setting at fault.
bool ach_settings_fit(const ach_settings *s, err *e) WARN_UNUSED;
// bank: the 8 digits that our traces begin with, or "".
bool ach_settlement_parse(str bytes, const char *bank, arena *a, ach_report *out,
                          err *e) WARN_UNUSED;
bool ach_returns_parse(str bytes, int64_t at_us, arena *a, ach_report *out, err *e) WARN_UNUSED;

// ach_match.c: which line is about which entry. Pure.
// An entry of ours that has the trace of a line.
typedef struct ach_candidate {
    size_t line; // index of the line; candidates are in the order of their lines
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
    const int64_t *books; // of each line; 0: the company is none of ours
    bool settlement;
} ach_match;
// Fills events, exceptions and remarks of *out.
bool ach_match_lines(const ach_match *m, arena *a, inbox_said *out, err *e) WARN_UNUSED;

// ach_read.c: the inbox's reader of this connection. self is the ach_rail.
bool ach_read(void *self, db_conn *c, const inbox_item *item, inbox_said *out, arena *a, err *e);
// ach_refused.c: which entries of the file an acknowledgement refuses. Those whose reason is listed go into *said, sorted; what is not, or
// is about no entry of the file, is set aside. *sum: of all of them, each once. out->odd has room for all of them.
typedef struct ach_refused_sum {
    int64_t entries, amount;
} ach_refused_sum;
bool ach_refused_read(const ach_rail *r, db_conn *c, const inbox_item *item, const ach_ack *ack,
                      const submission_ref *ref, submission_ack_text *said, ach_refused_sum *sum,
                      inbox_said *out, arena *a, err *e) WARN_UNUSED;
// The sequence of a trace; 0 when it has none. Whose the trace is, the submission says that it is found in.
int64_t ach_sequence_of(str trace);
// A bank's words as they may be kept and shown (@arena): plain, and the digits hidden that may be an account. Empty
// when there is no memory.
str ach_words(str text, arena *a);
// What an acknowledgement does to its submission, in the transaction that ends the item.
bool ach_read_also(void *self, db_conn *c, const inbox_item *item, inbox_said *said, arena *a,
                   err *e);
// 0 when the id, or the origin, is none of a book of ours.
int64_t ach_book_of(int64_t base, str one_and_nine_digits);

#endif
