#include "habits/habits.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

struct habits {
    pthread_mutex_t lock; // guards config
    habits_config config;
    habits_shared *shared; // NULL: no relay
};

typedef struct field {
    const char *name;
    size_t offset;
    int64_t least, most;
} field;

#define FIELD(name, kind, least, most, help) {#name, offsetof(habits_config, name), least, most},
static const field FIELDS[] = {HABITS(FIELD) HABITS_SFTP(FIELD)};
enum { N_FIELDS = sizeof(FIELDS) / sizeof(FIELDS[0]) };

habits_shared *habits_shared_map(const char *path, bool create, err *e) {
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
    void *at = MAP_FAILED;
    // The sessions may run as another user than the bank. The file holds only a test's switches.
    if (fd >= 0 && (!create || (ftruncate(fd, sizeof(habits_shared)) == 0 &&
                                (geteuid() != 0 || fchmod(fd, 0666) == 0)))) {
        at = mmap(NULL, sizeof(habits_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (at == MAP_FAILED) {
        (void)err_set(e, ERR_UNAVAILABLE, "HABITS",
                      "the habits of the file server cannot be shared");
        (void)err_detail(e, "%s: %s", path, strerror(why));
        return NULL;
    }
    return at;
}

bool habits_take(_Atomic int64_t *left) {
    int64_t n = atomic_load(left);
    while (n > 0) {
        if (atomic_compare_exchange_weak(left, &n, n - 1)) {
            return true;
        }
    }
    return false;
}

static void share(habits *h) {
#define STORE(name, kind, least, most, help) atomic_store(&h->shared->name, h->config.name);
    if (h->shared != NULL) {
        HABITS_SFTP(STORE)
    }
#undef STORE
}

habits *habits_create(const habits_config *c, habits_shared *shared) {
    habits *h = calloc(1, sizeof(*h));
    ASSERT(h != NULL);
    MUST(pthread_mutex_init(&h->lock, NULL) == 0);
    h->config = *c;
    h->shared = shared;
    share(h);
    return h;
}

void habits_destroy(habits *h) {
    if (h != NULL) {
        pthread_mutex_destroy(&h->lock);
        free(h);
    }
}

habits_config habits_get(habits *h) {
    pthread_mutex_lock(&h->lock);
    habits_config c = h->config;
#define LOAD(name, kind, least, most, help) c.name = atomic_load(&h->shared->name);
    if (h->shared != NULL) {
        HABITS_SFTP(LOAD)
    }
#undef LOAD
    pthread_mutex_unlock(&h->lock);
    return c;
}

bool habits_replace(habits *h, const habits_config *c, err *e) {
    bool of_relay = false;
#define ASKS(name, kind, least, most, help) of_relay = of_relay || c->name != 0;
    HABITS_SFTP(ASKS)
#undef ASKS
    if (of_relay && h->shared == NULL) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "NO_RELAY", "sftp_*",
                             "needs the setting sftp.relay = true");
    }
    pthread_mutex_lock(&h->lock);
    h->config = *c;
    share(h);
    pthread_mutex_unlock(&h->lock);
    return true;
}

bool habits_config_set(habits_config *c, const char *name, int64_t value, err *e) {
    for (size_t i = 0; i < N_FIELDS; i++) {
        if (strcmp(name, FIELDS[i].name) != 0) {
            continue;
        }
        if (value < FIELDS[i].least || value > FIELDS[i].most) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_HABIT", name,
                                 "must be %lld to %lld", (long long)FIELDS[i].least,
                                 (long long)FIELDS[i].most);
        }
        memcpy((char *)c + FIELDS[i].offset, &value, sizeof(value));
        return true;
    }
    return err_set_field(e, ERR_INVALID_ARGUMENT, "UNKNOWN_HABIT", name, "there is no such habit");
}

void habits_config_json(const habits_config *c, strbuf *out) {
    for (size_t i = 0; i < N_FIELDS; i++) {
        int64_t value = 0;
        memcpy(&value, (const char *)c + FIELDS[i].offset, sizeof(value));
        strbuf_printf(out, "%s\"%s\":%lld", i == 0 ? "{" : ",", FIELDS[i].name, (long long)value);
    }
    strbuf_add_char(out, '}');
}
