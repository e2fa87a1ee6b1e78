// What the bank puts into the outbox: acknowledgements, settlement reports, files of returns, told apart by content. Also which lines
// belong to which entries. The first byte is ignored: older inputs of the corpus have one.
#include "fuzz.h"
#include "rails/ach/ach_internal.h"

enum { ENTRIES = 4, BOOK = 1 };

// The rail needs a database. This target has none, and must not get here.
bool rail_events_record(db_conn *c, int64_t book_id, const rail_event *events, size_t n, arena *a,
                        err *e) {
    (void)c, (void)book_id, (void)events, (void)n, (void)a, (void)e;
    ASSERT(!"no input reaches this");
    return false;
}

// Entries of book 1: the line's trace chooses an entry. The entry agrees with some lines only.
static size_t candidates_of(const ach_report *report, ach_candidate *out) {
    size_t n = 0;
    for (size_t i = 0; i < report->n; i++) {
        const str trace = report->lines[i].trace;
        if (trace.len == NACHA_TRACE_LEN && trace.ptr[14] >= '0' && trace.ptr[14] < '0' + ENTRIES) {
            out[n] = (ach_candidate){.line = i,
                                     .book_id = BOOK,
                                     .attempt = 1,
                                     .amount = 1000,
                                     .file = STR("1000000001-20260102-A.ach"),
                                     .routing = STR("231380104"),
                                     .last4 = STR("5678"),
                                     .individual_id = "0A1B2C3D4E5F678",
                                     .currency = "USD"};
            out[n++].payout_id.b[15] = (uint8_t)trace.ptr[14];
        }
    }
    return n;
}

// Each line becomes one event or one exception. No payout gets back more than it had.
static void match(const ach_report *report, bool settlement, arena *a) {
    ach_rail r = {.settings = {.odfi_routing = "12104288", .returns_days = 60}};
    err e = {0};
    inbox_said said = {0};
    ach_candidate *candidates = ARENA_ARRAY(a, ach_candidate, report->n + 1);
    int64_t *books = ARENA_ARRAY(a, int64_t, report->n + 1);
    if (candidates == NULL || books == NULL) {
        return;
    }
    for (size_t i = 0; i < report->n; i++) {
        books[i] = settlement || report->lines[i].company_id.len == 10 ? BOOK : 0;
    }
    const ach_match m = {.r = &r,
                         .report = report,
                         .candidates = candidates,
                         .n_candidates = candidates_of(report, candidates),
                         .books = books,
                         .settlement = settlement};
    if (!ach_match_lines(&m, a, &said, &e)) {
        ASSERT(e.code == ERR_RESOURCE_EXHAUSTED);
        return;
    }
    ASSERT(said.n_events + said.n_odd == report->n && said.n_odd <= said.odd_max);
    int64_t sums[256] = {0};
    for (size_t i = 0; i < said.n_events; i++) {
        const rail_event *v = &said.events[i].event;
        ASSERT(v->event_id.len > 0 && v->event_id.len <= 200 &&
               str_is_text(v->event_id.ptr, v->event_id.len));
        ASSERT(v->amount >= 1 && v->amount <= 1000);
        sums[v->payout_id.b[15]] += v->amount;
        ASSERT(sums[v->payout_id.b[15]] <= 1000);
    }
}

static bool file(str text, arena *a, err *e) {
    ach_ack ack;
    ach_report report;
    bool good = true;
    switch (ach_look(text)) {
    case ACH_ACK: good = ach_ack_parse(text, a, &ack, e); break;
    case ACH_SETTLEMENT:
        good = ach_settlement_parse(text, "02104288", a, &report, e);
        if (good) {
            match(&report, true, a);
        }
        break;
    case ACH_NACHA:
        good = ach_returns_parse(text, 0, a, &report, e);
        if (good) {
            match(&report, false, a);
        }
        break;
    case ACH_EMPTY:
    case ACH_UNKNOWN: break;
    }
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    arena *a = arena_create(FUZZ_ARENA_MAX);
    err e = {0};
    const str text = fuzz_str(data + 1, size - 1);
    if (!file(text, a, &e)) {
        fuzz_check_refusal(&e);
    }
    arena_destroy(a);
    return 0;
}
