// The sender of a connection's submissions: one thread in each process, one submission at a time, and each submission has one sender at
// a time among all processes (a lease by the database's clock).
#ifndef SUBMISSIONS_SENDER_H
#define SUBMISSIONS_SENDER_H

#include "crypto/crypto.h"
#include "guard/guard.h"
#include "submissions/submissions.h"

// What is sent. Borrowed by the channel during a call.
typedef struct submission_file {
    const char *name;
    str content; // empty for a look when it cannot be read
    int64_t size;
    str sha256;            // 32 bytes
    int64_t epoch;         // of this upload: its temporary name is derived from name and epoch
    const int64_t *epochs; // of uploads before it that may have left a temporary file
    size_t n_epochs;
} submission_file;

typedef enum submission_sent {
    SENT_DONE,    // the bank's server has confirmed it
    SENT_NOT,     // certain that it has not arrived and will not
    SENT_UNKNOWN, // it may have arrived: an answer is missing
    SENT_FENCED   // it is not ours any more: nothing irrevocable was done
} submission_sent;

// Asks whether the submission is still ours, right before the upload begins and right before its last step, after which it cannot be taken
// back. Either is written down with the answer.
typedef bool (*submission_fence)(void *arg, bool last_step);

// A bank, as the sender sees it. All functions block, and are called from the sender's thread only.
typedef struct submission_channel {
    int connection;
    const char *name; // "ach"
    // The bank shows for ever what it took, so what it does not show in two looks, lag_ms apart, it does not have.
    bool archive_complete;
    int64_t lag_ms;
    // the bank may take an upload before its last step: it lies where the bank takes files from
    bool exposed;
    // In which folders its uploads lie, as people read it: an upload that was interrupted is looked for there, so it must
    // stay the same while a file is open. NULL: it does not matter.
    const char *folders;
    submission_look (*look)(void *self, const submission_file *f, arena *a);
    submission_sent (*send)(void *self, const submission_file *f, submission_fence still_ours,
                            void *arg);
    // Takes the temporary files of f->epochs away, after which their renames fail. *was_there: one of them was there, and is so again when
    // it is called once more. False when the bank could not be asked.
    bool (*take_back)(void *self, const submission_file *f, bool *was_there);
    void *self;
} submission_channel;

typedef struct submission_sender_options {
    db_pool *pool;
    guard *guard; // lets nothing be sent in a recovery; NULL: there is none
    crypto_keyring *keys;
    const clock_source *clock;
    submission_channel channel;
    int64_t lease_ms; // longer than one operation at the bank may take
    int64_t poll_ms;  // how often the database is asked what is due
    int64_t retry_base_ms, retry_cap_ms;
    int32_t case_after; // fruitless tries after which a person is told
    // Told when events of a book's payouts were committed. Cheap, thread-safe; may be NULL.
    void (*heard)(void *arg, int64_t book_id);
    void *heard_arg;
} submission_sender_options;

typedef struct submission_sender submission_sender;
// Makes it, without a thread. Copies the options; what they point to must outlive it. Never fails.
submission_sender *submission_sender_create(const submission_sender_options *o);
// As the option. Before the start.
void submission_sender_use_guard(submission_sender *s, guard *g);
// At most once. FAILED_PRECONDITION as submission_sender_fits.
bool submission_sender_start(submission_sender *s, err *e) WARN_UNUSED;
// Whether each file of the connection that is SENDING or UNKNOWN was begun in the folders that the channel has now. Blocks.
// FAILED_PRECONDITION, BAD_SETTING: one was not, and is named.
bool submission_sender_fits(submission_sender *s, err *e) WARN_UNUSED;
// A submission was committed: the database is asked now. Any thread; cheap.
void submission_sender_look(submission_sender *s);
// Since when the bank cannot be asked and is left alone, but for one question now and then; 0: it answers, as far as is known. Any
// thread; cheap.
int64_t submission_sender_down_since_us(const submission_sender *s);
// Handles what is due now, on the caller's thread: what the thread does again and again. The number of submissions handled.
size_t submission_sender_run(submission_sender *s);
// finishes the submission at hand; accepts NULL
void submission_sender_destroy(submission_sender *s);

#endif
