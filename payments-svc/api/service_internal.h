// What the handlers share. Private to this room.
#ifndef API_SERVICE_INTERNAL_H
#define API_SERVICE_INTERNAL_H

#include "api/inbox_upload.h"
#include "api/service.h"
#include "base/uuid.h"
#include "deposits/deposits.h"
#include "feed/feed.h"
#include "imports/imports.h"
#include "intake/intake.h"
#include "parties/merchants.h"
#include "payments/v1/case_service.pb-c.h"
#include "payments/v1/common.pb-c.h"
#include "payments/v1/connection_service.pb-c.h"
#include "payments/v1/merchant_service.pb-c.h"
#include "payments/v1/payout_service.pb-c.h"
#include "payments/v1/recipient_service.pb-c.h"
#include "payments/v1/submission_service.pb-c.h"
#include "payouts/payouts.h"

enum { BULK_MAX = 10000, PAGE_DEFAULT = 100, PAGE_MAX = 1000, WATCH_MAX = 10000 };

struct payments_service {
    payments_service_options o;
    merchant_store *merchants;
    intake *intake;
    ledger_accounts *accounts;
    deposits *deposits;
    inbox_upload *repairs;
    imports *imports;
    feed_hub *feed;
};

// --- handlers, by file -------------------------------------------------------------------------------------------------
extern const rpc_method MERCHANT_METHODS[];
extern const size_t N_MERCHANT_METHODS;
extern const rpc_method RECIPIENT_METHODS[];
extern const size_t N_RECIPIENT_METHODS;
extern const rpc_method PAYOUT_METHODS[];
extern const size_t N_PAYOUT_METHODS;
extern const rpc_method CASE_METHODS[];
extern const size_t N_CASE_METHODS;
extern const rpc_method RECONCILIATION_METHODS[];
extern const size_t N_RECONCILIATION_METHODS;
extern const rpc_method CONNECTION_METHODS[];
extern const size_t N_CONNECTION_METHODS;
extern const rpc_method SUBMISSION_METHODS[];
extern const size_t N_SUBMISSION_METHODS;
extern const rpc_method KEY_METHODS[];
extern const size_t N_KEY_METHODS;
extern const rpc_method IDENTITY_METHODS[];
extern const size_t N_IDENTITY_METHODS;
extern const rpc_method AUDIT_METHODS[];
extern const size_t N_AUDIT_METHODS;
extern const rpc_method INBOX_METHODS[];
extern const size_t N_INBOX_METHODS;
extern const rpc_method FEED_METHODS[];
extern const size_t N_FEED_METHODS;
extern const rpc_method IMPORT_METHODS[];
extern const size_t N_IMPORT_METHODS;

