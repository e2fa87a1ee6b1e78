// A client without manners: any bytes, any path, any certificate or none, cancels, and reads slowly.
#ifndef RPC_TESTING_RAW_CLIENT_H
#define RPC_TESTING_RAW_CLIENT_H

#include "rpc/rpc.h"

enum { RAW_EXTRA = 3 };

typedef struct raw_call {
    const char *target, *ca, *cert; // names of the fixture; cert NULL: none is shown
    const char *path;
    const void *bytes;
    size_t len;
    bool no_message;         // half-closes without a message
    bool second_message;     // sends the message twice
    int64_t timeout_ms;      // <= 0: no deadline
    int64_t cancel_after_ms; // > 0: cancels then
    int64_t pause_ms;        // before each of the first `pauses` reads
    int pauses;
    bool keep_open; // does not half-close
    const char *traceparent, *request_id;
    const char *keys[RAW_EXTRA], *values[RAW_EXTRA]; // further metadata, up to the first NULL
} raw_call;

typedef struct raw_result {
    int status;     // gRPC code
    err e;          // from grpc-status-details-bin
    char text[128]; // grpc-message, cut
    int messages;
    char first[256]; // bytes of the first message, cut
    size_t first_len;
    char request_id[80]; // initial metadata x-request-id
} raw_result;

void raw_call_run(const raw_call *call, raw_result *out);

#endif
