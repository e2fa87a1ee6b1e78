// What the files of the instant rail share. Nobody outside of this folder includes it.
#ifndef INSTANT_INSTANT_INTERNAL_H
#define INSTANT_INSTANT_INTERNAL_H

#include "base/metrics.h"
#include "base/ticker.h"
#include "crypto/crypto.h"
#include "http/http.h"
#include "rails/inbox.h"
#include "rails/instant/instant_rail.h"

enum {
    INSTANT_RESPONSE_MAX = 64 * 1024,
    INSTANT_TEXT_MAX = 200, // characters of a code, text or id that we keep
    INSTANT_DB_TIMEOUT_MS = 5000,
    WEBHOOK_BODY_MAX = 64 * 1024,
    WEBHOOK_THREADS = 4
};

typedef struct instant_rail {
    rail base;
    instant_settings settings;
    db_pool *pool;
    const clock_source *clock;
    http_client *client;
    char *authorization; // "Authorization: Bearer …"; wiped at the end, never logged
    char *webhook_secret;
    size_t webhook_secret_len;
    metric *verdicts[RAIL_RETURNED + 1];

    http_server *webhook;
    inbox *box; // NULL until instant_rail_use_inbox
    ticker *sweeper;
    int64_t sweep_at_ms; // monotonic; of the sweeper
    int64_t noted_ms;    // when a look was written down last
    int64_t late_ms; // what the last look has left over waits for so long; 0: it left nothing over
    bool silent;     // in the last look the bank was asked and said nothing of use
    metric *asked_again, *asked_late, *hooks_ok, *hooks_refused, *hooks_failed;
} instant_rail;

// instant_answer.c: what the bank says, as data. Pure.
typedef enum payment_status {
    PAYMENT_ACCEPTED = 1,
    PAYMENT_SETTLED,
    PAYMENT_REFUSED,
    PAYMENT_RETURNED,
    // of a message: it speaks of a payment or of money, and is none of those above
    PAYMENT_OF_OTHER_TYPE
} payment_status;

typedef struct payment {
    payment_status status;
    char key[65];
    int64_t amount;
    int64_t returned; // of what came back, in the answer to a query; 0: not said
    char currency[4];
    bool retriable;
    str payment_id, code, text, reference; // @arena
} payment;

// A payment object; unknown members are ignored. INVALID_ARGUMENT with the member at fault.
bool payment_parse(str json, arena *a, payment *out, err *e) WARN_UNUSED;
// A webhook's body: {"type":"payment.…","timestamp":…,"data":{…}}. *at_us is 0 when it has no time that can be read.
// *known is false for types that are none of ours; then nothing is wrong with it, and of its data only what names a
// payment was read.
bool webhook_parse(str json, arena *a, bool *known, payment *out, int64_t *at_us,
                   err *e) WARN_UNUSED;
// Fills the verdict (and code, text, reference) of an item from one exchange.
void answer_to_submit(const http_exchange *x, rail_item *item, arena *a);
void answer_to_query(const http_exchange *x, rail_item *item, arena *a);
// Whether the bank itself says that it has no payment of this key. A 404 of a gateway in front of it says nothing of that.
bool answer_says_not_found(const http_exchange *x);
// Whether the body is about some payment at all, be it odd. An error page under a good status is not.
bool answer_names_payment(const http_exchange *x);
// The body of POST /v1/payments. {0} when it does not fit into the arena. The same item always gives the same bytes, so
// that a repeat under the same key is the same request.
str payment_request(int64_t book_id, const rail_item *item, arena *a);
// "<book>/<intent uuid>"
bool reference_parse(str reference, int64_t *book_id, uuid *intent_id) WARN_UNUSED;

// instant_sql.c: every statement of the rail.
typedef enum instant_sql {
    INSTANT_SQL_FIND_PAYOUT,
    INSTANT_SQL_HAS_BOOK,
    INSTANT_SQL_MOVED,
    INSTANT_SQL_LOCK,
    INSTANT_SQL_SWEEP_BOOK,
    INSTANT_SQL_SWEEP_POSITION,
    INSTANT_SQL_SWEEP_PAGE,
    INSTANT_SQL_SWEEP_STORE,
    INSTANT_SQL_SWEEP_AGAIN,
    INSTANT_SQL_SWEEP_LATE,
    INSTANT_SQL_SWEEP_LATER,
    INSTANT_SQL_SWEEP_OVER,
    INSTANT_SQL_LOOKED,
    INSTANT_SQL_COUNT
} instant_sql;
extern const db_stmt INSTANT_SQL[INSTANT_SQL_COUNT];

// instant_read.c: the inbox's reader of this connection. self is the instant_rail.
bool instant_read(void *self, db_conn *c, const inbox_item *item, inbox_said *out, arena *a,
                  err *e);
bool instant_also(void *self, db_conn *c, const inbox_item *item, inbox_said *said, arena *a,
                  err *e);
bool instant_ask(void *self, const inbox_item *item, const void **out, arena *a, err *e);

// instant_sweep.c: payouts that have settled are asked for again, since a bank tells of a return for some minutes only. Each
// three times: after settings.ask_again_ms, after a day, and when its returns_days are over.
void instant_sweep_look(void *arg); // what the ticker calls; arg is the instant_rail
// Asks for the payment of one key, and records and applies what the bank answers. False when it has not answered; FAILED_PRECONDITION
// then. said: @arena
bool instant_ask_one(instant_rail *r, int64_t book_id, const char *key, payment *said, arena *a,
                     err *e) WARN_UNUSED;
// One look: some pages of payouts for each book and time, and of those with a time of their own. False when the bank or
// the database could not be reached.
bool instant_sweep(instant_rail *r, err *e) WARN_UNUSED;

// webhook.c
// arg: the instant_rail
void webhook_handle(void *arg, const http_request *request, http_response *response);

#endif
