// Reads the protobuf wire format without trusting it: a cursor over fields, and the checks that protobuf-c leaves out.
#ifndef RPC_WIRE_INTERNAL_H
#define RPC_WIRE_INTERNAL_H

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum { WIRE_DEPTH_MAX = 32 }; // nested messages; deeper ones are refused before anything recurses

typedef struct wire_field {
    uint32_t number;
    int type;  // 0 varint, 1 fixed64, 2 length-delimited, 5 fixed32
    str bytes; // of a length-delimited field
} wire_field;

// Reads the field at *at (an offset into bytes) and moves *at behind it. False when the bytes are not a field.
bool wire_next(str bytes, size_t *at, wire_field *out) WARN_UNUSED;

// Checks a message against its descriptor without unpacking it: well-formed, nested at most WIRE_DEPTH_MAX deep, wire types as
// declared, and every string field valid UTF-8 without NUL. INVALID_ARGUMENT with reason MALFORMED_MESSAGE, INVALID_UTF8 or
// EMBEDDED_NUL and the path of the field, or RESOURCE_EXHAUSTED REQUEST_TOO_COMPLEX.
bool wire_validate(str bytes, const ProtobufCMessageDescriptor *type, err *e) WARN_UNUSED;

// wire_validate, then unpack into the arena. NULL with *e. Never free_unpacked the result: the arena owns it.
ProtobufCMessage *wire_unpack(str bytes, const ProtobufCMessageDescriptor *type, arena *a, err *e);

// One contiguous slice of all bytes of a buffer (which may be NULL: false). @owned: grpc_slice_unref.
bool wire_read_buffer(grpc_byte_buffer *buffer, grpc_slice *out) WARN_UNUSED;

#endif
