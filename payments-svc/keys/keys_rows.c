// Rows of the tables of keys as structs.
#include "base/assert.h"
#include "base/clock.h"
#include "keys/keys_internal.h"

int64_t keys_soon(void) {
    return clock_mono_ms(clock_system()) + KEYS_DB_MS;
}

const char *key_target_name(int32_t number) {
    return number >= 0 && number < KEY_TARGETS ? KEY_TARGET[number].name : "?";
}

// --- Rows ------------------------------------------------------------------------------------------------------------

bool keys_read_list(db_conn *c, keys_sql_id which, arena *a, const key_row **out, size_t *n,
                    err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, keys_sql(which), db_params_create(a), a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    key_row *all = arena_must(a, (*n + 1) * sizeof *all);
    for (size_t i = 0; i < *n; i++) {
        all[i] = (key_row){.id = db_get_str(rows, i, 0),
                           .sealed = db_get_bool(rows, i, 1),
                           .macs = db_get_bool(rows, i, 2),
                           .uses = db_get_str(rows, i, 3),
                           .sealing_us = db_is_null(rows, i, 4) ? 0 : db_get_time(rows, i, 4),
                           .check = db_get_str(rows, i, 5)};
    }
    *out = all;
    return true;
}

bool keys_read_instances(const keys *k, db_conn *c, arena *a, const key_instance_row **out,
                         size_t *n, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, k->o.settings.alive_ms);
    if (!db_exec(c, keys_sql(KEYS_SQL_INSTANCES), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    key_instance_row *all = arena_must(a, (*n + 1) * sizeof *all);
    for (size_t i = 0; i < *n; i++) {
        all[i] = (key_instance_row){.id = db_get_uuid(rows, i, 0),
                                    .key_ids = db_get_str(rows, i, 1),
                                    .current = db_get_str(rows, i, 2),
                                    .seen_us = db_get_time(rows, i, 3),
                                    .since_us = db_get_time(rows, i, 4)};
    }
    *out = all;
    return true;
}

int64_t keys_unsettled_ms(const keys *k) {
    return k->o.settings.alive_ms + k->o.settings.settle_ms;
}

bool keys_read_rotation(const keys *k, db_conn *c, keys_sql_id which, arena *a, bool *found,
                        rotation_row *out, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, keys_unsettled_ms(k));
    if (!db_exec(c, keys_sql(which), p, a, &rows, NULL, e)) {
        return false;
    }
    *found = db_count(rows) > 0;
    if (*found) {
        *out = (rotation_row){
            .id = db_get_uuid(rows, 0, 0),
            .key_id = db_get_str(rows, 0, 1),
            .state = (rotation_state)db_get_i16(rows, 0, 2),
            .actor = db_get_str(rows, 0, 3),
            .started_us = db_get_time(rows, 0, 4),
            .ended_us = db_is_null(rows, 0, 5) ? 0 : db_get_time(rows, 0, 5),
            .target = db_get_i32(rows, 0, 6),
            .at_book = db_get_i64(rows, 0, 7),
            .at = {db_get_str(rows, 0, 8), db_get_str(rows, 0, 9), db_get_str(rows, 0, 10)},
            .walked = db_get_i64(rows, 0, 11),
            .resealed = db_get_i64(rows, 0, 12),
            .unreadable = db_get_i64(rows, 0, 13),
            .walk_us = db_is_null(rows, 0, 14) ? 0 : db_get_time(rows, 0, 14),
            .waits_until_us = db_is_null(rows, 0, 15) ? 0 : db_get_time(rows, 0, 15)};
    }
    return true;
}

bool keys_all_seal_with(const key_instance_row *rows, size_t n, str key_id) {
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(rows[i].current, key_id)) {
            return false;
        }
    }
    return true;
}
