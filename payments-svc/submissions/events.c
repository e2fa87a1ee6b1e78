// Tells the payouts of a submission what becomes of it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events/events.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

enum { EVENT_ID_LEN = UUID_TEXT_LEN + 24 };

static int compare_numbers(const void *a, const void *b) {
    const submission_refusal *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

// *refusal: the bank's word about this item; NULL: the common word applies.
static bool is_meant(const subm_said *said, uuid payout_id, int64_t number,
                     const submission_refusal **refusal) {
    const submission_refusal key = {.number = number};
    *refusal = NULL;
    if (!uuid_is_nil(said->but) && uuid_eq(payout_id, said->but)) {
        return false;
    }
    if (said->n_listed == 0) {
        return true;
    }
    *refusal = bsearch(&key, said->listed, said->n_listed, sizeof key, compare_numbers);
    return (*refusal != NULL) != said->but_listed;
}

bool subm_events_record(db_conn *c, int64_t book_id, uuid id, const subm_said *said, size_t *n,
                        arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    const bool after_all = said->not_told || said->told;
    const submissions_sql_id which = said->silent ? SUBM_SQL_ITEMS_SILENT
                                     : after_all  ? SUBM_SQL_ITEMS_AFTER_ALL
                                                  : SUBM_SQL_ITEMS;
    if (after_all) {
        db_bool(p, said->told);
    }
    if (!db_exec(c, submissions_sql(which), p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t count = db_count(rows);
    rail_event *events = ARENA_ARRAY(a, rail_event, count + 1);
    char *event_id = arena_alloc(a, EVENT_ID_LEN), text[UUID_TEXT_LEN + 1];
    if (events == NULL || event_id == NULL) {
        return err_no_memory(e, "the list of a submission's events");
    }
    uuid_format(id, text);
    (void)snprintf(event_id, EVENT_ID_LEN, "%s:%s", text, said->tag);
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        const uuid payout_id = db_get_uuid(rows, i, 0);
        const submission_refusal *refusal = NULL;
        if (!is_meant(said, payout_id, db_get_i64(rows, i, 2), &refusal)) {
            continue;
        }
        events[(*n)++] = (rail_event){
            .payout_id = payout_id,
            .attempt = db_get_i32(rows, i, 1),
            .kind = (rail_event_kind)said->kind,
            .event_id = str_of(event_id),
            .code = refusal != NULL && refusal->code.len > 0 ? refusal->code : said->code,
            .text = refusal != NULL && refusal->text.len > 0 ? refusal->text : said->text,
            .at_us = said->at_us,
            .source = said->source,
            .inbox_id = said->inbox_id,
        };
    }
    return *n == 0 || rail_events_record(c, book_id, events, *n, a, e);
}

bool subm_case_open(db_conn *c, int64_t book_id, uuid id, const char *kind, str code, str text,
                    int64_t amount, const char *currency, int64_t now_us, arena *a, err *e) {
    char subject[UUID_TEXT_LEN + 1];
    uuid_format(id, subject);
    case_new opened = {.kind = kind,
                       .subject_type = "submission",
                       .subject_id = str_of(subject),
                       .code = code,
                       .text = text,
                       .amount = amount};
    (void)snprintf(opened.currency, sizeof opened.currency, "%s", currency);
    return cases_open(c, book_id, &opened, 1, now_us, a, e);
}

bool subm_cases_close(db_conn *c, int64_t book_id, uuid id, int64_t now_us, arena *a, err *e) {
    static const char *const KINDS[] = {"SUBMISSION_UNKNOWN", "SUBMISSION_OVERDUE",
                                        "SUBMISSION_REJECTED"};
    char subject[UUID_TEXT_LEN + 1];
    uuid_format(id, subject);
    const str ids[] = {str_of(subject)};
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (!cases_close(c, book_id, KINDS[i], "submission", ids, 1,
                         STR("it is known where the submission is"), now_us, a, NULL, e)) {
            return false;
        }
    }
    return true;
}

str subm_detail(char out[SUBM_DETAIL_MAX + 1], str first, str second) {
    int n = snprintf(out, SUBM_DETAIL_MAX + 1, "%.*s: %.*s", (int)first.len, first.ptr,
                     (int)second.len, second.ptr);
    n = n > SUBM_DETAIL_MAX ? SUBM_DETAIL_MAX : n;
    while (n > 0 && !str_is_text(out, (size_t)n)) {
        out[--n] = '\0'; // not in the middle of a character
    }
    return (str){out, n > 0 ? (size_t)n : 0};
}
