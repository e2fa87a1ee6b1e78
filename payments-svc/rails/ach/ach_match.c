// Matches lines with entries of ours. Compares all fields that the bank gives, not one number: traces repeat, and several companies count
// from 1. Pure.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "events/events.h"
#include "formats/nacha/nacha_inbound.h"
#include "rails/ach/ach_internal.h"
#include "rails/inbox_mask.h"

enum { ID_LEN_MAX = 64, COMPARED_LEN_MAX = 600, TRACE_SHOWN_MAX = 40 };
// The slot of a payout is anywhere in the table, so it is fetched AHEAD candidates before it is needed.
enum { AHEAD = 8 };
#define US_PER_DAY (INT64_C(24) * 3600 * 1000000)

// The payout of an accepted line, if the line is the file's first about it.
typedef struct spoken {
    const ach_candidate *of;
    int64_t amount; // sum of returned amounts
} spoken;

typedef struct matcher {
    const ach_match *m;
    arena *a;
    inbox_said *out;
    char (*ids)[ID_LEN_MAX];
    spoken *spoken; // one for each line
    // by payout and attempt: index + 1 of the first line about it; 0: free
    uint32_t *table;
    size_t mask;
    size_t remarks_max;
} matcher;

static int shown(str s) {
    return (int)(s.len < TRACE_SHOWN_MAX ? s.len : TRACE_SHOWN_MAX);
}

static str last_four(str account) {
    return account.len <= 4 ? account : (str){account.ptr + account.len - 4, 4};
}

// --- Comparing -------------------------------------------------------------------------------------------------------

typedef struct difference {
    const char *reason, *text;
} difference;

static bool has_prefix(str s, str prefix) {
    return s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

// The field in which line and candidate differ; reason NULL when they agree. Fields that a settlement report lacks are not compared.
static difference differ(const ach_match *m, const ach_line *l, const ach_candidate *c) {
    if (m->settlement) {
        if (!str_eq(c->file, m->report->file)) {
            return (difference){"OTHER_FILE", "the entry of this trace is in another file"};
        }
        if (l->amount != c->amount) {
            return (difference){"OTHER_AMOUNT", "the amount is not the entry's"};
        }
        return (difference){0};
    }
    if (!has_prefix(c->routing, l->rdfi)) {
        return (difference){"OTHER_BANK", "the receiving bank is not the entry's"};
    }
    // Traces are consecutive, so the next one is easy to guess, and a bank's number is known.
    if (l->individual_id.len == 0 && l->account.len == 0) {
        return (difference){"NOT_NAMED", "neither the individual id nor the account is given"};
    }
    if (l->individual_id.len > 0 && !str_eq_c(l->individual_id, c->individual_id)) {
        return (difference){"OTHER_RECIPIENT", "the individual id is not the entry's"};
    }
    if (l->account.len > 0 && !str_eq(last_four(l->account), c->last4)) {
        return (difference){"OTHER_ACCOUNT", "the account number is not the entry's"};
    }
    if (l->saying == ACH_SAYS_RETURNED && (l->amount < 1 || l->amount > c->amount)) {
        return (difference){"OTHER_AMOUNT", "more came back than was sent, or nothing"};
    }
    return (difference){0};
}

// The bank's value of each field, and ours if there is a candidate. No bank details except the last four characters of accounts. A value
// that is no trace may be an account.
static void trace_text(str trace, char out[TRACE_SHOWN_MAX + 1]) {
    const int len = snprintf(out, TRACE_SHOWN_MAX + 1, "%.*s", shown(trace),
                             trace.ptr == NULL ? "" : trace.ptr);
    if (!nacha_is_digits(trace, NACHA_TRACE_LEN)) {
        inbox_hide_digits(out, (size_t)(len < TRACE_SHOWN_MAX ? len : TRACE_SHOWN_MAX));
    }
}

static const char *compare_text(const matcher *x, const ach_line *l, const ach_candidate *c) {
    char text[COMPARED_LEN_MAX], trace[TRACE_SHOWN_MAX + 1];
    const str account = last_four(l->account);
    trace_text(l->trace, trace);
    int n = snprintf(text, sizeof text, "trace %s; amount %" PRId64, trace, l->amount);
    if (c != NULL) {
        n += snprintf(text + n, sizeof text - (size_t)n, ", ours %" PRId64, c->amount);
    }
    if (x->m->settlement) {
        n += snprintf(text + n, sizeof text - (size_t)n, "; file %.*s", shown(x->m->report->file),
                      x->m->report->file.ptr);
        if (c != NULL) {
            n += snprintf(text + n, sizeof text - (size_t)n, ", ours %.*s", shown(c->file),
                          c->file.ptr);
        }
    } else {
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "; company %.*s; bank %.*s; id %.*s; account ends in %.*s",
                      shown(l->company_id), l->company_id.ptr, shown(l->rdfi), l->rdfi.ptr,
                      shown(l->individual_id), l->individual_id.ptr, shown(account), account.ptr);
        if (c != NULL) {
            n += snprintf(text + n, sizeof text - (size_t)n,
                          ", ours: bank %.*s; id %s; account ends in %.*s", shown(c->routing),
                          c->routing.ptr, c->individual_id, shown(c->last4), c->last4.ptr);
        }
    }
    ASSERT(n > 0 && (size_t)n < sizeof text);
    return arena_strdup(x->a, text);
}

