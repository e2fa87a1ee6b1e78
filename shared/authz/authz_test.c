#include "authz/authz.h"

#include "authz/actor.h"
#include "base/arena.h"
#include "base/test_support.h"

#define PROGRAM "spiffe://disburse/"

static authz_policy *parse(const char *text, err *e) {
    memset(e, 0, sizeof *e);
    return authz_policy_parse(str_of(text), "etc/policy.conf", "0123456789ab", e);
}

static authz_policy *must_parse(const char *text) {
    err e = {0};
    authz_policy *p = parse(text, &e);
    if (p == NULL) {
        fail_msg("%s", e.message);
    }
    return p;
}

static const char POLICY[] = "# Who may do what.\n"
                             "[identity " PROGRAM "payments-svc]\n"
                             "roles = bookkeeper\n"
                             "merchants = all\n"
                             "\n"
                             "[identity " PROGRAM "shop]\n"
                             "  roles = payer,platform  \n"
                             "merchants = acme, globex\n"
                             "merchants = initech\n"
                             "; A door for people.\n"
                             "[identity " PROGRAM "edge]\n"
                             "roles = gateway\n"
                             "acts_as = maker, auditor\n"
                             "merchants = acme, globex\n"
                             "[identity " PROGRAM "person/ada]\n"
                             "person = ada@example.com\n"
                             "[person ada@example.com]\n"
                             "roles = maker, operator\n"
                             "merchants = acme, hooli\n"
                             "[person grace]\n"
                             "roles = auditor\n"
                             "merchants = all\n";

static authz_who who_is(const authz_policy *p, const char *identity, const char *person,
                        authz_roles roles, authz_verdict expected) {
    const authz_claim claim = {str_of(person), roles};
    authz_who w;
    assert_int_equal(authz_identify(p, str_of(identity), &claim, &w), expected);
    if (expected != AUTHZ_ALLOWED) {
        assert_null(w.program);
        assert_int_equal(w.roles, 0);
    }
    return w;
}

static const char *merchants_of(const authz_who *w) {
    static char text[256];
    text[0] = '\0';
    size_t at = 0;
    for (str m; authz_who_next(w, &at, &m);) {
        snprintf(text + strlen(text), sizeof text - strlen(text), " %.*s", (int)m.len, m.ptr);
    }
    return text;
}

static void test_identify__a_program__has_its_own_roles_and_merchants(void **state) {
    (void)state;
    authz_policy *p = must_parse(POLICY);
    assert_int_equal(authz_policy_identities(p), 4);
    assert_int_equal(authz_policy_persons(p), 2);
    assert_string_equal(authz_policy_version(p), "0123456789ab");
    authz_who w = who_is(p, PROGRAM "shop", "", 0, AUTHZ_ALLOWED);
    assert_int_equal(w.roles, AUTHZ_PAYER | AUTHZ_PLATFORM);
    assert_string_equal(authz_who_program(&w), PROGRAM "shop");
    assert_string_equal(authz_who_person(&w), "");
    assert_string_equal(merchants_of(&w), " acme globex initech");
    assert_false(authz_who_has_all(&w));
    assert_true(authz_who_has(&w, STR("initech")));
    assert_false(authz_who_has(&w, STR("initec")));
    assert_false(authz_who_has(&w, STR("")));
    w = who_is(p, PROGRAM "payments-svc", "", 0, AUTHZ_ALLOWED);
    assert_true(authz_who_has_all(&w) && authz_who_has(&w, STR("anybody")));
    assert_string_equal(merchants_of(&w), "");
    authz_policy_release(p);
}

static void test_identify__nobody__is_not_known(void **state) {
    (void)state;
    authz_policy *p = must_parse(POLICY);
    const char *const strangers[] = {"",      "insecure",       PROGRAM "sho", PROGRAM "shop2",
                                     "grace", "ada@example.com"};
    for (size_t i = 0; i < N_OF(strangers); i++) {
        authz_who w = who_is(p, strangers[i], "", 0, AUTHZ_IDENTITY_UNKNOWN);
        assert_false(authz_who_has_all(&w));
        assert_false(authz_who_has(&w, STR("acme")));
        assert_string_equal(merchants_of(&w), "");
    }
    (void)who_is(NULL, PROGRAM "shop", "", 0, AUTHZ_IDENTITY_UNKNOWN);
    authz_policy_release(p);
}

