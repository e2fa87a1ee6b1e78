#include "recon/journal.h"

#include <string.h>

#include "base/money.h"
#include "domain/ids.h"

static const uuid NO_ACCOUNT = {{0}};

struct recon_sum *recon_sum_of(recon_progress *p, int rail, const char *currency_code,
                               uuid account) {
    for (int64_t i = 0; i < p->n_sums; i++) {
        if (p->sums[i].rail == rail && strcmp(p->sums[i].currency, currency_code) == 0 &&
            uuid_eq(p->sums[i].account, account)) {
            return &p->sums[i];
        }
    }
    if (p->n_sums == RECON_ACCOUNTS_MAX) {
        return NULL;
    }
    struct recon_sum *made = &p->sums[p->n_sums++];
    *made = (struct recon_sum){.rail = rail, .account = account};
    memcpy(made->currency, currency_code, sizeof made->currency);
    return made;
}

bool recon_add_archived(recon_progress *p, int rail, const char *currency_code, uuid main_account,
                        int64_t at_bank) {
    const struct recon_sum *transit = recon_sum_of(p, rail, currency_code, NO_ACCOUNT);
    struct recon_sum *bank = recon_sum_of(p, RECON_BANK, currency_code, main_account);
    if (transit == NULL || bank == NULL) {
        return false;
    }
    bank->archived = 1;
    return ck_add_i64(bank->posted, at_bank, &bank->posted);
}

static void add(recon_window *w, int64_t *sum, int64_t n) {
    if (!ck_add_i64(*sum, n, sum)) {
        w->overflow = true;
    }
}

// The effect of a journal row on one account: credits less debits, posted and reserved.
typedef struct effect {
    int64_t posted, reserved;
} effect;

static effect effect_on(const ledger_row *row, uuid account) {
    const bool debit = uuid_eq(row->debit, account), credit = uuid_eq(row->credit, account);
    const int64_t sign = credit == debit ? 0 : credit ? 1 : -1;
    switch (row->kind) {
    case LEDGER_ROW_MOVED: return (effect){sign * row->amount, 0};
    case LEDGER_ROW_RESERVED: return (effect){0, sign * row->amount};
    case LEDGER_ROW_POSTED: return (effect){sign * row->amount, -sign * row->released};
    case LEDGER_ROW_RELEASED: return (effect){0, -sign * row->released};
    }
    return (effect){0, 0};
}

static void add_to_sum(recon_window *w, const ledger_row *row, int rail, const char *currency_code,
                       uuid account, effect x) {
    if (row->sequence > w->progress->sequence) {
        return; // the accounts are compared as of the proof's sequence
    }
    struct recon_sum *sum = recon_sum_of(w->progress, rail, currency_code, account);
    if (sum == NULL) {
        w->overflow = true;
        return;
    }
    add(w, &sum->posted, x.posted);
    add(w, &sum->reserved, x.reserved);
}

// Goes by the row's kind: merchants that owe may be in any window, or have no payout at all.
static void add_owed(recon_window *w, const ledger_row *row) {
    const bool owes = row->code == TRANSFER_OWE || row->code == TRANSFER_DEPOSIT_BACK;
    if (owes || row->code == TRANSFER_REPAY) {
        add_to_sum(w, row, RECON_RECEIVABLE, row->currency, NO_ACCOUNT,
                   (effect){owes ? -row->amount : row->amount, 0});
    }
}

// The row's effect on the book's accounts at banks. Each account has its own sum; there are few.
static effect add_banks(recon_window *w, const ledger_row *row) {
    effect all = {0, 0};
    for (size_t i = 0; i < w->n_banks; i++) {
        const effect x = effect_on(row, w->banks[i].id);
        if (x.posted != 0 || x.reserved != 0) {
            add_to_sum(w, row, RECON_BANK, w->banks[i].currency, w->banks[i].id, x);
            add(w, &all.posted, x.posted);
        }
    }
    return all;
}

void recon_add_row(recon_window *w, const ledger_row *row) {
    w->read_to = row->sequence;
    if (w->first) {
        add_owed(w, row);
    }
    const size_t place = (size_t)(uintptr_t)map_get(w->by_intent, row->user_data_128);
    if (place == 0) {
        if (w->first && (row->code == TRANSFER_DEPOSIT || row->code == TRANSFER_DEPOSIT_BACK)) {
            (void)add_banks(w, row);
        }
        return;
    }
    recon_row *r = &w->rows[place - 1];
    const recon_pair *pair = &w->pairs[r->pair];
    const effect merchant = effect_on(row, w->merchants[r->merchant].account);
    const effect receivable = effect_on(row, w->merchants[r->merchant].receivable);
    const effect transit = effect_on(row, pair->transit);
    const effect bank = add_banks(w, row);
    recon_figures *f = &r->payout.found;
    const effect fees = effect_on(row, pair->fees);
    add(w, &f->fee_reserved, fees.reserved);
    add(w, &f->fee, fees.posted);
    add(w, &f->reserved, -merchant.reserved - fees.reserved);
    add(w, &f->from_merchant, -merchant.posted - fees.posted);
    add(w, &f->from_merchant, -receivable.posted);
    add(w, &f->transit, transit.posted);
    add(w, &f->at_bank, bank.posted);
    add_to_sum(w, row, pair->rail, pair->currency, NO_ACCOUNT, transit);
}
