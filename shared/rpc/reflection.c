// grpc.reflection.v1 (and v1alpha, which has the same messages): serves the files of a FileDescriptorSet by name and by symbol, each with
// all its imports. The wire cursor reads the set, because protobuf-c has no descriptor.proto.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "rpc/rpc_internal.h"
#include "rpc/wire_internal.h"

enum {
    SET_BYTES_MAX = 8 * 1024 * 1024,
    MEMORY_MAX = 32 * 1024 * 1024,
    FILES_MAX = 256,
    SYMBOLS_MAX = 32768,
    NESTING_MAX = 16,
    LISTED_MAX = 64,
    REQUEST_MEMORY_MAX = 256 * 1024,
    REQUESTS_MAX = 10000 // per stream
};

// Field numbers of google/protobuf/descriptor.proto.
enum {
    SET_FILE = 1,
    NAME = 1, // of every descriptor
    FILE_PACKAGE = 2,
    FILE_DEPENDENCY = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    ENUM_VALUE = 2,
    SERVICE_METHOD = 2
};

typedef struct file {
    str bytes; // the serialized FileDescriptorProto
    str name;
} file;

typedef struct symbol {
    const char *name;
    size_t file;
} symbol;

struct reflection {
    arena *memory;
    file files[FILES_MAX];
    size_t n_files;
    symbol *symbols;
    size_t n_symbols;
    const char *listed[LISTED_MAX]; // the services of this server
    size_t n_listed;
    bool overflow;
};

// --- Reading the set -------------------------------------------------------------------------------------------------

static str first_text(str bytes, uint32_t number) {
    wire_field f;
    for (size_t at = 0; at < bytes.len && wire_next(bytes, &at, &f);) {
        if (f.number == number && f.type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
            return f.bytes;
        }
    }
    return (str){"", 0};
}

static const char *add_symbol(reflection *r, size_t file_index, const char *scope, str name) {
    char *full = arena_printf(r->memory, "%s%s%.*s", scope, scope[0] != '\0' ? "." : "",
                              (int)name.len, name.ptr);
    if (full == NULL || r->n_symbols == SYMBOLS_MAX) {
        r->overflow = true;
        return scope;
    }
    r->symbols[r->n_symbols++] = (symbol){full, file_index};
    return full;
}

// The parts of a descriptor in the field `number`, each named within `scope`.
static void add_parts(reflection *r, size_t file_index, const char *scope, str bytes,
                      uint32_t number) {
    wire_field f;
    for (size_t at = 0; at < bytes.len && wire_next(bytes, &at, &f);) {
        if (f.number == number) {
            add_symbol(r, file_index, scope, first_text(f.bytes, NAME));
        }
    }
}

static void add_enum(reflection *r, size_t file_index, const char *scope, str bytes) {
    add_symbol(r, file_index, scope, first_text(bytes, NAME));
    add_parts(r, file_index, scope, bytes, ENUM_VALUE); // values are siblings of their enum
}

static void add_message(reflection *r, size_t file_index, const char *scope, str bytes, int depth) {
    if (depth == NESTING_MAX) {
        r->overflow = true;
        return;
    }
    const char *name = add_symbol(r, file_index, scope, first_text(bytes, NAME));
    add_parts(r, file_index, name, bytes, MESSAGE_FIELD);
    wire_field f;
    for (size_t at = 0; at < bytes.len && wire_next(bytes, &at, &f);) {
        if (f.number == MESSAGE_NESTED) {
            add_message(r, file_index, name, f.bytes, depth + 1);
        } else if (f.number == MESSAGE_ENUM) {
            add_enum(r, file_index, name, f.bytes);
        }
    }
}

static void add_file(reflection *r, str bytes) {
    if (r->n_files == FILES_MAX) {
        r->overflow = true;
        return;
    }
    size_t index = r->n_files++;
    r->files[index] = (file){bytes, first_text(bytes, NAME)};
    str package = first_text(bytes, FILE_PACKAGE);
    const char *scope = arena_strndup(r->memory, package.ptr, package.len);
    if (scope == NULL) {
        r->overflow = true;
        return;
    }
    wire_field f;
    for (size_t at = 0; at < bytes.len && wire_next(bytes, &at, &f);) {
        if (f.number == FILE_MESSAGE) {
            add_message(r, index, scope, f.bytes, 0);
        } else if (f.number == FILE_ENUM) {
            add_enum(r, index, scope, f.bytes);
        } else if (f.number == FILE_SERVICE) {
            const char *service = add_symbol(r, index, scope, first_text(f.bytes, NAME));
            add_parts(r, index, service, f.bytes, SERVICE_METHOD);
        }
    }
}

