// The data keys and the envelope that values rest in.
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/log.h"
#include "crypto/crypto.h"
#include "crypto/crypto_internal.h"

enum {
    ENVELOPE_VERSION = 1,
    KEY_LEN = 32,
    KEY_ID_LEN_MAX = 32,
    KEYS_MAX = 32,
    NONCE_LEN = 12,
    TAG_LEN = 16,
    HEADER_LEN = 2, // version, key id length
    MAC_VERSION = 1,
    MAC_LEN = 32,
    KEY_FILE_LEN_MAX = KEYS_MAX * (KEY_ID_LEN_MAX + 1 + 2 * KEY_LEN + 1)
};

typedef struct data_key {
    uint8_t id_len;
    char id[KEY_ID_LEN_MAX];
    uint8_t key[KEY_LEN];
    uint8_t mac_key[MAC_LEN]; // derived, so that no key has two uses
} data_key;

// All of it stands in locked pages of its own.
struct crypto_keyring {
    size_t mapped_len;
    EVP_CIPHER *cipher;
    size_t n;
    data_key keys[KEYS_MAX]; // the last one seals
};

// --- Loading ---------------------------------------------------------------------------------------------------------

static crypto_keyring *keyring_map(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t len = (sizeof(crypto_keyring) + page - 1) / page * page;
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(at != MAP_FAILED);
    if (mlock(at, len) != 0) {
        log_warn("crypto.keys_not_locked", F_STR("hint", "raise RLIMIT_MEMLOCK"));
    }
    if (madvise(at, len, MADV_DONTDUMP) != 0) {
        log_warn("crypto.keys_in_core_dumps");
    }
    crypto_keyring *k = at;
    k->mapped_len = len;
    return k;
}

static bool is_key_id(str s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    return s.len > 0 && s.len <= KEY_ID_LEN_MAX;
}

static const data_key *find_key(const crypto_keyring *k, str id) {
    for (size_t i = 0; i < k->n; i++) {
        if (str_eq(id, (str){k->keys[i].id, k->keys[i].id_len})) {
            return &k->keys[i];
        }
    }
    return NULL;
}

// One line, without its end. What it holds is never quoted.
static bool add_line(crypto_keyring *k, str line, size_t number, err *e) {
    const char *blank = memchr(line.ptr, ' ', line.len);
    const char *why = NULL;
    if (k->n == KEYS_MAX) {
        why = "has too many keys";
    } else if (blank == NULL) {
        why = "is not \"<key id> <64 hex digits>\"";
    } else {
        str id = {line.ptr, (size_t)(blank - line.ptr)};
        str hex = {blank + 1, line.len - id.len - 1};
        data_key *d = &k->keys[k->n];
        if (!is_key_id(id) || !str_unhex(hex, d->key, KEY_LEN)) {
            why = "is not \"<key id> <64 hex digits>\"";
        } else if (find_key(k, id) != NULL) {
            why = "repeats a key id";
        } else {
            d->id_len = (uint8_t)id.len;
            memcpy(d->id, id.ptr, id.len);
            crypto_hmac_sha256((str){(const char *)d->key, KEY_LEN}, STR("disburse mac 1"),
                               d->mac_key);
            k->n++;
        }
    }
    if (why != NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "KEY_FILE", "line %zu of the key file %s", number,
                       why);
    }
    return true;
}

crypto_keyring *crypto_keyring_load(const char *path, err *e) {
    char *text = NULL;
    size_t len = 0;
    if (!config_read_secret(path, KEY_FILE_LEN_MAX, &text, &len, e)) {
        return NULL;
    }
    crypto_keyring *k = keyring_map();
    k->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    ASSERT(k->cipher != NULL);
    bool ok = true;
    size_t number = 0;
    for (size_t at = 0; ok && at < len; number++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line_len = end == NULL ? len - at : (size_t)(end - text) - at;
        ok = add_line(k, (str){text + at, line_len}, number + 1, e);
        at += line_len + 1;
    }
    config_wipe(text, len);
    if (!ok) {
        crypto_keyring_destroy(k);
        return NULL;
    }
    ASSERT(k->n > 0);
    return k;
}

void crypto_keyring_destroy(crypto_keyring *k) {
    if (k == NULL) {
        return;
    }
    EVP_CIPHER_free(k->cipher);
    size_t len = k->mapped_len;
    explicit_bzero(k, len);
    (void)munmap(k, len);
}

// --- MACs ------------------------------------------------------------------------------------------------------------

// The purpose ends with a NUL, so that purpose and data can never be confused.
static void mac_under(const data_key *d, const char *purpose, const str *parts, size_t n_parts,
                      uint8_t out[MAC_LEN]) {
    str all[1 + CRYPTO_MAC_PARTS_MAX] = {{purpose, strlen(purpose) + 1}};
    ASSERT(n_parts <= CRYPTO_MAC_PARTS_MAX);
    memcpy(all + 1, parts, n_parts * sizeof parts[0]);
    crypto_hmac_parts((str){(const char *)d->mac_key, MAC_LEN}, all, 1 + n_parts, out);
}

void crypto_mac_make(const crypto_keyring *k, const char *purpose, const str *parts, size_t n_parts,
                     crypto_mac *mac) {
    const data_key *d = &k->keys[k->n - 1];
    mac->bytes[0] = MAC_VERSION;
    mac->bytes[1] = d->id_len;
    memcpy(mac->bytes + HEADER_LEN, d->id, d->id_len);
    mac->len = (size_t)HEADER_LEN + d->id_len + MAC_LEN;
    mac_under(d, purpose, parts, n_parts, mac->bytes + HEADER_LEN + d->id_len);
}

