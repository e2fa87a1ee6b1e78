// Applying: recorded bytes become events and exceptions. inbox_apply shows the whole course.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "events/events.h"
#include "rails/inbox_internal.h"

enum { TEXT_MAX = 1000, COMPARED_MAX = 2000, MESSAGE_REST_US = 10 * 1000 * 1000 };

// An item while it is applied.
typedef struct applying {
    inbox *box;
    arena *a; // for the item: lives through all transactions
    inbox_reader reader;
    inbox_item item;
    inbox_said said;
    int32_t tries;   // earlier failed tries
    bool counted;    // this try is counted before it begins
    bool waits;      // false: there is nothing to do, now or any more
    bool again;      // it was applied before, and lines were set aside
    bool raced;      // someone recorded the same at the same time
    bool may_ask;    // on a thread that nobody waits for
    size_t from, to; // events of this transaction
    int64_t now_us;
    int32_t n_events; // applied events, existing ones included
    size_t folded;    // exceptions folded into the exception of line 0
} applying;

// --- Loading ---------------------------------------------------------------------------------------------------------

static bool find_reader(inbox *box, int connection, inbox_reader *out) {
    bool found = false;
    MUST(pthread_mutex_lock(&box->lock) == 0);
    for (size_t i = 0; i < box->n_readers; i++) {
        if (box->readers[i].connection == connection) {
            *out = box->readers[i];
            found = true;
        }
    }
    MUST(pthread_mutex_unlock(&box->lock) == 0);
    return found;
}

static bool load_content(applying *x, db_conn *c, str *sealed, err *e) {
    db_params *p = db_params_create(x->a);
    db_rows *rows = NULL;
    db_i64(p, x->item.book_id);
    db_uuid(p, x->item.inbox_id);
    db_i32(p, x->item.version);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_LOAD_VERSION], p, x->a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return err_set(e, ERR_DATA_LOSS, "NO_VERSION", "the bytes that count are not there");
    }
    *sealed = db_get_str(rows, 0, 0);
    return true;
}

static bool load(db_conn *c, arena *a, void *arg, err *e) {
    applying *x = arg;
    char aad[INBOX_AAD_MAX];
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, x->item.book_id);
    db_uuid(p, x->item.inbox_id);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_LOAD], p, x->a, &rows, NULL, e)) {
        return false;
    }
    x->waits = db_count(rows) == 1;
    if (!x->waits) {
        return true;
    }
    x->item.connection = db_get_i16(rows, 0, 0);
    x->item.kind = (inbox_kind)db_get_i16(rows, 0, 1);
    x->item.name = db_get_str(rows, 0, 2);
    x->item.said_us = db_get_time(rows, 0, 3);
    x->item.received_us = db_get_time(rows, 0, 4);
    x->item.version = db_get_i32(rows, 0, 5);
    x->tries = db_get_i32(rows, 0, 6) - (x->counted ? 1 : 0);
    x->again = db_get_i32(rows, 0, 8) > 0;
    str sealed = db_get_str(rows, 0, 7);
    return (x->item.version == 1 || load_content(x, c, &sealed, e)) &&
           crypto_open(x->box->keys,
                       inbox_content_aad(x->item.book_id, x->item.inbox_id, x->item.version, aad),
                       sealed, x->a, &x->item.bytes, e);
}

static bool read_item(db_conn *c, arena *a, void *arg, err *e) {
    applying *x = arg;
    (void)a;
    memset(&x->said, 0, sizeof x->said);
    if (!x->reader.read(x->reader.self, c, &x->item, &x->said, x->a, e)) {
        return false;
    }
    ASSERT(x->said.about != NULL && x->said.n_odd <= x->said.odd_max);
    return true;
}

// --- Known events -----------------------------------------------------------------------------------------------------

// Stable: events of one book stay in the order of their lines.
static int by_book_and_line(const void *a, const void *b) {
    const inbox_event *x = a, *y = b;
    if (x->book_id != y->book_id) {
        return x->book_id < y->book_id ? -1 : 1;
    }
    return (x->line > y->line) - (x->line < y->line);
}

