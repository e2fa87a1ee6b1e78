// payctl import, imports, import-result: a payout file that the server pays by itself.
#include <getopt.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/pay_file.h"
#include "payments/v1/import_service.pb-c.h"

enum {
    PART = 1 << 20,
    PAUSE_FIRST_MS = 50,
    PAUSE_MAX_MS = 1000,
    PAGE = 1000,
    KEYS_MAX = 100, // imports of one file: earlier ones were canceled or had faults
    FAILURES_MAX = 20
};

typedef Payments__V1__Import import;

static const char *const IMPORTS = "payments.v1.ImportService";

static const char *state_name(int state) {
    return cli_enum_name(&payments__v1__import_state__descriptor, state);
}

static bool is_over(const import *x) {
    return x->state == PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_DONE ||
           x->state == PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_INVALID ||
           x->state == PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_CANCELED;
}

// The only field of every answer about one import is the import.
static bool ask(cli *c, const char *method, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *type, const import **x, err *e) {
    ProtobufCMessage *answer = NULL;
    if (!cli_call(c, IMPORTS, method, request, type, &answer, e)) {
        return false;
    }
    const import *found = ((const Payments__V1__GetImportResponse *)answer)->import;
    if (found == NULL) {
        return err_set(e, ERR_INTERNAL, "NO_ANSWER", "the answer has no import");
    }
    *x = found;
    return true;
}

static bool ask_state(cli *c, const char *merchant, const char *id, const import **x, err *e) {
    Payments__V1__GetImportRequest r = PAYMENTS__V1__GET_IMPORT_REQUEST__INIT;
    r.merchant_id = (char *)merchant;
    r.import_id = (char *)id;
    return ask(c, "GetImport", &r.base, &payments__v1__get_import_response__descriptor, x, e);
}

// --- making it ---------------------------------------------------------------------------------------------------------------

typedef struct importing {
    cli *c;
    const char *path, *merchant;
    char *bytes;
    size_t len;
    uint8_t sum[SHA256_DIGEST_LENGTH];
    const import *x;
    progress bar;
} importing;

// The key comes from the file, so the same command goes on where it stopped. After an import that came to nothing, the next key is tried.
static bool create(importing *p, err *e) {
    char hex[2 * SHA256_DIGEST_LENGTH + 1], name[256];
    const char *slash = strrchr(p->path, '/');
    Payments__V1__CreateImportRequest r = PAYMENTS__V1__CREATE_IMPORT_REQUEST__INIT;
    str_hex(p->sum, sizeof p->sum, hex);
    (void)snprintf(name, sizeof name, "%s", pay_file_name(slash != NULL ? slash + 1 : p->path));
    r.merchant_id = (char *)p->merchant;
    r.file_name = name;
    r.size_bytes = (int64_t)p->len;
    for (int i = 1; i <= KEYS_MAX; i++) {
        r.idempotency_key = arena_printf(p->c->arena, "%s-%d", hex, i);
        if (!ask(p->c, "CreateImport", &r.base, &payments__v1__create_import_response__descriptor,
                 &p->x, e)) {
            if (strcmp(e->reason, "IDEMPOTENCY_KEY_REUSED") != 0) {
                return false; // of a file with the same bytes and another name: try the next key
            }
            continue;
        }
        if (p->x->state != PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_CANCELED &&
            p->x->state != PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_INVALID) {
            return true;
        }
    }
    return err_set(e, ERR_FAILED_PRECONDITION, "TOO_MANY_IMPORTS",
                   "%d imports of the file were canceled, or had faults", (int)KEYS_MAX);
}

static bool upload(importing *p, err *e) {
    progress_begin(&p->bar, p->c, "uploading", p->len);
    while (p->x->state == PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_UPLOADING &&
           p->x->received_bytes < p->x->size_bytes) {
        Payments__V1__UploadImportRequest r = PAYMENTS__V1__UPLOAD_IMPORT_REQUEST__INIT;
        const size_t at = (size_t)p->x->received_bytes;
        r.merchant_id = (char *)p->merchant;
        r.import_id = p->x->import_id;
        r.offset = p->x->received_bytes;
        r.data.data = (uint8_t *)p->bytes + at;
        r.data.len = p->len - at < PART ? p->len - at : PART;
        if (!ask(p->c, "UploadImport", &r.base, &payments__v1__upload_import_response__descriptor,
                 &p->x, e)) {
            progress_end(&p->bar, "stopped");
            return false;
        }
        progress_set(&p->bar, (size_t)p->x->received_bytes, "");
    }
    progress_end(&p->bar, "");
    if (p->x->state != PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_UPLOADING) {
        return true;
    }
    Payments__V1__FinishImportRequest r = PAYMENTS__V1__FINISH_IMPORT_REQUEST__INIT;
    r.merchant_id = (char *)p->merchant;
    r.import_id = p->x->import_id;
    char hex[2 * SHA256_DIGEST_LENGTH + 1];
    str_hex(p->sum, sizeof p->sum, hex);
    r.sha256 = hex;
    return ask(p->c, "FinishImport", &r.base, &payments__v1__finish_import_response__descriptor,
               &p->x, e);
}

