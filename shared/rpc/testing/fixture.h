// A server with TLS on a free port of loopback, its certificates, and clients for it.
#ifndef RPC_TESTING_FIXTURE_H
#define RPC_TESTING_FIXTURE_H

#include "base/metrics.h"
#include "echo.pb-c.h"
#include "echo_service.h"
#include "rpc/rpc.h"

#define ECHO_PATH(method) "/rpc.testing.EchoService/" method

typedef struct fixture {
    rpc_server *server;
    echo_service echo;
    rpc_client *client; // as spiffe://disburse/test
    char target[64];
} fixture;

// Once per process: starts gRPC and makes certificates in a temporary folder; and undoes both.
void fixture_process_init(void);
void fixture_process_deinit(void);
const char *fixture_pem(const char *name); // path of <name>.pem, valid until the process ends
const char *fixture_key(const char *name);
const char *fixture_descriptors(void);

rpc_server_options fixture_options(void); // sane limits; the caller may change them
// The policy of all servers of this process. At first FIXTURE_POLICY.
void fixture_set_policy(const char *text);
// The policy's entry of spiffe://disburse/test, the client of every fixture.
#define FIXTURE_TEST_ENTRY "[identity spiffe://disburse/test]\nroles = payer\nmerchants = all\n"
#define FIXTURE_POLICY                                                                             \
    FIXTURE_TEST_ENTRY                                                                             \
    "[identity spiffe://disburse/limited]\nroles = payer\nmerchants = acme\n"                      \
    "[identity spiffe://disburse/edge]\nroles = gateway\nacts_as = maker\nmerchants = all\n"       \
    "[person ada]\nroles = maker, payer\nmerchants = acme\n"                                       \
    "[identity insecure]\nroles = payer\nmerchants = all\n"
void fixture_start(fixture *f, const rpc_server_options *o);
void fixture_stop(fixture *f, int64_t grace_ms); // drains
rpc_client *fixture_client(const fixture *f, const char *cert, const char *ca, int retries);

// How many calls of the echo service's unary method this process has answered with the code.
metric *fixture_handled(const char *method, err_code code);
int64_t fixture_now_ms(void);
bool fixture_wait_for(const atomic_int *value, int at_least, int64_t ms); // polls
// One call in the shape of Echo. The response lives in a.
bool fixture_call(rpc_client *c, const char *path, const char *text, int64_t sleep_ms,
                  int64_t timeout_ms, arena *a, Rpc__Testing__EchoResponse **out, err *e);

#endif
