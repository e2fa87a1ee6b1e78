#include "sftp/packet.h"

#include <stdbool.h>
#include <string.h>

enum {
    KIND_AT = 4,
    ID_AT = 5,
    BODY_AT = 9,
    KIND_EXTENDED = 200,
    STATUS_FAILURE = 4,
    HAS_SIZE = 1,
    HAS_OWNER = 2,
    HAS_MODE = 4,
    HAS_TIMES = 8
};
#define HAS_MORE UINT32_C(0x80000000)

static uint32_t get_u32(const uint8_t *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put_u32(uint8_t *b, uint32_t n) {
    b[0] = (uint8_t)(n >> 24);
    b[1] = (uint8_t)(n >> 16);
    b[2] = (uint8_t)(n >> 8);
    b[3] = (uint8_t)n;
}

size_t packet_length(const uint8_t *bytes) {
    return get_u32(bytes);
}

uint32_t packet_id(const uint8_t *packet, size_t len) {
    return len >= BODY_AT ? get_u32(packet + ID_AT) : 0;
}

int packet_kind(const uint8_t *packet, size_t len) {
    static const char RENAME[] = "posix-rename@openssh.com";
    if (len < BODY_AT) {
        return PACKET_OTHER;
    }
    switch (packet[KIND_AT]) {
    case PACKET_WRITE:
    case PACKET_READDIR:
    case PACKET_RENAME:
    case PACKET_STATUS:
    case PACKET_NAME: return packet[KIND_AT];
    case KIND_EXTENDED:
        return len >= BODY_AT + 4 + sizeof(RENAME) - 1 &&
                       get_u32(packet + BODY_AT) == sizeof(RENAME) - 1 &&
                       memcmp(packet + BODY_AT + 4, RENAME, sizeof(RENAME) - 1) == 0
                   ? PACKET_RENAME
                   : PACKET_OTHER;
    default: return PACKET_OTHER;
    }
}

size_t packet_halve_write(const uint8_t *packet, size_t len, uint8_t *out) {
    // handle: string, offset: eight bytes, data: string
    size_t at = BODY_AT;
    memmove(out, packet, len);
    if (len < at + 4) {
        return len;
    }
    at += 4 + (size_t)get_u32(out + at) + 8;
    if (len < at + 4 || len - at - 4 != get_u32(out + at)) {
        return len;
    }
    uint32_t half = get_u32(out + at) / 2;
    put_u32(out + at, half);
    len = at + 4 + half;
    put_u32(out, (uint32_t)(len - 4));
    return len;
}

size_t packet_refusal(uint32_t id, uint8_t *out) {
    static const char TEXT[] = "Failure";
    const size_t text = sizeof(TEXT) - 1, len = BODY_AT + 4 + 4 + text + 4;
    put_u32(out, (uint32_t)(len - 4));
    out[KIND_AT] = PACKET_STATUS;
    put_u32(out + ID_AT, id);
    put_u32(out + BODY_AT, STATUS_FAILURE);
    put_u32(out + BODY_AT + 4, (uint32_t)text);
    memcpy(out + BODY_AT + 8, TEXT, text);
    put_u32(out + BODY_AT + 8 + text, 0); // empty language tag
    return len;
}

typedef struct cursor {
    const uint8_t *packet;
    size_t len, at;
} cursor;

static bool skip(cursor *c, size_t n) {
    if (c->len - c->at < n) {
        return false;
    }
    c->at += n;
    return true;
}

static bool read_u32(cursor *c, uint32_t *n) {
    size_t at = c->at;
    if (!skip(c, 4)) {
        return false;
    }
    *n = get_u32(c->packet + at);
    return true;
}

static bool skip_string(cursor *c) {
    uint32_t n = 0;
    return read_u32(c, &n) && skip(c, n);
}

// Reads one name: two strings and attributes. *changed_s is 0 when the attributes have no time.
static bool read_name(cursor *c, uint32_t *changed_s) {
    uint32_t flags = 0, more = 0, accessed = 0;
    *changed_s = 0;
    if (!skip_string(c) || !skip_string(c) || !read_u32(c, &flags) ||
        !skip(c, (flags & HAS_SIZE) != 0 ? 8 : 0) || !skip(c, (flags & HAS_OWNER) != 0 ? 8 : 0) ||
        !skip(c, (flags & HAS_MODE) != 0 ? 4 : 0)) {
        return false;
    }
    if ((flags & HAS_TIMES) != 0 && (!read_u32(c, &accessed) || !read_u32(c, changed_s))) {
        return false;
    }
    if ((flags & HAS_MORE) != 0) {
        if (!read_u32(c, &more)) {
            return false;
        }
        for (uint32_t i = 0; i < 2 * more; i++) {
            if (!skip_string(c)) {
                return false;
            }
        }
    }
    return true;
}

// True for "." and "..": their times change with the folder's files.
static bool is_dots(const uint8_t *name) {
    uint32_t len = get_u32(name);
    return len >= 1 && len <= 2 && name[4] == '.' && name[4 + len - 1] == '.';
}

size_t packet_hide_young(uint8_t *packet, size_t len, int64_t now_ms, int64_t late_ms) {
    cursor c = {packet, len, BODY_AT};
    uint32_t count = 0, left = 0;
    size_t to = BODY_AT + 4, first = 0;
    if (!read_u32(&c, &count)) {
        return len;
    }
    // Checks the whole packet first: a malformed packet must not be half rewritten.
    cursor probe = c;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t ignored = 0;
        if (!read_name(&probe, &ignored)) {
            return len;
        }
        first = i == 0 ? probe.at - c.at : first;
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t from = c.at;
        uint32_t changed_s = 0;
        (void)read_name(&c, &changed_s);
        bool young = now_ms < ((int64_t)changed_s + 1) * 1000 + late_ms;
        if (!young || is_dots(packet + from)) {
            memmove(packet + to, packet + from, c.at - from);
            to += c.at - from;
            left++;
        }
    }
    if (left == 0 && count > 0) {
        // Clients take an answer without names for a fault. So the answer repeats ".", which fits into the first name's room.
        static const uint8_t DOT[] = {0, 0, 0, 1, '.', 0, 0, 0, 1, '.', 0, 0, 0, 0};
        if (first < sizeof(DOT)) {
            return len;
        }
        memcpy(packet + to, DOT, sizeof(DOT));
        to += sizeof(DOT);
        left = 1;
    }
    put_u32(packet + BODY_AT, left);
    put_u32(packet, (uint32_t)(to - 4));
    return to;
}

size_t packet_bare_names(uint8_t *packet, size_t len) {
    // The line for people has empty columns: clients look for the owner in the columns of an OpenSSH server.
    static const char LINE[] = "? ? ? ? ? ? ? ? ?";
    const uint32_t line = sizeof(LINE) - 1;
    cursor c = {packet, len, BODY_AT};
    uint32_t count = 0, ignored = 0;
    size_t to = BODY_AT + 4;
    if (!read_u32(&c, &count)) {
        return len;
    }
    cursor probe = c;
    for (uint32_t i = 0; i < count; i++) {
        size_t from = probe.at;
        if (!read_name(&probe, &ignored) ||
            probe.at - from < 4 + (size_t)get_u32(packet + from) + 4 + line + 4) {
            return len; // malformed, or the lines are so short that ours do not fit
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t from = c.at, name = 4 + (size_t)get_u32(packet + from);
        (void)read_name(&c, &ignored);
        memmove(packet + to, packet + from, name);
        to += name;
        put_u32(packet + to, line);
        memcpy(packet + to + 4, LINE, line);
        put_u32(packet + to + 4 + line, 0); // no attributes
        to += 4 + line + 4;
    }
    put_u32(packet, (uint32_t)(to - 4));
    return to;
}
