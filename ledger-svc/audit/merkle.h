// The Merkle tree of RFC 6962, section 2.1: leaves in order, and roots. One proof shows that a leaf is in a tree. The other shows that one
// tree is the beginning of a second tree. Both have checks. Pure: no memory of its own, no I/O. Any thread.
#ifndef AUDIT_MERKLE_H
#define AUDIT_MERKLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    MERKLE_LEVELS_MAX = 48, // leaves up to 2^47: at a million a second, four years
    MERKLE_PROOF_MAX = 2 * MERKLE_LEVELS_MAX,
};
#define MERKLE_SIZE_MAX ((uint64_t)1 << (MERKLE_LEVELS_MAX - 1))

typedef struct merkle_hash {
    uint8_t b[32];
} merkle_hash;

bool merkle_equal(const merkle_hash *a, const merkle_hash *b);
// SHA-256(0x00 || data): the hash of a leaf.
merkle_hash merkle_leaf(const void *data, size_t len);
// SHA-256(0x01 || left || right): the hash of an inner node.
merkle_hash merkle_node(const merkle_hash *left, const merkle_hash *right);

// A tree that only grows. Its peaks are its complete subtrees, one for each bit of its size. The peaks suffice to append a leaf and to
// compute the root. Zeroed memory is the empty tree. A plain value: copy it to try something.
typedef struct merkle_tree {
    uint64_t size;
    // peaks[l] is the root over 2^l leaves; valid where bit l of size is set
    merkle_hash peaks[MERKLE_LEVELS_MAX];
} merkle_tree;

// Called for each subtree that an append completes, the lowest first. `index` counts the subtrees of 2^level leaves.
typedef void (*merkle_on_complete)(void *arg, unsigned level, uint64_t index,
                                   const merkle_hash *hash);
// Constant time on average. on_complete may be NULL; it is not called for the leaf itself (level 0).
void merkle_append(merkle_tree *t, const merkle_hash *leaf, merkle_on_complete on_complete,
                   void *arg);
// The root. The root of the empty tree is the SHA-256 of nothing.
merkle_hash merkle_root(const merkle_tree *t);

// Reads the hash of a complete subtree. `index` counts the subtrees of 2^level leaves; level 0 is a leaf.
typedef bool (*merkle_read)(void *arg, unsigned level, uint64_t index, merkle_hash *out, err *e);

// Loads the tree of the first `size` leaves from its stored subtrees.
bool merkle_load(merkle_tree *t, uint64_t size, merkle_read read, void *arg, err *e) WARN_UNUSED;

typedef struct merkle_proof {
    size_t n;
    merkle_hash hashes[MERKLE_PROOF_MAX];
} merkle_proof;

// RFC 6962, 2.1.1: from the leaf to the root. index < size ≤ MERKLE_SIZE_MAX, or OUT_OF_RANGE.
bool merkle_prove_inclusion(uint64_t index, uint64_t size, merkle_read read, void *arg,
                            merkle_proof *proof, err *e) WARN_UNUSED;
// RFC 6962, 2.1.2. first ≤ second ≤ MERKLE_SIZE_MAX, or OUT_OF_RANGE. Empty when first is 0 or second.
bool merkle_prove_consistency(uint64_t first, uint64_t second, merkle_read read, void *arg,
                              merkle_proof *proof, err *e) WARN_UNUSED;

// RFC 9162, 2.1.3.2. True when the leaf is at that index of the tree of that size and root.
bool merkle_verify_inclusion(uint64_t index, uint64_t size, const merkle_hash *leaf,
                             const merkle_proof *proof, const merkle_hash *root) WARN_UNUSED;
// RFC 9162, 2.1.4.2. True when the tree of the first size and root is the beginning of the tree of the second.
bool merkle_verify_consistency(uint64_t first, uint64_t second, const merkle_hash *first_root,
                               const merkle_hash *second_root,
                               const merkle_proof *proof) WARN_UNUSED;

#endif
