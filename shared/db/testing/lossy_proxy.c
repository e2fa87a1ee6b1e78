#include "testing/lossy_proxy.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"

enum { PAIRS_MAX = 32, CHUNK_LEN = 65536 };

typedef struct pair {
    int client, server; // -1: free
    bool swallow;       // the server's next answer is lost, and then the connection
} pair;

struct lossy_proxy {
    char server_dir[80], dir[64], path[108];
    int listener;
    int stop_pipe[2];
    atomic_int mode;
    const char *commits_with; // NULL: only COMMIT commits
    pthread_t thread;
    pair pairs[PAIRS_MAX];
    char chunk[CHUNK_LEN];
};

static struct sockaddr_un address_of(const char *dir) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path, sizeof a.sun_path, "%s/.s.PGSQL.5432", dir);
    ASSERT(n > 0 && (size_t)n < sizeof a.sun_path);
    return a;
}

static void hang_up(pair *p) {
    (void)close(p->client);
    (void)close(p->server);
    p->client = p->server = -1;
}

static void accept_one(lossy_proxy *x) {
    int client = accept(x->listener, NULL, NULL);
    for (size_t i = 0; client >= 0 && i < PAIRS_MAX; i++) {
        pair *p = &x->pairs[i];
        if (p->client < 0) {
            struct sockaddr_un to = address_of(x->server_dir);
            p->client = client;
            p->server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            p->swallow = false;
            if (connect(p->server, (struct sockaddr *)&to, sizeof to) != 0) {
                hang_up(p);
            }
            return;
        }
    }
    if (client >= 0) {
        (void)close(client);
    }
}

static bool send_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

// Compares with the NUL: READ COMMITTED must not match.
static bool holds(const char *bytes, size_t len, const char *text) {
    return memmem(bytes, len, text, strlen(text) + 1) != NULL;
}

// As a statement, or by the name that a pipeline has prepared.
static bool is_commit(const lossy_proxy *x, size_t len) {
    return holds(x->chunk, len, "COMMIT") || holds(x->chunk, len, "pipe_commit") ||
           (x->commits_with != NULL && holds(x->chunk, len, x->commits_with));
}

static void forward(lossy_proxy *x, pair *p, bool from_client) {
    ssize_t n = recv(from_client ? p->client : p->server, x->chunk, CHUNK_LEN, 0);
    if (n <= 0 || (!from_client && p->swallow)) {
        hang_up(p);
        return;
    }
    if (from_client && is_commit(x, (size_t)n)) {
        int mode = atomic_load(&x->mode);
        if (mode == LOSSY_DROP_BEFORE_COMMIT) {
            atomic_store(&x->mode, LOSSY_PASS);
            hang_up(p);
            return;
        }
        if (mode == LOSSY_DROP_AFTER_COMMIT) {
            atomic_store(&x->mode, LOSSY_PASS);
            p->swallow = true;
        }
    }
    if (!send_all(from_client ? p->server : p->client, x->chunk, (size_t)n)) {
        hang_up(p);
    }
}

static void *run(void *arg) {
    lossy_proxy *x = arg;
    for (;;) {
        struct pollfd fds[2 + 2 * PAIRS_MAX];
        bool stalled = atomic_load(&x->mode) == LOSSY_STALL;
        fds[0] = (struct pollfd){.fd = x->stop_pipe[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = x->listener, .events = POLLIN};
        for (size_t i = 0; i < PAIRS_MAX; i++) {
            fds[2 + 2 * i] =
                (struct pollfd){.fd = stalled ? -1 : x->pairs[i].client, .events = POLLIN};
            fds[3 + 2 * i] =
                (struct pollfd){.fd = stalled ? -1 : x->pairs[i].server, .events = POLLIN};
        }
        (void)poll(fds, 2 + 2 * PAIRS_MAX, -1);
        if (fds[0].revents != 0) {
            char command = 0;
            if (read(x->stop_pipe[0], &command, 1) == 1 && command == 's') {
                return NULL;
            }
            continue; // the mode has changed
        }
        for (size_t i = 0; i < PAIRS_MAX; i++) {
            pair *p = &x->pairs[i];
            if (p->client >= 0 && fds[2 + 2 * i].revents != 0) {
                forward(x, p, true);
            } else if (p->client >= 0 && fds[3 + 2 * i].revents != 0) {
                forward(x, p, false);
            }
        }
        if (fds[1].revents != 0) {
            accept_one(x);
        }
    }
}

lossy_proxy *lossy_proxy_start(const char *server_dir) {
    lossy_proxy *x = calloc(1, sizeof *x);
    ASSERT(x != NULL);
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        x->pairs[i].client = x->pairs[i].server = -1;
    }
    (void)snprintf(x->server_dir, sizeof x->server_dir, "%s", server_dir);
    (void)snprintf(x->dir, sizeof x->dir, "/tmp/disburse-proxy.XXXXXX");
    MUST(mkdtemp(x->dir) != NULL);
    struct sockaddr_un at = address_of(x->dir);
    (void)snprintf(x->path, sizeof x->path, "%s", at.sun_path);
    x->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(bind(x->listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(x->listener, 64) == 0);
    MUST(pipe(x->stop_pipe) == 0);
    MUST(pthread_create(&x->thread, NULL, run, x) == 0);
    return x;
}

const char *lossy_proxy_dir(const lossy_proxy *p) {
    return p->dir;
}

void lossy_proxy_commits_with(lossy_proxy *p, const char *statement) {
    p->commits_with = statement;
}

void lossy_proxy_set(lossy_proxy *p, lossy_mode mode) {
    atomic_store(&p->mode, (int)mode);
    MUST(write(p->stop_pipe[1], "m", 1) == 1);
}

void lossy_proxy_stop(lossy_proxy *p) {
    MUST(write(p->stop_pipe[1], "s", 1) == 1);
    MUST(pthread_join(p->thread, NULL) == 0);
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        if (p->pairs[i].client >= 0) {
            hang_up(&p->pairs[i]);
        }
    }
    (void)close(p->listener);
    (void)close(p->stop_pipe[0]);
    (void)close(p->stop_pipe[1]);
    (void)unlink(p->path);
    (void)rmdir(p->dir);
    free(p);
}
