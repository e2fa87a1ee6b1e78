#include <string.h>

#include "books/books_internal.h"

static const char *rail_name(int64_t rail) {
    return rail == BOOKS_RAIL_ACH ? "ach" : "instant";
}

static void add_string(strbuf *out, const char *key, sqlite3_stmt *s, int column) {
    strbuf_printf(out, ",\"%s\":", key);
    strbuf_add_json(out, column_str(s, column));
}

static bool finished(const strbuf *out, err *e) {
    if (err_is_set(e)) {
        return false;
    }
    return strbuf_ok(out) ||
           err_set(e, ERR_RESOURCE_EXHAUSTED, "REPORT_TOO_LARGE", "ask for less with limit");
}

static bool add_money(books_tx *tx, strbuf *out, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_REPORT_MONEY, e);
    bool row = s != NULL;
    strbuf_add_c(out, "{\"by_currency\":[");
    for (int i = 0; s != NULL && books_step(tx, s, &row, e) && row; i++) {
        int64_t credited = sqlite3_column_int64(s, 3), returned = sqlite3_column_int64(s, 5);
        strbuf_printf(out, "%s{\"rail\":\"%s\"", i > 0 ? "," : "",
                      rail_name(sqlite3_column_int64(s, 1)));
        add_string(out, "currency", s, 0);
        strbuf_printf(out,
                      ",\"credited_count\":%lld,\"credited_sum\":%lld,\"returned_count\":%lld,"
                      "\"returned_sum\":%lld",
                      (long long)sqlite3_column_int64(s, 2), (long long)credited,
                      (long long)sqlite3_column_int64(s, 4), (long long)returned);
        strbuf_printf(out, ",\"net_sum\":%lld}", (long long)(credited - returned));
    }
    strbuf_add_char(out, ']');
    return !err_is_set(e);
}

bool books_report(books_tx *tx, strbuf *out, err *e) {
    static const char *const NAMES[] = {"ach_files_accepted",
                                        "ach_files_rejected",
                                        "ach_entries",
                                        "ach_entries_unsettled",
                                        "ach_entries_returned_unsettled",
                                        "outputs_waiting",
                                        "instant_payments",
                                        "instant_unsettled",
                                        "instant_refused",
                                        "webhooks_waiting",
                                        "webhooks_delivered",
                                        "webhooks_given_up",
                                        "ach_entries_refused"};
    if (!add_money(tx, out, e)) {
        return false;
    }
    sqlite3_stmt *s = books_stmt(tx, S_REPORT_COUNTS, e);
    bool row = false;
    if (s == NULL || !books_step(tx, s, &row, e) || !row) {
        return false;
    }
    for (int i = 0; i < (int)(sizeof(NAMES) / sizeof(NAMES[0])); i++) {
        strbuf_printf(out, ",\"%s\":%lld", NAMES[i], (long long)sqlite3_column_int64(s, i));
    }
    (void)sqlite3_reset(s);
    strbuf_add_char(out, '}');
    return finished(out, e);
}

// Adds the order's creditor. Older books have no row for it, and give "".
static void add_creditor(strbuf *out, sqlite3_stmt *s, bool ach) {
    add_string(out, "who", s, 14);
    add_string(out, "account_type", s, 15);
    add_string(out, "description", s, 20);
    if (ach) {
        add_string(out, "sec", s, 16);
        add_string(out, "company_id", s, 17);
        add_string(out, "company_name", s, 18);
        add_string(out, "effective", s, 19);
    }
}

bool books_report_payments(books_tx *tx, const books_query *q, strbuf *out, err *e) {
    sqlite3_stmt *s =
        books_stmt(tx, q->payout.len > 0 ? S_REPORT_PAYMENTS_PAYOUT : S_REPORT_PAYMENTS, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, q->rail);
    bind_i64(s, 2, q->after);
    bind_i64(s, 3, q->limit);
    if (q->payout.len > 0) {
        bind_str(s, 4, q->payout);
    }
    bool row = true;
    strbuf_add_char(out, '[');
    for (int i = 0; books_step(tx, s, &row, e) && row; i++) {
        bool ach = sqlite3_column_int64(s, 0) == BOOKS_RAIL_ACH;
        strbuf_printf(out, "%s{\"rail\":\"%s\",\"id\":%lld", i > 0 ? ",\n" : "",
                      ach ? "ach" : "instant", (long long)sqlite3_column_int64(s, 1));
        add_string(out, "key_or_trace", s, 2);
        add_string(out, "payout", s, 3);
        strbuf_printf(out, ",\"amount\":%lld", (long long)sqlite3_column_int64(s, 4));
        add_string(out, "currency", s, 5);
        strbuf_printf(out, ",\"times_credited\":%lld,\"times_returned\":%lld",
                      (long long)sqlite3_column_int64(s, 10),
                      (long long)sqlite3_column_int64(s, 11));
        strbuf_printf(out, ",\"credited_sum\":%lld,\"returned_sum\":%lld",
                      (long long)sqlite3_column_int64(s, 12),
                      (long long)sqlite3_column_int64(s, 13));
        add_string(out, "status", s, 6);
        add_creditor(out, s, ach);
        if (ach) {
            add_string(out, "origin", s, 7);
            add_string(out, "date", s, 8);
        }
        add_string(out, ach ? "file" : "payment_id", s, 9);
        strbuf_add_char(out, '}');
    }
    strbuf_add_char(out, ']');
    return finished(out, e);
}

bool books_report_duplicates(books_tx *tx, bool ach_by_trace, strbuf *out, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_REPORT_DUPLICATES, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, ach_by_trace ? 1 : 0);
    bool row = true;
    strbuf_add_char(out, '[');
    for (int i = 0; books_step(tx, s, &row, e) && row; i++) {
        strbuf_printf(out, "%s{\"rail\":\"%s\"", i > 0 ? ",\n" : "",
                      rail_name(sqlite3_column_int64(s, 0)));
        add_string(out, "payout", s, 1);
        add_string(out, "origin", s, 2);
        strbuf_printf(out, ",\"times_credited\":%lld,\"times_returned\":%lld}",
                      (long long)sqlite3_column_int64(s, 3), (long long)sqlite3_column_int64(s, 4));
    }
    strbuf_add_char(out, ']');
    return finished(out, e);
}

bool books_report_files(books_tx *tx, strbuf *out, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_REPORT_FILES, e);
    if (s == NULL) {
        return false;
    }
    bool row = true;
    strbuf_add_char(out, '[');
    for (int i = 0; books_step(tx, s, &row, e) && row; i++) {
        bool accepted = sqlite3_column_int(s, 1) != 0;
        strbuf_printf(out, "%s{\"status\":\"%s\"", i > 0 ? ",\n" : "",
                      accepted ? "accepted" : "rejected");
        add_string(out, "file", s, 0);
        add_string(out, "reason", s, 2);
        strbuf_printf(out, ",\"entries\":%lld,\"total\":%lld,\"settled\":%s,\"archived\":%s}",
                      (long long)sqlite3_column_int64(s, 3), (long long)sqlite3_column_int64(s, 4),
                      accepted && sqlite3_column_int(s, 5) != 0 ? "true" : "false",
                      sqlite3_column_int(s, 6) != 0 ? "true" : "false");
    }
    strbuf_add_char(out, ']');
    return finished(out, e);
}
