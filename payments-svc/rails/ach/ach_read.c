// How the inbox reads a bank's file of this connection: what it is, which entries its lines may be about, and what follows.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "rails/ach/ach_internal.h"

static bool no_memory(err *e) {
    return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_LARGE", "no memory for the lines of a file");
}

int64_t ach_book_of(int64_t base, str id) {
    int64_t number = 0;
    if (id.len != 10 || id.ptr[0] != '1' || !nacha_is_digits(id, 10) ||
        !str_to_i64((str){id.ptr + 1, 9}, 0, 999999999, &number)) {
        return 0;
    }
    const int64_t book_id = number - base;
    return book_id >= 1 && book_id <= ACH_BOOK_MAX ? book_id : 0;
}

// The submission that has this name. A name that a bank prescribes may come again: the newest one is meant. *found is false when there
// is none.
static bool find_file(const ach_rail *r, db_conn *c, str name, submission_ref *ref, bool *found,
                      arena *a, err *e) {
    submission_ref *refs = NULL;
    size_t n = 0;
    *found = false;
    if (name.len == 0 || name.len >= SUBMISSION_NAME_MAX) {
        return true;
    }
    if (!submission_find_name(c, r->base.id, name, &refs, &n, a, e)) {
        return false;
    }
    *found = n > 0;
    if (n > 0) {
        *ref = refs[0];
    }
    return true;
}

// --- Candidates ------------------------------------------------------------------------------------------------------

typedef struct search {
    const ach_rail *r;
    const ach_report *report;
    int64_t *books;
    ach_candidate *found;
    size_t n_found;
} search;

// The sequence of a trace of ours; 0 when it is none.
static int64_t sequence_of(const ach_rail *r, str trace) {
    int64_t sequence = 0;
    const bool ours = trace.len == NACHA_TRACE_LEN &&
                      memcmp(trace.ptr, r->settings.odfi_routing, 8) == 0 &&
                      str_to_i64((str){trace.ptr + 8, 7}, 0, NACHA_TRACE_SEQUENCE_MAX, &sequence);
    return ours ? sequence : 0;
}

static int by_book(const void *a, const void *b) {
    const submission_match *x = *(const submission_match *const *)a,
                           *y = *(const submission_match *const *)b;
    return x->book_id != y->book_id ? (x->book_id > y->book_id) - (x->book_id < y->book_id)
                                    : (x > y) - (x < y);
}

// What else is compared, of the matches of one book. out: a candidate for each match of the whole list.
static bool compare_with(db_conn *c, const submission_match *all,
                         const submission_match *const *matches, size_t n, ach_candidate *out,
                         arena *a, err *e) {
    uuid *payouts = ARENA_ARRAY(a, uuid, n), *submissions = ARENA_ARRAY(a, uuid, n);
    if (payouts == NULL || submissions == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        payouts[i] = matches[i]->payout_id;
        submissions[i] = matches[i]->submission_id;
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, matches[0]->book_id);
    db_uuid_array(p, payouts, n);
    db_uuid_array(p, submissions, n);
    if (!db_exec(c, &ACH_SQL[ACH_SQL_CANDIDATES], p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const submission_match *m = matches[db_get_i64(rows, i, 0) - 1];
        ach_candidate *to = &out[m - all];
        *to = (ach_candidate){.book_id = m->book_id,
                              .payout_id = m->payout_id,
                              .submission_id = m->submission_id,
                              .state = m->state,
                              .attempt = m->attempt,
                              .amount = m->amount,
                              .file = m->name,
                              .sent_us = db_get_time(rows, i, 1),
                              .routing = db_get_str(rows, i, 4),
                              .last4 = db_get_str(rows, i, 5)};
        const str currency = db_get_str(rows, i, 2);
        memcpy(to->currency, currency.ptr, currency.len < 3 ? currency.len : 3);
        ach_individual_id(db_get_uuid(rows, i, 3), to->individual_id);
    }
    return true;
}

// Candidates of all matches, book by book: each costs a round trip.
static bool compare_all(db_conn *c, const submission_match *matches, size_t n, ach_candidate *out,
                        arena *a, err *e) {
    enum { BOOKS_MAX = 1000 };
    const submission_match **sorted = ARENA_ARRAY(a, const submission_match *, n + 1);
    size_t n_books = 0;
    if (sorted == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        sorted[i] = &matches[i];
    }
    qsort(sorted, n, sizeof *sorted, by_book);
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;
        while (end < n && sorted[end]->book_id == sorted[i]->book_id) {
            end++;
        }
        if (++n_books > BOOKS_MAX) {
            return err_set(e, ERR_OUT_OF_RANGE, "TOO_MANY_BOOKS",
                           "a file that speaks of more than 1000 books");
        }
        if (!compare_with(c, matches, sorted + i, end - i, out, a, e)) {
            return false;
        }
        i = end;
    }
    return true;
}

