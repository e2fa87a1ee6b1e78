// Shared by the halves of payctl report. Private to cli.
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli/cli.h"

enum {
    REPORT_LINES_MAX = 256,
    REPORT_STATES_MAX = 16,
    REPORT_SHOWN_MAX = 50,
    REPORT_BANKS_MAX = 16,
    REPORT_CONNECTIONS_MAX = 64
};

// A bank whose books are read, and the findings there.
typedef struct report_bank {
    const char *address; // host:port
    size_t differences;
    bool transit_empty; // of its connections
} report_bank;

// A connection that the service lists, or that some payout went through.
typedef struct report_connection {
    const char *name;
    const char *bank_account; // label; "" when the connection is switched off
    int bank;                 // index; -1: no address of its bank was given
} report_connection;

// Which bank is behind each connection, and which account there.
typedef struct report_banks {
    report_bank list[REPORT_BANKS_MAX];
    size_t n;
    int all; // index of the bank for connections without a name; -1: none
    report_connection named[REPORT_CONNECTIONS_MAX]; // by the command line
    size_t n_named;
    report_connection known[REPORT_CONNECTIONS_MAX];
    size_t n_known;
} report_banks;

// One connection and currency in each of the three records, in minor units. Payments without a payout have no connection.
typedef struct report_flow {
    const char *connection; // ""
    int bank;               // -1: its bank was not read
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
    report_banks banks;
    bool balanced, transit_empty;
    struct json_t *differences; // as --json has them
    struct json_t *accounts;    // of all books
    struct json_t *trial;       // the trial balance of each book
} report;

// True when nothing differs and nothing is on its way.
bool report_agrees(const report *r);
// --- report_banks.c
// "host:port" for all connections, or "wells=host:port,host:port": the address without a name is for the other connections. In the run's
// arena.
bool report_banks_read(cli *c, const char *list, report_banks *b, err *e) WARN_UNUSED;
// Asks the service for its connections.
bool report_banks_ask(cli *c, report_banks *b, err *e) WARN_UNUSED;
// The connection of this name, added if it is new. NULL with *e when there are too many.
const report_connection *report_connection_of(cli *c, report_banks *b, const char *name, err *e);
// The names of a bank's connections (-1: those without a bank), joined by ", ": only connections that some payout went through. @arena
const char *report_connections_text(const report *r, int bank);
// True when nothing differs at the bank and nothing is on its way.
bool report_bank_agrees(const report_bank *b);
// True when every payout was compared with a bank.
bool report_all_compared(const report *r);
void report_print_text(report *r);
void report_print_json(const report *r);

#endif
