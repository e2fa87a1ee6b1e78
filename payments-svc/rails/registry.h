// The schemes that there are, and the connections that the settings ask for. Only schemes.def names a scheme
// beside the rails: a new rail is one line in it.
#ifndef RAILS_REGISTRY_H
#define RAILS_REGISTRY_H

#include "rails/scheme.h"

// All schemes, by id.
const rail_scheme *const *rail_schemes(size_t *n);
const rail_scheme *rail_scheme_named(const char *name); // NULL when no scheme has this name

// A connection in the settings: [ach], or [connection.NAME].
typedef struct rail_wanted {
    const rail_scheme *scheme;
    const char *name;
    bool enabled;
    const void *settings; // the scheme's; outlives the rail
} rail_wanted;

// Checks that all can work side by side: FAILED_PRECONDITION with the bad setting.
bool rail_wanted_check(const rail_wanted *wanted, size_t n, err *e) WARN_UNUSED;
// Opens one. A refusal names the setting as in the file: ach.host, or connection.NAME.host. NULL with *e. @owned
rail *rail_open(const rail_wanted *w, int number, const rail_host *host, err *e);

#endif
