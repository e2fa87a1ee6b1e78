// A real OpenSSH server, as a child process with a configuration of its own: one user, one key, SFTP only, loopback only.
#ifndef SFTP_SFTP_H
#define SFTP_SFTP_H

#include "base/err.h"

typedef struct sftp sftp;

typedef struct sftp_options {
    const char *sshd;          // absolute path of the program
    int port;                  // 0: a free one
    const char *dir;           // absolute; for configuration, log, pid file and our own host key
    const char *root;          // start directory of the sessions; absolute
    const char *host_key_file; // "" : one is made in dir
    const char *authorized_key_file;
    const char *user; // "" : the user that we run as
    // "": sshd serves the files itself; else this program does, as a forced command
    const char *relay;
    const char *relay_state; // file with the habits of the relay
    const char *server;      // OpenSSH's sftp-server; the relay starts it
} sftp_options;

// Makes the folders below root, starts sshd and waits until it listens. A dead sshd is started again.
sftp *sftp_start(const sftp_options *o, err *e); // @owned by the caller
int sftp_port(const sftp *s);
void sftp_stop(sftp *s); // ends sshd and its sessions; accepts NULL

#endif
