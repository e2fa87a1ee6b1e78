// Makes payouts into entries of files, inside the claiming transaction. Each file is a submission, and its sender does the rest
// (submissions/sender.c over ach_channel.c).
#include "rails/ach/ach_rail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "cases/cases.h"
#include "domain/rules.h"
#include "rails/ach/ach_internal.h"

#define CURRENCIES "USD"

enum {
    LEASE_MS = 60 * 1000, // three operations at the bank's server may take this long
    RETRY_BASE_MS = 1000,
    RETRY_CAP_MS = 60 * 1000,
    SENDER_POLL_MS = 1000,
    CASE_AFTER = 8,
    RECOVERY_PAUSE_S = 5,
    LINES_MAX = 10000, // a limit that banks use
    TRACES_AT_ONCE = 10000,
    // New York time: the Federal Reserve then settles the day's credits
    SETTLED_MINUTE = 8 * 60 + 30,
    SETTLEMENT_DAYS_MAX = 60
};
static const char FILE_NAME[] = "{origin}-{date}-{modifier}-{id}.ach";
#define US_PER_S INT64_C(1000000)
#define CLOCK_GAP_MAX_US (24 * 3600 * US_PER_S)

static ach_rail *self_of(rail *r) {
    return r->self;
}

static int64_t db_deadline(const ach_rail *r) {
    return clock_mono_ms(r->clock) + ACH_DB_TIMEOUT_MS;
}

static void set_reference(const ach_rail *r, rail_item *item, int64_t trace, arena *a) {
    char text[16];
    ach_trace_format(r, trace, text);
    char *copy = arena_strndup(a, text, NACHA_TRACE_LEN);
    item->reference = copy == NULL ? (str){0} : (str){copy, NACHA_TRACE_LEN};
}

static void set_verdict(rail_item *item, rail_verdict verdict, const char *code, const char *text) {
    item->verdict = verdict;
    item->code = str_of(code);
    item->text = str_of(text);
}

// Refuses an item that no file can carry, for good. True when it is one.
static bool refuse_unfit(rail_item *item, arena *a) {
    err e = {0};
    if (ach_item_check(item, &e)) {
        return false;
    }
    const char *text = arena_strdup(a, e.message);
    set_verdict(item, RAIL_REFUSED, "INVALID_ENTRY", text == NULL ? "invalid entry" : text);
    return true;
}

static bool find_places(db_conn *c, int64_t book_id, const rail_item *items, size_t n,
                        submission_place *places, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    int32_t *attempts = ARENA_ARRAY(a, int32_t, n);
    if (ids == NULL || attempts == NULL) {
        return err_no_memory(e, "a batch of entries");
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = items[i].payout_id;
        attempts[i] = items[i].attempt;
    }
    return submission_places(c, book_id, ids, attempts, n, places, a, e);
}

// --- Prepare ---------------------------------------------------------------------------------------------------------

typedef struct preparing {
    ach_rail *r;
    db_conn *c;
    int64_t book_id;
    rail_item *items;
    size_t *chosen; // the items that need a file
    size_t n_chosen;
    int32_t generation; // of the new submissions
    submission_numbers numbers;
    ach_cut cut;
    arena *scratch;
} preparing;

// Payouts of rejected submissions: their new submissions count the rejections.
static bool find_generation(preparing *p, err *e) {
    uuid *ids = ARENA_ARRAY(p->scratch, uuid, p->n_chosen);
    size_t n = 0;
    if (ids == NULL) {
        return err_no_memory(e, "a batch of entries");
    }
    for (size_t i = 0; i < p->n_chosen; i++) {
        if (p->items[p->chosen[i]].attempt > 1) {
            ids[n++] = p->items[p->chosen[i]].payout_id;
        }
    }
    if (!submission_generation(p->c, p->book_id, ids, n, &p->generation, p->scratch, e)) {
        return false;
    }
    p->generation++;
    return true;
}

// Files are dated by the database's clock. A process whose own clock is a day off must not make files: it is wrong about everything else,
// too.
static bool check_clock(preparing *p, err *e) {
    const int64_t gap_us = clock_wall_us(p->r->clock) - p->numbers.now_us;
    if (gap_us < CLOCK_GAP_MAX_US && gap_us > -CLOCK_GAP_MAX_US) {
        return true;
    }
    metric_add(p->r->clock_refused, 1);
    log_error("ach.clock_refused", F_INT("book", p->book_id), F_INT("gap_s", gap_us / US_PER_S));
    return err_set(e, ERR_FAILED_PRECONDITION, "CLOCK_JUMP",
                   "the process's clock is more than a day off the database's");
}

