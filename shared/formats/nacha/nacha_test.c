#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "formats/nacha/nacha_read.h"
#include "formats/nacha/nacha_write.h"

static const nacha_file_spec SPEC = {
    .immediate_destination = {"121042882", 9},
    .immediate_origin = {"1900000001", 10},
    .destination_name = {"First Example Bank", 18},
    .origin_name = {"Disburse", 8},
    .created = {2026, 11, 21},
    .created_hour = 4,
    .created_minute = 42,
    .modifier = 'A',
    .odfi = {"12104288", 8},
    .company_name = {"Disburse Inc", 12},
    .company_id = {"1800000001", 10},
    .effective = {2026, 11, 23},
};

static nacha_credit credit(nacha_sec sec, int64_t cents, const char *name, int64_t sequence) {
    return (nacha_credit){
        .sec = sec,
        .routing = STR("231380104"),
        .account = STR("12345678"),
        .amount_cents = cents,
        .individual_id = STR("0A1B2C3D4E5F678"),
        .name = str_of(name),
        .description = STR("PAYOUT"),
        .trace_sequence = sequence,
    };
}

static str write_ok(const nacha_file_spec *spec, const nacha_credit *credits, size_t n,
                    strbuf *out) {
    err e = {0};
    strbuf_init(out, 16 << 20);
    if (!nacha_write(spec, credits, n, out, NULL, &e)) {
        fail_msg("%s: %s", e.field, e.message);
    }
    return strbuf_str(out);
}

static nacha_file *read_ok(str bytes, arena *a) {
    nacha_fault fault;
    nacha_file *f = nacha_read(bytes, a, &fault);
    if (f == NULL) {
        fail_msg("line %d column %d, %s: %s", fault.line, fault.column, fault.field, fault.reason);
    }
    return f;
}

static str read_testdata(const char *name, char *buffer, size_t size) {
    const char *dir = getenv("NACHA_TESTDATA");
    char path[1024];
    assert_non_null(dir);
    assert_true(snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t n = fread(buffer, 1, size, in);
    assert_true(n > 0 && n < size);
    fclose(in);
    return (str){buffer, n};
}

static size_t golden_credits(nacha_credit *out) {
    out[0] = credit(NACHA_PPD, 12345, "Zoë Müller-Groß", 1);
    out[1] = credit(NACHA_PPD, NACHA_ENTRY_CENTS_MAX, "A name that is longer than the field", 2);
    out[1].routing = STR("021000021");
    out[1].savings = true;
    out[1].account = STR("A-0 17 CHARS LONG");
    out[2] = credit(NACHA_CCD, 1, "Acme Łódź Sp. z o.o.", 7);
    out[2].routing = STR("011401533");
    return 3;
}

// --- Writer ----------------------------------------------------------------------------------------------------------

static void test_write__golden_file__same_bytes(void **state) {
    (void)state;
    static char golden[1 << 16];
    nacha_credit credits[3];
    size_t n = golden_credits(credits);
    strbuf out;
    str got = write_ok(&SPEC, credits, n, &out);
    str want = read_testdata("payouts.ach", golden, sizeof golden);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.ptr, want.ptr, want.len);
    strbuf_deinit(&out);
}

