// One input file: checked, booked whole or rejected whole, acknowledged, archived.
#include <stdio.h>
#include <string.h>

#include "ach/ach_internal.h"
#include "base/log.h"
#include "crypto/crypto.h"

// An entry that the acknowledgement names as refused.
typedef struct refusal {
    int64_t trace, amount;
    const char *code, *reason;
    bool paid; // although refused
} refusal;

typedef struct taking {
    ach *a;
    arena *mem;
    // for acknowledgement and archive: the input's own name, or a new one if it was used before
    const char *name;
    str bytes;
    books_file file;
    nacha_file content;
    nacha_fault fault; // reason "" : good so far
    habits_config habits;
    refusal *refused; // @mem
    size_t n_refused;
} taking;

// --- The acknowledgement -------------------------------------------------------------------------------------------------

static void add_refused(const taking *t, strbuf *json) {
    strbuf_add_c(json, ",\"refused\":[");
    for (size_t i = 0; i < t->n_refused; i++) {
        const refusal *r = &t->refused[i];
        strbuf_printf(json, "%s{\"trace\":\"%015lld\",\"code\":\"%s\",\"reason\":\"%s\"}",
                      i > 0 ? "," : "", (long long)r->trace, r->code, r->reason);
    }
    strbuf_add_char(json, ']');
}

// True when the acknowledgement names this refused entry a second time: it counts once.
static bool is_named_before(const taking *t, size_t at) {
    return at > 0 && t->refused[at].trace == t->refused[at - 1].trace;
}

// Counts entries and total for the acknowledgement: of the whole file, or without the refused entries.
static void count(const taking *t, bool named, int64_t *entries, int64_t *total) {
    const bool without = named && t->file.accepted && t->habits.refuse_entries == 2;
    *entries = t->file.entries;
    *total = t->file.total;
    for (size_t i = 0; without && i < t->n_refused; i++) {
        if (!is_named_before(t, i)) {
            *entries -= 1;
            *total -= t->refused[i].amount;
        }
    }
}

// named: also names the refused entries.
static bool write_ack(taking *t, books_tx *tx, bool named, const char *suffix, err *e) {
    char name[BOOKS_NAME_MAX + 8], at[32], given[BOOKS_NAME_MAX];
    strbuf *json = &t->a->text;
    int64_t entries = 0, total = 0;
    count(t, named, &entries, &total);
    time_format_rfc3339(t->file.taken_us, at, sizeof(at));
    strbuf_clear(json);
    strbuf_add_c(json, "{\"file\":");
    strbuf_add_json(json, str_of(t->name));
    strbuf_printf(json,
                  ",\"status\":\"%s\",\"reason\":", t->file.accepted ? "accepted" : "rejected");
    strbuf_add_json(json, str_of(t->file.reason));
    if (t->fault.line > 0) {
        strbuf_printf(json, ",\"line\":%d", t->fault.line);
    }
    if (named && t->n_refused > 0) {
        add_refused(t, json);
    }
    strbuf_printf(json, ",\"entries\":%lld,\"total\":%lld,\"at\":\"%s\"}\n", (long long)entries,
                  (long long)total, at);
    (void)snprintf(name, sizeof(name), "%s%s", t->name, suffix);
    return (strbuf_ok(json) ||
            err_set(e, ERR_INTERNAL, "ACK", "the acknowledgement is too long")) &&
           ach_output_add(t->a, tx, ACH_OUT_ACK, name, strbuf_str(json), given, e);
}

static bool add_ack(taking *t, books_tx *tx, err *e) {
    const bool late = t->habits.refuse_late != 0 && t->file.accepted && t->n_refused > 0;
    if (t->habits.acks == 0) {
        return true;
    }
    return write_ack(t, tx, !late, ".ack", e) && (!late || write_ack(t, tx, true, ".ack-2", e));
}

// --- Booking -------------------------------------------------------------------------------------------------------------

static bool reject(taking *t, books_tx *tx, err *e) {
    char reason[NACHA_REASON_MAX + 32];
    if (t->fault.line > 0) {
        (void)snprintf(reason, sizeof(reason), "line %d: %s", t->fault.line, t->fault.reason);
    } else {
        (void)snprintf(reason, sizeof(reason), "%s", t->fault.reason);
    }
    t->file.accepted = false;
    t->file.reason = reason;
    t->file.entries = t->file.total = 0;
    bool ok = books_file_insert(tx, &t->file, e) && add_ack(t, tx, e);
    t->file.reason = "";
    return ok;
}

