// Whether a request may become a payout: known keys before everything else, then fields, then the controls.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "domain/ids.h"
#include "intake/intake_internal.h"
#include "intake/intake_sql.h"

static const err *err_keep(arena *a, const err *e) {
    err *kept = ARENA_NEW(a, err);
    *kept = *e;
    return kept;
}

typedef struct field_text {
    char text[64];
} field_text;

static field_text field_of(const intake_item *it, const char *name) {
    field_text f;
    (void)snprintf(f.text, sizeof f.text, "%s%s", it->wanted->path, name);
    return f;
}

// --- Without the database --------------------------------------------------------------------------------------------

static bool item_validate(const intake_options *o, const merchant *m, intake_item *it, err *e) {
    const payout_request *w = it->wanted;
    const char *path = w->path;
    const str ccy = str_of(w->currency);
    const currency *found = NULL;
    if (w->fault != NULL) {
        *e = *w->fault;
        return false;
    }
    if (!rule_amount(w->amount, path, e) || !rule_currency(ccy, path, &found, e) ||
        !rule_connection(o->rails, o->n_rails, w->rail, w->connection, w->preferred, path,
                         &it->rail, e) ||
        !rule_rail_carries(o->rails, o->n_rails, it->rail, ccy, w->amount, path, e) ||
        (w->recipient_currency == NULL &&
         !rule_uuid(w->recipient_id, path, "recipient_id", &it->recipient_id, e)) ||
        !rule_text(w->external_reference, 0, RULE_REFERENCE_MAX, path, "external_reference", e) ||
        !rule_description(w->description, path, e)) {
        return false;
    }
    if (!list_has(m->currencies, ccy)) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "CURRENCY_NOT_HELD",
                             field_of(it, "currency").text, "the merchant holds %s only",
                             m->currencies);
    }
    return true;
}

bool intake_item_prepare(const intake_options *o, const merchant *m, const payout_request *wanted,
                         intake_item *it, arena *a, err *e) {
    err why = {0};
    it->wanted = wanted;
    it->idem.merchant_id = str_of(m->id);
    it->idem.key = wanted->key;
    it->idem.content = wanted->content;
    it->unreadable = !rule_key(wanted->key, wanted->path, &why);
    if (!it->unreadable) {
        it->idem.intent = payout_intent(m->book_id, it->idem.merchant_id, it->idem.key);
    }
    if (it->unreadable || !item_validate(o, m, it, &why)) {
        err *kept = arena_alloc(a, sizeof *kept);
        if (kept == NULL) {
            return err_no_memory(e, "the request");
        }
        *kept = why;
        it->invalid = kept;
        return true;
    }
    it->fee =
        rule_fee(o->rails, o->n_rails, it->rail, it->idem.merchant_id, str_of(wanted->currency));
    idem_hash(o->keys, IDEM_PAYOUT, &it->idem);
    return true;
}

// --- With the database -----------------------------------------------------------------------------------------------

static bool look_keys_up(intake_batch *b, db_conn *c, arena *a, err *e) {
    idem_entry **entries = ARENA_ARRAY(a, idem_entry *, b->n);
    if (entries == NULL) {
        return err_no_memory(e, "the request");
    }
    for (size_t i = 0; i < b->n; i++) {
        entries[i] = &b->items[i]->idem;
    }
    return idem_lookup(c, b->o->keys, b->book_id, IDEM_PAYOUT, entries, b->n, a, e);
}

static void read_accepted(const db_rows *rows, size_t row, payout_accepted *p) {
    *p = (payout_accepted){.payout_id = db_get_uuid(rows, row, 0),
                           .intent_id = db_get_uuid(rows, row, 1),
                           .recipient_id = db_get_uuid(rows, row, 2),
                           .amount = db_get_i64(rows, row, 3),
                           .currency = db_get_str(rows, row, 4),
                           .rail = db_get_i16(rows, row, 5),
                           .external_reference = db_get_str(rows, row, 6),
                           .description = db_get_str(rows, row, 7),
                           .created_us = db_get_time(rows, row, 8),
                           .fee = db_get_i64(rows, row, 9),
                           .replayed = true};
}

// Loads the payouts of known keys whose answer is rebuilt.
static bool load_accepted(const intake_batch *b, db_conn *c, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, b->n);
    size_t n = 0;
    if (ids == NULL) {
        return err_no_memory(e, "the request");
    }
    for (size_t i = 0; i < b->n; i++) {
        const idem_entry *idem = &b->items[i]->idem;
        b->items[i]->before =
            (payout_accepted){.replayed = idem->known, .kept_answer = idem->kept_answer};
        if (idem->known && idem->same && idem->kept_answer.ptr == NULL) {
            ids[n++] = idem->kept_made;
        }
    }
    if (n == 0) {
        return true;
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, b->book_id);
    db_uuid_array(p, ids, n);
    if (!db_exec(c, intake_sql(INTAKE_SQL_ACCEPTED), p, a, &rows, NULL, e)) {
        return false;
    }
    map *found = map_create(n, INTAKE_ITEMS_MAX); // payout → row number + 1
    for (size_t i = 0; i < db_count(rows); i++) {
        const bool put = map_put(found, db_get_uuid(rows, i, 0), (void *)(uintptr_t)(i + 1));
        ASSERT(put); // each id was asked for once
    }
    bool ok = true;
    for (size_t i = 0; ok && i < b->n; i++) {
        const idem_entry *idem = &b->items[i]->idem;
        if (idem->known && idem->same && idem->kept_answer.ptr == NULL) {
            const size_t row = (size_t)(uintptr_t)map_get(found, idem->kept_made);
            ok = row != 0 ||
                 err_set(e, ERR_DATA_LOSS, "ANSWER_LOST", "the payout of a known key is not there");
            if (ok) {
                read_accepted(rows, row - 1, &b->items[i]->before);
            }
        }
    }
    map_destroy(found);
    return ok;
}

