#include "base/uuid.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "base/assert.h"

// --- Version 7 -------------------------------------------------------------------------------------------------------
// RFC 9562, 6.2, method 1: the 12 bits of rand_a count within a millisecond, and begin each millisecond at a random
// value with the top bit clear. When they run out, or the clock stands or steps back, time is borrowed from the
// future.

enum { COUNTER_MAX = 0xfff, COUNTER_START_MASK = 0x7ff };

static pthread_mutex_t v7_lock = PTHREAD_MUTEX_INITIALIZER; // guards the next two
static int64_t v7_last_ms;
static unsigned v7_counter;

uuid uuid_v7(const clock_source *c) {
    uint8_t random[10]; // 2 for the counter's start, 8 for rand_b
    clock_random(c, random, sizeof(random));
    int64_t now_ms = clock_wall_us(c) / 1000;

    pthread_mutex_lock(&v7_lock);
    if (now_ms > v7_last_ms) {
        v7_last_ms = now_ms;
        v7_counter = ((unsigned)random[0] << 8 | random[1]) & COUNTER_START_MASK;
    } else if (v7_counter < COUNTER_MAX) {
        v7_counter++;
    } else {
        v7_last_ms++;
        v7_counter = 0;
    }
    uint64_t ms = (uint64_t)v7_last_ms;
    unsigned counter = v7_counter;
    pthread_mutex_unlock(&v7_lock);

    uuid id;
    for (int i = 0; i < 6; i++) {
        id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    id.b[6] = (uint8_t)(0x70 | counter >> 8);
    id.b[7] = (uint8_t)counter;
    memcpy(id.b + 8, random + 2, 8);
    id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
    return id;
}

void test_uuid_v7_reset(void) {
    pthread_mutex_lock(&v7_lock);
    v7_last_ms = 0;
    v7_counter = 0;
    pthread_mutex_unlock(&v7_lock);
}

// --- Version 8 -------------------------------------------------------------------------------------------------------

static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256; // fetched once: an implicit fetch costs more than the hash

static void sha256_fetch(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    ASSERT(sha256 != NULL);
}

uuid uuid_derive(const str *parts, size_t n_parts) {
    pthread_once(&sha256_once, sha256_fetch);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ASSERT(ctx != NULL);
    MUST(EVP_DigestInit_ex2(ctx, sha256, NULL) == 1);
    for (size_t i = 0; i < n_parts; i++) {
        uint8_t len[8]; // big endian
        for (int k = 0; k < 8; k++) {
            len[k] = (uint8_t)((uint64_t)parts[i].len >> (56 - 8 * k));
        }
        MUST(EVP_DigestUpdate(ctx, len, sizeof(len)) == 1);
        MUST(EVP_DigestUpdate(ctx, parts[i].ptr, parts[i].len) == 1);
    }
    uint8_t digest[EVP_MAX_MD_SIZE];
    MUST(EVP_DigestFinal_ex(ctx, digest, NULL) == 1);
    EVP_MD_CTX_free(ctx);
    uuid id;
    memcpy(id.b, digest, sizeof(id.b));
    id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x80);
    id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
    return id;
}

// --- Values ----------------------------------------------------------------------------------------------------------

bool uuid_is_nil(uuid id) {
    static const uuid NIL;
    return uuid_eq(id, NIL);
}

bool uuid_is_max(uuid id) {
    uuid max;
    memset(max.b, 0xff, sizeof(max.b));
    return uuid_eq(id, max);
}

bool uuid_eq(uuid a, uuid b) {
    return memcmp(a.b, b.b, sizeof(a.b)) == 0;
}

int uuid_cmp(uuid a, uuid b) {
    return memcmp(a.b, b.b, sizeof(a.b));
}

// SipHash-1-3 of the 16 bytes: callers choose ids, so the hash must not be predictable.

static pthread_once_t seed_once = PTHREAD_ONCE_INIT;
static uint64_t seed[2];

static void seed_draw(void) {
    clock_random(clock_system(), seed, sizeof(seed));
}

static uint64_t rotate(uint64_t x, unsigned n) {
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

uint64_t uuid_hash(uuid id) {
    pthread_once(&seed_once, seed_draw);
    uint64_t words[2];
    memcpy(words, id.b, sizeof(words));
    uint64_t v[4] = {
        seed[0] ^ UINT64_C(0x736f6d6570736575),
        seed[1] ^ UINT64_C(0x646f72616e646f6d),
        seed[0] ^ UINT64_C(0x6c7967656e657261),
        seed[1] ^ UINT64_C(0x7465646279746573),
    };
    sip_word(v, words[0]);
    sip_word(v, words[1]);
    sip_word(v, UINT64_C(16) << 56); // the length
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

// --- Text ------------------------------------------------------------------------------------------------------------

static bool is_dash_place(size_t i) {
    return i == 8 || i == 13 || i == 18 || i == 23;
}

bool uuid_parse(str s, uuid *out) {
    if (s.len != UUID_TEXT_LEN) {
        return false;
    }
    char digits[32];
    size_t n = 0;
    for (size_t i = 0; i < UUID_TEXT_LEN; i++) {
        if (!is_dash_place(i)) {
            digits[n++] = s.ptr[i];
        } else if (s.ptr[i] != '-') {
            return false;
        }
    }
    uuid id;
    if (!str_unhex((str){digits, sizeof(digits)}, id.b, sizeof(id.b))) {
        return false;
    }
    *out = id;
    return true;
}

void uuid_format(uuid id, char out[UUID_TEXT_LEN + 1]) {
    char digits[33];
    str_hex(id.b, sizeof(id.b), digits);
    size_t n = 0;
    for (size_t i = 0; i < UUID_TEXT_LEN; i++) {
        out[i] = is_dash_place(i) ? '-' : digits[n++];
    }
    out[UUID_TEXT_LEN] = '\0';
}

char *uuid_text(arena *a, uuid id) {
    char *text = arena_must(a, UUID_TEXT_LEN + 1);
    uuid_format(id, text);
    return text;
}

int64_t uuid_v7_ms(uuid id) {
    uint64_t ms = 0;
    for (size_t i = 0; i < 6; i++) {
        ms = ms << 8 | id.b[i];
    }
    return (int64_t)ms;
}
