"""The audit: signed tree heads, proofs checked by code that shares nothing with the service, ledger-export and ledger-verify,
CheckBook, and what each role of the ledger's database can do."""

import hashlib
import itertools
import json
import os
import struct
import subprocess

import pytest
from run import RunError
from support import rpc
from support.ledger import PENDING, POST, Ledger
from support.waiting import wait_until

books = itertools.count(7000)


@pytest.fixture
def book(world):
    return Ledger(world, next(books)).create()


def fill(book, n):
    a, b = book.account(), book.account()
    reserve = book.transfer(a, b, 7, flags=PENDING)
    events = [book.transfer(a, b, 1, user_data_64=i, external_reference=f"invoice {i}") for i in range(n - 2)]
    assert set(book.commit(reserve, *events, book.transfer(amount=5, flags=POST, pending_id=reserve.id))) == {"CREATED"}
    return a, b


def head(book, size=0):
    return book.call("GetTreeHead", book.pb.GetTreeHeadRequest(book_id=book.book_id, tree_size=size)).head


def sealed(book, size):
    def try_head():
        try:
            return head(book, size)
        except Exception:  # not yet
            return None
    return wait_until(try_head, "the book is sealed", 10)


# RFC 6962 and 9162, written out once more.

def leaf_node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return leaf_node(tree_root(leaves[:k]), tree_root(leaves[k:]))


def path_root(index, size, leaf, path):
    fn, sn, r = index, size - 1, leaf
    for p in path:
        assert sn > 0
        if fn & 1 or fn == sn:
            r = leaf_node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = leaf_node(r, p)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return r


def consistency_roots(first, second, first_root, path):
    path = list(path)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        assert sn > 0
        if fn & 1 or fn == sn:
            fr, sr = leaf_node(c, fr), leaf_node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = leaf_node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return fr, sr


def signed_bytes(h):
    return (b"disburse-ledger-tree-head-v1\n" + struct.pack(">qq", h.book_id, h.tree_size) + h.root_hash
            + struct.pack(">q", h.previous_tree_size) + h.previous_root_hash + struct.pack(">q", h.timestamp_us) + h.key_id)


def assert_signed(world, h, tmp_path):
    """By openssl: not by a line of ours."""
    (tmp_path / "head").write_bytes(signed_bytes(h))
    (tmp_path / "signature").write_bytes(h.signature)
    done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public_key(world)), "-rawin", "-in",
                           str(tmp_path / "head"), "-sigfile", str(tmp_path / "signature")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def public_key(world):
    return world.stack.secrets / "audit_ed25519.pub"


def test_heads_are_signed_and_published(book, world, tmp_path):
    fill(book, 20)
    first = sealed(book, 20)
    assert first.previous_tree_size == 0 and first.previous_root_hash == hashlib.sha256(b"").digest()
    leaves = [row.leaf_hash for row in book.journal()]
    assert first.root_hash == tree_root(leaves)
    assert_signed(world, first, tmp_path)
    fill(book, 300)
    second = sealed(book, 320)
    assert second.previous_tree_size == 20 and second.previous_root_hash == first.root_hash
    assert_signed(world, second, tmp_path)
    assert head(book) == second

    def published():
        lines = (world.stack.run / "ledger-svc.heads").read_text().splitlines()
        own = [line for line in map(json.loads, lines) if line["book_id"] == book.book_id]
        return own if len(own) == 2 else None
    lines = wait_until(published, "both heads are published", 5)
    assert [line["root_hash"] for line in lines] == [first.root_hash.hex(), second.root_hash.hex()]
    assert lines[1]["signature"] == second.signature.hex()


