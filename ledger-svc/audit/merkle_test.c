// The tree against the known vectors of Certificate Transparency, and against the definition of the RFC written out as
// recursion, for every size up to 200.
#include "audit/merkle.h"

#include <string.h>

#include "base/str.h"
#include "base/test_support.h"

enum { LEAVES_MAX = 200 };

static merkle_hash leaves[LEAVES_MAX];
static merkle_hash roots[LEAVES_MAX + 1]; // by merkle_append

// RFC 6962, 2.1, word by word.
static merkle_hash mth(size_t begin, size_t end) {
    if (begin == end) {
        return merkle_root(&(merkle_tree){0});
    }
    if (end - begin == 1) {
        return leaves[begin];
    }
    size_t k = 1;
    while (2 * k < end - begin) {
        k *= 2;
    }
    const merkle_hash left = mth(begin, begin + k), right = mth(begin + k, end);
    return merkle_node(&left, &right);
}

static bool read_subtree(void *arg, unsigned level, uint64_t index, merkle_hash *out, err *e) {
    const uint64_t *size = arg;
    assert_true(index + 1 <= *size >> level); // a complete subtree, inside of the tree
    *out = mth(index << level, (index + 1) << level);
    (void)e;
    return true;
}

static int setup(void **state) {
    merkle_tree t = {0};
    for (size_t i = 0; i < LEAVES_MAX; i++) {
        const uint8_t data[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        leaves[i] = merkle_leaf(data, sizeof data);
        roots[i] = merkle_root(&t);
        merkle_append(&t, &leaves[i], NULL, NULL);
    }
    roots[LEAVES_MAX] = merkle_root(&t);
    (void)state;
    return 0;
}

static void expect_hex(const merkle_hash *h, const char *hex) {
    char text[65];
    str_hex(h->b, sizeof h->b, text);
    assert_string_equal(text, hex);
}

// The eight inputs and roots that Certificate Transparency implementations test with.
static void test_root__known_vectors__as_published(void **state) {
    static const char *const INPUTS[8] = {"",
                                          "00",
                                          "10",
                                          "2021",
                                          "3031",
                                          "40414243",
                                          "5051525354555657",
                                          "606162636465666768696a6b6c6d6e6f"};
    static const char *const ROOTS[8] = {
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    merkle_tree t = {0};
    const merkle_hash empty = merkle_root(&t);
    expect_hex(&empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < 8; i++) {
        uint8_t data[16];
        const size_t len = strlen(INPUTS[i]) / 2;
        assert_true(str_unhex(str_of(INPUTS[i]), data, len));
        const merkle_hash leaf = merkle_leaf(data, len);
        merkle_append(&t, &leaf, NULL, NULL);
        const merkle_hash root = merkle_root(&t);
        expect_hex(&root, ROOTS[i]);
    }
    (void)state;
}

static void test_root__of_every_size__is_that_of_the_definition(void **state) {
    for (uint64_t n = 0; n <= LEAVES_MAX; n++) {
        const merkle_hash expected = mth(0, n);
        assert_true(merkle_equal(&roots[n], &expected));
        merkle_tree t;
        assert_true(merkle_load(&t, n, read_subtree, &n, NULL));
        const merkle_hash loaded = merkle_root(&t);
        assert_true(merkle_equal(&loaded, &expected));
    }
    (void)state;
}

typedef struct completed {
    size_t n;
} completed;

static void on_complete(void *arg, unsigned level, uint64_t index, const merkle_hash *hash) {
    completed *c = arg;
    const merkle_hash expected = mth(index << level, (index + 1) << level);
    assert_true(level >= 1 && merkle_equal(hash, &expected));
    c->n++;
}

static void test_append__names_each_completed_subtree(void **state) {
    merkle_tree t = {0};
    completed c = {0};
    for (size_t i = 0; i < 128; i++) {
        merkle_append(&t, &leaves[i], on_complete, &c);
    }
    assert_int_equal(c.n, 127);
    (void)state;
}

// Every way to be a little wrong: another index, size, leaf, root; a hash changed, missing, added.
static void expect_inclusion_refuses(uint64_t index, uint64_t size, const merkle_proof *good) {
    const merkle_hash *leaf = &leaves[index], *root = &roots[size];
    merkle_proof p = *good;
    const merkle_hash other = leaves[(index + 1) % LEAVES_MAX];
    assert_false(merkle_verify_inclusion(index, size, &other, &p, root));
    assert_false(merkle_verify_inclusion(index, size, leaf, &p, &roots[size - 1]));
    assert_false(merkle_verify_inclusion(size, size, leaf, &p, root));
    if (size > 1) {
        assert_false(merkle_verify_inclusion((index + 1) % size, size, leaf, &p, root));
        p.hashes[index % p.n].b[index % 32] ^= 1;
        assert_false(merkle_verify_inclusion(index, size, leaf, &p, root));
        p = *good;
        p.n--;
        assert_false(merkle_verify_inclusion(index, size, leaf, &p, root));
    }
    p = *good;
    p.hashes[p.n++] = other;
    assert_false(merkle_verify_inclusion(index, size, leaf, &p, root));
}

static void test_inclusion__every_leaf_in_every_size__is_proven(void **state) {
    for (uint64_t size = 1; size <= LEAVES_MAX; size++) {
        for (uint64_t index = 0; index < size; index++) {
            merkle_proof p;
            assert_true(merkle_prove_inclusion(index, size, read_subtree, &size, &p, NULL));
            assert_true(merkle_verify_inclusion(index, size, &leaves[index], &p, &roots[size]));
            expect_inclusion_refuses(index, size, &p);
        }
    }
    merkle_proof p;
    err e = {0};
    uint64_t size = 5;
    assert_false(merkle_prove_inclusion(5, 5, read_subtree, &size, &p, &e));
    assert_int_equal(e.code, ERR_OUT_OF_RANGE);
    (void)state;
}

static void expect_consistency_refuses(uint64_t first, uint64_t second, const merkle_proof *good) {
    merkle_proof p = *good;
    const merkle_hash other = merkle_leaf("other", 5);
    assert_false(merkle_verify_consistency(first, second, &other, &roots[second], &p));
    // Every tree begins with the empty one: first == 0 says nothing of the second root.
    assert_int_equal(merkle_verify_consistency(first, second, &roots[first], &other, &p),
                     first == 0 && second != 0);
    if (second > first) {
        assert_false(merkle_verify_consistency(second, first, &roots[second], &roots[first], &p));
    }
    if (p.n > 0) {
        p.hashes[(first + second) % p.n].b[first % 32] ^= 0x80;
        assert_false(merkle_verify_consistency(first, second, &roots[first], &roots[second], &p));
        p = *good;
        p.n--;
        assert_false(merkle_verify_consistency(first, second, &roots[first], &roots[second], &p));
    }
    p = *good;
    p.hashes[p.n++] = other;
    assert_false(merkle_verify_consistency(first, second, &roots[first], &roots[second], &p));
}

static void test_consistency__every_pair_of_sizes__is_proven(void **state) {
    for (uint64_t second = 0; second <= LEAVES_MAX; second++) {
        for (uint64_t first = 0; first <= second; first++) {
            merkle_proof p;
            assert_true(merkle_prove_consistency(first, second, read_subtree, &second, &p, NULL));
            assert_true(
                merkle_verify_consistency(first, second, &roots[first], &roots[second], &p));
            expect_consistency_refuses(first, second, &p);
        }
    }
    (void)state;
}

// The fault of GHSA-672p-m5jq-mrh8: a proof whose ends are right and whose middle is forged.
static void test_consistency__forged_middle__refused(void **state) {
    for (uint64_t second = 3; second <= LEAVES_MAX; second++) {
        merkle_proof p;
        const uint64_t first = second / 2 + 1;
        assert_true(merkle_prove_consistency(first, second, read_subtree, &second, &p, NULL));
        for (size_t i = 0; i < p.n; i++) {
            merkle_proof forged = p;
            forged.hashes[i] = leaves[0];
            if (!merkle_equal(&forged.hashes[i], &p.hashes[i])) {
                assert_false(merkle_verify_consistency(first, second, &roots[first], &roots[second],
                                                       &forged));
            }
        }
    }
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root__known_vectors__as_published),
        cmocka_unit_test(test_root__of_every_size__is_that_of_the_definition),
        cmocka_unit_test(test_append__names_each_completed_subtree),
        cmocka_unit_test(test_inclusion__every_leaf_in_every_size__is_proven),
        cmocka_unit_test(test_consistency__every_pair_of_sizes__is_proven),
        cmocka_unit_test(test_consistency__forged_middle__refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
