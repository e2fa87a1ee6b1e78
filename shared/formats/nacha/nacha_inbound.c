// One pass over the records. Facts of the layout: positions from 1, in records of 94 characters.
#include "formats/nacha/nacha_inbound.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

typedef enum where {
    BEFORE_FILE = 1,
    IN_FILE,
    IN_BATCH,
    IN_ADVICES, // a batch of an accounting system
    AFTER_FILE
} where;

// What file controls add up.
typedef struct sums {
    int64_t batches, records, hash, debit_cents, credit_cents;
} sums;

typedef struct reader {
    str bytes;
    size_t at;
    int line;
    str text; // this record without trailing blanks, at most 94 characters
    where where;
    arena *mem;
    nacha_inbound *out;
    nacha_inbound_fault *fault;
    size_t entries_max, batches_max;
    bool told;          // the last entry has its addenda 98 or 99
    sums file, advices; // of the open file
} reader;

static bool refuse(reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool refuse(reader *r, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    r->fault->line = r->line;
    (void)vsnprintf(r->fault->reason, sizeof r->fault->reason, fmt, args);
    va_end(args);
    return false;
}

// --- Records ---------------------------------------------------------------------------------------------------------

// Of a record: up to the line end, or its 94 characters.
static size_t record_len(str left) {
    size_t len = left.len < NACHA_LINE_LEN ? left.len : NACHA_LINE_LEN;
    static const char ENDS[] = {'\n', '\r'};
    for (size_t i = 0; i < sizeof ENDS; i++) {
        const char *end = memchr(left.ptr, ENDS[i], len);
        len = end == NULL ? len : (size_t)(end - left.ptr);
    }
    return len;
}

// What mailboxes, editors and mainframes leave behind records and around files: it says nothing. The last three are a mainframe's line end,
// as it was, as it is converted, and with the byte that UTF-8 puts before that.
static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\0' || c == 0x1a || c == 0x15 ||
           c == '\x85' || c == '\xc2';
}

// Where the next record begins, after one that ends at i: behind its padding and one line end.
static size_t after_record(str left, size_t i) {
    while (i < left.len && is_blank(left.ptr[i])) {
        i++;
    }
    if (i < left.len && left.ptr[i] == '\r') {
        i++;
    }
    if (i < left.len && left.ptr[i] == '\n') {
        i++;
    }
    return i;
}

bool nacha_inbound_record(str bytes, size_t *at, str *record) {
    if (*at == 0 && bytes.len >= 3 && memcmp(bytes.ptr, "\xef\xbb\xbf", 3) == 0) {
        *at = 3; // a mark of the encoding, which says nothing of money
    }
    while (*at <= 3 && *at < bytes.len && bytes.ptr[*at] != ' ' && is_blank(bytes.ptr[*at])) {
        (*at)++; // a form feed in front of the first record would move it
    }
    if (*at >= bytes.len) {
        *record = (str){0};
        return false;
    }
    const str left = {bytes.ptr + *at, bytes.len - *at};
    size_t len = record_len(left);
    *at += after_record(left, len);
    while (len > 0 && is_blank(left.ptr[len - 1])) {
        len--;
    }
    *record = (str){left.ptr, len};
    return true;
}

// The next record that is not blank. False at the end.
static bool next_record(reader *r) {
    while (nacha_inbound_record(r->bytes, &r->at, &r->text)) {
        r->line++;
        if (r->text.len > 0) {
            return true;
        }
    }
    return false;
}

// --- Fields ----------------------------------------------------------------------------------------------------------

// Without the blanks around it. What a cut line no longer has is blank.
static str field(const reader *r, size_t column, size_t width) {
    size_t begin = column - 1, end = begin + width;
    end = end < r->text.len ? end : r->text.len;
    while (begin < end && r->text.ptr[begin] == ' ') {
        begin++;
    }
    while (end > begin && r->text.ptr[end - 1] == ' ') {
        end--;
    }
    return (str){r->text.ptr + (begin < end ? begin : 0), begin < end ? end - begin : 0};
}

