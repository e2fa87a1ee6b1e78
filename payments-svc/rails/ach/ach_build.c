// Items → entries → files. Makes no calls to the bank or the database.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "calendar/fed_calendar.h"
#include "domain/ids.h"
#include "rails/ach/ach_internal.h"

// payments.v1.BankAccountType and HolderType
enum { ACCOUNT_CHECKING = 1, ACCOUNT_SAVINGS = 2, HOLDER_INDIVIDUAL = 1, HOLDER_COMPANY = 2 };

#define US_PER_MINUTE INT64_C(60000000)
#define MINUTES_PER_DAY INT64_C(1440)

static civil_date date_of(int64_t yyyymmdd) {
    return (civil_date){(int)(yyyymmdd / 10000), (int)(yyyymmdd / 100 % 100),
                        (int)(yyyymmdd % 100)};
}

bool ach_origin_of_book(int64_t base, int64_t book_id, char out[11]) {
    if (book_id < 1 || book_id > ACH_BOOK_MAX || base + book_id > 999999999) {
        return false;
    }
    out[0] = '1';
    int64_t number = base + book_id;
    for (size_t i = 9; i > 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
    out[10] = '\0';
    return true;
}

void ach_trace_format(const ach_rail *r, int64_t sequence, char out[16]) {
    ASSERT(sequence >= 1 && sequence <= NACHA_TRACE_SEQUENCE_MAX);
    snprintf(out, 16, "%.8s%07" PRId64, r->settings.odfi_routing, sequence);
}

static nacha_credit credit_of(const rail_item *item) {
    return (nacha_credit){
        .sec = item->holder_type == HOLDER_INDIVIDUAL ? NACHA_PPD
               : item->holder_type == HOLDER_COMPANY  ? NACHA_CCD
                                                      : 0,
        .savings = item->account_type == ACCOUNT_SAVINGS,
        .routing = item->routing_code,
        .account = item->account_number,
        .amount_cents = item->amount,
        .name = item->recipient_name,
        .description = STR("PAYOUT"), // until its batch is known
    };
}

bool ach_item_check(const rail_item *item, err *e) {
    if (strcmp(item->currency, "USD") != 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_ENTRY", "currency",
                             "ACH moves USD only");
    }
    if (item->account_type != ACCOUNT_CHECKING && item->account_type != ACCOUNT_SAVINGS) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_ENTRY", "account_type",
                             "account_type must be checking or savings");
    }
    nacha_credit credit = credit_of(item);
    return nacha_credit_check(&credit, e);
}

// --- Plan ------------------------------------------------------------------------------------------------------------

typedef struct planner {
    const ach_rail *r;
    const rail_item *items;
    submission_numbers *numbers;
    ach_cuts cuts;
    const ach_cut *cut;
    ach_build *out;
    size_t files_max;
    char company_id[11];
} planner;

// Opens the next file, or notes that no more may be cut now.
static ach_file_plan *open_file(planner *p, size_t entries_max, arena *a) {
    if (p->out->n_files >= p->cut->files || p->cuts.used >= NACHA_MODIFIERS) {
        p->out->exhausted = true;
        return NULL;
    }
    ASSERT(p->out->n_files < p->files_max);
    ach_file_plan *f = &p->out->files[p->out->n_files];
    f->entries = ARENA_ARRAY(a, ach_entry_plan, entries_max);
    if (f->entries == NULL) {
        return NULL;
    }
    f->id = uuid_v7(p->r->clock);
    f->cycle = p->numbers->cycle;
    f->modifier = nacha_modifier(p->cuts.used);
    ach_timetable_count(&p->cuts, p->cut, p->numbers->now_us);
    strbuf_init(&f->content, nacha_size_max(entries_max, false));
    p->out->n_files++;
    return f;
}

typedef struct placed {
    int holder;
    char description[NACHA_DESCRIPTION_LEN + 1];
    size_t item;
} placed;

static int compare_batches(const placed *x, const placed *y) {
    if (x->holder != y->holder) {
        return x->holder < y->holder ? -1 : 1;
    }
    return strcmp(x->description, y->description);
}

static int compare_placed(const void *left, const void *right) {
    const placed *x = left, *y = right;
    const int order = compare_batches(x, y);
    return order != 0 ? order : x->item < y->item ? -1 : x->item > y->item ? 1 : 0;
}

// Sorts the items into the order of the file, so that traces ascend through it: PPD before CCD, and the items of a batch together.
static placed *sort_by_batch(const rail_item *items, const size_t *chosen, size_t n, arena *a) {
    placed *sorted = ARENA_ARRAY(a, placed, n);
    for (size_t i = 0; sorted != NULL && i < n; i++) {
        const rail_item *item = &items[chosen[i]];
        sorted[i] = (placed){.holder = item->holder_type, .item = chosen[i]};
        nacha_description(item->description, sorted[i].description);
    }
    if (sorted != NULL) {
        qsort(sorted, n, sizeof sorted[0], compare_placed);
    }
    return sorted;
}

