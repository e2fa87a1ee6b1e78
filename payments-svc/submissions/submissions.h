// Submissions: units that are sent to a bank. Rails put attempts of payouts into them (submission_add, inside the claiming transaction).
// One sender at a time sends each (sender.h). The inbox reports the bank's word about one (submission_ack). Holds and cancels take items
// out before it is sent (submission_take_out). Each change of a submission becomes events of its payouts.
#ifndef SUBMISSIONS_SUBMISSIONS_H
#define SUBMISSIONS_SUBMISSIONS_H

#include "db/db.h"
#include "rails/rail.h"
#include "submissions/machine.h"

enum {
    SUBMISSION_FILE = 1, // submission.kind
    SUBMISSION_CALL = 2,
    SUBMISSION_NAME_MAX = 128, // with the NUL
    SUBMISSION_SHORT_ID_LEN = 12
};

// --- Making one --------------------------------------------------------------------------------------------------------

typedef struct submission_item {
    uuid payout_id;
    int32_t attempt;
    int64_t number; // in its file: the sequence of an ACH entry's trace
    int64_t amount;
} submission_item;

typedef struct submission_new {
    uuid id;
    int connection;
    int kind;
    str name;                        // at the bank
    str origin;                      // who we are there
    str sender_bank, sender_company; // the numbers that name us in the bank's replies; empty: none
    int32_t cycle;
    const char *currency;
    int64_t total;
    int64_t size;
    uint8_t sha256[32];
    str sealed; // made by submission_seal
    int32_t generation;
    int64_t window_us, stale_us, created_us;
    // the time at which its items settle without a word of the bank; 0: only the bank can tell
    int64_t settles_us;
    const submission_item *items; // ascending numbers
    size_t n_items;
} submission_new;

// Seals and opens the content of a file, bound to its place. seal: submission.seal, "submission" for new ones.
struct crypto_keyring;
bool submission_seal(struct crypto_keyring *keys, int64_t book_id, uuid id, str content, arena *a,
                     str *sealed, err *e) WARN_UNUSED;
bool submission_open(struct crypto_keyring *keys, const char *seal, int64_t book_id, uuid id,
                     str sealed, arena *a, str *content, err *e) WARN_UNUSED;
// The end of the id, which is random, for use in names. out holds 13.
void submission_short_id(uuid id, char out[SUBMISSION_SHORT_ID_LEN + 1]);

// Adds the submission, PREPARED and due now. In the caller's transaction.
bool submission_add(db_conn *c, int64_t book_id, const submission_new *s, arena *a,
                    err *e) WARN_UNUSED;
// The caller must not submit the same content under two names: (payout, attempt) is in at most one submission.

// The places of attempts. places[i].known is false when the attempt is in no submission.
typedef struct submission_place {
    bool known;
    uuid submission_id;
    submission_state state;
    int64_t number;
} submission_place;
bool submission_places(db_conn *c, int64_t book_id, const uuid *payouts, const int32_t *attempts,
                       size_t n, submission_place *places, arena *a, err *e) WARN_UNUSED;
// How often these payouts were rejected with a whole submission; 0: never.
bool submission_generation(db_conn *c, int64_t book_id, const uuid *payouts, size_t n,
                           int32_t *generation, arena *a, err *e) WARN_UNUSED;

// --- Taking an item out -----------------------------------------------------------------------------------------------

typedef enum submission_removal {
    // it will not be sent; its submission is withdrawn, and the other items are handed over again
    REMOVAL_DONE,
    REMOVAL_ABSENT,  // no submission that could still be sent has it
    REMOVAL_TOO_LATE // SENDING or later: only the bank can tell
} submission_removal;
// Locks the row of the attempt's submission, before the sagas of its items. Until the transaction ends, the submission neither leaves nor
// is decided. *payouts: all payouts of a PREPARED submission, ascending, whose sagas are locked next; else none. @arena
bool submission_lock_of(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt,
                        uuid **payouts, size_t *n, arena *a, err *e) WARN_UNUSED;