static void pause_ms(int64_t ms) {
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

// Asks until the import has left the state. The service may restart meanwhile: the import goes on without payctl.
static bool follow(importing *p, int state, const char *label, err *e) {
    int64_t ms = PAUSE_FIRST_MS;
    int failures = 0;
    progress_begin(&p->bar, p->c, label, (size_t)p->x->row_count);
    while ((int)p->x->state == state) {
        pause_ms(ms);
        ms = ms * 2 < PAUSE_MAX_MS ? ms * 2 : PAUSE_MAX_MS;
        if (ask_state(p->c, p->merchant, p->x->import_id, &p->x, e)) {
            failures = 0;
            progress_set(&p->bar, (size_t)p->x->handed_count, "");
        } else if (e->code != ERR_UNAVAILABLE || ++failures == FAILURES_MAX) {
            progress_end(&p->bar, "stopped");
            return false;
        }
    }
    progress_end(&p->bar, state_name((int)p->x->state));
    return true;
}

static bool start(importing *p, err *e) {
    Payments__V1__StartImportRequest r = PAYMENTS__V1__START_IMPORT_REQUEST__INIT;
    r.merchant_id = (char *)p->merchant;
    r.import_id = p->x->import_id;
    r.person = (char *)cli_person(p->c, NULL);
    return ask(p->c, "StartImport", &r.base, &payments__v1__start_import_response__descriptor,
               &p->x, e);
}

// --- faults and results ------------------------------------------------------------------------------------------------------

static bool add_faults(cli *c, const char *merchant, const char *id, json_t *list, const char *name,
                       err *e) {
    Payments__V1__ListImportFaultsRequest r = PAYMENTS__V1__LIST_IMPORT_FAULTS_REQUEST__INIT;
    r.merchant_id = (char *)merchant;
    r.import_id = (char *)id;
    r.page_size = PAGE;
    do {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, IMPORTS, "ListImportFaults", &r.base,
                      &payments__v1__list_import_faults_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListImportFaultsResponse *f =
            (const Payments__V1__ListImportFaultsResponse *)answer;
        for (size_t i = 0; i < f->n_faults; i++) {
            const Payments__V1__ImportFault *x = f->faults[i];
            json_array_append_new(list, cli_to_json(&x->base));
            cli_print(stderr, "%s:%d: %s: %s\n", name, x->line,
                      x->field[0] != '\0' ? x->field : "line", x->message);
        }
        r.page_token = f->next_page_token;
    } while (r.page_token[0] != '\0');
    return true;
}

// Refused rows go to stderr, as faults do, unless all rows are shown as a table.
static bool add_results(cli *c, const import *x, bool refused_only, json_t *list, table *t,
                        err *e) {
    Payments__V1__ListImportResultsRequest r = PAYMENTS__V1__LIST_IMPORT_RESULTS_REQUEST__INIT;
    r.merchant_id = x->merchant_id;
    r.import_id = x->import_id;
    r.page_size = PAGE;
    r.refused_only = refused_only;
    do {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, IMPORTS, "ListImportResults", &r.base,
                      &payments__v1__list_import_results_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListImportResultsResponse *f =
            (const Payments__V1__ListImportResultsResponse *)answer;
        for (size_t i = 0; i < f->n_results; i++) {
            const Payments__V1__ImportResult *y = f->results[i];
            json_array_append_new(list, cli_to_json(&y->base));
            const char *cells[] = {arena_printf(c->arena, "%d", y->line), y->reference,
                                   y->payout_id[0] != '\0' ? y->payout_id : "refused", y->field,
                                   y->message};
            if (t != NULL) {
                table_row(t, cells);
            } else {
                cli_print(stderr, "%s:%d: %s: %s\n", x->file_name, y->line,
                          y->field[0] != '\0' ? y->field : "line", y->message);
            }
        }
        r.page_token = f->next_page_token;
    } while (r.page_token[0] != '\0');
    return true;
}

static void print_import(cli *c, const import *x) {
    cli_print(stdout, "import     %s/%s\n", x->merchant_id, x->import_id);
    cli_print(stdout, "file       %s, %lld bytes\n", x->file_name, (long long)x->size_bytes);
    cli_print(stdout, "state      %s%s\n", state_name((int)x->state),
              x->canceling ? ", canceled: the rows under way are finished" : "");
    cli_print(stdout, "rows       %d, %d handed in: %d accepted, %d refused\n", x->row_count,
              x->handed_count, x->accepted_count, x->refused_count);
    cli_print(stdout, "changed    %s\n",
              cli_time(c, x->update_time->seconds, x->update_time->nanos));
}

static int exit_code(const import *x) {
    if (x->state == PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_INVALID) {
        return EXIT_USAGE;
    }
    if (x->refused_count > 0) {
        return EXIT_REFUSED;
    }
    return x->state == PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_CANCELED ? EXIT_NOT_SETTLED
                                                                         : EXIT_DONE;
}

static int report(importing *p) {
    json_t *faults = json_array(), *refused = json_array();
    err e = {0};
    const import *x = p->x;
    bool ok = x->state != PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_INVALID ||
              add_faults(p->c, p->merchant, x->import_id, faults, pay_file_name(p->path), &e);
    ok = ok &&
         (x->refused_count == 0 || !is_over(x) || add_results(p->c, x, true, refused, NULL, &e));
    if (!ok) {
        json_decref(faults);
        json_decref(refused);
        return cli_failed(p->c, "show the import", &e);
    }
    if (p->c->json) {
        json_t *all = cli_to_json(&x->base);
        json_object_set_new(all, "faults", faults);
        json_object_set_new(all, "refusals", refused);
        cli_print_value(all);
    } else {
        json_decref(faults);
        json_decref(refused);
        print_import(p->c, x);
        if (x->state == PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_INVALID) {
            cli_print(stderr, "payctl: %d bad line(s): nothing was paid\n", x->fault_count);
        }
    }
    return exit_code(x);
}

// --- import ------------------------------------------------------------------------------------------------------------------

typedef struct wishes {
    const char *merchant;
    bool check, follow, cancel;
} wishes;

static int import_file(importing *p, const wishes *w) {
    err e = {0};
    bool ok = create(p, &e) && upload(p, &e) &&
              follow(p, PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_VALIDATING, "checking", &e);
    if (ok && !w->check && p->x->state == PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_VALID) {
        ok = start(p, &e);
    }
    if (ok && w->follow) {
        ok = follow(p, PAYMENTS__V1__IMPORT_STATE__IMPORT_STATE_RUNNING, "handing in", &e);
    }
    return ok ? report(p) : cli_failed(p->c, "import the file", &e);
}

static int cancel_import(cli *c, const char *name) {
    Payments__V1__CancelImportRequest r = PAYMENTS__V1__CANCEL_IMPORT_REQUEST__INIT;
    const char *merchant = NULL, *id = NULL;
    const import *x = NULL;
    err e = {0};
    if (!cli_split_id(c, name, &merchant, &id)) {
        return cli_usage("import --cancel takes one id, as MERCHANT/UUID");
    }
    r.merchant_id = (char *)merchant;
    r.import_id = (char *)id;
    if (!ask(c, "CancelImport", &r.base, &payments__v1__cancel_import_response__descriptor, &x,
             &e)) {
        return cli_failed(c, "cancel the import", &e);
    }
    if (c->json) {
        cli_print_json(&x->base);
    } else {
        print_import(c, x);
    }
    return EXIT_DONE;
}

static int cmd_import(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"merchant", required_argument, NULL, 'm'}, {"check", no_argument, NULL, 'c'},
        {"follow", no_argument, NULL, 'f'},         {"no-follow", no_argument, NULL, 'n'},
        {"cancel", no_argument, NULL, 'x'},         {0}};
    wishes w = {.follow = true};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'm': w.merchant = optarg; break;
        case 'c': w.check = true; break;
        case 'f': w.follow = true; break;
        case 'n': w.follow = false; break;
        case 'x': w.cancel = true; break;
        default: return EXIT_USAGE;
        }
    }
    if (argc - optind != 1 || (w.merchant == NULL && !w.cancel)) {
        return cli_usage("import takes one file and --merchant M");
    }
    if (w.cancel) {
        return cancel_import(c, argv[optind]);
    }
    importing p = {.c = c, .path = argv[optind], .merchant = w.merchant};
    err e = {0};
    if (!cli_load_file(p.path, PAYOUT_FILE_BYTES_MAX, &p.bytes, &p.len, &e)) {
        return cli_failed(c, "read the file", &e);
    }
    SHA256((const unsigned char *)p.bytes, p.len, p.sum);
    const int code = import_file(&p, &w);
    free(p.bytes);
    return code;
}

