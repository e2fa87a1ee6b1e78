// payctl pay: what became of the rows, for people and for programs.
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/money.h"
#include "cli/pay_internal.h"

enum { REFUSED_SHOWN_MAX = 20 };

static void report_refused(const payment *p) {
    size_t shown = 0;
    for (size_t i = 0; i < p->file.n && shown < REFUSED_SHOWN_MAX; i++) {
        const sent *s = &p->rows[i];
        if (s->error != NULL) {
            cli_print(stdout, "  line %zu, %s of %s: %s%s%s (%s)\n", s->row->line,
                      s->row->reference, s->row->merchant_id, s->error_field,
                      s->error_field[0] != '\0' ? ": " : "", s->error, s->error_reason);
            shown++;
        }
    }
    if (p->n_refused > shown) {
        cli_print(stdout, "  … and %zu more\n", p->n_refused - shown);
    }
}

static void report_unsettled(const payment *p) {
    size_t shown = 0, unsettled = 0;
    for (size_t i = 0; i < p->file.n; i++) {
        const sent *s = &p->rows[i];
        if (s->payout_id == NULL || s->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED) {
            continue;
        }
        if (shown++ < REFUSED_SHOWN_MAX) {
            cli_print(stdout, "  %-9s %s/%s  %s %s\n",
                      cli_enum_name(&payments__v1__payout_state__descriptor, s->state),
                      s->row->merchant_id, s->payout_id, s->reason != NULL ? s->reason : "",
                      s->reason_text != NULL ? s->reason_text : "");
        }
        unsettled++;
    }
    if (unsettled > REFUSED_SHOWN_MAX) {
        cli_print(stdout, "  … and %zu more: `payctl payouts --merchant M --state FAILED`\n",
                  unsettled - REFUSED_SHOWN_MAX);
    }
}

// One line per state and currency: printed, or with --json only returned. @owned
static json_t *report_sums(payment *p) {
    static const char *const TITLES[] = {"state", "payouts", "sum"};
    json_t *json = json_array();
    table t;
    table_begin(&t, 3, 6u, TITLES);
    for (int s = 1; s < PAY_STATES; s++) {
        map *done = map_create(16, 64); // currencies already printed
        for (size_t i = 0; i < p->file.n; i++) {
            const char *ccy = p->rows[i].row->currency;
            const str ccy_str = str_of(ccy);
            const uuid key = uuid_derive(&ccy_str, 1);
            if (p->rows[i].payout_id == NULL || p->rows[i].state != s ||
                map_get(done, key) != NULL) {
                continue;
            }
            size_t n = 0;
            int64_t sum = 0;
            for (size_t k = i; k < p->file.n; k++) {
                if (p->rows[k].payout_id != NULL && p->rows[k].state == s &&
                    strcmp(p->rows[k].row->currency, ccy) == 0) {
                    n++;
                    const bool fits = ck_add_i64(sum, p->rows[k].row->amount_minor, &sum);
                    ASSERT(fits); // far below: a million rows of the largest ACH amount fit
                }
            }
            const bool put = map_put(done, key, (void *)1);
            ASSERT(put);
            const char *name = cli_enum_name(&payments__v1__payout_state__descriptor, s);
            const char *cells[] = {name, arena_printf(p->c->arena, "%zu", n),
                                   cli_money(p->c, sum, ccy)};
            table_row(&t, cells);
            json_array_append_new(json,
                                  json_pack("{s:s,s:s,s:I,s:I}", "state", name, "currency", ccy,
                                            "count", (json_int_t)n, "sum_minor", (json_int_t)sum));
        }
        map_destroy(done);
    }
    if (p->c->json) {
        table_drop(&t);
    } else {
        table_print(&t);
    }
    return json;
}

// Rows without an answer: the run stopped before the service said whether it took them.
static size_t count_unanswered(const payment *p) {
    return p->file.n - map_count(p->by_payout) - p->n_refused;
}

void pay_report_text(payment *p, bool waited) {
    cli_print(stdout, "%zu rows: %zu accepted", p->file.n, map_count(p->by_payout));
    if (p->n_earlier > 0) {
        cli_print(stdout, " (%zu of them by an earlier run: not paid again)", p->n_earlier);
    }
    cli_print(stdout, ", %zu refused", p->n_refused);
    if (count_unanswered(p) > 0) {
        cli_print(stdout, ", %zu without an answer", count_unanswered(p));
    }
    if (p->file.bad > 0) {
        cli_print(stdout, ", %zu bad and not sent", p->file.bad);
    }
    cli_print(stdout, "\n");
    report_refused(p);
    json_decref(report_sums(p));
    if (waited) {
        report_unsettled(p);
    }
}

static json_t *refusals_json(const payment *p) {
    json_t *all = json_array();
    for (size_t i = 0; i < p->file.n; i++) {
        const sent *s = &p->rows[i];
        if (s->error != NULL) {
            json_array_append_new(
                all, json_pack("{s:I,s:s,s:s,s:s,s:s,s:o}", "line", (json_int_t)s->row->line,
                               "merchant_id", s->row->merchant_id, "reference", s->row->reference,
                               "field", s->error_field, "reason", s->error_reason, "error",
                               cli_json_text(s->error)));
        }
    }
    return all;
}

static json_t *unsettled_json(const payment *p) {
    json_t *all = json_array();
    for (size_t i = 0; i < p->file.n; i++) {
        const sent *s = &p->rows[i];
        if (s->payout_id != NULL && s->state != PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED) {
            json_array_append_new(
                all, json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:o}", "line", (json_int_t)s->row->line,
                               "merchant_id", s->row->merchant_id, "reference", s->row->reference,
                               "payout_id", s->payout_id, "state",
                               cli_enum_name(&payments__v1__payout_state__descriptor, s->state),
                               "reason", s->reason != NULL ? s->reason : "", "reason_text",
                               cli_json_text(s->reason_text != NULL ? s->reason_text : "")));
        }
    }
    return all;
}

void pay_report_json(payment *p) {
    cli_print_value(json_pack(
        "{s:b,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o}", "sent", p->was_sent, "rows",
        (json_int_t)p->file.n, "accepted", (json_int_t)map_count(p->by_payout), "accepted_earlier",
        (json_int_t)p->n_earlier, "refused", (json_int_t)p->n_refused, "unanswered",
        (json_int_t)count_unanswered(p), "sums", report_sums(p), "refusals", refusals_json(p),
        "unsettled", unsettled_json(p), "bad", pay_file_bad_json(&p->file)));
}
