// The inbox for people: its items, the lines that were set aside, and the possible orders.
//
// Call the reads within a transaction or db_read. Book 0 means "not known".
#ifndef RAILS_INBOX_DESK_H
#define RAILS_INBOX_DESK_H

#include "authz/actor.h"
#include "rails/inbox.h"

enum {
    INBOX_REASON_MAX = 1000,
    INBOX_VERSIONS_SHOWN_MAX = 100, // the newest
    INBOX_STATES_END = INBOX_DISMISSED + 1
};

typedef struct inbox_row {
    int64_t book_id;
    uuid inbox_id;
    int connection, kind;
    str name;
    int64_t size;
    str sha256; // 32 bytes, of the bytes as received
    int64_t said_us, received_us, updated_us;
    int state; // as in the database: may be a state that this version does not know
    int32_t version, lines, events, exceptions, tries, seen;
    str about, reason, reason_text;
} inbox_row;

typedef struct inbox_filter {
    const int64_t *books; // the books to look in
    size_t n_books;
    const int16_t *connections; // at least one
    size_t n_connections;
    const int16_t *states; // at least one
    size_t n_states;
    uuid before; // older than this; the highest id for the first page
    uuid from;   // not older than this; nil: no limit
    size_t limit;
} inbox_filter;

// Newest first. @arena
bool inbox_list(db_conn *c, const inbox_filter *f, inbox_row **rows, size_t *n, arena *a,
                err *e) WARN_UNUSED;
// NOT_FOUND, reason INBOX_NOT_FOUND, when it does not exist. @arena
bool inbox_get(db_conn *c, int64_t book_id, uuid inbox_id, inbox_row *row, arena *a,
               err *e) WARN_UNUSED;

typedef struct inbox_version_row {
    int32_t version;
    int64_t size, at_us;
    str sha256, actor, reason; // empty for the first, which the bank wrote
} inbox_version_row;
// All versions of the bytes, oldest first. @arena
bool inbox_versions(db_conn *c, int64_t book_id, uuid inbox_id, inbox_version_row **rows, size_t *n,
                    arena *a, err *e) WARN_UNUSED;
// The unmasked bytes of a version. @arena; the caller overwrites them
bool inbox_content(db_conn *c, crypto_keyring *keys, int64_t book_id, uuid inbox_id,
                   int32_t version, str *bytes, arena *a, err *e) WARN_UNUSED;

typedef struct inbox_exception_row {
    int64_t book_id, about_book_id, amount;
    uuid inbox_id, payout_id; // payout_id: nil when there is none
    int32_t version, line;
    str reason, reason_text, compared, currency, raw_sealed, closed_by, closed_reason;
    int state;
    int64_t at_us, closed_us; // closed_us: INT64_MIN while open
} inbox_exception_row;

typedef enum inbox_exception_state {
    INBOX_EXCEPTION_OPEN = 1,
    INBOX_EXCEPTION_DISMISSED = 2,
    INBOX_EXCEPTION_REPLACED = 3 // by a repair, or by a later apply that understood it
} inbox_exception_state;

typedef struct inbox_exception_filter {
    bool of_item; // only of this item, open ones or all; else open ones of all items
    bool closed;  // closed ones, too; only with of_item
    int64_t book_id;
    uuid inbox_id;
    str reason;            // empty: any
    int64_t about_book_id; // 0: any
    const int16_t *connections;
    size_t n_connections; // 0: any
    // After this position; zero: from the first.
    int64_t after_book_id;
    uuid after_inbox_id;
    int32_t after_version, after_line;
    size_t limit;
} inbox_exception_filter;
// In the order of their positions. @arena
bool inbox_exceptions(db_conn *c, const inbox_exception_filter *f, inbox_exception_row **rows,
                      size_t *n, arena *a, err *e) WARN_UNUSED;
// The unmasked line. @arena; the caller overwrites it
bool inbox_line_open(crypto_keyring *keys, const inbox_exception_row *x, str *bytes, arena *a,
                     err *e) WARN_UNUSED;

// --- A person's orders ------------------------------------------------------------------------------------------------

typedef struct inbox_order {
    int64_t book_id;
    uuid inbox_id;
    const actor_info *by; // for the audit; NULL: nothing is written there
    str actor;            // program and person
    str reason;           // 1 … INBOX_REASON_MAX bytes
} inbox_order;

// Each is durable when it returns true. NOT_FOUND (INBOX_NOT_FOUND) when the item does not exist. *not_applied tells why it could not be
// applied now, and is zero otherwise: it waits, and is tried again by itself. Orders that apply run two at a time; a further one does
// nothing: RESOURCE_EXHAUSTED, reason INBOX_BUSY.

// Reads the item again, whatever its state. Known events do not count twice; an exception that is understood now is closed.
bool inbox_again(inbox *box, const inbox_order *o, err *not_applied, err *e) WARN_UNUSED;
// Replaces the item's current bytes, which are kept, and applies the new ones. The same bytes change nothing. FAILED_PRECONDITION: reason
// INBOX_WAITS while the item still waits, reason INBOX_APPLIED after it was applied, unless replace_applied confirms the intent.
bool inbox_repair(inbox *box, const inbox_order *o, str bytes, bool replace_applied,
                  err *not_applied, err *e) WARN_UNUSED;
// True when the bytes may be replaced now; errors as above.
bool inbox_may_be_repaired(const inbox_row *row, bool replace_applied, err *e) WARN_UNUSED;
// Declares a line meaningless, and closes its case with a note. Line 0 of a refused item dismisses the item. A repeat succeeds. NOT_FOUND
// (EXCEPTION_NOT_FOUND) when the line was not set aside, FAILED_PRECONDITION (EXCEPTION_REPLACED) when it does not count any more.
bool inbox_dismiss(inbox *box, const inbox_order *o, int32_t line, err *e) WARN_UNUSED;

// Locks the item of a book's case with this subject, before the case.
bool inbox_case_lock(db_conn *c, int64_t book_id, str subject, arena *a, err *e) WARN_UNUSED;
// A person has resolved the case of a book with this subject ("UUID:LINE", or "UUID" of a refused item): dismisses its lines, in the
// caller's transaction. Other lines of the item stay. A subject of another form is ignored.
bool inbox_case_resolved(db_conn *c, int64_t book_id, str subject, str actor, str reason,
                         int64_t now_us, arena *a, err *e) WARN_UNUSED;

#endif
