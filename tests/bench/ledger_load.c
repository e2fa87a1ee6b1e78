// The client of the ledger's benchmark. Its own work must not be measured: it packs batches before the clock starts, and only looks at
// answers without unpacking them.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "ledger/v1/ledger.pb-c.h"
#include "ledger_bench.h"

enum {
    ARENA_BYTES_MAX = 256 << 20,
    CALL_TIMEOUT_MS = 120000,
    THREADS_MAX = 256,
    TEXT = UUID_TEXT_LEN + 1
};

#define CREATE_TRANSFERS "/ledger.v1.LedgerService/CreateTransfers"

static void call(const ledger_bench *b, const char *path, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *type, arena *a, ProtobufCMessage **answer) {
    err e = {0};
    if (!rpc_client_call(b->client, path, request, type, bench_now_us() / 1000 + CALL_TIMEOUT_MS, a,
                         answer, &e)) {
        (void)fprintf(stderr, "%s %s\n", e.reason, e.detail);
        bench_fail(path, e.message);
    }
}

// --- Messages as bytes -----------------------------------------------------------------------------------------------

// A message without known fields: all its content is bytes, in and out.
static const ProtobufCMessageDescriptor RAW = {
    .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
    .name = "Raw",
    .short_name = "Raw",
    .c_name = "Raw",
    .package_name = "",
    .sizeof_message = sizeof(ProtobufCMessage),
};

typedef struct packed {
    ProtobufCMessage m;
    ProtobufCMessageUnknownField rest; // the whole message but for its first byte, which is a tag
} packed;

// Keeps what the message packs to.
static void pack(packed *p, const ProtobufCMessage *m) {
    const size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = malloc(len);
    ASSERT(bytes != NULL && len > 1);
    MUST(protobuf_c_message_pack(m, bytes) == len);
    ASSERT((bytes[0] & 0x80) == 0);
    *p = (packed){
        .m = {.descriptor = &RAW, .n_unknown_fields = 1},
        .rest = {.tag = bytes[0] >> 3,
                 .wire_type = (ProtobufCWireType)(bytes[0] & 7),
                 .len = len - 1,
                 .data = bytes + 1},
    };
}

static void packed_free(packed *p) {
    free(p->rest.data - 1);
}

// Every result must begin with field 1, status, being CREATED.
static void check_created(const ProtobufCMessage *answer, size_t n) {
    static const uint8_t created[] = {0x08, 0x01};
    if (answer->n_unknown_fields != n) {
        bench_fail(CREATE_TRANSFERS, "results are missing");
    }
    for (size_t i = 0; i < n; i++) {
        const ProtobufCMessageUnknownField *result = &answer->unknown_fields[i];
        const size_t prefix = result->len < 129 ? 1 : 2; // of the length
        if (result->tag != 1 || result->len < prefix + sizeof created ||
            memcmp(result->data + prefix, created, sizeof created) != 0) {
            bench_fail(CREATE_TRANSFERS, "a transfer was not created");
        }
    }
}

// --- Events ----------------------------------------------------------------------------------------------------------

static void account_text(int64_t book_id, uint64_t n, char out[TEXT]) {
    (void)snprintf(out, TEXT, "%08x-0000-8000-8000-%012llx", (unsigned)book_id,
                   (unsigned long long)n + 1);
}

void load_make_book(const ledger_bench *b, int64_t book_id) {
    arena *a = arena_create(ARENA_BYTES_MAX);
    ProtobufCMessage *answer = NULL;
    Ledger__V1__CreateBookRequest book = LEDGER__V1__CREATE_BOOK_REQUEST__INIT;
    book.book_id = book_id;
    book.name = "bench";
    call(b, "/ledger.v1.LedgerService/CreateBook", &book.base,
         &ledger__v1__create_book_response__descriptor, a, &answer);
    for (size_t first = 0; first < ACCOUNTS; first += ACCOUNTS / 2) {
        Ledger__V1__CreateAccountsRequest request = LEDGER__V1__CREATE_ACCOUNTS_REQUEST__INIT;
        request.book_id = book_id;
        request.n_accounts = ACCOUNTS / 2;
        request.accounts = ARENA_ARRAY(a, Ledger__V1__Account *, ACCOUNTS / 2);
        for (size_t i = 0; i < ACCOUNTS / 2; i++) {
            Ledger__V1__Account *account = ARENA_NEW(a, Ledger__V1__Account);
            ledger__v1__account__init(account);
            account->id = arena_must(a, TEXT);
            account_text(book_id, first + i, account->id);
            account->code = 1;
            account->currency = "USD";
            request.accounts[i] = account;
        }
        call(b, "/ledger.v1.LedgerService/CreateAccounts", &request.base, &RAW, a, &answer);
        check_created(answer, ACCOUNTS / 2);
    }
    arena_destroy(a);
}

typedef struct event {
    Ledger__V1__Transfer m;
    char id[TEXT], debit[TEXT], credit[TEXT], pending[TEXT];
} event;

