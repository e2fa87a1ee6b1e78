#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

typedef __int128 wide; // sums of amounts, compared without overflow

model *model_create(void) {
    model *m = calloc(1, sizeof *m);
    ASSERT(m != NULL);
    m->before_chain = calloc(1, sizeof *m);
    ASSERT(m->before_chain != NULL);
    return m;
}

void model_destroy(model *m) {
    free(m->before_chain);
    free(m);
}

// Copies only the used part.
static void model_copy(model *to, const model *from) {
    memcpy(to->accounts, from->accounts, from->n_accounts * sizeof from->accounts[0]);
    memcpy(to->rows, from->rows, from->n_rows * sizeof from->rows[0]);
    memcpy(to->burned, from->burned, from->n_burned * sizeof from->burned[0]);
    to->n_accounts = from->n_accounts;
    to->n_rows = from->n_rows;
    to->n_burned = from->n_burned;
    to->last_us = from->last_us;
    to->imported_us = from->imported_us;
}

model_account *model_account_find(model *m, uint64_t id) {
    for (size_t i = 0; i < m->n_accounts; i++) {
        if (m->accounts[i].asked.id == id) {
            return &m->accounts[i];
        }
    }
    return NULL;
}

model_row *model_row_find(model *m, uint64_t id) {
    for (size_t i = 0; i < m->n_rows; i++) {
        if (m->rows[i].kind != ROW_EXPIRE && m->rows[i].asked.id == id) {
            return &m->rows[i];
        }
    }
    return NULL;
}

static bool is_burned(const model *m, uint64_t id) {
    for (size_t i = 0; i < m->n_burned; i++) {
        if (m->burned[i] == id) {
            return true;
        }
    }
    return false;
}

// --- Limits ----------------------------------------------------------------------------------------------------------

static bool exceeds_credits(const model_account *a, int64_t more) {
    const model_balances *b = &a->balances;
    const wide balance = (wide)b->credits_posted - b->debits_posted - b->debits_pending - more;
    return (a->asked.flags & A_NO_OVERDRAFT) && balance < a->asked.lowest_balance;
}

static bool exceeds_debits(const model_account *a, int64_t more) {
    const model_balances *b = &a->balances;
    const wide balance = (wide)b->debits_posted - b->credits_posted - b->credits_pending - more;
    return (a->asked.flags & A_NO_OVERCREDIT) && balance < 0;
}

bool model_over_limit(const model_account *account) {
    return exceeds_credits(account, 0) || exceeds_debits(account, 0);
}

static bool too_large(wide sum) {
    return sum > MODEL_AMOUNT_MAX;
}

// The answers that follow the account checks, in their order; NULL: nothing against it.
static const char *overflow(const model_account *dr, const model_account *cr, int64_t amount,
                            bool pending) {
    const model_balances *d = &dr->balances;
    const model_balances *c = &cr->balances;
    if (pending && too_large((wide)d->debits_pending + amount)) {
        return "OVERFLOWS_DEBITS_PENDING";
    }
    if (pending && too_large((wide)c->credits_pending + amount)) {
        return "OVERFLOWS_CREDITS_PENDING";
    }
    if (too_large((wide)d->debits_posted + amount)) {
        return "OVERFLOWS_DEBITS_POSTED";
    }
    if (too_large((wide)c->credits_posted + amount)) {
        return "OVERFLOWS_CREDITS_POSTED";
    }
    if (too_large((wide)d->debits_pending + d->debits_posted + amount)) {
        return "OVERFLOWS_DEBITS";
    }
    if (too_large((wide)c->credits_pending + c->credits_posted + amount)) {
        return "OVERFLOWS_CREDITS";
    }
    return NULL;
}

static const char *limit(const model_account *dr, const model_account *cr, int64_t amount) {
    if (amount > 0 && exceeds_credits(dr, amount)) {
        return "EXCEEDS_CREDITS";
    }
    if (amount > 0 && exceeds_debits(cr, amount)) {
        return "EXCEEDS_DEBITS";
    }
    return NULL;
}

static const char *closed(const model_account *dr, const model_account *cr) {
    return dr->closed   ? "DEBIT_ACCOUNT_ALREADY_CLOSED"
           : cr->closed ? "CREDIT_ACCOUNT_ALREADY_CLOSED"
                        : NULL;
}

// --- What every event is asked first ---------------------------------------------------------------------------------