// The number of lines of such a file, with its header, control and padding.
static size_t lines_of(size_t entries, size_t batches) {
    const size_t lines = 2 + entries + 2 * batches;
    return (lines + NACHA_BLOCKING - 1) / NACHA_BLOCKING * NACHA_BLOCKING;
}

// Spreads the items over files. A file is closed when it has entries_max entries, when one more would exceed lines_max lines, or when its
// total is full.
static bool plan(planner *p, const placed *sorted, size_t n, arena *a, err *e) {
    const size_t entries_max = (size_t)p->r->settings.entries_max;
    const size_t lines_max = (size_t)p->r->settings.lines_max;
    ach_file_plan *f = NULL;
    int64_t total = 0;
    size_t batches = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t amount = p->items[sorted[i].item].amount;
        size_t new_batch =
            f == NULL || f->n_entries == 0 || compare_batches(&sorted[i - 1], &sorted[i]) != 0;
        if (f == NULL || f->n_entries == entries_max || amount > NACHA_TOTAL_CENTS_MAX - total ||
            lines_of(f->n_entries + 1, batches + new_batch) > lines_max) {
            size_t left = n - i;
            f = open_file(p, left < entries_max ? left : entries_max, a);
            total = 0;
            batches = 0;
            new_batch = 1;
            if (f == NULL) {
                return p->out->exhausted || err_no_memory(e, "a file");
            }
        }
        f->entries[f->n_entries++] =
            (ach_entry_plan){sorted[i].item, p->numbers->next_number++, sorted[i].description};
        total += amount;
        batches += new_batch;
    }
    return true;
}

// --- Write -----------------------------------------------------------------------------------------------------------

static nacha_file_spec spec_of(const planner *p, char modifier) {
    const ach_settings *s = &p->r->settings;
    int64_t minutes = fed_local_us(p->numbers->now_us) / US_PER_MINUTE % MINUTES_PER_DAY;
    civil_date created = date_of(p->numbers->file_date);
    return (nacha_file_spec){
        .immediate_destination = str_of(s->immediate_destination),
        .immediate_origin = str_of(p->numbers->origin),
        .origin_name = str_of(s->company_name),
        .created = created,
        .created_hour = (int)(minutes / 60),
        .created_minute = (int)(minutes % 60),
        .modifier = modifier,
        .odfi = str_of(s->odfi_routing),
        .company_name = str_of(s->company_name),
        .company_id = str_of(p->company_id),
        .effective = fed_add_banking_days(created, 1),
    };
}

bool ach_file_name(const char *pattern, const submission_numbers *numbers, ach_file_plan *f,
                   err *e) {
    strbuf name;
    char hex[65], id[SUBMISSION_SHORT_ID_LEN + 1];
    crypto_sha256(f->content.ptr, f->content.len, f->sha256);
    str_hex(f->sha256, sizeof f->sha256, hex);
    submission_short_id(f->id, id);
    strbuf_init_fixed(&name, f->name, sizeof f->name);
    for (const char *p = pattern; *p != '\0';) {
        const size_t plain = strcspn(p, "{");
        strbuf_add(&name, p, plain);
        p += plain;
        if (strncmp(p, "{origin}", 8) == 0) {
            strbuf_add_c(&name, numbers->origin);
        } else if (strncmp(p, "{date}", 6) == 0) {
            strbuf_printf(&name, "%08" PRId64, numbers->file_date);
        } else if (strncmp(p, "{modifier}", 10) == 0) {
            strbuf_add_char(&name, f->modifier);
        } else if (strncmp(p, "{id}", 4) == 0) {
            strbuf_add_c(&name, id);
        } else if (strncmp(p, "{hash}", 6) == 0) {
            strbuf_add(&name, hex, 16);
        } else if (*p == '{') {
            return err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "ach.file_name",
                                 "ach.file_name has a part that is not known");
        }
        p += *p == '{' ? strcspn(p, "}") + (strchr(p, '}') != NULL ? 1 : 0) : 0;
    }
    return (strbuf_ok(&name) && name.len > 0) ||
           err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "ach.file_name",
                         "ach.file_name makes names that are empty or too long");
}

// The value of a part of the pattern of names.
typedef struct name_part {
    const char *part;
    size_t len;
    const char *characters; // in our case
} name_part;