def test_proofs(book):
    fill(book, 9)
    first = sealed(book, 9)
    fill(book, 300)
    second = sealed(book, 309)
    rows = book.journal()
    for size, h in ((9, first), (309, second)):
        for sequence in {1, 2, 8, 9, 200, 256, 257, 309} & set(range(size + 1)):
            request = book.pb.GetInclusionProofRequest(book_id=book.book_id, sequence=sequence, tree_size=size)
            answer = book.call("GetInclusionProof", request)
            assert answer.head == h and answer.leaf_hash == rows[sequence - 1].leaf_hash
            assert path_root(sequence - 1, size, answer.leaf_hash, answer.hashes) == h.root_hash
    by_id = book.call("GetInclusionProof", book.pb.GetInclusionProofRequest(book_id=book.book_id, transfer_id=rows[4].id))
    assert by_id.sequence == 5 and by_id.head == second
    request = book.pb.GetConsistencyProofRequest(book_id=book.book_id, first_tree_size=9)
    answer = book.call("GetConsistencyProof", request)
    assert answer.first == first and answer.second == second
    assert consistency_roots(9, 309, first.root_hash, answer.hashes) == (first.root_hash, second.root_hash)


def test_wrong_questions(book):
    def reason(method, **fields):
        request = getattr(book.pb, method + "Request")(**{"book_id": book.book_id, **fields})
        failed = rpc.refused(getattr(book.stub, method), request)
        return failed.code.name, failed.reason
    assert reason("GetTreeHead") == ("NOT_FOUND", "TREE_HEAD_NOT_FOUND")
    fill(book, 5)
    sealed(book, 5)
    assert reason("GetTreeHead", tree_size=4) == ("NOT_FOUND", "TREE_HEAD_NOT_FOUND")
    assert reason("GetTreeHead", tree_size=-1) == ("INVALID_ARGUMENT", "INVALID_TREE_SIZE")
    assert reason("GetInclusionProof") == ("INVALID_ARGUMENT", "INVALID_SEQUENCE")
    assert reason("GetInclusionProof", sequence=6) == ("OUT_OF_RANGE", "NOT_SEALED")
    assert reason("GetInclusionProof", transfer_id="x") == ("INVALID_ARGUMENT", "INVALID_UUID")
    unknown = "00000000-0000-0000-0000-0000000000aa"
    assert reason("GetInclusionProof", transfer_id=unknown) == ("NOT_FOUND", "TRANSFER_NOT_FOUND")
    assert reason("GetConsistencyProof") == ("INVALID_ARGUMENT", "INVALID_TREE_SIZE")
    assert reason("GetConsistencyProof", first_tree_size=3) == ("NOT_FOUND", "TREE_HEAD_NOT_FOUND")


# CheckBook, ledger-export and ledger-verify.

def check(book):
    last = None
    for last in book.stub.CheckBook(book.pb.CheckBookRequest(book_id=book.book_id), timeout=60):
        pass
    assert last.done
    return last


def run_program(world, program, *arguments):
    env = {**os.environ, **world.stack.client_env()}
    return subprocess.run([str(world.stack.binary(program)), *map(str, arguments)], capture_output=True, text=True,
                          check=False, env=env, timeout=60)