static const char *envelope(const model *m, const model_event *e, bool request_imports,
                            uint32_t imported_flag, uint32_t known_flags) {
    const bool imported = (e->flags & imported_flag) != 0;
    if (request_imports && !imported) {
        return "IMPORTED_EVENT_EXPECTED";
    }
    if (!request_imports && imported) {
        return "IMPORTED_EVENT_NOT_EXPECTED";
    }
    if (!imported && e->timestamp_us != 0) {
        return "TIMESTAMP_MUST_BE_ZERO";
    }
    if (imported && e->timestamp_us <= 0) {
        return "IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE";
    }
    if (imported && e->timestamp_us > m->last_us) {
        return "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE";
    }
    if (e->flags & ~known_flags) {
        return "RESERVED_FLAG";
    }
    if (e->id == 0) {
        return "ID_MUST_NOT_BE_ZERO";
    }
    return e->id == MODEL_ID_MAX ? "ID_MUST_NOT_BE_INT_MAX" : NULL;
}

// --- Accounts --------------------------------------------------------------------------------------------------------

static const char *account_repeat(const model_event *e, const model_event *first) {
    const struct {
        bool differs;
        const char *status;
    } fields[] = {
        {e->flags != first->flags, "EXISTS_WITH_DIFFERENT_FLAGS"},
        {e->user_data_128 != first->user_data_128, "EXISTS_WITH_DIFFERENT_USER_DATA_128"},
        {e->user_data_64 != first->user_data_64, "EXISTS_WITH_DIFFERENT_USER_DATA_64"},
        {e->user_data_32 != first->user_data_32, "EXISTS_WITH_DIFFERENT_USER_DATA_32"},
        {e->currency != first->currency, "EXISTS_WITH_DIFFERENT_LEDGER"},
        {e->code != first->code, "EXISTS_WITH_DIFFERENT_CODE"},
        {e->timestamp_us != first->timestamp_us, "EXISTS_WITH_DIFFERENT_TIMESTAMP"},
        {e->lowest_balance != first->lowest_balance, "EXISTS_WITH_DIFFERENT_LOWEST_BALANCE"},
        {e->reference != first->reference, "EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE"},
        {e->metadata != first->metadata, "EXISTS_WITH_DIFFERENT_METADATA"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].differs) {
            return fields[i].status;
        }
    }
    return "EXISTS";
}

static bool reference_taken(const model *m, int reference) {
    for (size_t i = 0; i < m->n_accounts; i++) {
        if (reference != 0 && m->accounts[i].asked.reference == reference) {
            return true;
        }
    }
    return false;
}

