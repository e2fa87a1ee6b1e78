// The inbox's reader for the bank's files of this connection: their kind, the candidates of their lines, and the results.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "rails/ach/ach_internal.h"
#include "rails/inbox_mask.h"

// A bank's clock may be this far behind ours.
#define ACK_CLOCK_US (INT64_C(3600) * 1000000)

static bool find_name(const ach_rail *r, db_conn *c, str name, submission_ref *ref, size_t *found,
                      arena *a, err *e) {
    submission_ref *refs = NULL;
    size_t n = 0;
    *found = 0;
    if (name.len == 0 || name.len >= SUBMISSION_NAME_MAX) {
        return true;
    }
    if (!submission_find_name(c, r->base.id, name, &refs, &n, a, e)) {
        return false;
    }
    *found = n;
    if (n > 0) {
        *ref = refs[0];
    }
    return true;
}

// The submission of this name, and how many have it. A bank's prescribed name may come again; then the newest is returned. If no submission
// has the bank's spelling, the restored spelling is tried; *name is then our own spelling.
static bool find_file(const ach_rail *r, db_conn *c, str *name, submission_ref *ref, size_t *found,
                      arena *a, err *e) {
    char restored[ACH_NAME_LEN_MAX];
    if (!find_name(r, c, *name, ref, found, a, e)) {
        return false;
    }
    if (*found > 0 || !ach_file_name_restore(r->settings.file_name, *name, restored)) {
        return true;
    }
    const char *ours = arena_strdup(a, restored);
    if (ours == NULL) {
        return err_no_memory(e, "the list of lines");
    }
    if (!find_name(r, c, str_of(ours), ref, found, a, e)) {
        return false;
    }
    *name = *found > 0 ? str_of(ours) : *name;
    return true;
}

// --- Candidates ------------------------------------------------------------------------------------------------------

typedef struct search {
    const ach_rail *r;
    const ach_report *report;
    bool settlement;
    int64_t *books; // of each line, by today's settings; then as its candidates say
    ach_candidate *found;
    size_t n_found;
} search;

// True when the line names the submission's sender. Settings change, and earlier submissions come back for weeks.
static bool is_sender(const search *s, size_t line, const submission_match *m) {
    const ach_line *l = &s->report->lines[line];
    const str bank = m->sender_bank.len > 0 ? m->sender_bank : str_of(s->r->settings.odfi_routing);
    if (l->trace.len < bank.len || memcmp(l->trace.ptr, bank.ptr, bank.len) != 0) {
        return false;
    }
    return s->settlement || m->sender_company.len == 0 ? m->book_id == s->books[line]
                                                       : str_eq(m->sender_company, l->company_id);
}

static int by_book(const void *a, const void *b) {
    const submission_match *x = *(const submission_match *const *)a,
                           *y = *(const submission_match *const *)b;
    return x->book_id != y->book_id ? (x->book_id > y->book_id) - (x->book_id < y->book_id)
                                    : (x > y) - (x < y);
}

// The match's own fields. A settlement report needs no more for the comparison.
static ach_candidate candidate_of(const submission_match *m) {
    ach_candidate c = {.book_id = m->book_id,
                       .payout_id = m->payout_id,
                       .submission_id = m->submission_id,
                       .state = m->state,
                       .attempt = m->attempt,
                       .amount = m->amount,
                       .file = m->name,
                       .sent_us = m->created_us};
    memcpy(c.currency, m->currency.ptr, m->currency.len < 3 ? m->currency.len : 3);
    return c;
}

