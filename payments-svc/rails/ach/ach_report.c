// Tells the bank's files apart by their content: banks choose their own names. Checks of counts and sums decide about a file as a whole
// before its lines mean anything. A bad line is a fault of its own.
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "formats/nacha/nacha_inbound.h"
#include "rails/ach/ach_internal.h"
#include "rails/rail_time.h"

enum { REASON_LEN_MAX = 300, CSV_FIELDS_MAX = 5, LINE_LEN_MAX = 200 };

static bool bad(err *e, int line, const char *why) {
    return err_set(e, ERR_INVALID_ARGUMENT, "BAD_FILE", "line %d: %s", line, why);
}

// --- What it is ------------------------------------------------------------------------------------------------------

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static str without_mark(str bytes) {
    const bool mark = bytes.len >= 3 && memcmp(bytes.ptr, "\xef\xbb\xbf", 3) == 0;
    return mark ? (str){bytes.ptr + 3, bytes.len - 3} : bytes;
}

ach_about ach_look(str bytes) {
    const str text = without_mark(bytes);
    size_t i = 0;
    while (i < text.len && is_space(text.ptr[i])) {
        i++;
    }
    if (i == text.len) {
        return ACH_EMPTY;
    }
    if (text.ptr[i] == '{') {
        return ACH_ACK;
    }
    if (text.len - i >= 2 && text.ptr[i] == 'H' && text.ptr[i + 1] == ',') {
        return ACH_SETTLEMENT;
    }
    return nacha_looks_like(bytes) ? ACH_NACHA : ACH_UNKNOWN;
}

bool ach_is_whole(str bytes, arena *a) {
    err e = {0};
    ach_ack ack;
    ach_report report;
    switch (ach_look(bytes)) {
    case ACH_ACK: return ach_ack_parse(bytes, a, &ack, &e);
    case ACH_SETTLEMENT: return ach_settlement_parse(bytes, "", a, &report, &e);
    case ACH_NACHA: return ach_returns_parse(bytes, 0, a, &report, &e);
    case ACH_EMPTY:
    case ACH_UNKNOWN: break;
    }
    return false;
}

// --- Acknowledgement -------------------------------------------------------------------------------------------------

// At most as many digits as in a file's totals.
static bool is_count(const json_t *value) {
    return json_is_integer(value) && json_integer_value(value) >= 0 &&
           json_integer_value(value) <= INT64_C(999999999999);
}

static bool copy_text(json_t *value, const char *name, str *out, arena *a) {
    const str text =
        str_clip(str_of(json_string_value(json_object_get(value, name))), REASON_LEN_MAX);
    const char *copy = arena_strndup(a, text.len > 0 ? text.ptr : "", text.len);
    *out = copy == NULL ? (str){0} : (str){copy, text.len};
    return copy != NULL;
}

// A trace, which some banks write as a number. {0} when it is none.
static str trace_of(const json_t *entry, char number[24]) {
    const json_t *value = json_object_get(entry, "trace");
    str trace = str_of(json_string_value(value));
    if (json_is_integer(value) && json_integer_value(value) > 0) {
        const int n = snprintf(number, 24, "%015" JSON_INTEGER_FORMAT, json_integer_value(value));
        trace = (str){number, n > 0 ? (size_t)n : 0};
    }
    return nacha_is_digits(trace, NACHA_TRACE_LEN) ? trace : (str){0};
}

// Each possible entry is judged singly. An element that cannot be an entry is short, and must not become a row.
static bool ack_refused(json_t *root, arena *a, ach_ack *out, err *e) {
    json_t *list = json_object_get(root, "refused");
    if (list != NULL && !json_is_array(list)) {
        return bad(e, 1, "'refused' must be a list of entries");
    }
    const size_t n = json_array_size(list);
    out->refused = ARENA_ARRAY(a, ach_refusal, n + 1);
    bool ok = out->refused != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        json_t *entry = json_array_get(list, i);
        char number[24];
        const str trace = trace_of(entry, number);
        if (trace.len == 0) {
            return bad(e, 1, "'refused' must be a list of entries with a trace of 15 digits");
        }
        ach_refusal *to = &out->refused[out->n_refused++];
        const char *copy = arena_strndup(a, trace.ptr, trace.len);
        to->trace = (str){copy, copy == NULL ? 0 : trace.len};
        ok = copy != NULL && copy_text(entry, "code", &to->code, a) &&
             copy_text(entry, "reason", &to->reason, a);
    }
    return ok || err_no_memory(e, "the list of refusals");
}

