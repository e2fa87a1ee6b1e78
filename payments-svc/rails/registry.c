#include "rails/registry.h"

#include <stdio.h>
#include <string.h>

// A test build has a list of its own.
#ifndef SCHEMES_LIST
#define SCHEMES_LIST "rails/schemes.def"
#endif

#define RAIL(scheme) extern const rail_scheme scheme;
#include SCHEMES_LIST
#undef RAIL

static const rail_scheme *const SCHEMES[] = {
#define RAIL(scheme) &scheme,
#include SCHEMES_LIST
#undef RAIL
};
enum { N_SCHEMES = sizeof SCHEMES / sizeof SCHEMES[0] };

const rail_scheme *const *rail_schemes(size_t *n) {
    *n = N_SCHEMES;
    return SCHEMES;
}

const rail_scheme *rail_scheme_named(const char *name) {
    for (size_t i = 0; i < N_SCHEMES; i++) {
        if (strcmp(SCHEMES[i]->name, name) == 0) {
            return SCHEMES[i];
        }
    }
    return NULL;
}

static const char *section_of(const rail_wanted *w) {
    return strcmp(w->name, w->scheme->name) == 0 ? "" : "connection.";
}

bool rail_wanted_check(const rail_wanted *wanted, size_t n, err *e) {
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            const rail_wanted *a = &wanted[k], *b = &wanted[i];
            if (strcmp(a->name, b->name) == 0) {
                return err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING",
                               "connection.%s: there is a connection of this name: %s", b->name,
                               a->scheme->name);
            }
            const char *shared = a->enabled && b->enabled && a->scheme == b->scheme
                                     ? a->scheme->clash(a->settings, b->settings)
                                     : NULL;
            if (shared != NULL) {
                return err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING",
                               "%s%s.%s is that of %s%s: each connection needs its own",
                               section_of(b), b->name, shared, section_of(a), a->name);
            }
        }
    }
    return true;
}

// Names "ach.host …" of a connection with its own section: "connection.wells.host …".
static void name_setting(const rail_wanted *w, char *text, size_t size) {
    char renamed[sizeof((err *)0)->message];
    const size_t len = strlen(w->scheme->name);
    if (strncmp(text, w->scheme->name, len) == 0 && text[len] == '.') {
        (void)snprintf(renamed, sizeof renamed, "%s%s%s", section_of(w), w->name, text + len);
        (void)snprintf(text, size, "%s", renamed);
    }
}

rail *rail_open(const rail_wanted *w, int number, const rail_host *host, err *e) {
    rail *r = w->scheme->open(number, w->name, w->settings, host, e);
    if (r == NULL) {
        name_setting(w, e->field, sizeof e->field);
        name_setting(w, e->message, sizeof e->message);
    }
    return r;
}
