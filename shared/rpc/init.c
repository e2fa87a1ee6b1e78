// Process-wide: core's life, and its log lines in ours.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <openssl/crypto.h>
#include <string.h>

#include "base/log.h"
#include "rpc/rpc.h"

static void log_from_core(gpr_log_func_args *args) {
    const char *slash = strrchr(args->file, '/');
    // Most of what core calls an error is a stranger's broken handshake.
    LOG_AT(args->severity == GPR_LOG_SEVERITY_ERROR ? LOG_WARN : LOG_DEBUG, "grpc.core",
           F_STR("message", args->message), F_STR("file", slash != NULL ? slash + 1 : args->file),
           F_INT("line", args->line));
}

// Debian builds abseil, whose mutexes core uses, with the search for lock cycles that is meant for debugging: a graph, and a
// stack trace for each lock that is taken under another one, measured as 6 % of a small call. It can be turned off
// (absl::SetMutexDeadlockDetectionMode(kIgnore)), but not from C, hence by its name; where that is another one, all stays as it is.
static void stop_deadlock_search(void) {
    static const char name[] =
        "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE";
    void (*set_mode)(int) = NULL;
    *(void **)(&set_mode) = dlsym(RTLD_DEFAULT, name);
    if (set_mode != NULL) {
        set_mode(0);
    }
}

void rpc_init(void) {
    // Core has threads that end only after main has returned. OpenSSL would by then have cleaned up under them, and what it
    // keeps for each thread (its random generators) would be lost. The end of the process frees all of it anyway.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    gpr_set_log_function(log_from_core);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    stop_deadlock_search();
    grpc_init();
}

void rpc_shutdown(void) {
    grpc_shutdown();
}
