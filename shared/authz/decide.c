// The decision: pure functions over a policy that does not change.
#include <string.h>

#include "authz/actor.h"
#include "authz/authz_internal.h"
#include "base/assert.h"

static const struct {
    const char *reason, *message;
} VERDICTS[AUTHZ_VERDICT_COUNT] = {
#define AUTHZ_TEXT(name, why, text) [AUTHZ_##name] = {why, text},
    AUTHZ_VERDICTS(AUTHZ_TEXT)
#undef AUTHZ_TEXT
};

const char *authz_verdict_reason(authz_verdict v) {
    ASSERT((unsigned)v < AUTHZ_VERDICT_COUNT);
    return v == AUTHZ_ALLOWED ? "ALLOWED" : VERDICTS[v].reason;
}

bool authz_refuse(authz_verdict v, err *e) {
    ASSERT((unsigned)v < AUTHZ_VERDICT_COUNT && v != AUTHZ_ALLOWED);
    return err_set(e, ERR_PERMISSION_DENIED, VERDICTS[v].reason, "%s", VERDICTS[v].message);
}

const authz_entry *policy_entry(const authz_policy *p, uint32_t owner, str name) {
    uint32_t position = 0;
    return lookup_find(&p->names, owner, name, &position) ? &p->entries[position] : NULL;
}

bool policy_entry_has(const authz_policy *p, const authz_entry *entry, str merchant_id) {
    uint32_t position = 0;
    return entry->all_merchants ||
           lookup_find(&p->merchants, LOOKUP_MERCHANTS + (uint32_t)(entry - p->entries),
                       merchant_id, &position);
}

// A gateway gives what the person has, and no more than it may act in itself.
static authz_verdict act_for(const authz_policy *p, const authz_claim *claim, authz_who *w) {
    if (claim->person.len == 0) {
        w->roles = AUTHZ_GATEWAY; // with which it may do nothing but ask who it is
        return claim->roles == 0 ? AUTHZ_ALLOWED : AUTHZ_PERSON_MISSING;
    }
    w->person = policy_entry(p, LOOKUP_PERSONS, claim->person);
    if (w->person == NULL) {
        return AUTHZ_PERSON_UNKNOWN;
    }
    const authz_roles may = w->person->roles & w->program->roles;
    w->roles = claim->roles == 0 ? may : claim->roles;
    return (w->roles & ~may) == 0 ? AUTHZ_ALLOWED : AUTHZ_ROLES_NOT_GRANTED;
}

static authz_verdict identify(const authz_policy *p, str identity, const authz_claim *claim,
                              authz_who *w) {
    w->policy = p;
    w->program = p == NULL ? NULL : policy_entry(p, LOOKUP_IDENTITIES, identity);
    if (w->program == NULL) {
        return AUTHZ_IDENTITY_UNKNOWN;
    }
    if (w->program->is_gateway) {
        return act_for(p, claim, w);
    }
    if (claim->person.len > 0 || claim->roles != 0) {
        return AUTHZ_NOT_A_GATEWAY;
    }
    w->person = w->program->person;
    w->roles = w->person != NULL ? w->person->roles : w->program->roles;
    return AUTHZ_ALLOWED;
}

authz_verdict authz_identify(const authz_policy *p, str identity, const authz_claim *claim,
                             authz_who *out) {
    *out = (authz_who){0};
    const authz_verdict v = identify(p, identity, claim, out);
    if (v != AUTHZ_ALLOWED) {
        *out = (authz_who){0};
    }
    return v;
}

bool authz_knows_person(const authz_policy *p, str name) {
    return p != NULL && policy_entry(p, LOOKUP_PERSONS, name) != NULL;
}

authz_verdict authz_recall(const authz_policy *p, str actor, authz_who *out) {
    actor_info wrote;
    actor_read(actor, &wrote);
    const str program = wrote.program;
    const str person = wrote.stated ? (str){0} : wrote.person;
    const authz_entry *entry = p == NULL ? NULL : policy_entry(p, LOOKUP_IDENTITIES, program);
    const bool gateway = entry != NULL && entry->is_gateway;
    const authz_claim claim = {.person = gateway ? person : (str){0}};
    const authz_verdict v = authz_identify(p, program, &claim, out);
    // The certificate may be another person's by now.
    if (v == AUTHZ_ALLOWED && entry->person != NULL && !str_eq(entry->person->name, person)) {
        *out = (authz_who){0};
        return AUTHZ_PERSON_UNKNOWN;
    }
    return v;
}

const char *authz_who_program(const authz_who *w) {
    return w->program == NULL ? "" : w->program->name.ptr;
}

const char *authz_who_person(const authz_who *w) {
    return w->person == NULL ? "" : w->person->name.ptr;
}

bool authz_who_has_all(const authz_who *w) {
    return w->program != NULL && w->program->all_merchants &&
           (w->person == NULL || w->person->all_merchants);
}

bool authz_who_has(const authz_who *w, str merchant_id) {
    return w->program != NULL && policy_entry_has(w->policy, w->program, merchant_id) &&
           (w->person == NULL || policy_entry_has(w->policy, w->person, merchant_id));
}

bool authz_who_next(const authz_who *w, size_t *at, str *merchant_id) {
    if (w->program == NULL) {
        return false;
    }
    const authz_entry *listed = w->program->all_merchants ? w->person : w->program;
    while (listed != NULL && *at < listed->n_merchants) {
        *merchant_id = listed->merchants[(*at)++];
        if (authz_who_has(w, *merchant_id)) {
            return true;
        }
    }
    return false;
}

authz_verdict authz_may_call(const authz_who *w, const authz_permission *p) {
    if ((w->roles & p->roles) == 0) {
        return w->roles == AUTHZ_GATEWAY ? AUTHZ_PERSON_MISSING : AUTHZ_ROLE_MISSING;
    }
    return p->object == AUTHZ_ON_ALL && !authz_who_has_all(w) ? AUTHZ_MERCHANTS_NOT_ALL
                                                              : AUTHZ_ALLOWED;
}

authz_verdict authz_may_touch(const authz_who *w, const authz_permission *p, str merchant_id) {
    switch (p->object) {
    case AUTHZ_ON_NOTHING: return AUTHZ_ALLOWED;
    case AUTHZ_ON_ALL: return authz_who_has_all(w) ? AUTHZ_ALLOWED : AUTHZ_MERCHANTS_NOT_ALL;
    case AUTHZ_ON_MERCHANT_OR_ALL:
        if (merchant_id.len == 0) {
            return authz_who_has_all(w) ? AUTHZ_ALLOWED : AUTHZ_MERCHANTS_NOT_ALL;
        }
        break;
    case AUTHZ_ON_MERCHANT: break;
    }
    return authz_who_has(w, merchant_id) ? AUTHZ_ALLOWED : AUTHZ_MERCHANT_FOREIGN;
}
