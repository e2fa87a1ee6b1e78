"""step_log and rail_event are partitioned by time: a table that is there becomes the first partition while the services work, months are
made ahead of time, and the services' role can neither detach nor drop one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from run.errors import RunError
from support.crash import Plan
from support.metrics import metric
from support.paying import INSTANT, SETTLED, Payer
from support.waiting import wait_until
from test_maintain import maintain, maintained

TABLES = {"step_log": "book_id, payout_id, seq", "rail_event": "book_id, payout_id, event_id"}


def partitions(world, table):
    """Their names by their bounds, the first one first, and the default one last."""
    return [name for (name,) in world.payments_rows(
        f"SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '{table}'::regclass "
        "ORDER BY c.relname LIKE '%_other', c.relname NOT LIKE '%_first', c.relname")]


def count(world, table):
    return int(world.payments_rows(f"SELECT count(*) FROM {table}")[0][0])


def flatten(world):
    """The tables as they were before: not partitioned, with all their rows."""
    owner = world.payments_rows("SELECT tableowner FROM pg_tables WHERE tablename = 'saga'")[0][0]
    for table, key in TABLES.items():
        world.payments_rows(f"""
            BEGIN; SET LOCAL ROLE {owner};
            CREATE TABLE flat (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
            INSERT INTO flat SELECT * FROM {table};
            DROP TABLE {table};
            ALTER TABLE flat ADD CONSTRAINT {table}_pkey PRIMARY KEY ({key});
            ALTER TABLE flat RENAME TO {table};
            GRANT SELECT, INSERT ON {table} TO payments_service;
            COMMIT""")


def migrate(world):
    world.stack.migrate("payments-svc")


@pytest.mark.parametrize("table", TABLES)
def test_the_coming_months_have_partitions(world, table):
    names = partitions(world, table)
    assert names[0] == f"{table}_first" and names[-1] == f"{table}_other" and len(names) >= 3, names
    assert metric(world.payments, "payments_partitions_missed") == 0
    migrate(world)
    assert partitions(world, table) == names


@pytest.mark.parametrize("table", TABLES)
def test_APPEND_ONLY_no_partition_is_detached_or_dropped_by_the_service(world, table):
    database = world.stack.databases[1]
    for name in partitions(world, table):
        for sql in (f"ALTER TABLE {table} DETACH PARTITION {name}", f"DROP TABLE {name}", f"DELETE FROM {name}", f"TRUNCATE {name}",
                    f"INSERT INTO {name} SELECT * FROM {name}"):
            with pytest.raises(RunError, match="permission denied|must be owner"):
                world.cluster.psql(database, sql, role="payments_service")


def test_NO_LOSS_a_table_becomes_the_first_partition_while_the_services_work(new_world):
    world = new_world({"payments-svc": {"saga.poll_ms": 25}})
    payer = Payer(world)
    merchant = payer.merchant(deposit=1_000_000)
    merchant.wait_for([merchant.pay(100 + n, INSTANT).payout_id for n in range(20)], {SETTLED})
    world.payments.stop()
    flatten(world)
    world.payments.start()
    before = {table: count(world, table) for table in TABLES}
    assert all(before.values()) and not any(partitions(world, table) for table in TABLES)
    with ThreadPoolExecutor(4) as pool:
        paid = [pool.submit(merchant.pay, 200 + n, INSTANT) for n in range(80)]
        pool.submit(migrate, world).result()
        ids = [one.result().payout_id for one in paid]
    merchant.wait_for(ids, {SETTLED})
    for table in TABLES:
        assert partitions(world, table)[0] == f"{table}_first"
        assert count(world, f"{table}_first") == count(world, table) > before[table]  # nothing is anywhere else
        constraints = world.payments_rows(f"SELECT conname FROM pg_constraint WHERE conrelid = '{table}_first'::regclass AND contype = 'c' "
                                          f"AND conname LIKE '%upto'")
        assert not constraints
    timeline = merchant.timeline(ids[0])
    assert [entry.step for entry in timeline.entries][:1] and timeline.payout.state == SETTLED


def test_NO_LOSS_a_table_with_ids_that_no_time_made_stays_as_it_is(new_world):
    world = new_world(up=False)
    world.stack.up_database()
    flatten(world)
    world.payments_rows("INSERT INTO step_log SELECT 1, id, 1, 1, 1, 0, 1, '', '', '', NULL, id, 1, now() FROM "
                        "(SELECT 'ffffffff-0000-8000-8000-000000000000'::uuid AS id) AS t")
    migrate(world)
    assert not partitions(world, "step_log") and partitions(world, "rail_event")
    assert not world.payments_rows("SELECT 1 FROM pg_constraint WHERE conname = 'step_log_upto'")
    assert count(world, "step_log") == 1


@pytest.mark.parametrize("point", ["partitions.bound", "partitions.converted"])
def test_NO_LOSS_killed_while_a_table_becomes_a_partition(new_world, tmp_path, point):
    world = new_world(up=False)
    world.stack.up_database()
    flatten(world)
    world.payments_rows("INSERT INTO step_log SELECT 1, id, 1, 1, 1, 0, 1, '', '', '', NULL, id, 1, now() FROM "
                        "(SELECT '01800000-0000-7000-8000-000000000000'::uuid AS id) AS t")
    plan = Plan(tmp_path, point)
    code, out, _ = maintain(world, crash=plan, command="migrate")
    assert code != 0 and plan.hit(), out
    migrate(world)
    for table in TABLES:
        assert len(partitions(world, table)) >= 3
        assert not world.payments_rows(f"SELECT 1 FROM pg_constraint WHERE conname = '{table}_upto'")
    assert count(world, "step_log_first") == count(world, "step_log") == 1


def test_an_empty_partition_of_years_ago_is_dropped_and_no_other(new_world, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    world = new_world({"payments-svc": {"retention.dir": str(folder)}})
    first, second, third = ("'014a0000-0000-0000-0000-000000000000'", "'014b0000-0000-0000-0000-000000000000'",
                            "'014c0000-0000-0000-0000-000000000000'")
    (upto,) = world.payments_rows("SELECT substring(pg_get_expr(relpartbound, oid) FROM 'TO \\(''(.*)''\\)') FROM pg_class "
                                  "WHERE relname = 'step_log_first'")[0]
    owner = world.payments_rows("SELECT tableowner FROM pg_tables WHERE tablename = 'saga'")[0][0]
    world.payments_rows(f"""
        SET ROLE {owner}; ALTER TABLE step_log DETACH PARTITION step_log_first;
        CREATE TABLE step_log_2015_01 PARTITION OF step_log FOR VALUES FROM ({first}) TO ({second});
        CREATE TABLE step_log_2015_02 PARTITION OF step_log FOR VALUES FROM ({second}) TO ({third});
        ALTER TABLE step_log ATTACH PARTITION step_log_first FOR VALUES FROM ({third}) TO ('{upto}');
        INSERT INTO step_log SELECT 1, {second}, 1, 1, 1, 0, 1, '', '', '', NULL, {second}, 1, now();""")
    names = partitions(world, "step_log")
    assert "step_log_2015_01 was empty and is dropped" in maintained(world)
    assert partitions(world, "step_log") == [name for name in names if name != "step_log_2015_01"]
    assert count(world, "step_log_2015_02") == 1


def test_SEEN_rows_of_a_month_without_a_partition_are_kept_and_moved(new_world, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    world = new_world({"payments-svc": {"retention.dir": str(folder), "deadlines.every_ms": 100}})
    last = partitions(world, "step_log")[-2]
    world.payments_rows(f"DROP TABLE {last}")
    bound = world.payments_rows("SELECT max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''(.*)''\\)')) FROM pg_class c "
                                "JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'step_log'::regclass")[0][0]
    world.payments_rows(f"INSERT INTO step_log SELECT 1, '{bound}', 1, 1, 1, 0, 1, '', '', '', NULL, '{bound}', 1, now()")
    assert count(world, "step_log_other") == 1
    wait_until(lambda: metric(world.payments, "payments_partitions_missed") == 1, "the gauge shows it")
    maintained(world)
    assert partitions(world, "step_log")[-2] == last
    assert count(world, "step_log_other") == 0 and count(world, last) == 1
    wait_until(lambda: metric(world.payments, "payments_partitions_missed") == 0, "the gauge shows that it is mended")
