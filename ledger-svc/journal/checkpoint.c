// A checkpoint brings account rows and postings to the journal's head, inside a transaction of the commit path. Between two checkpoints a
// commit writes only its journal rows and the head. So an account that is touched a hundred times is written once.
#include "base/assert.h"
#include "journal/commit_internal.h"

bool commit_checkpoint_is_due(const commit *k) {
    const journal_options *o = &k->j->o;
    const int64_t rows = k->head.sequence - k->head.checkpoint_sequence;
    const int64_t since_us = tail_since_us(k->book->followed->tail);
    return rows >= o->checkpoint_rows ||
           (rows > 0 && k->now_us - since_us >= o->checkpoint_ms * 1000);
}

// The tail lists an account's sequences newest first; a posting lists them ascending.
static void take_sequences(const tail *t, const tail_account *account, int64_t *out) {
    uint32_t entry = account->newest;
    size_t at = account->n_entries;
    for (int64_t sequence; tail_next_older(t, &entry, &sequence);) {
        ASSERT(at > 0);
        out[--at] = sequence;
    }
    ASSERT(at == 0);
}

// We hold the head's lock, so the tail stands still.
bool commit_write_checkpoint(commit *k, err *e) {
    const tail *t = k->book->followed->tail;
    const size_t n = tail_n_accounts(t);
    const size_t n_entries = 2 * (size_t)(tail_sequence(t) - tail_checkpoint(t));
    store_changed *changed = arena_calloc(k->a, n, sizeof *changed);
    int64_t *sequences = arena_calloc(k->a, n_entries, sizeof *sequences);
    if (changed == NULL || sequences == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "CHECKPOINT_TOO_LARGE",
                       "the checkpoint needs too much memory");
    }
    for (size_t i = 0; i < n; i++) {
        const tail_account *account = tail_account_at(t, i);
        take_sequences(t, account, sequences);
        changed[i] = (store_changed){account->id,    account->before, account->after,
                                     account->state, sequences,       account->n_entries};
        sequences += account->n_entries;
    }
    return store_write_checkpoint(k->c, k->a, k->book->id, changed, n, e);
}
