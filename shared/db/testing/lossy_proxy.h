// A proxy between a client and PostgreSQL's unix socket that loses messages on demand. For tests only.
#ifndef TESTING_LOSSY_PROXY_H
#define TESTING_LOSSY_PROXY_H

typedef struct lossy_proxy lossy_proxy;

typedef enum lossy_mode {
    LOSSY_PASS, // loses nothing
    // forwards COMMIT, waits for the server's answer, swallows it and hangs up
    LOSSY_DROP_AFTER_COMMIT,
    LOSSY_DROP_BEFORE_COMMIT, // hangs up instead of forwarding COMMIT
    LOSSY_STALL               // a dead network: forwards nothing any more, and does not hang up
} lossy_mode;

// server_dir holds the server's socket; the proxy's own socket goes into a new temporary folder.
lossy_proxy *lossy_proxy_start(const char *server_dir);
// Bytes with this prepared statement's name also count as a commit: a pipeline that is its own transaction has no COMMIT.
void lossy_proxy_commits_with(lossy_proxy *p, const char *statement);
const char *lossy_proxy_dir(const lossy_proxy *p); // the "host" to connect to
// The mode applies to the next event; a DROP mode becomes PASS after its drop.
void lossy_proxy_set(lossy_proxy *p, lossy_mode mode);
void lossy_proxy_stop(lossy_proxy *p);

#endif
