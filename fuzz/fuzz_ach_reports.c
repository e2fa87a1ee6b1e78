// What the bank puts into our outbox: acknowledgements, settlement reports, files of returns (the first byte chooses), and the
// names of the files.
#include <string.h>

#include "fuzz.h"
#include "rails/ach/ach_internal.h"

// The rail needs a database: this target has none, and does not get there.
bool rail_events_record(db_conn *c, int64_t book_id, const rail_event *events, size_t n, arena *a,
                        err *e) {
    (void)c, (void)book_id, (void)events, (void)n, (void)a, (void)e;
    ASSERT(!"no input reaches this");
    return false;
}

static bool lines(uint8_t kind, str text, arena *a, err *e) {
    ach_line *found = NULL;
    size_t n = 0;
    const bool good =
        kind == 1 ? ach_settlement_parse(text, "1000000001-20260102-A.ach", 1, a, &found, &n, e)
                  : ach_returns_parse(text, "1000000001", 0, a, &found, &n, e);
    for (size_t i = 0; good && i < n; i++) {
        ASSERT(found[i].amount >= 0 && strlen(found[i].trace) == NACHA_TRACE_LEN);
    }
    return good;
}

static void name(const uint8_t *data, size_t size) {
    char text[ACH_NAME_LEN_MAX * 2];
    const size_t len = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, data, len);
    text[len] = '\0';
    ach_name parsed;
    if (ach_name_parse(text, &parsed)) {
        ASSERT(parsed.kind >= ACH_ACK && parsed.kind <= ACH_RETURNS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    arena *a = arena_create(FUZZ_ARENA_MAX);
    err e;
    err_clear(&e);
    const str text = fuzz_str(data + 1, size - 1);
    ach_ack ack;
    bool good = true;
    switch (data[0] % 4) {
    case 0: good = ach_ack_parse(text, "1000000001-20260102-A.ach", a, &ack, &e); break;
    case 1:
    case 2: good = lines(data[0] % 4, text, a, &e); break;
    default: name(data + 1, size - 1); break;
    }
    if (!good) {
        fuzz_check_refusal(&e);
    }
    arena_destroy(a);
    return 0;
}
