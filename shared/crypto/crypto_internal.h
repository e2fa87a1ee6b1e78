// What the files of this room share.
#ifndef CRYPTO_CRYPTO_INTERNAL_H
#define CRYPTO_CRYPTO_INTERNAL_H

#include "crypto/crypto.h"

// HMAC-SHA-256 of the parts, one after the other.
void crypto_hmac_parts(str key, const str *parts, size_t n_parts, uint8_t out[32]);

#endif