// Locks a submission's row. Succeeds also if there is no such row.
bool submission_lock(db_conn *c, int64_t book_id, uuid id, arena *a, err *e) WARN_UNUSED;
// For cancels and holds, in the caller's transaction. The caller decides about the payout itself, so the payout gets no event. Locks the
// submission's row before the sagas' rows of the other items. why: for people, told with the evidence, cut to the length of a row.
bool submission_take_out(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, str why,
                         submission_removal *removal, arena *a, err *e) WARN_UNUSED;

// --- What the bank says of one ----------------------------------------------------------------------------------------

// An item that the bank refuses singly, with the bank's words. @borrowed
typedef struct submission_refusal {
    int64_t number;
    str code, text; // code "": ITEM_REJECTED
} submission_refusal;

typedef struct submission_ack_text {
    bool accepted;
    // The bank never gives this reason for a file that it has taken. It is the reason of the whole, or the only reasons are those of its
    // items.
    bool sure;
    str reason; // of a rejection, for people
    // Items that the bank refuses singly, sorted by number. The other items stay accepted, or are handed over again if the whole was
    // rejected.
    const submission_refusal *refused;
    size_t n_refused;
    // Items that the bank refuses for a reason that it may also give for paid ones, sorted by number; their codes stay empty. Unless the
    // whole is rejected for sure, they are held until the bank or a person says whether they are paid.
    const submission_refusal *unsure;
    size_t n_unsure;
    int64_t at_us; // by the bank's clock
    uuid inbox_id; // holds the bytes; nil when unknown
    // how often payouts of a rejected submission go into a new one; 0: the default, 3
    int rebuilds_max;
} submission_ack_text;
// An acknowledgement or rejection of the whole, in the transaction that records its bytes. *word tells which. Accepted: ACKED. Items become
// ACCEPTED, or REFUSED if the bank names them; it may name them in a second acknowledgement. Rejected for sure: REJECTED. Items become
// NOT_TAKEN and are sent anew, or REFUSED if the bank names them. After too many rejections the items that are not named get a case
// instead. Rejected otherwise: DISPUTED, and a person says whether the bank has it. The rejection of a copy never voids the payments of the
// original. A contradiction moves nothing and opens a case.
bool submission_ack(db_conn *c, int64_t book_id, uuid submission_id,
                    const submission_ack_text *said, submission_word *word, arena *a,
                    err *e) WARN_UNUSED;

// The bank says that items of this submission were settled or returned. If the submission counts as never taken (REJECTED or WITHDRAWN),
// this opens a case. New submissions of its payouts that have not begun to leave become DISPUTED. Payouts of it that wait for another
// submission are told (SAGA_TAKEN_AFTER_ALL) and held. In the caller's transaction; text is for people.
bool submission_moved(db_conn *c, int64_t book_id, uuid submission_id, str text, arena *a,
                      err *e) WARN_UNUSED;

// --- Finding what the bank speaks of ----------------------------------------------------------------------------------

typedef struct submission_ref {
    int64_t book_id;
    uuid id;
    submission_state state;
    int32_t items;
    int64_t total;
    int64_t size;
    str sha256; // 32 bytes
    str origin;
    int32_t cycle;
    int64_t created_us;
} submission_ref;
// Submissions of a connection with this name, newest first. Mostly one, but a bank may prescribe names that come again.
bool submission_find_name(db_conn *c, int connection, str name, submission_ref **refs, size_t *n,
                          arena *a, err *e) WARN_UNUSED;

// An attempt that a number may mean.
typedef struct submission_match {
    size_t at; // index of the number in the caller's list
    int64_t book_id;
    uuid submission_id, payout_id;
    int32_t attempt;
    int64_t amount;
    int32_t cycle;          // 0: a file of the first version; other books have the same numbers
    submission_state state; // PREPARED and WITHDRAWN were never sent
    str name, origin;       // of the submission
    str sender_bank, sender_company; // as sent; empty where they were not kept
    str currency;
    int64_t created_us; // of the submission
} submission_match;
// All attempts of a connection with these numbers, sorted by (at, newest submission first). A number alone identifies nothing: compare all
// else that the bank says. Asked in parts of SUBMISSION_FIND_MAX, which bound a statement.
enum { SUBMISSION_FIND_MAX = 100000 };
bool submission_find_numbers(db_conn *c, int connection, const int64_t *numbers, size_t n,
                             submission_match **matches, size_t *n_matches, arena *a,
                             err *e) WARN_UNUSED;

