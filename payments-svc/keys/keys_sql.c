#include "keys/keys_sql.h"

#include "base/assert.h"

#define KEY "SELECT key_id, sealed, macs, uses, sealing_at, check_value FROM data_key "

// $1: milliseconds after a key has sealed last in which the sealed value may not be committed yet. The last column: until when a rotation
// waits for such values; NULL: it does not wait.
#define ROTATION                                                                                   \
    "SELECT rotation_id, key_id, state, actor, started_at, ended_at, target, at_book, at1, at2, "  \
    "at3, walked, resealed, unreadable, walk_at, CASE WHEN state = 1 AND walk_at IS NULL THEN "    \
    "(SELECT max(d.sealing_at) + $1::bigint * interval '1 ms' FROM data_key AS d "                 \
    "WHERE d.book_id = 0 AND d.key_id <> key_rotation.key_id AND d.sealing_at > "                  \
    "statement_timestamp() - $1::bigint * interval '1 ms') END FROM key_rotation "

// Parameters of a reading: book, the three parts of the key behind which it begins, the key that seals (values under it stay where they
// are), and the most rows. A reading takes at most 16 MiB, unless the first value alone has more.
static const db_stmt STATEMENTS[KEYS_SQL_COUNT] = {
    [KEYS_SQL_LIST] = {"keys_list", KEY "WHERE book_id = 0 ORDER BY key_id"},
    // An instance that adds a key, or says that the key seals, waits for the end of the walk that judges the key.
    [KEYS_SQL_LOCK] = {"keys_lock", KEY "WHERE book_id = 0 ORDER BY key_id FOR UPDATE"},
    // The keys $1 of a ring with their check values $3. The keys of $4 seal, or may have sealed. $5: a new check value replaces the
    // present one.
    [KEYS_SQL_PUT] =
        {"keys_put",
         "INSERT INTO data_key (book_id, key_id, first_at, sealed, macs, uses, sealing_at, "
         "check_value) SELECT 0, u.id, $2::timestamptz, u.id = ANY($4::text[]), "
         "u.id = ANY($4::text[]), '', CASE WHEN u.id = ANY($4::text[]) THEN statement_timestamp() "
         "END, u.v FROM unnest($1::text[], $3::bytea[]) AS u(id, v) ORDER BY u.id "
         "ON CONFLICT (book_id, key_id) DO UPDATE SET "
         "sealed = data_key.sealed OR excluded.sealed, macs = data_key.macs OR excluded.macs, "
         "sealing_at = coalesce(excluded.sealing_at, data_key.sealing_at), "
         "check_value = CASE WHEN $5::boolean THEN excluded.check_value "
         "ELSE coalesce(data_key.check_value, excluded.check_value) END "
         "WHERE excluded.sealed OR data_key.check_value IS NULL OR "
         "($5::boolean AND data_key.check_value <> excluded.check_value)"},
    // A name that was sealed under the key $2, among the last ones of a book.
    [KEYS_SQL_SAMPLE] =
        {"keys_sample",
         "SELECT r.recipient_id::text, r.name_sealed FROM (SELECT recipient_id, name_sealed "
         "FROM recipient WHERE book_id = $1 ORDER BY recipient_id DESC LIMIT 200) AS r "
         "WHERE octet_length(r.name_sealed) > 30 AND get_byte(r.name_sealed, 0) = 1 AND "
         "substring(r.name_sealed FROM 3 FOR get_byte(r.name_sealed, 1)) = $2::bytea LIMIT 1"},
    // What is known of a key already stays.
    [KEYS_SQL_ADD_FOUND] = {"keys_add_found",
                            "INSERT INTO data_key (book_id, key_id, first_at, sealed, macs, uses) "
                            "SELECT 0, u.id, $2::timestamptz, true, true, '' FROM "
                            "unnest($1::text[]) AS u(id) ORDER BY u.id "
                            "ON CONFLICT (book_id, key_id) DO NOTHING"},
    [KEYS_SQL_COUNTED] = {"keys_counted", "UPDATE data_key SET sealed = $2, macs = $3, uses = $4 "
                                          "WHERE book_id = 0 AND key_id = $1"},
    // By the clock of the database: instances have others.
    [KEYS_SQL_INSTANCES] =
        {"keys_instances",
         "SELECT instance, key_ids, current, seen_at, since FROM key_instance WHERE book_id = 0 "
         "AND seen_at > statement_timestamp() - $1::bigint * interval '1 ms' ORDER BY instance"},
    [KEYS_SQL_INSTANCE_PUT] =
        {"keys_instance_put",
         "INSERT INTO key_instance (book_id, instance, key_ids, current, since, seen_at) "
         "VALUES (0, $1, $2, $3, statement_timestamp(), statement_timestamp()) "
         "ON CONFLICT (book_id, instance) DO UPDATE SET key_ids = excluded.key_ids, "
         "current = excluded.current, since = CASE WHEN key_instance.current = excluded.current "
         "THEN key_instance.since ELSE excluded.since END, seen_at = excluded.seen_at"},
    [KEYS_SQL_INSTANCE_GONE] = {"keys_instance_gone",
                                "DELETE FROM key_instance WHERE book_id = 0 AND instance = $1"},
    [KEYS_SQL_INSTANCES_OLD] = {"keys_instances_old",
                                "DELETE FROM key_instance WHERE book_id = 0 "
                                "AND seen_at < statement_timestamp() - interval '1 day'"},
    [KEYS_SQL_ROTATION_LAST] = {"keys_rotation_last",
                                ROTATION "WHERE book_id = 0 ORDER BY rotation_id DESC LIMIT 1"},
    // One instance walks at a time: the others do not wait.
    [KEYS_SQL_ROTATION_CLAIM] = {"keys_rotation_claim",
                                 ROTATION "WHERE book_id = 0 AND state = 1 FOR UPDATE SKIP LOCKED"},
    [KEYS_SQL_ROTATION_NEW] =
        {"keys_rotation_new",
         "INSERT INTO key_rotation (book_id, rotation_id, key_id, state, actor, started_at, "
         "target, at_book, at1, at2, at3, walked, resealed, unreadable) SELECT 0, $1::uuid, "
         "$2::text, 1, $3::text, statement_timestamp(), 0, -1, '', '', '', 0, 0, 0 "
         "WHERE NOT EXISTS (SELECT 1 FROM key_rotation WHERE book_id = 0 AND state = 1)"},
    [KEYS_SQL_ROTATION_STEP] =
        {"keys_rotation_step",
         "UPDATE key_rotation SET target = $2, at_book = $3, at1 = $4, at2 = $5, at3 = $6, "
         "walked = walked + $7, resealed = resealed + $8, unreadable = unreadable + $9, "
         "walk_at = coalesce(walk_at, statement_timestamp()) "
         "WHERE book_id = 0 AND rotation_id = $1"},
    [KEYS_SQL_ROTATION_END] =
        {"keys_rotation_end", "UPDATE key_rotation SET state = 2, ended_at = statement_timestamp() "
                              "WHERE book_id = 0 AND rotation_id = $1"},
    [KEYS_SQL_COUNT_ADD] =
        {"keys_count_add",
         "INSERT INTO key_count (book_id, rotation_id, key_id, target, n) SELECT 0, $1::uuid, "
         "u.id, $2::text, u.n FROM unnest($3::text[], $4::bigint[]) AS u(id, n) "
         "ON CONFLICT (book_id, rotation_id, key_id, target) DO UPDATE SET "
         "n = key_count.n + excluded.n"},
    [KEYS_SQL_COUNTS] = {"keys_counts", "SELECT key_id, target, n FROM key_count WHERE book_id = 0 "
                                        "AND rotation_id = $1 ORDER BY key_id, target"},
    // A function of migration 0039: the service itself has no right to write there. The target's name, the book, the parts of the keys,
    // heads of the envelopes that were read, envelopes.
    [KEYS_SQL_RESEAL] = {"keys_reseal", "SELECT keys_reseal($1, $2, $3, $4, $5, $6, $7)"},
    [KEYS_SQL_READ_NAME] =
        {"keys_read_name",
         "SELECT w.k1, w.k2, w.k3, w.id, CASE WHEN w.id <> $5::bytea THEN w.v END, w.aad "
         "FROM (SELECT t.*, CASE WHEN octet_length(t.v) > 30 AND get_byte(t.v, 0) = 1 AND "
         "octet_length(t.v) >= 30 + get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR "
         "get_byte(t.v, 1)) END AS id, sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes "
         "FROM (SELECT recipient_id::text AS k1, ''::text AS k2, ''::text AS k3, name_sealed "
         "AS v, 'recipient|name|' || book_id || '|' || recipient_id AS aad, row_number() "
         "OVER (ORDER BY recipient_id) AS n FROM (SELECT * FROM recipient WHERE book_id = $1 "
         "AND (recipient_id) > ($2::text::uuid) AND $3::text IS NOT NULL AND $4::text IS NOT "
         "NULL ORDER BY recipient_id LIMIT 2000) AS r) AS t) AS w WHERE w.n = 1 OR "
         "coalesce(w.bytes, 0) <= 16777216 ORDER BY w.n"},
    [KEYS_SQL_READ_ACCOUNT] =
        {"keys_read_account",
         "SELECT w.k1, w.k2, w.k3, w.id, CASE WHEN w.id <> $5::bytea THEN w.v END, w.aad "
         "FROM (SELECT t.*, CASE WHEN octet_length(t.v) > 30 AND get_byte(t.v, 0) = 1 AND "
         "octet_length(t.v) >= 30 + get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR "
         "get_byte(t.v, 1)) END AS id, sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes "
         "FROM (SELECT recipient_id::text AS k1, ''::text AS k2, ''::text AS k3, "
         "account_sealed AS v, 'recipient|account|' || book_id || '|' || recipient_id AS "
         "aad, row_number() OVER (ORDER BY recipient_id) AS n FROM (SELECT * FROM recipient "
         "WHERE book_id = $1 AND (recipient_id) > ($2::text::uuid) AND $3::text IS NOT NULL "
         "AND $4::text IS NOT NULL ORDER BY recipient_id LIMIT 2000) AS r) AS t) AS w WHERE "
         "w.n = 1 OR coalesce(w.bytes, 0) <= 16777216 ORDER BY w.n"},
    [KEYS_SQL_READ_ANSWER] =
        {"keys_read_answer",
         "SELECT w.k1, w.k2, w.k3, w.id, CASE WHEN w.id <> $5::bytea THEN w.v END, w.aad "
         "FROM (SELECT t.*, CASE WHEN octet_length(t.v) > 30 AND get_byte(t.v, 0) = 1 AND "
         "octet_length(t.v) >= 30 + get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR "
         "get_byte(t.v, 1)) END AS id, sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes "
         "FROM (SELECT merchant_id::text AS k1, operation::text AS k2, key::text AS k3, CASE "
         "WHEN operation = 2 THEN response END AS v, 'idempotency|response|' || book_id || "
         "'|' || merchant_id || '|' || key AS aad, row_number() OVER (ORDER BY merchant_id, "
         "operation, key) AS n FROM (SELECT * FROM idempotency WHERE book_id = $1 AND "
         "(merchant_id, operation, key) > ($2::text, $3::text::smallint, $4::text) ORDER BY "
         "merchant_id, operation, key LIMIT 2000) AS r) AS t) AS w WHERE w.n = 1 OR "
         "coalesce(w.bytes, 0) <= 16777216 ORDER BY w.n"},
    [KEYS_SQL_READ_SUBMISSION] =
        {"keys_read_submission",
         "SELECT w.k1, w.k2, w.k3, w.id, CASE WHEN w.id <> $5::bytea THEN w.v END, w.aad "
         "FROM (SELECT t.*, CASE WHEN octet_length(t.v) > 30 AND get_byte(t.v, 0) = 1 AND "
         "octet_length(t.v) >= 30 + get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR "
         "get_byte(t.v, 1)) END AS id, sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes "
         "FROM (SELECT submission_id::text AS k1, ''::text AS k2, ''::text AS k3, "
         "content_sealed AS v, seal || '|content|' || book_id || '|' || submission_id AS "
         "aad, row_number() OVER (ORDER BY submission_id) AS n FROM (SELECT * FROM "
         "submission WHERE book_id = $1 AND (submission_id) > ($2::text::uuid) AND $3::text "
         "IS NOT NULL AND $4::text IS NOT NULL ORDER BY submission_id LIMIT 200) AS r) AS t) "
         "AS w WHERE w.n = 1 OR coalesce(w.bytes, 0) <= 16777216 ORDER BY w.n"},
    [KEYS_SQL_READ_INBOX] =
        {"keys_read_inbox",
         "SELECT w.k1, w.k2, w.k3, w.id, CASE WHEN w.id <> $5::bytea THEN w.v END, w.aad "
         "FROM (SELECT t.*, CASE WHEN octet_length(t.v) > 30 AND get_byte(t.v, 0) = 1 AND "
         "octet_length(t.v) >= 30 + get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR "
         "get_byte(t.v, 1)) END AS id, sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes "
         "FROM (SELECT inbox_id::text AS k1, ''::text AS k2, ''::text AS k3, content_sealed "
         "AS v, 'inbox|content|' || book_id || '|' || inbox_id || '|1' AS aad, row_number() "
         "OVER (ORDER BY inbox_id) AS n FROM (SELECT * FROM inbox WHERE book_id = $1 AND "
         "(inbox_id) > ($2::text::uuid) AND $3::text IS NOT NULL AND $4::text IS NOT NULL "
         "ORDER BY inbox_id LIMIT 500) AS r) AS t) AS w WHERE w.n = 1 OR coalesce(w.bytes, "
         "0) <= 16777216 ORDER BY w.n"},
    [KEYS_SQL_READ_REPAIRED] =
        {"keys_read_repaired",
         "SELECT w.k1, w.k2, w.k3, w.id, CASE WHEN w.id <> $5::bytea THEN w.v END, w.aad "
         "FROM (SELECT t.*, CASE WHEN octet_length(t.v) > 30 AND get_byte(t.v, 0) = 1 AND "
         "octet_length(t.v) >= 30 + get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR "
         "get_byte(t.v, 1)) END AS id, sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes "
         "FROM (SELECT inbox_id::text AS k1, version::text AS k2, ''::text AS k3, "
         "content_sealed AS v, 'inbox|content|' || book_id || '|' || inbox_id || '|' || "
         "version AS aad, row_number() OVER (ORDER BY inbox_id, version) AS n FROM (SELECT * "
         "FROM inbox_version WHERE book_id = $1 AND (inbox_id, version) > ($2::text::uuid, "
         "$3::text::integer) AND $4::text IS NOT NULL ORDER BY inbox_id, version LIMIT 200) "
         "AS r) AS t) AS w WHERE w.n = 1 OR coalesce(w.bytes, 0) <= 16777216 ORDER BY w.n"},
    [KEYS_SQL_READ_EXCEPTION] =
        {"keys_read_exception",
         "SELECT w.k1, w.k2, w.k3, w.id, CASE WHEN w.id <> $5::bytea THEN w.v END, w.aad "
         "FROM (SELECT t.*, CASE WHEN octet_length(t.v) > 30 AND get_byte(t.v, 0) = 1 AND "
         "octet_length(t.v) >= 30 + get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR "
         "get_byte(t.v, 1)) END AS id, sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes "
         "FROM (SELECT inbox_id::text AS k1, version::text AS k2, line::text AS k3, "
         "raw_sealed AS v, 'inbox|line|' || book_id || '|' || inbox_id || '|' || version || "
         "'|' || line AS aad, row_number() OVER (ORDER BY inbox_id, version, line) AS n FROM "
         "(SELECT * FROM inbox_exception WHERE book_id = $1 AND (inbox_id, version, line) > "
         "($2::text::uuid, $3::text::integer, $4::text::integer) ORDER BY inbox_id, version, "
         "line LIMIT 1000) AS r) AS t) AS w WHERE w.n = 1 OR coalesce(w.bytes, 0) <= "
         "16777216 ORDER BY w.n"},
    [KEYS_SQL_READ_REQUEST] =
        {"keys_read_request",
         "SELECT w.k1, w.k2, w.k3, w.id, NULL::bytea, w.aad FROM (SELECT t.*, CASE WHEN "
         "octet_length(t.v) > 32 AND get_byte(t.v, 0) = 1 AND octet_length(t.v) = 34 + "
         "get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR get_byte(t.v, 1)) END AS id, "
         "sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes FROM (SELECT merchant_id::text "
         "AS k1, operation::text AS k2, key::text AS k3, request_hash AS v, '' AS aad, "
         "row_number() OVER (ORDER BY merchant_id, operation, key) AS n FROM (SELECT * FROM "
         "idempotency WHERE book_id = $1 AND (merchant_id, operation, key) > ($2::text, "
         "$3::text::smallint, $4::text) ORDER BY merchant_id, operation, key LIMIT 2000) AS "
         "r) AS t) AS w WHERE $5::bytea IS NULL OR w.n = 1 OR coalesce(w.bytes, 0) <= "
         "16777216 ORDER BY w.n"},
    [KEYS_SQL_READ_PAYOUT] =
        {"keys_read_payout",
         "SELECT w.k1, w.k2, w.k3, w.id, NULL::bytea, w.aad FROM (SELECT t.*, CASE WHEN "
         "octet_length(t.v) > 32 AND get_byte(t.v, 0) = 1 AND octet_length(t.v) = 34 + "
         "get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR get_byte(t.v, 1)) END AS id, "
         "sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes FROM (SELECT payout_id::text "
         "AS k1, ''::text AS k2, ''::text AS k3, request_hash AS v, '' AS aad, row_number() "
         "OVER (ORDER BY payout_id) AS n FROM (SELECT * FROM payout WHERE book_id = $1 AND "
         "(payout_id) > ($2::text::uuid) AND $3::text IS NOT NULL AND $4::text IS NOT NULL "
         "ORDER BY payout_id LIMIT 2000) AS r) AS t) AS w WHERE $5::bytea IS NULL OR w.n = 1 "
         "OR coalesce(w.bytes, 0) <= 16777216 ORDER BY w.n"},
    // Gone when their import ends.
    [KEYS_SQL_READ_PART] =
        {"keys_read_part",
         "SELECT w.k1, w.k2, w.k3, w.id, NULL::bytea, ''::text FROM (SELECT t.*, CASE WHEN "
         "octet_length(t.v) > 30 AND get_byte(t.v, 0) = 1 AND octet_length(t.v) >= 30 + "
         "get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR get_byte(t.v, 1)) END AS id FROM "
         "(SELECT import_id::text AS k1, at_byte::text AS k2, ''::text AS k3, sealed AS v, "
         "row_number() OVER (ORDER BY import_id, at_byte) AS n FROM (SELECT * FROM "
         "import_part WHERE book_id = $1 AND (import_id, at_byte) > ($2::text::uuid, "
         "$3::text::bigint) AND $4::text IS NOT NULL ORDER BY import_id, at_byte LIMIT 1000) "
         "AS r) AS t) AS w WHERE $5::bytea IS NOT NULL ORDER BY w.n"},
    [KEYS_SQL_READ_IMPORT] =
        {"keys_read_import",
         "SELECT w.k1, w.k2, w.k3, w.id, NULL::bytea, w.aad FROM (SELECT t.*, CASE WHEN "
         "octet_length(t.v) > 32 AND get_byte(t.v, 0) = 1 AND octet_length(t.v) = 34 + "
         "get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR get_byte(t.v, 1)) END AS id, "
         "sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes FROM (SELECT import_id::text AS k1, "
         "''::text AS k2, ''::text AS k3, request_hash AS v, "
         "'' AS aad, row_number() OVER (ORDER BY import_id) AS n FROM (SELECT * FROM "
         "payment_import WHERE "
         "book_id = $1 AND (import_id) > ($2::text::uuid) AND $3::text IS NOT NULL AND $4::text IS "
         "NOT NULL ORDER BY import_id LIMIT 2000) AS r) AS t) AS w WHERE $5::bytea IS NULL "
         "OR w.n = 1 OR coalesce(w.bytes, 0) <= 16777216 ORDER BY w.n"},
    [KEYS_SQL_READ_CASE] =
        {"keys_read_case",
         "SELECT w.k1, w.k2, w.k3, w.id, NULL::bytea, w.aad FROM (SELECT t.*, CASE WHEN "
         "octet_length(t.v) > 32 AND get_byte(t.v, 0) = 1 AND octet_length(t.v) = 34 + "
         "get_byte(t.v, 1) THEN substring(t.v FROM 3 FOR get_byte(t.v, 1)) END AS id, "
         "sum(octet_length(t.v)) OVER (ORDER BY t.n) AS bytes FROM (SELECT case_id::text AS k1, "
         "note_id::text AS k2, ''::text AS k3, request_hash AS v, "
         "'' AS aad, row_number() OVER (ORDER BY case_id, note_id) AS n FROM (SELECT * FROM "
         "case_note WHERE "
         "book_id = $1 AND (case_id, note_id) > ($2::text::uuid, $3::text::uuid) AND $4::text IS "
         "NOT NULL ORDER BY case_id, note_id LIMIT 2000) AS r) AS t) AS w WHERE $5::bytea IS NULL "
         "OR w.n = 1 OR coalesce(w.bytes, 0) <= 16777216 ORDER BY w.n"},
};

