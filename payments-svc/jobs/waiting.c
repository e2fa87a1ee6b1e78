// Other objects than payouts that wait too long.
#include <string.h>

#include "base/assert.h"
#include "jobs/deadlines_internal.h"

enum { FOUND_MAX = 500, US_PER_S = 1000000 };

// Files and messages that were recorded and could not be applied.
bool deadlines_inbox(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e) {
    static const char *const KIND[] = {"INBOX_WAITING", NULL};
    static const deadlines_closing CLOSING = {JOBS_SQL_INBOX_DONE, KIND, "inbox",
                                              "it was applied, refused or dismissed"};
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_time(p, now_us - d->settings.inbox_s * US_PER_S);
    db_i64(p, FOUND_MAX);
    if (!db_exec(c, jobs_sql(JOBS_SQL_INBOX_LATE), p, a, &rows, NULL, e)) {
        return false;
    }
    case_new *cases = ARENA_ARRAY(a, case_new, db_count(rows) + 1);
    if (cases == NULL) {
        return deadlines_no_memory(e);
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        char since[32];
        time_format_rfc3339(db_get_time(rows, i, 4), since, sizeof since);
        const str name = db_get_str(rows, i, 3);
        cases[i] = (case_new){
            .kind = "INBOX_WAITING",
            .subject_type = "inbox",
            .subject_id = str_of(uuid_text(a, db_get_uuid(rows, i, 1))),
            .code = STR("NOT_APPLIED"),
            .text = str_of(arena_printf(
                a, "%.*s of %s, recorded %s, was not applied after %d tries", (int)name.len,
                name.ptr, deadlines_connection_name(d, db_get_i16(rows, i, 2), a), since,
                (int)db_get_i32(rows, i, 5))),
        };
    }
    return deadlines_open(c, rows, cases, now_us, a, e) &&
           deadlines_close(c, &CLOSING, now_us, a, e);
}

// One case per connection whose bank was not heard for too long: its folder was not read, or the bank did not answer a repeated question.
// Closed by a successful look.
bool deadlines_unheard(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e) {
    size_t n_known = 0, n_cases = 0, n_heard = 0;
    const connection_info *known = connections_all(d->connections, &n_known);
    int16_t ids[CONNECTIONS_MAX];
    case_new cases[CONNECTIONS_MAX];
    str heard[CONNECTIONS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < n_known; i++) {
        if (known[i].on && known[i].notes_looks) {
            ids[n++] = (int16_t)known[i].id;
        } else {
            heard[n_heard++] = str_of(known[i].name); // no looks, so nothing is late
        }
    }
    db_rows *rows = NULL;
    db_params *begin = db_params_create(a), *p = db_params_create(a);
    db_i64(begin, 0);
    db_i16_array(begin, ids, n);
    db_time(begin, now_us);
    db_i64(p, 0);
    db_i16_array(p, ids, n);
    if (!db_exec(c, jobs_sql(JOBS_SQL_LOOKS_BEGIN), begin, a, NULL, NULL, e) ||
        !db_exec(c, jobs_sql(JOBS_SQL_LOOKS), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const char *name = deadlines_connection_name(d, db_get_i16(rows, i, 0), a);
        const int64_t looked_us = db_get_time(rows, i, 1);
        char since[32];
        if (looked_us > now_us - d->settings.unheard_s * US_PER_S) {
            heard[n_heard++] = str_of(name);
            continue;
        }
        time_format_rfc3339(looked_us, since, sizeof since);
        cases[n_cases++] = (case_new){
            .kind = "CONNECTION_UNHEARD",
            .subject_type = "connection",
            .subject_id = str_of(name),
            .code = STR("NOT_LOOKED_THROUGH"),
            .text = str_of(arena_printf(a, "what the bank says was last looked for %s", since)),
        };
    }
    return cases_keep(c, 0, cases, n_cases, now_us, a, e) &&
           cases_close(c, 0, "CONNECTION_UNHEARD", "connection", heard, n_heard,
                       STR("what the bank says was looked for again, or is not any more"), now_us,
                       a, NULL, e);
}

// Deposits that the ledger has not decided, and deposits on their way back.
bool deadlines_deposits(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e) {
    static const char *const KIND[] = {"DEPOSIT_OVERDUE", NULL};
    static const deadlines_closing CLOSING = {JOBS_SQL_DEPOSITS_DONE, KIND, "deposit",
                                              "the ledger has it, or refused it"};
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_time(p, now_us - d->settings.deposit_s * US_PER_S);
    db_i64(p, FOUND_MAX);
    if (!db_exec(c, jobs_sql(JOBS_SQL_DEPOSITS_LATE), p, a, &rows, NULL, e)) {
        return false;
    }
    case_new *cases = ARENA_ARRAY(a, case_new, db_count(rows) + 1);
    if (cases == NULL) {
        return deadlines_no_memory(e);
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const bool back = db_get_i16(rows, i, 6) == 4;
        const str currency = db_get_str(rows, i, 4);
        char since[32];
        time_format_rfc3339(db_get_time(rows, i, 5), since, sizeof since);
        cases[i] = (case_new){
            .kind = "DEPOSIT_OVERDUE",
            .subject_type = "deposit",
            .subject_id = str_of(uuid_text(a, db_get_uuid(rows, i, 1))),
            .merchant_id = db_get_str(rows, i, 2),
            .code = back ? STR("TAKING_BACK") : STR("PENDING"),
            .text = str_of(arena_printf(a, "made %s, and the ledger %s", since,
                                        back ? "has not taken it back" : "does not have it")),
            .amount = db_get_i64(rows, i, 3),
        };
        memcpy(cases[i].currency, currency.ptr, currency.len < 3 ? currency.len : 3);
    }
    return deadlines_open(c, rows, cases, now_us, a, e) &&
           deadlines_close(c, &CLOSING, now_us, a, e);
}
