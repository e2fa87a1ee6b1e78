// Every request of ledger.v1 through the whole of ledger-svc's front: the first byte chooses the method, the rest is the message.
// It goes through the wire checks and the handler with its decoders; transfers and accounts that pass are posted to a book in
// memory, so that the posting rules and the encoders see them, too. There is no gRPC, no database and no journal here: this file
// stands in for the functions of those rooms that the handlers call.
#include <string.h>

#include "api/api.h"
#include "api/api_internal.h"
#include "domain/apply.h"
#include "fuzz.h"
#include "rpc/wire_internal.h"

enum { MAP_MAX = 1 << 15, STREAM_MESSAGES_MAX = 4 };

// --- In place of rpc -------------------------------------------------------------------------------------------------

struct rpc_call {
    arena *a;
    int answers;
};

arena *rpc_arena(rpc_call *c) {
    return c->a;
}

int64_t rpc_deadline_mono_ms(const rpc_call *c) {
    (void)c;
    return INT64_MAX;
}

bool rpc_cancelled(const rpc_call *c) {
    return c->answers != 0;
}

// What we send must be what our own side of the wire takes.
static void check_message(rpc_call *c, const ProtobufCMessage *m) {
    const size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = arena_alloc(c->a, len + 1);
    if (bytes != NULL) {
        err e;
        err_clear(&e);
        ASSERT(protobuf_c_message_pack(m, bytes) == len);
        ASSERT(wire_validate(fuzz_str(bytes, len), m->descriptor, &e));
    }
}

void rpc_reply(rpc_call *c, const ProtobufCMessage *response) {
    ASSERT(c->answers++ == 0);
    check_message(c, response);
}

void rpc_fail(rpc_call *c, const err *e) {
    ASSERT(c->answers++ == 0);
    fuzz_check_refusal(e);
}

bool rpc_write(rpc_call *c, const ProtobufCMessage *message) {
    ASSERT(c->answers == 0);
    check_message(c, message);
    return true;
}

void rpc_stream_end(rpc_call *c) {
    ASSERT(c->answers++ == 0);
}

bool rpc_stream_wait(rpc_call *c, int64_t ms) {
    (void)ms;
    return c->answers == 0;
}

// --- In place of db: nobody is there ---------------------------------------------------------------------------------

static bool unavailable(err *e) {
    return err_set(e, ERR_UNAVAILABLE, "NO_DATABASE", "there is no database in a fuzzer");
}

bool db_transact(db_pool *p, int64_t deadline_mono_ms, arena *a, db_tx_fn fn, void *arg, err *e) {
    (void)p, (void)deadline_mono_ms, (void)a, (void)fn, (void)arg;
    return unavailable(e);
}

bool db_read(db_pool *p, int64_t deadline_mono_ms, arena *a, db_tx_fn fn, void *arg, err *e) {
    (void)p, (void)deadline_mono_ms, (void)a, (void)fn, (void)arg;
    return unavailable(e);
}

db_conn *db_pool_checkout(db_pool *p, int64_t deadline_mono_ms, err *e) {
    (void)p, (void)deadline_mono_ms;
    (void)unavailable(e);
    return NULL;
}

void db_pool_checkin(db_pool *p, db_conn *c) {
    (void)p;
    ASSERT(c == NULL);
}

// --- In place of the journal: a book in memory, new for each input ---------------------------------------------------

uint64_t journal_mark(journal *j, int64_t book_id) {
    (void)j, (void)book_id;
    return 0;
}

void journal_wait(journal *j, int64_t book_id, uint64_t mark, int64_t ms) {
    (void)j, (void)book_id, (void)mark, (void)ms;
}

static uuid account_id(uint8_t n) {
    uuid id = {{0}};
    id.b[15] = n;
    return id;
}

