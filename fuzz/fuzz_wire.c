// The wire checks against the messages of payments.v1: the first byte chooses the message. A message that passes must unpack, and must pack
// to bytes that pass again.
#include "fuzz.h"
#include "payments/v1/merchant_service.pb-c.h"
#include "payments/v1/payout_service.pb-c.h"
#include "payments/v1/recipient_service.pb-c.h"
#include "rpc/wire_internal.h"

static const ProtobufCServiceDescriptor *const SERVICES[] = {
    &payments__v1__merchant_service__descriptor,
    &payments__v1__payout_service__descriptor,
    &payments__v1__recipient_service__descriptor,
};

static const ProtobufCMessageDescriptor *message_type(uint8_t number) {
    const ProtobufCServiceDescriptor *service = SERVICES[number % 3];
    const ProtobufCMethodDescriptor *method = &service->methods[number / 3 % service->n_methods];
    return number >= 128 ? method->output : method->input;
}

static void walk(str bytes) {
    wire_field field;
    size_t fields = 0;
    for (size_t at = 0; at < bytes.len && wire_next(bytes, &at, &field);) {
        MUST(at <= bytes.len && fields++ < bytes.len);
        ASSERT(field.type != 2 || (field.bytes.ptr >= bytes.ptr &&
                                   field.bytes.ptr + field.bytes.len <= bytes.ptr + bytes.len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const str bytes = fuzz_str(data + 1, size - 1);
    const ProtobufCMessageDescriptor *type = message_type(data[0]);
    walk(bytes);
    arena *a = arena_create(FUZZ_ARENA_MAX);
    err e = {0};
    const bool valid = wire_validate(bytes, type, &e);
    if (!valid) {
        fuzz_check_refusal(&e);
    }
    err_clear(&e);
    const ProtobufCMessage *m = wire_unpack(bytes, type, a, &e);
    ASSERT(valid || m == NULL);
    if (m != NULL) {
        const size_t len = protobuf_c_message_get_packed_size(m);
        uint8_t *packed = arena_alloc(a, len + 1);
        err_clear(&e);
        MUST(packed == NULL || (protobuf_c_message_pack(m, packed) == len &&
                                wire_validate(fuzz_str(packed, len), type, &e)));
    } else {
        fuzz_check_refusal(&e);
    }
    arena_destroy(a);
    return 0;
}
