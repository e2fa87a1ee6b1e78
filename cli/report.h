// payctl report: what its two halves share. Private to cli.
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli/cli.h"

enum { REPORT_LINES_MAX = 64, REPORT_STATES_MAX = 16, REPORT_SHOWN_MAX = 50 };

// One rail and currency, as each of the three records has it, minor units.
typedef struct report_flow {
    int rail;
    char currency[4];
    int64_t settled, settled_n;       // ours: payouts that are SETTLED
    int64_t ledger;                   // paid by the bank account, less what came back
    int64_t bank_paid, bank_returned; // the bank: credited to recipients, and returned
} report_flow;

// Ours: payouts of one state and currency.
typedef struct report_state {
    int state;
    char currency[4];
    int64_t n, sum;
} report_state;

typedef struct report {
    cli *c;
    int64_t n_payouts;
    report_flow flows[REPORT_LINES_MAX];
    size_t n_flows;
    report_state states[REPORT_LINES_MAX * REPORT_STATES_MAX];
    size_t n_states;
    bool balanced, transit_empty;
    struct json_t *differences; // as --json has them
    struct json_t *accounts;    // of all books
    struct json_t *trial;       // the trial balance of each book
} report;

// True when nothing differs, and nothing is on its way.
bool report_agrees(const report *r);
void report_print_text(report *r);
void report_print_json(const report *r);

#endif