static bool search_all(search *s, db_conn *c, arena *a, err *e) {
    size_t *lines = ARENA_ARRAY(a, size_t, s->report->n + 1);
    int64_t *sequences = ARENA_ARRAY(a, int64_t, s->report->n + 1);
    submission_match *matches = NULL;
    size_t n = 0, n_matches = 0;
    if (lines == NULL || sequences == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < s->report->n; i++) {
        const int64_t sequence = sequence_of(s->r, s->report->lines[i].trace);
        if (s->books[i] != 0 && sequence > 0) {
            lines[n] = i;
            sequences[n++] = sequence;
        }
    }
    if (!submission_find_numbers(c, s->r->base.id, sequences, n, &matches, &n_matches, a, e)) {
        return false;
    }
    // One connection serves all books, and a trace may come again in a later cycle: of the line's own book only.
    size_t kept = 0;
    for (size_t i = 0; i < n_matches; i++) {
        if (matches[i].book_id == s->books[lines[matches[i].at]]) {
            matches[kept++] = matches[i];
        }
    }
    s->found = ARENA_ARRAY(a, ach_candidate, kept + 1);
    if (s->found == NULL) {
        return no_memory(e);
    }
    if (!compare_all(c, matches, kept, s->found, a, e)) {
        return false;
    }
    for (size_t i = 0; i < kept; i++) {
        if (s->found[i].book_id != 0) { // else its payout is not there any more
            s->found[s->n_found] = s->found[i];
            s->found[s->n_found++].line = lines[matches[i].at];
        }
    }
    return true;
}

// --- What is done in the transaction that ends the item ---------------------------------------------------------------

enum { MOVED_MAX = 100 }; // of one file; a file that speaks of more is a case for the first of them

typedef struct moved {
    int64_t book_id;
    uuid submission_id;
} moved;

typedef struct own {
    // An acknowledgement.
    bool is_ack;
    submission_ref ref;
    submission_ack_text said;
    // Submissions that count as never taken, of which the file says that entries were settled or returned.
    moved *moved;
    size_t n_moved;
} own;

static void note_moved(own *o, const ach_candidate *c) {
    for (size_t i = 0; i < o->n_moved; i++) {
        if (uuid_eq(o->moved[i].submission_id, c->submission_id)) {
            return;
        }
    }
    if (o->n_moved < MOVED_MAX) {
        o->moved[o->n_moved++] = (moved){c->book_id, c->submission_id};
    }
}

