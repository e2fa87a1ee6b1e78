// Shows the fields that the parsers read, at their own place and in their own form. Hides the digits of everything else, because an account
// number may be anywhere.
#include "rails/inbox_mask.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"
#include "formats/nacha/nacha_inbound.h"

enum {
    SHOWN = 4,     // the last characters of an account
    RUN_MIN = 5,   // a run of at least so many digits may be an account number
    RUN_LONG = 8,  // of a run of at least so many, the last digits may be shown
    DATE_LEN = 10, // 2026-11-30
    TIME_LEN = 8,
    ZONE_LEN = 6,
    BETWEEN_MAX = 3, // bytes between two groups of a number
    FIELDS_MAX = 5,  // per line of a report
    AMOUNT_MAX = 10,
    FILE_NAME_MAX = 95,
    DEPTH_MAX = 16,
    VALUE_MAX = 200
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool all_digits(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s[i])) {
            return false;
        }
    }
    return n > 0;
}

// Hides all but the last characters that are not blank.
static void hide(char *s, size_t n, size_t shown) {
    while (n > 0 && s[n - 1] == ' ') {
        n--;
    }
    for (size_t i = 0; i + shown < n; i++) {
        s[i] = isalnum((unsigned char)s[i]) != 0 ? '*' : s[i];
    }
}

// --- Text of any form ------------------------------------------------------------------------------------------------

static bool is_date(const char *s, size_t n) {
    return n >= DATE_LEN && all_digits(s, 4) && s[4] == '-' && all_digits(s + 5, 2) &&
           s[7] == '-' && all_digits(s + 8, 2) && (s[5] == '0' || s[5] == '1') && s[8] <= '3' &&
           (n == DATE_LEN || !is_digit(s[DATE_LEN]));
}

// A text, perhaps inside a JSON string: then an escape is one sign, however it is written.
typedef struct words {
    const char *s;
    size_t n;
    bool json;
} words;

// The value of four hexadecimal digits; -1: not hexadecimal.
static int hex_value(const char *s) {
    int value = 0;
    for (size_t k = 0; k < 4; k++) {
        const char *const hex = "00112233445566778899aAbBcCdDeEfF";
        const char *const found = s[k] == '\0' ? NULL : strchr(hex, s[k]);
        value = found == NULL || value < 0 ? -1 : value * 16 + (int)(found - hex) / 2;
    }
    return value;
}

// The length of the escape that begins here; 0: none. *letter: it stands for a letter. Several backslashes may be an escape that was
// escaped again. Digits belong to the escape only if no digit follows: otherwise they may begin a number.
static size_t escape_len(const words *w, size_t at, bool *letter) {
    size_t i = at;
    *letter = false;
    while (w->json && i < w->n && w->s[i] == '\\') {
        i++;
    }
    const size_t slashes = i - at;
    if (slashes == 0 || i == w->n || w->s[i] == '\0' || strchr("\"/bfnrtu", w->s[i]) == NULL) {
        return slashes;
    }
    const int value = w->s[i] == 'u' && w->n - i > 4 ? hex_value(w->s + i + 1) : -1;
    if (value < 0 || (w->n - i > 5 && is_digit(w->s[i + 5]))) {
        return slashes + 1;
    }
    *letter = value < 128 && isalpha(value) != 0;
    return slashes + 5;
}

// People write numbers in groups. Returns where the next group begins, if at most a few signs other than letters and digits are between; 0:
// not on this line.
static size_t next_group(const words *w, size_t at) {
    const char *const s = w->s;
    size_t i = at;
    for (int between = 0; i < w->n && between <= BETWEEN_MAX; between++) {
        bool letter = false;
        const size_t escape = escape_len(w, i, &letter);
        if (escape == 0 && is_digit(s[i])) {
            return i;
        }
        if (letter ||
            (escape == 0 && (isalpha((unsigned char)s[i]) != 0 || s[i] == '\n' || s[i] == '\r'))) {
            return 0;
        }
        i += escape == 0 ? 1 : escape;
    }
    return 0;
}

