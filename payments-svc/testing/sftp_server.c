#include "testing/sftp_server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

enum { PAIRS_MAX = 16, CHUNK_LEN = 16384 };

typedef struct pair {
    int client, server; // -1: free
} pair;

struct sftp_server {
    char dir[64], user[64];
    pid_t sshd;
    int sshd_port, port, listener, wake[2];
    pthread_t thread;
    pair pairs[PAIRS_MAX];
    atomic_long cut_after, lose_after, sent, slow_ms;
    atomic_bool stalled, hang_up, stop;
};

static const char SETUP[] =
    "set -e; cd \"$0\"; umask 077\n"
    "mkdir -p root/inbox root/outbox/done root/archive\n"
    "for k in client_key host_key other_key; do ssh-keygen -q -t ed25519 -N '' -C test -f $k; "
    "done\n"
    "cp client_key.pub authorized_keys\n"
    "cat > sshd.conf <<END\n"
    "Port $1\nListenAddress 127.0.0.1\nHostKey $0/host_key\nAuthorizedKeysFile $0/authorized_keys\n"
    "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication "
    "no\nKbdInteractiveAuthentication no\n"
    "PermitRootLogin prohibit-password\nSubsystem sftp $0/sftp.sh\nLogLevel QUIET\n"
    "END\n"
    "printf '#!/bin/sh\\nexec /usr/lib/openssh/sftp-server -d %s/root $(cat %s/options)\\n' $0 $0 "
    "> sftp.sh\n"
    "chmod 700 sftp.sh; : > options\n"
    "[ \"$(id -u)\" != 0 ] || mkdir -p /run/sshd\n";