bool crypto_mac_matches(const crypto_keyring *k, const char *purpose, const str *parts,
                        size_t n_parts, str kept, bool *matches, err *e) {
    const uint8_t *in = (const uint8_t *)kept.ptr;
    *matches = false;
    if (kept.len < HEADER_LEN || in[0] != MAC_VERSION ||
        kept.len != (size_t)HEADER_LEN + in[1] + MAC_LEN) {
        (void)err_set(e, ERR_DATA_LOSS, "KEPT_MAC", "a kept value cannot be compared");
        return err_detail(e, "not a MAC of this version");
    }
    const data_key *d = find_key(k, (str){kept.ptr + HEADER_LEN, in[1]});
    if (d == NULL) {
        (void)err_set(e, ERR_DATA_LOSS, "KEPT_MAC", "a kept value cannot be compared");
        return err_detail(e, "its key is not in the ring");
    }
    uint8_t mac[MAC_LEN];
    mac_under(d, purpose, parts, n_parts, mac);
    *matches = crypto_equal(mac, in + HEADER_LEN + in[1], MAC_LEN);
    return true;
}

// --- The envelope ----------------------------------------------------------------------------------------------------

bool crypto_seal(crypto_keyring *k, str aad, str plain, arena *a, str *sealed, err *e) {
    const data_key *d = &k->keys[k->n - 1];
    if (plain.len > CRYPTO_VALUE_MAX || aad.len > CRYPTO_VALUE_MAX) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "VALUE_TOO_LARGE",
                       "a value is too large to seal");
    }
    size_t head_len = HEADER_LEN + (size_t)d->id_len;
    size_t len = head_len + NONCE_LEN + plain.len + TAG_LEN;
    uint8_t *out = arena_alloc(a, len);
    if (out == NULL) {
        return err_no_memory(e, "the request");
    }
    out[0] = ENVELOPE_VERSION;
    out[1] = d->id_len;
    memcpy(out + HEADER_LEN, d->id, d->id_len);
    uint8_t *nonce = out + head_len;
    uint8_t *body = nonce + NONCE_LEN;
    int n = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    ASSERT(ctx != NULL);
    // None of these can fail but for a broken library: then nothing may be stored as if it were sealed.
    MUST(RAND_bytes(nonce, NONCE_LEN) == 1);
    MUST(EVP_EncryptInit_ex2(ctx, k->cipher, d->key, nonce, NULL) == 1);
    MUST(EVP_EncryptUpdate(ctx, NULL, &n, out, (int)head_len) == 1);
    MUST(aad.len == 0 ||
         EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)aad.ptr, (int)aad.len) == 1);
    n = 0;
    MUST(plain.len == 0 ||
         EVP_EncryptUpdate(ctx, body, &n, (const uint8_t *)plain.ptr, (int)plain.len) == 1);
    ASSERT((size_t)n == plain.len);
    MUST(EVP_EncryptFinal_ex(ctx, body + n, &n) == 1 && n == 0);
    MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, body + plain.len) == 1);
    EVP_CIPHER_CTX_free(ctx);
    *sealed = (str){(const char *)out, len};
    return true;
}

static bool does_not_open(err *e, const char *why) {
    (void)err_set(e, ERR_DATA_LOSS, "SEALED_VALUE", "a stored value cannot be read");
    return err_detail(e, "%s", why);
}

bool crypto_open(crypto_keyring *k, str aad, str sealed, arena *a, str *plain, err *e) {
    const uint8_t *in = (const uint8_t *)sealed.ptr;
    if (sealed.len < HEADER_LEN || in[0] != ENVELOPE_VERSION ||
        sealed.len > (size_t)CRYPTO_VALUE_MAX + 256 || aad.len > CRYPTO_VALUE_MAX) {
        return does_not_open(e, "not an envelope of this version");
    }
    size_t head_len = HEADER_LEN + (size_t)in[1];
    if (sealed.len < head_len + NONCE_LEN + TAG_LEN) {
        return does_not_open(e, "the envelope is cut short");
    }
    const data_key *d = find_key(k, (str){sealed.ptr + HEADER_LEN, in[1]});
    if (d == NULL) {
        return does_not_open(e, "its key is not in the ring");
    }
    const uint8_t *nonce = in + head_len;
    const uint8_t *body = nonce + NONCE_LEN;
    size_t len = sealed.len - head_len - NONCE_LEN - TAG_LEN;
    uint8_t tag[TAG_LEN];
    memcpy(tag, body + len, TAG_LEN);
    uint8_t *out = arena_alloc(a, len + 1); // never NULL for an empty value
    if (out == NULL) {
        return err_no_memory(e, "the request");
    }
    int n = 0;
    int n_out = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    ASSERT(ctx != NULL);
    MUST(EVP_DecryptInit_ex2(ctx, k->cipher, d->key, nonce, NULL) == 1);
    MUST(EVP_DecryptUpdate(ctx, NULL, &n, in, (int)head_len) == 1);
    MUST(aad.len == 0 ||
         EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)aad.ptr, (int)aad.len) == 1);
    MUST(len == 0 || EVP_DecryptUpdate(ctx, out, &n_out, body, (int)len) == 1);
    MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1);
    bool ok = EVP_DecryptFinal_ex(ctx, out + n_out, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok) {
        explicit_bzero(out, len); // what was not authenticated is nobody's to see
        return does_not_open(e, "the value or its place was changed");
    }
    *plain = (str){(const char *)out, len};
    return true;
}