static void test_identify__a_certificate_of_a_person__has_what_the_person_has(void **state) {
    (void)state;
    authz_policy *p = must_parse(POLICY);
    authz_who w = who_is(p, PROGRAM "person/ada", "", 0, AUTHZ_ALLOWED);
    assert_int_equal(w.roles, AUTHZ_MAKER | AUTHZ_OPERATOR);
    assert_string_equal(authz_who_person(&w), "ada@example.com");
    assert_string_equal(merchants_of(&w), " acme hooli");
    assert_false(authz_who_has(&w, STR("globex")));
    assert_false(authz_who_has_all(&w));
    authz_policy_release(p);
}

static void test_identify__a_gateway__gives_no_more_than_both_have(void **state) {
    (void)state;
    authz_policy *p = must_parse(POLICY);
    authz_who w = who_is(p, PROGRAM "edge", "ada@example.com", 0, AUTHZ_ALLOWED);
    assert_int_equal(w.roles, AUTHZ_MAKER); // not operator: the gateway may not act as one
    assert_string_equal(authz_who_program(&w), PROGRAM "edge");
    assert_string_equal(authz_who_person(&w), "ada@example.com");
    assert_string_equal(merchants_of(&w), " acme"); // hooli is not the gateway's, globex not hers
    assert_false(authz_who_has(&w, STR("hooli")) || authz_who_has(&w, STR("globex")));
    w = who_is(p, PROGRAM "edge", "grace", 0, AUTHZ_ALLOWED);
    assert_false(authz_who_has_all(&w)); // she has all, and the gateway has two
    assert_string_equal(merchants_of(&w), " acme globex");
    w = who_is(p, PROGRAM "edge", "ada@example.com", AUTHZ_MAKER, AUTHZ_ALLOWED);
    assert_int_equal(w.roles, AUTHZ_MAKER);
    (void)who_is(p, PROGRAM "edge", "ada@example.com", AUTHZ_OPERATOR, AUTHZ_ROLES_NOT_GRANTED);
    (void)who_is(p, PROGRAM "edge", "ada@example.com", AUTHZ_MAKER | AUTHZ_AUDITOR,
                 AUTHZ_ROLES_NOT_GRANTED);
    (void)who_is(p, PROGRAM "edge", "grace", AUTHZ_GATEWAY, AUTHZ_ROLES_NOT_GRANTED);
    (void)who_is(p, PROGRAM "edge", "mallory", 0, AUTHZ_PERSON_UNKNOWN);
    (void)who_is(p, PROGRAM "edge", PROGRAM "shop", 0, AUTHZ_PERSON_UNKNOWN);
    (void)who_is(p, PROGRAM "edge", "", AUTHZ_MAKER, AUTHZ_PERSON_MISSING);
    authz_policy_release(p);
}

static void recalled(const authz_policy *p, const char *actor, authz_verdict expected,
                     authz_roles roles) {
    authz_who w;
    const authz_verdict v = authz_recall(p, str_of(actor), &w);
    if (v != expected || w.roles != roles) {
        fail_msg("%s: %s, roles %x", actor, authz_verdict_reason(v), w.roles);
    }
}

static void test_recall__who_wrote_an_actor_down__as_the_policy_knows_them_today(void **state) {
    (void)state;
    authz_policy *p = must_parse(POLICY);
    recalled(p, PROGRAM "shop", AUTHZ_ALLOWED, AUTHZ_PAYER | AUTHZ_PLATFORM);
    recalled(p, PROGRAM "shop for bob", AUTHZ_ALLOWED, AUTHZ_PAYER | AUTHZ_PLATFORM); // it said so
    recalled(p, PROGRAM "edge for ada@example.com", AUTHZ_ALLOWED, AUTHZ_MAKER);
    recalled(p, PROGRAM "shop says for bob", AUTHZ_ALLOWED, AUTHZ_PAYER | AUTHZ_PLATFORM);
    // nobody has proved the name
    recalled(p, PROGRAM "edge says for ada@example.com", AUTHZ_ALLOWED, AUTHZ_GATEWAY);
    recalled(p, PROGRAM "edge for eve", AUTHZ_PERSON_UNKNOWN, 0);
    recalled(p, PROGRAM "edge", AUTHZ_ALLOWED, AUTHZ_GATEWAY);
    recalled(p, PROGRAM "person/ada for ada@example.com", AUTHZ_ALLOWED,
             AUTHZ_MAKER | AUTHZ_OPERATOR);
    recalled(p, PROGRAM "person/ada for grace", AUTHZ_PERSON_UNKNOWN, 0); // it was hers
    recalled(p, PROGRAM "gone for ada@example.com", AUTHZ_IDENTITY_UNKNOWN, 0);
    recalled(p, "", AUTHZ_IDENTITY_UNKNOWN, 0);
    recalled(NULL, PROGRAM "shop", AUTHZ_IDENTITY_UNKNOWN, 0);
    assert_true(authz_knows_person(p, STR("grace")));
    assert_false(authz_knows_person(p, STR("bob")));
    assert_false(authz_knows_person(p, STR("")));
    assert_false(authz_knows_person(NULL, STR("grace")));
    authz_policy_release(p);
}