static bool number(const reader *r, size_t column, size_t width, int64_t *out) {
    int64_t value = 0;
    if (column - 1 + width > r->text.len) {
        return false;
    }
    for (size_t i = column - 1; i < column - 1 + width; i++) {
        if (r->text.ptr[i] < '0' || r->text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (r->text.ptr[i] - '0');
    }
    *out = value;
    return true;
}

static bool total(reader *r, size_t column, size_t width, int64_t computed, const char *what) {
    int64_t stated = 0;
    if (!number(r, column, width, &stated)) {
        return refuse(r, "%s is not a number", what);
    }
    return stated == computed || refuse(r, "%s is %" PRId64 ", but the records add up to %" PRId64,
                                        what, stated, computed);
}

// --- Entries ---------------------------------------------------------------------------------------------------------

static bool no_room(reader *r) {
    return refuse(r, "the file has more than can be read");
}

// Doubles an array of the arena when it is full; it begins with `first`. The old one is lost to the arena until its reset.
static void *grown(arena *a, void *items, size_t n, size_t *max, size_t first, size_t size) {
    if (n < *max) {
        return items;
    }
    const size_t wanted = *max == 0 ? first : *max * 2;
    void *more = arena_alloc(a, wanted * size);
    if (more != NULL && n > 0) {
        memcpy(more, items, n * size);
    }
    *max = wanted;
    return more;
}

static void spoil(nacha_told *t, const char *why) {
    if (t->fault == NULL) {
        t->word = NACHA_WORD_UNREADABLE;
        t->fault = why;
    }
}

static bool read_entry(reader *r) {
    nacha_inbound *f = r->out;
    // As many as there are when every entry has one addenda record and no line is cut short.
    const size_t first = r->bytes.len / ((size_t)2 * NACHA_LINE_LEN) + 1;
    f->entries =
        grown(r->mem, f->entries, f->n_entries, &r->entries_max, first, sizeof *f->entries);
    if (f->entries == NULL) {
        return no_room(r);
    }
    nacha_told_batch *b = &f->batches[f->n_batches - 1];
    nacha_told *t = &f->entries[f->n_entries++];
    int64_t code = 0, rdfi = 0;
    *t = (nacha_told){.line = r->line,
                      .batch = (uint32_t)(f->n_batches - 1),
                      .word = NACHA_WORD_ENTRY,
                      .raw = r->text,
                      .account = field(r, 13, NACHA_ACCOUNT_LEN),
                      .individual_id = field(r, 40, NACHA_ID_LEN),
                      .trace = field(r, 80, NACHA_TRACE_LEN)};
    if (!number(r, 2, 2, &code)) {
        spoil(t, "the transaction code is not a number");
    }
    if (!number(r, 4, 8, &rdfi)) {
        spoil(t, "the receiving bank is not a number");
    }
    if (!number(r, 30, 10, &t->amount_cents)) {
        spoil(t, "the amount is not a number");
    }
    t->transaction_code = (int)code;
    t->credit = code % 10 < 5; // x1 to x4 are credits and what comes back of them, x5 to x9 debits
    *(t->credit ? &b->credit_cents : &b->debit_cents) += t->amount_cents; // 10 digits, few lines
    b->hash = (b->hash + rdfi) % NACHA_HASH_MODULUS;
    b->records++;
    r->told = false;
    return true;
}

static bool is_code(str code, char letter, int64_t *number_out) {
    return code.len == 3 && code.ptr[0] == letter && nacha_is_digits((str){code.ptr + 1, 2}, 2) &&
           str_to_i64((str){code.ptr + 1, 2}, 0, 99, number_out);
}

// What returns and notifications of change have in common: the code, and which entry they are about.
static bool read_about(reader *r, nacha_told *t, char letter, int64_t *code) {
    t->code = field(r, 4, 3);
    t->original_trace = field(r, 7, NACHA_TRACE_LEN);
    t->original_rdfi = field(r, 28, 8);
    if (r->told) {
        spoil(t, "the entry has two reasons");
    }
    r->told = true;
    if (!is_code(t->code, letter, code)) {
        spoil(t, "the reason code is none");
    } else if (!nacha_is_digits(t->original_trace, NACHA_TRACE_LEN)) {
        spoil(t, "the original trace is not a number of 15 digits");
    } else if (!nacha_is_digits(t->original_rdfi, 8)) {
        spoil(t, "the original receiving bank is not a number of 8 digits");
    }
    return t->fault == NULL;
}

static void read_return(reader *r, nacha_told *t) {
    int64_t code = 0;
    t->info = field(r, 36, 44);
    if (read_about(r, t, 'R', &code)) {
        t->word = code >= 71 && code <= 77   ? NACHA_WORD_CONTESTED
                  : code >= 61 && code <= 70 ? NACHA_WORD_DISHONORED
                                             : NACHA_WORD_RETURN;
    }
}

static void read_change(reader *r, nacha_told *t) {
    int64_t code = 0;
    // By position: blanks inside belong to the field, so only the blanks at its end go.
    const size_t end = r->text.len < 64 ? r->text.len : 64;
    t->info = end > 35 ? (str){r->text.ptr + 35, end - 35} : (str){0};
    if (read_about(r, t, 'C', &code)) {
        t->word = code >= 61 && code <= 69 ? NACHA_WORD_CHANGE_REFUSED : NACHA_WORD_CHANGE;
    }
}

static bool read_addenda(reader *r) {
    nacha_inbound *f = r->out;
    nacha_told_batch *b = &f->batches[f->n_batches - 1];
    if (f->n_entries == 0 || f->entries[f->n_entries - 1].batch != f->n_batches - 1) {
        return refuse(r, "an addenda record without an entry before it");
    }
    nacha_told *t = &f->entries[f->n_entries - 1];
    const str type = field(r, 2, 2);
    t->raw.len = (size_t)(r->text.ptr + r->text.len - t->raw.ptr);
    b->records++;
    if (str_eq_c(type, "99")) {
        read_return(r, t);
    } else if (str_eq_c(type, "98")) {
        read_change(r, t);
    }
    return true; // others are the entry's own text, and are counted
}

// --- Batches and files -----------------------------------------------------------------------------------------------

static bool read_file_header(reader *r) {
    if (r->out->destination.len == 0) {
        r->out->destination = field(r, 4, 10);
        r->out->origin = field(r, 14, 10);
    }
    r->file = r->advices = (sums){0};
    r->where = IN_FILE;
    return true;
}

static bool read_batch_header(reader *r) {
    nacha_inbound *f = r->out;
    if (str_eq_c(field(r, 2, 3), "280")) {
        r->advices.batches++;
        r->where = IN_ADVICES;
        return true;
    }
    f->batches = grown(r->mem, f->batches, f->n_batches, &r->batches_max, 64, sizeof *f->batches);
    if (f->batches == NULL) {
        return no_room(r);
    }
    f->batches[f->n_batches++] = (nacha_told_batch){.line = r->line,
                                                    .company_id = field(r, 41, 10),
                                                    .sec = field(r, 51, 3),
                                                    .description = field(r, 54, 10),
                                                    .odfi = field(r, 80, 8)};
    r->file.batches++;
    r->where = IN_BATCH;
    return true;
}

static bool read_batch_control(reader *r) {
    nacha_told_batch *b = &r->out->batches[r->out->n_batches - 1];
    const str company_id = field(r, 45, 10);
    if (!total(r, 5, 6, b->records, "the batch's count of entries and addenda") ||
        !total(r, 11, 10, b->hash, "the batch's entry hash") ||
        !total(r, 21, 12, b->debit_cents, "the batch's total of debits") ||
        !total(r, 33, 12, b->credit_cents, "the batch's total of credits")) {
        return false;
    }
    if (company_id.len > 0 && !str_eq(company_id, b->company_id)) {
        b->fault = "the batch's header and control record name different companies";
    }
    r->file.records += b->records;
    r->file.hash = (r->file.hash + b->hash) % NACHA_HASH_MODULUS;
    r->file.debit_cents += b->debit_cents;
    r->file.credit_cents += b->credit_cents;
    r->where = IN_FILE;
    return true;
}

// Advices of an accounting system (280) have a layout of their own and are about no entry of ours; only their part of
// the file's sums counts.
static bool read_advice(reader *r, char type) {
    sums *s = &r->advices;
    int64_t code = 0, rdfi = 0, cents = 0;
    if (type == '8') {
        r->where = IN_FILE;
        return true;
    }
    s->records++;
    if (type == '7') {
        return true;
    }
    if (!number(r, 2, 2, &code) || !number(r, 4, 8, &rdfi) || !number(r, 28, 12, &cents)) {
        return refuse(r, "an advice of an accounting system that cannot be read");
    }
    s->hash = (s->hash + rdfi) % NACHA_HASH_MODULUS;
    *(code % 2 == 1 ? &s->credit_cents : &s->debit_cents) += cents;
    return true;
}

// Whether the stated count of batches includes the advices. Banks differ in this, and the other sums follow the count.
static bool has_advices(const reader *r) {
    int64_t stated = 0;
    return number(r, 2, 6, &stated) && stated == r->file.batches + r->advices.batches;
}

static bool read_file_control(reader *r) {
    const sums *f = &r->file, with = has_advices(r) ? r->advices : (sums){0};
    if (!total(r, 2, 6, f->batches + with.batches, "the file's count of batches") ||
        !total(r, 14, 8, f->records + with.records, "the file's count of entries and addenda") ||
        !total(r, 22, 10, (f->hash + with.hash) % NACHA_HASH_MODULUS, "the file's entry hash") ||
        !total(r, 32, 12, f->debit_cents + with.debit_cents, "the file's total of debits") ||
        !total(r, 44, 12, f->credit_cents + with.credit_cents, "the file's total of credits")) {
        return false;
    }
    r->out->debit_cents += f->debit_cents;
    r->out->credit_cents += f->credit_cents;
    r->where = AFTER_FILE;
    return true;
}

static bool is_padding(str text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '9') {
            return false;
        }
    }
    return true;
}

