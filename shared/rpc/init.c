// Once per process: starts core, and sends core's log lines to our log.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <openssl/crypto.h>
#include <string.h>

#include "base/log.h"
#include "rpc/rpc.h"

static void log_from_core(gpr_log_func_args *args) {
    const char *slash = strrchr(args->file, '/');
    // Most errors of core are broken handshakes of strangers.
    LOG_AT(args->severity == GPR_LOG_SEVERITY_ERROR ? LOG_WARN : LOG_DEBUG, "grpc.core",
           F_STR("message", args->message), F_STR("file", slash != NULL ? slash + 1 : args->file),
           F_INT("line", args->line));
}

// Debian builds abseil, whose mutexes core uses, with its search for lock cycles. The search is meant for debugging: it keeps a graph, and
// takes a stack trace for each nested lock, measured as 6 % of a small call. SetMutexDeadlockDetectionMode(kIgnore) turns it off. C can
// call it only by its mangled name; with another name nothing changes.
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
    // Some threads of core end only after main has returned. By then OpenSSL would have cleaned up under them, and leaked what it keeps per
    // thread (its random generators). The end of the process frees all of it anyway.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    gpr_set_log_function(log_from_core);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    stop_deadlock_search();
    grpc_init();
}

void rpc_shutdown(void) {
    grpc_shutdown();
}