static void test_identify__not_a_gateway__may_not_say_for_whom_it_acts(void **state) {
    (void)state;
    authz_policy *p = must_parse(POLICY);
    (void)who_is(p, PROGRAM "shop", "ada@example.com", 0, AUTHZ_NOT_A_GATEWAY);
    (void)who_is(p, PROGRAM "shop", "", AUTHZ_PAYER, AUTHZ_NOT_A_GATEWAY);
    (void)who_is(p, PROGRAM "person/ada", "ada@example.com", 0, AUTHZ_NOT_A_GATEWAY);
    authz_policy_release(p);
}

static void test_may_call__every_role_and_object(void **state) {
    (void)state;
    authz_policy *p = must_parse(POLICY);
    const authz_permission pay = {"x/Pay", AUTHZ_PAYER | AUTHZ_MAKER, AUTHZ_ON_MERCHANT};
    const authz_permission list = {"x/List", AUTHZ_PAYER, AUTHZ_ON_MERCHANT_OR_ALL};
    const authz_permission all = {"x/All", AUTHZ_PAYER | AUTHZ_BOOKKEEPER, AUTHZ_ON_ALL};
    const authz_permission free_of = {"x/Who", AUTHZ_PAYER | AUTHZ_GATEWAY, AUTHZ_ON_NOTHING};
    authz_who shop = who_is(p, PROGRAM "shop", "", 0, AUTHZ_ALLOWED);
    assert_int_equal(authz_may_call(&shop, &pay), AUTHZ_ALLOWED);
    assert_int_equal(authz_may_touch(&shop, &pay, STR("acme")), AUTHZ_ALLOWED);
    assert_int_equal(authz_may_touch(&shop, &pay, STR("hooli")), AUTHZ_MERCHANT_FOREIGN);
    assert_int_equal(authz_may_touch(&shop, &pay, STR("")), AUTHZ_MERCHANT_FOREIGN);
    assert_int_equal(authz_may_touch(&shop, &list, STR("")), AUTHZ_MERCHANTS_NOT_ALL);
    assert_int_equal(authz_may_touch(&shop, &list, STR("globex")), AUTHZ_ALLOWED);
    assert_int_equal(authz_may_call(&shop, &all), AUTHZ_MERCHANTS_NOT_ALL);
    assert_int_equal(authz_may_touch(&shop, &all, STR("acme")), AUTHZ_MERCHANTS_NOT_ALL);
    assert_int_equal(authz_may_touch(&shop, &free_of, STR("hooli")), AUTHZ_ALLOWED);
    authz_who svc = who_is(p, PROGRAM "payments-svc", "", 0, AUTHZ_ALLOWED);
    assert_int_equal(authz_may_call(&svc, &pay), AUTHZ_ROLE_MISSING);
    assert_int_equal(authz_may_call(&svc, &all), AUTHZ_ALLOWED);
    assert_int_equal(authz_may_touch(&svc, &all, STR("")), AUTHZ_ALLOWED);
    authz_who edge = who_is(p, PROGRAM "edge", "", 0, AUTHZ_ALLOWED);
    assert_int_equal(authz_may_call(&edge, &pay), AUTHZ_PERSON_MISSING);
    assert_int_equal(authz_may_call(&edge, &free_of), AUTHZ_ALLOWED);
    authz_policy_release(p);
}

// --- Faults ------------------------------------------------------------------------------------------------------------

typedef struct fault {
    const char *text, *message;
} fault;

#define SHOP "[identity spiffe://d/shop]\n"
#define WHOLE "roles = payer\nmerchants = all\n"