// --- imports -----------------------------------------------------------------------------------------------------------------

static int cmd_imports(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"merchant", required_argument, NULL, 'm'}, {0}};
    static const char *const TITLES[] = {"import", "file", "state", "rows", "accepted", "refused"};
    Payments__V1__ListImportsRequest r = PAYMENTS__V1__LIST_IMPORTS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    table t;
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        r.merchant_id = optarg;
    }
    if (optind != argc || r.merchant_id[0] == '\0') {
        return cli_usage("imports takes --merchant M");
    }
    if (!cli_call(c, IMPORTS, "ListImports", &r.base,
                  &payments__v1__list_imports_response__descriptor, &answer, &e)) {
        return cli_failed(c, "list the imports", &e);
    }
    const Payments__V1__ListImportsResponse *list =
        (const Payments__V1__ListImportsResponse *)answer;
    if (c->json) {
        cli_print_rows(answer, list->next_page_token[0] != '\0');
        return EXIT_DONE;
    }
    table_begin(&t, 6, 8u | 16u | 32u, TITLES);
    for (size_t i = 0; i < list->n_imports; i++) {
        const import *x = list->imports[i];
        const char *cells[] = {arena_printf(c->arena, "%s/%s", x->merchant_id, x->import_id),
                               x->file_name,
                               state_name((int)x->state),
                               arena_printf(c->arena, "%d", x->row_count),
                               arena_printf(c->arena, "%d", x->accepted_count),
                               arena_printf(c->arena, "%d", x->refused_count)};
        table_row(&t, cells);
    }
    table_print(&t);
    return EXIT_DONE;
}

