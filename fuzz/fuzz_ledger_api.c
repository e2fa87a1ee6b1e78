// Every request of ledger.v1 through the whole of ledger-svc's front: the first byte chooses the method, the rest is the message.
// It goes through the wire checks and the handler with its decoders; transfers and accounts that pass are posted to a book in
// memory, so that the posting rules and the encoders see them, too. Lists and statements read a small journal that is made up. There
// is no gRPC, no database and no journal here: this file stands in for the functions of those rooms that the handlers call.
//
// A page_token that begins with '!' is the place of a page, in hexadecimal: it is made a token with the right checksum, which no
// input would ever hit.
#include <string.h>

#include "api/api.h"
#include "api/lists_internal.h"
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
        err e = {0};
        MUST(protobuf_c_message_pack(m, bytes) == len);
        MUST(wire_validate(fuzz_str(bytes, len), m->descriptor, &e));
    }
}

void rpc_reply(rpc_call *c, const ProtobufCMessage *response) {
    MUST(c->answers++ == 0);
    check_message(c, response);
}

void rpc_fail(rpc_call *c, const err *e) {
    MUST(c->answers++ == 0);
    fuzz_check_refusal(e);
}

bool rpc_write(rpc_call *c, const ProtobufCMessage *message) {
    ASSERT(c->answers == 0);
    check_message(c, message);
    return true;
}

