#include "receivables/receivables.h"

#include <string.h>

#include "cases/cases.h"
#include "domain/ids.h"
#include "receivables/receivables_internal.h"
#include "receivables/receivables_sql.h"

#define LEDGER_FLAG(name) LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_##name

str receivable_subject(arena *a, str merchant_id, str currency) {
    const char *text = arena_printf(a, "%.*s/%.*s", (int)merchant_id.len, merchant_id.ptr,
                                    (int)currency.len, currency.ptr);
    return text == NULL ? (str){"", 0} : str_of(text);
}

static bool write_rows(db_conn *c, int64_t book_id, const receivable_note *notes, size_t n,
                       int64_t now_us, arena *a, err *e) {
    str *merchants = ARENA_ARRAY(a, str, 2 * n);
    if (merchants == NULL) {
        return err_no_memory(e, "the request");
    }
    for (size_t i = 0; i < n; i++) {
        merchants[i] = notes[i].merchant_id;
        merchants[n + i] = str_of(notes[i].currency);
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_time(p, now_us);
    db_text_array(p, merchants, n);
    db_text_array(p, merchants + n, n);
    return db_exec(c, receivables_sql(RECEIVABLES_SQL_NOTE), p, a, NULL, NULL, e);
}

bool receivables_note(db_conn *c, int64_t book_id, const receivable_note *notes, size_t n,
                      int64_t now_us, arena *a, err *e) {
    if (n == 0) {
        return true;
    }
    case_new *cases = ARENA_ARRAY(a, case_new, n);
    if (cases == NULL) {
        return err_no_memory(e, "the request");
    }
    for (size_t i = 0; i < n; i++) {
        cases[i] = (case_new){
            .kind = RECEIVABLE_KIND,
            .subject_type = RECEIVABLE_SUBJECT,
            .subject_id = receivable_subject(a, notes[i].merchant_id, str_of(notes[i].currency)),
            .merchant_id = notes[i].merchant_id,
            .code = STR(RECEIVABLE_KIND),
            .text = notes[i].text,
            .amount = notes[i].amount};
        memcpy(cases[i].currency, notes[i].currency, sizeof cases[i].currency);
    }
    return write_rows(c, book_id, notes, n, now_us, a, e) &&
           cases_open(c, book_id, cases, n, now_us, a, e);
}

ledger_transfer receivable_repayment(int64_t book_id, str merchant_id, str currency, uuid id,
                                     int64_t amount) {
    ledger_transfer t = {.id = id,
                         .debit = account_merchant_available(book_id, merchant_id, currency),
                         .credit = account_merchant_receivable(book_id, merchant_id, currency),
                         .amount = amount,
                         .flags = LEDGER_FLAG(BALANCING_DEBIT) | LEDGER_FLAG(BALANCING_CREDIT),
                         .code = TRANSFER_REPAY};
    memcpy(t.currency, currency.ptr,
           currency.len < sizeof t.currency ? currency.len : sizeof t.currency - 1);
    return t;
}
