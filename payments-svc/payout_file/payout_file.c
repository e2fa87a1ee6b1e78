#include "payout_file/payout_file.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/money.h"
#include "domain/rules.h"
#include "payout_file/csv_file.h"

enum { SHOWN_MAX = 40 };

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
    COL_CONNECTION,
    COL_COUNT
};

static const char *const COLUMNS[COL_COUNT] = {
    "reference", "merchant_id",  "recipient_name", "holder_type",  "rail",        "currency",
    "amount",    "routing_code", "account_number", "account_type", "description", "connection",
};

typedef struct reader {
    arena *a; // for the texts
    payout_file *file;
    const csv_record *record;          // the current record
    int column_at[CSV_FILE_CELLS_MAX]; // the column of each cell
    size_t place[COL_COUNT];           // the cell of each column
    bool has[COL_COUNT];               // the file has this column
    size_t n_columns;
    bool header_done;
    map *references; // (merchant, reference) → line
} reader;

void payout_file_complain(payout_file *f, size_t line, const err *e) {
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

static int by_line(const void *a, const void *b) {
    const payout_complaint *x = a, *y = b;
    return (x->line > y->line) - (x->line < y->line);
}

void payout_file_sort_complaints(payout_file *f) {
    if (f->bad > 0) {
        qsort(f->complaints, f->bad, sizeof *f->complaints, by_line);
    }
}

static void complain(reader *r, const err *e) {
    payout_file_complain(r->file, r->record->line, e);
}

// --- the header line -------------------------------------------------------------------------------------------------------

static bool note_column(reader *r, size_t place, err *e) {
    const str name = r->record->cells[place];
    err why = {0};
    if (!csv_file_cell_is_text(name, "header", &why)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, why.reason, "header",
                             "column %zu of the header line %s", place + 1, why.message);
    }
    for (int col = 0; col < COL_COUNT; col++) {
        if (str_eq_c(name, COLUMNS[col]) && r->has[col]) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "COLUMN_REPEATED", COLUMNS[col],
                                 "the header line names the column %s twice", COLUMNS[col]);
        }
        if (str_eq_c(name, COLUMNS[col])) {
            r->has[col] = true;
            r->place[col] = place;
            r->column_at[place] = col;
            return true;
        }
    }
    return name.len == 0 ? err_set(e, ERR_INVALID_ARGUMENT, "COLUMN_UNKNOWN",
                                   "column %zu of the header line has no name", place + 1)
                         : err_set_field(e, ERR_INVALID_ARGUMENT, "COLUMN_UNKNOWN", "header",
                                         "the column \"%.*s\" is not known",
                                         (int)str_clip(name, SHOWN_MAX).len, name.ptr);
}

// Every column is known and named once. Only the description and the connection may be missing.
static bool read_header(reader *r, err *e) {
    if (r->record->n_cells > CSV_FILE_CELLS_MAX) {
        return err_set(e, ERR_INVALID_ARGUMENT, "COLUMN_UNKNOWN",
                       "the header line has %zu columns: a payout file has at most %d",
                       r->record->n_cells, COL_COUNT);
    }
    for (size_t i = 0; i < r->record->n_cells; i++) {
        if (!note_column(r, i, e)) {
            return false;
        }
    }
    for (int col = 0; col < COL_COUNT; col++) {
        if (!r->has[col] && col != COL_DESCRIPTION && col != COL_CONNECTION) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "COLUMN_MISSING", COLUMNS[col],
                                 "the header line has no column %s", COLUMNS[col]);
        }
    }
    r->n_columns = r->record->n_cells;
    r->header_done = true;
    return true;
}

// --- a row -----------------------------------------------------------------------------------------------------------------