static void event_plain(event *v, int64_t book_id, bool hot, uint64_t *random) {
    const uint64_t debit = hot ? 0 : bench_random(random) % ACCOUNTS;
    const uint64_t credit = (debit + 1 + bench_random(random) % (ACCOUNTS - 1)) % ACCOUNTS;
    account_text(book_id, debit, v->debit);
    account_text(book_id, credit, v->credit);
    v->m.debit_account_id = v->debit;
    v->m.credit_account_id = v->credit;
    v->m.amount = 1 + (int64_t)(bench_random(random) % 1000);
    v->m.currency = "USD";
    v->m.code = 1;
}

// One batch. A post follows the pending with the same index of the batch before, whose ids are still in v.
static void batch_fill(event *v, int64_t book_id, load_kind kind, bool post, uint64_t *random) {
    for (size_t i = 0; i < BATCH; i++) {
        if (post) {
            memcpy(v[i].pending, v[i].id, TEXT);
        }
        ledger__v1__transfer__init(&v[i].m);
        uuid_format(uuid_v7(clock_system()), v[i].id);
        v[i].m.id = v[i].id;
        if (post) {
            v[i].m.pending_id = v[i].pending;
            v[i].m.amount = INT64_MAX;
            v[i].m.flags = LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_POST_PENDING_TRANSFER;
        } else {
            event_plain(&v[i], book_id, kind == LOAD_HOT, random);
            v[i].m.flags = kind == LOAD_PENDING
                               ? LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_PENDING
                               : LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_UNSPECIFIED;
        }
    }
}

static packed *batches_make(int64_t book_id, load_kind kind, size_t n) {
    static uint64_t random = 88172645463325252u;
    event *v = calloc(BATCH, sizeof *v);
    Ledger__V1__Transfer **pointers = calloc(BATCH, sizeof *pointers);
    packed *batches = calloc(n, sizeof *batches);
    ASSERT(v != NULL && pointers != NULL && batches != NULL);
    for (size_t k = 0; k < n; k++) {
        Ledger__V1__CreateTransfersRequest request = LEDGER__V1__CREATE_TRANSFERS_REQUEST__INIT;
        batch_fill(v, book_id, kind, kind == LOAD_PENDING && k % 2 == 1, &random);
        for (size_t i = 0; i < BATCH; i++) {
            pointers[i] = &v[i].m;
        }
        request.book_id = book_id;
        request.transfers = pointers;
        request.n_transfers = BATCH;
        pack(&batches[k], &request.base);
    }
    free(v);
    free(pointers);
    return batches;
}

// --- Batches ---------------------------------------------------------------------------------------------------------

typedef struct senders {
    const ledger_bench *b;
    packed *batches;
    size_t n_batches,
        stride; // a thread sends `stride` batches after each other, then takes the next
    atomic_size_t next;
    int64_t book_id;
    int64_t until_us;
    atomic_llong n_done;
} senders;

static void *send_batches(void *arg) {
    senders *s = arg;
    arena *a = arena_create(ARENA_BYTES_MAX);
    for (size_t first; (first = atomic_fetch_add(&s->next, s->stride)) < s->n_batches;) {
        for (size_t k = first; k < first + s->stride && k < s->n_batches; k++) {
            ProtobufCMessage *answer = NULL;
            s->batches[k].m.unknown_fields = &s->batches[k].rest;
            call(s->b, CREATE_TRANSFERS, &s->batches[k].m, &RAW, a, &answer);
            check_created(answer, BATCH);
            arena_reset(a);
        }
    }
    arena_destroy(a);
    return NULL;
}

static void run_threads(senders *s, size_t n, void *(*work)(void *)) {
    pthread_t threads[THREADS_MAX];
    ASSERT(n <= THREADS_MAX);
    for (size_t i = 0; i < n; i++) {
        MUST(pthread_create(&threads[i], NULL, work, s) == 0);
    }
    for (size_t i = 0; i < n; i++) {
        MUST(pthread_join(threads[i], NULL) == 0);
    }
}

int64_t load_run(const ledger_bench *b, int64_t book_id, load_kind kind, size_t n_batches) {
    // Pendings and their posts go one after the other.
    senders s = {.b = b, .n_batches = n_batches, .stride = kind == LOAD_PENDING ? 2 : 1};
    s.batches = batches_make(book_id, kind, n_batches);
    const int64_t before_us = bench_now_us();
    run_threads(&s, (size_t)b->o.in_flight, send_batches);
    const int64_t us = bench_now_us() - before_us;
    for (size_t k = 0; k < n_batches; k++) {
        packed_free(&s.batches[k]);
    }
    free(s.batches);
    return us;
}

// --- One transfer a call ---------------------------------------------------------------------------------------------

