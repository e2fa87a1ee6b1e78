"""`payments-svc maintain`: archived first, then removed; nothing that is open; killed at any point, run again, while the services run."""

import gzip
import hashlib
import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from run.layout import clean_environment
from support import mix, stubs
from support.crash import Plan
from support.paying import FINAL, INSTANT, SETTLED, Payer
from support.waiting import wait_until

AGE_DAYS = 3000
TABLES = ("payout", "saga", "step_log", "rail_event", "submission_item", "idempotency", "deposit", "submission", "submission_upload",
          "submission_directory", "inbox", "inbox_version", "inbox_exception", "payment_case", "case_note", "pause_log",
          "payment_import", "import_result", "import_fault", "audit")
# Ids that begin with a time, and times, of everything that is archived.
IDS = {"payout_id": ("payout", "saga", "step_log", "rail_event", "submission_item"), "made": ("idempotency",),
       "submission_id": ("submission", "submission_item", "submission_upload", "submission_directory"),
       "import_id": ("payment_import", "import_result", "import_fault"),
       "audit_id": ("audit",),
       "inbox_id": ("inbox", "inbox_version", "inbox_exception", "rail_event")}
TIMES = {"created_at": ("payout", "deposit", "idempotency", "submission"), "received_at": ("inbox",)}


def aged(column):
    """The same id, of a time that long ago; an id that is derived stays as it is."""
    text = f"replace({column}::text, '-', '')"
    earlier = f"lpad(to_hex(('x' || substr({text}, 1, 12))::bit(48)::bigint - {AGE_DAYS}::bigint * 86400000), 12, '0')"
    return f"CASE WHEN substr({text}, 13, 1) = '7' THEN ({earlier} || substr({text}, 13))::uuid ELSE {column} END"


def age(world):
    """Everything that is there now was there years ago; at one moment, since the services look."""
    changes = [f"UPDATE {table} SET {column} = {aged(column)} WHERE {column} IS NOT NULL" for column, tables in IDS.items() for table in tables]
    changes += [f"UPDATE {table} SET {column} = {column} - interval '{AGE_DAYS} days'" for column, tables in TIMES.items() for table in tables]
    world.payments_rows("; ".join(["BEGIN", *changes, "COMMIT"]))


