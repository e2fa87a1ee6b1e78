// The few cryptographic operations of the house, on OpenSSL's EVP.
#ifndef CRYPTO_CRYPTO_H
#define CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

void crypto_sha256(const void *data, size_t len, uint8_t out[32]);
void crypto_hmac_sha256(str key, str data, uint8_t out[32]);
bool crypto_equal(const void *a, const void *b, size_t len); // constant time

// A ring of 32-byte data keys, read from a file, one a line:
//   <key id> <64 hex digits>       a key: it opens what was sealed under it
//   <key id> mac <64 hex digits>   what is left of a key that opens nothing any more: its MACs can still be compared
//   current <key id>               which one seals; without this line the last key does
// The keys live in locked memory that is left out of core dumps, and are wiped at destroy.
typedef struct crypto_keyring crypto_keyring;
crypto_keyring *crypto_keyring_load(const char *path, err *e);
void crypto_keyring_destroy(crypto_keyring *k);
// The keys of fresh replace the keys of k, for calls that begin from now on. Any thread. @consumes fresh
void crypto_keyring_take(crypto_keyring *k, crypto_keyring *fresh);

enum { CRYPTO_KEYS_MAX = 32, CRYPTO_KEY_ID_MAX = 32, CRYPTO_CHECK_LEN = 32 };
typedef struct crypto_key_info {
    char id[CRYPTO_KEY_ID_MAX + 1];
    bool opens; // false: MACs only
    // Tells a key from another key of the same name, and says nothing of the key: a MAC under the key that is derived for MACs. The line of
    // a whole key and the line of what is left of it give the same value.
    uint8_t check[CRYPTO_CHECK_LEN];
} crypto_key_info;
// In the order of the file. *current: the position of the key that seals.
size_t crypto_keyring_keys(const crypto_keyring *k, crypto_key_info out[CRYPTO_KEYS_MAX],
                           size_t *current);

enum { CRYPTO_VALUE_MAX = 32 * 1024 * 1024 }; // bytes of one sealed value, before it is sealed

// AES-256-GCM envelope: version(1) | key id length(1) | key id | nonce(12) | ciphertext | tag(16). A random nonce each time.
// aad binds the value to its place, e.g. "recipient|bank_account|<book id>|<row id>"; the key id is added to it.
// RESOURCE_EXHAUSTED (VALUE_TOO_LARGE) for more than CRYPTO_VALUE_MAX bytes.
bool crypto_seal(crypto_keyring *k, str aad, str plain, arena *a, str *sealed, err *e) WARN_UNUSED;
// DATA_LOSS when the value, its place or its key does not fit.
bool crypto_open(crypto_keyring *k, str aad, str sealed, arena *a, str *plain, err *e) WARN_UNUSED;

// HMAC-SHA-256 under a key that is derived from the ring's last one, for what must be compared later and read by nobody:
// version(1) | key id length(1) | key id | mac(32). purpose keeps the MACs of different uses apart.
// The parts follow each other without a mark: the caller says where each ends.
enum { CRYPTO_MAC_LEN_MAX = 2 + 32 + 32, CRYPTO_MAC_PARTS_MAX = 7 };
typedef struct crypto_mac {
    size_t len;
    uint8_t bytes[CRYPTO_MAC_LEN_MAX];
} crypto_mac;
void crypto_mac_make(const crypto_keyring *k, const char *purpose, const str *parts, size_t n_parts,
                     crypto_mac *mac);
// Whether a MAC that was kept is of these parts, under whichever key of the ring it was made. DATA_LOSS when its form or its key
// is unknown: then nobody can say.
bool crypto_mac_matches(const crypto_keyring *k, const char *purpose, const str *parts,
                        size_t n_parts, str kept, bool *matches, err *e) WARN_UNUSED;

// Standard Webhooks 1.0.0, symmetric: secret is "whsec_<base64>" (prefix optional).
bool crypto_webhook_sign(str secret, str id, int64_t timestamp_s, str body, char *out,
                         size_t out_len) WARN_UNUSED; // "v1,<base64>"
// Any signature of the space-separated list may match; |now - timestamp| ≤ 300 s. UNAUTHENTICATED otherwise.
bool crypto_webhook_verify(str secret, str id, str timestamp, str signatures, str body,
                           int64_t now_s, err *e) WARN_UNUSED;

#endif
