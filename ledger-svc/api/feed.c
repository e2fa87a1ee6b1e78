// ReadJournal: pages of the journal, on the stream's own thread. Each page is one read. Its connection and memory are given back before the
// page is sent, so a slow reader holds neither.
#include "api/api_internal.h"

#include "query/query.h"

enum { FEED_READ_TIMEOUT_MS = 10000, FEED_PAGE_BYTES_MAX = 32 * 1024 * 1024 };

typedef struct feed {
    ledger_api *api;
    rpc_call *call;
    arena *page; // memory of one page
    int64_t book_id, next_sequence;
    size_t batch_max;
    // The results of the last read.
    bool exists;
    ledger_row *rows;
    size_t n;
} feed;

static bool read_page(db_conn *c, arena *a, void *arg, err *e) {
    feed *f = arg;
    return store_read_journal(c, a, f->book_id, f->next_sequence, f->batch_max, &f->exists,
                              &f->rows, &f->n, e);
}

static bool feed_read(feed *f, err *e) {
    const int64_t own_ms = clock_mono_ms(f->api->clock) + FEED_READ_TIMEOUT_MS;
    const int64_t call_ms = rpc_deadline_mono_ms(f->call);
    if (!db_read(f->api->pool, own_ms < call_ms ? own_ms : call_ms, f->page, read_page, f, e)) {
        return false;
    }
    return f->exists ||
           err_set_field(e, ERR_NOT_FOUND, "BOOK_NOT_FOUND", "book_id", "there is no such book");
}

// False when the stream is over or *e is set. Rows with many labels may not fit into one message: the next page begins with the rest.
static bool feed_write(feed *f, err *e) {
    Ledger__V1__ReadJournalResponse response = LEDGER__V1__READ_JOURNAL_RESPONSE__INIT;
    f->n = query_rows_fitting(f->rows, f->n);
    response.transfers = api_array(f->page, f->n, sizeof *response.transfers, e);
    if (response.transfers == NULL) {
        return false;
    }
    for (size_t i = 0; i < f->n; i++) {
        response.transfers[i] = api_transfer_encode(f->page, &f->rows[i], e);
        if (response.transfers[i] == NULL) {
            return false;
        }
    }
    response.n_transfers = f->n;
    f->next_sequence = f->rows[f->n - 1].sequence + 1;
    return rpc_write(f->call, &response.base);
}

// False when the reader has all its rows, is gone, or *e is set.
static bool feed_step(feed *f, bool follow, err *e) {
    if (rpc_cancelled(f->call)) {
        return false;
    }
    const uint64_t mark = journal_mark(f->api->journal, f->book_id);
    if (!feed_read(f, e)) {
        return false;
    }
    if (f->n != 0) {
        return feed_write(f, e);
    }
    if (!follow) {
        return false;
    }
    journal_wait(f->api->journal, f->book_id, mark, API_FOLLOW_POLL_MS);
    // Ends a cancelled stream. The millisecond bounds the pace when the journal no longer waits.
    return rpc_stream_wait(f->call, 1);
}

static bool feed_check(const Ledger__V1__ReadJournalRequest *r, err *e) {
    if (!api_book_id_check(r->book_id, e)) {
        return false;
    }
    if (r->from_sequence < 1) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_SEQUENCE", "from_sequence",
                             "from_sequence must be at least 1");
    }
    if (r->batch_max > API_PAGE_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_BATCH_MAX", "batch_max",
                             "batch_max must be at most %d", API_PAGE_MAX);
    }
    return true;
}

void api_read_journal(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__ReadJournalRequest *r = (const Ledger__V1__ReadJournalRequest *)request;
    err e = {0};
    if (!feed_check(r, &e)) {
        rpc_fail(call, &e);
        return;
    }
    feed f = {
        .api = service,
        .call = call,
        .page = arena_create(FEED_PAGE_BYTES_MAX),
        .book_id = r->book_id,
        .next_sequence = r->from_sequence,
        .batch_max = r->batch_max == 0 ? API_PAGE_DEFAULT : r->batch_max,
    };
    while (feed_step(&f, r->follow, &e)) {
        arena_reset(f.page);
    }
    arena_destroy(f.page);
    if (err_is_set(&e)) {
        rpc_fail(call, &e);
    } else {
        rpc_stream_end(call);
    }
}