def rows(world, prefix=""):
    """All rows of all tables, as JSON."""
    there = {name for (name,) in world.payments_rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    return {table: sorted(text for (text,) in world.payments_rows(f"SELECT to_jsonb(t)::text FROM {prefix}{table} AS t"))
            if prefix + table in there else [] for table in TABLES}


def maintain(world, *words, crash=None, command="maintain"):
    stack = world.stack
    argv = [str(stack.binary("payments-svc")), command, "--config", str(stack.etc / "payments-svc.ini"), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=stack.folder,
                          env={**clean_environment(), **stack.env(), **(crash.env if crash else {})})
    return done.returncode, done.stdout, done.stderr


def maintained(world, *words):
    code, out, err = maintain(world, *words)
    assert code == 0, out + err
    return out


OPEN_IMPORT = "valid.csv"


def made_imports(world, merchant):
    """One that is done, one with a fault, and one that waits for somebody (state 3), which stays whatever its age."""
    for n, (name, state, slot) in enumerate([("done.csv", 6, "NULL"), ("bad.csv", 4, "NULL"), (OPEN_IMPORT, 3, "1")]):
        import_id = f"{int(time.time() * 1000):012x}700{n}800000000000000{n}"
        world.payments_rows(f"""INSERT INTO payment_import VALUES ({merchant.book_id}, '{import_id}', '{merchant.id}', '{name}', '{name}',
            10, {state}, {slot}, 10, repeat('0', 64), 1, 1, 1, 1, 0, false, 'test', '', now(), now(), NULL, NULL);
            INSERT INTO import_result VALUES ({merchant.book_id}, '{import_id}', 2, 'ref', NULL, 'amount', 'R', 'text');
            INSERT INTO import_fault VALUES ({merchant.book_id}, '{import_id}', 1, 2, 'amount', 'R', 'text')""")


def archives(world, folder):
    """The files that the database knows."""
    known = {name for (name,) in world.payments_rows("SELECT file FROM archive")}
    return sorted(path for path in folder.glob("*.jsonl.gz") if path.name in known)


@pytest.fixture
def old(new_world, tmp_path):
    """A mix of payouts that ended years ago, and some of today."""
    folder = tmp_path / "archive"
    folder.mkdir()
    settings = {**mix.SETTINGS, "payments-svc": {**mix.SETTINGS["payments-svc"], "books.count": 3, "sums.every_ms": 100,
                                                 "retention.dir": str(folder)}}
    world = new_world(settings)
    payer = Payer(world)
    mixed = mix.start(payer)
    mix.judge(payer, mixed)
    wait_until(lambda: not world.payments_rows("SELECT 1 FROM submission WHERE due_at IS NOT NULL"), "all files are at their end")
    wait_until(lambda: not world.payments_rows("SELECT 1 FROM inbox WHERE state = 1"), "all that the bank said is applied")
    # Their keys are rows of their own, as they were before a payout's row had its key.
    world.payments_rows("""INSERT INTO idempotency (book_id, merchant_id, key, operation, request_hash, made, created_at)
        SELECT book_id, merchant_id, 'key of ' || payout_id, 1, request_hash, payout_id, created_at FROM payout;
        UPDATE payout SET request_hash = NULL""")
    made_imports(world, mixed.merchant)
    age(world)
    young = [mixed.merchant.pay(amount, INSTANT).payout_id for amount in (700, 800)]
    mixed.merchant.wait_for(young)
    count_old = f"SELECT count(*) FROM payout WHERE created_at < now() - interval '{AGE_DAYS - 1} days'"
    wait_until(lambda: world.payments_rows("SELECT coalesce(sum(n), 0) FROM payout_sum") == world.payments_rows(count_old),
               "the sums have them")
    # From here on the payouts of before do not stand in the tables, and so cannot be compared with the bank's record, or with the feed,
    # in which they have the ids that they were given.
    world.stop_and_check = lambda: type(world).stop_and_check(world, of_the_bank=False, of_the_feed=False)
    return world, payer, mixed, young, folder


def proof(world, book_id):
    pb, grpc_pb = stubs.modules("payments/v1/reconciliation_service")
    stub = world.stub("payments/v1/reconciliation_service", "ReconciliationService", "payments-svc")
    parts = list(stub.ProveBook(pb.ProveBookRequest(book_id=book_id), timeout=60))
    return [str(found) for part in parts for found in part.differences], [account for part in parts for account in part.accounts]


def summary(payer, merchant):
    answer = payer.call("Payout", "SummarizePayouts", payer.pb.SummarizePayoutsRequest(merchant_id=merchant.id))
    return {(line.state, line.rail, line.currency): (line.count, line.sum_minor) for line in answer.lines}


def assert_nothing_is_lost(world, before, folder):
    """What is in the tables and what comes back out of the files is, together, what there was: each row once."""
    for path in archives(world, folder):
        maintained(world, "--restore", path.name)
    left, restored = rows(world), rows(world, "restored_")
    for table in TABLES:
        assert sorted(left[table] + restored[table]) == before[table], table
    return left, restored


def test_EXPLAINED_what_is_archived_comes_back_as_it_was(old):
    world, payer, mixed, young, folder = old
    before, summed = rows(world), summary(payer, mixed.merchant)
    dry = maintained(world, "--dry-run")
    assert re.search(rf"payouts +book {mixed.merchant.book_id}: {len(mixed.wanted)} would be archived", dry), dry
    assert rows(world) == before and not list(folder.iterdir())
    maintained(world)
    assert f"{len(archives(world, folder))} archives" in maintained(world, "--verify")
    left, restored = assert_nothing_is_lost(world, before, folder)
    assert {json.loads(row)["payout_id"] for row in left["payout"]} == set(young)
    assert [json.loads(row)["file_name"] for row in left["payment_import"]] == [OPEN_IMPORT]
    assert (len(left["import_result"]), len(restored["import_result"]), len(restored["import_fault"])) == (1, 2, 2)
    for table in ("payout", "saga", "step_log", "audit", "rail_event", "submission_item", "submission", "submission_upload",
                  "submission_directory", "inbox", "deposit", "idempotency"):
        assert restored[table], table
    assert not left["submission"] and not left["deposit"]
    # Sealed columns stay sealed, and every file is what its manifest says.
    for path in archives(world, folder):
        manifest = json.loads((folder / f"{path.name}.manifest.json").read_text(encoding="ascii"))
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest["sha256"]
        assert "000123456" not in gzip.decompress(path.read_bytes()).decode()
    # Who asks for sums or for a proof notices nothing.
    assert summary(payer, mixed.merchant) == summed
    differences, accounts = proof(world, mixed.merchant.book_id)
    assert not differences and accounts
    for account in accounts:
        assert account.expected_posted_minor == account.found_posted_minor, str(account)
    again = maintained(world)
    assert "archived in" not in again and rows(world) == left


def test_NO_LOSS_nothing_that_is_open_is_archived(old):
    world, payer, mixed, young, folder = old
    book = mixed.merchant.book_id
    settled = [payout_id for (payout_id,) in world.payments_rows(
        "SELECT payout_id FROM saga WHERE state = 6 AND rail = 2 ORDER BY payout_id") if payout_id not in young]
    held, due, cased, unheard, listed = settled[:5]
    (of_a_file,) = world.payments_rows("SELECT payout_id FROM submission_item ORDER BY payout_id LIMIT 1")[0]
    (file,) = world.payments_rows(f"SELECT submission_id FROM submission_item WHERE payout_id = '{of_a_file}'")[0]
    world.payments.stop()
    world.payments_rows(f"""
        UPDATE saga SET hold = 'TEST', held_state = 6, state = 10 WHERE payout_id = '{held}';
        UPDATE saga SET due_at = now() + interval '1 day' WHERE payout_id = '{due}';
        UPDATE saga SET events = events + 1 WHERE payout_id = '{unheard}';
        INSERT INTO saga_heard VALUES ({book}, '{listed}', 2, now(), 1, ARRAY['{listed}'::uuid]);
        INSERT INTO payment_case VALUES ({book}, '{cased}', 'PAYOUT_OVERDUE', 'payout', '{cased}', '', '', '', 0, '', 1, '', '', 1,
                                         now() - interval '9 years', now(), now());
        UPDATE submission SET due_at = now() + interval '1 day' WHERE submission_id = '{file}';
        UPDATE inbox SET state = 3 WHERE inbox_id = (SELECT inbox_id FROM inbox ORDER BY inbox_id LIMIT 1);
        INSERT INTO inbox_exception SELECT book_id, inbox_id, 1, 99, 'TEST', '', '', ''::bytea, 0, NULL, 0, '', 1, '', '', now()
            FROM inbox WHERE state = 2 ORDER BY inbox_id LIMIT 1;
        UPDATE deposit SET state = 1 WHERE deposit_id = (SELECT deposit_id FROM deposit LIMIT 1);""")
    before = rows(world)
    maintained(world)
    left, _ = assert_nothing_is_lost(world, before, folder)
    of_that_file = {json.loads(row)["payout_id"] for row in left["submission_item"]}
    assert of_a_file in of_that_file
    assert {json.loads(row)["payout_id"] for row in left["payout"]} == {held, due, cased, unheard, listed, *of_that_file, *young}
    assert [json.loads(row)["submission_id"] for row in left["submission"]] == [file]
    assert len(left["payment_case"]) == len([row for row in before["payment_case"] if json.loads(row)["state"] == 1])
    assert sorted(json.loads(row)["state"] for row in left["inbox"] if json.loads(row)["received_at"] < "2025") == [2, 3]
    assert len(left["deposit"]) == 1
    # The keys of what is kept are kept.
    made = {json.loads(row)["made"] for row in left["idempotency"]}
    assert {held, due, cased, unheard, listed, of_a_file} <= made


@pytest.mark.parametrize("point", ["maintain.written", "maintain.archived", "maintain.removed"])
def test_NO_LOSS_killed_in_the_middle_and_run_again(old, tmp_path, point):
    world, _, mixed, young, folder = old
    before = rows(world)
    plan = Plan(tmp_path, point)
    code, out, _ = maintain(world, crash=plan)
    assert plan.hit() and code != 0, out
    if point != "maintain.removed":  # nothing was removed, and the file that is there is not relied on
        assert rows(world) == before and not archives(world, folder)
    maintained(world)
    left, _ = assert_nothing_is_lost(world, before, folder)
    assert {json.loads(row)["payout_id"] for row in left["payout"]} == set(young)
    listed = maintained(world, "--list")
    assert listed.count("not recorded") == (1 if point == "maintain.archived" else 0), listed


def test_NO_LOSS_while_the_services_run_and_two_at_once(old):
    world, payer, mixed, young, folder = old
    before = rows(world)
    with ThreadPoolExecutor(6) as pool:
        paid = [pool.submit(mixed.merchant.pay, 100 + n, INSTANT) for n in range(60)]
        runs = [pool.submit(maintain, world) for _ in range(2)]
        for code, out, err in (run.result() for run in runs):
            assert code == 0 or "run it again" in err or "could not serialize" in err, out + err
        new = [one.result().payout_id for one in paid]
    mixed.merchant.wait_for(new)
    assert {payout.state for payout in mixed.merchant.payouts()} <= FINAL
    assert {payout.payout_id for payout in mixed.merchant.payouts(states=[SETTLED])} >= {*new, *young}
    maintained(world)
    for path in archives(world, folder):
        maintained(world, "--restore", path.name)
    assert rows(world, "restored_")["payout"] == [row for row in before["payout"] if json.loads(row)["payout_id"] not in young]


def test_a_damaged_archive_is_noticed_and_not_restored(old):
    world, _, _, _, folder = old
    maintained(world)
    path = archives(world, folder)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    code, out, _ = maintain(world, "--verify")
    assert code == 1 and "its SHA-256 is not that of its manifest" in out
    code, _, err = maintain(world, "--restore", path.name)
    assert code == 1 and "its SHA-256 is not that of its manifest" in err
    assert not any(rows(world, "restored_").values())


def test_it_says_what_it_needs(new_world):
    world = new_world(up=False)
    world.stack.up_database()
    code, _, err = maintain(world)
    assert code == 2 and "retention.dir is not set" in err
    code, _, err = maintain(world, "--everything")
    assert code == 2 and "--help" in err
    code, out, _ = maintain(world, "--help")
    assert code == 0 and "--dry-run" in out
