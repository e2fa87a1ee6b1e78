#include "parties/parties_sql.h"

#include "base/assert.h"

#define RECIPIENT_COLUMNS                                                                          \
    "recipient_id, merchant_id, holder_type, currency, routing_code, account_last4, name_sealed, " \
    "created_at "
// Read by from_row: keep the order. The last column is "1:3,2:5": the number of each rail's default connection. Changes are never removed,
// so the newest one of each rail is looked up by its key, for the rails that a merchant_defaults can hold.
#define MERCHANT_COLUMNS "m.merchant_id, m.name, m.book_id, m.currencies, m.created_at, d.defaults "
#define MERCHANT_TABLES                                                                            \
    "JOIN merchant m ON m.book_id = b.book_id AND m.merchant_id = b.merchant_id "                  \
    "LEFT JOIN LATERAL (SELECT string_agg(l.rail || ':' || l.connection, ',' ORDER BY l.rail) AS " \
    "defaults FROM generate_series(1, 16) AS u(rail) CROSS JOIN LATERAL (SELECT rail, connection " \
    "FROM merchant_connection WHERE book_id = m.book_id AND merchant_id = m.merchant_id "          \
    "AND rail = u.rail::int2 ORDER BY change DESC LIMIT 1) AS l "                                  \
    "WHERE l.connection > 0) AS d ON true "

static const db_stmt STATEMENTS[PARTIES_SQL_COUNT] = {
    [PARTIES_SQL_BOOK_HAS_MERCHANT] =
        {"book_has_merchant", "SELECT book_id FROM merchant_book WHERE book_id BETWEEN $1 AND $1 "
                              "ORDER BY book_id LIMIT 1"},
    [PARTIES_SQL_MERCHANT_GET] = {"merchant_get",
                                  "SELECT " MERCHANT_COLUMNS "FROM merchant_book b " MERCHANT_TABLES
                                  "WHERE b.merchant_id = $1"},
    [PARTIES_SQL_MERCHANT_LIST] = {"merchant_list",
                                   "SELECT " MERCHANT_COLUMNS
                                   "FROM merchant_book b " MERCHANT_TABLES
                                   "WHERE b.merchant_id > $1 ORDER BY b.merchant_id LIMIT $2"},
    [PARTIES_SQL_MERCHANT_BOOK_INSERT] =
        {"merchant_book_insert",
         "INSERT INTO merchant_book (merchant_id, book_id) VALUES ($1, $2)"},
    [PARTIES_SQL_MERCHANT_INSERT] =
        {"merchant_insert", "INSERT INTO merchant (book_id, merchant_id, name, currencies, "
                            "created_at, actor, request_id, trace_id) "
                            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"},
    [PARTIES_SQL_MERCHANT_CONNECTION_FIRST] =
        {"merchant_connection_first",
         "SELECT string_agg(rail || ':' || connection, ',' ORDER BY rail) FROM merchant_connection "
         "WHERE book_id = $1 AND merchant_id = $2 AND change = 0"},
    [PARTIES_SQL_MERCHANT_CONNECTION_INSERT] =
        {"merchant_connection_insert",
         "INSERT INTO merchant_connection (book_id, merchant_id, rail, change, connection, actor, "
         "changed_at) SELECT $1::bigint, $2::text, u.rail, 0, u.connection, $5::text, "
         "$6::timestamptz FROM unnest($3::int2[], $4::int2[]) AS u(rail, connection)"},
    // Two changes of one rail at the same time take the same number, so one of them fails.
    [PARTIES_SQL_MERCHANT_CONNECTION_CHANGE] =
        {"merchant_connection_change",
         "INSERT INTO merchant_connection (book_id, merchant_id, rail, change, connection, actor, "
         "changed_at) SELECT $1::bigint, $2::text, u.rail, coalesce(l.change, 0) + 1, "
         "u.connection, $5::text, $6::timestamptz "
         "FROM unnest($3::int2[], $4::int2[]) AS u(rail, connection) LEFT JOIN LATERAL (SELECT "
         "change, connection FROM merchant_connection WHERE book_id = $1 AND merchant_id = $2 AND "
         "rail = u.rail ORDER BY change DESC LIMIT 1) AS l ON true "
         "WHERE coalesce(l.connection, 0) <> u.connection"},
    // The rails to change that have been changed too often of late: the change that lies as many changes back as are allowed is recent.
    [PARTIES_SQL_MERCHANT_CONNECTION_MANY] =
        {"merchant_connection_many",
         "SELECT o.changed_at FROM unnest($3::int2[], $4::int2[]) AS u(rail, connection) "
         "CROSS JOIN LATERAL (SELECT connection FROM merchant_connection WHERE book_id = $1 AND "
         "merchant_id = $2 AND rail = u.rail ORDER BY change DESC LIMIT 1) AS l "
         "CROSS JOIN LATERAL (SELECT changed_at FROM merchant_connection WHERE book_id = $1 AND "
         "merchant_id = $2 AND rail = u.rail ORDER BY change DESC OFFSET $5::bigint - 1 LIMIT 1) "
         "AS o WHERE l.connection <> u.connection AND o.changed_at > $6::timestamptz "
         "ORDER BY o.changed_at DESC LIMIT 1"},
    [PARTIES_SQL_RECIPIENT_GET] =
        {"recipient_get",
         "SELECT " RECIPIENT_COLUMNS
         "FROM recipient WHERE book_id = $1 AND recipient_id = $2 AND merchant_id = $3"},
    [PARTIES_SQL_RECIPIENT_LIST] = {"recipient_list",
                                    "SELECT " RECIPIENT_COLUMNS
                                    "FROM recipient WHERE book_id = $1 AND merchant_id = $2 AND "
                                    "recipient_id < $3 ORDER BY recipient_id DESC LIMIT $4"},
};

const db_stmt *parties_sql(parties_sql_id which) {
    ASSERT((int)which >= 0 && which < PARTIES_SQL_COUNT);
    return &STATEMENTS[which];
}
