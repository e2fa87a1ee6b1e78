#include "daemon/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"
#include "daemon/daemon_internal.h"
#include "http/http.h"

enum {
    SERVICES_MAX = 16,
    READY_JSON_MAX = 4096,
    STOP_EXTRA_S = 60 // beyond the drain's grace, before a stop that hangs is ended by SIGALRM
};

// What has been started, and so must be stopped. Zeroed: nothing.
typedef struct running {
    const daemon_program *p;
    bool rpc_ready;
    http_server *metrics;
    db_pool *pool;
    db_watch *watch;
    bool service_started;
    rpc_service services[SERVICES_MAX];
    size_t n_services;
    rpc_server *server;
    policy_file policy;
    file_watch files;
    ready_file ready;
} running;

// --- Process-wide ----------------------------------------------------------------------------------------------------

static sigset_t our_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

// Before the first thread is made, so that every thread inherits it and only sigwait sees the signals.
static void prepare_process(void) {
    sigset_t set = our_signals();
    MUST(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&ignore.sa_mask);
    MUST(sigaction(SIGPIPE, &ignore, NULL) == 0);
#ifdef DISBURSE_RELEASE
    // Keys are in memory: no core dump, and no other process of the user may look in.
    MUST(prctl(PR_SET_DUMPABLE, 0) == 0);
#endif
}

static int wait_for_stop(running *r) {
    const sigset_t set = our_signals();
    for (;;) {
        const int number = watch_wait(&set);
        if (number != 0 && number != SIGHUP) {
            return number;
        }
        const bool fresh = watch_signal(&r->files, r->server, number) || r->files.client_again;
        if (fresh && r->p->certificate_changed != NULL) {
            r->files.client_again = !r->p->certificate_changed(r->p->self);
        }
    }
}

static void publish_build(const daemon_program *p) {
    char labels[160];
    strbuf b;
    strbuf_init_fixed(&b, labels, sizeof(labels));
    strbuf_printf(&b, "service=\"%s\",version=\"%s\"", p->name, DISBURSE_VERSION);
    ASSERT(strbuf_ok(&b));
    metric_set(metric_gauge("disburse_build_info", labels, "Always 1; the labels say what runs."),
               1);
    metric_set(
        metric_gauge("process_start_time_seconds", "", "Unix time at which the process started."),
        clock_wall_us(clock_system()) / 1000000);
}

// --- Settings that belong together -----------------------------------------------------------------------------------

