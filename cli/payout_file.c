#include "cli/payout_file.h"

#include <csv.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/money.h"
#include "domain/rules.h"
#include "payments/v1/common.pb-c.h"

enum { AMOUNT_SHOWN_MAX = 40 };

enum column {
    COL_REFERENCE,
    COL_MERCHANT,
    COL_NAME,
    COL_HOLDER,
    COL_RAIL,
    COL_CURRENCY,
    COL_AMOUNT,
    COL_ROUTING,
    COL_ACCOUNT,
    COL_ACCOUNT_TYPE,
    COL_DESCRIPTION,
    COL_COUNT
};

static const char *const COLUMNS[COL_COUNT] = {
    "reference", "merchant_id",  "recipient_name", "holder_type",  "rail",        "currency",
    "amount",    "routing_code", "account_number", "account_type", "description",
};

// What the rails carry, as the service will hold it against: so that a file is refused here, not half way through.
static const rule_rail RAILS[] = {
    {PAYMENTS__V1__RAIL__RAIL_ACH, "ach", "USD", 9999999999},
    {PAYMENTS__V1__RAIL__RAIL_INSTANT, "instant", "INR,USD", INT64_MAX},
};

typedef struct reader {
    cli *c;
    const char *path;
    payout_file *file;
    size_t line;           // of the record that is being read
    int place[COL_COUNT];  // place of each column in a record, -1: missing
    const char *cells[64]; // of the record that is being read
    size_t n_cells;
    bool header_done;
    bool failed; // no use to go on; *why is set
    err why;
    map *references; // (merchant, reference) → line
} reader;

static void keep_complaint(payout_file *f, size_t line, const err *e) {
    if (f->bad == f->complaints_cap) {
        f->complaints_cap = f->complaints_cap == 0 ? 64 : f->complaints_cap * 2;
        f->complaints = realloc(f->complaints, f->complaints_cap * sizeof *f->complaints);
        ASSERT(f->complaints != NULL);
    }
    payout_complaint *x = &f->complaints[f->bad++];
    x->line = line;
    (void)snprintf(x->field, sizeof x->field, "%s", e->field);
    (void)snprintf(x->reason, sizeof x->reason, "%s", e->reason);
    (void)snprintf(x->text, sizeof x->text, "%s", e->message);
}

static void complain(reader *r, const err *e) {
    keep_complaint(r->file, r->line, e);
    (void)fprintf(stderr, "%s:%zu: %s: %s\n", r->path, r->line,
                  e->field[0] != '\0' ? e->field : "line", e->message);
}

static const char *cell(const reader *r, int column) {
    const int at = r->place[column];
    return at >= 0 && (size_t)at < r->n_cells ? r->cells[at] : "";
}

static void read_header(reader *r) {
    for (int col = 0; col < COL_COUNT; col++) {
        r->place[col] = -1;
        for (size_t i = 0; i < r->n_cells; i++) {
            if (strcmp(r->cells[i], COLUMNS[col]) == 0) {
                r->place[col] = (int)i;
            }
        }
        if (r->place[col] < 0 && col != COL_DESCRIPTION && !r->failed) {
            r->failed = true;
            err_set_field(&r->why, ERR_INVALID_ARGUMENT, "COLUMN_MISSING", COLUMNS[col],
                          "the header line has no column %s", COLUMNS[col]);
        }
    }
    r->header_done = true;
}

static bool read_choice(const reader *r, int column, const ProtobufCEnumDescriptor *d,
                        const char *choices, int *out, err *e) {
    return cli_enum_value(d, cell(r, column), out) ||
           err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_INVALID", COLUMNS[column],
                         "must be one of %s", choices);
}

// At most max bytes of a text, and no half letter of UTF-8 at their end.
static int shown_len(str text, size_t max) {
    size_t len = text.len < max ? text.len : max;
    while (len > 0 && len < text.len && ((unsigned char)text.ptr[len] & 0xc0) == 0x80) {
        len--;
    }
    return (int)len;
}

static bool read_amount(const reader *r, payout_row *row, err *e) {
    const currency *ccy = NULL;
    const str text = str_of(cell(r, COL_AMOUNT));
    if (!rule_currency(str_of(row->currency), "", &ccy, e)) {
        return false;
    }
    if (!money_parse(text, ccy, &row->amount_minor)) {
        return err_set_field(
            e, ERR_INVALID_ARGUMENT, "AMOUNT_INVALID", "amount",
            "\"%.*s\" is not an amount of %s: digits, and at most %d after the point",
            shown_len(text, AMOUNT_SHOWN_MAX), text.ptr, ccy->code, ccy->exponent);
    }
    if (!rule_amount(row->amount_minor, "", e)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "AMOUNT_NOT_POSITIVE", "amount",
                             "must be above 0");
    }
    return rule_rail_carries(RAILS, sizeof RAILS / sizeof RAILS[0], row->rail,
                             str_of(row->currency), row->amount_minor, "", e);
}

