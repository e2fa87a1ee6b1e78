// GetTreeHead, GetInclusionProof, GetConsistencyProof: a few reads by key each, on the worker thread.
#include "api/api_internal.h"
#include "audit/tree_store.h"

typedef struct proof_read {
    int64_t book_id;
    // The request.
    uuid transfer_id; // nil: ask by sequence
    uint64_t sequence, first_size, second_size;
    bool consistency;
    // The results.
    tree_head first, second;
    merkle_hash leaf;
    merkle_proof proof;
} proof_read;

static bool size_check(int64_t size, int64_t min, const char *field, err *e) {
    return size >= min || err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_TREE_SIZE", field,
                                        "%s must be at least %lld", field, (long long)min);
}

static bool find_head(db_conn *c, arena *a, int64_t book_id, uint64_t size, const char *field,
                      tree_head *head, err *e) {
    bool exists = false;
    if (!tree_head_load(c, a, book_id, size, &exists, head, e)) {
        return false;
    }
    return exists ||
           err_set_field(e, ERR_NOT_FOUND, "TREE_HEAD_NOT_FOUND", field,
                         "the book has no tree head %s", size == 0 ? "yet" : "of this size");
}

static bool find_sequence(db_conn *c, arena *a, proof_read *p, err *e) {
    if (uuid_is_nil(p->transfer_id)) {
        return true;
    }
    if (!tree_transfer_sequence(c, a, p->book_id, p->transfer_id, &p->sequence, e)) {
        return false;
    }
    return p->sequence != 0 || err_set_field(e, ERR_NOT_FOUND, "TRANSFER_NOT_FOUND", "transfer_id",
                                             "there is no such transfer");
}

// Rows and heads never change, so several statements read a consistent whole.
static bool read_proof(db_conn *c, arena *a, void *arg, err *e) {
    proof_read *p = arg;
    tree_reader reader = {c, a, p->book_id};
    if (!find_head(c, a, p->book_id, p->second_size,
                   p->consistency ? "second_tree_size" : "tree_size", &p->second, e)) {
        return false;
    }
    if (p->consistency) {
        return find_head(c, a, p->book_id, p->first_size, "first_tree_size", &p->first, e) &&
               merkle_prove_consistency(p->first.size, p->second.size, tree_read_subtree, &reader,
                                        &p->proof, e);
    }
    if (!find_sequence(c, a, p, e)) {
        return false;
    }
    if (p->sequence > p->second.size) {
        return err_set(e, ERR_OUT_OF_RANGE, "NOT_SEALED",
                       "the row is not in the tree of this size; the latest head covers %llu rows",
                       (unsigned long long)p->second.size);
    }
    return tree_read_subtree(&reader, 0, p->sequence - 1, &p->leaf, e) &&
           merkle_prove_inclusion(p->sequence - 1, p->second.size, tree_read_subtree, &reader,
                                  &p->proof, e);
}

static bool read_head(db_conn *c, arena *a, void *arg, err *e) {
    proof_read *p = arg;
    return find_head(c, a, p->book_id, p->second_size, "tree_size", &p->second, e);
}

// --- Messages: they borrow from the read, which lives until the reply ----------------------------------------------------

static ProtobufCBinaryData bytes(uint8_t *data, size_t len) {
    return (ProtobufCBinaryData){.len = len, .data = data};
}

static void head_encode(tree_head *h, Ledger__V1__TreeHead *m) {
    ledger__v1__tree_head__init(m);
    m->book_id = h->book_id;
    m->tree_size = (int64_t)h->size;
    m->root_hash = bytes(h->root.b, sizeof h->root.b);
    m->timestamp_us = h->time_us;
    m->key_id = bytes(h->key_id, sizeof h->key_id);
    m->signature = bytes(h->signature, sizeof h->signature);
    m->previous_tree_size = (int64_t)h->previous_size;
    m->previous_root_hash = bytes(h->previous_root.b, sizeof h->previous_root.b);
}

static void hashes_encode(merkle_proof *proof, ProtobufCBinaryData out[MERKLE_PROOF_MAX]) {
    for (size_t i = 0; i < proof->n; i++) {
        out[i] = bytes(proof->hashes[i].b, sizeof proof->hashes[i].b);
    }
}

