// The bank's files, read strictly: whatever is not exactly as agreed makes the whole file bad, and a person looks at it.
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "rails/ach/ach_internal.h"
#include "rails/ach/nacha_read.h"
#include "rails/rail_time.h"

enum { REASON_LEN_MAX = 300, CSV_FIELDS_MAX = 5, LINE_LEN_MAX = 200 };

static bool bad(err *e, int line, const char *why) {
    return err_set(e, ERR_INVALID_ARGUMENT, "BAD_FILE", "line %d: %s", line, why);
}

// --- Names -----------------------------------------------------------------------------------------------------------

static bool starts_with(str s, const char *prefix) {
    size_t len = strlen(prefix);
    return s.len >= len && memcmp(s.ptr, prefix, len) == 0;
}

static str skip(str s, size_t n) {
    return (str){s.ptr + n, s.len - n};
}

// "<10 digits>-<8 digits>-" at the start.
static bool origin_and_date(str s, char origin[11]) {
    if (s.len < 20 || !nacha_is_digits((str){s.ptr, 10}, 10) || s.ptr[10] != '-' ||
        !nacha_is_digits((str){s.ptr + 11, 8}, 8) || s.ptr[19] != '-') {
        return false;
    }
    memcpy(origin, s.ptr, 10);
    origin[10] = '\0';
    return true;
}

bool ach_name_parse(const char *name, ach_name *out) {
    str s = str_of(name);
    *out = (ach_name){0};
    if (s.len >= ACH_NAME_LEN_MAX) {
        return false;
    }
    if (starts_with(s, "ret-")) {
        s = skip(s, 4);
        out->kind = ACH_RETURNS;
        return origin_and_date(s, out->origin) && s.len > 24 && s.len <= 34 &&
               memcmp(s.ptr + s.len - 4, ".ach", 4) == 0 && s.ptr[20] != '-' &&
               str_to_i64((str){s.ptr + 20, s.len - 24}, 0, INT64_MAX, &out->number);
    }
    // <origin>-<date>-<modifier>.ach.ack and ….ach.settle.<N>
    bool modifier = s.len > 25 && ((s.ptr[20] >= 'A' && s.ptr[20] <= 'Z') ||
                                   (s.ptr[20] >= '0' && s.ptr[20] <= '9'));
    if (!modifier || !origin_and_date(s, out->origin) || memcmp(s.ptr + 21, ".ach", 4) != 0) {
        return false;
    }
    memcpy(out->file, s.ptr, 25);
    s = skip(s, 25);
    if (str_eq_c(s, ".ack")) {
        out->kind = ACH_ACK;
        return true;
    }
    out->kind = ACH_SETTLEMENT;
    return starts_with(s, ".settle.") && s.len > 8 && s.len <= 18 && s.ptr[8] != '-' &&
           str_to_i64(skip(s, 8), 0, INT64_MAX, &out->number);
}

// --- Acknowledgement -------------------------------------------------------------------------------------------------

static bool ack_fields(json_t *root, const char *file, arena *a, ach_ack *out, err *e) {
    const char *named = json_string_value(json_object_get(root, "file"));
    const char *status = json_string_value(json_object_get(root, "status"));
    const char *reason = json_string_value(json_object_get(root, "reason"));
    const char *at = json_string_value(json_object_get(root, "at"));
    json_t *entries = json_object_get(root, "entries"), *total = json_object_get(root, "total");
    if (named == NULL || strcmp(named, file) != 0) {
        return bad(e, 1, "'file' is not the file that the name says");
    }
    out->accepted = status != NULL && strcmp(status, "accepted") == 0;
    if (!out->accepted && (status == NULL || strcmp(status, "rejected") != 0)) {
        return bad(e, 1, "'status' must be accepted or rejected");
    }
    if (at == NULL || !rail_time_parse(str_of(at), &out->at_us)) {
        return bad(e, 1, "'at' must be a time");
    }
    // A file that was refused may not have been understood, so its counts need not be there.
    if (out->accepted && (!json_is_integer(entries) || !json_is_integer(total))) {
        return bad(e, 1, "'entries' and 'total' must be whole numbers");
    }
    out->entries = json_integer_value(entries);
    out->total = json_integer_value(total);
    size_t len = str_of(reason).len;
    char *copy =
        arena_strndup(a, reason == NULL ? "" : reason, len < REASON_LEN_MAX ? len : REASON_LEN_MAX);
    if (copy == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_LARGE", "no memory for a reason");
    }
    out->reason = str_of(copy);
    return true;
}

bool ach_ack_parse(str bytes, const char *file, arena *a, ach_ack *out, err *e) {
    json_error_t fault;
    *out = (ach_ack){0};
    json_t *root = json_loadb(bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, &fault);
    if (root == NULL) {
        return bad(e, fault.line, "is not JSON");
    }
    bool ok =
        json_is_object(root) ? ack_fields(root, file, a, out, e) : bad(e, 1, "is not an object");
    json_decref(root);
    return ok;
}

// --- Settlement report -----------------------------------------------------------------------------------------------

typedef struct csv {
    str bytes;
    size_t at;
    int line;
    str field[CSV_FIELDS_MAX];
    size_t n;
} csv;

