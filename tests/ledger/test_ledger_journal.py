"""ReadJournal (the change feed), and who may do what to the tables."""

import itertools
import re
import threading

import grpc
import pytest
from run import RunError
from support import rpc
from support.ledger import PENDING, POST, Ledger
from support.waiting import wait_until

books = itertools.count(3000)


@pytest.fixture
def book(world):
    return Ledger(world, next(books)).create()


def read(book, from_sequence=1, *, timeout=30, wait_for_ready=False, **more):
    request = book.pb.ReadJournalRequest(book_id=book.book_id, from_sequence=from_sequence, **more)
    return book.stub.ReadJournal(request, timeout=timeout, wait_for_ready=wait_for_ready)


def fill(book, n):
    a, b = book.account(), book.account()
    assert set(book.commit(*(book.transfer(a, b, 1) for _ in range(n)))) == {"CREATED"}
    return a, b


def test_the_journal_from_any_sequence_in_batches(book):
    fill(book, 25)
    parts = [[row.sequence for row in part.transfers] for part in read(book, 4, batch_max=10)]
    assert parts == [list(range(4, 14)), list(range(14, 24)), [24, 25]]
    assert list(read(book, 26)) == []


def test_a_follower_sees_what_is_committed_later(book):
    a, b = fill(book, 2)
    stream = read(book, 1, follow=True)
    seen = [row.sequence for row in next(stream).transfers]
    while len(seen) < 2:
        seen += [row.sequence for row in next(stream).transfers]
    assert book.commit(book.transfer(a, b, 1)) == ["CREATED"]
    seen += [row.sequence for row in next(stream).transfers]
    assert seen == [1, 2, 3]
    stream.cancel()


def test_a_follower_resumes_where_it_was_over_a_restart(new_world):
    world = new_world()
    book = Ledger(world, 1).create()
    a, b = fill(book, 3)
    stream = read(book, 1, follow=True)
    last = 0
    while last < 3:
        last = next(stream).transfers[-1].sequence
    assert world.ledger.stop()
    with pytest.raises(grpc.RpcError) as broken:
        next(stream)
    assert broken.value.code() == grpc.StatusCode.UNAVAILABLE
    world.ledger.start()
    assert book.commit(book.transfer(a, b, 1)) == ["CREATED"]

    def resumed():
        try:
            return next(read(book, last + 1, follow=True, wait_for_ready=True))
        except grpc.RpcError as error:  # it may still meet the connection to the one that has gone
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            return None

    assert [row.sequence for row in wait_until(resumed, "the feed is back", 20).transfers] == [4]


def test_a_slow_reader_holds_up_nobody(book):
    """It reads nothing while 40,000 rows wait for it: commits and other readers go on, and then it gets all, in order."""
    a, b = book.account(), book.account()
    slow = read(book, 1, follow=True, timeout=120)
    batch_size, batches = 8000, 5
    for _ in range(batches):
        results = book.send([book.transfer(a, b, 1) for _ in range(batch_size)])
        assert {result.status for result in results} == {1}
    assert len(book.journal(batch_size * batches - 9)) == 10
    expected = 1
    for part in slow:
        for row in part.transfers:
            assert row.sequence == expected
            expected += 1
        if expected > batch_size * batches:
            break
    slow.cancel()


def test_a_reader_that_goes_away_frees_its_place(new_world):
    world = new_world({"ledger-svc": {"server.streams_max": 2}})
    book = Ledger(world, 1).create()
    fill(book, 1)
    streams = [read(book, 1, follow=True) for _ in range(2)]
    for stream in streams:
        next(stream)
    refusal = rpc.failure(pytest.raises(grpc.RpcError, next, read(book, 1)).value)
    assert refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED and refusal.reason == "OVERLOADED"
    for stream in streams:
        stream.cancel()

    def free():
        try:
            return list(read(book, 1))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            return None

    assert len(wait_until(free, "a stream is free again", 10)) == 1