// --- Exceptions ------------------------------------------------------------------------------------------------------

static void set_aside(matcher *x, size_t i, const char *reason, const char *text,
                      const ach_candidate *c, const char *kind) {
    const ach_line *l = &x->m->report->lines[i];
    const char *compared = compare_text(x, l, c);
    inbox_odd *o = &x->out->odd[x->out->n_odd++];
    *o = (inbox_odd){.line = l->line,
                     .reason = reason,
                     .text = text,
                     .compared = compared == NULL ? "" : compared,
                     .raw = l->raw,
                     .about_book_id = c != NULL ? c->book_id : x->m->books[i],
                     .amount = l->amount,
                     .case_kind = kind};
    if (c != NULL) {
        o->payout_id = c->payout_id;
    }
    memcpy(o->currency, "USD", sizeof o->currency);
}

// The bank's wanted correction. The account's last four characters suffice for people; the line has it in full.
static const char *change_text(const matcher *x, const ach_line *l) {
    const nacha_change c = nacha_corrected(l->code, l->info);
    const str account = last_four(c.account);
    const char *text = arena_printf(
        x->a, "%.*s: to be corrected:%s%.*s%s%.*s%s%.*s%s%.*s", shown(l->code), l->code.ptr,
        c.routing.len > 0 ? " routing number " : "", shown(c.routing), c.routing.ptr,
        account.len > 0 ? " account number ending in " : "", shown(account), account.ptr,
        c.transaction_code.len > 0 ? " transaction code " : "", shown(c.transaction_code),
        c.transaction_code.ptr, c.individual_id.len > 0 ? " individual id " : "",
        shown(c.individual_id), c.individual_id.ptr);
    return text == NULL ? "a notification of change" : text;
}

static void notice(matcher *x, size_t i, const ach_candidate *c) {
    const ach_line *l = &x->m->report->lines[i];
    if (l->saying == ACH_SAYS_CHANGE) {
        set_aside(x, i, "CHANGE", change_text(x, l), c, "INBOX_NOTICE");
        return;
    }
    const char *text =
        arena_printf(x->a, "%.*s: %s", shown(l->code), l->code.ptr, nacha_return_text(l->code));
    set_aside(x, i, "DISPUTE", text == NULL ? "a dispute about a return" : text, c, "INBOX_LINE");
}

static void remark(matcher *x, const ach_line *l, const ach_candidate *c, const char *code,
                   const char *text) {
    if (x->out->n_remarks < x->remarks_max) {
        inbox_remark *m = &x->out->remarks[x->out->n_remarks++];
        *m = (inbox_remark){.book_id = c->book_id,
                            .line = l->line,
                            .code = code,
                            .text = text,
                            .amount = l->amount};
        memcpy(m->currency, "USD", sizeof m->currency);
    }
}

// --- Events ----------------------------------------------------------------------------------------------------------

static size_t slot_of(const matcher *x, const ach_candidate *c) {
    uint32_t hash;
    memcpy(&hash, c->payout_id.b + 12, sizeof hash); // the id's random end
    return (hash + (uint32_t)c->attempt) & x->mask;
}

static uint32_t *look_up(matcher *x, const ach_candidate *c) {
    for (size_t i = slot_of(x, c);; i = (i + 1) & x->mask) {
        const uint32_t line = x->table[i];
        if (line == 0) {
            return &x->table[i];
        }
        const ach_candidate *other = x->spoken[line - 1].of;
        if (uuid_eq(other->payout_id, c->payout_id) && other->attempt == c->attempt) {
            return &x->table[i];
        }
    }
}

