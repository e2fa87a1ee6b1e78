// payctl submissions, submission: what went to a bank as one thing, and the evidence about it.
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "payments/v1/submission_service.pb-c.h"

static const char *const SUBMISSIONS = "payments.v1.SubmissionService";

enum { SUBMISSIONS_PAGE = 1000, SUBMISSIONS_SHOWN_MAX = 10000, STATES_MAX = 8, ITEMS_SHOWN = 20 };

static const char *at(cli *c, const Google__Protobuf__Timestamp *t) {
    return t == NULL ? "-" : cli_time(c, t->seconds, t->nanos);
}

static const char *state_name(Payments__V1__SubmissionState s) {
    return cli_enum_name(&payments__v1__submission_state__descriptor, (int)s);
}

// --- payctl submissions ------------------------------------------------------------------------------------------------

// All pages of one request, up to SUBMISSIONS_SHOWN_MAX.
static bool collect(cli *c, Payments__V1__ListSubmissionsRequest *request,
                    Payments__V1__ListSubmissionsResponse *all, bool *more, err *e) {
    all->submissions = ARENA_ARRAY(c->arena, Payments__V1__Submission *, SUBMISSIONS_SHOWN_MAX);
    ASSERT(all->submissions != NULL);
    request->page_size = SUBMISSIONS_PAGE;
    do {
        ProtobufCMessage *answer = NULL;
        if (!cli_call(c, SUBMISSIONS, "ListSubmissions", &request->base,
                      &payments__v1__list_submissions_response__descriptor, &answer, e)) {
            return false;
        }
        const Payments__V1__ListSubmissionsResponse *r =
            (const Payments__V1__ListSubmissionsResponse *)answer;
        for (size_t i = 0; i < r->n_submissions && all->n_submissions < SUBMISSIONS_SHOWN_MAX;
             i++) {
            all->submissions[all->n_submissions++] = r->submissions[i];
        }
        request->page_token = r->next_page_token;
    } while (request->page_token[0] != '\0' && all->n_submissions < SUBMISSIONS_SHOWN_MAX);
    *more = request->page_token[0] != '\0';
    return true;
}

static const char *name_of(const Payments__V1__Submission *s) {
    const bool call = s->kind == PAYMENTS__V1__SUBMISSION_KIND__SUBMISSION_KIND_CALL;
    return call ? s->bank_reference : s->name; // the key of a call tells a person nothing
}

static void print_submissions(cli *c, const Payments__V1__ListSubmissionsResponse *all, bool more) {
    static const char *const TITLES[] = {"submission", "state", "through", "made",
                                         "payouts",    "sum",   "name",    "reason"};
    table t;
    table_begin(&t, 8, 48u, TITLES);
    for (size_t i = 0; i < all->n_submissions; i++) {
        const Payments__V1__Submission *s = all->submissions[i];
        const char *cells[] = {s->submission_id,
                               state_name(s->state),
                               s->connection,
                               at(c, s->create_time),
                               arena_printf(c->arena, "%d", s->item_count),
                               cli_money(c, s->total_minor, s->currency),
                               name_of(s),
                               s->reason_text[0] != '\0' ? s->reason_text : s->reason};
        table_row(&t, cells);
    }
    table_print(&t);
    cli_print(stdout, "%zu submission(s)%s\n", all->n_submissions, more ? "; there are more" : "");
}

static bool add_state(Payments__V1__ListSubmissionsRequest *r,
                      Payments__V1__SubmissionState states[STATES_MAX], const char *name) {
    int value = 0;
    if (r->n_states == STATES_MAX ||
        !cli_enum_value(&payments__v1__submission_state__descriptor, name, &value)) {
        return false;
    }
    states[r->n_states++] = (Payments__V1__SubmissionState)value;
    r->states = states;
    return true;
}

static int cmd_submissions(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {{"state", required_argument, NULL, 's'},
                                            {"connection", required_argument, NULL, 'k'},
                                            {"kind", required_argument, NULL, 'd'},
                                            {0}};
    Payments__V1__ListSubmissionsRequest request = PAYMENTS__V1__LIST_SUBMISSIONS_REQUEST__INIT;
    Payments__V1__ListSubmissionsResponse all = PAYMENTS__V1__LIST_SUBMISSIONS_RESPONSE__INIT;
    Payments__V1__SubmissionState states[STATES_MAX];
    bool more = false;
    err e = {0};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (opt == '?') {
            return EXIT_USAGE;
        }
        if (opt == 'k') {
            request.connection = optarg;
        } else if (opt == 'd') {
            int kind = 0;
            if (!cli_enum_value(&payments__v1__submission_kind__descriptor, optarg, &kind)) {
                return cli_bad_value(OPTIONS, opt, optarg,
                                     &payments__v1__submission_kind__descriptor, NULL);
            }
            request.kind = (Payments__V1__SubmissionKind)kind;
        } else if (!add_state(&request, states, optarg)) {
            return cli_bad_value(OPTIONS, opt, optarg, &payments__v1__submission_state__descriptor,
                                 NULL);
        }
    }
    if (optind != argc) {
        return cli_usage("submissions takes options only");
    }
    if (!collect(c, &request, &all, &more, &e)) {
        return cli_failed(c, "list the submissions", &e);
    }
    if (c->json) {
        cli_print_rows(&all.base, more);
    } else {
        print_submissions(c, &all, more);
    }
    return EXIT_DONE;
}