static void shell(const char *script, const char *arg0, const char *arg1) {
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        (void)execl("/bin/sh", "sh", "-c", script, arg0, arg1, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

static int listen_on_free_port(int *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 16) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static int connect_to(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    ASSERT(fd >= 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void drop(pair *p) {
    if (p->client >= 0) {
        (void)close(p->client);
        (void)close(p->server);
    }
    p->client = p->server = -1;
}

static void take_client(sftp_server *s) {
    int client = accept(s->listener, NULL, NULL);
    for (size_t i = 0; client >= 0 && i < PAIRS_MAX; i++) {
        if (s->pairs[i].client < 0) {
            s->pairs[i] = (pair){client, connect_to(s->sshd_port)};
            if (s->pairs[i].server < 0) {
                (void)close(client);
                s->pairs[i].client = -1;
            }
            return;
        }
    }
    if (client >= 0) {
        (void)close(client);
    }
}

static void forward(sftp_server *s, pair *p, bool from_client) {
    char chunk[CHUNK_LEN];
    ssize_t n = recv(from_client ? p->client : p->server, chunk, sizeof chunk, 0);
    bool cut = n <= 0;
    const long slow_ms = from_client ? atomic_load(&s->slow_ms) : 0;
    if (slow_ms > 0) {
        const struct timespec pause = {.tv_nsec = slow_ms * 1000000};
        (void)nanosleep(&pause, NULL);
    }
    if (from_client && !cut) {
        long limit = atomic_load(&s->cut_after), sent = atomic_load(&s->sent);
        if (limit >= 0 && sent + n > limit) {
            n = limit > sent ? limit - sent : 0;
            cut = true;
        }
        atomic_fetch_add(&s->sent, n);
    }
    if (!from_client && !cut) {
        long limit = atomic_load(&s->lose_after);
        if (limit >= 0 && atomic_load(&s->sent) >= limit) {
            n = 0;
            cut = true;
        }
    }
    if (n > 0 && send(from_client ? p->server : p->client, chunk, (size_t)n, MSG_NOSIGNAL) != n) {
        cut = true;
    }
    if (cut) {
        drop(p);
    }
}

static void *run(void *arg) {
    sftp_server *s = arg;
    while (!atomic_load(&s->stop)) {
        struct pollfd fds[2 + 2 * PAIRS_MAX];
        bool stalled = atomic_load(&s->stalled);
        fds[0] = (struct pollfd){.fd = s->wake[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = s->listener, .events = POLLIN};
        for (size_t i = 0; i < PAIRS_MAX; i++) {
            fds[2 + 2 * i] =
                (struct pollfd){.fd = stalled ? -1 : s->pairs[i].client, .events = POLLIN};
            fds[3 + 2 * i] =
                (struct pollfd){.fd = stalled ? -1 : s->pairs[i].server, .events = POLLIN};
        }
        (void)poll(fds, 2 + 2 * PAIRS_MAX, -1);
        if (fds[0].revents != 0) {
            char ignored;
            (void)!read(s->wake[0], &ignored, 1);
            for (size_t i = 0; atomic_load(&s->hang_up) && i < PAIRS_MAX; i++) {
                drop(&s->pairs[i]);
            }
            atomic_store(&s->hang_up, false);
            continue;
        }
        for (size_t i = 0; i < PAIRS_MAX; i++) {
            pair *p = &s->pairs[i];
            if (p->client >= 0 && fds[2 + 2 * i].revents != 0) {
                forward(s, p, true);
            } else if (p->client >= 0 && fds[3 + 2 * i].revents != 0) {
                forward(s, p, false);
            }
        }
        if (fds[1].revents != 0) {
            take_client(s);
        }
    }
    return NULL;
}

static void wake(sftp_server *s) {
    MUST(write(s->wake[1], "w", 1) == 1);
}

sftp_server *sftp_server_start(void) {
    sftp_server *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        s->pairs[i] = (pair){-1, -1};
    }
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/disburse-sftp.XXXXXX");
    MUST(mkdtemp(s->dir) != NULL);
    const struct passwd *me = getpwuid(getuid());
    ASSERT(me != NULL);
    (void)snprintf(s->user, sizeof s->user, "%s", me->pw_name);
    char port[16], conf[96];
    (void)close(listen_on_free_port(&s->sshd_port));
    (void)snprintf(port, sizeof port, "%d", s->sshd_port);
    (void)snprintf(conf, sizeof conf, "%s/sshd.conf", s->dir);
    shell(SETUP, s->dir, port);
    s->sshd = fork();
    ASSERT(s->sshd >= 0);
    if (s->sshd == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-f", conf, (char *)NULL);
        _exit(127);
    }
    int probe = -1;
    for (int i = 0; probe < 0 && i < 200; i++) {
        (void)poll(NULL, 0, 25);
        probe = connect_to(s->sshd_port);
    }
    ASSERT(probe >= 0);
    (void)close(probe);
    s->listener = listen_on_free_port(&s->port);
    atomic_store(&s->cut_after, -1);
    atomic_store(&s->lose_after, -1);
    MUST(pipe(s->wake) == 0 && pthread_create(&s->thread, NULL, run, s) == 0);
    return s;
}

void sftp_server_stop(sftp_server *s) {
    atomic_store(&s->stop, true);
    wake(s);
    (void)pthread_join(s->thread, NULL);
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        drop(&s->pairs[i]);
    }
    (void)close(s->listener);
    (void)close(s->wake[0]);
    (void)close(s->wake[1]);
    (void)kill(s->sshd, SIGTERM);
    (void)waitpid(s->sshd, NULL, 0);
    shell("rm -rf \"$0\"", s->dir, "");
    free(s);
}

int sftp_server_port(const sftp_server *s) {
    return s->port;
}

const char *sftp_server_user(const sftp_server *s) {
    return s->user;
}

const char *sftp_server_path(const sftp_server *s, const char *name) {
    static char paths[8][512];
    static size_t next;
    char *out = paths[next++ % 8];
    (void)snprintf(out, sizeof paths[0], "%s/%s", s->dir, name);
    return out;
}

void sftp_server_empty(const sftp_server *s, const char *folder) {
    const char *path = sftp_server_path(s, folder);
    DIR *d = opendir(path);
    for (struct dirent *entry = d == NULL ? NULL : readdir(d); entry != NULL; entry = readdir(d)) {
        char file[1024];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_REG) {
            (void)unlink(file);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

void sftp_server_refuse(sftp_server *s, const char *requests) {
    FILE *out = fopen(sftp_server_path(s, "options"), "w");
    ASSERT(out != NULL);
    if (requests[0] != '\0') {
        MUST(fprintf(out, "-P %s\n", requests) > 0);
    }
    MUST(fclose(out) == 0);
    sftp_server_hang_up(s);
}

void sftp_server_cut_after(sftp_server *s, long bytes) {
    atomic_store(&s->sent, 0);
    atomic_store(&s->cut_after, bytes);
}

void sftp_server_lose_answer_after(sftp_server *s, long bytes) {
    atomic_store(&s->sent, 0);
    atomic_store(&s->lose_after, bytes);
}

void sftp_server_slow(sftp_server *s, long ms) {
    atomic_store(&s->slow_ms, ms);
}

void sftp_server_stall(sftp_server *s, bool stalled) {
    atomic_store(&s->stalled, stalled);
    wake(s);
}

void sftp_server_hang_up(sftp_server *s) {
    atomic_store(&s->hang_up, true);
    wake(s);
}

long sftp_server_sent(const sftp_server *s) {
    return atomic_load(&s->sent);
}

void sftp_server_put(const sftp_server *s, const char *name, const char *text) {
    FILE *out = fopen(sftp_server_path(s, name), "wb");
    MUST(out != NULL && fwrite(text, 1, strlen(text), out) == strlen(text));
    MUST(fclose(out) == 0);
}

size_t sftp_server_get(const sftp_server *s, const char *name, char *out, size_t max) {
    FILE *in = fopen(sftp_server_path(s, name), "rb");
    ASSERT(in != NULL);
    const size_t n = fread(out, 1, max, in);
    MUST(n < max && fclose(in) == 0);
    return n;
}

bool sftp_server_has(const sftp_server *s, const char *folder, const char *name) {
    char path[256];
    const int n = snprintf(path, sizeof path, "root/%s/%s", folder, name);
    ASSERT(n > 0 && (size_t)n < sizeof path);
    return access(sftp_server_path(s, path), F_OK) == 0;
}