// Candidates and events are both in the order of the lines.
static bool find_moved(const search *s, inbox_said *out, arena *a, err *e) {
    own *o = ARENA_NEW(a, own);
    moved *all = ARENA_ARRAY(a, moved, MOVED_MAX);
    size_t v = 0;
    if (o == NULL || all == NULL) {
        return no_memory(e);
    }
    *o = (own){.moved = all};
    for (size_t k = 0; k < s->n_found; k++) {
        const ach_candidate *c = &s->found[k];
        const int line = s->report->lines[c->line].line;
        while (v < out->n_events && out->events[v].line < line) {
            v++;
        }
        if ((c->state == SUBMISSION_REJECTED || c->state == SUBMISSION_WITHDRAWN) &&
            v < out->n_events && out->events[v].line == line &&
            uuid_eq(out->events[v].event.payout_id, c->payout_id) &&
            out->events[v].event.attempt == c->attempt) {
            note_moved(o, c);
        }
    }
    out->own = o;
    return true;
}

// --- Reports and returns ---------------------------------------------------------------------------------------------

static bool read_lines(const ach_rail *r, db_conn *c, const ach_report *report, bool settlement,
                       inbox_said *out, arena *a, err *e) {
    search s = {.r = r, .report = report, .books = ARENA_ARRAY(a, int64_t, report->n + 1)};
    if (s.books == NULL) {
        return no_memory(e);
    }
    submission_ref ref = {0};
    bool known = false;
    if (settlement && !find_file(r, c, report->file, &ref, &known, a, e)) {
        return false;
    }
    const int64_t of_file = known ? ref.book_id : 0;
    for (size_t i = 0; i < report->n; i++) {
        s.books[i] =
            settlement ? of_file : ach_book_of(r->company_base, report->lines[i].company_id);
    }
    if (!search_all(&s, c, a, e)) {
        return false;
    }
    const ach_match m = {.r = r,
                         .report = report,
                         .candidates = s.found,
                         .n_candidates = s.n_found,
                         .books = s.books,
                         .settlement = settlement};
    return ach_match_lines(&m, a, out, e) && find_moved(&s, out, a, e);
}

// --- Acknowledgements ------------------------------------------------------------------------------------------------

static void odd_ack(const ach_ack *ack, const inbox_item *item, int64_t book_id, const char *reason,
                    const char *text, inbox_said *out, arena *a) {
    const char *compared = arena_printf(a, "file %.*s; entries %" PRId64 "; total %" PRId64,
                                        (int)(ack->file.len < 100 ? ack->file.len : 100),
                                        ack->file.ptr, ack->entries, ack->total);
    out->odd[out->n_odd++] = (inbox_odd){.line = 1,
                                         .reason = reason,
                                         .text = text,
                                         .compared = compared == NULL ? "" : compared,
                                         .raw = item->bytes,
                                         .about_book_id = book_id,
                                         .amount = ack->total,
                                         .currency = "USD",
                                         .case_kind = "INBOX_LINE"};
}

static bool read_ack(const ach_rail *r, db_conn *c, const inbox_item *item, const ach_ack *ack,
                     inbox_said *out, arena *a, err *e) {
    submission_ref ref = {0};
    bool known = false;
    out->lines = 1;
    out->odd = ARENA_ARRAY(a, inbox_odd, 2);
    out->odd_max = 2;
    own *o = ARENA_NEW(a, own);
    if (out->odd == NULL || o == NULL) {
        return no_memory(e);
    }
    if (!find_file(r, c, ack->file, &ref, &known, a, e)) {
        return false;
    }
    if (!known) {
        odd_ack(ack, item, 0, "UNKNOWN_FILE", "acknowledges a file that we never made", out, a);
        return true;
    }
    if (ack->accepted && (ack->entries != ref.items || ack->total != ref.total)) {
        odd_ack(ack, item, ref.book_id, "OTHER_COUNT",
                "acknowledges another count or total than the file has", out, a);
        return true;
    }
    *o = (own){.is_ack = true,
               .ref = ref,
               .said = {.accepted = ack->accepted,
                        .sure = ach_is_listed(r->settings.rebuild_reasons, ack->reason),
                        .reason = ack->reason,
                        .at_us = ack->at_us,
                        .inbox_id = item->inbox_id}};
    out->own = o;
    out->also_book = ref.book_id;
    return true;
}