static bool plan_part(taking *t, books_tx *tx, const nacha_entry *in, const faults_ach *plan,
                      books_return *r, err *e) {
    r->origin = t->content.origin;
    r->code = plan->code;
    r->after_settlement = plan->after_settlement;
    r->due_us = t->file.settle_due_us + t->a->o.return_delay_ms * 1000 * r->part;
    r->entry_record = (str){in->record, NACHA_RECORD_LEN};
    r->batch_record = (str){in->batch, NACHA_RECORD_LEN};
    return books_return_plan(tx, r, e);
}

static faults_ach plan_of(const taking *t, const nacha_entry *in) {
    char identity[64];
    int n = snprintf(identity, sizeof(identity), "%s-%s-%015lld", t->content.origin,
                     t->content.date, (long long)in->trace);
    return faults_plan_ach(t->a->o.faults, (str){identity, (size_t)n}, in->amount);
}

// Such a bank names single refused entries in its acknowledgement, so a bank without acknowledgements refuses none.
static bool is_refused(const taking *t, const faults_ach *plan) {
    return plan->refusal != FAULTS_TAKEN && t->habits.refuse_entries != 0 && t->habits.acks != 0;
}

static void note_refusal(taking *t, const nacha_entry *in, faults_refusal how) {
    const bool paid = how == FAULTS_REFUSED_AND_PAID;
    const refusal r = {.trace = in->trace,
                       .amount = in->amount,
                       .code = paid ? "DUP" : "R03",
                       .reason = paid ? "duplicate of an earlier entry" : "no such account",
                       .paid = paid};
    t->refused[t->n_refused++] = r;
    if (how == FAULTS_REFUSED_TWICE) {
        t->refused[t->n_refused++] = r;
    }
}

// Finds all refused entries before any is booked: if they cost the whole file, the acknowledgement names each.
static bool find_refused(taking *t, err *e) {
    t->n_refused = 0;
    t->refused = ARENA_ARRAY(t->mem, refusal, 2 * t->content.n_entries + 1);
    if (t->refused == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "FILE_TOO_LARGE", "no memory for refusals");
    }
    for (size_t i = 0; i < t->content.n_entries; i++) {
        const faults_ach plan = plan_of(t, &t->content.entries[i]);
        if (is_refused(t, &plan)) {
            note_refusal(t, &t->content.entries[i], plan.refusal);
        }
    }
    return true;
}

static bool plan_return(taking *t, books_tx *tx, const nacha_entry *in, int64_t entry_id, err *e) {
    faults_ach plan = plan_of(t, in);
    if (is_refused(t, &plan)) {
        return plan.refusal == FAULTS_REFUSED_AND_PAID || books_entry_refuse(tx, entry_id, e);
    }
    if (plan.code == NULL) {
        return true;
    }
    // A notification of change moves no money. An entry that never settled has none to give back.
    bool moves = plan.after_settlement && plan.code[0] == 'R';
    bool parts = plan.returns == FAULTS_RETURN_PART || plan.returns == FAULTS_RETURN_HALVES;
    bool second = plan.returns == FAULTS_RETURN_HALVES || plan.returns == FAULTS_RETURN_TWICE;
    books_return r = {.entry_id = entry_id,
                      .part = 1,
                      .amount = parts ? in->amount / 2 : in->amount,
                      .moves = moves};
    if (!plan_part(t, tx, in, &plan, &r, e) || !second) {
        return !err_is_set(e);
    }
    r.part = 2;
    r.amount = parts ? in->amount - r.amount : in->amount;
    r.moves = moves && parts; // a return that is told twice moves money once
    return plan_part(t, tx, in, &plan, &r, e);
}

static bool add_creditor(const taking *t, books_tx *tx, const nacha_entry *in, int64_t entry_id,
                         err *e) {
    const char *r = in->record, *b = in->batch;
    books_creditor_row c = {.rail = BOOKS_RAIL_ACH,
                            .item = entry_id,
                            .account_type = r[1] == '3' ? "savings" : "checking",
                            .sec = nacha_field(b, 51, 53),
                            .company_id = nacha_trim(nacha_field(b, 41, 50)),
                            .company_name = nacha_trim(nacha_field(b, 5, 20)),
                            .effective = nacha_field(b, 70, 75),
                            .description = nacha_trim(nacha_field(b, 54, 63))};
    who_hash(t->a->o.who, nacha_field(r, 4, 12), nacha_trim(nacha_field(r, 13, 29)),
             nacha_trim(nacha_field(r, 55, 76)), c.who);
    return books_creditor(tx, &c, e);
}

