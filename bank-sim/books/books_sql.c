// Every table and every statement of the bank.
#include "books/books_internal.h"

// SQL is laid out as SQL.
// clang-format off

// Each movement of money. The primary key keeps the promise: no item is credited twice, and no part of it returned twice.
#define CREATE_MOVEMENTS                                                                                             \
    "CREATE TABLE IF NOT EXISTS movements("                                                                          \
    "  rail INTEGER NOT NULL CHECK(rail IN (1,2)), item INTEGER NOT NULL, kind INTEGER NOT NULL CHECK(kind IN (1,2))," \
    "  part INTEGER NOT NULL CHECK(part = 1 OR kind = 2), amount INTEGER NOT NULL CHECK(amount > 0),"                \
    "  currency TEXT NOT NULL, at_us INTEGER NOT NULL, PRIMARY KEY(rail, item, kind, part)) WITHOUT ROWID;"

// The bank's returns, one row per line. An entry may come back in parts, or be told twice (moves = 0: no money moves).
#define CREATE_ACH_RETURNS                                                                                           \
    "CREATE TABLE IF NOT EXISTS ach_returns("                                                                        \
    "  id INTEGER PRIMARY KEY, entry_id INTEGER NOT NULL REFERENCES ach_entries(id), part INTEGER NOT NULL,"         \
    "  file_id INTEGER NOT NULL, origin TEXT NOT NULL, code TEXT NOT NULL, amount INTEGER NOT NULL,"                 \
    "  moves INTEGER NOT NULL, after_settlement INTEGER NOT NULL, due_us INTEGER, entry_record TEXT,"                \
    "  batch_record TEXT, return_file TEXT, UNIQUE(entry_id, part));"

// For books of the first version: a return had no parts, and a duplicate could not be taken.
const char *const BOOKS_UPGRADE =
    "BEGIN IMMEDIATE;"
    "DROP TRIGGER movements_return;"
    "ALTER TABLE movements RENAME TO movements_1;" CREATE_MOVEMENTS
    "INSERT INTO movements(rail,item,kind,part,amount,currency,at_us)"
    "  SELECT rail,item,kind,1,amount,currency,at_us FROM movements_1;"
    "DROP TABLE movements_1;"
    "DROP INDEX ach_files_identity; DROP INDEX ach_files_content; DROP INDEX ach_entries_trace;"
    "DROP INDEX ach_returns_due; DROP INDEX ach_returns_file;"
    "ALTER TABLE ach_returns RENAME TO ach_returns_1;" CREATE_ACH_RETURNS
    "INSERT INTO ach_returns(entry_id,part,file_id,origin,code,amount,moves,after_settlement,due_us,entry_record,"
    "  batch_record,return_file) SELECT r.entry_id,1,r.file_id,r.origin,r.code,e.amount,r.after_settlement,"
    "  r.after_settlement,r.due_us,r.entry_record,r.batch_record,r.return_file"
    "  FROM ach_returns_1 r JOIN ach_entries e ON e.id=r.entry_id;"
    "DROP TABLE ach_returns_1;"
    "ALTER TABLE instant_payments ADD COLUMN returns INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE instant_payments ADD COLUMN oddity INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE instant_payments ADD COLUMN returned INTEGER NOT NULL DEFAULT 0;"
    "COMMIT;";

