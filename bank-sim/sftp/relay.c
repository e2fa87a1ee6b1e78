#include "sftp/relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "sftp/packet.h"

enum { BUFFER_MAX = 1024 * 1024, READDIRS_MAX = 64, LENGTH_BYTES = 4 };

// The bytes of one direction, cut into packets.
typedef struct lane {
    int from, to;
    uint8_t *bytes;
    size_t len;
} lane;

typedef struct relay {
    habits_shared *habits;
    lane up, down;
    pid_t server;
    uint32_t readdirs[READDIRS_MAX]; // ids of requests for a listing that wait for an answer
    size_t n_readdirs;
    uint32_t lost_rename; // id of a rename whose answer must be lost
    bool rename_is_lost;
} relay;

static bool write_all(int fd, const uint8_t *bytes, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, bytes + done, len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static void remember_readdir(relay *r, uint32_t id) {
    if (r->n_readdirs < READDIRS_MAX) {
        r->readdirs[r->n_readdirs++] = id;
    }
}

static bool was_readdir(relay *r, uint32_t id) {
    for (size_t i = 0; i < r->n_readdirs; i++) {
        if (r->readdirs[i] == id) {
            r->readdirs[i] = r->readdirs[--r->n_readdirs];
            return true;
        }
    }
    return false;
}

// Passes a client's request on. False: the session ends.
static bool pass_request(relay *r, const uint8_t *packet, size_t len) {
    uint8_t answer[PACKET_STATUS_MAX];
    uint32_t id = packet_id(packet, len);
    int64_t slow_ms = atomic_load(&r->habits->sftp_slow_ms);
    int64_t longest = atomic_load(&r->habits->sftp_packet_max);
    if (slow_ms > 0) {
        clock_pause_ms(slow_ms);
    }
    if (longest > 0 && (int64_t)len > longest) {
        return false; // like a server without room for the request
    }
    switch (packet_kind(packet, len)) {
    case PACKET_WRITE:
        if (habits_take(&r->habits->sftp_drop_writes)) {
            size_t half = packet_halve_write(packet, len, r->up.bytes);
            (void)write_all(r->up.to, r->up.bytes, half);
            return false;
        }
        break;
    case PACKET_RENAME:
        if (habits_take(&r->habits->sftp_refuse_renames)) {
            return write_all(r->down.to, answer, packet_refusal(id, answer));
        }
        if (habits_take(&r->habits->sftp_lose_renames)) {
            r->rename_is_lost = true;
            r->lost_rename = id;
        }
        break;
    case PACKET_READDIR: remember_readdir(r, id); break;
    default: break;
    }
    return write_all(r->up.to, packet, len);
}

// Passes a server's answer on. False: the session ends.
static bool pass_answer(relay *r, uint8_t *packet, size_t len) {
    uint32_t id = packet_id(packet, len);
    int kind = packet_kind(packet, len);
    if (r->rename_is_lost && kind == PACKET_STATUS && id == r->lost_rename) {
        return false; // the rename is done, but its answer never arrives
    }
    bool listing = kind == PACKET_NAME || kind == PACKET_STATUS ? was_readdir(r, id) : false;
    int64_t late_ms = atomic_load(&r->habits->sftp_list_late_ms);
    if (listing && kind == PACKET_NAME && late_ms > 0) {
        int64_t now_ms = clock_wall_us(clock_system()) / 1000;
        len = packet_hide_young(packet, len, now_ms, late_ms);
    }
    if (listing && kind == PACKET_NAME && atomic_load(&r->habits->sftp_bare_names) != 0) {
        len = packet_bare_names(packet, len);
    }
    return write_all(r->down.to, packet, len);
}

typedef bool (*pass_packet)(relay *r, uint8_t *packet, size_t len);

static bool pass_up(relay *r, uint8_t *packet, size_t len) {
    return pass_request(r, packet, len);
}

// Reads the available bytes and passes complete packets on. False: this side has ended, or the session must end.
static bool pump(relay *r, lane *l, pass_packet pass) {
    ssize_t n = read(l->from, l->bytes + l->len, BUFFER_MAX - l->len);
    if (n <= 0) {
        return n < 0 && errno == EINTR;
    }
    l->len += (size_t)n;
    size_t at = 0;
    while (l->len - at >= LENGTH_BYTES) {
        size_t whole = packet_length(l->bytes + at) + LENGTH_BYTES;
        if (whole > BUFFER_MAX) {
            return false;
        }
        if (l->len - at < whole) {
            break;
        }
        if (!pass(r, l->bytes + at, whole)) {
            return false;
        }
        at += whole;
    }
    memmove(l->bytes, l->bytes + at, l->len - at);
    l->len -= at;
    return true;
}

static bool start_server(relay *r, const char *server, const char *root) {
    int to_server[2], from_server[2];
    if (pipe(to_server) != 0 || pipe(from_server) != 0) {
        return false;
    }
    r->server = fork();
    if (r->server == 0) {
        char *const argv[] = {(char *)server, (char *)"-d", (char *)root, NULL};
        if (dup2(to_server[0], STDIN_FILENO) >= 0 && dup2(from_server[1], STDOUT_FILENO) >= 0) {
            (void)close(to_server[0]);
            (void)close(to_server[1]);
            (void)close(from_server[0]);
            (void)close(from_server[1]);
            (void)execv(server, argv);
        }
        _exit(127);
    }
    (void)close(to_server[0]);
    (void)close(from_server[1]);
    r->up.to = to_server[1];
    r->down.from = from_server[0];
    return r->server > 0;
}

int relay_run(habits_shared *shared, const char *server, const char *root) {
    relay r = {.habits = shared,
               .up = {.from = STDIN_FILENO, .bytes = malloc(BUFFER_MAX)},
               .down = {.to = STDOUT_FILENO, .bytes = malloc(BUFFER_MAX)}};
    ASSERT(r.up.bytes != NULL && r.down.bytes != NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    bool runs = start_server(&r, server, root);
    while (runs) {
        struct pollfd polled[] = {{.fd = r.up.from, .events = POLLIN},
                                  {.fd = r.down.from, .events = POLLIN}};
        if (poll(polled, 2, -1) < 0 && errno != EINTR) {
            break;
        }
        if (polled[1].revents != 0) {
            runs = pump(&r, &r.down, pass_answer);
        }
        if (runs && polled[0].revents != 0) {
            runs = pump(&r, &r.up, pass_up);
        }
    }
    if (r.server > 0) {
        (void)close(r.up.to);
        (void)close(r.down.from);
        (void)waitpid(r.server, NULL, 0);
    }
    free(r.up.bytes);
    free(r.down.bytes);
    return 0;
}