void rpc_stream_end(rpc_call *c) {
    MUST(c->answers++ == 0);
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

// True for a call of which all reads are stood in for below.
static bool reads_made_up;

bool db_read(db_pool *p, int64_t deadline_mono_ms, arena *a, db_tx_fn fn, void *arg, err *e) {
    (void)p, (void)deadline_mono_ms;
    return reads_made_up ? fn(NULL, a, arg, e) : unavailable(e);
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

// --- In place of what lists read: nine rows, of any account, with amounts that add up to more than there is -----------

enum { ROWS = 9, ROW_US = 1000 };

static ledger_row made_up_row(int64_t sequence, uuid account) {
    uuid other = account_id(9);
    other.b[0] = 1;
    return (ledger_row){
        .sequence = sequence,
        .timestamp_us = sequence * ROW_US,
        .effective_us = sequence * ROW_US,
        .kind = LEDGER_KIND_SINGLE,
        .id = account_id((uint8_t)(100 + sequence)),
        .debit_account_id = sequence % 2 == 0 ? account : other,
        .credit_account_id = sequence % 2 == 0 ? other : account,
        .currency = ledger_currency_pack(STR("USD")),
        .code = 1,
        .amount = LEDGER_AMOUNT_MAX / 4,
    };
}

static ledger_account made_up_account(uuid id) {
    return (ledger_account){
        .id = id, .timestamp_us = ROW_US, .code = 1, .currency = ledger_currency_pack(STR("USD"))};
}

// The sequences in a range, at most max of them.
static size_t in_range(int64_t from, int64_t to, bool newest_first, size_t max, int64_t *out) {
    size_t n = 0;
    for (int64_t k = 1; k <= ROWS && n < max; k++) {
        const int64_t sequence = newest_first ? ROWS + 1 - k : k;
        if (sequence >= from && sequence <= to) {
            out[n++] = sequence;
        }
    }
    return n;
}

static bool new_i64(arena *a, int64_t **out, err *e) {
    *out = arena_calloc(a, ROWS, sizeof **out);
    return *out != NULL || unavailable(e);
}

bool journal_head(journal *j, db_conn *c, arena *a, int64_t book_id, bool *exists,
                  int64_t *at_sequence, err *e) {
    (void)j, (void)c, (void)a, (void)book_id, (void)e;
    *exists = true;
    *at_sequence = ROWS;
    return true;
}

bool journal_read_accounts(journal *j, db_conn *c, arena *a, int64_t book_id, store_ids ids,
                           bool *exists, int64_t *at_sequence, ledger_account **accounts, size_t *n,
                           err *e) {
    *accounts = arena_calloc(a, ids.n + 1, sizeof **accounts);
    *n = ids.n;
    for (size_t i = 0; *accounts != NULL && i < ids.n; i++) {
        (*accounts)[i] = made_up_account(ids.ids[i]);
    }
    return (*accounts != NULL || unavailable(e)) &&
           journal_head(j, c, a, book_id, exists, at_sequence, e);
}

bool journal_refresh_accounts(journal *j, db_conn *c, arena *a, int64_t book_id, bool *exists,
                              int64_t *at_sequence, ledger_account *accounts, size_t n, err *e) {
    (void)accounts, (void)n;
    return journal_head(j, c, a, book_id, exists, at_sequence, e);
}

bool journal_balances_at(journal *j, db_conn *c, arena *a, int64_t book_id, uuid account,
                         int64_t sequence, bool *exists, bool *found, ledger_balances *balances,
                         err *e) {
    (void)j, (void)c, (void)a, (void)book_id, (void)account, (void)sequence, (void)balances,
        (void)e;
    *exists = true;
    *found = false;
    return true;
}

bool journal_account_entries(journal *j, db_conn *c, arena *a, int64_t book_id,
                             const journal_entries_query *q, journal_entries *out, err *e) {
    (void)j, (void)c, (void)book_id;
    *out = (journal_entries){.exists = true, .at_sequence = ROWS};
    if (!new_i64(a, &out->sequences, e)) {
        return false;
    }
    out->n = in_range(q->from_sequence, q->to_sequence, q->newest_first, q->max, out->sequences);
    return true;
}

bool store_list_labeled(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                        const store_range *range, int64_t **sequences, size_t *n, err *e) {
    (void)c, (void)book_id, (void)f;
    if (!new_i64(a, sequences, e)) {
        return false;
    }
    *n = in_range(range->from, range->to, range->newest_first, range->max, *sequences);
    return true;
}

bool store_list_rows_at(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                        const int64_t *sequences, size_t n_sequences, const store_range *range,
                        ledger_row **rows, size_t *n, err *e) {
    (void)c, (void)book_id;
    *rows = arena_calloc(a, n_sequences + 1, sizeof **rows);
    *n = n_sequences < range->max ? n_sequences : range->max;
    for (size_t i = 0; *rows != NULL && i < *n; i++) {
        (*rows)[i] = made_up_row(sequences[i], f->has_account ? f->account_id : account_id(1));
    }
    return *rows != NULL || unavailable(e);
}

bool store_list_rows_of(db_conn *c, arena *a, int64_t book_id, const int64_t *sequences, size_t n,
                        bool newest_first, ledger_row **rows, err *e) {
    const store_transfer_filter any = {0};
    const store_range range = {.newest_first = newest_first, .max = n};
    size_t n_rows = 0;
    return store_list_rows_at(c, a, book_id, &any, sequences, n, &range, rows, &n_rows, e);
}

bool store_list_rows(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                     const store_range *range, ledger_row **rows, size_t *n, err *e) {
    int64_t *sequences = NULL;
    size_t n_sequences = 0;
    return store_list_labeled(c, a, book_id, f, range, &sequences, &n_sequences, e) &&
           store_list_rows_at(c, a, book_id, f, sequences, n_sequences, range, rows, n, e);
}

bool store_list_times(db_conn *c, arena *a, int64_t book_id, const int64_t *wanted, size_t n_wanted,
                      int64_t **sequences, int64_t **times_us, size_t *n, err *e) {
    (void)c, (void)book_id;
    *n = 0;
    if (!new_i64(a, sequences, e) || !new_i64(a, times_us, e)) {
        return false;
    }
    for (size_t i = 0; i < n_wanted; i++) {
        if (wanted[i] >= 1 && wanted[i] <= ROWS) {
            ASSERT(*n < ROWS);
            (*sequences)[*n] = wanted[i];
            (*times_us)[(*n)++] = wanted[i] * ROW_US;
        }
    }
    return true;
}

bool store_list_backdated(db_conn *c, arena *a, int64_t book_id, const store_backdated_query *q,
                          int64_t **sequences, size_t *n, err *e) {
    (void)c, (void)book_id, (void)q;
    *n = 0;
    return new_i64(a, sequences, e);
}

bool store_sum_backdated(db_conn *c, arena *a, int64_t book_id, uuid account,
                         int64_t effective_to_us, int64_t after_sequence, int64_t to_sequence,
                         ledger_balances *balances, err *e) {
    (void)c, (void)a, (void)book_id, (void)account, (void)effective_to_us, (void)after_sequence;
    (void)to_sequence, (void)balances, (void)e;
    return true;
}

// Accounts are made at the times 1 to 9.
bool store_list_account_times(db_conn *c, arena *a, int64_t book_id, const store_account_filter *f,
                              const store_range *range, int64_t **times_us, size_t *n, err *e) {
    (void)f;
    const store_transfer_filter any = {0};
    return store_list_labeled(c, a, book_id, &any, range, times_us, n, e);
}

bool store_list_accounts_at(db_conn *c, arena *a, int64_t book_id, const store_account_filter *f,
                            const int64_t *times_us, size_t n_times, const store_range *range,
                            ledger_account **accounts, size_t *n, err *e) {
    (void)c, (void)book_id, (void)f;
    *accounts = arena_calloc(a, n_times + 1, sizeof **accounts);
    *n = n_times < range->max ? n_times : range->max;
    for (size_t i = 0; *accounts != NULL && i < *n; i++) {
        (*accounts)[i] = made_up_account(account_id((uint8_t)times_us[i]));
        (*accounts)[i].timestamp_us = times_us[i];
    }
    return *accounts != NULL || unavailable(e);
}

// --- Page tokens -----------------------------------------------------------------------------------------------------

static void *field_of(ProtobufCMessage *m, const char *name) {
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
    return f == NULL ? NULL : (uint8_t *)m + f->offset;
}

static uint64_t hex_digit(char c) {
    static const char DIGITS[] = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(DIGITS, c);
    return at == NULL ? 0 : (uint64_t)(at - DIGITS);
}

// What is left out is 0.
static void place_read(const char *hex, page_token *t) {
    for (size_t i = 0; i < t->n; i++) {
        uint64_t v = 0;
        for (size_t k = 0; k < 16; k++) {
            v = v << 4 | hex_digit(*hex);
            hex += *hex != '\0' ? 1 : 0;
        }
        t->place[i] = (int64_t)v;
    }
}

static void make_token(arena *a, ProtobufCMessage *request) {
    char **text = field_of(request, "page_token");
    uint32_t *page_size = field_of(request, "page_size");
    if (text == NULL || (*text)[0] != '!') {
        return;
    }
    ASSERT(page_size != NULL);
    const bool is_statement = field_of(request, "basis") != NULL;
    page_token t = {.request = request, .n = is_statement ? 7 : 1};
    const uint32_t size_asked = *page_size;
    err e = {0};
    place_read(*text + 1, &t);
    *page_size = 0;
    *text = (char *)protobuf_c_empty_string;
    char *made = api_page_token_make(a, &t, &e);
    *page_size = size_asked;
    if (made != NULL) {
        *text = made;
    }
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
    err e = {0};
    ProtobufCMessage *request = wire_unpack(fuzz_str(data + 1, size - 1), asked->input, call.a, &e);
    if (request == NULL) {
        fuzz_check_refusal(&e);
    } else {
        make_token(call.a, request);
        reads_made_up =
            field_of(request, "page_token") != NULL || field_of(request, "as_of") != NULL;
        (method->unary != NULL ? method->unary : method->stream)(&call, service.self, request);
        ASSERT(call.answers == 1);
    }
    arena_destroy(call.a);
    return 0;
}