// The settlement time when the bank says nothing: some banking days after the effective date (a setting), at the hour of the Federal
// Reserve's settlement. By the process's clock, which is compared with the database's.
static int64_t settles_us(const preparing *p, int64_t effective) {
    const ach_settings *s = &p->r->settings;
    if (strcmp(s->settlement, "timetable") != 0) {
        return 0;
    }
    const int64_t day = ach_banking_day(effective, (int)s->settlement_days);
    return ach_time_of(day, SETTLED_MINUTE) - p->r->database_shift_us;
}

static bool store_file(preparing *p, const ach_file_plan *f, err *e) {
    const int64_t effective = ach_banking_day(p->numbers.file_date, 1);
    submission_item *members = ARENA_ARRAY(p->scratch, submission_item, f->n_entries);
    str content = strbuf_str(&f->content);
    char company_id[11];
    submission_new made = {
        .id = f->id,
        .connection = p->r->base.id,
        .kind = SUBMISSION_FILE,
        .name = str_of(f->name),
        .origin = str_of(p->numbers.origin),
        .sender_bank = str_of(p->r->settings.odfi_routing),
        .cycle = f->cycle,
        .currency = "USD",
        .total = f->totals.credit_cents,
        .size = (int64_t)content.len,
        .generation = p->generation,
        .window_us = p->cut.window_us,
        .stale_us = ach_time_of(effective, 0) - p->r->database_shift_us,
        .created_us = p->numbers.now_us,
        .settles_us = settles_us(p, effective),
        .items = members,
        .n_items = f->n_entries,
    };
    if (members == NULL) {
        return err_no_memory(e, "a batch of entries");
    }
    if (!ach_origin_of_book(p->r->company_base, p->book_id, company_id)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "the book has no ACH company id");
    }
    made.sender_company = str_of(company_id);
    for (size_t k = 0; k < f->n_entries; k++) {
        const rail_item *item = &p->items[f->entries[k].item];
        members[k] =
            (submission_item){item->payout_id, item->attempt, f->entries[k].trace, item->amount};
    }
    memcpy(made.sha256, f->sha256, sizeof made.sha256);
    return submission_seal(p->r->keys, p->book_id, f->id, content, p->scratch, &made.sealed, e) &&
           submission_add(p->c, p->book_id, &made, p->scratch, e);
}

// Tells a person before the numbers are used up.
static bool tell_low(preparing *p, int before, err *e) {
    const int left = NACHA_MODIFIERS - p->numbers.next_modifier;
    metric_set(p->r->ids_left, left);
    if (left > ACH_IDS_LOW || NACHA_MODIFIERS - before <= ACH_IDS_LOW) {
        return true;
    }
    log_error("ach.numbers.low", F_STR("origin", p->numbers.origin), F_INT("left", left));
    const case_new low = {.kind = "CONNECTION_NUMBERS",
                          .subject_type = "connection",
                          .subject_id = str_of(p->r->base.name),
                          .code = STR("FILE_IDS_LOW"),
                          .text = STR("few file ids are left for today, so files wait longer")};
    return cases_open(p->c, p->book_id, &low, 1, p->numbers.now_us, p->scratch, e);
}

// Makes files, entries and numbers for the chosen items.
static bool make_files(preparing *p, ach_build *b, err *e) {
    const int before = p->numbers.next_modifier;
    if (!ach_build_files(p->r, p->book_id, p->items, p->chosen, p->n_chosen, &p->numbers, &p->cut,
                         p->scratch, b, e)) {
        return false;
    }
    for (size_t i = 0; i < b->n_files; i++) {
        if (!store_file(p, &b->files[i], e)) {
            return false;
        }
    }
    return submission_numbers_store(p->c, &p->numbers, p->scratch, e) && tell_low(p, before, e);
}

// Takes consecutive numbers for all entries that can get a place, from a block of this process, so that the claims of different books do
// not wait for each other.
static bool take_traces(preparing *p, err *e) {
    ach_rail *r = p->r;
    const int64_t room = (int64_t)p->cut.files * r->settings.entries_max;
    const int64_t n = (int64_t)p->n_chosen < room ? (int64_t)p->n_chosen : room;
    bool ok = true;
    MUST(pthread_mutex_lock(&r->traces_lock) == 0);
    if (r->trace_end - r->trace_next < n) {
        const int64_t block = n > r->traces_at_once ? n : r->traces_at_once;
        ok = submission_numbers_take(r->pool, r->base.id, block, NACHA_TRACE_SEQUENCE_MAX,
                                     &r->trace_next, &r->trace_cycle, e);
        r->trace_end = ok ? r->trace_next + block : r->trace_next;
    }
    p->numbers.next_number = r->trace_next;
    p->numbers.cycle = r->trace_cycle;
    r->trace_next += ok ? n : 0;
    MUST(pthread_mutex_unlock(&r->traces_lock) == 0);
    return ok;
}