static bool read_set(reflection *r, const char *path, str *out, err *e) {
    bool ok = false;
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        return err_set(e, ERR_FAILED_PRECONDITION, "DESCRIPTOR_FILE_MISSING", "cannot open %s",
                       path);
    }
    char *bytes = arena_alloc(r->memory, SET_BYTES_MAX);
    ASSERT(bytes != NULL);
    size_t len = fread(bytes, 1, SET_BYTES_MAX, in);
    if (ferror(in) || len == 0 || len == SET_BYTES_MAX) {
        err_set(e, ERR_FAILED_PRECONDITION, "DESCRIPTOR_FILE_INVALID", "cannot read %s", path);
        goto out;
    }
    *out = (str){bytes, len};
    ok = true;
out:
    fclose(in);
    return ok;
}

reflection *reflection_create(const rpc_server_options *o, err *e) {
    reflection *r = calloc(1, sizeof(*r));
    ASSERT(r != NULL);
    r->memory = arena_create(MEMORY_MAX);
    r->symbols = ARENA_ARRAY(r->memory, symbol, SYMBOLS_MAX);
    str set = {NULL, 0};
    if (!read_set(r, o->descriptor_file, &set, e)) {
        goto fail;
    }
    wire_field f = {0};
    bool ok = true;
    for (size_t at = 0; ok && at < set.len;) {
        ok = wire_next(set, &at, &f);
        if (ok && f.number == SET_FILE) {
            add_file(r, f.bytes);
        }
    }
    if (!ok || r->overflow || r->n_files == 0) {
        err_set(e, ERR_FAILED_PRECONDITION, "DESCRIPTOR_FILE_INVALID",
                "%s is not a usable descriptor set", o->descriptor_file);
        goto fail;
    }
    for (size_t i = 0; i < o->n_services && r->n_listed < LISTED_MAX - 3; i++) {
        r->listed[r->n_listed++] = o->services[i].descriptor->name;
    }
    r->listed[r->n_listed++] = "grpc.health.v1.Health";
    r->listed[r->n_listed++] = "grpc.reflection.v1.ServerReflection";
    r->listed[r->n_listed++] = "grpc.reflection.v1alpha.ServerReflection";
    return r;
fail:
    reflection_destroy(r);
    return NULL;
}

void reflection_destroy(reflection *r) {
    if (r != NULL) {
        arena_destroy(r->memory);
        free(r);
    }
}

// --- Answering -------------------------------------------------------------------------------------------------------

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;
#define ASKED(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWERED(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

static size_t find_file(const reflection *r, str name) {
    size_t i = 0;
    while (i < r->n_files && !str_eq(r->files[i].name, name)) {
        i++;
    }
    return i;
}

static size_t find_symbol_file(const reflection *r, const char *name) {
    for (size_t i = 0; i < r->n_symbols; i++) {
        if (strcmp(r->symbols[i].name, name) == 0) {
            return r->symbols[i].file;
        }
    }
    return r->n_files;
}

static void answer_error(arena *a, reflection_response *out, err_code code, const char *message) {
    Grpc__Reflection__V1__ErrorResponse *error = ARENA_NEW(a, Grpc__Reflection__V1__ErrorResponse);
    grpc__reflection__v1__error_response__init(error);
    error->error_code = (int32_t)code;
    error->error_message = (char *)(uintptr_t)message;
    out->message_response_case = ANSWERED(ERROR_RESPONSE);
    out->error_response = error;
}

