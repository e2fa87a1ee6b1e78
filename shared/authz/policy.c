// The reader of policy files. Strict: a text that it does not understand refuses the whole file, with place and reason.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authz/authz_internal.h"
#include "base/assert.h"

enum {
    MEMORY_MAX = 32 * 1024 * 1024,
    NAME_SHOWN = 60, // bytes of the file's name in messages
    WORD_SHOWN = 40
};

static const char *const ROLE_NAMES[AUTHZ_ROLE_COUNT] = {
#define AUTHZ_NAME(name, text) text,
    AUTHZ_ROLES(AUTHZ_NAME)
#undef AUTHZ_NAME
};

// Roles that no person can have, and no gateway passes on.
static const authz_roles OF_PROGRAMS = AUTHZ_GATEWAY | AUTHZ_BOOKKEEPER;

typedef struct reading {
    const char *file;
    int line;
    authz_policy *p;
    authz_entry *now; // the current section's; NULL before the first
    unsigned given;   // keys given in the section
    str *merchants;   // of all entries, in sequence
    size_t n_merchants;
    err *e;
} reading;

enum { GIVEN_ROLES = 1, GIVEN_MERCHANTS = 2, GIVEN_PERSON = 4, GIVEN_ACTS_AS = 8 };

#define WRONG(r, field, ...) wrong((r), (r)->line, (field), __VA_ARGS__)

static bool wrong(reading *r, int line, const char *field, const char *fmt, ...) PRINTF_LIKE(4, 5);
static bool wrong(reading *r, int line, const char *field, const char *fmt, ...) {
    char why[128];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    const size_t len = strlen(r->file);
    return err_set_field(r->e, ERR_INVALID_ARGUMENT, "POLICY_INVALID", field, "%s:%d: %s%s%s",
                         r->file + (len > NAME_SHOWN ? len - NAME_SHOWN : 0), line, field,
                         field[0] == '\0' ? "" : ": ", why);
}

static int shown(str word) {
    return word.len > WORD_SHOWN ? WORD_SHOWN : (int)word.len;
}

// --- Words -------------------------------------------------------------------------------------------------------------

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static str trim(str s) {
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s = (str){s.ptr + 1, s.len - 1};
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

// The text before the next separator, trimmed. False at the end; a last separator leaves an empty word.
static bool next_word(str *rest, char separator, str *word) {
    if (rest->ptr == NULL) {
        return false;
    }
    const char *end = rest->len == 0 ? NULL : memchr(rest->ptr, separator, rest->len);
    const size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    *word = trim((str){rest->ptr, len});
    *rest = end == NULL ? (str){0} : (str){end + 1, rest->len - len - 1};
    return true;
}

static bool has_only(str s, const char *others) {
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (c == '\0' || (!letter && strchr(others, c) == NULL)) {
            return false;
        }
    }
    return true;
}

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

const char *authz_role_name(enum authz_role_number r) {
    ASSERT((unsigned)r < AUTHZ_ROLE_COUNT);
    return ROLE_NAMES[r];
}

bool authz_roles_read(str names, authz_roles *out, str *bad) {
    str rest = names;
    *out = 0;
    while (next_word(&rest, ',', bad)) {
        authz_roles role = 0;
        for (unsigned i = 0; i < AUTHZ_ROLE_COUNT; i++) {
            role |= str_eq_c(*bad, ROLE_NAMES[i]) ? 1u << i : 0;
        }
        if (role == 0 || (*out & role) != 0) {
            return false;
        }
        *out |= role;
    }
    return true;
}

static bool is_identity(str s) {
    static const char SCHEME[] = "spiffe://";
    const size_t len = sizeof SCHEME - 1;
    if (str_eq_c(s, AUTHZ_INSECURE)) {
        return true;
    }
    if (s.len > AUTHZ_IDENTITY_MAX || s.len <= len || memcmp(s.ptr, SCHEME, len) != 0) {
        return false;
    }
    const str rest = {s.ptr + len, s.len - len};
    const char *slash = memchr(rest.ptr, '/', rest.len);
    return slash != NULL && slash != rest.ptr && slash + 1 < rest.ptr + rest.len &&
           has_only(rest, UPPER "-._~/@:+");
}

