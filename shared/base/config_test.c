#include "base/config.h"

#include <limits.h>

#include "base/test_support.h"

typedef struct settings {
    const char *listen, *ca_file, *key, *conninfo;
    int64_t workers;
    bool insecure;
} settings;

static const config_setting ROWS[] = {
    {"server.listen", CONFIG_STRING, offsetof(settings, listen), "127.0.0.1:0", 0, 0,
     "where to listen"},
    {"server.ca_file", CONFIG_PATH, offsetof(settings, ca_file), "", 0, 0, "the authority"},
    {"server.workers", CONFIG_INT, offsetof(settings, workers), "16", 1, 256, "threads"},
    {"server.insecure", CONFIG_BOOL, offsetof(settings, insecure), "false", 0, 0, "a | bar"},
    {"db.conninfo", CONFIG_STRING, offsetof(settings, conninfo), NULL, 0, 0, "the database"},
    {"rail_ach.key_file", CONFIG_SECRET_FILE, offsetof(settings, key), "", 0, 0, "the key"},
};
static const config_table TABLE = {
    .env_prefix = "TESTSVC", .settings = ROWS, .n_settings = N_OF(ROWS)};

static char folder[] = "/tmp/config-test-XXXXXX";
static char path[PATH_MAX];

static int setup(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/test.ini", folder);
    return 0;
}

