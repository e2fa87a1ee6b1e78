// What the files of the server share. Nobody outside of this folder includes it.
//
// Life of a call: armed (a slot waiting inside core) → begun (a CQ thread got it) → dispatched (queue, worker) → answered
// (one claim, one status batch) → freed (the last tag came back and the handler is done). `refs` counts what still
// points to it: each outstanding tag, the handler's duty to answer, and the thread that runs the handler.
#ifndef RPC_RPC_INTERNAL_H
#define RPC_RPC_INTERNAL_H

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "rpc/rpc.h"

enum {
    RPC_CQS = 2,             // completion queues, one thread each
    RPC_ARMED_PER_CQ = 8,    // calls of one method that core may hand over before we re-arm
    RPC_SMALL_BYTES = 4096,  // of a request: decoded in less time than it takes to wake a worker
    RPC_DEADLINE_MIN_MS = 5, // with less left the work could not end in time
    RPC_RETRY_AFTER_MS = 100,
    // What core takes beyond message_max, so that we can say by how much a message is too large. Core reads a message before
    // anything of ours admits the call, so this is memory that a stranger may make us hold: keep it small.
    RPC_MESSAGE_SLACK = 2 * 1024 * 1024,
    RPC_METADATA_MAX = 16 * 1024,
    RPC_IDENTITY_MAX = 256,
    RPC_REQUEST_ID_MAX = 64,
    RPC_SYSTEM_QUEUE_MAX = 256,  // health checks that may wait: they must not queue behind business
    RPC_SYSTEM_STREAMS_MAX = 32, // health watches and reflection streams
    RPC_SYSTEM_STREAMS_OF_ONE = 8,  // of them, of one identity: any certificate may watch
    RPC_WRITE_STALL_MS = 60 * 1000, // a reader that takes nothing for so long is cut off
    RPC_READ_IDLE_MS = 60 * 1000,   // the same for a bidirectional stream that asks nothing
    RPC_DRAIN_FLUSH_MS = 1000,      // for forced answers to reach the wire
    RPC_DRAIN_HARD_MS = 60 * 1000,  // a handler that has not answered by then is a bug
    RPC_CONCURRENT_STREAMS = 1024,  // of one connection
    RPC_CODES = 17
};

typedef struct rpc_tag rpc_tag;
struct rpc_tag {
    void (*on_done)(rpc_tag *t, bool ok);
};
#define RPC_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

// One method, looked up by core; immutable after the start.
typedef struct method_state {
    char *path; // "/ledger.v1.LedgerService/CreateTransfers"
    const char *service, *name;
    const ProtobufCMessageDescriptor *input;
    rpc_handler unary;
    rpc_stream_handler stream;
    bool bidi;        // the handler reads requests itself (reflection only)
    bool never_waits; // of rpc_method
    bool system;      // ours: it has lanes of its own, and no row in the service's table
    bool open;        // any certificate of our CA may call it; of a system's method only
    const authz_permission *permission; // NULL: system
    unsigned merchant_offset; // of merchant_id in the unpacked request; 0: nobody looks at it
    void *self;
    void *handle;
    metric *started, *handling, *handled[RPC_CODES];
} method_state;

// Worker threads with one bounded queue.
typedef struct lane {
    queue *waiting;
    pthread_t *threads;
    int n_threads;
} lane;

// Threads that grow with the number of live streams and stay: one stream, one thread.
typedef struct stream_lane {
    pthread_mutex_t lock; // guards live, calls, n_threads
    queue *waiting;
    pthread_t *threads;
    int n_threads, live, max, client_max; // client_max: of one identity
    rpc_call **calls;                     // the live ones
    bool ready;
} stream_lane;

typedef struct health health;
typedef struct reflection reflection;

struct rpc_server {
    grpc_server *core;
    grpc_completion_queue *cq[RPC_CQS];
    pthread_t cq_threads[RPC_CQS];
    int n_cq_threads, port;
    method_state *methods;
    size_t n_methods;
    method_state unknown;       // for paths that nobody registered
    rpc_server_options options; // strings are copies
    char *domain;
    struct tls_files *tls;
    metric *decisions[AUTHZ_VERDICT_COUNT];
    metric *unnamed; // calls whose certificate has not one name
    lane workers, system;
    stream_lane streams, system_streams;
    atomic_int in_flight;  // received and not answered
    atomic_int alive;      // call objects that core gave us and that are not freed
    atomic_int finishing;  // status batches under way
    atomic_bool draining;  // new calls are refused, streams end
    atomic_bool closing;   // core is shut down or about to be: nothing is armed any more
    atomic_bool hard_stop; // the grace is over
    metric *in_flight_gauge, *queue_gauge;
    pthread_mutex_t lock; // guards first, stopped; taken before a call's lock
    pthread_cond_t changed;
    rpc_call *first; // the live calls
    bool stopped;    // core said that every call is over
    rpc_tag tag_shutdown;
    health *health;
    reflection *reflection;
};

typedef enum answer_state {
    ANSWER_OPEN,
    ANSWER_HANDLER, // the handler answered
    ANSWER_FRAME,   // the drain answered for it; the handler still owes its (ignored) answer
    ANSWER_BOTH
} answer_state;

struct rpc_call {
    rpc_server *server;
    method_state *method;
    grpc_completion_queue *cq;
    atomic_int refs;
    atomic_int answer; // answer_state
    rpc_call *prev, *next;

