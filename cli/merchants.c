// payctl merchants: create, deposit, list. By hand, or for all merchants of a payout file.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/money.h"
#include "cli/cli.h"
#include "cli/pay_file.h"
#include "payments/v1/merchant_service.pb-c.h"

enum { CURRENCIES_MAX = 16, CONNECTIONS_MAX = 16, NEEDS_MAX = 10000 };

static const char *const SERVICE = "payments.v1.MerchantService";

typedef struct asked {
    const char *from, *name, *key, *reference, *amount;
    char *currencies[CURRENCIES_MAX];
    size_t n_currencies;
    char *connections[CONNECTIONS_MAX];
    size_t n_connections;
    int without[CONNECTIONS_MAX];
    size_t n_without;
    const char *person;
} asked;

// The sum of a file's rows of one merchant and currency.
typedef struct need {
    const char *merchant, *currency;
    int64_t sum;
} need;

static const char *joined(cli *c, char *const *words, size_t n) {
    const char *all = "";
    for (size_t i = 0; i < n; i++) {
        all = arena_printf(c->arena, "%s%s%s", all, i > 0 ? " " : "", words[i]);
        ASSERT(all != NULL);
    }
    return all;
}

// People see each merchant at once. With --json the command prints the array `made` at its end.
static void say_merchant(cli *c, const Payments__V1__Merchant *m, json_t *made) {
    if (c->json) {
        json_array_append_new(made, cli_to_json(&m->base));
        return;
    }
    const size_t n = m->n_default_connections;
    cli_print(stdout, "merchant %s in book %lld%s%s%s\n", m->merchant_id, (long long)m->book_id,
              n > 0 ? ", pays through " : "", joined(c, m->default_connections, n),
              n > 0 ? " unless a payout names a connection" : "");
}

static int create_one(cli *c, const char *id, const asked *x, json_t *made) {
    Payments__V1__CreateMerchantRequest request = PAYMENTS__V1__CREATE_MERCHANT_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.merchant_id = (char *)id;
    request.name = (char *)(x->name != NULL ? x->name : id);
    request.currencies = (char **)x->currencies;
    request.n_currencies = x->n_currencies;
    request.default_connections = (char **)x->connections;
    request.n_default_connections = x->n_connections;
    if (!cli_call(c, SERVICE, "CreateMerchant", &request.base,
                  &payments__v1__create_merchant_response__descriptor, &answer, &e)) {
        return cli_failed(c, arena_printf(c->arena, "create merchant %s", id), &e);
    }
    say_merchant(c, ((const Payments__V1__CreateMerchantResponse *)answer)->merchant, made);
    return EXIT_DONE;
}

static int update_one(cli *c, const char *id, const asked *x, json_t *made) {
    Payments__V1__UpdateMerchantRequest request = PAYMENTS__V1__UPDATE_MERCHANT_REQUEST__INIT;
    Payments__V1__Rail without[CONNECTIONS_MAX];
    ProtobufCMessage *answer = NULL;
    err e = {0};
    if (x->n_connections + x->n_without == 0) {
        return cli_usage("merchants update needs --connection NAME or --no-connection RAIL");
    }
    for (size_t i = 0; i < x->n_without; i++) {
        without[i] = (Payments__V1__Rail)x->without[i];
    }
    request.merchant_id = (char *)id;
    request.default_connections = (char **)x->connections;
    request.n_default_connections = x->n_connections;
    request.rails_without_default = without;
    request.n_rails_without_default = x->n_without;
    request.person = (char *)cli_person(c, x->person);
    if (!cli_call(c, SERVICE, "UpdateMerchant", &request.base,
                  &payments__v1__update_merchant_response__descriptor, &answer, &e)) {
        return cli_failed(c, arena_printf(c->arena, "change merchant %s", id), &e);
    }
    say_merchant(c, ((const Payments__V1__UpdateMerchantResponse *)answer)->merchant, made);
    return EXIT_DONE;
}