static bool know(db_conn *c, arena *a, void *arg, err *e) {
    applying *x = arg;
    return inbox_know(c, &x->item, &x->said, &x->n_events, x->a, a, e);
}

// Makes room for each event to become an exception, and one more for `also`.
static bool make_room(applying *x, err *e) {
    inbox_said *s = &x->said;
    const size_t wanted = s->n_odd + s->n_events + 1;
    inbox_odd *more = ARENA_ARRAY(x->a, inbox_odd, wanted);
    if (more == NULL) {
        return inbox_no_memory(e);
    }
    if (s->n_odd > 0) {
        memcpy(more, s->odd, s->n_odd * sizeof *more);
    }
    s->odd = more;
    s->odd_max = wanted;
    for (size_t i = 0; i < s->n_events; i++) {
        s->events[i].event.inbox_id = x->item.inbox_id;
        s->events[i].event.inbox_line = s->events[i].line;
    }
    if (s->n_events > 1) {
        qsort(s->events, s->n_events, sizeof *s->events, by_book_and_line);
    }
    return true;
}

// --- Writing ---------------------------------------------------------------------------------------------------------

// Events [from, to) are of one book.
static bool write_events(const applying *x, db_conn *c, arena *a, size_t from, size_t to, err *e) {
    rail_event *events = ARENA_ARRAY(a, rail_event, to - from + 1);
    if (events == NULL) {
        return inbox_no_memory(e);
    }
    bool fresh = !x->raced;
    if (to == from) {
        return true;
    }
    for (size_t i = from; i < to; i++) {
        events[i - from] = x->said.events[i].event;
        fresh &= x->said.events[i].fresh;
    }
    const int64_t book_id = x->said.events[from].book_id;
    return fresh ? rail_events_add(c, book_id, x->item.connection, events, to - from, a, e)
                 : rail_events_record(c, book_id, events, to - from, a, e);
}

// True while these bytes still wait. Since the read, another thread may have applied them, or a person may have replaced them.
static bool still_waits(const applying *x, db_conn *c, arena *a, bool *waits, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, x->item.book_id);
    db_uuid(p, x->item.inbox_id);
    db_i32(p, x->item.version);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_STILL_WAITS], p, a, &rows, NULL, e)) {
        return false;
    }
    *waits = db_count(rows) == 1;
    return true;
}

static bool write_chunk(db_conn *c, arena *a, void *arg, err *e) {
    applying *x = arg;
    return still_waits(x, c, a, &x->waits, e) &&
           (!x->waits || write_events(x, c, a, x->from, x->to, e));
}

static db_params *odd_params(const applying *x, const inbox_odd *odd, size_t n, arena *a, err *e) {
    int32_t *lines = ARENA_ARRAY(a, int32_t, n);
    str *texts = ARENA_ARRAY(a, str, 5 * n);
    int64_t *numbers = ARENA_ARRAY(a, int64_t, 2 * n);
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    if (lines == NULL || texts == NULL || numbers == NULL || ids == NULL) {
        (void)inbox_no_memory(e);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        const inbox_odd *o = &odd[i];
        char aad[INBOX_AAD_MAX];
        const str raw = {o->raw.ptr, o->raw.len < INBOX_RAW_MAX ? o->raw.len : INBOX_RAW_MAX};
        if (!crypto_seal(
                x->box->keys,
                inbox_line_aad(x->item.book_id, x->item.inbox_id, x->item.version, o->line, aad),
                raw, a, &texts[3 * n + i], e)) {
            return NULL;
        }
        lines[i] = o->line;
        texts[i] = str_of(o->reason);
        texts[n + i] = inbox_text(a, str_of(o->text), TEXT_MAX);
        texts[2 * n + i] = inbox_text(a, str_of(o->compared), COMPARED_MAX);
        texts[4 * n + i] = str_of(o->currency);
        numbers[i] = o->about_book_id;
        numbers[n + i] = o->amount;
        ids[i] = o->payout_id;
    }
    db_params *p = db_params_create(a);
    db_i64(p, x->item.book_id);
    db_uuid(p, x->item.inbox_id);
    db_i32(p, x->item.version);
    db_time(p, x->now_us);
    db_i32_array(p, lines, n);
    db_text_array(p, texts, n);
    db_text_array(p, texts + n, n);
    db_text_array(p, texts + 2 * n, n);
    db_bytes_array(p, texts + 3 * n, n);
    db_i64_array(p, numbers, n);
    db_uuid_array(p, ids, n);
    db_i64_array(p, numbers + n, n);
    db_text_array(p, texts + 4 * n, n);
    return p;
}