static bool is_person(str s) {
    return s.len >= 1 && s.len <= AUTHZ_PERSON_MAX && has_only(s, UPPER "-._@+");
}

static bool is_merchant(str s) {
    return s.len >= 1 && s.len <= AUTHZ_MERCHANT_MAX && s.ptr[0] != '-' && s.ptr[0] != '_' &&
           has_only(s, "-_");
}

static bool keep(reading *r, str s, str *out) {
    out->ptr = arena_strndup(r->p->memory, s.ptr, s.len);
    out->len = s.len;
    return out->ptr != NULL || WRONG(r, "", "the policy takes too much memory");
}

// --- Keys --------------------------------------------------------------------------------------------------------------

static bool read_roles(reading *r, const char *field, str value, authz_roles *out) {
    str bad = {0};
    if (authz_roles_read(value, out, &bad)) {
        return true;
    }
    if (bad.len == 0) {
        return WRONG(r, field, "a role is missing");
    }
    authz_roles alone = 0;
    str again = {0};
    return authz_roles_read(bad, &alone, &again)
               ? WRONG(r, field, "\"%.*s\" stands there twice", shown(bad), bad.ptr)
               : WRONG(r, field, "\"%.*s\" is not a role", shown(bad), bad.ptr);
}

static bool take_roles(reading *r, str value) {
    authz_roles roles = 0;
    if (!read_roles(r, "roles", value, &roles)) {
        return false;
    }
    if (r->now->is_person && (roles & OF_PROGRAMS) != 0) {
        return WRONG(r, "roles", "a person cannot be a gateway or the bookkeeper");
    }
    if ((roles & AUTHZ_GATEWAY) != 0 && roles != AUTHZ_GATEWAY) {
        return WRONG(r, "roles", "a gateway acts for persons only, and has no other role");
    }
    r->now->is_gateway = roles == AUTHZ_GATEWAY;
    r->now->roles |= roles == AUTHZ_GATEWAY ? 0 : roles;
    return true;
}

static bool take_acts_as(reading *r, str value) {
    authz_roles roles = 0;
    if (!read_roles(r, "acts_as", value, &roles)) {
        return false;
    }
    if ((roles & OF_PROGRAMS) != 0) {
        return WRONG(r, "acts_as", "no person can be a gateway or the bookkeeper");
    }
    r->now->roles = roles;
    return true;
}

static bool take_merchants(reading *r, str value) {
    const uint32_t owner = LOOKUP_MERCHANTS + (uint32_t)(r->now - r->p->entries);
    if (r->now->all_merchants || (str_eq_c(value, "all") && r->now->n_merchants > 0)) {
        return WRONG(r, "merchants", "\"all\" stands alone");
    }
    if (str_eq_c(value, "all")) {
        r->now->all_merchants = true;
        return true;
    }
    str rest = value, word;
    while (next_word(&rest, ',', &word)) {
        str kept;
        if (str_eq_c(word, "all")) {
            return WRONG(r, "merchants", "\"all\" stands alone");
        }
        if (!is_merchant(word)) {
            return WRONG(r, "merchants", "\"%.*s\" is no merchant id", shown(word), word.ptr);
        }
        if (r->n_merchants == AUTHZ_MERCHANTS_MAX) {
            return WRONG(r, "merchants", "more than %d merchants in all", AUTHZ_MERCHANTS_MAX);
        }
        if (!keep(r, word, &kept)) {
            return false;
        }
        if (!lookup_add(&r->p->merchants, owner, kept, (uint32_t)r->n_merchants)) {
            return WRONG(r, "merchants", "\"%.*s\" stands there twice", shown(word), word.ptr);
        }
        r->merchants[r->n_merchants++] = kept;
        r->now->n_merchants++;
    }
    return true;
}

static bool take_person(reading *r, str value) {
    return is_person(value)
               ? keep(r, value, &r->now->of_person)
               : WRONG(r, "person", "\"%.*s\" is no name of a person", shown(value), value.ptr);
}