static bool run(rpc_call *call, const ledger_api *api, db_tx_fn fn, proof_read *p, err *e) {
    return db_read(api->pool, rpc_deadline_mono_ms(call), rpc_arena(call), fn, p, e);
}

// --- Handlers --------------------------------------------------------------------------------------------------------

void api_get_tree_head(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__GetTreeHeadRequest *r = (const Ledger__V1__GetTreeHeadRequest *)request;
    proof_read p = {.book_id = r->book_id, .second_size = (uint64_t)r->tree_size};
    err e = {0};
    if (!api_book_id_check(r->book_id, &e) || !size_check(r->tree_size, 0, "tree_size", &e) ||
        !run(call, service, read_head, &p, &e)) {
        rpc_fail(call, &e);
        return;
    }
    Ledger__V1__GetTreeHeadResponse response = LEDGER__V1__GET_TREE_HEAD_RESPONSE__INIT;
    Ledger__V1__TreeHead head;
    head_encode(&p.second, &head);
    response.head = &head;
    rpc_reply(call, &response.base);
}

static bool row_decode(const Ledger__V1__GetInclusionProofRequest *r, proof_read *p, err *e) {
    const bool by_id = r->transfer_id[0] != '\0';
    if (by_id &&
        (!uuid_parse(str_of(r->transfer_id), &p->transfer_id) || uuid_is_nil(p->transfer_id))) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_UUID", "transfer_id",
                             "transfer_id must be a UUID");
    }
    return (by_id ? r->sequence == 0 : r->sequence >= 1) ||
           err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_SEQUENCE", "sequence",
                         "give either a sequence from 1 or a transfer_id");
}

void api_get_inclusion_proof(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__GetInclusionProofRequest *r =
        (const Ledger__V1__GetInclusionProofRequest *)request;
    proof_read p = {.book_id = r->book_id,
                    .sequence = (uint64_t)r->sequence,
                    .second_size = (uint64_t)r->tree_size};
    err e = {0};
    if (!api_book_id_check(r->book_id, &e) || !size_check(r->tree_size, 0, "tree_size", &e) ||
        !row_decode(r, &p, &e) || !run(call, service, read_proof, &p, &e)) {
        rpc_fail(call, &e);
        return;
    }
    Ledger__V1__GetInclusionProofResponse response = LEDGER__V1__GET_INCLUSION_PROOF_RESPONSE__INIT;
    Ledger__V1__TreeHead head;
    ProtobufCBinaryData hashes[MERKLE_PROOF_MAX];
    head_encode(&p.second, &head);
    hashes_encode(&p.proof, hashes);
    response.leaf_hash = bytes(p.leaf.b, sizeof p.leaf.b);
    response.hashes = hashes;
    response.n_hashes = p.proof.n;
    response.head = &head;
    response.sequence = (int64_t)p.sequence;
    rpc_reply(call, &response.base);
}

void api_get_consistency_proof(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__GetConsistencyProofRequest *r =
        (const Ledger__V1__GetConsistencyProofRequest *)request;
    proof_read p = {.book_id = r->book_id,
                    .first_size = (uint64_t)r->first_tree_size,
                    .second_size = (uint64_t)r->second_tree_size,
                    .consistency = true};
    err e = {0};
    if (!api_book_id_check(r->book_id, &e) ||
        !size_check(r->first_tree_size, 1, "first_tree_size", &e) ||
        !size_check(r->second_tree_size, 0, "second_tree_size", &e) ||
        !run(call, service, read_proof, &p, &e)) {
        rpc_fail(call, &e);
        return;
    }
    Ledger__V1__GetConsistencyProofResponse response =
        LEDGER__V1__GET_CONSISTENCY_PROOF_RESPONSE__INIT;
    Ledger__V1__TreeHead first, second;
    ProtobufCBinaryData hashes[MERKLE_PROOF_MAX];
    head_encode(&p.first, &first);
    head_encode(&p.second, &second);
    hashes_encode(&p.proof, hashes);
    response.hashes = hashes;
    response.n_hashes = p.proof.n;
    response.first = &first;
    response.second = &second;
    rpc_reply(call, &response.base);
}
