// What an account can bear: whether it is open, and which sums and limits it may reach. All families of checks use this.
#include "base/money.h"
#include "domain/apply_internal.h"

static bool sum_overflows(int64_t a, int64_t b) {
    int64_t sum;
    return !ck_add_i64(a, b, &sum);
}

static bool debits_exceed_credits(const ledger_account *account, int64_t amount) {
    const ledger_balances *b = &account->balances;
    return (account->flags & LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS) != 0 &&
           (__int128)b->debits_pending + b->debits_posted + amount >
               (__int128)b->credits_posted - account->lowest_balance;
}

static bool credits_exceed_debits(const ledger_account *account, int64_t amount) {
    const ledger_balances *b = &account->balances;
    return (account->flags & LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS) != 0 &&
           (__int128)b->credits_pending + b->credits_posted + amount > b->debits_posted;
}

bool ledger_account_over_limit(const ledger_account *account) {
    return debits_exceed_credits(account, 0) || credits_exceed_debits(account, 0);
}

ledger_transfer_status ledger_check_closed(const ledger_account *dr, const ledger_account *cr) {
    if ((dr->state & LEDGER_STATE_CLOSED) != 0) {
        return LEDGER_TRANSFER_DEBIT_ACCOUNT_ALREADY_CLOSED;
    }
    if ((cr->state & LEDGER_STATE_CLOSED) != 0) {
        return LEDGER_TRANSFER_CREDIT_ACCOUNT_ALREADY_CLOSED;
    }
    return LEDGER_TRANSFER_CREATED;
}

ledger_transfer_status ledger_check_overflows(int64_t amount, bool is_pending,
                                              const ledger_balances *dr,
                                              const ledger_balances *cr) {
    if (is_pending && sum_overflows(amount, dr->debits_pending)) {
        return LEDGER_TRANSFER_OVERFLOWS_DEBITS_PENDING;
    }
    if (is_pending && sum_overflows(amount, cr->credits_pending)) {
        return LEDGER_TRANSFER_OVERFLOWS_CREDITS_PENDING;
    }
    if (sum_overflows(amount, dr->debits_posted)) {
        return LEDGER_TRANSFER_OVERFLOWS_DEBITS_POSTED;
    }
    if (sum_overflows(amount, cr->credits_posted)) {
        return LEDGER_TRANSFER_OVERFLOWS_CREDITS_POSTED;
    }
    // The inner sums are safe: each was checked when its last part was added.
    if (sum_overflows(amount, dr->debits_pending + dr->debits_posted)) {
        return LEDGER_TRANSFER_OVERFLOWS_DEBITS;
    }
    if (sum_overflows(amount, cr->credits_pending + cr->credits_posted)) {
        return LEDGER_TRANSFER_OVERFLOWS_CREDITS;
    }
    return LEDGER_TRANSFER_CREATED;
}

ledger_transfer_status ledger_check_limits(int64_t amount, const ledger_account *dr,
                                           const ledger_account *cr) {
    // A zero amount exceeds nothing, not even on an account that a forced reversal has left beyond its limit.
    if (amount != 0 && debits_exceed_credits(dr, amount)) {
        return LEDGER_TRANSFER_EXCEEDS_CREDITS;
    }
    if (amount != 0 && credits_exceed_debits(cr, amount)) {
        return LEDGER_TRANSFER_EXCEEDS_DEBITS;
    }
    return LEDGER_TRANSFER_CREATED;
}
