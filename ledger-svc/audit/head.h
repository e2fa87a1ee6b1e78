// A signed tree head: what the ledger says, for ever, about the first `size` rows of a book's journal. Its canonical form,
// its signature, its line in the heads file, and the keys. Pure but for the loading of keys from files; any thread.
//
// The signature (Ed25519, RFC 8032) covers these bytes, numbers big-endian:
//   "disburse-ledger-tree-head-v1\n", book_id (8), size (8), root (32), previous_size (8), previous_root (32), time_us (8),
//   key_id (32).
#ifndef AUDIT_HEAD_H
#define AUDIT_HEAD_H

#include "audit/merkle.h"
#include "base/str.h"

enum {
    HEAD_SIGNATURE_LEN = 64,
    HEAD_KEY_LEN = 32,
    HEAD_KEYS_MAX = 64,
    HEAD_LINE_MAX = 768, // a line of the heads file, with its newline and a NUL
};

typedef struct tree_head {
    int64_t book_id;
    uint64_t size;
    merkle_hash root;
    uint64_t previous_size; // of the head before; 0 for the first
    merkle_hash previous_root;
    int64_t time_us;
    uint8_t key_id[32]; // SHA-256 of the raw public key
    uint8_t signature[HEAD_SIGNATURE_LEN];
} tree_head;

// True when the head follows `previous`; with previous == NULL, when the head is a first one.
bool head_follows(const tree_head *head, const tree_head *previous);

// --- Public keys: those that have signed, the oldest first, the one that signs now last ------------------------------

typedef struct head_keys {
    size_t n;
    struct {
        uint8_t raw[HEAD_KEY_LEN], id[32];
    } keys[HEAD_KEYS_MAX];
} head_keys;

// PEM: one "PUBLIC KEY" block after another, all Ed25519. INVALID_ARGUMENT names what is wrong.
bool head_keys_load(head_keys *keys, const char *path, err *e) WARN_UNUSED;
bool head_keys_add(head_keys *keys, const uint8_t raw[HEAD_KEY_LEN]) WARN_UNUSED; // false when full
// The place of a key id in the list; -1 when the list does not have it.
int head_keys_find(const head_keys *keys, const uint8_t id[32]);
// True when one of the keys has signed exactly this head. *place, if wanted, is the place of this key.
bool head_verify(const tree_head *head, const head_keys *keys, int *place) WARN_UNUSED;

// --- The key that signs ----------------------------------------------------------------------------------------------

typedef struct head_signer head_signer;
// A PEM private key (PKCS #8, Ed25519) in a file that only its owner may write and others may not read.
head_signer *head_signer_load(const char *path, err *e);
void head_signer_destroy(head_signer *s); // accepts NULL
void head_signer_public(const head_signer *s, uint8_t raw[HEAD_KEY_LEN]);
// Fills key_id and signature.
void head_sign(head_signer *s, tree_head *head);

// --- The line: JSON in one fixed form, so that no two lines say the same ---------------------------------------------

// Writes a line with its newline. Returns its length.
size_t head_line_write(const tree_head *head, char out[HEAD_LINE_MAX]);
// Reads a line without its newline. False for any text that head_line_write would not have written.
bool head_line_read(str line, tree_head *head) WARN_UNUSED;

#endif