static const name_part NAME_PARTS[] = {{"{origin}", 10, "0123456789"},
                                       {"{date}", 8, "0123456789"},
                                       {"{modifier}", 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"},
                                       {"{id}", SUBMISSION_SHORT_ID_LEN, "0123456789abcdef"},
                                       {"{hash}", 16, "0123456789abcdef"}};

// The matching character in our case; '\0': it is none of these.
static char in_our_case(char c, const char *characters) {
    for (const char *ours = characters; *ours != '\0'; ours++) {
        if (strncasecmp(&c, ours, 1) == 0) {
            return *ours;
        }
    }
    return '\0';
}

static const name_part *part_at(const char *pattern) {
    for (size_t i = 0; i < sizeof NAME_PARTS / sizeof NAME_PARTS[0]; i++) {
        if (strncmp(pattern, NAME_PARTS[i].part, strlen(NAME_PARTS[i].part)) == 0) {
            return &NAME_PARTS[i];
        }
    }
    return NULL;
}

bool ach_file_name_restore(const char *pattern, str said, char out[ACH_NAME_LEN_MAX]) {
    size_t n = 0, at = 0;
    while (said.len > 0 && said.ptr[said.len - 1] == ' ') {
        said.len--;
    }
    for (size_t i = 0; i < said.len; i++) {
        at = said.ptr[i] == '/' || said.ptr[i] == '\\' || (said.ptr[i] == ' ' && at == i) ? i + 1
                                                                                          : at;
    }
    while (*pattern != '\0') {
        const name_part *part = part_at(pattern);
        const char literal[2] = {*pattern, '\0'};
        for (size_t k = 0; k < (part == NULL ? 1 : part->len); k++, at++) {
            const char c =
                at < said.len && n + 1 < ACH_NAME_LEN_MAX
                    ? in_our_case(said.ptr[at], part == NULL ? literal : part->characters)
                    : '\0';
            if (c == '\0') {
                return false;
            }
            out[n++] = c;
        }
        pattern += part == NULL ? 1 : strlen(part->part);
    }
    out[n] = '\0';
    return at == said.len;
}

static bool write_file(const planner *p, ach_file_plan *f, arena *a, err *e) {
    nacha_credit *credits = ARENA_ARRAY(a, nacha_credit, f->n_entries);
    char(*ids)[NACHA_ID_LEN + 1] = arena_calloc(a, f->n_entries, sizeof *ids);
    if (credits == NULL || ids == NULL) {
        return err_no_memory(e, "a file");
    }
    for (size_t i = 0; i < f->n_entries; i++) {
        const rail_item *item = &p->items[f->entries[i].item];
        ach_individual_id(item->intent_id, ids[i]);
        credits[i] = credit_of(item);
        credits[i].individual_id = str_of(ids[i]);
        credits[i].description = str_of(f->entries[i].description);
        credits[i].trace_sequence = f->entries[i].trace;
    }
    nacha_file_spec spec = spec_of(p, f->modifier);
    return nacha_write(&spec, credits, f->n_entries, &f->content, &f->totals, e) &&
           ach_file_name(p->r->settings.file_name, p->numbers, f, e);
}

bool ach_build_files(const ach_rail *r, int64_t book_id, const rail_item *items,
                     const size_t *chosen, size_t n_chosen, submission_numbers *numbers,
                     const ach_cut *cut, arena *a, ach_build *out, err *e) {
    planner p = {
        .r = r,
        .items = items,
        .numbers = numbers,
        .cuts = {numbers->next_modifier, numbers->window_us, numbers->in_window, numbers->cut_us},
        .cut = cut,
        .out = out};
    *out = (ach_build){0};
    if (!ach_origin_of_book(r->company_base, book_id, p.company_id)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "the book has no ACH company id");
    }
    p.files_max = NACHA_MODIFIERS;
    out->files = ARENA_ARRAY(a, ach_file_plan, p.files_max);
    const placed *sorted = sort_by_batch(items, chosen, n_chosen, a);
    if (out->files == NULL || sorted == NULL) {
        return err_no_memory(e, "a file");
    }
    if (!plan(&p, sorted, n_chosen, a, e)) {
        return false;
    }
    for (size_t i = 0; i < out->n_files; i++) {
        if (!write_file(&p, &out->files[i], a, e)) {
            return false;
        }
    }
    numbers->next_modifier = p.cuts.used;
    numbers->window_us = p.cuts.window_us;
    numbers->in_window = p.cuts.in_window;
    numbers->cut_us = p.cuts.cut_us;
    return true;
}

void ach_build_free(ach_build *b) {
    for (size_t i = 0; i < b->n_files; i++) {
        strbuf *content = &b->files[i].content;
        explicit_bzero(content->ptr, content->len); // account numbers
        strbuf_deinit(content);
    }
    b->n_files = 0;
}
