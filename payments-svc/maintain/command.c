#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "maintain/maintain_internal.h"
#include "maintain/partitions.h"

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_WRONG_USE = 2,
    PATH_LEN = 1200,
    LIST_BYTES = 512 << 20,
    MAINTAIN_REACH_MS = 10000,
    MAINTAIN_REACH_BYTES = 1 << 20
};

const char MAINTAIN_HELP[] =
    "payments-svc maintain --config FILE [--dry-run | --list | --verify | --restore ARCHIVE]\n\n"
    "Archives what is finished for longer than it is kept (settings retention.*), and removes it\n"
    "from the tables. It connects as `migrate` does (migrate.conninfo). The services may run.\n\n"
    "Archives are files in retention.dir: JSON lines in gzip, each with a manifest. A file is\n"
    "written and read back first; then its rows are removed, in one transaction. What is open is\n"
    "never archived. It may be ended at any moment and run again.\n\n"
    "  --dry-run          tell how many would be archived, and change nothing; what only this run\n"
    "                     would set free, such as the keys of its payouts, is not counted\n"
    "  --list             the archives, by their manifests, and whether the database knows them\n"
    "  --verify           read every archive, and compare it with its manifest\n"
    "  --restore ARCHIVE  load a file of retention.dir into tables named restored_…\n\n"
    "Exit code: 0 done, 1 failed, 2 wrong use.\n";

typedef enum mode { MODE_RETAIN, MODE_DRY, MODE_LIST, MODE_VERIFY, MODE_RESTORE } mode;

static int wrong(const char *text) {
    fprintf(stderr, "payments-svc maintain: %s\n", text);
    return EXIT_WRONG_USE;
}

static bool parse(int n_words, char **words, mode *m, const char **archive) {
    static const struct {
        const char *word;
        mode m;
    } WORDS[] = {{"--dry-run", MODE_DRY},
                 {"--list", MODE_LIST},
                 {"--verify", MODE_VERIFY},
                 {"--restore", MODE_RESTORE}};
    *m = MODE_RETAIN;
    *archive = NULL;
    for (int i = 0; i < n_words; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof WORDS / sizeof WORDS[0]; k++) {
            if (*m == MODE_RETAIN && strcmp(words[i], WORDS[k].word) == 0) {
                *m = WORDS[k].m;
                known = true;
                break;
            }
        }
        if (known && *m == MODE_RESTORE && i + 1 < n_words) {
            *archive = words[++i];
        }
        if (!known) {
            return false;
        }
    }
    return (*m == MODE_RESTORE) == (*archive != NULL);
}

typedef struct looked_up {
    const archive_info *info;
    bool there;
} looked_up;

static bool is_archived(db_conn *c, arena *a, void *arg, err *e) {
    looked_up *x = arg;
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, x->info->book_id);
    db_uuid(p, x->info->archive_id);
    if (!db_exec(c, maintain_sql(MAINTAIN_SQL_IS_ARCHIVED), p, a, &rows, NULL, e)) {
        return false;
    }
    x->there = db_count(rows) == 1;
    return true;
}

static bool tell_one(db_pool *pool, const maintain_settings *s, const archive_info *i, bool verify,
                     arena *a, bool *good, err *e) {
    char path[PATH_LEN];
    (void)snprintf(path, sizeof path, "%s/%s", s->dir, i->file);
    looked_up x = {i, false};
    if (!db_read(pool, clock_mono_ms(clock_system()) + MAINTAIN_TIME_MS, a, is_archived, &x, e)) {
        return false;
    }
    printf("%s  book %" PRId64 ", from before %.10s, made %s,", i->file, i->book_id, i->before,
           i->made_at);
    for (size_t t = 0; t < i->n_tables; t++) {
        printf(" %" PRId64 " %s", i->tables[t].n, i->tables[t].table);
    }
    struct stat st;
    if (stat(path, &st) != 0) {
        printf(": THE FILE IS MISSING\n");
        *good = *good && !x.there;
    } else if (verify) {
        err bad = {0};
        const bool ok = archive_read(path, i, NULL, NULL, &bad);
        printf(": %s\n", ok ? "good" : bad.message);
        *good = *good && ok;
    } else {
        printf("%s\n", x.there ? "" : ": not recorded, its rows are still in the tables");
    }
    return true;
}

