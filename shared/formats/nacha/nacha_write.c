#include "formats/nacha/nacha_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "calendar/fed_calendar.h"

enum { COMPANY_NAME_LEN = 16, COMPANY_ID_LEN = 10, BATCHES_MAX = 999999 };

// --- Lines -----------------------------------------------------------------------------------------------------------
// A line is filled from left to right; each field says its width, so that the positions follow from the order, and the
// end of the line is asserted.

typedef struct line {
    char text[NACHA_LINE_LEN];
    size_t at;
} line;

// Left-justified, space filled, cut.
static void put_text(line *l, str s, size_t width) {
    ASSERT(l->at + width <= sizeof l->text);
    for (size_t i = 0; i < width; i++) {
        l->text[l->at++] = i < s.len ? s.ptr[i] : ' ';
    }
}

static void put_literal(line *l, const char *s) {
    put_text(l, str_of(s), strlen(s));
}

// Right-justified, zero filled.
static void put_number(line *l, int64_t value, size_t width) {
    ASSERT(value >= 0 && l->at + width <= sizeof l->text);
    for (size_t i = width; i > 0; i--) {
        l->text[l->at + i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    ASSERT(value == 0); // the caller has checked the range
    l->at += width;
}

static void put_date(line *l, civil_date d) {
    put_number(l, d.year % 100, 2);
    put_number(l, d.month, 2);
    put_number(l, d.day, 2);
}

// Nine digits get a blank before them; ten fill the field.
static void put_routing10(line *l, str s) {
    if (s.len == 9) {
        put_literal(l, " ");
    }
    put_text(l, s, s.len == 9 ? 9 : 10);
}

static void put_name(line *l, str s, size_t width) {
    char ascii[NACHA_LINE_LEN + 1];
    nacha_transliterate(s, ascii, width + 1);
    put_text(l, str_of(ascii), width);
}

typedef struct writer {
    const nacha_file_spec *spec;
    strbuf *out;
    int64_t lines;
    nacha_totals file;
    // of the open batch
    bool open;
    str description;
    int64_t entries, credit_cents, hash;
} writer;

static void end_line(writer *w, line *l) {
    ASSERT(l->at == sizeof l->text);
    strbuf_add(w->out, l->text, sizeof l->text);
    strbuf_add_c(w->out, w->spec->crlf ? "\r\n" : "\n");
    w->lines++;
}

// --- Checks ----------------------------------------------------------------------------------------------------------

static bool is_printable(str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static bool fail(err *e, const char *field, const char *why) {
    return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_ENTRY", field, "%s %s", field, why);
}

static bool account_check(str s, err *e) {
    if (s.len == 0 || s.len > NACHA_ACCOUNT_LEN) {
        return fail(e, "account_number", "must have 1 to 17 characters");
    }
    if (s.ptr[0] == ' ' || s.ptr[s.len - 1] == ' ') {
        return fail(e, "account_number", "must not begin or end with a blank");
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  c == '-' || c == ' ';
        if (!ok) {
            return fail(e, "account_number", "may have only letters, digits, '-' and blanks");
        }
    }
    return true;
}

bool nacha_credit_check(const nacha_credit *c, err *e) {
    if (c->sec != NACHA_PPD && c->sec != NACHA_CCD) {
        return fail(e, "holder_type", "must be individual or company");
    }
    if (!nacha_is_digits(c->routing, 9)) {
        return fail(e, "routing_code", "must have 9 digits");
    }
    if (c->routing.ptr[8] != nacha_check_digit(c->routing.ptr)) {
        return fail(e, "routing_code", "has a wrong check digit");
    }
    if (!account_check(c->account, e)) {
        return false;
    }
    if (c->amount_cents < 1 || c->amount_cents > NACHA_ENTRY_CENTS_MAX) {
        return fail(e, "amount", "must be from 1 to 9999999999 cents");
    }
    if (c->individual_id.len > NACHA_ID_LEN || !is_printable(c->individual_id)) {
        return fail(e, "individual_id", "must have at most 15 printable ASCII characters");
    }
    if (c->description.len < 1 || c->description.len > NACHA_DESCRIPTION_LEN ||
        !is_printable(c->description)) {
        return fail(e, "description", "must have 1 to 10 printable ASCII characters");
    }
    char description[NACHA_DESCRIPTION_LEN + 1];
    memcpy(description, c->description.ptr, c->description.len);
    description[c->description.len] = '\0';
    if (!nacha_says_something(description)) {
        return fail(e, "description", "must not be blank or zeros only");
    }
    return nacha_name_check(c->name, "recipient_", e);
}

static bool text_check(str s, size_t min, size_t max, const char *field, err *e) {
    if (s.len < min || s.len > max || !is_printable(s)) {
        return fail(e, field, "has a wrong length, or characters that are not printable ASCII");
    }
    return true;
}

static bool routing10_check(str s, const char *field, err *e) {
    return nacha_is_digits(s, 9) || nacha_is_digits(s, 10) ||
           fail(e, field, "must have 9 or 10 digits");
}

static bool spec_check(const nacha_file_spec *s, err *e) {
    if (!routing10_check(s->immediate_destination, "immediate_destination", e) ||
        !routing10_check(s->immediate_origin, "immediate_origin", e) ||
        !text_check(s->company_name, 1, COMPANY_NAME_LEN, "company_name", e) ||
        !text_check(s->company_id, COMPANY_ID_LEN, COMPANY_ID_LEN, "company_id", e)) {
        return false;
    }
    if (!nacha_is_digits(s->odfi, 8)) {
        return fail(e, "odfi", "must have 8 digits");
    }
    if (!civil_is_valid(s->created) || !civil_is_valid(s->effective)) {
        return fail(e, "date", "does not exist");
    }
    if (s->created_hour < 0 || s->created_hour > 23 || s->created_minute < 0 ||
        s->created_minute > 59) {
        return fail(e, "time", "does not exist");
    }
    bool modifier =
        (s->modifier >= 'A' && s->modifier <= 'Z') || (s->modifier >= '0' && s->modifier <= '9');
    return modifier || fail(e, "modifier", "must be A-Z or 0-9");
}

// --- Records ---------------------------------------------------------------------------------------------------------

static void file_header(writer *w) {
    const nacha_file_spec *s = w->spec;
    line l = {.at = 0};
    put_literal(&l, "1");
    put_literal(&l, "01"); // priority code
    put_routing10(&l, s->immediate_destination);
    put_routing10(&l, s->immediate_origin);
    put_date(&l, s->created);
    put_number(&l, s->created_hour, 2);
    put_number(&l, s->created_minute, 2);
    put_text(&l, (str){&s->modifier, 1}, 1);
    put_literal(&l, "094"); // record size
    put_literal(&l, "10");  // blocking factor
    put_literal(&l, "1");   // format code
    put_name(&l, s->destination_name, 23);
    put_name(&l, s->origin_name, 23);
    put_name(&l, s->reference_code, 8);
    end_line(w, &l);
}

static void batch_header(writer *w, nacha_sec sec, str description) {
    const nacha_file_spec *s = w->spec;
    w->open = true;
    w->description = description;
    w->entries = w->credit_cents = w->hash = 0;
    w->file.batches++;
    line l = {.at = 0};
    put_literal(&l, "5");
    put_number(&l, NACHA_CREDITS, 3);
    put_name(&l, s->company_name, COMPANY_NAME_LEN);
    put_literal(&l, "                    "); // company discretionary data
    put_text(&l, s->company_id, COMPANY_ID_LEN);
    put_literal(&l, sec == NACHA_PPD ? "PPD" : "CCD");
    put_name(&l, description, NACHA_DESCRIPTION_LEN);
    put_literal(&l, "      "); // company descriptive date
    put_date(&l, s->effective);
    put_literal(&l, "   "); // settlement date: the operator fills it
    put_literal(&l, "1");   // originator status: a depository institution
    put_text(&l, s->odfi, 8);
    put_number(&l, w->file.batches, 7);
    end_line(w, &l);
}

static void batch_control(writer *w) {
    const nacha_file_spec *s = w->spec;
    line l = {.at = 0};
    put_literal(&l, "8");
    put_number(&l, NACHA_CREDITS, 3);
    put_number(&l, w->entries, 6);
    put_number(&l, w->hash, 10);
    put_number(&l, 0, 12); // debits
    put_number(&l, w->credit_cents, 12);
    put_text(&l, s->company_id, COMPANY_ID_LEN);
    put_text(&l, STR(""), 19); // message authentication code
    put_text(&l, STR(""), 6);  // reserved
    put_text(&l, s->odfi, 8);
    put_number(&l, w->file.batches, 7);
    end_line(w, &l);
    w->file.hash = (w->file.hash + w->hash) % NACHA_HASH_MODULUS;
    w->open = false;
}

static void entry_detail(writer *w, const nacha_credit *c) {
    line l = {.at = 0};
    put_literal(&l, "6");
    put_number(&l, c->savings ? NACHA_SAVINGS_CREDIT : NACHA_CHECKING_CREDIT, 2);
    put_text(&l, c->routing, 9); // RDFI and check digit
    put_text(&l, c->account, NACHA_ACCOUNT_LEN);
    put_number(&l, c->amount_cents, 10);
    put_text(&l, c->individual_id, NACHA_ID_LEN);
    put_name(&l, c->name, NACHA_NAME_LEN);
    put_literal(&l, "  "); // discretionary data
    put_literal(&l, "0");  // no addenda
    put_text(&l, w->spec->odfi, 8);
    put_number(&l, c->trace_sequence, 7);
    end_line(w, &l);
}

static void file_control(writer *w) {
    int64_t blocks = (w->lines + 1 + NACHA_BLOCKING - 1) / NACHA_BLOCKING;
    line l = {.at = 0};
    put_literal(&l, "9");
    put_number(&l, w->file.batches, 6);
    put_number(&l, blocks, 6);
    put_number(&l, w->file.entries, 8);
    put_number(&l, w->file.hash, 10);
    put_number(&l, 0, 12); // debits
    put_number(&l, w->file.credit_cents, 12);
    put_text(&l, STR(""), 39); // reserved
    end_line(w, &l);
    while (w->lines % NACHA_BLOCKING != 0) {
        line nines = {.at = sizeof nines.text};
        memset(nines.text, '9', sizeof nines.text);
        end_line(w, &nines);
    }
}

// --- The file --------------------------------------------------------------------------------------------------------

static int64_t limit_of(int64_t wanted, int64_t format) {
    return wanted > 0 && wanted < format ? wanted : format;
}

static bool add_credit(writer *w, const nacha_credit *c, err *e) {
    const int64_t cents_max = limit_of(w->spec->batch_cents_max, NACHA_TOTAL_CENTS_MAX);
    const int64_t entries_max = limit_of(w->spec->batch_entries_max, NACHA_BATCH_ENTRIES_MAX);
    if (c->amount_cents > NACHA_TOTAL_CENTS_MAX - w->file.credit_cents ||
        w->file.entries >= 99999999) {
        return err_set(e, ERR_OUT_OF_RANGE, "FILE_TOO_LARGE",
                       "the file's total would pass 12 digits");
    }
    bool over = w->open && (c->amount_cents > cents_max - w->credit_cents ||
                            w->entries >= entries_max || !str_eq(c->description, w->description));
    if (over) {
        batch_control(w);
    }
    if (!w->open) {
        if (w->file.batches >= BATCHES_MAX) {
            return err_set(e, ERR_OUT_OF_RANGE, "FILE_TOO_LARGE", "too many batches");
        }
        batch_header(w, c->sec, c->description);
    }
    entry_detail(w, c);
    int64_t rdfi = 0;
    for (size_t i = 0; i < 8; i++) {
        rdfi = rdfi * 10 + (c->routing.ptr[i] - '0');
    }
    w->hash = (w->hash + rdfi) % NACHA_HASH_MODULUS;
    w->credit_cents += c->amount_cents;
    w->entries++;
    w->file.credit_cents += c->amount_cents;
    w->file.entries++;
    return true;
}

// All credits of one SEC, in one or several batches: another one for each description, and where a limit is met.
static bool add_section(writer *w, nacha_sec sec, const nacha_credit *credits, size_t n, err *e) {
    int64_t last_trace = 0;
    for (size_t i = 0; i < n; i++) {
        const nacha_credit *c = &credits[i];
        if (c->sec != sec) {
            continue;
        }
        if (c->trace_sequence <= last_trace || c->trace_sequence > NACHA_TRACE_SEQUENCE_MAX) {
            return fail(e, "trace_sequence", "must ascend, from 1 to 9999999");
        }
        last_trace = c->trace_sequence;
        if (!add_credit(w, c, e)) {
            return false;
        }
    }
    if (w->open) {
        batch_control(w);
    }
    return true;
}

bool nacha_write(const nacha_file_spec *spec, const nacha_credit *credits, size_t n, strbuf *out,
                 nacha_totals *totals, err *e) {
    writer w = {.spec = spec, .out = out};
    if (!spec_check(spec, e)) {
        return false;
    }
    if (n == 0) {
        return fail(e, "entries", "must not be empty");
    }
    for (size_t i = 0; i < n; i++) {
        if (!nacha_credit_check(&credits[i], e)) {
            return false;
        }
    }
    file_header(&w);
    if (!add_section(&w, NACHA_PPD, credits, n, e) || !add_section(&w, NACHA_CCD, credits, n, e)) {
        return false;
    }
    file_control(&w);
    if (!strbuf_ok(out)) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "FILE_TOO_LARGE",
                       "the file passes its maximum size");
    }
    if (totals != NULL) {
        *totals = w.file;
    }
    return true;
}

size_t nacha_size_max(size_t n, bool crlf) {
    // Header, control, padding, and at most a batch with its header and control for each entry.
    return (3 * n + 2 + NACHA_BLOCKING) * (NACHA_LINE_LEN + (crlf ? 2u : 1u));
}