static const fault FAULTS[] = {
    {"", "etc/policy.conf:0: the policy names no identity"},
    {"# nothing\n\n", "etc/policy.conf:2: the policy names no identity"},
    {"[person ada]\n" WHOLE, "etc/policy.conf:3: the policy names no identity"},
    {"roles = payer\n", ":1: a section must come first"},
    {SHOP "hello\n", ":2: this is no section, no comment"},
    {SHOP "roles\n", ":2: this is no section"},
    {SHOP "rights = payer\n", ":2: \"rights\" is no key of an identity"},
    {"[person ada]\nperson = ada\n", ":2: \"person\" is no key of a person"},
    {"[person ada]\nacts_as = payer\n", ":2: \"acts_as\" is no key of a person"},
    {"[identity spiffe://d/shop\n", ":1: the section's name does not end with ]"},
    {"[identity]\n", ":1: identity: \"\" is no identity"},
    {"[]\n", ":1: a section is [identity URI]"},
    {"[client spiffe://d/shop]\n", ":1: a section is [identity URI]"},
    {"[identity https://d/shop]\n", ":1: identity: \"https://d/shop\" is no identity"},
    {"[identity spiffe://d]\n", "is no identity"},
    {"[identity spiffe:///shop]\n", "is no identity"},
    {"[identity spiffe://d/]\n", "is no identity"},
    {"[identity spiffe://d/*]\n", "is no identity"},
    {"[identity *]\n", "is no identity"},
    {"[identity spiffe://d/a b]\n", "is no identity"},
    {"[person ada lovelace]\n", ":1: person: \"ada lovelace\" is no name of a person"},
    {"[person ]\n", "is no name of a person"},
    {SHOP WHOLE SHOP, ":4: identity: \"spiffe://d/shop\" has an entry already"},
    {"[person ada]\n" WHOLE "[person ada]\n", ":4: person: \"ada\" has an entry already"},
    {SHOP "merchants = all\n", ":1: roles: not given"},
    {SHOP "roles = payer\n"
          "[person ada]\n",
     ":1: merchants: not given; all of them is"},
    {SHOP "roles =\n", ":2: roles: nothing is given"},
    {SHOP "roles = payr\n", ":2: roles: \"payr\" is not a role"},
    {SHOP "roles = Payer\n", ":2: roles: \"Payer\" is not a role"},
    {SHOP "roles = payer payer\n", ":2: roles: \"payer payer\" is not a role"},
    {SHOP "roles = payer, payer\n", ":2: roles: \"payer\" stands there twice"},
    {SHOP "roles = payer,\n", ":2: roles: a role is missing"},
    {SHOP "roles = all\n", ":2: roles: \"all\" is not a role"},
    {SHOP "roles = payer\nroles = maker\n", ":3: roles: given twice"},
    {SHOP "roles = payer, gateway\n", ":2: roles: a gateway acts for persons only"},
    {SHOP "roles = gateway\nmerchants = all\n", ":1: acts_as: a gateway needs it"},
    {SHOP WHOLE "acts_as = payer\n", ":1: acts_as: only a gateway has it"},
    {SHOP "roles = gateway\nacts_as = gateway\n", ":3: acts_as: no person can be a gateway"},
    {SHOP "roles = gateway\nacts_as = bookkeeper\n", ":3: acts_as: no person can be"},
    {"[person ada]\nroles = bookkeeper\n", ":2: roles: a person cannot be"},
    {"[person ada]\nroles = gateway\n", ":2: roles: a person cannot be"},
    {SHOP "merchants = acme, all\n", ":2: merchants: \"all\" stands alone"},
    {SHOP "merchants = acme\nmerchants = all\n", ":3: merchants: \"all\" stands alone"},
    {SHOP "merchants = all\nmerchants = acme\n", ":3: merchants: \"all\" stands alone"},
    {SHOP "merchants = *\n", ":2: merchants: \"*\" is no merchant id"},
    {SHOP "merchants = acme,,globex\n", ":2: merchants: \"\" is no merchant id"},
    {SHOP "merchants = Acme\n", ":2: merchants: \"Acme\" is no merchant id"},
    {SHOP "merchants = acme\nmerchants = acme\n", ":3: merchants: \"acme\" stands there twice"},
    {SHOP "person = ada\n", ":1: person: \"ada\" has no entry of its own"},
    {SHOP "person = ada\nroles = payer\n[person ada]\n" WHOLE,
     ":1: person: the entry of the person says the roles and merchants"},
    {SHOP "roles = pay\x01"
          "er\n",
     ":2: this is not plain UTF-8 text"},
    {SHOP "roles = payer\nmerchants = all", ":3: this line has no end"},
    {SHOP "roles = payer\r\n", ":2: this is not plain UTF-8 text"},
    {"# caf\xc3\n", ":1: this is not plain UTF-8 text"},
};

