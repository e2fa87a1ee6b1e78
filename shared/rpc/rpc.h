// gRPC: the only room that includes <grpc/*>. A server that hands decoded requests to worker threads, and a client.
//
// Threads: completion-queue threads (they pump, and run small requests that never wait), unary workers (`workers`), one thread a
// live stream (up to `streams_max`).
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authz/actor.h"
#include "authz/authz.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

// --- TLS -------------------------------------------------------------------------------------------------------------
typedef struct rpc_tls {
    const char *ca_file, *cert_file, *key_file; // PEM
    bool insecure; // plaintext; only behind the explicit setting, and logged as a warning at start
} rpc_tls;

// Opens the files and looks whether they can serve: the key belongs to the certificate, and the authority is readable. Nothing is kept.
// FAILED_PRECONDITION otherwise. True when it is insecure.
bool rpc_tls_check(const rpc_tls *tls, err *e) WARN_UNUSED;

// When the certificate ends, in Unix time. FAILED_PRECONDITION when there is none.
bool rpc_tls_expiry(const rpc_tls *tls, int64_t *unix_s, err *e) WARN_UNUSED;

// --- Server ----------------------------------------------------------------------------------------------------------
typedef struct rpc_server rpc_server;
typedef struct rpc_call rpc_call; // one call in flight; reference held until it is answered

// A handler must answer exactly once: rpc_reply or rpc_fail, at once or later from any thread. The request message lives
// in the call's arena and is valid until then. The handler must check every string with the limits of its field; the
// frame has already refused what is not UTF-8, has an embedded NUL, or is too large.
typedef void (*rpc_handler)(rpc_call *call, void *service, const ProtobufCMessage *request);
// A server-streaming handler: runs on a thread of its own, writes with rpc_write, ends with rpc_stream_end or rpc_fail.
typedef void (*rpc_stream_handler)(rpc_call *call, void *service, const ProtobufCMessage *request);

typedef struct rpc_method {
    const char *name;  // "CreateTransfers"
    rpc_handler unary; // exactly one of the two
    rpc_stream_handler stream;
    // The unary handler never waits: it answers at once, or hands the work to threads of its own. Then a small request is not
    // worth the way to a worker, and runs on the thread that took it in.
    bool never_waits;
} rpc_method;

typedef struct rpc_service {
    // Names, input and output of every method come from the descriptor.
    const ProtobufCServiceDescriptor *descriptor;
    // One for each method of the descriptor, in any order: the server refuses to start otherwise.
    const rpc_method *methods;
    size_t n_methods;
    void *self; // handed to the handlers
} rpc_service;

typedef struct rpc_server_options {
    const char *listen; // "127.0.0.1:0"; port 0 takes a free one
    rpc_tls tls;
    const rpc_service *services;
    size_t n_services;
    int workers;       // 1 … 256 unary worker threads
    int queue_max;     // calls waiting for a worker; beyond it RESOURCE_EXHAUSTED with RetryInfo
    int in_flight_max; // calls received and not yet answered; the same
    int streams_max;
    int client_streams_max;      // of them, how many one caller may have; 0: all
    size_t message_max;          // bytes of one request (4 MiB); MESSAGE_TOO_LARGE beyond
    size_t arena_max;            // bytes of one request's arena
    int64_t deadline_max_ms;     // a call without a deadline, or with a longer one, gets this one
    const char *descriptor_file; // FileDescriptorSet for reflection; NULL turns reflection off
    const char *error_domain;    // google.rpc.ErrorInfo.domain: "ledger.disburse"
    // Who may call. @borrowed until the drain has ended. NULL: nobody, but for health checks.
    authz_current *policy;
    // What each method of the services takes: just one row for each, or the server refuses to start. @borrowed: static.
    const authz_permission *permissions;
    size_t n_permissions;
} rpc_server_options;

// Metadata in which a gateway says for whom it acts; refused from anyone else. The roles, separated by commas, may be left out.
#define RPC_PERSON_KEY "x-disburse-person"
#define RPC_ROLES_KEY "x-disburse-roles"

rpc_server *rpc_server_start(const rpc_server_options *o, err *e);
int rpc_server_port(const rpc_server *s);
// Health: "" is the server as a whole, and a service serves only while the whole does. All serve from the start.
// Another name is that of a part of the process, which can be asked for from then on. @borrows service: static.
void rpc_server_set_serving(rpc_server *s, const char *service, bool serving);
// Refuses new calls with UNAVAILABLE, waits up to grace_ms for what runs, answers UNAVAILABLE for the rest, and frees. Streams
// are told at once. Every handler must still give its own answer (then ignored): the drain waits for it, and aborts the
// process when one does not within a minute. @thread any but a handler's; NULL is fine.
void rpc_server_drain(rpc_server *s, int64_t grace_ms);

// A new policy was set: calls are decided by it at once, and streams end whose caller it does not allow any more.
void rpc_server_policy_changed(rpc_server *s);
// The next handshake reads the files of the certificate, its key and the authority again. Connections that are there go on with theirs.
void rpc_server_tls_changed(rpc_server *s);

