#include "fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"

enum { PATHS_MAX = 64 };
static char dir[64];
static char paths[PATHS_MAX][128];
static size_t n_paths;

static const char *path_of(const char *name, const char *extension) {
    char path[sizeof(paths[0])];
    snprintf(path, sizeof(path), "%s/%s.%s", dir, name, extension);
    for (size_t i = 0; i < n_paths; i++) {
        if (strcmp(paths[i], path) == 0) {
            return paths[i];
        }
    }
    ASSERT(n_paths < PATHS_MAX);
    memcpy(paths[n_paths], path, sizeof(path));
    return paths[n_paths++];
}

const char *fixture_pem(const char *name) {
    return path_of(name, "pem");
}

const char *fixture_key(const char *name) {
    return path_of(name, "key");
}

const char *fixture_descriptors(void) {
    return RPC_TEST_DESCRIPTORS;
}

static void make_certs(void) {
    snprintf(dir, sizeof(dir), "/tmp/rpc-test-XXXXXX");
    const char *made = mkdtemp(dir);
    ASSERT(made != NULL);
    char log[128];
    snprintf(log, sizeof(log), "%s/openssl.log", dir);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t)RPC_TEST_CERTS_SCRIPT, dir, NULL};
    pid_t pid = 0;
    int error = posix_spawnp(&pid, "sh", &actions, NULL, argv, environ);
    ASSERT(error == 0);
    posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    waitpid(pid, &status, 0);
    ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static authz_current *policy;

static authz_policy *policy_of(const char *text) {
    err e = {0};
    authz_policy *p = authz_policy_parse(str_of(text), "fixture", "fixture", &e);
    if (p == NULL) {
        fprintf(stderr, "policy: %s\n", e.message);
    }
    ASSERT(p != NULL);
    return p;
}

void fixture_set_policy(const char *text) {
    authz_current_set(policy, policy_of(text));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void fixture_process_init(void) {
    log_init("rpc-test", LOG_ERROR);
    make_certs(); // before core has threads: no fork after that
    rpc_init();
    policy = authz_current_create(policy_of(FIXTURE_POLICY));
}

void fixture_process_deinit(void) {
    rpc_shutdown();
    authz_current_destroy(policy);
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

rpc_server_options fixture_options(void) {
    return (rpc_server_options){
        .listen = "127.0.0.1:0",
        .tls = {fixture_pem("ca"), fixture_pem("server"), fixture_key("server"), false},
        .workers = 8,
        .queue_max = 128,
        .in_flight_max = 256,
        .streams_max = 4,
        .message_max = (size_t)4 * 1024 * 1024,
        .arena_max = (size_t)32 * 1024 * 1024,
        .deadline_max_ms = 20000,
        .descriptor_file = RPC_TEST_DESCRIPTORS,
        .error_domain = "rpc.test",
        .policy = policy,
    };
}

void fixture_start(fixture *f, const rpc_server_options *o) {
    memset(f, 0, sizeof(*f));
    echo_service_start(&f->echo);
    rpc_service service = echo_service_table(&f->echo);
    rpc_server_options options = *o;
    options.services = &service;
    options.n_services = 1;
    options.permissions = ECHO_PERMISSIONS;
    options.n_permissions = ECHO_METHODS;
    err e = {0};
    f->server = rpc_server_start(&options, &e);
    if (f->server == NULL) {
        fprintf(stderr, "start: %s (%s)\n", e.message, e.detail);
    }
    ASSERT(f->server != NULL);
    snprintf(f->target, sizeof(f->target), "127.0.0.1:%d", rpc_server_port(f->server));
    f->client = fixture_client(f, "client", "ca", 0);
    if (o->tls.insecure) {
        rpc_client_destroy(f->client);
        rpc_client_options insecure = {
            .target = f->target, .tls = {.insecure = true}, .message_max = (size_t)1024 * 1024};
        f->client = rpc_client_create(&insecure, &e);
        ASSERT(f->client != NULL);
    }
}

void fixture_stop(fixture *f, int64_t grace_ms) {
    rpc_server_drain(f->server, grace_ms);
    rpc_client_destroy(f->client);
    echo_service_stop(&f->echo);
}

rpc_client *fixture_client(const fixture *f, const char *cert, const char *ca, int retries) {
    rpc_client_options o = {.target = f->target,
                            .tls = {fixture_pem(ca), fixture_pem(cert), fixture_key(cert), false},
                            .tls_server_name = "localhost",
                            .message_max = (size_t)8 * 1024 * 1024,
                            .retries_max = retries};
    err e = {0};
    rpc_client *c = rpc_client_create(&o, &e);
    ASSERT(c != NULL);
    return c;
}

metric *fixture_handled(const char *method, err_code code) {
    char labels[256];
    snprintf(labels, sizeof(labels),
             "grpc_type=\"unary\",grpc_service=\"rpc.testing.EchoService\",grpc_method=\"%s\","
             "grpc_code=\"%s\"",
             method, err_code_name(code));
    return metric_counter("grpc_server_handled_total", labels, "");
}

int64_t fixture_now_ms(void) {
    return clock_mono_ms(clock_system());
}

bool fixture_wait_for(const atomic_int *value, int at_least, int64_t ms) {
    int64_t until_ms = fixture_now_ms() + ms;
    while (atomic_load(value) < at_least) {
        if (fixture_now_ms() > until_ms) {
            return false;
        }
        struct timespec t = {.tv_nsec = 2000000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    }
    return true;
}

bool fixture_call(rpc_client *c, const char *path, const char *text, int64_t sleep_ms,
                  int64_t timeout_ms, arena *a, Rpc__Testing__EchoResponse **out, err *e) {
    Rpc__Testing__EchoRequest request = RPC__TESTING__ECHO_REQUEST__INIT;
    request.text = (char *)(uintptr_t)text;
    request.sleep_ms = sleep_ms;
    int64_t deadline_ms = timeout_ms == INT64_MAX ? INT64_MAX : fixture_now_ms() + timeout_ms;
    return rpc_client_call(c, path, &request.base, &rpc__testing__echo_response__descriptor,
                           deadline_ms, a, (ProtobufCMessage **)out, e);
}
