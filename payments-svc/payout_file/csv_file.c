#include "payout_file/csv_file.h"

#include <csv.h>
#include <string.h>

#include "base/assert.h"

enum { LOOKED_AT = 512 };

// --- the kind of file ------------------------------------------------------------------------------------------------------

static bool begins_with(str bytes, const char *mark, size_t n) {
    return bytes.len >= n && memcmp(bytes.ptr, mark, n) == 0;
}

// True for text of two bytes per letter: each letter of the header line has a NUL before or after it.
static bool looks_like_utf16(str bytes) {
    size_t nul[2] = {0, 0};
    const size_t n = bytes.len < LOOKED_AT ? bytes.len : LOOKED_AT;
    for (size_t i = 0; i < n; i++) {
        nul[i % 2] += bytes.ptr[i] == '\0' ? 1 : 0;
    }
    return (nul[0] == 0) != (nul[1] == 0) && (nul[0] + nul[1]) * 4 > n;
}

static bool check_encoding(str bytes, err *e) {
    if (begins_with(bytes, "\xff\xfe", 2) || begins_with(bytes, "\xfe\xff", 2) ||
        looks_like_utf16(bytes)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_UTF16",
                       "the file is UTF-16 (\"Unicode text\"): save it as CSV UTF-8");
    }
    if (begins_with(bytes, "PK\x03\x04", 4) || begins_with(bytes, "\x1f\x8b", 2)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_NOT_CSV",
                       "the file is a workbook or an archive: save it as CSV UTF-8");
    }
    return true;
}

static bool check_line_ends(str bytes, err *e) {
    const char *cr = memchr(bytes.ptr, '\r', bytes.len);
    if (cr != NULL && memchr(bytes.ptr, '\n', bytes.len) == NULL &&
        cr + 1 < bytes.ptr + bytes.len) {
        return err_set(
            e, ERR_INVALID_ARGUMENT, "LINE_ENDS_CR",
            "the lines end with a carriage return only: save the file with LF or CRLF line ends");
    }
    return true;
}

// Refuses a header line that has another separator and no comma.
static bool check_separator(str bytes, err *e) {
    static const struct {
        char c;
        const char *name;
    } OTHERS[] = {{';', "semicolons"}, {'\t', "tabs"}, {'|', "bars"}};
    const char *end = memchr(bytes.ptr, '\n', bytes.len);
    const size_t n = end != NULL ? (size_t)(end - bytes.ptr) : bytes.len;
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        if (memchr(bytes.ptr, ',', n) == NULL && memchr(bytes.ptr, OTHERS[i].c, n) != NULL) {
            return err_set(e, ERR_INVALID_ARGUMENT, "SEPARATOR_UNKNOWN",
                           "the header line is separated by %s: the separator must be a comma",
                           OTHERS[i].name);
        }
    }
    return true;
}

// --- records ---------------------------------------------------------------------------------------------------------------

typedef struct splitter {
    csv_file_on_record on_record;
    void *arg;
    err *e;
    size_t line;                       // line at which the current record begins
    size_t starts[CSV_FILE_CELLS_MAX]; // of each cell in text
    size_t lens[CSV_FILE_CELLS_MAX];
    size_t n_cells;
    strbuf text;    // the cells of the current record, one after another
    bool not_empty; // some cell has content
    bool ended;     // the last line ended a record
    bool failed;
} splitter;

static void on_cell(void *text, size_t len, void *arg) {
    splitter *s = arg;
    if (s->n_cells < CSV_FILE_CELLS_MAX) {
        s->starts[s->n_cells] = s->text.len;
        s->lens[s->n_cells] = len;
        strbuf_add(&s->text, text, len);
    }
    s->not_empty = s->not_empty || len > 0;
    s->n_cells++;
}

static bool too_long(splitter *s) {
    s->failed = true;
    return err_set(s->e, ERR_INVALID_ARGUMENT, "CSV_INVALID",
                   "line %zu: a record of more than %d bytes begins here: is a quote not closed?",
                   s->line, CSV_FILE_RECORD_BYTES_MAX);
}

static void on_end(int terminator, void *arg) {
    splitter *s = arg;
    str cells[CSV_FILE_CELLS_MAX];
    const csv_record record = {.line = s->line, .cells = cells, .n_cells = s->n_cells};
    const size_t kept = s->n_cells < CSV_FILE_CELLS_MAX ? s->n_cells : CSV_FILE_CELLS_MAX;
    (void)terminator;
    for (size_t i = 0; i < kept; i++) {
        cells[i] = (str){s->lens[i] > 0 ? s->text.ptr + s->starts[i] : "", s->lens[i]};
    }
    if (!strbuf_ok(&s->text)) {
        (void)too_long(s);
    } else if (!s->failed && s->not_empty) {
        s->failed = !s->on_record(s->arg, &record, s->e);
    }
    strbuf_clear(&s->text);
    s->n_cells = 0;
    s->not_empty = false;
    s->ended = true;
}