static void test_write__then_read__same_values(void **state) {
    arena *a = *state;
    nacha_credit credits[3];
    size_t n = golden_credits(credits);
    for (int crlf = 0; crlf < 2; crlf++) {
        nacha_file_spec spec = SPEC;
        spec.crlf = crlf != 0;
        strbuf out;
        nacha_file *f = read_ok(write_ok(&spec, credits, n, &out), a);
        assert_int_equal(f->n_batches, 2);
        assert_int_equal(f->n_entries, 3);
        assert_int_equal(f->batches[0].sec, NACHA_PPD);
        assert_int_equal(f->batches[1].sec, NACHA_CCD);
        assert_string_equal(f->immediate_origin, "1900000001");
        assert_string_equal(f->immediate_destination, "121042882");
        assert_int_equal(f->modifier, 'A');
        assert_int_equal(f->credit_cents, 12345 + NACHA_ENTRY_CENTS_MAX + 1);
        assert_int_equal(f->hash, 23138010 + 2100002 + 1140153);
        assert_string_equal(f->entries[0].name, "ZOE MULLER-GROSS");
        assert_string_equal(f->entries[1].name, "A NAME THAT IS LONGER");
        assert_string_equal(f->entries[1].account, "A-0 17 CHARS LONG");
        assert_int_equal(f->entries[1].transaction_code, NACHA_SAVINGS_CREDIT);
        assert_string_equal(f->entries[2].name, "ACME LODZ SP. Z O.O.");
        assert_string_equal(f->entries[2].trace, "121042880000007");
        assert_int_equal(f->batches[1].effective.day, 23);
        strbuf_deinit(&out);
    }
}

static void test_write__lines__padded_to_whole_blocks(void **state) {
    (void)state;
    for (size_t n = 1; n <= 25; n++) {
        nacha_credit credits[25];
        for (size_t i = 0; i < n; i++) {
            credits[i] = credit(NACHA_PPD, 100, "X", (int64_t)i + 1);
        }
        strbuf out;
        str got = write_ok(&SPEC, credits, n, &out);
        assert_int_equal(got.len % 950, 0);
        assert_true(got.len <= nacha_size_max(n, false));
        size_t records = n + 4, lines = got.len / 95;
        assert_int_equal(lines, (records + 9) / 10 * 10);
        strbuf_deinit(&out);
    }
}

static void test_write__totals_near_the_limit__another_batch_or_refused(void **state) {
    arena *a = *state;
    enum { MANY = 101 };
    nacha_credit credits[MANY];
    for (size_t i = 0; i < MANY; i++) {
        credits[i] = credit(NACHA_PPD, NACHA_ENTRY_CENTS_MAX, "X", (int64_t)i + 1);
    }
    // 100 times 9,999,999,999 still fits into 12 digits.
    strbuf out;
    nacha_file *f = read_ok(write_ok(&SPEC, credits, 100, &out), a);
    assert_int_equal(f->n_batches, 1);
    assert_int_equal(f->credit_cents, 100 * NACHA_ENTRY_CENTS_MAX);
    strbuf_deinit(&out);

    err e = {0};
    strbuf_init(&out, 1 << 20);
    assert_false(nacha_write(&SPEC, credits, MANY, &out, NULL, &e));
    assert_int_equal(e.code, ERR_OUT_OF_RANGE);
    strbuf_deinit(&out);

    nacha_file_spec spec = SPEC;
    spec.batch_cents_max = 3 * NACHA_ENTRY_CENTS_MAX + 5;
    f = read_ok(write_ok(&spec, credits, 10, &out), a);
    assert_int_equal(f->n_batches, 4);
    assert_int_equal(f->batches[3].n_entries, 1);
    assert_int_equal(f->batches[3].number, 4);
    strbuf_deinit(&out);
    spec.batch_cents_max = 0;
    spec.batch_entries_max = 5;
    f = read_ok(write_ok(&spec, credits, 10, &out), a);
    assert_int_equal(f->n_batches, 2);
    strbuf_deinit(&out);
}

// The low-order ten digits: 150 entries of RDFI 99999999 pass them in one batch; the file's hash adds the batches.
static void test_write__entry_hash__modulo_ten_digits(void **state) {
    arena *a = *state;
    enum { MANY = 150 };
    nacha_credit credits[MANY];
    char routing[10] = "999999990";
    routing[8] = nacha_check_digit(routing);
    for (size_t i = 0; i < MANY; i++) {
        credits[i] = credit(i % 2 == 0 ? NACHA_PPD : NACHA_CCD, 1, "X", (int64_t)i + 1);
        credits[i].routing = (str){routing, 9};
    }
    strbuf out;
    nacha_file *f = read_ok(write_ok(&SPEC, credits, MANY, &out), a);
    assert_int_equal(f->hash, INT64_C(150) * 99999999 % 10000000000);
    strbuf_deinit(&out);
}

