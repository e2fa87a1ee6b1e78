#include "script.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct named_flag {
    uint32_t flag;
    const char *name;
} named_flag;

static const char *const KINDS[] = {"accounts", "transfers", "reversals"};

static void print_flags(uint32_t flags, bool account, FILE *out) {
    static const named_flag of_accounts[] = {{A_LINKED, "LINKED"},
                                             {A_NO_OVERDRAFT, "NO_OVERDRAFT"},
                                             {A_NO_OVERCREDIT, "NO_OVERCREDIT"},
                                             {A_HISTORY, "HISTORY"},
                                             {A_IMPORTED, "IMPORTED"},
                                             {A_CLOSED, "CLOSED"},
                                             {64, "64"},
                                             {0, NULL}};
    static const named_flag of_transfers[] = {{T_LINKED, "LINKED"},
                                              {T_PENDING, "PENDING"},
                                              {T_POST, "POST"},
                                              {T_VOID, "VOID"},
                                              {T_BALANCING_DEBIT, "BALANCING_DEBIT"},
                                              {T_BALANCING_CREDIT, "BALANCING_CREDIT"},
                                              {T_CLOSING_DEBIT, "CLOSING_DEBIT"},
                                              {T_CLOSING_CREDIT, "CLOSING_CREDIT"},
                                              {T_IMPORTED, "IMPORTED"},
                                              {T_FORCED, "FORCED"},
                                              {1024, "1024"},
                                              {0, NULL}};
    for (const named_flag *f = account ? of_accounts : of_transfers; f->name != NULL; f++) {
        if ((flags & f->flag) != 0) {
            (void)fprintf(out, " %s", f->name);
        }
    }
}

typedef struct named_number {
    const char *name;
    int64_t value;
} named_number;

enum { EVENT_FIELDS = 20 };

static void event_fields(const model_event *e, named_number out[EVENT_FIELDS]) {
    const named_number fields[EVENT_FIELDS] = {
        {"id", (int64_t)e->id},
        {"debit", (int64_t)e->debit},
        {"credit", (int64_t)e->credit},
        {"amount", e->amount},
        {"pending", (int64_t)e->pending},
        {"reverses", (int64_t)e->reverses},
        {"currency", e->currency},
        {"code", e->code},
        {"timeout_s", e->timeout_s},
        {"timestamp_us", e->timestamp_us},
        {"user_data_128", (int64_t)e->user_data_128},
        {"user_data_64", (int64_t)e->user_data_64},
        {"user_data_32", e->user_data_32},
        {"lowest_balance", e->lowest_balance},
        {"reference", e->reference},
        {"metadata", e->metadata},
        {"debits_pending", e->balances.debits_pending},
        {"debits_posted", e->balances.debits_posted},
        {"credits_pending", e->balances.credits_pending},
        {"credits_posted", e->balances.credits_posted},
    };
    for (size_t i = 0; i < EVENT_FIELDS; i++) {
        out[i] = fields[i];
    }
}

void script_print(const ledger_case *c, FILE *out) {
    model *m = model_create();
    int64_t now_us = c->start_us;
    (void)fprintf(out, "starts at %" PRId64 " us\n", c->start_us);
    for (size_t i = 0; i < c->n_steps; i++) {
        const model_step *step = &c->steps[i];
        model_result results[MODEL_EVENTS_MAX];
        now_us += step->advance_us;
        model_apply(m, step, now_us, results);
        (void)fprintf(out, "%s, %" PRId64 " us later\n", KINDS[step->kind], step->advance_us);
        for (size_t k = 0; k < step->n; k++) {
            named_number fields[EVENT_FIELDS];
            event_fields(&step->events[k], fields);
            (void)fprintf(out, "   ");
            for (size_t f = 0; f < EVENT_FIELDS; f++) {
                if (fields[f].value != 0) {
                    (void)fprintf(out, " %s=%" PRId64, fields[f].name, fields[f].value);
                }
            }
            print_flags(step->events[k].flags, step->kind == STEP_ACCOUNTS, out);
            (void)fprintf(out, "  -> %s\n", results[k].status);
        }
    }
    model_destroy(m);
}

