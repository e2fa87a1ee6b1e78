#include "base/uuid.h"

#include <pthread.h>

#include "base/test_support.h"

static void test_uuid_v7__one_instant__ordered_with_version_and_variant(void **state) {
    (void)state;
    test_uuid_v7_reset();
    test_clock t;
    test_clock_init(&t, INT64_C(1795254120123456), 1);
    uuid last = uuid_v7(&t.source);
    assert_int_equal(last.b[6] >> 4, 7);
    assert_int_equal(last.b[8] >> 6, 2);
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | last.b[i];
    }
    assert_int_equal(ms, INT64_C(1795254120123));
    // More ids than the counter's 4096 values: time is borrowed, and the order stays.
    for (int i = 0; i < 10000; i++) {
        uuid next = uuid_v7(&t.source);
        assert_true(uuid_cmp(last, next) < 0);
        assert_int_equal(next.b[6] >> 4, 7);
        last = next;
    }
}

static void test_uuid_v7__clock_steps_back__order_is_kept(void **state) {
    (void)state;
    test_uuid_v7_reset();
    test_clock t;
    test_clock_init(&t, INT64_C(1795254120000000), 1);
    uuid first = uuid_v7(&t.source);
    t.now_us -= 3600 * INT64_C(1000000);
    uuid second = uuid_v7(&t.source);
    assert_true(uuid_cmp(first, second) < 0);
    t.now_us += 7200 * INT64_C(1000000);
    assert_true(uuid_cmp(second, uuid_v7(&t.source)) < 0);
}

static void test_uuid_v7__reset_and_same_seed__same_ids(void **state) {
    (void)state;
    uuid ids[2];
    for (int i = 0; i < 2; i++) {
        test_uuid_v7_reset();
        test_clock t;
        test_clock_init(&t, 5000000, 9);
        (void)uuid_v7(&t.source);
        ids[i] = uuid_v7(&t.source);
    }
    assert_true(uuid_eq(ids[0], ids[1]));
}

enum { N_THREADS = 4, N_IDS = 5000 };
static uuid ids[N_THREADS][N_IDS];
static const size_t N_ALL = (size_t)N_THREADS * N_IDS;

static void *make_ids(void *arg) {
    uuid *out = arg;
    for (int i = 0; i < N_IDS; i++) {
        out[i] = uuid_v7(clock_system());
    }
    return NULL;
}

static int compare(const void *a, const void *b) {
    return uuid_cmp(*(const uuid *)a, *(const uuid *)b);
}

static void test_uuid_v7__threads__each_ordered_and_all_unique(void **state) {
    (void)state;
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        for (int k = 1; k < N_IDS; k++) {
            assert_true(uuid_cmp(ids[i][k - 1], ids[i][k]) < 0);
        }
    }
    qsort(ids, N_ALL, sizeof(uuid), compare);
    const uuid *all = (const uuid *)ids;
    for (size_t i = 1; i < N_ALL; i++) {
        assert_false(uuid_eq(all[i - 1], all[i]));
    }
}

static void assert_text(uuid id, const char *want) {
    char text[UUID_TEXT_LEN + 1];
    uuid_format(id, text);
    assert_string_equal(text, want);
}

// The expected values were computed with Python's hashlib.
static void test_uuid_derive__parts__sha256_of_length_and_bytes(void **state) {
    (void)state;
    const str parts[] = {STR("saga"), STR("reserve"), STR("1")};
    assert_text(uuid_derive(parts, 3), "4298c005-3081-8e84-9fa1-085bcd6fdba0");
    // The same bytes with another split are another name.
    const str shifted[] = {STR("sag"), STR("areserve"), STR("1")};
    assert_text(uuid_derive(shifted, 3), "5a639a2f-3b83-8937-8331-16b8118c21a6");
    assert_text(uuid_derive(NULL, 0), "e3b0c442-98fc-8c14-9afb-f4c8996fb924");
    const str empty[] = {{NULL, 0}};
    assert_false(uuid_eq(uuid_derive(empty, 1), uuid_derive(NULL, 0)));
}

static void test_uuid_parse__forms__canonical_only(void **state) {
    (void)state;
    uuid id;
    assert_true(uuid_parse(STR("0190A3F2-7b1c-7def-8abc-0123456789AB"), &id));
    assert_text(id, "0190a3f2-7b1c-7def-8abc-0123456789ab");
    static const char *const BAD[] = {"",
                                      "0190a3f2-7b1c-7def-8abc-0123456789a",
                                      "0190a3f2-7b1c-7def-8abc-0123456789abc",
                                      "0190a3f27b1c7def8abc0123456789ab",
                                      "{0190a3f2-7b1c-7def-8abc-0123456789}",
                                      "0190a3f2_7b1c-7def-8abc-0123456789ab",
                                      "0190a3f2-7b1c-7def-8abc-0123456789ag",
                                      "0190a3f-27b1c-7def-8abc-0123456789ab",
                                      " 190a3f2-7b1c-7def-8abc-0123456789ab"};
    for (size_t i = 0; i < N_OF(BAD); i++) {
        assert_false(uuid_parse(str_of(BAD[i]), &id));
    }
    arena *a = arena_create(4096);
    assert_string_equal(uuid_text(a, id), "0190a3f2-7b1c-7def-8abc-0123456789ab");
    arena_destroy(a);
}

static void test_uuid_nil_and_max__recognised(void **state) {
    (void)state;
    uuid id;
    assert_true(uuid_parse(STR("00000000-0000-0000-0000-000000000000"), &id));
    assert_true(uuid_is_nil(id));
    assert_false(uuid_is_max(id));
    assert_true(uuid_parse(STR("ffffffff-ffff-ffff-ffff-ffffffffffff"), &id));
    assert_true(uuid_is_max(id));
    assert_false(uuid_is_nil(id));
}

// Keys that differ in one bit must spread: the map depends on it.
static void test_uuid_hash__one_bit_apart__differs_in_low_and_high_bits(void **state) {
    (void)state;
    uuid zero = {{0}};
    uint64_t base = uuid_hash(zero);
    assert_true(base == uuid_hash(zero));
    int64_t changed = 0;
    for (int bit = 0; bit < 128; bit++) {
        uuid id = zero;
        id.b[bit / 8] = (uint8_t)(1u << (bit % 8));
        changed += __builtin_popcountll(base ^ uuid_hash(id));
    }
    assert_in_range(changed / 128, 28, 36);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid_v7__one_instant__ordered_with_version_and_variant),
        cmocka_unit_test(test_uuid_v7__clock_steps_back__order_is_kept),
        cmocka_unit_test(test_uuid_v7__reset_and_same_seed__same_ids),
        cmocka_unit_test(test_uuid_v7__threads__each_ordered_and_all_unique),
        cmocka_unit_test(test_uuid_derive__parts__sha256_of_length_and_bytes),
        cmocka_unit_test(test_uuid_parse__forms__canonical_only),
        cmocka_unit_test(test_uuid_nil_and_max__recognised),
        cmocka_unit_test(test_uuid_hash__one_bit_apart__differs_in_low_and_high_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
