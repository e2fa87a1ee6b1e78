// Standard Webhooks 1.0.0, symmetric: HMAC-SHA-256 over "id.timestamp.body".
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "crypto_internal.h"

enum {
    SECRET_LEN_MIN = 24,
    SECRET_LEN_MAX = 64,
    SECRET_TEXT_LEN_MAX = 96, // base64 of the longest, with padding, and room
    SIGNATURE_LEN = 3 + 44,   // "v1," and the base64 of 32 bytes
    SIGNATURES_LEN_MAX = 4096,
    ID_LEN_MAX = 256,
    TOLERANCE_S = 300
};

static bool decode_secret(str secret, uint8_t out[SECRET_LEN_MAX], size_t *len) {
    static const char prefix[] = "whsec_";
    char text[SECRET_TEXT_LEN_MAX];
    const size_t prefix_len = sizeof(prefix) - 1;
    if (secret.len > prefix_len && memcmp(secret.ptr, prefix, prefix_len) == 0) {
        secret.ptr += prefix_len;
        secret.len -= prefix_len;
    }
    if (secret.len == 0 || secret.len + 3 > sizeof(text)) {
        return false;
    }
    // Some senders omit the padding.
    memcpy(text, secret.ptr, secret.len);
    while (secret.len % 4 != 0) {
        text[secret.len++] = '=';
    }
    bool ok =
        str_unbase64((str){text, secret.len}, out, SECRET_LEN_MAX, len) && *len >= SECRET_LEN_MIN;
    explicit_bzero(text, sizeof(text));
    return ok;
}

bool crypto_webhook_sign(str secret, str id, int64_t timestamp_s, str body, char *out,
                         size_t out_len) {
    uint8_t key[SECRET_LEN_MAX];
    uint8_t mac[32];
    char stamp[24];
    size_t key_len = 0;
    // With a dot in the id, one message could be read as another.
    if (out_len < SIGNATURE_LEN + 1 || id.len == 0 || id.len > ID_LEN_MAX ||
        memchr(id.ptr, '.', id.len) != NULL || !decode_secret(secret, key, &key_len)) {
        return false;
    }
    (void)snprintf(stamp, sizeof(stamp), "%lld", (long long)timestamp_s);
    const str parts[] = {id, STR("."), str_of(stamp), STR("."), body};
    crypto_hmac_parts((str){(const char *)key, key_len}, parts, sizeof(parts) / sizeof(parts[0]),
                      mac);
    memcpy(out, "v1,", 3);
    str_base64(mac, sizeof(mac), out + 3);
    explicit_bzero(key, sizeof(key));
    return true;
}

static bool refuse(err *e, const char *why) {
    (void)err_set(e, ERR_UNAUTHENTICATED, "WEBHOOK_SIGNATURE",
                  "the webhook's signature is not valid");
    return err_detail(e, "%s", why);
}

bool crypto_webhook_verify(str secret, str id, str timestamp, str signatures, str body,
                           int64_t now_s, err *e) {
    char expected[SIGNATURE_LEN + 1];
    int64_t stamp = 0;
    if (!str_to_i64(timestamp, 0, INT64_C(99999999999), &stamp)) {
        return refuse(e, "the timestamp is missing or not a number");
    }
    if (stamp < now_s - TOLERANCE_S || stamp > now_s + TOLERANCE_S) {
        return refuse(e, "the timestamp is too far from now");
    }
    if (signatures.len > SIGNATURES_LEN_MAX) {
        return refuse(e, "the list of signatures is too long");
    }
    if (!crypto_webhook_sign(secret, id, stamp, body, expected, sizeof(expected))) {
        return refuse(e, "the id or our secret is malformed");
    }
    bool match = false;
    for (size_t at = 0; at < signatures.len;) {
        const char *blank = memchr(signatures.ptr + at, ' ', signatures.len - at);
        size_t len = blank == NULL ? signatures.len - at : (size_t)(blank - signatures.ptr) - at;
        // Other versions differ in their first bytes, so they need no special rule.
        match = match || (len == SIGNATURE_LEN &&
                          crypto_equal(signatures.ptr + at, expected, SIGNATURE_LEN));
        at += len + 1;
    }
    explicit_bzero(expected, sizeof(expected));
    return match ? true : refuse(e, "no signature matches");
}
