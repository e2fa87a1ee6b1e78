// Files as banks send them. Each oddity is one of a real bank's file; what is right stands beside it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "formats/nacha/nacha_inbound.h"
#include "testing/bank_file.h"

static arena *mem;
static strbuf text;

static const bank_entry TWO[] = {
    {.code = "R03", .trace = "121042880000001", .amount = 1000, .individual_id = "0A1B2C3D4E5F678"},
    {.code = "R02", .trace = "121042880000002", .amount = 2000, .individual_id = "1A1B2C3D4E5F678"},
};
static const bank_batch BATCH = {.company_id = "1800000001", .entries = TWO, .n = 2};

static str write_file(const bank_file *f) {
    strbuf_clear(&text);
    bank_file_write(f, &text);
    assert_true(strbuf_ok(&text));
    return strbuf_str(&text);
}

// The reader gets bytes of exactly this length, so that the sanitizer sees each look beyond them.
static nacha_inbound read_exact(str bytes) {
    nacha_inbound f;
    nacha_inbound_fault fault;
    char *exact = arena_alloc(mem, bytes.len + 1);
    memcpy(exact, bytes.ptr, bytes.len);
    if (!nacha_inbound_read((str){exact, bytes.len}, mem, &f, &fault)) {
        fail_msg("line %d: %s", fault.line, fault.reason);
    }
    return f;
}

static void assert_str(str got, const char *want) {
    if (!str_eq_c(got, want)) {
        fail_msg("'%.*s' is not '%s'", (int)got.len, got.ptr, want);
    }
}

static void assert_two_returns(const nacha_inbound *f) {
    assert_int_equal(f->n_entries, 2);
    for (size_t i = 0; i < 2; i++) {
        const nacha_told *t = &f->entries[i];
        assert_int_equal(t->word, NACHA_WORD_RETURN);
        assert_str(t->code, TWO[i].code);
        assert_str(t->original_trace, TWO[i].trace);
        assert_str(t->original_rdfi, "23138010");
        assert_str(t->individual_id, TWO[i].individual_id);
        assert_str(t->account, "12345678");
        assert_int_equal(t->amount_cents, TWO[i].amount);
        assert_true(t->credit);
        assert_str(f->batches[t->batch].company_id, "1800000001");
    }
    assert_int_equal(f->credit_cents, 3000);
}

// Line ends, padding, blanks: the form of the file, and nothing of what it says.
static void test_form__as_banks_have_it__same_two_returns(void **state) {
    (void)state;
    const bank_file FORMS[] = {
        {.line_end = "\n"},
        {.line_end = "\r\n"},
        {.line_end = "\r"},
        {.line_end = ""},
        {.line_end = "", .unpadded = true},
        {.line_end = "", .unpadded = true, .cut_blanks = false, .no_final_line_end = true},
        {.unpadded = true},
        {.unpadded = true, .no_final_line_end = true},
        {.no_final_line_end = true},
        {.cut_blanks = true},
        {.cut_blanks = true, .line_end = "\r\n", .unpadded = true},
        {.extra_blanks = 2},
        {.extra_blanks = 2, .line_end = "\r\n", .no_final_line_end = true},
        {.destination = " 190000000"},
        {.destination = "0190000000"},
    };
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        bank_file f = FORMS[i];
        f.batches = &BATCH;
        f.n = 1;
        const nacha_inbound got = read_exact(write_file(&f));
        assert_two_returns(&got);
        assert_int_equal(got.entries[1].line, 5);
    }
}

