#include "base/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>

#include "base/assert.h"

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *digest; // lives until the process ends

// Looked up once: a fetch takes OpenSSL's locks, and more time than the hash of a short text.
static void fetch(void) {
    digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    ASSERT(digest != NULL);
}

void sha256(const void *data, size_t len, uint8_t out[SHA256_LEN]) {
    MUST(pthread_once(&fetched, fetch) == 0);
    MUST(EVP_Digest(len == 0 ? "" : data, len, out, NULL, digest, NULL) == 1);
}
