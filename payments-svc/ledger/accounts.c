#include "ledger/accounts.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "domain/ids.h"

enum { KNOWN_MAX = 1000000 };

struct ledger_accounts {
    rpc_client *ledger;
    pthread_mutex_t lock; // guards known
    map *known;           // ids of accounts, and of books by book_key
};

static ledger_account account(uuid id, uint32_t code, uint32_t flags, str currency) {
    ledger_account x = {.id = id, .code = code, .flags = flags};
    ASSERT(currency.len == sizeof x.currency - 1);
    memcpy(x.currency, currency.ptr, currency.len);
    return x;
}

ledger_account account_of_merchant(int64_t book_id, str merchant_id, str currency) {
    return account(account_merchant_available(book_id, merchant_id, currency),
                   ACCOUNT_MERCHANT_AVAILABLE,
                   LEDGER__V1__ACCOUNT_FLAG__ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS, currency);
}

// It never goes below zero: every repayment is limited by the debt.
ledger_account account_of_receivable(int64_t book_id, str merchant_id, str currency) {
    return account(account_merchant_receivable(book_id, merchant_id, currency),
                   ACCOUNT_MERCHANT_RECEIVABLE,
                   LEDGER__V1__ACCOUNT_FLAG__ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS, currency);
}

int64_t account_owed(const ledger_account *receivable) {
    const int64_t owed = receivable->debits_posted - receivable->credits_posted;
    return owed > 0 ? owed : 0;
}

ledger_account account_of_transit(int64_t book_id, int rail, str currency) {
    return account(account_transit(book_id, rail, currency), ACCOUNT_TRANSIT, 0, currency);
}

ledger_account account_of_bank(int64_t book_id, str label, str currency) {
    return account(account_bank(book_id, label, currency), ACCOUNT_BANK, 0, currency);
}

ledger_account account_of_fees(int64_t book_id, str currency) {
    return account(account_fees(book_id, currency), ACCOUNT_FEES, 0, currency);
}

static uuid book_key(int64_t book_id) {
    const str parts[] = {STR("book"), {(const char *)&book_id, sizeof book_id}};
    return uuid_derive(parts, 2);
}

ledger_accounts *ledger_accounts_create(rpc_client *ledger) {
    ledger_accounts *x = calloc(1, sizeof *x);
    ASSERT(x != NULL);
    x->ledger = ledger;
    x->known = map_create(1024, KNOWN_MAX);
    pthread_mutex_init(&x->lock, NULL);
    return x;
}

void ledger_accounts_destroy(ledger_accounts *x) {
    if (x != NULL) {
        map_destroy(x->known);
        pthread_mutex_destroy(&x->lock);
        free(x);
    }
}

static bool is_known(ledger_accounts *x, uuid id) {
    pthread_mutex_lock(&x->lock);
    const bool known = map_get(x->known, id) != NULL;
    pthread_mutex_unlock(&x->lock);
    return known;
}

// A forgotten account only costs another question.
static void remember(ledger_accounts *x, uuid id) {
    pthread_mutex_lock(&x->lock);
    if (map_get(x->known, id) == NULL && !map_put(x->known, id, x)) {
        map_clear(x->known);
    }
    pthread_mutex_unlock(&x->lock);
}

bool ledger_accounts_ensure(ledger_accounts *x, int64_t book_id, const ledger_account *accounts,
                            size_t n, int64_t deadline_mono_ms, arena *a, err *e) {
    ledger_account missing[LEDGER_ACCOUNTS_MAX];
    size_t n_missing = 0;
    ASSERT(n <= LEDGER_ACCOUNTS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (!is_known(x, accounts[i].id)) {
            missing[n_missing++] = accounts[i];
        }
    }
    if (n_missing == 0) {
        return true;
    }
    const uuid book = book_key(book_id);
    char name[32];
    (void)snprintf(name, sizeof name, "payments book %" PRId64, book_id);
    if (!is_known(x, book)) {
        if (!ledger_create_book(x->ledger, book_id, name, deadline_mono_ms, a, e)) {
            return false;
        }
        remember(x, book);
    }
    if (!ledger_create_accounts(x->ledger, book_id, missing, n_missing, deadline_mono_ms, a, e)) {
        return false;
    }
    for (size_t i = 0; i < n_missing; i++) {
        remember(x, missing[i].id);
    }
    return true;
}
