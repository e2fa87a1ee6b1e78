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

// A ring of 32-byte data keys, read from a file: one line a key, "<key id> <64 hex digits>", the last line encrypts,
// all of them decrypt. The keys live in locked memory that is left out of core dumps, and are wiped at destroy.
typedef struct crypto_keyring crypto_keyring;
crypto_keyring *crypto_keyring_load(const char *path, err *e);
void crypto_keyring_destroy(crypto_keyring *k);

// AES-256-GCM envelope: version(1) | key id length(1) | key id | nonce(12) | ciphertext | tag(16). A random nonce each time.
// aad binds the value to its place, e.g. "recipient|bank_account|<book id>|<row id>"; the key id is added to it.
bool crypto_seal(crypto_keyring *k, str aad, str plain, arena *a, str *sealed, err *e) WARN_UNUSED;
// DATA_LOSS when the value, its place or its key does not fit.
bool crypto_open(crypto_keyring *k, str aad, str sealed, arena *a, str *plain, err *e) WARN_UNUSED;

// Standard Webhooks 1.0.0, symmetric: secret is "whsec_<base64>" (prefix optional).
bool crypto_webhook_sign(str secret, str id, int64_t timestamp_s, str body, char *out,
                         size_t out_len) WARN_UNUSED; // "v1,<base64>"
// Any signature of the space-separated list may match; |now - timestamp| ≤ 300 s. UNAUTHENTICATED otherwise.
bool crypto_webhook_verify(str secret, str id, str timestamp, str signatures, str body,
                           int64_t now_s, err *e) WARN_UNUSED;

#endif