// "$$ADD ID=…": an order to a mailbox, which some banks leave in front.
static bool is_mailbox_line(str text) {
    return text.len >= 2 && memcmp(text.ptr, "$$", 2) == 0;
}

static bool read_record(reader *r) {
    const char type = r->text.ptr[0];
    const char shown = type > 0x20 && type < 0x7f ? type : '?';
    switch (r->where) {
    case IN_ADVICES:
        return type == '6' || type == '7' || type == '8'
                   ? read_advice(r, type)
                   : refuse(r, "a record of type '%c' inside of a batch", shown);
    case BEFORE_FILE:
        if (is_mailbox_line(r->text)) {
            return true;
        }
        return type == '1' ? read_file_header(r) : refuse(r, "the file does not begin as one");
    case IN_FILE:
        return type == '5'   ? read_batch_header(r)
               : type == '9' ? read_file_control(r)
                             : refuse(r, "a record of type '%c' outside of a batch", shown);
    case IN_BATCH:
        return type == '6'   ? read_entry(r)
               : type == '7' ? read_addenda(r)
               : type == '8' ? read_batch_control(r)
                             : refuse(r, "a record of type '%c' inside of a batch", shown);
    case AFTER_FILE:
        return type == '1' ? read_file_header(r)
                           : is_padding(r->text) || refuse(r, "something follows the file");
    }
    return refuse(r, "a record out of place");
}

