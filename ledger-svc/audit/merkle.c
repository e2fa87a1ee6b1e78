#include "audit/merkle.h"

#include <string.h>

#include "base/assert.h"
#include "crypto/crypto.h"

bool merkle_equal(const merkle_hash *a, const merkle_hash *b) {
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

merkle_hash merkle_leaf(const void *data, size_t len) {
    enum { CHUNK = 16384 };
    uint8_t bytes[1 + CHUNK] = {0x00};
    merkle_hash h;
    ASSERT(len <= CHUNK); // a leaf is a row, and a row is small
    if (len != 0) {
        memcpy(bytes + 1, data, len);
    }
    crypto_sha256(bytes, 1 + len, h.b);
    return h;
}

merkle_hash merkle_node(const merkle_hash *left, const merkle_hash *right) {
    uint8_t bytes[1 + 2 * sizeof left->b];
    merkle_hash h;
    bytes[0] = 0x01;
    memcpy(bytes + 1, left->b, sizeof left->b);
    memcpy(bytes + 1 + sizeof left->b, right->b, sizeof right->b);
    crypto_sha256(bytes, sizeof bytes, h.b);
    return h;
}

// --- A tree that grows -----------------------------------------------------------------------------------------------

void merkle_append(merkle_tree *t, const merkle_hash *leaf, merkle_on_complete on_complete,
                   void *arg) {
    ASSERT(t->size < MERKLE_SIZE_MAX);
    merkle_hash h = *leaf;
    unsigned level = 0;
    for (; (t->size >> level & 1) != 0; level++) {
        h = merkle_node(&t->peaks[level], &h);
        if (on_complete != NULL) {
            on_complete(arg, level + 1, t->size >> (level + 1), &h);
        }
    }
    t->peaks[level] = h;
    t->size++;
}

merkle_hash merkle_root(const merkle_tree *t) {
    merkle_hash root;
    if (t->size == 0) {
        crypto_sha256("", 0, root.b);
        return root;
    }
    unsigned level = (unsigned)__builtin_ctzll(t->size);
    root = t->peaks[level];
    for (level++; level < MERKLE_LEVELS_MAX; level++) {
        if ((t->size >> level & 1) != 0) {
            root = merkle_node(&t->peaks[level], &root);
        }
    }
    return root;
}

bool merkle_load(merkle_tree *t, uint64_t size, merkle_read read, void *arg, err *e) {
    ASSERT(size <= MERKLE_SIZE_MAX);
    memset(t, 0, sizeof *t);
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++) {
        // The peak of a level ends where the bits above it and its own end.
        if ((size >> level & 1) != 0 &&
            !read(arg, level, (size >> level) - 1, &t->peaks[level], e)) {
            return false;
        }
    }
    t->size = size;
    return true;
}

// --- Proofs ----------------------------------------------------------------------------------------------------------

// The largest power of two below n; n > 1.
static uint64_t split(uint64_t n) {
    return (uint64_t)1 << (63 - __builtin_clzll(n - 1));
}

// The root over leaves [begin, end). begin is a multiple of a power of two that is at least the length. So the bits of the length are the
// range's complete subtrees, the largest first.
static bool range_root(uint64_t begin, uint64_t end, merkle_read read, void *arg, merkle_hash *out,
                       err *e) {
    const uint64_t length = end - begin;
    bool any = false;
    for (unsigned level = 0; length >> level != 0; level++) {
        if ((length >> level & 1) == 0) {
            continue;
        }
        end -= (uint64_t)1 << level;
        merkle_hash h;
        if (!read(arg, level, end >> level, &h, e)) {
            return false;
        }
        *out = any ? merkle_node(&h, out) : h;
        any = true;
    }
    return true;
}

static bool push_range(merkle_proof *proof, uint64_t begin, uint64_t end, merkle_read read,
                       void *arg, err *e) {
    ASSERT(proof->n < MERKLE_PROOF_MAX);
    return range_root(begin, end, read, arg, &proof->hashes[proof->n++], e);
}