// True for the first event of a payout and attempt in this file, and for further parts of an amount.
static bool counts(matcher *x, size_t i, const ach_candidate *c) {
    const ach_line *l = &x->m->report->lines[i];
    uint32_t *slot = look_up(x, c);
    if (*slot == 0) {
        *slot = (uint32_t)i + 1;
        x->spoken[i] = (spoken){c, l->amount};
        return true;
    }
    spoken *s = &x->spoken[*slot - 1];
    const ach_line *first = &x->m->report->lines[*slot - 1];
    const bool part = l->saying == ACH_SAYS_RETURNED && l->amount != first->amount &&
                      l->amount <= c->amount - s->amount;
    if (part) {
        s->amount += l->amount;
        return true;
    }
    set_aside(x, i, "DOUBLED", "the file says it twice, and it counts once", c, "INBOX_LINE");
    return false;
}

static size_t put(char *out, str s) {
    if (s.len > 0) {
        memcpy(out, s.ptr, s.len);
    }
    return s.len;
}

// The same word in another file has the same id: for a return, the trace that its bank gave it. An entry settles once, in whichever reports
// and however often.
static str event_id(const matcher *x, size_t i, int32_t attempt) {
    const ach_line *l = &x->m->report->lines[i];
    char *out = x->ids[i];
    if (x->m->settlement) {
        const int n = snprintf(out, ID_LEN_MAX, "settled:%" PRId32 ":%.15s", attempt, l->trace.ptr);
        return (str){out, (size_t)n};
    }
    size_t n = 0;
    out[n++] = 'R';
    n += nacha_is_digits(l->own_trace, NACHA_TRACE_LEN) ? put(out + n, l->own_trace) : 0;
    out[n++] = ':';
    n += put(out + n, l->code);
    out[n++] = ':';
    char digits[20];
    size_t k = sizeof digits;
    for (int64_t rest = l->amount; k == sizeof digits || rest > 0; rest /= 10) {
        digits[--k] = (char)('0' + rest % 10);
    }
    n += put(out + n, (str){digits + k, sizeof digits - k});
    return (str){out, n};
}

// The money is in order; a person must find the code's meaning.
static const char *text_of_unknown_code(const matcher *x, const ach_line *l, bool late) {
    const char *text = arena_printf(x->a,
                                    "the bank gives the reason code %.*s, which is not known here; "
                                    "the money came back%s and is "
                                    "booked: ask the bank what the code means",
                                    shown(l->code), l->code.ptr, late ? " late" : "");
    return text != NULL ? text : "the bank gives a reason code that is not known here";
}

static void add_event(matcher *x, size_t i, const ach_candidate *c) {
    const ach_line *l = &x->m->report->lines[i];
    inbox_event *v = &x->out->events[x->out->n_events++];
    *v = (inbox_event){.book_id = c->book_id,
                       .line = l->line,
                       .raw = l->raw,
                       .event = {.payout_id = c->payout_id,
                                 .attempt = c->attempt,
                                 .event_id = event_id(x, i, c->attempt),
                                 .reference = l->trace,
                                 .at_us = l->at_us,
                                 .amount = l->amount,
                                 .source = RAIL_SOURCE_BANK,
                                 .kind = RAIL_EVENT_SETTLED}};
    memcpy(v->event.currency, c->currency, sizeof v->event.currency);
    if (l->saying == ACH_SAYS_RETURNED) {
        v->event.kind = RAIL_EVENT_RETURNED;
        v->event.code = l->code;
        v->event.text = str_of(nacha_return_text(l->code));
        const bool late = l->at_us - c->sent_us > x->m->r->settings.returns_days * US_PER_DAY;
        if (nacha_return_text_known(l->code) == NULL) { // one case per line
            remark(x, l, c, "UNKNOWN_CODE", text_of_unknown_code(x, l, late));
        } else if (late) {
            remark(x, l, c, "LATE_RETURN",
                   "the money came back after the time that returns have; the return is booked");
        }
    }
}

// --- Lines -----------------------------------------------------------------------------------------------------------

// An objection to a line before its entry is sought. NULL: none.
static const char *unfit(const matcher *x, size_t i, const char **text) {
    const ach_line *l = &x->m->report->lines[i];
    *text = l->fault_text;
    if (l->fault != NULL) {
        return l->fault;
    }
    if (x->m->books[i] == 0) {
        *text = "the company is none of ours";
        return "UNKNOWN_COMPANY";
    }
    if (!l->credit && l->saying == ACH_SAYS_RETURNED) {
        *text = "the return of a debit, and we make none";
        return "RETURN_OF_DEBIT";
    }
    return NULL;
}

// The objection to all candidates, and the candidate that a person should look at.
typedef struct choice {
    difference why;
    const ach_candidate *nearest;
} choice;