static bool write_odd(const applying *x, db_conn *c, arena *a, err *e) {
    for (size_t i = 0; i < x->said.n_odd; i += INBOX_ODD_CHUNK) {
        const size_t left = x->said.n_odd - i, n = left < INBOX_ODD_CHUNK ? left : INBOX_ODD_CHUNK;
        const db_params *p = odd_params(x, x->said.odd + i, n, a, e);
        if (p == NULL || !db_exec(c, &INBOX_SQL[INBOX_SQL_EXCEPTIONS], p, a, NULL, NULL, e)) {
            return false;
        }
    }
    return true;
}

// --- Cases -----------------------------------------------------------------------------------------------------------

typedef struct case_list {
    case_new *cases;
    int64_t *books;
    size_t n;
    char id[UUID_TEXT_LEN + 1];
} case_list;

static void add_case(case_list *l, arena *a, int64_t book_id, int32_t line, const char *kind,
                     const char *code, const char *text, int64_t amount, const char *currency) {
    case_new *c = &l->cases[l->n];
    const char *subject =
        line == 0 ? arena_strdup(a, l->id) : arena_printf(a, "%s:%" PRId32, l->id, line);
    *c = (case_new){.kind = kind,
                    .subject_type = "inbox",
                    .subject_id = str_of(subject),
                    .code = str_of(code),
                    .text = str_of(text),
                    .amount = amount};
    (void)snprintf(c->currency, sizeof c->currency, "%.3s", currency);
    l->books[l->n++] = book_id;
}

// One case per line, so that their amounts add up; beyond a limit, one for the rest.
static void cases_of_lines(const applying *x, case_list *l, arena *a) {
    size_t rest = 0;
    int64_t rest_amount = 0;
    const char *currency = "";
    for (size_t i = 0; i < x->said.n_odd; i++) {
        const inbox_odd *o = &x->said.odd[i];
        if (x->folded > 0 && o->line == 0) {
            rest += x->folded;
            rest_amount += o->amount;
            currency = o->currency;
            continue;
        }
        if (o->case_kind == NULL) {
            continue;
        }
        if (l->n < INBOX_LINE_CASES_MAX) {
            add_case(l, a, o->about_book_id, o->line, o->case_kind, o->reason, o->text, o->amount,
                     o->currency);
            if (o->case_subject != NULL) {
                l->cases[l->n - 1].subject_id = str_of(o->case_subject);
            }
        } else {
            rest++;
            currency = o->currency;
            rest_amount += o->amount; // 10 digits each
        }
    }
    for (size_t i = 0; i < x->said.n_remarks; i++) {
        const inbox_remark *m = &x->said.remarks[i];
        if (l->n < 2 * INBOX_LINE_CASES_MAX) {
            add_case(l, a, m->book_id, m->line, "INBOX_LINE", m->code, m->text, m->amount,
                     m->currency);
        }
    }
    if (rest > 0) {
        add_case(l, a, 0, 0, "INBOX_LINE", "MANY_LINES",
                 arena_printf(a, "%zu more lines of this file match nothing", rest), rest_amount,
                 currency);
    }
}

