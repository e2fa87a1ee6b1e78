// The file of an archive: written rows are read back, and later changes are noticed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "maintain/archive.h"

static char folder[64], path[300];

static int setup(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/disburse-archive.XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    char command[400], manifest[400];
    (void)snprintf(manifest, sizeof manifest, "%s.manifest.json", path);
    (void)snprintf(command, sizeof command, "%s.partial", path);
    (void)unlink(command);
    (void)unlink(manifest);
    (void)unlink(path);
    return rmdir(folder);
}

static const archive_info NEW = {
    .kind = "payouts", .book_id = 7, .archive_id = {{1, 2}}, .before = "b", .made_at = "m"};

static archive_info write_one(int n) {
    err e = {0};
    archive_info info;
    archive_writer *w = archive_begin(folder, &NEW, &e);
    assert_non_null(w);
    for (int i = 0; i < n; i++) {
        char json[100];
        (void)snprintf(json, sizeof json, "{\"n\": %d, \"text\": \"}\\n{\"}", i);
        assert_true(archive_add(w, i % 3 == 0 ? "saga" : "step_log", str_of(json), &e));
    }
    char *wide = malloc(300001);
    assert_non_null(wide);
    memset(wide, '1', 300000);
    wide[300000] = '\0';
    assert_true(archive_add(w, "inbox", str_of(wide), &e)); // more than a block
    free(wide);
    assert_true(archive_finish(w, &info, &e));
    (void)snprintf(path, sizeof path, "%s/%s", folder, info.file);
    return info;
}

typedef struct seen {
    int n;
    size_t longest;
    char first[100];
} seen;

static bool on_row(void *arg, str table, str json, err *e) {
    seen *s = arg;
    (void)e;
    s->longest = json.len > s->longest ? json.len : s->longest;
    if (s->n++ == 0) {
        (void)snprintf(s->first, sizeof s->first, "%.*s %.*s", (int)table.len, table.ptr,
                       (int)json.len, json.ptr);
    }
    return true;
}

static void test_archive__comes_back_as_it_was(void **state) {
    (void)state;
    err e = {0};
    const archive_info info = write_one(1000);
    assert_string_equal(info.file, "payouts-7-01020000-0000-0000-0000-000000000000.jsonl.gz");
    archive_info read;
    assert_true(archive_read_manifest(path, &read, &e));
    assert_int_equal(read.n_tables, 3);
    assert_int_equal(read.tables[0].n + read.tables[1].n, 1000);
    assert_string_equal(read.sha256, info.sha256);
    seen s = {0};
    assert_true(archive_read(path, &read, on_row, &s, &e));
    assert_int_equal(s.n, 1001);
    assert_int_equal(s.longest, 300000);
    assert_string_equal(s.first, "saga {\"n\": 0, \"text\": \"}\\n{\"}");
    arena *a = arena_create(1 << 20);
    archive_info *all = NULL;
    size_t n = 0;
    assert_true(archive_list(folder, &all, &n, a, &e));
    assert_int_equal(n, 1);
    assert_string_equal(all[0].file, info.file);
    arena_destroy(a);
}

static void test_archive__one_changed_byte_is_noticed(void **state) {
    (void)state;
    err e = {0};
    archive_info info = write_one(50);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, info.bytes / 2, SEEK_SET), 0);
    const int was = fgetc(f);
    assert_int_equal(fseek(f, info.bytes / 2, SEEK_SET), 0);
    assert_int_equal(fputc(was ^ 1, f), was ^ 1);
    assert_int_equal(fclose(f), 0);
    assert_false(archive_read(path, &info, NULL, NULL, &e));
    assert_string_equal(e.reason, "ARCHIVE_DAMAGED");
}

static void test_archive__a_file_that_says_less_than_its_manifest_is_noticed(void **state) {
    (void)state;
    err e = {0};
    archive_info info = write_one(50);
    info.tables[0].n++;
    assert_false(archive_read(path, &info, NULL, NULL, &e));
    info.tables[0].n--;
    info.content[0] = info.content[0] == 'a' ? 'b' : 'a';
    assert_false(archive_read(path, &info, NULL, NULL, &e));
    assert_string_equal(e.reason, "ARCHIVE_DAMAGED");
}

static void test_archive__what_is_dropped_leaves_nothing(void **state) {
    (void)state;
    err e = {0};
    archive_writer *w = archive_begin(folder, &NEW, &e);
    assert_non_null(w);
    assert_true(archive_add(w, "saga", STR("{}"), &e));
    assert_int_equal(archive_count(w, "saga"), 1);
    assert_int_equal(archive_count(w, "payout"), 0);
    archive_drop(w);
    path[0] = '\0'; // teardown expects an empty folder
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_archive__comes_back_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(test_archive__one_changed_byte_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_archive__a_file_that_says_less_than_its_manifest_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_archive__what_is_dropped_leaves_nothing, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
