#include "faults/faults.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct faults {
    pthread_mutex_t lock; // guards config
    faults_config config;
};

typedef struct field {
    const char *name;
    size_t offset;
    int64_t max;
} field;

enum { PERCENT_MAX = 100, DELAY_MAX_MS = 600000, REFUSALS_RETRIABLE = 2, ERRORS_BEFORE_OK = 2 };

#define PCT(n)                                                                                     \
    { #n, offsetof(faults_config, n), PERCENT_MAX }
static const field FIELDS[] = {
    {"seed", offsetof(faults_config, seed), INT64_MAX},
    PCT(slow_pct),
    PCT(http_500_pct),
    PCT(refuse_pct),
    PCT(drop_answer_pct),
    PCT(answer_twice_pct),
    PCT(webhook_late_pct),
    PCT(webhook_missing_pct),
    PCT(return_after_settlement_pct),
    PCT(ach_return_pct),
    {"slow_ms", offsetof(faults_config, slow_ms), DELAY_MAX_MS},
    {"webhook_late_ms", offsetof(faults_config, webhook_late_ms), DELAY_MAX_MS},
};
enum { N_FIELDS = sizeof(FIELDS) / sizeof(FIELDS[0]) };

// Faults that a roll decides. Each has its own stream of numbers: switching one on does not change the others.
enum {
    ROLL_SLOW = 1,
    ROLL_500,
    ROLL_REFUSE,
    ROLL_REFUSE_KIND,
    ROLL_DROP,
    ROLL_TWICE,
    ROLL_LATE,
    ROLL_MISSING,
    ROLL_RETURN,
    ROLL_ACH,
    ROLL_ACH_CODE
};

static const char TEXT_CLOSED[] = "account closed";
static const char TEXT_FUNDS[] = "not enough liquidity at the creditor's bank, try again";

faults *faults_create(const faults_config *c) {
    faults *f = calloc(1, sizeof(*f));
    ASSERT(f != NULL);
    MUST(pthread_mutex_init(&f->lock, NULL) == 0);
    f->config = *c;
    return f;
}

void faults_destroy(faults *f) {
    if (f != NULL) {
        pthread_mutex_destroy(&f->lock);
        free(f);
    }
}

faults_config faults_get(faults *f) {
    pthread_mutex_lock(&f->lock);
    faults_config c = f->config;
    pthread_mutex_unlock(&f->lock);
    return c;
}

void faults_replace(faults *f, const faults_config *c) {
    pthread_mutex_lock(&f->lock);
    f->config = *c;
    pthread_mutex_unlock(&f->lock);
}

bool faults_config_set(faults_config *c, const char *name, int64_t value, err *e) {
    bool odd = strcmp(name, "odd_amounts") == 0;
    if (odd || strcmp(name, "by_amount") == 0) {
        if (value != 0 && value != 1) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_FAULT", name,
                                 "must be true or false");
        }
        *(odd ? &c->odd_amounts : &c->by_amount) = value == 1;
        return true;
    }
    for (size_t i = 0; i < N_FIELDS; i++) {
        if (strcmp(name, FIELDS[i].name) != 0) {
            continue;
        }
        if (value < 0 || value > FIELDS[i].max) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_FAULT", name,
                                 "must be 0 to %lld", (long long)FIELDS[i].max);
        }
        memcpy((char *)c + FIELDS[i].offset, &value, sizeof(value));
        return true;
    }
    return err_set_field(e, ERR_INVALID_ARGUMENT, "UNKNOWN_FAULT", name, "there is no such fault");
}

void faults_config_json(const faults_config *c, strbuf *out) {
    strbuf_printf(out, "{\"by_amount\":%s,\"odd_amounts\":%s", c->by_amount ? "true" : "false",
                  c->odd_amounts ? "true" : "false");
    for (size_t i = 0; i < N_FIELDS; i++) {
        int64_t value = 0;
        memcpy(&value, (const char *)c + FIELDS[i].offset, sizeof(value));
        strbuf_printf(out, ",\"%s\":%lld", FIELDS[i].name, (long long)value);
    }
    strbuf_add_char(out, '}');
}

// A hash that spreads well (FNV-1a, then the finaliser of SplitMix64). The simulator's dice need no defence against attacks.
static uint64_t roll(int64_t seed, str item, int kind, int64_t try_number) {
    uint64_t h = 14695981039346656037u ^ (uint64_t)seed;
    for (size_t i = 0; i < item.len; i++) {
        h = (h ^ (uint8_t)item.ptr[i]) * 1099511628211u;
    }
    h += (uint64_t)kind * 0x9e3779b97f4a7c15u + (uint64_t)try_number * 0xd1b54a32d192ed03u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return h ^ (h >> 31);
}

static bool hit(const faults_config *c, str item, int kind, int64_t try_number, int64_t pct) {
    return pct > 0 && roll(c->seed, item, kind, try_number) % PERCENT_MAX < (uint64_t)pct;
}

static void refuse(faults_instant *p, bool retriable) {
    p->refuse = true;
    p->retriable = retriable;
    p->code = retriable ? "AM04" : "AC04";
    p->text = retriable ? TEXT_FUNDS : TEXT_CLOSED;
}

static void return_later(faults_instant *p) {
    p->return_later = true;
    p->return_code = "AC04";
    p->return_text = TEXT_CLOSED;
}

