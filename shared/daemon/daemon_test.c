// The frame alone: the functions below replace the other rooms, and only note their calls. daemon_main runs in a
// child (it blocks signals and waits); the child reports through a pipe.
#include "daemon/daemon.h"

#include "base/log.h"
#include "base/metrics.h"
#include "base/test_support.h"
#include "http/http.h"

// --- What happened ---------------------------------------------------------------------------------------------------

static int events_fd = -1; // the child's end

static void note(const char *event) {
    dprintf(events_fd, "%s\n", event);
}

static const char *failing = ""; // the step that must fail

static bool step(const char *name, err *e) {
    note(name);
    if (strcmp(failing, name) == 0) {
        return err_set(e, ERR_UNAVAILABLE, "TEST", "%s failed", name);
    }
    return true;
}

// --- The other rooms -------------------------------------------------------------------------------------------------

static authz_current *current; // the server's

static char a_pool, a_watch, a_server, a_metrics; // addresses to point to

bool rpc_tls_check(const rpc_tls *tls, err *e) {
    assert_true(tls->insecure);
    return step("tls_check", e);
}
void rpc_init(void) {
    note("rpc_init");
}
void rpc_shutdown(void) {
    note("rpc_shutdown");
}
db_pool *db_pool_create(const db_pool_options *o, err *e) {
    assert_string_equal(o->conninfo, "dbname=x");
    assert_int_equal(o->size, 16);
    return step("pool", e) ? (db_pool *)&a_pool : NULL;
}
void db_pool_destroy(db_pool *p) {
    assert_ptr_equal(p, &a_pool);
    note("pool_destroy");
}
db_watch *db_watch_start(db_pool *p) {
    assert_ptr_equal(p, &a_pool);
    note("watch");
    return (db_watch *)&a_watch;
}
void db_watch_stop(db_watch *w) {
    if (w != NULL) {
        assert_ptr_equal(w, &a_watch);
        note("watch_stop");
    }
}
bool db_migrate(const char *conninfo, const char *dir, err *e) {
    dprintf(events_fd, "%s %s\n", conninfo, dir);
    return step("migrate", e);
}
rpc_server *rpc_server_start(const rpc_server_options *o, err *e) {
    assert_int_equal(o->workers, 3);
    assert_int_equal(o->n_services, 1);
    assert_null(o->descriptor_file);
    assert_non_null(o->policy);
    assert_int_equal(o->n_permissions, 1);
    current = o->policy;
    assert_string_equal(o->error_domain, "test.disburse");
    return step("server", e) ? (rpc_server *)&a_server : NULL;
}
void rpc_server_policy_changed(rpc_server *s) {
    assert_ptr_equal(s, &a_server);
    authz_policy *p = authz_current_hold(current, NULL);
    dprintf(events_fd, "policy of %d\n", (int)authz_policy_identities(p));
    authz_policy_release(p);
}
void rpc_server_tls_changed(rpc_server *s) {
    assert_ptr_equal(s, &a_server);
    note("tls_changed");
}
bool rpc_tls_expiry(const rpc_tls *tls, int64_t *unix_s, err *e) {
    (void)tls, (void)unix_s;
    return step("tls_expiry", e);
}
int rpc_server_port(const rpc_server *s) {
    assert_ptr_equal(s, &a_server);
    return 7001;
}
void rpc_server_set_serving(rpc_server *s, const char *service, bool serving) {
    assert_ptr_equal(s, &a_server);
    dprintf(events_fd, "%s:%s\n", serving ? "serving" : "not_serving", service);
}
void rpc_server_drain(rpc_server *s, int64_t grace_ms) {
    assert_ptr_equal(s, &a_server);
    assert_int_equal(grace_ms, 10000);
    note("drain");
}
http_server *http_metrics_start(const char *address, int port, err *e) {
    assert_string_equal(address, "127.0.0.1");
    assert_int_equal(port, 0);
    return step("metrics", e) ? (http_server *)&a_metrics : NULL;
}
int http_server_port(const http_server *s) {
    assert_ptr_equal(s, &a_metrics);
    return 7002;
}
void http_server_stop(http_server *s) {
    assert_ptr_equal(s, &a_metrics);
    note("metrics_stop");
}

