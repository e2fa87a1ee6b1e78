// How the inbox reads a bank's file of this connection: what it is, which entries its lines may be about, and what follows.
#include <inttypes.h>
#include <stdio.h>
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

static int64_t book_of_file(const ach_rail *r, str name) {
    char origin[11];
    return ach_name_origin(name, origin) ? ach_book_of(r->origin_base, str_of(origin)) : 0;
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

static void candidate_of(const db_rows *rows, size_t i, int64_t book_id, size_t line,
                         ach_candidate *out) {
    *out = (ach_candidate){.line = line,
                           .book_id = book_id,
                           .payout_id = db_get_uuid(rows, i, 1),
                           .attempt = db_get_i32(rows, i, 2),
                           .amount = db_get_i64(rows, i, 3),
                           .file = db_get_str(rows, i, 4),
                           .sent_us = db_get_time(rows, i, 5),
                           .routing = db_get_str(rows, i, 8),
                           .last4 = db_get_str(rows, i, 9)};
    const str currency = db_get_str(rows, i, 6);
    memcpy(out->currency, currency.ptr, currency.len < 3 ? currency.len : 3);
    ach_individual_id(db_get_uuid(rows, i, 7), out->individual_id);
}

// Candidates of the lines of one book. lines and sequences hold room for all lines.
static bool search_book(search *s, db_conn *c, int64_t book_id, size_t *lines, int64_t *sequences,
                        arena *a, err *e) {
    size_t n = 0;
    for (size_t i = 0; i < s->report->n; i++) {
        if (s->books[i] == book_id) {
            const int64_t sequence = sequence_of(s->r, s->report->lines[i].trace);
            if (sequence > 0) {
                lines[n] = i;
                sequences[n++] = sequence;
            }
        }
    }
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_i64_array(p, sequences, n);
    if (n == 0) {
        return true;
    }
    if (!db_exec(c, &ACH_SQL[ACH_SQL_CANDIDATES], p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t n_rows = db_count(rows);
    ach_candidate *found = ARENA_ARRAY(a, ach_candidate, s->n_found + n_rows + 1);
    if (found == NULL) {
        return no_memory(e);
    }
    // Both are in the order of their lines: merged, so that they stay in it.
    size_t at = 0, row = 0, old = 0;
    while (row < n_rows || old < s->n_found) {
        const size_t line = row < n_rows ? lines[db_get_i64(rows, row, 0) - 1] : SIZE_MAX;
        if (old < s->n_found && s->found[old].line <= line) {
            found[at++] = s->found[old++];
        } else {
            candidate_of(rows, row++, book_id, line, &found[at++]);
        }
    }
    s->found = found;
    s->n_found = at;
    return true;
}

static bool search_all(search *s, db_conn *c, arena *a, err *e) {
    enum { BOOKS_MAX = 1000 }; // of one file: each costs a round trip
    size_t *lines = ARENA_ARRAY(a, size_t, s->report->n + 1);
    int64_t *sequences = ARENA_ARRAY(a, int64_t, s->report->n + 1);
    int64_t *books = ARENA_ARRAY(a, int64_t, BOOKS_MAX);
    size_t n_books = 0;
    if (lines == NULL || sequences == NULL || books == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < s->report->n; i++) {
        const int64_t book_id = s->books[i];
        size_t k = n_books; // mostly the last one
        while (k > 0 && books[k - 1] != book_id) {
            k--;
        }
        if (book_id == 0 || k > 0) {
            continue;
        }
        if (n_books == BOOKS_MAX) {
            return err_set(e, ERR_OUT_OF_RANGE, "TOO_MANY_BOOKS",
                           "a file that speaks of more than 1000 books");
        }
        books[n_books++] = book_id;
        if (!search_book(s, c, book_id, lines, sequences, a, e)) {
            return false;
        }
    }
    return true;
}

// --- Reports and returns ---------------------------------------------------------------------------------------------

static bool read_lines(const ach_rail *r, db_conn *c, const ach_report *report, bool settlement,
                       inbox_said *out, arena *a, err *e) {
    search s = {.r = r, .report = report, .books = ARENA_ARRAY(a, int64_t, report->n + 1)};
    if (s.books == NULL) {
        return no_memory(e);
    }
    const int64_t of_file = settlement ? book_of_file(r, report->file) : 0;
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
    return ach_match_lines(&m, a, out, e);
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

// A file that was refused as a whole: all of its entries.
static bool refuse_entries(const ach_rail *r, db_conn *c, const ach_ack *ack, int64_t book_id,
                           uuid file_id, inbox_said *out, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, file_id);
    if (!db_exec(c, &ACH_SQL[ACH_SQL_ENTRIES_OF_FILE], p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t n = db_count(rows);
    out->events = ARENA_ARRAY(a, inbox_event, n + 1);
    char(*traces)[16] = arena_calloc(a, n + 1, sizeof *traces);
    if (out->events == NULL || traces == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        ach_trace_format(r, db_get_i64(rows, i, 2), traces[i]);
        out->events[i] = (inbox_event){.book_id = book_id,
                                       .line = 1,
                                       .event = {.payout_id = db_get_uuid(rows, i, 0),
                                                 .attempt = db_get_i32(rows, i, 1),
                                                 .kind = RAIL_EVENT_REFUSED,
                                                 .event_id = ack->file,
                                                 .code = STR("FILE_REJECTED"),
                                                 .text = ack->reason,
                                                 .reference = str_of(traces[i]),
                                                 .at_us = ack->at_us}};
    }
    out->n_events = n;
    return true;
}

static bool read_ack(const ach_rail *r, db_conn *c, const inbox_item *item, const ach_ack *ack,
                     inbox_said *out, arena *a, err *e) {
    const int64_t book_id = book_of_file(r, ack->file);
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_text(p, ack->file);
    out->lines = 1;
    out->odd = ARENA_ARRAY(a, inbox_odd, 2);
    out->odd_max = 2;
    if (!db_exec(c, &ACH_SQL[ACH_SQL_FILE_BY_NAME], p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        odd_ack(ack, item, book_id, "UNKNOWN_FILE", "acknowledges a file that we never made", out,
                a);
        return true;
    }
    if (!ack->accepted) {
        return refuse_entries(r, c, ack, book_id, db_get_uuid(rows, 0, 0), out, a, e);
    }
    if (ack->entries != db_get_i32(rows, 0, 1) || ack->total != db_get_i64(rows, 0, 2)) {
        odd_ack(ack, item, book_id, "OTHER_COUNT",
                "acknowledges another count or total than the file has", out, a);
    }
    return true; // a submit that succeeded said the same already, and a query finds the file at the bank
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
    if (book_id == 0) {
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
