#include "generate.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { ACCOUNTS_FIRST = 24, SENT_MAX = 32, US_PER_S = 1000000, COARSE_S = 1000 };

typedef struct generator {
    uint64_t random;
    generate_time time;
    model *m;
    int64_t now_us;
    uint64_t last_id;      // of transfers
    uint64_t last_account; // ids of accounts that were asked for: 1 to this
    bool huge;             // a life of amounts that overflow
    model_event sent[SENT_MAX];
    size_t n_sent;
} generator;

uint64_t generate_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t below(generator *g, uint64_t n) {
    return generate_next(&g->random) % n;
}

static bool one_in(generator *g, uint64_t n) {
    return below(g, n) == 0;
}

// Zipf, s = 1: account k comes with weight 1/k.
static uint64_t zipf_account(generator *g) {
    uint64_t total = 0;
    for (uint64_t k = 1; k <= g->last_account; k++) {
        total += 1000000 / k;
    }
    uint64_t at = below(g, total);
    for (uint64_t k = 1; k < g->last_account; k++) {
        if (at < 1000000 / k) {
            return k;
        }
        at -= 1000000 / k;
    }
    return g->last_account;
}

static uint64_t some_account(generator *g) {
    // The last number belongs to no account.
    return one_in(g, 150)   ? 0
           : one_in(g, 150) ? MODEL_ID_MAX
           : one_in(g, 100) ? 1000000
                            : zipf_account(g);
}

static int64_t some_amount(generator *g) {
    const int64_t huge[] = {MODEL_AMOUNT_MAX, MODEL_AMOUNT_MAX - 1,   MODEL_AMOUNT_MAX / 2,
                            INT64_C(1) << 53, (INT64_C(1) << 53) + 1, MODEL_AMOUNT_MAX - 60};
    if (g->huge && one_in(g, 3)) {
        return huge[below(g, sizeof huge / sizeof huge[0])];
    }
    return one_in(g, 12) ? 0 : (int64_t)below(g, 100);
}

static int64_t some_past_us(generator *g) {
    if (one_in(g, 60)) {
        return -(int64_t)below(g, 2);
    }
    if (g->time == TIME_COARSE) {
        const int64_t steps = (int64_t)below(g, 30) - 2; // two in thirty are in the future
        return g->now_us - (steps * COARSE_S + COARSE_S / 2) * US_PER_S;
    }
    switch (below(g, 8)) {
    case 0: return g->now_us + (int64_t)below(g, 3) - 1;
    case 1: return g->m->last_us + (int64_t)below(g, 3) - 1;
    case 2:
        if (g->m->n_accounts != 0) {
            const size_t i = (size_t)below(g, g->m->n_accounts);
            return g->m->accounts[i].effective_us + (int64_t)below(g, 3) - 1;
        }
        return 1;
    default: return g->now_us - (int64_t)below(g, 60) * US_PER_S;
    }
}

// A timeout whose deadline is far from all times of a coarse life, and from all other deadlines.
static uint32_t coarse_timeout_s(uint64_t id, uint64_t steps) {
    return (uint32_t)(COARSE_S * steps + COARSE_S / 4 + id % (COARSE_S / 2 - 1));
}

static void spoil(generator *g, model_event *e) {
    switch (below(g, 9)) {
    case 0: e->flags ^= UINT32_C(1) << below(g, 11); break;
    case 1: e->code = one_in(g, 2) ? 0 : 65536; break;
    case 2: e->timestamp_us = e->timestamp_us == 0 ? 1 : 0; break;
    case 3: e->currency = (int)below(g, 4); break;
    case 4: e->id = one_in(g, 2) ? 0 : MODEL_ID_MAX; break;
    case 5: e->timeout_s = e->timeout_s == 0 ? coarse_timeout_s(e->id, 2) : 0; break;
    case 6: e->pending = one_in(g, 2) ? MODEL_ID_MAX : below(g, 2) * e->id; break;
    case 7: e->credit = e->debit; break;
    default: e->user_data_32 ^= 1; break;
    }
}