// The only one of n candidates that agrees with the line and that a bank can speak of; NULL: none, or more than one. In a recovery nothing
// counts as PREPARED: it may have been begun and forgotten.
static const ach_candidate *choose(const matcher *x, const ach_line *l, const ach_candidate *c,
                                   size_t n, choice *of) {
    const ach_candidate *one = NULL, *unsent = NULL;
    size_t agreeing = 0;
    *of = (choice){differ(x->m, l, &c[0]), &c[0]};
    for (size_t k = 0; k < n; k++) {
        if (differ(x->m, l, &c[k]).reason != NULL) {
            continue;
        }
        if (c[k].state == SUBMISSION_PREPARED) {
            unsent = &c[k];
        } else {
            agreeing++;
            one = &c[k];
        }
    }
    if (agreeing > 1) {
        *of = (choice){{"AMBIGUOUS", "more than one entry of ours agrees with it"}, one};
    } else if (agreeing == 0 && unsent != NULL) {
        *of = (choice){{"NOT_SENT", "the entry is in a file that has not been sent"}, unsent};
    }
    return agreeing == 1 ? one : NULL;
}

// The entry that a line of a settlement report certainly names, whatever else is wrong with the line; NULL: none.
static const ach_candidate *named(const matcher *x, const ach_candidate *c, size_t n) {
    const ach_candidate *one = NULL;
    for (size_t k = 0; x->m->settlement && k < n; k++) {
        if (str_eq(c[k].file, x->m->report->file)) {
            if (one != NULL) {
                return NULL;
            }
            one = &c[k];
        }
    }
    return one;
}

static void judge(matcher *x, size_t i, const ach_candidate *c, size_t n) {
    const ach_line *l = &x->m->report->lines[i];
    const char *text = NULL;
    const char *reason = unfit(x, i, &text);
    const char *kind = l->saying == ACH_SAYS_CHANGE ? "INBOX_NOTICE" : "INBOX_LINE";
    if (reason != NULL) {
        set_aside(x, i, reason, text, named(x, c, n), kind);
        return;
    }
    if (n == 0) {
        set_aside(x, i, "UNKNOWN_ENTRY", "no entry of ours has this trace", NULL, kind);
        return;
    }
    choice of = {0};
    const ach_candidate *one = choose(x, l, c, n, &of);
    if (one == NULL) {
        set_aside(x, i, of.why.reason, of.why.text, of.nearest, kind);
    } else if (l->saying != ACH_SAYS_SETTLED && l->saying != ACH_SAYS_RETURNED) {
        notice(x, i, one);
    } else if (counts(x, i, one)) {
        add_event(x, i, one);
    }
}

bool ach_match_lines(const ach_match *m, arena *a, inbox_said *out, err *e) {
    const size_t n = m->report->n;
    size_t slots = 64;
    while (slots < 2 * n) {
        slots *= 2;
    }
    matcher x = {
        .m = m, .a = a, .out = out, .mask = slots - 1, .remarks_max = INBOX_LINE_CASES_MAX};
    x.table = arena_calloc(a, slots, sizeof *x.table);
    x.spoken = arena_calloc(a, n + 1, sizeof *x.spoken);
    x.ids = arena_calloc(a, n + 1, sizeof *x.ids);
    out->events = ARENA_ARRAY(a, inbox_event, n + 1);
    out->odd = ARENA_ARRAY(a, inbox_odd, n + 1);
    out->remarks = ARENA_ARRAY(a, inbox_remark, x.remarks_max);
    out->odd_max = n + 1;
    if (x.table == NULL || x.spoken == NULL || x.ids == NULL || out->events == NULL ||
        out->odd == NULL || out->remarks == NULL) {
        return err_no_memory(e, "the list of lines");
    }
    for (size_t i = 0, k = 0; i < n; i++) {
        const size_t from = k;
        while (k < m->n_candidates && m->candidates[k].line == i) {
            k++;
        }
        if (k + AHEAD < m->n_candidates) {
            __builtin_prefetch(&x.table[slot_of(&x, &m->candidates[k + AHEAD])], 1);
        }
        judge(&x, i, m->candidates + from, k - from);
    }
    out->lines = (int32_t)n;
    return true;
}

int64_t ach_book_of(int64_t base, str id) {
    int64_t number = 0;
    if (id.len != 10 || id.ptr[0] != '1' || !nacha_is_digits(id, 10) ||
        !str_to_i64((str){id.ptr + 1, 9}, 0, 999999999, &number)) {
        return 0;
    }
    const int64_t book_id = number - base;
    return book_id >= 1 && book_id <= ACH_BOOK_MAX ? book_id : 0;
}