static int deposit_one(cli *c, const char *id, int64_t amount, const char *currency_code,
                       const char *key, const char *reference, json_t *made) {
    Payments__V1__CreateDepositRequest request = PAYMENTS__V1__CREATE_DEPOSIT_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.merchant_id = (char *)id;
    request.idempotency_key = (char *)key;
    request.amount_minor = amount;
    request.currency = (char *)currency_code;
    request.reference = (char *)reference;
    if (!cli_call(c, SERVICE, "CreateDeposit", &request.base,
                  &payments__v1__create_deposit_response__descriptor, &answer, &e)) {
        return cli_failed(c, arena_printf(c->arena, "deposit for %s", id), &e);
    }
    if (c->json) {
        json_t *deposit = cli_to_json(answer);
        json_object_set_new(deposit, "merchant_id", json_string(id));
        json_array_append_new(made, deposit);
    } else {
        cli_print(stdout, "%s has received %s under the key %s, once however often this is run\n",
                  id, cli_money(c, amount, currency_code), key);
    }
    return EXIT_DONE;
}

static int list(cli *c) {
    Payments__V1__ListMerchantsRequest request = PAYMENTS__V1__LIST_MERCHANTS_REQUEST__INIT;
    static const char *const TITLES[] = {"merchant",   "name",         "book",
                                         "currencies", "pays through", "created"};
    json_t *all = json_array();
    table t;
    err e = {0};
    request.page_size = 1000;
    table_begin(&t, 6, 4u, TITLES);
    do {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, SERVICE, "ListMerchants", &request.base,
                      &payments__v1__list_merchants_response__descriptor, &answer, &e)) {
            table_drop(&t);
            json_decref(all);
            return cli_failed(c, "list the merchants", &e);
        }
        const Payments__V1__ListMerchantsResponse *r =
            (const Payments__V1__ListMerchantsResponse *)answer;
        for (size_t i = 0; i < r->n_merchants; i++) {
            const Payments__V1__Merchant *m = r->merchants[i];
            const char *cells[] = {m->merchant_id,
                                   m->name,
                                   arena_printf(c->arena, "%lld", (long long)m->book_id),
                                   joined(c, m->currencies, m->n_currencies),
                                   m->n_default_connections == 0 ? "-"
                                                                 : joined(c, m->default_connections,
                                                                          m->n_default_connections),
                                   cli_time(c, m->create_time->seconds, m->create_time->nanos)};
            table_row(&t, cells);
            json_array_append_new(all, cli_to_json(&m->base));
        }
        request.page_token = r->next_page_token;
    } while (request.page_token[0] != '\0');
    if (c->json) {
        table_drop(&t);
        cli_print_value(json_pack("{s:o}", "merchants", all));
    } else {
        table_print(&t);
        json_decref(all);
    }
    return EXIT_DONE;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_merchant_and_currency(const void *a, const void *b) {
    const need *x = a, *y = b;
    const int order = strcmp(x->merchant, y->merchant);
    return order != 0 ? order : strcmp(x->currency, y->currency);
}

// One need per merchant and currency of the file, sorted. Reports errors itself.
static bool file_needs(cli *c, const payout_file *f, need **needs, size_t *n) {
    need *all = ARENA_ARRAY(c->arena, need, f->n);
    size_t kept = 0;
    ASSERT(all != NULL);
    for (size_t i = 0; i < f->n; i++) {
        all[i] = (need){f->rows[i].merchant_id, f->rows[i].currency, f->rows[i].amount_minor};
    }
    qsort(all, f->n, sizeof *all, by_merchant_and_currency);
    for (size_t i = 0; i < f->n; i++) {
        if (kept > 0 && by_merchant_and_currency(&all[kept - 1], &all[i]) == 0) {
            if (!ck_add_i64(all[kept - 1].sum, all[i].sum, &all[kept - 1].sum)) {
                (void)cli_usage("the file's sum for %s is too large", all[i].merchant);
                return false;
            }
        } else {
            all[kept++] = all[i];
        }
    }
    *needs = all;
    *n = kept;
    return true;
}