// --- The program under test ------------------------------------------------------------------------------------------

typedef struct settings {
    daemon_common common;
} settings;

static const config_setting ROWS[] = {DAEMON_COMMON_SETTINGS(settings)};
static const config_table TABLE = {
    .env_prefix = "TESTD", .settings = ROWS, .n_settings = N_OF(ROWS)};
static settings values;

static char folder[] = "/tmp/daemon-test-XXXXXX";
static char config_path[128], ready_path[128], policy_path[128];
static const char *next_policy; // written before a SIGHUP, after the service's start

static void write_policy(const char *text) {
    test_write_file(policy_path, text, 0600);
}
#define POLICY_ENTRY(name) "[identity spiffe://t/" name "]\nroles = payer\nmerchants = all\n"

static bool on_check(void *self, err *e) {
    (void)self;
    return step("check", e);
}

static bool on_start(void *self, db_pool *pool, rpc_service *services, size_t services_max,
                     size_t *n_services, err *e) {
    static const ProtobufCServiceDescriptor DESCRIPTOR = {.name = "test.v1.Test"};
    assert_ptr_equal(self, &values);
    assert_ptr_equal(pool, &a_pool);
    assert_true(services_max >= 1);
    services[0] = (rpc_service){.descriptor = &DESCRIPTOR};
    *n_services = 1;
    return step("start", e);
}
static bool on_started(void *self, rpc_server *server, strbuf *extra_json, err *e) {
    assert_ptr_equal(self, &values);
    assert_ptr_equal(server, &a_server);
    strbuf_add_c(extra_json, ",\"webhook_port\":7003");
    // Blocked until daemon_main waits for them: the lower number comes first.
    if (next_policy != NULL) {
        write_policy(next_policy);
        kill(getpid(), SIGHUP);
    }
    kill(getpid(), SIGTERM);
    return step("started", e);
}
static void on_quiesce(void *self) {
    assert_ptr_equal(self, &values);
    note("quiesce");
    if (access(ready_path, F_OK) == 0) {
        char *text = test_read_file(ready_path);
        char *pid = strstr(text, "\"pid\":");
        assert_non_null(pid);
        assert_int_equal(strtol(pid + 6, NULL, 10), getpid());
        dprintf(events_fd, "ready %s", strchr(text, ','));
        free(text);
    }
    strbuf out;
    strbuf_init(&out, 65536);
    metrics_render(&out);
    assert_non_null(strstr(out.ptr, "disburse_build_info{service=\"test-svc\",version=\""));
    strbuf_deinit(&out);
}
static void on_stop(void *self) {
    assert_ptr_equal(self, &values);
    note("stop");
}

static const authz_permission PERMISSIONS[] = {
    {"test.v1.Test/Nothing", AUTHZ_PAYER, AUTHZ_ON_NOTHING}};

static const daemon_program PROGRAM = {
    .name = "test-svc",
    .summary = "a test",
    .config = &TABLE,
    .settings = &values,
    .common = &values.common,
    .start = on_start,
    .check = on_check,
    .started = on_started,
    .quiesce = on_quiesce,
    .stop = on_stop,
    .error_domain = "test.disburse",
    .permissions = PERMISSIONS,
    .n_permissions = 1,
    .self = &values,
};

// Runs `test-svc argv…` in a child. Returns its exit code; out gets its notes (and its output, if asked).
static int run(char **argv, bool want_output, char *out, size_t out_size) {
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        events_fd = ends[1];
        int other = want_output ? dup(ends[1]) : open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(other, STDOUT_FILENO);
        dup2(other, STDERR_FILENO);
        exit(daemon_main(&PROGRAM, argc, argv));
    }
    close(ends[1]);
    size_t len = 0;
    for (ssize_t n; len < out_size - 1 && (n = read(ends[0], out + len, out_size - 1 - len)) > 0;) {
        len += (size_t)n;
    }
    out[len] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static char out[65536];