// The same id with one field changed.
static void vary(generator *g, model_event *e) {
    switch (below(g, 14)) {
    case 0: e->flags ^= UINT32_C(1) << below(g, 9); break;
    case 1: e->debit = zipf_account(g); break;
    case 2: e->credit = zipf_account(g); break;
    case 3: e->amount = one_in(g, 2) ? e->amount / 2 : some_amount(g); break;
    case 4: e->user_data_128 ^= 3; break;
    case 5: e->user_data_64 ^= 3; break;
    case 6: e->user_data_32 ^= 3; break;
    case 7: e->code = 1 + e->code % 3; break;
    case 8: e->currency = e->currency == C_USD ? C_EUR : C_USD; break;
    case 9: e->timeout_s += e->timeout_s != 0 ? COARSE_S : coarse_timeout_s(e->id, 0); break;
    case 10: e->reference = (e->reference + 1) % 4; break;
    case 11: e->metadata = (e->metadata + 1) % 4; break;
    case 12: e->pending = e->pending == 0 ? 1 : e->pending + 1; break;
    default: e->timestamp_us += e->timestamp_us != 0 ? US_PER_S : 0; break;
    }
}

static void labels(generator *g, model_event *e) {
    if (one_in(g, 4)) {
        e->user_data_128 = below(g, 3);
        e->user_data_64 = below(g, 3);
        e->user_data_32 = (uint32_t)below(g, 3);
        e->reference = (int)below(g, 4);
        e->metadata = (int)below(g, 4);
    }
}

// --- Accounts --------------------------------------------------------------------------------------------------------

static model_event some_new_account(generator *g) {
    model_event e = {.id = ++g->last_account,
                     .code = 1 + (uint32_t)below(g, 3),
                     .currency = one_in(g, 6) ? C_EUR : C_USD};
    labels(g, &e);
    e.reference = one_in(g, 6) ? 1 + (int)below(g, 30) : 0;
    // amounts that overflow need accounts without limits
    switch (g->huge && !one_in(g, 4) ? 7 : below(g, 8)) {
    case 0:
    case 1: e.flags = A_NO_OVERDRAFT; break;
    case 2:
        e.flags = A_NO_OVERDRAFT;
        e.lowest_balance = -(int64_t)below(g, 300);
        break;
    case 3: e.flags = A_NO_OVERCREDIT; break;
    default: break;
    }
    if (one_in(g, 20)) {
        e.flags |= A_HISTORY;
    }
    if (one_in(g, 30)) {
        e.flags |= A_CLOSED;
    }
    return e;
}

static void spoil_account(generator *g, model_event *e) {
    switch (below(g, 12)) {
    case 0: e->balances.debits_pending = 1; break;
    case 1: e->balances.debits_posted = 1; break;
    case 2: e->balances.credits_pending = 1; break;
    case 3: e->balances.credits_posted = 1; break;
    case 4: e->lowest_balance = one_in(g, 2) ? 5 : -5; break;
    case 5: e->flags |= A_NO_OVERDRAFT | A_NO_OVERCREDIT; break;
    case 6: e->flags |= 64; break;
    case 7: e->timestamp_us = e->timestamp_us == 0 ? 1 : 0; break;
    case 8: e->currency = (int)below(g, 4); break;
    case 9: e->code = one_in(g, 2) ? 0 : 70000; break;
    case 10: e->id = one_in(g, 2) ? 0 : MODEL_ID_MAX; break;
    default: e->flags ^= A_IMPORTED; break;
    }
}

static model_event some_old_account(generator *g, bool imports) {
    model_event e = g->m->accounts[below(g, g->m->n_accounts)].asked;
    for (int tries = 0; tries < 8 && imports && e.timestamp_us == 0; tries++) {
        e = g->m->accounts[below(g, g->m->n_accounts)].asked;
    }
    if (e.timestamp_us != 0 && one_in(g, 2)) {
        e.timestamp_us -= 1;
        if (one_in(g, 2)) {
            return e; // nothing before this field differs
        }
    }
    switch (below(g, 12)) {
    case 0: e.flags ^= A_HISTORY; break;
    case 1: e.user_data_128 ^= 1; break;
    case 2: e.user_data_64 ^= 1; break;
    case 3: e.user_data_32 ^= 1; break;
    case 4: e.currency = e.currency == C_USD ? C_EUR : C_USD; break;
    case 5: e.code++; break;
    case 7: e.lowest_balance -= 1; break;
    case 8: e.reference++; break;
    case 9: e.metadata = (e.metadata + 1) % 4; break;
    default: break;
    }
    return e;
}

