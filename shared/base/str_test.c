#include "base/str.h"

#include "base/test_support.h"

static void test_str_eq__lengths_and_bytes__compared(void **state) {
    (void)state;
    assert_true(str_eq(STR("ab"), str_of("ab")));
    assert_false(str_eq(STR("ab"), STR("abc")));
    assert_false(str_eq(STR("ab"), STR("ac")));
    assert_true(str_eq(str_of(NULL), STR("")));
    assert_true(str_eq((str){NULL, 0}, STR("")));
    assert_true(str_eq_c((str){"abc", 2}, "ab"));
    assert_false(str_eq_c((str){"a\0b", 3}, "a"));
}

static void test_str_hash__published_vectors__as_published(void **state) {
    (void)state;
    assert_int_equal(str_hash(STR("")), 0x811c9dc5u);
    assert_int_equal(str_hash(STR("a")), 0xe40c292cu);
    assert_int_equal(str_hash(STR("foobar")), 0xbf9cf968u);
}

static void test_str_is_text__well_formed_and_not__as_rfc_3629(void **state) {
    (void)state;
    static const char *const GOOD[] = {"",
                                       "abc",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "z\xc3\xbcrich \xe2\x82\xac"};
    static const char *const BAD[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2 ",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf0\x9f\x92",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xfe",
                                      "abc\xe2\x82x"};
    for (size_t i = 0; i < N_OF(GOOD); i++) {
        assert_true(str_is_text(GOOD[i], strlen(GOOD[i])));
    }
    for (size_t i = 0; i < N_OF(BAD); i++) {
        assert_false(str_is_text(BAD[i], strlen(BAD[i])));
    }
    assert_false(str_is_text("a\0b", 3));
    // Never reads past the length: the last byte would complete the sequence.
    assert_false(str_is_text("\xe2\x82\xac", 2));
}

static void test_str_clip__every_length__whole_characters_only(void **state) {
    (void)state;
    const str text = STR("a\xc3\xbc\xe2\x82\xac\xf0\x90\x80\x80z");
    static const size_t KEPT[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11, 11};
    for (size_t max = 0; max < N_OF(KEPT); max++) {
        const str kept = str_clip(text, max);
        assert_ptr_equal(kept.ptr, text.ptr);
        assert_int_equal(kept.len, KEPT[max]);
        assert_true(str_is_text(kept.ptr, kept.len));
    }
    assert_int_equal(str_clip((str){NULL, 0}, 5).len, 0);
    assert_int_equal(str_clip(STR("\xbf\xbf\xbf"), 2).len, 0);
}

static void test_str_make_plain__what_steers_a_terminal__one_mark_each(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
    } CASES[] = {
        {"Zo\xc3\xab \xe2\x82\xac \xf0\x9f\x99\x82", "Zo\xc3\xab \xe2\x82\xac \xf0\x9f\x99\x82"},
        {"\x1b[2J\x1b]0;x\x07\x7f", "?[2J?]0;x??"},
        {"a\nb\tc\r", "a\nb\tc?"},
        {"\xc2\x9b"
         "2J\xc2\xa0\xc2\x85",
         "?2J\xc2\xa0?"},
        {"\xe2\x80\xae"
         "a\xe2\x81\xa6"
         "b\xe2\x80\xa9\xe2\x81\xaa",
         "?a?b\xe2\x80\xa9\xe2\x81\xaa"},
        {"\xff\x9b\xe2\x82", "????"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%s", CASES[i].from);
        text[str_make_plain(text, strlen(text), "\n\t")] = '\0';
        assert_string_equal(text, CASES[i].to);
        assert_int_equal(str_is_plain(CASES[i].from, strlen(CASES[i].from)), i == 0);
        assert_int_equal(str_is_plain(text, strlen(text)), i != 2);
    }
    assert_int_equal(str_make_plain((char[]){0}, 1, "\n"), 1);
    assert_int_equal(str_make_plain(NULL, 0, ""), 0);
}

static void test_str_to_i64__every_form__exact(void **state) {
    (void)state;
    int64_t v = 0;
    assert_true(str_to_i64(STR("9223372036854775807"), INT64_MIN, INT64_MAX, &v));
    assert_int_equal(v, INT64_MAX);
    assert_true(str_to_i64(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &v));
    assert_int_equal(v, INT64_MIN);
    assert_true(str_to_i64(STR("-0"), -1, 1, &v));
    assert_int_equal(v, 0);
    assert_true(str_to_i64(STR("007"), 0, 7, &v));
    assert_int_equal(v, 7);
    static const char *const BAD[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "1e3",
                                      "0x1",
                                      "--1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999",
                                      "1\n"};
    for (size_t i = 0; i < N_OF(BAD); i++) {
        v = 42;
        assert_false(str_to_i64(str_of(BAD[i]), INT64_MIN, INT64_MAX, &v));
        assert_int_equal(v, 42);
    }
    assert_false(str_to_i64(STR("8"), 0, 7, &v));
    assert_false(str_to_i64(STR("-1"), 0, 7, &v));
    assert_false(str_to_i64((str){"1\0002", 3}, 0, 99, &v));
}

static void test_str_hex__both_ways__round_trip(void **state) {
    (void)state;
    uint8_t bytes[256], back[256];
    char text[513];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    str_hex(bytes, sizeof(bytes), text);
    assert_int_equal(strlen(text), 512);
    assert_true(str_unhex(str_of(text), back, sizeof(back)));
    assert_memory_equal(bytes, back, sizeof(bytes));
    assert_true(str_unhex(STR("FFaB"), back, 2));
    assert_int_equal(back[0], 0xff);
    assert_int_equal(back[1], 0xab);
    assert_false(str_unhex(STR("abc"), back, 1));
    assert_false(str_unhex(STR("abcd"), back, 1));
    assert_false(str_unhex(STR("zz"), back, 1));
    assert_false(str_unhex(STR("0g"), back, 1));
}