// --- payctl submission ID ----------------------------------------------------------------------------------------------

static void print_head(cli *c, const Payments__V1__Submission *s) {
    cli_print(stdout, "submission %s\n", s->submission_id);
    cli_print(stdout, "state      %s%s%s\n", state_name(s->state), s->reason[0] != '\0' ? "  " : "",
              s->reason);
    if (s->reason_text[0] != '\0') {
        cli_print(stdout, "           %s\n", s->reason_text);
    }
    const bool call = s->kind == PAYMENTS__V1__SUBMISSION_KIND__SUBMISSION_KIND_CALL;
    cli_print(stdout, "through    %s, as a %s\n", s->connection, call ? "single call" : "file");
    cli_print(stdout, "%s %s\n", call ? "key       " : "name      ", s->name);
    if (s->bank_reference[0] != '\0') {
        cli_print(stdout, "rail ref.  %s\n", s->bank_reference);
    }
    cli_print(stdout, "payouts    %d, %s\n", s->item_count,
              cli_money(c, s->total_minor, s->currency));
    if (!call) {
        cli_print(stdout, "content    %lld bytes, SHA-256 %s\n", (long long)s->size_bytes,
                  s->sha256);
    }
    cli_print(stdout, "made       %s\n", at(c, s->create_time));
    cli_print(stdout, "sent       %s\n", at(c, s->send_time));
    if (s->due_time != NULL) {
        cli_print(stdout, "next look  %s, after %d tries\n", at(c, s->due_time), s->tries);
    }
    if (s->generation > 1 && call) {
        cli_print(stdout,
                  "attempt    %d: the bank refused the earlier ones, or a person gave them up\n",
                  s->generation);
    } else if (s->generation > 1) {
        cli_print(stdout, "made anew  its payouts were in %d rejected submission(s) before\n",
                  s->generation - 1);
    }
}

static void print_evidence(cli *c, const Payments__V1__GetSubmissionResponse *r) {
    static const char *const TITLES[] = {"time", "what", "by", "detail"};
    table t;
    cli_print(stdout, "\nevidence\n");
    table_begin(&t, 4, 0, TITLES);
    for (size_t i = 0; i < r->n_evidence; i++) {
        const Payments__V1__SubmissionEvidence *v = r->evidence[i];
        // Evidence of neither a sender nor the bank follows from a person's order, or a person decided it. The detail names the person.
        const bool is_ours = strcmp(v->kind, "WITHDREW") == 0;
        const char *by = v->sender[0] != '\0'     ? v->sender
                         : v->inbox_id[0] != '\0' ? arena_printf(c->arena, "inbox %s", v->inbox_id)
                         : is_ours                ? "the service"
                                                  : "a person";
        const char *cells[] = {at(c, v->time), v->kind, by, v->detail};
        table_row(&t, cells);
    }
    table_print(&t);
}

static void print_items(cli *c, const Payments__V1__GetSubmissionResponse *r) {
    static const char *const TITLES[] = {"number", "payout", "attempt", "amount"};
    table t;
    cli_print(stdout, "\npayouts\n");
    table_begin(&t, 4, 13u, TITLES);
    for (size_t i = 0; i < r->n_items; i++) {
        const Payments__V1__SubmissionItem *x = r->items[i];
        const char *cells[] = {arena_printf(c->arena, "%lld", (long long)x->number), x->payout_id,
                               arena_printf(c->arena, "%d", x->attempt),
                               cli_money(c, x->amount_minor, r->submission->currency)};
        table_row(&t, cells);
    }
    table_print(&t);
    if ((int)r->n_items < r->submission->item_count) {
        cli_print(stdout, "%d more; --json with --items 1000 shows as many\n",
                  r->submission->item_count - (int)r->n_items);
    }
}

static void print_content(const Payments__V1__GetSubmissionResponse *r) {
    if (r->content_missing[0] != '\0') {
        cli_print(stdout, "\nthe content is not shown: %s\n", r->content_missing);
        return;
    }
    cli_print(stdout, "\ncontent, with account numbers masked\n%s%s", r->content,
              r->content_cut ? "(cut here)\n" : "");
}