// Outcomes that a kind bank never has.
static bool instant_by_odd_amount(int64_t amount, faults_instant *p) {
    switch (amount % 1000) {
    case 810:
        return_later(p);
        p->returns = FAULTS_RETURN_PART;
        return true;
    case 811:
        return_later(p);
        p->returns = FAULTS_RETURN_HALVES;
        return true;
    case 812: p->oddity = FAULTS_OTHER_AMOUNT; return true;
    case 817: p->oddity = FAULTS_OTHER_CURRENCY; return true;
    case 813: p->oddity = FAULTS_UNKNOWN_REFERENCE; return true;
    case 814: p->oddity = FAULTS_TOLD_BEFORE; return true;
    case 815:
        return_later(p);
        p->oddity = FAULTS_RETURN_LOST;
        return true;
    case 816:
        return_later(p);
        p->returns = FAULTS_RETURN_TWICE;
        return true;
    default: return false;
    }
}

// True when the amount asks for a fault.
static bool instant_by_amount(const faults_config *c, int64_t amount, int64_t tries,
                              int64_t refusals, faults_instant *p) {
    switch (amount % 1000) {
    case 801: refuse(p, false); return true;
    case 802:
        if (refusals < REFUSALS_RETRIABLE) {
            refuse(p, true);
        }
        return true;
    case 803: p->drop_answer = true; return true;
    case 804: p->http_status = tries < ERRORS_BEFORE_OK ? 503 : 0; return true;
    case 805: p->slow_ms = c->slow_ms; return true;
    case 806: p->webhook_delay_ms = c->webhook_late_ms; return true;
    case 807: p->webhooks = 0; return true;
    case 808: p->webhooks = 2; return true;
    case 809: return_later(p); return true;
    default: return c->odd_amounts && instant_by_odd_amount(amount, p);
    }
}

faults_instant faults_plan_instant(faults *f, str key, int64_t amount, int64_t tries,
                                   int64_t refusals) {
    faults_config c = faults_get(f);
    faults_instant p = {.webhooks = 1};
    if (c.by_amount && instant_by_amount(&c, amount, tries, refusals, &p)) {
        return p;
    }
    if (hit(&c, key, ROLL_500, tries, c.http_500_pct)) {
        p.http_status = 500;
        return p;
    }
    if (hit(&c, key, ROLL_REFUSE, 0, c.refuse_pct)) {
        refuse(&p, roll(c.seed, key, ROLL_REFUSE_KIND, 0) % 2 == 1);
    }
    p.drop_answer = hit(&c, key, ROLL_DROP, 0, c.drop_answer_pct);
    if (hit(&c, key, ROLL_SLOW, tries, c.slow_pct)) {
        p.slow_ms = c.slow_ms;
    }
    if (hit(&c, key, ROLL_TWICE, 0, c.answer_twice_pct)) {
        p.webhooks = 2;
    }
    if (hit(&c, key, ROLL_MISSING, 0, c.webhook_missing_pct)) {
        p.webhooks = 0;
    }
    if (hit(&c, key, ROLL_LATE, 0, c.webhook_late_pct)) {
        p.webhook_delay_ms = c.webhook_late_ms;
    }
    if (!p.refuse && hit(&c, key, ROLL_RETURN, 0, c.return_after_settlement_pct)) {
        return_later(&p);
    }
    return p;
}

static faults_ach ach_by_odd_amount(int64_t amount) {
    switch (amount % 1000) {
    case 952: return (faults_ach){"R03", true, .returns = FAULTS_RETURN_PART};
    case 953: return (faults_ach){"R03", true, .returns = FAULTS_RETURN_HALVES};
    case 954: return (faults_ach){"R03", true, .returns = FAULTS_RETURN_TWICE};
    case 955: return (faults_ach){.code = "R93", .after_settlement = true};
    case 960: return (faults_ach){.code = "C01", .after_settlement = true};
    case 970: return (faults_ach){.code = "R03", .refusal = FAULTS_REFUSED};
    case 971: return (faults_ach){.code = "R03", .refusal = FAULTS_REFUSED_AND_PAID};
    case 972: return (faults_ach){.code = "R03", .refusal = FAULTS_REFUSED_TWICE};
    default: return (faults_ach){0};
    }
}

// code NULL: the amount asks for no fault.
static faults_ach ach_by_amount(int64_t amount) {
    switch (amount % 1000) {
    case 901: return (faults_ach){.code = "R01"};
    case 902: return (faults_ach){.code = "R02"};
    case 903: return (faults_ach){.code = "R03"};
    case 904: return (faults_ach){.code = "R04"};
    case 910: return (faults_ach){.code = "R10"};
    case 916: return (faults_ach){.code = "R16"};
    case 920: return (faults_ach){.code = "R20"};
    case 951: return (faults_ach){.code = "R03", .after_settlement = true};
    default: return (faults_ach){0};
    }
}

faults_ach faults_plan_ach(faults *f, str identity, int64_t amount) {
    static const char *const CODES[] = {"R02", "R03", "R04", "R16",
                                        "R20"}; // return codes of credits
    faults_config c = faults_get(f);
    faults_ach p = {0};
    if (c.by_amount) {
        p = ach_by_amount(amount);
        if (p.code == NULL && c.odd_amounts) {
            p = ach_by_odd_amount(amount);
        }
        if (p.code != NULL) {
            return p;
        }
    }
    bool before = hit(&c, identity, ROLL_ACH, 0, c.ach_return_pct);
    bool after = hit(&c, identity, ROLL_RETURN, 0, c.return_after_settlement_pct);
    if (before || after) {
        p.code =
            CODES[roll(c.seed, identity, ROLL_ACH_CODE, 0) % (sizeof(CODES) / sizeof(CODES[0]))];
        p.after_settlement = !before;
    }
    return p;
}