static void test_parse__a_fault__names_file_line_field_and_reason(void **state) {
    (void)state;
    for (size_t i = 0; i < N_OF(FAULTS); i++) {
        err e = {0};
        authz_policy *p = parse(FAULTS[i].text, &e);
        if (p != NULL || strstr(e.message, FAULTS[i].message) == NULL) {
            fail_msg("%s\nwas answered \"%s\", not \"%s\"", FAULTS[i].text,
                     p != NULL ? "yes" : e.message, FAULTS[i].message);
        }
        assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
        assert_string_equal(e.reason, "POLICY_INVALID");
    }
}

// Text that is too much of something: n times the part, between a head and a tail.
static authz_policy *parse_many(const char *head, const char *part_format, int n, const char *tail,
                                err *e) {
    strbuf b;
    strbuf_init(&b, (size_t)16 * 1024 * 1024);
    strbuf_add_c(&b, head);
    for (int i = 0; i < n; i++) {
        strbuf_printf(&b, "%s%d", part_format, i);
        strbuf_add_c(&b, tail);
    }
    assert_true(strbuf_ok(&b));
    memset(e, 0, sizeof *e);
    authz_policy *p = authz_policy_parse(strbuf_str(&b), "p", "v", e);
    strbuf_deinit(&b);
    return p;
}

static void test_parse__limits__hold_and_are_named(void **state) {
    (void)state;
    err e = {0};
    authz_policy *p = parse_many("", "[identity spiffe://d/s", AUTHZ_ENTRIES_MAX, "]\n" WHOLE, &e);
    assert_non_null(p);
    assert_int_equal(authz_policy_identities(p), AUTHZ_ENTRIES_MAX);
    (void)who_is(p, "spiffe://d/s4095", "", 0, AUTHZ_ALLOWED);
    authz_policy_release(p);
    assert_null(parse_many("", "[identity spiffe://d/s", AUTHZ_ENTRIES_MAX + 1, "]\n" WHOLE, &e));
    assert_non_null(strstr(e.message, "more than 4096 identities and persons"));
    p = parse_many(SHOP "roles = payer\n", "merchants=m", AUTHZ_MERCHANTS_MAX, "\n", &e);
    assert_non_null(p);
    authz_who w = who_is(p, "spiffe://d/shop", "", 0, AUTHZ_ALLOWED);
    assert_true(authz_who_has(&w, STR("m65535")));
    assert_false(authz_who_has(&w, STR("m65536")));
    authz_policy_release(p);
    assert_null(
        parse_many(SHOP "roles = payer\n", "merchants=m", AUTHZ_MERCHANTS_MAX + 1, "\n", &e));
    assert_non_null(strstr(e.message, "more than 65536 merchants in all"));
    assert_null(parse_many(SHOP "roles = payer\nmerchants = m", ",m", 1500, "", &e));
    assert_non_null(strstr(e.message, ":3: a line has at most 4096 bytes"));
    assert_null(parse_many("", "# a comment ", 300000, "\n", &e));
    assert_non_null(strstr(e.message, "the file has more than 4194304 bytes"));
}

static void test_current__a_new_policy__is_in_force_and_the_held_one_stays(void **state) {
    (void)state;
    authz_current *c = authz_current_create(must_parse(SHOP WHOLE));
    uint64_t before = 0, after = 0;
    authz_policy *held = authz_current_hold(c, &before);
    assert_int_equal(authz_current_generation(c), before);
    authz_current_set(c, must_parse("[identity spiffe://d/other]\n" WHOLE));
    authz_policy *now = authz_current_hold(c, &after);
    assert_true(after > before);
    (void)who_is(held, "spiffe://d/shop", "", 0, AUTHZ_ALLOWED);
    (void)who_is(now, "spiffe://d/shop", "", 0, AUTHZ_IDENTITY_UNKNOWN);
    (void)who_is(now, "spiffe://d/other", "", 0, AUTHZ_ALLOWED);
    authz_policy_release(held);
    authz_current_destroy(c);
    authz_policy_release(now); // outlives even that
}

