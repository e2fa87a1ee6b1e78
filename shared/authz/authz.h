// Who may do what: a policy file maps identities and persons to roles and merchants; a table maps methods to the roles that may call
// them and to what of the request is looked at; and pure functions decide. Nothing here knows of a network or a database.
#ifndef AUTHZ_AUTHZ_H
#define AUTHZ_AUTHZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

// --- Roles -------------------------------------------------------------------------------------------------------------

// X(NAME, name in the policy file). docs/operating/policy.md says what each may do.
#define AUTHZ_ROLES(X)                                                                             \
    X(PLATFORM, "platform")     /* merchants and deposits */                                       \
    X(PAYER, "payer")           /* a program: payouts of its merchants */                          \
    X(MAKER, "maker")           /* a person who prepares payouts */                                \
    X(CHECKER, "checker")       /* a person who looks payouts through */                           \
    X(OPERATOR, "operator")     /* cases, connections, files */                                    \
    X(COMPLIANCE, "compliance") /* people and cases, without money */                              \
    X(AUDITOR, "auditor")       /* reads all, changes nothing */                                   \
    X(GATEWAY, "gateway")       /* a program that says for whom it acts */                         \
    X(BOOKKEEPER, "bookkeeper") /* payments-svc at the ledger: nobody else writes there */

enum authz_role_number {
#define AUTHZ_NUMBER(name, text) AUTHZ_NUMBER_##name,
    AUTHZ_ROLES(AUTHZ_NUMBER)
#undef AUTHZ_NUMBER
        AUTHZ_ROLE_COUNT
};

typedef uint32_t authz_roles; // a set
enum {
#define AUTHZ_BIT(name, text) AUTHZ_##name = 1u << AUTHZ_NUMBER_##name,
    AUTHZ_ROLES(AUTHZ_BIT)
#undef AUTHZ_BIT
};

const char *authz_role_name(enum authz_role_number r); // @static
// Names that are separated by commas and blanks, each once, at least one. False with *bad: the word at fault, empty when a name
// is missing.
bool authz_roles_read(str names, authz_roles *out, str *bad) WARN_UNUSED;

// --- The policy --------------------------------------------------------------------------------------------------------

enum {
    AUTHZ_FILE_MAX = 4 * 1024 * 1024,
    AUTHZ_LINE_MAX = 4096,
    AUTHZ_ENTRIES_MAX = 4096,    // identities and persons
    AUTHZ_MERCHANTS_MAX = 65536, // of all entries together
    AUTHZ_IDENTITY_MAX = 255,    // bytes
    AUTHZ_PERSON_MAX = 128,
    AUTHZ_MERCHANT_MAX = 64,
    AUTHZ_VERSION_LEN = 12
};
#define AUTHZ_ALL_MERCHANTS "all" // instead of ids, in the file
// Stands for all callers of a server without certificates.
#define AUTHZ_INSECURE "insecure"

// Immutable, counted. Any thread.
typedef struct authz_policy authz_policy;

// name: of the file, for messages. version: AUTHZ_VERSION_LEN characters that tell this text from others. NULL with INVALID_ARGUMENT,
// reason POLICY_INVALID: the message names file, line and field. @owned: authz_policy_release.
authz_policy *authz_policy_parse(str text, const char *name, const char *version, err *e);
void authz_policy_release(authz_policy *p); // NULL is fine
const char *authz_policy_version(const authz_policy *p);
size_t authz_policy_identities(const authz_policy *p);
size_t authz_policy_persons(const authz_policy *p);

// The policy in force, which is replaced while calls are under way. Any thread.
typedef struct authz_current authz_current;

authz_current *authz_current_create(authz_policy *p);      // @consumes p
void authz_current_destroy(authz_current *c);              // NULL is fine
void authz_current_set(authz_current *c, authz_policy *p); // @consumes p
// @owned: release it. *generation, which may be NULL: of this policy; see below.
authz_policy *authz_current_hold(authz_current *c, uint64_t *generation);
// Grows with each policy that is set.
uint64_t authz_current_generation(const authz_current *c);

// --- Who calls ---------------------------------------------------------------------------------------------------------

