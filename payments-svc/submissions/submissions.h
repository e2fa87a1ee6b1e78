// Submissions: what is sent to a bank as one thing. Rails put attempts of payouts into them (submission_add, inside the claiming
// transaction); one sender at a time sends each (sender.h); the inbox tells what the bank said about one (submission_hear_bank); holds and
// cancels take items out before it is sent (submission_take_out). What becomes of a submission becomes events of its payouts.
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
    int64_t number; // in its file: of an ACH entry the sequence of its trace
    int64_t amount;
} submission_item;

typedef struct submission_new {
    uuid id;
    int connection;
    int kind;
    str name;                        // at the bank
    str origin;                      // who we are there
    str sender_bank, sender_company; // by which numbers what comes back names us; empty: none
    int32_t cycle;
    const char *currency;
    int64_t total;
    int64_t size;
    uint8_t sha256[32];
    str sealed; // by submission_seal
    int32_t generation;
    int64_t window_us, stale_us, created_us;
    // when its items have settled without a word of the bank; 0: only the bank can tell
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
// The end of the id, which is its random part; for names. out holds 13.
void submission_short_id(uuid id, char out[SUBMISSION_SHORT_ID_LEN + 1]);

// Writes it down, PREPARED and due now. In the caller's transaction.
bool submission_add(db_conn *c, int64_t book_id, const submission_new *s, arena *a,
                    err *e) WARN_UNUSED;
// The same content under another name is the business of the caller: (payout, attempt) is in at most one submission.

// Where attempts are. places[i].known is false for one that is in none.
typedef struct submission_place {
    bool known;
    uuid submission_id;
    submission_state state;
    int64_t number;
} submission_place;
bool submission_places(db_conn *c, int64_t book_id, const uuid *payouts, const int32_t *attempts,
                       size_t n, submission_place *places, arena *a, err *e) WARN_UNUSED;
// How often the payouts were rejected with a whole submission before; 0 for none.
bool submission_generation(db_conn *c, int64_t book_id, const uuid *payouts, size_t n,
                           int32_t *generation, arena *a, err *e) WARN_UNUSED;

// --- Taking an item out -----------------------------------------------------------------------------------------------

typedef enum submission_removal {
    // it will not be sent; its submission is withdrawn, and the others in it are handed over again
    REMOVAL_DONE,
    REMOVAL_ABSENT,  // it is in no submission that could still be sent
    REMOVAL_TOO_LATE // SENDING or later: only the bank can tell
} submission_removal;
// Locks the row of the submission that the attempt is in, before the sagas of what is in it: until the transaction ends it neither leaves
// nor is decided about. *payouts: all that are in one that is PREPARED, ascending, whose sagas come next; none otherwise. @arena
bool submission_lock_of(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt,
                        uuid **payouts, size_t *n, arena *a, err *e) WARN_UNUSED;
// Locks a submission's row. One that is not there is none to lock.
bool submission_lock(db_conn *c, int64_t book_id, uuid id, arena *a, err *e) WARN_UNUSED;
// For cancels and holds, in the caller's transaction, which then decides about the payout itself: it gets no event. Locks the
// submission's row before the sagas' rows of the other items. why: for people, told with the evidence and cut to what a row takes.
bool submission_take_out(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, str why,
                         submission_removal *removal, arena *a, err *e) WARN_UNUSED;

// --- What the bank says of one ----------------------------------------------------------------------------------------

// An item that the bank refuses by itself, with its own words. @borrowed
typedef struct submission_refusal {
    int64_t number;
    str code, text; // code "": ITEM_REJECTED
} submission_refusal;

typedef struct submission_ack_text {
    bool accepted;
    // Rejected for a reason that the bank never gives for what it has taken: that of the whole, or those of its items and no other one.
    bool sure;
    str reason; // of a rejection, for people
    // Items that the bank refuses each for a reason of its own, sorted by number. The others stay accepted, or are handed over again where
    // the whole was rejected.
    const submission_refusal *refused;
    size_t n_refused;
    // Items that the bank refuses for a reason which it may also give for what it pays, sorted by number; their codes stay empty. Unless
    // the whole is rejected for sure, they are held until the bank or a person says whether they are paid.
    const submission_refusal *unsure;
    size_t n_unsure;
    int64_t at_us; // by the bank's clock
    uuid inbox_id; // where the bytes are; nil when unknown
    // how often payouts of a rejected submission are put into a new one; 0: the default, 3
    int rebuilds_max;
} submission_ack_text;
// An acknowledgement or rejection of the whole, in the transaction that records its bytes. Accepted: ACKED, and its items ACCEPTED, and
// REFUSED where the bank names them; a bank may name them in a second acknowledgement.
// Rejected for sure: REJECTED, its items NOT_TAKEN, so that they are sent anew, or REFUSED where the bank names them; when that was done
// too often, a case instead for those that are not named. Rejected otherwise: DISPUTED, and a person says whether
// the bank has it: the rejection of a copy never voids what the original sent. What contradicts what is known moves nothing and opens a
// case. *word says which it was.
bool submission_ack(db_conn *c, int64_t book_id, uuid submission_id,
                    const submission_ack_text *said, submission_word *word, arena *a,
                    err *e) WARN_UNUSED;

// The bank says that items of this submission were settled or returned. When it counts as never taken (REJECTED or WITHDRAWN), that
// opens a case, what was made anew of its payouts and has not begun to leave becomes DISPUTED, and payouts of it that wait for another
// submission are told (SAGA_TAKEN_AFTER_ALL), which holds them. In the caller's transaction; text is for people.
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
// Submissions of a connection with this name, newest first. Mostly one; names that a bank prescribes may come again.
bool submission_find_name(db_conn *c, int connection, str name, submission_ref **refs, size_t *n,
                          arena *a, err *e) WARN_UNUSED;

// An attempt that a number may mean.
typedef struct submission_match {
    size_t at; // index of the number in the list that was asked for
    int64_t book_id;
    uuid submission_id, payout_id;
    int32_t attempt;
    int64_t amount;
    int32_t cycle;          // 0: a file of the first version, whose numbers other books have, too
    submission_state state; // PREPARED and WITHDRAWN ones were never sent
    str name, origin;       // of the submission
    str sender_bank, sender_company; // that it was sent with; empty where that was not kept
    str currency;
    int64_t created_us; // of the submission
} submission_match;
// All attempts of a connection with these numbers: sorted by (at, newest submission first). A number alone names nothing: compare
// everything else that the bank says. Asked for in parts of SUBMISSION_FIND_MAX, which bound a statement.
enum { SUBMISSION_FIND_MAX = 100000 };
bool submission_find_numbers(db_conn *c, int connection, const int64_t *numbers, size_t n,
                             submission_match **matches, size_t *n_matches, arena *a,
                             err *e) WARN_UNUSED;

// --- Numbers of a connection ------------------------------------------------------------------------------------------

// Takes n numbers in a row, which nobody else gets, in a transaction of its own: so files of different books are made at the same time.
// When fewer than n are left up to max, the next cycle begins. Numbers that are not used are gone.
bool submission_numbers_take(db_pool *pool, int connection, int64_t n, int64_t max, int64_t *first,
                             int32_t *cycle, err *e) WARN_UNUSED;

// What an origin has used today. Read with its row locked until the transaction ends: cuts of one origin come one after the other.
typedef struct submission_numbers {
    int connection;
    char origin[32];
    int32_t cycle;       // of the numbers that were taken for this cut
    int64_t next_number; // of them
    int64_t now_us;      // the database's clock
    int64_t file_date;   // YYYYMMDD
    int next_modifier;   // 0 … 36
    int64_t window_us;   // in which the last file of the day was cut; 0: none
    int32_t in_window;   // files that were cut in it since few were left
    int64_t cut_us;      // when; 0: none today
} submission_numbers;
// date_of: the bank's day of a time. now_us of the answer is moved by shift_us first (0 but in tests).
bool submission_numbers_lock(db_conn *c, int connection, const char *origin, int64_t shift_us,
                             int64_t (*date_of)(int64_t now_us), submission_numbers *out, arena *a,
                             err *e) WARN_UNUSED;
// For people, without a lock: the next number, and the file ids that the origin with the fewest left has used on a day.
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
    int state; // as it stands in the database: may be one that this version does not know
    str reason, reason_text;
    int64_t created_us, changed_us, window_us, stale_us;
    int64_t due_us, sent_us; // INT64_MIN: none
} submission_row;

typedef struct submission_filter {
    const int64_t *books; // where to look
    size_t n_books;
    const int16_t *states; // at least one
    size_t n_states;
    const int16_t *connections;
    size_t n_connections; // 0: all
    uuid before;          // older ones than this; the highest id for the first page
    uuid from;            // not older than this; nil for all
    size_t limit;
} submission_filter;
// Newest first.
bool submission_list(db_conn *c, const submission_filter *f, submission_row **rows, size_t *n,
                     arena *a, err *e) WARN_UNUSED;
// NOT_FOUND when there is none.
bool submission_get(db_conn *c, uuid id, submission_row *row, arena *a, err *e) WARN_UNUSED;

typedef struct submission_step {
    int kind; // submission_evidence_kind
    int64_t epoch;
    uuid owner;    // nil: the bank said it
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
// The content as it was sealed, and how.
bool submission_content(db_conn *c, int64_t book_id, uuid id, str *sealed, str *seal, str *sha256,
                        arena *a, err *e) WARN_UNUSED;

#endif