arena *rpc_arena(rpc_call *c);
int64_t rpc_deadline_mono_ms(const rpc_call *c);
// URI SAN of the client certificate; AUTHZ_INSECURE when there are none.
const char *rpc_peer_identity(const rpc_call *c);
// Who causes what the call writes. Valid until the call is answered.
actor_info rpc_actor(const rpc_call *c);
// The same with roles and merchants, and the policy that says so. Valid until the call is answered.
const authz_who *rpc_caller(const rpc_call *c);
const authz_policy *rpc_policy(const rpc_call *c);
const char *rpc_trace_id(const rpc_call *c); // from traceparent, or a new one
// Metadata x-request-id, or a new one; also sent back.
const char *rpc_request_id(const rpc_call *c);
// Client gone, deadline passed, or server draining (a stream at once, a unary call when the grace is over): ask before the
// work begins and before a write to the database.
bool rpc_cancelled(const rpc_call *c);
// Whether the policy of this moment lets the call in as well: for a call that has waited. False with PERMISSION_DENIED: answer with it.
// One thread at a time asks for a call.
bool rpc_still_allowed(rpc_call *c, err *e) WARN_UNUSED;

void rpc_reply(rpc_call *c, const ProtobufCMessage *response); // packs before it returns
// The same with bytes that are packed already (byte-identical replay). Copies.
void rpc_reply_packed(rpc_call *c, const void *bytes, size_t len);
// Sends ErrorInfo, RequestInfo, and RetryInfo or BadRequest where they apply. e->code is not ERR_OK.
void rpc_fail(rpc_call *c, const err *e);
// Blocks until the message is accepted by flow control. False: the stream is over, stop.
bool rpc_write(rpc_call *c, const ProtobufCMessage *message) WARN_UNUSED;
// Ends with OK, unless the stream stops because rpc_cancelled (or a write or wait) said so: then with the reason for that.
void rpc_stream_end(rpc_call *c);
// Waits up to ms (true), or returns early (false) when the call is cancelled: for a stream with nothing to send.
bool rpc_stream_wait(rpc_call *c, int64_t ms);

// --- Client ----------------------------------------------------------------------------------------------------------
typedef struct rpc_client rpc_client; // one channel; thread-safe; many calls at once

typedef struct rpc_client_options {
    const char *target; // "127.0.0.1:7001"
    rpc_tls tls;
    const char *tls_server_name; // expected in the server's certificate; NULL: the target's host
    // The one URI that it must name, spiffe://…; NULL or empty: any certificate of the authority that fits the name will do.
    const char *tls_server_identity;
    size_t message_max;
    int retries_max; // retries on UNAVAILABLE only, exponential with full jitter
} rpc_client_options;
rpc_client *rpc_client_create(const rpc_client_options *o, err *e);
void rpc_client_destroy(rpc_client *c);
// Reads the files again: calls from then on go over a new connection, those under way end on the old one. On an error all stays as it was.
bool rpc_client_tls_changed(rpc_client *c, err *e) WARN_UNUSED;

// path: "/ledger.v1.LedgerService/CreateTransfers". The answer lives in the arena. The trace and request ids of this
// thread's log context are passed on. On failure *e carries the peer's code, ErrorInfo reason and message.
bool rpc_client_call(rpc_client *c, const char *path, const ProtobufCMessage *request,
                     const ProtobufCMessageDescriptor *response_type, int64_t deadline_mono_ms,
                     arena *a, ProtobufCMessage **response, err *e) WARN_UNUSED;

// Many unary calls under way from one thread, which takes whichever is answered first: for a caller with more calls than it
// wants threads. A flight belongs to one thread; nothing is tried again. Destroyed before its client, with no call under way.
typedef struct rpc_flight rpc_flight;
rpc_flight *rpc_flight_create(rpc_client *c);
void rpc_flight_destroy(rpc_flight *f);
size_t rpc_flight_count(const rpc_flight *f); // under way
// The request is packed before this returns; path must live until the answer.
void rpc_flight_start(rpc_flight *f, const char *path, const ProtobufCMessage *request,
                      int64_t deadline_mono_ms, void *tag);
// Waits for the next answer; at least one call must be under way. *tag says whose it is; else as rpc_client_call.
bool rpc_flight_next(rpc_flight *f, const ProtobufCMessageDescriptor *response_type, arena *a,
                     void **tag, ProtobufCMessage **response, err *e) WARN_UNUSED;

// Server streaming: on_message on the calling thread for each; it returns false to stop. An end without error is true.
typedef bool (*rpc_on_message)(void *arg, const ProtobufCMessage *message);
bool rpc_client_stream(rpc_client *c, const char *path, const ProtobufCMessage *request,
                       const ProtobufCMessageDescriptor *response_type, int64_t deadline_mono_ms,
                       rpc_on_message on_message, void *arg, err *e) WARN_UNUSED;

// grpc_init/grpc_shutdown, once a process: after signals are blocked and before any of the above.
void rpc_init(void);
void rpc_shutdown(void);

#endif
