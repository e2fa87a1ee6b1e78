"""Every SQL string of both services, and the migrations, held against what a PostgreSQL distributed by book_id (Citus) refuses.

Those of the ledger come out of the compiled tables (tests/ledger/ledger_sql.c), those of the payments out of the sources
(`{"name", "SELECT …"}`): a new one is held against the rules without being listed here, and one that cannot be read is an error.
"""

import re
import subprocess

import pytest
from run.layout import PROJECT
from support.world import BUILD

# Tables that every node has whole (reference tables): they have no book to be named.
REFERENCE_TABLES = {"merchant_book", "pause"}
# The statements that look across books on purpose: they only read, and say so where they stand.
ACROSS_BOOKS = {"deposit_pending", "deposit_going_back", "receivable_open", "due_books", "tree_books", "cases_list_across",
                "inbox_waiting",
                "instant_sweep_books",
                "inbox_list_refused", "books_of_inbox", "books_of_audit", "inbox_exceptions_open", "submission_due", "submission_waiting", "import_waiting", "import_idle"}
# The statements that set or compare the end of a lease, which is by the database's clock (promise FENCED). statement_timestamp() is
# STABLE: it is not refused, but each node of a cluster has its own.
BY_THE_DATABASES_CLOCK = {"submission_insert", "submission_evidence_add", "submission_due", "submission_claim", "submission_evidence",
                          "submission_still_ours",
                          "submission_move", "submission_decide", "submission_recover", "submission_recover_evidence",
                          "submission_now", "submission_waiting",
                          "saga_lease", "saga_renew", "saga_expired", "saga_lock_expired", "saga_take_over",
                          "import_waiting", "import_claim", "import_renew", "import_handed",
                          "keys_instances", "keys_instance_put", "keys_instances_old", "keys_rotation_new", "keys_rotation_end", "keys_put", "keys_rotation_last",
                          "keys_rotation_claim", "keys_rotation_step"}
ACROSS_BOOKS |= {"submission_settles", "submission_begun_elsewhere", "calls_open"}
BY_THE_DATABASES_CLOCK |= {"submission_settles"}

# Those of the deadlines, of the gauges and of the connections' queues.
ACROSS_BOOKS |= {"jobs_overdue", "jobs_moved_on", "jobs_freed", "jobs_held_unseen", "jobs_waiting", "jobs_oldest",
                 "jobs_held", "jobs_cases_open", "jobs_deposits_late", "jobs_deposits_done", "jobs_deposits_oldest",
                 "jobs_inbox_late", "jobs_inbox_done", "jobs_inbox_open", "connections_queue", "connections_last_word"}