// All payouts that wait for a cut would be due at one moment, and so in no order. This lets older ones come a little earlier: within ten
// milliseconds, less than any gathering, for thirty days.
static int64_t later_by_age(uuid payout_id, int64_t now_us) {
    enum { SPREAD_US = 10000, DAYS = 30 };
    int64_t made_ms = 0;
    for (int i = 0; i < 6; i++) { // UUIDv7 begins with its time
        made_ms = made_ms << 8 | payout_id.b[i];
    }
    const int64_t longest_ms = INT64_C(86400) * 1000 * DAYS, age_ms = now_us / 1000 - made_ms;
    const int64_t age = age_ms < 0 ? 0 : age_ms < longest_ms ? age_ms : longest_ms;
    return (longest_ms - age) * SPREAD_US / longest_ms;
}

// Items without a place come back when the next file may be cut, not before.
static void wait_for_next_cut(preparing *p) {
    const ach_cuts cuts = {p->numbers.next_modifier, p->numbers.window_us, p->numbers.in_window,
                           p->numbers.cut_us};
    const ach_cut next = ach_timetable_cut(&p->r->timetable, &cuts, p->numbers.now_us);
    // retry_at_us is on the process's clock, which may differ from the database's. A moment later, so that no item comes back just before
    // the time.
    const int64_t gap_us = clock_wall_us(p->r->clock) - p->numbers.now_us + US_PER_S;
    for (size_t i = 0; i < p->n_chosen; i++) {
        rail_item *item = &p->items[p->chosen[i]];
        set_verdict(item, RAIL_NOT_SENT, "WAITS_FOR_FILE",
                    "waits for the next file of its connection");
        item->retry_at_us = next.files > 0 ? 0
                                           : next.retry_at_us + gap_us +
                                                 later_by_age(item->payout_id, p->numbers.now_us);
    }
}

static void note_files(preparing *p, const ach_build *b, arena *a) {
    size_t placed = 0;
    for (size_t i = 0; i < b->n_files; i++) {
        const ach_file_plan *f = &b->files[i];
        for (size_t k = 0; k < f->n_entries; k++) {
            rail_item *item = &p->items[f->entries[k].item];
            set_reference(p->r, item, f->entries[k].trace, a);
            set_verdict(item, RAIL_HANDED_OVER, "", "");
            item->retry_at_us = 0;
        }
        placed += f->n_entries;
        log_info("ach.file.prepared", F_STR("file", f->name), F_INT("book", p->book_id),
                 F_INT("entries", f->n_entries), F_INT("total", f->totals.credit_cents));
    }
    metric_add(p->r->files, (int64_t)b->n_files);
    metric_add(p->r->entries, (int64_t)placed);
    metric_add(p->r->exhausted, (int64_t)(p->n_chosen - placed));
}

static bool cut_files(preparing *p, ach_build *b, arena *a, err *e) {
    char origin[11];
    if (!ach_origin_of_book(p->r->origin_base, p->book_id, origin)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "the book has no ACH origin");
    }
    if (!submission_numbers_lock(p->c, p->r->base.id, origin, p->r->database_shift_us, ach_day_of,
                                 &p->numbers, p->scratch, e) ||
        !check_clock(p, e)) {
        return false;
    }
    const ach_cuts cuts = {p->numbers.next_modifier, p->numbers.window_us, p->numbers.in_window,
                           p->numbers.cut_us};
    p->cut = ach_timetable_cut(&p->r->timetable, &cuts, p->numbers.now_us);
    if (p->cut.files > 0 &&
        (!take_traces(p, e) || !find_generation(p, e) || !make_files(p, b, e))) {
        return false;
    }
    wait_for_next_cut(p);
    note_files(p, b, a);
    return true;
}

