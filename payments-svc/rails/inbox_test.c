// People's reads and orders of the inbox: a real database, and a bank whose files are lines of words.
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "books/books.h"
#include "events/events.h"
#include "rails/inbox_desk.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"

enum { CONNECTION = 1 };

static db_pool *pool;
static crypto_keyring *keys;
static inbox *box;
static arena *mem;
static bool understands;   // understands the odd lines
static err fails;          // the error of each try, if any
static int64_t tries_seen; // as the database has them during a read
static int reads;
static bool raw_is_all; // of an exception
static void (*while_read)(void);
static bool pays;        // each reading finds a new settlement
static int others_calls; // calls for other effects of an item, such as on a submission

static void add_settlement(inbox_said *out, arena *a, int number) {
    out->events = ARENA_ARRAY(a, inbox_event, 1);
    out->events[out->n_events++] =
        (inbox_event){.book_id = 7,
                      .line = 1,
                      .raw = STR(""),
                      .event = {.payout_id = {{7}},
                                .attempt = number,
                                .kind = RAIL_EVENT_SETTLED,
                                .event_id = str_of(arena_printf(a, "read-%d", number)),
                                .code = STR(""),
                                .text = STR(""),
                                .reference = STR(""),
                                .amount = 100,
                                .currency = "USD",
                                .at_us = 1}};
}

static bool move_others(void *self, db_conn *c, const inbox_item *item, inbox_said *said, arena *a,
                        err *e) {
    (void)self;
    (void)c;
    (void)item;
    (void)said;
    (void)a;
    (void)e;
    others_calls++;
    return true;
}

// "bad" is refused. Otherwise each line "odd" is an exception, and the others are events.
static bool read_words(void *self, db_conn *c, const inbox_item *item, inbox_said *out, arena *a,
                       err *e) {
    (void)self;
    (void)c;
    const int number = ++reads;
    if (while_read != NULL) {
        while_read();
    }
    if (pays) {
        add_settlement(out, a, number);
    }
    tries_seen = fixture_sql_i64("SELECT max(tries) FROM inbox");
    if (err_is_set(&fails)) {
        *e = fails;
        return false;
    }
    out->about = "words";
    out->odd_max = 20000;
    out->odd = ARENA_ARRAY(a, inbox_odd, out->odd_max);
    if (item->bytes.len >= 3 && memcmp(item->bytes.ptr, "bad", 3) == 0) {
        out->refused = "BAD_FILE";
        out->refused_text = "it is bad";
        return true;
    }
    for (const char *s = item->bytes.ptr, *end = s + item->bytes.len; s < end;) {
        const char *stop = memchr(s, '\n', (size_t)(end - s));
        const size_t n = stop == NULL ? (size_t)(end - s) : (size_t)(stop - s);
        out->lines++;
        if (!understands && n == 3 && memcmp(s, "odd", 3) == 0) {
            out->odd[out->n_odd++] = (inbox_odd){.line = out->lines,
                                                 .reason = "UNKNOWN_ENTRY",
                                                 .text = "it matches nothing",
                                                 .compared = "",
                                                 .raw = raw_is_all ? item->bytes : (str){s, n},
                                                 .about_book_id = 7,
                                                 .amount = 100 * out->lines,
                                                 .currency = "USD",
                                                 .case_kind = "INBOX_LINE"};
        }
        s += n + 1;
    }
    return true;
}

static inbox_ref put(const char *words) {
    const inbox_raw raw = {.book_id = 0,
                           .connection = CONNECTION,
                           .kind = INBOX_FILE,
                           .name = STR("file"),
                           .bytes = str_of(words),
                           .said_us = clock_wall_us(clock_system())};
    inbox_ref ref;
    err e = {0};
    assert_true(inbox_record(box, &raw, &ref, &e));
    assert_true(inbox_apply(box, 0, ref.inbox_id, &e));
    return ref;
}

static inbox_order order_of(inbox_ref ref) {
    return (inbox_order){
        .inbox_id = ref.inbox_id, .actor = STR("test for ann"), .reason = STR("the bank said so")};
}

