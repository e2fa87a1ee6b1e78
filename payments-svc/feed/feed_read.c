// Pages of the feed.
#include "feed/feed.h"
#include "feed/feed_sql.h"

typedef struct span {
    feed_ends ends;
    int64_t upto;
    bool was_given; // there is an entry with the number
} span;

static bool read_span(db_conn *c, int64_t book_id, int64_t after, int64_t entries, span *s,
                      arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_i64(p, after);
    db_i64(p, entries);
    if (!db_exec(c, feed_sql(FEED_SQL_SPAN), p, a, &rows, NULL, e)) {
        return false;
    }
    *s = (span){.upto = after};
    if (db_count(rows) > 0) {
        *s = (span){{.head = db_get_i64(rows, 0, 0), .oldest = db_get_i64(rows, 0, 1)},
                    db_get_i64(rows, 0, 2),
                    db_get_bool(rows, 0, 3)};
    }
    return true;
}

bool feed_look(db_conn *c, int64_t book_id, feed_ends *ends, arena *a, err *e) {
    span s;
    const bool ok = read_span(c, book_id, INT64_MAX, 1, &s, a, e);
    *ends = s.ends;
    return ok;
}

static bool is_kept(int64_t oldest, int64_t after, err *e) {
    return after >= oldest ||
           err_set(e, ERR_FAILED_PRECONDITION, "FEED_POSITION_GONE",
                   "what follows position %lld is not kept any more: the feed can be read "
                   "behind position %lld",
                   (long long)after, (long long)oldest);
}

static bool is_there(const span *s, int64_t after, err *e) {
    if (!is_kept(s->ends.oldest, after, e)) {
        return false;
    }
    return after == s->ends.oldest || s->was_given ||
           err_set(
               e, ERR_FAILED_PRECONDITION, "FEED_POSITION_UNKNOWN",
               "no entry has position %lld, and the feed ends at position %lld: the position was "
               "never given, or the database has forgotten it by a restore or a failover",
               (long long)after, (long long)s->ends.head);
}

static bool read_entries(db_conn *c, int64_t book_id, int64_t after, const feed_filter *filter,
                         feed_page *page, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_i64(p, after);
    db_i64(p, page->upto);
    if (filter->merchant_id.len > 0) {
        db_text(p, filter->merchant_id);
    } else {
        db_null(p, OID_TEXT);
    }
    if (filter->n_states > 0) {
        db_i16_array(p, filter->states, filter->n_states);
    } else {
        db_null(p, OID_INT2_ARRAY);
    }
    if (!db_exec(c, feed_sql(FEED_SQL_READ), p, a, &rows, NULL, e)) {
        return false;
    }
    // Retention may have come between the two statements. A feed without a row is one that was emptied.
    const int64_t oldest = db_count(rows) == 0 ? page->head : db_get_i64(rows, 0, 7);
    if (!is_kept(oldest, after, e)) {
        return false;
    }
    page->changes = ARENA_ARRAY(a, feed_change, db_count(rows) + 1);
    if (page->changes == NULL) {
        return err_no_memory(e, "a page of the feed");
    }
    const bool none = db_count(rows) == 1 && db_is_null(rows, 0, 0);
    for (size_t i = 0; !none && i < db_count(rows); i++) {
        page->changes[page->n++] = (feed_change){.position = db_get_i64(rows, i, 0),
                                                 .at_us = db_get_time(rows, i, 1),
                                                 .entry = {.payout_id = db_get_uuid(rows, i, 2),
                                                           .from = db_get_i16(rows, i, 3),
                                                           .to = db_get_i16(rows, i, 4),
                                                           .reason = db_get_str(rows, i, 5)},
                                                 .merchant_id = db_get_str(rows, i, 6)};
    }
    return true;
}

// What is there stays as it is, so that the two statements need not see the same moment. Only retention may come between them: the second
// one says so.
bool feed_read(db_conn *c, int64_t book_id, int64_t after, const feed_filter *filter,
               int64_t entries, feed_page *page, arena *a, err *e) {
    span s;
    if (!read_span(c, book_id, after, entries, &s, a, e)) {
        return false;
    }
    after = after == 0 ? s.ends.oldest : after;
    if (!is_there(&s, after, e)) {
        return false;
    }
    s.upto = s.upto > after ? s.upto : after;
    *page = (feed_page){.upto = s.upto, .head = s.ends.head};
    return page->upto == after || read_entries(c, book_id, after, filter, page, a, e);
}
