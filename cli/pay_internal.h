// Shared by the parts of payctl pay. Private to cli.
#ifndef CLI_PAY_INTERNAL_H
#define CLI_PAY_INTERNAL_H

#include "base/map.h"
#include "cli/cli.h"
#include "cli/pay_file.h"
#include "payments/v1/payout_service.pb-c.h"

enum { PAY_STATES = 11 };

// A row on its way. Strings belong to the file or to the run's arena.
typedef struct sent {
    const payout_row *row;
    const char *payout_id;
    // Why the service refused the row: in words, by name, and the field at fault ("" when there is none).
    const char *error, *error_reason, *error_field;
    int state;
    const char *reason, *reason_text;
    bool earlier; // accepted by an earlier run
} sent;

typedef struct payment {
    cli *c;
    payout_file file;
    sent *rows; // of the file, by merchant and line
    size_t n_refused, n_earlier;
    int64_t started_us;
    bool was_sent;  // rows were given to the service to be paid
    map *by_payout; // payout id → sent
    progress bar;
    const char *told_pause; // the last one that was told; NULL: none
    size_t by_state[PAY_STATES];
} payment;

// --- pay_send.c --------------------------------------------------------------------------------------------------------
// Asks the service what it would answer to each row. A row that it would refuse becomes a bad line of the file. False: the service could
// not be asked.
bool pay_check(payment *p, err *e) WARN_UNUSED;
// Registers the recipients of all rows and sends the payouts. False: stopped half way.
bool pay_send(payment *p, err *e) WARN_UNUSED;
// A payout as the service says that it stands. Copies texts.
void pay_note_state(payment *p, sent *s, const Payments__V1__Payout *payout);

// --- pay_report.c ------------------------------------------------------------------------------------------------------
void pay_report_text(payment *p, bool waited);
void pay_report_json(payment *p);

#endif
