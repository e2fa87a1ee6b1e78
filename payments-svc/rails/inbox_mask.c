#include "rails/inbox_mask.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

enum {
    RECORD = 94,
    ACCOUNT_AT = 12, // of an entry
    ACCOUNT_LEN = 17,
    CHANGED_AT = 35, // of an addenda that tells corrected data
    CHANGED_LEN = 29,
    SHOWN = 4,
    KEY_MAX = 40 // characters between the word and its value
};

static void hide(char *s, size_t n, size_t shown) {
    while (n > 0 && s[n - 1] == ' ') {
        n--;
    }
    for (size_t i = 0; i + shown < n; i++) {
        s[i] = isalnum((unsigned char)s[i]) != 0 ? '*' : s[i];
    }
}

// One line of a file of records, without its end.
static void mask_record(char *line, size_t n) {
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\r')) {
        n--;
    }
    if (n == 0) {
        return;
    }
    switch (line[0]) {
    case '1':
    case '5':
    case '8':
    case '9': return; // name companies and banks only
    case '6':
        if (n == RECORD) { // it ends in its trace number, so none of it is cut
            hide(line + ACCOUNT_AT, ACCOUNT_LEN, SHOWN);
            return;
        }
        break;
    case '7':
        if (n >= CHANGED_AT + CHANGED_LEN && n <= RECORD) {
            hide(line + CHANGED_AT, CHANGED_LEN, SHOWN);
            return;
        }
        break;
    default: break;
    }
    hide(line + 1, n - 1, 0); // its columns are not where they should be
}

// Values whose key speaks of an account, as in a message or a report.
static void mask_named(char *bytes, size_t len) {
    static const char WORD[] = "account";
    for (size_t i = 0; i + sizeof WORD - 1 <= len; i++) {
        if (strncasecmp(bytes + i, WORD, sizeof WORD - 1) != 0) {
            continue;
        }
        size_t from = i + sizeof WORD - 1;
        for (size_t k = 0; k < KEY_MAX && from < len && strchr(":=", bytes[from]) == NULL; k++) {
            from++;
        }
        size_t to = from;
        while (to < len && strchr(",}\r\n", bytes[to]) == NULL) {
            to++;
        }
        while (to > from && isalnum((unsigned char)bytes[to - 1]) == 0) {
            to--;
        }
        hide(bytes + from, to - from, SHOWN);
        i = to > i ? to - 1 : i;
    }
}

static void mask_records(char *bytes, size_t len) {
    const bool lines = memchr(bytes, '\n', len) != NULL || len < RECORD;
    for (size_t at = 0; at < len;) {
        const char *end = lines ? memchr(bytes + at, '\n', len - at) : NULL;
        const size_t left = len - at;
        const size_t n = end != NULL              ? (size_t)(end - (bytes + at))
                         : lines || left < RECORD ? left
                                                  : RECORD;
        mask_record(bytes + at, n);
        at += n + (end != NULL ? 1 : 0);
    }
}

void inbox_mask(char *bytes, size_t len) {
    const bool text = str_is_text(bytes, len);
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)bytes[i];
        const bool bad =
            c == 0x7f || (c > 0x7f && !text) || (c < 0x20 && strchr("\n\r\t", c) == NULL);
        bytes[i] = bad || c == '\0' ? '?' : bytes[i];
    }
    size_t first = 0;
    while (first < len && isspace((unsigned char)bytes[first]) != 0) {
        first++;
    }
    if (first < len && isdigit((unsigned char)bytes[first]) != 0) {
        mask_records(bytes, len);
    } else {
        mask_named(bytes, len);
    }
}
