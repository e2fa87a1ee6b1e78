// Single entries that a bank refuses in its acknowledgement of a file.
#include <inttypes.h>
#include <stdlib.h>

#include "rails/ach/ach_internal.h"
#include "rails/inbox_mask.h"

int64_t ach_sequence_of(str trace) {
    int64_t sequence = 0;
    const bool whole = trace.len == NACHA_TRACE_LEN &&
                       str_to_i64((str){trace.ptr + 8, 7}, 0, NACHA_TRACE_SEQUENCE_MAX, &sequence);
    return whole ? sequence : 0;
}

str ach_words(str text, arena *a) {
    char *copy = arena_strndup(a, text.len > 0 ? text.ptr : "", text.len);
    if (copy == NULL) {
        return STR("");
    }
    const size_t len = str_make_plain(copy, text.len, "");
    copy[len] = '\0';
    inbox_hide_digits(copy, len);
    return (str){copy, len};
}

// at: index in the list; the text has no lines.
static void set_aside(const ach_refusal *refusal, size_t at, const inbox_item *item,
                      const submission_ref *ref, const submission_match *found, inbox_said *out,
                      arena *a) {
    const str code = ach_words(refusal->code, a), reason = ach_words(refusal->reason, a);
    const char *compared =
        arena_printf(a, "trace %.*s; the bank says %.*s %.*s", (int)refusal->trace.len,
                     refusal->trace.ptr, (int)code.len, code.ptr, (int)reason.len, reason.ptr);
    inbox_odd *odd = &out->odd[out->n_odd++];
    *odd =
        (inbox_odd){.line = (int32_t)at + 1,
                    .reason = found == NULL ? "UNKNOWN_ENTRY" : "REFUSED_ENTRY",
                    .text = found == NULL ? "refuses an entry that is not in the file"
                                          : "refuses an entry for a reason that is not on the list",
                    .compared = compared == NULL ? "" : compared,
                    // Only once: it is the whole item, the same for each.
                    .raw = out->n_odd == 1 ? item->bytes : STR(""),
                    .about_book_id = ref->book_id,
                    .currency = "USD",
                    .case_kind = "INBOX_LINE"};
    if (found != NULL) {
        odd->payout_id = found->payout_id;
        odd->amount = found->amount;
    }
}

// For each naming, its entry in this file; NULL: none. A bank may name each entry of a large file, twice.
static const submission_match **find_in_file(const submission_match *all, size_t n_all, size_t n,
                                             const submission_ref *ref, arena *a) {
    const submission_match **found = ARENA_ARRAY(a, const submission_match *, n + 1); // all NULL
    for (size_t i = 0; found != NULL && i < n_all; i++) {
        if (all[i].book_id == ref->book_id && uuid_eq(all[i].submission_id, ref->id) &&
            found[all[i].at] == NULL) {
            found[all[i].at] = &all[i];
        }
    }
    return found;
}

static bool is_listed(const ach_rail *r, const ach_refusal *refusal) {
    return ach_is_listed(r->settings.refusal_reasons, refusal->code) ||
           ach_is_listed(r->settings.refusal_reasons, refusal->reason);
}

// Code and reason in one text; a payout's own row keeps its beginning.
static str both_words(const ach_refusal *refusal, arena *a) {
    const str code = ach_words(refusal->code, a), reason = ach_words(refusal->reason, a);
    const char *both =
        arena_printf(a, "%.*s%s%.*s", (int)code.len, code.ptr,
                     code.len > 0 && reason.len > 0 ? " " : "", (int)reason.len, reason.ptr);
    return both == NULL ? reason : str_of(both);
}

// One mention of an entry.
typedef struct naming {
    int64_t number;
    size_t at;
    const submission_match *found;
    bool listed;
} naming;

static int by_number_and_place(const void *a, const void *b) {
    const naming *x = a, *y = b;
    const int order = (x->number > y->number) - (x->number < y->number);
    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

typedef struct reading {
    const ach_ack *ack;
    const inbox_item *item;
    const submission_ref *ref;
    submission_refusal *refused, *unsure;
    submission_ack_text *said;
    inbox_said *out;
    arena *a;
} reading;

// The mentions of one entry, sorted. It is refused once, for the first reason, and only if all its reasons are listed. As with whole files,
// an earlier payment may be the original of a "duplicate". So only reasons that the bank gives for nothing else are acted upon.
static void judge(const reading *x, const naming *of, size_t n) {
    const ach_refusal *doubtful = NULL;
    for (size_t i = 0; i < n; i++) {
        const ach_refusal *one = &x->ack->refused[of[i].at];
        if (of[i].found == NULL || !of[i].listed) {
            set_aside(one, of[i].at, x->item, x->ref, of[i].found, x->out, x->a);
            doubtful = doubtful == NULL ? one : doubtful;
        }
    }
    if (doubtful == NULL) {
        const ach_refusal *first = &x->ack->refused[of[0].at];
        x->refused[x->said->n_refused++] = (submission_refusal){
            of[0].number, ach_words(first->code, x->a), ach_words(first->reason, x->a)};
    } else if (of[0].found != NULL) {
        x->unsure[x->said->n_unsure++] =
            (submission_refusal){of[0].number, STR(""), both_words(doubtful, x->a)};
    }
}

bool ach_refused_read(const ach_rail *r, db_conn *c, const inbox_item *item, const ach_ack *ack,
                      const submission_ref *ref, submission_ack_text *said, ach_refused_sum *sum,
                      inbox_said *out, arena *a, err *e) {
    const size_t n = ack->n_refused;
    int64_t *numbers = ARENA_ARRAY(a, int64_t, n + 1);
    naming *namings = ARENA_ARRAY(a, naming, n + 1);
    const reading x = {.ack = ack,
                       .item = item,
                       .ref = ref,
                       .refused = ARENA_ARRAY(a, submission_refusal, n + 1),
                       .unsure = ARENA_ARRAY(a, submission_refusal, n + 1),
                       .said = said,
                       .out = out,
                       .a = a};
    submission_match *matches = NULL;
    size_t n_matches = 0;
    *sum = (ach_refused_sum){0};
    if (numbers == NULL || namings == NULL || x.refused == NULL || x.unsure == NULL) {
        return err_no_memory(e, "the list of refusals");
    }
    for (size_t i = 0; i < n; i++) {
        numbers[i] = ach_sequence_of(ack->refused[i].trace);
    }
    if (n > 0 && !submission_find_numbers(c, r->base.id, numbers, n, &matches, &n_matches, a, e)) {
        return false;
    }
    const submission_match **found = find_in_file(matches, n_matches, n, ref, a);
    if (found == NULL) {
        return err_no_memory(e, "the list of refusals");
    }
    for (size_t i = 0; i < n; i++) {
        namings[i] = (naming){numbers[i], i, found[i], is_listed(r, &ack->refused[i])};
    }
    qsort(namings, n, sizeof *namings, by_number_and_place);
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;
        while (end < n && namings[end].number == namings[i].number) {
            end++;
        }
        sum->entries++;
        sum->amount += namings[i].found != NULL ? namings[i].found->amount : 0;
        judge(&x, namings + i, end - i);
        i = end;
    }
    said->refused = x.refused; // sorted, like the mentions
    said->unsure = x.unsure;
    return true;
}