void handle_create_payout(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_bulk_create_payouts(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_validate_payouts(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_cancel_payout(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_await_payout(rpc_call *call, void *service, const ProtobufCMessage *request);
void await_start(payments_service *s); // s->o.awaits look and answer from now on
void handle_watch_payouts(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_create_deposit(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_get_deposit(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_take_back_deposit(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_list_deposits(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_list_calls(rpc_call *call, void *service, const ProtobufCMessage *request);
// One of the states that are asked for, checked. A number of the wire may be negative, and the enum of the generated code has no sign:
// it is compared and used as this int only.
bool pb_submission_state(const Payments__V1__ListSubmissionsRequest *r, size_t i, int *state,
                         err *e) WARN_UNUSED;
void handle_get_call(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_create_recipient(rpc_call *call, void *service, const ProtobufCMessage *request);
void handle_bulk_create_recipients(rpc_call *call, void *service, const ProtobufCMessage *request);

// Recipients that come beside payouts, or in a file. wanted[i] may be NULL. Filled: faults[i] is NULL where CreateRecipient would not
// refuse it, or where there is none; ids[i] is that of one which is registered under its key, else NULL. @arena
typedef struct recipients_asked {
    const merchant *m;
    const actor_info *by; // who registers them; NULL where they are only looked at
    Payments__V1__NewRecipient *const *wanted;
    size_t n;
    const err **faults;
    const char **ids;
} recipients_asked;
// Writes nothing.
bool recipients_look(payments_service *s, const recipients_asked *x, int64_t deadline_mono_ms,
                     arena *a, err *e) WARN_UNUSED;
// Registers them, each once.
bool recipients_enter(payments_service *s, const recipients_asked *x, int64_t deadline_mono_ms,
                      arena *a, err *e) WARN_UNUSED;

// --- imports (imports.c, import_calls.c) -------------------------------------------------------------------------------
import_calls import_calls_of(payments_service *s);

// --- merchants (merchants.c, merchant_defaults.c) ----------------------------------------------------------------------
Payments__V1__Merchant *merchant_to_pb(const payments_service *s, const merchant *m,
                                       const merchant_defaults *d, arena *a);
void defaults_to_pb(const payments_service *s, const merchant_defaults *d,
                    Payments__V1__Merchant *out, arena *a);
// Names of connections that are switched on, one a rail. INVALID_ARGUMENT.
bool defaults_read(const payments_service *s, char *const *names, size_t n, merchant_defaults *out,
                   err *e) WARN_UNUSED;
// Whether the names are just these connections, switched on or not.
bool defaults_are(const payments_service *s, const merchant_defaults *d, char *const *names,
                  size_t n, arena *a);
// A merchant_written: the audit's row.
bool merchant_audited(db_conn *c, const merchant *m, const actor_info *by, int64_t now_us, arena *a,
                      err *e) WARN_UNUSED;
void handle_update_merchant(rpc_call *call, void *service, const ProtobufCMessage *request);

// --- who acts (acting.c) -----------------------------------------------------------------------------------------------
// Who causes what the call writes: program and person. The policy names the person. If it names none, the request may state one: at least
// min bytes of text (0 or 1). INVALID_ARGUMENT; PERMISSION_DENIED, PERSON_DIFFERS, when a known person states another one.
bool pb_actor(const rpc_call *call, const char *stated, size_t min, actor_info *out,
              err *e) WARN_UNUSED;
// actor_text of who. @arena of the call. RESOURCE_EXHAUSTED when it is full.
bool pb_actor_text(rpc_call *call, const actor_info *who, str *out, err *e) WARN_UNUSED;

// --- small helpers (pb.c) ----------------------------------------------------------------------------------------------
Google__Protobuf__Timestamp *pb_time(arena *a, int64_t wall_us);
// False when the timestamp is outside of years 1 … 9999 or its nanos are out of range.
bool pb_time_us(const Google__Protobuf__Timestamp *t, const char *field, int64_t *wall_us,
                err *e) WARN_UNUSED;
ProtobufCAllocator pb_allocator(arena *a); // for unpack; nothing is freed before the arena is
str pb_pack(arena *a, const ProtobufCMessage *m, err *e); // .ptr NULL on failure
char *pb_trace(arena *a, uuid trace);                     // 32 hexadecimal digits; empty for nil
char *pb_text(arena *a, str s);                 // NUL-terminated copy; asserts on a full arena
const err *pb_keep_err(arena *a, const err *e); // a copy in the arena
// Refuses a write request with a field that this version does not know: the field may change the meaning of the request. False with
// INVALID_ARGUMENT / UNKNOWN_FIELD, naming the message and the field's number. _here looks at the message only; the other also at all
// messages inside. path: where the message stands, such as "payout.".
bool pb_is_known_here(const ProtobufCMessage *m, const char *path, err *e) WARN_UNUSED;
bool pb_is_known(const ProtobufCMessage *m, const char *path, err *e) WARN_UNUSED;
Payments__V1__ItemError *pb_item_error(arena *a, const err *e);
bool out_of_memory(err *e); // RESOURCE_EXHAUSTED, returns false

// A connection's scheme and name for an answer. A connection that is not known here has no scheme, and its number as its name. @arena
Payments__V1__Rail pb_rail(const connections *k, int number);
char *pb_connection(const connections *k, int number, arena *a);
// The numbers of the connections that pass both filters. An unspecified rail or an empty name passes all. *n is 0 for all connections.
// INVALID_ARGUMENT when there is no such rail or connection. out holds CONNECTIONS_MAX.
bool pb_connections_of(const connections *k, Payments__V1__Rail scheme, const char *name,
                       int16_t *out, size_t *n, err *e) WARN_UNUSED;

// False with NOT_FOUND, reason BOOK_NOT_FOUND, when there is no such book: the number is above the books that new merchants are spread
// over, and no merchant has it. Book 0 passes: it stands for no book, or for all.
bool pb_book_exists(const payments_service *s, db_conn *c, int64_t book_id, const char *field,
                    arena *a, err *e) WARN_UNUSED;

struct pause_row;
Payments__V1__Pause *pb_pause(const connections *k, const struct pause_row *row, arena *a);

// @arena
Payments__V1__Payout *payout_from_row(const connections *k, const payout_view *row, arena *a);
bool payout_is_terminal(Payments__V1__PayoutState s);
// Of the payouts made at a time: UUIDv7 begins with the time.
uuid payout_lowest_id(int64_t wall_ms);

// --- page tokens -------------------------------------------------------------------------------------------------------
// A token holds the position of the next page and a hash of the filters, so a token with other filters is refused.
char *page_token_make(arena *a, str filters, const uint8_t *position, size_t len);
bool page_token_read(const char *token, str filters, uint8_t *position, size_t len,
                     err *e) WARN_UNUSED;
bool page_size_of(int32_t asked, int64_t *size, err *e) WARN_UNUSED;

#endif
