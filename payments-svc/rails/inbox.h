// The inbox: banks' words are first recorded raw, in a transaction of their own, and then applied (promise HEARD).
//
// A rail hands over bytes and a reader. The inbox keeps the bytes and has them read. Known and consistent lines become events; the rest
// become exceptions with their bytes. Applying is idempotent: after a crash an item is applied again from the start, and existing rows are
// not added twice.
//
// Thread-safe. Calls block.
#ifndef RAILS_INBOX_H
#define RAILS_INBOX_H

#include "base/clock.h"
#include "cases/cases.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "events/events.h"
#include "rails/rail.h"

enum {
    INBOX_NAME_MAX = 300,
    // of one file: it is sealed as one value, and the data of its lines fits into memory
    INBOX_BYTES_MAX = CRYPTO_VALUE_MAX,
    INBOX_SOURCES_MAX = 64,
    // separate cases for the lines of one file; the rest share one
    INBOX_LINE_CASES_MAX = 200,
    // bytes of a line kept with its exception; the item has the whole
    INBOX_RAW_MAX = 4096,
    // exceptions of one item, those that moved money first; the rest share one
    INBOX_ODD_MAX = 5000,
    // cases for messages of one connection within an hour; the rest share one
    INBOX_MESSAGE_CASES_MAX = 100,
    INBOX_FILE_CASES_MAX = 1000, // the same for its files
    INBOX_TRIES_MAX = 10         // our own failures until a person must look
};

// Reason of an exception: more movements and refusals of one payout than SAGA_MOVEMENTS_MAX. For people.
#define INBOX_TOO_MANY_MOVEMENTS                                                                   \
    "the bank tells of more movements or refusals of this payout than are taken in: find out "     \
    "from its statement what became of the money"

typedef enum inbox_kind {
    INBOX_FILE = 1,
    INBOX_MESSAGE = 2,
    INBOX_ANSWER = 3,
    INBOX_OURS = 4 // a file of ours, found at the bank in a recovery
} inbox_kind;

typedef enum inbox_state {
    INBOX_RECORDED = 1, // waits to be applied
    INBOX_APPLIED = 2,  // each line is an event or an exception
    INBOX_REFUSED = 3,  // meaningless as a whole; waits for a repair
    INBOX_DISMISSED = 4 // a person decided that it means nothing
} inbox_state;

// A reader's input. Borrowed for the call.
typedef struct inbox_item {
    int64_t book_id;
    uuid inbox_id;
    int connection;
    inbox_kind kind;
    int32_t version;
    str name, bytes;
    int64_t said_us, received_us;
    const void *asked; // result of the reader's `ask`; NULL: it did not ask
} inbox_item;

// A known and consistent line. The inbox fills event.inbox_id and inbox_line.
typedef struct inbox_event {
    int64_t book_id;
    int32_t line;
    str raw;
    bool fresh; // the first event of its payout (filled in by the inbox)
    rail_event event;
} inbox_event;

// A line that is unknown or inconsistent. Strings are @arena or static.
typedef struct inbox_odd {
    int32_t line;       // 0: the whole item
    const char *reason; // static, for programs
    const char *text;   // for people; no bank details
    const char *compared;
    str raw;
    int64_t about_book_id; // 0 when unknown
    uuid payout_id;        // nil: no likely payout
    int64_t amount;        // the amount that moved
    char currency[4];
    const char *case_kind; // of cases/kinds.h; NULL: none
    // of a case that several items share; NULL: the case is about the line
    const char *case_subject;
} inbox_odd;

// A line that was applied, and that a person must look at nevertheless.
typedef struct inbox_remark {
    int64_t book_id;
    int32_t line;
    const char *code, *text;
    int64_t amount;
    char currency[4];
} inbox_remark;

// A reader's result for an item.
typedef struct inbox_said {
    const char *about; // static: the kind of content
    int32_t lines;
    // static reason when it means nothing as a whole; then no other field counts
    const char *refused;
    const char *refused_text; // for people
    inbox_event *events;
    size_t n_events;
    inbox_odd *odd;
    size_t n_odd;
    size_t odd_max; // the room of odd: at least one more than the reader used, if it has `also`
    inbox_remark *remarks;
    size_t n_remarks;
    void *own;         // the reader's own data, for `also`
    int64_t also_book; // of events that `also` records; 0: none
} inbox_said;

// Reads the bytes of a connection. read: looks into the database, and changes nothing; false when no result is possible now. also: runs in
// the transaction that ends the item, before its exceptions are written, and may add some; for a message or an answer also events. It may
// be NULL, and may be called again with the same said when the transaction repeats.
typedef struct inbox_reader {
    int connection;
    bool (*read)(void *self, db_conn *c, const inbox_item *item, inbox_said *out, arena *a, err *e);
    bool (*also)(void *self, db_conn *c, const inbox_item *item, inbox_said *said, arena *a,
                 err *e);
    // Asks the bank, before `read` and outside of any transaction. Only while waiting items are applied, never on the thread that received
    // a message. *asked is @arena, and may stay NULL. False: not now. May be NULL.
    bool (*ask)(void *self, const inbox_item *item, const void **asked, arena *a, err *e);
    void *self;
} inbox_reader;

typedef struct inbox inbox;

// @borrows pool, keys and clock until destroy. Never fails. @owned
inbox *inbox_create(db_pool *pool, crypto_keyring *keys, const clock_source *clock);
void inbox_destroy(inbox *box); // accepts NULL; no reader may be in use
// Call before the first item of this connection is applied. reader->self must outlive the box, or inbox_unlisten.
void inbox_listen(inbox *box, const inbox_reader *reader);
void inbox_unlisten(inbox *box, int connection);
// wake is called after each commit of events, with their book, on the thread that applied them. May be NULL.
void inbox_set_wake(inbox *box, rail_wake wake, void *arg);
// Calls wake: somebody else committed events of this book.
void inbox_wake(inbox *box, int64_t book_id, int connection);

typedef struct inbox_raw {
    int64_t book_id; // 0 when unknown
    int connection;
    inbox_kind kind;
    str name;  // cut to INBOX_NAME_MAX and made readable
    str bytes; // at most INBOX_BYTES_MAX
    int64_t said_us;
} inbox_raw;

typedef struct inbox_ref {
    int64_t book_id;
    uuid inbox_id;
    bool repeated; // the same item came before
    inbox_state state;
} inbox_ref;

// Records it; true: durably. The same bytes of the same connection (for a message: with the same id) are a repeat.
bool inbox_record(inbox *box, const inbox_raw *raw, inbox_ref *out, err *e) WARN_UNUSED;
// Applies one waiting item; leaves any other alone.
bool inbox_apply(inbox *box, int64_t book_id, uuid inbox_id, err *e) WARN_UNUSED;
// Applies a connection's waiting items, oldest first. Messages only after some seconds, since otherwise their own thread applies them. A
// failed item does not delay the others; false when there was one, with the last failure.
bool inbox_apply_waiting(inbox *box, int connection, err *e) WARN_UNUSED;

// Opens a case about bytes that could not be recorded.
bool inbox_complain(inbox *box, const char *subject, const char *code, const char *text,
                    err *e) WARN_UNUSED;

#endif