// Every cell must be text, and their number must match the columns.
static bool check_cells(const reader *r, err *e) {
    const csv_record *x = r->record;
    for (size_t i = 0; i < x->n_cells && i < CSV_FILE_CELLS_MAX; i++) {
        char number[32];
        (void)snprintf(number, sizeof number, "cell %zu", i + 1);
        if (!csv_file_cell_is_text(x->cells[i],
                                   i < r->n_columns ? COLUMNS[r->column_at[i]] : number, e)) {
            return false;
        }
    }
    return x->n_cells == r->n_columns ||
           err_set(e, ERR_INVALID_ARGUMENT, "CELL_COUNT",
                   "has %zu cells, and the header line has %zu columns", x->n_cells, r->n_columns);
}

// The cell of a column; "" if the file lacks the column. @arena
static const char *cell(const reader *r, int column) {
    if (!r->has[column] || r->record->cells[r->place[column]].len == 0) {
        return "";
    }
    const str text = r->record->cells[r->place[column]];
    return arena_strndup(r->a, text.ptr, text.len);
}

// An allowed text of a cell, and its number (payments.v1).
typedef struct choice {
    const char *name;
    int value;
} choice;

static const choice HOLDERS[] = {{"individual", 1}, {"company", 2}};
static const choice RAILS[] = {{"ach", 1}, {"instant", 2}};
static const choice ACCOUNT_TYPES[] = {{"checking", 1}, {"savings", 2}};
#define CHOICES(table) (table), sizeof(table) / sizeof((table)[0])

// "ach, instant"
static void list_choices(const choice *choices, size_t n, char *out, size_t size) {
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && len < size; i++) {
        len +=
            (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? ", " : "", choices[i].name);
    }
}

// Accepts capitals, too.
static bool read_choice(const reader *r, int column, const choice *choices, size_t n, int *out,
                        err *e) {
    char names[128];
    const char *name = cell(r, column);
    for (size_t i = 0; name != NULL && i < n; i++) {
        if (strcasecmp(choices[i].name, name) == 0) {
            *out = choices[i].value;
            return true;
        }
    }
    list_choices(choices, n, names, sizeof names);
    return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_INVALID", COLUMNS[column],
                         "must be one of %s", names);
}

static bool read_amount(const reader *r, payout_row *row, err *e) {
    const currency *ccy = NULL;
    const str text = r->record->cells[r->place[COL_AMOUNT]];
    if (!rule_currency(str_of(row->currency), "", &ccy, e)) {
        return false;
    }
    if (!money_parse(text, ccy, &row->amount_minor)) {
        return err_set_field(
            e, ERR_INVALID_ARGUMENT, "AMOUNT_INVALID", "amount",
            "\"%.*s\" is not an amount of %s: digits only, and at most %d after a point",
            (int)str_clip(text, SHOWN_MAX).len, text.ptr, ccy->code, ccy->exponent);
    }
    if (!rule_amount(row->amount_minor, "", e)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "AMOUNT_NOT_POSITIVE", "amount",
                             "must be above 0");
    }
    return true;
}

// Copies the record's texts. False when they do not fit.
static bool copy_texts(const reader *r, payout_row *row) {
    row->reference = cell(r, COL_REFERENCE);
    row->merchant_id = cell(r, COL_MERCHANT);
    row->recipient_name = cell(r, COL_NAME);
    row->currency = cell(r, COL_CURRENCY);
    row->routing_code = cell(r, COL_ROUTING);
    row->account_number = cell(r, COL_ACCOUNT);
    row->description = cell(r, COL_DESCRIPTION);
    row->connection = cell(r, COL_CONNECTION);
    return row->reference != NULL && row->merchant_id != NULL && row->recipient_name != NULL &&
           row->currency != NULL && row->routing_code != NULL && row->account_number != NULL &&
           row->description != NULL && row->connection != NULL;
}

