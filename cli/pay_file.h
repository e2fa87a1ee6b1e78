// A payout file as payctl reads it: from a path or stdin. Its faults go to stderr or into JSON.
#ifndef CLI_PAY_FILE_H
#define CLI_PAY_FILE_H

#include "cli/cli.h"
#include "payout_file/payout_file.h"

// Reads all bytes of a file, a pipe, or ("-") stdin, at most bytes_max. The caller frees *bytes, which is NULL on failure. FILE_UNREADABLE,
// FILE_TOO_LARGE.
bool cli_load_file(const char *path, size_t bytes_max, char **bytes, size_t *len,
                   err *e) WARN_UNUSED;

// The name of the file in messages: its path, or "stdin" for "-". @borrowed
const char *pay_file_name(const char *path);
// Reads and checks a file; "-" is stdin. Like payout_file_parse, with strings in c->arena.
bool pay_file_read(cli *c, const char *path, payout_file *f, err *e) WARN_UNUSED;
// The same for a command. False when the file cannot be read: the error is already on stderr, and with --json on stdout.
bool pay_file_load(cli *c, const char *path, payout_file *f) WARN_UNUSED;
// False when lines are bad. Prints how many, and with --json which.
bool pay_file_is_good(const cli *c, const payout_file *f) WARN_UNUSED;
// pay_file_load, then pay_file_is_good.
bool pay_file_read_good(cli *c, const char *path, payout_file *f) WARN_UNUSED;
// Prints the faults to stderr as "FILE:LINE: field: reason", in the order of the file. Call it once all faults are known. path: from
// pay_file_name.
void pay_file_tell(payout_file *f, const char *path);
// [{"line","field","reason","error"}]. @owned
struct json_t *pay_file_bad_json(const payout_file *f);
// {"sent":false,"good":N,"bad":[...]} on stdout.
void pay_file_print_json(const payout_file *f);

#endif
