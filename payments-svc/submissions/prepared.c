// Adds submissions, and takes items out of them before they are sent.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/crypto.h"
#include "events/events.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

enum { AAD_LEN = 128 };

// --- The content -------------------------------------------------------------------------------------------------------

static str content_aad(const char *seal, int64_t book_id, uuid id, char out[AAD_LEN]) {
    char text[UUID_TEXT_LEN + 1];
    uuid_format(id, text);
    const int n = snprintf(out, AAD_LEN, "%s|content|%" PRId64 "|%s", seal, book_id, text);
    ASSERT(n > 0 && n < AAD_LEN);
    return (str){out, (size_t)n};
}

bool submission_seal(crypto_keyring *keys, int64_t book_id, uuid id, str content, arena *a,
                     str *sealed, err *e) {
    char aad[AAD_LEN];
    return crypto_seal(keys, content_aad("submission", book_id, id, aad), content, a, sealed, e);
}

bool submission_open(crypto_keyring *keys, const char *seal, int64_t book_id, uuid id, str sealed,
                     arena *a, str *content, err *e) {
    char aad[AAD_LEN];
    if (strlen(seal) > 32) {
        return err_set(e, ERR_DATA_LOSS, "SEAL", "the content was sealed in a way that is unknown");
    }
    return crypto_open(keys, content_aad(seal, book_id, id, aad), sealed, a, content, e);
}

void submission_short_id(uuid id, char out[SUBMISSION_SHORT_ID_LEN + 1]) {
    char hex[33];
    str_hex(id.b, sizeof id.b, hex);
    memcpy(out, hex + 32 - SUBMISSION_SHORT_ID_LEN, SUBMISSION_SHORT_ID_LEN + 1);
}

// --- Adding ------------------------------------------------------------------------------------------------------------

static bool insert_row(db_conn *c, int64_t book_id, const submission_new *s, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, s->id);
    db_i16(p, (int16_t)s->connection);
    db_i16(p, (int16_t)s->kind);
    db_text(p, s->name);
    db_text(p, s->origin);
    db_i32(p, s->cycle);
    db_i64(p, s->items[0].number);
    db_i64(p, s->items[s->n_items - 1].number);
    db_i32(p, (int32_t)s->n_items);
    db_i64(p, s->total);
    db_text(p, str_of(s->currency));
    db_i64(p, s->size);
    db_bytes(p, s->sha256, sizeof s->sha256);
    db_bytes(p, s->sealed.ptr, s->sealed.len);
    db_i32(p, s->generation);
    db_time(p, s->window_us);
    db_time(p, s->stale_us);
    db_time(p, s->created_us);
    if (s->settles_us == 0) {
        db_null(p, OID_TIMESTAMPTZ);
    } else {
        db_time(p, s->settles_us);
    }
    db_text(p, s->sender_bank.ptr == NULL ? STR("") : s->sender_bank);
    db_text(p, s->sender_company.ptr == NULL ? STR("") : s->sender_company);
    return db_exec(c, submissions_sql(SUBM_SQL_INSERT), p, a, NULL, NULL, e);
}

static bool insert_directory(db_conn *c, int64_t book_id, const submission_new *s, arena *a,
                             err *e) {
    db_params *p = db_params_create(a);
    db_uuid(p, s->id);
    db_i16(p, (int16_t)s->connection);
    db_i64(p, book_id);
    db_text(p, s->name);
    db_i32(p, s->cycle);
    db_i64(p, s->items[0].number);
    db_i64(p, s->items[s->n_items - 1].number);
    return db_exec(c, submissions_sql(SUBM_SQL_DIRECTORY_INSERT), p, a, NULL, NULL, e);
}

bool submission_add(db_conn *c, int64_t book_id, const submission_new *s, arena *a, err *e) {
    ASSERT(s->n_items > 0 && s->n_items <= SUBMISSION_FIND_MAX);
    if (!insert_row(c, book_id, s, a, e) || !insert_directory(c, book_id, s, a, e)) {
        return false;
    }
    db_copy *w = db_copy_begin(c, "submission_item",
                               "book_id, submission_id, payout_id, attempt, number, amount", 6, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < s->n_items; i++) {
        db_copy_row(w);
        db_copy_i64(w, book_id);
        db_copy_uuid(w, s->id);
        db_copy_uuid(w, s->items[i].payout_id);
        db_copy_i32(w, s->items[i].attempt);
        db_copy_i64(w, s->items[i].number);
        db_copy_i64(w, s->items[i].amount);
    }
    return db_copy_end(w, NULL, e);
}

// --- Where attempts are ------------------------------------------------------------------------------------------------

bool submission_places(db_conn *c, int64_t book_id, const uuid *payouts, const int32_t *attempts,
                       size_t n, submission_place *places, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid_array(p, payouts, n);
    db_i32_array(p, attempts, n);
    if (!db_exec(c, submissions_sql(SUBM_SQL_PLACES), p, a, &rows, NULL, e)) {
        return false;
    }
    memset(places, 0, n * sizeof *places);
    for (size_t i = 0; i < db_count(rows); i++) {
        const int64_t at = db_get_i64(rows, i, 0) - 1;
        ASSERT(at >= 0 && (size_t)at < n); // the statement numbers its input
        places[at] =
            (submission_place){true, db_get_uuid(rows, i, 1),
                               (submission_state)db_get_i16(rows, i, 2), db_get_i64(rows, i, 3)};
    }
    return true;
}

