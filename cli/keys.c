// payctl keys: which data keys are in use, and sealing anew.
#include <getopt.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "payments/v1/key_service.pb-c.h"

enum { PAUSE_FIRST_MS = 100, PAUSE_MAX_MS = 2000, FAILURES_MAX = 30 };

static const char *const KEYS = "payments.v1.KeyService";

static bool list(cli *c, Payments__V1__ListKeysResponse **out, err *e) {
    Payments__V1__ListKeysRequest request = PAYMENTS__V1__LIST_KEYS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    const bool ok = cli_call(c, KEYS, "ListKeys", &request.base,
                             &payments__v1__list_keys_response__descriptor, &answer, e);
    *out = (Payments__V1__ListKeysResponse *)answer;
    return ok;
}

// --- Printing ----------------------------------------------------------------------------------------------------------------

static const char *ring_text(const Payments__V1__DataKey *k) {
    return k->current ? "seals" : k->opens ? "opens" : k->compares ? "compares" : "not there";
}

static const char *use_text(const Payments__V1__DataKey *k) {
    return k->seals_values      ? k->hashes_requests ? "values, requests" : "values"
           : k->hashes_requests ? "requests"
                                : "nothing";
}

static void print_keys(const Payments__V1__ListKeysResponse *r) {
    static const char *const TITLES[] = {"key", "in the ring", "in use by", "rows"};
    table t;
    table_begin(&t, 4, 0, TITLES);
    for (size_t i = 0; i < r->n_keys; i++) {
        const Payments__V1__DataKey *k = r->keys[i];
        const char *cells[] = {k->key_id, ring_text(k), use_text(k),
                               k->uses[0] != '\0' ? k->uses : "-"};
        table_row(&t, cells);
    }
    table_print(&t);
}

static void print_instances(cli *c, const Payments__V1__ListKeysResponse *r) {
    static const char *const TITLES[] = {"instance", "seals with", "opens with"};
    table t;
    table_begin(&t, 3, 0, TITLES);
    for (size_t i = 0; i < r->n_instances; i++) {
        const Payments__V1__KeyInstance *k = r->instances[i];
        const char *ids = "";
        for (size_t at = 0; at < k->n_key_ids; at++) {
            ids = arena_printf(c->arena, "%s%s%s", ids, at == 0 ? "" : ", ", k->key_ids[at]);
        }
        const char *cells[] = {k->instance_id, k->current_key_id, ids};
        table_row(&t, cells);
    }
    table_print(&t);
}

static const char *far_text(cli *c, const Payments__V1__KeyRotation *r) {
    return arena_printf(c->arena, "%lld rows looked at, %lld sealed anew, %lld could not be opened",
                        (long long)r->walked_count, (long long)r->resealed_count,
                        (long long)r->unreadable_count);
}

static bool is_running(const Payments__V1__KeyRotation *r) {
    return r->state == PAYMENTS__V1__KEY_ROTATION_STATE__KEY_ROTATION_STATE_RUNNING;
}

static void print_rotation(cli *c, FILE *to, const Payments__V1__KeyRotation *r) {
    if (is_running(r) && r->waits_until_time != NULL) {
        cli_print(to,
                  "rotation to %s waits until %s: values sealed under older keys may not be "
                  "written yet\n",
                  r->key_id, cli_time(c, r->waits_until_time->seconds, 0));
        return;
    }
    if (is_running(r)) {
        cli_print(to, "rotation to %s goes on: %s, %d of %d, book %lld: %s\n", r->key_id, r->target,
                  (int)r->target_number, (int)r->target_count, (long long)r->book_id,
                  far_text(c, r));
        return;
    }
    cli_print(to, "rotation to %s ended %s: %s\n", r->key_id,
              cli_time(c, r->ended_time == NULL ? 0 : r->ended_time->seconds, 0), far_text(c, r));
}

