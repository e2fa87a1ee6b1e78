#include "echo_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "echo.pb-c.h"

typedef struct late_item {
    rpc_call *call;
    int64_t due_ms;
} late_item;

static int64_t now_ms(void) {
    return clock_mono_ms(clock_system());
}

static void pause_ms(int64_t ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static void answer(rpc_call *c, const Rpc__Testing__EchoRequest *request) {
    Rpc__Testing__EchoResponse response = RPC__TESTING__ECHO_RESPONSE__INIT;
    response.text = request->text;
    response.identity = arena_strdup(rpc_arena(c), rpc_peer_identity(c));
    response.trace_id = arena_strdup(rpc_arena(c), rpc_trace_id(c));
    response.request_id = arena_strdup(rpc_arena(c), rpc_request_id(c));
    const actor_info who = rpc_actor(c);
    response.person = arena_strndup(rpc_arena(c), who.person.ptr, who.person.len);
    response.blob = request->blob;
    response.left_ms = rpc_deadline_mono_ms(c) - now_ms();
    rpc_reply(c, &response.base);
}

static void echo(rpc_call *c, void *self, const ProtobufCMessage *m) {
    (void)self;
    answer(c, (const void *)m);
}

static void *late_main(void *arg) {
    echo_service *s = arg;
    for (late_item *item; (item = queue_pop(s->late)) != NULL;) {
        while (now_ms() < item->due_ms || atomic_load(&s->held)) {
            pause_ms(2);
        }
        rpc_call *c = item->call;
        err e = {0};
        Rpc__Testing__EchoResponse response = RPC__TESTING__ECHO_RESPONSE__INIT;
        response.text = (char[]){"late"};
        // Half of them with bytes that are packed already.
        uint8_t packed[64];
        size_t len = rpc__testing__echo_response__pack(&response, packed);
        if (!rpc_still_allowed(c, &e)) {
            rpc_fail(c, &e);
        } else if (item->due_ms % 2 == 0) {
            rpc_reply(c, &response.base);
        } else {
            rpc_reply_packed(c, packed, len);
        }
        free(item);
        atomic_fetch_sub(&s->running, 1);
    }
    return NULL;
}

static void late(rpc_call *c, void *self, const ProtobufCMessage *m) {
    echo_service *s = self;
    const Rpc__Testing__EchoRequest *request = (const void *)m;
    late_item *item = calloc(1, sizeof(*item));
    ASSERT(item != NULL);
    *item = (late_item){c, now_ms() + request->sleep_ms};
    atomic_fetch_add(&s->running, 1);
    bool ok = queue_push(s->late, item);
    ASSERT(ok);
}

static void slow(rpc_call *c, void *self, const ProtobufCMessage *m) {
    echo_service *s = self;
    const Rpc__Testing__EchoRequest *request = (const void *)m;
    atomic_fetch_add(&s->running, 1);
    int64_t until_ms = now_ms() + request->sleep_ms;
    while (now_ms() < until_ms && !rpc_cancelled(c)) {
        pause_ms(2);
    }
    if (now_ms() < until_ms) {
        err e = {0};
        err_set(&e, ERR_ABORTED, "ECHO_STOPPED", "stopped early");
        rpc_fail(c, &e);
        atomic_fetch_add(&s->saw_cancel, 1);
    } else {
        answer(c, request);
    }
    atomic_fetch_sub(&s->running, 1);
}

static void stubborn(rpc_call *c, void *self, const ProtobufCMessage *m) {
    echo_service *s = self;
    const Rpc__Testing__EchoRequest *request = (const void *)m;
    atomic_fetch_add(&s->running, 1);
    pause_ms(request->sleep_ms);
    answer(c, request);
    atomic_fetch_sub(&s->running, 1);
}

static void fail(rpc_call *c, void *self, const ProtobufCMessage *m) {
    (void)self;
    const Rpc__Testing__EchoRequest *request = (const void *)m;
    err e = {0};
    if (strcmp(request->text, "field") == 0) {
        err_set_field(&e, ERR_INVALID_ARGUMENT, "ECHO_REFUSED", "items[2].name",
                      "the name is refused");
    } else if (strcmp(request->text, "retry") == 0) {
        err_set(&e, ERR_RESOURCE_EXHAUSTED, "ECHO_BUSY", "come back later");
        e.retry_after_ms = 1500;
    } else if (strcmp(request->text, "unavailable") == 0) {
        err_set(&e, ERR_UNAVAILABLE, "ECHO_DOWN", "not now");
    } else if (strcmp(request->text, "aborted") == 0) {
        err_set(&e, ERR_ABORTED, "ECHO_CLASH", "somebody else was faster");
    } else {
        err_set(&e, ERR_INTERNAL, "", "caf\xc3"); // cut in the middle of a character
    }
    err_detail(&e, "private: never on the wire");
    rpc_fail(c, &e);
}

static void count(rpc_call *c, void *self, const ProtobufCMessage *m) {
    echo_service *s = self;
    const Rpc__Testing__CountRequest *request = (const void *)m;
    uint8_t *blob = arena_alloc(rpc_arena(c), (size_t)request->blob_bytes + 1);
    for (int64_t i = 0; i < request->n; i++) {
        Rpc__Testing__CountResponse response = RPC__TESTING__COUNT_RESPONSE__INIT;
        response.i = i;
        response.blob = (ProtobufCBinaryData){(size_t)request->blob_bytes, blob};
        if (!rpc_write(c, &response.base)) {
            break;
        }
        atomic_fetch_add(&s->count_sent, 1);
    }
    rpc_stream_end(c);
}

static void follow(rpc_call *c, void *self, const ProtobufCMessage *m) {
    (void)m;
    echo_service *s = self;
    Rpc__Testing__CountResponse response = RPC__TESTING__COUNT_RESPONSE__INIT;
    bool ok = rpc_write(c, &response.base);
    atomic_fetch_add(&s->streams_followed, 1);
    while (ok) {
        ok = rpc_stream_wait(c, 10000);
    }
    atomic_fetch_add(rpc_stream_wait(c, 0) ? &s->went_on : &s->told_again, 1);
    atomic_fetch_add(&s->saw_cancel, 1);
    rpc_stream_end(c);
}

void echo_service_start(echo_service *s) {
    memset(s, 0, sizeof(*s));
    s->late = queue_create(1024);
    int error = pthread_create(&s->late_thread, NULL, late_main, s);
    ASSERT(error == 0);
}

void echo_service_stop(echo_service *s) {
    queue_close(s->late);
    pthread_join(s->late_thread, NULL);
    queue_destroy(s->late);
}

#define ECHO "rpc.testing.EchoService/"
const authz_permission ECHO_PERMISSIONS[ECHO_METHODS] = {
    {ECHO "Echo", AUTHZ_PAYER | AUTHZ_MAKER, AUTHZ_ON_MERCHANT_OR_ALL},
    {ECHO "Late", AUTHZ_PAYER, AUTHZ_ON_NOTHING},
    {ECHO "Slow", AUTHZ_PAYER, AUTHZ_ON_MERCHANT_OR_ALL},
    {ECHO "Fail", AUTHZ_PAYER, AUTHZ_ON_MERCHANT},
    {ECHO "Stubborn", AUTHZ_PAYER, AUTHZ_ON_ALL},
    {ECHO "Count", AUTHZ_PAYER | AUTHZ_GATEWAY, AUTHZ_ON_NOTHING},
    {ECHO "Follow", AUTHZ_PAYER | AUTHZ_AUDITOR, AUTHZ_ON_MERCHANT_OR_ALL},
};

rpc_service echo_service_table(echo_service *s) {
    static const rpc_method methods[] = {
        {.name = "Follow", .stream = follow},
        {.name = "Count", .stream = count},
        {.name = "Echo", .unary = echo},
        {.name = "Late", .unary = late, .never_waits = true},
        {.name = "Slow", .unary = slow},
        {.name = "Fail", .unary = fail},
        {.name = "Stubborn", .unary = stubborn},
    };
    return (rpc_service){&rpc__testing__echo_service__descriptor, methods,
                         sizeof(methods) / sizeof(methods[0]), s};
}
