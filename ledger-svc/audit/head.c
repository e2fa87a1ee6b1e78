#include "audit/head.h"

#include <endian.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/config.h"
#include "crypto/crypto.h"

enum { KEY_FILE_MAX = 4096 };

#define SIGNED_TAG "disburse-ledger-tree-head-v1\n"
enum { SIGNED_LEN = sizeof SIGNED_TAG - 1 + 8 + 8 + 32 + 8 + 32 + 8 + 32 };

struct head_signer {
    EVP_PKEY *key;
    uint8_t raw[HEAD_KEY_LEN], id[32];
};

bool head_follows(const tree_head *head, const tree_head *previous) {
    const merkle_hash nothing = merkle_root(&(merkle_tree){0});
    return head->size > head->previous_size &&
           head->previous_size == (previous == NULL ? 0 : previous->size) &&
           merkle_equal(&head->previous_root, previous == NULL ? &nothing : &previous->root) &&
           (previous == NULL ||
            (head->book_id == previous->book_id && head->time_us > previous->time_us));
}

// --- What is signed --------------------------------------------------------------------------------------------------

static uint8_t *put(uint8_t *p, const void *bytes, size_t len) {
    memcpy(p, bytes, len);
    return p + len;
}

static uint8_t *put_u64(uint8_t *p, uint64_t v) {
    const uint64_t be = htobe64(v);
    return put(p, &be, sizeof be);
}

static void signed_bytes(const tree_head *h, uint8_t out[SIGNED_LEN]) {
    uint8_t *p = put(out, SIGNED_TAG, sizeof SIGNED_TAG - 1);
    p = put_u64(p, (uint64_t)h->book_id);
    p = put_u64(p, h->size);
    p = put(p, h->root.b, sizeof h->root.b);
    p = put_u64(p, h->previous_size);
    p = put(p, h->previous_root.b, sizeof h->previous_root.b);
    p = put_u64(p, (uint64_t)h->time_us);
    p = put(p, h->key_id, sizeof h->key_id);
    ASSERT(p == out + SIGNED_LEN);
}

// --- Public keys -----------------------------------------------------------------------------------------------------

bool head_keys_add(head_keys *keys, const uint8_t raw[HEAD_KEY_LEN]) {
    if (keys->n == HEAD_KEYS_MAX) {
        return false;
    }
    memcpy(keys->keys[keys->n].raw, raw, HEAD_KEY_LEN);
    crypto_sha256(raw, HEAD_KEY_LEN, keys->keys[keys->n].id);
    keys->n++;
    return true;
}

int head_keys_find(const head_keys *keys, const uint8_t id[32]) {
    for (size_t i = 0; i < keys->n; i++) {
        if (memcmp(keys->keys[i].id, id, 32) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool raw_public(const EVP_PKEY *key, uint8_t raw[HEAD_KEY_LEN]) {
    size_t len = HEAD_KEY_LEN;
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 &&
           EVP_PKEY_get_raw_public_key(key, raw, &len) == 1 && len == HEAD_KEY_LEN;
}

bool head_keys_load(head_keys *keys, const char *path, err *e) {
    memset(keys, 0, sizeof *keys);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_KEY_FILE", "cannot read %.128s", path);
    }
    bool ok = true;
    for (EVP_PKEY *key; ok && (key = PEM_read_PUBKEY(file, NULL, NULL, NULL)) != NULL;) {
        uint8_t raw[HEAD_KEY_LEN];
        ok = raw_public(key, raw) && head_keys_add(keys, raw);
        EVP_PKEY_free(key);
    }
    (void)fclose(file);
    return (ok && keys->n > 0) ||
           err_set(e, ERR_INVALID_ARGUMENT, "BAD_KEY_FILE",
                   "%.128s must hold 1 to %d Ed25519 public keys as PEM", path, HEAD_KEYS_MAX);
}

bool head_verify(const tree_head *head, const head_keys *keys, int *place) {
    const int i = head_keys_find(keys, head->key_id);
    if (i < 0) {
        return false;
    }
    uint8_t bytes[SIGNED_LEN];
    signed_bytes(head, bytes);
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, keys->keys[i].raw, HEAD_KEY_LEN);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const bool ok =
        key != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
        EVP_DigestVerify(ctx, head->signature, HEAD_SIGNATURE_LEN, bytes, sizeof bytes) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (ok && place != NULL) {
        *place = i;
    }
    return ok;
}

// --- The key that signs ----------------------------------------------------------------------------------------------

head_signer *head_signer_load(const char *path, err *e) {
    char *pem = NULL;
    size_t pem_len = 0;
    head_signer *s = NULL;
    if (!config_read_secret(path, KEY_FILE_MAX, &pem, &pem_len, e)) {
        return NULL;
    }
    BIO *bio = BIO_new_mem_buf(pem, (int)pem_len);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    uint8_t raw[HEAD_KEY_LEN];
    if (key != NULL && raw_public(key, raw)) {
        s = calloc(1, sizeof *s);
        ASSERT(s != NULL);
        s->key = key;
        memcpy(s->raw, raw, sizeof raw);
        crypto_sha256(raw, sizeof raw, s->id);
    } else {
        EVP_PKEY_free(key);
        (void)err_set(e, ERR_INVALID_ARGUMENT, "BAD_KEY_FILE",
                      "%.128s must hold an Ed25519 private key as PEM", path);
    }
    BIO_free(bio);
    config_wipe(pem, pem_len);
    return s;
}

void head_signer_destroy(head_signer *s) {
    if (s != NULL) {
        EVP_PKEY_free(s->key); // wipes it
        free(s);
    }
}

void head_signer_public(const head_signer *s, uint8_t raw[HEAD_KEY_LEN]) {
    memcpy(raw, s->raw, HEAD_KEY_LEN);
}

void head_sign(head_signer *s, tree_head *head) {
    uint8_t bytes[SIGNED_LEN];
    size_t len = HEAD_SIGNATURE_LEN;
    memcpy(head->key_id, s->id, sizeof s->id);
    signed_bytes(head, bytes);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    MUST(ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, s->key) == 1);
    MUST(EVP_DigestSign(ctx, head->signature, &len, bytes, sizeof bytes) == 1);
    ASSERT(len == HEAD_SIGNATURE_LEN);
    EVP_MD_CTX_free(ctx);
}

