#include "rpc/wire_internal.h"

#include <grpc/byte_buffer_reader.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

enum { VARINT_MAX = 10, TAG_VARINT_MAX = 5, FIELD_NUMBER_MAX = (1 << 29) - 1, PATH_MAX_LEN = 160 };

// A message that the walk is inside. The walk keeps its own stack, so input cannot exhaust the thread's.
typedef struct level {
    str bytes;
    size_t at;         // the next field
    size_t field_from; // start of the field that led deeper: for the path of an error
    const ProtobufCMessageDescriptor *type;
    const ProtobufCFieldDescriptor *field;
} level;

static bool read_varint(str bytes, size_t *at, int bytes_max, uint64_t *out) {
    uint64_t value = 0;
    for (int i = 0; i < bytes_max && *at < bytes.len; i++) {
        uint8_t byte = (uint8_t)bytes.ptr[(*at)++];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool skip(str bytes, size_t *at, size_t n) {
    if (n > bytes.len - *at) {
        return false;
    }
    *at += n;
    return true;
}

bool wire_next(str bytes, size_t *at, wire_field *out) {
    uint64_t value = 0;
    // As strict as protobuf-c's reader, or stricter: both must see the same fields.
    if (!read_varint(bytes, at, TAG_VARINT_MAX, &value) || value > UINT32_MAX) {
        return false;
    }
    out->number = (uint32_t)(value >> 3);
    out->type = (int)(value & 7);
    out->bytes = (str){NULL, 0};
    if (out->number == 0 || out->number > FIELD_NUMBER_MAX) {
        return false;
    }
    switch (out->type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT: return read_varint(bytes, at, VARINT_MAX, &value);
    case PROTOBUF_C_WIRE_TYPE_64BIT: return skip(bytes, at, 8);
    case PROTOBUF_C_WIRE_TYPE_32BIT: return skip(bytes, at, 4);
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!read_varint(bytes, at, TAG_VARINT_MAX, &value) || value > INT32_MAX ||
            value > bytes.len - *at) {
            return false;
        }
        out->bytes = (str){bytes.ptr + *at, (size_t)value};
        *at += (size_t)value;
        return true;
    default: // groups: not part of proto3
        return false;
    }
}

static int wire_type_of(ProtobufCType type) {
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
    default: return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

static bool wire_type_fits(const ProtobufCFieldDescriptor *field, int wire_type) {
    int expected = wire_type_of(field->type);
    bool may_be_packed = field->label == PROTOBUF_C_LABEL_REPEATED &&
                         expected != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    return wire_type == expected ||
           (may_be_packed && wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
}

// How many fields of this number come before `end`: the index of a repeated element. Only errors need it.
static size_t index_of(const level *l, size_t end) {
    size_t n = 0;
    wire_field f;
    for (size_t at = 0; at < end && wire_next(l->bytes, &at, &f);) {
        n += f.number == l->field->id ? 1 : 0;
    }
    return n;
}

static bool refuse(const level *stack, size_t depth, err_code code, const char *reason,
                   const char *message, err *e) {
    char path[PATH_MAX_LEN] = "";
    size_t len = 0;
    for (size_t i = 0; i < depth && len < sizeof(path) - 1; i++) {
        const level *l = &stack[i];
        if (l->field == NULL) {
            break;
        }
        const char *dot = i == 0 ? "" : ".";
        int n = l->field->label == PROTOBUF_C_LABEL_REPEATED
                    ? snprintf(path + len, sizeof(path) - len, "%s%s[%zu]", dot, l->field->name,
                               index_of(l, l->field_from))
                    : snprintf(path + len, sizeof(path) - len, "%s%s", dot, l->field->name);
        len += n > 0 ? (size_t)n : 0;
    }
    if (path[0] == '\0') {
        return err_set(e, code, reason, "%s", message);
    }
    return err_set_field(e, code, reason, path, "%s", message);
}

// Checks one field of the innermost message. May push the message in that field.
static bool check_field(level *stack, size_t *depth, err *e) {
    level *l = &stack[*depth - 1];
    l->field = NULL;
    l->field_from = l->at;
    wire_field f;
    if (!wire_next(l->bytes, &l->at, &f)) {
        return refuse(stack, *depth, ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE",
                      "the request is not a valid protobuf message", e);
    }
    l->field = protobuf_c_message_descriptor_get_field(l->type, f.number);
    if (l->field == NULL) {
        return true; // unknown: a newer caller
    }
    if (!wire_type_fits(l->field, f.type)) {
        return refuse(stack, *depth, ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE",
                      "the field has another type than the schema says", e);
    }
    if (l->field->type == PROTOBUF_C_TYPE_STRING) {
        ASSERT(f.bytes.ptr != NULL); // its wire type has been checked
        if (memchr(f.bytes.ptr, '\0', f.bytes.len) != NULL) {
            return refuse(stack, *depth, ERR_INVALID_ARGUMENT, "EMBEDDED_NUL",
                          "the text contains a NUL character", e);
        }
        if (!str_is_text(f.bytes.ptr, f.bytes.len)) {
            return refuse(stack, *depth, ERR_INVALID_ARGUMENT, "INVALID_UTF8",
                          "the text is not valid UTF-8", e);
        }
    }
    if (l->field->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (*depth == WIRE_DEPTH_MAX) {
            return refuse(stack, *depth, ERR_RESOURCE_EXHAUSTED, "REQUEST_TOO_COMPLEX",
                          "messages are nested too deeply", e);
        }
        stack[(*depth)++] = (level){.bytes = f.bytes, .type = l->field->descriptor};
    }
    return true;
}

bool wire_validate(str bytes, const ProtobufCMessageDescriptor *type, err *e) {
    level stack[WIRE_DEPTH_MAX];
    stack[0] = (level){.bytes = bytes, .type = type};
    size_t depth = 1;
    while (depth > 0) {
        if (stack[depth - 1].at == stack[depth - 1].bytes.len) {
            depth--;
        } else if (!check_field(stack, &depth, e)) {
            return false;
        }
    }
    return true;
}

typedef struct unpack_memory {
    arena *a;
    bool exhausted;
} unpack_memory;

static void *unpack_alloc(void *self, size_t size) {
    unpack_memory *m = self;
    void *p = arena_alloc(m->a, size > 0 ? size : 1);
    m->exhausted = m->exhausted || p == NULL;
    return p;
}

static void unpack_free(void *self, void *p) { // the arena frees everything at once
    (void)self;
    (void)p;
}

ProtobufCMessage *wire_unpack(str bytes, const ProtobufCMessageDescriptor *type, arena *a, err *e) {
    if (!wire_validate(bytes, type, e)) {
        return NULL;
    }
    unpack_memory memory = {.a = a};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &memory};
    ProtobufCMessage *m =
        protobuf_c_message_unpack(type, &allocator, bytes.len, (const uint8_t *)bytes.ptr);
    if (m == NULL && memory.exhausted) {
        err_set(e, ERR_RESOURCE_EXHAUSTED, "REQUEST_TOO_COMPLEX",
                "the request takes more memory than one call may have");
    } else if (m == NULL) {
        err_set(e, ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE",
                "the request is not a valid protobuf message");
    }
    return m;
}

bool wire_read_buffer(grpc_byte_buffer *buffer, grpc_slice *out) {
    if (buffer == NULL) {
        return false;
    }
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer)) {
        return false;
    }
    *out = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return true;
}