// A description belongs to a batch: a change of it begins another one, in each SEC, and the limits split these further.
static void test_write__descriptions__a_batch_for_each(void **state) {
    arena *a = *state;
    static const char *const DESCRIPTIONS[] = {"INVOICE 7", "INVOICE 7", "INVOICE 7", "RENT",
                                               "RENT",      "INVOICE 7", "RENT"};
    enum { MANY = sizeof DESCRIPTIONS / sizeof DESCRIPTIONS[0] };
    static const struct {
        nacha_sec sec;
        const char *description;
        size_t n;
    } BATCHES[] = {{NACHA_PPD, "INVOICE 7", 2},
                   {NACHA_PPD, "INVOICE 7", 1},
                   {NACHA_PPD, "RENT", 2},
                   {NACHA_CCD, "INVOICE 7", 1},
                   {NACHA_CCD, "RENT", 1}};
    nacha_credit credits[MANY];
    for (size_t i = 0; i < MANY; i++) {
        credits[i] = credit(i < 5 ? NACHA_PPD : NACHA_CCD, 100 + (int64_t)i, "X", (int64_t)i + 1);
        credits[i].description = str_of(DESCRIPTIONS[i]);
    }
    nacha_file_spec spec = SPEC;
    spec.batch_entries_max = 2;
    strbuf out;
    nacha_file *f = read_ok(write_ok(&spec, credits, MANY, &out), a);
    assert_int_equal(f->n_batches, sizeof BATCHES / sizeof BATCHES[0]);
    for (size_t i = 0; i < f->n_batches; i++) {
        assert_int_equal(f->batches[i].sec, BATCHES[i].sec);
        assert_string_equal(f->batches[i].entry_description, BATCHES[i].description);
        assert_int_equal(f->batches[i].n_entries, BATCHES[i].n);
        assert_int_equal(f->batches[i].number, i + 1);
    }
    strbuf_deinit(&out);
}

// The most lines that n entries can take: a batch for each of them.
static void test_write__each_entry_a_batch__within_the_maximum_size(void **state) {
    arena *a = *state;
    enum { MANY = 57 };
    char descriptions[MANY][3];
    nacha_credit credits[MANY];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(descriptions[i], sizeof descriptions[i], "%02zu", i + 1);
        credits[i] = credit(i < 20 ? NACHA_PPD : NACHA_CCD, 100, "X", (int64_t)i + 1);
        credits[i].description = str_of(descriptions[i]);
    }
    err e = {0};
    strbuf out;
    strbuf_init(&out, nacha_size_max(MANY, false));
    assert_true(nacha_write(&SPEC, credits, MANY, &out, NULL, &e));
    nacha_file *f = read_ok(strbuf_str(&out), a);
    assert_int_equal(f->n_batches, MANY);
    strbuf_deinit(&out);
}