// --- JSON ------------------------------------------------------------------------------------------------------------

static void json_balances(const model_balances *b, FILE *out) {
    (void)fprintf(out, "[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "]", b->debits_pending,
                  b->debits_posted, b->credits_pending, b->credits_posted);
}

static void json_event(const model_event *e, FILE *out) {
    named_number fields[EVENT_FIELDS];
    event_fields(e, fields);
    (void)fprintf(out, "{\"flags\":%" PRIu32, e->flags);
    for (size_t f = 0; f < EVENT_FIELDS; f++) {
        if (fields[f].value != 0) {
            (void)fprintf(out, ",\"%s\":%" PRId64, fields[f].name, fields[f].value);
        }
    }
    (void)fprintf(out, "}");
}

static void json_result(const model *m, const model_result *result, FILE *out) {
    (void)fprintf(out, "{\"status\":\"%s\"", result->status);
    if (result->sequence != 0) {
        const model_row *row = &m->rows[result->sequence - 1];
        (void)fprintf(out, ",\"sequence\":%zu,\"amount\":%" PRId64 ",\"debit\":", result->sequence,
                      row->amount);
        json_balances(&row->debit_after, out);
        (void)fprintf(out, ",\"credit\":");
        json_balances(&row->credit_after, out);
    }
    (void)fprintf(out, "}");
}

static void json_step(const model *m, const model_step *step, const model_result *results,
                      int64_t now_us, FILE *out) {
    (void)fprintf(out, "{\"step\":\"%s\",\"now_us\":%" PRId64 ",\"events\":[", KINDS[step->kind],
                  now_us);
    for (size_t k = 0; k < step->n; k++) {
        (void)fprintf(out, "%s", k == 0 ? "" : ",");
        json_event(&step->events[k], out);
    }
    (void)fprintf(out, "],\"results\":[");
    for (size_t k = 0; k < step->n; k++) {
        (void)fprintf(out, "%s", k == 0 ? "" : ",");
        json_result(m, &results[k], out);
    }
    (void)fprintf(out, "]}\n");
}

static void json_end(const model *m, FILE *out) {
    (void)fprintf(out, "{\"accounts\":[");
    for (size_t i = 0; i < m->n_accounts; i++) {
        const model_account *a = &m->accounts[i];
        (void)fprintf(out, "%s{\"id\":%" PRIu64 ",\"closed\":%s,\"balances\":", i == 0 ? "" : ",",
                      a->asked.id, a->closed ? "true" : "false");
        json_balances(&a->balances, out);
        (void)fprintf(out, "}");
    }
    (void)fprintf(out, "],\"rows\":[");
    for (size_t i = 0; i < m->n_rows; i++) {
        const model_row *row = &m->rows[i];
        (void)fprintf(out,
                      "%s{\"kind\":%d,\"ended_by\":%d,\"amount\":%" PRId64 ",\"released\":%" PRId64
                      ",\"imported\":%s,\"asked\":",
                      i == 0 ? "" : ",", row->kind, row->ended_by, row->amount, row->released,
                      row->effective_us != row->timestamp_us ? "true" : "false");
        json_event(&row->asked, out);
        (void)fprintf(out, ",\"debit\":");
        json_balances(&row->debit_after, out);
        (void)fprintf(out, ",\"credit\":");
        json_balances(&row->credit_after, out);
        (void)fprintf(out, "}");
    }
    (void)fprintf(out, "]}\n");
}

void script_print_json(const ledger_case *c, FILE *out) {
    model *m = model_create();
    int64_t now_us = c->start_us;
    for (size_t i = 0; i < c->n_steps; i++) {
        model_result results[MODEL_EVENTS_MAX];
        now_us += c->steps[i].advance_us;
        model_apply(m, &c->steps[i], now_us, results);
        json_step(m, &c->steps[i], results, now_us, out);
    }
    json_end(m, out);
    model_destroy(m);
}
