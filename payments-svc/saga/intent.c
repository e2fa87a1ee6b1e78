// Loads the data of a batch's acting sagas, inside the claiming transaction.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "domain/ids.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

static int compare_id(const void *key, const void *item) {
    return uuid_cmp(*(const uuid *)key, ((const saga_item *)item)->payout_id);
}

static saga_item *find_item(const saga_batch *b, uuid payout_id) {
    saga_item *item = bsearch(&payout_id, b->items, b->n, sizeof b->items[0], compare_id);
    ASSERT(item != NULL); // the statement asked only for these
    return item;
}

// Runs a statement of (book, ids of the items that act on one of the steps). *rows is NULL without such items.
static bool fetch_for(saga_batch *b, db_conn *c, saga_sql_id sql, unsigned step_mask,
                      db_rows **rows, err *e) {
    uuid *ids = ARENA_ARRAY(b->a, uuid, b->n);
    if (ids == NULL) {
        return err_no_memory(e, "the batch");
    }
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].acting != STEP_NONE &&
            (SAGA_STEP_BIT(b->items[i].acting) & step_mask) != 0) {
            ids[n++] = b->items[i].payout_id;
        }
    }
    *rows = NULL;
    if (n == 0) {
        return true;
    }
    db_params *p = db_params_create(b->a);
    db_i64(p, b->from.book_id);
    db_uuid_array(p, ids, n);
    return db_exec(c, saga_sql(sql), p, b->a, rows, NULL, e);
}

static bool read_payout(saga_batch *b, const db_rows *rows, size_t i, err *e) {
    saga_item *item = find_item(b, db_get_uuid(rows, i, 0));
    const str currency = db_get_str(rows, i, 4);
    if (currency.len != sizeof item->currency - 1) {
        return err_set(e, ERR_INTERNAL, "SAGA_PAYOUT", "a payout's currency has not three letters");
    }
    item->merchant_id = db_get_str(rows, i, 1);
    item->recipient_id = db_get_uuid(rows, i, 2);
    item->amount = item->was.amount = item->now.amount = db_get_i64(rows, i, 3);
    memcpy(item->currency, currency.ptr, currency.len);
    item->currency[currency.len] = '\0';
    item->description = db_get_str(rows, i, 5);
    item->intent_id = db_get_uuid(rows, i, 6);
    item->fee = db_get_i64(rows, i, 7);
    return true;
}

bool saga_intent_payouts(saga_batch *b, db_conn *c, err *e) {
    db_rows *rows = NULL;
    uuid *ids = ARENA_ARRAY(b->a, uuid, b->n);
    if (ids == NULL) {
        return err_no_memory(e, "the batch");
    }
    for (size_t i = 0; i < b->n; i++) {
        ids[i] = b->items[i].payout_id;
    }
    db_params *p = db_params_create(b->a);
    db_i64(p, b->from.book_id);
    db_uuid_array(p, ids, b->n);
    db_uuid(p, ids[0]); // they are sorted
    db_uuid(p, ids[b->n - 1]);
    if (!db_exec(c, saga_sql(SAGA_SQL_PAYOUTS), p, b->a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        if (!read_payout(b, rows, i, e)) {
            return false;
        }
    }
    return true;
}

// --- The ledger's view -----------------------------------------------------------------------------------------------

saga_legs saga_legs_of(const saga *s) {
    const bool suspense = s->outlook != STATE_NONE;
    switch (s->step) {
    case STEP_RESERVE: return (saga_legs){"reserve", NULL};
    case STEP_CONFIRM:
        return suspense        ? (saga_legs){"write_off", "write_off_bank_out"}
               : s->moving > 0 ? (saga_legs){"pay_again", "pay_again_bank_out"}
                               : (saga_legs){"confirm", "bank_out"};
    case STEP_VOID:
    case STEP_CANCEL: return (saga_legs){"void", NULL};
    case STEP_RETURN:
        return suspense ? (saga_legs){"write_off_bank_return", "write_off_back"}
                        : (saga_legs){"bank_return", "return"};
    case STEP_NONE:
    case STEP_EXECUTE:
    case STEP_RESOLVE:
    case STEP_AWAIT:
    case STEP_DONE:
    case STEP_GATE: break;
    }
    return (saga_legs){NULL, NULL};
}

// Derives the ids once, for the log and for the ledger.
static void name_transfers(saga_batch *b) {
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        const saga_legs legs = saga_legs_of(&item->now);
        if (item->acting == STEP_NONE || legs.first == NULL) {
            continue;
        }
        item->transfer = transfer_of_step(item->intent_id, legs.first, item->now.leg);
        if (item->acting != STEP_VOID && item->acting != STEP_CANCEL) {
            item->merchant_account = account_merchant_available(b->from.book_id, item->merchant_id,
                                                                str_of(item->currency));
        }
    }
}