static void test_form__blank_lines_mark_and_two_files__read(void **state) {
    (void)state;
    const bank_file f = {.batches = &BATCH, .n = 1};
    const str one = write_file(&f);
    char *all = arena_alloc(mem, 3 * one.len + 16);
    int len = snprintf(all, 3 * one.len + 16, "%.*s\n  \n", (int)one.len, one.ptr);
    nacha_inbound got = read_exact((str){all, (size_t)len});
    assert_two_returns(&got);
    len = snprintf(all, 3 * one.len + 16, "\xef\xbb\xbf%.*s", (int)one.len, one.ptr);
    got = read_exact((str){all, (size_t)len});
    assert_two_returns(&got);
    len = snprintf(all, 3 * one.len + 16, "%.*s%.*s", (int)one.len, one.ptr, (int)one.len, one.ptr);
    got = read_exact((str){all, (size_t)len});
    assert_int_equal(got.n_entries, 4);
    assert_int_equal(got.credit_cents, 6000);
    got = read_exact(STR("\r\n   \n"));
    assert_int_equal(got.n_batches, 0);
    got = read_exact(STR(""));
    assert_int_equal(got.n_batches, 0);
    const bank_file none = {0};
    got = read_exact(write_file(&none));
    assert_int_equal(got.n_batches + got.n_entries, 0);
}

// Fields on which no money depends.
// What mailboxes, editors and mainframes leave around and behind records harms no money.
static void test_form__marks_of_mailboxes_and_mainframes__same_two_returns(void **state) {
    (void)state;
    const str whole = write_file(&(bank_file){.batches = &BATCH, .n = 1});
    static const struct {
        const char *before, *after;
        size_t after_len;
    } AROUND[] = {{"", "\x1a", 1},
                  {"", "\r\n\x1a\x1a", 4},
                  {"", "\0\0\0\0", 4},
                  {"", "\f", 1},
                  {"", " \t\n\v\f", 5},
                  {"\f", "", 0},
                  {"$$ADD ID=ABC BID='RETURNS'\n", "", 0},
                  {"\xef\xbb\xbf$$REQUEST\r\n$$ADD ID=ABC\r\n", "", 0},
                  {"\n$$ADD ID=ABC\n\n", "\x1a", 1}};
    for (size_t i = 0; i < sizeof AROUND / sizeof AROUND[0]; i++) {
        const size_t before = strlen(AROUND[i].before);
        char *all = arena_alloc(mem, before + whole.len + AROUND[i].after_len);
        memcpy(all, AROUND[i].before, before);
        memcpy(all + before, whole.ptr, whole.len);
        memcpy(all + before + whole.len, AROUND[i].after, AROUND[i].after_len);
        const str bytes = {all, before + whole.len + AROUND[i].after_len};
        assert_true(nacha_looks_like(bytes));
        const nacha_inbound f = read_exact(bytes);
        assert_two_returns(&f);
    }
    // A tab, a NUL or a form feed behind each record.
    for (size_t k = 0; k < 3; k++) {
        char *all = arena_alloc(mem, 2 * whole.len);
        size_t n = 0;
        for (size_t i = 0; i < whole.len; i++) {
            if (whole.ptr[i] == '\n') {
                all[n++] = "\t\0\f"[k];
            }
            all[n++] = whole.ptr[i];
        }
        const nacha_inbound f = read_exact((str){all, n});
        assert_two_returns(&f);
    }
}

// What stands inside of a record is none of these: a mark there is a damage.
static void test_form__marks_inside_of_records__refused(void **state) {
    (void)state;
    const str whole = write_file(&(bank_file){.batches = &BATCH, .n = 1});
    static const char *const INSIDE[] = {"$$ADD ID=ABC\n", "\x1a x\n"};
    for (size_t k = 0; k < sizeof INSIDE / sizeof INSIDE[0]; k++) {
        const size_t len = strlen(INSIDE[k]), at = 2 * 95; // behind the batch header
        char *all = arena_alloc(mem, whole.len + len);
        memcpy(all, whole.ptr, at);
        memcpy(all + at, INSIDE[k], len);
        memcpy(all + at + len, whole.ptr + at, whole.len - at);
        nacha_inbound f;
        nacha_inbound_fault fault;
        assert_false(nacha_inbound_read((str){all, whole.len + len}, mem, &f, &fault));
    }
}

