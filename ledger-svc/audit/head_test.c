// Heads: the signature covers every field, a line has one spelling, bad keys are refused.
#include "audit/head.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/test_support.h"

static char dir[] = "/tmp/disburse-head.XXXXXX";
static char key_path[64], public_path[64];

// Writes a new key pair into the folder; appends the public half to public_path.
static head_signer *new_signer(void) {
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    (void)unlink(key_path);
    const int fd = open(key_path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    FILE *f = fdopen(fd, "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    f = fopen(public_path, "a");
    assert_int_equal(PEM_write_PUBKEY(f, key), 1);
    assert_int_equal(fclose(f), 0);
    EVP_PKEY_free(key);
    err e = {0};
    head_signer *s = head_signer_load(key_path, &e);
    assert_non_null(s);
    return s;
}

static int setup(void **state) {
    assert_non_null(mkdtemp(dir));
    (void)snprintf(key_path, sizeof key_path, "%s/key", dir);
    (void)snprintf(public_path, sizeof public_path, "%s/keys", dir);
    (void)state;
    return 0;
}

static int teardown(void **state) {
    (void)unlink(key_path);
    (void)unlink(public_path);
    (void)rmdir(dir);
    (void)state;
    return 0;
}

static tree_head sample(void) {
    const merkle_hash leaf = merkle_leaf("a", 1);
    return (tree_head){.book_id = 1,
                       .size = 1,
                       .root = leaf,
                       .previous_root = merkle_root(&(merkle_tree){0}),
                       .time_us = 5};
}

static void test_signature__covers_every_bit(void **state) {
    head_signer *old = new_signer();
    head_signer *s = new_signer();
    head_keys keys;
    int place = -1;
    assert_true(head_keys_load(&keys, public_path, NULL));
    assert_int_equal(keys.n, 2);
    tree_head h = sample();
    head_sign(s, &h);
    assert_true(head_verify(&h, &keys, &place));
    assert_int_equal(place, 1);
    // Each field by itself, since a struct has padding.
    struct {
        void *at;
        size_t len;
    } fields[] = {
        {&h.book_id, 8},        {&h.size, 8},    {&h.root, 32},  {&h.previous_size, 8},
        {&h.previous_root, 32}, {&h.time_us, 8}, {h.key_id, 32}, {h.signature, HEAD_SIGNATURE_LEN}};
    for (size_t f = 0; f < N_OF(fields); f++) {
        for (size_t bit = 0; bit < 8 * fields[f].len; bit++) {
            uint8_t *byte = (uint8_t *)fields[f].at + bit / 8;
            *byte ^= (uint8_t)(1u << bit % 8);
            assert_false(head_verify(&h, &keys, NULL));
            *byte ^= (uint8_t)(1u << bit % 8);
        }
    }
    // A good signature of a key that is not in the list.
    keys.n = 1;
    assert_false(head_verify(&h, &keys, NULL));
    head_signer_destroy(old);
    head_signer_destroy(s);
    (void)state;
}

static void test_line__has_one_spelling(void **state) {
    head_signer *s = new_signer();
    tree_head h = sample(), read;
    head_sign(s, &h);
    char line[HEAD_LINE_MAX];
    const size_t len = head_line_write(&h, line) - 1;
    assert_int_equal(line[len], '\n');
    assert_true(head_line_read((str){line, len}, &read));
    head_keys keys = {0};
    uint8_t raw[HEAD_KEY_LEN];
    head_signer_public(s, raw);
    assert_true(head_keys_add(&keys, raw));
    assert_true(head_verify(&read, &keys, NULL));
    for (size_t bit = 0; bit < 8 * len; bit++) {
        line[bit / 8] = (char)(line[bit / 8] ^ (1 << bit % 8));
        assert_false(head_line_read((str){line, len}, &read) && head_verify(&read, &keys, NULL));
        line[bit / 8] = (char)(line[bit / 8] ^ (1 << bit % 8));
    }
    for (size_t shorter = 0; shorter < len; shorter++) {
        assert_false(head_line_read((str){line, shorter}, &read));
    }
    head_signer_destroy(s);
    (void)state;
}

static void test_heads__make_a_chain(void **state) {
    tree_head first = sample(), second = sample();
    second.size = 4;
    second.previous_size = 1;
    second.previous_root = first.root;
    second.time_us = 6;
    assert_true(head_follows(&first, NULL));
    assert_true(head_follows(&second, &first));
    assert_false(head_follows(&second, NULL));
    assert_false(head_follows(&first, &second));
    tree_head wrong = second;
    wrong.previous_root.b[0] ^= 1;
    assert_false(head_follows(&wrong, &first));
    wrong = second;
    wrong.time_us = 5;
    assert_false(head_follows(&wrong, &first));
    wrong = second;
    wrong.size = 1;
    assert_false(head_follows(&wrong, &first));
    (void)state;
}

static void test_key__files_that_are_none__refused(void **state) {
    head_keys keys;
    err e = {0};
    assert_false(head_keys_load(&keys, "/nonexistent", &e));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_false(head_keys_load(&keys, key_path, &e)); // a private key is not a public one
    assert_null(head_signer_load(public_path, &e));
    assert_int_equal(chmod(key_path, 0644), 0);
    assert_null(head_signer_load(key_path, &e)); // others may read it
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signature__covers_every_bit),
        cmocka_unit_test(test_line__has_one_spelling),
        cmocka_unit_test(test_heads__make_a_chain),
        cmocka_unit_test(test_key__files_that_are_none__refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