// Some banks acknowledge each batch of a file by itself: batch, batchNumber, batch_id, batches …
static bool names_a_batch(json_t *root) {
    static const char BATCH[] = "batch";
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(root, name, value) {
        if (strncasecmp(name, BATCH, sizeof BATCH - 1) == 0 && !json_is_null(value)) {
            return true;
        }
    }
    return false;
}

static bool ack_fields(json_t *root, arena *a, ach_ack *out, err *e) {
    const char *named = json_string_value(json_object_get(root, "file"));
    const char *status = json_string_value(json_object_get(root, "status"));
    const char *at = json_string_value(json_object_get(root, "at"));
    json_t *entries = json_object_get(root, "entries"), *total = json_object_get(root, "total");
    if (named == NULL || named[0] == '\0') {
        return bad(e, 1, "'file' must name a file");
    }
    out->accepted = status != NULL && strcasecmp(status, "accepted") == 0;
    if (!out->accepted && (status == NULL || strcasecmp(status, "rejected") != 0)) {
        return bad(e, 1, "'status' must be accepted or rejected");
    }
    if (at == NULL || !rail_time_parse(str_of(at), &out->at_us)) {
        out->at_us = 0; // no money depends on the time
    }
    out->of_batch = names_a_batch(root);
    // A rejected file may not have been understood, so its counts may be missing.
    if (out->accepted && (!is_count(entries) || !is_count(total))) {
        return bad(e, 1, "'entries' and 'total' must be whole numbers of at most 12 digits");
    }
    out->entries = is_count(entries) ? json_integer_value(entries) : 0;
    out->total = is_count(total) ? json_integer_value(total) : 0;
    out->entries_told = out->accepted || out->entries > 0;
    out->total_told = out->accepted || out->total > 0;
    char *file = arena_strdup(a, named);
    if (!copy_text(root, "reason", &out->reason, a) || file == NULL) {
        return err_no_memory(e, "a reason");
    }
    out->file = str_of(file);
    return ack_refused(root, a, out, e);
}

