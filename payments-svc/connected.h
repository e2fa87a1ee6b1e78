// The connections of this process: opens the connections that the settings ask for, in the order of their numbers, and knows the others.
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
    // The connection of payouts that name only a rail: name by the scheme's id. NULL: the scheme's own name.
    const char *(*of_rail)(void *arg, int scheme);
    // Since when the bank of a connection does not answer (saga_engine_down_since_us); 0: it answers.
    int64_t (*down_since_us)(void *arg, int id);
    void *arg;
    rail_host host;
} connected_options;

typedef struct connected {
    connections *known;          // all connections, switched on or off
    rail *rails[SAGA_RAILS_MAX]; // the connections that are switched on, and behind them `off`
    const rail_scheme *schemes[SAGA_RAILS_MAX];
    rule_rail rules[SAGA_RAILS_MAX];
    size_t n;
    // connections that are switched off, as many as there is room for; without functions
    rail off[SAGA_RAILS_MAX];
    size_t n_off;
    connected_options o;
} connected;

// *c is empty before. On failure connected_close is called all the same.
bool connected_open(connected *c, const connected_options *o, err *e) WARN_UNUSED;
// Checks that the settings of each connection, and the files that they name, can be used: opens each connection and closes it again. also:
// a further check of all connections while they are open. Needs no database.
bool connected_check(const connected_options *o,
                     bool (*also)(void *arg, rail **rails, size_t n, err *e), err *e) WARN_UNUSED;
// Starts the connections' threads. The engine that they wake must exist.
bool connected_start(connected *c, err *e) WARN_UNUSED;
// Hands the host's new certificate to the connections' listeners. False: a listener has not taken it up; try again.
bool connected_certificate(connected *c, err *e) WARN_UNUSED;
// Stops the connections' senders; the guard may be stopped after this.
void connected_stop(connected *c);
void connected_close(connected *c);
// The ports of the webhooks, for the ready file: ,"webhook_port":4711,"webhook_ports":{"instant":4711}
void connected_ports(const connected *c, strbuf *json);

#endif