// A payout that the bank may have in a forgotten file is not put into another one.
static bool meet_forgotten(preparing *p, arena *a, err *e) {
    const size_t n = p->n_chosen;
    str *ids = ARENA_ARRAY(p->scratch, str, n + 1);
    int32_t *attempts = ARENA_ARRAY(p->scratch, int32_t, n + 1);
    bool *met = ARENA_ARRAY(p->scratch, bool, n + 1);
    char(*texts)[ACH_INDIVIDUAL_ID_LEN + 1] = arena_calloc(p->scratch, n + 1, sizeof *texts);
    if (ids == NULL || attempts == NULL || met == NULL || texts == NULL) {
        return err_no_memory(e, "a batch of entries");
    }
    for (size_t i = 0; i < n; i++) {
        const rail_item *item = &p->items[p->chosen[i]];
        ach_individual_id(item->intent_id, texts[i]);
        ids[i] = str_of(texts[i]);
        attempts[i] = item->attempt;
    }
    if (!submission_forgotten_meet(p->c, p->book_id, p->r->base.id, ids, attempts, n, met, a, e)) {
        return false;
    }
    p->n_chosen = 0;
    for (size_t i = 0; i < n; i++) {
        if (met[i]) {
            set_verdict(&p->items[p->chosen[i]], RAIL_HELD, "FORGOTTEN_ENTRY",
                        "a file that the database had forgotten has this payout: the bank may "
                        "have paid it");
        } else {
            p->chosen[p->n_chosen++] = p->chosen[i];
        }
    }
    return true;
}

// In a recovery the bank may have a forgotten file with these very payouts.
static bool wait_for_recovery(preparing *p) {
    if (p->r->guard == NULL || guard_may_send(p->r->guard)) {
        return false;
    }
    for (size_t i = 0; i < p->n_chosen; i++) {
        rail_item *item = &p->items[p->chosen[i]];
        set_verdict(item, RAIL_NOT_SENT, "RECOVERY",
                    "waits until what is open was compared with the bank");
        item->retry_at_us = clock_wall_us(p->r->clock) + RECOVERY_PAUSE_S * US_PER_S;
    }
    return true;
}

// While the bank cannot be reached, files would only use up ids. With a timetable its window may be over when the bank is back, so files
// are cut all the same.
static bool wait_for_bank(preparing *p) {
    if (p->r->timetable.n > 0 || submission_sender_down_since_us(p->r->sender) == 0) {
        return false;
    }
    for (size_t i = 0; i < p->n_chosen; i++) {
        rail_item *item = &p->items[p->chosen[i]];
        set_verdict(item, RAIL_NOT_SENT, "WAITS_FOR_BANK", "waits until the bank can be reached");
        item->retry_at_us = clock_wall_us(p->r->clock) + p->r->settings.retry_cap_ms * 1000;
    }
    return true;
}

static int64_t ach_down_since_us(rail *r) {
    return submission_sender_down_since_us(self_of(r)->sender);
}

static bool ach_prepare(rail *base, db_conn *c, int64_t book_id, rail_item *items, size_t n,
                        arena *a, err *e) {
    ach_build b = {0};
    bool ok = false;
    preparing p = {.r = self_of(base), .c = c, .book_id = book_id, .items = items};
    p.scratch = arena_create(ACH_SCRATCH_MAX);
    submission_place *places = ARENA_ARRAY(p.scratch, submission_place, n);
    p.chosen = ARENA_ARRAY(p.scratch, size_t, n);
    if (places == NULL || p.chosen == NULL) {
        err_no_memory(e, "a batch of entries");
        goto out;
    }
    if (!find_places(c, book_id, items, n, places, p.scratch, e)) {
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        if (places[i].known) { // the events of its submission tell the outcome, now or later
            set_reference(p.r, &items[i], places[i].number, a);
            set_verdict(&items[i], RAIL_HANDED_OVER, "", "");
        } else if (!refuse_unfit(&items[i], a)) {
            p.chosen[p.n_chosen++] = i;
        }
    }
    ok = p.n_chosen == 0 || wait_for_recovery(&p) || wait_for_bank(&p) ||
         (meet_forgotten(&p, p.scratch, e) && (p.n_chosen == 0 || cut_files(&p, &b, a, e)));
    CRASH_POINT("ach.file.prepared");
out:
    ach_build_free(&b);
    arena_destroy(p.scratch);
    return ok;
}

// --- Submit and query ------------------------------------------------------------------------------------------------

// Never called, since the rail hands over. An item that was not prepared is certainly not sent.
static void ach_submit(rail *base, int64_t book_id, rail_item *items, size_t n,
                       const _Atomic int64_t *until_boot_ms, arena *a) {
    (void)base;
    (void)book_id;
    (void)until_boot_ms;
    (void)a;
    for (size_t i = 0; i < n; i++) {
        set_verdict(&items[i], RAIL_NOT_SENT, "NO_FILE", "no file could be made for it yet");
    }
}