static int cmd_submission(cli *c, int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"content", no_argument, NULL, 'c'}, {"items", required_argument, NULL, 'i'}, {0}};
    Payments__V1__GetSubmissionRequest request = PAYMENTS__V1__GET_SUBMISSION_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    int64_t items = ITEMS_SHOWN;
    err e = {0};
    int opt = 0;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'c': request.with_content = true; break;
        case 'i':
            if (!str_to_i64(str_of(optarg), 1, 1000, &items)) {
                return cli_usage("--items takes 1 to 1000");
            }
            break;
        default: return EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        return cli_usage("submission takes one id");
    }
    request.submission_id = argv[optind];
    request.item_page_size = (int32_t)items;
    if (!cli_call(c, SUBMISSIONS, "GetSubmission", &request.base,
                  &payments__v1__get_submission_response__descriptor, &answer, &e)) {
        return cli_failed(c, "show the submission", &e);
    }
    const Payments__V1__GetSubmissionResponse *r =
        (const Payments__V1__GetSubmissionResponse *)answer;
    if (c->json) {
        cli_print_json(answer);
        return EXIT_DONE;
    }
    print_head(c, r->submission);
    print_evidence(c, r);
    print_items(c, r);
    if (request.with_content) {
        print_content(r);
    }
    return EXIT_DONE;
}

// --- for payctl payout -------------------------------------------------------------------------------------------------

void cli_print_calls_of_payout(cli *c, const char *merchant, const char *payout_id) {
    static const char *const TITLES[] = {"call", "state", "tries", "sent", "reason"};
    Payments__V1__ListSubmissionsRequest request = PAYMENTS__V1__LIST_SUBMISSIONS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    table t;
    err e = {0};
    request.kind = PAYMENTS__V1__SUBMISSION_KIND__SUBMISSION_KIND_CALL;
    request.merchant_id = (char *)merchant;
    request.payout_id = (char *)payout_id;
    if (!cli_call(c, SUBMISSIONS, "ListSubmissions", &request.base,
                  &payments__v1__list_submissions_response__descriptor, &answer, &e)) {
        return; // the payout is shown without it
    }
    const Payments__V1__ListSubmissionsResponse *r =
        (const Payments__V1__ListSubmissionsResponse *)answer;
    if (r->n_submissions == 0 || r->submissions[0]->kind != request.kind) {
        return; // none, or an older service, which lists no files
    }
    cli_print(stdout, "\nsent as\n");
    table_begin(&t, 5, 4u, TITLES);
    for (size_t i = 0; i < r->n_submissions; i++) {
        const Payments__V1__Submission *s = r->submissions[i];
        const char *cells[] = {s->submission_id, state_name(s->state),
                               s->tries > 0 ? arena_printf(c->arena, "%d", s->tries) : "",
                               at(c, s->send_time),
                               s->reason_text[0] != '\0' ? s->reason_text : s->reason};
        table_row(&t, cells);
    }
    table_print(&t);
}

// --- commands ----------------------------------------------------------------------------------------------------------

const cli_command COMMAND_SUBMISSIONS = {
    .name = "submissions",
    .usage = "[--kind FILE|CALL] [--state S]... [--connection K]",
    .summary = "files to banks, newest first; or single calls that are not finished",
    .help = "  --kind K              FILE (if not given) or CALL. CALL lists instant payments on "
            "their way,\n"
            "                        the longest wait first, at most 1,000\n"
            "  --state S             only submissions in this state: PREPARED, SENDING, SENT,\n"
            "                        ACKED, REJECTED, UNKNOWN, WITHDRAWN, DISPUTED\n"
            "  --connection K        only submissions of this connection\n"
            "\n"
            "JSON\n"
            "  {submissions: [{...}], limit_reached}\n",
    .run = cmd_submissions,
};

const cli_command COMMAND_SUBMISSION = {
    .name = "submission",
    .usage = "ID [--content] [--items N]",
    .summary = "one submission: state, evidence, payouts",
    .help =
        "  ID                    the UUID of a file, or MERCHANT/PAYOUT:ATTEMPT of a single call\n"
        "  --content             shows the file, with account numbers masked\n"
        "  --items N             shows at most N of its payouts, 1000 at most; 20 if not given\n"
        "\n"
        "JSON\n"
        "  {submission: {...}, evidence: [...], items: [...], content, content_cut, "
        "content_missing}\n",
    .run = cmd_submission,
};

void cli_print_submission_of_payout(cli *c, const char *submission_id) {
    Payments__V1__GetSubmissionRequest request = PAYMENTS__V1__GET_SUBMISSION_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.submission_id = (char *)submission_id;
    request.item_page_size = 1; // shows none of its payouts
    if (!cli_call(c, SUBMISSIONS, "GetSubmission", &request.base,
                  &payments__v1__get_submission_response__descriptor, &answer, &e)) {
        return; // the payout is shown without it
    }
    const Payments__V1__Submission *s =
        ((const Payments__V1__GetSubmissionResponse *)answer)->submission;
    cli_print(stdout, "sent in    %s  %s: payctl submission %s shows it\n", s->name,
              state_name(s->state), submission_id);
    cli_print_cases_of_submission(c, s->book_id, submission_id);
}
