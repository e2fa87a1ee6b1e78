// payctl whoami: the caller's name at the service, and the caller's rights.
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/identity_service.pb-c.h"

static bool ask(cli *c, Payments__V1__WhoAmIResponse **out, err *e) {
    Payments__V1__WhoAmIRequest request = PAYMENTS__V1__WHO_AM_IREQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    const bool ok = cli_call(c, "payments.v1.IdentityService", "WhoAmI", &request.base,
                             &payments__v1__who_am_iresponse__descriptor, &answer, e);
    *out = (Payments__V1__WhoAmIResponse *)answer;
    return ok;
}

const char *cli_login_name(void) {
    const char *name = getenv("SUDO_USER");
    if (name != NULL && name[0] != '\0') {
        return name;
    }
    const struct passwd *user = getpwuid(geteuid());
    return user != NULL && user->pw_name[0] != '\0' ? user->pw_name : "unknown";
}

const char *cli_person(cli *c, const char *given) {
    Payments__V1__WhoAmIResponse *me = NULL;
    err unused = {0};
    if (given != NULL) {
        return given;
    }
    // When the service cannot answer now, the order itself will tell why.
    return ask(c, &me, &unused) && me->person[0] != '\0' ? me->person : cli_login_name();
}

static const char *joined(cli *c, char *const *words, size_t n) {
    const char *all = "";
    for (size_t i = 0; i < n; i++) {
        all = arena_printf(c->arena, "%s%s%s", all, i == 0 ? "" : ", ", words[i]);
        ASSERT(all != NULL);
    }
    return all;
}

static int cmd_whoami(cli *c, int argc, char **argv) {
    (void)argv;
    Payments__V1__WhoAmIResponse *me = NULL;
    err e = {0};
    if (argc > 1) {
        return cli_usage("whoami takes nothing");
    }
    if (!ask(c, &me, &e)) {
        return cli_failed(c, "ask who we are", &e);
    }
    if (c->json) {
        cli_print_json(&me->base);
        return EXIT_DONE;
    }
    cli_print(stdout, "identity   %s\n", me->identity);
    if (me->person[0] != '\0') {
        cli_print(stdout, "person     %s\n", me->person);
    }
    cli_print(stdout, "roles      %s\n", joined(c, me->roles, me->n_roles));
    cli_print(stdout, "merchants  %s%s\n",
              me->all_merchants         ? "all"
              : me->n_merchant_ids == 0 ? "none"
                                        : joined(c, me->merchant_ids, me->n_merchant_ids),
              me->merchants_cut ? ", and more" : "");
    cli_print(stdout, "policy     %s\n", me->policy_version);
    return EXIT_DONE;
}

const cli_command COMMAND_WHOAMI = {
    .name = "whoami",
    .usage = "",
    .summary = "who the service takes us for, and what we may do",
    .help =
        "  Shows the identity and the person of the certificate, roles, merchants, and the version "
        "of\n"
        "  the policy in force: the first digits of the file's SHA-256.\n"
        "\n"
        "JSON\n"
        "  {identity, person, roles: [...], all_merchants, merchant_ids: [...], merchants_cut,\n"
        "  policy_version}\n",
    .run = cmd_whoami,
};