static const char *account_refusal(const model *m, const model_event *e) {
    const model_balances *b = &e->balances;
    const struct {
        bool wrong;
        const char *status;
    } checks[] = {
        {(e->flags & A_NO_OVERDRAFT) && (e->flags & A_NO_OVERCREDIT),
         "FLAGS_ARE_MUTUALLY_EXCLUSIVE"},
        {b->debits_pending != 0, "DEBITS_PENDING_MUST_BE_ZERO"},
        {b->debits_posted != 0, "DEBITS_POSTED_MUST_BE_ZERO"},
        {b->credits_pending != 0, "CREDITS_PENDING_MUST_BE_ZERO"},
        {b->credits_posted != 0, "CREDITS_POSTED_MUST_BE_ZERO"},
        {e->currency != C_USD && e->currency != C_EUR, "LEDGER_MUST_NOT_BE_ZERO"},
        {e->code == 0 || e->code > 65535, "CODE_MUST_NOT_BE_ZERO"},
        {(e->flags & A_IMPORTED) && e->timestamp_us <= m->imported_us,
         "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS"},
        {e->lowest_balance > 0, "LOWEST_BALANCE_MUST_NOT_BE_POSITIVE"},
        {e->lowest_balance != 0 && !(e->flags & A_NO_OVERDRAFT), "LOWEST_BALANCE_MUST_BE_ZERO"},
        {reference_taken(m, e->reference), "EXTERNAL_REFERENCE_EXISTS"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (checks[i].wrong) {
            return checks[i].status;
        }
    }
    return NULL;
}

static model_result account_one(model *m, const model_event *e, bool request_imports) {
    const char *refusal = envelope(m, e, request_imports, A_IMPORTED, 63);
    if (refusal != NULL) {
        return (model_result){.status = refusal};
    }
    const model_account *first = model_account_find(m, e->id);
    if (first != NULL) {
        const char *status = account_repeat(e, &first->asked);
        const bool same = strcmp(status, "EXISTS") == 0;
        return (model_result){.status = status, .timestamp_us = same ? first->timestamp_us : 0};
    }
    refusal = account_refusal(m, e);
    if (refusal != NULL) {
        return (model_result){.status = refusal};
    }
    ASSERT(m->n_accounts < MODEL_ACCOUNTS_MAX);
    model_account *made = &m->accounts[m->n_accounts++];
    *made = (model_account){.asked = *e, .closed = (e->flags & A_CLOSED) != 0};
    made->timestamp_us = made->effective_us = ++m->last_us;
    if (e->flags & A_IMPORTED) {
        made->effective_us = m->imported_us = e->timestamp_us;
    }
    return (model_result){.status = "CREATED", .timestamp_us = made->timestamp_us};
}

// --- Repeats of transfers --------------------------------------------------------------------------------------------

// A field that the repeat leaves out has the value that the first request got from elsewhere.
static uint64_t or_else(uint64_t given, uint64_t otherwise) {
    return given != 0 ? given : otherwise;
}

static bool same_amount(model *m, const model_event *e, const model_row *first) {
    const model_row *ended = model_row_find(m, first->asked.pending);
    if ((e->flags & T_POST) && ended != NULL) {
        return first->amount == (e->amount == MODEL_AMOUNT_MAX ? ended->amount : e->amount);
    }
    if (e->flags & T_VOID) {
        return e->amount == 0 || e->amount == first->amount;
    }
    if (e->flags & (T_BALANCING_DEBIT | T_BALANCING_CREDIT)) {
        // the first moved what was available, at most this amount
        return e->amount >= first->amount;
    }
    return e->amount == first->amount;
}

static const char *transfer_repeat(model *m, const model_event *e, const model_row *first) {
    const model_event *f = &first->asked;
    const bool ends = (e->flags & (T_POST | T_VOID)) != 0;
    const bool reverses = e->reverses != 0;
    // A field that may be left out then has the value of the pending or reversed transfer.
    const model_row *from = reverses          ? model_row_find(m, e->reverses)
                            : e->pending != 0 ? model_row_find(m, e->pending)
                                              : NULL;
    const model_event none = {0};
    const model_event *p = from != NULL ? &from->asked : &none;
    const bool optional = ends || reverses;
    const struct {
        bool differs;
        const char *field;
    } fields[] = {
        {e->flags != f->flags, "EXISTS_WITH_DIFFERENT_FLAGS"},
        {e->pending != f->pending, "EXISTS_WITH_DIFFERENT_PENDING_ID"},
        {e->timeout_s != f->timeout_s, "EXISTS_WITH_DIFFERENT_TIMEOUT"},
        {reverses && e->reverses != f->reverses, "EXISTS_WITH_DIFFERENT_REVERSES_ID"},
        {e->debit != f->debit && !(optional && e->debit == 0),
         "EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID"},
        {e->credit != f->credit && !(optional && e->credit == 0),
         "EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID"},
        {!reverses && !same_amount(m, e, first), "EXISTS_WITH_DIFFERENT_AMOUNT"},
        {or_else(e->user_data_128, p->user_data_128) != f->user_data_128,
         "EXISTS_WITH_DIFFERENT_USER_DATA_128"},
        {or_else(e->user_data_64, p->user_data_64) != f->user_data_64,
         "EXISTS_WITH_DIFFERENT_USER_DATA_64"},
        {or_else(e->user_data_32, p->user_data_32) != f->user_data_32,
         "EXISTS_WITH_DIFFERENT_USER_DATA_32"},
        {e->currency != f->currency && !(optional && e->currency == 0),
         "EXISTS_WITH_DIFFERENT_LEDGER"},
        {or_else(e->code, optional ? p->code : 0) != f->code, "EXISTS_WITH_DIFFERENT_CODE"},
        {(e->flags & T_IMPORTED) && e->timestamp_us != first->effective_us,
         "EXISTS_WITH_DIFFERENT_TIMESTAMP"},
        {e->reverses != f->reverses, "EXISTS_WITH_DIFFERENT_REVERSES_ID"},
        {e->reference != f->reference, "EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE"},
        {e->metadata != f->metadata, "EXISTS_WITH_DIFFERENT_METADATA"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].differs) {
            return fields[i].field;
        }
    }
    return "EXISTS";
}