static bool book_entries(taking *t, books_tx *tx, err *e) {
    int64_t scope = books_scope(t->content.origin, t->content.date);
    for (size_t i = 0; i < t->content.n_entries; i++) {
        const nacha_entry *in = &t->content.entries[i];
        books_entry entry = {.file_id = t->file.id,
                             .scope = scope,
                             .trace = in->trace,
                             .amount = in->amount,
                             .individual_id = nacha_trim(nacha_field(in->record, 40, 54)),
                             .line = in->line};
        if (!books_entry_insert(tx, &entry, t->habits.duplicate_check != 0, e)) {
            if (e->code == ERR_ALREADY_EXISTS) {
                t->fault.line = in->line;
                (void)snprintf(t->fault.reason, sizeof(t->fault.reason),
                               "entry: trace number %015lld was used by this origin on this day",
                               (long long)in->trace);
            }
            return false;
        }
        if (!add_creditor(t, tx, in, entry.id, e) || !plan_return(t, tx, in, entry.id, e)) {
            return false;
        }
    }
    return true;
}

static bool accept_file(taking *t, books_tx *tx, err *e) {
    t->file.accepted = true;
    t->file.reason = "";
    t->file.entries = (int64_t)t->content.n_entries;
    t->file.total = t->content.credits;
    if (!books_file_insert(tx, &t->file, e) || !book_entries(t, tx, e) || !add_ack(t, tx, e)) {
        return false;
    }
    // Without a delay the file settles in the same transaction.
    return t->file.settle_due_us > t->file.taken_us ||
           ach_settle_file(t->a, tx, t->file.id, t->name, t->content.origin, t->file.taken_us, e);
}

// A bank that takes a file whole or rejects it whole, and names the bad entries.
static void judge_refused(taking *t) {
    for (size_t i = 0; t->habits.refuse_entries == 3 && i < t->n_refused; i++) {
        if (!t->refused[i].paid) {
            (void)snprintf(t->fault.reason, sizeof(t->fault.reason), "entries refused");
        }
    }
}

// Runs in the writer of the books.
static bool take_job(books_tx *tx, void *arg, err *e) {
    taking *t = arg;
    char earlier[BOOKS_NAME_MAX];
    if (t->fault.reason[0] == '\0' && t->habits.duplicate_check != 0) {
        if (!books_file_find_duplicate(tx, &t->file, earlier, e)) {
            return false;
        }
        if (earlier[0] != '\0') {
            (void)snprintf(t->fault.reason, sizeof(t->fault.reason),
                           "duplicate file: same origin, date and modifier, or same content, as %s",
                           earlier);
        }
    }
    if (t->fault.reason[0] == '\0') {
        if (!find_refused(t, e)) {
            return false;
        }
        judge_refused(t);
    }
    return t->fault.reason[0] == '\0' ? accept_file(t, tx, e) : reject(t, tx, e);
}

static void check(taking *t, arena *mem) {
    nacha_rules rules = {.destination = t->a->o.routing, .origin_prefix = t->a->o.origins_prefix};
    crypto_sha256(t->bytes.ptr, t->bytes.len, t->file.sha256);
    t->file.origin = t->file.date = t->file.modifier = "";
    if (t->fault.reason[0] == '\0' && nacha_check(t->bytes, &rules, mem, &t->content, &t->fault)) {
        t->file.origin = t->content.origin;
        t->file.date = t->content.date;
        t->file.modifier = t->content.modifier;
    }
}

typedef struct naming {
    const char *name;
    books_file_state state;
    int64_t number;
} naming;

static bool look_up(books_tx *tx, void *arg, err *e) {
    naming *n = arg;
    return books_file_state_get(tx, n->name, &n->state, e);
}

static bool count_reuse(books_tx *tx, void *arg, err *e) {
    naming *n = arg;
    char counter[BOOKS_NAME_MAX + 16];
    (void)snprintf(counter, sizeof(counter), "reuse-%s", n->name);
    return books_counter_next(tx, counter, &n->number, e);
}

