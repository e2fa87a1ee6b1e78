// How instant connections are made, and which settings no two of them may share.
#include <string.h>

#include "rails/instant/instant_rail.h"

static rail *open_one(int number, const char *name, const void *settings, const rail_host *host,
                      err *e) {
    rail *r = instant_rail_create(number, name, settings, host->pool, host->clock, e);
    if (r != NULL) {
        instant_rail_use_inbox(r, host->box);
    }
    return r;
}

static bool start(rail *r, const rail_host *host, err *e) {
    return instant_rail_start_webhook(r, host->cert_file, host->key_file, e) &&
           instant_rail_start_sweep(r, e);
}

static bool certificate(rail *r, const rail_host *host, err *e) {
    return instant_rail_webhook_certificate(r, host->cert_file, host->key_file, e);
}

// The engine does the sending, and ends earlier.
static void stop(rail *r) {
    (void)r;
}

// One account at a bank is one connection, and a port has one listener.
static const char *clash(const void *settings, const void *other) {
    const instant_settings *a = settings, *b = other;
    if (a->webhook_port != 0 && a->webhook_port == b->webhook_port) {
        return "webhook_port";
    }
    return strcmp(a->url, b->url) == 0 && strcmp(a->api_key_file, b->api_key_file) == 0
               ? "api_key_file"
               : NULL;
}

const rail_scheme INSTANT_SCHEME = {
    .id = RAIL_INSTANT,
    .name = "instant",
    .settings = INSTANT_SETTINGS,
    .n_settings = INSTANT_SETTINGS_ROWS,
    .settings_size = sizeof(instant_settings),
    .notes_looks = true,
    .open = open_one,
    .start = start,
    .stop = stop,
    .close = instant_rail_destroy,
    .certificate = certificate,
    .port = instant_rail_webhook_port,
    .clash = clash,
};