typedef struct lookup {
    int64_t book_id;
    const rail_item *items;
    size_t n;
    submission_place *places;
} lookup;

static bool lookup_run(db_conn *c, arena *a, void *arg, err *e) {
    lookup *l = arg;
    l->places = ARENA_ARRAY(a, submission_place, l->n);
    return l->places == NULL ? err_no_memory(e, "a batch of entries")
                             : find_places(c, l->book_id, l->items, l->n, l->places, a, e);
}

// An item of such a submission is in no file: it waits for the next one.
static bool never_taken(submission_state state) {
    return state == SUBMISSION_REJECTED || state == SUBMISSION_WITHDRAWN;
}

static bool ach_take_out(rail *r, db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt,
                         str why, bool *taken, arena *a, err *e) {
    (void)r;
    submission_removal removal = REMOVAL_ABSENT;
    submission_place place = {0};
    *taken = false;
    if (!submission_take_out(c, book_id, payout_id, attempt, why, &removal, a, e) ||
        !submission_places(c, book_id, &payout_id, &attempt, 1, &place, a, e)) {
        return false;
    }
    // In a submission that was rejected or withdrawn it is out already.
    *taken = removal == REMOVAL_DONE || (place.known && never_taken(place.state));
    return true;
}

static bool ach_may_have(rail *r, db_conn *c, int64_t book_id, uuid intent_id, int32_t attempt,
                         bool *may, arena *a, err *e) {
    char text[ACH_INDIVIDUAL_ID_LEN + 1];
    ach_individual_id(intent_id, text);
    const str id = str_of(text);
    return submission_forgotten_find(c, book_id, r->id, &id, &attempt, 1, may, a, e);
}

// For attempts of the first version that were being resolved: now submissions have them, and ask the bank themselves.
static void ach_query(rail *base, int64_t book_id, rail_item *items, size_t n, arena *a) {
    ach_rail *r = self_of(base);
    arena *scratch = arena_create(ACH_SCRATCH_MAX);
    lookup l = {.book_id = book_id, .items = items, .n = n};
    err e = {0};
    const bool known = db_read(r->pool, db_deadline(r), scratch, lookup_run, &l, &e);
    if (!known) {
        log_err(LOG_WARN, "ach.query.lookup_failed", &e);
    }
    for (size_t i = 0; i < n; i++) {
        if (!known) {
            set_verdict(&items[i], RAIL_UNKNOWN, "DATABASE_UNAVAILABLE",
                        "the prepared file could not be looked up");
        } else if (!l.places[i].known) {
            set_verdict(&items[i], RAIL_NOT_SENT, "NO_FILE", "no file was made for it");
        } else if (never_taken(l.places[i].state)) {
            set_verdict(&items[i], RAIL_NOT_SENT, "NO_FILE", "its file was never taken");
        } else {
            const bool has_it =
                l.places[i].state == SUBMISSION_SENT || l.places[i].state == SUBMISSION_ACKED;
            set_verdict(&items[i], has_it ? RAIL_ACCEPTED : RAIL_HANDED_OVER, "", "");
            set_reference(r, &items[i], l.places[i].number, a);
        }
    }
    arena_destroy(scratch);
}

// --- Life ------------------------------------------------------------------------------------------------------------

static bool bad_setting(err *e, const char *name, const char *why) {
    return err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", name, "%s %s", name, why);
}

// Names an example file, so that a wrong pattern is found at the start.
static bool check_file_name(const ach_settings *s, err *e) {
    submission_numbers numbers = {.origin = "1999999999", .file_date = 20991231};
    ach_file_plan f = {.modifier = 'A', .id = {{0}}};
    const bool unique =
        strstr(s->file_name, "{id}") != NULL || strstr(s->file_name, "{hash}") != NULL;
    const bool numbered = strstr(s->file_name, "{origin}") != NULL &&
                          strstr(s->file_name, "{date}") != NULL &&
                          strstr(s->file_name, "{modifier}") != NULL;
    if (!unique && !numbered) {
        return bad_setting(e, "ach.file_name",
                           "needs {id} or {hash}, or all of {origin}, {date} and {modifier} where "
                           "the bank prescribes names: each file must have a name of its own");
    }
    if (!unique) {
        log_warn("ach.file_name.may_repeat", F_STR("pattern", s->file_name));
    }
    return ach_file_name(s->file_name, &numbers, &f, e);
}

