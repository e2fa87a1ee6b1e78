// The connections of this process: opens those that the settings ask for, in the order of their numbers, and knows the others.
#ifndef PAYMENTS_CONNECTED_H
#define PAYMENTS_CONNECTED_H

#include "connections/registry.h"
#include "domain/rules.h"
#include "rails/registry.h"
#include "saga/engine.h"

typedef struct connected_options {
    db_pool *pool; // for the names
    const rail_wanted *wanted;
    size_t n;
    // The connection of payouts that name only a rail: name by the scheme's id; NULL: the one that has the scheme's name.
    const char *(*of_rail)(void *arg, int scheme);
    // Since when the bank of a connection does not answer (saga_engine_down_since_us); 0: it answers.
    int64_t (*down_since_us)(void *arg, int id);
    void *arg;
    rail_host host;
} connected_options;

typedef struct connected {
    connections *known;          // all that there are, also those that are switched off
    rail *rails[SAGA_RAILS_MAX]; // those that are switched on, and behind them those of `off`
    const rail_scheme *schemes[SAGA_RAILS_MAX];
    rule_rail rules[SAGA_RAILS_MAX];
    size_t n;
    // as many of those that are switched off as there is room for; without functions
    rail off[SAGA_RAILS_MAX];
    size_t n_off;
    connected_options o;
} connected;

// *c is empty before. On failure connected_close is called all the same.
bool connected_open(connected *c, const connected_options *o, err *e) WARN_UNUSED;
// Opens each and closes it again: whether its settings, and the files that they name, can be used. also: what else must hold of all of
// them, while they are open. Needs no database.
bool connected_check(const connected_options *o,
                     bool (*also)(void *arg, rail **rails, size_t n, err *e), err *e) WARN_UNUSED;
// Their own threads: there must be an engine to wake.
bool connected_start(connected *c, err *e) WARN_UNUSED;
// The host's certificate was exchanged: what listens takes it up. False: some have not; try again.
bool connected_certificate(connected *c, err *e) WARN_UNUSED;
void connected_stop(connected *c); // what they send by themselves; then the guard may go
void connected_close(connected *c);
// For the ready file: where they listen. ,"webhook_port":4711,"webhook_ports":{"instant":4711}
void connected_ports(const connected *c, strbuf *json);

#endif
