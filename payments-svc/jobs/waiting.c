// What waits besides payouts, and for too long.
#include "base/assert.h"
#include "jobs/deadlines_internal.h"

enum { FOUND_MAX = 500, US_PER_S = 1000000 };

// Files and messages that were recorded and that nobody could apply.
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
