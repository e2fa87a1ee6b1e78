// ReconciliationService: does each payout agree with the ledger?
#include <stdatomic.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "domain/ids.h"
#include "payments/v1/reconciliation_service.pb-c.h"
#include "recon/recon.h"

enum {
    MESSAGE_ITEMS = 500,
    PROOFS_MAX = 2, // at a time: each holds a window of payouts, and keeps the ledger busy
    PROOF_ARENA_MAX = 8 << 20
};

static atomic_int under_way;

// --- resume tokens -----------------------------------------------------------------------------------------------------

// A proof's place, and the hash of its subject, in hexadecimal. Its sums are trusted on return, so a MAC by the key ring follows.
typedef struct resume {
    uint8_t about[32];
    recon_progress progress;
} resume;

static void hash_request(const Payments__V1__ProveBookRequest *r, arena *a, uint8_t out[32]) {
    const char *about = arena_printf(a, "ProveBook|%lld|%s", (long long)r->book_id, r->merchant_id);
    ASSERT(about != NULL); // merchant ids are short
    crypto_sha256(about, strlen(about), out);
}

#define MAC_PURPOSE "ProveBook"

static char *make_token(const crypto_keyring *keys, const Payments__V1__ProveBookRequest *r,
                        const recon_progress *progress, arena *a) {
    resume x;
    crypto_mac mac;
    memset(&x, 0, sizeof x);
    hash_request(r, a, x.about);
    x.progress = *progress;
    const str whole = {(const char *)&x, sizeof x};
    crypto_mac_make(keys, MAC_PURPOSE, &whole, 1, &mac);
    char *hex = arena_must(a, 2 * (sizeof x + mac.len) + 1);
    str_hex((const uint8_t *)&x, sizeof x, hex);
    str_hex(mac.bytes, mac.len, hex + 2 * sizeof x);
    return hex;
}

static bool read_token(const crypto_keyring *keys, const Payments__V1__ProveBookRequest *r,
                       recon_progress *progress, arena *a, err *e) {
    resume x;
    uint8_t about[32], mac[CRYPTO_MAC_LEN_MAX];
    const str token = str_of(r->resume_token);
    const size_t mac_len = token.len > 2 * sizeof x ? token.len / 2 - sizeof x : 0;
    const str whole = {(const char *)&x, sizeof x}, kept = {(const char *)mac, mac_len};
    bool ours = false;
    err unknown = {0};
    hash_request(r, a, about);
    if (mac_len == 0 || mac_len > sizeof mac ||
        !str_unhex((str){token.ptr, 2 * sizeof x}, (uint8_t *)&x, sizeof x) ||
        !str_unhex((str){token.ptr + 2 * sizeof x, token.len - 2 * sizeof x}, mac, mac_len) ||
        !crypto_mac_matches(keys, MAC_PURPOSE, &whole, 1, kept, &ours, &unknown) || !ours ||
        memcmp(x.about, about, sizeof about) != 0) {
        return recon_progress_refuse(e);
    }
    *progress = x.progress;
    return recon_progress_check(progress, e);
}

// --- messages ----------------------------------------------------------------------------------------------------------

typedef struct proof {
    const connections *k;
    const crypto_keyring *keys;
    rpc_call *call;
    const Payments__V1__ProveBookRequest *request;
    arena *a;         // for one message
    int64_t waits_ms; // time left for waits on the reader
} proof;

// A slow but steady reader would keep one of few places for as long as it likes.
static bool send_to(proof *f, const Payments__V1__ProveBookResponse *m) {
    const int64_t began_ms = clock_mono_ms(clock_system());
    const bool ok = rpc_write(f->call, &m->base);
    f->waits_ms -= clock_mono_ms(clock_system()) - began_ms;
    return ok && f->waits_ms > 0;
}

static Payments__V1__PayoutDifference *difference_to_pb(const connections *k,
                                                        const recon_difference *d, arena *a) {
    Payments__V1__PayoutDifference *out = ARENA_NEW(a, Payments__V1__PayoutDifference);
    payments__v1__payout_difference__init(out);
    out->payout_id = uuid_text(a, d->payout->payout_id);
    out->merchant_id = (char *)d->payout->merchant_id;
    out->rail = pb_rail(k, d->payout->rail);
    out->connection = pb_connection(k, d->payout->rail, a);
    out->currency = (char *)d->payout->currency;
    out->state = (Payments__V1__PayoutState)d->payout->state;
    out->figure = (char *)d->what.figure;
    out->expected_minor = d->what.expected;
    out->found_minor = d->what.found;
    return out;
}

