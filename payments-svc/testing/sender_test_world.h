// A real database, an obedient bank, and an obedient guard in place of the real one.
#ifndef SUBMISSIONS_SENDER_TEST_WORLD_H
#define SUBMISSIONS_SENDER_TEST_WORLD_H

#include "submissions/sender.h"

enum { BOOK = 7, CONNECTION = 1, FILES_MAX = 64, LEASE_MS = 60000, LAG_MS = 30000, CASE_AFTER = 3 };
#define CONTENT "a file" // of every submission

struct guard {
    bool may_send, same_timeline;
};

typedef struct bank_file {
    char name[160];
    uint8_t sha256[32];
    int64_t size;
} bank_file;

typedef struct bank {
    bank_file taken[FILES_MAX], temporary[FILES_MAX];
    size_t n_taken, n_temporary;
    bool no_archive;                       // does not show taken files
    bool unreadable;                       // shows names and sizes only
    bool down;                             // does not answer
    bool refuses_writes;                   // an upload ends before its last step
    bool refuses_renames;                  // the last step is refused without effect
    bool loses_answer;                     // the rename is done, but its answer is lost
    int fails_looks;                       // so many next looks get no answer
    void (*on_written)(struct bank *b);    // called once between the write and the second fence
    void (*on_fenced)(struct bank *b);     // called once between the second fence and the rename
    void (*on_taken_back)(struct bank *b); // called once after a temporary file was removed
    int looks;
} bank;

extern guard the_guard;
extern bank the_bank;
extern db_pool *pool;
extern crypto_keyring *keys;
extern arena *mem;
extern bool expose_uploads;               // for new senders: the bank sees temporary files
extern const char *upload_folders;        // for new senders; NULL at first
extern int64_t poll_ms;                   // for new senders with threads; 10 at first
extern int64_t retry_ms;                  // pause of new senders; 1 at first
extern submission_sender *sender, *other; // senders of two processes

submission_sender *make_sender(int64_t lease_ms, bool archive_complete);
uuid prepare_one(uint32_t which, size_t n, const char *name, int64_t stale_us, int attempt);
int64_t tomorrow(void);
int state_of(uuid id);
int64_t count_evidence(uuid id, int kind);
int64_t count_events(int kind);
void make_due(void);
void end_leases(void);
void run(submission_sender *s, int times);
submission_word ack(uuid id, submission_ack_text said);
void temporary_name(const char *name, int64_t epoch, char out[160]);
bank_file bank_file_of(const char *name, const char *content);
uuid number_id(uint8_t group, uint32_t n);
void leave_as_killed(uuid id, const char *evidence);
int world_create(void **state);
int world_destroy(void **state);
int world_set_up(void **state);
int world_tear_down(void **state);

#endif