// --- Rows ------------------------------------------------------------------------------------------------------------

static void add(model_row *row, model_account *dr, model_account *cr, int64_t pending,
                int64_t posted) {
    dr->balances.debits_pending += pending;
    dr->balances.debits_posted += posted;
    cr->balances.credits_pending += pending;
    cr->balances.credits_posted += posted;
    row->debit_after = dr->balances;
    row->credit_after = cr->balances;
    row->debit_closed = dr->closed;
    row->credit_closed = cr->closed;
}

// Writes the row and applies it. `ends`: the pending transfer that it ends, or NULL.
static model_result row_write(model *m, model_row row, model_row *ends) {
    ASSERT(m->n_rows < MODEL_ROWS_MAX);
    model_account *dr = model_account_find(m, row.asked.debit);
    model_account *cr = model_account_find(m, row.asked.credit);
    row.timestamp_us = ++m->last_us;
    row.effective_us = row.timestamp_us;
    if (row.asked.flags & T_IMPORTED) {
        row.effective_us = m->imported_us = row.asked.timestamp_us;
    }
    if (row.kind == ROW_PENDING) {
        dr->closed = dr->closed || (row.asked.flags & T_CLOSING_DEBIT);
        cr->closed = cr->closed || (row.asked.flags & T_CLOSING_CREDIT);
        add(&row, dr, cr, row.amount, 0);
    } else if (row.kind == ROW_SINGLE) {
        add(&row, dr, cr, 0, row.amount);
    } else {
        ends->ended_by = row.kind;
        row.released = ends->amount;
        if (row.kind != ROW_POST) {
            dr->closed = dr->closed && !(ends->asked.flags & T_CLOSING_DEBIT);
            cr->closed = cr->closed && !(ends->asked.flags & T_CLOSING_CREDIT);
        }
        add(&row, dr, cr, -ends->amount, row.kind == ROW_POST ? row.amount : 0);
    }
    m->rows[m->n_rows++] = row;
    return (model_result){.status = "CREATED", .sequence = m->n_rows};
}

// --- Single-phase and pending ----------------------------------------------------------------------------------------

static const char *plain_refusal(model *m, const model_event *e) {
    const model_account *dr = model_account_find(m, e->debit);
    const model_account *cr = model_account_find(m, e->credit);
    const bool pending = (e->flags & T_PENDING) != 0;
    const bool imported = (e->flags & T_IMPORTED) != 0;
    const bool both = dr != NULL && cr != NULL;
    const struct {
        bool wrong;
        const char *status;
    } checks[] = {
        {e->debit == 0, "DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO"},
        {e->debit == MODEL_ID_MAX, "DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX"},
        {e->credit == 0, "CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO"},
        {e->credit == MODEL_ID_MAX, "CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX"},
        {e->debit == e->credit, "ACCOUNTS_MUST_BE_DIFFERENT"},
        {e->pending != 0, "PENDING_ID_MUST_BE_ZERO"},
        {!pending && e->timeout_s != 0, "TIMEOUT_RESERVED_FOR_PENDING_TRANSFER"},
        {!pending && (e->flags & (T_CLOSING_DEBIT | T_CLOSING_CREDIT)),
         "CLOSING_TRANSFER_MUST_BE_PENDING"},
        {e->currency != C_USD && e->currency != C_EUR, "LEDGER_MUST_NOT_BE_ZERO"},
        {e->code == 0 || e->code > 65535, "CODE_MUST_NOT_BE_ZERO"},
        {dr == NULL, "DEBIT_ACCOUNT_NOT_FOUND"},
        {cr == NULL, "CREDIT_ACCOUNT_NOT_FOUND"},
        {both && dr->asked.currency != cr->asked.currency, "ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER"},
        {both && e->currency != dr->asked.currency,
         "TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS"},
        {imported && e->timestamp_us <= m->imported_us,
         "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS"},
        {imported && both && e->timestamp_us <= dr->effective_us,
         "IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT"},
        {imported && both && e->timestamp_us <= cr->effective_us,
         "IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT"},
        {imported && e->timeout_s != 0, "IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (checks[i].wrong) {
            return checks[i].status;
        }
    }
    return closed(dr, cr);
}

static int64_t clamp(int64_t amount, wide room) {
    return room >= amount ? amount : room < 0 ? 0 : (int64_t)room;
}

