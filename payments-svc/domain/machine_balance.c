// What was said of a payout, weighed against what the ledger has.
#include "domain/machine_internal.h"

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t ledger_has(const saga *s, saga_state state, int64_t returned) {
    return (state == STATE_SETTLED ? s->amount - returned : 0) + s->written_off;
}

saga_balance saga_balance_of(const saga *s, saga_state state, int64_t returned,
                             const saga_said *said) {
    const saga_balance even = {TILT_EVEN, 0}, odd = {TILT_ODD, 0};
    if (said->word == WORD_NONE) {
        return even;
    }
    if (said->word == WORD_CONTRADICTION ||
        (state == STATE_SETTLED && (said->word == WORD_REFUSED || said->word == WORD_NOT_TAKEN))) {
        return odd;
    }
    // What the state says was heard once, perhaps as an answer, of which there is no message.
    const int64_t settled =
        state == STATE_SETTLED ? larger(said->settled, s->amount) : said->settled;
    const int64_t back =
        state == STATE_RETURNED ? larger(said->returned, s->amount) : said->returned;
    const int64_t paid = settled > back ? settled - back : 0;
    const int64_t has = ledger_has(s, state, returned);
    if (paid > s->amount || back > larger(settled, s->amount)) {
        return odd;
    }
    if (paid == has) {
        return even;
    }
    if (s->written_off != 0 || (state != STATE_SETTLED && state != STATE_RETURNED)) {
        return odd;
    }
    return paid < has ? (saga_balance){TILT_BACK, has - paid}
                      : (saga_balance){TILT_AGAIN, paid - has};
}

int64_t saga_difference(const saga *s, const saga_said *said) {
    const int64_t settled = s->state == STATE_SETTLED && !said->refused
                                ? larger(said->settled, s->amount)
                                : said->settled;
    const int64_t paid = settled > said->returned ? settled - said->returned : 0;
    return paid - ledger_has(s, s->state, s->returned);
}