// --- The rail's view -------------------------------------------------------------------------------------------------

static void fill_rail_item(saga_item *item, rail_item *r) {
    *r = (rail_item){.payout_id = item->payout_id,
                     .intent_id = item->intent_id,
                     .attempt = item->now.attempt,
                     .amount = item->amount,
                     .merchant_id = item->merchant_id,
                     .description = item->description,
                     .rail_reference = item->reference};
    attempt_key(item->intent_id, item->now.attempt, r->key);
    memcpy(r->currency, item->currency, sizeof r->currency);
    item->rail = r;
}

// EXECUTE first, then RESOLVE, so that each is one run of items for the rail.
static bool make_rail_items(saga_batch *b, err *e) {
    b->rail_items = ARENA_ARRAY(b->a, rail_item, b->n);
    if (b->rail_items == NULL) {
        return err_no_memory(e, "the batch");
    }
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].acting == STEP_EXECUTE) {
            fill_rail_item(&b->items[i], &b->rail_items[b->n_execute++]);
        }
    }
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].acting == STEP_RESOLVE) {
            fill_rail_item(&b->items[i], &b->rail_items[b->n_execute + b->n_resolve++]);
        }
    }
    return true;
}

// --- Bank details ----------------------------------------------------------------------------------------------------

static bool open_value(saga_batch *b, const saga_item *item, const char *what, str sealed,
                       str *plain, err *e) {
    char id[UUID_TEXT_LEN + 1], aad[128];
    uuid_format(item->recipient_id, id);
    strbuf text;
    strbuf_init_fixed(&text, aad, sizeof aad);
    strbuf_printf(&text, "recipient|%s|%lld|%s", what, (long long)b->from.book_id, id);
    ASSERT(strbuf_ok(&text));
    return crypto_open(b->from.keys, strbuf_str(&text), sealed, b->secrets, plain, e);
}

// Not sent, now or later by itself: a person must look at the recipient, or at the keys. The batch's others go on.
static void hold_item(saga_item *item, str code, str text) {
    item->now = item->was; // the attempt was not made
    saga_hold(&item->now, code, text);
    item->note = (saga_note){OUT_BROKEN, code, text};
    item->acting = STEP_NONE;
    item->rail = NULL;
}

static bool read_recipient(saga_batch *b, const db_rows *rows, size_t row, err *e) {
    saga_item *item = find_item(b, db_get_uuid(rows, row, 0));
    rail_item *r = item->rail;
    item->has_recipient = true;
    r->merchant_name = db_get_str(rows, row, 1);
    r->holder_type = db_get_i16(rows, row, 2);
    r->account_type = db_get_i16(rows, row, 3);
    r->routing_code = db_get_str(rows, row, 4);
    err why = {0};
    if (open_value(b, item, "name", db_get_str(rows, row, 5), &r->recipient_name, &why) &&
        open_value(b, item, "account", db_get_str(rows, row, 6), &r->account_number, &why)) {
        return true;
    }
    if (why.code != ERR_DATA_LOSS) {
        if (e != NULL) {
            *e = why; // for example no memory: not the recipient's fault
        }
        return false;
    }
    char id[UUID_TEXT_LEN + 1];
    uuid_format(item->payout_id, id);
    log_err(LOG_ERROR, "saga.recipient_unreadable", &why);
    log_error("saga.held", F_STR("payout", id), F_STR("reason", "RECIPIENT_UNREADABLE"));
    hold_item(item, STR("RECIPIENT_UNREADABLE"),
              STR("the recipient's bank details cannot be read"));
    return true;
}

