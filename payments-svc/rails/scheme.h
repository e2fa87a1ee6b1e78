// A scheme: the common part of one kind of connection, and how one is made. Each rail has one (ach/, instant/), and registry.c lists them.
#ifndef RAILS_SCHEME_H
#define RAILS_SCHEME_H

#include "base/clock.h"
#include "base/config.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "guard/guard.h"
#include "rails/inbox.h"
#include "rails/rail.h"

// The environment of every connection; outlives it.
typedef struct rail_host {
    db_pool *pool;
    crypto_keyring *keys;
    const clock_source *clock;
    inbox *box;                       // banks' words go through it
    guard *guard;                     // nothing is sent while it forbids it
    const char *cert_file, *key_file; // of listeners; NULL: without TLS
} rail_host;

typedef struct rail_scheme {
    int id;           // payments.v1.Rail
    const char *name; // also the section of its settings
    bool in_files;    // its payouts leave in submissions
    bool notes_looks; // it writes connection.looked_at when what its bank says was looked for
    // Its settings: rows "<name>.…" with offsets in a struct of settings_size bytes, which begins with `bool enabled`. open and clash get
    // that struct.
    const config_setting *settings;
    size_t n_settings, settings_size;
    // One connection. Nothing is sent or heard before start. NULL with *e naming the setting at fault. @owned
    rail *(*open)(int number, const char *name, const void *settings, const rail_host *host,
                  err *e);
    bool (*start)(rail *r, const rail_host *host, err *e); // its threads, at most once
    void (*stop)(rail *r);                                 // ends what uses the guard
    void (*close)(rail *r); // stops the rest, and frees. Calls of its functions must be over
    // The certificate of the host was exchanged: listeners take it up. May be NULL
    bool (*certificate)(rail *r, const rail_host *host, err *e);
    int (*port)(const rail *r); // where it listens; 0: nowhere. May be NULL
    // Two connections of different names: the setting that they must not share, such as a folder; NULL when there is none.
    const char *(*clash)(const void *settings, const void *other);
} rail_scheme;

#endif