@pytest.mark.parametrize("fields, code, reason", [
    ({"book_id": 0, "from_sequence": 1}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_BOOK_ID"),
    ({"book_id": 1, "from_sequence": 0}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SEQUENCE"),
    ({"book_id": 1, "from_sequence": 1, "batch_max": 1001}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_BATCH_MAX"),
    ({"book_id": 424242, "from_sequence": 1}, grpc.StatusCode.NOT_FOUND, "BOOK_NOT_FOUND"),
])
def test_wrong_reads_are_refused(world, fields, code, reason):
    ledger = Ledger(world, 1)
    error = pytest.raises(grpc.RpcError, next, ledger.stub.ReadJournal(ledger.pb.ReadJournalRequest(**fields), timeout=10))
    refusal = rpc.failure(error.value)
    assert (refusal.code, refusal.reason) == (code, reason)


def test_two_readers_agree_while_writers_write(book):
    a, b = book.account(), book.account()
    done = threading.Event()

    def write():
        for _ in range(20):
            reserve = book.transfer(a, b, 5, flags=PENDING)
            book.commit(reserve, book.transfer(amount=5, flags=POST, pending_id=reserve.id))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    for part in read(book, 1, follow=True, batch_max=3):
        seen += [(row.sequence, row.id) for row in part.transfers]
        if len(seen) == 40:
            break
    writer.join(30)
    assert done.is_set()
    assert seen == [(row.sequence, row.id) for row in book.journal()]


# APPEND-ONLY: what the roles of the services can do to the tables.

LEDGER_APPEND_ONLY = ["book", "transfer", "posting", "transfer_metadata", "account_metadata", "burned_transfer", "tree_node",
                      "tree_head"]
PAYMENTS_APPEND_ONLY = ["merchant_book", "merchant", "recipient", "idempotency", "inbox_version", "payout", "step_log", "rail_event",
                        "inbound_file", "submission_item", "submission_upload", "submission_directory", "case_note", "pause_log", "merchant_connection",
                        "archive", "audit", "feed", "payout_archived", "import_fault", "import_result"]
LEDGER_MUTABLE = {"account": ["book_id", "account_id", "code", "flags", "currency", "user_data_128", "timestamp_us",
                              "lowest_balance", "effective_us", "external_reference", "metadata"],
                  "book_head": ["book_id"]}
# What is sealed is sealed anew when keys change, by a function of the owner (tests/operations/test_keys.py).
PAYMENTS_MUTABLE = {"data_key": ["book_id", "key_id", "first_at"],
                    "key_rotation": ["book_id", "rotation_id", "key_id", "actor", "started_at"],
                    "key_count": ["book_id", "rotation_id", "key_id", "target"],
                    "saga": ["book_id", "payout_id", "rail"],
                    "submission": ["book_id", "submission_id", "content_sealed", "name", "size", "sha256", "seal", "total", "number_first"],
                    "submission_number": ["book_id", "connection"], "submission_day": ["book_id", "origin", "file_date"],
                    "saga_slot": ["book_id", "rail", "step"], "feed_head": ["book_id"],
                    "inbox": ["book_id", "inbox_id", "connection", "kind", "name", "content_sealed", "size", "sha256", "once", "said_at",
                              "received_at"],
                    "inbox_sweep": ["book_id", "connection", "pass"],
                    "deposit": ["book_id", "deposit_id", "merchant_id", "key", "amount", "currency", "reference", "created_at"],
                    "payment_case": ["book_id", "case_id", "kind", "subject_type", "subject_id", "merchant_id", "opened_at"],
                    "job": ["book_id", "name"],
                    "payment_import": ["book_id", "import_id", "merchant_id", "created_at"],
                    "recovery_listing": ["book_id", "connection"],
                    "forgotten_entry": ["book_id", "connection", "individual_id", "inbox_id", "number", "amount"],
                    "timeline": ["book_id"], "connection": ["book_id", "number", "name", "scheme", "made_at"],
                    "payout_sum": ["book_id", "merchant_id", "rail", "currency", "state"], "payout_sum_upto": ["book_id"],
                    "inbox_exception": ["book_id", "inbox_id", "version", "line", "raw_sealed", "reason", "reason_text", "compared",
                                        "about_book_id", "payout_id", "amount", "currency", "at"]}
# A lease is given back: its row goes; what was done under it stands in step_log. A pause ends: its history stands in pause_log. What the
# sums of payouts keep apart is taken in. What a merchant owes is told by the ledger; a row says whom to look at. The bytes of a file go when
# the file is dealt with: its results stay. An instance that stops has no keys. What a list of heard payouts says stands in rail_event.
PAYMENTS_TEMPORARY = {"saga_lease", "saga_heard", "pause", "payout_apart", "receivable", "inbox_sweep_again", "import_part", "key_instance"}
TABLES = ([("ledger_service", 0, table) for table in LEDGER_APPEND_ONLY]
          + [("payments_service", 1, table) for table in PAYMENTS_APPEND_ONLY])
COLUMNS = [(role, which, table, column)
           for role, which, tables in (("ledger_service", 0, LEDGER_MUTABLE), ("payments_service", 1, PAYMENTS_MUTABLE))
           for table, columns in tables.items() for column in columns]


def denied(world, which, role, sql):
    with pytest.raises(RunError, match="permission denied|must be owner"):
        world.cluster.psql(world.stack.databases[which], sql, role=role)


@pytest.mark.parametrize("role, which, table", TABLES)
def test_APPEND_ONLY_rows_are_never_changed_or_removed(world, role, which, table):
    denied(world, which, role, f"UPDATE {table} SET book_id = book_id")
    assert world.cluster.rows(world.stack.databases[which], f"SELECT has_any_column_privilege('{role}', '{table}', 'UPDATE')") == [["f"]]
    denied(world, which, role, f"DELETE FROM {table}")
    denied(world, which, role, f"TRUNCATE {table}")
    denied(world, which, role, f"DROP TABLE {table}")
    denied(world, which, role, f"ALTER TABLE {table} ADD COLUMN x int")


@pytest.mark.parametrize("role, which, table, column", COLUMNS)
def test_APPEND_ONLY_what_identifies_a_row_is_never_changed(world, role, which, table, column):
    denied(world, which, role, f"UPDATE {table} SET {column} = {column}")
    denied(world, which, role, f"DELETE FROM {table}")
    denied(world, which, role, f"TRUNCATE {table}")


@pytest.mark.parametrize("which", [0, 1])
def test_APPEND_ONLY_every_table_is_in_one_of_these_lists(world, which):
    """A new table has to be thought about: is it append-only, or which columns may change?"""
    known = [set(LEDGER_APPEND_ONLY) | set(LEDGER_MUTABLE), set(PAYMENTS_APPEND_ONLY) | set(PAYMENTS_MUTABLE) | PAYMENTS_TEMPORARY][which]
    rows = world.cluster.rows(world.stack.databases[which], "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
                              "AND relnamespace = 'public'::regnamespace")
    own = {name for (name,) in rows if not re.search("migration", name)}
    assert own == known


def test_APPEND_ONLY_the_auditor_only_reads(world):
    assert world.cluster.rows(world.stack.databases[0], "SELECT count(*) FROM transfer", role="ledger_auditor")
    for table in [*LEDGER_APPEND_ONLY, *LEDGER_MUTABLE]:
        denied(world, 0, "ledger_auditor", f"INSERT INTO {table} SELECT * FROM {table}")
        denied(world, 0, "ledger_auditor", f"DELETE FROM {table}")
