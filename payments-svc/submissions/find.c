// Finds submissions and their items by the bank's replies.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

enum { RANGES_PAGE = 10000 };

// --- By name -----------------------------------------------------------------------------------------------------------

static bool read_ref(db_conn *c, submission_ref *ref, bool *found, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, ref->book_id);
    db_uuid(p, ref->id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_REFS), p, a, &rows, NULL, e)) {
        return false;
    }
    *found = db_count(rows) == 1;
    if (*found) {
        ref->state = (submission_state)db_get_i16(rows, 0, 0);
        ref->items = db_get_i32(rows, 0, 1);
        ref->total = db_get_i64(rows, 0, 2);
        ref->size = db_get_i64(rows, 0, 3);
        ref->sha256 = db_get_str(rows, 0, 4);
        ref->origin = db_get_str(rows, 0, 5);
        ref->cycle = db_get_i32(rows, 0, 6);
        ref->created_us = db_get_time(rows, 0, 7);
    }
    return true;
}

bool submission_find_name(db_conn *c, int connection, str name, submission_ref **refs, size_t *n,
                          arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    *n = 0;
    db_i16(p, (int16_t)connection);
    db_text(p, name);
    if (!db_exec(c, submissions_sql(SUBM_SQL_BY_NAME), p, a, &rows, NULL, e)) {
        return false;
    }
    *refs = ARENA_ARRAY(a, submission_ref, db_count(rows) + 1);
    if (*refs == NULL) {
        return err_no_memory(e, "what a bank speaks of");
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        submission_ref *ref = &(*refs)[*n];
        bool found = false;
        *ref = (submission_ref){.book_id = db_get_i64(rows, i, 0), .id = db_get_uuid(rows, i, 1)};
        if (!read_ref(c, ref, &found, a, e)) {
            return false;
        }
        *n += found ? 1 : 0;
    }
    return true;
}

// --- By number ---------------------------------------------------------------------------------------------------------

typedef struct range {
    int64_t book_id, first, last;
    uuid id;
    int32_t cycle;
} range;

// One search for an item by its number.
typedef struct probe {
    int64_t book_id, number;
    uuid id;
    int32_t cycle;
    size_t at;
} probe;

// The ranges found, with spare room. The room doubles, since each array stays in the arena.
typedef struct range_list {
    range *of;
    size_t n, room;
} range_list;

static bool add_ranges(range_list *l, const db_rows *rows, arena *a, err *e) {
    const size_t more = db_count(rows);
    if (l->n + more > l->room) {
        const size_t room = 2 * (l->n + more) + 64;
        range *of = ARENA_ARRAY(a, range, room);
        if (of == NULL) {
            return err_no_memory(e, "what a bank speaks of");
        }
        if (l->n > 0) {
            memcpy(of, l->of, l->n * sizeof *of);
        }
        l->of = of;
        l->room = room;
    }
    for (size_t i = 0; i < more; i++) {
        l->of[l->n++] =
            (range){db_get_i64(rows, i, 0), db_get_i64(rows, i, 2), db_get_i64(rows, i, 3),
                    db_get_uuid(rows, i, 1), db_get_i32(rows, i, 4)};
    }
    return true;
}

// Files of the first version counted by book, so their ranges overlap. Reads every range between the lowest and the highest number: a range
// left out would be money that nobody is told of.
static bool read_old_ranges(db_conn *c, int connection, int64_t low, int64_t high, range_list *out,
                            arena *a, err *e) {
    static const range START = {.first = INT64_MIN};
    size_t before = 0;
    do {
        before = out->n;
        const range *after = out->n > 0 ? &out->of[out->n - 1] : &START;
        db_params *p = db_params_create(a);
        db_rows *rows = NULL;
        db_i16(p, (int16_t)connection);
        db_i64(p, low);
        db_i64(p, high);
        db_i64(p, RANGES_PAGE);
        db_i64(p, after->first);
        db_uuid(p, after->id);
        if (!db_exec(c, submissions_sql(SUBM_SQL_OLD_RANGES), p, a, &rows, NULL, e) ||
            !add_ranges(out, rows, a, e)) {
            return false;
        }
    } while (out->n - before == RANGES_PAGE);
    return true;
}

typedef struct numbered {
    int64_t number;
    size_t at;
} numbered;

static int by_number(const void *a, const void *b) {
    const numbered *x = a, *y = b;
    return x->number != y->number ? (x->number > y->number) - (x->number < y->number)
                                  : (x->at > y->at) - (x->at < y->at);
}