static bool is_loopback(const char *listen) {
    static const char *const HOSTS[] = {"127.0.0.1:", "localhost:", "[::1]:"};
    for (size_t i = 0; i < sizeof(HOSTS) / sizeof(HOSTS[0]); i++) {
        if (strncmp(listen, HOSTS[i], strlen(HOSTS[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_settings(const daemon_common *c, log_level *level, err *e) {
    if (!log_level_parse(c->log_level, level)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID",
                       "log.level: \"%.20s\" is none of debug, info, warn, error", c->log_level);
    }
    if (c->insecure && !is_loopback(c->listen)) {
        return err_set(
            e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID",
            "server.insecure: plaintext is for a loopback address only, not for \"%.60s\"",
            c->listen);
    }
    if (!c->insecure &&
        (c->ca_file[0] == '\0' || c->cert_file[0] == '\0' || c->key_file[0] == '\0')) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_MISSING",
                       "server.ca_file, server.cert_file and server.key_file must be given "
                       "(or, on a laptop, server.insecure = true)");
    }
    if (c->policy_file[0] == '\0') {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_MISSING",
                       "server.policy_file must be given: without it nobody may call");
    }
    return true;
}

// --- Start -----------------------------------------------------------------------------------------------------------

static bool start_pool(running *r, err *e) {
    const daemon_common *c = r->p->common;
    const db_pool_options options = {
        .conninfo = c->db_conninfo,
        .application_name = r->p->name,
        .size = (int)c->db_pool_size,
        .statement_timeout_ms = c->db_statement_timeout_ms,
        .metrics_prefix = r->p->name,
        .session_options = r->p->db_session_options,
    };
    r->pool = db_pool_create(&options, e);
    if (r->pool == NULL) {
        return false;
    }
    r->watch = db_watch_start(r->pool);
    return true;
}

static rpc_tls tls_of(const daemon_common *c) {
    return (rpc_tls){.ca_file = c->ca_file,
                     .cert_file = c->cert_file,
                     .key_file = c->key_file,
                     .insecure = c->insecure};
}

static bool start_server(running *r, err *e) {
    const daemon_common *c = r->p->common;
    const rpc_server_options options = {
        .listen = c->listen,
        .tls = tls_of(c),
        .services = r->services,
        .n_services = r->n_services,
        .workers = (int)c->workers,
        .queue_max = (int)c->queue_max,
        .in_flight_max = (int)c->in_flight_max,
        .streams_max = (int)c->streams_max,
        .client_streams_max = (int)c->client_streams_max,
        .message_max = (size_t)c->message_max,
        .arena_max = (size_t)c->arena_max,
        .deadline_max_ms = c->deadline_max_ms,
        .descriptor_file = c->descriptor_file[0] == '\0' ? NULL : c->descriptor_file,
        .error_domain = r->p->error_domain,
        .policy = r->policy.current,
        .permissions = r->p->permissions,
        .n_permissions = r->p->n_permissions,
    };
    if (c->insecure) {
        log_warn("daemon.insecure", F_STR("listen", c->listen));
    }
    r->server = rpc_server_start(&options, e);
    return r->server != NULL;
}

static void set_serving(const running *r, bool serving) {
    for (size_t i = 0; i < r->n_services; i++) {
        rpc_server_set_serving(r->server, r->services[i].descriptor->name, serving);
    }
    rpc_server_set_serving(r->server, "", serving);
}

static bool announce(running *r, err *e) {
    bool ok = false;
    const daemon_program *p = r->p;
    strbuf extra, json;
    strbuf_init(&extra, READY_JSON_MAX);
    strbuf_init(&json, READY_JSON_MAX);
    if (p->started != NULL && !p->started(p->self, r->server, &extra, e)) {
        goto out;
    }
    strbuf_printf(&json, "{\"pid\":%d,\"grpc_port\":%d,\"metrics_port\":%d%s}\n", (int)getpid(),
                  rpc_server_port(r->server), http_server_port(r->metrics), extra.ptr);
    if (!strbuf_ok(&extra) || !strbuf_ok(&json)) {
        err_set(e, ERR_INTERNAL, "READY_FILE", "the ready file would be too large");
        goto out;
    }
    if (p->common->ready_file[0] != '\0' &&
        !ready_file_write(&r->ready, p->common->ready_file, strbuf_str(&json), e)) {
        goto out;
    }
    log_info("daemon.ready", F_STR("version", DISBURSE_VERSION), F_INT("pid", getpid()),
             F_INT("grpc_port", rpc_server_port(r->server)),
             F_INT("metrics_port", http_server_port(r->metrics)));
    ok = true;
out:
    strbuf_deinit(&json);
    strbuf_deinit(&extra);
    return ok;
}

static bool start(running *r, err *e) {
    const daemon_program *p = r->p;
    // What a killed process left behind must not say that this one is ready.
    if (p->common->ready_file[0] != '\0' && unlink(p->common->ready_file) != 0 && errno != ENOENT) {
        return err_set(e, ERR_UNAVAILABLE, "READY_FILE", "cannot remove %.120s: %s",
                       p->common->ready_file, strerrordesc_np(errno));
    }
    if (!policy_start(&r->policy, p->common->policy_file, e)) {
        return false;
    }
    if (p->policy != NULL) {
        *p->policy = r->policy.current;
    }
    rpc_init();
    r->rpc_ready = true;
    publish_build(p);
    r->metrics = http_metrics_start("127.0.0.1", (int)p->common->metrics_port, e);
    if (r->metrics == NULL || !start_pool(r, e)) {
        return false;
    }
    if (!p->start(p->self, r->pool, r->services, SERVICES_MAX, &r->n_services, e)) {
        return false;
    }
    r->service_started = true;
    ASSERT(r->n_services > 0 && r->n_services <= SERVICES_MAX);
    if (!start_server(r, e)) {
        return false;
    }
    const rpc_tls tls = tls_of(p->common);
    watch_start(&r->files, &r->policy, &tls);
    set_serving(r, true);
    if (!announce(r, e)) {
        return false;
    }
    watch_own(&r->files, p);
    return true;
}

// --- Stop ------------------------------------------------------------------------------------------------------------

// Stops what was started, in the reverse order. The metrics endpoint goes before the service and the pool, because a
// scrape reads gauges of both.
static void stop(running *r) {
    const daemon_program *p = r->p;
    // Everything below is bounded by itself; should it hang all the same, the default action of SIGALRM ends it.
    (void)alarm((unsigned)(p->common->drain_grace_ms / 1000) + STOP_EXTRA_S);
    if (r->service_started && p->quiesce != NULL) {
        p->quiesce(p->self);
    }
    if (r->server != NULL) {
        set_serving(r, false);
        rpc_server_drain(r->server, p->common->drain_grace_ms);
    }
    if (r->metrics != NULL) {
        http_server_stop(r->metrics);
    }
    if (r->service_started) {
        p->stop(p->self);
    }
    db_watch_stop(r->watch);
    if (r->pool != NULL) {
        db_pool_destroy(r->pool);
    }
    if (r->rpc_ready) {
        rpc_shutdown();
    }
    watch_stop(&r->files);
    policy_stop(&r->policy);
    ready_file_remove(&r->ready);
    (void)alarm(0);
}

// --- Commands --------------------------------------------------------------------------------------------------------

static int run(const daemon_program *p) {
    prepare_process();
    running r = {.p = p};
    err e = {0};
    bool ok = start(&r, &e);
    if (ok) {
        int number = wait_for_stop(&r);
        log_info("daemon.stopping", F_STR("signal", sigabbrev_np(number)));
    } else {
        log_err(LOG_ERROR, "daemon.start_failed", &e);
    }
    stop(&r);
    if (ok) {
        log_info("daemon.stopped");
    }
    return ok ? EXIT_STOPPED : EXIT_NOT_STARTED;
}

static int migrate(const daemon_program *p) {
    const daemon_common *c = p->common;
    if (c->migrate_conninfo[0] == '\0' || c->migrate_dir[0] == '\0') {
        fprintf(stderr, "%s: migrate.conninfo and migrate.dir must be given\n", p->name);
        return EXIT_WRONG_USE;
    }
    err e = {0};
    if (!db_migrate(c->migrate_conninfo, c->migrate_dir, &e) ||
        (p->migrated != NULL && !p->migrated(p->self, c->migrate_conninfo, &e))) {
        log_err(LOG_ERROR, "daemon.migrate_failed", &e);
        return EXIT_NOT_STARTED;
    }
    return EXIT_STOPPED;
}

static int refuse(const daemon_program *p, const err *e) {
    fprintf(stderr, "%s: %s\n", p->name, e->message);
    return EXIT_WRONG_USE;
}

static int check(const daemon_program *p) {
    const rpc_tls tls = tls_of(p->common);
    err e = {0};
    authz_policy *policy = NULL;
    bool ok = rpc_tls_check(&tls, &e) && (policy = policy_read(p->common->policy_file, &e)) != NULL;
    authz_policy_release(policy);
    if (!ok || (p->check != NULL && !p->check(p->self, &e))) {
        return refuse(p, &e);
    }
    printf("%s: the settings and the files that they name can be used\n", p->name);
    return EXIT_STOPPED;
}

// Threads beyond these share what they free. With an arena for each thread, as is the default, what every one of them once
// needed stays with it: the ledger's resident memory was two thirds more, and nothing was faster.
enum { MALLOC_ARENAS = 2 };

static int run_own(const daemon_program *p, int argc, char **argv) {
    const char *config_file = NULL;
    int n_words = 0;
    bool help = false;
    err e = {0};
    if (!command_line_own(argc, argv, &config_file, &n_words, &help, &e)) {
        return refuse(p, &e);
    }
    if (help) {
        printf("%s", p->command.help);
        return EXIT_STOPPED;
    }
    if (!config_load(p->config, config_file, p->settings, &e)) {
        return refuse(p, &e);
    }
    log_init(p->name, LOG_INFO);
    return p->command.run(p->self, n_words, argv + 2);
}

int daemon_main(const daemon_program *p, int argc, char **argv) {
    (void)mallopt(M_ARENA_MAX, MALLOC_ARENAS);
    if (argc > 1 && p->command.word != NULL && strcmp(argv[1], p->command.word) == 0) {
        return run_own(p, argc, argv);
    }
    command_line line;
    log_level level = LOG_INFO;
    err e = {0};
    if (!command_line_parse(argc, argv, &line, &e)) {
        return refuse(p, &e);
    }
    if (line.command == COMMAND_HELP) {
        command_line_print_help(p, stdout);
        return EXIT_STOPPED;
    }
    if (line.command == COMMAND_VERSION) {
        printf("%s %s\n", p->name, DISBURSE_VERSION);
        return EXIT_STOPPED;
    }
    if (line.command == COMMAND_PRINT_MARKDOWN) {
        config_print_markdown(p->config, stdout);
        return EXIT_STOPPED;
    }
    if (!config_load(p->config, line.config_file, p->settings, &e)) {
        return refuse(p, &e);
    }
    if (line.command == COMMAND_PRINT_CONFIG) {
        config_print(p->config, p->settings, stdout);
        return EXIT_STOPPED;
    }
    // A migration makes no connection but its own, so it needs no certificates.
    const bool serves = line.command == COMMAND_RUN || line.command == COMMAND_CHECK;
    if (serves && !check_settings(p->common, &level, &e)) {
        return refuse(p, &e);
    }
    log_init(p->name, level);
    if (line.command == COMMAND_CHECK) {
        return check(p);
    }
    return line.command == COMMAND_MIGRATE ? migrate(p) : run(p);
}
