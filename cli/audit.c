// payctl audit: who wrote what, when, and from which request.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/audit_service.pb-c.h"

enum { AUDIT_PAGE = 1000, AUDIT_SHOWN_DEFAULT = 100, AUDIT_SHOWN_MAX = 10000 };

typedef struct asked {
    Payments__V1__ListAuditRequest request;
    Google__Protobuf__Timestamp from, to;
    int64_t limit;
} asked;

// "2026-12-01" or "2026-12-01T08:30:00Z", in UTC.
static bool read_time(const char *text, Google__Protobuf__Timestamp *out) {
    struct tm t = {0};
    const char *end = strptime(text, "%Y-%m-%d", &t);
    if (end != NULL && *end == 'T') {
        end = strptime(end, "T%H:%M:%SZ", &t);
    }
    out->seconds = timegm(&t);
    return end != NULL && *end == '\0';
}

static bool take_option(asked *q, int opt) {
    Payments__V1__ListAuditRequest *r = &q->request;
    switch (opt) {
    case 'm': r->merchant_id = optarg; return true;
    case 'p': r->program = optarg; return true;
    case 'w': r->person = optarg; return true;
    case 'c': r->method = optarg; return true;
    case 's': r->subject_id = optarg; return true;
    case 'r': r->request_id = optarg; return true;
    case 'f': r->from_time = &q->from; return read_time(optarg, &q->from);
    case 't': r->to_time = &q->to; return read_time(optarg, &q->to);
    default: return str_to_i64(str_of(optarg), 1, AUDIT_SHOWN_MAX, &q->limit);
    }
}

// All pages, up to the limit.
static bool collect(cli *c, asked *q, Payments__V1__ListAuditResponse *all, bool *more, err *e) {
    const size_t limit = (size_t)q->limit;
    all->entries = ARENA_ARRAY(c->arena, Payments__V1__AuditEntry *, limit);
    ASSERT(all->entries != NULL);
    q->request.page_size = q->limit < AUDIT_PAGE ? (int32_t)q->limit : AUDIT_PAGE;
    do {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, "payments.v1.AuditService", "ListAudit", &q->request.base,
                      &payments__v1__list_audit_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListAuditResponse *r = (const Payments__V1__ListAuditResponse *)answer;
        *more = r->next_page_token[0] != '\0';
        for (size_t i = 0; i < r->n_entries; i++) {
            if (all->n_entries == limit) {
                *more = true;
                return true;
            }
            all->entries[all->n_entries++] = r->entries[i];
        }
        q->request.page_token = r->next_page_token;
    } while (*more && all->n_entries < limit);
    return true;
}

static const char *subject(cli *c, const Payments__V1__AuditEntry *x) {
    return x->subject_count > 1 ? arena_printf(c->arena, "%d %s %s … %s", x->subject_count,
                                               x->subject_type, x->subject_id, x->last_subject_id)
                                : arena_printf(c->arena, "%s %s", x->subject_type, x->subject_id);
}

static const char *who(cli *c, const Payments__V1__AuditEntry *x) {
    return x->person[0] == '\0' ? x->program
                                : arena_printf(c->arena, "%s%s for %s", x->program,
                                               x->person_stated ? " says" : "", x->person);
}

static void print_entries(cli *c, const Payments__V1__ListAuditResponse *all, bool more) {
    static const char *const TITLES[] = {"time", "who", "what", "on", "merchant", "request", ""};
    table t;
    table_begin(&t, 7, 0, TITLES);
    for (size_t i = 0; i < all->n_entries; i++) {
        const Payments__V1__AuditEntry *x = all->entries[i];
        const char *method = strrchr(x->method, '/');
        const char *cells[] = {cli_time(c, x->time->seconds, x->time->nanos),
                               who(c, x),
                               method == NULL || strncmp(x->method, "job/", 4) == 0 ? x->method
                                                                                    : method + 1,
                               subject(c, x),
                               x->merchant_id[0] != '\0' ? x->merchant_id : "-",
                               x->request_id[0] != '\0' ? x->request_id : "-",
                               x->what};
        table_row(&t, cells);
    }
    table_print(&t);
    cli_print(stdout, "%zu entries%s\n", all->n_entries, more ? "; there are more" : "");
}

static int cmd_audit(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"merchant", required_argument, NULL, 'm'}, {"program", required_argument, NULL, 'p'},
        {"person", required_argument, NULL, 'w'},   {"method", required_argument, NULL, 'c'},
        {"subject", required_argument, NULL, 's'},  {"request", required_argument, NULL, 'r'},
        {"from", required_argument, NULL, 'f'},     {"to", required_argument, NULL, 't'},
        {"limit", required_argument, NULL, 'l'},    {0}};
    asked q = {.request = PAYMENTS__V1__LIST_AUDIT_REQUEST__INIT,
               .from = GOOGLE__PROTOBUF__TIMESTAMP__INIT,
               .to = GOOGLE__PROTOBUF__TIMESTAMP__INIT,
               .limit = AUDIT_SHOWN_DEFAULT};
    Payments__V1__ListAuditResponse all = PAYMENTS__V1__LIST_AUDIT_RESPONSE__INIT;
    bool more = false;
    err e = {0};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        if (!take_option(&q, opt)) {
            return cli_bad_value(OPTIONS, opt, optarg, NULL,
                                 opt == 'l' ? "a number from 1 to 10,000"
                                            : "a day or a time in UTC, as 2026-12-01 or "
                                              "2026-12-01T08:30:00Z");
        }
    }
    if (optind != argc) {
        return cli_usage("audit takes options only");
    }
    if (!collect(c, &q, &all, &more, &e)) {
        return cli_failed(c, "read the audit", &e);
    }
    if (c->json) {
        cli_print_rows(&all.base, more);
    } else {
        print_entries(c, &all, more);
    }
    return EXIT_DONE;
}

const cli_command COMMAND_AUDIT = {
    .name = "audit",
    .usage = "[--merchant ID] [--program URI] [--person NAME] [--method NAME] [--subject ID] "
             "[--request ID] [--from TIME] [--to TIME] [--limit N]",
    .summary = "who wrote what, when, on what, and from which request",
    .help =
        "  Newest first. Each call that wrote something has one entry. A repeat that got its "
        "first\n"
        "  answer wrote nothing, and has no entry. \"says for\": the program stated the name, and\n"
        "  nobody has proved it. A job of the service has a method such as job/imports.\n"
        "\n"
        "OPTIONS\n"
        "  --merchant ID         only entries of this merchant; without it, you must have all "
        "merchants\n"
        "  --program URI         only what this program wrote\n"
        "  --person NAME         only what was written for this person\n"
        "  --method NAME         only this method, such as payments.v1.PayoutService/CancelPayout\n"
        "  --subject ID          what was done to this payout, deposit, case, import, ...\n"
        "  --request ID          what this request wrote; `payctl payout` shows a payout's "
        "request\n"
        "  --from, --to TIME     written at or after --from, and before --to; UTC, as 2026-12-01 "
        "or\n"
        "                        2026-12-01T08:30:00Z\n"
        "  --limit N             the newest N entries, 1 to 10,000; 100 if not given\n"
        "\n"
        "JSON\n"
        "  {entries: [{...}], limit_reached}\n",
    .run = cmd_audit,
};