// Accounts 1 to 4: two without limits, one of each limit.
static void open_accounts(ledger_tx *tx) {
    const uint32_t flags[] = {0, 0, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS,
                              LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS};
    ledger_account_event events[4];
    ledger_account_result results[4];
    for (uint8_t i = 0; i < 4; i++) {
        events[i] = (ledger_account_event){.id = account_id((uint8_t)(i + 1)),
                                           .code = 1,
                                           .flags = flags[i],
                                           .currency = ledger_currency_pack(STR("USD"))};
    }
    ledger_apply_accounts(tx, events, 4, results);
    ASSERT(results[3].status == LEDGER_ACCOUNT_CREATED);
}

static void post(ledger_tx *tx, journal_request *r) {
    const int64_t sequence_before = tx->sequence;
    const int64_t timestamp_before_us = tx->timestamp_us;
    if (r->accounts != NULL) {
        ledger_apply_accounts(tx, r->accounts, r->n, r->account_results);
    } else {
        open_accounts(tx);
        ledger_apply_transfers(tx, r->transfers, r->n, r->transfer_results);
    }
    ledger_tx_verify(tx, sequence_before, timestamp_before_us);
    ledger_tx_finish(tx, false);
}

bool journal_submit(journal *j, journal_request *r, err *e) {
    (void)j, (void)e;
    const size_t n = r->n;
    ASSERT(n >= 1 && n <= LEDGER_BATCH_MAX && (r->accounts == NULL) != (r->transfers == NULL));
    arena *a = arena_create(FUZZ_ARENA_MAX);
    ledger_tx tx = {
        .accounts = map_create(n + 4, MAP_MAX),
        .transfers = map_create(n, MAP_MAX),
        .burned = map_create(1, MAP_MAX),
        .references = map_create(1, MAP_MAX),
        .timestamp_us = INT64_C(1800000000) * 1000000,
        .next_expires_us = LEDGER_NEVER_US,
        .rows = ARENA_ARRAY(a, ledger_row, n + 1),
        .rows_max = n + 1,
        .new_accounts = ARENA_ARRAY(a, ledger_account, n + 4),
        .new_accounts_max = n + 4,
        .touched = ARENA_ARRAY(a, ledger_touched, 2 * n + 4),
        .touched_max = 2 * n + 4,
        .new_burned = ARENA_ARRAY(a, ledger_burned, n),
        .new_burned_max = n,
    };
    ASSERT(tx.rows != NULL && tx.new_accounts != NULL && tx.touched != NULL &&
           tx.new_burned != NULL);
    post(&tx, r);
    r->done(r, NULL);
    map_destroy(tx.accounts);
    map_destroy(tx.transfers);
    map_destroy(tx.burned);
    map_destroy(tx.references);
    arena_destroy(a);
    return true;
}

// --- One input -------------------------------------------------------------------------------------------------------

// In the order of the proto file, so that an input of the corpus stays what it is.
static const rpc_method *method_of(const rpc_service *service, const char *name) {
    for (size_t i = 0; i < service->n_methods; i++) {
        if (strcmp(service->methods[i].name, name) == 0) {
            return &service->methods[i];
        }
    }
    ASSERT(!"a method that nobody handles");
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const head_keys NO_KEYS;
    if (size == 0) {
        return 0;
    }
    ledger_api api = {.clock = clock_system(), .audit_keys = &NO_KEYS};
    const rpc_service service = ledger_api_service(&api);
    const ProtobufCMethodDescriptor *asked =
        &service.descriptor->methods[data[0] % service.descriptor->n_methods];
    const rpc_method *method = method_of(&service, asked->name);
    rpc_call call = {.a = arena_create(FUZZ_ARENA_MAX)};
    err e;
    err_clear(&e);
    const ProtobufCMessage *request =
        wire_unpack(fuzz_str(data + 1, size - 1), asked->input, call.a, &e);
    if (request == NULL) {
        fuzz_check_refusal(&e);
    } else {
        (method->unary != NULL ? method->unary : method->stream)(&call, service.self, request);
        ASSERT(call.answers == 1);
    }
    arena_destroy(call.a);
    return 0;
}