// The next line, split at its commas. False at the end of the file, and with *e when the line cannot be one of ours.
static bool csv_next(csv *c, err *e) {
    if (c->at == c->bytes.len) {
        return false;
    }
    c->line++;
    const char *start = c->bytes.ptr + c->at;
    size_t left = c->bytes.len - c->at;
    const char *newline = memchr(start, '\n', left < LINE_LEN_MAX ? left : LINE_LEN_MAX);
    if (newline == NULL) {
        return bad(e, c->line, "is too long, or does not end");
    }
    size_t len = (size_t)(newline - start);
    c->at += len + 1;
    c->n = 0;
    for (size_t begin = 0, i = 0; i <= len; i++) {
        if (i < len && start[i] != ',') {
            continue;
        }
        if (c->n == CSV_FIELDS_MAX) {
            return bad(e, c->line, "has too many fields");
        }
        c->field[c->n++] = (str){start + begin, i - begin};
        begin = i + 1;
    }
    return true;
}

static bool is_record(const csv *c, const char *type, size_t n) {
    return c->n == n && str_eq_c(c->field[0], type);
}

static bool settlement_header(csv *c, const char *file, int64_t number, err *e) {
    int64_t stated, at_us;
    if (!csv_next(c, e)) {
        return err_is_set(e) ? false : bad(e, 1, "the file is empty");
    }
    bool ok = is_record(c, "H", 4) && str_eq_c(c->field[1], file) &&
              str_to_i64(c->field[2], 0, INT64_MAX, &stated) && stated == number &&
              rail_time_parse(c->field[3], &at_us);
    return ok || bad(e, 1, "must be the header of this file: H,<file>,<number>,<time>");
}

static bool settlement_detail(const csv *c, ach_line *out, err *e) {
    bool ok = is_record(c, "D", 5) && nacha_is_digits(c->field[1], NACHA_TRACE_LEN) &&
              str_to_i64(c->field[2], 1, NACHA_ENTRY_CENTS_MAX, &out->amount) &&
              str_eq_c(c->field[3], "SETTLED") && rail_time_parse(c->field[4], &out->at_us);
    if (!ok) {
        return bad(e, c->line,
                   "must be D,<15-digit trace>,<amount>,SETTLED,<time>, or the trailer");
    }
    memcpy(out->trace, c->field[1].ptr, NACHA_TRACE_LEN);
    out->trace[NACHA_TRACE_LEN] = '\0';
    out->line = c->line;
    return true;
}

bool ach_settlement_parse(str bytes, const char *file, int64_t number, arena *a, ach_line **lines,
                          size_t *n, err *e) {
    csv c = {.bytes = bytes};
    int64_t sum = 0, stated_n, stated_sum;
    err_clear(e);
    *n = 0;
    // A detail has at least 40 characters: D, 15 of the trace, 1 of the amount, SETTLED, 20 of the time, and 4 commas.
    *lines = arena_calloc(a, bytes.len / 40 + 1, sizeof(ach_line));
    if (*lines == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_LARGE", "no memory for a report");
    }
    if (!settlement_header(&c, file, number, e)) {
        return false;
    }
    for (;;) {
        if (!csv_next(&c, e)) {
            return err_is_set(e) ? false : bad(e, c.line, "the trailer is missing");
        }
        if (is_record(&c, "T", 3)) {
            break;
        }
        if (!settlement_detail(&c, &(*lines)[*n], e)) {
            return false;
        }
        sum += (*lines)[*n].amount; // 10 digits each: no overflow
        *n += 1;
    }
    if (!str_to_i64(c.field[1], 0, INT64_MAX, &stated_n) ||
        !str_to_i64(c.field[2], 0, INT64_MAX, &stated_sum) || (size_t)stated_n != *n ||
        stated_sum != sum) {
        return bad(e, c.line, "the trailer's count or sum is not that of the lines");
    }
    return c.at == bytes.len || bad(e, c.line + 1, "nothing may follow the trailer");
}

// --- Returns ---------------------------------------------------------------------------------------------------------

bool ach_returns_parse(str bytes, const char *origin, int64_t at_us, arena *a, ach_line **lines,
                       size_t *n, err *e) {
    nacha_fault fault;
    nacha_file *f = nacha_read(bytes, a, &fault);
    *n = 0;
    if (f == NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_FILE", "line %d, column %d, %s: %s",
                       fault.line, fault.column, fault.field, fault.reason);
    }
    if (strcmp(f->immediate_destination, origin) != 0) {
        return bad(e, 1, "the immediate destination is not the origin in the file's name");
    }
    *lines = arena_calloc(a, f->n_entries, sizeof(ach_line));
    if (*lines == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_LARGE", "no memory for returns");
    }
    for (size_t i = 0; i < f->n_entries; i++) {
        const nacha_entry *entry = &f->entries[i];
        bool credit = entry->transaction_code == NACHA_CHECKING_RETURN_CREDIT ||
                      entry->transaction_code == NACHA_SAVINGS_RETURN_CREDIT;
        if (!entry->is_return || !credit) {
            return bad(e, entry->line, "is not the return of a credit");
        }
        ach_line *l = &(*lines)[i];
        l->line = entry->line;
        l->amount = entry->amount_cents;
        l->at_us = at_us;
        l->code = str_of(entry->return_code);
        l->text = str_of(nacha_return_text(l->code));
        snprintf(l->trace, sizeof l->trace, "%s", entry->original_trace);
    }
    *n = f->n_entries;
    return true;
}