static bool set_archived(books_tx *tx, void *arg, err *e) {
    return books_file_set_archived(tx, arg, e);
}

static bool is_name(const char *name) {
    for (const char *c = name; *c != '\0'; c++) {
        bool good = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                    (*c >= '0' && *c <= '9') || *c == '.' || *c == '_' || *c == '-';
        if (!good) {
            return false;
        }
    }
    return strlen(name) <= ACH_NAME_MAX;
}

// Chooses the name for acknowledgement and archive. A file whose name was used before gets a new name, so that its rejection is never taken
// for the answer to the first file. *done: it was booked before we died, and only has to be archived.
static bool choose_name(ach *a, const char *name, const uint8_t sha256[32],
                        char out[BOOKS_NAME_MAX], nacha_fault *fault, bool *done, err *e) {
    naming n = {.name = is_name(name) ? name : "unnamed"};
    *done = false;
    if (!books_read(a->o.books, BOOKS_LANE_QUERY, look_up, &n, e)) {
        return false;
    }
    bool good_name = is_name(name);
    if (good_name && !n.state.known) {
        (void)snprintf(out, BOOKS_NAME_MAX, "%s", name);
        return true;
    }
    if (good_name && !n.state.archived && memcmp(n.state.sha256, sha256, 32) == 0 &&
        !ach_in_archive(a, name)) {
        (void)snprintf(out, BOOKS_NAME_MAX, "%s", name);
        *done = true;
        return true;
    }
    if (!books_write(a->o.books, count_reuse, &n, e)) {
        return false;
    }
    if (good_name && habits_get(a->o.habits).duplicate_check == 0) {
        (void)snprintf(out, BOOKS_NAME_MAX, "%s.copy-%lld", n.name, (long long)n.number);
        return true; // this bank takes it like any other file
    }
    (void)snprintf(out, BOOKS_NAME_MAX, good_name ? "%s.duplicate-%lld" : "%s-%lld", n.name,
                   (long long)n.number);
    (void)snprintf(
        fault->reason, sizeof(fault->reason),
        good_name
            ? "duplicate file: the name was used before"
            : "the file name must be at most 100 letters, digits, dots, hyphens and underscores");
    return true;
}

static bool take_new(taking *t, arena *mem, err *e) {
    int64_t started_us = clock_mono_us(t->a->o.clock);
    t->file.name = t->name;
    t->file.taken_us = clock_wall_us(t->a->o.clock);
    t->file.settle_due_us = t->file.taken_us + t->a->o.settle_delay_ms * 1000 +
                            t->habits.settle_days * (int64_t)HABIT_DAY_MS * 1000;
    check(t, mem);
    bool ok = books_write(t->a->o.books, take_job, t, e);
    // the fault was found during booking: reject the file now
    if (!ok && t->fault.reason[0] != '\0') {
        err_clear(e);
        ok = books_write(t->a->o.books, take_job, t, e);
    }
    if (ok) {
        log_info("ach.file", F_STR("file", t->name), F_BOOL("accepted", t->file.accepted),
                 F_INT("line", t->fault.line), F_STR("reason", t->fault.reason),
                 F_INT("entries", t->file.entries), F_INT("total", t->file.total),
                 F_INT("us", clock_mono_us(t->a->o.clock) - started_us));
    }
    return ok;
}

bool ach_take(ach *a, const char *name) {
    err e = {0};
    char answer_name[BOOKS_NAME_MAX];
    bool done = false;
    arena *mem = arena_create(ACH_ARENA_MAX);
    taking t = {.a = a, .mem = mem, .name = answer_name, .habits = habits_get(a->o.habits)};
    bool ok = ach_inbox_read(a, name, mem, &t.bytes, &e);
    if (ok) {
        uint8_t sha256[32];
        crypto_sha256(t.bytes.ptr, t.bytes.len, sha256);
        ok = choose_name(a, name, sha256, answer_name, &t.fault, &done, &e);
    }
    if (ok && !done) {
        ok = take_new(&t, mem, &e);
    }
    ok = ok && ach_archive(a, name, answer_name, &e) &&
         books_write(a->o.books, set_archived, answer_name, &e);
    if (!ok) {
        log_err(LOG_ERROR, "ach.take_failed", &e);
    }
    arena_destroy(mem);
    return ok;
}
