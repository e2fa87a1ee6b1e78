// Reads for callers: the tables as of the last checkpoint, plus what the tail in memory adds.
#include "journal/entries.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "journal/journal_internal.h"

// A checkpoint between the read of the tables and the read of the tail forces another try. So many in a row do not happen.
enum { TRIES_MAX = 32, TEXT_OF_TOTAL = 48 };

static bool moved_too_often(err *e) {
    (void)err_set(e, ERR_UNAVAILABLE, "BOOK_TOO_BUSY", "the book was rewritten while it was read");
    e->flags |= ERR_RETRIABLE;
    return false;
}

static bool out_of_room(err *e) {
    return err_set(e, ERR_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE",
                   "the answer is larger than one call may be");
}

// One statement reads the tables and the head of the same moment. Then the tail adds its part.
typedef struct overlay {
    int64_t book_id;
    followed *f; // held while it is read
    bool (*read)(struct overlay *o, db_conn *c, arena *a, store_head *head, err *e);
    // Called with the tail's lock held. Sets `again` when the tail names things that did not exist when the tables were read.
    bool (*add)(struct overlay *o, arena *a, const tail *t, err *e);
    // Inputs of the reads below.
    store_ids ids;
    ledger_account *accounts;
    store_totals *lines;
    size_t n;
    bool again;
} overlay;

// True and *done when the tail begins where the tables end.
static bool overlay_try(overlay *o, db_conn *c, arena *a, store_head *head, int64_t *at_sequence,
                        bool *done, err *e) {
    followed *f = o->f;
    *done = false;
    if (!o->read(o, c, a, head, e)) {
        return false;
    }
    if (!head->exists) {
        *done = true;
        return true;
    }
    if (!follow_reach(f, c, a, head, e)) {
        return false;
    }
    bool ok = true;
    (void)pthread_mutex_lock(&f->lock);
    if (tail_checkpoint(f->tail) == head->checkpoint_sequence &&
        tail_sequence(f->tail) >= head->sequence) {
        o->again = false;
        ok = o->add(o, a, f->tail, e);
        *at_sequence = tail_sequence(f->tail);
        *done = !o->again;
    }
    (void)pthread_mutex_unlock(&f->lock);
    return ok;
}

static bool overlay_read(overlay *o, journal *j, db_conn *c, arena *a, bool *exists,
                         int64_t *at_sequence, err *e) {
    store_head head = {0};
    bool ok = true;
    bool done = false;
    o->f = follow_hold(&j->follower, o->book_id);
    for (int i = 0; ok && !done && i < TRIES_MAX; i++) {
        ok = overlay_try(o, c, a, &head, at_sequence, &done, e);
    }
    follow_release(&j->follower, o->f);
    *exists = head.exists;
    return ok && (done || moved_too_often(e));
}

// --- Accounts --------------------------------------------------------------------------------------------------------

static bool accounts_read(overlay *o, db_conn *c, arena *a, store_head *head, err *e) {
    return store_lookup_accounts(c, a, o->book_id, o->ids, head, &o->accounts, &o->n, e);
}

void journal_overlay_account(const tail *t, ledger_account *account) {
    const tail_account *later = tail_find(t, account->id);
    if (later != NULL) {
        account->balances = later->after;
        account->state = later->state;
    }
}

static bool accounts_add(overlay *o, arena *a, const tail *t, err *e) {
    (void)a;
    (void)e;
    for (size_t i = 0; i < o->n; i++) {
        journal_overlay_account(t, &o->accounts[i]);
    }
    return true;
}

bool journal_read_accounts(journal *j, db_conn *c, arena *a, int64_t book_id, store_ids ids,
                           bool *exists, int64_t *at_sequence, ledger_account **accounts, size_t *n,
                           err *e) {
    overlay o = {.book_id = book_id, .read = accounts_read, .add = accounts_add, .ids = ids};
    const bool ok = overlay_read(&o, j, c, a, exists, at_sequence, e);
    *accounts = o.accounts;
    *n = o.n;
    return ok;
}

