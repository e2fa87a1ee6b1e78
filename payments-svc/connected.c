#include "connected.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static bool outlook_of(void *arg, int id, db_conn *c, connection_outlook *out, arena *a, err *e) {
    const connected *k = arg;
    rail_outlook told = {0};
    for (size_t i = 0; i < k->n; i++) {
        rail *r = k->rails[i];
        if (r->id == id && r->outlook != NULL &&
            !r->outlook(r, c, clock_wall_us(clock_system()), &told, a, e)) {
            return false;
        }
    }
    *out = (connection_outlook){.next_cut_us = told.next_cut_us,
                                .n_numbers = told.n_numbers,
                                .trouble_us = told.trouble_us};
    _Static_assert(sizeof out->trouble == sizeof told.trouble, "one text, whole");
    memcpy(out->trouble, told.trouble, sizeof out->trouble);
    for (size_t i = 0; i < told.n_numbers; i++) {
        out->numbers[i].name = told.numbers[i].name;
        out->numbers[i].left = told.numbers[i].left;
    }
    return true;
}

static int64_t down_since_us(void *arg, int id) {
    const connected *k = arg;
    return k->o.down_since_us(k->o.arg, id);
}

// What a connection says of itself.
static connection_info describe(connected *k, const rail *r, const rail_scheme *s) {
    return (connection_info){.id = r->id,
                             .name = r->name,
                             .scheme = s->name,
                             .scheme_id = s->id,
                             .on = true,
                             .in_files = s->in_files,
                             .notes_looks = s->notes_looks,
                             .currencies = r->currencies,
                             .amount_max = r->amount_max,
                             .description_max = RULE_DESCRIPTION_MAX,
                             .instruments = r->instruments,
                             .finality = r->finality,
                             .bank_account = r->bank_account,
                             .settlement = r->settlement,
                             .down_since_us = down_since_us,
                             .outlook = outlook_of,
                             .arg = k};
}

static const char *default_of(const connected *k, const rail_scheme *s) {
    const char *name = k->o.of_rail(k->o.arg, s->id);
    return name == NULL || name[0] == '\0' ? s->name : name;
}

static bool check_defaults(const connected *k, err *e) {
    size_t n = 0;
    const rail_scheme *const *schemes = rail_schemes(&n);
    for (size_t i = 0; i < n; i++) {
        const char *name = default_of(k, schemes[i]);
        bool found = false;
        for (size_t w = 0; w < k->o.n; w++) {
            found = found ||
                    (k->o.wanted[w].scheme == schemes[i] && strcmp(k->o.wanted[w].name, name) == 0);
        }
        if (!found) {
            return err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING",
                           "rail.%s must name a connection of the scheme %s", schemes[i]->name,
                           schemes[i]->name);
        }
    }
    return true;
}

static bool too_many(err *e) {
    return err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING",
                   "more than %d connections are switched on", (int)SAGA_RAILS_MAX);
}

static bool open_one(connected *k, const rail_wanted *w, int number, err *e) {
    if (k->n == SAGA_RAILS_MAX) {
        return too_many(e);
    }
    rail *r = rail_open(w, number, &k->o.host, e);
    if (r == NULL) {
        return false;
    }
    k->rules[k->n] = (rule_rail){.id = r->id,
                                 .scheme = r->scheme,
                                 .is_default = strcmp(default_of(k, w->scheme), r->name) == 0,
                                 .name = r->name,
                                 .currencies = r->currencies,
                                 .amount_max = r->amount_max,
                                 .fees = r->fees};
    k->schemes[k->n] = w->scheme;
    k->rails[k->n++] = r;
    const connection_info info = describe(k, r, w->scheme);
    connections_add(k->known, &info);
    return true;
}

// The connection with the lowest number that is not open yet; NULL when all are open.
static const rail_wanted *next_of(const connected_options *o, const int *numbers, int after,
                                  int *number) {
    const rail_wanted *next = NULL;
    for (size_t i = 0; i < o->n; i++) {
        if (o->wanted[i].enabled && numbers[i] > after && (next == NULL || numbers[i] < *number)) {
            next = &o->wanted[i];
            *number = numbers[i];
        }
    }
    return next;
}

static void make_known(connected *k) {
    enum { SCHEMES_MAX = 16 };
    static connection_scheme told[SCHEMES_MAX];
    size_t n = 0;
    const rail_scheme *const *schemes = rail_schemes(&n);
    ASSERT(n <= SCHEMES_MAX);
    for (size_t i = 0; i < n; i++) {
        told[i] = (connection_scheme){schemes[i]->id, schemes[i]->name, schemes[i]->in_files};
    }
    k->known = connections_create(told, n);
}