static void assert_count(const char *table_and_condition, int64_t n) {
    char sql[1024];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table_and_condition);
    const int64_t got = fixture_sql_i64(sql);
    if (got != n) {
        fail_msg("%" PRId64 " rows, not %" PRId64 ": %s", got, n, sql);
    }
}

// --- Orders ----------------------------------------------------------------------------------------------------------

static void test_repair__refused__applied_and_the_old_bytes_stay(void **state) {
    (void)state;
    const inbox_ref ref = put("bad");
    assert_count("inbox WHERE state = 3", 1);
    assert_count("payment_case WHERE kind = 'INBOX_FILE' AND state = 1", 1);
    const inbox_order o = order_of(ref);
    err e = {0}, not_applied = {0};
    for (int i = 0; i < 2; i++) { // the same bytes again change nothing
        assert_true(inbox_repair(box, &o, STR("good\nodd\n"), false, &not_applied, &e));
        assert_int_equal(not_applied.code, ERR_OK);
        assert_count("inbox WHERE state = 2 AND version = 2 AND lines = 2 AND exceptions = 1", 1);
        assert_count("inbox_version WHERE version = 2 AND actor = 'test for ann'"
                     " AND reason = 'the bank said so'",
                     1);
    }
    assert_count("inbox_exception WHERE version = 1 AND line = 0 AND state = 3", 1);
    assert_count("inbox_exception WHERE version = 2 AND line = 2 AND state = 1", 1);
    assert_count("payment_case WHERE kind = 'INBOX_FILE' AND state = 1", 0);
    assert_count("case_note WHERE text LIKE 'repaired by test for ann: the bank said so'", 1);
}

