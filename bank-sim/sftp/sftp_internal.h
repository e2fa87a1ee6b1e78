// What the files of the SFTP room share.
#ifndef SFTP_SFTP_INTERNAL_H
#define SFTP_SFTP_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>

#include "sftp/sftp.h"

enum { SFTP_PATH_MAX = 1024, SFTP_USER_MAX = 64 };

struct sftp {
    char sshd[SFTP_PATH_MAX], dir[SFTP_PATH_MAX], root[SFTP_PATH_MAX], host_key[SFTP_PATH_MAX],
        authorized_key[SFTP_PATH_MAX], config[SFTP_PATH_MAX + 32], log[SFTP_PATH_MAX + 32],
        pid_file[SFTP_PATH_MAX + 32], relay[SFTP_PATH_MAX], relay_state[SFTP_PATH_MAX],
        server[SFTP_PATH_MAX]; // relay "" : none
    char user[SFTP_USER_MAX];
    int port;
    // starts sshd and waits for it: the death signal of a child is tied to the thread that forked it
    pthread_t thread;
    pthread_mutex_t lock; // guards pid, stop, ready, failed
    pthread_cond_t changed;
    pid_t pid; // 0: none
    bool stop, ready, failed, fixed_port;
};

// Fills the paths and the user; makes the folders, the host key when there is none, and /run/sshd for root.
bool sftp_prepare(sftp *s, const sftp_options *o, err *e) WARN_UNUSED;
bool sftp_write_config(const sftp *s, err *e) WARN_UNUSED; // for s->port
bool sftp_free_port(int *port, err *e) WARN_UNUSED;

#endif
