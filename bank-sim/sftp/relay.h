// One SFTP session of a file server with bad habits. A process between sshd and OpenSSH's sftp-server reads all packets and spoils some.
// sshd starts it as the forced command of a session.
#ifndef SFTP_RELAY_H
#define SFTP_RELAY_H

#include "habits/habits.h"

// Relays standard input and output to the server program, which starts in root, until one side ends. Returns the exit code.
int relay_run(habits_shared *shared, const char *server, const char *root);

#endif