static int is_blank(unsigned char c) {
    return c == ' '; // a tab stays in its cell, and is refused as a control character
}

static int is_line_end(unsigned char c) {
    return c == '\n'; // a lone carriage return stays in its cell, like a tab
}

static bool out_of_place(const splitter *s) {
    return err_set(s->e, ERR_INVALID_ARGUMENT, "CSV_INVALID",
                   "line %zu: a quote is out of place, or not closed", s->line);
}

// Feeds the parser line by line, so that each record knows its line. A quoted cell may span lines.
static bool split(struct csv_parser *parser, splitter *s, str bytes) {
    size_t line = 1, begun_at = 0;
    s->ended = true;
    for (size_t at = 0; at < bytes.len && !s->failed; line++) {
        const char *end = memchr(bytes.ptr + at, '\n', bytes.len - at);
        const size_t next = end != NULL ? (size_t)(end - bytes.ptr) + 1 : bytes.len;
        size_t stop = end != NULL ? next - 1 : next;
        stop -= stop > at && bytes.ptr[stop - 1] == '\r' ? 1 : 0;
        if (s->ended) {
            s->line = line;
            begun_at = at;
        }
        s->ended = false;
        if (next - begun_at > 2 * CSV_FILE_RECORD_BYTES_MAX) {
            return too_long(s);
        }
        if (csv_parse(parser, bytes.ptr + at, stop - at, on_cell, on_end, s) != stop - at ||
            csv_parse(parser, "\n", 1, on_cell, on_end, s) != 1) {
            return s->failed ? false : out_of_place(s);
        }
        at = next;
    }
    if (!s->failed && (!s->ended || csv_fini(parser, on_cell, on_end, s) != 0)) {
        return out_of_place(s);
    }
    return !s->failed;
}

bool csv_file_each(str bytes, csv_file_on_record on_record, void *arg, err *e) {
    splitter s = {.on_record = on_record, .arg = arg, .e = e};
    struct csv_parser parser;
    if (bytes.len == 0) {
        return true;
    }
    if (!check_encoding(bytes, e) || !check_line_ends(bytes, e) || !check_separator(bytes, e)) {
        return false;
    }
    if (begins_with(bytes, "\xef\xbb\xbf", 3)) { // a byte order mark of a spreadsheet
        bytes = (str){bytes.ptr + 3, bytes.len - 3};
    }
    const bool made =
        csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL | CSV_REPALL_NL) == 0;
    ASSERT(made);
    csv_set_space_func(&parser, is_blank);
    csv_set_term_func(&parser, is_line_end);
    strbuf_init(&s.text, CSV_FILE_RECORD_BYTES_MAX);
    const bool ok = split(&parser, &s, bytes);
    strbuf_deinit(&s.text);
    csv_free(&parser);
    return ok;
}

// --- cells -----------------------------------------------------------------------------------------------------------------

// The number of valid UTF-8 bytes at the cell's beginning.
static size_t valid_utf8(str cell) {
    size_t at = 0;
    while (at < cell.len) {
        const unsigned char c = (unsigned char)cell.ptr[at];
        const size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (c != 0 && (n > cell.len - at || !str_is_text(cell.ptr + at, n))) {
            break; // NUL is valid UTF-8; it is reported as a control character
        }
        at += n;
    }
    return at;
}

// U+0000 to U+001F, U+007F, U+0080 to U+009F.
static bool control_at(str cell, size_t at, unsigned *code) {
    const unsigned char c = (unsigned char)cell.ptr[at];
    const unsigned char next = at + 1 < cell.len ? (unsigned char)cell.ptr[at + 1] : 0;
    *code = c == 0xc2 && next >= 0x80 && next < 0xa0 ? next : c;
    return *code < 0x20 || *code == 0x7f || (c == 0xc2 && *code != c);
}

bool csv_file_cell_is_text(str cell, const char *what, err *e) {
    const size_t valid = valid_utf8(cell);
    for (size_t at = 0; at < valid; at++) {
        unsigned code = 0;
        if (control_at(cell, at, &code)) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "CONTROL_CHARACTER", what,
                                 "has a control character, U+%04X, at byte %zu", code, at + 1);
        }
    }
    if (valid < cell.len) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_UTF8", what,
                             "is not UTF-8 text: byte %zu is 0x%02X; save the file as CSV UTF-8",
                             valid + 1, (unsigned char)cell.ptr[valid]);
    }
    return true;
}