bool nacha_looks_like(str bytes) {
    size_t at = 0;
    str record;
    while (nacha_inbound_record(bytes, &at, &record)) {
        while (record.len > 0 && is_blank(record.ptr[0])) {
            record = (str){record.ptr + 1, record.len - 1};
        }
        if (record.len > 0 && !is_mailbox_line(record)) {
            return record.ptr[0] == '1';
        }
    }
    return false;
}

bool nacha_inbound_read(str bytes, arena *a, nacha_inbound *out, nacha_inbound_fault *fault) {
    *out = (nacha_inbound){0};
    *fault = (nacha_inbound_fault){.line = 1};
    reader r = {.bytes = bytes, .where = BEFORE_FILE, .mem = a, .out = out, .fault = fault};
    while (next_record(&r)) {
        if (!read_record(&r)) {
            return false;
        }
    }
    return r.where == BEFORE_FILE || r.where == AFTER_FILE || refuse(&r, "the file ends too early");
}

// --- Changes ---------------------------------------------------------------------------------------------------------

static str part(str data, size_t column, size_t width) {
    const reader r = {.text = data};
    return field(&r, column, width);
}

nacha_change nacha_corrected(str code, str data) {
    nacha_change c = {0};
    if (str_eq_c(code, "C01") || str_eq_c(code, "C06")) {
        c.account = part(data, 1, NACHA_ACCOUNT_LEN);
    } else if (str_eq_c(code, "C03")) {
        c.account = part(data, 13, NACHA_ACCOUNT_LEN);
    } else if (str_eq_c(code, "C07")) {
        c.account = part(data, 10, NACHA_ACCOUNT_LEN);
    }
    if (str_eq_c(code, "C02") || str_eq_c(code, "C03") || str_eq_c(code, "C07")) {
        c.routing = part(data, 1, 9);
    }
    if (str_eq_c(code, "C05")) {
        c.transaction_code = part(data, 1, 2);
    } else if (str_eq_c(code, "C06")) {
        c.transaction_code = part(data, 21, 2);
    } else if (str_eq_c(code, "C07")) {
        c.transaction_code = part(data, 27, 2);
    } else if (str_eq_c(code, "C09")) {
        c.individual_id = part(data, 1, 22);
    }
    return c;
}