static bool read_row(const reader *r, payout_row *row, err *e) {
    row->line = r->line;
    row->reference = cell(r, COL_REFERENCE);
    row->merchant_id = cell(r, COL_MERCHANT);
    row->recipient_name = cell(r, COL_NAME);
    row->currency = cell(r, COL_CURRENCY);
    row->routing_code = cell(r, COL_ROUTING);
    row->account_number = cell(r, COL_ACCOUNT);
    row->description = cell(r, COL_DESCRIPTION);
    if (r->n_cells > 0 && !str_is_text(row->recipient_name, strlen(row->recipient_name))) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_UTF8", "recipient_name",
                             "is not UTF-8 text");
    }
    return rule_text(str_of(row->reference), 1, RULE_KEY_MAX, "", "reference", e) &&
           rule_merchant_id(str_of(row->merchant_id), "merchant_id", e) &&
           rule_text(str_of(row->recipient_name), 1, RULE_NAME_MAX, "", "recipient_name", e) &&
           read_choice(r, COL_HOLDER, &payments__v1__holder_type__descriptor, "individual, company",
                       &row->holder_type, e) &&
           read_choice(r, COL_RAIL, &payments__v1__rail__descriptor, "ach, instant", &row->rail,
                       e) &&
           read_amount(r, row, e) &&
           rule_routing_code(str_of(row->routing_code), str_of(row->currency), "", e) &&
           rule_account_number(str_of(row->account_number), "", e) &&
           read_choice(r, COL_ACCOUNT_TYPE, &payments__v1__bank_account_type__descriptor,
                       "checking, savings", &row->account_type, e) &&
           rule_description(str_of(row->description), "", e);
}

static bool is_first_with_reference(reader *r, const payout_row *row, err *e) {
    const str parts[] = {str_of(row->merchant_id), str_of(row->reference)};
    const uuid key = uuid_derive(parts, 2);
    const void *earlier = map_get(r->references, key);
    if (earlier != NULL) {
        return err_set_field(
            e, ERR_INVALID_ARGUMENT, "REFERENCE_REPEATED", "reference",
            "is that of line %zu too: a reference stands for one payout of its merchant",
            (size_t)(uintptr_t)earlier);
    }
    return map_put(r->references, key, (void *)(uintptr_t)row->line) ||
           err_set(e, ERR_RESOURCE_EXHAUSTED, "FILE_TOO_LARGE", "too many rows");
}

// One key for one set of bank details of one merchant, so that a recipient is registered once, whatever file names it.
static void make_recipient_key(payout_row *row) {
    char numbers[32];
    (void)snprintf(numbers, sizeof numbers, "%d|%d", row->holder_type, row->account_type);
    const char *const parts[] = {row->merchant_id,  row->recipient_name, row->currency,
                                 row->routing_code, row->account_number, numbers};
    uint8_t digest[SHA256_DIGEST_LENGTH];
    strbuf all;
    strbuf_init(&all, 4096);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        strbuf_printf(&all, "%zu:%s", strlen(parts[i]), parts[i]);
    }
    ASSERT(strbuf_ok(&all)); // every part was checked to be short
    SHA256((const unsigned char *)all.ptr, all.len, digest);
    strbuf_deinit(&all);
    memcpy(row->recipient_key, "rcpt-", 5);
    str_hex(digest, sizeof digest, row->recipient_key + 5);
}

static payout_row *next_row(payout_file *f) {
    if (f->n == f->cap) {
        f->cap = f->cap == 0 ? 1024 : f->cap * 2;
        f->rows = realloc(f->rows, f->cap * sizeof *f->rows);
        ASSERT(f->rows != NULL);
    }
    memset(&f->rows[f->n], 0, sizeof f->rows[0]);
    return &f->rows[f->n];
}

static void on_cell(void *text, size_t len, void *arg) {
    reader *r = arg;
    if (r->n_cells < sizeof r->cells / sizeof r->cells[0]) {
        const char *copy = arena_strndup(r->c->arena, text != NULL ? text : "", len);
        ASSERT(copy != NULL); // PAYOUT_FILE_BYTES_MAX is below the arena's cap
        r->cells[r->n_cells] = copy;
    }
    r->n_cells++;
}