static void fill_defaults(ach_settings *s) {
    s->archive_dir =
        s->archive_dir == NULL || s->archive_dir[0] == '\0' ? "archive" : s->archive_dir;
    s->upload_dir =
        s->upload_dir == NULL || s->upload_dir[0] == '\0' ? s->inbox_dir : s->upload_dir;
    s->file_name = s->file_name == NULL || s->file_name[0] == '\0' ? FILE_NAME : s->file_name;
    s->windows = s->windows == NULL ? "" : s->windows;
    s->settlement = s->settlement == NULL || s->settlement[0] == '\0' ? "report" : s->settlement;
    s->lines_max = s->lines_max == 0 ? LINES_MAX : s->lines_max;
    s->lease_ms = s->lease_ms == 0 ? LEASE_MS : s->lease_ms;
    s->retry_base_ms = s->retry_base_ms == 0 ? RETRY_BASE_MS : s->retry_base_ms;
    s->retry_cap_ms = s->retry_cap_ms == 0 ? RETRY_CAP_MS : s->retry_cap_ms;
    s->sender_poll_ms = s->sender_poll_ms == 0 ? SENDER_POLL_MS : s->sender_poll_ms;
    s->case_after = s->case_after == 0 ? CASE_AFTER : s->case_after;
}

// Without a rename nothing ever disables a stopped upload: it may go on at any time. So only the bank's word or a person's says that it did
// not arrive.
static bool check_direct(const ach_settings *s, err *e) {
    if (s->direct_upload && s->archive_complete) {
        return bad_setting(e, "ach.direct_upload",
                           "needs ach.archive_complete = false: what the archive does not show may "
                           "still be written");
    }
    return !s->direct_upload || strcmp(s->upload_dir, s->inbox_dir) == 0 ||
           bad_setting(e, "ach.direct_upload", "needs no ach.upload_dir: nothing is renamed");
}

static bool check_settings(const ach_settings *s, ach_rail *r, err *e) {
    str destination = str_of(s->immediate_destination);
    if (!nacha_is_digits(destination, 9) ||
        destination.ptr[8] != nacha_check_digit(destination.ptr)) {
        return bad_setting(e, "ach.immediate_destination", "must be a routing number of 9 digits");
    }
    if (!nacha_is_digits(str_of(s->odfi_routing), 8)) {
        return bad_setting(e, "ach.odfi_routing", "must have 8 digits");
    }
    if (!nacha_is_digits(str_of(s->immediate_origin_base), 9) ||
        !str_to_i64(str_of(s->immediate_origin_base), 0, 999999999, &r->origin_base)) {
        return bad_setting(e, "ach.immediate_origin_base", "must have 9 digits");
    }
    if (!nacha_is_digits(str_of(s->company_id_base), 9) ||
        !str_to_i64(str_of(s->company_id_base), 0, 999999999, &r->company_base)) {
        return bad_setting(e, "ach.company_id_base", "must have 9 digits");
    }
    if (s->bank_account != NULL && !rule_bank_account(str_of(s->bank_account))) {
        return bad_setting(e, "ach.bank_account", "must have 1 to 32 of a-z, 0-9, - and _");
    }
    if (!rule_fees(s->fees, CURRENCIES)) {
        return bad_setting(e, "ach.fees",
                           "must be sums in " CURRENCIES
                           ", such as USD 0.25, some-merchant USD 0.10");
    }
    str company = str_of(s->company_name);
    bool printable = company.len >= 1 && company.len <= 16, blank = true;
    for (size_t i = 0; printable && i < company.len; i++) {
        printable = company.ptr[i] >= 0x20 && company.ptr[i] <= 0x7e;
        blank = blank && company.ptr[i] == ' ';
    }
    if (!printable || blank) {
        return bad_setting(e, "ach.company_name",
                           "must have 1 to 16 printable ASCII characters, not all of them blanks");
    }
    if (s->entries_max < 1 || s->entries_max > ACH_ENTRIES_MAX) {
        return bad_setting(e, "ach.entries_max", "must be from 1 to 100000");
    }
    if (s->lines_max < 10 || s->lines_max > 1000000) {
        return bad_setting(e, "ach.lines_max", "must be from 10 to 1000000");
    }
    const struct {
        const char *name, *value;
    } dirs[] = {{"ach.inbox_dir", s->inbox_dir},
                {"ach.outbox_dir", s->outbox_dir},
                {"ach.archive_dir", s->archive_dir},
                {"ach.upload_dir", s->upload_dir}};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        size_t len = str_of(dirs[i].value).len;
        if ((len == 0 && i < 2) || len > 256) {
            return bad_setting(e, dirs[i].name, "must have 1 to 256 characters");
        }
    }
    if (s->quiet_ms < 0 || s->returns_days < 1) {
        return bad_setting(e, s->quiet_ms < 0 ? "ach.quiet_ms" : "ach.returns_days",
                           "must be positive");
    }
    if (strcmp(s->settlement, "report") != 0 && strcmp(s->settlement, "timetable") != 0) {
        return bad_setting(e, "ach.settlement", "must be report or timetable");
    }
    if (s->settlement_days < 0 || s->settlement_days > SETTLEMENT_DAYS_MAX) {
        return bad_setting(e, "ach.settlement_days", "must be from 0 to 60");
    }
    return check_direct(s, e) && check_file_name(s, e) && ach_settings_fit(s, e) &&
           ach_timetable_parse(s->windows, &r->timetable, e) &&
           (s->poll_ms > 0 || bad_setting(e, "ach.poll_ms", "must be positive"));
}