def export(book, world, folder, *more):
    done = run_program(world, "ledger-export", "--book", book.book_id, "--journal", folder / "journal",
                       "--heads", folder / "heads", *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def verify(world, folder, heads="heads"):
    heads = folder / heads if isinstance(heads, str) else heads
    done = run_program(world, "ledger-verify", "--journal", folder / "journal", "--heads", heads, "--keys", public_key(world))
    return done.returncode, done.stdout + done.stderr


def test_an_exported_journal_is_proven(book, world, tmp_path):
    fill(book, 20)
    sealed(book, 20)
    fill(book, 30)
    sealed(book, 50)
    export(book, world, tmp_path)
    code, text = verify(world, tmp_path)
    assert code == 0 and "50 rows, 2 tree heads" in text, text
    code, text = verify(world, tmp_path, world.stack.run / "ledger-svc.heads")
    assert code == 0, text
    answer = check(book)
    assert answer.ok and answer.rows == 50 and answer.tree_heads == 2 and answer.accounts == 4, answer


def test_what_the_database_says_differently_later_is_found(book, world, tmp_path):
    fill(book, 40)
    sealed(book, 40)
    database = world.stack.databases[0]
    sql = f"UPDATE transfer SET user_data_64 = 99 WHERE book_id = {book.book_id} AND sequence = 17"
    world.cluster.psql(database, sql)  # the superuser can
    answer = check(book)
    assert not answer.ok
    assert [(finding.reason, finding.sequence) for finding in answer.findings] == [("LEAF_HASH_DIFFERS", 17)]
    export(book, world, tmp_path)
    code, text = verify(world, tmp_path)
    assert code == 1 and "sequence 17: the row does not have its leaf hash" in text, text
    # The tail gone, in the database and so in its export: the heads that somebody has kept tell.
    (tmp_path / "kept").write_bytes((world.stack.run / "ledger-svc.heads").read_bytes())
    world.cluster.psql(database, f"DELETE FROM transfer WHERE book_id = {book.book_id} AND sequence > 30; "
                                 f"DELETE FROM tree_head WHERE book_id = {book.book_id};")
    export(book, world, tmp_path, "--unsealed")
    code, text = verify(world, tmp_path, "kept")
    assert code == 1 and "sequences 31 to 40" in text, text
    assert any(finding.reason == "SEQUENCE_GAP" for finding in check(book).findings)


def test_exit_codes(book, world, tmp_path):
    fill(book, 10)
    sealed(book, 10)
    export(book, world, tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    assert verify(world, tmp_path, "empty")[0] == 3
    assert verify(world, tmp_path, "missing")[0] == 2
    assert run_program(world, "ledger-verify").returncode == 2
    for program in ("ledger-verify", "ledger-export"):
        helped = run_program(world, program, "--help")
        assert helped.returncode == 0 and "Exit code" in helped.stdout
    assert run_program(world, "ledger-export", "--book", "x").returncode == 2


# LEAST-PRIVILEGE: every table, every role, every way to change what was written.

ROLES = ["ledger_service", "ledger_sealer", "ledger_auditor", "ledger_migrator"]
MAY_INSERT = {"ledger_service": {"book", "transfer", "transfer_metadata", "account_metadata", "burned_transfer",
                                 "account", "book_head", "posting"},
              "ledger_sealer": {"tree_node", "tree_head"}}
MAY_UPDATE = {"ledger_service": {
    "account": {"debits_pending", "debits_posted", "credits_pending", "credits_posted", "state"},
    "book_head": {"sequence", "timestamp_us", "next_expires_us", "checkpoint_sequence", "burned_ids"}}}
# Each statement in a subtransaction of its own that is rolled back, whatever the database says to it.
TRY = """DO $try$
DECLARE
    statement text;
    let text[] := '{{}}';
BEGIN
    {become}
    FOREACH statement IN ARRAY ARRAY[{statements}] LOOP
        BEGIN
            EXECUTE statement;
            RAISE EXCEPTION 'no privilege was missing';
        EXCEPTION
            WHEN insufficient_privilege THEN NULL;
            WHEN OTHERS THEN let := let || statement;
        END;
    END LOOP;
    PERFORM set_config('try.let', array_to_string(let, ';'), false);
END
$try$;
SELECT current_setting('try.let');
"""


def tables(world, which=0):
    names = world.cluster.rows(world.stack.databases[which], "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return [name for (name,) in names]


def denied(world, role, sql):
    with pytest.raises(RunError, match="permission denied|must be owner"):
        world.cluster.psql(world.stack.databases[0], sql, role=role)


def let(world, role, statements, *, become="", which=0):
    """Which of the statements the database lets the role do."""
    script = TRY.format(become=become, statements=", ".join(f"'{statement}'" for statement in statements))
    (answer,) = world.cluster.psql(world.stack.databases[which], script, role=role).splitlines()
    return set(filter(None, answer.split(";")))


def update(table, column):
    return f"UPDATE {table} SET {column} = DEFAULT WHERE false"  # reads nothing: UPDATE is the one privilege that it takes


def changes(world, which=0):
    """Every way to change what is in the tables, or the tables."""
    columns = world.cluster.rows(world.stack.databases[which],
                                 "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")
    assert {table for table, _ in columns} == set(tables(world, which))
    return [update(table, column) for table, column in columns] + [
        statement.format(table) for table in tables(world, which)
        for statement in ("DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {} CASCADE", "ALTER TABLE {} ADD COLUMN x int",
                          "CREATE TABLE made_of_{} (x int)")]


@pytest.mark.parametrize("role", ROLES)
def test_LEAST_PRIVILEGE_what_is_written_stays(world, role):
    """UPDATE of each column, DELETE, TRUNCATE and DROP of each table: journal, accounts, postings, tree and all."""
    may = {update(table, column) for table, columns in MAY_UPDATE.get(role, {}).items() for column in columns}
    assert let(world, role, changes(world)) == may


@pytest.mark.parametrize("role", ROLES)
def test_LEAST_PRIVILEGE_who_may_insert(world, role):
    inserts = [f"INSERT INTO {table} DEFAULT VALUES" for table in tables(world)]
    assert let(world, role, inserts) == {f"INSERT INTO {table} DEFAULT VALUES" for table in MAY_INSERT.get(role, ())}


@pytest.mark.parametrize("which, kind", [(0, "ledger"), (1, "payments")])
def test_LEAST_PRIVILEGE_the_migrator_has_to_become_the_owner(world, which, kind):
    """Who only logs in as the migrator can do nothing to a table. As the owner, whom nobody can log in as, it can do all of it: so
    the attempts of these tests are such that could succeed."""
    statements = changes(world, which)
    assert let(world, f"{kind}_migrator", statements, which=which) == set()
    assert let(world, f"{kind}_migrator", statements, become=f"SET ROLE {kind}_owner;", which=which) == set(statements)


@pytest.mark.parametrize("sql, reason", [
    ("UPDATE transfer SET amount = amount + 1 WHERE book_id = {book} AND sequence = 17", "LEAF_HASH_DIFFERS"),
    ("DELETE FROM transfer WHERE book_id = {book} AND sequence = 17", "SEQUENCE_GAP"),
    ("UPDATE tree_head SET root = sha256(root) WHERE book_id = {book}", "SIGNATURE_INVALID"),
])
def test_LEAST_PRIVILEGE_what_the_migrator_changes_as_the_owner_is_found(book, world, tmp_path, sql, reason):
    fill(book, 40)
    sealed(book, 40)
    (tmp_path / "kept").write_bytes((world.stack.run / "ledger-svc.heads").read_bytes())
    assert check(book).ok
    world.cluster.psql(world.stack.databases[0], f"SET ROLE ledger_owner; {sql.format(book=book.book_id)}", role="ledger_migrator")
    answer = check(book)
    assert not answer.ok and reason in {finding.reason for finding in answer.findings}, answer
    export(book, world, tmp_path)
    assert verify(world, tmp_path)[0] == 1
    assert verify(world, tmp_path, "kept")[0] == (0 if "tree_head" in sql else 1)  # the kept heads are true


def test_LEAST_PRIVILEGE_the_sealer_sees_hashes_only(world):
    database = world.stack.databases[0]
    world.cluster.psql(database, "SELECT book_id, sequence, leaf_hash FROM transfer LIMIT 1", role="ledger_sealer")
    denied(world, "ledger_sealer", "SELECT amount FROM transfer LIMIT 1")
    denied(world, "ledger_sealer", "SELECT account_id FROM account LIMIT 1")
    denied(world, "ledger_sealer", "UPDATE book_head SET sequence = 0")


def test_LEAST_PRIVILEGE_the_auditor_reads_all(world):
    for table in tables(world):
        world.cluster.psql(world.stack.databases[0], f"SELECT count(*) FROM {table}", role="ledger_auditor")


def test_LEAST_PRIVILEGE_limits_of_the_migrator(world):
    """Also as the owner of the tables it is no superuser, makes no roles and databases, and does not get into the payments."""
    database = world.stack.databases[0]
    for become in ("", "SET ROLE ledger_owner; "):
        for sql in ("CREATE ROLE x", "CREATE DATABASE x", "ALTER ROLE ledger_service SUPERUSER", "ALTER ROLE ledger_owner LOGIN",
                    "COPY transfer TO '/tmp/x'", "SET ROLE ledger_service", "SET ROLE payments_owner",
                    "SELECT pg_read_file('/etc/passwd')"):
            with pytest.raises(RunError, match="permission denied|must be superuser|must be member"):
                world.cluster.psql(database, become + sql, role="ledger_migrator")
    with pytest.raises(RunError, match="permission denied"):
        world.cluster.psql(world.stack.databases[1], "SELECT 1", role="ledger_migrator")
