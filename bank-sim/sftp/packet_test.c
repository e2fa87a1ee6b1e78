// How the relay reads and changes passing packets.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
// cmocka wants the four above first.
#include <cmocka.h>

#include "sftp/packet.h"

enum { ROOM = 512 };

typedef struct made {
    uint8_t bytes[ROOM];
    size_t len;
} made;

static void add_u32(made *m, uint32_t n) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        m->bytes[m->len++] = (uint8_t)(n >> shift);
    }
}

static void add_text(made *m, const char *text) {
    add_u32(m, (uint32_t)strlen(text));
    memcpy(m->bytes + m->len, text, strlen(text));
    m->len += strlen(text);
}

static made begin(uint8_t kind, uint32_t id) {
    made m = {.len = 4};
    m.bytes[m.len++] = kind;
    add_u32(&m, id);
    return m;
}

static void finish(made *m) {
    size_t len = m->len;
    m->len = 0;
    add_u32(m, (uint32_t)(len - 4));
    m->len = len;
}

// Adds a name with all attributes that OpenSSH sends.
static void add_name(made *m, const char *name, uint32_t changed_s) {
    add_text(m, name);
    add_text(m, "-rw-------");
    add_u32(m, 15);
    for (int i = 0; i < 6; i++) { // size, owner, mode, access
        add_u32(m, 1);
    }
    add_u32(m, changed_s);
}

static void test_packet_kind__both_renames__are_renames(void **state) {
    (void)state;
    made plain = begin(18, 7), extended = begin(200, 8), other = begin(200, 9), brief = begin(6, 1);
    add_text(&plain, "a");
    add_text(&plain, "b");
    finish(&plain);
    add_text(&extended, "posix-rename@openssh.com");
    finish(&extended);
    add_text(&other, "fsync@openssh.com");
    finish(&other);
    assert_int_equal(packet_kind(plain.bytes, plain.len), PACKET_RENAME);
    assert_int_equal(packet_id(plain.bytes, plain.len), 7);
    assert_int_equal(packet_kind(extended.bytes, extended.len), PACKET_RENAME);
    assert_int_equal(packet_kind(other.bytes, other.len), PACKET_OTHER);
    assert_int_equal(packet_kind(brief.bytes, 8), PACKET_OTHER);
    assert_int_equal(packet_length(plain.bytes), plain.len - 4);
}

static void test_packet_halve_write__half_of_the_bytes__and_lengths_that_fit(void **state) {
    (void)state;
    made m = begin(6, 3);
    uint8_t out[ROOM];
    add_text(&m, "handle");
    add_u32(&m, 0);
    add_u32(&m, 0);
    add_text(&m, "0123456789");
    finish(&m);
    size_t len = packet_halve_write(m.bytes, m.len, out);
    assert_int_equal(len, m.len - 5);
    assert_int_equal(packet_length(out), len - 4);
    assert_memory_equal(out + len - 5, "01234", 5);
    // A packet with a wrong length passes unchanged.
    m.bytes[m.len - 11]++;
    assert_int_equal(packet_halve_write(m.bytes, m.len, out), m.len);
}

static void test_packet_refusal__answers_the_request(void **state) {
    (void)state;
    uint8_t out[PACKET_STATUS_MAX];
    size_t len = packet_refusal(77, out);
    assert_int_equal(packet_kind(out, len), PACKET_STATUS);
    assert_int_equal(packet_id(out, len), 77);
    assert_int_equal(packet_length(out), len - 4);
    assert_int_equal(out[12], 4); // SSH_FX_FAILURE
}

static void test_packet_hide_young__only_old_names_and_folders_stay(void **state) {
    (void)state;
    made m = begin(104, 5);
    add_u32(&m, 3);
    add_name(&m, ".", 1000);
    add_name(&m, "young.ack", 1000);
    add_name(&m, "old.ack", 900);
    finish(&m);
    made young = m;
    m.len = packet_hide_young(m.bytes, m.len, 1000 * 1000, 5000);
    assert_int_equal(packet_length(m.bytes), m.len - 4);
    assert_int_equal(m.bytes[12], 2);
    assert_null(memmem(m.bytes, m.len, "young.ack", 9));
    assert_non_null(memmem(m.bytes, m.len, "old.ack", 7));
    // Some time later the name is old enough.
    assert_int_equal(packet_hide_young(young.bytes, young.len, 1006 * 1000, 5000), young.len);
    // A packet that is cut off in the middle passes unchanged.
    assert_int_equal(packet_hide_young(young.bytes, young.len - 3, 1000 * 1000, 5000),
                     young.len - 3);
}

static void test_packet_hide_young__none_left__the_folder_itself(void **state) {
    (void)state;
    made m = begin(104, 5);
    add_u32(&m, 1);
    add_name(&m, "young.ack", 1000);
    finish(&m);
    m.len = packet_hide_young(m.bytes, m.len, 1000 * 1000, 5000);
    assert_int_equal(packet_length(m.bytes), m.len - 4);
    assert_int_equal(m.bytes[12], 1);
    assert_memory_equal(m.bytes + 13, "\0\0\0\1.", 5);
}

static void test_packet_bare_names__nothing_but_names(void **state) {
    (void)state;
    made m = begin(104, 5);
    add_u32(&m, 2);
    add_name(&m, "one.ack", 1000);
    add_name(&m, "two", 900);
    finish(&m);
    made cut = m;
    m.len = packet_bare_names(m.bytes, m.len);
    assert_int_equal(packet_length(m.bytes), m.len - 4);
    assert_int_equal(m.len, 13 + (4 + 7 + 25) + (4 + 3 + 25));
    assert_memory_equal(m.bytes + 9,
                        "\0\0\0\2\0\0\0\7one.ack\0\0\0\21? ? ? ? ? ? ? ? ?\0\0\0\0"
                        "\0\0\0\3two\0\0\0\21? ? ? ? ? ? ? ? ?\0\0\0\0",
                        m.len - 9);
    assert_int_equal(packet_bare_names(cut.bytes, cut.len - 3), cut.len - 3); // unchanged
    assert_non_null(memmem(cut.bytes, cut.len, "-rw-", 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packet_kind__both_renames__are_renames),
        cmocka_unit_test(test_packet_halve_write__half_of_the_bytes__and_lengths_that_fit),
        cmocka_unit_test(test_packet_refusal__answers_the_request),
        cmocka_unit_test(test_packet_hide_young__only_old_names_and_folders_stay),
        cmocka_unit_test(test_packet_hide_young__none_left__the_folder_itself),
        cmocka_unit_test(test_packet_bare_names__nothing_but_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
