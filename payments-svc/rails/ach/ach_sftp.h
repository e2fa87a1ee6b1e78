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
    int64_t timeout_ms; // of connecting, and of each request; a file may take a few times as long
} ach_sftp_options;

// Loads the keys; connects on first use. NULL with *e when a key cannot be read. @owned
ach_sftp *ach_sftp_create(const ach_sftp_options *o, err *e);
void ach_sftp_destroy(ach_sftp *s); // accepts NULL

// False: unknown, with UNAVAILABLE (no connection, time limit) or PERMISSION_DENIED (a host key other than the pinned one, or our key
// refused). True: *exists is certain.
bool ach_sftp_exists(ach_sftp *s, const char *path, bool *exists, err *e) WARN_UNUSED;
// The same, with the size of an existing file.
bool ach_sftp_size(ach_sftp *s, const char *path, bool *exists, uint64_t *size, err *e) WARN_UNUSED;
// Called when a file is made and still empty. False: write nothing.
typedef bool (*ach_sftp_made)(void *arg);
// Makes a new file (an existing one is an error) and checks its size at the end, if the server tells it. made: called before the first
// byte; if it says no, ABORTED, and the empty file stays. NULL: not called. *begun: the server may have some of the content, also after a
// failure.
bool ach_sftp_write(ach_sftp *s, const char *path, str content, ach_sftp_made made, void *arg,
                    bool *begun, err *e) WARN_UNUSED;
bool ach_sftp_rename(ach_sftp *s, const char *from, const char *to, err *e) WARN_UNUSED;
bool ach_sftp_remove(ach_sftp *s, const char *path, err *e) WARN_UNUSED;
// succeeds for an existing folder
bool ach_sftp_mkdir(ach_sftp *s, const char *path, err *e) WARN_UNUSED;

typedef struct ach_sftp_file {
    const char *name; // @arena
    uint64_t size;
    int64_t modified_s; // by the bank's clock, since 1970
} ach_sftp_file;
// Chooses names of a folder; other names take no place. NULL: all.
typedef struct ach_sftp_filter {
    bool (*wanted)(void *arg, const char *name);
    void *arg;
} ach_sftp_filter;
// Files of a folder that the filter chooses, at most max, in the server's order. A link to a file is a file. @arena
bool ach_sftp_list_some(ach_sftp *s, const char *dir, const ach_sftp_filter *filter, size_t max,
                        arena *a, ach_sftp_file **files, size_t *n, err *e) WARN_UNUSED;
// All files.
bool ach_sftp_list(ach_sftp *s, const char *dir, size_t max, arena *a, ach_sftp_file **files,
                   size_t *n, err *e) WARN_UNUSED;
// Reads the whole file. OUT_OF_RANGE when it has more than max bytes. @arena
bool ach_sftp_read(ach_sftp *s, const char *path, size_t max, arena *a, str *out,
                   err *e) WARN_UNUSED;

#endif