#define RUN(want_output, ...)                                                                      \
    run((char *[]){(char *)"test-svc", __VA_ARGS__, NULL}, (want_output), out, sizeof(out))

static const char CONFIG[] =
    "[server]\nready_file=ready\npolicy_file=policy\ninsecure=true\nworkers=3\n[db]\n"
    "conninfo=dbname=x\n[migrate]\nconninfo=dbname=m\ndir=sql\n";

static int setup(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(config_path, sizeof(config_path), "%s/test.ini", folder);
    snprintf(ready_path, sizeof(ready_path), "%s/ready", folder);
    snprintf(policy_path, sizeof(policy_path), "%s/policy", folder);
    return 0;
}

static int each_setup(void **state) {
    (void)state;
    failing = "";
    next_policy = NULL;
    write_policy(POLICY_ENTRY("a"));
    test_write_file(config_path, CONFIG, 0600);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(config_path);
    unlink(policy_path);
    return rmdir(folder); // fails when a ready file or its temporary was left
}

// --- Tests -----------------------------------------------------------------------------------------------------------

static void test_daemon__whole_life__in_order(void **state) {
    (void)state;
    test_write_file(ready_path, "left by a killed process", 0600);
    assert_int_equal(RUN(false, "--config", config_path), 0);
    assert_string_equal(
        out, "rpc_init\nmetrics\npool\nwatch\nstart\nserver\nserving:test.v1.Test\nserving:\n"
             "started\nquiesce\n"
             "ready ,\"grpc_port\":7001,\"metrics_port\":7002,\"webhook_port\":7003}\n"
             "not_serving:test.v1.Test\nnot_serving:\ndrain\nmetrics_stop\nstop\n"
             "watch_stop\npool_destroy\nrpc_shutdown\n");
    assert_int_not_equal(access(ready_path, F_OK), 0);
}

static void test_daemon__step_fails__stops_what_was_started_and_exits_1(void **state) {
    (void)state;
    static const char *const CASES[][2] = {
        {"metrics", "rpc_init\nmetrics\nrpc_shutdown\n"},
        {"pool", "rpc_init\nmetrics\npool\nmetrics_stop\nrpc_shutdown\n"},
        {"start", "rpc_init\nmetrics\npool\nwatch\nstart\nmetrics_stop\nwatch_stop\npool_"
                  "destroy\nrpc_shutdown\n"},
        {"server", "rpc_init\nmetrics\npool\nwatch\nstart\nserver\nquiesce\nmetrics_stop\nstop\n"
                   "watch_stop\npool_destroy\nrpc_shutdown\n"},
        {"started",
         "rpc_init\nmetrics\npool\nwatch\nstart\nserver\nserving:test.v1.Test\nserving:\nstarted\n"
         "quiesce\nnot_serving:test.v1.Test\nnot_serving:\ndrain\nmetrics_stop\nstop\n"
         "watch_stop\npool_destroy\nrpc_shutdown\n"},
    };
    for (size_t i = 0; i < N_OF(CASES); i++) {
        failing = CASES[i][0];
        assert_int_equal(RUN(false, "--config", config_path), 1);
        assert_string_equal(out, CASES[i][1]);
    }
}

static void test_daemon__ready_file_cannot_be_written__exits_1(void **state) {
    (void)state;
    test_write_file(config_path,
                    "[server]\npolicy_file=policy\nready_file=/nonexistent/"
                    "ready\ninsecure=true\nworkers=3\n[db]\nconninfo=dbname=x\n",
                    0600);
    assert_int_equal(RUN(true, "--config", config_path), 1);
    assert_non_null(strstr(out, "READY_FILE"));
    assert_non_null(strstr(out, "drain\n"));
}