static void make_metrics(ach_rail *r) {
    static const char *const RESULTS[INBOUND_RESULTS] = {"taken", "repeated", "bad"};
    char labels[128];
    (void)snprintf(labels, sizeof labels, "connection=\"%s\"", r->base.name);
    r->files = metric_counter("ach_files_total", labels, "NACHA files prepared");
    r->entries = metric_counter("ach_entries_total", labels, "entries in them");
    r->exhausted = metric_counter("ach_items_waiting_total", labels,
                                  "items that had to wait for the next file, each time");
    r->ids_left = metric_gauge("ach_file_ids_left", labels,
                               "file ids left today for the origin that made the last file");
    r->clock_refused = metric_counter("ach_clock_refused_total", labels,
                                      "times that no file was made since a clock was a day off");
    r->left = metric_gauge("ach_inbound_left", labels,
                           "files in the bank's folder that were recorded and cannot be put away");
    r->unfinished = metric_gauge("ach_outbox_unfinished", labels,
                                 "files of the bank whose names say that they are not done");
    r->passed_over = metric_gauge("ach_outbox_passed_over", labels,
                                  "files of the bank whose names cannot be taken");
    r->oldest_s = metric_gauge("ach_outbox_oldest_seconds", labels,
                               "how long the oldest file that is not taken lies in the outbox");
    for (int i = 0; i < INBOUND_RESULTS; i++) {
        (void)snprintf(labels, sizeof labels, "connection=\"%s\",result=\"%s\"", r->base.name,
                       RESULTS[i]);
        r->inbound[i] = metric_counter("ach_inbound_files_total", labels, "files from the bank");
    }
}

static void ach_handed_over(rail *base) {
    submission_sender_look(self_of(base)->sender);
}

// The bank may answer soon after a delivery: its folder is looked at as often as after a new file.
static void on_events(void *arg, int64_t book_id) {
    const ach_rail *r = arg;
    if (r->box != NULL) {
        inbox_wake(r->box, book_id, r->base.id);
    }
    if (r->inbound_ticker != NULL) {
        ticker_hurry(r->inbound_ticker);
    }
}

static void make_sender(ach_rail *r) {
    const ach_settings *s = &r->settings;
    const submission_sender_options o = {.pool = r->pool,
                                         .keys = r->keys,
                                         .clock = r->clock,
                                         .channel = ach_channel(r),
                                         .lease_ms = s->lease_ms,
                                         .poll_ms = s->sender_poll_ms,
                                         .retry_base_ms = s->retry_base_ms,
                                         .retry_cap_ms = s->retry_cap_ms,
                                         .case_after = (int32_t)s->case_after,
                                         .heard = on_events,
                                         .heard_arg = r};
    r->sender = submission_sender_create(&o);
}

static bool ach_outlook(rail *base, db_conn *c, int64_t now_us, rail_outlook *out, arena *a,
                        err *e) {
    ach_rail *r = self_of(base);
    int64_t next = 0;
    int used = 0;
    *out = (rail_outlook){.next_cut_us = ach_timetable_next(&r->timetable, now_us)};
    ach_trouble_tell(r, out);
    if (!submission_numbers_look(c, base->id, ach_day_of(now_us), &next, &used, a, e)) {
        return false;
    }
    out->numbers[0].name = "files today";
    out->numbers[0].left = NACHA_MODIFIERS - used;
    out->numbers[1].name = "traces of the cycle";
    out->numbers[1].left = NACHA_TRACE_SEQUENCE_MAX + 1 - next;
    out->n_numbers = 2;
    return true;
}

