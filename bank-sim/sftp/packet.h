// The packets of SFTP version 3, as far as the relay reads them: a length of four bytes, a kind, an id, and what belongs to the kind.
#ifndef SFTP_PACKET_H
#define SFTP_PACKET_H

#include <stddef.h>
#include <stdint.h>

enum {
    PACKET_OTHER = 0,
    PACKET_WRITE = 6,
    PACKET_READDIR = 12,
    PACKET_RENAME = 18, // also the extension that replaces what is there
    PACKET_STATUS = 101,
    PACKET_NAME = 104,
    PACKET_STATUS_MAX = 128
};

// Without the four bytes of the length itself. bytes: at least four.
size_t packet_length(const uint8_t *bytes);
// One of the kinds above; PACKET_OTHER for all others and for what is too short. packet, len: the whole, with its length.
int packet_kind(const uint8_t *packet, size_t len);
uint32_t packet_id(const uint8_t *packet, size_t len); // 0 when it is too short

// Writes a request like this one, but with the first half of its bytes only, to out, which may be the packet itself. Returns its length.
size_t packet_halve_write(const uint8_t *packet, size_t len, uint8_t *out);
// Writes the answer "failure" to a request. Returns its length, at most PACKET_STATUS_MAX.
size_t packet_refusal(uint32_t id, uint8_t *out);
// Takes those names out of a listing whose time of change is younger than late_ms. What is malformed stays as it is.
// Returns the new length.
size_t packet_hide_young(uint8_t *packet, size_t len, int64_t now_ms, int64_t late_ms);
// Takes everything but the names out of a listing. What is malformed, or says hardly more, stays as it is. Returns the new length.
size_t packet_bare_names(uint8_t *packet, size_t len);

#endif