typedef struct key {
    const char *name;
    unsigned bit;
    bool of_persons;
    bool repeats; // may be repeated, and adds
    bool (*take)(reading *r, str value);
} key;

static const key KEYS[] = {
    {"roles", GIVEN_ROLES, true, false, take_roles},
    {"merchants", GIVEN_MERCHANTS, true, true, take_merchants},
    {"person", GIVEN_PERSON, false, false, take_person},
    {"acts_as", GIVEN_ACTS_AS, false, false, take_acts_as},
};

static bool read_key(reading *r, str line) {
    const char *equals = memchr(line.ptr, '=', line.len);
    if (equals == NULL) {
        return WRONG(r, "", "this is no section, no comment, and no \"key = value\"");
    }
    const str name = trim((str){line.ptr, (size_t)(equals - line.ptr)});
    const str value = trim((str){equals + 1, line.len - (size_t)(equals - line.ptr) - 1});
    if (r->now == NULL) {
        return WRONG(r, "", "a section must come first: [identity URI] or [person NAME]");
    }
    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0]; i++) {
        const key *k = &KEYS[i];
        if (!str_eq_c(name, k->name) || (r->now->is_person && !k->of_persons)) {
            continue;
        }
        if ((r->given & k->bit) != 0 && !k->repeats) {
            return WRONG(r, k->name, "given twice");
        }
        r->given |= k->bit;
        return value.len > 0 ? k->take(r, value) : WRONG(r, k->name, "nothing is given");
    }
    return WRONG(r, "", "\"%.*s\" is no key of %s", shown(name), name.ptr,
                 r->now->is_person ? "a person" : "an identity");
}

// --- Sections ----------------------------------------------------------------------------------------------------------

static bool end_section(reading *r) {
    authz_entry *x = r->now;
    if (x == NULL) {
        return true;
    }
    const unsigned given = r->given;
    r->given = 0;
    r->now = NULL;
    if (x->of_person.len > 0) {
        x->all_merchants = true; // the person's own merchants count
        return given == GIVEN_PERSON ||
               wrong(r, x->line, "person", "the entry of the person says the roles and merchants");
    }
    if ((given & GIVEN_ROLES) == 0) {
        return wrong(r, x->line, "roles", "not given");
    }
    if ((given & GIVEN_MERCHANTS) == 0) {
        return wrong(r, x->line, "merchants", "not given; all of them is \"merchants = all\"");
    }
    if (x->is_gateway != ((given & GIVEN_ACTS_AS) != 0)) {
        return wrong(r, x->line, "acts_as",
                     x->is_gateway ? "a gateway needs it: the roles that it may act in"
                                   : "only a gateway has it");
    }
    return true;
}

static bool begin_section(reading *r, str line) {
    if (line.ptr[line.len - 1] != ']') {
        return WRONG(r, "", "the section's name does not end with ]");
    }
    str rest = trim((str){line.ptr + 1, line.len - 2}), kind;
    (void)next_word(&rest, ' ', &kind);
    const str name = rest.ptr == NULL ? (str){"", 0} : trim(rest);
    const bool person = str_eq_c(kind, "person");
    if (!person && !str_eq_c(kind, "identity")) {
        return WRONG(r, "", "a section is [identity URI] or [person NAME]");
    }
    if (person ? !is_person(name) : !is_identity(name)) {
        return WRONG(r, person ? "person" : "identity", "\"%.*s\" is no %s", shown(name), name.ptr,
                     person ? "name of a person" : "identity: spiffe://DOMAIN/PATH");
    }
    if (r->p->n_entries == AUTHZ_ENTRIES_MAX) {
        return WRONG(r, "", "more than %d identities and persons", AUTHZ_ENTRIES_MAX);
    }
    authz_entry *x = &r->p->entries[r->p->n_entries];
    *x = (authz_entry){
        .is_person = person, .line = r->line, .merchants = r->merchants + r->n_merchants};
    if (!keep(r, name, &x->name)) {
        return false;
    }
    if (!lookup_add(&r->p->names, person ? LOOKUP_PERSONS : LOOKUP_IDENTITIES, x->name,
                    (uint32_t)r->p->n_entries)) {
        return WRONG(r, person ? "person" : "identity", "\"%.*s\" has an entry already",
                     shown(name), name.ptr);
    }
    r->p->n_entries++;
    r->p->n_persons += person ? 1 : 0;
    r->now = x;
    return true;
}

