// How a message reaches its saga's row.
#include "base/clock.h"
#include "events/events_sql.h"
#include "events/sagas.h"

bool events_join_by_key(db_conn *c, arena *a, err *e) {
    return db_exec(c, events_sql(EVENTS_SQL_JOIN_BY_KEY), NULL, a, NULL, NULL, e);
}

bool events_lock_sagas(db_conn *c, int64_t book_id, const uuid *ids, size_t n, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n);
    return db_exec(c, events_sql(EVENTS_SQL_LOCK_ORDERED), p, a, NULL, NULL, e);
}

bool events_tell(db_conn *c, int64_t book_id, const uuid *ids, const int32_t *n, size_t n_ids,
                 int64_t now_us, int64_t *n_told, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_time(p, now_us);
    db_uuid_array(p, ids, n_ids);
    db_i32_array(p, n, n_ids);
    db_uuid(p, ids[0]);
    db_uuid(p, ids[n_ids - 1]);
    return db_exec(c, events_sql(EVENTS_SQL_COUNT_EVENTS), p, a, NULL, n_told, e);
}

bool events_list(db_conn *c, int64_t book_id, int rail_id, const uuid *ids, size_t n, arena *a,
                 err *e) {
    for (size_t i = 0; i < n; i += EVENTS_LISTED_MAX) {
        const size_t m = n - i < EVENTS_LISTED_MAX ? n - i : EVENTS_LISTED_MAX;
        db_params *p = db_params_create(a);
        db_i64(p, book_id);
        db_uuid(p, uuid_v7(clock_system()));
        db_i16(p, (int16_t)rail_id);
        db_time(p, clock_wall_us(clock_system()));
        db_i32(p, (int32_t)m);
        db_uuid_array(p, ids + i, m);
        if (!db_exec(c, events_sql(EVENTS_SQL_HEARD_ADD), p, a, NULL, NULL, e)) {
            return false;
        }
    }
    return true;
}