// Numbers for the connections that are switched on. A section that is switched off needs no number yet.
static bool give_numbers(const connected *k, int *numbers, err *e) {
    connection_wanted wanted[CONNECTIONS_MAX];
    connection_scheme schemes[CONNECTIONS_MAX];
    size_t n = 0;
    ASSERT(k->o.n <= CONNECTIONS_MAX);
    for (size_t i = 0; i < k->o.n; i++) {
        const rail_wanted *w = &k->o.wanted[i];
        if (w->enabled) {
            schemes[n] = (connection_scheme){w->scheme->id, w->scheme->name, w->scheme->in_files};
            wanted[n] = (connection_wanted){w->name, &schemes[n]};
            n++;
        }
    }
    int given[CONNECTIONS_MAX];
    if (!connections_number(k->o.pool, wanted, n, given, e)) {
        return false;
    }
    n = 0;
    for (size_t i = 0; i < k->o.n; i++) {
        numbers[i] = k->o.wanted[i].enabled ? given[n++] : 0;
    }
    return true;
}

static bool no_rail(err *e) {
    return err_set(e, ERR_INVALID_ARGUMENT, "NO_RAIL",
                   "no rail is switched on: set ach.enabled or instant.enabled");
}

// Only what the engine needs to free reserved money.
static void add_off(connected *k) {
    enum { BATCH = 100 };
    size_t n = 0;
    const connection_info *all = connections_all(k->known, &n);
    for (size_t i = 0; i < n && k->n + k->n_off < SAGA_RAILS_MAX; i++) {
        if (!all[i].on) {
            rail *r = &k->off[k->n_off];
            *r = (rail){.id = all[i].id,
                        .scheme = all[i].scheme_id,
                        .name = all[i].name,
                        .currencies = "",
                        .batch_max = BATCH,
                        .in_files = all[i].in_files,
                        .off = true};
            k->rails[k->n + k->n_off++] = r;
        }
    }
}

bool connected_open(connected *c, const connected_options *o, err *e) {
    int numbers[CONNECTIONS_MAX];
    int number = 0;
    c->o = *o;
    make_known(c);
    if (!rail_wanted_check(o->wanted, o->n, e) || !check_defaults(c, e) ||
        !give_numbers(c, numbers, e)) {
        return false;
    }
    for (const rail_wanted *w = next_of(o, numbers, 0, &number); w != NULL;
         w = next_of(o, numbers, number, &number)) {
        if (!open_one(c, w, number, e)) {
            return false;
        }
    }
    if (c->n == 0) {
        return no_rail(e);
    }
    if (!connections_load(c->known, o->pool, e)) {
        return false;
    }
    add_off(c);
    return true;
}

bool connected_check(const connected_options *o,
                     bool (*also)(void *arg, rail **rails, size_t n, err *e), err *e) {
    connected k = {.o = *o};
    bool ok = rail_wanted_check(o->wanted, o->n, e) && check_defaults(&k, e);
    for (size_t i = 0; ok && i < o->n; i++) {
        const rail_wanted *w = &o->wanted[i];
        if (!w->enabled) {
            continue;
        }
        ok = k.n < SAGA_RAILS_MAX || too_many(e);
        k.rails[k.n] = ok ? rail_open(w, (int)i + 1, &o->host, e) : NULL;
        k.schemes[k.n] = w->scheme;
        ok = ok && k.rails[k.n] != NULL;
        k.n += ok ? 1 : 0;
    }
    ok = ok && (k.n > 0 || no_rail(e)) && also(o->arg, k.rails, k.n, e);
    for (size_t i = 0; i < k.n; i++) {
        k.schemes[i]->close(k.rails[i]);
    }
    return ok;
}

bool connected_start(connected *c, err *e) {
    for (size_t i = 0; i < c->n; i++) {
        if (!c->schemes[i]->start(c->rails[i], &c->o.host, e)) {
            return false;
        }
    }
    return true;
}

bool connected_certificate(connected *c, err *e) {
    bool ok = true;
    for (size_t i = 0; i < c->n; i++) {
        const rail_scheme *scheme = c->schemes[i];
        ok = (scheme->certificate == NULL || scheme->certificate(c->rails[i], &c->o.host, e)) && ok;
    }
    return ok;
}

void connected_stop(connected *c) {
    for (size_t i = 0; i < c->n; i++) {
        c->schemes[i]->stop(c->rails[i]);
    }
}

void connected_close(connected *c) {
    for (size_t i = 0; i < c->n; i++) {
        c->schemes[i]->close(c->rails[i]);
    }
    c->n = 0;
    connections_destroy(c->known);
    c->known = NULL;
}

void connected_ports(const connected *c, strbuf *json) {
    int first = 0;
    strbuf_printf(json, ",\"webhook_ports\":{");
    const char *between = "";
    for (size_t i = 0; i < c->n; i++) {
        const int port = c->schemes[i]->port == NULL ? 0 : c->schemes[i]->port(c->rails[i]);
        if (port != 0) {
            strbuf_printf(json, "%s\"%s\":%d", between, c->rails[i]->name, port);
            between = ",";
            first = first == 0 ? port : first;
        }
    }
    strbuf_printf(json, "}");
    if (first != 0) {
        strbuf_printf(json, ",\"webhook_port\":%d", first);
    }
}
