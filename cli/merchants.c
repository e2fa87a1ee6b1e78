// payctl merchants: create, deposit, list; by hand, or for all the merchants of a payout file.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/money.h"
#include "cli/cli.h"
#include "cli/payout_file.h"
#include "payments/v1/merchant_service.pb-c.h"

enum { CURRENCIES_MAX = 16, NEEDS_MAX = 10000 };

static const char *const SERVICE = "payments.v1.MerchantService";

typedef struct asked {
    const char *from, *name, *key, *reference, *amount;
    char *currencies[CURRENCIES_MAX];
    size_t n_currencies;
} asked;

// What a file's rows of one merchant and currency add up to.
typedef struct need {
    const char *merchant, *currency;
    int64_t sum;
} need;

// What was made is said for people at once, and with --json by the command at its end: made, an array.
static int create_one(cli *c, const char *id, const char *name, char **currencies, size_t n,
                      json_t *made) {
    Payments__V1__CreateMerchantRequest request = PAYMENTS__V1__CREATE_MERCHANT_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.merchant_id = (char *)id;
    request.name = (char *)name;
    request.currencies = currencies;
    request.n_currencies = n;
    if (!cli_call(c, SERVICE, "CreateMerchant", &request.base,
                  &payments__v1__create_merchant_response__descriptor, &answer, &e)) {
        return cli_failed(c, arena_printf(c->arena, "create merchant %s", id), &e);
    }
    const Payments__V1__Merchant *m =
        ((const Payments__V1__CreateMerchantResponse *)answer)->merchant;
    if (c->json) {
        json_array_append_new(made, cli_to_json(&m->base));
    } else {
        cli_print(stdout, "merchant %s in book %lld\n", m->merchant_id, (long long)m->book_id);
    }
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

static const char *joined(cli *c, char *const *words, size_t n) {
    const char *all = "";
    for (size_t i = 0; i < n; i++) {
        all = arena_printf(c->arena, "%s%s%s", all, i > 0 ? " " : "", words[i]);
        ASSERT(all != NULL);
    }
    return all;
}

static int list(cli *c) {
    Payments__V1__ListMerchantsRequest request = PAYMENTS__V1__LIST_MERCHANTS_REQUEST__INIT;
    static const char *const TITLES[] = {"merchant", "name", "book", "currencies", "created"};
    json_t *all = json_array();
    table t;
    err e = {0};
    request.page_size = 1000;
    table_begin(&t, 5, 4u, TITLES);
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
            const char *cells[] = {m->merchant_id, m->name,
                                   arena_printf(c->arena, "%lld", (long long)m->book_id),
                                   joined(c, m->currencies, m->n_currencies),
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

// One need a merchant and currency of the file, sorted. Says what is wrong itself.
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
        char *currencies[CURRENCIES_MAX];
        size_t n_currencies = 0;
        const char *merchant = needs[i].merchant;
        for (; i < n && strcmp(needs[i].merchant, merchant) == 0 && n_currencies < CURRENCIES_MAX;
             i++) {
            currencies[n_currencies++] = (char *)needs[i].currency;
        }
        qsort(currencies, n_currencies, sizeof currencies[0], by_text);
        code = create_one(c, merchant, merchant, currencies, n_currencies, made);
    }
    return code;
}

// The file's own hash makes the key, so that the deposits of one file are made once.
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
    if (payout_file_read_good(c, path, &f) && file_needs(c, &f, &needs, &n)) {
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

static int make(cli *c, asked *a, bool create, const char *id) {
    json_t *made = json_array();
    const int code = a->from != NULL ? from_file(c, create, a->from, made)
                     : create ? create_one(c, id, a->name != NULL ? a->name : id, a->currencies,
                                           a->n_currencies, made)
                              : deposit_by_hand(c, a, id, made);
    if (c->json &&
        (code == EXIT_DONE || json_array_size(made) > 0)) { // also what came before a failure
        cli_print_value(json_pack("{s:O}", create ? "merchants" : "deposits", made));
    }
    json_decref(made);
    return code;
}

static int cmd_merchants(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"from", required_argument, NULL, 'f'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"currency", required_argument, NULL, 'c'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"amount", required_argument, NULL, 'a'},
                                            {"reference", required_argument, NULL, 'r'},
                                            {0}};
    asked a = {0};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'f': a.from = optarg; break;
        case 'n': a.name = optarg; break;
        case 'k': a.key = optarg; break;
        case 'a': a.amount = optarg; break;
        case 'r': a.reference = optarg; break;
        case 'c':
            if (a.n_currencies == CURRENCIES_MAX) {
                return cli_usage("too many currencies");
            }
            a.currencies[a.n_currencies++] = optarg;
            break;
        default: return EXIT_USAGE;
        }
    }
    const char *what = optind < argc ? argv[optind] : "list";
    const char *id = optind + 1 < argc ? argv[optind + 1] : NULL;
    const bool lists = strcmp(what, "list") == 0, create = strcmp(what, "create") == 0;
    if (!lists && !create && strcmp(what, "deposit") != 0) {
        return cli_usage("merchants knows list, create and deposit, not \"%s\"", what);
    }
    const int takes = lists ? 1 : 2;
    if (optind + takes < argc) {
        return cli_usage("merchants %s does not take \"%s\"%s", what, argv[optind + takes],
                         create ? ": each currency has a --currency of its own" : "");
    }
    if (lists) {
        return list(c);
    }
    if ((a.from == NULL) == (id == NULL)) {
        return cli_usage("merchants %s takes a merchant id, or --from FILE", what);
    }
    return make(c, &a, create, id);
}

const cli_command COMMAND_MERCHANTS = {
    .name = "merchants",
    .usage = "[list] | create ID|--from FILE.csv ... | deposit ID|--from FILE.csv ...",
    .summary = "list merchants, create them, deposit money for them",
    .help = "  create ID [--name N] --currency C...\n"
            "  deposit ID --amount 100.00 --currency C --key K [--reference R]\n"
            "                        the same key deposits once\n"
            "  create --from FILE.csv, deposit --from FILE.csv\n"
            "                        the merchants of a payout file, and what the file pays for "
            "each; - "
            "is stdin\n"
            "\n"
            "JSON\n"
            "  {merchants: [{...}]}   deposit: {deposits: [{merchant_id, transfer_id, ...}]}\n",
    .run = cmd_merchants,
};