bool journal_refresh_accounts(journal *j, db_conn *c, arena *a, int64_t book_id, bool *exists,
                              int64_t *at_sequence, ledger_account *accounts, size_t n, err *e) {
    uuid *ids = arena_calloc(a, n + 1, sizeof *ids);
    ledger_account *fresh = NULL;
    size_t n_fresh = 0;
    if (ids == NULL) {
        return out_of_room(e);
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = accounts[i].id;
    }
    if (!journal_read_accounts(j, c, a, book_id, (store_ids){ids, n}, exists, at_sequence, &fresh,
                               &n_fresh, e)) {
        return false;
    }
    map *by_id = map_create(n_fresh, n_fresh + 1);
    for (size_t i = 0; i < n_fresh; i++) {
        MUST(map_put(by_id, fresh[i].id, &fresh[i]));
    }
    for (size_t i = 0; i < n; i++) {
        const ledger_account *now = map_get(by_id, accounts[i].id);
        if (now != NULL) {
            accounts[i].balances = now->balances;
            accounts[i].state = now->state;
        }
    }
    map_destroy(by_id);
    return true;
}

// --- Totals ----------------------------------------------------------------------------------------------------------

static bool totals_read(overlay *o, db_conn *c, arena *a, store_head *head, err *e) {
    return store_trial_balance(c, a, o->book_id, head, &o->lines, &o->n, e);
}

// A decimal text plus a number. Totals of int64 amounts fit 128 bits by far.
static bool total_shift(arena *a, char **text, __int128 by, err *e) {
    __int128 total = 0;
    for (const char *p = *text; *p != '\0'; p++) {
        ASSERT(*p >= '0' && *p <= '9'); // totals are never negative
        total = total * 10 + (*p - '0');
    }
    total += by;
    ASSERT(total >= 0);
    char *out = arena_alloc(a, TEXT_OF_TOTAL);
    if (out == NULL) {
        return out_of_room(e);
    }
    char *at = out + TEXT_OF_TOTAL - 1; // arena memory is zeroed: the text ends there
    do {
        *--at = (char)('0' + (int)(total % 10));
        total /= 10;
    } while (total != 0);
    *text = at;
    return true;
}

static bool line_add(arena *a, store_totals *line, const tail *t, err *e) {
    const ledger_currency currency = ledger_currency_pack(str_of(line->currency));
    __int128 by[4] = {0};
    for (size_t i = 0; i < tail_n_accounts(t); i++) {
        const tail_account *account = tail_account_at(t, i);
        if (account->currency == currency) {
            by[0] += account->after.debits_pending - account->before.debits_pending;
            by[1] += account->after.debits_posted - account->before.debits_posted;
            by[2] += account->after.credits_pending - account->before.credits_pending;
            by[3] += account->after.credits_posted - account->before.credits_posted;
        }
    }
    return total_shift(a, &line->debits_pending, by[0], e) &&
           total_shift(a, &line->debits_posted, by[1], e) &&
           total_shift(a, &line->credits_pending, by[2], e) &&
           total_shift(a, &line->credits_posted, by[3], e);
}

static bool has_line(const overlay *o, ledger_currency currency) {
    for (size_t i = 0; i < o->n; i++) {
        if (ledger_currency_pack(str_of(o->lines[i].currency)) == currency) {
            return true;
        }
    }
    return false;
}

static bool totals_add(overlay *o, arena *a, const tail *t, err *e) {
    // A currency's first account may be younger than the tables that were read.
    for (size_t i = 0; i < tail_n_accounts(t) && !o->again; i++) {
        o->again = !has_line(o, tail_account_at(t, i)->currency);
    }
    for (size_t i = 0; i < o->n && !o->again; i++) {
        if (!line_add(a, &o->lines[i], t, e)) {
            return false;
        }
    }
    return true;
}

bool journal_trial_balance(journal *j, db_conn *c, arena *a, int64_t book_id, bool *exists,
                           int64_t *at_sequence, store_totals **lines, size_t *n, err *e) {
    overlay o = {.book_id = book_id, .read = totals_read, .add = totals_add};
    const bool ok = overlay_read(&o, j, c, a, exists, at_sequence, e);
    *lines = o.lines;
    *n = o.n;
    return ok;
}

// --- Entries ---------------------------------------------------------------------------------------------------------

bool journal_head(journal *j, db_conn *c, arena *a, int64_t book_id, bool *exists,
                  int64_t *at_sequence, err *e) {
    (void)j;
    store_head head = {0};
    if (!store_read_head(c, a, book_id, &head, e)) {
        return false;
    }
    *exists = head.exists;
    *at_sequence = head.sequence;
    return true;
}

