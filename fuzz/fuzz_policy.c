// The reader of policy files. An accepted policy decides the same way each time, and a caller never has more than the file says.
#include <string.h>

#include "authz/authz.h"
#include "fuzz.h"

// The first word of the text that begins so, up to a blank, a bracket or the line's end.
static str word_after(str text, const char *begin) {
    const size_t len = strlen(begin);
    const char *at = text.len == 0 ? NULL : memmem(text.ptr, text.len, begin, len);
    if (at == NULL) {
        return (str){"", 0};
    }
    const str rest = {at + len, text.len - (size_t)(at - text.ptr) - len};
    size_t n = 0;
    while (n < rest.len && memchr(" \t]\n\r", rest.ptr[n], 5) == NULL) {
        n++;
    }
    return (str){rest.ptr, n};
}

static void decide(const authz_policy *p, str identity, str person, str merchant) {
    const authz_claim claims[] = {{.person = {"", 0}}, {.person = person}};
    static const authz_permission ROWS[] = {{"x", AUTHZ_PAYER, AUTHZ_ON_MERCHANT},
                                            {"x", AUTHZ_PAYER, AUTHZ_ON_ALL},
                                            {"x", ~(authz_roles)0, AUTHZ_ON_MERCHANT_OR_ALL}};
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        authz_who w;
        if (authz_identify(p, identity, &claims[i], &w) != AUTHZ_ALLOWED) {
            MUST(w.roles == 0 && !authz_who_has(&w, merchant));
            continue;
        }
        MUST(strlen(authz_who_program(&w)) == identity.len);
        MUST(!authz_who_has_all(&w) || authz_who_has(&w, merchant));
        size_t at = 0;
        for (str m; authz_who_next(&w, &at, &m);) {
            MUST(authz_who_has(&w, m));
        }
        for (size_t k = 0; k < sizeof ROWS / sizeof ROWS[0]; k++) {
            const bool may = authz_may_call(&w, &ROWS[k]) == AUTHZ_ALLOWED;
            ASSERT(!may || (w.roles & ROWS[k].roles) != 0);
            MUST(authz_may_touch(&w, &ROWS[k], merchant) != AUTHZ_ALLOWED ||
                 authz_who_has(&w, merchant) || (merchant.len == 0 && authz_who_has_all(&w)));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const str text = fuzz_str(data, size);
    err e = {0};
    authz_policy *p = authz_policy_parse(text, "fuzz", "000000000000", &e);
    if (p == NULL) {
        fuzz_check_refusal(&e);
        return 0;
    }
    MUST(authz_policy_identities(p) > 0);
    decide(p, word_after(text, "[identity "), word_after(text, "[person "),
           word_after(text, "merchants = "));
    decide(p, STR("spiffe://d/x"), STR("ada"), STR("acme"));
    authz_policy_release(p);
    return 0;
}
