// The data keys and the envelope that values rest in.
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
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
    KEY_ID_LEN_MAX = CRYPTO_KEY_ID_MAX,
    KEYS_MAX = CRYPTO_KEYS_MAX,
    NONCE_LEN = 12,
    TAG_LEN = 16,
    HEADER_LEN = 2, // version, key id length
    MAC_VERSION = 1,
    MAC_LEN = 32,
    // With the word "mac", and the line of the current key.
    KEY_FILE_LEN_MAX = (KEYS_MAX + 1) * (KEY_ID_LEN_MAX + 5 + 2 * KEY_LEN + 1)
};

typedef struct data_key {
    bool opens; // false: key is empty
    uint8_t id_len;
    char id[KEY_ID_LEN_MAX];
    uint8_t key[KEY_LEN];
    uint8_t mac_key[MAC_LEN]; // derived, so that no key has two uses
} data_key;

// All of it stands in locked pages of its own.
typedef struct key_set {
    size_t mapped_len;
    size_t n, current; // current seals
    data_key keys[KEYS_MAX];
} key_set;

struct crypto_keyring {
    EVP_CIPHER *cipher;
    pthread_rwlock_t lock; // guards set: held for writing only while it is exchanged
    key_set *set;
};

static const key_set *hold(const crypto_keyring *k) {
    MUST(pthread_rwlock_rdlock((pthread_rwlock_t *)(uintptr_t)&k->lock) == 0);
    return k->set;
}

static void let_go(const crypto_keyring *k) {
    MUST(pthread_rwlock_unlock((pthread_rwlock_t *)(uintptr_t)&k->lock) == 0);
}

// --- Loading ---------------------------------------------------------------------------------------------------------

static key_set *set_map(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t len = (sizeof(key_set) + page - 1) / page * page;
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(at != MAP_FAILED);
    if (mlock(at, len) != 0) {
        log_warn("crypto.keys_not_locked", F_STR("hint", "raise RLIMIT_MEMLOCK"));
    }
    if (madvise(at, len, MADV_DONTDUMP) != 0) {
        log_warn("crypto.keys_in_core_dumps");
    }
    key_set *set = at;
    set->mapped_len = len;
    return set;
}