// Advices of an accounting system (280) stand beside returns: their layout is another one, and they are about no entry of ours. What they
// say of sums is counted all the same.
static void test_batch__of_an_accounting_system__skipped_and_counted(void **state) {
    (void)state;
    strbuf_clear(&text);
    char record[200];
    const str whole = write_file(&(bank_file){.batches = &BATCH, .n = 1, .unpadded = true});
    const size_t at = whole.len - 95; // before the file control
    char *all = arena_alloc(mem, whole.len + 1000);
    size_t n = at;
    memcpy(all, whole.ptr, at);
    const char *const RECORDS[] = {
        "5280DISBURSE INC                        1800000001ADVADVICE          261124   "
        "1121042880000002",
        "681231380104123456789012345000000000500121042882AAAAA0ADVICE                0012104288328"
        "0001",
        "828000000100231380100000000000000000000000000000000000000500                   "
        "121042880000002"};
    for (size_t i = 0; i < 3; i++) {
        n += (size_t)snprintf(all + n, 200, "%-94.94s\n", RECORDS[i]);
    }
    memcpy(record, whole.ptr + at, 95);
    record[95] = '\0';
    // One batch, one entry, its hash and its credit more.
    memcpy(record + 1, "000002", 6);
    memcpy(record + 13, "00000005", 8);
    memcpy(record + 21, "0047346586", 10);
    memcpy(record + 43, "000000003500", 12);
    memcpy(all + n, record, 95);
    n += 95;
    const nacha_inbound f = read_exact((str){all, n});
    assert_int_equal(f.n_entries, 2);
    assert_int_equal(f.entries[0].word, NACHA_WORD_RETURN);
    assert_int_equal(f.entries[1].amount_cents, 2000);
    all[n - 95 + 54]++; // a sum that does not fit is a fault of the file, with or without them
    nacha_inbound bad;
    nacha_inbound_fault fault;
    assert_false(nacha_inbound_read((str){all, n}, mem, &bad, &fault));
}

static void test_fields__of_no_weight__read(void **state) {
    (void)state;
    static const struct {
        size_t line, column;
        const char *put;
    } CHANGES[] = {
        {2, 70, "      "}, // effective date blank
        {2, 70, "000000"}, // … or zeros
        {2, 70, "261399"}, // … or no date
        {2, 79, "2"},      // originator status
        {2, 79, " "},
        {2, 76, "335"},                    // settlement date
        {2, 5, "                "},        // company name
        {2, 54, "          "},             // description
        {2, 88, "0000000"},                // batch number
        {2, 2, "200"},                     // service class
        {3, 55, "                      "}, // name
        {3, 2, "22"},                      // a forward code over addenda 99
        {5, 2, "32"},
        {3, 12, "9"},                   // a check digit
        {3, 77, "XY"},                  // discretionary data
        {7, 55, "MAC0123456789ABCDEF"}, // message authentication code
        {7, 74, "123456"},              // reserved
        {7, 88, "0000009"},             // a batch number of the control record's own
        {8, 8, "000009"},               // block count
        {8, 56, "ANYTHING"},            // reserved
        {1, 24, "      "},              // creation date
        {1, 30, "2561"},                // creation time
        {1, 2, "99"},                   // priority
        {1, 34, " "},                   // file id modifier
        {4, 22, "261120"},              // date of death without a death
        {3, 79, "0"},                   // the indicator denies its addenda
    };
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        const bank_file f = {.batches = &BATCH, .n = 1};
        (void)write_file(&f);
        memcpy(text.ptr + (CHANGES[i].line - 1) * 95 + CHANGES[i].column - 1, CHANGES[i].put,
               strlen(CHANGES[i].put));
        const nacha_inbound got = read_exact(strbuf_str(&text));
        assert_two_returns(&got);
    }
}

