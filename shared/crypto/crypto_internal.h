// Shared by the files of this room.
#ifndef CRYPTO_CRYPTO_INTERNAL_H
#define CRYPTO_CRYPTO_INTERNAL_H

#include "crypto/crypto.h"

// HMAC-SHA-256 of the joined parts.
void crypto_hmac_parts(str key, const str *parts, size_t n_parts, uint8_t out[32]);

#endif