static int64_t balanced(const model_event *e, const model_account *dr, const model_account *cr) {
    int64_t amount = e->amount;
    if (e->flags & T_BALANCING_DEBIT) {
        const model_balances *b = &dr->balances;
        amount = clamp(amount, (wide)b->credits_posted - b->debits_posted - b->debits_pending -
                                   dr->asked.lowest_balance);
    }
    if (e->flags & T_BALANCING_CREDIT) {
        const model_balances *b = &cr->balances;
        amount = clamp(amount, (wide)b->debits_posted - b->credits_posted - b->credits_pending);
    }
    return amount;
}

static model_result plain(model *m, const model_event *e) {
    const char *refusal = plain_refusal(m, e);
    if (refusal != NULL) {
        return (model_result){.status = refusal};
    }
    const model_account *dr = model_account_find(m, e->debit);
    const model_account *cr = model_account_find(m, e->credit);
    const bool pending = (e->flags & T_PENDING) != 0;
    const int64_t amount = balanced(e, dr, cr);
    refusal = overflow(dr, cr, amount, pending);
    const wide expires_us = (wide)m->last_us + 1 + (wide)e->timeout_s * 1000000;
    if (refusal == NULL && e->timeout_s != 0 && too_large(expires_us)) {
        refusal = "OVERFLOWS_TIMEOUT";
    }
    if (refusal == NULL) {
        refusal = limit(dr, cr, amount);
    }
    if (refusal != NULL) {
        return (model_result){.status = refusal};
    }
    const model_row row = {.kind = pending ? ROW_PENDING : ROW_SINGLE,
                           .asked = *e,
                           .amount = amount,
                           .expires_us = e->timeout_s != 0 ? (int64_t)expires_us : 0};
    return row_write(m, row, NULL);
}

// --- Post and void ---------------------------------------------------------------------------------------------------

static const char *ending_refusal(const model_event *e) {
    const uint32_t others = e->flags & ~(uint32_t)(T_LINKED | T_IMPORTED);
    if (others != T_POST && others != T_VOID) {
        return "FLAGS_ARE_MUTUALLY_EXCLUSIVE";
    }
    if (e->pending == 0) {
        return "PENDING_ID_MUST_NOT_BE_ZERO";
    }
    if (e->pending == MODEL_ID_MAX) {
        return "PENDING_ID_MUST_NOT_BE_INT_MAX";
    }
    if (e->pending == e->id) {
        return "PENDING_ID_MUST_BE_DIFFERENT";
    }
    return e->timeout_s != 0 ? "TIMEOUT_RESERVED_FOR_PENDING_TRANSFER" : NULL;
}

static const char *ending_mismatch(model *m, const model_event *e, const model_row *p,
                                   int64_t amount) {
    const model_event *a = &p->asked;
    const bool imported = (e->flags & T_IMPORTED) != 0;
    const int64_t now_us = m->last_us + 1;
    const struct {
        bool wrong;
        const char *status;
    } checks[] = {
        {p->kind != ROW_PENDING, "PENDING_TRANSFER_NOT_PENDING"},
        {e->debit != 0 && e->debit != a->debit, "PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID"},
        {e->credit != 0 && e->credit != a->credit,
         "PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID"},
        {e->currency != C_NONE && e->currency != a->currency,
         "PENDING_TRANSFER_HAS_DIFFERENT_LEDGER"},
        {e->code != 0 && e->code != a->code, "PENDING_TRANSFER_HAS_DIFFERENT_CODE"},
        {amount > p->amount, "EXCEEDS_PENDING_TRANSFER_AMOUNT"},
        {(e->flags & T_VOID) && amount < p->amount, "PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT"},
        {p->ended_by == ROW_POST, "PENDING_TRANSFER_ALREADY_POSTED"},
        {p->ended_by == ROW_VOID, "PENDING_TRANSFER_ALREADY_VOIDED"},
        {p->ended_by == ROW_EXPIRE || (p->expires_us != 0 && p->expires_us <= now_us),
         "PENDING_TRANSFER_EXPIRED"},
        {imported && (e->timestamp_us <= m->imported_us || e->timestamp_us <= p->effective_us),
         "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (checks[i].wrong) {
            return checks[i].status;
        }
    }
    return NULL;
}