typedef void (*spoil)(nacha_credit *c);
static void no_sec(nacha_credit *c) {
    c->sec = 0;
}
static void short_routing(nacha_credit *c) {
    c->routing = STR("12345678");
}
static void wrong_check_digit(nacha_credit *c) {
    c->routing = STR("231380105");
}
static void letter_in_routing(nacha_credit *c) {
    c->routing = STR("23138010A");
}
static void empty_account(nacha_credit *c) {
    c->account = STR("");
}
static void long_account(nacha_credit *c) {
    c->account = STR("123456789012345678");
}
static void newline_in_account(nacha_credit *c) {
    c->account = STR("123\n5");
}
static void blank_first(nacha_credit *c) {
    c->account = STR(" 123");
}
static void zero_amount(nacha_credit *c) {
    c->amount_cents = 0;
}
static void negative_amount(nacha_credit *c) {
    c->amount_cents = -1;
}
static void eleven_digits(nacha_credit *c) {
    c->amount_cents = NACHA_ENTRY_CENTS_MAX + 1;
}
static void long_id(nacha_credit *c) {
    c->individual_id = STR("1234567890123456");
}
static void newline_in_id(nacha_credit *c) {
    c->individual_id = STR("a\nb");
}
static void empty_name(nacha_credit *c) {
    c->name = STR("");
}
static void blank_name(nacha_credit *c) {
    c->name = STR(" \t\xc2\xa0");
}
static void zeros_name(nacha_credit *c) {
    c->name = STR("000 0");
}
static void unseen_name(nacha_credit *c) {
    c->name = STR("\xe2\x80\x8b\xe2\x80\x8b");
}
static void foreign_name(nacha_credit *c) {
    c->name = STR("आशा राव");
}
static void zeros_description(nacha_credit *c) {
    c->description = STR("0000000000");
}
static void no_description(nacha_credit *c) {
    c->description = STR("");
}
static void long_description(nacha_credit *c) {
    c->description = STR("ELEVEN CHAR");
}
static void newline_in_description(nacha_credit *c) {
    c->description = STR("A\nB");
}
static void zero_trace(nacha_credit *c) {
    c->trace_sequence = 0;
}
static void long_trace(nacha_credit *c) {
    c->trace_sequence = 10000000;
}