// --- Numbers of a connection ------------------------------------------------------------------------------------------

// Takes n consecutive numbers, in a transaction of its own, so that files of different books are made at the same time. No number is given
// twice. If fewer than n are left up to max, the next cycle begins. Unused numbers are lost.
bool submission_numbers_take(db_pool *pool, int connection, int64_t n, int64_t max, int64_t *first,
                             int32_t *cycle, err *e) WARN_UNUSED;

// The origin's use of today. Read with its row locked until the transaction ends, so cuts of one origin come one after another.
typedef struct submission_numbers {
    int connection;
    char origin[32];
    int32_t cycle;       // of the numbers taken for this cut
    int64_t next_number; // the next of these numbers
    int64_t now_us;      // the database's clock
    int64_t file_date;   // YYYYMMDD
    int next_modifier;   // 0 … 36
    int64_t window_us;   // window of the day's last file; 0: none
    int32_t in_window;   // files cut in this window since few ids were left
    int64_t cut_us;      // time of the last cut; 0: none today
} submission_numbers;
// date_of: the bank's day of a time. First moves now_us by shift_us (0 except in tests).
bool submission_numbers_lock(db_conn *c, int connection, const char *origin, int64_t shift_us,
                             int64_t (*date_of)(int64_t now_us), submission_numbers *out, arena *a,
                             err *e) WARN_UNUSED;
// For people, without a lock: the next number, and the file ids used on a day by the origin with the fewest left.
bool submission_numbers_look(db_conn *c, int connection, int64_t yyyymmdd, int64_t *next_number,
                             int *ids_used, arena *a, err *e) WARN_UNUSED;
bool submission_numbers_store(db_conn *c, const submission_numbers *numbers, arena *a,
                              err *e) WARN_UNUSED;

// --- Reading them -----------------------------------------------------------------------------------------------------

typedef struct submission_row {
    int64_t book_id;
    uuid id;
    int connection, kind;
    str name, origin;
    int32_t items;
    int64_t total;
    str currency;
    int64_t size;
    str sha256;
    int32_t generation, tries;
    int state; // as in the database: may be a state that this version does not know
    str reason, reason_text;
    int64_t created_us, changed_us, window_us, stale_us;
    int64_t due_us, sent_us; // INT64_MIN: none
} submission_row;

typedef struct submission_filter {
    const int64_t *books; // the books to look in
    size_t n_books;
    const int16_t *states; // at least one
    size_t n_states;
    const int16_t *connections;
    size_t n_connections; // 0: all
    uuid before;          // older than this; the highest id for the first page
    uuid from;            // not older than this; nil: no limit
    size_t limit;
} submission_filter;
// Newest first.
bool submission_list(db_conn *c, const submission_filter *f, submission_row **rows, size_t *n,
                     arena *a, err *e) WARN_UNUSED;
// NOT_FOUND when it does not exist.
bool submission_get(db_conn *c, uuid id, submission_row *row, arena *a, err *e) WARN_UNUSED;

typedef struct submission_step {
    int kind; // submission_evidence_kind
    int64_t epoch;
    uuid owner;    // nil: the bank's word
    uuid inbox_id; // nil: none
    str detail;
    int64_t at_us;
} submission_step;
bool submission_steps(db_conn *c, int64_t book_id, uuid id, submission_step **steps, size_t *n,
                      arena *a, err *e) WARN_UNUSED;

typedef struct submission_member {
    uuid payout_id;
    int32_t attempt;
    int64_t number, amount;
} submission_member;
// Items with numbers above after, ascending.
bool submission_members(db_conn *c, int64_t book_id, uuid id, int64_t after, size_t limit,
                        submission_member **members, size_t *n, arena *a, err *e) WARN_UNUSED;
// The sealed content, and its seal.
bool submission_content(db_conn *c, int64_t book_id, uuid id, str *sealed, str *seal, str *sha256,
                        arena *a, err *e) WARN_UNUSED;

#endif