// What is stored of an event that may leave fields out.
static model_event filled(const model_event *e, const model_event *from, uint64_t debit,
                          uint64_t credit) {
    model_event stored = *e;
    stored.debit = debit;
    stored.credit = credit;
    stored.currency = from->currency;
    stored.code = e->code != 0 ? e->code : from->code;
    stored.user_data_128 = or_else(e->user_data_128, from->user_data_128);
    stored.user_data_64 = or_else(e->user_data_64, from->user_data_64);
    stored.user_data_32 = e->user_data_32 != 0 ? e->user_data_32 : from->user_data_32;
    return stored;
}

static model_result ending(model *m, const model_event *e) {
    const char *refusal = ending_refusal(e);
    if (refusal != NULL) {
        return (model_result){.status = refusal};
    }
    model_row *p = model_row_find(m, e->pending);
    if (p == NULL) {
        return (model_result){.status = "PENDING_TRANSFER_NOT_FOUND"};
    }
    const bool posts = (e->flags & T_POST) != 0;
    const bool all = posts ? e->amount == MODEL_AMOUNT_MAX : e->amount == 0;
    const int64_t amount = all ? p->amount : e->amount;
    refusal = ending_mismatch(m, e, p, amount);
    if (refusal == NULL && posts) {
        refusal =
            closed(model_account_find(m, p->asked.debit), model_account_find(m, p->asked.credit));
    }
    if (refusal != NULL) {
        return (model_result){.status = refusal};
    }
    const model_row row = {.kind = posts ? ROW_POST : ROW_VOID,
                           .asked = filled(e, &p->asked, p->asked.debit, p->asked.credit),
                           .amount = amount};
    return row_write(m, row, p);
}

// --- Reversal --------------------------------------------------------------------------------------------------------

static model_result reversal(model *m, const model_event *e) {
    if (e->code > 65535) {
        return (model_result){.status = "CODE_MUST_NOT_BE_ZERO"};
    }
    model_row *r = model_row_find(m, e->reverses);
    if (r == NULL) {
        return (model_result){.status = "REVERSED_TRANSFER_NOT_FOUND"};
    }
    if (r->kind == ROW_PENDING || r->kind == ROW_VOID) {
        const bool pending = r->kind == ROW_PENDING;
        return (model_result){.status = pending ? "REVERSED_TRANSFER_IS_PENDING"
                                                : "REVERSED_TRANSFER_IS_VOID"};
    }
    if (r->reversed) {
        return (model_result){.status = "ALREADY_REVERSED", .sequence = r->reversed_by + 1};
    }
    const model_account *dr = model_account_find(m, r->asked.credit);
    const model_account *cr = model_account_find(m, r->asked.debit);
    const char *refusal = closed(dr, cr);
    if (refusal == NULL) {
        refusal = overflow(dr, cr, r->amount, false);
    }
    if (refusal == NULL && !(e->flags & T_FORCED)) {
        refusal = limit(dr, cr, r->amount);
    }
    if (refusal != NULL) {
        return (model_result){.status = refusal};
    }
    r->reversed = true;
    r->reversed_by = m->n_rows;
    const model_row row = {.kind = ROW_SINGLE,
                           .asked = filled(e, &r->asked, r->asked.credit, r->asked.debit),
                           .amount = r->amount};
    return row_write(m, row, NULL);
}

// --- One transfer, one request ---------------------------------------------------------------------------------------

static model_result transfer_one(model *m, const model_event *e, bool request_imports) {
    const uint32_t known = e->reverses != 0 ? T_LINKED | T_FORCED : T_FORCED - 1;
    const char *refusal = envelope(m, e, request_imports, T_IMPORTED, known);
    if (refusal != NULL) {
        return (model_result){.status = refusal};
    }
    const model_row *first = model_row_find(m, e->id);
    if (first != NULL) {
        const char *status = transfer_repeat(m, e, first);
        const bool same = strcmp(status, "EXISTS") == 0;
        return (model_result){.status = status,
                              .sequence = same ? (size_t)(first - m->rows) + 1 : 0};
    }
    if (is_burned(m, e->id)) {
        return (model_result){.status = "ID_ALREADY_FAILED"};
    }
    return e->reverses != 0                      ? reversal(m, e)
           : (e->flags & (T_POST | T_VOID)) != 0 ? ending(m, e)
                                                 : plain(m, e);
}

