// Loads the recipients of a gathering by one statement.
#include "base/assert.h"
#include "base/map.h"
#include "control/recipient/recipient.h"
#include "control/recipient/rules.h"
#include "control/recipient/sql.h"

static bool read_rows(db_conn *c, int64_t book_id, const uuid *ids, size_t n, db_rows **rows,
                      arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n);
    return n == 0 || db_exec(c, &RECIPIENT_CHECK, p, a, rows, NULL, e);
}

static bool load(db_conn *c, int64_t book_id, const control_payout *payouts, size_t n,
                 const void **facts, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    recipient_facts *of = ARENA_ARRAY(a, recipient_facts, n);
    db_rows *rows = NULL;
    size_t n_ids = 0;
    if (ids == NULL || of == NULL) {
        return err_no_memory(e, "the request");
    }
    for (size_t i = 0; i < n; i++) {
        if (payouts[i].recipient_currency == NULL) {
            ids[n_ids++] = payouts[i].recipient_id;
        }
    }
    if (!read_rows(c, book_id, ids, n_ids, &rows, a, e)) {
        return false;
    }
    map *found = map_create(n, CONTROL_PAYOUTS_MAX); // recipient → row number + 1
    for (size_t i = 0; rows != NULL && i < db_count(rows); i++) {
        MUST(map_put(found, db_get_uuid(rows, i, 0), (void *)(uintptr_t)(i + 1)));
    }
    for (size_t i = 0; i < n; i++) {
        const size_t row = (size_t)(uintptr_t)map_get(found, payouts[i].recipient_id);
        of[i] = row == 0 ? (recipient_facts){0}
                         : (recipient_facts){.found = true,
                                             .merchant_id = db_get_str(rows, row - 1, 1),
                                             .currency = db_get_str(rows, row - 1, 2)};
        facts[i] = &of[i];
    }
    map_destroy(found);
    return true;
}

const control CONTROL_RECIPIENT = {
    .name = "recipient",
    .reasons = {RECIPIENT_NOT_FOUND, RECIPIENT_CURRENCY},
    .load = load,
    .rule = recipient_rule,
};
