// payctl: what its commands share.
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "rpc/rpc.h"

// Exit codes, as --help documents them.
enum {
    EXIT_DONE = 0,        // all is well: every payout of the file is settled, every figure agrees
    EXIT_NOT_SETTLED = 1, // it was carried out, but not all payouts are settled, or figures differ
    EXIT_USAGE = 2,       // wrong command line, or a file with bad lines: nothing was sent
    EXIT_SERVICE = 3,     // a service could not be reached, or refused the call: see the message
    EXIT_REFUSED = 4,     // some rows were refused by the service; the others were taken
    EXIT_OUTPUT = 5       // carried out, but stdout could not be written: full disk, closed pipe
};

enum { CLI_CALL_TIMEOUT_MS = 30000, CLI_ARENA_MAX = 512u << 20 };

typedef struct cli {
    const char *payments, *ledger, *bank; // targets; bank: admin addresses, only for `report`
    const char *ca_file, *cert_file, *key_file, *server_name;
    bool insecure, json, progress;
    rpc_client *payments_client, *ledger_client; // made on first use
    arena *arena;                                // of the whole run
} cli;

// A command. Each is declared here, defined in the file of its group, and named once in main.c's table.
typedef struct cli_command {
    const char *name;
    const char *usage;   // what follows the name: "FILE.csv [--check]"
    const char *summary; // a line of `payctl --help`
    const char *help; // the rest of `payctl NAME --help`: options, the form of --json, exit codes
    int (*run)(cli *c, int argc, char **argv); // argv[0] is the name; returns the exit code
} cli_command;

extern const cli_command COMMAND_AUDIT;                                             // audit.c
extern const cli_command COMMAND_AWAIT;                                             // await.c
extern const cli_command COMMAND_BALANCE;                                           // balance.c
extern const cli_command COMMAND_CANCEL;                                            // cancel.c
extern const cli_command COMMAND_CASES, COMMAND_CASE;                               // cases.c
extern const cli_command COMMAND_CAPABILITIES;                                      // connections.c
extern const cli_command COMMAND_CONNECTIONS, COMMAND_CONNECTION, COMMAND_RECOVERY; // connections.c
extern const cli_command COMMAND_DEPOSITS;                                          // deposits.c
extern const cli_command COMMAND_FEED;                                              // feed.c
extern const cli_command COMMAND_IMPORT, COMMAND_IMPORTS, COMMAND_IMPORT_RESULT;    // imports.c
extern const cli_command COMMAND_INBOX;                                             // inbox.c
extern const cli_command COMMAND_KEYS;                                              // keys.c
extern const cli_command COMMAND_MERCHANTS;                                         // merchants.c
extern const cli_command COMMAND_PAY;                                               // pay.c
extern const cli_command COMMAND_PAYOUT, COMMAND_PAYOUTS, COMMAND_WATCH;            // payouts.c
extern const cli_command COMMAND_PROVE;                                             // prove.c
extern const cli_command COMMAND_RECIPIENTS;                                        // recipients.c
extern const cli_command COMMAND_REPORT;                                            // report.c
extern const cli_command COMMAND_SUBMISSIONS, COMMAND_SUBMISSION;                   // submissions.c
extern const cli_command COMMAND_WHOAMI;                                            // whoami.c

// --- cases.c -----------------------------------------------------------------------------------------------------------
// One line for each open case of the payout; nothing when there is none, or when the service does not know cases.
void cli_print_cases_of_payout(cli *c, const char *merchant, const char *payout_id);
// The same of a submission.
void cli_print_cases_of_submission(cli *c, int64_t book, const char *submission_id);
// The login name of the person: the user who called sudo, else the user of the process. "unknown" when the user has no name. Static.
const char *cli_login_name(void);

// --- whoami.c ----------------------------------------------------------------------------------------------------------
// Who gives an order: the given name, or without one (NULL) the person that the service knows us as, or else the login name. @arena
const char *cli_person(cli *c, const char *given);

// --- inbox.c -----------------------------------------------------------------------------------------------------------
// The book in which an item of the inbox is: messages are in the book that they are about, files in book 0, whatever book a case about
// one of their lines is in.
int64_t cli_inbox_book(cli *c, int64_t about, const char *inbox_id);

// --- connections.c -----------------------------------------------------------------------------------------------------
struct Payments__V1__Pause;
// What it stops, since when, by whom, why, and how it is lifted, after "waits": two lines. @arena
const char *cli_pause_text(cli *c, const struct Payments__V1__Pause *p);

// --- submissions.c -----------------------------------------------------------------------------------------------------
// One line for each call of the payout; nothing when it leaves in files, or when the service does not tell of calls.
void cli_print_calls_of_payout(cli *c, const char *merchant, const char *payout_id);
// A line for the submission that a payout is in, and its open cases.
void cli_print_submission_of_payout(cli *c, const char *submission_id);

// --- connect.c ---------------------------------------------------------------------------------------------------------
// "CreatePayout" of "payments.v1.PayoutService"; the service decides which process is asked.
bool cli_call(cli *c, const char *service, const char *method, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *response_type, ProtobufCMessage **response,
              err *e) WARN_UNUSED;