// Bank details are not in here. An ACH entry's record is kept only until its return is written. Of an instant payment only a hash of its
// request is kept, of each creditor a keyed hash.
const char *const BOOKS_SCHEMA =
    "BEGIN IMMEDIATE;" CREATE_MOVEMENTS
    // Only money that went out can come back.
    "CREATE TRIGGER IF NOT EXISTS movements_return BEFORE INSERT ON movements WHEN NEW.kind = 2"
    "  AND NOT EXISTS (SELECT 1 FROM movements c WHERE c.rail = NEW.rail AND c.item = NEW.item AND c.kind = 1"
    "    AND c.currency = NEW.currency AND c.amount >= NEW.amount + (SELECT coalesce(sum(r.amount), 0) FROM movements r"
    "      WHERE r.rail = NEW.rail AND r.item = NEW.item AND r.kind = 2))"
    "  BEGIN SELECT RAISE(ABORT, 'a return without its credit'); END;"
    // The creditor, as a hash under the bank's own key, and more of the order: see who/.
    "CREATE TABLE IF NOT EXISTS creditors("
    "  rail INTEGER NOT NULL, item INTEGER NOT NULL, who BLOB NOT NULL, account_type TEXT NOT NULL, sec TEXT NOT NULL,"
    "  company_id TEXT NOT NULL, company_name TEXT NOT NULL, effective TEXT NOT NULL, description TEXT NOT NULL,"
    "  PRIMARY KEY(rail, item)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS outputs("
    "  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, content BLOB, written INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX IF NOT EXISTS outputs_open ON outputs(id) WHERE written = 0;"

    "CREATE TABLE IF NOT EXISTS ach_files("
    "  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, origin TEXT NOT NULL, date TEXT NOT NULL,"
    "  modifier TEXT NOT NULL, sha256 BLOB NOT NULL, accepted INTEGER NOT NULL, reason TEXT NOT NULL,"
    "  entries INTEGER NOT NULL, total INTEGER NOT NULL, taken_us INTEGER NOT NULL, settle_due_us INTEGER,"
    "  archived INTEGER NOT NULL DEFAULT 0);"
    // Not unique: a bank without a duplicate check takes a file twice.
    "CREATE INDEX IF NOT EXISTS ach_files_identity ON ach_files(origin, date, modifier) WHERE accepted = 1;"
    "CREATE INDEX IF NOT EXISTS ach_files_content ON ach_files(sha256) WHERE accepted = 1;"
    "CREATE INDEX IF NOT EXISTS ach_files_due ON ach_files(settle_due_us) WHERE settle_due_us IS NOT NULL;"
    // status: 0 taken, 1 settled, 2 returned before settlement, 3 settled and returned, 4 refused when it was taken.
    // scope: origin and date.
    "CREATE TABLE IF NOT EXISTS ach_entries("
    "  id INTEGER PRIMARY KEY, file_id INTEGER NOT NULL REFERENCES ach_files(id), scope INTEGER NOT NULL,"
    "  trace INTEGER NOT NULL, individual_id TEXT NOT NULL, amount INTEGER NOT NULL CHECK(amount > 0),"
    "  line INTEGER NOT NULL, status INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX IF NOT EXISTS ach_entries_trace ON ach_entries(scope, trace);"
    "CREATE INDEX IF NOT EXISTS ach_entries_file ON ach_entries(file_id);"
    CREATE_ACH_RETURNS
    "CREATE INDEX IF NOT EXISTS ach_returns_due ON ach_returns(due_us) WHERE due_us IS NOT NULL;"
    "CREATE INDEX IF NOT EXISTS ach_returns_file ON ach_returns(file_id);"

    // status: 1 accepted, 2 settled, 3 refused, 4 returned
    "CREATE TABLE IF NOT EXISTS instant_payments("
    "  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, payment_id TEXT NOT NULL UNIQUE, reference TEXT NOT NULL,"
    "  request_sha256 BLOB NOT NULL, amount INTEGER NOT NULL CHECK(amount > 0), currency TEXT NOT NULL,"
    "  status INTEGER NOT NULL, answered INTEGER NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL,"
    "  retriable INTEGER NOT NULL, created_us INTEGER NOT NULL, webhooks INTEGER NOT NULL,"
    "  webhook_delay_us INTEGER NOT NULL, settle_due_us INTEGER, return_due_us INTEGER,"
    "  returns INTEGER NOT NULL DEFAULT 0, oddity INTEGER NOT NULL DEFAULT 0, returned INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX IF NOT EXISTS instant_reference ON instant_payments(reference);"
    "CREATE INDEX IF NOT EXISTS instant_settle ON instant_payments(settle_due_us) WHERE settle_due_us IS NOT NULL;"
    "CREATE INDEX IF NOT EXISTS instant_return ON instant_payments(return_due_us) WHERE return_due_us IS NOT NULL;"
    "CREATE TABLE IF NOT EXISTS instant_tries(key TEXT PRIMARY KEY, tries INTEGER NOT NULL) WITHOUT ROWID;"
    // state: 0 waiting, 1 delivered, 2 given up
    "CREATE TABLE IF NOT EXISTS webhooks("
    "  id INTEGER PRIMARY KEY, message_id TEXT NOT NULL, due_us INTEGER, tries INTEGER NOT NULL DEFAULT 0,"
    "  state INTEGER NOT NULL DEFAULT 0, body TEXT);"
    "CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks(due_us) WHERE due_us IS NOT NULL;"
    "PRAGMA user_version=2;"
    "COMMIT;";