static void test_daemon__wrong_command_line__exits_2_and_starts_nothing(void **state) {
    (void)state;
    static char *const WRONG[][4] = {
        {"--what", NULL},        {"extra", NULL},
        {"--config", NULL},      {"--config=", NULL},
        {"--help", "--version"}, {"--config", "a", "--config=b"},
        {"migrate", "migrate"},  {"--config", "/nonexistent/x.ini"},
    };
    for (size_t i = 0; i < N_OF(WRONG); i++) {
        char *const *w = WRONG[i];
        assert_int_equal(RUN(true, w[0], w[1], w[2]), 2);
        assert_true(strncmp(out, "test-svc: ", 10) == 0);
        assert_null(strstr(out, "rpc_init"));
    }
}

static void assert_setting_refused(const char *config, const char *part) {
    test_write_file(config_path, config, 0600);
    assert_int_equal(RUN(true, "--config", config_path), 2);
    assert_non_null(strstr(out, part));
    assert_null(strstr(out, "rpc_init"));
}

static void test_daemon__settings_that_are_unsafe__exits_2(void **state) {
    (void)state;
    // Deny by default: without certificates no start, and plaintext stays on this machine.
    assert_setting_refused("[db]\nconninfo=x\n", "server.ca_file");
    assert_setting_refused("[db]\nconninfo=x\n[server]\nca_file=a\nkey_file=b\n", "server.ca_file");
    assert_setting_refused("[db]\nconninfo=x\n[server]\ninsecure=true\nlisten=0.0.0.0:1\n",
                           "loopback");
    assert_setting_refused("[db]\nconninfo=x\n[server]\ninsecure=true\nlisten=127.0.0.1.evil:1\n",
                           "loopback");
    assert_setting_refused(
        "[db]\nconninfo=x\n[server]\ninsecure=true\npolicy_file=p\n[log]\nlevel=loud\n",
        "log.level");
    assert_setting_refused("[server]\ninsecure=true\n", "db.conninfo must be given");
    assert_setting_refused("[db]\nconninfo=x\n[server]\ninsecure=true\n",
                           "server.policy_file must be given");
}

static void test_daemon__insecure__is_said_in_the_log(void **state) {
    (void)state;
    assert_int_equal(RUN(true, "--config", config_path), 0);
    assert_non_null(strstr(out, "\"daemon.insecure\""));
    assert_non_null(strstr(out, "\"daemon.stopping\""));
    assert_non_null(strstr(out, "\"TERM\""));
}

static void test_daemon__print_commands__print_and_exit_0(void **state) {
    (void)state;
    assert_int_equal(RUN(true, "--help"), 0);
    assert_non_null(strstr(out, "TESTD_SERVER_LISTEN"));
    assert_int_equal(RUN(true, "--version"), 0);
    assert_true(strncmp(out, "test-svc ", 9) == 0);
    assert_int_equal(RUN(true, "--print-config-markdown"), 0);
    assert_non_null(strstr(out, "| `server.workers` | `TESTD_SERVER_WORKERS` |"));
    // The printed settings are a file that prints the same again.
    assert_int_equal(RUN(true, "--print-config", "--config", config_path), 0);
    static char first[sizeof(out)];
    memcpy(first, out, sizeof(out));
    assert_non_null(strstr(first, "workers = 3\n"));
    test_write_file(config_path, first, 0600);
    assert_int_equal(RUN(true, "--print-config", "--config", config_path), 0);
    assert_string_equal(out, first);
}

static void test_daemon__check__opens_and_starts_nothing(void **state) {
    (void)state;
    assert_int_equal(RUN(false, "--check", "--config", config_path), 0);
    assert_string_equal(out, "tls_check\ncheck\n");
    failing = "tls_check";
    assert_int_equal(RUN(false, "--check", "--config", config_path), 2);
    assert_string_equal(out, "tls_check\n");
    failing = "check";
    assert_int_equal(RUN(true, "--check", "--config", config_path), 2);
    assert_non_null(strstr(out, "check failed"));
    assert_int_equal(RUN(false, "--check", "migrate", "--config", config_path), 2);
}