static bool load_recipients(saga_batch *b, db_conn *c, err *e) {
    db_rows *rows = NULL;
    if (!fetch_for(b, c, SAGA_SQL_RECIPIENTS, SAGA_STEP_BIT(STEP_EXECUTE), &rows, e)) {
        return false;
    }
    const size_t n = rows == NULL ? 0 : db_count(rows);
    for (size_t i = 0; i < n; i++) {
        if (!read_recipient(b, rows, i, e)) {
            return false;
        }
    }
    for (size_t i = 0; n != b->n_execute && i < b->n; i++) {
        saga_item *item = &b->items[i];
        if (item->acting == STEP_EXECUTE && !item->has_recipient) {
            hold_item(item, STR("RECIPIENT_MISSING"),
                      STR("the payout has no recipient or no merchant in the database"));
        }
    }
    return true;
}

// Removes items that became HELD from the run.
static void drop_held(saga_batch *b) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        if (item->acting == STEP_EXECUTE) {
            if (item->rail != &b->rail_items[n]) {
                b->rail_items[n] = *item->rail;
                item->rail = &b->rail_items[n];
            }
            n++;
        }
    }
    const size_t gone = b->n_execute - n;
    for (size_t i = 0; gone > 0 && i < b->n; i++) {
        saga_item *item = &b->items[i];
        if (item->acting == STEP_RESOLVE) {
            item->rail[-(ptrdiff_t)gone] = *item->rail;
            item->rail -= gone;
        }
    }
    b->n_execute = n;
}

// The entries are in submissions with their own sender: no action is left, so nothing is leased.
static void hand_over(saga_batch *b) {
    saga_intent_wipe(b);
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        if (item->acting != STEP_EXECUTE) {
            continue;
        }
        item->answer = saga_answer_of(item->rail);
        if (item->answer.outcome != OUT_HANDED_OVER && item->answer.outcome != OUT_REFUSED &&
            item->answer.outcome != OUT_BROKEN) {
            item->answer.outcome = OUT_RETRY; // nothing was written about it
        }
        MUST(saga_on_outcome(&item->now, &item->answer, &item->said, &b->from.policy,
                             b->from.clock));
        item->quiet =
            item->quiet && !saga_is_progress(&item->was, &item->now, item->answer.outcome);
        item->acting = STEP_NONE;
        item->handed = true;
        item->rail = NULL;
    }
    b->rail_items += b->n_execute; // skips to the items of RESOLVE
    b->n_execute = 0;
}

bool saga_intent_load(saga_batch *b, db_conn *c, err *e) {
    name_transfers(b);
    if (!make_rail_items(b, e)) {
        return false;
    }
    if (b->n_execute == 0) {
        return true;
    }
    if (!load_recipients(b, c, e)) {
        return false;
    }
    drop_held(b);
    if (b->n_execute == 0 || b->from.rail->prepare == NULL) {
        return true;
    }
    if (!b->from.rail->prepare(b->from.rail, c, b->from.book_id, b->rail_items, b->n_execute,
                               b->secrets, e)) {
        return false;
    }
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        if (item->acting == STEP_EXECUTE && item->rail->reference.len > 0) {
            item->reference = item->rail->reference;
            item->rail->rail_reference = item->rail->reference;
        }
    }
    if (b->from.rail->hands_over) {
        hand_over(b);
    }
    return true;
}

void saga_intent_wipe(saga_batch *b) {
    for (size_t i = 0; b->rail_items != NULL && i < b->n_execute; i++) {
        rail_item *r = &b->rail_items[i];
        if (r->recipient_name.len > 0) {
            explicit_bzero((char *)(uintptr_t)r->recipient_name.ptr, r->recipient_name.len);
        }
        if (r->account_number.len > 0) {
            explicit_bzero((char *)(uintptr_t)r->account_number.ptr, r->account_number.len);
        }
        r->recipient_name = r->account_number = (str){0};
    }
}
