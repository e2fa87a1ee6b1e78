// The sender of a connection's submissions: one thread in each process, one submission at a time. Among all processes each submission has
// one sender at a time (a lease by the database's clock).
#ifndef SUBMISSIONS_SENDER_H
#define SUBMISSIONS_SENDER_H

#include "crypto/crypto.h"
#include "guard/guard.h"
#include "submissions/submissions.h"

// The file to send. Borrowed by the channel during a call.
typedef struct submission_file {
    const char *name;
    str content; // empty for a look at an unreadable file
    int64_t size;
    str sha256;            // 32 bytes
    int64_t epoch;         // of this upload; its temporary name derives from name and epoch
    const int64_t *epochs; // earlier uploads that may have left a temporary file
    size_t n_epochs;
} submission_file;

typedef enum submission_sent {
    SENT_DONE,    // the bank's server confirmed it
    SENT_NOT,     // it has not arrived and will not
    SENT_UNKNOWN, // it may have arrived: an answer is missing
    SENT_FENCED   // it is not ours any more: nothing irrevocable was done
} submission_sent;

// Asks whether the submission is still ours. Called right before the upload begins, and right before its last step, which cannot be taken
// back. A yes also writes the step down.
typedef bool (*submission_fence)(void *arg, bool last_step);

// A bank, as the sender sees it. All functions block, and are called from the sender's thread only.
typedef struct submission_channel {
    int connection;
    const char *name; // "ach"
    // The bank shows each taken file for ever. A file missing in two looks, lag_ms apart, is not at the bank.
    bool archive_complete;
    int64_t lag_ms;
    // the upload lies in a folder that the bank takes files from, so it may be taken before its last step
    bool exposed;
    // The folders of its uploads, in words for people. An interrupted upload is looked for there, so the folders must not change while a
    // file is open. NULL: no folders.
    const char *folders;
    submission_look (*look)(void *self, const submission_file *f, arena *a);
    submission_sent (*send)(void *self, const submission_file *f, submission_fence still_ours,
                            void *arg);
    // Removes the temporary files of f->epochs, so that their renames fail. *was_there: one of them was there; a repeated call says the
    // same. False when the bank could not be asked.
    bool (*take_back)(void *self, const submission_file *f, bool *was_there);
    void *self;
} submission_channel;

typedef struct submission_sender_options {
    db_pool *pool;
    guard *guard; // lets nothing be sent in a recovery; NULL: no guard
    crypto_keyring *keys;
    const clock_source *clock;
    submission_channel channel;
    int64_t lease_ms; // longer than one operation at the bank may take
    int64_t poll_ms;  // interval of asking the database for due submissions
    int64_t retry_base_ms, retry_cap_ms;
    int32_t case_after; // after so many fruitless tries a person is told
    // Called when events of a book's payouts were committed. Cheap, thread-safe; may be NULL.
    void (*heard)(void *arg, int64_t book_id);
    void *heard_arg;
} submission_sender_options;

typedef struct submission_sender submission_sender;
// Makes a sender without a thread. Copies the options; everything they point to must outlive the sender. Never fails.
submission_sender *submission_sender_create(const submission_sender_options *o);
// Like the option. Call before the start.
void submission_sender_use_guard(submission_sender *s, guard *g);
// Starts the thread, at most once. FAILED_PRECONDITION as submission_sender_fits.
bool submission_sender_start(submission_sender *s, err *e) WARN_UNUSED;
// Checks that each SENDING or UNKNOWN file of the connection was begun in the channel's present folders. Blocks. FAILED_PRECONDITION,
// BAD_SETTING: names a file that was not.
bool submission_sender_fits(submission_sender *s, err *e) WARN_UNUSED;
// A submission was committed: asks the database now. Any thread; cheap.
void submission_sender_look(submission_sender *s);
// The time since which the bank does not answer, and gets only a question now and then; 0: it answers, as far as is known. Any thread;
// cheap.
int64_t submission_sender_down_since_us(const submission_sender *s);
// Handles the due submissions on the caller's thread, as the sender's thread does in its loop. Returns their number.
size_t submission_sender_run(submission_sender *s);
// finishes the current submission; accepts NULL
void submission_sender_destroy(submission_sender *s);

#endif