static void accounts_step(generator *g, model_step *step, size_t n) {
    step->kind = STEP_ACCOUNTS;
    step->n = n;
    const bool imports = one_in(g, 5);
    for (size_t i = 0; i < n; i++) {
        const bool old = g->m->n_accounts != 0 && one_in(g, 4);
        model_event *e = &step->events[i];
        *e = old ? some_old_account(g, imports) : some_new_account(g);
        if (imports && !old) {
            e->flags |= A_IMPORTED;
            e->timestamp_us = some_past_us(g);
        }
        if (one_in(g, 6)) {
            e->flags |= A_LINKED;
        }
        if (one_in(g, 8)) {
            spoil_account(g, e);
        }
    }
    if (!one_in(g, 8)) {
        step->events[n - 1].flags &= ~(uint32_t)A_LINKED;
    }
}

// --- Transfers -------------------------------------------------------------------------------------------------------

static uint64_t some_known_id(generator *g) {
    return g->last_id == 0 || one_in(g, 40) ? 900000 : 1 + below(g, g->last_id);
}

static uint64_t some_pending_id(generator *g) {
    for (int tries = 0; tries < 12 && g->m->n_rows != 0; tries++) {
        const model_row *row = &g->m->rows[below(g, g->m->n_rows)];
        if (row->kind == ROW_PENDING && (row->ended_by == 0 || one_in(g, 6))) {
            return row->asked.id;
        }
    }
    return some_known_id(g);
}

// An account beyond its limit, by a forced reversal. Few requests pass there, so they are worth trying. NULL: there is none.
static const model_account *some_over_limit_account(generator *g) {
    const size_t start = g->m->n_accounts == 0 ? 0 : (size_t)below(g, g->m->n_accounts);
    for (size_t i = 0; i < g->m->n_accounts; i++) {
        const model_account *account = &g->m->accounts[(start + i) % g->m->n_accounts];
        if (model_over_limit(account)) {
            return account;
        }
    }
    return NULL;
}

static void aim_at_over_limit(generator *g, model_event *e) {
    const model_account *account = one_in(g, 4) ? some_over_limit_account(g) : NULL;
    if (account == NULL) {
        return;
    }
    if (one_in(g, 2)) {
        e->debit = account->asked.id;
    } else {
        e->credit = account->asked.id;
    }
    e->amount = one_in(g, 2) ? 0 : e->amount;
}

static void make_plain(generator *g, model_event *e) {
    e->debit = some_account(g);
    do {
        e->credit = some_account(g);
    } while (e->credit == e->debit && g->last_account > 1 && !one_in(g, 20));
    e->amount = some_amount(g);
    aim_at_over_limit(g, e);
    e->code = 1 + (uint32_t)below(g, 3);
    const model_account *debit = model_account_find(g->m, e->debit);
    e->currency = debit != NULL && !one_in(g, 40) ? debit->asked.currency : C_USD;
    if (one_in(g, g->huge ? 2 : 3)) {
        e->flags |= T_PENDING;
        const uint32_t timeouts[] = {0, 1, 2, 7};
        e->timeout_s = g->time == TIME_EXACT
                           ? timeouts[below(g, 4)]
                           : (one_in(g, 2) ? 0 : coarse_timeout_s(e->id, below(g, 4)));
        if (one_in(g, 12)) {
            e->flags |= one_in(g, 2) ? T_CLOSING_DEBIT : T_CLOSING_CREDIT;
        }
    }
    if (one_in(g, 8)) {
        e->flags |= one_in(g, 2) ? T_BALANCING_DEBIT : T_BALANCING_CREDIT;
        if (one_in(g, 3)) {
            e->flags |= T_BALANCING_DEBIT | T_BALANCING_CREDIT;
        }
    }
    if (one_in(g, 300)) {
        e->timeout_s = coarse_timeout_s(e->id, 1);
    }
}