// Copies newest first, from the front: at most max sequences of the range that the tail has.
static size_t tail_newest(const tail *t, const journal_entries_query *q, int64_t *out) {
    const tail_account *account = tail_find(t, q->account_id);
    uint32_t entry = account == NULL ? 0 : account->newest;
    size_t n = 0;
    for (int64_t sequence;
         n < q->max && tail_next_older(t, &entry, &sequence) && sequence >= q->from_sequence;) {
        if (sequence <= q->to_sequence) {
            out[n++] = sequence;
        }
    }
    return n;
}

// Oldest first. The list runs newest first, so `out` is a ring of the last max sequences; *n_seen counts all in range.
static size_t tail_oldest(const tail *t, const journal_entries_query *q, int64_t *out) {
    const tail_account *account = tail_find(t, q->account_id);
    uint32_t entry = account == NULL ? 0 : account->newest;
    size_t seen = 0;
    for (int64_t sequence; tail_next_older(t, &entry, &sequence) && sequence >= q->from_sequence;) {
        if (sequence <= q->to_sequence) {
            out[seen++ % q->max] = sequence;
        }
    }
    const size_t n = seen < q->max ? seen : q->max;
    // The last one seen is the oldest. Turn the ring round.
    for (size_t i = 0; i < n; i++) {
        out[q->max + i] = out[(seen - 1 - i) % q->max];
    }
    memmove(out, out + q->max, n * sizeof *out);
    return n;
}

// Entries of the tail, and of the postings before it.
typedef struct entries_read {
    const journal_entries_query *q;
    int64_t *late, *early; // from the tail, and from postings
    size_t n_late, n_early;
    int64_t checkpoint; // the tail begins after this row: postings count up to it
} entries_read;

static bool entries_alloc(entries_read *r, arena *a, err *e) {
    r->late = arena_calloc(a, 2 * r->q->max, sizeof *r->late);
    r->early = arena_calloc(a, r->q->max, sizeof *r->early);
    return (r->late != NULL && r->early != NULL) || out_of_room(e);
}

// @locks held. Reads the tail, and where it begins and ends, as of one moment.
static void look_at_tail(entries_read *r, const tail *t, int64_t *at_sequence) {
    r->checkpoint = tail_checkpoint(t);
    *at_sequence = tail_sequence(t);
    r->n_late = r->q->newest_first ? tail_newest(t, r->q, r->late) : tail_oldest(t, r->q, r->late);
}

// With newest first, the tail's entries come before the postings.
static size_t postings_wanted(const entries_read *r) {
    return r->q->newest_first ? r->q->max - r->n_late : r->q->max;
}

static bool read_postings(entries_read *r, db_conn *c, arena *a, int64_t book_id, size_t max,
                          store_head *head, err *e) {
    const journal_entries_query *q = r->q;
    const bool is_to_checkpoint = q->to_sequence >= r->checkpoint;
    const store_postings_query postings = {
        .account_id = q->account_id,
        .from = q->from_sequence,
        .to = is_to_checkpoint ? r->checkpoint : q->to_sequence,
        .is_to_checkpoint = is_to_checkpoint,
        .newest_first = q->newest_first,
        .max = max,
    };
    return store_read_postings(c, a, book_id, &postings, r->early, &r->n_early, head, e);
}

static bool entries_join(const entries_read *r, arena *a, journal_entries *out, err *e) {
    const journal_entries_query *q = r->q;
    const int64_t *first = q->newest_first ? r->late : r->early;
    const int64_t *then = q->newest_first ? r->early : r->late;
    const size_t n_first = q->newest_first ? r->n_late : r->n_early;
    const size_t n_then = q->newest_first ? r->n_early : r->n_late;
    out->sequences = arena_calloc(a, q->max, sizeof *out->sequences);
    if (out->sequences == NULL) {
        return out_of_room(e);
    }
    const size_t n_more = n_then < q->max - n_first ? n_then : q->max - n_first;
    memcpy(out->sequences, first, n_first * sizeof *first);
    memcpy(out->sequences + n_first, then, n_more * sizeof *then);
    out->n = n_first + n_more;
    return true;
}

