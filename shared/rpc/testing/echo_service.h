// A service with every way to answer: at once, late, slowly, with an error, as a stream.
#ifndef RPC_TESTING_ECHO_SERVICE_H
#define RPC_TESTING_ECHO_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/queue.h"
#include "rpc/rpc.h"

typedef struct echo_service {
    atomic_int running;          // handlers at work
    atomic_int saw_cancel;       // Slow and Follow calls that noticed
    atomic_int streams_followed; // Follow calls that sent their message
    atomic_bool held;            // Late calls are not answered while it is set
    atomic_int told_again;       // Follow calls that asked once more after they were told to stop
    atomic_int went_on;          // and were told another thing
    atomic_int count_sent;       // messages that Count has handed to flow control
    queue *late;
    pthread_t late_thread;
} echo_service;

enum { ECHO_METHODS = 7 };
extern const authz_permission ECHO_PERMISSIONS[ECHO_METHODS];

void echo_service_start(echo_service *s);
void echo_service_stop(echo_service *s);
rpc_service echo_service_table(echo_service *s);

#endif
