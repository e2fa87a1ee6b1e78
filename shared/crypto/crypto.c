// Digests and comparison.
#include "crypto/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>

#include "base/assert.h"
#include "base/sha256.h"
#include "crypto_internal.h"

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MAC_CTX *hmac; // HMAC-SHA-256 without a key: copied for each use

// Looked up once: a fetch takes OpenSSL's locks, and more time than the hash of a short text. They live until the process ends.
static void fetch(void) {
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    ASSERT(mac != NULL);
    hmac = EVP_MAC_CTX_new(mac);
    ASSERT(hmac != NULL);
    MUST(EVP_MAC_CTX_set_params(hmac, params) == 1);
    EVP_MAC_free(mac); // the context keeps it
}

void crypto_sha256(const void *data, size_t len, uint8_t out[32]) {
    sha256(data, len, out);
}

void crypto_hmac_parts(str key, const str *parts, size_t n_parts, uint8_t out[32]) {
    MUST(pthread_once(&fetched, fetch) == 0);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(hmac);
    ASSERT(ctx != NULL);
    // An empty key is legal, but NULL would mean "the previous key".
    const void *key_ptr = key.len == 0 ? "" : key.ptr;
    MUST(EVP_MAC_init(ctx, key_ptr, key.len, NULL) == 1);
    for (size_t i = 0; i < n_parts; i++) {
        MUST(parts[i].len == 0 ||
             EVP_MAC_update(ctx, (const uint8_t *)parts[i].ptr, parts[i].len) == 1);
    }
    size_t len = 0;
    MUST(EVP_MAC_final(ctx, out, &len, 32) == 1 && len == 32);
    EVP_MAC_CTX_free(ctx);
}

void crypto_hmac_sha256(str key, str data, uint8_t out[32]) {
    crypto_hmac_parts(key, &data, 1, out);
}

bool crypto_equal(const void *a, const void *b, size_t len) {
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}
