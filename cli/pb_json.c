#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "google/protobuf/timestamp.pb-c.h"

// The length of the prefix of all values of the enum. The value 0 is always PREFIX_UNSPECIFIED.
static size_t prefix_len(const ProtobufCEnumDescriptor *d) {
    const ProtobufCEnumValue *zero = protobuf_c_enum_descriptor_get_value(d, 0);
    const char *tail = zero != NULL ? strstr(zero->name, "UNSPECIFIED") : NULL;
    return tail != NULL ? (size_t)(tail - zero->name) : 0;
}

const char *cli_enum_name(const ProtobufCEnumDescriptor *d, int value) {
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);
    return v != NULL ? v->name + prefix_len(d) : "UNKNOWN";
}

void cli_enum_name_lower(const ProtobufCEnumDescriptor *d, int value, char *out, size_t size) {
    (void)snprintf(out, size, "%s", cli_enum_name(d, value));
    for (char *at = out; *at != '\0'; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    }
}

bool cli_enum_value(const ProtobufCEnumDescriptor *d, const char *name, int *value) {
    for (unsigned i = 0; i < d->n_values; i++) {
        if (d->values[i].value != 0 && strcasecmp(d->values[i].name + prefix_len(d), name) == 0) {
            *value = d->values[i].value;
            return true;
        }
    }
    return false;
}

int cli_bad_value(const struct option *options, int opt, const char *value,
                  const ProtobufCEnumDescriptor *d, const char *takes) {
    char names[512] = "";
    strbuf b;
    strbuf_init_fixed(&b, names, sizeof names);
    for (unsigned i = 0, n = 0; d != NULL && i < d->n_values; i++) {
        if (d->values[i].value != 0) {
            strbuf_printf(&b, "%s%s", n++ == 0 ? "" : ", ", d->values[i].name + prefix_len(d));
        }
    }
    while (options->name != NULL && options->val != opt) {
        options++;
    }
    return cli_usage("--%s takes %s, not \"%s\"", options->name != NULL ? options->name : "?",
                     d != NULL ? names : takes, value);
}

json_t *cli_json_text(const char *text) {
    json_t *value = json_string(text);
    if (value != NULL) {
        return value;
    }
    char *copy = strdup(text);
    ASSERT(copy != NULL);
    for (char *at = copy; *at != '\0'; at++) {
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    }
    value = json_string(copy);
    free(copy);
    return value;
}

static json_t *time_to_json(const ProtobufCMessage *m) {
    const Google__Protobuf__Timestamp *t = (const Google__Protobuf__Timestamp *)m;
    char text[40];
    time_format_rfc3339(t->seconds * 1000000 + t->nanos / 1000, text, sizeof text);
    return json_string(text);
}

static json_t *value_to_json(const ProtobufCFieldDescriptor *f, const void *at) {
    switch ((int)f->type) {
    case PROTOBUF_C_TYPE_BOOL: return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM: return json_string(cli_enum_name(f->descriptor, *(const int *)at));
    case PROTOBUF_C_TYPE_INT32: return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32: return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64: return json_integer(*(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT64: return json_integer((json_int_t)(*(const uint64_t *)at));
    case PROTOBUF_C_TYPE_STRING: return cli_json_text(*(const char *const *)at);
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *inner = *(const ProtobufCMessage *const *)at;
        if (inner == NULL) {
            return json_null();
        }
        return inner->descriptor == &google__protobuf__timestamp__descriptor ? time_to_json(inner)
                                                                             : cli_to_json(inner);
    }
    default: ASSERT(!"a field type that our protos do not use"); return NULL;
    }
}

static size_t element_size(const ProtobufCFieldDescriptor *f) {
    switch ((int)f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: return sizeof(int64_t);
    default: return sizeof(int32_t);
    }
}

json_t *cli_to_json(const ProtobufCMessage *m) {
    json_t *object = json_object();
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const char *at = (const char *)m + f->offset;
        const void *quantifier = (const char *)m + f->quantifier_offset;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            json_t *list = json_array();
            const size_t n = *(const size_t *)quantifier;
            for (size_t k = 0; k < n; k++) {
                json_array_append_new(
                    list, value_to_json(f, *(const char *const *)at + k * element_size(f)));
            }
            json_object_set_new(object, f->name, list);
        } else if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 ||
                   *(const uint32_t *)quantifier == f->id) {
            json_object_set_new(object, f->name, value_to_json(f, at));
        }
    }
    return object;
}

void cli_print_value(json_t *value) {
    ASSERT(value != NULL); // a format of json_pack that does not fit, or text past cli_json_text
    (void)json_dumpf(value, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(value);
}

void cli_print_json(const ProtobufCMessage *m) {
    cli_print_value(cli_to_json(m));
}

void cli_print_rows(const ProtobufCMessage *list, bool more) {
    json_t *json = cli_to_json(list);
    json_object_del(json, "next_page_token");
    json_object_set_new(json, "limit_reached", json_boolean(more));
    cli_print_value(json);
}

void cli_print_json_line(const ProtobufCMessage *m) {
    json_t *object = cli_to_json(m);
    (void)json_dumpf(object, stdout, JSON_COMPACT);
    (void)fputc('\n', stdout);
    json_decref(object);
}