static bool check_row(const reader *r, payout_row *row, err *e) {
    return rule_text(str_of(row->reference), 1, RULE_KEY_MAX, "", "reference", e) &&
           rule_merchant_id(str_of(row->merchant_id), "merchant_id", e) &&
           rule_text(str_of(row->recipient_name), 1, RULE_NAME_MAX, "", "recipient_name", e) &&
           read_choice(r, COL_HOLDER, CHOICES(HOLDERS), &row->holder_type, e) &&
           read_choice(r, COL_RAIL, CHOICES(RAILS), &row->rail, e) && read_amount(r, row, e) &&
           rule_routing_code(str_of(row->routing_code), str_of(row->currency), "", e) &&
           rule_account_number(str_of(row->account_number), "", e) &&
           read_choice(r, COL_ACCOUNT_TYPE, CHOICES(ACCOUNT_TYPES), &row->account_type, e) &&
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

// Derives the key from the row's own reference, so that it tells nothing of the account. With a key derived from the account, a reader of
// keys could try account numbers against it.
static void make_recipient_key(payout_row *row) {
    static const char KIND[] = "recipient of the payout";
    uint8_t digest[SHA256_DIGEST_LENGTH];
    strbuf all;
    strbuf_init(&all, 1024);
    strbuf_printf(&all, "%s %s %s", KIND, row->merchant_id, row->reference);
    ASSERT(strbuf_ok(&all)); // each part is known to be short
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

// Returning false ends the file, with the reason in *e.
static bool take_row(reader *r, err *e) {
    payout_row *row = next_row(r->file);
    err why = {0};
    row->line = r->record->line;
    if (r->file->n + r->file->bad >= PAYOUT_FILE_ROWS_MAX) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_TOO_LARGE", "the file has more than %d rows",
                       PAYOUT_FILE_ROWS_MAX);
    }
    if (!check_cells(r, &why)) {
        complain(r, &why);
    } else if (!copy_texts(r, row)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_TOO_LARGE", "the file is too large");
    } else if (check_row(r, row, &why) && is_first_with_reference(r, row, &why)) {
        make_recipient_key(row);
        r->file->n++;
    } else {
        complain(r, &why);
    }
    return true;
}

static bool on_record(void *arg, const csv_record *record, err *e) {
    reader *r = arg;
    r->record = record;
    return r->header_done ? take_row(r, e) : read_header(r, e);
}

bool payout_file_parse(str bytes, arena *a, payout_file *f, err *e) {
    reader r = {.a = a, .file = f, .references = map_create(1024, PAYOUT_FILE_ROWS_MAX)};
    *f = (payout_file){0};
    SHA256((const unsigned char *)bytes.ptr, bytes.len, f->sha256);
    bool ok = csv_file_each(bytes, on_record, &r, e);
    if (ok && f->n == 0 && f->bad == 0) {
        ok = err_set(e, ERR_INVALID_ARGUMENT, "FILE_EMPTY", "the file has no payouts");
    }
    map_destroy(r.references);
    return ok;
}

const char *payout_file_column_of(const char *field) {
    static const struct {
        const char *field, *column;
    } NAMES[] = {{"amount_minor", "amount"},
                 {"name", "recipient_name"},
                 {"idempotency_key", "reference"},
                 {"external_reference", "reference"},
                 {"recipient_id", ""}};
    const char *dot = strrchr(field, '.');
    const char *last = dot != NULL ? dot + 1 : field;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(last, NAMES[i].field) == 0) {
            return NAMES[i].column;
        }
    }
    return last;
}

void payout_file_refusal(const char *field, const char *reason, const char *message, err *out) {
    const char *column = payout_file_column_of(field);
    // "items[3].payout.amount_minor must be above 0"
    const bool names_field = field[0] != '\0' && strncmp(message, field, strlen(field)) == 0;
    (void)err_set_field(out, ERR_INVALID_ARGUMENT, reason, column, "%s%s",
                        names_field ? column : "", names_field ? message + strlen(field) : message);
}

void payout_file_free(payout_file *f) {
    free(f->complaints);
    free(f->rows);
    *f = (payout_file){0};
}