// Refusals that could become successes later. They burn the id.
static bool burns(const char *status) {
    const char *const transient[] = {
        "DEBIT_ACCOUNT_NOT_FOUND",
        "CREDIT_ACCOUNT_NOT_FOUND",
        "PENDING_TRANSFER_NOT_FOUND",
        "EXCEEDS_CREDITS",
        "EXCEEDS_DEBITS",
        "DEBIT_ACCOUNT_ALREADY_CLOSED",
        "CREDIT_ACCOUNT_ALREADY_CLOSED",
        "REVERSED_TRANSFER_NOT_FOUND",
    };
    for (size_t i = 0; i < sizeof transient / sizeof transient[0]; i++) {
        if (strcmp(status, transient[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void burn(model *m, uint64_t id) {
    ASSERT(m->n_burned < MODEL_BURNED_MAX);
    m->burned[m->n_burned++] = id;
    m->last_us++; // a burned id has a time, too
}

// Releases all pendings that have run out when the request begins, the earliest deadline first.
static void expire(model *m) {
    const int64_t now_us = m->last_us + 1;
    for (;;) {
        model_row *due = NULL;
        for (size_t i = 0; i < m->n_rows; i++) {
            model_row *p = &m->rows[i];
            const bool over = p->kind == ROW_PENDING && p->ended_by == 0 && p->expires_us != 0 &&
                              p->expires_us <= now_us;
            if (over && (due == NULL || p->expires_us < due->expires_us)) {
                due = p;
            }
        }
        if (due == NULL) {
            return;
        }
        model_event asked = due->asked;
        asked.id = 0;
        asked.flags = 0;
        asked.timeout_s = 0;
        asked.reference = asked.metadata = 0;
        asked.pending = due->asked.id;
        (void)row_write(m, (model_row){.kind = ROW_EXPIRE, .asked = asked, .amount = due->amount},
                        due);
    }
}

// A repeat breaks a chain, too, unless it repeats a reversal.
static bool breaks(const char *status, const model_event *e) {
    const bool repeats = strcmp(status, "EXISTS") == 0;
    return strcmp(status, "CREATED") != 0 && !(repeats && e->reverses != 0);
}

// The events [first, end) are one chain, or one event alone. A failed chain leaves nothing but its burned id.
static void chain(model *m, const model_step *step, size_t first, size_t end, bool left_open,
                  model_result *results) {
    model *before = m->before_chain;
    model_copy(before, m);
    const bool accounts = step->kind == STEP_ACCOUNTS;
    const uint32_t imported = accounts ? (uint32_t)A_IMPORTED : (uint32_t)T_IMPORTED;
    const bool request_imports = (step->events[0].flags & imported) != 0;
    size_t failed = end;
    for (size_t i = first; i < end && failed == end; i++) {
        const model_event *e = &step->events[i];
        if (left_open && i == end - 1) {
            results[i] = (model_result){.status = "LINKED_EVENT_CHAIN_OPEN"};
        } else {
            results[i] =
                accounts ? account_one(m, e, request_imports) : transfer_one(m, e, request_imports);
        }
        failed = breaks(results[i].status, e) ? i : end;
    }
    if (failed != end) {
        if (end - first > 1 || left_open) {
            const size_t n_rows = before->n_rows;
            model_copy(m, before);
            if (results[failed].sequence > n_rows) {
                results[failed].sequence = 0; // it repeated an event that was undone with the chain
            }
        }
        for (size_t i = first; i < end; i++) {
            const bool last_open = left_open && i == end - 1;
            if (i != failed) {
                results[i] = (model_result){.status = last_open ? "LINKED_EVENT_CHAIN_OPEN"
                                                                : "LINKED_EVENT_FAILED"};
            }
        }
        if (!accounts && burns(results[failed].status)) {
            burn(m, step->events[failed].id);
        }
    }
}

void model_apply(model *m, const model_step *step, int64_t now_us, model_result *results) {
    const int64_t before_us = m->last_us;
    const size_t made_before = m->n_rows + m->n_accounts + m->n_burned;
    m->last_us = now_us > m->last_us ? now_us - 1 : m->last_us;
    m->imported_us = 0;
    expire(m);
    for (size_t first = 0; first < step->n;) {
        size_t end = first;
        while (end < step->n && (step->events[end].flags & 1) != 0) {
            end++;
        }
        const bool left_open = end == step->n;
        end = left_open ? end : end + 1;
        chain(m, step, first, end, left_open, results);
        first = end;
    }
    if (m->n_rows + m->n_accounts + m->n_burned == made_before) {
        m->last_us = before_us; // without a trace no time passes
    }
}