// X(NAME, reason of the error, message). All but the first are PERMISSION_DENIED.
#define AUTHZ_VERDICTS(X)                                                                          \
    X(ALLOWED, "", "")                                                                             \
    X(IDENTITY_UNKNOWN, "IDENTITY_NOT_ALLOWED", "this client may not call this service")           \
    X(NOT_A_GATEWAY, "ACTING_NOT_ALLOWED", "this client may not say for whom it acts")             \
    X(PERSON_MISSING, "PERSON_MISSING", "a gateway must say for whom it acts")                     \
    X(PERSON_UNKNOWN, "PERSON_NOT_ALLOWED", "the policy grants this person nothing")               \
    X(ROLES_NOT_GRANTED, "ROLES_NOT_GRANTED",                                                      \
      "the person does not have all of the roles that were stated, or not through this gateway")   \
    X(ROLE_MISSING, "ROLE_MISSING", "the caller's roles do not allow this method")                 \
    X(MERCHANT_FOREIGN, "MERCHANT_NOT_ALLOWED", "the caller may not act for this merchant")        \
    X(MERCHANTS_NOT_ALL, "MERCHANTS_NOT_ALL", "this takes a caller who has all merchants")

typedef enum authz_verdict {
#define AUTHZ_VERDICT(name, reason, message) AUTHZ_##name,
    AUTHZ_VERDICTS(AUTHZ_VERDICT)
#undef AUTHZ_VERDICT
        AUTHZ_VERDICT_COUNT
} authz_verdict;

const char *authz_verdict_reason(authz_verdict v); // "ALLOWED" of the first
// Fills *e with PERMISSION_DENIED and returns false. v is not AUTHZ_ALLOWED.
bool authz_refuse(authz_verdict v, err *e);

// What a gateway says in metadata about the person that it acts for.
typedef struct authz_claim {
    str person;        // empty: nothing was said
    authz_roles roles; // that it wants to use of the person's; 0: all that it may
} authz_claim;

typedef struct authz_entry authz_entry;

// Who calls, as the policy knows it. Valid as long as the policy is held.
typedef struct authz_who {
    const authz_policy *policy;
    const authz_entry *program;
    const authz_entry *person; // NULL: a program acts for itself
    authz_roles roles;         // in force
} authz_who;

// On anything but AUTHZ_ALLOWED *out is empty. p NULL: nobody is known.
authz_verdict authz_identify(const authz_policy *p, str identity, const authz_claim *claim,
                             authz_who *out);
// Who wrote down an actor_text, as p knows them today: the program, and the person when it has a certificate of that person's or is a
// gateway. What a program said of itself (a name that nobody had proved) counts for nothing.
authz_verdict authz_recall(const authz_policy *p, str actor, authz_who *out);
// Whether the policy knows somebody by this name. p NULL: no.
bool authz_knows_person(const authz_policy *p, str name);
const char *authz_who_program(const authz_who *w); // the identity
const char *authz_who_person(const authz_who *w);  // "" when there is none
bool authz_who_has_all(const authz_who *w);        // all merchants
bool authz_who_has(const authz_who *w, str merchant_id);
// The merchants of a caller who does not have all, one after the other: begin with *at 0. False at the end. @borrowed from the policy.
bool authz_who_next(const authz_who *w, size_t *at, str *merchant_id);

// --- What a method takes -----------------------------------------------------------------------------------------------

// Which merchants the caller must have.
typedef enum authz_object {
    AUTHZ_ON_NOTHING,         // none: it tells nothing of a merchant
    AUTHZ_ON_MERCHANT,        // the merchant that merchant_id of the request names
    AUTHZ_ON_MERCHANT_OR_ALL, // the same, and all of them when merchant_id is empty
    AUTHZ_ON_ALL              // all of them, whatever is asked
} authz_object;
#define AUTHZ_MERCHANT_FIELD "merchant_id"

// One row of a service's table.
typedef struct authz_permission {
    const char *method; // "payments.v1.PayoutService/CreatePayout"
    authz_roles roles;  // one of them is needed
    authz_object object;
} authz_permission;

// What can be said before the request is looked at, and then with its merchant_id. Neither asks whether anything exists.
authz_verdict authz_may_call(const authz_who *w, const authz_permission *p);
authz_verdict authz_may_touch(const authz_who *w, const authz_permission *p, str merchant_id);

#endif