static int by_book(const void *a, const void *b) {
    const probe *x = a, *y = b;
    if (x->book_id != y->book_id) {
        return x->book_id < y->book_id ? -1 : 1;
    }
    const int order = uuid_cmp(x->id, y->id);
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

static size_t first_from(const numbered *sorted, size_t n, int64_t number) {
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sorted[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int by_id(const void *a, const void *b) {
    return uuid_cmp(((const range *)a)->id, ((const range *)b)->id);
}

// Drops ranges that several runs of numbers have found.
static void drop_repeated(range_list *l) {
    size_t kept = 0;
    if (l->n == 0) {
        return;
    }
    qsort(l->of, l->n, sizeof *l->of, by_id);
    for (size_t i = 0; i < l->n; i++) {
        if (kept == 0 || !uuid_eq(l->of[kept - 1].id, l->of[i].id)) {
            l->of[kept++] = l->of[i];
        }
    }
    l->n = kept;
}

// A connection gives each number once in a cycle. So each number lies in one range per cycle, which the index finds. Neighbours are sought
// together: a day's return file is a run or a few, however far apart the runs are.
static bool read_ranges(db_conn *c, int connection, const numbered *sorted, size_t n,
                        range_list *out, arena *a, err *e) {
    enum { GAP_MAX = 50, RUNS_MAX = 10000 };
    int64_t *lows = ARENA_ARRAY(a, int64_t, n), *highs = ARENA_ARRAY(a, int64_t, n);
    size_t n_runs = 0;
    if (lows == NULL || highs == NULL) {
        return err_no_memory(e, "what a bank speaks of");
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || sorted[i].number - highs[n_runs - 1] > GAP_MAX) {
            lows[n_runs++] = sorted[i].number;
        }
        highs[n_runs - 1] = sorted[i].number;
    }
    for (size_t from = 0; from < n_runs; from += RUNS_MAX) {
        const size_t part = n_runs - from < RUNS_MAX ? n_runs - from : RUNS_MAX;
        db_params *p = db_params_create(a);
        db_rows *rows = NULL;
        db_i16(p, (int16_t)connection);
        db_i64_array(p, lows + from, part);
        db_i64_array(p, highs + from, part);
        if (!db_exec(c, submissions_sql(SUBM_SQL_RANGES), p, a, &rows, NULL, e) ||
            !add_ranges(out, rows, a, e)) {
            return false;
        }
    }
    drop_repeated(out);
    return true;
}

// Lists each number with the ranges it lies in: counts first, then lists.
static size_t list_probes(const range *ranges, size_t n_ranges, const numbered *sorted, size_t n,
                          probe *out) {
    size_t count = 0;
    for (size_t r = 0; r < n_ranges; r++) {
        for (size_t i = first_from(sorted, n, ranges[r].first);
             i < n && sorted[i].number <= ranges[r].last; i++) {
            if (out != NULL) {
                out[count] = (probe){ranges[r].book_id, sorted[i].number, ranges[r].id,
                                     ranges[r].cycle, sorted[i].at};
            }
            count++;
        }
    }
    return count;
}

// The common part of all matches of one submission.
typedef struct file {
    bool found;
    submission_state state;
    str name, origin, sender_bank, sender_company, currency;
    int64_t created_us;
} file;

// The submissions of one book's probes; the probes are sorted by submission. file_of[i] belongs to probe i.
static bool read_files(db_conn *c, const probe *probes, size_t n, const file **file_of, arena *a,
                       err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    file *files = ARENA_ARRAY(a, file, n);
    size_t n_files = 0;
    if (ids == NULL || files == NULL) {
        return err_no_memory(e, "what a bank speaks of");
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !uuid_eq(ids[n_files - 1], probes[i].id)) {
            files[n_files] = (file){0};
            ids[n_files++] = probes[i].id;
        }
        file_of[i] = &files[n_files - 1];
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, probes[0].book_id);
    db_uuid_array(p, ids, n_files);
    if (!db_exec(c, submissions_sql(SUBM_SQL_FILES), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const int64_t k = db_get_i64(rows, i, 0) - 1;
        ASSERT(k >= 0 && (size_t)k < n_files); // the statement numbers its input
        files[k] = (file){true,
                          (submission_state)db_get_i16(rows, i, 1),
                          db_get_str(rows, i, 2),
                          db_get_str(rows, i, 3),
                          db_get_str(rows, i, 4),
                          db_get_str(rows, i, 5),
                          db_get_str(rows, i, 6),
                          db_get_time(rows, i, 7)};
    }
    return true;
}

// The results of probes: one list, filled by both ways of reading.
typedef struct finds {
    submission_match *of;
    size_t n;
} finds;

static void add_find(finds *out, const probe *p, const file *f, uuid payout_id, int32_t attempt,
                     int64_t amount) {
    if (f->found) {
        out->of[out->n++] = (submission_match){.at = p->at,
                                               .book_id = p->book_id,
                                               .submission_id = p->id,
                                               .payout_id = payout_id,
                                               .attempt = attempt,
                                               .amount = amount,
                                               .cycle = p->cycle,
                                               .state = f->state,
                                               .name = f->name,
                                               .origin = f->origin,
                                               .sender_bank = f->sender_bank,
                                               .sender_company = f->sender_company,
                                               .currency = f->currency,
                                               .created_us = f->created_us};
    }
}

// True when a submission's probes are so close together that reading all between them costs less than looking each up.
static bool are_dense(const probe *probes, size_t n) {
    enum { SPREAD_MAX = 4 };
    return probes[n - 1].number - probes[0].number < SPREAD_MAX * (int64_t)n;
}

static size_t of_one_submission(const probe *probes, size_t n) {
    size_t end = 1;
    while (end < n && uuid_eq(probes[end].id, probes[0].id)) {
        end++;
    }
    return end;
}

// A run of probes of one submission; its numbers are read from the first to the last.
typedef struct run {
    size_t from, to; // indexes of probes
} run;

static bool read_runs(db_conn *c, const probe *probes, const file *const *file_of, const run *runs,
                      size_t n, finds *out, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    int64_t *lows = ARENA_ARRAY(a, int64_t, n), *highs = ARENA_ARRAY(a, int64_t, n);
    if (ids == NULL || lows == NULL || highs == NULL) {
        return err_no_memory(e, "what a bank speaks of");
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = probes[runs[i].from].id;
        lows[i] = probes[runs[i].from].number;
        highs[i] = probes[runs[i].to - 1].number;
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, probes[0].book_id);
    db_uuid_array(p, ids, n);
    db_i64_array(p, lows, n);
    db_i64_array(p, highs, n);
    if (!db_exec(c, submissions_sql(SUBM_SQL_ITEMS_BETWEEN), p, a, &rows, NULL, e)) {
        return false;
    }
    // the run and the probe that the next row may match
    size_t k = 0, at = n == 0 ? 0 : runs[0].from;
    for (size_t i = 0; i < db_count(rows); i++) {
        const size_t of = (size_t)(db_get_i64(rows, i, 0) - 1);
        const int64_t number = db_get_i64(rows, i, 1);
        ASSERT(of < n && of >= k); // rows come in the order of the runs
        if (of > k) {
            k = of;
            at = runs[k].from;
        }
        while (at < runs[k].to && probes[at].number < number) {
            at++;
        }
        for (size_t same = at; same < runs[k].to && probes[same].number == number; same++) {
            add_find(out, &probes[same], file_of[same], db_get_uuid(rows, i, 2),
                     db_get_i32(rows, i, 3), db_get_i64(rows, i, 4));
        }
    }
    return true;
}

static bool read_single(db_conn *c, const probe *probes, const file *const *file_of,
                        const size_t *at, size_t n, finds *out, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    int64_t *numbers = ARENA_ARRAY(a, int64_t, n);
    if (ids == NULL || numbers == NULL) {
        return err_no_memory(e, "what a bank speaks of");
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = probes[at[i]].id;
        numbers[i] = probes[at[i]].number;
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, probes[0].book_id);
    db_uuid_array(p, ids, n);
    db_i64_array(p, numbers, n);
    if (!db_exec(c, submissions_sql(SUBM_SQL_ITEMS_BY_NUMBER), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const int64_t k = db_get_i64(rows, i, 0) - 1;
        ASSERT(k >= 0 && (size_t)k < n); // the statement numbers its input
        add_find(out, &probes[at[k]], file_of[at[k]], db_get_uuid(rows, i, 1),
                 db_get_i32(rows, i, 2), db_get_i64(rows, i, 3));
    }
    return true;
}

// The items of one book's probes; the probes are sorted by submission and number.
static bool read_items(db_conn *c, const probe *probes, size_t n, finds *out, arena *a, err *e) {
    const file **file_of = ARENA_ARRAY(a, const file *, n);
    run *runs = ARENA_ARRAY(a, run, n);
    size_t *single = ARENA_ARRAY(a, size_t, n), n_runs = 0, n_single = 0;
    if (file_of == NULL || runs == NULL || single == NULL) {
        return err_no_memory(e, "what a bank speaks of");
    }
    for (size_t i = 0; i < n;) {
        const size_t end = i + of_one_submission(probes + i, n - i);
        if (are_dense(probes + i, end - i)) {
            runs[n_runs++] = (run){i, end};
            i = end;
        }
        for (; i < end; i++) {
            single[n_single++] = i;
        }
    }
    return read_files(c, probes, n, file_of, a, e) &&
           (n_runs == 0 || read_runs(c, probes, file_of, runs, n_runs, out, a, e)) &&
           (n_single == 0 || read_single(c, probes, file_of, single, n_single, out, a, e));
}

static int by_place_and_age(const void *a, const void *b) {
    const submission_match *x = a, *y = b;
    return x->at != y->at ? (x->at > y->at) - (x->at < y->at)
                          : uuid_cmp(y->submission_id, x->submission_id);
}

static bool find_part(db_conn *c, int connection, const int64_t *numbers, size_t n,
                      submission_match **matches, size_t *n_matches, arena *a, err *e) {
    range_list ranges = {0};
    *n_matches = 0;
    *matches = NULL;
    numbered *sorted = ARENA_ARRAY(a, numbered, n);
    if (sorted == NULL) {
        return err_no_memory(e, "what a bank speaks of");
    }
    for (size_t i = 0; i < n; i++) {
        sorted[i] = (numbered){numbers[i], i};
    }
    qsort(sorted, n, sizeof *sorted, by_number);
    if (!read_old_ranges(c, connection, sorted[0].number, sorted[n - 1].number, &ranges, a, e) ||
        !read_ranges(c, connection, sorted, n, &ranges, a, e)) {
        return false;
    }
    const size_t n_probes = list_probes(ranges.of, ranges.n, sorted, n, NULL);
    probe *probes = ARENA_ARRAY(a, probe, n_probes + 1);
    *matches = ARENA_ARRAY(a, submission_match, n_probes + 1);
    if (probes == NULL || *matches == NULL) {
        return err_no_memory(e, "what a bank speaks of");
    }
    (void)list_probes(ranges.of, ranges.n, sorted, n, probes);
    finds found = {.of = *matches};
    qsort(probes, n_probes, sizeof *probes, by_book);
    for (size_t i = 0; i < n_probes;) {
        size_t end = i + 1;
        while (end < n_probes && probes[end].book_id == probes[i].book_id) {
            end++;
        }
        if (!read_items(c, probes + i, end - i, &found, a, e)) {
            return false;
        }
        i = end;
    }
    *n_matches = found.n;
    qsort(*matches, *n_matches, sizeof **matches, by_place_and_age);
    return true;
}

// Appends a part; its places follow those of the parts before.
static bool add_part(submission_match **all, size_t *n_all, const submission_match *part, size_t n,
                     size_t from, arena *a, err *e) {
    submission_match *more = ARENA_ARRAY(a, submission_match, *n_all + n + 1);
    if (more == NULL) {
        return err_no_memory(e, "what a bank speaks of");
    }
    if (*n_all > 0) {
        memcpy(more, *all, *n_all * sizeof *more);
    }
    for (size_t i = 0; i < n; i++) {
        more[*n_all + i] = part[i];
        more[*n_all + i].at += from;
    }
    *all = more;
    *n_all += n;
    return true;
}

bool submission_find_numbers(db_conn *c, int connection, const int64_t *numbers, size_t n,
                             submission_match **matches, size_t *n_matches, arena *a, err *e) {
    *matches = NULL;
    *n_matches = 0;
    for (size_t from = 0; from < n; from += SUBMISSION_FIND_MAX) {
        const size_t left = n - from;
        const size_t asked = left < SUBMISSION_FIND_MAX ? left : SUBMISSION_FIND_MAX;
        submission_match *part = NULL;
        size_t n_part = 0;
        if (!find_part(c, connection, numbers + from, asked, &part, &n_part, a, e) ||
            !add_part(matches, n_matches, part, n_part, from, a, e)) {
            return false;
        }
    }
    return true;
}