rail *ach_rail_create(int number, const char *name, const ach_settings *settings, db_pool *pool,
                      crypto_keyring *keys, const clock_source *clock, err *e) {
    ach_rail *r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    r->settings = *settings;
    r->pool = pool;
    r->keys = keys;
    r->clock = clock;
    fill_defaults(&r->settings);
    MUST(pthread_mutex_init(&r->traces_lock, NULL) == 0);
    ach_trouble_init(r);
    r->traces_at_once = TRACES_AT_ONCE;
    const ach_sftp_options sftp = {
        .host = settings->host,
        .port = settings->port,
        .user = settings->user,
        .key_file = settings->key_file,
        .host_key_file = settings->host_key_file,
        .timeout_ms = ACH_SFTP_TIMEOUT_MS,
    };
    r->base = (rail){
        .id = number,
        .scheme = RAIL_ACH,
        .in_files = true,
        .name = name,
        .bank_account = settings->bank_account,
        .fees = settings->fees,
        .currencies = CURRENCIES,
        .amount_max = NACHA_ENTRY_CENTS_MAX,
        .batch_max = (int)settings->entries_max,
        .gather_ms = settings->gather_ms,
        .instruments = "us_bank",
        .finality = "Settles on the next banking day; the receiver's bank may return it, mostly "
                    "within two banking days.",
        .settlement = r->settings.settlement,
        .hands_over = true,
        .prepare = ach_prepare,
        .handed_over = ach_handed_over,
        .submit = ach_submit,
        .query = ach_query,
        .take_out = ach_take_out,
        .may_have = ach_may_have,
        .down_since_us = ach_down_since_us,
        .rebuild_ms = settings->rebuild_ms,
        .outlook = ach_outlook,
        .self = r,
    };
    r->list_max = ACH_INBOUND_LIST_MAX;
    r->look_files_max = ACH_LOOK_FILES_MAX;
    r->look_bytes_max = ACH_LOOK_BYTES_MAX;
    r->look_ms = ACH_LOOK_MS;
    make_metrics(r);
    make_sender(r);
    bool ok = check_settings(&r->settings, r, e) && (r->out = ach_sftp_create(&sftp, e)) != NULL &&
              (r->in = ach_sftp_create(&sftp, e)) != NULL;
    if (!ok) {
        ach_rail_destroy(&r->base);
        return NULL;
    }
    return &r->base;
}

void ach_rail_use_inbox(rail *base, inbox *box) {
    ach_rail *r = self_of(base);
    ASSERT(r->box == NULL);
    r->box = box;
    const inbox_reader reader = {
        .connection = base->id, .read = ach_read, .also = ach_read_also, .self = r};
    inbox_listen(box, &reader);
}

void ach_rail_use_guard(rail *base, guard *g) {
    ach_rail *r = self_of(base);
    r->guard = g;
    submission_sender_use_guard(r->sender, g);
}

bool ach_rail_start_inbound(rail *base, err *e) {
    ach_rail *r = self_of(base);
    ASSERT(r->inbound_ticker == NULL && r->box != NULL);
    if (!submission_sender_fits(r->sender, e)) {
        return false;
    }
    r->inbound_ticker = ticker_start_lazy(
        r->settings.poll_ms, ACH_IDLE_FACTOR * r->settings.poll_ms, ach_inbound_look, r);
    // The sender's thread wakes the ticker, so it starts last and ends first.
    return r->inbound_ticker == NULL
               ? err_set(e, ERR_RESOURCE_EXHAUSTED, "NO_THREAD", "the inbound thread cannot start")
               : submission_sender_start(r->sender, e);
}

void ach_rail_stop(rail *base) {
    if (base == NULL) {
        return;
    }
    ach_rail *r = self_of(base);
    submission_sender_destroy(r->sender);
    r->sender = NULL;
    ticker_stop(r->inbound_ticker);
    r->inbound_ticker = NULL;
}

void ach_rail_destroy(rail *base) {
    if (base == NULL) {
        return;
    }
    ach_rail *r = self_of(base);
    ach_rail_stop(base);
    if (r->box != NULL) {
        inbox_unlisten(r->box, base->id);
    }
    free(r->seen);
    ach_sftp_destroy(r->in);
    ach_sftp_destroy(r->out);
    pthread_mutex_destroy(&r->traces_lock);
    ach_trouble_destroy(r);
    free(r);
}
