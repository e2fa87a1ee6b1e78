// Identifies the database: by its server's words, and by a file beside the service.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "guard/guard_internal.h"
#include "guard/guard_sql.h"

enum { STATE_BYTES_MAX = 200 };

bool guard_parse_timeline(str text, uint32_t *timeline) {
    uint32_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) {
            return false;
        }
        value = value << 4 | (uint32_t)digit;
    }
    *timeline = value;
    return text.len == 8;
}

bool guard_server_look(db_conn *c, arena *a, guard_server *s, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, guard_sql(GUARD_SQL_LOOK), NULL, a, &rows, NULL, e)) {
        return false;
    }
    s->system_id = db_get_i64(rows, 0, 0);
    s->log_at = db_get_i64(rows, 0, 2);
    s->durable = db_get_bool(rows, 0, 3);
    s->synchronous = db_get_bool(rows, 0, 4);
    s->replicated = db_get_bool(rows, 0, 5);
    return guard_parse_timeline(db_get_str(rows, 0, 1), &s->timeline) ||
           err_set(e, ERR_INTERNAL, "TIMELINE", "the database's timeline cannot be read");
}

bool guard_state_read(const char *path, guard_server *s) {
    char text[STATE_BYTES_MAX] = "";
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return false;
    }
    const size_t len = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[len] = '\0';
    *s = (guard_server){0};
    return sscanf(text, "%" SCNd64 " %" SCNu32 " %" SCNd64, &s->system_id, &s->timeline,
                  &s->log_at) == 3;
}

void guard_state_write(const char *path, const guard_server *s) {
    char fresh[1024];
    const int n = snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *f = n > 0 && (size_t)n < sizeof fresh ? fopen(fresh, "we") : NULL;
    bool ok = f != NULL && fprintf(f, "%" PRId64 " %" PRIu32 " %" PRId64 "\n", s->system_id,
                                   s->timeline, s->log_at) > 0;
    ok = ok && fflush(f) == 0 && fsync(fileno(f)) == 0;
    ok = (f == NULL || fclose(f) == 0) && ok;
    if (!ok || rename(fresh, path) != 0) {
        log_warn("guard.state_file_not_written", F_STR("path", path));
    }
}
