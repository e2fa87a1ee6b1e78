// The connections that this instance knows, as they describe themselves, and what stands at each.
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
    // what last went wrong with its bank, as this instance met it, and has not gone well since
    char trouble[201];
    int64_t trouble_us; // when; 0: nothing
} connection_outlook;

typedef struct connection_info {
    int id;             // its number, 1 … CONNECTIONS_MAX; saga.rail
    const char *name;   // "ach", or as the settings name it
    const char *scheme; // "ach", "instant"; "" of one that only a later version knows
    int scheme_id;      // payments.v1.Rail
    bool on;            // switched on in this instance; the rest says nothing when it is not
    bool in_files;      // its payouts leave in submissions
    bool notes_looks;   // connection.looked_at tells when what its bank says was last looked for
    const char *currencies;  // comma-separated
    int64_t amount_max;      // minor units
    int description_max;     // bytes of the text that the recipient sees
    const char *instruments; // comma-separated: us_bank, in_bank
    const char *finality;    // one sentence, for people
    // label of the account at the bank that it pays from; NULL: the main one
    const char *bank_account;
    const char *settlement; // how it is known: answer, report or timetable
    // Since when nothing is sent because the bank does not answer; 0: it answers. May be NULL.
    int64_t (*down_since_us)(void *arg, int id);
    // Reads what is planned and left; may be NULL. Both are called on any thread.
    bool (*outlook)(void *arg, int id, db_conn *c, connection_outlook *out, arena *a, err *e);
    void *arg;
} connection_info;

// By name; NULL when there is none.
const connection_info *connection_named(const connection_info *list, size_t n, str name);

// When a bank was last heard through a connection; 0: never.
bool connections_last_word(db_conn *c, int id, int64_t *at_us, arena *a, err *e) WARN_UNUSED;

// What stands at one step of one connection, of all books. Held payouts are not counted.
typedef struct connection_queue {
    int connection, step; // domain/machine.h
    int64_t count;        // CONNECTION_COUNTED_MAX of a book at most
    int64_t oldest_us;    // since when the oldest stands there
} connection_queue;
// Sorted by connection and step; steps at which nothing stands are left out. @arena
bool connections_queue(db_conn *c, const connection_info *list, size_t n_list, arena *a,
                       connection_queue **out, size_t *n, err *e) WARN_UNUSED;

#endif