static void set_wipe(key_set *set) {
    size_t len = set->mapped_len;
    explicit_bzero(set, len);
    (void)munmap(set, len);
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

static const data_key *find_key(const key_set *set, str id) {
    for (size_t i = 0; i < set->n; i++) {
        if (str_eq(id, (str){set->keys[i].id, set->keys[i].id_len})) {
            return &set->keys[i];
        }
    }
    return NULL;
}

// What a line says behind the key's id.
static const char *add_key(key_set *set, str id, str rest) {
    static const char FORM[] = "is not \"<key id> <64 hex digits>\"";
    const str mac = STR("mac ");
    const bool opens = rest.len < mac.len || memcmp(rest.ptr, mac.ptr, mac.len) != 0;
    if (set->n == KEYS_MAX) {
        return "has too many keys";
    }
    data_key *d = &set->keys[set->n];
    const str hex = opens ? rest : (str){rest.ptr + mac.len, rest.len - mac.len};
    if (!is_key_id(id) || !str_unhex(hex, opens ? d->key : d->mac_key, KEY_LEN)) {
        return FORM;
    }
    if (find_key(set, id) != NULL) {
        return "repeats a key id";
    }
    d->opens = opens;
    d->id_len = (uint8_t)id.len;
    memcpy(d->id, id.ptr, id.len);
    if (opens) {
        crypto_hmac_sha256((str){(const char *)d->key, KEY_LEN}, STR("disburse mac 1"), d->mac_key);
    }
    set->n++;
    return NULL;
}

// One line, without its end. What it holds is never quoted. *current: what a line says of it, in the text.
static bool add_line(key_set *set, str line, size_t number, str *current, err *e) {
    const char *blank = memchr(line.ptr, ' ', line.len);
    const char *why = "is not \"<key id> <64 hex digits>\"";
    if (blank != NULL) {
        const str id = {line.ptr, (size_t)(blank - line.ptr)};
        const str rest = {blank + 1, line.len - id.len - 1};
        if (str_eq_c(id, "current") && is_key_id(rest)) {
            why = current->ptr == NULL ? NULL : "says a second time which key is current";
            *current = rest;
        } else {
            why = add_key(set, id, rest);
        }
    }
    return why == NULL ||
           err_set(e, ERR_INVALID_ARGUMENT, "KEY_FILE", "line %zu of the key file %s", number, why);
}

static bool choose_current(key_set *set, str current, err *e) {
    if (current.ptr != NULL) {
        const data_key *d = find_key(set, current);
        set->current = d == NULL ? 0 : (size_t)(d - set->keys);
        return (d != NULL && d->opens) ||
               err_set(e, ERR_INVALID_ARGUMENT, "KEY_FILE",
                       "the key file has no key of the id that it calls current");
    }
    for (size_t i = set->n; i > 0; i--) {
        if (set->keys[i - 1].opens) {
            set->current = i - 1;
            return true;
        }
    }
    return err_set(e, ERR_INVALID_ARGUMENT, "KEY_FILE", "the key file has no key that can seal");
}

static bool read_set(key_set *set, str text, err *e) {
    str current = {0};
    size_t number = 0;
    for (size_t at = 0; at < text.len; number++) {
        const char *end = memchr(text.ptr + at, '\n', text.len - at);
        const size_t len = end == NULL ? text.len - at : (size_t)(end - text.ptr) - at;
        if (!add_line(set, (str){text.ptr + at, len}, number + 1, &current, e)) {
            return false;
        }
        at += len + 1;
    }
    return choose_current(set, current, e);
}

crypto_keyring *crypto_keyring_load(const char *path, err *e) {
    char *text = NULL;
    size_t len = 0;
    if (!config_read_secret(path, KEY_FILE_LEN_MAX, &text, &len, e)) {
        return NULL;
    }
    crypto_keyring *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    MUST(pthread_rwlock_init(&k->lock, NULL) == 0);
    k->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    ASSERT(k->cipher != NULL);
    k->set = set_map();
    const bool ok = read_set(k->set, (str){text, len}, e);
    config_wipe(text, len);
    if (!ok) {
        crypto_keyring_destroy(k);
        return NULL;
    }
    return k;
}

void crypto_keyring_destroy(crypto_keyring *k) {
    if (k == NULL) {
        return;
    }
    EVP_CIPHER_free(k->cipher);
    set_wipe(k->set);
    MUST(pthread_rwlock_destroy(&k->lock) == 0);
    free(k);
}

void crypto_keyring_take(crypto_keyring *k, crypto_keyring *fresh) {
    MUST(pthread_rwlock_wrlock(&k->lock) == 0);
    key_set *before = k->set;
    k->set = fresh->set;
    let_go(k);
    fresh->set = before;
    crypto_keyring_destroy(fresh);
}

// The purpose ends with a NUL, so that purpose and data can never be confused.
static void mac_under(const data_key *d, const char *purpose, const str *parts, size_t n_parts,
                      uint8_t out[MAC_LEN]) {
    str all[1 + CRYPTO_MAC_PARTS_MAX] = {{purpose, strlen(purpose) + 1}};
    ASSERT(n_parts <= CRYPTO_MAC_PARTS_MAX);
    if (n_parts > 0) {
        memcpy(all + 1, parts, n_parts * sizeof parts[0]);
    }
    crypto_hmac_parts((str){(const char *)d->mac_key, MAC_LEN}, all, 1 + n_parts, out);
}

size_t crypto_keyring_keys(const crypto_keyring *k, crypto_key_info out[CRYPTO_KEYS_MAX],
                           size_t *current) {
    const key_set *set = hold(k);
    const size_t n = set->n;
    for (size_t i = 0; i < n; i++) {
        memcpy(out[i].id, set->keys[i].id, set->keys[i].id_len);
        out[i].id[set->keys[i].id_len] = '\0';
        out[i].opens = set->keys[i].opens;
        mac_under(&set->keys[i], "key check 1", NULL, 0, out[i].check);
    }
    *current = set->current;
    let_go(k);
    return n;
}

// --- MACs ------------------------------------------------------------------------------------------------------------

void crypto_mac_make(const crypto_keyring *k, const char *purpose, const str *parts, size_t n_parts,
                     crypto_mac *mac) {
    const key_set *set = hold(k);
    const data_key *d = &set->keys[set->current];
    mac->bytes[0] = MAC_VERSION;
    mac->bytes[1] = d->id_len;
    memcpy(mac->bytes + HEADER_LEN, d->id, d->id_len);
    mac->len = (size_t)HEADER_LEN + d->id_len + MAC_LEN;
    mac_under(d, purpose, parts, n_parts, mac->bytes + HEADER_LEN + d->id_len);
    let_go(k);
}

static bool cannot_compare(err *e, const char *why) {
    (void)err_set(e, ERR_DATA_LOSS, "KEPT_MAC", "a kept value cannot be compared");
    return err_detail(e, "%s", why);
}

bool crypto_mac_matches(const crypto_keyring *k, const char *purpose, const str *parts,
                        size_t n_parts, str kept, bool *matches, err *e) {
    const uint8_t *in = (const uint8_t *)kept.ptr;
    *matches = false;
    if (kept.len < HEADER_LEN || in[0] != MAC_VERSION ||
        kept.len != (size_t)HEADER_LEN + in[1] + MAC_LEN) {
        return cannot_compare(e, "not a MAC of this version");
    }
    uint8_t mac[MAC_LEN];
    const key_set *set = hold(k);
    const data_key *d = find_key(set, (str){kept.ptr + HEADER_LEN, in[1]});
    const bool known = d != NULL;
    if (known) {
        mac_under(d, purpose, parts, n_parts, mac);
        *matches = crypto_equal(mac, in + HEADER_LEN + in[1], MAC_LEN);
    }
    let_go(k);
    return known || cannot_compare(e, "its key is not in the ring");
}

// --- The envelope ----------------------------------------------------------------------------------------------------

static bool seal_under(const EVP_CIPHER *cipher, const data_key *d, str aad, str plain, arena *a,
                       str *sealed, err *e) {
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
    MUST(EVP_EncryptInit_ex2(ctx, cipher, d->key, nonce, NULL) == 1);
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

bool crypto_seal(crypto_keyring *k, str aad, str plain, arena *a, str *sealed, err *e) {
    const key_set *set = hold(k);
    const bool ok = seal_under(k->cipher, &set->keys[set->current], aad, plain, a, sealed, e);
    let_go(k);
    return ok;
}

static bool does_not_open(err *e, const char *why) {
    (void)err_set(e, ERR_DATA_LOSS, "SEALED_VALUE", "a stored value cannot be read");
    return err_detail(e, "%s", why);
}

static bool open_under(const EVP_CIPHER *cipher, const key_set *set, str aad, str sealed, arena *a,
                       str *plain, err *e) {
    const uint8_t *in = (const uint8_t *)sealed.ptr;
    if (sealed.len < HEADER_LEN || in[0] != ENVELOPE_VERSION ||
        sealed.len > (size_t)CRYPTO_VALUE_MAX + 256 || aad.len > CRYPTO_VALUE_MAX) {
        return does_not_open(e, "not an envelope of this version");
    }
    size_t head_len = HEADER_LEN + (size_t)in[1];
    if (sealed.len < head_len + NONCE_LEN + TAG_LEN) {
        return does_not_open(e, "the envelope is cut short");
    }
    const data_key *d = find_key(set, (str){sealed.ptr + HEADER_LEN, in[1]});
    if (d == NULL || !d->opens) {
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
    MUST(EVP_DecryptInit_ex2(ctx, cipher, d->key, nonce, NULL) == 1);
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

bool crypto_open(crypto_keyring *k, str aad, str sealed, arena *a, str *plain, err *e) {
    const bool ok = open_under(k->cipher, hold(k), aad, sealed, a, plain, e);
    let_go(k);
    return ok;
}