// Each message could cost a case, at the bank's pace. Beyond an hour's budget they share one. All exceptions are kept in any case.
static void share_case(const applying *x, case_list *l, arena *a) {
    const int64_t hour = x->now_us / (INT64_C(3600) * 1000000);
    const bool file = x->item.kind == INBOX_FILE || x->item.kind == INBOX_OURS;
    const size_t own = inbox_take_budget(x->box, x->item.connection, file, hour, l->n);
    if (own == l->n) {
        return;
    }
    case_new shared = {
        .kind = "INBOX_LINE",
        .subject_type = "inbox",
        .subject_id = STR("many"),
        .code = file ? STR("MANY_FILES") : STR("MANY_MESSAGES"),
        .text = file ? STR("Files of this connection have more that matches nothing than can be "
                           "cases of their own within an hour. Each is an exception in the inbox, "
                           "or a file that is refused there.")
                     : STR("This connection sent more messages that match nothing than can be "
                           "cases of their own within an hour. Each is an exception in the "
                           "inbox.")};
    const char *subject =
        arena_printf(a, "%s:%d:%" PRId64, file ? "files" : "messages", x->item.connection, hour);
    shared.subject_id = subject == NULL ? shared.subject_id : str_of(subject);
    l->n = own;
    l->books[l->n] = 0;
    l->cases[l->n++] = shared;
}

static bool open_cases(const applying *x, db_conn *c, arena *a, err *e) {
    case_list l = {.cases = ARENA_ARRAY(a, case_new, 2 * INBOX_LINE_CASES_MAX + 2),
                   .books = ARENA_ARRAY(a, int64_t, 2 * INBOX_LINE_CASES_MAX + 2)};
    if (l.cases == NULL || l.books == NULL) {
        return inbox_no_memory(e);
    }
    uuid_format(x->item.inbox_id, l.id);
    if (x->said.refused != NULL) {
        add_case(&l, a, x->item.book_id, 0, "INBOX_FILE", x->said.refused, x->said.refused_text, 0,
                 "");
    } else {
        cases_of_lines(x, &l, a);
    }
    share_case(x, &l, a);
    // Opens the cases book by book: the first one left gives the book, and the others of this book move to the front.
    for (size_t done = 0; done < l.n;) {
        const int64_t book_id = l.books[done];
        size_t end = done;
        for (size_t i = done; i < l.n; i++) {
            if (l.books[i] == book_id) {
                const case_new moved = l.cases[i];
                l.cases[i] = l.cases[end];
                l.books[i] = l.books[end];
                l.cases[end] = moved;
                l.books[end++] = book_id;
            }
        }
        if (!cases_open(c, book_id, l.cases + done, end - done, x->now_us, a, e)) {
            return false;
        }
        done = end;
    }
    return true;
}

// --- The end ---------------------------------------------------------------------------------------------------------

static bool finish_row(const applying *x, db_conn *c, arena *a, err *e) {
    const inbox_said *s = &x->said;
    const bool refused = s->refused != NULL;
    db_params *p = db_params_create(a);
    db_i64(p, x->item.book_id);
    db_uuid(p, x->item.inbox_id);
    db_i32(p, x->item.version);
    db_i16(p, refused ? INBOX_REFUSED : INBOX_APPLIED);
    db_text(p, str_of(s->about));
    db_i32(p, s->lines);
    db_i32(p, x->n_events + (int32_t)s->n_events);
    db_i32(p, (int32_t)(s->n_odd + x->folded - (x->folded > 0 ? 1 : 0)));
    db_text(p, str_of(refused ? s->refused : ""));
    db_text(p, inbox_text(a, str_of(refused ? s->refused_text : ""), TEXT_MAX));
    db_time(p, x->now_us);
    db_i32(p, x->tries);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_FINISH], p, a, NULL, NULL, e);
}

// --- Again -----------------------------------------------------------------------------------------------------------

static bool is_among(const db_rows *lines, int32_t line) {
    size_t from = 0, to = db_count(lines);
    while (from < to) {
        const size_t mid = from + (to - from) / 2;
        const int32_t found = db_get_i32(lines, mid, 0);
        if (found == line) {
            return true;
        }
        from = found < line ? mid + 1 : from;
        to = found < line ? to : mid;
    }
    return false;
}

// A line that a person dismissed before stays dismissed, without a new case.
static bool keep_dismissed(applying *x, db_conn *c, arena *a, err *e) {
    db_rows *lines = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, x->item.book_id);
    db_uuid(p, x->item.inbox_id);
    db_i32(p, x->item.version);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_DISMISSED_LINES], p, a, &lines, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < x->said.n_odd; i++) {
        if (is_among(lines, x->said.odd[i].line)) {
            x->said.odd[i].case_kind = NULL;
        }
    }
    return true;
}

