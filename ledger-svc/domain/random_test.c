// Random batches. Ids, flags and amounts come from small sets, so that they collide often. A batch gives the same results as its events one
// by one (a linked chain counts as one event), and the journal replays to the balances.
#include "testing/bench_book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

enum { ROUNDS = 100, BATCHES = 100, EVENTS_MAX = 12, ACCOUNTS = 6, IDS = 400 };

static uint64_t state_of_random;

static uint64_t below(uint64_t n) { // splitmix64
    uint64_t z = state_of_random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % n;
}

static bool one_in(uint64_t n) {
    return below(n) == 0;
}

static int64_t random_amount(void) {
    const int64_t special[] = {0, LEDGER_AMOUNT_MAX, LEDGER_AMOUNT_MAX - 1, INT64_C(1) << 53};
    return one_in(8) ? special[below(4)] : (int64_t)below(50);
}

// Repeats a sent request, as a client does that got no answer.
static ledger_transfer_event sent[64];
static size_t n_sent;

// Mostly the id of an earlier transfer, so that the event has something to end or reverse.
static uint64_t random_other_id(void) {
    if (n_sent == 0 || one_in(3)) {
        return 1 + below(IDS);
    }
    const uuid id = sent[below(n_sent < 64 ? n_sent : 64)].id;
    return (uint64_t)id.b[14] << 8 | id.b[15];
}

static ledger_transfer_event random_reversal(void) {
    ledger_transfer_event t = bench_reversal(1 + below(IDS), random_other_id());
    t.flags |= one_in(3) ? LEDGER_TRANSFER_FLAG_FORCED : 0;
    t.flags |= one_in(4) ? LEDGER_TRANSFER_FLAG_LINKED : 0;
    return t;
}

static ledger_transfer_event random_new_event(void) {
    if (one_in(12)) {
        return random_reversal();
    }
    ledger_transfer_event t = bench_transfer(1 + below(IDS), 1 + below(ACCOUNTS + 1),
                                             1 + below(ACCOUNTS + 1), random_amount());
    if (one_in(3)) {
        t.flags = LEDGER_TRANSFER_FLAG_PENDING;
    } else if (one_in(2)) {
        t = one_in(3)
                ? bench_void(1 + below(IDS), random_other_id(), one_in(2) ? 0 : random_amount())
                : bench_post(1 + below(IDS), random_other_id(),
                             one_in(2) ? LEDGER_AMOUNT_MAX : random_amount());
    }
    if (one_in(4)) {
        t.flags |= LEDGER_TRANSFER_FLAG_LINKED;
    }
    if (one_in(10)) {
        t.flags |= LEDGER_TRANSFER_FLAG_BALANCING_DEBIT << below(2);
    }
    if ((t.flags & LEDGER_TRANSFER_FLAG_PENDING) != 0 && one_in(80)) {
        t.flags |= LEDGER_TRANSFER_FLAG_CLOSING_DEBIT << below(2);
    }
    if (one_in(40)) {
        t.flags ^= 1u << below(8); // all but "imported", which holds for a whole call
    }
    if (one_in(40)) {
        t.code = (uint32_t)below(3);
    }
    if (one_in(40)) {
        t.timestamp_us = 1;
    }
    return t;
}

static ledger_transfer_event random_event(void) {
    if (n_sent != 0 && one_in(5)) {
        return sent[below(n_sent < 64 ? n_sent : 64)];
    }
    const ledger_transfer_event t = random_new_event();
    sent[n_sent++ % 64] = t;
    return t;
}

// Applies each chain, and each event outside of a chain, as a batch of its own.
static void apply_one_by_one(bench_book *b, const ledger_transfer_event *events, size_t n,
                             ledger_transfer_status *out) {
    for (size_t first = 0; first < n;) {
        size_t end = first + 1;
        while ((events[end - 1].flags & LEDGER_TRANSFER_FLAG_LINKED) != 0 && end < n) {
            end++;
        }
        bench_apply(b, events + first, end - first);
        for (size_t i = first; i < end; i++) {
            out[i] = b->results[i - first].status;
        }
        first = end;
    }
}

// Adds the last batch's rows to the known balances.
static void replay(const bench_book *b, ledger_balances *balances, uint8_t *states) {
    for (size_t i = 0; i < b->n_rows; i++) {
        const ledger_row *row = &b->rows[i];
        const ledger_effect effect = ledger_row_effect(row);
        ledger_balances *debit = &balances[row->debit_account_id.b[15]];
        ledger_balances *credit = &balances[row->credit_account_id.b[15]];
        debit->debits_pending += effect.pending;
        debit->debits_posted += effect.posted;
        credit->credits_pending += effect.pending;
        credit->credits_posted += effect.posted;
        assert_memory_equal(debit, &row->debit_after, sizeof *debit);
        assert_memory_equal(credit, &row->credit_after, sizeof *credit);
        states[row->debit_account_id.b[15]] = row->debit_state_after;
        states[row->credit_account_id.b[15]] = row->credit_state_after;
    }
}