bool submission_generation(db_conn *c, int64_t book_id, const uuid *payouts, size_t n,
                           int32_t *generation, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid_array(p, payouts, n);
    *generation = 0;
    if (n == 0) {
        return true;
    }
    if (!db_exec(c, submissions_sql(SUBM_SQL_GENERATION), p, a, &rows, NULL, e)) {
        return false;
    }
    *generation = db_get_i32(rows, 0, 0);
    return true;
}

// --- Taking out --------------------------------------------------------------------------------------------------------

// Withdraws a submission that was never begun: its other items are handed over again.
static bool withdraw(db_conn *c, int64_t book_id, uuid id, uuid but, str why, int64_t now_us,
                     arena *a, err *e) {
    static const char TEXT[] = "an item was taken out of it before it was sent";
    char told[SUBM_DETAIL_MAX + 1];
    subm_detail(told, str_of(TEXT), why);
    const subm_said said = {.kind = RAIL_EVENT_NOT_TAKEN,
                            .tag = "not-taken",
                            .code = STR("SUBMISSION_WITHDRAWN"),
                            .text = str_of(TEXT),
                            .at_us = now_us,
                            .source = RAIL_SOURCE_SUBMISSION,
                            .but = but};
    const uuid nil = {{0}};
    size_t n = 0;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, id);
    db_i16(p, SUBMISSION_WITHDRAWN);
    db_text(p, STR("ITEM_TAKEN_OUT"));
    db_text(p, str_of(TEXT));
    return db_exec(c, submissions_sql(SUBM_SQL_DECIDE), p, a, NULL, NULL, e) &&
           subm_evidence_add(c, book_id, id, EVIDENCE_WITHDREW, 0, nil, nil, told, a, e) &&
           subm_events_record(c, book_id, id, &said, &n, a, e);
}

static int compare_uuids(const void *a, const void *b) {
    return uuid_cmp(*(const uuid *)a, *(const uuid *)b);
}

// *known is false when the attempt is in no submission.
static bool find_of(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, bool *known,
                    uuid *id, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, payout_id);
    db_i32(p, attempt);
    if (!db_exec(c, submissions_sql(SUBM_SQL_OF_ATTEMPT), p, a, &rows, NULL, e)) {
        return false;
    }
    *known = db_count(rows) > 0;
    *id = *known ? db_get_uuid(rows, 0, 0) : (uuid){{0}};
    return true;
}

// *state is WITHDRAWN when the submission does not exist.
static bool lock_it(db_conn *c, int64_t book_id, uuid id, int *state, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_LOCK), p, a, &rows, NULL, e)) {
        return false;
    }
    *state = db_count(rows) == 1 ? db_get_i16(rows, 0, 0) : SUBMISSION_WITHDRAWN;
    return true;
}

static bool read_payouts(db_conn *c, int64_t book_id, uuid id, uuid **payouts, size_t *n, arena *a,
                         err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_ITEMS), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *payouts = ARENA_ARRAY(a, uuid, *n + 1);
    if (*payouts == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "REQUEST_MEMORY",
                       "the submission has too many payouts");
    }
    for (size_t i = 0; i < *n; i++) {
        (*payouts)[i] = db_get_uuid(rows, i, 0);
    }
    qsort(*payouts, *n, sizeof **payouts, compare_uuids);
    return true;
}

bool submission_lock(db_conn *c, int64_t book_id, uuid id, arena *a, err *e) {
    int state = SUBMISSION_WITHDRAWN;
    return lock_it(c, book_id, id, &state, a, e);
}

bool submission_lock_of(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt,
                        uuid **payouts, size_t *n, arena *a, err *e) {
    int state = SUBMISSION_WITHDRAWN;
    bool known = false;
    uuid id;
    *payouts = NULL;
    *n = 0;
    return find_of(c, book_id, payout_id, attempt, &known, &id, a, e) &&
           (!known || lock_it(c, book_id, id, &state, a, e)) &&
           (state != SUBMISSION_PREPARED || read_payouts(c, book_id, id, payouts, n, a, e));
}

bool subm_may_withdraw(const submission_evidence *known) {
    return known->at_risk == 0 && !known->finished;
}

bool submission_take_out(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, str why,
                         submission_removal *removal, arena *a, err *e) {
    int state = SUBMISSION_WITHDRAWN;
    bool in_one = false;
    uuid id;
    *removal = REMOVAL_ABSENT;
    if (!find_of(c, book_id, payout_id, attempt, &in_one, &id, a, e) ||
        (in_one && !lock_it(c, book_id, id, &state, a, e))) {
        return false;
    }
    if (state == SUBMISSION_WITHDRAWN || state == SUBMISSION_REJECTED) {
        return true;
    }
    subm_claimed found = {0};
    if (!subm_evidence_read(c, book_id, id, &found, a, e)) {
        return false;
    }
    if (state != SUBMISSION_PREPARED || !subm_may_withdraw(&found.known)) {
        *removal = REMOVAL_TOO_LATE;
        return true;
    }
    // Its sender may have claimed it already. The sender must write "begun" first, and then finds that it has lost the submission.
    *removal = REMOVAL_DONE;
    return withdraw(c, book_id, id, payout_id, why, clock_wall_us(clock_system()), a, e);
}