LITERAL = r'"(?:[^"\\]|\\.)*"'
NAME = r"[A-Z][A-Z0-9_]*"
TEXT = rf"(?:\s*(?:{LITERAL}|{NAME}))+"
ENTRY = re.compile(rf"\{{\s*({LITERAL})\s*,({TEXT})\s*\}}")
TABLE = re.compile(r"\bdb_stmt (\w+)(\[\w+\])? = (\{.*?\});", re.DOTALL)
MACRO = re.compile(rf"^#define ({NAME})[ \t]((?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)
COPY = re.compile(rf"\bdb_copy_begin\(\s*c,\s*({LITERAL}),({TEXT}),\s*(\d+|{NAME}),")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


# --- The ledger's, as they were compiled ------------------------------------------------------------------------------

def printed():
    done = subprocess.run([str(BUILD / "bin" / "ledger_sql")], capture_output=True, text=True, check=True, timeout=60)
    return [line.split("\t") for line in done.stdout.splitlines()]


LEDGER_STATEMENTS = [fields[1:] for fields in printed() if fields[0] == "statement"]
LEDGER_COPIES = [(table, columns, int(n)) for what, table, n, columns in
                 (fields for fields in printed() if fields[0] == "copy")]


# --- The payments', as they stand in the sources ----------------------------------------------------------------------

def sources(room, *endings):
    return [path for ending in endings for path in sorted((PROJECT / room).rglob(f"*.{ending}"))
            if "_test" not in path.name and "testing" not in path.parts]


def unquoted(text, macros):
    parts = re.findall(rf"{LITERAL}|{NAME}", text)
    return "".join(part[1:-1].replace('\\"', '"') if part.startswith('"') else macros[part] for part in parts)


def macros_of(paths):
    """Those that are text, or a number."""
    found = {}
    for path in paths:
        for name, body in MACRO.findall(path.read_text(encoding="utf-8")):
            body = COMMENT.sub("", body.replace("\\\n", " "))
            if re.fullmatch(rf"{TEXT}\s*", body) and '"' in body:
                try:
                    found[name] = unquoted(body, found)
                except KeyError:
                    pass  # names something that is no text: an entry that needs it fails below
    return found


def payments_statements():
    headers = macros_of(sources("payments-svc", "h"))
    for path in sources("payments-svc", "c"):
        macros = {**headers, **macros_of([path])}
        source = COMMENT.sub("", path.read_text(encoding="utf-8"))
        for table, _, body in TABLE.findall(source):
            entries = ENTRY.findall(body)
            assert len(entries) == (len(re.findall(rf"\[{NAME}\]\s*=", body)) or 1), f"{path}: {table} has entries that are not read"
            for name, text in entries:
                yield name[1:-1], re.sub(r"\s+", " ", unquoted(text, macros)).strip()


def payments_copies():
    headers = macros_of(sources("payments-svc", "h"))
    for path in sources("payments-svc", "c"):
        macros = {**headers, **macros_of([path])}
        source = COMMENT.sub("", path.read_text(encoding="utf-8"))
        copies = COPY.findall(source)
        assert len(copies) == source.count("db_copy_begin("), f"{path} has a COPY that is not read"
        for table, columns, n in copies:
            yield table[1:-1], unquoted(columns, macros), int(n) if n.isdigit() else None


STATEMENTS = [pytest.param(name, sql, id=f"ledger-svc:{name}") for _, name, sql in LEDGER_STATEMENTS] + \
    [pytest.param(name, sql, id=f"payments-svc:{name}") for name, sql in payments_statements()]
COPIES = LEDGER_COPIES + list(payments_copies())


# --- The rules --------------------------------------------------------------------------------------------------------

BANNED = {
    "a sequence": r"\b(nextval|currval|setval|lastval)\s*\(|\b(big|small)?serial\b|GENERATED (ALWAYS|BY DEFAULT) AS IDENTITY",
    "an advisory lock": r"\bpg_(try_)?advisory",
    "LOCK TABLE": r"\bLOCK\s+(TABLE\b|[a-z])",
    "LISTEN or NOTIFY": r"\b(LISTEN|NOTIFY|pg_notify)\b",
    "a temporary table": r"\bTEMP(ORARY)?\b",
    "PL/pgSQL": r"\b(LANGUAGE|DO\s*\$|CREATE\s+(OR\s+REPLACE\s+)?(FUNCTION|PROCEDURE|TRIGGER))",
    "a savepoint": r"\b(SAVEPOINT|ROLLBACK TO)\b",
    "SERIALIZABLE": r"\bSERIALIZABLE\b",
    "WITH RECURSIVE": r"\bWITH\s+RECURSIVE\b",
    "MERGE": r"^\s*MERGE\b",
    "TABLESAMPLE": r"\bTABLESAMPLE\b",
    "TRUNCATE": r"^\s*TRUNCATE\b",
    "deferrable": r"\bDEFERRABLE\b",
    "an exclusion constraint or inheritance": r"\bEXCLUDE\s+USING\b|\bINHERITS\b",
    "a volatile function": r"\b(clock_timestamp|gen_random_uuid|uuid_generate_v\w+|random|timeofday|txid_current|"
                           r"pg_current_xact_id|transaction_timestamp|now)\s*\(|\bCURRENT_(TIME|DATE|TIMESTAMP)\b",
    "an INSERT inside a CTE": r"\bAS\s*(NOT\s+)?(MATERIALIZED\s*)?\(\s*INSERT\b",
    "a subquery in an INSERT's VALUES": r"\bVALUES\s*\([^)]*\(\s*SELECT\b",
    "a CTE on an INSERT": r"^WITH\b.*\)\s*INSERT\b",
    "a CTE on an UPDATE": r"^WITH\b.*\)\s*UPDATE\b",
    "a change of the distribution column": r"^UPDATE\b.*?\bSET\b(?:(?!\bWHERE\b|\bFROM\b).)*\bbook_id\s*=(?!=)",
}


# Of single statements, not of migrations.
BANNED_IN_STATEMENTS = {"more than one statement": r";", "a change of the schema": r"^\s*(CREATE|ALTER|DROP|DO|CALL)\b"}


def banned(sql, rules):
    return [what for what, rule in rules.items() if re.search(rule, sql, re.IGNORECASE | re.DOTALL)]


def enumerators(header, name):
    text = COMMENT.sub("", (PROJECT / header).read_text(encoding="utf-8"))
    (body,) = re.findall(rf"typedef enum {name} \{{([^}}]*)\}}", text)
    return [part.strip() for part in body.split(",") if part.strip()]


@pytest.mark.parametrize("table, header, enum", [
    ("STORE", "ledger-svc/store/statements.h", "store_statement"),
    ("LIST", "ledger-svc/store/list_statements.h", "list_statement"),
    ("TREE", "ledger-svc/audit/tree_statements.h", "tree_statement"),
])
def test_every_statement_of_the_ledger_was_printed(table, header, enum):
    names = [name for of, name, _ in LEDGER_STATEMENTS if of == table]
    assert [name.lower() for name in enumerators(header, enum)[:-1]] == \
        [name if name.startswith(f"{table.lower()}_") else f"{table.lower()}_{name}" for name in names]


def test_there_is_no_other_sql_in_the_ledger():
    text = "".join(COMMENT.sub("", path.read_text(encoding="utf-8")) for path in sources("ledger-svc", "c", "h"))
    assert set(re.findall(r"\bdb_stmt (\w+)\[\w+\] = ", text)) == {"STORE_STATEMENTS", "LIST_STATEMENTS", "TREE_STATEMENTS"}
    assert not re.search(r"\bdb_stmt \w+ = ", text) and "PQexec" not in text
    assert len(LEDGER_COPIES) == len(re.findall(r"extern const store_copy_target \w+;", text)) + 1  # the tree's nodes
    assert text.count("db_copy_begin(") == 2  # of any store_copy_target, and of the tree's nodes


def test_the_statements_of_the_payments_were_found():
    names = [param.values[0] for param in STATEMENTS]
    assert len(set(names)) == len(names)
    enums = (("saga/saga_sql.h", "saga_sql_id"), ("events/events_sql.h", "events_sql_id"), ("guard/guard_sql.h", "guard_sql_id"), ("feed/feed_sql.h", "feed_sql_id"), ("payouts/payouts_sql.h", "payouts_sql_id"), ("intake/intake_sql.h", "intake_sql_id"),
             ("parties/parties_sql.h", "parties_sql_id"), ("books/books.h", "books_of"), ("maintain/maintain_sql.h", "maintain_sql_id"),
             ("cases/cases_sql.h", "cases_sql_id"), ("connections/connections_sql.h", "connections_sql_id"),
             ("command/audit_sql.h", "audit_sql_id"), ("command/idempotency_sql.h", "idempotency_sql_id"), ("deposits/deposits_sql.h", "deposits_sql_id"), ("imports/imports_sql.h", "imports_sql_id"), ("keys/keys_sql.h", "keys_sql_id"), ("rails/ach/ach_internal.h", "ach_sql"),
             ("submissions/submissions_sql.h", "submissions_sql_id"),
             ("rails/inbox_sql.h", "inbox_sql"), ("recon/recon_sql.h", "recon_sql"),
             ("jobs/jobs_sql.h", "jobs_sql_id"), ("receivables/receivables_sql.h", "receivables_sql_id"),
             ("rails/instant/instant_internal.h", "instant_sql"))
    in_tables = sum(len(enumerators(f"payments-svc/{header}", enum)) - 1 for header, enum in enums)
    alone = re.findall(r"extern const db_stmt \w+;", (PROJECT / "payments-svc/control/recipient/sql.h").read_text(encoding="utf-8"))
    assert len(names) - len(LEDGER_STATEMENTS) == in_tables + len(alone) and len(alone) == 1
    for name in ("saga_write", "payout_list", "submission_claim", "idempotency_lookup", "instant_find_payout"):
        assert name in names


def test_nobody_takes_an_advisory_lock():
    for room in ("ledger-svc", "payments-svc", "shared"):
        for path in sources(room, "c", "h"):
            assert "advisory" not in COMMENT.sub("", path.read_text(encoding="utf-8")), path


def test_the_rules_can_fail():
    bad = ["SELECT nextval('x')", "SELECT pg_advisory_lock(1)", "LOCK TABLE saga", "UPDATE saga SET due_at = now() WHERE book_id = $1",
           "WITH n AS (INSERT INTO a VALUES ($1) RETURNING b) UPDATE saga SET x = 1", "UPDATE saga SET book_id = $2 WHERE book_id = $1",
           "SAVEPOINT s", "INSERT INTO a (b) VALUES ((SELECT 1))", "CREATE TEMP TABLE x (a int)",
           "WITH RECURSIVE x AS (SELECT 1) SELECT 1", "WITH x AS (SELECT 1) UPDATE a SET b = 1", "TRUNCATE a", "SELECT 1; SELECT 2",
           "ALTER TABLE a ADD b int", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]
    for sql in bad:
        assert banned(sql, {**BANNED, **BANNED_IN_STATEMENTS}), sql


@pytest.mark.parametrize("name, sql", STATEMENTS)
def test_nothing_that_a_distributed_database_refuses(name, sql):
    found = banned(sql, {**BANNED, **BANNED_IN_STATEMENTS})
    assert not found, f"{name}: {found} in: {sql}"
    assert ("statement_timestamp" in sql) == (name in BY_THE_DATABASES_CLOCK), f"{name}: whose clock? {sql}"


@pytest.mark.parametrize("name, sql", [param.values for param in STATEMENTS if param.id.startswith("ledger-svc")])
def test_the_ledger_removes_nothing_and_inserts_values_only(name, sql):
    """An INSERT from a SELECT is not refused, but goes through the coordinator."""
    assert not re.search(r"\bDELETE\b", sql, re.IGNORECASE), f"{name}: {sql}"
    assert not re.search(r"\bINSERT\b", sql) or " VALUES (" in sql and "SELECT" not in sql, f"{name}: {sql}"


def tables():
    """{table: columns text} of the migrations."""
    found = {}
    for path in sorted((PROJECT / "migrations").rglob("[0-9]*.sql")):
        text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
        for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", text, re.DOTALL):
            found[table] = body
        for table, columns in re.findall(r"ALTER TABLE (\w+)\s+ADD COLUMN ([^;]*);", text):
            found[table] += "".join(f",\n    {column}" for column in columns.split("ADD COLUMN "))
    return found


TABLES = tables()


@pytest.mark.parametrize("name, sql", STATEMENTS)
def test_each_statement_names_the_book_of_each_table(name, sql):
    """book_id = for every distributed table of the statement: directly, or by a join to one that has it."""
    named = re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(\w+)(?:\s+(?:AS\s+)?(\w+))?", sql)
    distributed = [(table, alias) for table, alias in named if table in TABLES and table not in REFERENCE_TABLES]
    if name in ACROSS_BOOKS:
        assert sql.startswith("SELECT ") and "FOR UPDATE" not in sql
        return
    if sql.startswith("INSERT"):
        assert re.match(r"INSERT INTO \w+ \([^)]*\bbook_id\b", sql) or not distributed, sql
        return
    # Each scan of a table has a condition of its own.
    assert len(re.findall(r"\bbook_id = ", sql)) >= len(distributed), f"{name}: {distributed} in: {sql}"
    for table, alias in distributed:
        prefix = alias if alias and alias.upper() not in ("WHERE", "ORDER", "SET", "JOIN", "LEFT", "FOR", "GROUP", "ON", "USING") else ""
        column = rf"(?:{prefix}\.)?book_id" if prefix else r"(?:\w+\.)?book_id"
        direct = re.search(rf"\b{column} = (?:\$\d|0\b|\w+\.book_id)|= {prefix or table}\.book_id\b", sql)
        assert direct, f"{name}: the book of {table} is not named in: {sql}"


@pytest.mark.parametrize("table, columns, n", COPIES)
def test_each_copy_begins_with_the_book(table, columns, n):
    names = columns.split(", ")
    assert names[0] == "book_id" and len(set(names)) == len(names), columns
    assert n is None or n == len(names)
    for name in names:
        assert re.search(rf"^\s*{name}\s+\w", TABLES[table], re.MULTILINE), f"{table} has no column {name}"


# A function of the owner does what the service's role must not do at will. Citus runs it on the coordinator, and plans its statements one by one.
FUNCTIONS = {"0039_reseal.sql": {"keys_reseal"}}


@pytest.mark.parametrize("path", sorted((PROJECT / "migrations").rglob("[0-9]*.sql")), ids=lambda path: path.name)
def test_migrations_are_portable(path):
    text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
    found = set(banned(text, BANNED)) - ({"PL/pgSQL"} if path.name in FUNCTIONS else set())
    assert not found, found
    assert set(re.findall(r"CREATE FUNCTION (\w+)", text)) == FUNCTIONS.get(path.name, set())
    for name in FUNCTIONS.get(path.name, ()):
        definer = r"LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp\b"
        assert re.search(rf"CREATE FUNCTION {name}\([^)]*\)[^$]*{definer}[^$]*AS \$\$", text)
        assert re.search(rf"REVOKE ALL ON FUNCTION {name}\([^)]*\) FROM PUBLIC;", text)
        body = text.split("$$")[1]
        assert not re.search(r"\bEXECUTE\b", body) and not re.search(r"\b(?:UPDATE|FROM|JOIN|INTO) (?!public\.|unnest\(|sealing\b|[123]\b)\w", body)
        assert re.search(r"\bbook_id = book\b", body) and body.count("UPDATE public.") == len(re.findall(r"t\.book_id = book\b", body))


@pytest.mark.parametrize("table", sorted(TABLES))
def test_book_id_comes_first_in_each_key(table):
    body = TABLES[table]
    if table in REFERENCE_TABLES:
        return
    assert re.match(r"\s*book_id\s+bigint\b", body), f"{table}: book_id is not the first column"
    keys = re.findall(r"(?:PRIMARY KEY|UNIQUE)\s*\(([^)]*)\)", body)
    assert keys or re.search(r"book_id\s+bigint[^,]*PRIMARY KEY", body)
    for key in keys:
        assert key.split(",")[0].strip() == "book_id", f"{table}: {key}"


def test_book_id_comes_first_in_each_index():
    for path in sorted((PROJECT / "migrations").rglob("[0-9]*.sql")):
        text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
        for table, key in re.findall(r"CREATE (?:UNIQUE )?INDEX \w+ ON (\w+) \(([^)]*)\)", text):
            assert table in REFERENCE_TABLES or key.split(",")[0].strip() == "book_id", (table, key)
