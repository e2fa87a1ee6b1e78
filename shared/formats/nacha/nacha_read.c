#include "formats/nacha/nacha_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "calendar/fed_calendar.h"

typedef struct reader {
    str bytes;
    size_t at;
    int line;         // of `text`, from 1
    const char *text; // the 94 characters of this line
    nacha_file *file;
    nacha_fault *fault;
    // of the open batch
    nacha_batch *batch;
    int64_t hash, debit_cents, credit_cents, records; // records: entries and addenda
    char last_trace[NACHA_TRACE_LEN];
    // of the file
    int64_t file_records;
} reader;

// --- Fields ----------------------------------------------------------------------------------------------------------
// Each takes the position of its first character, from 1, as the rules give it.

// Says where, what and why. The macro makes it an expression that is visibly false.
static void note_fault(reader *r, int column, const char *field, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
static void note_fault(reader *r, int column, const char *field, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    r->fault->line = r->line;
    r->fault->column = column;
    r->fault->field = field;
    (void)vsnprintf(r->fault->reason, sizeof r->fault->reason, fmt, args);
    va_end(args);
}
#define fail(...) (note_fault(__VA_ARGS__), false)

static bool literal(reader *r, int column, const char *expected, const char *field) {
    if (memcmp(r->text + column - 1, expected, strlen(expected)) != 0) {
        return fail(r, column, field, "must be '%s'", expected);
    }
    return true;
}

static bool blank(reader *r, int column, int width, const char *field) {
    for (int i = 0; i < width; i++) {
        if (r->text[column - 1 + i] != ' ') {
            return fail(r, column + i, field, "must be blank");
        }
    }
    return true;
}

static bool number(reader *r, int column, int width, int64_t *out, const char *field) {
    int64_t value = 0;
    for (int i = 0; i < width; i++) {
        char c = r->text[column - 1 + i];
        if (c < '0' || c > '9') {
            return fail(r, column + i, field, "must be a digit");
        }
        value = value * 10 + (c - '0');
    }
    *out = value;
    return true;
}

static bool digits(reader *r, int column, int width, char *out, const char *field) {
    int64_t ignored;
    if (!number(r, column, width, &ignored, field)) {
        return false;
    }
    memcpy(out, r->text + column - 1, (size_t)width);
    out[width] = '\0';
    return true;
}

// Left-justified text without its padding; out holds width + 1.
static void text(reader *r, int column, int width, char *out) {
    memcpy(out, r->text + column - 1, (size_t)width);
    while (width > 0 && out[width - 1] == ' ') {
        width--;
    }
    out[width] = '\0';
}

static bool required_text(reader *r, int column, int width, char *out, const char *field) {
    text(r, column, width, out);
    return out[0] != '\0' || fail(r, column, field, "must not be blank");
}

static bool equals(reader *r, int column, int width, const char *expected, const char *field) {
    if (memcmp(r->text + column - 1, expected, (size_t)width) != 0) {
        return fail(r, column, field, "differs from the batch header");
    }
    return true;
}

static bool total(reader *r, int column, int width, int64_t computed, const char *field) {
    int64_t stated;
    if (!number(r, column, width, &stated, field)) {
        return false;
    }
    if (stated != computed) {
        return fail(r, column, field, "is %lld, but the records add up to %lld", (long long)stated,
                    (long long)computed);
    }
    return true;
}

static bool date(reader *r, int column, civil_date *out, const char *field) {
    int64_t y, m, d;
    if (!number(r, column, 2, &y, field) || !number(r, column + 2, 2, &m, field) ||
        !number(r, column + 4, 2, &d, field)) {
        return false;
    }
    *out = (civil_date){2000 + (int)y, (int)m, (int)d};
    return civil_is_valid(*out) || fail(r, column, field, "is not a date");
}

// " 123456789" or ten digits.
static bool routing10(reader *r, int column, char out[11], const char *field) {
    bool nine = r->text[column - 1] == ' ';
    return nine ? digits(r, column + 1, 9, out, field) : digits(r, column, 10, out, field);
}

// --- Lines -----------------------------------------------------------------------------------------------------------

static bool at_end(const reader *r) {
    return r->at == r->bytes.len;
}

static bool next_line(reader *r) {
    r->line++;
    if (at_end(r)) {
        return fail(r, 1, "record", "the file ends too early");
    }
    const char *start = r->bytes.ptr + r->at;
    size_t left = r->bytes.len - r->at;
    const char *newline = memchr(start, '\n', left);
    size_t len = newline == NULL ? left : (size_t)(newline - start);
    r->at += newline == NULL ? len : len + 1;
    if (newline != NULL && len > 0 && start[len - 1] == '\r') {
        len--;
    }
    for (size_t i = 0; i < len && i < NACHA_LINE_LEN; i++) {
        if (start[i] < 0x20 || start[i] > 0x7e) {
            return fail(r, (int)i + 1, "record", "only printable ASCII is allowed");
        }
    }
    if (len != NACHA_LINE_LEN) {
        int column = len < NACHA_LINE_LEN ? (int)len + 1 : NACHA_LINE_LEN + 1;
        return fail(r, column, "record", "has %zu characters, not 94", len);
    }
    r->text = start;
    return true;
}

// --- Records ---------------------------------------------------------------------------------------------------------

static bool read_file_header(reader *r) {
    nacha_file *f = r->file;
    int64_t hour, minute;
    if (!literal(r, 1, "1", "record type") || !literal(r, 2, "01", "priority code") ||
        !routing10(r, 4, f->immediate_destination, "immediate destination") ||
        !routing10(r, 14, f->immediate_origin, "immediate origin") ||
        !date(r, 24, &f->created, "file creation date") ||
        !number(r, 30, 2, &hour, "file creation time") ||
        !number(r, 32, 2, &minute, "file creation time")) {
        return false;
    }
    if (hour > 23 || minute > 59) {
        return fail(r, 30, "file creation time", "is not a time");
    }
    f->modifier = r->text[33];
    bool modifier =
        (f->modifier >= 'A' && f->modifier <= 'Z') || (f->modifier >= '0' && f->modifier <= '9');
    if (!modifier) {
        return fail(r, 34, "file id modifier", "must be A-Z or 0-9");
    }
    text(r, 41, 23, f->destination_name);
    text(r, 64, 23, f->origin_name);
    return literal(r, 35, "094", "record size") && literal(r, 38, "10", "blocking factor") &&
           literal(r, 40, "1", "format code");
}

static bool read_sec(reader *r, nacha_batch *b) {
    if (memcmp(r->text + 50, "PPD", 3) == 0) {
        b->sec = NACHA_PPD;
    } else if (memcmp(r->text + 50, "CCD", 3) == 0) {
        b->sec = NACHA_CCD;
    } else {
        return fail(r, 51, "standard entry class", "must be PPD or CCD");
    }
    return true;
}

static bool read_batch_header(reader *r) {
    nacha_file *f = r->file;
    nacha_batch *b = &f->batches[f->n_batches];
    int64_t service_class, julian;
    *b = (nacha_batch){.line = r->line, .first_entry = f->n_entries};
    if (!number(r, 2, 3, &service_class, "service class")) {
        return false;
    }
    if (service_class != NACHA_MIXED && service_class != NACHA_CREDITS &&
        service_class != NACHA_DEBITS) {
        return fail(r, 2, "service class", "must be 200, 220 or 225");
    }
    b->service_class = (int)service_class;
    if (!required_text(r, 5, 16, b->company_name, "company name") ||
        !required_text(r, 41, 10, b->company_id, "company id") || !read_sec(r, b) ||
        !required_text(r, 54, 10, b->entry_description, "entry description") ||
        !date(r, 70, &b->effective, "effective entry date")) {
        return false;
    }
    if (memcmp(r->text + 75, "   ", 3) != 0 && !number(r, 76, 3, &julian, "settlement date")) {
        return false;
    }
    if (!literal(r, 79, "1", "originator status") || !digits(r, 80, 8, b->odfi, "ODFI") ||
        !number(r, 88, 7, &b->number, "batch number")) {
        return false;
    }
    int64_t before = f->n_batches == 0 ? 0 : f->batches[f->n_batches - 1].number;
    if (b->number <= before) {
        return fail(r, 88, "batch number", "must ascend");
    }
    r->batch = b;
    r->hash = r->debit_cents = r->credit_cents = r->records = 0;
    memset(r->last_trace, '0', sizeof r->last_trace);
    f->n_batches++;
    return true;
}

// Adds the entry's amount on its side, and checks that the side is one that the batch may have.
static bool add_amount(reader *r, nacha_entry *entry) {
    bool credit, is_return;
    switch (entry->transaction_code) {
    case NACHA_CHECKING_CREDIT:
    case NACHA_SAVINGS_CREDIT: credit = true, is_return = false; break;
    case NACHA_CHECKING_DEBIT:
    case NACHA_SAVINGS_DEBIT: credit = false, is_return = false; break;
    case NACHA_CHECKING_RETURN_CREDIT:
    case NACHA_SAVINGS_RETURN_CREDIT: credit = true, is_return = true; break;
    case NACHA_CHECKING_RETURN_DEBIT:
    case NACHA_SAVINGS_RETURN_DEBIT: credit = false, is_return = true; break;
    default: return fail(r, 2, "transaction code", "%d is not handled", entry->transaction_code);
    }
    if (r->batch->service_class == (credit ? NACHA_DEBITS : NACHA_CREDITS)) {
        return fail(r, 2, "transaction code", "does not fit service class %d",
                    r->batch->service_class);
    }
    if (r->batch->n_entries > 0 &&
        r->file->entries[r->file->n_entries - 1].is_return != is_return) {
        return fail(r, 2, "transaction code", "returns and forward entries must not share a batch");
    }
    entry->is_return = is_return;
    int64_t *side = credit ? &r->credit_cents : &r->debit_cents;
    *side += entry->amount_cents; // 10 digits each, fewer lines than 2^31: no overflow
    return true;
}

static bool read_trace(reader *r, nacha_entry *entry) {
    if (!digits(r, 80, NACHA_TRACE_LEN, entry->trace, "trace number") ||
        !equals(r, 80, 8, r->batch->odfi, "trace number")) {
        return false;
    }
    if (memcmp(entry->trace, r->last_trace, NACHA_TRACE_LEN) <= 0) {
        return fail(r, 80, "trace number", "must ascend");
    }
    memcpy(r->last_trace, entry->trace, NACHA_TRACE_LEN);
    return true;
}

static bool read_entry(reader *r, bool *has_addenda) {
    nacha_entry *entry = &r->file->entries[r->file->n_entries];
    int64_t code, rdfi;
    *entry = (nacha_entry){.line = r->line};
    if (!number(r, 2, 2, &code, "transaction code") || !number(r, 4, 8, &rdfi, "RDFI") ||
        !digits(r, 4, 9, entry->routing, "RDFI") ||
        !required_text(r, 13, NACHA_ACCOUNT_LEN, entry->account, "account number") ||
        !number(r, 30, 10, &entry->amount_cents, "amount")) {
        return false;
    }
    entry->transaction_code = (int)code;
    if (entry->routing[8] != nacha_check_digit(entry->routing)) {
        return fail(r, 12, "check digit", "must be %c", nacha_check_digit(entry->routing));
    }
    if (entry->amount_cents == 0) {
        return fail(r, 30, "amount", "must not be zero");
    }
    text(r, 40, NACHA_ID_LEN, entry->individual_id);
    if (!required_text(r, 55, NACHA_NAME_LEN, entry->name, "name") || !add_amount(r, entry)) {
        return false;
    }
    char indicator = r->text[78];
    if (indicator != '0' && indicator != '1') {
        return fail(r, 79, "addenda indicator", "must be 0 or 1");
    }
    if (entry->is_return && indicator != '1') {
        return fail(r, 79, "addenda indicator", "must be 1: a return has an addenda record");
    }
    if (!read_trace(r, entry)) {
        return false;
    }
    r->hash = (r->hash + rdfi) % NACHA_HASH_MODULUS;
    r->records++;
    r->batch->n_entries++;
    r->file->n_entries++;
    *has_addenda = indicator == '1';
    return true;
}

static bool read_return_addenda(reader *r, nacha_entry *entry) {
    int64_t code;
    if (!literal(r, 2, "99", "addenda type") || !literal(r, 4, "R", "return code") ||
        !number(r, 5, 2, &code, "return code")) {
        return false;
    }
    text(r, 4, 3, entry->return_code);
    if (code >= 61 && code <= 77) {
        // Dishonored and contested returns have another layout, and need a person.
        return fail(r, 4, "return code", "%s: disputes between banks are not handled",
                    entry->return_code);
    }
    if (!digits(r, 7, NACHA_TRACE_LEN, entry->original_trace, "original trace number")) {
        return false;
    }
    civil_date died;
    bool has_date = memcmp(r->text + 21, "      ", 6) != 0;
    if (has_date && code != 14 && code != 15) {
        return blank(r, 22, 6, "date of death");
    }
    if (has_date && !date(r, 22, &died, "date of death")) {
        return false;
    }
    text(r, 36, 44, entry->return_info);
    if (!digits(r, 28, 8, entry->original_rdfi, "original RDFI")) {
        return false;
    }
    if (memcmp(r->text + 79, entry->trace, NACHA_TRACE_LEN) != 0) {
        return fail(r, 80, "trace number", "differs from the entry's");
    }
    return true;
}

static bool read_addenda(reader *r) {
    nacha_entry *entry = &r->file->entries[r->file->n_entries - 1];
    if (!literal(r, 1, "7", "record type")) {
        return false;
    }
    r->records++;
    if (entry->is_return) {
        return read_return_addenda(r, entry);
    }
    if (!literal(r, 2, "05", "addenda type") || !literal(r, 84, "0001", "addenda sequence")) {
        return false;
    }
    if (memcmp(r->text + 87, entry->trace + 8, 7) != 0) {
        return fail(r, 88, "entry sequence", "differs from the entry's trace number");
    }
    return true;
}

static bool read_batch_control(reader *r) {
    nacha_batch *b = r->batch;
    char service_class[8], batch_number[24];
    snprintf(service_class, sizeof service_class, "%03d", b->service_class);
    snprintf(batch_number, sizeof batch_number, "%07lld", (long long)b->number);
    char company_id[11];
    text(r, 45, 10, company_id);
    if (!equals(r, 2, 3, service_class, "service class") ||
        !total(r, 5, 6, r->records, "entry/addenda count") ||
        !total(r, 11, 10, r->hash, "entry hash") ||
        !total(r, 21, 12, r->debit_cents, "total debits") ||
        !total(r, 33, 12, r->credit_cents, "total credits")) {
        return false;
    }
    if (strcmp(company_id, b->company_id) != 0) {
        return fail(r, 45, "company id", "differs from the batch header");
    }
    if (!blank(r, 55, 19, "message authentication code") || !blank(r, 74, 6, "reserved") ||
        !equals(r, 80, 8, b->odfi, "ODFI") || !equals(r, 88, 7, batch_number, "batch number")) {
        return false;
    }
    if (b->n_entries == 0) {
        return fail(r, 1, "batch", "has no entries");
    }
    b->debit_cents = r->debit_cents;
    b->credit_cents = r->credit_cents;
    r->file->debit_cents += r->debit_cents;
    r->file->credit_cents += r->credit_cents;
    r->file->hash = (r->file->hash + r->hash) % NACHA_HASH_MODULUS;
    r->file_records += r->records;
    r->batch = NULL;
    return true;
}

static bool read_padding(reader *r, int64_t blocks) {
    if (at_end(r)) {
        return true;
    }
    while (r->line < blocks * NACHA_BLOCKING) {
        if (!next_line(r)) {
            return false;
        }
        for (int i = 0; i < NACHA_LINE_LEN; i++) {
            if (r->text[i] != '9') {
                return fail(r, i + 1, "padding", "must be 9");
            }
        }
    }
    if (!at_end(r)) {
        r->line++;
        return fail(r, 1, "record", "nothing may follow the file control record and its padding");
    }
    return true;
}

static bool read_file_control(reader *r) {
    nacha_file *f = r->file;
    int64_t blocks = (r->line + NACHA_BLOCKING - 1) / NACHA_BLOCKING;
    if (!literal(r, 1, "9", "record type")) {
        return false;
    }
    return total(r, 2, 6, (int64_t)f->n_batches, "batch count") &&
           total(r, 8, 6, blocks, "block count") &&
           total(r, 14, 8, r->file_records, "entry/addenda count") &&
           total(r, 22, 10, f->hash, "entry hash") &&
           total(r, 32, 12, f->debit_cents, "total debits") &&
           total(r, 44, 12, f->credit_cents, "total credits") && blank(r, 56, 39, "reserved") &&
           (f->n_batches > 0 || fail(r, 1, "batch", "the file has none")) &&
           read_padding(r, blocks);
}

// --- The file --------------------------------------------------------------------------------------------------------

static bool read_batch(reader *r) {
    if (!read_batch_header(r)) {
        return false;
    }
    while (r->batch != NULL) {
        bool has_addenda = false;
        if (!next_line(r)) {
            return false;
        }
        if (r->text[0] == '6') {
            if (!read_entry(r, &has_addenda) ||
                (has_addenda && !(next_line(r) && read_addenda(r)))) {
                return false;
            }
        } else if (r->text[0] == '8') {
            if (!read_batch_control(r)) {
                return false;
            }
        } else {
            return fail(r, 1, "record type", "an entry or the batch's control record must follow");
        }
    }
    return true;
}

static bool read_file(reader *r) {
    if (!next_line(r) || !read_file_header(r)) {
        return false;
    }
    for (;;) {
        if (!next_line(r)) {
            return false;
        }
        if (r->text[0] != '5') {
            return read_file_control(r);
        }
        if (!read_batch(r)) {
            return false;
        }
    }
}

nacha_file *nacha_read(str bytes, arena *a, nacha_fault *fault) {
    *fault = (nacha_fault){.line = 1, .column = 1, .field = "file"};
    // Every record takes a line of its own, so this many are enough.
    size_t lines_max = bytes.len / NACHA_LINE_LEN + 1;
    reader r = {
        .bytes = bytes,
        .fault = fault,
        .file = arena_alloc(a, sizeof(nacha_file)),
    };
    if (r.file != NULL) {
        r.file->batches = arena_calloc(a, lines_max / 3 + 1, sizeof(nacha_batch));
        r.file->entries = arena_calloc(a, lines_max, sizeof(nacha_entry));
    }
    if (r.file == NULL || r.file->batches == NULL || r.file->entries == NULL) {
        snprintf(fault->reason, sizeof fault->reason, "is too large");
        return NULL;
    }
    return read_file(&r) ? r.file : NULL;
}