static void expect_same_books(const bench_book *a, const bench_book *b,
                              const ledger_balances *replayed, const uint8_t *states) {
    for (uint64_t n = 1; n <= ACCOUNTS; n++) {
        const ledger_account *x = map_get(a->accounts, bench_id(n));
        const ledger_account *y = map_get(b->accounts, bench_id(n));
        assert_memory_equal(&x->balances, &y->balances, sizeof x->balances);
        assert_memory_equal(&x->balances, &replayed[n], sizeof x->balances);
        assert_int_equal(x->state, y->state);
        assert_int_equal(x->state, states[n]);
        const ledger_balances *t = &x->balances;
        if ((x->state & LEDGER_STATE_OVER_LIMIT) != 0) {
            assert_true(t->debits_pending + t->debits_posted > t->credits_posted ||
                        t->credits_pending + t->credits_posted > t->debits_posted);
            continue;
        }
        if ((x->flags & LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS) != 0) {
            assert_true(t->debits_pending + t->debits_posted <= t->credits_posted);
        }
        if ((x->flags & LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS) != 0) {
            assert_true(t->credits_pending + t->credits_posted <= t->debits_posted);
        }
    }
    assert_int_equal(a->sequence, b->sequence);
}

static void make_accounts(bench_book *b) {
    for (uint64_t n = 1; n <= ACCOUNTS; n++) {
        bench_account(b, n, n == 2 ? 2 : n == 3 ? 4 : 0);
    }
}

static void one_round(size_t *seen) {
    void *whole_state = NULL;
    void *single_state = NULL;
    (void)bench_setup(&whole_state);
    (void)bench_setup(&single_state);
    bench_book *whole = whole_state;
    bench_book *single = single_state;
    ledger_balances replayed[ACCOUNTS + 2] = {{0}};
    uint8_t states[ACCOUNTS + 2] = {0};
    make_accounts(whole);
    make_accounts(single);
    for (int batch = 0; batch < BATCHES; batch++) {
        ledger_transfer_event events[EVENTS_MAX];
        ledger_transfer_status statuses[EVENTS_MAX];
        const size_t n = 1 + below(EVENTS_MAX);
        for (size_t i = 0; i < n; i++) {
            events[i] = random_event();
        }
        bench_apply(whole, events, n);
        replay(whole, replayed, states);
        apply_one_by_one(single, events, n, statuses);
        for (size_t i = 0; i < n; i++) {
            assert_string_equal(ledger_transfer_status_name(whole->results[i].status),
                                ledger_transfer_status_name(statuses[i]));
            seen[statuses[i]]++;
        }
        expect_same_books(whole, single, replayed, states);
    }
    (void)bench_teardown(&whole_state);
    (void)bench_teardown(&single_state);
}

static void test_batch__at_random__gives_what_its_events_give_one_by_one(void **state) {
    (void)state;
    size_t seen[LEDGER_TRANSFER_STATUS_COUNT] = {0};
    const char *given = getenv("DISBURSE_TEST_SEED");
    const uint64_t seed =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)clock_wall_us(clock_system());
    print_message("seed %" PRIu64 " (DISBURSE_TEST_SEED)\n", seed);
    state_of_random = seed;
    for (int round = 0; round < ROUNDS; round++) {
        one_round(seen);
    }
    // The generator must reach all these statuses.
    const ledger_transfer_status reached[] = {
        LEDGER_TRANSFER_CREATED,
        LEDGER_TRANSFER_EXISTS,
        LEDGER_TRANSFER_ID_ALREADY_FAILED,
        LEDGER_TRANSFER_LINKED_EVENT_FAILED,
        LEDGER_TRANSFER_EXCEEDS_CREDITS,
        LEDGER_TRANSFER_EXCEEDS_DEBITS,
        LEDGER_TRANSFER_OVERFLOWS_DEBITS,
        LEDGER_TRANSFER_PENDING_TRANSFER_ALREADY_POSTED,
        LEDGER_TRANSFER_PENDING_TRANSFER_ALREADY_VOIDED,
        LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_FLAGS,
        LEDGER_TRANSFER_DEBIT_ACCOUNT_ALREADY_CLOSED,
        LEDGER_TRANSFER_CREDIT_ACCOUNT_ALREADY_CLOSED,
        LEDGER_TRANSFER_ALREADY_REVERSED,
        LEDGER_TRANSFER_REVERSED_TRANSFER_NOT_FOUND,
        LEDGER_TRANSFER_REVERSED_TRANSFER_IS_PENDING,
        LEDGER_TRANSFER_REVERSED_TRANSFER_IS_VOID,
        LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_REVERSES_ID,
    };
    for (size_t i = 0; i < sizeof reached / sizeof reached[0]; i++) {
        if (seen[reached[i]] == 0) {
            fail_msg("%s was never reached", ledger_transfer_status_name(reached[i]));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch__at_random__gives_what_its_events_give_one_by_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