static const err *control_fault(const intake_item *it, const control_verdict *v, arena *a) {
    err why = {0};
    if (v->field != NULL) {
        (void)err_set_field(&why, v->code, v->reason, field_of(it, v->field).text, "%s", v->text);
    } else {
        (void)err_set(&why, v->code, v->reason, "%s", v->text);
    }
    return err_keep(a, &why);
}

// What waits or is held is taken in, and stands at the gate.
static void take_verdict(intake_item *it, const control_verdict *v, bool gate, arena *a) {
    it->to_gate = gate || (v != NULL && v->answer != CONTROL_REFUSE);
    it->wait_until_us = v != NULL && v->answer == CONTROL_WAIT ? v->until_us : 0;
    it->refused = v != NULL && v->answer == CONTROL_REFUSE ? control_fault(it, v, a) : NULL;
}

static bool ask_controls(intake_batch *b, db_conn *c, arena *a, err *e) {
    control_payout *payouts = ARENA_ARRAY(a, control_payout, b->n_fresh);
    const control_verdict **verdicts = ARENA_ARRAY(a, const control_verdict *, b->n_fresh);
    if (payouts == NULL || verdicts == NULL) {
        return err_no_memory(e, "the request");
    }
    for (size_t i = 0; i < b->n_fresh; i++) {
        const intake_item *it = b->fresh[i];
        payouts[i] = (control_payout){.merchant_id = it->idem.merchant_id,
                                      .recipient_id = it->recipient_id,
                                      .amount = it->wanted->amount,
                                      .currency = it->wanted->currency,
                                      .connection = it->rail,
                                      .recipient_currency = it->wanted->recipient_currency};
    }
    if (!controls_ask(b->o->controls, CONTROL_INTAKE, c, b->book_id, payouts, b->n_fresh, verdicts,
                      a, e)) {
        return false;
    }
    const bool gate = controls_any(b->o->controls, CONTROL_GATE);
    for (size_t i = 0; i < b->n_fresh; i++) {
        take_verdict(b->fresh[i], verdicts[i], gate, a);
    }
    return true;
}

// Removes refused items from fresh.
static void drop_refused(intake_batch *b) {
    size_t kept = 0;
    for (size_t i = 0; i < b->n_fresh; i++) {
        if (b->fresh[i]->refused == NULL) {
            b->fresh[kept++] = b->fresh[i];
        }
    }
    b->n_fresh = kept;
}

bool intake_look(intake_batch *b, db_conn *c, arena *a, err *e) {
    b->n_fresh = 0;
    if (b->n == 0) {
        return true;
    }
    if (!look_keys_up(b, c, a, e) || !load_accepted(b, c, a, e)) {
        return false;
    }
    for (size_t i = 0; i < b->n; i++) {
        intake_item *it = b->items[i];
        it->refused = it->invalid; // only for a new key
        if (!it->idem.known && it->invalid == NULL && it->same_key == NULL) {
            b->fresh[b->n_fresh++] = it;
        }
    }
    if (b->n_fresh > 0 && !ask_controls(b, c, a, e)) {
        return false;
    }
    drop_refused(b);
    return true;
}

// --- An item's outcome ------------------------------------------------------------------------------------------------

bool intake_item_is_replay(const intake_item *it) {
    return it->same_key != NULL || it->idem.known;
}

static void accepted_now(const intake_item *it, payout_accepted *p) {
    const payout_request *w = it->wanted;
    *p = (payout_accepted){.payout_id = it->payout_id,
                           .intent_id = it->idem.intent,
                           .recipient_id = it->recipient_id,
                           .amount = w->amount,
                           .currency = str_of(w->currency),
                           .rail = it->rail,
                           .external_reference = w->external_reference,
                           .description = w->description,
                           .created_us = it->created_us,
                           .fee = it->fee};
}

static const err *conflict(const intake_item *it, arena *a) {
    err why = {0};
    (void)idem_conflict(it->wanted->path, &why);
    return err_keep(a, &why);
}

// The refusal of an item with a new key. first: the gathering's item that decides for the key.
static const err *new_item_refusal(const intake_item *it, const intake_item *first, arena *a) {
    const bool same = str_eq(it->idem.content, first->idem.content);
    if (it->invalid != NULL) {
        return it->invalid;
    }
    if (first->refused != NULL && !same) {
        err why = {0};
        (void)err_set(&why, ERR_ABORTED, "KEY_IN_USE",
                      "another request with this key was under way and was refused: ask again");
        return err_keep(a, &why);
    }
    return first->refused != NULL ? first->refused : same ? NULL : conflict(it, a);
}

void intake_item_outcome(const intake_item *it, payout_outcome *out, arena *a) {
    const intake_item *first = it->same_key != NULL ? it->same_key : it;
    *out = (payout_outcome){0};
    if (it->unreadable) {
        out->refused = it->invalid;
    } else if (it->idem.known) {
        out->refused = it->idem.same ? NULL : conflict(it, a);
        out->accepted = it->before;
    } else {
        out->refused = new_item_refusal(it, first, a);
        accepted_now(first, &out->accepted);
        out->accepted.replayed = it != first;
    }
}