#define NO_UUID "00000000-0000-0000-0000-000000000000"
const key_target KEY_TARGET[KEY_TARGETS] = {
    {"recipient name", KEYS_SQL_READ_NAME, true, false, {NO_UUID, "", ""}},
    {"recipient account", KEYS_SQL_READ_ACCOUNT, true, false, {NO_UUID, "", ""}},
    {"answer to a registration", KEYS_SQL_READ_ANSWER, true, false, {"", "-1", ""}},
    {"submission", KEYS_SQL_READ_SUBMISSION, true, false, {NO_UUID, "", ""}},
    {"inbox", KEYS_SQL_READ_INBOX, true, false, {NO_UUID, "", ""}},
    {"repaired inbox", KEYS_SQL_READ_REPAIRED, true, false, {NO_UUID, "-1", ""}},
    {"exception", KEYS_SQL_READ_EXCEPTION, true, false, {NO_UUID, "-1", "-1"}},
    {"request", KEYS_SQL_READ_REQUEST, false, true, {"", "-1", ""}},
    {"payout", KEYS_SQL_READ_PAYOUT, false, true, {NO_UUID, "", ""}},
    {"part of an import", KEYS_SQL_READ_PART, false, false, {NO_UUID, "-1", ""}},
    {"import", KEYS_SQL_READ_IMPORT, false, true, {NO_UUID, "", ""}},
    {"change of a case", KEYS_SQL_READ_CASE, false, true, {NO_UUID, NO_UUID, ""}},
};

const db_stmt *keys_sql(keys_sql_id id) {
    ASSERT((int)id >= 0 && id < KEYS_SQL_COUNT);
    return &STATEMENTS[id];
}