// Closes lines that were set aside and are understood now, and their cases.
static bool close_understood(const applying *x, db_conn *c, arena *a, err *e) {
    const str why = STR("it was understood when it was applied again");
    int32_t *odd = ARENA_ARRAY(a, int32_t, x->said.n_odd + 1);
    db_rows *lines = NULL;
    if (odd == NULL) {
        return inbox_no_memory(e);
    }
    for (size_t i = 0; i < x->said.n_odd; i++) {
        odd[i] = x->said.odd[i].line;
    }
    db_params *p = db_params_create(a);
    db_i64(p, x->item.book_id);
    db_uuid(p, x->item.inbox_id);
    db_i32(p, x->item.version);
    db_i32_array(p, odd, x->said.n_odd);
    db_text(p, why);
    db_time(p, x->now_us);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_UNDERSTOOD], p, a, &lines, NULL, e) &&
           inbox_close_cases(c, x->item.book_id, x->item.inbox_id, lines, false, why, x->now_us, a,
                             e);
}

// The transaction that ends an item: writes its last events, its exceptions and their cases, and marks it as applied. It locks the row
// first: a second applier of the same item waits here, and finds nothing left to do.
static bool finish(db_conn *c, arena *a, void *arg, err *e) {
    applying *x = arg;
    const inbox_said before = x->said; // a repeated transaction begins with the reader's result
    if (!still_waits(x, c, a, &x->waits, e) || !x->waits) {
        return !x->waits;
    }
    if (x->said.refused != NULL) {
        inbox_odd *o = x->said.odd;
        *o = (inbox_odd){.reason = x->said.refused,
                         .text = x->said.refused_text,
                         .compared = "",
                         .raw = STR("")};
        x->said.n_odd = 1;
        x->said.n_events = x->from = x->to = x->said.n_remarks = 0;
    } else if (x->reader.also != NULL &&
               !x->reader.also(x->reader.self, c, &x->item, &x->said, a, e)) {
        x->said = before;
        return false;
    }
    x->to = x->item.kind == INBOX_FILE ? x->to : x->said.n_events;
    const bool ok = inbox_fold(&x->said, &x->folded, a, e) && finish_row(x, c, a, e) &&
                    write_events(x, c, a, x->from, x->to, e) &&
                    (!x->again || (keep_dismissed(x, c, a, e) && close_understood(x, c, a, e))) &&
                    write_odd(x, c, a, e) && open_cases(x, c, a, e);
    if (!ok) {
        x->said = before;
    }
    return ok;
}

static int64_t deadline_of(const inbox *box) {
    return clock_mono_ms(box->clock) + INBOX_DB_TIMEOUT_MS;
}

// Runs one transaction that writes events. If someone has recorded the same since the look, it runs again, and looks again.
static bool write_in_tx(applying *x, db_tx_fn write, arena *scratch, err *e) {
    if (db_transact(x->box->pool, deadline_of(x->box), scratch, write, x, e)) {
        return true;
    }
    if (x->raced || e->code != ERR_ALREADY_EXISTS) {
        return false;
    }
    x->raced = true;
    err_clear(e);
    arena_reset(scratch);
    return db_transact(x->box->pool, deadline_of(x->box), scratch, write, x, e);
}

// Writes the events of a file, each chunk in its own transaction; then ends the item.
static bool write_all(applying *x, arena *scratch, err *e) {
    const inbox_said *s = &x->said;
    x->from = x->to = 0;
    while (x->said.refused == NULL && x->from < s->n_events) {
        x->to = x->from;
        while (x->to < s->n_events && x->to - x->from < INBOX_EVENTS_CHUNK &&
               s->events[x->to].book_id == s->events[x->from].book_id) {
            x->to++;
        }
        if (x->to == s->n_events && x->item.kind != INBOX_FILE) {
            break; // a message has one event, which is written with the end
        }
        if (!write_in_tx(x, write_chunk, scratch, e)) {
            return false;
        }
        arena_reset(scratch);
        CRASH_POINT("inbox.apply.chunk");
        if (!x->waits) {
            return true;
        }
        x->from = x->to;
    }
    x->to = x->item.kind == INBOX_FILE ? x->from : x->to;
    return write_in_tx(x, finish, scratch, e);
}

