// The packets of SFTP version 3 that the relay reads: a four-byte length, a kind, an id, and more by kind.
#ifndef SFTP_PACKET_H
#define SFTP_PACKET_H

#include <stddef.h>
#include <stdint.h>

enum {
    PACKET_OTHER = 0,
    PACKET_WRITE = 6,
    PACKET_READDIR = 12,
    PACKET_RENAME = 18, // also the extension that replaces an existing file
    PACKET_STATUS = 101,
    PACKET_NAME = 104,
    PACKET_STATUS_MAX = 128
};

// The length without its own four bytes. bytes: at least four.
size_t packet_length(const uint8_t *bytes);
// One of the kinds above; PACKET_OTHER for any other kind and for a packet that is too short. packet, len: the whole packet, with its
// length.
int packet_kind(const uint8_t *packet, size_t len);
uint32_t packet_id(const uint8_t *packet, size_t len); // 0 when the packet is too short

// Writes the same request with only the first half of its bytes to out, which may be the packet itself. Returns its length.
size_t packet_halve_write(const uint8_t *packet, size_t len, uint8_t *out);
// Writes the answer "failure" to a request. Returns its length, at most PACKET_STATUS_MAX.
size_t packet_refusal(uint32_t id, uint8_t *out);
// Removes names from a listing that changed less than late_ms ago. A malformed packet stays unchanged. Returns the new length.
size_t packet_hide_young(uint8_t *packet, size_t len, int64_t now_ms, int64_t late_ms);
// Removes all but the names from a listing. A malformed packet, or one with too little room, stays unchanged. Returns the new length.
size_t packet_bare_names(uint8_t *packet, size_t len);

#endif
