// What goes wrong at the bank, and for whom: chosen by the amount (so that test data can ask for an outcome), or by
// probability. A roll depends on the seed, the item and the try only, never on the order of arrival or on the thread, so
// the same seed gives the same faults to the same items.
#ifndef FAULTS_FAULTS_H
#define FAULTS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct faults_config {
    int64_t seed;
    bool by_amount,
        odd_amounts; // odd_amounts: the amounts of odd tellings, too, when by_amount is on
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

// How something comes back.
typedef enum faults_returns {
    FAULTS_RETURN_WHOLE,
    FAULTS_RETURN_PART,   // half of it; the rest stays out
    FAULTS_RETURN_HALVES, // half of it, and later the rest
    FAULTS_RETURN_TWICE   // all of it once, but told twice, under two names
} faults_returns;

// What is odd about the webhooks of one payment.
typedef enum faults_oddity {
    FAULTS_TOLD_WELL,
    FAULTS_OTHER_AMOUNT,      // the settlement is told with another amount than what moved
    FAULTS_UNKNOWN_REFERENCE, // one more webhook, of a payment that nobody ordered
    FAULTS_TOLD_BEFORE,       // the webhook comes before the answer to the request
    FAULTS_OTHER_CURRENCY,    // the settlement is told in another currency than what moved
    FAULTS_RETURN_LOST        // the settlement is told, the return is not
} faults_oddity;

// What happens to one instant payment.
typedef struct faults_instant {
    int http_status; // 500 or 503: nothing is taken; 0: none
    bool refuse;     // taken and refused, with code and text
    bool retriable;
    const char *code, *text;
    bool drop_answer; // taken, then the connection is closed without an answer
    int64_t slow_ms;  // the answer waits so long
    int webhooks;     // 0 missing, 1 normal, 2 sent twice
    int64_t webhook_delay_ms;
    bool return_later; // settled, and returned afterwards
    const char *return_code, *return_text;
    faults_returns returns;
    faults_oddity oddity;
} faults_instant;
// key: the idempotency key. tries: how often this key was answered with 5xx. refusals: how often this reference was refused.
faults_instant faults_plan_instant(faults *f, str key, int64_t amount, int64_t tries,
                                   int64_t refusals);

// What the acknowledgement says of an entry, at a bank that refuses entries one by one (habits).
typedef enum faults_refusal {
    FAULTS_TAKEN,
    FAULTS_REFUSED,          // no such account: it is not paid
    FAULTS_REFUSED_AND_PAID, // called a duplicate, and paid all the same
    FAULTS_REFUSED_TWICE     // no such account, named two times
} faults_refusal;

// What happens to one ACH entry. code NULL: it settles and stays.
typedef struct faults_ach {
    const char *code; // "R03"; "C01": it settles and stays, and a notification of change follows
    bool after_settlement; // else it never settles
    faults_returns returns;
    // code is what comes of it at a bank that does not refuse single entries
    faults_refusal refusal;
} faults_ach;
// identity: origin, date and trace.
faults_ach faults_plan_ach(faults *f, str identity, int64_t amount);

#endif