#define PAYMENT_COLUMNS                                                                                              \
    "id,key,payment_id,reference,request_sha256,amount,currency,status,answered,code,text,retriable,created_us,"      \
    "webhooks,webhook_delay_us,settle_due_us,return_due_us,returns,oddity,returned"

// One row per item of either rail, for the lists of the admin interface.
#define ITEMS                                                                                                        \
    "SELECT 1 AS rail, e.id AS item, printf('%015d', e.trace) AS ref, e.individual_id AS payout, e.amount AS amount," \
    "  'USD' AS currency, CASE e.status WHEN 0 THEN 'accepted' WHEN 1 THEN 'settled' WHEN 4 THEN 'refused'"  \
    "  ELSE 'returned' END AS status, f.origin AS origin, f.date AS date, f.name AS file FROM ach_entries e JOIN ach_files f ON f.id = e.file_id"    \
    " UNION ALL SELECT 2, p.id, p.key, p.reference, p.amount, p.currency, CASE p.status WHEN 1 THEN 'accepted'"       \
    "  WHEN 2 THEN 'settled' WHEN 3 THEN 'refused' ELSE 'returned' END, '', '', p.payment_id FROM instant_payments p"

#define LISTED                                                                                                       \
    "SELECT i.rail,i.item,i.ref,i.payout,i.amount,i.currency,i.status,i.origin,i.date,i.file,"                        \
    " (SELECT count(*) FROM movements m WHERE m.rail=i.rail AND m.item=i.item AND m.kind=1),"                         \
    " (SELECT count(*) FROM movements m WHERE m.rail=i.rail AND m.item=i.item AND m.kind=2),"                         \
    " (SELECT coalesce(sum(m.amount),0) FROM movements m WHERE m.rail=i.rail AND m.item=i.item AND m.kind=1),"        \
    " (SELECT coalesce(sum(m.amount),0) FROM movements m WHERE m.rail=i.rail AND m.item=i.item AND m.kind=2),"        \
    " lower(hex(w.who)),w.account_type,w.sec,w.company_id,w.company_name,w.effective,w.description"                   \
    " FROM (" ITEMS ") i LEFT JOIN creditors w ON w.rail=i.rail AND w.item=i.item WHERE (?1 = 0 OR i.rail = ?1) AND i.item > ?2"

