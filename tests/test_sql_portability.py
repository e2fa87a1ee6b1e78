"""Every SQL string of both services, and the migrations, held against what a PostgreSQL distributed by book_id (Citus) refuses.

The statements stand in tables of the C sources (`{"name", "SELECT …"}`); they are read from there, so a new one is held
against the rules without being listed here.
"""

import re

import pytest
from run.layout import PROJECT

ROOMS = ["ledger-svc", "payments-svc"]
# Tables that every node has whole (reference tables): they have no book to be named.
REFERENCE_TABLES = {"merchant_book"}
# The statements that look across books on purpose: they only read, and say so where they stand.
ACROSS_BOOKS = {"due_books", "saga_books", "tree_books"}

LITERAL = r'"(?:[^"\\]|\\.)*"'
ENTRY = re.compile(r"\{\s*(" + LITERAL + r")\s*,((?:\s*(?:" + LITERAL + r"|[A-Z][A-Z0-9_]*))+)\s*\}")
MACRO = re.compile(r"^#define ([A-Z][A-Z0-9_]*)[ \t]((?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|COPY|TRUNCATE|LOCK|CREATE|ALTER|DO|CALL|SET|LISTEN|NOTIFY)\b")


def unquoted(text, macros):
    parts = re.findall(LITERAL + r"|[A-Z][A-Z0-9_]*", text)
    return "".join(part[1:-1].replace('\\"', '"') if part.startswith('"') else macros[part] for part in parts)


def statements_of(path):
    source = path.read_text(encoding="utf-8")
    macros = {}
    for name, body in MACRO.findall(source):
        body = COMMENT.sub("", body.replace("\\\n", " "))
        if re.fullmatch(rf"(?:\s*(?:{LITERAL}|[A-Z][A-Z0-9_]*))+\s*", body) and '"' in body:
            try:
                macros[name] = unquoted(body, macros)
            except KeyError:
                pass  # names something that is no text: not one of ours
    for name, body in ENTRY.findall(COMMENT.sub("", source)):
        try:
            sql = unquoted(body, macros)
        except KeyError:
            continue
        if VERB.match(sql):
            yield name[1:-1], re.sub(r"\s+", " ", sql).strip()


def all_statements():
    found = []
    for room in ROOMS:
        for path in sorted((PROJECT / room).rglob("*.c")):
            if "_test" not in path.name and "testing" not in path.parts:
                found += [pytest.param(name, sql, id=f"{room}:{name}") for name, sql in statements_of(path)]
    return found


STATEMENTS = all_statements()

BANNED = {
    "a sequence": r"\b(nextval|currval|setval|lastval)\s*\(|\b(big|small)?serial\b|GENERATED (ALWAYS|BY DEFAULT) AS",
    "an advisory lock": r"\bpg_(try_)?advisory",
    "LOCK TABLE": r"\bLOCK\s+(TABLE\b|[a-z])",
    "LISTEN or NOTIFY": r"\b(LISTEN|NOTIFY|pg_notify)\b",
    "a temporary table": r"\bTEMP(ORARY)?\b",
    "PL/pgSQL": r"\b(LANGUAGE|DO\s*\$|CREATE\s+(OR\s+REPLACE\s+)?(FUNCTION|PROCEDURE|TRIGGER))",
    "a savepoint": r"\b(SAVEPOINT|ROLLBACK TO)\b",
    "deferrable": r"\bDEFERRABLE\b",
    "an exclusion constraint or inheritance": r"\bEXCLUDE\s+USING\b|\bINHERITS\b",
    "a volatile function": r"\b(clock_timestamp|gen_random_uuid|uuid_generate_v\w+|random|timeofday|txid_current|"
                           r"pg_current_xact_id|statement_timestamp|transaction_timestamp|now)\s*\(|\bCURRENT_(TIME|DATE|TIMESTAMP)\b",
    "an INSERT inside a CTE": r"\bAS\s*(NOT\s+)?(MATERIALIZED\s*)?\(\s*INSERT\b",
    "a subquery in an INSERT's VALUES": r"\bVALUES\s*\([^)]*\(\s*SELECT\b",
    "a CTE on an INSERT": r"^WITH\b.*\)\s*INSERT\b",
    "a change of the distribution column": r"^UPDATE\b.*?\bSET\b(?:(?!\bWHERE\b|\bFROM\b).)*\bbook_id\s*=(?!=)",
}


def test_the_statements_were_found():
    names = [param.values[0] for param in STATEMENTS]
    assert len(names) >= 40 and len(set(names)) == len(names)
    for name in ("head_lock", "accounts_update", "saga_write_outcome", "payout_list", "ach_counter_lock", "idempotency_lookup"):
        assert name in names


def test_the_rules_can_fail():
    bad = ["SELECT nextval('x')", "SELECT pg_advisory_lock(1)", "LOCK TABLE saga", "UPDATE saga SET due_at = now() WHERE book_id = $1",
           "WITH n AS (INSERT INTO a VALUES ($1) RETURNING b) UPDATE saga SET x = 1", "UPDATE saga SET book_id = $2 WHERE book_id = $1",
           "SAVEPOINT s", "INSERT INTO a (b) VALUES ((SELECT 1))", "CREATE TEMP TABLE x (a int)"]
    for sql in bad:
        assert [what for what, rule in BANNED.items() if re.search(rule, sql, re.IGNORECASE)], sql


@pytest.mark.parametrize("name, sql", STATEMENTS)
def test_nothing_that_a_distributed_database_refuses(name, sql):
    found = [what for what, rule in BANNED.items() if re.search(rule, sql, re.IGNORECASE | re.DOTALL)]
    assert not found, f"{name}: {found} in: {sql}"


def tables():
    """{table: columns text} of the migrations."""
    found = {}
    for path in sorted((PROJECT / "migrations").rglob("*.sql")):
        text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
        for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", text, re.DOTALL):
            found[table] = body
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
    for table, alias in distributed:
        prefix = alias if alias and alias.upper() not in ("WHERE", "ORDER", "SET", "JOIN", "LEFT", "FOR", "GROUP", "ON", "USING") else ""
        column = rf"(?:{prefix}\.)?book_id" if prefix else r"(?:\w+\.)?book_id"
        direct = re.search(rf"\b{column} = (?:\$\d|\w+\.book_id)|= {prefix or table}\.book_id\b", sql)
        assert direct, f"{name}: the book of {table} is not named in: {sql}"


@pytest.mark.parametrize("path", sorted((PROJECT / "migrations").rglob("*.sql")), ids=lambda path: path.name)
def test_migrations_are_portable(path):
    text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
    found = [what for what, rule in BANNED.items() if re.search(rule, text, re.IGNORECASE)]
    assert not found, found


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
    for path in sorted((PROJECT / "migrations").rglob("*.sql")):
        text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
        for table, key in re.findall(r"CREATE (?:UNIQUE )?INDEX \w+ ON (\w+) \(([^)]*)\)", text):
            assert table in REFERENCE_TABLES or key.split(",")[0].strip() == "book_id", (table, key)
