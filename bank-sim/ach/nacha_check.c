// The strict reader: one pass over the records. Each record is allowed only where the layout has it.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ach/nacha.h"
#include "base/money.h"

enum { ENTRY_HASH_MODULUS_DIGITS = 10 };
#define HASH_MODULUS INT64_C(10000000000)

typedef struct totals {
    int64_t count; // entries and addenda
    int64_t hash, debits, credits;
} totals;

typedef enum place { AT_START, IN_FILE, IN_BATCH, AFTER_CONTROL } place;

typedef struct checker {
    const nacha_rules *rules;
    nacha_file *file;
    nacha_fault *fault;
    int n_lines;
    int line; // of the current record, from 1
    place at;
    const char *batch; // header of the open batch
    int64_t batch_number, last_trace;
    int service_class;
    size_t batch_entries;
    bool wants_addenda; // the entry before says that an addenda follows
    totals batch_totals, file_totals;
    int padding;
} checker;

static bool bad(checker *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool bad(checker *c, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    c->fault->line = c->line;
    (void)vsnprintf(c->fault->reason, sizeof(c->fault->reason), fmt, args);
    va_end(args);
    return false;
}

str nacha_field(const char *record, int first, int last) {
    return (str){record + first - 1, (size_t)(last - first + 1)};
}

str nacha_trim(str f) {
    while (f.len > 0 && f.ptr[f.len - 1] == ' ') {
        f.len--;
    }
    while (f.len > 0 && f.ptr[0] == ' ') {
        f.ptr++;
        f.len--;
    }
    return f;
}

static bool is_digits(str f) {
    for (size_t i = 0; i < f.len; i++) {
        if (f.ptr[i] < '0' || f.ptr[i] > '9') {
            return false;
        }
    }
    return f.len > 0;
}

static bool is_blank(str f) {
    return nacha_trim(f).len == 0;
}

static bool is_left_justified(str f) {
    return f.len > 0 && f.ptr[0] != ' ';
}

// Call only after is_digits.
static int64_t number(str f) {
    int64_t n = 0;
    for (size_t i = 0; i < f.len; i++) {
        n = n * 10 + (f.ptr[i] - '0');
    }
    return n;
}

static bool same(const char *a, int a_first, int a_last, const char *b, int b_first, int b_last) {
    return str_eq(nacha_field(a, a_first, a_last), nacha_field(b, b_first, b_last));
}

int nacha_check_digit(str eight) {
    static const int WEIGHTS[] = {3, 7, 1, 3, 7, 1, 3, 7};
    if (eight.len != 8 || !is_digits(eight)) {
        return -1;
    }
    int sum = 0;
    for (int i = 0; i < 8; i++) {
        sum += WEIGHTS[i] * (eight.ptr[i] - '0');
    }
    return (10 - sum % 10) % 10;
}

bool nacha_is_routing(str nine) {
    return nine.len == 9 && is_digits(nine) &&
           nacha_check_digit((str){nine.ptr, 8}) == nine.ptr[8] - '0';
}

static bool is_date(str yymmdd) {
    static const int DAYS[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!is_digits(yymmdd)) {
        return false;
    }
    int64_t year = number((str){yymmdd.ptr, 2}), month = number((str){yymmdd.ptr + 2, 2}),
            day = number((str){yymmdd.ptr + 4, 2});
    if (month < 1 || month > 12 || day < 1 || day > DAYS[month - 1]) {
        return false;
    }
    return month != 2 || day < 29 || year % 4 == 0;
}

static bool check_file_header(checker *c, const char *r) {
    str destination = nacha_field(r, 4, 13), origin = nacha_field(r, 14, 23);
    str origin_digits = {origin.ptr + (origin.ptr[0] == ' ' ? 1 : 0),
                         origin.len - (origin.ptr[0] == ' ' ? 1 : 0)};
    if (!str_eq_c(nacha_field(r, 2, 3), "01")) {
        return bad(c, "file header: priority code must be 01");
    }
    // A return goes to an origin of ten digits; any other file to a routing number after a space.
    str expected = str_of(c->rules->destination);
    if (!str_eq(nacha_trim(destination), expected) ||
        (expected.len == 9 && destination.ptr[0] != ' ')) {
        return bad(c, "file header: immediate destination must be a space and %s",
                   c->rules->destination);
    }
    if (!is_digits(origin_digits)) {
        return bad(c, "file header: immediate origin must be ten digits, or a space and nine");
    }
    if (strncmp(origin_digits.ptr, c->rules->origin_prefix, strlen(c->rules->origin_prefix)) != 0) {
        return bad(c, "file header: no agreement with this immediate origin");
    }
    if (!is_date(nacha_field(r, 24, 29))) {
        return bad(c, "file header: creation date is not a date");
    }
    str hhmm = nacha_field(r, 30, 33);
    if (!is_digits(hhmm) || number(hhmm) / 100 > 23 || number(hhmm) % 100 > 59) {
        return bad(c, "file header: creation time is not a time");
    }
    char modifier = r[33];
    if (!((modifier >= 'A' && modifier <= 'Z') || (modifier >= '0' && modifier <= '9'))) {
        return bad(c, "file header: file id modifier must be A to Z or 0 to 9");
    }
    if (!str_eq_c(nacha_field(r, 35, 40), "094101")) {
        return bad(
            c, "file header: record size, blocking factor and format code must be 094, 10 and 1");
    }
    if (is_blank(nacha_field(r, 64, 86))) {
        return bad(c, "file header: immediate origin name is missing");
    }
    (void)snprintf(c->file->origin, sizeof(c->file->origin), "%.*s", (int)origin_digits.len,
                   origin_digits.ptr);
    (void)snprintf(c->file->date, sizeof(c->file->date), "%.6s", r + 23);
    c->file->modifier[0] = modifier;
    c->at = IN_FILE;
    return true;
}

static bool check_batch_header(checker *c, const char *r) {
    str service = nacha_field(r, 2, 4), number_field = nacha_field(r, 88, 94);
    if (!str_eq_c(service, "200") && !str_eq_c(service, "220") && !str_eq_c(service, "225")) {
        return bad(c, "batch header: service class must be 200, 220 or 225");
    }
    if (!is_left_justified(nacha_field(r, 5, 20))) {
        return bad(c, "batch header: company name is missing or not left-justified");
    }
    if (is_blank(nacha_field(r, 41, 50))) {
        return bad(c, "batch header: company identification is missing");
    }
    str sec = nacha_field(r, 51, 53);
    if (!str_eq_c(sec, "PPD") && !str_eq_c(sec, "CCD")) {
        return bad(c, "batch header: entry class must be PPD or CCD");
    }
    if (!is_left_justified(nacha_field(r, 54, 63))) {
        return bad(c, "batch header: entry description is missing or not left-justified");
    }
    if (!is_date(nacha_field(r, 70, 75))) {
        return bad(c, "batch header: effective entry date is not a date");
    }
    if (!is_blank(nacha_field(r, 76, 78))) {
        return bad(c, "batch header: settlement date must be blank, the operator fills it");
    }
    if (r[78] != '1') {
        return bad(c, "batch header: originator status must be 1");
    }
    if (!is_digits(nacha_field(r, 80, 87))) {
        return bad(c, "batch header: originating institution must be 8 digits");
    }
    if (!is_digits(number_field) || number(number_field) <= c->batch_number) {
        return bad(c, "batch header: batch numbers must be digits and ascend");
    }
    c->batch_number = number(number_field);
    c->service_class = (int)number(service);
    c->batch = r;
    c->last_trace = 0;
    c->batch_entries = 0;
    c->wants_addenda = false;
    c->batch_totals = (totals){0};
    c->file->n_batches++;
    c->at = IN_BATCH;
    return true;
}

// Checks the side of an entry, and whether we take it. The unit digit of the code tells: 2 credit, 7 debit, 1 and 6 their returns, 3, 4, 8
// and 9 no money.
static bool check_code(checker *c, str code) {
    bool known = is_digits(code) && code.ptr[0] >= '2' && code.ptr[0] <= '5' &&
                 code.ptr[1] != '0' && code.ptr[1] != '5';
    if (!known) {
        return bad(c, "entry: unknown transaction code");
    }
    bool debit = code.ptr[1] > '5';
    if (debit && c->service_class == 220) {
        return bad(c, "entry: a debit in a batch of service class 220 (credits only)");
    }
    if (!debit && c->service_class == 225) {
        return bad(c, "entry: a credit in a batch of service class 225 (debits only)");
    }
    if (code.ptr[1] != (c->rules->returns ? '1' : '2')) {
        return bad(c, "entry: transaction code %.2s is not agreed with this originator", code.ptr);
    }
    return true;
}

static bool check_entry_fields(checker *c, const char *r) {
    str rdfi = nacha_field(r, 4, 11), account = nacha_field(r, 13, 29),
        amount = nacha_field(r, 30, 39), trace = nacha_field(r, 80, 94);
    if (!check_code(c, nacha_field(r, 2, 3))) {
        return false;
    }
    int digit = nacha_check_digit(rdfi);
    if (digit < 0) {
        return bad(c, "entry: receiving institution must be 8 digits");
    }
    if (r[11] != (char)('0' + digit)) {
        return bad(c, "entry: check digit of receiving institution %.8s must be %d", rdfi.ptr,
                   digit);
    }
    if (!is_left_justified(account)) {
        return bad(c, "entry: account number is missing or not left-justified");
    }
    if (!is_digits(amount)) {
        return bad(c, "entry: amount must be ten digits");
    }
    if (number(amount) == 0) {
        return bad(c, "entry: amount must be greater than zero");
    }
    if (!is_left_justified(nacha_field(r, 55, 76))) {
        return bad(c, "entry: name is missing or not left-justified");
    }
    if (r[78] != '0' && r[78] != '1') {
        return bad(c, "entry: addenda indicator must be 0 or 1");
    }
    if (!is_digits(trace)) {
        return bad(c, "entry: trace number must be 15 digits");
    }
    if (!same(r, 80, 87, c->batch, 80, 87)) {
        return bad(c,
                   "entry: trace number must begin with the batch's originating institution %.8s",
                   c->batch + 79);
    }
    if (number(trace) <= c->last_trace) {
        return bad(c, "entry: trace numbers must ascend within the batch");
    }
    return true;
}

static bool check_entry(checker *c, const char *r) {
    if (c->wants_addenda) {
        return bad(c, "entry: the entry before announced an addenda record that is not there");
    }
    if (!check_entry_fields(c, r)) {
        return false;
    }
    int64_t amount = number(nacha_field(r, 30, 39));
    c->last_trace = number(nacha_field(r, 80, 94));
    c->wants_addenda = r[78] == '1';
    if (c->rules->returns && !c->wants_addenda) {
        return bad(c, "entry: a return must have an addenda record");
    }
    c->batch_totals.count++;
    c->batch_totals.hash += number(nacha_field(r, 4, 11));
    if (!ck_add_i64(c->batch_totals.credits, amount, &c->batch_totals.credits)) {
        return bad(c, "entry: the batch's total overflows");
    }
    c->file->entries[c->file->n_entries++] = (nacha_entry){
        .line = c->line, .record = r, .batch = c->batch, .trace = c->last_trace, .amount = amount};
    c->batch_entries++;
    return true;
}

static bool check_addenda_05(checker *c, const char *r, const nacha_entry *entry) {
    if (!str_eq_c(nacha_field(r, 2, 3), "05")) {
        return bad(c, "addenda: type must be 05");
    }
    if (!str_eq_c(nacha_field(r, 84, 87), "0001")) {
        return bad(c, "addenda: sequence must be 0001");
    }
    if (!same(r, 88, 94, entry->record, 88, 94)) {
        return bad(c, "addenda: the last seven digits must be those of the entry's trace number");
    }
    return true;
}

static bool check_addenda_99(checker *c, const char *r, const nacha_entry *entry) {
    str code = nacha_field(r, 4, 6);
    if (!str_eq_c(nacha_field(r, 2, 3), "99")) {
        return bad(c, "addenda: type must be 99");
    }
    if (code.ptr[0] != 'R' || !is_digits((str){code.ptr + 1, 2})) {
        return bad(c, "addenda: return reason must be R and two digits");
    }
    if (!is_digits(nacha_field(r, 7, 21))) {
        return bad(c, "addenda: original trace number must be 15 digits");
    }
    if (!is_blank(nacha_field(r, 22, 27))) {
        return bad(c, "addenda: date of death must be blank for this reason");
    }
    if (!same(r, 28, 35, c->batch, 80, 87)) {
        return bad(
            c,
            "addenda: original receiving institution must be the batch's originating institution");
    }
    if (!same(r, 80, 94, entry->record, 80, 94)) {
        return bad(c, "addenda: trace number must be the entry's");
    }
    return true;
}

static bool check_addenda(checker *c, const char *r) {
    if (!c->wants_addenda) {
        return bad(c, "addenda: no entry announced it");
    }
    nacha_entry *entry = &c->file->entries[c->file->n_entries - 1];
    bool good = c->rules->returns ? check_addenda_99(c, r, entry) : check_addenda_05(c, r, entry);
    entry->addenda = r;
    c->wants_addenda = false;
    c->batch_totals.count++;
    return good;
}

// Checks the five sums of a control record; positions differ between records 8 and 9.
static bool check_sums(checker *c, const char *what, const char *r, const totals *t, int count_at,
                       int count_end) {
    int hash_at = count_end + 1;
    str count = nacha_field(r, count_at, count_end), hash = nacha_field(r, hash_at, hash_at + 9),
        debits = nacha_field(r, hash_at + 10, hash_at + 21),
        credits = nacha_field(r, hash_at + 22, hash_at + 33);
    if (!is_digits(count) || number(count) != t->count) {
        return bad(c, "%s: entry and addenda count must be %lld", what, (long long)t->count);
    }
    if (!is_digits(hash) || number(hash) != t->hash % HASH_MODULUS) {
        return bad(c, "%s: entry hash must be %0*lld", what, ENTRY_HASH_MODULUS_DIGITS,
                   (long long)(t->hash % HASH_MODULUS));
    }
    if (!is_digits(debits) || number(debits) != t->debits) {
        return bad(c, "%s: total debits must be %lld", what, (long long)t->debits);
    }
    if (!is_digits(credits) || number(credits) != t->credits) {
        return bad(c, "%s: total credits must be %lld", what, (long long)t->credits);
    }
    return true;
}

static bool check_batch_control(checker *c, const char *r) {
    if (c->wants_addenda) {
        return bad(c,
                   "batch control: the entry before announced an addenda record that is not there");
    }
    if (c->batch_entries == 0) {
        return bad(c, "batch control: the batch is empty");
    }
    if (!same(r, 2, 4, c->batch, 2, 4)) {
        return bad(c, "batch control: service class differs from the batch header");
    }
    if (!check_sums(c, "batch control", r, &c->batch_totals, 5, 10)) {
        return false;
    }
    if (!same(r, 45, 54, c->batch, 41, 50)) {
        return bad(c, "batch control: company identification differs from the batch header");
    }
    if (!is_blank(nacha_field(r, 55, 79))) {
        return bad(c, "batch control: authentication code and reserved must be blank");
    }
    if (!same(r, 80, 87, c->batch, 80, 87)) {
        return bad(c, "batch control: originating institution differs from the batch header");
    }
    if (!same(r, 88, 94, c->batch, 88, 94)) {
        return bad(c, "batch control: batch number differs from the batch header");
    }
    c->file_totals.count += c->batch_totals.count;
    c->file_totals.hash += c->batch_totals.hash % HASH_MODULUS;
    if (!ck_add_i64(c->file_totals.credits, c->batch_totals.credits, &c->file_totals.credits)) {
        return bad(c, "batch control: the file's total overflows");
    }
    c->at = IN_FILE;
    return true;
}

static bool check_file_control(checker *c, const char *r) {
    str batches = nacha_field(r, 2, 7), blocks = nacha_field(r, 8, 13);
    int64_t blocks_due = (c->n_lines + NACHA_BLOCKING - 1) / NACHA_BLOCKING;
    if (c->file->n_batches == 0) {
        return bad(c, "file control: the file has no batch");
    }
    if (!is_digits(batches) || number(batches) != c->file->n_batches) {
        return bad(c, "file control: batch count must be %d", c->file->n_batches);
    }
    if (!is_digits(blocks) || number(blocks) != blocks_due) {
        return bad(c, "file control: block count must be %lld", (long long)blocks_due);
    }
    if (!check_sums(c, "file control", r, &c->file_totals, 14, 21)) {
        return false;
    }
    if (!is_blank(nacha_field(r, 56, 94))) {
        return bad(c, "file control: reserved must be blank");
    }
    c->file->credits = c->file_totals.credits;
    c->at = AFTER_CONTROL;
    return true;
}

static bool check_padding(checker *c, const char *r) {
    for (int i = 0; i < NACHA_RECORD_LEN; i++) {
        if (r[i] != '9') {
            return bad(c, "after the file control only padding of ninety-four 9s may follow");
        }
    }
    if (++c->padding >= NACHA_BLOCKING) {
        return bad(c, "padding: more lines of 9s than the last block needs");
    }
    return true;
}

static bool check_record(checker *c, const char *r) {
    switch (c->at) {
    case AT_START:
        return r[0] == '1' ? check_file_header(c, r)
                           : bad(c, "the first record must be the file header (1)");
    case IN_FILE:
        if (r[0] == '5') {
            return check_batch_header(c, r);
        }
        return r[0] == '9' ? check_file_control(c, r)
                           : bad(c, "a batch header (5) or the file control (9) must stand here");
    case IN_BATCH:
        if (r[0] == '6') {
            return check_entry(c, r);
        }
        if (r[0] == '7') {
            return check_addenda(c, r);
        }
        return r[0] == '8'
                   ? check_batch_control(c, r)
                   : bad(c,
                         "an entry (6), its addenda (7) or the batch control (8) must stand here");
    case AFTER_CONTROL: return check_padding(c, r);
    }
    return false;
}

// Cuts the bytes into records of 94 printable ASCII characters. All line ends are of one kind; the last record may lack it.
static bool split(checker *c, str bytes, const char **lines, size_t lines_max) {
    size_t at = 0;
    bool crlf = false;
    while (at < bytes.len) {
        c->line++;
        const char *start = bytes.ptr + at;
        const char *end = memchr(start, '\n', bytes.len - at);
        size_t len = end == NULL ? bytes.len - at : (size_t)(end - start);
        at += len + (end == NULL ? 0 : 1);
        bool has_cr = len > 0 && start[len - 1] == '\r';
        if (c->line == 1) {
            crlf = has_cr;
        } else if (has_cr != crlf && end != NULL) {
            return bad(c, "line ends must all be LF or all be CRLF");
        }
        len -= has_cr ? 1 : 0;
        for (size_t i = 0; i < len; i++) {
            if (start[i] < 0x20 || start[i] > 0x7e) {
                return bad(c, "column %zu: only printable ASCII is allowed", i + 1);
            }
        }
        if (len != NACHA_RECORD_LEN) {
            return bad(c, "a record has 94 characters, this one has %zu", len);
        }
        if ((size_t)c->line > lines_max) {
            return bad(c, "the file is too long");
        }
        lines[c->line - 1] = start;
    }
    c->n_lines = c->line;
    return true;
}

bool nacha_check(str bytes, const nacha_rules *rules, arena *a, nacha_file *out,
                 nacha_fault *fault) {
    checker c = {.rules = rules, .file = out, .fault = fault};
    *out = (nacha_file){0};
    *fault = (nacha_fault){0};
    if (bytes.len == 0) {
        return bad(&c, "the file is empty");
    }
    if (bytes.len > NACHA_BYTES_MAX) {
        return bad(&c, "the file is larger than %d bytes", NACHA_BYTES_MAX);
    }
    size_t lines_max = bytes.len / NACHA_RECORD_LEN + 1;
    const char **lines = arena_calloc(a, lines_max, sizeof(*lines));
    out->entries = arena_calloc(a, lines_max, sizeof(*out->entries));
    if (lines == NULL || out->entries == NULL) {
        return bad(&c, "the file is too large for the bank's memory");
    }
    if (!split(&c, bytes, lines, lines_max)) {
        return false;
    }
    for (c.line = 1; c.line <= c.n_lines; c.line++) {
        if (!check_record(&c, lines[c.line - 1])) {
            return false;
        }
    }
    c.line = c.n_lines;
    if (c.at != AFTER_CONTROL) {
        return bad(&c, "the file ends without a file control record (9)");
    }
    if (c.n_lines % NACHA_BLOCKING != 0) {
        return bad(&c, "the file must be padded with lines of 9s to a multiple of ten");
    }
    return true;
}