static Payments__V1__ProvenPayout *payout_to_pb(const connections *k, int64_t book_id,
                                                const recon_payout *p, arena *a) {
    Payments__V1__ProvenPayout *out = ARENA_NEW(a, Payments__V1__ProvenPayout);
    payments__v1__proven_payout__init(out);
    out->payout_id = uuid_text(a, p->payout_id);
    out->merchant_id = (char *)p->merchant_id;
    out->rail = pb_rail(k, p->rail);
    out->connection = pb_connection(k, p->rail, a);
    out->currency = (char *)p->currency;
    out->amount_minor = p->saga.amount;
    out->state = (Payments__V1__PayoutState)p->state;
    out->bank_reference = arena_must(a, BANK_REFERENCE_MAX);
    bank_reference(book_id, (int)out->rail, p->intent_id, out->bank_reference);
    out->at_bank_minor = p->found.at_bank;
    out->returned_minor = p->saga.state == STATE_SETTLED ? p->saga.returned : 0;
    return out;
}

// Labels of the connections known here; an account with an unknown label shows only its id.
static const char *label_of(const connections *k, int64_t book_id, const recon_account *x) {
    size_t n = 0;
    const connection_info *known = connections_all(k, &n);
    const str ccy = str_of(x->currency);
    if (uuid_eq(x->account_id, account_bank(book_id, STR(BANK_ACCOUNT_MAIN), ccy))) {
        return BANK_ACCOUNT_MAIN;
    }
    for (size_t i = 0; i < n; i++) {
        const char *label = known[i].bank_account;
        if (label != NULL && uuid_eq(x->account_id, account_bank(book_id, str_of(label), ccy))) {
            return label;
        }
    }
    return "";
}

static Payments__V1__ProvenAccount *account_to_pb(const connections *k, int64_t book_id,
                                                  const recon_account *x, arena *a) {
    Payments__V1__ProvenAccount *out = ARENA_NEW(a, Payments__V1__ProvenAccount);
    payments__v1__proven_account__init(out);
    const bool owed = x->rail == RECON_RECEIVABLE, bank = x->rail == RECON_BANK;
    out->account_id = owed ? (char *)"" : uuid_text(a, x->account_id);
    out->kind = (char *)(owed ? "RECEIVABLE" : bank ? "BANK" : "TRANSIT");
    if (!owed && !bank) {
        out->rail = pb_rail(k, x->rail);
        out->connection = pb_connection(k, x->rail, a);
    }
    out->currency = (char *)x->currency;
    out->bank_account = (char *)(x->rail == RECON_BANK ? label_of(k, book_id, x) : "");
    out->expected_posted_minor = x->expected_posted;
    out->found_posted_minor = x->found_posted;
    out->expected_reserved_minor = x->expected_reserved;
    out->found_reserved_minor = x->found_reserved;
    return out;
}

// These messages have parts of a window: a break among them restarts the window.
static bool send_payouts(proof *f, const recon_part *part) {
    bool ok = true;
    for (size_t at = 0; ok && f->request->with_payouts && at < part->n_payouts;
         at += MESSAGE_ITEMS) {
        Payments__V1__ProveBookResponse m = PAYMENTS__V1__PROVE_BOOK_RESPONSE__INIT;
        Payments__V1__ProvenPayout *items[MESSAGE_ITEMS];
        m.sequence = part->progress->sequence;
        m.payouts = items;
        for (; m.n_payouts < MESSAGE_ITEMS && at + m.n_payouts < part->n_payouts; m.n_payouts++) {
            items[m.n_payouts] =
                payout_to_pb(f->k, f->request->book_id, &part->payouts[at + m.n_payouts], f->a);
        }
        ok = send_to(f, &m);
        arena_reset(f->a);
    }
    return ok;
}

static bool send_differences(proof *f, const recon_part *part) {
    bool ok = true;
    for (size_t at = 0; ok && at < part->n_differences; at += MESSAGE_ITEMS) {
        Payments__V1__ProveBookResponse m = PAYMENTS__V1__PROVE_BOOK_RESPONSE__INIT;
        Payments__V1__PayoutDifference *items[MESSAGE_ITEMS];
        m.sequence = part->progress->sequence;
        m.differences = items;
        for (; m.n_differences < MESSAGE_ITEMS && at + m.n_differences < part->n_differences;
             m.n_differences++) {
            items[m.n_differences] =
                difference_to_pb(f->k, &part->differences[at + m.n_differences], f->a);
        }
        ok = send_to(f, &m);
        arena_reset(f->a);
    }
    return ok;
}