static str trimmed(str s) {
    while (s.len > 0 && is_space(s.ptr[0])) {
        s = (str){s.ptr + 1, s.len - 1};
    }
    while (s.len > 0 && is_space(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

static bool is_item(str item, str reason) {
    const bool beginning = item.len > 0 && item.ptr[item.len - 1] == '*';
    const size_t len = item.len - (beginning ? 1 : 0);
    return len > 0 && (beginning ? reason.len >= len : reason.len == len) &&
           strncasecmp(item.ptr, reason.ptr, len) == 0;
}

bool ach_is_listed(const char *list, str reason) {
    const str wanted = trimmed(reason);
    for (const char *at = list; at != NULL && *at != '\0';) {
        const size_t len = strcspn(at, ",");
        if (is_item(trimmed((str){at, len}), wanted)) {
            return true;
        }
        at += len + (at[len] == ',' ? 1 : 0);
    }
    return false;
}

bool ach_is_list(const char *list) {
    const char *at = list == NULL ? "" : list;
    bool ok = true;
    for (bool more = at[0] != '\0'; ok && more;) {
        const size_t len = strcspn(at, ",");
        const str item = trimmed((str){at, len});
        const char *star = memchr(item.ptr, '*', item.len);
        ok = item.len > 0 && (star == NULL || (star > item.ptr && star == item.ptr + item.len - 1));
        more = at[len] == ',';
        at += len + 1;
    }
    return ok;
}

bool ach_ack_parse(str bytes, arena *a, ach_ack *out, err *e) {
    json_error_t fault;
    *out = (ach_ack){0};
    bytes = without_mark(bytes);
    if (bytes.len > ACH_ACK_BYTES_MAX) {
        return bad(e, 1, "is larger than an acknowledgement is");
    }
    json_t *root = json_loadb(bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, &fault);
    if (root == NULL) {
        return bad(e, fault.line, "is not JSON");
    }
    bool ok = json_is_object(root) ? ack_fields(root, a, out, e) : bad(e, 1, "is not an object");
    json_decref(root);
    return ok;
}

// --- Settlement report -----------------------------------------------------------------------------------------------

typedef struct csv {
    str bytes;
    size_t at;
    int line;
    str text; // the current line, without its end
    str field[CSV_FIELDS_MAX];
    size_t n;
} csv;

static void split(csv *c) {
    c->n = 0;
    for (size_t begin = 0, i = 0; i <= c->text.len && c->n < CSV_FIELDS_MAX; i++) {
        if (i == c->text.len || c->text.ptr[i] == ',') {
            c->field[c->n++] = (str){c->text.ptr + begin, i - begin};
            begin = i + 1;
        }
        if (c->n == CSV_FIELDS_MAX && i < c->text.len) {
            c->n = CSV_FIELDS_MAX + 1; // more than any record has
        }
    }
}

// Splits the next line that is not blank at its commas. False at the end of the file, and with *e for an impossible line.
static bool csv_next(csv *c, err *e) {
    while (c->at < c->bytes.len) {
        const char *start = c->bytes.ptr + c->at;
        const size_t left = c->bytes.len - c->at;
        const size_t look = left < LINE_LEN_MAX ? left : LINE_LEN_MAX;
        const char *newline = memchr(start, '\n', look);
        c->line++;
        if (newline == NULL && left > LINE_LEN_MAX) {
            return bad(e, c->line, "is too long");
        }
        size_t len = newline == NULL ? left : (size_t)(newline - start);
        c->at += newline == NULL ? left : len + 1;
        while (len > 0 && is_space(start[len - 1])) {
            len--;
        }
        if (len > 0) {
            c->text = (str){start, len};
            split(c);
            return true;
        }
    }
    return false;
}

static bool is_record(const csv *c, const char *type, size_t n) {
    return c->n == n && str_eq_c(c->field[0], type);
}

static bool settlement_header(csv *c, ach_report *out, err *e) {
    if (!csv_next(c, e)) {
        return err_is_set(e) ? false : bad(e, 1, "the file is empty");
    }
    const bool ok = is_record(c, "H", 4) && c->field[1].len > 0 &&
                    c->field[1].len < ACH_NAME_LEN_MAX &&
                    str_to_i64(c->field[2], 0, INT64_MAX, &out->number);
    out->file = c->field[1];
    return ok || bad(e, c->line, "must be the header: H,<file>,<number>,<time>");
}

// A trace begins with our bank's number; its zero is lost where traces are kept as numbers. No other number is taken for a trace: it may be
// an account's.
static str whole_trace(str told, const char *bank, arena *a) {
    enum { BANK_LEN = 8 };
    char whole[NACHA_TRACE_LEN + 1] = "0";
    if (told.len != NACHA_TRACE_LEN - 1 || !nacha_is_digits(told, told.len) || bank[0] != '0' ||
        memcmp(told.ptr, bank + 1, BANK_LEN - 1) != 0) {
        return told;
    }
    memcpy(whole + 1, told.ptr, told.len);
    const char *copy = arena_strndup(a, whole, NACHA_TRACE_LEN);
    return copy == NULL ? told : (str){copy, NACHA_TRACE_LEN};
}

static bool says_settled(str status) {
    return status.len == 7 && strncasecmp(status.ptr, "SETTLED", 7) == 0;
}

static bool settlement_detail(const csv *c, const char *bank, arena *a, ach_line *out, err *e) {
    *out = (ach_line){.line = c->line, .raw = c->text, .saying = ACH_SAYS_SETTLED, .credit = true};
    // Without an amount no sum is possible, so this decides about the file.
    if (c->n < 3 || !str_eq_c(c->field[0], "D") ||
        !str_to_i64(c->field[2], -NACHA_ENTRY_CENTS_MAX, NACHA_ENTRY_CENTS_MAX, &out->amount)) {
        return bad(e, c->line,
                   "must be D,<15-digit trace>,<amount>,SETTLED,<time>, or the trailer");
    }
    out->trace = whole_trace(c->field[1], bank, a);
    if (c->n != 5 || !nacha_is_digits(out->trace, NACHA_TRACE_LEN)) {
        out->fault = "UNREADABLE_LINE";
        out->fault_text =
            "the line has another form than D,<15-digit trace>,<amount>,SETTLED,<time>";
    } else if (out->amount < 0) {
        out->fault = "NEGATIVE_AMOUNT";
        out->fault_text = "the line takes money back: ask the bank what it corrects";
    } else if (!says_settled(c->field[3])) {
        out->fault = "UNKNOWN_STATUS";
        out->fault_text = "the line says something else than SETTLED";
    } else if (!rail_time_parse(c->field[4], &out->at_us)) {
        out->at_us = 0; // it settled in spite of the bad time
    }
    return true;
}

static bool settlement_trailer(const csv *c, size_t n, int64_t sum, err *e) {
    int64_t stated_n, stated_sum;
    return (str_to_i64(c->field[1], 0, INT64_MAX, &stated_n) &&
            str_to_i64(c->field[2], INT64_MIN, INT64_MAX, &stated_sum) && (size_t)stated_n == n &&
            stated_sum == sum) ||
           bad(e, c->line, "the trailer's count or sum is not that of the lines");
}

bool ach_settlement_parse(str bytes, const char *bank, arena *a, ach_report *out, err *e) {
    csv c = {.bytes = without_mark(bytes)};
    int64_t sum = 0;
    err_clear(e);
    *out = (ach_report){0};
    size_t ends = 1;
    for (size_t i = 0; i < bytes.len; i++) {
        ends += bytes.ptr[i] == '\n';
    }
    out->lines = arena_calloc(a, ends, sizeof(ach_line));
    if (out->lines == NULL) {
        return err_no_memory(e, "a report");
    }
    if (!settlement_header(&c, out, e)) {
        return false;
    }
    for (;;) {
        if (!csv_next(&c, e)) {
            return err_is_set(e) ? false : bad(e, c.line, "the trailer is missing");
        }
        if (is_record(&c, "T", 3)) {
            break;
        }
        if (!settlement_detail(&c, bank, a, &out->lines[out->n], e)) {
            return false;
        }
        sum += out->lines[out->n++].amount; // 10 digits each: no overflow
    }
    if (!settlement_trailer(&c, out->n, sum, e)) {
        return false;
    }
    if (csv_next(&c, e)) {
        return bad(e, c.line, "nothing may follow the trailer");
    }
    return !err_is_set(e);
}

// --- Returns ---------------------------------------------------------------------------------------------------------

static ach_saying saying_of(nacha_word word) {
    switch (word) {
    case NACHA_WORD_RETURN: return ACH_SAYS_RETURNED;
    case NACHA_WORD_CHANGE:
    case NACHA_WORD_CHANGE_REFUSED: return ACH_SAYS_CHANGE;
    case NACHA_WORD_DISHONORED:
    case NACHA_WORD_CONTESTED: return ACH_SAYS_DISPUTE;
    case NACHA_WORD_ENTRY:
    case NACHA_WORD_UNREADABLE: break;
    }
    return ACH_SAYS_NOTHING;
}

static void line_of(const nacha_told *t, const nacha_told_batch *b, int64_t at_us, ach_line *out) {
    *out = (ach_line){.line = t->line,
                      .saying = saying_of(t->word),
                      .raw = t->raw,
                      .trace = t->original_trace,
                      .own_trace = t->trace,
                      .company_id = b->company_id,
                      .rdfi = t->original_rdfi,
                      .individual_id = t->individual_id,
                      .account = t->account,
                      .code = t->code,
                      .info = t->info,
                      .credit = t->credit,
                      .amount = t->amount_cents,
                      .at_us = at_us};
    if (t->fault != NULL) {
        out->fault = "UNREADABLE_LINE";
        out->fault_text = t->fault;
    } else if (b->fault != NULL) {
        out->fault = "UNCLEAR_BATCH";
        out->fault_text = b->fault;
    } else if (t->word == NACHA_WORD_ENTRY) {
        out->fault = "NOT_ABOUT_OURS";
        out->fault_text = "an entry that is neither a return nor a notice about one of ours";
    }
}

bool ach_returns_parse(str bytes, int64_t at_us, arena *a, ach_report *out, err *e) {
    nacha_inbound f;
    nacha_inbound_fault fault;
    *out = (ach_report){0};
    if (!nacha_inbound_read(bytes, a, &f, &fault)) {
        return bad(e, fault.line, fault.reason);
    }
    out->lines = arena_calloc(a, f.n_entries + 1, sizeof(ach_line));
    if (out->lines == NULL) {
        return err_no_memory(e, "the list of returns");
    }
    for (size_t i = 0; i < f.n_entries; i++) {
        line_of(&f.entries[i], &f.batches[f.entries[i].batch], at_us, &out->lines[i]);
    }
    out->n = f.n_entries;
    return true;
}