static void make_ending(generator *g, model_event *e) {
    const bool posts = !one_in(g, 3);
    e->flags |= posts ? T_POST : T_VOID;
    e->pending = some_pending_id(g);
    e->amount = posts ? MODEL_AMOUNT_MAX : 0;
    const model_row *p = model_row_find(g->m, e->pending);
    if (p != NULL && one_in(g, 3)) {
        e->amount = p->amount == 0 || one_in(g, 4) ? p->amount : p->amount - 1;
        e->amount += one_in(g, 12) && e->amount < MODEL_AMOUNT_MAX - 2 ? 2 : 0;
    }
    if (p != NULL && one_in(g, 4)) {
        e->debit = one_in(g, 8) ? zipf_account(g) : p->asked.debit;
        e->credit = one_in(g, 8) ? zipf_account(g) : p->asked.credit;
        e->currency = one_in(g, 8) ? (int)below(g, 4) : p->asked.currency;
        e->code = one_in(g, 8) ? 1 + (uint32_t)below(g, 3) : p->asked.code;
    }
}

// Repeats an imported transfer, perhaps with another time. False: there is none.
static bool import_again(generator *g, model_event *e) {
    for (int tries = 0; tries < 12 && g->m->n_rows != 0; tries++) {
        const model_row *row = &g->m->rows[below(g, g->m->n_rows)];
        if ((row->asked.flags & T_IMPORTED) != 0 && (row->asked.flags & T_LINKED) == 0) {
            *e = row->asked;
            e->timestamp_us -= one_in(g, 2) ? US_PER_S : 0;
            return true;
        }
    }
    return false;
}

static model_event some_transfer(generator *g, bool imports) {
    model_event repeat;
    if (imports && one_in(g, 10) && import_again(g, &repeat)) {
        return repeat;
    }
    if (g->n_sent != 0 && one_in(g, 8)) {
        const size_t kept = g->n_sent < SENT_MAX ? g->n_sent : SENT_MAX;
        model_event again = g->sent[below(g, kept)];
        if (one_in(g, 2)) {
            vary(g, &again);
        }
        return again;
    }
    model_event e = {.id = one_in(g, 30) ? some_known_id(g) : ++g->last_id};
    labels(g, &e);
    if (one_in(g, 3)) {
        make_ending(g, &e);
    } else {
        make_plain(g, &e);
    }
    if (imports && !one_in(g, 12)) {
        e.flags |= T_IMPORTED;
        e.timestamp_us = some_past_us(g);
        e.timeout_s = one_in(g, 4) ? e.timeout_s : 0;
    }
    if (one_in(g, 5)) {
        e.flags |= T_LINKED;
    }
    if (one_in(g, 30)) {
        spoil(g, &e);
    }
    if (e.id != 0 && e.id != MODEL_ID_MAX) {
        g->sent[g->n_sent++ % SENT_MAX] = e;
    }
    return e;
}

// Times of imported events must grow within a request, so most requests have them in order.
static void put_in_order(model_step *step) {
    for (size_t i = 1; i < step->n; i++) {
        for (size_t k = i; k > 0; k--) {
            model_event *a = &step->events[k - 1];
            model_event *b = &step->events[k];
            if (a->timestamp_us > b->timestamp_us && b->timestamp_us != 0) {
                const int64_t swap = a->timestamp_us;
                a->timestamp_us = b->timestamp_us;
                b->timestamp_us = swap;
            }
        }
    }
}

static void transfers_step(generator *g, model_step *step, size_t n) {
    step->kind = STEP_TRANSFERS;
    step->n = n;
    const bool imports = one_in(g, 8);
    for (size_t i = 0; i < n; i++) {
        step->events[i] = some_transfer(g, imports);
    }
    if (imports && !one_in(g, 4)) {
        put_in_order(step);
    }
    if (!one_in(g, 20)) {
        step->events[n - 1].flags &= ~(uint32_t)T_LINKED;
    }
}