static bool list(db_pool *pool, const maintain_settings *s, bool verify, bool *good, err *e) {
    arena *a = arena_create(LIST_BYTES), *of_one = arena_create((size_t)1 << 20);
    archive_info *infos = NULL;
    size_t n = 0;
    bool ok = archive_list(s->dir, &infos, &n, a, e);
    *good = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = tell_one(pool, s, &infos[i], verify, of_one, good, e);
        arena_reset(of_one);
    }
    if (ok) {
        printf("%zu archives\n", n);
    }
    arena_destroy(a);
    arena_destroy(of_one);
    return ok;
}

static bool restore(db_pool *pool, const maintain_settings *s, const char *archive, err *e) {
    char path[PATH_LEN];
    const bool has_folder = strchr(archive, '/') != NULL;
    (void)snprintf(path, sizeof path, "%s%s%s", has_folder ? "" : s->dir, has_folder ? "" : "/",
                   archive);
    return maintain_restore(pool, path, e);
}

static bool act(db_pool *pool, const maintain_settings *s, mode m, const char *archive, bool *good,
                err *e) {
    *good = true;
    switch (m) {
    case MODE_RETAIN:
    case MODE_DRY: return maintain_retain(pool, s, m == MODE_DRY, e);
    case MODE_LIST:
    case MODE_VERIFY: return list(pool, s, m == MODE_VERIFY, good, e);
    case MODE_RESTORE: return restore(pool, s, archive, e);
    }
    return false;
}

static bool nothing(db_conn *c, arena *a, void *arg, err *e) {
    (void)c, (void)a, (void)arg, (void)e;
    return true;
}

// Work may take hours, and waits for a database that is away. A wrong conninfo is reported at once.
static bool is_reached(db_pool *pool, err *e) {
    arena *a = arena_create(MAINTAIN_REACH_BYTES);
    const bool ok =
        db_read(pool, clock_mono_ms(clock_system()) + MAINTAIN_REACH_MS, a, nothing, NULL, e);
    arena_destroy(a);
    return ok;
}

bool maintain_check(const maintain_settings *s, err *e) {
    struct stat st;
    return s->dir[0] == '\0' || (stat(s->dir, &st) == 0 && S_ISDIR(st.st_mode)) ||
           err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING",
                   "retention.dir is not a folder: nothing is removed without an archive");
}

int maintain_main(const maintain_settings *s, const char *conninfo, int n_words, char **words) {
    mode m;
    const char *archive = NULL;
    err e = {0};
    if (!parse(n_words, words, &m, &archive)) {
        return wrong("what is asked for? try --help");
    }
    if (conninfo[0] == '\0') {
        return wrong("migrate.conninfo must be given: this runs as the owner of the tables");
    }
    if (s->dir[0] == '\0') {
        return wrong("retention.dir is not set: set it to a folder for the archives, as nothing is "
                     "removed without one");
    }
    if (!maintain_check(s, &e)) {
        return wrong(e.message);
    }
    const db_pool_options o = {.conninfo = conninfo,
                               .application_name = "payments-svc-maintain",
                               .size = 1,
                               .statement_timeout_ms = MAINTAIN_TIME_MS,
                               .metrics_prefix = "maintain"};
    db_pool *pool = db_pool_create(&o, &e);
    bool good = true;
    const bool ok = pool != NULL && is_reached(pool, &e) &&
                    (m != MODE_RETAIN || partitions_keep(conninfo, &e)) &&
                    act(pool, s, m, archive, &good, &e) &&
                    (m != MODE_RETAIN || partitions_drop_empty(conninfo, s->payouts_days, &e));
    if (pool != NULL) {
        db_pool_destroy(pool);
    }
    if (!ok) {
        fprintf(stderr, "payments-svc maintain: %s: %s %s\n", e.reason, e.message, e.detail);
    }
    return ok && good ? EXIT_DONE : EXIT_FAILED;
}