bool ach_read_also(void *self, db_conn *c, const inbox_item *item, inbox_said *said, arena *a,
                   err *e) {
    const own *o = said->own;
    submission_word word;
    (void)self;
    if (item->kind == INBOX_OURS) {
        return ach_forgotten_remember(c, item, said, a, e);
    }
    for (size_t i = 0; o != NULL && i < o->n_moved; i++) {
        if (!submission_moved(c, o->moved[i].book_id, o->moved[i].submission_id,
                              STR("the bank settled or returned payments of a file that it "
                                  "rejected, or that was never sent"),
                              a, e)) {
            return false;
        }
    }
    return o == NULL || !o->is_ack ||
           submission_ack(c, o->ref.book_id, o->ref.id, &o->said, &word, a, e);
}

// --- What it is ------------------------------------------------------------------------------------------------------

// Before the inbox, files were kept by name, and their lines had other ids.
static bool applied_before(const ach_rail *r, db_conn *c, const inbox_item *item, bool *known,
                           arena *a, err *e) {
    const bool returns = item->name.len > 14 && memcmp(item->name.ptr, "ret-", 4) == 0;
    const str digits = returns               ? (str){item->name.ptr + 4, 10}
                       : item->name.len > 10 ? (str){item->name.ptr, 10}
                                             : STR("");
    const int64_t book_id = ach_book_of(r->origin_base, digits);
    *known = false;
    if (book_id == 0 || r->base.id != RAIL_ACH) { // there was one connection
        return true;
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_text(p, item->name);
    if (!db_exec(c, &ACH_SQL[ACH_SQL_INBOUND_BY_NAME], p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 1) {
        uint8_t sha256[32];
        const str before = db_get_str(rows, 0, 0);
        crypto_sha256(item->bytes.ptr, item->bytes.len, sha256);
        *known = before.len == sizeof sha256 && memcmp(before.ptr, sha256, sizeof sha256) == 0;
    }
    return true;
}

// The file as a whole means nothing.
static bool refuse(inbox_said *out, const err *why, arena *a, err *e) {
    if (strcmp(why->reason, "BAD_FILE") != 0) {
        *e = *why;
        return false;
    }
    out->refused = "BAD_FILE";
    out->refused_text = arena_strdup(a, why->message);
    return out->refused_text != NULL || no_memory(e);
}

bool ach_read(void *self, db_conn *c, const inbox_item *item, inbox_said *out, arena *a, err *e) {
    const ach_rail *r = self;
    err why = {0};
    ach_ack ack;
    ach_report report;
    bool known = false;
    if (item->kind == INBOX_OURS) {
        return ach_forgotten_read(r, item, out, a, e);
    }
    if (!applied_before(r, c, item, &known, a, e)) {
        return false;
    }
    out->about = "applied before";
    if (known) {
        return true;
    }
    switch (ach_look(item->bytes)) {
    case ACH_EMPTY: out->about = "nothing"; return true;
    case ACH_ACK:
        out->about = "acknowledgement";
        return ach_ack_parse(item->bytes, a, &ack, &why) ? read_ack(r, c, item, &ack, out, a, e)
                                                         : refuse(out, &why, a, e);
    case ACH_SETTLEMENT:
        out->about = "settlement report";
        return ach_settlement_parse(item->bytes, a, &report, &why)
                   ? read_lines(r, c, &report, true, out, a, e)
                   : refuse(out, &why, a, e);
    case ACH_NACHA:
        out->about = "returns";
        return ach_returns_parse(item->bytes, item->received_us, a, &report, &why)
                   ? read_lines(r, c, &report, false, out, a, e)
                   : refuse(out, &why, a, e);
    case ACH_UNKNOWN: break;
    }
    out->about = "unknown";
    out->refused = "UNKNOWN_FORM";
    out->refused_text = "the file has no form that we know";
    return true;
}
