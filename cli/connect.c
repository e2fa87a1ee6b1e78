#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "http/http.h"

static rpc_client *connect_to(const cli *c, const char *target, const char *variable, err *e) {
    if (target == NULL || target[0] == '\0') {
        err_set(e, ERR_INVALID_ARGUMENT, "NOT_CONFIGURED", "no address: set %s or give the option",
                variable);
        return NULL;
    }
    const rpc_client_options o = {
        .target = target,
        .tls = {c->ca_file, c->cert_file, c->key_file, c->insecure},
        .tls_server_name = c->server_name,
        .message_max = 64u << 20,
        .retries_max = 5,
    };
    return rpc_client_create(&o, e);
}

static rpc_client *client_of(cli *c, const char *service, err *e) {
    const bool ledger = strncmp(service, "ledger.", 7) == 0;
    rpc_client **client = ledger ? &c->ledger_client : &c->payments_client;
    if (*client == NULL) {
        *client = ledger ? connect_to(c, c->ledger, "PAYCTL_LEDGER", e)
                         : connect_to(c, c->payments, "PAYCTL_PAYMENTS", e);
    }
    return *client;
}

bool cli_call_into(cli *c, const char *service, const char *method, const ProtobufCMessage *request,
                   const ProtobufCMessageDescriptor *response_type, arena *a,
                   ProtobufCMessage **response, err *e) {
    char path[128];
    rpc_client *client = client_of(c, service, e);
    (void)snprintf(path, sizeof path, "/%s/%s", service, method);
    return client != NULL &&
           rpc_client_call(client, path, request, response_type,
                           clock_mono_ms(clock_system()) + CLI_CALL_TIMEOUT_MS, a, response, e);
}

bool cli_call(cli *c, const char *service, const char *method, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *response_type, ProtobufCMessage **response,
              err *e) {
    return cli_call_into(c, service, method, request, response_type, c->arena, response, e);
}

bool cli_stream(cli *c, const char *service, const char *method, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *response_type, int64_t timeout_ms,
                rpc_on_message on_message, void *arg, err *e) {
    char path[128];
    rpc_client *client = client_of(c, service, e);
    (void)snprintf(path, sizeof path, "/%s/%s", service, method);
    return client != NULL &&
           rpc_client_stream(client, path, request, response_type,
                             clock_mono_ms(clock_system()) + timeout_ms, on_message, arg, e);
}

void cli_disconnect(cli *c) {
    rpc_client_destroy(c->payments_client);
    rpc_client_destroy(c->ledger_client);
}

bool cli_bank_get(const char *address, const char *path, arena *a, str *body, err *e) {
    const http_client_options o = {.connect_timeout_ms = 2000,
                                   .total_timeout_ms = 20000,
                                   .max_connections = 1,
                                   .response_max = 64u << 20};
    http_client *client = http_client_create(&o, e);
    if (client == NULL) {
        return false;
    }
    http_exchange x = {.method = "GET", .url = arena_printf(a, "http://%s%s", address, path)};
    http_client_run(client, &x, 1, a);
    http_client_destroy(client);
    if (x.outcome != HTTP_ANSWERED || x.status != 200) {
        return err_set(e, ERR_UNAVAILABLE, "BANK_UNREACHABLE",
                       "the bank did not answer at %s (status %d)", address, x.status);
    }
    *body = x.response;
    return true;
}