static void single_make(packed *p, int64_t book_id, uint64_t *random) {
    event v = {0};
    Ledger__V1__Transfer *pointer = &v.m;
    Ledger__V1__CreateTransfersRequest request = LEDGER__V1__CREATE_TRANSFERS_REQUEST__INIT;
    ledger__v1__transfer__init(&v.m);
    uuid_format(uuid_v7(clock_system()), v.id);
    v.m.id = v.id;
    event_plain(&v, book_id, false, random);
    request.book_id = book_id;
    request.transfers = &pointer;
    request.n_transfers = 1;
    pack(p, &request.base);
    p->m.unknown_fields = &p->rest;
}

static int64_t single_send(const ledger_bench *b, int64_t book_id, arena *a, uint64_t *random) {
    packed p;
    ProtobufCMessage *answer = NULL;
    single_make(&p, book_id, random);
    p.m.unknown_fields = &p.rest;
    const int64_t before_us = bench_now_us();
    call(b, CREATE_TRANSFERS, &p.m, &RAW, a, &answer);
    const int64_t us = bench_now_us() - before_us;
    check_created(answer, 1);
    packed_free(&p);
    arena_reset(a);
    return us;
}

int64_t load_single_latency_us(const ledger_bench *b, int64_t book_id, size_t n) {
    arena *a = arena_create(ARENA_BYTES_MAX);
    int64_t *us = calloc(n, sizeof *us);
    uint64_t random = 7;
    ASSERT(us != NULL && n > 0);
    for (size_t i = 0; i < n; i++) {
        us[i] = single_send(b, book_id, a, &random);
    }
    qsort(us, n, sizeof *us, bench_compare);
    const int64_t median = us[n / 2];
    free(us);
    arena_destroy(a);
    return median;
}

// One thread's share of the calls in flight: after each answer it sends the next call.
static void *send_singles(void *arg) {
    senders *s = arg;
    arena *a = arena_create(ARENA_BYTES_MAX);
    uint64_t random = 1 + atomic_fetch_add(&s->next, 1);
    rpc_flight *f = rpc_flight_create(s->b->client);
    bool go_on = true;
    for (size_t n = s->stride; n > 0 || rpc_flight_count(f) > 0; n = go_on ? 1 : 0) {
        for (; n > 0; n--) {
            packed p;
            single_make(&p, s->book_id, &random);
            p.m.unknown_fields = &p.rest;
            rpc_flight_start(f, CREATE_TRANSFERS, &p.m, bench_now_us() / 1000 + CALL_TIMEOUT_MS,
                             NULL);
            packed_free(&p);
        }
        void *tag = NULL;
        ProtobufCMessage *answer = NULL;
        err e = {0};
        if (!rpc_flight_next(f, &RAW, a, &tag, &answer, &e)) {
            bench_fail(CREATE_TRANSFERS, e.message);
        }
        check_created(answer, 1);
        arena_reset(a);
        atomic_fetch_add(&s->n_done, 1);
        go_on = bench_now_us() < s->until_us;
    }
    rpc_flight_destroy(f);
    arena_destroy(a);
    return NULL;
}

// Two threads, as in pgbench: the calls in flight are measured, not threads that take turns.
double load_singles_per_s(const ledger_bench *b, int64_t book_id, size_t in_flight, long seconds) {
    enum { SENDERS = 2 };
    const int64_t before_us = bench_now_us();
    senders s = {.b = b,
                 .book_id = book_id,
                 .stride = (in_flight + SENDERS - 1) / SENDERS,
                 .until_us = before_us + seconds * INT64_C(1000000)};
    run_threads(&s, SENDERS, send_singles);
    return (double)atomic_load(&s.n_done) * 1e6 / (double)(bench_now_us() - before_us);
}

// --- Lists -----------------------------------------------------------------------------------------------------------

void load_list_latencies(const ledger_bench *b, int64_t book_id, size_t n, uint64_t *random,
                         int64_t *latency_us) {
    arena *a = arena_create(ARENA_BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        char account[TEXT];
        ProtobufCMessage *answer = NULL;
        Ledger__V1__TransferFilter filter = LEDGER__V1__TRANSFER_FILTER__INIT;
        Ledger__V1__ListTransfersRequest request = LEDGER__V1__LIST_TRANSFERS_REQUEST__INIT;
        account_text(book_id, bench_random(random) % ACCOUNTS, account);
        filter.account_id = account;
        request.book_id = book_id;
        request.filter = &filter;
        request.order = LEDGER__V1__LIST_ORDER__LIST_ORDER_NEWEST_FIRST;
        request.page_size = PAGE_SIZE;
        const int64_t before_us = bench_now_us();
        call(b, "/ledger.v1.LedgerService/ListTransfers", &request.base, &RAW, a, &answer);
        latency_us[i] = bench_now_us() - before_us;
        if (answer->n_unknown_fields < 2) { // a transfer at least, and the sequence of the page
            bench_fail("ListTransfers", "an empty page");
        }
        arena_reset(a);
    }
    arena_destroy(a);
}