static void reversals_step(generator *g, model_step *step, size_t n) {
    step->kind = STEP_REVERSALS;
    step->n = n;
    const uint32_t forced = one_in(g, 3) ? T_FORCED : 0;
    for (size_t i = 0; i < n; i++) {
        model_event *e = &step->events[i];
        *e = (model_event){.id = one_in(g, 20) ? some_known_id(g) : ++g->last_id, .flags = forced};
        labels(g, e);
        e->reverses = some_known_id(g);
        if (g->m->n_rows != 0 && !one_in(g, 5)) {
            const model_row *row = &g->m->rows[below(g, g->m->n_rows)];
            e->reverses = row->asked.id != 0 ? row->asked.id : e->reverses;
            // Repeats the request for a reversal, unchanged or with another label.
            if (row->asked.reverses != 0 && one_in(g, 2)) {
                *e = (model_event){.id = row->asked.id,
                                   .reverses = row->asked.reverses,
                                   .flags = one_in(g, 4) ? forced : row->asked.flags & ~1u,
                                   .reference = row->asked.reference,
                                   .metadata = row->asked.metadata};
                e->code = one_in(g, 4) ? 1 + (uint32_t)below(g, 3) : 0;
                e->reverses += one_in(g, 8) ? 1 : 0;
                e->reference += one_in(g, 8) ? 1 : 0;
            }
        }
        e->code = one_in(g, 60) ? 65536 : e->code;
    }
    // T_FORCED belongs to the request, so it is the same in all of its events. Over the wire, reversals are linked in whole
    // groups only.
    for (size_t i = 0; i < n; i++) {
        const bool linked = g->time == TIME_EXACT && i < n - 1 && one_in(g, 3);
        step->events[i].flags &= ~(uint32_t)(T_FORCED | T_LINKED);
        step->events[i].flags |= forced | (linked ? T_LINKED : 0u);
    }
}

// --- A book's life ---------------------------------------------------------------------------------------------------

static int64_t some_advance_us(generator *g) {
    if (g->time == TIME_COARSE) {
        return one_in(g, 3) ? (int64_t)COARSE_S * US_PER_S : 0;
    }
    const model *m = g->m;
    // to the deadline of an open pending, or one before or after
    if (m->n_rows != 0 && one_in(g, 3)) {
        const model_row *row = &m->rows[below(g, m->n_rows)];
        if (row->expires_us > g->now_us && row->ended_by == 0) {
            return row->expires_us - g->now_us + (int64_t)below(g, 5) - 3;
        }
    }
    return one_in(g, 4) ? (int64_t)below(g, 3000000) : (int64_t)below(g, 5);
}

void generate_case(uint64_t seed, size_t n_events, generate_time time, int64_t start_us,
                   ledger_case *out) {
    generator *g = calloc(1, sizeof *g);
    ASSERT(g != NULL);
    *g = (generator){.random = seed, .time = time, .m = model_create()};
    g->huge = one_in(g, 2);
    memset(out, 0, sizeof *out);
    out->time = time;
    out->start_us = g->now_us = start_us;
    for (size_t made = 0; made < n_events && out->n_steps < CASE_STEPS_MAX;) {
        model_step *step = &out->steps[out->n_steps];
        const size_t n = 1 + (size_t)below(g, MODEL_EVENTS_MAX);
        step->advance_us = some_advance_us(g);
        g->now_us += step->advance_us;
        if (out->n_steps < 2) {
            accounts_step(g, step, ACCOUNTS_FIRST / 2);
        } else if (g->last_account < MODEL_ACCOUNTS_MAX - MODEL_EVENTS_MAX && one_in(g, 20)) {
            accounts_step(g, step, n);
        } else if (one_in(g, 12)) {
            reversals_step(g, step, n);
        } else {
            transfers_step(g, step, n);
        }
        model_result results[MODEL_EVENTS_MAX];
        model_apply(g->m, step, g->now_us, results);
        out->n_steps++;
        made += step->n;
    }
    model_destroy(g->m);
    free(g);
}

size_t case_count_events(const ledger_case *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n_steps; i++) {
        n += c->steps[i].n;
    }
    return n;
}
