// Process-wide: core's life, and its log lines in ours.
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

void rpc_init(void) {
    // Core has threads that end only after main has returned. OpenSSL would by then have cleaned up under them, and what it
    // keeps for each thread (its random generators) would be lost. The end of the process frees all of it anyway.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    gpr_set_log_function(log_from_core);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    grpc_init();
}

void rpc_shutdown(void) {
    grpc_shutdown();
}