// --- The line --------------------------------------------------------------------------------------------------------

size_t head_line_write(const tree_head *h, char out[HEAD_LINE_MAX]) {
    char root[65], previous_root[65], key_id[65], signature[2 * HEAD_SIGNATURE_LEN + 1];
    str_hex(h->root.b, sizeof h->root.b, root);
    str_hex(h->previous_root.b, sizeof h->previous_root.b, previous_root);
    str_hex(h->key_id, sizeof h->key_id, key_id);
    str_hex(h->signature, sizeof h->signature, signature);
    const int n = snprintf(
        out, HEAD_LINE_MAX,
        "{\"book_id\":%lld,\"tree_size\":%llu,\"root_hash\":\"%s\",\"previous_tree_size\":%llu,"
        "\"previous_root_hash\":\"%s\",\"timestamp_us\":%lld,\"key_id\":\"%s\",\"signature\":\"%"
        "s\"}\n",
        (long long)h->book_id, (unsigned long long)h->size, root,
        (unsigned long long)h->previous_size, previous_root, (long long)h->time_us, key_id,
        signature);
    ASSERT(n > 0 && n < HEAD_LINE_MAX);
    return (size_t)n;
}

// Takes the text off the front.
static bool take(str *rest, const char *text) {
    const size_t len = strlen(text);
    if (rest->len < len || memcmp(rest->ptr, text, len) != 0) {
        return false;
    }
    *rest = (str){rest->ptr + len, rest->len - len};
    return true;
}

static bool take_number(str *rest, const char *name, int64_t *out) {
    if (!take(rest, name)) {
        return false;
    }
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] >= '0' && rest->ptr[len] <= '9') {
        len++;
    }
    const bool ok = str_to_i64((str){rest->ptr, len}, 0, INT64_MAX, out);
    *rest = (str){rest->ptr + len, rest->len - len};
    return ok;
}

static bool take_hex(str *rest, const char *name, uint8_t *out, size_t out_len) {
    if (!take(rest, name) || rest->len < 2 * out_len ||
        !str_unhex((str){rest->ptr, 2 * out_len}, out, out_len)) {
        return false;
    }
    *rest = (str){rest->ptr + 2 * out_len, rest->len - 2 * out_len};
    return true;
}

bool head_line_read(str line, tree_head *h) {
    str rest = line;
    int64_t size = 0, previous_size = 0;
    if (!take_number(&rest, "{\"book_id\":", &h->book_id) ||
        !take_number(&rest, ",\"tree_size\":", &size) ||
        !take_hex(&rest, ",\"root_hash\":\"", h->root.b, sizeof h->root.b) ||
        !take_number(&rest, "\",\"previous_tree_size\":", &previous_size) ||
        !take_hex(&rest, ",\"previous_root_hash\":\"", h->previous_root.b,
                  sizeof h->previous_root.b) ||
        !take_number(&rest, "\",\"timestamp_us\":", &h->time_us) ||
        !take_hex(&rest, ",\"key_id\":\"", h->key_id, sizeof h->key_id) ||
        !take_hex(&rest, "\",\"signature\":\"", h->signature, sizeof h->signature) ||
        !take(&rest, "\"}") || rest.len != 0) {
        return false;
    }
    h->size = (uint64_t)size;
    h->previous_size = (uint64_t)previous_size;
    // Numbers and hex have more than one spelling: only ours counts.
    char ours[HEAD_LINE_MAX];
    const size_t len = head_line_write(h, ours) - 1;
    return len == line.len && memcmp(ours, line.ptr, len) == 0;
}
