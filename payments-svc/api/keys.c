// KeyService: which data keys there are, and sealing anew.
#include "keys/keys.h"

#include <string.h>

#include "api/service_internal.h"
#include "payments/v1/key_service.pb-c.h"

static Payments__V1__KeyRotation *rotation_to_pb(const rotation_row *r, arena *a) {
    Payments__V1__KeyRotation *out = ARENA_NEW(a, Payments__V1__KeyRotation);
    char id[UUID_TEXT_LEN + 1];
    const bool running = r->state == ROTATION_RUNNING;
    payments__v1__key_rotation__init(out);
    uuid_format(r->id, id);
    out->rotation_id = pb_text(a, str_of(id));
    out->key_id = pb_text(a, r->key_id);
    out->state = (Payments__V1__KeyRotationState)r->state;
    out->actor = pb_text(a, r->actor);
    out->started_time = pb_time(a, r->started_us);
    out->ended_time = r->ended_us == 0 ? NULL : pb_time(a, r->ended_us);
    out->target = running && r->target < KEY_TARGETS
                      ? pb_text(a, str_of(key_target_name(r->target)))
                      : (char *)protobuf_c_empty_string;
    out->target_number = r->target < KEY_TARGETS ? r->target + 1 : KEY_TARGETS;
    out->target_count = KEY_TARGETS;
    out->book_id = running && r->at_book > 0 ? r->at_book : 0;
    out->walked_count = r->walked;
    out->resealed_count = r->resealed;
    out->unreadable_count = r->unreadable;
    out->waits_until_time = r->waits_until_us == 0 ? NULL : pb_time(a, r->waits_until_us);
    return out;
}

static Payments__V1__DataKey *add_key(Payments__V1__ListKeysResponse *out, str id, arena *a) {
    Payments__V1__DataKey *key = ARENA_NEW(a, Payments__V1__DataKey);
    payments__v1__data_key__init(key);
    key->key_id = pb_text(a, id);
    out->keys[out->n_keys++] = key;
    return key;
}

static Payments__V1__DataKey *find_key(const Payments__V1__ListKeysResponse *out, const char *id) {
    for (size_t i = 0; i < out->n_keys; i++) {
        if (str_eq_c(str_of(id), out->keys[i]->key_id)) {
            return out->keys[i];
        }
    }
    return NULL;
}

static void tell_keys(const payments_service *s, const keys_report *report,
                      Payments__V1__ListKeysResponse *out, arena *a) {
    crypto_key_info ring[CRYPTO_KEYS_MAX];
    size_t current = 0;
    const size_t n = crypto_keyring_keys(s->o.keys, ring, &current);
    out->keys = arena_must(a, (report->n_keys + n + 1) * sizeof *out->keys);
    for (size_t i = 0; i < report->n_keys; i++) {
        const key_row *row = &report->keys[i];
        Payments__V1__DataKey *key = add_key(out, row->id, a);
        key->seals_values = row->sealed;
        key->hashes_requests = row->macs;
        key->uses = pb_text(a, row->uses);
    }
    for (size_t i = 0; i < n; i++) {
        Payments__V1__DataKey *key = find_key(out, ring[i].id);
        key = key != NULL ? key : add_key(out, str_of(ring[i].id), a);
        key->current = i == current;
        key->opens = ring[i].opens;
        key->compares = true;
    }
}

// ",a,b,"
static void tell_ids(str list, Payments__V1__KeyInstance *out, arena *a) {
    out->key_ids = arena_must(a, (CRYPTO_KEYS_MAX + 1) * sizeof *out->key_ids);
    for (size_t at = 0; at < list.len && out->n_key_ids < CRYPTO_KEYS_MAX;) {
        const char *end = memchr(list.ptr + at, ',', list.len - at);
        const size_t len = end == NULL ? list.len - at : (size_t)(end - list.ptr) - at;
        if (len > 0) {
            out->key_ids[out->n_key_ids++] = pb_text(a, (str){list.ptr + at, len});
        }
        at += len + 1;
    }
}

static void handle_list_keys(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    Payments__V1__ListKeysResponse answer = PAYMENTS__V1__LIST_KEYS_RESPONSE__INIT;
    keys_report report = {0};
    arena *a = rpc_arena(call);
    err e = {0};
    (void)request;
    if (!keys_look(s->o.data_keys, rpc_deadline_mono_ms(call), a, &report, &e)) {
        rpc_fail(call, &e);
        return;
    }
    tell_keys(s, &report, &answer, a);
    answer.instances = arena_must(a, (report.n_instances + 1) * sizeof *answer.instances);
    for (size_t i = 0; i < report.n_instances; i++) {
        Payments__V1__KeyInstance *one = ARENA_NEW(a, Payments__V1__KeyInstance);
        char id[UUID_TEXT_LEN + 1];
        payments__v1__key_instance__init(one);
        uuid_format(report.instances[i].id, id);
        one->instance_id = pb_text(a, str_of(id));
        one->current_key_id = pb_text(a, report.instances[i].current);
        one->seen_time = pb_time(a, report.instances[i].seen_us);
        tell_ids(report.instances[i].key_ids, one, a);
        answer.instances[answer.n_instances++] = one;
    }
    answer.rotation = report.has_rotation ? rotation_to_pb(&report.rotation, a) : NULL;
    rpc_reply(call, &answer.base);
}

static void handle_rotate_keys(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__RotateKeysRequest *r = (const Payments__V1__RotateKeysRequest *)request;
    Payments__V1__RotateKeysResponse answer = PAYMENTS__V1__ROTATE_KEYS_RESPONSE__INIT;
    rotation_row row;
    actor_info by;
    err e = {0};
    if (!pb_is_known(request, "", &e) || !pb_actor(call, r->person, 0, &by, &e) ||
        !keys_rotate(s->o.data_keys, &by, rpc_deadline_mono_ms(call), rpc_arena(call), &row, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.rotation = rotation_to_pb(&row, rpc_arena(call));
    rpc_reply(call, &answer.base);
}

const rpc_method KEY_METHODS[] = {
    {.name = "ListKeys", .unary = handle_list_keys},
    {.name = "RotateKeys", .unary = handle_rotate_keys},
};
const size_t N_KEY_METHODS = sizeof KEY_METHODS / sizeof KEY_METHODS[0];