static void on_record(int terminator, void *arg) {
    reader *r = arg;
    (void)terminator;
    if (r->n_cells > sizeof r->cells / sizeof r->cells[0]) {
        r->n_cells = sizeof r->cells / sizeof r->cells[0];
    }
    if (r->failed) {
        return;
    }
    if (!r->header_done) {
        read_header(r);
    } else if (r->file->n + r->file->bad >= PAYOUT_FILE_ROWS_MAX) {
        r->failed = true;
        err_set(&r->why, ERR_INVALID_ARGUMENT, "FILE_TOO_LARGE", "the file has more than %d rows",
                PAYOUT_FILE_ROWS_MAX);
    } else {
        payout_row *row = next_row(r->file);
        err e = {0};
        if (read_row(r, row, &e) && is_first_with_reference(r, row, &e)) {
            make_recipient_key(row);
            r->file->n++;
        } else {
            complain(r, &e);
        }
    }
    r->n_cells = 0;
}

static bool read_bytes(const char *path, char **bytes, size_t *len, err *e) {
    FILE *in = fopen(path, "rb");
    bool ok = in != NULL;
    *bytes = NULL;
    *len = 0;
    if (ok) {
        ok = fseek(in, 0, SEEK_END) == 0;
        const long size = ok ? ftell(in) : -1;
        ok = ok && size >= 0 && size <= PAYOUT_FILE_BYTES_MAX && fseek(in, 0, SEEK_SET) == 0;
        if (ok) {
            *bytes = malloc((size_t)size + 1);
            ASSERT(*bytes != NULL);
            *len = fread(*bytes, 1, (size_t)size, in);
            ok = *len == (size_t)size;
        } else if (size > PAYOUT_FILE_BYTES_MAX) {
            errno = EFBIG;
        }
    }
    if (!ok) {
        err_set(e, ERR_INVALID_ARGUMENT, "FILE_UNREADABLE", "cannot be read: %s", strerror(errno));
    }
    if (in != NULL) {
        (void)fclose(in);
    }
    return ok;
}

// Feeds the parser line by line, so that a complaint knows its line.
static bool parse(reader *r, const char *bytes, size_t len, err *e) {
    struct csv_parser parser;
    bool ok = csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) == 0;
    ASSERT(ok);
    size_t at = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0
                    ? 3
                    : 0; // spreadsheets write a byte order mark
    size_t line = 1;
    while (ok && at < len && !r->failed) {
        const char *end = memchr(bytes + at, '\n', len - at);
        const size_t n = end != NULL ? (size_t)(end - (bytes + at)) + 1 : len - at;
        r->line = r->n_cells == 0
                      ? line
                      : r->line; // a quoted cell may span lines: its record began earlier
        ok = csv_parse(&parser, bytes + at, n, on_cell, on_record, r) == n;
        at += n;
        line++;
    }
    r->line = line - 1;
    ok = ok && (r->failed || csv_fini(&parser, on_cell, on_record, r) == 0);
    csv_free(&parser);
    if (!ok) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CSV_INVALID", "line %zu: a quote is out of place",
                       line - 1);
    }
    if (r->failed) {
        *e = r->why;
        return false;
    }
    if (!r->header_done || (r->file->n == 0 && r->file->bad == 0)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_EMPTY", "the file has no payouts");
    }
    return true;
}

bool payout_file_read(cli *c, const char *path, payout_file *f, err *e) {
    reader r = {
        .c = c, .path = path, .file = f, .references = map_create(1024, PAYOUT_FILE_ROWS_MAX)};
    char *bytes = NULL;
    size_t len = 0;
    *f = (payout_file){0};
    bool ok = read_bytes(path, &bytes, &len, e);
    if (ok) {
        SHA256((const unsigned char *)bytes, len, f->sha256);
        ok = parse(&r, bytes, len, e);
    }
    map_destroy(r.references);
    free(bytes);
    return ok;
}

bool payout_file_read_good(cli *c, const char *path, payout_file *f) {
    err e = {0};
    const bool read = payout_file_read(c, path, f, &e);
    if (!read) {
        keep_complaint(f, 0, &e);
        (void)fprintf(stderr, "payctl: %s: %s; nothing was sent\n", path, e.message);
    } else if (f->bad > 0) {
        (void)fprintf(stderr, "payctl: %zu bad line(s), %zu good: nothing was sent\n", f->bad,
                      f->n);
    }
    if (f->bad > 0 && c->json) {
        payout_file_print_json(f);
    }
    return f->bad == 0;
}

void payout_file_print_json(const payout_file *f) {
    json_t *bad = json_array();
    for (size_t i = 0; i < f->bad; i++) {
        const payout_complaint *x = &f->complaints[i];
        json_array_append_new(bad, json_pack("{s:I,s:s,s:s,s:o}", "line", (json_int_t)x->line,
                                             "field", x->field, "reason", x->reason, "error",
                                             cli_json_text(x->text)));
    }
    cli_print_value(json_pack("{s:b,s:I,s:o}", "sent", 0, "good", (json_int_t)f->n, "bad", bad));
}

void payout_file_free(payout_file *f) {
    free(f->complaints);
    free(f->rows);
    *f = (payout_file){0};
}