// The recursion of the RFC puts the deepest hash first; the loops below find it last.
static void reverse(merkle_proof *proof) {
    for (size_t i = 0, j = proof->n; i + 1 < j; i++) {
        j--;
        const merkle_hash h = proof->hashes[i];
        proof->hashes[i] = proof->hashes[j];
        proof->hashes[j] = h;
    }
}

bool merkle_prove_inclusion(uint64_t index, uint64_t size, merkle_read read, void *arg,
                            merkle_proof *proof, err *e) {
    proof->n = 0;
    if (index >= size || size > MERKLE_SIZE_MAX) {
        return err_set(e, ERR_OUT_OF_RANGE, "NOT_IN_TREE", "the row is not in a tree of this size");
    }
    uint64_t begin = 0, end = size;
    while (end - begin > 1) {
        const uint64_t middle = begin + split(end - begin);
        const bool left = index < middle;
        if (!push_range(proof, left ? middle : begin, left ? end : middle, read, arg, e)) {
            return false;
        }
        begin = left ? begin : middle;
        end = left ? middle : end;
    }
    reverse(proof);
    return true;
}

bool merkle_prove_consistency(uint64_t first, uint64_t second, merkle_read read, void *arg,
                              merkle_proof *proof, err *e) {
    proof->n = 0;
    if (first > second || second > MERKLE_SIZE_MAX) {
        return err_set(e, ERR_OUT_OF_RANGE, "INVALID_TREE_SIZE",
                       "the first size must not be larger than the second");
    }
    if (first == 0) {
        return true;
    }
    uint64_t begin = 0, end = second;
    while (end != first) {
        const uint64_t middle = begin + split(end - begin);
        const bool left = first <= middle;
        if (!push_range(proof, left ? middle : begin, left ? end : middle, read, arg, e)) {
            return false;
        }
        begin = left ? begin : middle;
        end = left ? middle : end;
    }
    // A range from 0 is the first tree itself: the verifier has its root.
    if (begin != 0 && !push_range(proof, begin, end, read, arg, e)) {
        return false;
    }
    reverse(proof);
    return true;
}

// --- Checks ----------------------------------------------------------------------------------------------------------

bool merkle_verify_inclusion(uint64_t index, uint64_t size, const merkle_hash *leaf,
                             const merkle_proof *proof, const merkle_hash *root) {
    if (index >= size) {
        return false;
    }
    uint64_t fn = index, sn = size - 1;
    merkle_hash r = *leaf;
    for (size_t i = 0; i < proof->n; i++) {
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) != 0 || fn == sn) {
            r = merkle_node(&proof->hashes[i], &r);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            r = merkle_node(&r, &proof->hashes[i]);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && merkle_equal(&r, root);
}

bool merkle_verify_consistency(uint64_t first, uint64_t second, const merkle_hash *first_root,
                               const merkle_hash *second_root, const merkle_proof *proof) {
    if (first > second) {
        return false;
    }
    if (first == second) {
        return proof->n == 0 && merkle_equal(first_root, second_root);
    }
    if (first == 0) { // everything begins with nothing
        const merkle_hash nothing = merkle_root(&(merkle_tree){0});
        return proof->n == 0 && merkle_equal(first_root, &nothing);
    }
    // The proof leaves out the first root where that is a node of the second tree.
    const bool implied = (first & (first - 1)) == 0;
    if (proof->n == 0 && !implied) {
        return false;
    }
    uint64_t fn = first - 1, sn = second - 1;
    while ((fn & 1) != 0) {
        fn >>= 1;
        sn >>= 1;
    }
    merkle_hash fr = implied ? *first_root : proof->hashes[0];
    merkle_hash sr = fr;
    for (size_t i = implied ? 0 : 1; i < proof->n; i++) {
        const merkle_hash *c = &proof->hashes[i];
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) != 0 || fn == sn) {
            fr = merkle_node(c, &fr);
            sr = merkle_node(c, &sr);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            sr = merkle_node(&sr, c);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && merkle_equal(&fr, first_root) && merkle_equal(&sr, second_root);
}