// --- The file ----------------------------------------------------------------------------------------------------------

static bool read_line(reading *r, str line) {
    r->line++;
    if (line.len > AUTHZ_LINE_MAX) {
        return WRONG(r, "", "a line has at most %d bytes", AUTHZ_LINE_MAX);
    }
    line = trim(line);
    if (!str_is_plain(line.ptr, line.len)) {
        return WRONG(r, "", "this is not plain UTF-8 text, or has control characters");
    }
    if (line.len == 0 || line.ptr[0] == '#' || line.ptr[0] == ';') {
        return true;
    }
    return line.ptr[0] == '[' ? end_section(r) && begin_section(r, line) : read_key(r, line);
}

static bool join_persons(reading *r) {
    for (size_t i = 0; i < r->p->n_entries; i++) {
        authz_entry *x = &r->p->entries[i];
        if (x->of_person.len == 0) {
            continue;
        }
        x->person = policy_entry(r->p, LOOKUP_PERSONS, x->of_person);
        if (x->person == NULL) {
            return wrong(r, x->line, "person", "\"%.*s\" has no entry of its own",
                         shown(x->of_person), x->of_person.ptr);
        }
    }
    return true;
}

static bool read_text(reading *r, str text) {
    str rest = text;
    if (text.len > AUTHZ_FILE_MAX) {
        return WRONG(r, "", "the file has more than %d bytes", AUTHZ_FILE_MAX);
    }
    while (rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        const size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr);
        if (!read_line(r, (str){rest.ptr, len})) {
            return false;
        }
        if (end == NULL) { // a name of which half is written may be another one's, or "all"
            return WRONG(r, "", "this line has no end: the file may be half written");
        }
        rest = (str){end + 1, rest.len - len - 1};
    }
    if (!end_section(r) || !join_persons(r)) {
        return false;
    }
    return authz_policy_identities(r->p) > 0 || WRONG(r, "", "the policy names no identity");
}

// Counts the characters that every further entry or merchant needs: so small policies take little memory.
static size_t count(str text, const char *any, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < max; i++) {
        n += text.ptr[i] != '\0' && strchr(any, text.ptr[i]) != NULL ? 1 : 0;
    }
    return n;
}

authz_policy *authz_policy_parse(str text, const char *name, const char *version, err *e) {
    ASSERT(strlen(version) <= AUTHZ_VERSION_LEN);
    const size_t entries = count(text, "[", AUTHZ_ENTRIES_MAX);
    const size_t merchants = count(text, "=,", AUTHZ_MERCHANTS_MAX);
    authz_policy *p = calloc(1, sizeof *p);
    ASSERT(p != NULL);
    atomic_init(&p->refs, 1);
    p->memory = arena_create(MEMORY_MAX);
    (void)snprintf(p->version, sizeof p->version, "%s", version);
    reading r = {.file = name, .p = p, .e = e};
    p->entries = ARENA_ARRAY(p->memory, authz_entry, entries + 1);
    r.merchants = ARENA_ARRAY(p->memory, str, merchants + 1);
    const bool room = p->entries != NULL && r.merchants != NULL &&
                      lookup_init(&p->names, entries, p->memory) &&
                      lookup_init(&p->merchants, merchants, p->memory);
    ASSERT(room); // constants bound all of it
    if (!read_text(&r, text)) {
        authz_policy_release(p);
        return NULL;
    }
    return p;
}

void authz_policy_release(authz_policy *p) {
    if (p != NULL && atomic_fetch_sub(&p->refs, 1) == 1) {
        arena_destroy(p->memory);
        free(p);
    }
}

const char *authz_policy_version(const authz_policy *p) {
    return p->version;
}

size_t authz_policy_identities(const authz_policy *p) {
    return p->n_entries - p->n_persons;
}

size_t authz_policy_persons(const authz_policy *p) {
    return p->n_persons;
}