static int each_teardown(void **state) {
    (void)state;
    unlink(path);
    static const char *const NAMES[] = {"TESTSVC_SERVER_WORKERS",  "TESTSVC_SERVER_WORKER",
                                        "TESTSVC_DB_CONNINFO",     "TESTSVC_OTHER",
                                        "TESTSVC_SERVER_CA_FILE",  "TESTSVC_RAIL_ACH_X",
                                        "TESTSVC_SERVER_INSECURE", "TESTSVC_SERVER_LISTEN",
                                        "TESTSVC_RAIL_BCH_X",      "TESTSVC_RAIL_ACH_KEY_FILE"};
    for (size_t i = 0; i < N_OF(NAMES); i++) {
        unsetenv(NAMES[i]);
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return rmdir(folder);
}

static bool load(const char *text, settings *s, err *e) {
    test_write_file(path, text, 0600);
    memset(s, 0xee, sizeof(*s));
    return config_load(&TABLE, path, s, e);
}

static void assert_refused(const char *text, const char *reason, const char *part) {
    settings s;
    err e = {0};
    assert_false(load(text, &s, &e));
    assert_string_equal(e.reason, reason);
    if (strstr(e.message, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", e.message, part);
    }
}

static void test_config__defaults_file_environment__the_later_wins(void **state) {
    (void)state;
    settings s;
    err e = {0};
    assert_true(!load("# comment\n", &s, &e)); // the required setting is missing
    assert_string_equal(e.reason, "CONFIG_MISSING");
    assert_non_null(strstr(e.message, "TESTSVC_DB_CONNINFO"));
    assert_true(load("; comment\n\n[db]\n  conninfo = \"host=/x \\; no comment dbname=y\"  "
                     "\n[server]\r\nworkers=32\n",
                     &s, &e));
    assert_string_equal(s.listen, "127.0.0.1:0");
    assert_string_equal(s.conninfo, "host=/x ; no comment dbname=y");
    assert_int_equal(s.workers, 32);
    assert_false(s.insecure);
    assert_string_equal(s.ca_file, "");
    setenv("TESTSVC_SERVER_WORKERS", "64", 1);
    setenv("TESTSVC_SERVER_INSECURE", "true", 1);
    setenv("TESTSVC_OTHER", "ignored: not one of our sections", 1);
    setenv("TESTSVC_RAIL_BCH_X", "the same", 1);
    assert_true(load("[db]\nconninfo=x\n[server]\nworkers=32", &s, &e));
    assert_int_equal(s.workers, 64);
    assert_true(s.insecure);
}

static void test_config__no_file__environment_is_enough(void **state) {
    (void)state;
    settings s;
    err e = {0};
    assert_false(config_load(&TABLE, NULL, &s, &e));
    setenv("TESTSVC_DB_CONNINFO", "x=y", 1);
    assert_true(config_load(&TABLE, NULL, &s, &e));
    assert_string_equal(s.conninfo, "x=y");
    assert_int_equal(s.workers, 16);
    setenv("TESTSVC_DB_CONNINFO", "", 1);
    assert_false(config_load(&TABLE, NULL, &s, &e));
    assert_string_equal(e.reason, "CONFIG_MISSING");
}

static void test_config__unknown_names__refused_by_name_and_line(void **state) {
    (void)state;
    assert_refused("[db]\nconninfo=x\nfoo=1\n", "CONFIG_UNKNOWN",
                   "test.ini:3: unknown setting db.foo");
    assert_refused("[nope]\nconninfo=x\n", "CONFIG_UNKNOWN", "nope.conninfo");
    assert_refused("[db]\nConninfo=x\n", "CONFIG_UNKNOWN", "db.Conninfo");
    setenv("TESTSVC_SERVER_WORKER", "1", 1);
    assert_refused("[db]\nconninfo=x\n", "CONFIG_UNKNOWN", "TESTSVC_SERVER_WORKER");
    unsetenv("TESTSVC_SERVER_WORKER");
    setenv("TESTSVC_RAIL_ACH_X", "1", 1);
    assert_refused("[db]\nconninfo=x\n", "CONFIG_UNKNOWN", "TESTSVC_RAIL_ACH_X");
}

static void test_config__wrong_values__name_value_and_range(void **state) {
    (void)state;
    assert_refused("[server]\nworkers=0\n", "CONFIG_INVALID",
                   "server.workers (test.ini:2): \"0\" is not a whole number from 1 to 256");
    assert_refused("[server]\nworkers=257\n", "CONFIG_INVALID", "257");
    assert_refused("[server]\nworkers=\n", "CONFIG_INVALID", "server.workers");
    assert_refused("[server]\nworkers=1.5\n", "CONFIG_INVALID", "1.5");
    assert_refused("[server]\ninsecure=yes\n", "CONFIG_INVALID", "neither true nor false");
    assert_refused("[server]\nlisten=\x01\n", "CONFIG_INVALID", "server.listen");
    assert_refused("[server]\nlisten=\xff\n", "CONFIG_INVALID", "server.listen");
    assert_refused("[server]\nlisten=a\nlisten=b\n", "CONFIG_INVALID",
                   "test.ini:3: server.listen is set twice");
    setenv("TESTSVC_SERVER_WORKERS", "many", 1);
    assert_refused("[db]\nconninfo=x\n", "CONFIG_INVALID", "TESTSVC_SERVER_WORKERS");
}

static void test_config__broken_files__refused_by_line(void **state) {
    (void)state;
    assert_refused("[db\n", "CONFIG_SYNTAX", "test.ini:1");
    assert_refused("[]\n", "CONFIG_SYNTAX", "test.ini:1");
    assert_refused("\n\nwhat\n", "CONFIG_SYNTAX", "test.ini:3");
    assert_refused("=1\n", "CONFIG_SYNTAX", "test.ini:1");
    assert_refused("conninfo=x\n", "CONFIG_SYNTAX", "no section");
    assert_refused("[db]\nconninfo=\"x\n", "CONFIG_SYNTAX", "wrong quotes");
    assert_refused("[db]\nconninfo=\"x\" y\n", "CONFIG_SYNTAX", "wrong quotes");
    assert_refused("[db]\nconninfo=\"\\n\"\n", "CONFIG_SYNTAX", "wrong quotes");
    static char text[20000];
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "[db]\nconninfo=", 14);
    assert_refused(text, "CONFIG_SYNTAX", "test.ini:2");
    assert_refused("[db]\nconninfo=x ; y\n", "CONFIG_SYNTAX", "test.ini:2: a comment has a line");
    settings s;
    err e = {0};
    // A NUL must not hide the rest of its line, with or without a line end behind it.
    static const char *const ENDS[] = {"", "\n", "\n[server]\nworkers=7\n"};
    for (size_t i = 0; i < N_OF(ENDS); i++) {
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        fprintf(file, "[db]\nconninfo=a%cb%s", 0, ENDS[i]);
        fclose(file);
        assert_false(config_load(&TABLE, path, &s, &e));
        assert_non_null(strstr(e.message, "test.ini:2"));
    }
    assert_false(config_load(&TABLE, "/nonexistent/x.ini", &s, &e));
    assert_string_equal(e.reason, "CONFIG_FILE");
    assert_false(config_load(&TABLE, folder, &s, &e));
}

static void test_config__long_line__whole_or_refused__never_cut(void **state) {
    (void)state;
    settings s;
    err e = {0};
    static char text[4000] = "[db]\nconninfo=";
    for (size_t line = 150; line <= 220; line++) {
        memset(text + 14, 'x', line - 9);
        text[14 + line - 9] = '\0';
        const bool ok = load(text, &s, &e);
        assert_int_equal(ok, line <= 197);
        if (ok) {
            assert_int_equal(strlen(s.conninfo), line - 9);
        } else {
            assert_non_null(strstr(e.message, "test.ini:2: the line is longer than 197 bytes"));
        }
    }
    memset(text, 'y', 3000);
    text[3000] = '\0';
    setenv("TESTSVC_DB_CONNINFO", text, 1);
    assert_true(load("", &s, &e));
    assert_int_equal(strlen(s.conninfo), 3000);
}

static void test_config__relative_paths__belong_to_what_named_them(void **state) {
    (void)state;
    settings s;
    err e = {0};
    char want[PATH_MAX], cwd[PATH_MAX / 2];
    assert_true(load("[db]\nconninfo=x\n[server]\nca_file=tls/ca.pem\n[rail_ach]\nkey_file=/abs\n",
                     &s, &e));
    snprintf(want, sizeof(want), "%s/tls/ca.pem", folder);
    assert_string_equal(s.ca_file, want);
    assert_string_equal(s.key, "/abs");
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    setenv("TESTSVC_SERVER_CA_FILE", "ca.pem", 1);
    assert_true(load("[db]\nconninfo=x\n", &s, &e));
    snprintf(want, sizeof(want), "%s/ca.pem", cwd);
    assert_string_equal(s.ca_file, want);
}

static void test_config_print__any_settings__loads_to_the_same(void **state) {
    (void)state;
    settings s, back;
    err e = {0};
    setenv("TESTSVC_SERVER_LISTEN", "  \"odd\\\" ; # [x] = y  ", 1);
    setenv("TESTSVC_RAIL_ACH_KEY_FILE", "k", 1);
    assert_true(load("[db]\nconninfo = \"\"\n[server]\nworkers=7\ninsecure=true\nca_file=a b\n", &s,
                     &e) == false);
    assert_true(
        load("[db]\nconninfo = host=/x y='z' \\\n[server]\nworkers=7\ninsecure=true\nca_file=a b\n",
             &s, &e));
    assert_string_equal(s.listen, "  \"odd\\\" ; # [x] = y  ");
    static char text[65536];
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    config_print(&TABLE, &s, out);
    fclose(out);
    unsetenv("TESTSVC_SERVER_LISTEN");
    unsetenv("TESTSVC_RAIL_ACH_KEY_FILE");
    assert_true(load(text, &back, &e));
    assert_string_equal(back.listen, s.listen);
    assert_string_equal(back.ca_file, s.ca_file);
    assert_string_equal(back.conninfo, s.conninfo);
    assert_string_equal(back.key, s.key);
    assert_int_equal(back.workers, 7);
    assert_true(back.insecure);
}

static void test_config_print__secret_file__path_but_never_content(void **state) {
    (void)state;
    settings s;
    err e = {0};
    char secret_path[PATH_MAX + 8];
    snprintf(secret_path, sizeof(secret_path), "%s/secret", folder);
    test_write_file(secret_path, "hunter2hunter2\n", 0600);
    assert_true(load("[db]\nconninfo=x\n[rail_ach]\nkey_file=secret\n", &s, &e));
    static char text[65536];
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    config_print(&TABLE, &s, out);
    config_print_help(&TABLE, out);
    config_print_markdown(&TABLE, out);
    fclose(out);
    assert_non_null(strstr(text, secret_path));
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "TESTSVC_RAIL_ACH_KEY_FILE"));
    assert_non_null(strstr(text, "number, 1 to 256, default 16"));
    assert_non_null(strstr(text, "must be given"));
    assert_non_null(strstr(text, "a \\| bar |"));
    unlink(secret_path);
}

