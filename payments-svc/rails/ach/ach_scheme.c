// How ACH connections are made, and which settings no two of them may share.
#include <string.h>

#include "rails/ach/ach_rail.h"

static rail *open_one(int number, const char *name, const void *settings, const rail_host *host,
                      err *e) {
    rail *r = ach_rail_create(number, name, settings, host->pool, host->keys, host->clock, e);
    if (r != NULL) {
        ach_rail_use_inbox(r, host->box);
        ach_rail_use_guard(r, host->guard);
    }
    return r;
}

static bool start(rail *r, const rail_host *host, err *e) {
    (void)host;
    return ach_rail_start_inbound(r, e);
}

static bool same(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

// A folder has one reader, and the files of one origin have one count of ids.
static const char *clash(const void *settings, const void *other) {
    const ach_settings *a = settings, *b = other;
    const bool one_account = same(a->host, b->host) && a->port == b->port && same(a->user, b->user);
    if (one_account && same(a->outbox_dir, b->outbox_dir)) {
        return "outbox_dir";
    }
    if (one_account && same(a->inbox_dir, b->inbox_dir)) {
        return "inbox_dir";
    }
    return same(a->immediate_destination, b->immediate_destination) &&
                   same(a->immediate_origin_base, b->immediate_origin_base)
               ? "immediate_origin_base"
               : NULL;
}

const rail_scheme ACH_SCHEME = {
    .id = RAIL_ACH,
    .name = "ach",
    .in_files = true,
    .settings = ACH_SETTINGS,
    .n_settings = ACH_SETTINGS_ROWS,
    .settings_size = sizeof(ach_settings),
    .notes_looks = true,
    .open = open_one,
    .start = start,
    .stop = ach_rail_stop,
    .close = ach_rail_destroy,
    .clash = clash,
};
