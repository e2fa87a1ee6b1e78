// ImportService: payout files that are handed in whole. The room `imports` does it; here requests are read, and answers made.
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "imports/imports.h"
#include "payments/v1/import_service.pb-c.h"

typedef struct asked {
    const merchant *m;
    uuid id;
    import_row row;
    int64_t deadline;
    arena *a;
} asked;

static bool find_merchant(payments_service *s, rpc_call *call, const ProtobufCMessage *request,
                          const char *merchant_id, asked *x, err *e) {
    x->a = rpc_arena(call);
    x->deadline = rpc_deadline_mono_ms(call);
    if (!pb_is_known(request, "", e) || !rule_merchant_id(str_of(merchant_id), "merchant_id", e)) {
        return false;
    }
    x->m = merchant_find(s->merchants, str_of(merchant_id), x->deadline, e);
    return x->m != NULL;
}

static bool find_import(payments_service *s, rpc_call *call, const ProtobufCMessage *request,
                        const char *merchant_id, const char *import_id, asked *x, err *e) {
    return rule_uuid(str_of(import_id), "", "import_id", &x->id, e) &&
           find_merchant(s, call, request, merchant_id, x, e);
}

static Payments__V1__Import *import_to_pb(const import_row *r, arena *a) {
    Payments__V1__Import *p = ARENA_NEW(a, Payments__V1__Import);
    payments__v1__import__init(p);
    p->import_id = uuid_text(a, r->id);
    p->merchant_id = pb_text(a, r->merchant_id);
    p->file_name = pb_text(a, r->file_name);
    p->size_bytes = r->size_bytes;
    p->received_bytes = r->received;
    p->state = (Payments__V1__ImportState)r->state;
    p->row_count = r->rows;
    p->fault_count = r->faults;
    p->handed_count = r->handed;
    p->accepted_count = r->accepted;
    p->refused_count = r->refused;
    p->canceling = r->stop && r->state == IMPORT_RUNNING;
    p->actor = pb_text(a, r->actor);
    p->started_by = pb_text(a, r->started_by);
    p->create_time = pb_time(a, r->created_us);
    p->update_time = pb_time(a, r->updated_us);
    p->sha256 = pb_text(a, r->sha256.ptr == NULL ? STR("") : r->sha256);
    return p;
}