// Postings never change. A posting that is written after we looked at the tail lies beyond its checkpoint, and is left out.
static bool read_entries(followed *f, db_conn *c, arena *a, const journal_entries_query *q,
                         journal_entries *out, err *e) {
    entries_read r = {.q = q};
    if (!entries_alloc(&r, a, e)) {
        return false;
    }
    (void)pthread_mutex_lock(&f->lock);
    look_at_tail(&r, f->tail, &out->at_sequence);
    (void)pthread_mutex_unlock(&f->lock);
    const size_t wanted = postings_wanted(&r);
    if (wanted > 0 && q->from_sequence <= r.checkpoint &&
        !read_postings(&r, c, a, f->book_id, wanted, NULL, e)) {
        return false;
    }
    return entries_join(&r, a, out, e);
}

static bool is_followed_to(followed *f, int64_t sequence) {
    (void)pthread_mutex_lock(&f->lock);
    const bool is = tail_sequence(f->tail) >= sequence;
    (void)pthread_mutex_unlock(&f->lock);
    return is;
}

// One overlay of entries up to the head: postings up to where the tail begins.
typedef struct entries_overlay {
    overlay o;
    entries_read r;
    journal_entries *out;
} entries_overlay;

static bool overlaid_read(overlay *o, db_conn *c, arena *a, store_head *head, err *e) {
    entries_overlay *x = (entries_overlay *)o;
    int64_t at_sequence = 0;
    (void)pthread_mutex_lock(&o->f->lock);
    look_at_tail(&x->r, o->f->tail, &at_sequence); // it may grow until the answer is made
    (void)pthread_mutex_unlock(&o->f->lock);
    const size_t wanted = postings_wanted(&x->r);
    return wanted == 0 ? store_read_head(c, a, o->book_id, head, e)
                       : read_postings(&x->r, c, a, o->book_id, wanted, head, e);
}

static bool overlaid_add(overlay *o, arena *a, const tail *t, err *e) {
    entries_overlay *x = (entries_overlay *)o;
    // The book was not followed here yet, or the tail begins later by now.
    o->again = tail_checkpoint(t) != x->r.checkpoint;
    if (o->again) {
        return true;
    }
    look_at_tail(&x->r, t, &x->out->at_sequence);
    return entries_join(&x->r, a, x->out, e);
}

static bool read_entries_to_head(journal *j, db_conn *c, arena *a, int64_t book_id,
                                 const journal_entries_query *q, journal_entries *out, err *e) {
    entries_overlay x = {.o = {.book_id = book_id, .read = overlaid_read, .add = overlaid_add},
                         .r = {.q = q},
                         .out = out};
    return entries_alloc(&x.r, a, e) &&
           overlay_read(&x.o, j, c, a, &out->exists, &out->at_sequence, e);
}

bool journal_account_entries(journal *j, db_conn *c, arena *a, int64_t book_id,
                             const journal_entries_query *q, journal_entries *out, err *e) {
    ASSERT(q->max > 0 && q->max <= JOURNAL_ENTRIES_MAX);
    *out = (journal_entries){0};
    followed *f = follow_hold(&j->follower, book_id);
    // A caller mostly ends the range at a sequence that it has just learned of: then the head need not be asked.
    out->exists = !q->with_head && q->to_sequence > 0 && is_followed_to(f, q->to_sequence);
    const bool ok = out->exists ? read_entries(f, c, a, q, out, e)
                                : read_entries_to_head(j, c, a, book_id, q, out, e);
    follow_release(&j->follower, f);
    return ok;
}

bool journal_balances_at(journal *j, db_conn *c, arena *a, int64_t book_id, uuid account_id,
                         int64_t sequence, bool *exists, bool *found, ledger_balances *balances,
                         err *e) {
    const journal_entries_query q = {
        .account_id = account_id, .to_sequence = sequence, .newest_first = true, .max = 1};
    journal_entries entries;
    ledger_row *rows = NULL;
    size_t n = 0;
    *found = false;
    *balances = (ledger_balances){0};
    if (!journal_account_entries(j, c, a, book_id, &q, &entries, e)) {
        return false;
    }
    *exists = entries.exists;
    if (entries.n == 0) {
        return true;
    }
    if (!store_read_rows(c, a, book_id, entries.sequences[0], entries.sequences[0], 1, &rows, &n,
                         e)) {
        return false;
    }
    ASSERT(n == 1);
    *found = true;
    *balances =
        uuid_eq(rows[0].debit_account_id, account_id) ? rows[0].debit_after : rows[0].credit_after;
    return true;
}