static int create_from(cli *c, const need *needs, size_t n, json_t *made) {
    int code = EXIT_DONE;
    for (size_t i = 0; code == EXIT_DONE && i < n;) {
        asked x = {0};
        const char *merchant = needs[i].merchant;
        for (; i < n && strcmp(needs[i].merchant, merchant) == 0 && x.n_currencies < CURRENCIES_MAX;
             i++) {
            x.currencies[x.n_currencies++] = (char *)needs[i].currency;
        }
        qsort(x.currencies, x.n_currencies, sizeof x.currencies[0], by_text);
        code = create_one(c, merchant, &x, made);
    }
    return code;
}

// The file's hash makes the key, so the deposits of one file are made once.
static int deposit_from(cli *c, const payout_file *f, const need *needs, size_t n, json_t *made) {
    char hash[65];
    int code = EXIT_DONE;
    str_hex(f->sha256, sizeof f->sha256, hash);
    for (size_t i = 0; code == EXIT_DONE && i < n; i++) {
        const char *key = arena_printf(c->arena, "file-%.40s-%s", hash, needs[i].currency);
        code = deposit_one(c, needs[i].merchant, needs[i].sum, needs[i].currency, key,
                           "funds for a payout file", made);
    }
    return code;
}

static int from_file(cli *c, bool create, const char *path, json_t *made) {
    payout_file f;
    need *needs = NULL;
    size_t n = 0;
    int code = EXIT_USAGE;
    if (pay_file_read_good(c, path, &f) && file_needs(c, &f, &needs, &n)) {
        code = create ? create_from(c, needs, n, made) : deposit_from(c, &f, needs, n, made);
    }
    payout_file_free(&f);
    return code;
}

static int deposit_by_hand(cli *c, const asked *a, const char *id, json_t *made) {
    const currency *ccy = a->n_currencies == 1 ? currency_find(str_of(a->currencies[0])) : NULL;
    int64_t minor = 0;
    if (ccy == NULL || a->amount == NULL || a->key == NULL) {
        return cli_usage(
            "deposit needs --amount, one --currency and --key (the same key deposits once)");
    }
    if (!money_parse(str_of(a->amount), ccy, &minor)) {
        return cli_usage("\"%s\" is not an amount of %s", a->amount, ccy->code);
    }
    return deposit_one(c, id, minor, ccy->code, a->key, a->reference != NULL ? a->reference : "",
                       made);
}

enum { LIST, CREATE, UPDATE, DEPOSIT, N_VERBS };
static const char *const VERBS[N_VERBS] = {"list", "create", "update", "deposit"};

static int make(cli *c, const asked *a, int verb, const char *id) {
    json_t *made = json_array();
    const int code = a->from != NULL  ? from_file(c, verb == CREATE, a->from, made)
                     : verb == CREATE ? create_one(c, id, a, made)
                     : verb == UPDATE ? update_one(c, id, a, made)
                                      : deposit_by_hand(c, a, id, made);
    // also what was made before a failure
    if (c->json && (code == EXIT_DONE || json_array_size(made) > 0)) {
        cli_print_value(json_pack("{s:O}", verb == DEPOSIT ? "deposits" : "merchants", made));
    }
    json_decref(made);
    return code;
}

// Adds one value of an option that may be given several times.
static bool keep_word(char **words, size_t *n, size_t max, char *word) {
    if (*n == max) {
        (void)cli_usage("too many of one option");
        return false;
    }
    words[(*n)++] = word;
    return true;
}

static bool keep_without(asked *a, const struct option *options, int opt, const char *word) {
    if (a->n_without == CONNECTIONS_MAX ||
        !cli_enum_value(&payments__v1__rail__descriptor, word, &a->without[a->n_without])) {
        (void)cli_bad_value(options, opt, word, &payments__v1__rail__descriptor, NULL);
        return false;
    }
    a->n_without++;
    return true;
}