static size_t count_digits(const char *s, size_t n) {
    size_t i = 0;
    while (i < n && is_digit(s[i])) {
        i++;
    }
    return i;
}

// 1000.00, 12,500, 1,234,567.89. Returns its length; 0: no amount.
static size_t amount_len(const char *s, size_t n) {
    const size_t whole = count_digits(s, n);
    size_t end = whole, groups = 0;
    while (whole <= 3 && end < n && s[end] == ',' && count_digits(s + end + 1, n - end - 1) == 3) {
        end += 4;
        groups++;
    }
    const bool cents = end < n && s[end] == '.' && count_digits(s + end + 1, n - end - 1) == 2;
    const bool fits = cents ? whole <= 4 && groups <= 2 : groups == 1;
    return fits && (s[0] != '0' || end == 1) ? end + (cents ? 3 : 0) : 0;
}

// 10:15:59, 10:15:59.25, 10:15:59+05:30
static size_t time_len(const char *s, size_t n) {
    const bool is = n >= TIME_LEN && all_digits(s, 2) && s[2] == ':' && all_digits(s + 3, 2) &&
                    s[5] == ':' && all_digits(s + 6, 2) && s[0] <= '2' && s[3] <= '5' &&
                    s[6] <= '5';
    size_t len = TIME_LEN;
    if (!is || count_digits(s + len, n - len) > 0) {
        return 0;
    }
    const size_t parts = len < n && s[len] == '.' ? count_digits(s + len + 1, n - len - 1) : 0;
    len += parts > 0 && parts <= 6 ? parts + 1 : 0;
    const bool zone = n - len >= ZONE_LEN && (s[len] == '+' || s[len] == '-') &&
                      all_digits(s + len + 1, 2) && s[len + 3] == ':' &&
                      count_digits(s + len + 4, n - len - 4) == 2;
    return len + (zone ? ZONE_LEN : 0);
}

// The end of groups that cannot be an account number: a date, or only amounts and times. `at`: the beginning of a possible one.
static size_t harmless_end(const words *w, size_t at) {
    const char *const s = w->s;
    const size_t n = w->n;
    for (size_t i = at;;) {
        if (is_date(s + i, n - i)) {
            return i + DATE_LEN;
        }
        const size_t amount = amount_len(s + i, n - i);
        const size_t len = amount > 0 ? amount : time_len(s + i, n - i);
        const size_t next = len == 0 ? 0 : next_group(w, i + len);
        if (next == 0) {
            return len == 0 ? at : i + len;
        }
        i = next;
    }
}

// The end of the groups that begin here.
static size_t run_end(const words *w, size_t at, size_t *digits) {
    *digits = 0;
    for (;;) {
        const size_t len = count_digits(w->s + at, w->n - at);
        *digits += len;
        const size_t next = next_group(w, at + len);
        if (next == 0) {
            return at + len;
        }
        at = next;
    }
}

static void hide_digits(char *s, size_t n, bool json) {
    const words w = {s, n, json};
    for (size_t i = 0; i < n;) {
        bool letter = false;
        const size_t escape = escape_len(&w, i, &letter);
        if (escape > 0 || !is_digit(s[i])) {
            i += escape > 0 ? escape : 1;
            continue;
        }
        const size_t harmless = harmless_end(&w, i);
        if (harmless > i) {
            i = harmless;
            continue;
        }
        size_t digits = 0;
        const size_t end = run_end(&w, i, &digits);
        size_t hidden = digits < RUN_MIN ? 0 : digits < RUN_LONG ? digits : digits - SHOWN;
        while (i < end) {
            const size_t skipped = escape_len(&w, i, &letter);
            if (skipped == 0 && hidden > 0 && is_digit(s[i])) {
                s[i] = '*';
                hidden--;
            }
            i += skipped > 0 ? skipped : 1;
        }
    }
}

