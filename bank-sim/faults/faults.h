// Which faults the bank makes, and on which items. The amount chooses (so that test data can ask for an outcome), or a probability. A roll
// depends only on the seed, the item and the try, not on the order of arrival or on the thread. So the same seed gives the same faults to
// the same items.
#ifndef FAULTS_FAULTS_H
#define FAULTS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct faults_config {
    int64_t seed;
    bool by_amount,
        odd_amounts; // with by_amount: also the amounts of odd tellings
    // percent, 0 … 100
    int64_t slow_pct, http_500_pct, refuse_pct, drop_answer_pct, answer_twice_pct;
    int64_t webhook_late_pct, webhook_missing_pct, return_after_settlement_pct, ach_return_pct;
    int64_t slow_ms, webhook_late_ms;
} faults_config;

typedef struct faults faults;

// @owned by the caller; aborts when there is no memory
faults *faults_create(const faults_config *c);
void faults_destroy(faults *f);                         // accepts NULL
faults_config faults_get(faults *f);                    // @thread any
void faults_replace(faults *f, const faults_config *c); // @thread any; holds from the next item on

// Sets one field of *c by its name ("slow_pct"). by_amount and odd_amounts take 0 or 1. INVALID_ARGUMENT with the field.
bool faults_config_set(faults_config *c, const char *name, int64_t value, err *e) WARN_UNUSED;
void faults_config_json(const faults_config *c, strbuf *out);

// The way in which an item comes back.
typedef enum faults_returns {
    FAULTS_RETURN_WHOLE,
    FAULTS_RETURN_PART,   // half comes back; the rest never does
    FAULTS_RETURN_HALVES, // half comes back, and later the rest
    FAULTS_RETURN_TWICE   // all comes back once, but is told twice, under two names
} faults_returns;

// The oddity in a payment's webhooks.
typedef enum faults_oddity {
    FAULTS_TOLD_WELL,
    FAULTS_OTHER_AMOUNT,      // the settlement tells an amount that did not move
    FAULTS_UNKNOWN_REFERENCE, // one extra webhook, about a payment that nobody ordered
    FAULTS_TOLD_BEFORE,       // the webhook comes before the answer to the request
    FAULTS_OTHER_CURRENCY,    // the settlement tells a currency that did not move
    FAULTS_RETURN_LOST        // the settlement is told, the return is not
} faults_oddity;

// The fate of one instant payment.
typedef struct faults_instant {
    int http_status; // 500 or 503: nothing is taken; 0: none
    bool refuse;     // taken and refused, with code and text
    bool retriable;
    const char *code, *text;
    bool drop_answer; // taken, then the connection is closed without an answer
    int64_t slow_ms;  // the answer waits this long
    int webhooks;     // 0 never sent, 1 sent once, 2 sent twice
    int64_t webhook_delay_ms;
    bool return_later; // settles first, then is returned
    const char *return_code, *return_text;
    faults_returns returns;
    faults_oddity oddity;
} faults_instant;
// key: the idempotency key. tries: how often this key was answered with 5xx. refusals: how often this reference was refused.
faults_instant faults_plan_instant(faults *f, str key, int64_t amount, int64_t tries,
                                   int64_t refusals);

// The acknowledgement's word about an entry, at a bank that refuses single entries (habits).
typedef enum faults_refusal {
    FAULTS_TAKEN,
    FAULTS_REFUSED,          // no such account: it is not paid
    FAULTS_REFUSED_AND_PAID, // refused as a duplicate, yet paid
    FAULTS_REFUSED_TWICE     // no such account; named twice
} faults_refusal;

// The fate of one ACH entry. code NULL: it settles and stays.
typedef struct faults_ach {
    const char *code; // "R03"; "C01": it settles and stays, and a notification of change follows
    bool after_settlement; // false: it never settles
    faults_returns returns;
    // a bank that refuses no single entries uses the code instead
    faults_refusal refusal;
} faults_ach;
// identity: origin, date and trace.
faults_ach faults_plan_ach(faults *f, str identity, int64_t amount);

#endif