// An applied item is not replaced by mistake.
static void test_repair__applied__only_when_that_is_said(void **state) {
    (void)state;
    const inbox_ref ref = put("good\n");
    const inbox_order o = order_of(ref);
    err e = {0}, not_applied = {0};
    assert_false(inbox_repair(box, &o, STR("better\n"), false, &not_applied, &e));
    assert_int_equal(e.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(e.reason, "INBOX_APPLIED");
    assert_count("inbox WHERE state = 2 AND version = 1", 1);
    assert_count("inbox_version", 0);
    for (int i = 0; i < 2; i++) { // the same bytes change nothing, and need no confirmation
        assert_true(inbox_repair(box, &o, STR("better\n"), i == 0, &not_applied, &e));
        assert_count("inbox WHERE state = 2 AND version = 2", 1);
    }
}

static void test_dismiss__line__closed_with_its_case_and_stays_so(void **state) {
    (void)state;
    const inbox_ref ref = put("odd\ngood\nodd\n");
    const inbox_order o = order_of(ref);
    err e = {0}, not_applied = {0};
    assert_count("payment_case WHERE book_id = 7 AND state = 1", 2);
    for (int i = 0; i < 2; i++) {
        assert_true(inbox_dismiss(box, &o, 3, &e));
        assert_count("inbox_exception WHERE line = 3 AND state = 2 AND closed_by = 'test for ann'",
                     1);
        assert_count("payment_case WHERE book_id = 7 AND state = 1", 1);
        assert_count("case_note WHERE text = 'dismissed by test for ann: the bank said so'", 1);
        // Applied again, the line is odd again, and nobody is asked again.
        assert_true(inbox_again(box, &o, &not_applied, &e));
        assert_int_equal(not_applied.code, ERR_OK);
    }
    assert_false(inbox_dismiss(box, &o, 2, &e));
    assert_string_equal(e.reason, "EXCEPTION_NOT_FOUND");
    assert_count("inbox_exception WHERE state = 1", 1);
}

static void test_dismiss__refused_file__dismissed(void **state) {
    (void)state;
    const inbox_ref ref = put("bad");
    const inbox_order o = order_of(ref);
    err e = {0};
    assert_true(inbox_dismiss(box, &o, 0, &e));
    assert_count("inbox WHERE state = 4", 1);
    assert_count("payment_case WHERE state = 1", 0);
    assert_true(inbox_dismiss(box, &o, 0, &e));
}

static void test_again__understood_by_now__closed(void **state) {
    (void)state;
    const inbox_ref ref = put("odd\nodd\n");
    const inbox_order o = order_of(ref);
    err e = {0}, not_applied = {0};
    assert_true(inbox_dismiss(box, &o, 1, &e));
    understands = true;
    assert_true(inbox_again(box, &o, &not_applied, &e));
    assert_count("inbox WHERE state = 2 AND exceptions = 0", 1);
    assert_count("inbox_exception WHERE line = 2 AND state = 3", 1);
    assert_count("inbox_exception WHERE line = 1 AND state = 2", 1);
    assert_count("payment_case WHERE state = 1", 0);
    assert_false(inbox_dismiss(box, &o, 2, &e));
    assert_string_equal(e.reason, "EXCEPTION_REPLACED");
}

static void test_order__nothing_there_or_switched_off__told(void **state) {
    (void)state;
    const inbox_ref ref = put("odd\n");
    inbox_order o = order_of(ref);
    err e = {0}, not_applied = {0};
    inbox_unlisten(box, CONNECTION);
    assert_true(inbox_again(box, &o, &not_applied, &e));
    assert_string_equal(not_applied.reason, "CONNECTION_OFF");
    assert_count("inbox WHERE state = 1", 1);
    assert_false(inbox_repair(box, &o, STR("good\n"), true, &not_applied, &e));
    assert_string_equal(e.reason, "INBOX_WAITS");
    o.book_id = 7;
    assert_false(inbox_dismiss(box, &o, 1, &e));
    assert_string_equal(e.reason, "INBOX_NOT_FOUND");
}

static inbox_ref others[2]; // items ordered while another one is read
static size_t n_ordered;
static err refusal;

static void order_more(void) {
    err e = {0}, not_applied = {0};
    const inbox_order o = order_of(others[n_ordered]);
    if (n_ordered == 0) {
        n_ordered++;
        assert_true(inbox_again(box, &o, &not_applied, &e));
        assert_int_equal(not_applied.code, ERR_OK);
        return;
    }
    while_read = NULL;
    assert_false(inbox_repair(box, &o, STR("good\n"), true, &not_applied, &e));
    assert_string_equal(e.reason, "INBOX_BUSY");
    assert_false(inbox_again(box, &o, &not_applied, &refusal));
}

static void test_order__id_of_zeros__not_found(void **state) {
    (void)state;
    err e = {0}, not_applied = {0};
    const inbox_order o = order_of((inbox_ref){0});
    assert_false(inbox_again(box, &o, &not_applied, &e));
    assert_string_equal(e.reason, "INBOX_NOT_FOUND");
    assert_false(inbox_repair(box, &o, STR("good\n"), true, &not_applied, &e));
    assert_string_equal(e.reason, "INBOX_NOT_FOUND");
}

static void test_order__third_at_once__refused_and_nothing_changed(void **state) {
    (void)state;
    const inbox_ref first = put("odd\n");
    others[0] = put("odd\nodd\n");
    others[1] = put("odd\nodd\nodd\n");
    n_ordered = 0;
    while_read = order_more;
    inbox_order o = order_of(first);
    err e = {0}, not_applied = {0};
    assert_true(inbox_again(box, &o, &not_applied, &e));
    assert_int_equal(not_applied.code, ERR_OK);
    assert_int_equal(refusal.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(refusal.reason, "INBOX_BUSY");
    assert_true(refusal.retry_after_ms > 0);
    assert_count("inbox WHERE state = 2 AND version = 1", 3);
    o = order_of(others[1]);
    for (int i = 0; i < 3; i++) { // each frees its place
        assert_true(inbox_again(box, &o, &not_applied, &e));
    }
    assert_true(inbox_repair(box, &o, STR("good\n"), true, &not_applied, &e));
}

static inbox_ref the_one;
static inbox *another; // of a second instance

static void other_instance_applies(void) {
    err e = {0}, not_applied = {0};
    const inbox_order o = order_of(the_one);
    while_read = NULL;
    assert_true(inbox_apply(another, 0, the_one.inbox_id, &e));
    assert_count("inbox WHERE state = 2 AND version = 1", 1);
    assert_true(inbox_repair(another, &o, STR("better\n"), true, &not_applied, &e));
    assert_int_equal(not_applied.code, ERR_OK);
    assert_count("inbox WHERE state = 2 AND version = 2", 1);
}

// Another instance has applied the item meanwhile, and a person has replaced it: the first reader writes nothing.
static void test_apply__applied_meanwhile_by_another__writes_nothing(void **state) {
    (void)state;
    static const inbox_reader READER = {
        .connection = CONNECTION, .read = read_words, .also = move_others};
    another = inbox_create(pool, keys, clock_system());
    inbox_listen(another, &READER);
    inbox_unlisten(box, CONNECTION);
    inbox_listen(box, &READER);
    const inbox_raw raw = {.connection = CONNECTION,
                           .kind = INBOX_FILE,
                           .name = STR("file"),
                           .bytes = STR("good\n"),
                           .said_us = 1};
    err e = {0};
    assert_true(inbox_record(box, &raw, &the_one, &e));
    pays = true;
    reads = others_calls = 0;
    while_read = other_instance_applies;
    assert_true(inbox_apply(box, 0, the_one.inbox_id, &e));
    assert_int_equal(reads, 3); // its own, the other's, and that of the new bytes
    assert_count("rail_event", 2);
    assert_count("rail_event WHERE event_id = 'read-1'", 0);
    assert_int_equal(others_calls, 2);
    assert_count("inbox WHERE state = 2 AND version = 2", 1);
    inbox_unlisten(another, CONNECTION);
    inbox_destroy(another);
}

static void order_the_same(void) {
    err e = {0}, not_applied = {0};
    const inbox_order o = order_of(the_one);
    while_read = NULL;
    assert_false(inbox_again(box, &o, &not_applied, &refusal));
    assert_false(inbox_repair(box, &o, STR("better\n"), true, &not_applied, &e));
    assert_string_equal(e.reason, "INBOX_BUSY");
}

static void test_order__of_one_item_twice_at_once__one_of_them_waits(void **state) {
    (void)state;
    the_one = put("odd\n");
    const inbox_order o = order_of(the_one);
    err e = {0}, not_applied = {0};
    err_clear(&refusal);
    reads = 0;
    while_read = order_the_same;
    assert_true(inbox_again(box, &o, &not_applied, &e));
    assert_string_equal(refusal.reason, "INBOX_BUSY");
    assert_int_equal(reads, 1);
    assert_true(inbox_again(box, &o, &not_applied, &e));
}

// --- Recording -------------------------------------------------------------------------------------------------------

static void test_record__as_large_as_it_says__recorded(void **state) {
    (void)state;
    char *bytes = calloc(1, INBOX_BYTES_MAX + 1);
    assert_non_null(bytes);
    inbox_raw raw = {.connection = CONNECTION,
                     .kind = INBOX_FILE,
                     .name = STR("large"),
                     .bytes = {bytes, INBOX_BYTES_MAX}};
    inbox_ref ref;
    err e = {0};
    if (!inbox_record(box, &raw, &ref, &e)) {
        fail_msg("%s %s", e.reason, e.message);
    }
    raw.bytes.len++;
    assert_false(inbox_record(box, &raw, &ref, &e));
    assert_string_equal(e.reason, "TOO_LARGE");
    free(bytes);
}

// --- Tries -----------------------------------------------------------------------------------------------------------

static void record(const char *words) {
    const inbox_raw raw = {
        .connection = CONNECTION, .kind = INBOX_FILE, .name = STR("file"), .bytes = str_of(words)};
    inbox_ref ref;
    err e = {0};
    assert_true(inbox_record(box, &raw, &ref, &e));
}

// A try that kills the process, or never ends, cannot say so afterwards.
static void test_apply__try__counted_before_it_begins(void **state) {
    (void)state;
    err e = {0};
    record("poison");
    (void)err_set(&fails, ERR_DEADLINE_EXCEEDED, "TIMEOUT", "it took too long");
    for (int i = 1; i < INBOX_TRIES_MAX; i++) {
        assert_false(inbox_apply_waiting(box, CONNECTION, &e));
        assert_int_equal(tries_seen, i);
        assert_count("inbox WHERE state = 1 AND reason = 'TIMEOUT'", 1);
    }
    (void)!inbox_apply_waiting(box, CONNECTION, &e);
    assert_count("inbox WHERE state = 3 AND reason = 'NOT_APPLIED' AND tries = 10", 1);
    assert_count("payment_case WHERE kind = 'INBOX_FILE' AND code = 'NOT_APPLIED'", 1);
}

static void test_apply__process_that_died_each_time__waits_for_a_person(void **state) {
    (void)state;
    err e = {0};
    record("poison");
    fixture_sql("UPDATE inbox SET tries = 10", NULL, 0);
    reads = 0;
    (void)!inbox_apply_waiting(box, CONNECTION, &e);
    assert_int_equal(reads, 0);
    assert_count("inbox WHERE state = 3 AND reason = 'NOT_APPLIED'", 1);
    assert_count("payment_case WHERE kind = 'INBOX_FILE' AND code = 'NOT_APPLIED'", 1);
}

static void test_apply__what_failed_before__does_not_go_first(void **state) {
    (void)state;
    err e = {0};
    record("bad");
    fixture_sql("UPDATE inbox SET tries = 1", NULL, 0);
    record("good");
    assert_true(inbox_apply_waiting(box, CONNECTION, &e));
    assert_int_equal(tries_seen, 2); // "bad" was read last
    assert_count("inbox WHERE state = 2 AND tries = 0", 1);
    assert_count("inbox WHERE state = 3 AND tries = 1", 1); // this item did not fail
}

// --- Very many -------------------------------------------------------------------------------------------------------

static void test_apply__very_many_odd_lines__the_rest_is_one_row(void **state) {
    (void)state;
    enum { LINES = INBOX_ODD_MAX + 500 };
    char *words = malloc(4 * LINES + 1);
    assert_non_null(words);
    for (int i = 0; i < LINES; i++) {
        memcpy(words + 4 * i, "odd\n", 5);
    }
    const inbox_ref ref = put(words);
    free(words);
    assert_count("inbox_exception", INBOX_ODD_MAX);
    assert_count("inbox WHERE state = 2 AND exceptions = 5500", 1);
    assert_count("inbox_exception WHERE line = 0 AND reason = 'MANY_LINES'"
                 " AND reason_text LIKE '501 more lines%'",
                 1);
    assert_int_equal(fixture_sql_i64("SELECT sum(amount)::int8 FROM inbox_exception"),
                     100LL * LINES * (LINES + 1) / 2);
    assert_count("payment_case WHERE code = 'MANY_LINES' AND text LIKE '5300 more lines%'", 1);
    assert_count("payment_case", INBOX_LINE_CASES_MAX + 1);
    const inbox_order o = order_of(ref);
    err e = {0};
    assert_true(inbox_dismiss(box, &o, 0, &e));
    assert_count("payment_case WHERE code = 'MANY_LINES' AND state = 1", 0);
    assert_count("inbox WHERE state = 2", 1);
}

static void test_apply__long_line__kept_in_part(void **state) {
    (void)state;
    raw_is_all = true;
    char words[3 * INBOX_RAW_MAX] = "odd\n";
    memset(words + 4, 'x', sizeof words - 5);
    put(words);
    assert_count("inbox_exception WHERE octet_length(raw_sealed) BETWEEN 4096 AND 4200", 1);
}

static int64_t hour_now(void) {
    return clock_wall_us(clock_system()) / (INT64_C(3600) * 1000000);
}

static void test_apply__messages_at_the_banks_pace__share_a_case(void **state) {
    (void)state;
    err e = {0};
    const int64_t hour = hour_now();
    for (int i = 0; i < INBOX_MESSAGE_CASES_MAX + 20; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "message %d", i);
        const inbox_raw raw = {.connection = CONNECTION,
                               .kind = INBOX_MESSAGE,
                               .name = str_of(name),
                               .bytes = STR("odd")};
        inbox_ref ref;
        assert_true(inbox_record(box, &raw, &ref, &e));
        assert_true(inbox_apply(box, 0, ref.inbox_id, &e));
    }
    assert_count("inbox_exception", INBOX_MESSAGE_CASES_MAX + 20);
    if (hour == hour_now()) { // else a new budget began in between
        assert_count("payment_case", INBOX_MESSAGE_CASES_MAX + 1);
        assert_count("payment_case WHERE code = 'MANY_MESSAGES' AND seen = 20", 1);
    }
}

static void test_apply__files_at_the_banks_pace__share_a_case(void **state) {
    (void)state;
    enum { FILES = INBOX_FILE_CASES_MAX / 100 + 2 };
    static char words[4 * 100 + 32];
    const int64_t hour = hour_now();
    for (int i = 0; i < FILES; i++) {
        size_t n = (size_t)snprintf(words, sizeof words, "file %d\n", i);
        for (int k = 0; k < 100; k++, n += 4) {
            memcpy(words + n, "odd\n", 5);
        }
        put(words);
    }
    assert_count("inbox_exception", 100 * FILES);
    if (hour == hour_now()) { // else a new budget began in between
        assert_count("payment_case", INBOX_FILE_CASES_MAX + 1);
        assert_count("payment_case WHERE code = 'MANY_FILES' AND seen = 2 AND book_id = 0", 1);
    }
}

// --- Reading ---------------------------------------------------------------------------------------------------------

typedef struct looking {
    inbox_filter items;
    inbox_exception_filter odd;
    inbox_row *rows;
    inbox_exception_row *exceptions;
    size_t n_rows, n_exceptions;
    str content;
} looking;

static bool look_tx(db_conn *c, arena *a, void *arg, err *e) {
    looking *x = arg;
    int64_t *books = NULL;
    if (!books_list(c, BOOKS_OF_INBOX, &books, &x->items.n_books, a, e)) {
        return false;
    }
    x->items.books = books;
    return inbox_list(c, &x->items, &x->rows, &x->n_rows, a, e) &&
           inbox_exceptions(c, &x->odd, &x->exceptions, &x->n_exceptions, a, e);
}

static void look(looking *x) {
    err e = {0};
    if (!db_read(pool, fixture_deadline(30000), mem, look_tx, x, &e)) {
        fail_msg("%s %s %s", e.reason, e.message, e.detail);
    }
}

static void test_list__pages_and_filters(void **state) {
    (void)state;
    static const int16_t CONNECTIONS[] = {1, 2}, ALL[] = {1, 2, 3, 4}, REFUSED[] = {3};
    const inbox_ref first = put("odd\n"), second = put("bad"), third = put("odd\ngood\nodd\n");
    looking x = {.items = {.connections = CONNECTIONS,
                           .n_connections = 2,
                           .states = ALL,
                           .n_states = 4,
                           .limit = 2},
                 .odd = {.limit = 2}};
    memset(x.items.before.b, 0xff, sizeof x.items.before.b);
    look(&x);
    assert_int_equal(x.n_rows, 2);
    assert_true(uuid_eq(x.rows[0].inbox_id, third.inbox_id));
    x.items.before = x.rows[1].inbox_id;
    look(&x);
    assert_int_equal(x.n_rows, 1);
    assert_true(uuid_eq(x.rows[0].inbox_id, first.inbox_id));
    memset(x.items.before.b, 0xff, sizeof x.items.before.b);
    x.items.states = REFUSED;
    x.items.n_states = 1;
    look(&x);
    assert_int_equal(x.n_rows, 1);
    assert_true(uuid_eq(x.rows[0].inbox_id, second.inbox_id));
    // All exceptions, page by page.
    size_t seen = 0;
    while (x.n_exceptions > 0) {
        seen += x.n_exceptions;
        const inbox_exception_row *last = &x.exceptions[x.n_exceptions - 1];
        x.odd.after_book_id = last->book_id;
        x.odd.after_inbox_id = last->inbox_id;
        x.odd.after_version = last->version;
        x.odd.after_line = last->line;
        look(&x);
    }
    assert_int_equal(seen, 4);
    x.odd = (inbox_exception_filter){.reason = STR("BAD_FILE"), .limit = 10};
    look(&x);
    assert_int_equal(x.n_exceptions, 1);
    static const int16_t OTHER = 2;
    x.odd = (inbox_exception_filter){
        .reason = STR(""), .connections = &OTHER, .n_connections = 1, .limit = 10};
    look(&x);
    assert_int_equal(x.n_exceptions, 0);
    x.odd = (inbox_exception_filter){
        .of_item = true, .inbox_id = third.inbox_id, .reason = STR(""), .limit = 10};
    look(&x);
    assert_int_equal(x.n_exceptions, 2);
    str raw;
    err e = {0};
    assert_true(inbox_line_open(keys, &x.exceptions[1], &raw, mem, &e));
    assert_true(str_eq_c(raw, "odd"));
}

// One message in each of forty books, and a second one in some: a book needs no merchant.
static void test_books__of_many_items__each_once(void **state) {
    (void)state;
    err e = {0};
    for (int i = 0; i < 60; i++) {
        char words[24];
        snprintf(words, sizeof words, "word %d", i);
        const inbox_raw raw = {.book_id = 1 + 3 * (i % 40),
                               .connection = CONNECTION,
                               .kind = INBOX_MESSAGE,
                               .name = STR("message"),
                               .bytes = str_of(words),
                               .said_us = clock_wall_us(clock_system())};
        inbox_ref ref;
        assert_true(inbox_record(box, &raw, &ref, &e));
    }
    looking x = {.items = {.limit = 1}, .odd = {.limit = 1}};
    look(&x);
    assert_int_equal(x.items.n_books, 40);
    for (size_t i = 0; i < x.items.n_books; i++) {
        assert_int_equal(x.items.books[i], 1 + 3 * (int)i);
    }
}

// --- Main ------------------------------------------------------------------------------------------------------------

static int group_setup(void **state) {
    (void)state;
    char path[] = "/tmp/disburse-ring.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *out = fdopen(fd, "w");
    fprintf(out, "k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
    fclose(out);
    chmod(path, 0600);
    log_init("inbox-test", LOG_ERROR + 1);
    rail_fixture_migrate();
    pool = fixture_pool(fixture_conninfo(), 4, 30000);
    err e = {0};
    keys = crypto_keyring_load(path, &e);
    assert_non_null(keys);
    unlink(path);
    return 0;
}

static int group_teardown(void **state) {
    (void)state;
    crypto_keyring_destroy(keys);
    db_pool_destroy(pool);
    return 0;
}

static int setup(void **state) {
    (void)state;
    static const inbox_reader READER = {.connection = CONNECTION, .read = read_words};
    rail_fixture_clear();
    understands = raw_is_all = pays = false;
    err_clear(&fails);
    while_read = NULL;
    mem = arena_create(64 * 1024 * 1024);
    box = inbox_create(pool, keys, clock_system());
    inbox_listen(box, &READER);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    inbox_unlisten(box, CONNECTION);
    inbox_destroy(box);
    arena_destroy(mem);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_repair__refused__applied_and_the_old_bytes_stay),
        TEST(test_repair__applied__only_when_that_is_said),
        TEST(test_dismiss__line__closed_with_its_case_and_stays_so),
        TEST(test_dismiss__refused_file__dismissed),
        TEST(test_again__understood_by_now__closed),
        TEST(test_order__nothing_there_or_switched_off__told),
        TEST(test_order__id_of_zeros__not_found),
        TEST(test_order__third_at_once__refused_and_nothing_changed),
        TEST(test_order__of_one_item_twice_at_once__one_of_them_waits),
        TEST(test_apply__applied_meanwhile_by_another__writes_nothing),
        TEST(test_record__as_large_as_it_says__recorded),
        TEST(test_apply__very_many_odd_lines__the_rest_is_one_row),
        TEST(test_apply__long_line__kept_in_part),
        TEST(test_apply__files_at_the_banks_pace__share_a_case),
        TEST(test_apply__messages_at_the_banks_pace__share_a_case),
        TEST(test_apply__try__counted_before_it_begins),
        TEST(test_apply__process_that_died_each_time__waits_for_a_person),
        TEST(test_apply__what_failed_before__does_not_go_first),
        TEST(test_list__pages_and_filters),
        TEST(test_books__of_many_items__each_once),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