// The whole file, wherever a figure that money hangs on is not what the records say.
static void test_totals__not_those_of_the_records__file_refused(void **state) {
    (void)state;
    static const struct {
        size_t line, column;
        const char *put, *says;
    } CHANGES[] = {
        {3, 30, "0000001001", "credits"},   // an amount
        {3, 30, "00000010 0", "credits"},   // no amount
        {3, 4, "12104289", "hash"},         // a receiving bank
        {3, 2, "26", "debits"},             // another side
        {7, 5, "000005", "count"},          // batch: count
        {7, 11, "0024208577", "hash"},      // hash
        {7, 21, "000000000001", "debits"},  // debits
        {7, 33, "000000003001", "credits"}, // credits
        {7, 33, "00000000300X", "not a number"},
        {8, 2, "000002", "batches"},        // file: batches
        {8, 14, "00000005", "count"},       // count
        {8, 22, "0024208577", "hash"},      // hash
        {8, 32, "000000000001", "debits"},  // debits
        {8, 44, "000000003001", "credits"}, // credits
        {7, 1, "9", "type '9' inside"},     // a batch that is never closed
        {3, 1, "7", "without an entry"},    // addenda of nothing
        {2, 1, "6", "type '6' outside"},
        {1, 1, "x", "begin"},
        {2, 2, "280", "accounting"},
        {9, 5, "X", "follows"},
    };
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        const bank_file f = {.batches = &BATCH, .n = 1};
        nacha_inbound got;
        nacha_inbound_fault fault;
        (void)write_file(&f);
        memcpy(text.ptr + (CHANGES[i].line - 1) * 95 + CHANGES[i].column - 1, CHANGES[i].put,
               strlen(CHANGES[i].put));
        if (nacha_inbound_read(strbuf_str(&text), mem, &got, &fault)) {
            fail_msg("case %zu was read", i);
        }
        if (strstr(fault.reason, CHANGES[i].says) == NULL) {
            fail_msg("case %zu: %s", i, fault.reason);
        }
        assert_true(fault.line >= 1 && fault.line <= 10);
    }
}

// A file that was cut is not a smaller file.
static void test_file__cut_anywhere__refused(void **state) {
    (void)state;
    const bank_file f = {.batches = &BATCH, .n = 1, .unpadded = true};
    const str whole = write_file(&f);
    for (size_t len = 1; len < 7 * 95 + 55; len++) { // behind the last total only blanks follow
        nacha_inbound got;
        nacha_inbound_fault fault;
        arena_reset(mem);
        char *exact = arena_alloc(mem, len);
        memcpy(exact, whole.ptr, len);
        if (nacha_inbound_read((str){exact, len}, mem, &got, &fault)) {
            fail_msg("the first %zu bytes were read", len);
        }
    }
}

// One odd line is its own; the others of its batch and file mean what they say.
static void test_lines__odd_ones_beside_good_ones__each_its_word(void **state) {
    (void)state;
    const bank_entry odd[] = {
        {.code = "R93", .trace = "121042880000003", .amount = 1},
        {.code = "RXX", .trace = "121042880000004", .amount = 2},
        {.code = "R03", .trace = "12104288000000A", .amount = 3},
        {.code = "R03", .trace = "", .amount = 4},
        {.code = "R03", .trace = "121042880000005", .amount = 5, .rdfi = "2313801X"},
        {.code = "R61", .trace = "121042880000006", .amount = 6},
        {.code = "R70", .trace = "121042880000006", .amount = 7},
        {.code = "R71", .trace = "121042880000006", .amount = 8},
        {.code = "R77", .trace = "121042880000006", .amount = 9},
        {.code = "R80", .trace = "121042880000006", .amount = 10},
        {.amount = 11, .transaction_code = 22},
        {.code = "C01", .trace = "121042880000002", .info = "1918171614"},
        {.code = "C61", .trace = "121042880000002", .info = "1918171614"},
        {.code = "R01", .trace = "121042880000001", .amount = 12, .transaction_code = 26},
        {.code = "R03", .trace = "121042880000001", .amount = 13, .own_trace = "231380100000001"},
    };
    static const nacha_word WORDS[] = {
        NACHA_WORD_RETURN,         NACHA_WORD_UNREADABLE, NACHA_WORD_UNREADABLE,
        NACHA_WORD_UNREADABLE,     NACHA_WORD_UNREADABLE, NACHA_WORD_DISHONORED,
        NACHA_WORD_DISHONORED,     NACHA_WORD_CONTESTED,  NACHA_WORD_CONTESTED,
        NACHA_WORD_RETURN,         NACHA_WORD_ENTRY,      NACHA_WORD_CHANGE,
        NACHA_WORD_CHANGE_REFUSED, NACHA_WORD_RETURN,     NACHA_WORD_RETURN,
    };
    enum { N = sizeof odd / sizeof odd[0] };
    _Static_assert(N == sizeof WORDS / sizeof WORDS[0], "a word each");
    const bank_batch batches[] = {
        {.company_id = "1800000001", .entries = TWO, .n = 2, .number = 7},
        {.company_id = "1800000002", .sec = "COR", .entries = odd, .n = N, .number = 7},
        {.company_id = "1800000001", .sec = "WEB", .entries = TWO, .n = 1, .number = 3},
    };
    const bank_file f = {.batches = batches, .n = 3};
    const nacha_inbound got = read_exact(write_file(&f));
    assert_int_equal(got.n_entries, 3 + N);
    for (size_t i = 0; i < N; i++) {
        const nacha_told *t = &got.entries[2 + i];
        if (t->word != WORDS[i] || (t->fault != NULL) != (WORDS[i] == NACHA_WORD_UNREADABLE)) {
            fail_msg("entry %zu", i);
        }
        assert_str(got.batches[t->batch].company_id, "1800000002");
        assert_int_equal(t->amount_cents, odd[i].amount);
        assert_int_equal(t->raw.ptr[0], '6');
    }
    assert_false(got.entries[2 + 13].credit);
    assert_str(got.batches[2].sec, "WEB");
    // The raw bytes of a line are those of its records.
    const str raw = got.entries[2].raw;
    assert_int_equal(raw.len, 94 + 1 + 94);
    assert_memory_equal(raw.ptr + 95, "799R93", 6);
}

