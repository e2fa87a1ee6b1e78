// A real sshd for tests, with keys and a folder of its own, behind a proxy that can cut or stall the line.
#ifndef TESTING_SFTP_SERVER_H
#define TESTING_SFTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct sftp_server sftp_server;

// Makes a temporary folder with keys and root/{inbox,outbox,outbox/done,archive}, and starts sshd and the proxy.
sftp_server *sftp_server_start(void);
void sftp_server_stop(sftp_server *s); // ends sshd and removes the folder

int sftp_server_port(const sftp_server *s); // of the proxy
const char *sftp_server_user(const sftp_server *s);
// "client_key", "host_key.pub", "other_key", "other_key.pub", or "root/inbox/x": a path in the folder; static memory.
const char *sftp_server_path(const sftp_server *s, const char *name);

// For "root/inbox/x" as above: writes a text as a file; reads a file of less than max bytes, and returns their number.
void sftp_server_put(const sftp_server *s, const char *name, const char *text);
size_t sftp_server_get(const sftp_server *s, const char *name, char *out, size_t max);
// True when a file is in one of root's folders, such as "inbox".
bool sftp_server_has(const sftp_server *s, const char *folder, const char *name);

// Removes the files of one of its folders, named as above; not folders in it.
void sftp_server_empty(const sftp_server *s, const char *folder);

// Requests that the server refuses from now on, such as "mkdir,rename" (sftp-server(8), -P); "": none. Hangs up to apply it.
void sftp_server_refuse(sftp_server *s, const char *requests);

// The proxy hangs up after so many more bytes of a client on one connection; -1: never.
void sftp_server_cut_after(sftp_server *s, long bytes);
// After so many more bytes of clients, the server's next answer is lost, and the line with it; -1: never.
void sftp_server_lose_answer_after(sftp_server *s, long bytes);
// each piece of a client's bytes waits so long; 0: none
void sftp_server_slow(sftp_server *s, long ms);
void sftp_server_stall(sftp_server *s, bool stalled); // forwards nothing, hangs up on nobody
void sftp_server_hang_up(sftp_server *s);             // all connections
// clients' bytes since the last call of one of the two above
long sftp_server_sent(const sftp_server *s);

#endif