static void handle_create(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__CreateImportRequest *r = (const Payments__V1__CreateImportRequest *)request;
    Payments__V1__CreateImportResponse answer = PAYMENTS__V1__CREATE_IMPORT_RESPONSE__INIT;
    const actor_info by = rpc_actor(call);
    import_new n = {.by = &by,
                    .key = str_of(r->idempotency_key),
                    .file_name = str_of(r->file_name),
                    .size_bytes = r->size_bytes};
    asked x = {0};
    err e = {0};
    n.content = pb_pack(rpc_arena(call), request, &e);
    if (n.content.ptr == NULL || !find_merchant(s, call, request, r->merchant_id, &x, &e) ||
        !import_create(s->imports, x.m, &n, &x.row, x.deadline, x.a, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.import = import_to_pb(&x.row, x.a);
    rpc_reply(call, &answer.base);
}

static void handle_upload(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__UploadImportRequest *r = (const Payments__V1__UploadImportRequest *)request;
    Payments__V1__UploadImportResponse answer = PAYMENTS__V1__UPLOAD_IMPORT_RESPONSE__INIT;
    const str bytes = {(const char *)r->data.data, r->data.len};
    const actor_info by = rpc_actor(call);
    asked x = {0};
    err e = {0};
    if (!find_import(s, call, request, r->merchant_id, r->import_id, &x, &e) ||
        !import_upload(s->imports, x.m, x.id, &by, r->offset, bytes, &x.row, x.deadline, x.a, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.import = import_to_pb(&x.row, x.a);
    rpc_reply(call, &answer.base);
}

static void handle_finish(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__FinishImportRequest *r = (const Payments__V1__FinishImportRequest *)request;
    Payments__V1__FinishImportResponse answer = PAYMENTS__V1__FINISH_IMPORT_RESPONSE__INIT;
    const str sum = str_of(r->sha256);
    const actor_info by = rpc_actor(call);
    asked x = {0};
    err e = {0};
    if (!find_import(s, call, request, r->merchant_id, r->import_id, &x, &e) ||
        !import_finish(s->imports, x.m, x.id, &by, sum, &x.row, x.deadline, x.a, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.import = import_to_pb(&x.row, x.a);
    rpc_reply(call, &answer.base);
}

static void handle_start(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__StartImportRequest *r = (const Payments__V1__StartImportRequest *)request;
    Payments__V1__StartImportResponse answer = PAYMENTS__V1__START_IMPORT_RESPONSE__INIT;
    asked x = {0};
    err e = {0};
    actor_info by;
    if (!pb_actor(call, r->person, 0, &by, &e) ||
        !find_import(s, call, request, r->merchant_id, r->import_id, &x, &e) ||
        !import_begin(s->imports, x.m, x.id, &by, &x.row, x.deadline, x.a, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.import = import_to_pb(&x.row, x.a);
    rpc_reply(call, &answer.base);
}

static void handle_cancel(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__CancelImportRequest *r = (const Payments__V1__CancelImportRequest *)request;
    Payments__V1__CancelImportResponse answer = PAYMENTS__V1__CANCEL_IMPORT_RESPONSE__INIT;
    const actor_info by = rpc_actor(call);
    asked x = {0};
    err e = {0};
    if (!find_import(s, call, request, r->merchant_id, r->import_id, &x, &e) ||
        !import_cancel(s->imports, x.m, x.id, &by, &x.row, x.deadline, x.a, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.import = import_to_pb(&x.row, x.a);
    rpc_reply(call, &answer.base);
}

static void handle_get(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__GetImportRequest *r = (const Payments__V1__GetImportRequest *)request;
    Payments__V1__GetImportResponse answer = PAYMENTS__V1__GET_IMPORT_RESPONSE__INIT;
    asked x = {0};
    err e = {0};
    if (!find_import(s, call, request, r->merchant_id, r->import_id, &x, &e) ||
        !import_get(s->imports, x.m, x.id, &x.row, x.deadline, x.a, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.import = import_to_pb(&x.row, x.a);
    rpc_reply(call, &answer.base);
}

// --- Lists -----------------------------------------------------------------------------------------------------------------

static void handle_list(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListImportsRequest *r = (const Payments__V1__ListImportsRequest *)request;
    Payments__V1__ListImportsResponse answer = PAYMENTS__V1__LIST_IMPORTS_RESPONSE__INIT;
    import_row *rows = NULL;
    size_t n = 0;
    int64_t size = 0;
    asked x = {0};
    err e = {0};
    memset(x.id.b, 0xff, sizeof x.id.b);
    bool ok = page_size_of(r->page_size, &size, &e) &&
              find_merchant(s, call, request, r->merchant_id, &x, &e) &&
              (r->page_token[0] == '\0' ||
               page_token_read(r->page_token, str_of(r->merchant_id), x.id.b, sizeof x.id.b, &e)) &&
              import_list(s->imports, x.m, x.id, size + 1, &rows, &n, x.deadline, x.a, &e);
    if (!ok) {
        rpc_fail(call, &e);
        return;
    }
    answer.imports = arena_must(x.a, (n + 1) * sizeof *answer.imports); // at most a page
    for (size_t i = 0; i < n && i < (size_t)size; i++) {
        answer.imports[answer.n_imports++] = import_to_pb(&rows[i], x.a);
    }
    if (n > (size_t)size) {
        answer.next_page_token =
            page_token_make(x.a, str_of(r->merchant_id), rows[size - 1].id.b, sizeof rows[0].id.b);
    }
    rpc_reply(call, &answer.base);
}

// A page of what an import has begins behind a number.
static bool position_read(const char *token, const char *import_id, int32_t *after, err *e) {
    uint8_t bytes[4] = {0};
    if (token[0] != '\0' && !page_token_read(token, str_of(import_id), bytes, sizeof bytes, e)) {
        return false;
    }
    *after = (int32_t)((uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
                       (uint32_t)bytes[2] << 8 | bytes[3]);
    return true;
}

static char *position_make(const char *import_id, int32_t last, arena *a) {
    const uint32_t at = (uint32_t)last;
    const uint8_t bytes[4] = {(uint8_t)(at >> 24), (uint8_t)(at >> 16), (uint8_t)(at >> 8),
                              (uint8_t)at};
    return page_token_make(a, str_of(import_id), bytes, sizeof bytes);
}

static void handle_faults(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListImportFaultsRequest *r =
        (const Payments__V1__ListImportFaultsRequest *)request;
    Payments__V1__ListImportFaultsResponse answer = PAYMENTS__V1__LIST_IMPORT_FAULTS_RESPONSE__INIT;
    import_fault *rows = NULL;
    size_t n = 0;
    int64_t size = 0;
    int32_t after = 0;
    asked x = {0};
    err e = {0};
    if (!page_size_of(r->page_size, &size, &e) ||
        !find_import(s, call, request, r->merchant_id, r->import_id, &x, &e) ||
        !position_read(r->page_token, r->import_id, &after, &e) ||
        !import_faults(s->imports, x.m, x.id, after, size + 1, &rows, &n, x.deadline, x.a, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.faults = arena_must(x.a, (n + 1) * sizeof *answer.faults); // at most a page
    for (size_t i = 0; i < n && i < (size_t)size; i++) {
        Payments__V1__ImportFault *f = ARENA_NEW(x.a, Payments__V1__ImportFault);
        payments__v1__import_fault__init(f);
        f->line = rows[i].line;
        f->field = pb_text(x.a, rows[i].field);
        f->reason = pb_text(x.a, rows[i].reason);
        f->message = pb_text(x.a, rows[i].detail);
        answer.faults[answer.n_faults++] = f;
    }
    if (n > (size_t)size) {
        answer.next_page_token = position_make(r->import_id, rows[size - 1].number, x.a);
    }
    rpc_reply(call, &answer.base);
}

static void handle_results(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListImportResultsRequest *r =
        (const Payments__V1__ListImportResultsRequest *)request;
    Payments__V1__ListImportResultsResponse answer =
        PAYMENTS__V1__LIST_IMPORT_RESULTS_RESPONSE__INIT;
    import_result *rows = NULL;
    size_t n = 0;
    int64_t size = 0;
    int32_t after = 0;
    asked x = {0};
    err e = {0};
    if (!page_size_of(r->page_size, &size, &e) ||
        !find_import(s, call, request, r->merchant_id, r->import_id, &x, &e) ||
        !position_read(r->page_token, r->import_id, &after, &e) ||
        !import_results(s->imports, x.m, x.id, after, size + 1, r->refused_only != 0, &rows, &n,
                        x.deadline, x.a, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.results = arena_must(x.a, (n + 1) * sizeof *answer.results); // at most a page
    for (size_t i = 0; i < n && i < (size_t)size; i++) {
        Payments__V1__ImportResult *f = ARENA_NEW(x.a, Payments__V1__ImportResult);
        payments__v1__import_result__init(f);
        f->line = rows[i].line;
        f->reference = pb_text(x.a, rows[i].reference);
        if (!uuid_is_nil(rows[i].payout_id)) {
            f->payout_id = uuid_text(x.a, rows[i].payout_id);
        }
        f->field = pb_text(x.a, rows[i].field);
        f->reason = pb_text(x.a, rows[i].reason);
        f->message = pb_text(x.a, rows[i].detail);
        answer.results[answer.n_results++] = f;
    }
    if (n > (size_t)size) {
        answer.next_page_token = position_make(r->import_id, rows[size - 1].line, x.a);
    }
    rpc_reply(call, &answer.base);
}

const rpc_method IMPORT_METHODS[] = {
    {.name = "CreateImport", .unary = handle_create},
    {.name = "UploadImport", .unary = handle_upload},
    {.name = "FinishImport", .unary = handle_finish},
    {.name = "StartImport", .unary = handle_start},
    {.name = "CancelImport", .unary = handle_cancel},
    {.name = "GetImport", .unary = handle_get},
    {.name = "ListImports", .unary = handle_list},
    {.name = "ListImportFaults", .unary = handle_faults},
    {.name = "ListImportResults", .unary = handle_results},
};
const size_t N_IMPORT_METHODS = sizeof IMPORT_METHODS / sizeof IMPORT_METHODS[0];