static void test_str_base64__rfc_4648_vectors__both_ways(void **state) {
    (void)state;
    static const char *const PAIRS[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xef\xbe", "/+++"}};
    char text[32];
    uint8_t back[32];
    size_t len = 0;
    for (size_t i = 0; i < N_OF(PAIRS); i++) {
        str_base64((const uint8_t *)PAIRS[i][0], strlen(PAIRS[i][0]), text);
        assert_string_equal(text, PAIRS[i][1]);
        assert_true(str_unbase64(str_of(text), back, sizeof(back), &len));
        assert_int_equal(len, strlen(PAIRS[i][0]));
        assert_memory_equal(back, PAIRS[i][0], len);
    }
    static const char *const BAD[] = {"Z",    "Zg",   "Zg=",    "Zg===", "====",     "=g==",
                                      "Zh==", "Zm9=", "Zm9v\n", "Zm-_",  "Zg==Zg==", "Z=g="};
    for (size_t i = 0; i < N_OF(BAD); i++) {
        assert_false(str_unbase64(str_of(BAD[i]), back, sizeof(back), &len));
    }
    assert_false(str_unbase64(STR("Zm9vYmFy"), back, 5, &len));
    assert_true(str_unbase64(STR("Zm9vYmFy"), back, 6, &len));
}

static void test_strbuf__appends__grow_up_to_the_maximum(void **state) {
    (void)state;
    strbuf b;
    strbuf_init(&b, 100);
    assert_string_equal(b.ptr, "");
    strbuf_clear(&b);
    for (int i = 0; i < 10; i++) {
        strbuf_add_c(&b, "12345678");
        strbuf_add_char(&b, '9');
        strbuf_printf(&b, "%d", 0);
    }
    assert_true(strbuf_ok(&b));
    assert_int_equal(b.len, 100);
    assert_int_equal(strlen(b.ptr), 100);
    strbuf_add(&b, NULL, 0);
    assert_true(strbuf_ok(&b));
    strbuf_add_char(&b, 'x');
    assert_false(strbuf_ok(&b));
    assert_int_equal(b.len, 100);
    strbuf_clear(&b);
    assert_true(strbuf_ok(&b));
    strbuf_printf(&b, "%101d", 1);
    assert_false(strbuf_ok(&b));
    // It stays failed: later text is not appended after a gap.
    strbuf_add_c(&b, "x");
    assert_int_equal(b.len, 0);
    strbuf_deinit(&b);
    assert_int_equal(strbuf_str(&b).len, 0);
}

static void test_strbuf_init_fixed__full__fails_without_the_heap(void **state) {
    (void)state;
    char memory[8];
    strbuf b;
    strbuf_init_fixed(&b, memory, sizeof(memory));
    strbuf_add_c(&b, "1234567");
    assert_true(strbuf_ok(&b));
    assert_ptr_equal(b.ptr, memory);
    strbuf_add_char(&b, '8');
    assert_false(strbuf_ok(&b));
    assert_string_equal(memory, "1234567");
    strbuf_deinit(&b);
}

static void test_strbuf_printf__more_than_there_is_room__nothing_of_it(void **state) {
    (void)state;
    char memory[8];
    strbuf b;
    strbuf_init_fixed(&b, memory, sizeof(memory));
    strbuf_printf(&b, "%s%d", "12", 34);
    assert_true(strbuf_ok(&b));
    assert_string_equal(memory, "1234");
    strbuf_printf(&b, "%d", 5678);
    assert_false(strbuf_ok(&b));
    assert_string_equal(memory, "1234");
    strbuf_clear(&b);
    strbuf_printf(&b, "%d", 1234567);
    assert_true(strbuf_ok(&b));
    assert_string_equal(memory, "1234567");
    strbuf_deinit(&b);
}

static void test_strbuf_add_json__every_byte__valid_json(void **state) {
    (void)state;
    strbuf b;
    strbuf_init(&b, 4096);
    strbuf_add_json(&b, (str){"a\"b\\c\n\r\t\b\x1f\0z\x7f", 13});
    assert_string_equal(b.ptr, "\"a\\\"b\\\\c\\n\\r\\t\\u0008\\u001f\\u0000z\x7f\"");
    strbuf_clear(&b);
    strbuf_add_json(&b, STR("\xe2\x82\xac|\xe2\x82|\xff|\xed\xa0\x80"));
    assert_string_equal(b.ptr, "\"\xe2\x82\xac|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd|"
                               "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    strbuf_clear(&b);
    strbuf_add_json(&b, (str){NULL, 0});
    assert_string_equal(b.ptr, "\"\"");
    strbuf_deinit(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str_eq__lengths_and_bytes__compared),
        cmocka_unit_test(test_str_hash__published_vectors__as_published),
        cmocka_unit_test(test_str_is_text__well_formed_and_not__as_rfc_3629),
        cmocka_unit_test(test_str_clip__every_length__whole_characters_only),
        cmocka_unit_test(test_str_make_plain__what_steers_a_terminal__one_mark_each),
        cmocka_unit_test(test_str_to_i64__every_form__exact),
        cmocka_unit_test(test_str_hex__both_ways__round_trip),
        cmocka_unit_test(test_str_base64__rfc_4648_vectors__both_ways),
        cmocka_unit_test(test_strbuf__appends__grow_up_to_the_maximum),
        cmocka_unit_test(test_strbuf_init_fixed__full__fails_without_the_heap),
        cmocka_unit_test(test_strbuf_printf__more_than_there_is_room__nothing_of_it),
        cmocka_unit_test(test_strbuf_add_json__every_byte__valid_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