void inbox_hide_digits(char *text, size_t len) {
    hide_digits(text, len, false);
}

// --- Files of records ------------------------------------------------------------------------------------------------

// A field by position, from 1. A record is shown by fields when all digit fields have only digits.
typedef struct place {
    char type; // of the record
    size_t column, width;
    bool digits; // false: any characters
} place;

static const place PLACES[] = {
    {'1', 2, 2, true},   {'1', 4, 10, false},  {'1', 14, 10, false}, {'1', 24, 6, true},
    {'1', 35, 3, true},  {'5', 2, 3, true},    {'5', 41, 10, false}, {'5', 80, 8, true},
    {'5', 88, 7, true},  {'6', 2, 2, true},    {'6', 4, 8, true},    {'6', 30, 10, true},
    {'6', 80, 15, true}, {'6', 40, 15, false}, {'8', 2, 3, true},    {'8', 5, 6, true},
    {'8', 11, 10, true}, {'8', 21, 12, true},  {'8', 33, 12, true},  {'8', 45, 10, false},
    {'8', 80, 8, true},  {'8', 88, 7, true},   {'9', 2, 6, true},    {'9', 8, 6, true},
    {'9', 14, 8, true},  {'9', 22, 10, true},  {'9', 32, 12, true},  {'9', 44, 12, true},
    {'7', 5, 2, true},   {'7', 7, 15, true},   {'7', 28, 8, true},   {'7', 80, 15, true},
};
enum { N_PLACES = sizeof PLACES / sizeof PLACES[0] };

static bool is_at_its_place(const place *f, const char *record, size_t n) {
    const size_t begin = f->column - 1;
    return begin + f->width <= n && (!f->digits || all_digits(record + begin, f->width));
}

// In a file's header the banks' names are numbers with blanks only.
static bool is_header(const char *record) {
    for (size_t i = 3; i < 23; i++) {
        if (!is_digit(record[i]) && record[i] != ' ') {
            return false;
        }
    }
    return true;
}

static bool has_form(const char *record, size_t n) {
    bool known = false;
    for (size_t i = 0; i < N_PLACES; i++) {
        if (PLACES[i].type == record[0]) {
            known = true;
            if (!is_at_its_place(&PLACES[i], record, n)) {
                return false;
            }
        }
    }
    return known && (record[0] != '1' || is_header(record)) &&
           (record[0] != '7' || memcmp(record + 1, "98", 2) == 0 ||
            memcmp(record + 1, "99", 2) == 0);
}

// Masks one record without its trailing blanks.
static void mask_record(char *record, size_t n) {
    bool shown[NACHA_LINE_LEN] = {false};
    if (n == 0 || !has_form(record, n)) {
        inbox_hide_digits(record, n);
        return;
    }
    for (size_t i = 0; i < N_PLACES; i++) {
        if (PLACES[i].type == record[0]) {
            memset(shown + PLACES[i].column - 1, 1, PLACES[i].width);
        }
    }
    if (record[0] == '6') {
        hide(record + 12, NACHA_ACCOUNT_LEN, SHOWN);
        memset(shown + 12, 1, NACHA_ACCOUNT_LEN);
    } else if (record[0] == '7' && record[2] == '8') {
        hide(record + 35, 29, SHOWN); // corrected data, which may be an account
        memset(shown + 35, 1, 29);
    }
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && shown[end] == shown[i]) {
            end++;
        }
        if (!shown[i]) {
            inbox_hide_digits(record + i, end - i);
        }
        i = end;
    }
}

static void mask_records(char *bytes, size_t len) {
    str record;
    for (size_t at = 0; nacha_inbound_record((str){bytes, len}, &at, &record);) {
        if (record.len > 0) {
            mask_record(bytes + (record.ptr - bytes), record.len);
        }
    }
}

// --- Lines of a report -----------------------------------------------------------------------------------------------