// Entries with several addenda, as CTX and IAT have them.
static void test_lines__several_addenda__counted(void **state) {
    (void)state;
    const bank_file f = {.batches = &BATCH, .n = 1, .unpadded = true};
    const str whole = write_file(&f);
    char *all = arena_alloc(mem, whole.len + 96);
    memcpy(all, whole.ptr, (size_t)3 * 95);
    memset(all + 3 * 95, ' ', 94);
    memcpy(all + 3 * 95, "710ANN0000", 10);
    all[4 * 95 - 1] = '\n';
    memcpy(all + 4 * 95, whole.ptr + 3 * 95, whole.len - 3 * 95);
    memcpy(all + 7 * 95 + 4, "000005", 6);
    memcpy(all + 8 * 95 + 13, "00000005", 8);
    const nacha_inbound got = read_exact((str){all, whole.len + 95});
    assert_two_returns(&got);
}

static void test_batch__control_of_another_company__its_lines_are_nobodys(void **state) {
    (void)state;
    const bank_batch batches[] = {BATCH, BATCH};
    const bank_file f = {.batches = batches, .n = 2};
    (void)write_file(&f);
    memcpy(text.ptr + 12 * 95 + 44, "1800000009", 10);
    const nacha_inbound got = read_exact(strbuf_str(&text));
    assert_null(got.batches[0].fault);
    assert_non_null(got.batches[1].fault);
}

