#include "submissions/mask.h"

enum { LINE_LEN = 94, ACCOUNT_AT = 12, ACCOUNT_LEN = 17, SHOWN = 4 };

static bool has_form(const char *bytes, size_t len) {
    if (len == 0 || len % (LINE_LEN + 1) != 0) {
        return false;
    }
    for (size_t at = 0; at < len; at += LINE_LEN + 1) {
        if (bytes[at + LINE_LEN] != '\n' || bytes[at] < '1' || bytes[at] > '9') {
            return false;
        }
    }
    return bytes[0] == '1';
}

bool submission_mask_nacha(char *bytes, size_t len) {
    if (!has_form(bytes, len)) {
        return false;
    }
    for (size_t at = 0; at < len; at += LINE_LEN + 1) {
        char *account = bytes + at + ACCOUNT_AT;
        size_t n = ACCOUNT_LEN;
        while (bytes[at] == '6' && n > 0 && account[n - 1] == ' ') {
            n--;
        }
        for (size_t i = 0; bytes[at] == '6' && i + SHOWN < n; i++) {
            account[i] = account[i] == ' ' ? ' ' : '*';
        }
    }
    return true;
}
