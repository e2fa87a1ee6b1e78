// Named sections.
#include <limits.h>

#include "base/config.h"
#include "base/test_support.h"

enum { NAMED_MAX = 3 };

typedef struct file_kind {
    bool enabled;
    const char *host, *key_file;
    int64_t port;
} file_kind;

typedef struct call_kind {
    bool enabled;
    const char *url;
} call_kind;

typedef struct element {
    const char *name, *kind;
    file_kind file;
    call_kind call;
} element;

typedef struct settings {
    file_kind file;
    call_kind call;
    element named[NAMED_MAX];
    size_t n_named;
} settings;

static const config_setting ROWS[] = {
    {"file.enabled", CONFIG_BOOL, offsetof(settings, file.enabled), "false", 0, 0, "on"},
    {"file.host", CONFIG_STRING, offsetof(settings, file.host), "", 0, 0, "where"},
    {"file.host_key_file", CONFIG_PATH, offsetof(settings, file.key_file), "", 0, 0, "a key"},
    {"file.port", CONFIG_INT, offsetof(settings, file.port), "22", 1, 65535, "a port"},
    {"call.enabled", CONFIG_BOOL, offsetof(settings, call.enabled), "false", 0, 0, "on"},
    {"call.url", CONFIG_STRING, offsetof(settings, call.url), "", 0, 0, "where"},
};
static const config_kind KINDS[] = {
    {"file", offsetof(settings, file), offsetof(element, file)},
    {"call", offsetof(settings, call), offsetof(element, call)},
};
static const config_named NAMED = {.section = "link",
                                   .kind_key = "kind",
                                   .on_key = "enabled",
                                   .help = "one more link",
                                   .kinds = KINDS,
                                   .n_kinds = N_OF(KINDS),
                                   .offset = offsetof(settings, named),
                                   .element_size = sizeof(element),
                                   .max = NAMED_MAX,
                                   .count_offset = offsetof(settings, n_named),
                                   .name_offset = offsetof(element, name),
                                   .kind_offset = offsetof(element, kind)};
static const config_table TABLE = {"NAMEDTEST", ROWS, N_OF(ROWS), &NAMED};

static char folder[] = "/tmp/config-named-test-XXXXXX";
static char path[PATH_MAX];

static int setup(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/test.ini", folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static bool load(const char *text, settings *s, err *e) {
    test_write_file(path, text, 0600);
    memset(s, 0xee, sizeof(*s));
    return config_load(&TABLE, path, s, e);
}