typedef struct csv_field {
    char *at;
    size_t len;
} csv_field;

static size_t split(char *line, size_t n, csv_field fields[FIELDS_MAX]) {
    size_t count = 0;
    for (size_t begin = 0, i = 0; i <= n; i++) {
        if (i == n || line[i] == ',') {
            if (count == FIELDS_MAX) {
                return 0; // more than any line has
            }
            fields[count++] = (csv_field){line + begin, i - begin};
            begin = i + 1;
        }
    }
    return count;
}

// H,<file>,<number>,<time>  D,<trace>,<amount>,<word>,<time>  T,<count>,<sum>
static bool is_shown(char type, size_t n, size_t i, const csv_field *f) {
    const bool digits = all_digits(f->at, f->len);
    switch (type) {
    case 'H': return n == 4 && ((i == 1 && f->len <= FILE_NAME_MAX) || (i == 2 && digits));
    case 'D':
        return n == 5 && digits &&
               ((i == 1 && f->len == NACHA_TRACE_LEN) || (i == 2 && f->len <= AMOUNT_MAX));
    case 'T': return n == 3 && digits;
    default: return false;
    }
}

static void mask_line(char *line, size_t n) {
    csv_field fields[FIELDS_MAX];
    const size_t count = split(line, n, fields);
    const char type = count > 0 && fields[0].len == 1 ? line[0] : ' ';
    if (count == 0) {
        inbox_hide_digits(line, n);
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_shown(type, count, i, &fields[i])) {
            inbox_hide_digits(fields[i].at, fields[i].len);
        }
    }
}

static void mask_lines(char *bytes, size_t len) {
    for (size_t at = 0; at < len;) {
        const char *end = memchr(bytes + at, '\n', len - at);
        const size_t n = end != NULL ? (size_t)(end - (bytes + at)) : len - at;
        size_t line = n;
        while (line > 0 && (bytes[at + line - 1] == '\r' || bytes[at + line - 1] == ' ')) {
            line--;
        }
        mask_line(bytes + at, line);
        at += n + 1;
    }
}

// --- Messages --------------------------------------------------------------------------------------------------------

// Members that the parsers read in an acknowledgement, a message or an answer, and that cannot be an account.
static const char *const MEMBERS[] = {
    "file", "status",     "at",        "entries", "total",    "id",
    "type", "timestamp",  "reference", "amount",  "currency", "returned_amount",
    "key",  "payment_id", "retriable",
};

typedef struct json {
    char *bytes;
    size_t len, at;
    bool read[DEPTH_MAX]; // for each open object: the parsers read it
    size_t depth;
    str key; // of the coming value
} json;

static bool is_member(str key) {
    for (size_t i = 0; i < sizeof MEMBERS / sizeof MEMBERS[0]; i++) {
        if (str_eq_c(key, MEMBERS[i])) {
            return true;
        }
    }
    return false;
}

static bool is_value_shown(const json *j, size_t len) {
    return j->depth >= 1 && j->depth <= DEPTH_MAX && j->read[j->depth - 1] && len <= VALUE_MAX &&
           is_member(j->key);
}

static void open_object(json *j, char c) {
    const bool read =
        c == '{' && (j->depth == 0 || (j->depth == 1 && j->read[0] && str_eq_c(j->key, "data")));
    if (j->depth < DEPTH_MAX) {
        j->read[j->depth] = read;
    }
    j->depth++;
    j->key = (str){0};
}

// A digit may be written as an escape: then none of the text is shown.
static void hide_string(char *s, size_t n) {
    for (size_t i = 0; i + 5 <= n; i++) {
        if (memcmp(s + i, "\\u003", 5) == 0) {
            hide(s, n, 0);
            return;
        }
    }
    hide_digits(s, n, true);
}