static void test_change__corrected_data__by_position(void **state) {
    (void)state;
    static const struct {
        const char *code, *data, *routing, *account, *transaction_code, *individual_id;
    } CASES[] = {
        {"C01", "1918171614", "", "1918171614", "", ""},
        {"C02", "121042882", "121042882", "", "", ""},
        {"C03", "121042882   12345678901234567", "121042882", "12345678901234567", "", ""},
        {"C05", "32", "", "", "32", ""},
        {"C06", "1918171614          22", "", "1918171614", "22", ""},
        // A full account number runs into the code that follows it.
        {"C07", "1210428821234567890123456732", "121042882", "12345678901234567", "32", ""},
        {"C07", "12104288212 34            22", "121042882", "12 34", "22", ""},
        {"C09", "ID-7", "", "", "", "ID-7"},
        {"C13", "whatever", "", "", "", ""},
        {"C01", "", "", "", "", ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const nacha_change c = nacha_corrected(str_of(CASES[i].code), str_of(CASES[i].data));
        assert_str(c.routing, CASES[i].routing);
        assert_str(c.account, CASES[i].account);
        assert_str(c.transaction_code, CASES[i].transaction_code);
        assert_str(c.individual_id, CASES[i].individual_id);
    }
    const bank_entry e = {
        .code = "C07", .trace = "121042880000002", .info = "1210428821234567890123456732"};
    const bank_batch b = {.company_id = "1800000001", .sec = "COR", .entries = &e, .n = 1};
    const bank_file f = {.batches = &b, .n = 1};
    const nacha_inbound got = read_exact(write_file(&f));
    assert_str(nacha_corrected(got.entries[0].code, got.entries[0].info).account,
               "12345678901234567");
}

static void test_codes__each_known_one__a_text_of_its_own(void **state) {
    (void)state;
    size_t known = 0;
    for (int i = 1; i < 100; i++) {
        char code[16];
        (void)snprintf(code, sizeof code, "R%02d", i);
        const char *said = nacha_return_text_known(str_of(code));
        const bool expected = i <= 47 || (i >= 50 && i <= 53) || i == 61 || i == 62 ||
                              (i >= 67 && i <= 77) || (i >= 80 && i <= 85) || i == 90;
        if ((said != NULL) != expected) {
            fail_msg("%s", code);
        }
        known += said != NULL;
        for (int k = 1; said != NULL && k < i; k++) {
            (void)snprintf(code, sizeof code, "R%02d", k);
            const char *other = nacha_return_text_known(str_of(code));
            assert_true(other == NULL || strcmp(other, said) != 0);
        }
    }
    assert_int_equal(known, 47 + 4 + 2 + 11 + 6 + 1);
    assert_null(nacha_return_text_known(STR("R3")));
    assert_null(nacha_return_text_known(STR("")));
    assert_string_equal(nacha_return_text(STR("R93")),
                        "return, for a reason that is not known here");
}

// Damage must neither crash nor be read out of bounds (the sanitizers watch), and what is accepted adds up.
static void test_read__random_damage__adds_up_or_is_refused(void **state) {
    (void)state;
    const bank_batch batches[] = {BATCH, BATCH};
    const bank_file f = {.batches = batches, .n = 2};
    const str whole = write_file(&f);
    test_clock t;
    test_clock_init(&t, 0, 20261130);
    for (int round = 0; round < 20000; round++) {
        size_t len = whole.len;
        char *exact = malloc(len);
        memcpy(exact, whole.ptr, len);
        const uint64_t changes = 1 + clock_random_below(&t.source, 6);
        for (uint64_t i = 0; i < changes; i++) {
            exact[clock_random_below(&t.source, len)] = (char)clock_random_below(&t.source, 256);
        }
        if (clock_random_below(&t.source, 4) == 0) {
            len = clock_random_below(&t.source, len);
        }
        nacha_inbound got;
        nacha_inbound_fault fault;
        if (nacha_inbound_read((str){exact, len}, mem, &got, &fault)) {
            int64_t sum = 0;
            for (size_t i = 0; i < got.n_entries; i++) {
                sum += got.entries[i].amount_cents;
            }
            assert_int_equal(sum, got.credit_cents + got.debit_cents);
        } else {
            assert_true(fault.line >= 1 && fault.reason[0] != '\0');
        }
        free(exact);
        arena_reset(mem);
    }
}

static int setup(void **state) {
    (void)state;
    mem = arena_create(64 << 20);
    strbuf_init(&text, 1 << 20);
    return mem == NULL ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    strbuf_deinit(&text);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_form__as_banks_have_it__same_two_returns),
        TEST(test_form__blank_lines_mark_and_two_files__read),
        TEST(test_form__marks_of_mailboxes_and_mainframes__same_two_returns),
        TEST(test_form__marks_inside_of_records__refused),
        TEST(test_batch__of_an_accounting_system__skipped_and_counted),
        TEST(test_fields__of_no_weight__read),
        TEST(test_totals__not_those_of_the_records__file_refused),
        TEST(test_file__cut_anywhere__refused),
        TEST(test_lines__odd_ones_beside_good_ones__each_its_word),
        TEST(test_lines__several_addenda__counted),
        TEST(test_batch__control_of_another_company__its_lines_are_nobodys),
        TEST(test_change__corrected_data__by_position),
        TEST(test_codes__each_known_one__a_text_of_its_own),
        TEST(test_read__random_damage__adds_up_or_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
