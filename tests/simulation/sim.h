// One simulated life of payments: the machines are real, the database, the bank, the network and the clock are not. One thread. The seed
// decides every draw.
#ifndef SIMULATION_SIM_H
#define SIMULATION_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "domain/machine.h"
#include "submissions/machine.h"

enum {
    PAYOUTS = 6,
    ATTEMPTS_MAX = 12,    // of one payout
    EVENTS_MAX = 96,      // of one payout
    SUBMISSIONS_MAX = 96, // of one life
    ITEMS_MAX = PAYOUTS,  // of one submission, and of one batch
    UPLOADS_MAX = 32,     // begun for one submission
    MESSAGES_MAX = 512,   // under way from the bank at once
    POSTS_MAX = 64,       // requests that are late at the bank
    INSTANCES = 2
};
#define US_PER_S INT64_C(1000000)

// --- What goes wrong, drawn once for a life ------------------------------------------------------------------------------

typedef struct sim_habits {
    bool no_archive;  // files that the bank took are not shown anymore
    bool pays_copies; // the bank takes and pays a second file of the same name
    // a refusal is not kept under the key, and is decided before the key is looked up
    bool forgets_refusals;
    bool query_lags;               // a query by key may miss a new post
    bool no_lines;                 // settlements are not reported
    bool no_acks;                  // no file is acknowledged
    bool in_parts;                 // money comes back in parts, and may go out again
    bool other_ids;                // a second delivery has another id
    int drop, late, twice;         // per cent of messages and requests
    int commit_fails, answer_lost; // per cent of transactions
    int crash, pause;              // per mille of an instance's turns
} sim_habits;

// --- The database ---------------------------------------------------------------------------------------------------------

typedef struct sim_event {
    saga_event said;
    int id;       // of the delivery: two deliveries with one id are recorded once
    int movement; // of the bank: one movement, however often reported
} sim_event;

typedef struct sim_payout {
    saga row;
    bool file; // goes in a file, not by a call of its own
    int64_t amount;
    int lease; // 0: none
    sim_event events[EVENTS_MAX];
    size_t n_events, n_seen;
    bool has_case;
    // The ledger's transfers of this payout. Each is once-only by its id: (step, number).
    uint64_t done[STEP_COUNT]; // a bit for each number
    bool reserved, posted, voided;
    int64_t paid; // by the ledger: posted minus moved back
} sim_payout;

typedef struct sim_submission {
    bool used;
    submission_state state;
    submission_evidence known;
    int payouts[ITEMS_MAX];
    int32_t attempts[ITEMS_MAX];
    size_t n;
    int64_t due_us, lease_ends_us, stale_us;
    int owner; // 0: nobody
    int64_t epoch;
    int tries, generation;
    int uploads; // begun at any time
    bool has_case;
} sim_submission;

typedef struct sim_lease {
    int id; // 0: not used
    int owner;
    int64_t ends_us;
    int payouts[ITEMS_MAX];
    saga intents[ITEMS_MAX];
    saga_said said[ITEMS_MAX];
    size_t n_events[ITEMS_MAX]; // heard when it was claimed
    size_t n;
} sim_lease;

// --- The bank -------------------------------------------------------------------------------------------------------------

typedef enum sim_fate {
    FATE_NONE,
    FATE_ACCEPTED,
    FATE_SETTLED,
    FATE_REFUSED,
    FATE_RETURNED
} sim_fate;

// One attempt of a payout, as the bank knows it.
typedef struct sim_attempt {
    sim_fate fate;
    bool retriable;
    int64_t known_from_us; // a query finds it from then on
    int64_t back;          // how much of it has come back
    bool again;            // it was credited again after the return
} sim_attempt;

typedef struct sim_bank {
    sim_attempt attempts[PAYOUTS][ATTEMPTS_MAX];
    int credits[PAYOUTS];  // how often money went out
    int64_t paid[PAYOUTS]; // minus what came back
    bool temporary[SUBMISSIONS_MAX][UPLOADS_MAX];
    bool in_inbox[SUBMISSIONS_MAX], in_archive[SUBMISSIONS_MAX], taken[SUBMISSIONS_MAX];
} sim_bank;