static bool on_part(void *arg, const recon_part *part) {
    proof *f = arg;
    Payments__V1__ProveBookResponse m = PAYMENTS__V1__PROVE_BOOK_RESPONSE__INIT;
    Payments__V1__ProvenAccount *accounts[RECON_ACCOUNTS_MAX];
    bool ok = !rpc_cancelled(f->call) && send_payouts(f, part) && send_differences(f, part);
    m.sequence = part->progress->sequence;
    m.payouts_compared = (int64_t)part->n_payouts;
    m.accounts = accounts;
    for (size_t i = 0; i < part->n_accounts; i++) {
        accounts[m.n_accounts++] =
            account_to_pb(f->k, f->request->book_id, &part->accounts[i], f->a);
    }
    if (!part->last) {
        m.resume_token = make_token(f->keys, f->request, part->progress, f->a);
    }
    ok = ok && send_to(f, &m);
    arena_reset(f->a);
    return ok;
}

typedef struct book_look {
    const payments_service *s;
    int64_t book_id;
} book_look;

static bool book_tx(db_conn *c, arena *a, void *arg, err *e) {
    const book_look *x = arg;
    return pb_book_exists(x->s, c, x->book_id, "book_id", a, e);
}

static bool check_request(const payments_service *s, const Payments__V1__ProveBookRequest *r,
                          recon_progress *progress, arena *a, err *e) {
    if (r->book_id <= 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BOOK_INVALID", "book_id",
                             "book_id must be above 0");
    }
    if (r->merchant_id[0] != '\0' && !rule_merchant_id(str_of(r->merchant_id), "merchant_id", e)) {
        return false;
    }
    return r->resume_token[0] == '\0' || read_token(s->o.keys, r, progress, a, e);
}

static void handle_prove_book(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const payments_service *s = service;
    const Payments__V1__ProveBookRequest *r = (const Payments__V1__ProveBookRequest *)request;
    recon_progress progress = {.sequence = 0};
    book_look book = {s, r->book_id};
    err e = {0};
    if (!check_request(s, r, &progress, rpc_arena(call), &e) ||
        !db_read(s->o.pool, rpc_deadline_mono_ms(call), rpc_arena(call), book_tx, &book, &e)) {
        rpc_fail(call, &e);
        return;
    }
    if (atomic_fetch_add(&under_way, 1) >= PROOFS_MAX) {
        atomic_fetch_sub(&under_way, 1);
        err_set(&e, ERR_RESOURCE_EXHAUSTED, "PROOF_BUSY", "other proofs are under way");
        e.retry_after_ms = 1000;
        rpc_fail(call, &e);
        return;
    }
    proof f = {.k = s->o.connections,
               .keys = s->o.keys,
               .call = call,
               .request = r,
               .a = arena_create(PROOF_ARENA_MAX),
               .waits_ms = s->o.recon.reader_wait_ms};
    const recon_job work = {.pool = s->o.stream_pool,
                            .ledger = s->o.ledger,
                            .book_id = r->book_id,
                            .merchant_id = str_of(r->merchant_id),
                            .deadline_mono_ms = rpc_deadline_mono_ms(call),
                            .read_timeout_ms = s->o.ledger_timeout_ms,
                            .window = (size_t)s->o.recon.window};
    const bool ok =
        recon_prove(&work, &progress, on_part, &f, &e) &&
        (f.waits_ms > 0 || err_set(&e, ERR_RESOURCE_EXHAUSTED, "READER_SLOW",
                                   "the proof waited too long for its reader: go on from the last "
                                   "resume_token, and read faster"));
    arena_destroy(f.a);
    atomic_fetch_sub(&under_way, 1);
    if (!ok) {
        rpc_fail(call, &e);
    } else {
        rpc_stream_end(call);
    }
}

const rpc_method RECONCILIATION_METHODS[] = {{.name = "ProveBook", .stream = handle_prove_book}};
const size_t N_RECONCILIATION_METHODS =
    sizeof RECONCILIATION_METHODS / sizeof RECONCILIATION_METHODS[0];
