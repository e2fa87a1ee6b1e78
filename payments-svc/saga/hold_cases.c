// A held payout is for a person: the transaction that holds it opens a case (promise SEEN).
#include <string.h>

#include "cases/cases.h"
#include "saga/saga_internal.h"

// The kind of a hold's case, by who can help.
static const char *kind_of(const saga *s, controls t) {
    static const struct {
        const char *hold, *kind;
    } KINDS[] = {{"RAIL_CONTRADICTION", "PAYOUT_CONTRADICTION"},
                 {"RAIL_LOST_PAYMENT", "PAYOUT_CONTRADICTION"},
                 {"REFUSED_AFTER_UNKNOWN", "PAYOUT_CONTRADICTION"},
                 {"RECIPIENT_UNREADABLE", "PAYOUT_UNREADABLE"},
                 {"RECIPIENT_MISSING", "PAYOUT_UNREADABLE"},
                 {"LEDGER_ACCOUNT_CLOSED", "PAYOUT_LEDGER"},
                 {"LEDGER_ANSWER_UNEXPECTED", "PAYOUT_LEDGER"},
                 {"LEDGER_IDS", "PAYOUT_LEDGER"},
                 {"INSUFFICIENT_FUNDS", "PAYOUT_LEDGER"}};
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (strcmp(KINDS[i].hold, s->hold) == 0) {
            return KINDS[i].kind;
        }
    }
    const control *by = control_of_reason(t, str_of(s->hold));
    return by != NULL && by->case_kind != NULL ? by->case_kind : "PAYOUT_HELD";
}

// The author of an impossible order may have closed a case: the payout is still held.
static bool is_news(const saga_item *item) {
    return item->now.hold[0] != '\0' &&
           (item->note.outcome == OUT_NOT_ORDERED || strcmp(item->now.hold, item->was.hold) != 0 ||
            strcmp(item->now.hold_text, item->was.hold_text) != 0);
}

static str text_of(const saga_item *item, arena *a) {
    if (item->note.outcome != OUT_NOT_ORDERED) {
        return str_of(item->now.hold_text);
    }
    return str_of(arena_printf(a, "%s (%.*s was not possible: %.*s)", item->now.hold_text,
                               (int)item->note.code.len, item->note.code.ptr,
                               (int)item->note.text.len, item->note.text.ptr));
}

bool saga_cases_open(saga_batch *b, db_conn *c, bool acting, int64_t now_us, err *e) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        n += (b->items[i].acting != STEP_NONE) == acting && is_news(&b->items[i]) ? 1 : 0;
    }
    if (n == 0) {
        return true;
    }
    case_new *cases = ARENA_ARRAY(b->a, case_new, n);
    char(*ids)[UUID_TEXT_LEN + 1] = arena_calloc(b->a, n, sizeof *ids);
    if (cases == NULL || ids == NULL) {
        return err_no_memory(e, "the batch");
    }
    n = 0;
    for (size_t i = 0; i < b->n; i++) {
        const saga_item *item = &b->items[i];
        if ((item->acting != STEP_NONE) != acting || !is_news(item)) {
            continue;
        }
        uuid_format(item->payout_id, ids[n]);
        cases[n] = (case_new){.kind = kind_of(&item->now, b->from.controls),
                              .subject_type = "payout",
                              .subject_id = str_of(ids[n]),
                              .merchant_id = item->merchant_id,
                              .code = str_of(item->now.hold),
                              .text = text_of(item, b->a),
                              .amount = item->amount};
        memcpy(cases[n].currency, item->currency, sizeof cases[n].currency);
        n++;
    }
    return cases_open(c, b->from.book_id, cases, n, now_us, b->a, e);
}