static void wake_books(const applying *x) {
    for (size_t i = 0; i < x->said.n_events; i++) {
        if (i == 0 || x->said.events[i].book_id != x->said.events[i - 1].book_id) {
            inbox_wake(x->box, x->said.events[i].book_id, x->item.connection);
        }
    }
    if (x->said.also_book != 0) {
        inbox_wake(x->box, x->said.also_book, x->item.connection);
    }
}

static void tell(const applying *x) {
    const inbox_said *s = &x->said;
    char id[UUID_TEXT_LEN + 1];
    uuid_format(x->item.inbox_id, id);
    metric_add(s->refused != NULL ? x->box->refused : x->box->applied, 1);
    metric_add(x->box->exceptions, (int64_t)s->n_odd);
    static log_gate gate;
    if (s->refused != NULL) {
        if (!log_gate_pass(&gate, "inbox.refused", clock_mono_ms(x->box->clock))) {
            return;
        }
        log_error("inbox.refused", F_STR("id", id), F_STR("reason", s->refused),
                  F_STR("why", s->refused_text));
    } else {
        log_info("inbox.applied", F_STR("id", id), F_STR("about", s->about),
                 F_INT("lines", s->lines), F_INT("events", x->n_events + (int64_t)s->n_events),
                 F_INT("exceptions", (int64_t)s->n_odd));
    }
}

static bool apply_loaded(applying *x, arena *scratch, err *e) {
    if (x->may_ask && x->reader.ask != NULL &&
        !x->reader.ask(x->reader.self, &x->item, &x->item.asked, x->a, e)) {
        return false;
    }
    if (!db_read(x->box->pool, deadline_of(x->box), scratch, read_item, x, e)) {
        return false;
    }
    arena_reset(scratch);
    if (!make_room(x, e) || (x->said.n_events > 0 &&
                             !db_read(x->box->pool, deadline_of(x->box), scratch, know, x, e))) {
        return false;
    }
    arena_reset(scratch);
    CRASH_POINT("inbox.apply.read");
    if (!write_all(x, scratch, e)) {
        return false;
    }
    CRASH_POINT("inbox.applied");
    return true;
}

// --- Failures of ours ------------------------------------------------------------------------------------------------

// Written before the try: a try that kills the process cannot be noted afterwards, and would come first at each start.
static bool note_try(db_conn *c, arena *a, void *arg, err *e) {
    const applying *x = arg;
    db_params *p = db_params_create(a);
    db_i64(p, x->item.book_id);
    db_uuid(p, x->item.inbox_id);
    db_time(p, x->now_us);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_TRYING], p, a, NULL, NULL, e);
}

// The database was away, or the connection is off: this is not the item's fault.
static bool is_innocent(const err *why) {
    return why->code == ERR_UNAVAILABLE || why->code == ERR_FAILED_PRECONDITION;
}

typedef struct failure {
    applying *x;
    const err *why;
} failure;

static bool note_failure(db_conn *c, arena *a, void *arg, err *e) {
    const failure *f = arg;
    db_params *p = db_params_create(a);
    db_i64(p, f->x->item.book_id);
    db_uuid(p, f->x->item.inbox_id);
    db_text(p, str_of(f->why->reason));
    db_text(p, inbox_text(a, str_of(f->why->message), TEXT_MAX));
    db_time(p, f->x->now_us);
    db_i32(p, f->x->tries + (is_innocent(f->why) ? 0 : 1));
    return db_exec(c, &INBOX_SQL[INBOX_SQL_TRIED], p, a, NULL, NULL, e);
}

static bool give_up(applying *x, const char *why, arena *scratch, err *e) {
    x->tries = INBOX_TRIES_MAX;
    x->said = (inbox_said){.about = "",
                           .refused = "NOT_APPLIED",
                           .refused_text = arena_strdup(x->a, why),
                           .odd = ARENA_ARRAY(x->a, inbox_odd, 1),
                           .odd_max = 1};
    if (x->said.odd == NULL || x->said.refused_text == NULL) {
        return inbox_no_memory(e);
    }
    return db_transact(x->box->pool, deadline_of(x->box), scratch, finish, x, e);
}