// Masks the string that begins at `at`: a key if a colon follows, else a value.
static void mask_string(json *j) {
    const size_t begin = j->at + 1;
    size_t end = begin;
    while (end < j->len && j->bytes[end] != '"') {
        end += j->bytes[end] == '\\' ? 2 : 1;
    }
    const bool ends = end < j->len;
    end = ends ? end : j->len;
    size_t next = end + 1;
    while (next < j->len && isspace((unsigned char)j->bytes[next]) != 0) {
        next++;
    }
    if (ends && next < j->len && j->bytes[next] == ':') {
        const str key = {j->bytes + begin, end - begin};
        if (!is_member(key)) {
            hide_string(j->bytes + begin, end - begin);
        }
        j->key = key;
        j->at = next + 1;
        return;
    }
    if (!ends || !is_value_shown(j, end - begin)) {
        hide_string(j->bytes + begin, end - begin);
    }
    j->key = (str){0};
    j->at = next < j->len ? next : j->len;
}

// An amount as it may be written: 1000, 1000.5 or 1000.50.
static bool is_number(const char *s, size_t n) {
    const size_t whole = count_digits(s, n);
    return whole == n ? n > 0
                      : whole > 0 && s[whole] == '.' && n - whole <= 3 &&
                            all_digits(s + whole + 1, n - whole - 1);
}

// Masks a number, a word, or anything else, up to the next mark.
static void mask_token(json *j) {
    size_t end = j->at;
    while (end < j->len && strchr("{}[],:\"\n", j->bytes[end]) == NULL) {
        end++;
    }
    size_t trimmed = end;
    while (trimmed > j->at && isspace((unsigned char)j->bytes[trimmed - 1]) != 0) {
        trimmed--;
    }
    const bool number = is_number(j->bytes + j->at, trimmed - j->at);
    if (!number || !is_value_shown(j, trimmed - j->at)) {
        inbox_hide_digits(j->bytes + j->at, end - j->at);
    }
    j->key = (str){0};
    j->at = end;
}

static void mask_json(char *bytes, size_t len) {
    json j = {.bytes = bytes, .len = len};
    while (j.at < len) {
        const char c = bytes[j.at];
        if (c == '"') {
            mask_string(&j);
        } else if (c == '{' || c == '[') {
            open_object(&j, c);
            j.at++;
        } else if (c == '}' || c == ']') {
            j.depth -= j.depth > 0 ? 1 : 0;
            j.key = (str){0};
            j.at++;
        } else if (isspace((unsigned char)c) != 0 || c == ',' || c == ':') {
            j.at++;
        } else {
            mask_token(&j);
        }
    }
}

// --- The kind of bytes ------------------------------------------------------------------------------------------------

static void make_readable(char *bytes, size_t from, size_t len, bool text) {
    for (size_t i = from; i < len; i++) {
        const unsigned char c = (unsigned char)bytes[i];
        const bool bad =
            c == 0x7f || (c > 0x7f && !text) || (c < 0x20 && strchr("\n\r\t", c) == NULL);
        bytes[i] = bad || c == '\0' ? '?' : bytes[i];
    }
}

void inbox_mask(char *bytes, size_t len) {
    const bool mark = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0;
    const bool text = str_is_text(bytes, len);
    size_t first = mark ? 3 : 0;
    make_readable(bytes, first, len, text);
    while (first < len && isspace((unsigned char)bytes[first]) != 0) {
        first++;
    }
    const char c = first < len ? bytes[first] : '\0';
    const char after = first + 1 < len ? bytes[first + 1] : '\0';
    // A line that was set aside begins with its kind: an entry, or a record of a report.
    if (c == '{') {
        mask_json(bytes + first, len - first);
    } else if ((c == 'H' || c == 'D' || c == 'T') && after == ',') {
        mask_lines(bytes + first, len - first);
    } else if (c == '6' || nacha_looks_like((str){bytes, len})) {
        mask_records(bytes, len);
    } else {
        inbox_hide_digits(bytes, len);
    }
    if (mark && !text) {
        memset(bytes, '?', 3);
    }
}