static int show(cli *c) {
    Payments__V1__ListKeysResponse *r = NULL;
    err e = {0};
    if (!list(c, &r, &e)) {
        return cli_failed(c, "list the keys", &e);
    }
    if (c->json) {
        cli_print_json(&r->base);
        return EXIT_DONE;
    }
    print_keys(r);
    print_instances(c, r);
    if (r->rotation != NULL) {
        print_rotation(c, stdout, r->rotation);
    }
    return EXIT_DONE;
}

// --- Rotating ----------------------------------------------------------------------------------------------------------------

// Until it is at its end. It goes on without us, also while a service restarts.
static bool follow(cli *c, const char *id, Payments__V1__ListKeysResponse **out, err *e) {
    int64_t pause_ms = PAUSE_FIRST_MS, told = -1;
    int failures = 0;
    for (;;) {
        if (!list(c, out, e)) {
            if (e->code != ERR_UNAVAILABLE || ++failures == FAILURES_MAX) {
                return false;
            }
        } else if ((*out)->rotation == NULL || strcmp((*out)->rotation->rotation_id, id) != 0 ||
                   !is_running((*out)->rotation)) {
            return true;
        } else {
            failures = 0;
            if (c->progress && (*out)->rotation->walked_count != told) {
                told = (*out)->rotation->walked_count;
                print_rotation(c, stderr, (*out)->rotation);
            }
        }
        clock_pause_ms(pause_ms);
        pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    }
}

static int rotate(cli *c, const char *person) {
    Payments__V1__RotateKeysRequest request = PAYMENTS__V1__ROTATE_KEYS_REQUEST__INIT;
    Payments__V1__ListKeysResponse *last = NULL;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.person = (char *)cli_person(c, person);
    if (!cli_call(c, KEYS, "RotateKeys", &request.base,
                  &payments__v1__rotate_keys_response__descriptor, &answer, &e)) {
        return cli_failed(c, "rotate the keys", &e);
    }
    const Payments__V1__KeyRotation *begun =
        ((const Payments__V1__RotateKeysResponse *)answer)->rotation;
    if (!follow(c, begun->rotation_id, &last, &e)) {
        return cli_failed(c, "follow the rotation, which goes on (payctl keys)", &e);
    }
    if (c->json) {
        cli_print_json(&last->base);
    } else {
        print_keys(last);
        print_rotation(c, stdout, last->rotation);
    }
    return last->rotation != NULL && last->rotation->unreadable_count > 0 ? EXIT_NOT_SETTLED
                                                                          : EXIT_DONE;
}

static int cmd_keys(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"person", required_argument, NULL, 'p'}, {0}};
    const char *person = NULL;
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt != 'p') {
            return EXIT_USAGE;
        }
        person = optarg;
    }
    if (optind == argc && person == NULL) {
        return show(c);
    }
    if (optind + 1 == argc && strcmp(argv[optind], "rotate") == 0) {
        return rotate(c, person);
    }
    return cli_usage("keys, or keys rotate [--person NAME]");
}

const cli_command COMMAND_KEYS = {
    .name = "keys",
    .usage = "[rotate [--person NAME]]",
    .summary = "data keys: which are in use; rotate seals all values under the current key",
    .help =
        "  Without rotate: shows the keys, which instances have them, and the last rotation.\n"
        "  rotate                seals under the current key what older keys have sealed, and "
        "waits\n"
        "                        for the end. The services do the work: Ctrl-C stops only the\n"
        "                        waiting, and the same command waits again. --progress tells how\n"
        "                        far the rotation is\n"
        "  --person NAME         who gives the order, if the service does not know; else the login "
        "name\n"
        "\n"
        "JSON\n"
        "  {keys: [{key_id, current, opens, compares, seals_values, hashes_requests, uses}],\n"
        "  instances: [{...}], rotation: {...}}\n"
        "\n"
        "Exit code 1: some values could not be opened. They stay as they are.\n",
    .run = cmd_keys,
};
