// Shared by the unit tests.
#ifndef BASE_TEST_SUPPORT_H
#define BASE_TEST_SUPPORT_H

// cmocka needs these four before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

// Runs fn(arg) in a child without stderr. Returns the wait status.
static inline int test_in_child(void (*fn)(void *arg), void *arg) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null < 0 || dup2(null, STDERR_FILENO) < 0) {
            _exit(120);
        }
        fn(arg);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

#define assert_aborts(fn, arg)                                                                     \
    do {                                                                                           \
        int status_ = test_in_child((fn), (arg));                                                  \
        assert_true(WIFSIGNALED(status_));                                                         \
        assert_int_equal(WTERMSIG(status_), SIGABRT);                                              \
    } while (0)

// A file's whole content, NUL-terminated. The caller frees.
static inline char *test_read_file(const char *path) {
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    size_t n = fread(text, 1, 65535, in);
    assert_true(n < 65535);
    fclose(in);
    return text;
}

static inline void test_write_file(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

#endif