    // Filled by core.
    grpc_call *core;
    gpr_timespec core_deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    grpc_call_details details; // of unknown methods only
    int cancelled_out;

    rpc_tag tag_new, tag_close, tag_finish, tag_write, tag_read;

    int64_t begun_us, deadline_ms;
    atomic_bool cancelled;
    bool counted; // in server->in_flight
    // small, and its handler never waits: needs no worker, and nobody asks whether it was cancelled
    bool at_once;
    char identity[RPC_IDENTITY_MAX];
    authz_claim claim; // points into metadata
    bool claim_ok;
    authz_policy *policy; // held until the call is freed; NULL: it was never asked
    uint64_t policy_generation;
    authz_who who;
    str merchant;            // that the request names; in the arena
    authz_verdict withdrawn; // why a stream, or a call that waits, may not go on
    char trace_id[33], span_id[17], request_id[RPC_REQUEST_ID_MAX];
    arena *memory;

    // Sent; kept until the batch is back.
    grpc_metadata initial_md, trailing_md;
    grpc_byte_buffer *body;
    bool initial_sent, has_trailing;

    // Streams. lock guards write_busy, write_ok, read_busy, read_ok; the cond is for them and for cancellation.
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool write_busy, write_ok, read_busy, read_ok;
    // Why rpc_cancelled was true, or ERR_OK: a stream that stops for it did not come to its end.
    err_code told_to_stop;
    grpc_byte_buffer *read_buffer;
};

// call.c
// @thread any, while not closing
void call_arm(rpc_server *s, method_state *m, grpc_completion_queue *cq);
// @thread worker, stream, or queue (never_waits): decodes and runs the handler
void call_run(rpc_call *c);
bool call_is_stream(const rpc_call *c);
// Less than RPC_DEADLINE_MIN_MS is left (or nothing). INT64_MAX is no deadline.
bool deadline_too_short(int64_t deadline_ms, int64_t now_ms);
bool message_fits(size_t len, size_t max, err *e) WARN_UNUSED; // core lets through a little more
int64_t mono_ms(void);
int64_t mono_us(void);
// Ends the call with a status. Claimed by the caller; body may be NULL; details may be empty.
void call_send_status(rpc_call *c, err_code code, const char *message, grpc_slice details);
// Answers for a handler that is still at work. The handler's own answer is then dropped.
void call_preempt(rpc_call *c, const err *e);
void call_initial_metadata(rpc_call *c, grpc_op *op); // once a call
grpc_slice slice_of_message(const ProtobufCMessage *m);

// call_life.c
void call_link(rpc_call *c); // among the server's live calls: once, when it begins
void call_ref(rpc_call *c);
void call_unref(rpc_call *c);
void call_wake(rpc_call *c);      // wakes a stream's thread
void call_free_slot(rpc_call *c); // of a call that never began

// context.c: what the metadata and the certificate say about the caller.
void context_read(rpc_call *c);
bool identity_read(rpc_call *c, err *e) WARN_UNUSED;
bool trace_parse(str header, char trace_id[33]) WARN_UNUSED;

// permission.c
bool permissions_bind(rpc_server *s, const rpc_server_options *o, err *e) WARN_UNUSED;
void permissions_metrics(rpc_server *s);
bool caller_check(rpc_call *c, err *e) WARN_UNUSED; // before the request is looked at
bool object_check(rpc_call *c, const ProtobufCMessage *request, err *e) WARN_UNUSED;
// Of a stream, on its own thread, or of a call that waits: looks again when there is a new policy. False: `withdrawn` says why.
bool caller_still_allowed(rpc_call *c) WARN_UNUSED;

// lanes.c
bool lane_start(lane *l, const char *name, int n_threads, int queue_max, err *e) WARN_UNUSED;
void lane_stop(lane *l); // after the last call: joins
bool stream_lane_start(stream_lane *l, int max, int client_max, err *e) WARN_UNUSED;
void stream_lane_stop(stream_lane *l);
// Puts the call where a thread will run it. False with RESOURCE_EXHAUSTED: the caller answers with *e.
bool admit(rpc_call *c, err *e) WARN_UNUSED;
void admission_leave(rpc_call *c);
bool lanes_idle(rpc_server *s); // no call of business is unanswered

// stream.c
bool stream_write(rpc_call *c, const ProtobufCMessage *m) WARN_UNUSED; // also while draining
// The next request of a bidirectional stream. False at its end. @owned by the caller: *bytes is a slice to unref.
bool stream_read(rpc_call *c, grpc_slice *bytes) WARN_UNUSED;
bool stream_wait(rpc_call *c, int64_t ms, const atomic_uint *version, unsigned seen);
void stream_tags_init(rpc_call *c);
void stream_init(rpc_call *c);
void stream_deinit(rpc_call *c);

// server.c
void server_wake_streams(rpc_server *s);
void server_wake_drain(rpc_server *s); // something came to its end

// health.c
health *health_create(const rpc_server_options *o);
void health_destroy(health *h);
bool health_set(health *h, const char *service, bool serving);
void health_set_draining(health *h);
void health_check(rpc_call *c, void *self, const ProtobufCMessage *request);
void health_watch(rpc_call *c, void *self, const ProtobufCMessage *request);

// reflection.c
reflection *reflection_create(const rpc_server_options *o, err *e);
void reflection_destroy(reflection *r);
void reflection_stream(rpc_call *c, void *self, const ProtobufCMessage *request);

#endif
