// A rail that pays into a text file: "key amount currency", one line per payment. Shows everything that a rail needs.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "rails/scheme.h"

// Declared by the list of rails.
extern const rail_scheme EXAMPLE_SCHEME;

enum { EXAMPLE_ID = 99, LINE_MAX_LEN = 128, BATCH_MAX = 100, CALL_MS = 1000 };

typedef struct example_settings {
    bool enabled;
    const char *bank_account, *fees, *file;
} example_settings;

typedef struct example_rail {
    rail base;
    example_settings settings;
    pthread_mutex_t lock; // one writer of the file in this process
} example_rail;

// 1: the file has a payment with this key. 0: it has none. -1: it cannot be read.
static int find(const example_rail *r, const char *key) {
    FILE *f = fopen(r->settings.file, "r");
    if (f == NULL) {
        return errno == ENOENT ? 0 : -1;
    }
    char line[LINE_MAX_LEN];
    const size_t len = strlen(key);
    int found = 0;
    while (found == 0 && fgets(line, sizeof line, f) != NULL) {
        found = strncmp(line, key, len) == 0 && line[len] == ' ' ? 1 : 0;
    }
    found = ferror(f) != 0 ? -1 : found;
    (void)fclose(f);
    return found;
}

static bool append(const example_rail *r, const rail_item *item) {
    char line[LINE_MAX_LEN];
    const int len = snprintf(line, sizeof line, "%s %lld %s\n", item->key, (long long)item->amount,
                             item->currency);
    ASSERT(len > 0 && (size_t)len < sizeof line);
    const int fd = open(r->settings.file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    const bool written = write(fd, line, (size_t)len) == len && fsync(fd) == 0;
    return close(fd) == 0 && written;
}

static rail_verdict pay(example_rail *r, const rail_item *item) {
    const int found = find(r, item->key);
    if (found != 0) {
        return found > 0 ? RAIL_SETTLED : RAIL_UNKNOWN;
    }
    return append(r, item) ? RAIL_SETTLED : RAIL_UNKNOWN; // the line may be there
}

static void submit(rail *base, int64_t book_id, rail_item *items, size_t n,
                   const _Atomic int64_t *until_boot_ms, arena *a) {
    example_rail *r = base->self;
    (void)book_id, (void)a;
    MUST(pthread_mutex_lock(&r->lock) == 0);
    for (size_t i = 0; i < n; i++) {
        const bool ours = clock_boot_ms(clock_system()) < atomic_load(until_boot_ms);
        items[i].verdict = ours ? pay(r, &items[i]) : RAIL_NOT_SENT;
        items[i].reference = str_of(items[i].key);
    }
    MUST(pthread_mutex_unlock(&r->lock) == 0);
}

static void query(rail *base, int64_t book_id, rail_item *items, size_t n, arena *a) {
    example_rail *r = base->self;
    (void)book_id, (void)a;
    for (size_t i = 0; i < n; i++) {
        const int found = find(r, items[i].key);
        items[i].verdict = found > 0 ? RAIL_SETTLED : found == 0 ? RAIL_NOT_SENT : RAIL_UNKNOWN;
    }
}

static rail *open_one(int number, const char *name, const void *settings, const rail_host *host,
                      err *e) {
    const example_settings *s = settings;
    (void)host;
    if (s->file[0] == '\0') {
        (void)err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "example.file",
                            "example.file must name the file that payments are written to");
        return NULL;
    }
    example_rail *r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    MUST(pthread_mutex_init(&r->lock, NULL) == 0);
    r->settings = *s;
    r->base = (rail){.id = number,
                     .scheme = EXAMPLE_ID,
                     .name = name,
                     .bank_account = s->bank_account,
                     .fees = s->fees,
                     .currencies = "USD",
                     .amount_max = 1000000,
                     .batch_max = BATCH_MAX,
                     .call_ms = CALL_MS,
                     .instruments = "us_bank",
                     .finality = "Final when the line is written.",
                     .settlement = "answer",
                     .submit = submit,
                     .query = query,
                     .self = r};
    return &r->base;
}

static bool start(rail *r, const rail_host *host, err *e) {
    (void)r, (void)host, (void)e;
    return true; // it has no threads, so it hears nothing by itself
}

static void stop(rail *r) {
    (void)r;
}

static void close_one(rail *base) {
    example_rail *r = base->self;
    MUST(pthread_mutex_destroy(&r->lock) == 0);
    free(r);
}

static const char *clash(const void *settings, const void *other) {
    const example_settings *a = settings, *b = other;
    return strcmp(a->file, b->file) == 0 ? "file" : NULL;
}

#define ROW(n, type, field, def, help)                                                             \
    { n, type, offsetof(example_settings, field), def, 0, 0, help }
static const config_setting ROWS[] = {
    ROW("example.enabled", CONFIG_BOOL, enabled, "false", "switches the example on"),
    ROW("example.bank_account", CONFIG_STRING, bank_account, "main", "as ach.bank_account"),
    ROW("example.fees", CONFIG_STRING, fees, "", "as ach.fees"),
    ROW("example.file", CONFIG_PATH, file, "", "the file that payments are written to"),
};

const rail_scheme EXAMPLE_SCHEME = {
    .id = EXAMPLE_ID,
    .name = "example",
    .settings = ROWS,
    .n_settings = sizeof ROWS / sizeof ROWS[0],
    .settings_size = sizeof(example_settings),
    .open = open_one,
    .start = start,
    .stop = stop,
    .close = close_one,
    .clash = clash,
};