static void test_daemon__sighup__reads_the_policy_again_and_goes_on(void **state) {
    (void)state;
    next_policy = POLICY_ENTRY("a") POLICY_ENTRY("b");
    assert_int_equal(RUN(true, "--config", config_path), 0);
    const char *changed = strstr(out, "policy of 2\n");
    assert_non_null(changed);
    assert_non_null(strstr(changed, "quiesce\n")); // from the SIGTERM after it
    assert_non_null(strstr(out, "\"authz.policy.loaded\""));
    assert_null(strstr(out, "authz.policy.refused"));
}

static void test_daemon__sighup_with_a_faulty_policy__keeps_the_old_one_and_says_so(void **state) {
    (void)state;
    next_policy = POLICY_ENTRY("a") "[identity spiffe://t/b]\nroles = payr\n";
    assert_int_equal(RUN(true, "--config", config_path), 0);
    assert_null(strstr(out, "policy of"));
    assert_non_null(strstr(out, "\"authz.policy.refused\""));
    assert_non_null(strstr(out, "/policy:5: roles: \\\"payr\\\" is not a role"));
}

static void test_daemon__faulty_policy__stops_the_start_and_is_found_by_check(void **state) {
    (void)state;
    static const char PART[] = "/policy:1: this is no section";
    write_policy("hello\n");
    assert_int_equal(RUN(true, "--config", config_path), 1);
    assert_non_null(strstr(out, PART));
    assert_null(strstr(out, "rpc_init"));
    assert_int_equal(RUN(true, "--check", "--config", config_path), 2);
    assert_non_null(strstr(out, PART));
    write_policy(POLICY_ENTRY("a"));
    assert_int_equal(chmod(policy_path, 0664), 0);
    assert_int_equal(RUN(true, "--check", "--config", config_path), 2);
    assert_non_null(strstr(out, "its group or others may write it"));
    unlink(policy_path);
    assert_int_equal(RUN(true, "--check", "--config", config_path), 2);
    assert_non_null(strstr(out, "cannot be opened"));
    assert_int_equal(mkdir(policy_path, 0700), 0);
    assert_int_equal(RUN(true, "--check", "--config", config_path), 2);
    assert_non_null(strstr(out, "this is not a file"));
    assert_int_equal(rmdir(policy_path), 0);
}

static void test_daemon_migrate__settings__handed_on(void **state) {
    (void)state;
    char want[256];
    snprintf(want, sizeof(want), "dbname=m %s/sql\nmigrate\n", folder);
    assert_int_equal(RUN(false, "migrate", "--config", config_path), 0);
    assert_string_equal(out, want);
    failing = "migrate";
    assert_int_equal(RUN(false, "migrate", "--config", config_path), 1);
    assert_setting_refused("[db]\nconninfo=x\n", "must be given");
    assert_int_equal(RUN(true, "migrate", "--config", config_path), 2);
    assert_non_null(strstr(out, "migrate.conninfo"));
}

#define DAEMON_TEST(fn) cmocka_unit_test_setup(fn, each_setup)

int main(void) {
    const struct CMUnitTest tests[] = {
        DAEMON_TEST(test_daemon__whole_life__in_order),
        DAEMON_TEST(test_daemon__step_fails__stops_what_was_started_and_exits_1),
        DAEMON_TEST(test_daemon__ready_file_cannot_be_written__exits_1),
        DAEMON_TEST(test_daemon__wrong_command_line__exits_2_and_starts_nothing),
        DAEMON_TEST(test_daemon__settings_that_are_unsafe__exits_2),
        DAEMON_TEST(test_daemon__insecure__is_said_in_the_log),
        DAEMON_TEST(test_daemon__print_commands__print_and_exit_0),
        DAEMON_TEST(test_daemon__check__opens_and_starts_nothing),
        DAEMON_TEST(test_daemon__sighup__reads_the_policy_again_and_goes_on),
        DAEMON_TEST(test_daemon__sighup_with_a_faulty_policy__keeps_the_old_one_and_says_so),
        DAEMON_TEST(test_daemon__faulty_policy__stops_the_start_and_is_found_by_check),
        DAEMON_TEST(test_daemon_migrate__settings__handed_on),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