// Further fields for the comparison with a return, for the matches of one book. out: a candidate for each match of the whole list.
static bool compare_with(db_conn *c, const submission_match *all,
                         const submission_match *const *matches, size_t n, ach_candidate *out,
                         arena *a, err *e) {
    uuid *payouts = ARENA_ARRAY(a, uuid, n);
    if (payouts == NULL) {
        return err_no_memory(e, "the list of lines");
    }
    for (size_t i = 0; i < n; i++) {
        payouts[i] = matches[i]->payout_id;
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, matches[0]->book_id);
    db_uuid_array(p, payouts, n);
    if (!db_exec(c, &ACH_SQL[ACH_SQL_CANDIDATES], p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const submission_match *m = matches[db_get_i64(rows, i, 0) - 1];
        ach_candidate *to = &out[m - all];
        *to = candidate_of(m);
        to->routing = db_get_str(rows, i, 2);
        to->last4 = db_get_str(rows, i, 3);
        ach_individual_id(db_get_uuid(rows, i, 1), to->individual_id);
    }
    return true;
}

// Candidates of all matches, book by book: each book costs a round trip.
static bool compare_all(db_conn *c, const submission_match *matches, size_t n, ach_candidate *out,
                        arena *a, err *e) {
    enum { BOOKS_MAX = 1000 };
    const submission_match **sorted = ARENA_ARRAY(a, const submission_match *, n + 1);
    size_t n_books = 0;
    if (sorted == NULL) {
        return err_no_memory(e, "the list of lines");
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
        return err_no_memory(e, "the list of lines");
    }
    for (size_t i = 0; i < s->report->n; i++) {
        const int64_t sequence = ach_sequence_of(s->report->lines[i].trace);
        if ((s->books[i] != 0 || !s->settlement) && sequence > 0) {
            lines[n] = i;
            sequences[n++] = sequence;
        }
    }
    if (!submission_find_numbers(c, s->r->base.id, sequences, n, &matches, &n_matches, a, e)) {
        return false;
    }
    // One connection serves all books, and a later cycle repeats traces: keeps only matches of the line's own sender.
    size_t kept = 0;
    for (size_t i = 0; i < n_matches; i++) {
        const size_t line = lines[matches[i].at];
        if (is_sender(s, line, &matches[i])) {
            matches[kept++] = matches[i];
            s->books[line] = s->books[line] == 0 ? matches[i].book_id : s->books[line];
        }
    }
    s->found = ARENA_ARRAY(a, ach_candidate, kept + 1);
    if (s->found == NULL) {
        return err_no_memory(e, "the list of lines");
    }
    for (size_t i = 0; s->settlement && i < kept; i++) {
        s->found[i] = candidate_of(&matches[i]);
    }
    if (!s->settlement && !compare_all(c, matches, kept, s->found, a, e)) {
        return false;
    }
    for (size_t i = 0; i < kept; i++) {
        if (s->found[i].book_id != 0) { // else its payout is gone
            s->found[s->n_found] = s->found[i];
            s->found[s->n_found++].line = lines[matches[i].at];
        }
    }
    return true;
}

// --- Work in the transaction that ends the item -------------------------------------------------------------------------

enum { MOVED_MAX = 100 }; // per file; a file with more is a case for the first ones

typedef struct moved {
    int64_t book_id;
    uuid submission_id;
} moved;

typedef struct own {
    // An acknowledgement.
    bool is_ack;
    submission_ref ref;
    submission_ack_text said;
    // Submissions that count as never taken, of which the file settles or returns entries.
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

// Candidates and events are both sorted by line.
static bool find_moved(const search *s, inbox_said *out, arena *a, err *e) {
    own *o = ARENA_NEW(a, own);
    moved *all = ARENA_ARRAY(a, moved, MOVED_MAX);
    size_t v = 0;
    if (o == NULL || all == NULL) {
        return err_no_memory(e, "the list of lines");
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

static bool read_lines(const ach_rail *r, db_conn *c, const inbox_item *item, ach_report *report,
                       bool settlement, inbox_said *out, arena *a, err *e) {
    search s = {.r = r,
                .report = report,
                .settlement = settlement,
                .books = ARENA_ARRAY(a, int64_t, report->n + 1)};
    if (s.books == NULL) {
        return err_no_memory(e, "the list of lines");
    }
    submission_ref ref = {0};
    size_t known = 0;
    if (settlement && !find_file(r, c, &report->file, &ref, &known, a, e)) {
        return false;
    }
    const int64_t of_file = known > 0 ? ref.book_id : 0;
    for (size_t i = 0; i < report->n; i++) {
        ach_line *l = &report->lines[i];
        l->at_us = l->at_us != 0 ? l->at_us : item->received_us;
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

// An objection to applying an acknowledgement to this file; reason NULL: none.
typedef struct objection {
    const char *reason, *text;
} objection;

// True when no other file can have this name, as it has the submission's id or the content's hash. Then the bank speaks of this file,
// whatever its clock and zone say.
static bool has_own_name(str name, const submission_ref *ref) {
    enum { HASH_LEN = 16 };
    char id[SUBMISSION_SHORT_ID_LEN + 1], hex[65];
    submission_short_id(ref->id, id);
    str_hex((const uint8_t *)ref->sha256.ptr, ref->sha256.len < 32 ? ref->sha256.len : 32, hex);
    return memmem(name.ptr, name.len, id, strlen(id)) != NULL ||
           (ref->sha256.len == 32 && memmem(name.ptr, name.len, hex, HASH_LEN) != NULL);
}

// refused: the refused entries; the bank may count them or not.
static objection object(const ach_ack *ack, const inbox_item *item, const submission_ref *ref,
                        size_t known, const ach_refused_sum *refused) {
    if (known == 0) {
        return (objection){"UNKNOWN_FILE", "acknowledges a file that we never made"};
    }
    if (known > 1) {
        return (objection){"AMBIGUOUS_FILE", "more than one file of ours has this name"};
    }
    // An acceptance of what is not there any more stops what was made in its place, whatever it counts.
    const bool contradicts =
        ack->accepted && (ref->state == SUBMISSION_REJECTED || ref->state == SUBMISSION_WITHDRAWN);
    if (contradicts) {
        return (objection){0};
    }
    if (ack->of_batch) {
        return (objection){
            "ONE_BATCH",
            "speaks of one batch, and not of the file as a whole: find out from the bank "
            "what it says of the other batches"};
    }
    if ((ack->entries_told && ack->entries != ref->items &&
         ack->entries != ref->items - refused->entries) ||
        (ack->total_told && ack->total != ref->total &&
         ack->total != ref->total - refused->amount)) {
        return (objection){"OTHER_COUNT", "acknowledges another count or total than the file has"};
    }
    if (item->received_us < ref->created_us ||
        (!has_own_name(ack->file, ref) && ack->at_us < ref->created_us - ACK_CLOCK_US)) {
        return (objection){"OLDER_THAN_FILE", "the file was made after the bank has said this"};
    }
    // Acceptance of an unsent file may be true after a restore: the file must then not go.
    if (!ack->accepted && ref->state == SUBMISSION_PREPARED) {
        return (objection){"NOT_SENT", "rejects a file that has not been sent yet"};
    }
    return (objection){0};
}

// n_refused: entries of the file with a listed reason. An entry with another reason may be paid by an earlier file, and must not be sent
// anew because the bank names a different one.
static bool is_sure(const ach_rail *r, const ach_ack *ack, size_t n_refused,
                    const ach_refused_sum *named) {
    const bool listed = ach_is_listed(r->settings.rebuild_reasons, ack->reason);
    if (ack->n_refused == 0) {
        return listed;
    }
    return (int64_t)n_refused == named->entries && (listed || ack->reason.len == 0);
}

static bool read_ack(const ach_rail *r, db_conn *c, const inbox_item *item, ach_ack *ack,
                     inbox_said *out, arena *a, err *e) {
    submission_ref ref = {0};
    ack->at_us = ack->at_us != 0 ? ack->at_us : item->received_us;
    size_t known = 0;
    out->lines = ack->n_refused > 1 ? (int32_t)ack->n_refused : 1;
    out->odd_max = 2 + ack->n_refused;
    out->odd = ARENA_ARRAY(a, inbox_odd, out->odd_max);
    ach_refused_sum refused = {0};
    own *o = ARENA_NEW(a, own);
    if (out->odd == NULL || o == NULL) {
        return err_no_memory(e, "the list of lines");
    }
    if (!find_file(r, c, &ack->file, &ref, &known, a, e)) {
        return false;
    }
    *o = (own){.is_ack = true,
               .ref = ref,
               .said = {.accepted = ack->accepted,
                        .reason = ach_words(ack->reason, a),
                        .at_us = ack->at_us,
                        .inbox_id = item->inbox_id}};
    // An entry may have two reasons, and each may become a row. More are not even looked up.
    const bool many = known == 1 && ack->n_refused > 2 * (size_t)ref.items;
    if (known == 1 && !many &&
        !ach_refused_read(r, c, item, ack, &ref, &o->said, &refused, out, a, e)) {
        return false;
    }
    if (many || (known == 1 && refused.entries > ref.items)) {
        out->refused = "BAD_FILE";
        out->refused_text = "refuses more entries than the file has";
        out->n_odd = 0;
        return true;
    }
    o->said.sure = is_sure(r, ack, o->said.n_refused, &refused);
    const objection why = object(ack, item, &ref, known, &refused);
    if (why.reason != NULL) {
        out->n_odd = 0;
        odd_ack(ack, item, ref.book_id, why.reason, why.text, out, a);
        return true;
    }
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

// Before the inbox existed, files were kept by name, and their lines had other ids.
static bool applied_before(const ach_rail *r, db_conn *c, const inbox_item *item, bool *known,
                           arena *a, err *e) {
    const bool returns = item->name.len > 14 && memcmp(item->name.ptr, "ret-", 4) == 0;
    const str digits = returns               ? (str){item->name.ptr + 4, 10}
                       : item->name.len > 10 ? (str){item->name.ptr, 10}
                                             : STR("");
    const int64_t book_id = ach_book_of(r->origin_base, digits);
    *known = false;
    if (book_id == 0 || r->base.id != RAIL_ACH) { // there was only one connection
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

// Refuses a file that means nothing as a whole.
static bool refuse(inbox_said *out, const err *why, arena *a, err *e) {
    if (strcmp(why->reason, "BAD_FILE") != 0) {
        *e = *why;
        return false;
    }
    out->refused = "BAD_FILE";
    out->refused_text = arena_strdup(a, why->message);
    return out->refused_text != NULL || err_no_memory(e, "the list of lines");
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
        return ach_settlement_parse(item->bytes, r->settings.odfi_routing, a, &report, &why)
                   ? read_lines(r, c, item, &report, true, out, a, e)
                   : refuse(out, &why, a, e);
    case ACH_NACHA:
        out->about = "returns";
        return ach_returns_parse(item->bytes, item->received_us, a, &report, &why)
                   ? read_lines(r, c, item, &report, false, out, a, e)
                   : refuse(out, &why, a, e);
    case ACH_UNKNOWN: break;
    }
    out->about = "unknown";
    out->refused = "UNKNOWN_FORM";
    out->refused_text = "the file has no form that we know";
    return true;
}
