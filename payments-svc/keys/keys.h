// Data keys while the service runs: what the ring must have, how it is exchanged, and the walk that seals anew.
#ifndef KEYS_KEYS_H
#define KEYS_KEYS_H

#include "authz/actor.h"
#include "base/config.h"
#include "crypto/crypto.h"
#include "db/db.h"

typedef struct keys_settings {
    const char *file;
    // Ids of keys that are lost for ever, separated by commas: nobody asks for them.
    const char *lost;
    int64_t pause_ms;  // between two batches of a walk
    int64_t alive_ms;  // an instance that was not seen for so long does not run
    int64_t settle_ms; // what was sealed is committed, or lost, after so long
} keys_settings;
extern const config_part KEYS_SETTINGS;

typedef struct keys_options {
    db_pool *pool;
    crypto_keyring *ring; // loaded from the file of the settings
    keys_settings settings;
} keys_options;

typedef struct keys keys;

// Checks the ring: it has all keys in use, each name means the same key as before, and every other running instance can open with the key
// that seals. NULL with FAILED_PRECONDITION: KEY_MISSING, KEY_CHANGED, KEY_NOT_EVERYWHERE. Without a database the check waits until there
// is one; if it fails then, the process ends. @borrows the options until keys_stop.
keys *keys_start(const keys_options *o, err *e);
// Accepts NULL.
void keys_stop(keys *k);
// Takes up the changed file: its keys replace the keys in force. If a key in use is missing, or an instance does not know the key that
// seals, nothing changes, and *e says why. One thread.
bool keys_read_again(keys *k, err *e) WARN_UNUSED;

typedef struct key_row {
    str id;
    bool sealed, macs; // in use for these
    str uses;
    int64_t sealing_us; // an instance has said last that it seals with the key; 0: never
    str check;          // empty: none yet
} key_row;

typedef struct key_instance_row {
    uuid id;
    str key_ids, current;      // key_ids: ",a,b,"
    int64_t seen_us, since_us; // since: it seals with current
} key_instance_row;

typedef enum rotation_state { ROTATION_RUNNING = 1, ROTATION_DONE = 2 } rotation_state;

typedef struct rotation_row {
    uuid id;
    str key_id, actor;
    rotation_state state;
    int64_t started_us, ended_us; // ended_us: 0 while it goes on
    int64_t walk_us;              // it has begun to look at rows; 0: not yet
    int64_t waits_until_us; // for what was sealed under other keys before; 0: it does not wait
    int32_t target;         // number, from 0
    int64_t at_book, walked, resealed, unreadable;
    str at[3];
} rotation_row;

enum { KEY_TARGETS = 12 };
const char *key_target_name(int32_t number); // "?" beyond

typedef struct keys_report {
    const key_row *keys;
    size_t n_keys;
    const key_instance_row *instances; // that run
    size_t n_instances;
    bool has_rotation;
    rotation_row rotation; // the last one
} keys_report;

// @arena
bool keys_look(keys *k, int64_t deadline_mono_ms, arena *a, keys_report *out, err *e) WARN_UNUSED;
// Begins a walk. If a walk is under way, *out is that walk, and nothing begins. FAILED_PRECONDITION, KEYS_DIFFER: instances seal with
// different keys.
bool keys_rotate(keys *k, const actor_info *by, int64_t deadline_mono_ms, arena *a,
                 rotation_row *out, err *e) WARN_UNUSED;

#endif
