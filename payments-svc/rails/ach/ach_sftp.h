// One kept SFTP session with the bank: pinned host key, key authentication, a time limit on each operation, reconnect on
// the next use after a failure.
//
// Thread-safe: one operation at a time, others wait. Paths are relative to the user's folder at the bank.
#ifndef ACH_ACH_SFTP_H
#define ACH_ACH_SFTP_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

typedef struct ach_sftp ach_sftp;

typedef struct ach_sftp_options {
    const char *host;
    int64_t port;
    const char *user;
    const char *key_file;      // private key
    const char *host_key_file; // public key, OpenSSH format
    int64_t timeout_ms; // of connecting, and of each request; a file may take some times as long
} ach_sftp_options;

// Loads the keys; connects on first use. NULL with *e when a key cannot be read. @owned
ach_sftp *ach_sftp_create(const ach_sftp_options *o, err *e);
void ach_sftp_destroy(ach_sftp *s); // accepts NULL

// False means that it is not known: UNAVAILABLE (no connection, time limit) or PERMISSION_DENIED (a host key other than
// the pinned one, or our key refused). True: *exists is certain.
bool ach_sftp_exists(ach_sftp *s, const char *path, bool *exists, err *e) WARN_UNUSED;
// The same, with its size where it exists.
bool ach_sftp_size(ach_sftp *s, const char *path, bool *exists, uint64_t *size, err *e) WARN_UNUSED;
// A file is made and still empty. False: nothing is to be written.
typedef bool (*ach_sftp_made)(void *arg);
// Makes a new file (an existing one is an error) and checks its size at the end, if the server tells it. made: asked before the first byte,
// and ABORTED where it says no; the empty file stays. NULL: not asked. *begun: the server may have some of the content,
// also when it failed.
bool ach_sftp_write(ach_sftp *s, const char *path, str content, ach_sftp_made made, void *arg,
                    bool *begun, err *e) WARN_UNUSED;
bool ach_sftp_rename(ach_sftp *s, const char *from, const char *to, err *e) WARN_UNUSED;
bool ach_sftp_remove(ach_sftp *s, const char *path, err *e) WARN_UNUSED;
// a folder that is there already is fine
bool ach_sftp_mkdir(ach_sftp *s, const char *path, err *e) WARN_UNUSED;

typedef struct ach_sftp_file {
    const char *name; // @arena
    uint64_t size;
    int64_t modified_s; // by the bank's clock, since 1970
} ach_sftp_file;
// Which names of a folder are wanted; the others take no place. NULL: all.
typedef struct ach_sftp_filter {
    bool (*wanted)(void *arg, const char *name);
    void *arg;
} ach_sftp_filter;
// Files of a folder that the filter wants, at most max of them, in the server's order; links to files are files, too. @arena
bool ach_sftp_list_some(ach_sftp *s, const char *dir, const ach_sftp_filter *filter, size_t max,
                        arena *a, ach_sftp_file **files, size_t *n, err *e) WARN_UNUSED;
// All of them.
bool ach_sftp_list(ach_sftp *s, const char *dir, size_t max, arena *a, ach_sftp_file **files,
                   size_t *n, err *e) WARN_UNUSED;
// The whole file. OUT_OF_RANGE when it has more than max bytes. @arena
bool ach_sftp_read(ach_sftp *s, const char *path, size_t max, arena *a, str *out,
                   err *e) WARN_UNUSED;

#endif