// The file first, then everything that it imports.
static void answer_file(const reflection *r, arena *a, reflection_response *out, size_t index) {
    if (index == r->n_files) {
        answer_error(a, out, ERR_NOT_FOUND, "there is no such file or symbol");
        return;
    }
    size_t order[FILES_MAX];
    bool listed[FILES_MAX] = {false};
    size_t n = 0;
    order[n++] = index;
    listed[index] = true;
    for (size_t i = 0; i < n; i++) {
        str bytes = r->files[order[i]].bytes;
        wire_field f;
        for (size_t at = 0; at < bytes.len && wire_next(bytes, &at, &f);) {
            size_t found = f.number == FILE_DEPENDENCY ? find_file(r, f.bytes) : r->n_files;
            if (found < r->n_files && !listed[found]) {
                listed[found] = true;
                order[n++] = found;
            }
        }
    }
    Grpc__Reflection__V1__FileDescriptorResponse *files =
        ARENA_NEW(a, Grpc__Reflection__V1__FileDescriptorResponse);
    grpc__reflection__v1__file_descriptor_response__init(files);
    files->file_descriptor_proto = arena_must(a, n * sizeof(files->file_descriptor_proto[0]));
    files->n_file_descriptor_proto = n;
    for (size_t i = 0; i < n; i++) {
        str bytes = r->files[order[i]].bytes;
        files->file_descriptor_proto[i] =
            (ProtobufCBinaryData){bytes.len, (uint8_t *)(uintptr_t)bytes.ptr};
    }
    out->message_response_case = ANSWERED(FILE_DESCRIPTOR_RESPONSE);
    out->file_descriptor_response = files;
}

static void answer_services(const reflection *r, arena *a, reflection_response *out) {
    Grpc__Reflection__V1__ListServiceResponse *list =
        ARENA_NEW(a, Grpc__Reflection__V1__ListServiceResponse);
    grpc__reflection__v1__list_service_response__init(list);
    list->service = arena_must(a, r->n_listed * sizeof(list->service[0]));
    list->n_service = r->n_listed;
    for (size_t i = 0; i < r->n_listed; i++) {
        list->service[i] = ARENA_NEW(a, Grpc__Reflection__V1__ServiceResponse);
        grpc__reflection__v1__service_response__init(list->service[i]);
        list->service[i]->name = (char *)(uintptr_t)r->listed[i];
    }
    out->message_response_case = ANSWERED(LIST_SERVICES_RESPONSE);
    out->list_services_response = list;
}

static void answer(const reflection *r, arena *a, const reflection_request *asked,
                   reflection_response *out) {
    switch ((int)asked->message_request_case) {
    case ASKED(FILE_BY_FILENAME):
        answer_file(r, a, out, find_file(r, str_of(asked->file_by_filename)));
        break;
    case ASKED(FILE_CONTAINING_SYMBOL):
        answer_file(r, a, out, find_symbol_file(r, asked->file_containing_symbol));
        break;
    case ASKED(LIST_SERVICES): answer_services(r, a, out); break;
    case ASKED(FILE_CONTAINING_EXTENSION):
    case ASKED(ALL_EXTENSION_NUMBERS_OF_TYPE):
        answer_error(a, out, ERR_NOT_FOUND, "there are no extensions: every file is proto3");
        break;
    default: answer_error(a, out, ERR_INVALID_ARGUMENT, "the request asks for nothing"); break;
    }
}

void reflection_stream(rpc_call *c, void *self, const ProtobufCMessage *request) {
    (void)request; // bidirectional: requests are read here
    const reflection *r = self;
    // The response holds pointers into the set, so the memory of one exchange does not grow with the schema.
    arena *a = arena_create(REQUEST_MEMORY_MAX);
    err e = {0};
    bool ok = true;
    grpc_slice bytes;
    for (int i = 0; ok && i < REQUESTS_MAX && stream_read(c, &bytes); i++) {
        str wire = {(const char *)GRPC_SLICE_START_PTR(bytes), GRPC_SLICE_LENGTH(bytes)};
        reflection_request *asked = NULL;
        if (message_fits(wire.len, c->server->options.message_max, &e)) {
            asked = (void *)wire_unpack(
                wire, &grpc__reflection__v1__server_reflection_request__descriptor, a, &e);
        }
        grpc_slice_unref(bytes);
        ok = asked != NULL;
        if (ok) {
            reflection_response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
            response.valid_host = asked->host;
            response.original_request = asked;
            answer(r, a, asked, &response);
            ok = rpc_write(c, &response.base);
        }
        arena_reset(a);
    }
    arena_destroy(a);
    if (err_is_set(&e)) {
        rpc_fail(c, &e);
    } else {
        rpc_stream_end(c);
    }
}
