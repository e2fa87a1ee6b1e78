// The same work by PostgreSQL alone, through one bare libpq client. Batches: the rows that the service has written, COPYed in binary.
// Lists: as many rows as a page has, looked up by key.
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_bench.h"

// A binary COPY stream: a header, rows, an end mark. Rows are cut out of it whole.
enum { COPY_HEADER = 19, COPY_END = 2 };

static PGresult *run(const ledger_bench *b, const char *sql, ExecStatusType expected) {
    PGresult *r = PQexec(b->pg, sql);
    if (PQresultStatus(r) != expected) {
        bench_fail(sql, PQerrorMessage(b->pg));
    }
    return r;
}

static void command(const ledger_bench *b, const char *sql) {
    PQclear(run(b, sql, PGRES_COMMAND_OK));
}

void floor_create(const ledger_bench *b) {
    command(b, "CREATE SCHEMA floor");
    command(b, "CREATE TABLE floor.transfer (LIKE public.transfer INCLUDING ALL)");
}

int64_t floor_last_sequence(const ledger_bench *b, int64_t book_id) {
    char sql[128];
    (void)snprintf(sql, sizeof sql, "SELECT sequence FROM book_head WHERE book_id = %lld",
                   (long long)book_id);
    PGresult *r = run(b, sql, PGRES_TUPLES_OK);
    const int64_t last = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return last;
}

typedef struct bytes {
    char *at;
    size_t len, max;
} bytes;

static void append(bytes *to, const char *from, size_t len) {
    if (to->len + len > to->max) {
        to->max = 2 * (to->max + len);
        to->at = realloc(to->at, to->max);
        if (to->at == NULL) {
            bench_fail("floor", "out of memory");
        }
    }
    memcpy(to->at + to->len, from, len);
    to->len += len;
}

// All rows of the range, as COPY writes them.
static bytes take_out(const ledger_bench *b, int64_t book_id, int64_t first, int64_t last) {
    char sql[256];
    bytes all = {0};
    (void)snprintf(sql, sizeof sql,
                   "COPY (SELECT * FROM public.transfer WHERE book_id = %lld AND sequence BETWEEN "
                   "%lld AND %lld ORDER BY sequence) TO STDOUT (FORMAT binary)",
                   (long long)book_id, (long long)first, (long long)last);
    PQclear(run(b, sql, PGRES_COPY_OUT));
    char *piece = NULL;
    for (int n; (n = PQgetCopyData(b->pg, &piece, 0)) > 0;) {
        append(&all, piece, (size_t)n);
        PQfreemem(piece);
    }
    PGresult *r = PQgetResult(b->pg);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        bench_fail("COPY TO", PQerrorMessage(b->pg));
    }
    PQclear(r);
    PQclear(PQgetResult(b->pg));
    return all;
}

// The length of the row at p.
static size_t row_len(const char *p) {
    uint16_t columns;
    memcpy(&columns, p, sizeof columns);
    size_t len = sizeof columns;
    for (uint16_t i = 0; i < be16toh(columns); i++) {
        uint32_t size;
        memcpy(&size, p + len, sizeof size);
        size = be32toh(size);
        len += sizeof size + (size == UINT32_MAX ? 0 : size);
    }
    return len;
}

static void put(const ledger_bench *b, const char *p, size_t len) {
    if (PQputCopyData(b->pg, p, (int)len) != 1) {
        bench_fail("COPY FROM", PQerrorMessage(b->pg));
    }
}

static void copy_in(const ledger_bench *b, const char *header, const char *rows, size_t len) {
    static const char end[COPY_END] = {'\xff', '\xff'};
    command(b, "BEGIN");
    PQclear(run(b, "COPY floor.transfer FROM STDIN (FORMAT binary)", PGRES_COPY_IN));
    put(b, header, COPY_HEADER);
    put(b, rows, len);
    put(b, end, sizeof end);
    if (PQputCopyEnd(b->pg, NULL) != 1) {
        bench_fail("COPY FROM", PQerrorMessage(b->pg));
    }
    PGresult *r = PQgetResult(b->pg);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        bench_fail("COPY FROM", PQerrorMessage(b->pg));
    }
    PQclear(r);
    PQclear(PQgetResult(b->pg));
    command(b, "COMMIT");
}

int64_t floor_copy(const ledger_bench *b, int64_t book_id, int64_t first_sequence,
                   int64_t last_sequence) {
    bytes all = take_out(b, book_id, first_sequence, last_sequence);
    const size_t end = all.len - COPY_END;
    size_t from = COPY_HEADER;
    int64_t us = 0;
    while (from < end) {
        size_t to = from;
        for (int i = 0; i < BATCH && to < end; i++) {
            to += row_len(all.at + to);
        }
        const int64_t before = bench_now_us();
        copy_in(b, all.at, all.at + from, to - from);
        us += bench_now_us() - before;
        from = to;
    }
    free(all.at);
    return us;
}

// --- A page ----------------------------------------------------------------------------------------------------------

enum {
    PAGE_ROWS = PAGE_SIZE + 1, // one more says whether there is a next page
    // Each row names two of the accounts, so the newest rows of one account are this far apart.
    SPAN = PAGE_ROWS * (ACCOUNTS / 2),
    ARRAY_TEXT_MAX = PAGE_ROWS * 21 + 3
};

static void prepare_page(const ledger_bench *b) {
    // The plan by key, made once, as it is in the service.
    command(b, "SET plan_cache_mode = force_generic_plan");
    command(b, "SET enable_seqscan = off");
    command(b, "SET enable_bitmapscan = off");
    command(b, "SET jit = off");
    PGresult *r = PQprepare(b->pg, "page",
                            "SELECT * FROM public.transfer WHERE book_id = $1::bigint "
                            "AND sequence = ANY($2::bigint[])",
                            0, NULL);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        bench_fail("page", PQerrorMessage(b->pg));
    }
    PQclear(r);
}

static void random_sequences(int64_t last, uint64_t *random, char *text) {
    size_t len = 0;
    for (int i = 0; i < PAGE_ROWS; i++) {
        const int64_t sequence = last - (int64_t)(bench_random(random) % SPAN);
        len += (size_t)snprintf(text + len, ARRAY_TEXT_MAX - len, "%c%lld", i == 0 ? '{' : ',',
                                (long long)(sequence < 1 ? 1 : sequence));
    }
    (void)snprintf(text + len, ARRAY_TEXT_MAX - len, "}");
}

void floor_list_latencies(const ledger_bench *b, int64_t book_id, size_t n, uint64_t *random,
                          int64_t *latency_us) {
    static bool prepared;
    char book[24], sequences[ARRAY_TEXT_MAX];
    const char *const values[] = {book, sequences};
    (void)snprintf(book, sizeof book, "%lld", (long long)book_id);
    if (!prepared) {
        prepare_page(b);
        prepared = true;
    }
    const int64_t last = floor_last_sequence(b, book_id);
    for (size_t i = 0; i < n; i++) {
        random_sequences(last, random, sequences);
        const int64_t before_us = bench_now_us();
        PGresult *r = PQexecPrepared(b->pg, "page", 2, values, NULL, NULL, 1);
        latency_us[i] = bench_now_us() - before_us;
        if (PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) < PAGE_ROWS / 2) {
            bench_fail("page", PQerrorMessage(b->pg));
        }
        PQclear(r);
    }
}