static void test_write__bad_field__names_it(void **state) {
    (void)state;
    static const struct {
        spoil change;
        const char *field;
    } CASES[] = {
        {no_sec, "holder_type"},
        {short_routing, "routing_code"},
        {wrong_check_digit, "routing_code"},
        {letter_in_routing, "routing_code"},
        {empty_account, "account_number"},
        {long_account, "account_number"},
        {newline_in_account, "account_number"},
        {blank_first, "account_number"},
        {zero_amount, "amount"},
        {negative_amount, "amount"},
        {eleven_digits, "amount"},
        {long_id, "individual_id"},
        {newline_in_id, "individual_id"},
        {empty_name, "recipient_name"},
        {blank_name, "recipient_name"},
        {zeros_name, "recipient_name"},
        {unseen_name, "recipient_name"},
        {foreign_name, "recipient_name"},
        {zeros_description, "description"},
        {no_description, "description"},
        {long_description, "description"},
        {newline_in_description, "description"},
        {zero_trace, "trace_sequence"},
        {long_trace, "trace_sequence"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        nacha_credit c = credit(NACHA_PPD, 100, "X", 1);
        CASES[i].change(&c);
        err e = {0};
        strbuf out;
        strbuf_init(&out, 1 << 16);
        assert_false(nacha_write(&SPEC, &c, 1, &out, NULL, &e));
        assert_string_equal(e.field, CASES[i].field);
        assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
        strbuf_deinit(&out);
    }
}

static void test_write__bad_spec_order_or_size__refused(void **state) {
    (void)state;
    nacha_credit two[2] = {credit(NACHA_PPD, 1, "X", 2), credit(NACHA_PPD, 1, "Y", 2)};
    err e = {0};
    strbuf out;
    strbuf_init(&out, 1 << 16);
    assert_false(nacha_write(&SPEC, two, 2, &out, NULL, &e)); // traces do not ascend
    assert_string_equal(e.field, "trace_sequence");
    assert_false(nacha_write(&SPEC, two, 0, &out, NULL, &e)); // no entries
    nacha_file_spec spec = SPEC;
    spec.modifier = 'a';
    assert_false(nacha_write(&spec, two, 1, &out, NULL, &e));
    assert_string_equal(e.field, "modifier");
    spec = SPEC;
    spec.effective = (civil_date){2026, 2, 30};
    assert_false(nacha_write(&spec, two, 1, &out, NULL, &e));
    assert_string_equal(e.field, "date");
    strbuf_deinit(&out);
    strbuf_init(&out, 300); // too small for a block
    assert_false(nacha_write(&SPEC, two, 1, &out, NULL, &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    strbuf_deinit(&out);
}

static void test_check_digit__known_routing_numbers__right(void **state) {
    (void)state;
    static const char *const KNOWN[] = {"021000021", "121042882", "231380104", "011401533",
                                        "122105155"};
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        assert_int_equal(nacha_check_digit(KNOWN[i]), KNOWN[i][8]);
    }
}

// --- Reader ----------------------------------------------------------------------------------------------------------

static void test_read__return_file__codes_and_traces(void **state) {
    arena *a = *state;
    static char bytes[1 << 16];
    static const char *const CODES[] = {"R01", "R02", "R03", "R04", "R10",
                                        "R16", "R20", "R14", "R29"};
    nacha_file *f = read_ok(read_testdata("returns.ach", bytes, sizeof bytes), a);
    assert_string_equal(f->immediate_destination, "1900000001");
    assert_int_equal(f->n_entries, sizeof CODES / sizeof CODES[0]);
    for (size_t i = 0; i < f->n_entries; i++) {
        assert_true(f->entries[i].is_return);
        assert_string_equal(f->entries[i].return_code, CODES[i]);
        assert_memory_equal(f->entries[i].original_trace, "12104288", 8);
        assert_int_equal(f->entries[i].original_trace[14] - '0', (int)i + 1);
        assert_int_equal(f->entries[i].amount_cents, 1000 + (int)i);
        assert_string_equal(f->entries[i].original_rdfi, "23138010");
    }
    assert_string_equal(f->entries[0].return_info, "NOT ENOUGH");
    assert_string_equal(nacha_return_text(STR("R03")), "no account, or unable to locate it");
    assert_string_equal(nacha_return_text(STR("R99")),
                        "return, for a reason that is not known here");
}

static void test_read__without_padding__accepted(void **state) {
    arena *a = *state;
    nacha_credit credits[3];
    size_t n = golden_credits(credits);
    strbuf out;
    str whole = write_ok(&SPEC, credits, n, &out);
    assert_int_equal(whole.len, 950);         // 9 records and one line of padding
    read_ok((str){whole.ptr, 855}, a);        // 9 lines
    read_ok((str){whole.ptr, 9 * 95 - 1}, a); // and without the last newline
    strbuf_deinit(&out);
}

// What each character of a record may become. 'S': nothing else than it is. 'N': another digit may be a valid file too,
// but never a letter. 'T': free text. 'D': a digit of a date. 'B': text or blank, but printable.
static const char *const MASK_1 = "SSSNNNNNNNNNNNNNNNNNNNNDDDDDDDDDDTSSSSSSTTTTTTTTTTTTTTTTTTTTTTTT"
                                  "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTT";
static const char *const MASK_5 = "SSSSTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTSSSSSSSSSSSSSTTTTTTTTTTT"
                                  "TTTTTDDDDDDTTTSSSSSSSSSSSSSSSS";
static const char *const MASK_6 = "SNNSSSSSSSSSTTTTTTTTTTTTTTTTTSSSSSSSSSSTTTTTTTTTTTTTTTTTTTTTTTTT"
                                  "TTTTTTTTTTTTTTSSSSSSSSSNNNNNNN";
static const char *const MASK_ALL = "SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS"
                                    "SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS";

static const char *mask_of(char type) {
    switch (type) {
    case '1': return MASK_1;
    case '5': return MASK_5;
    case '6': return MASK_6;
    default: return MASK_ALL;
    }
}

static void assert_refused(arena *a, str bytes, size_t line, size_t column, char was) {
    nacha_fault fault;
    arena_reset(a);
    if (nacha_read(bytes, a, &fault) != NULL) {
        fail_msg("line %zu column %zu: '%c' in place of '%c' was accepted", line, column,
                 bytes.ptr[(line - 1) * 95 + column - 1], was);
    }
    assert_true(fault.line >= 1 && fault.column >= 1 && fault.column <= 95);
    assert_true(fault.reason[0] != '\0' && fault.field != NULL);
}

static void test_read__any_structural_character_changed__refused(void **state) {
    arena *a = *state;
    nacha_credit credits[3];
    size_t n = golden_credits(credits);
    strbuf out;
    str whole = write_ok(&SPEC, credits, n, &out);
    size_t tried = 0;
    for (size_t line = 1; line <= whole.len / 95; line++) {
        char *text = out.ptr + (line - 1) * 95;
        const char *mask = mask_of(text[0]);
        assert_int_equal(strlen(mask), 94);
        for (size_t column = 1; column <= 94; column++) {
            char was = text[column - 1];
            static const char CHANGES[] = "0123456789 AZ*\x01\x7f\n\r\xe4";
            for (size_t k = 0; k < sizeof CHANGES - 1; k++) {
                char c = CHANGES[k], kind = mask[column - 1];
                bool digit = c >= '0' && c <= '9', printable = c >= 0x20 && c <= 0x7e;
                bool allowed = (kind == 'T' && printable) ||
                               ((kind == 'N' || kind == 'D') && digit) ||
                               (kind == 'N' && (column == 4 || column == 14) && c == ' ');
                if (c == was || allowed) {
                    continue;
                }
                text[column - 1] = c;
                assert_refused(a, whole, line, column, was);
                tried++;
            }
            text[column - 1] = was;
        }
    }
    assert_true(tried > 8000);
    read_ok(whole, a);
    strbuf_deinit(&out);
}

// Lines left out, doubled or swapped, and files cut anywhere.
static void test_read__lines_missing_doubled_or_cut__refused(void **state) {
    arena *a = *state;
    static char bytes[1 << 16], changed[1 << 16];
    nacha_fault fault;
    str whole = read_testdata("payouts.ach", bytes, sizeof bytes);
    size_t lines = whole.len / 95;
    for (size_t skip = 0; skip < lines - 1; skip++) { // without the padding the file is still good
        memcpy(changed, whole.ptr, skip * 95);
        memcpy(changed + skip * 95, whole.ptr + (skip + 1) * 95, whole.len - (skip + 1) * 95);
        assert_null(nacha_read((str){changed, whole.len - 95}, a, &fault));
        memcpy(changed, whole.ptr, (skip + 1) * 95);
        memcpy(changed + (skip + 1) * 95, whole.ptr + skip * 95, whole.len - skip * 95);
        assert_null(nacha_read((str){changed, whole.len + 95}, a, &fault));
        arena_reset(a);
    }
    for (size_t len = 0; len < 9 * 95 - 1; len++) {
        assert_null(nacha_read((str){whole.ptr, len}, a, &fault));
        arena_reset(a);
    }
    memcpy(changed, whole.ptr, whole.len);
    memcpy(changed + whole.len, "\n", 1);
    // something follows the padding
    assert_null(nacha_read((str){changed, whole.len + 1}, a, &fault));
    memcpy(changed, "\xef\xbb\xbf", 3);
    memcpy(changed + 3, whole.ptr, whole.len);
    assert_null(nacha_read((str){changed, whole.len + 3}, a, &fault)); // a byte order mark
}

static void test_read__fault__names_line_column_and_field(void **state) {
    arena *a = *state;
    static char bytes[1 << 16];
    nacha_fault fault;
    str whole = read_testdata("payouts.ach", bytes, sizeof bytes);
    bytes[2 * 95 + 11] = '9'; // check digit of the first entry
    assert_null(nacha_read(whole, a, &fault));
    assert_int_equal(fault.line, 3);
    assert_int_equal(fault.column, 12);
    assert_string_equal(fault.field, "check digit");
    assert_string_equal(fault.reason, "must be 4");
}

// Random mutations must neither crash nor be read out of bounds (the sanitizers watch), and what is accepted must add up.
static void test_read__random_damage__never_crashes(void **state) {
    arena *a = *state;
    static char bytes[1 << 16];
    str whole = read_testdata("returns.ach", bytes, sizeof bytes);
    test_clock t;
    test_clock_init(&t, 0, 20261121);
    for (int round = 0; round < 20000; round++) {
        size_t len = whole.len;
        char *exact = malloc(len == 0 ? 1 : len);
        memcpy(exact, whole.ptr, len);
        uint64_t changes = 1 + clock_random_below(&t.source, 6);
        for (uint64_t i = 0; i < changes; i++) {
            exact[clock_random_below(&t.source, len)] = (char)clock_random_below(&t.source, 256);
        }
        if (clock_random_below(&t.source, 4) == 0) {
            len = clock_random_below(&t.source, len);
        }
        nacha_fault fault;
        nacha_file *f = nacha_read((str){exact, len}, a, &fault);
        if (f != NULL) {
            int64_t sum = 0;
            for (size_t i = 0; i < f->n_entries; i++) {
                sum += f->entries[i].amount_cents;
            }
            assert_int_equal(sum, f->credit_cents + f->debit_cents);
        }
        free(exact);
        arena_reset(a);
    }
}

static void test_write__random_files__read_back(void **state) {
    arena *a = *state;
    test_clock t;
    test_clock_init(&t, 0, 7);
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + clock_random_below(&t.source, 60);
        nacha_credit credits[60];
        int64_t sum = 0;
        char routing[60][10], name[60][41];
        for (size_t i = 0; i < n; i++) {
            credits[i] = credit(clock_random_below(&t.source, 2) == 0 ? NACHA_PPD : NACHA_CCD,
                                1 + (int64_t)clock_random_below(&t.source, NACHA_ENTRY_CENTS_MAX),
                                NULL, (int64_t)(i + 1) * 7);
            snprintf(routing[i], 10, "%08d", (int)clock_random_below(&t.source, 100000000));
            routing[i][8] = nacha_check_digit(routing[i]);
            credits[i].routing = (str){routing[i], 9};
            clock_random(&t.source, name[i], 40); // any bytes at all, after an X
            name[i][0] = 'X';
            credits[i].name = (str){name[i], 40};
            sum += credits[i].amount_cents;
        }
        strbuf out;
        nacha_file *f = read_ok(write_ok(&SPEC, credits, n, &out), a);
        assert_int_equal(f->n_entries, n);
        assert_int_equal(f->credit_cents, sum);
        strbuf_deinit(&out);
        arena_reset(a);
    }
}

static int setup(void **state) {
    *state = arena_create(64 << 20);
    return *state == NULL ? -1 : 0;
}
static int teardown(void **state) {
    arena_destroy(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write__golden_file__same_bytes),
        cmocka_unit_test_setup_teardown(test_write__then_read__same_values, setup, teardown),
        cmocka_unit_test(test_write__lines__padded_to_whole_blocks),
        cmocka_unit_test_setup_teardown(test_write__totals_near_the_limit__another_batch_or_refused,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__entry_hash__modulo_ten_digits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__descriptions__a_batch_for_each, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_write__each_entry_a_batch__within_the_maximum_size,
                                        setup, teardown),
        cmocka_unit_test(test_write__bad_field__names_it),
        cmocka_unit_test(test_write__bad_spec_order_or_size__refused),
        cmocka_unit_test(test_check_digit__known_routing_numbers__right),
        cmocka_unit_test_setup_teardown(test_read__return_file__codes_and_traces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read__without_padding__accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read__any_structural_character_changed__refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_read__lines_missing_doubled_or_cut__refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_read__fault__names_line_column_and_field, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_read__random_damage__never_crashes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__random_files__read_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
