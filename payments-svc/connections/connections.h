// This instance's connections, as they describe themselves, and the number of payouts at each.
#ifndef CONNECTIONS_CONNECTIONS_H
#define CONNECTIONS_CONNECTIONS_H

#include "db/db.h"

enum { CONNECTIONS_MAX = 64, CONNECTION_STEPS = 16, CONNECTION_COUNTED_MAX = 1000000 };

typedef struct connection_outlook {
    int64_t next_cut_us; // 0: no timetable
    struct {
        const char *name; // static
        int64_t left;
    } numbers[4];
    size_t n_numbers;
    // the last trouble with its bank, as this instance met it; cleared by success
    char trouble[201];
    int64_t trouble_us; // its time; 0: no trouble
} connection_outlook;

typedef struct connection_info {
    int id;                  // its number, 1 … CONNECTIONS_MAX; saga.rail
    const char *name;        // "ach", or as the settings name it
    const char *scheme;      // "ach", "instant"; "" of one that only a later version knows
    int scheme_id;           // payments.v1.Rail
    bool on;                 // switched on in this instance; if not, the fields below mean nothing
    bool in_files;           // its payouts leave in submissions
    bool notes_looks;        // connection.looked_at tells the last look for the bank's words
    const char *currencies;  // comma-separated
    int64_t amount_max;      // minor units
    int description_max;     // bytes of the text for the recipient
    const char *instruments; // comma-separated: us_bank, in_bank
    const char *finality;    // one sentence, for people
    // label of its account at the bank; NULL: the main account
    const char *bank_account;
    const char *settlement; // how settlement becomes known: answer, report or timetable
    // Since when sending rests because the bank does not answer; 0: it answers. May be NULL.
    int64_t (*down_since_us)(void *arg, int id);
    // Reads the plan and what is left of its limits; may be NULL. Both functions are called on any thread.
    bool (*outlook)(void *arg, int id, db_conn *c, connection_outlook *out, arena *a, err *e);
    void *arg;
} connection_info;

// By name; NULL when no connection has it.
const connection_info *connection_named(const connection_info *list, size_t n, str name);

// The time of the bank's last word through a connection; 0: never.
bool connections_last_word(db_conn *c, int id, int64_t *at_us, arena *a, err *e) WARN_UNUSED;

// Payouts at one step of one connection, over all books. Held payouts do not count.
typedef struct connection_queue {
    int connection, step; // domain/machine.h
    int64_t count;        // of each book at most CONNECTION_COUNTED_MAX
    int64_t oldest_us;    // since when the oldest is at this step
} connection_queue;
// Sorted by connection and step, without empty steps. @arena
bool connections_queue(db_conn *c, const connection_info *list, size_t n_list, arena *a,
                       connection_queue **out, size_t *n, err *e) WARN_UNUSED;

#endif