// --- import-result -----------------------------------------------------------------------------------------------------------

static int cmd_import_result(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"refused", no_argument, NULL, 'r'}, {0}};
    static const char *const TITLES[] = {"line", "reference", "payout", "column", "why"};
    const char *merchant = NULL, *id = NULL;
    const import *x = NULL;
    bool refused_only = false;
    err e = {0};
    table t;
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        refused_only = true;
    }
    if (argc - optind != 1 || !cli_split_id(c, argv[optind], &merchant, &id)) {
        return cli_usage("import-result takes one id, as MERCHANT/UUID");
    }
    json_t *faults = json_array(), *results = json_array();
    table_begin(&t, 5, 1u, TITLES);
    const bool ok = ask_state(c, merchant, id, &x, &e) &&
                    add_results(c, x, refused_only, results, &t, &e) &&
                    (x->fault_count == 0 || add_faults(c, merchant, id, faults, x->file_name, &e));
    if (!ok) {
        json_decref(faults);
        json_decref(results);
        table_drop(&t);
        return cli_failed(c, "show the import", &e);
    }
    if (c->json) {
        json_t *all = cli_to_json(&x->base);
        json_object_set_new(all, "faults", faults);
        json_object_set_new(all, "results", results);
        cli_print_value(all);
        table_drop(&t);
    } else {
        json_decref(faults);
        json_decref(results);
        print_import(c, x);
        cli_print(stdout, "\n");
        table_print(&t);
    }
    return EXIT_DONE;
}

// --- commands ----------------------------------------------------------------------------------------------------------------

const cli_command COMMAND_IMPORT = {
    .name = "import",
    .usage = "FILE.csv|- --merchant M [--check] [--no-follow]",
    .summary = "hand a payout file to the service, which checks it and pays its rows by itself",
    .help =
        "The file has the form that `payctl pay` takes, with rows of one merchant. The service "
        "goes on when this program\n"
        "ends. The same command finds its import again. A row that was accepted before is not paid "
        "again.\n"
        "  --merchant M          the merchant of all rows\n"
        "  --check               check the file and pay nothing; the same command without --check "
        "then pays it\n"
        "  --no-follow           end as soon as the import is started\n"
        "  --cancel MERCHANT/ID  instead of a file: cancel this import; its accepted payouts stay\n"
        "  Exit code 2: the file has bad lines, and nothing was paid. 4: some rows were refused.\n"
        "\n"
        "JSON\n"
        "  {import_id, state, row_count, handed_count, accepted_count, refused_count, ...,\n"
        "   faults: [{line, field, reason, message}], refusals: [{line, reference, field, reason, "
        "message}]}\n",
    .run = cmd_import,
};

const cli_command COMMAND_IMPORTS = {
    .name = "imports",
    .usage = "--merchant M",
    .summary = "imports of a merchant, newest first",
    .help = "  The newest 100.\n"
            "\n"
            "JSON\n"
            "  {imports: [{...}], limit_reached}\n",
    .run = cmd_imports,
};

const cli_command COMMAND_IMPORT_RESULT = {
    .name = "import-result",
    .usage = "MERCHANT/ID [--refused]",
    .summary = "what became of each row of an import",
    .help =
        "  --refused             only rows that were refused\n"
        "\n"
        "JSON\n"
        "  {import_id, state, ..., faults: [...], results: [{line, reference, payout_id, field, "
        "reason, message}]}\n",
    .run = cmd_import_result,
};