// A message on its way to us: about an attempt, or about a whole file.
typedef struct sim_message {
    bool used, about_file;
    int subject; // payout or submission
    int32_t attempt;
    saga_event_kind kind; // of an attempt
    int64_t amount;       // that moved; 0: all of it
    str reference;        // of the bank, for the payment
    bool accepted, sure;  // of a file
    int id, movement;
    int64_t at_us;
} sim_message;

typedef struct sim_post {
    bool used;
    int payout;
    int32_t attempt;
    int64_t at_us;
} sim_post;

// --- The instances ----------------------------------------------------------------------------------------------------------

typedef enum sim_stage {
    STAGE_IDLE,
    STAGE_ACT,     // worker: the next item
    STAGE_OUTCOME, // worker: write what came of it
    STAGE_LOOK,    // worker: write the outcome
    STAGE_BEGIN,   // sender: record that an upload begins
    STAGE_WRITE,   // sender: the temporary file
    STAGE_LAST,    // sender: record that the irrevocable step begins
    STAGE_RENAME,  // sender: the irrevocable step
    STAGE_FINISH   // sender: record the result
} sim_stage;

typedef struct sim_worker {
    int owner; // a new one after each crash
    sim_stage stage;
    int64_t paused_until_us;
    sim_lease lease; // as the instance believes
    saga_answer answers[ITEMS_MAX];
    size_t at;
} sim_worker;

typedef struct sim_sender {
    int owner;
    sim_stage stage;
    int64_t paused_until_us;
    int submission;
    int64_t epoch;
    submission_task task;
    submission_finding finding;
    int upload; // index among those begun
} sim_sender;

typedef struct sim {
    uint64_t seed;
    test_clock clock;
    const clock_source *time;
    sim_habits habits;
    bool faults; // off in the last part of a life
    bool trace;
    int owners, leases_made, ids;
    sim_payout payouts[PAYOUTS];
    sim_submission submissions[SUBMISSIONS_MAX];
    int n_submissions;
    sim_lease leases[INSTANCES * 2];
    sim_bank bank;
    sim_message messages[MESSAGES_MAX];
    sim_post posts[POSTS_MAX];
    sim_worker workers[INSTANCES];
    sim_sender senders[INSTANCES];
} sim;

// life.c. False, with what is wrong in *why (static), when a promise was broken.
bool sim_run(uint64_t seed, bool trace, const char **why) __attribute__((warn_unused_result));
// walk.c. The same for one saga alone.
bool sim_walk(uint64_t seed, bool trace, const char **why) __attribute__((warn_unused_result));
int64_t sim_now(const sim *s);
bool sim_chance(sim *s, int percent); // never while the faults are off
uint64_t sim_below(sim *s, uint64_t bound);
void sim_say(const sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

// store.c
typedef enum sim_commit {
    COMMITTED,
    COMMIT_FAILED,
    ANSWER_LOST // the transaction has happened
} sim_commit;
sim_commit sim_begin_commit(sim *s);
void sim_record(sim *s, int payout, const saga_event *said, int id, int movement);
saga_said sim_hear(const sim_payout *p);
sim_lease *sim_lease_find(sim *s, int id, int owner); // NULL: it was taken away
void sim_take_over(sim *s);
int sim_submission_new(sim *s, const int *payouts, const int32_t *attempts, size_t n,
                       int generation);
// an event for each of its items
void sim_submission_tell(sim *s, int submission, saga_event_kind kind);

// worker.c, sender.c: one turn
void sim_worker_turn(sim *s, sim_worker *w);
void sim_sender_turn(sim *s, sim_sender *w);
extern const saga_policy SIM_DIRECT, SIM_FILE;

// bank.c
typedef enum sim_answer {
    ANSWER_NONE, // the request may have arrived or not
    ANSWER_NOT_SENT,
    ANSWER_SAID
} sim_answer;
sim_answer sim_bank_post(sim *s, int payout, int32_t attempt, sim_attempt *said);
// NOT_SENT: no such key
sim_answer sim_bank_query(sim *s, int payout, int32_t attempt, sim_attempt *said);
submission_look sim_bank_look(sim *s, int submission);
bool sim_bank_rename(sim *s, int submission, int upload, bool *known); // *known: its answer arrived
void sim_bank_turn(sim *s);
void sim_network_turn(sim *s);

#endif