// The same with the answer in an arena of the caller's.
bool cli_call_into(cli *c, const char *service, const char *method, const ProtobufCMessage *request,
                   const ProtobufCMessageDescriptor *response_type, arena *a,
                   ProtobufCMessage **response, err *e) WARN_UNUSED;
bool cli_stream(cli *c, const char *service, const char *method, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *response_type, int64_t timeout_ms,
                rpc_on_message on_message, void *arg, err *e) WARN_UNUSED;
void cli_disconnect(cli *c);
// GET of a simulator bank's admin address. *body is in a.
bool cli_bank_get(const char *address, const char *path, arena *a, str *body, err *e) WARN_UNUSED;

// --- out.c -------------------------------------------------------------------------------------------------------------
// The one way of text to a terminal: much of it was written by banks and clients, so what would steer the terminal becomes '?' (line
// ends and tabs stay). JSON goes out by pb_json, which escapes.
void cli_print(FILE *to, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Says in plain words on stderr what went wrong, and returns the exit code that fits.
int cli_failed(const cli *c, const char *doing, const err *e);
// prints "payctl: …" and how to get help; returns EXIT_USAGE
int cli_usage(const char *fmt, ...) PRINTF_LIKE(1, 2);
// The value of an option is not one of those that it takes: names the option (of getopt_long, the one that opt stands for) and what it
// takes, the names of the enum, or, with NULL for it, the text. Returns EXIT_USAGE.
struct option;
int cli_bad_value(const struct option *options, int opt, const char *value,
                  const ProtobufCEnumDescriptor *d, const char *takes);
// False once stdout could not be written: whoever prints for long asks, and ends.
bool cli_output_ok(void);
// The end of the program: all that was printed is written now, or the exit code says that it is not.
int cli_close_output(int code);
// "1,234.50 USD". @arena
const char *cli_money(cli *c, int64_t minor, const char *currency);
// The same of a decimal integer that may pass an int64.
const char *cli_money_text(cli *c, const char *minor, const char *currency);
const char *cli_time(cli *c, int64_t seconds, int32_t nanos); // local time, to the second
// MERCHANT/UUID
bool cli_split_id(cli *c, const char *text, const char **merchant, const char **id);

// On stderr, and not with --json: a bar where that is a terminal, and elsewhere a line now and then if --progress was given.
typedef struct progress {
    const char *label;
    size_t total, done;
    bool terminal, quiet;
    int64_t last_us;
} progress;
void progress_begin(progress *p, const cli *c, const char *label, size_t total);
void progress_set(progress *p, size_t done, const char *note);
void progress_end(progress *p, const char *note);

// A table: cells are borrowed until printed. The columns named in right_aligned (bits) are flush right.
typedef struct table {
    size_t columns, n, cap;
    const char **cells;
    char **made; // cells of which a plain copy was needed
    size_t n_made;
    uint32_t right_aligned;
} table;
void table_begin(table *t, size_t columns, uint32_t right_aligned, const char *const *titles);
void table_row(table *t, const char *const *cells);
void table_print(table *t); // and frees
void table_drop(table *t);  // frees what is not to be printed

struct json_t; // of jansson

// --- each_merchant.c ---------------------------------------------------------------------------------------------------
struct Payments__V1__Merchant;
// Gives each merchant to take, which says whether it wants another one. What take keeps of m lives in the arena.
bool cli_each_merchant(cli *c, bool (*take)(void *arg, const struct Payments__V1__Merchant *m),
                       void *arg, err *e) WARN_UNUSED;
// The ids of all merchants; with `only`, this id alone. @arena
bool cli_merchants(cli *c, const char *only, char ***ids, size_t *n, err *e) WARN_UNUSED;
// Appends what a service says of one merchant, with the merchant's id.
void cli_append_of_merchant(struct json_t *list, const char *merchant, const ProtobufCMessage *m);
// The end of a command that has gone through merchants: JSON or a table on stdout. @consumes list and t
void cli_print_merchants(const cli *c, struct json_t *list, table *t);

// --- pb_json.c ---------------------------------------------------------------------------------------------------------
// The message as one JSON object on stdout: the names of the .proto, integers as numbers, times as RFC 3339, enum values
// without their prefix.
void cli_print_json(const ProtobufCMessage *m);
void cli_print_json_line(const ProtobufCMessage *m); // the same on one line: `watch`
// A list that was gathered from several pages: without the token, since it is of no page, and with limit_reached, whether there are
// more rows than were asked for.
void cli_print_rows(const ProtobufCMessage *list, bool more);
void cli_print_value(struct json_t *value);            // prints as these do. @consumes
struct json_t *cli_to_json(const ProtobufCMessage *m); // @owned
// A string out of a file or an error: what is not UTF-8, such as a text cut off in a letter, has '?' for it. @owned
struct json_t *cli_json_text(const char *text);
// "SETTLED" for PAYOUT_STATE_SETTLED. @borrowed, static
const char *cli_enum_name(const ProtobufCEnumDescriptor *d, int value);
// The same in lower case, as files and the bank write it, cut to the size.
void cli_enum_name_lower(const ProtobufCEnumDescriptor *d, int value, char *out, size_t size);
// The other way; false when there is no such name.
bool cli_enum_value(const ProtobufCEnumDescriptor *d, const char *name, int *value) WARN_UNUSED;

#endif
