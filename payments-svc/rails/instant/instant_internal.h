// Shared by the files of the instant rail only.
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
    int64_t sweep_at_ms; // monotonic; for the sweeper
    int64_t noted_ms;    // time of the last noted look
    int64_t late_ms;     // age of the last look's oldest leftover; 0: none
    bool silent;         // in the last look the bank gave no useful answer
    metric *asked_again, *asked_late, *hooks_ok, *hooks_refused, *hooks_failed;
} instant_rail;

// instant_answer.c: the bank's words, as data. Pure.
typedef enum payment_status {
    PAYMENT_ACCEPTED = 1,
    PAYMENT_SETTLED,
    PAYMENT_REFUSED,
    PAYMENT_RETURNED,
    // of a message: about a payment or money, and none of the above
    PAYMENT_OF_OTHER_TYPE
} payment_status;

typedef struct payment {
    payment_status status;
    char key[65];
    int64_t amount;
    int64_t returned; // returned so far, in the answer to a query; 0: not said
    char currency[4];
    bool retriable;
    str payment_id, code, text, reference; // @arena
} payment;

// Parses a payment object; ignores unknown members. INVALID_ARGUMENT with the bad member.
bool payment_parse(str json, arena *a, payment *out, err *e) WARN_UNUSED;
// Parses a webhook's body: {"type":"payment.…","timestamp":…,"data":{…}}. *at_us is 0 without a readable time. *known is false for other
// types: then there is no error, and only the payment's name was read.
bool webhook_parse(str json, arena *a, bool *known, payment *out, int64_t *at_us,
                   err *e) WARN_UNUSED;
// Fills the verdict (and code, text, reference) of an item from one exchange.
void answer_to_submit(const http_exchange *x, rail_item *item, arena *a);
void answer_to_query(const http_exchange *x, rail_item *item, arena *a);
// True when the bank itself says that it has no payment of this key. A gateway's 404 does not say this.
bool answer_says_not_found(const http_exchange *x);
// True when the body is about a payment, even an odd one. An error page with a good status is not.
bool answer_names_payment(const http_exchange *x);
// The body of POST /v1/payments. {0} when it does not fit into the arena. The same item always gives the same bytes, so that a repeat under
// the same key is the same request.
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

// instant_sweep.c: asks again for settled payouts, since a bank tells of a return for some minutes only. Each three times: after
// settings.ask_again_ms, after a day, and when its returns_days are over.
void instant_sweep_look(void *arg); // called by the ticker; arg is the instant_rail
// Asks for the payment of one key, and records and applies the bank's answer. False without an answer, with FAILED_PRECONDITION. said:
// @arena
bool instant_ask_one(instant_rail *r, int64_t book_id, const char *key, payment *said, arena *a,
                     err *e) WARN_UNUSED;
// One look: some pages of payouts for each book and age, and of payouts with a time of their own. False when the bank or the database could
// not be reached.
bool instant_sweep(instant_rail *r, err *e) WARN_UNUSED;

// webhook.c
// arg: the instant_rail
void webhook_handle(void *arg, const http_request *request, http_response *response);

#endif