// An item that fails again and again delays no other: after some tries it waits for a person.
static void give_up_later(applying *x, const err *why, arena *scratch) {
    err e = {0};
    failure f = {x, why};
    if (!x->waits || (is_innocent(why) && !x->counted)) {
        return;
    }
    bool ok = db_transact(x->box->pool, deadline_of(x->box), scratch, note_failure, &f, &e);
    if (ok && !is_innocent(why) && x->tries + 1 >= INBOX_TRIES_MAX) {
        ok = give_up(x, why->message, scratch, &e);
    }
    if (!ok) {
        log_err(LOG_WARN, "inbox.failure_not_noted", &e);
    }
}

static bool apply_tried(applying *x, arena *scratch, err *e) {
    if (!find_reader(x->box, x->item.connection, &x->reader)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "CONNECTION_OFF",
                       "the connection that this came from is switched off");
    }
    if (x->tries >= INBOX_TRIES_MAX) { // and no error explained it
        return give_up(x, "The service ended each time while this was applied.", scratch, e);
    }
    return apply_loaded(x, scratch, e);
}

// waited: nobody waits for the thread, so the bank may be asked. The try is written down before it begins, which costs a transaction.
static bool apply_one(inbox *box, int64_t book_id, uuid inbox_id, bool waited, err *e) {
    arena *a = arena_create(INBOX_SCRATCH_MAX), *scratch = arena_create(INBOX_SCRATCH_MAX);
    applying x = {.box = box,
                  .a = a,
                  .may_ask = waited,
                  .item = {.book_id = book_id, .inbox_id = inbox_id},
                  .counted = waited,
                  .now_us = clock_wall_us(box->clock)};
    bool ok = (!waited || db_transact(box->pool, deadline_of(box), scratch, note_try, &x, e)) &&
              db_read(box->pool, deadline_of(box), scratch, load, &x, e);
    ok = ok && (!x.waits || apply_tried(&x, scratch, e));
    if (ok) {
        wake_books(&x);
    }
    if (ok && x.waits) {
        tell(&x);
    } else if (!ok) {
        static log_gate gate;
        if (e->code != ERR_FAILED_PRECONDITION) {
            if (log_gate_pass(&gate, "inbox.not_applied", clock_mono_ms(box->clock))) {
                log_err(LOG_WARN, "inbox.not_applied", e);
            }
            metric_add(box->failed, 1);
        }
        give_up_later(&x, e, scratch);
    }
    arena_destroy(scratch);
    arena_destroy(a);
    return ok;
}

// A first try, by the caller itself, of a new item or an order. A crash of the process is counted at the next try.
bool inbox_apply(inbox *box, int64_t book_id, uuid inbox_id, err *e) {
    return apply_one(box, book_id, inbox_id, false, e);
}

// --- What waits ------------------------------------------------------------------------------------------------------

typedef struct waiting {
    int connection;
    int64_t before_us;
    db_rows *rows;
} waiting;

static bool find_waiting(db_conn *c, arena *a, void *arg, err *e) {
    waiting *w = arg;
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)w->connection);
    db_time(p, w->before_us);
    db_i64(p, INBOX_WAITING_MAX);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_WAITING], p, a, &w->rows, NULL, e);
}

bool inbox_apply_waiting(inbox *box, int connection, err *e) {
    arena *a = arena_create(INBOX_SCRATCH_MAX);
    waiting w = {.connection = connection,
                 .before_us = clock_wall_us(box->clock) - MESSAGE_REST_US};
    bool ok = db_read(box->pool, deadline_of(box), a, find_waiting, &w, e);
    const bool found = ok;
    for (size_t i = 0; found && i < db_count(w.rows); i++) {
        err one = {0};
        if (!apply_one(box, db_get_i64(w.rows, i, 0), db_get_uuid(w.rows, i, 1), true, &one)) {
            ok = false;
            *e = one;
            if (one.code == ERR_UNAVAILABLE) {
                break; // the rest would fail as well
            }
        }
    }
    arena_destroy(a);
    return ok;
}