const char *const BOOKS_SQL[N_STATEMENTS] = {
    [S_BEGIN] = "BEGIN IMMEDIATE",
    [S_COMMIT] = "COMMIT",
    [S_ROLLBACK] = "ROLLBACK",
    [S_SAVE] = "SAVEPOINT job",
    [S_RELEASE] = "RELEASE job",
    [S_UNDO] = "ROLLBACK TO job",
    [S_MOVEMENT] = "INSERT INTO movements(rail,item,kind,part,amount,currency,at_us) VALUES(?1,?2,?3,?4,?5,?6,?7)",
    [S_COUNTER] = "INSERT INTO counters(name,value) VALUES(?1,1) ON CONFLICT(name) DO UPDATE SET value=value+1"
                  " RETURNING value",
    [S_OUTPUT_ADD] = "INSERT INTO outputs(name,content) VALUES(?1,?2)",
    [S_OUTPUT_NEXT] = "SELECT id,name,content FROM outputs WHERE written=0 AND id>?1 ORDER BY id LIMIT 1",
    [S_OUTPUT_WRITTEN] = "UPDATE outputs SET written=1, content=NULL WHERE id=?1",

    [S_FILE_INSERT] = "INSERT INTO ach_files(name,origin,date,modifier,sha256,accepted,reason,entries,total,taken_us,"
                      "settle_due_us) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
    [S_FILE_DUPLICATE] = "SELECT name FROM ach_files WHERE accepted=1 AND ((origin=?1 AND date=?2 AND modifier=?3)"
                         " OR sha256=?4) ORDER BY id LIMIT 1",
    [S_FILE_STATE] = "SELECT sha256,archived FROM ach_files WHERE name=?1",
    [S_FILE_ARCHIVED] = "UPDATE ach_files SET archived=1 WHERE name=?1",
    [S_FILE_DUE] = "SELECT id,name,origin FROM ach_files WHERE settle_due_us<=?1 ORDER BY settle_due_us,id LIMIT 1",
    [S_FILE_NEXT_DUE] = "SELECT min(settle_due_us) FROM ach_files WHERE settle_due_us IS NOT NULL",
    [S_FILE_REFUSE] = "UPDATE ach_entries SET status=2 WHERE file_id=?1 AND status=0 AND id IN"
                      " (SELECT entry_id FROM ach_returns WHERE file_id=?1 AND after_settlement=0)",
    [S_FILE_CREDIT] = "INSERT INTO movements(rail,item,kind,part,amount,currency,at_us)"
                      " SELECT 1,id,1,1,amount,'USD',?2 FROM ach_entries WHERE file_id=?1 AND status=0 ORDER BY id",
    [S_FILE_MARK] = "UPDATE ach_entries SET status=1 WHERE file_id=?1 AND status=0",
    [S_FILE_LIST] = "SELECT trace,amount FROM ach_entries WHERE file_id=?1 AND status=1 ORDER BY id",
    [S_FILE_DONE] = "UPDATE ach_files SET settle_due_us=NULL WHERE id=?1",
    [S_ENTRY_KNOWN] = "SELECT 1 FROM ach_entries WHERE scope=?1 AND trace=?2 LIMIT 1",
    // Uses VALUES: an INSERT of a SELECT keeps a journal of its own, which costs more than the row.
    [S_ENTRY_INSERT] = "INSERT INTO ach_entries(file_id,scope,trace,individual_id,amount,line) VALUES(?1,?2,?3,?4,?5,?6)",
    [S_ENTRY_REFUSED] = "UPDATE ach_entries SET status=4 WHERE id=?1 AND status=0",
    [S_CREDITOR_INSERT] = "INSERT INTO creditors(rail,item,who,account_type,sec,company_id,company_name,effective,"
                          "description) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
    // The entry with the highest trace, so that a test knows which one.
    [S_ENTRY_SETTLED] = "SELECT e.trace,e.amount FROM ach_entries e JOIN ach_files f ON f.id=e.file_id WHERE f.origin=?1"
                        " AND e.status=1 AND NOT EXISTS (SELECT 1 FROM ach_returns r WHERE r.entry_id=e.id)"
                        " ORDER BY e.trace DESC LIMIT 1",
    [S_ENTRY_RETURNED] = "UPDATE ach_entries SET status=3 WHERE id=?1 AND amount=(SELECT sum(m.amount) FROM movements m"
                         " WHERE m.rail=1 AND m.item=?1 AND m.kind=2)",
    [S_RETURN_PLAN] = "INSERT INTO ach_returns(entry_id,part,file_id,origin,code,amount,moves,after_settlement,due_us,"
                      "entry_record,batch_record) SELECT ?1,?2,file_id,?3,?4,?5,?6,?7,?8,?9,?10 FROM ach_entries WHERE id=?1",
    [S_RETURNS_OF_FILE] = "SELECT id,code,amount,entry_record,batch_record FROM ach_returns WHERE file_id=?1"
                          " AND after_settlement=0 AND return_file IS NULL ORDER BY entry_id LIMIT ?2",
    [S_RETURNS_LATER] = "UPDATE ach_returns SET due_us=?2 WHERE file_id=?1 AND after_settlement=0 AND return_file IS NULL",
    // ?1 '': all origins. A file has at most one part of an entry, in the parts' order.
    [S_RETURNS_OF_ORIGIN] = "SELECT r.id,r.code,r.amount,r.entry_record,r.batch_record FROM ach_returns r JOIN ach_entries e"
                            " ON e.id=r.entry_id WHERE (?1='' OR r.origin=?1) AND r.due_us<=?2 AND e.status<>0"
                            " AND NOT EXISTS (SELECT 1 FROM ach_returns p WHERE p.entry_id=r.entry_id AND p.part<r.part"
                            "  AND p.return_file IS NULL) ORDER BY r.entry_id LIMIT ?3",
    // Due, and already settled: a return after settlement waits for the settlement.
    [S_RETURNS_DUE] = "SELECT r.origin,r.due_us FROM ach_returns r JOIN ach_entries e ON e.id=r.entry_id"
                      " WHERE r.due_us IS NOT NULL AND e.status<>0 ORDER BY r.due_us LIMIT 1",
    [S_RETURN_DONE] = "UPDATE ach_returns SET return_file=?2,due_us=NULL,entry_record=NULL,batch_record=NULL"
                      " WHERE id=?1 AND return_file IS NULL",
    [S_RETURN_MONEY] = "SELECT entry_id,part,amount,moves FROM ach_returns WHERE id=?1",

    [S_PAYMENT_BY_KEY] = "SELECT " PAYMENT_COLUMNS " FROM instant_payments WHERE key=?1",
    [S_PAYMENT_INSERT] = "INSERT INTO instant_payments(key,payment_id,reference,request_sha256,amount,currency,status,"
                         "answered,code,text,retriable,created_us,webhooks,webhook_delay_us,settle_due_us,return_due_us,"
                         "returns,oddity)"
                         " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)",
    [S_PAYMENT_UPDATE] = "UPDATE instant_payments SET status=?2,code=?3,text=?4,settle_due_us=?5,return_due_us=?6,"
                         "returned=?7 WHERE id=?1",
    [S_PAYMENTS_DUE] = "SELECT " PAYMENT_COLUMNS " FROM instant_payments WHERE id IN"
                       " (SELECT id FROM instant_payments WHERE settle_due_us<=?1 UNION"
                       "  SELECT id FROM instant_payments WHERE return_due_us<=?1) ORDER BY id LIMIT ?2",
    [S_PAYMENTS_NEXT] = "SELECT min(d) FROM (SELECT min(settle_due_us) AS d FROM instant_payments WHERE settle_due_us"
                        " IS NOT NULL UNION ALL SELECT min(return_due_us) FROM instant_payments WHERE return_due_us"
                        " IS NOT NULL)",
    [S_REFUSALS] = "SELECT count(*) FROM instant_payments WHERE reference=?1 AND status=3",
    [S_TRIES] = "SELECT tries FROM instant_tries WHERE key=?1",
    [S_TRIES_ADD] = "INSERT INTO instant_tries(key,tries) VALUES(?1,1) ON CONFLICT(key) DO UPDATE SET tries=tries+1",
    [S_WEBHOOK_INSERT] = "INSERT INTO webhooks(message_id,due_us,body) VALUES(?1,?2,?3)",
    [S_WEBHOOKS_DUE] = "SELECT id,message_id,due_us,tries,body FROM webhooks WHERE due_us<=?1 ORDER BY due_us,id LIMIT ?2",
    [S_WEBHOOK_UNTRIED] = "SELECT count(*) FROM webhooks WHERE message_id=?1 AND state=0 AND tries=0",
    [S_WEBHOOKS_NEXT] = "SELECT min(due_us) FROM webhooks WHERE due_us IS NOT NULL",
    [S_WEBHOOK_RESULT] = "UPDATE webhooks SET tries=tries+1, due_us=?2, state=?3, body=CASE WHEN ?2 IS NULL THEN NULL"
                         " ELSE body END WHERE id=?1",
    [S_FLUSH_FILES] = "UPDATE ach_files SET settle_due_us=0 WHERE settle_due_us IS NOT NULL",
    [S_FLUSH_RETURNS] = "UPDATE ach_returns SET due_us=0 WHERE due_us IS NOT NULL",
    [S_FLUSH_SETTLE] = "UPDATE instant_payments SET settle_due_us=0 WHERE settle_due_us IS NOT NULL",
    [S_FLUSH_RETURN] = "UPDATE instant_payments SET return_due_us=0 WHERE return_due_us IS NOT NULL",
    [S_FLUSH_WEBHOOKS] = "UPDATE webhooks SET due_us=0 WHERE due_us IS NOT NULL",

    [S_REPORT_MONEY] = "SELECT currency,rail,sum(kind=1),sum(CASE kind WHEN 1 THEN amount ELSE 0 END),sum(kind=2),"
                       "sum(CASE kind WHEN 2 THEN amount ELSE 0 END) FROM movements GROUP BY currency,rail"
                       " ORDER BY currency,rail",
    [S_REPORT_COUNTS] =
        "SELECT (SELECT count(*) FROM ach_files WHERE accepted=1),(SELECT count(*) FROM ach_files WHERE accepted=0),"
        "(SELECT count(*) FROM ach_entries),(SELECT count(*) FROM ach_entries WHERE status=0),"
        "(SELECT count(*) FROM ach_entries WHERE status=2),(SELECT count(*) FROM outputs WHERE written=0),"
        "(SELECT count(*) FROM instant_payments),(SELECT count(*) FROM instant_payments WHERE status=1),"
        "(SELECT count(*) FROM instant_payments WHERE status=3),(SELECT count(*) FROM webhooks WHERE state=0),"
        "(SELECT count(*) FROM webhooks WHERE state=1),(SELECT count(*) FROM webhooks WHERE state=2),"
        "(SELECT count(*) FROM ach_entries WHERE status=4)",
    [S_REPORT_PAYMENTS] = LISTED " ORDER BY i.item,i.rail LIMIT ?3",
    [S_REPORT_PAYMENTS_PAYOUT] = LISTED " AND i.payout=?4 ORDER BY i.item,i.rail LIMIT ?3",
    // A payout is its reference or, over ACH, the individual id from its origin. ?1 = 1: each ACH entry is a payout of its own (for
    // originators whose individual ids are no payouts).
    [S_REPORT_DUPLICATES] =
        "SELECT rail,payout,origin,sum(kind=1) AS credits,sum(kind=2) AS returns FROM ("
        " SELECT 1 AS rail, CASE WHEN ?1=1 OR e.individual_id='' THEN printf('%015d',e.trace)||'/'||e.scope"
        "   ELSE e.individual_id END AS payout, f.origin AS origin, m.kind AS kind, m.amount AS amount"
        "  FROM movements m JOIN ach_entries e ON e.id=m.item JOIN ach_files f ON f.id=e.file_id WHERE m.rail=1"
        " UNION ALL SELECT 2, p.reference, '', m.kind, m.amount FROM movements m JOIN instant_payments p ON p.id=m.item"
        "  WHERE m.rail=2) GROUP BY rail,payout,origin HAVING credits>1 AND sum(CASE kind WHEN 1 THEN amount ELSE -amount END)"
        "  > max(CASE kind WHEN 1 THEN amount ELSE 0 END) ORDER BY rail,origin,payout LIMIT 10000",
    [S_REPORT_FILES] = "SELECT f.name,f.accepted,f.reason,f.entries,f.total,f.settle_due_us IS NULL,f.archived"
                       " FROM ach_files f ORDER BY f.id DESC LIMIT 10000",
};