static void test_verdicts__all__have_a_reason(void **state) {
    (void)state;
    for (int v = 1; v < AUTHZ_VERDICT_COUNT; v++) {
        err e = {0};
        assert_false(authz_refuse((authz_verdict)v, &e));
        assert_int_equal(e.code, ERR_PERMISSION_DENIED);
        assert_string_equal(e.reason, authz_verdict_reason((authz_verdict)v));
        assert_true(e.message[0] != '\0');
    }
}

static void test_roles_read__names__become_a_set(void **state) {
    (void)state;
    authz_roles roles = 0;
    str bad;
    assert_true(authz_roles_read(STR(" payer ,maker"), &roles, &bad));
    assert_int_equal(roles, AUTHZ_PAYER | AUTHZ_MAKER);
    for (int i = 0; i < AUTHZ_ROLE_COUNT; i++) {
        assert_true(authz_roles_read(str_of(authz_role_name(i)), &roles, &bad));
        assert_int_equal(roles, 1u << i);
    }
    assert_false(authz_roles_read(STR(""), &roles, &bad));
    assert_false(authz_roles_read(STR("payer,nobody"), &roles, &bad));
    assert_true(str_eq_c(bad, "nobody"));
}

static void test_actor__text__names_the_program_and_the_person(void **state) {
    (void)state;
    arena *a = arena_create(1024);
    actor_info who = {.program = STR("spiffe://d/edge"), .person = STR("ada")};
    assert_string_equal(actor_text(&who, a), "spiffe://d/edge for ada");
    who.stated = true;
    assert_string_equal(actor_text(&who, a), "spiffe://d/edge says for ada");
    who.person = STR("");
    assert_string_equal(actor_text(&who, a), "spiffe://d/edge");
    arena_destroy(a);
}

static void test_actor__read__is_what_was_written(void **state) {
    (void)state;
    arena *a = arena_create(4096);
    const actor_info written[] = {{.program = STR("spiffe://d/edge")},
                                  {.program = STR("spiffe://d/edge"), .person = STR("ada")},
                                  {.program = STR("insecure"), .person = STR("ada for bob")},
                                  {.program = STR("p"), .person = STR("bob"), .stated = true}};
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        actor_info read = {0};
        actor_read(str_of(actor_text(&written[i], a)), &read);
        assert_true(str_eq(read.program, written[i].program));
        assert_true(str_eq(read.person, written[i].person));
        assert_int_equal(read.stated, written[i].stated);
    }
    actor_info nobody = {0};
    actor_read(STR(""), &nobody);
    assert_int_equal(nobody.program.len, 0);
    arena_destroy(a);
}

static void test_actor__trace__is_sixteen_bytes_or_nil(void **state) {
    (void)state;
    actor_info who = {.trace_id = STR("000102030405060708090a0b0c0d0e0f")};
    const uuid trace = actor_trace(&who);
    for (uint8_t i = 0; i < sizeof trace.b; i++) {
        assert_int_equal(trace.b[i], i);
    }
    who.trace_id = STR("000102030405060708090a0b0c0d0e0x");
    assert_true(uuid_is_nil(actor_trace(&who)));
    who.trace_id = STR("");
    assert_true(uuid_is_nil(actor_trace(&who)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actor__read__is_what_was_written),
        cmocka_unit_test(test_actor__trace__is_sixteen_bytes_or_nil),
        cmocka_unit_test(test_identify__a_program__has_its_own_roles_and_merchants),
        cmocka_unit_test(test_identify__nobody__is_not_known),
        cmocka_unit_test(test_identify__a_certificate_of_a_person__has_what_the_person_has),
        cmocka_unit_test(test_identify__a_gateway__gives_no_more_than_both_have),
        cmocka_unit_test(test_identify__not_a_gateway__may_not_say_for_whom_it_acts),
        cmocka_unit_test(test_recall__who_wrote_an_actor_down__as_the_policy_knows_them_today),
        cmocka_unit_test(test_may_call__every_role_and_object),
        cmocka_unit_test(test_parse__a_fault__names_file_line_field_and_reason),
        cmocka_unit_test(test_parse__limits__hold_and_are_named),
        cmocka_unit_test(test_current__a_new_policy__is_in_force_and_the_held_one_stays),
        cmocka_unit_test(test_verdicts__all__have_a_reason),
        cmocka_unit_test(test_roles_read__names__become_a_set),
        cmocka_unit_test(test_actor__text__names_the_program_and_the_person),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