static bool read_options(int argc, char **argv, asked *a) {
    static const struct option OPTIONS[] = {{"from", required_argument, NULL, 'f'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"currency", required_argument, NULL, 'c'},
                                            {"connection", required_argument, NULL, 'C'},
                                            {"no-connection", required_argument, NULL, 'N'},
                                            {"person", required_argument, NULL, 'p'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"amount", required_argument, NULL, 'a'},
                                            {"reference", required_argument, NULL, 'r'},
                                            {0}};
    bool ok = true;
    int opt = 0;
    while (ok && (opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'f': a->from = optarg; break;
        case 'n': a->name = optarg; break;
        case 'k': a->key = optarg; break;
        case 'a': a->amount = optarg; break;
        case 'r': a->reference = optarg; break;
        case 'p': a->person = optarg; break;
        case 'c': ok = keep_word(a->currencies, &a->n_currencies, CURRENCIES_MAX, optarg); break;
        case 'C': ok = keep_word(a->connections, &a->n_connections, CONNECTIONS_MAX, optarg); break;
        case 'N': ok = keep_without(a, OPTIONS, opt, optarg); break;
        default: return false;
        }
    }
    return ok;
}

static int cmd_merchants(cli *c, int argc, char **argv) {
    asked a = {0};
    if (!read_options(argc, argv, &a)) {
        return EXIT_USAGE;
    }
    const char *what = optind < argc ? argv[optind] : VERBS[LIST];
    const char *id = optind + 1 < argc ? argv[optind + 1] : NULL;
    int verb = LIST;
    while (verb < N_VERBS && strcmp(what, VERBS[verb]) != 0) {
        verb++;
    }
    if (verb == N_VERBS) {
        return cli_usage("merchants knows list, create, update and deposit, not \"%s\"", what);
    }
    const int takes = verb == LIST ? 1 : 2;
    if (optind + takes < argc) {
        return cli_usage("merchants %s does not take \"%s\"%s", what, argv[optind + takes],
                         verb == CREATE ? ": each currency has a --currency of its own" : "");
    }
    if ((a.n_connections > 0 && (a.from != NULL || (verb != CREATE && verb != UPDATE))) ||
        (a.n_without > 0 && verb != UPDATE)) {
        return cli_usage("--connection is for create ID and update ID, --no-connection for update");
    }
    if (verb == LIST) {
        return list(c);
    }
    if ((a.from == NULL) == (id == NULL) || (verb == UPDATE && id == NULL)) {
        return cli_usage("merchants %s takes a merchant id%s", what,
                         verb == UPDATE ? "" : ", or --from FILE");
    }
    return make(c, &a, verb, id);
}

const cli_command COMMAND_MERCHANTS = {
    .name = "merchants",
    .usage = "[list] | create ID|--from FILE.csv ... | update ID ... | deposit ID|--from FILE.csv "
             "...",
    .summary = "list merchants, create and change them, deposit money for them",
    .help =
        "  create ID [--name N] --currency C... [--connection NAME...]\n"
        "                        --connection: the default connection of its rail, for payouts "
        "that name only the rail\n"
        "  update ID [--connection NAME...] [--no-connection RAIL...] [--person NAME]\n"
        "                        changes the default connections. --no-connection: no default for "
        "this rail\n"
        "  deposit ID --amount 100.00 --currency C --key K [--reference R]\n"
        "                        credits money; a repeat with the same key credits nothing more\n"
        "  create --from FILE.csv, deposit --from FILE.csv\n"
        "                        makes the merchants of a payout file, and deposits what the file "
        "pays for each; -\n"
        "                        is stdin\n"
        "\n"
        "JSON\n"
        "  {merchants: [{...}]}   deposit: {deposits: [{merchant_id, transfer_id, ...}]}\n",
    .run = cmd_merchants,
};