static void assert_secret(const char *content, mode_t mode, size_t max, const char *want) {
    char secret_path[PATH_MAX + 8];
    snprintf(secret_path, sizeof(secret_path), "%s/secret", folder);
    test_write_file(secret_path, content, mode);
    char *secret = NULL;
    size_t len = 0;
    err e = {0};
    bool ok = config_read_secret(secret_path, max, &secret, &len, &e);
    assert_int_equal(ok, want != NULL);
    if (ok && want != NULL) {
        assert_int_equal(len, strlen(want));
        assert_string_equal(secret, want);
        config_wipe(secret, len);
    } else {
        assert_string_equal(e.reason, "SECRET_FILE");
        assert_true(content[0] == '\0' || strstr(e.message, content) == NULL);
    }
    unlink(secret_path);
}

static void test_config_read_secret__files__content_or_refusal(void **state) {
    (void)state;
    assert_secret("s3cret", 0600, 10, "s3cret");
    assert_secret("s3cret\n", 0600, 6, "s3cret");
    assert_secret("s3cret\r\n", 0640, 6, "s3cret");
    assert_secret("s3cret\n\n", 0600, 10, "s3cret\n");
    assert_secret("s3cret", 0600, 5, NULL);
    assert_secret("s3cret7890123", 0600, 5, NULL);
    assert_secret("", 0600, 5, NULL);
    assert_secret("\n", 0600, 5, NULL);
    assert_secret("s3cret", 0644, 10, NULL);
    assert_secret("s3cret", 0660, 10, NULL);
    char *secret = NULL;
    size_t len = 0;
    err e = {0};
    assert_false(config_read_secret("/nonexistent", 5, &secret, &len, &e));
    assert_false(config_read_secret(folder, 5, &secret, &len, &e));
    config_wipe(NULL, 0);
}

#define CONFIG_TEST(fn) cmocka_unit_test_teardown(fn, each_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_config__defaults_file_environment__the_later_wins),
        CONFIG_TEST(test_config__no_file__environment_is_enough),
        CONFIG_TEST(test_config__unknown_names__refused_by_name_and_line),
        CONFIG_TEST(test_config__wrong_values__name_value_and_range),
        CONFIG_TEST(test_config__broken_files__refused_by_line),
        CONFIG_TEST(test_config__long_line__whole_or_refused__never_cut),
        CONFIG_TEST(test_config__relative_paths__belong_to_what_named_them),
        CONFIG_TEST(test_config_print__any_settings__loads_to_the_same),
        CONFIG_TEST(test_config_print__secret_file__path_but_never_content),
        CONFIG_TEST(test_config_read_secret__files__content_or_refusal),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