static void assert_refused(const char *text, const char *part) {
    settings s;
    err e = {0};
    assert_false(load(text, &s, &e));
    if (strstr(e.message, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", e.message, part);
    }
}

static const char TWO[] = "[file]\nhost = first\n"
                          "[link.wells]\nhost = second\nkind = file\nhost_key_file = k\n"
                          "[link.fast-1]\nkind = call\nurl = https://x\nenabled = false\n";

static void test_named__have_the_keys_and_defaults_of_their_kind(void **state) {
    (void)state;
    settings s;
    err e;
    assert_true(load("[file]\nhost = x\n", &s, &e));
    assert_int_equal(s.n_named, 0);
    assert_true(config_load(&TABLE, NULL, &s, &e));
    assert_int_equal(s.n_named, 0);
    if (!load(TWO, &s, &e)) {
        fail_msg("%s", e.message);
    }
    assert_int_equal(s.n_named, 2);
    assert_string_equal(s.file.host, "first");
    assert_false(s.file.enabled);
    assert_string_equal(s.named[0].name, "wells");
    assert_string_equal(s.named[0].kind, "file");
    assert_string_equal(s.named[0].file.host, "second");
    assert_int_equal(s.named[0].file.port, 22);
    assert_true(s.named[0].file.enabled); // a written section is a wanted one
    assert_int_equal(s.named[0].file.key_file[0], '/');
    assert_string_equal(s.named[1].name, "fast-1");
    assert_string_equal(s.named[1].call.url, "https://x");
    assert_false(s.named[1].call.enabled);
}

static void test_named__come_by_the_environment_too(void **state) {
    (void)state;
    settings s;
    err e = {0};
    setenv("NAMEDTEST_LINK_FAST_1_URL", "https://y", 1);
    assert_true(load(TWO, &s, &e));
    assert_string_equal(s.named[1].call.url, "https://y");
    assert_refused("[file]\nhost = x\n", "NAMEDTEST_LINK_FAST_1_URL"); // belongs to no section
    unsetenv("NAMEDTEST_LINK_FAST_1_URL");
}

static void test_named__what_is_wrong_is_refused_by_its_name(void **state) {
    (void)state;
    assert_refused("[link.a]\nkind = wire\n", "link.a.kind is \"wire\": want file or call");
    assert_refused("[link.a]\nhost = x\n", "link.a.kind must be given: want file or call");
    assert_refused("[link.a]\nkind = call\nhost = x\n", "unknown setting link.a.host");
    assert_refused("[link.a]\nkind = file\n[file]\nport = 1\n[link.a]\nkind = call\n",
                   "link.a.kind is set twice");
    assert_refused("[link.a]\nkind = file\nport = 0\n", "link.a.port");
    assert_refused("[link.Wells]\nkind = file\n", "lower-case");
    assert_refused("[link.]\nkind = file\n", "lower-case");
    assert_refused("[link.a]\nkind=file\n[link.b]\nkind=file\n[link.c]\nkind=file\n[link.d]\n"
                   "kind=file\n",
                   "more than 3 sections");
    assert_refused("[link.a]\nkind = file\n[link.a-host]\nkind = file\nhost = x\n[link.b]\n"
                   "kind = file\n[file]\nhost = x\n[link.a]\nkey_file = x\n",
                   "unknown setting link.a.key_file");
}

// [link.a] host_port and [link.a-host] port would be one variable.
static void test_named__that_the_environment_cannot_tell_apart_are_refused(void **state) {
    (void)state;
    static config_setting rows[N_OF(ROWS) + 1];
    memcpy(rows, ROWS, sizeof ROWS);
    rows[N_OF(ROWS)] = (config_setting){
        "file.host_port", CONFIG_INT, offsetof(settings, file.port), "1", 1, 9, "another port"};
    const config_table table = {"NAMEDTEST", rows, N_OF(rows), &NAMED};
    settings s;
    err e = {0};
    test_write_file(path, "[link.a]\nkind = file\n[link.a-host]\nkind = file\n", 0600);
    assert_false(config_load(&table, path, &s, &e));
    assert_non_null(strstr(e.message, "NAMEDTEST_LINK_A_HOST_PORT"));
}

static void test_named__print_loads_to_the_same(void **state) {
    (void)state;
    settings s, again;
    err e = {0};
    assert_true(load(TWO, &s, &e));
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    config_print(&TABLE, &s, out);
    fclose(out);
    if (!load(text, &again, &e)) {
        fail_msg("%s in\n%s", e.message, text);
    }
    assert_int_equal(again.n_named, 2);
    assert_string_equal(again.named[0].file.host, "second");
    assert_string_equal(again.named[0].file.key_file, s.named[0].file.key_file);
    assert_string_equal(again.named[1].kind, "call");
    assert_false(again.named[1].call.enabled);
    free(text);
    out = open_memstream(&text, &len);
    config_print_help(&TABLE, out);
    config_print_markdown(&TABLE, out);
    fclose(out);
    assert_non_null(strstr(text, "| `link.NAME.kind` | | file or call, must be given | one more"));
    assert_non_null(strstr(text, "  link.NAME.kind\n      one more link (file or call"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named__have_the_keys_and_defaults_of_their_kind),
        cmocka_unit_test(test_named__come_by_the_environment_too),
        cmocka_unit_test(test_named__what_is_wrong_is_refused_by_its_name),
        cmocka_unit_test(test_named__that_the_environment_cannot_tell_apart_are_refused),
        cmocka_unit_test(test_named__print_loads_to_the_same),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
