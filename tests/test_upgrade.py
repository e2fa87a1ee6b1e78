"""A database of the first version, with payouts in every state, is upgraded and goes on.

The rows are made by the service of today, brought to each place of their life, and then written down as the first version had
them: its tables (migrations 1 and 2), its HELD, which overwrote the step, and its payout ids, which named the payout at the bank
and in the ledger, too."""

from run.layout import PROJECT
from support import mix
from support.crash import Plan
from support.paying import (FAILED, HELD, INSTANT, RETURNED, SETTLED, Payer, assert_books_at_rest, assert_ledger_equals_bank,
                            of_bank)
from support.waiting import wait_until
from test_holds import reach, say

SETTINGS = {"payments-svc": {"saga.lease_ms": 1500, "saga.poll_ms": 50, "saga.backoff_base_ms": 50, "saga.backoff_cap_ms": 500,
                             "saga.resolve_after_ms": 60_000, "ach.gather_ms": 100, "ach.poll_ms": 100},
            "bank-sim": {"instant.settle_delay_ms": 2000}}
FIRST = ("0001_payouts.sql", "0002_batch_leases.sql")
# Columns of the first version; what names a payout is told by its intent, which the payout's id was then.
TABLES = {
    "merchant_book": "merchant_id, book_id",
    "merchant": "book_id, merchant_id, name, currencies, created_at",
    "recipient": "book_id, recipient_id, merchant_id, holder_type, account_type, currency, routing_code, account_last4, "
                 "name_sealed, account_sealed, created_at",
    "payout": "book_id, payout_id, merchant_id, recipient_id, amount, currency, rail, external_reference, description, created_at",
    "saga": "book_id, payout_id, rail, step, phase, state, outlook, attempt, tries, log_seq, events, events_seen, due_at, epoch, "
            "reason, reason_text, rail_reference, updated_at",
    "step_log": "book_id, payout_id, seq, step, kind, outcome, attempt, reason, detail, rail_reference, transfer_id, owner, epoch, "
                "at, outlook",
    "rail_event": "book_id, payout_id, event_id, attempt, kind, code, detail, rail_reference, at",
    "saga_lease": "book_id, lease_id, rail, step, owner, ends_at, n, payout_ids",
}
INTENT = "(SELECT p.intent_id FROM payout p WHERE p.book_id = t.book_id AND p.payout_id = {})"


def old_column(table, column):
    if column == "payout_id":
        return "t.intent_id" if table == "payout" else INTENT.format("t.payout_id")
    if column == "payout_ids":
        return f"ARRAY(SELECT {INTENT.format('x')} FROM unnest(t.payout_ids) AS x)"
    if table == "saga" and column in ("step", "reason", "reason_text"):
        held = {"step": "8", "reason": "t.hold", "reason_text": "t.hold_text"}[column]
        return f"CASE WHEN t.hold <> '' THEN {held} ELSE t.{column} END"
    if table == "saga" and column == "outlook":
        return "CASE WHEN t.hold <> '' THEN 0 ELSE t.outlook END"
    return f"t.{column}"


def write_as_the_first_version(world):
    """The payments database as the first version would have left it, in place of today's."""
    cluster, name = world.cluster, world.stack.databases[1]
    old = f"{name}_first"
    owner = cluster.rows(name, "SELECT tableowner FROM pg_tables WHERE tablename = 'saga'")[0][0]
    cluster.copy_database(name, old)
    cluster.psql(old, f"DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION {owner}; GRANT USAGE ON SCHEMA public TO PUBLIC;")
    for version, file in enumerate(FIRST, 1):
        sql = (PROJECT / "migrations" / "payments" / file).read_text(encoding="utf-8")
        cluster.psql(old, f"SET ROLE {owner};\n{sql}")
    for table, columns in TABLES.items():
        picked = ", ".join(old_column(table, column.strip()) for column in columns.split(","))
        rows = cluster.psql(name, f"COPY (SELECT {picked} FROM {table} t) TO STDOUT;")
        cluster.psql(old, f"COPY {table} ({columns}) FROM STDIN;\n{rows}\\.\n")
    applied = cluster.psql(name, "COPY (SELECT version, name, sha256, applied_at FROM schema_migration WHERE version <= 2) TO STDOUT;")
    cluster.psql(old, f"SET ROLE {owner};\nCREATE TABLE schema_migration (version int PRIMARY KEY, name text NOT NULL, "
                      "sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());\n"
                      f"COPY schema_migration FROM STDIN;\n{applied}\\.\n")
    cluster.drop_database(name)
    cluster.copy_database(old, name)
    cluster.drop_database(old)


def standing(world, merchant):
    return {(int(step), int(state)) for step, state in world.payments_rows(
        "SELECT s.step, s.state FROM saga s JOIN payout p USING (book_id, payout_id) "
        f"WHERE p.merchant_id = '{merchant.id}'")}


def in_step(world, payout, step):
    return lambda: world.payments_rows(f"SELECT 1 FROM saga WHERE payout_id = '{payout.payout_id}' AND step = {step}")


class Life:
    """Payouts of one merchant, each left at another place; end says where it must come to."""

    def __init__(self, payer, merchant):
        self.payer, self.world, self.merchant = payer, payer.world, merchant
        self.end = {}

    def pay(self, amount, end, rail=INSTANT):
        payout = self.merchant.pay(amount, rail)
        self.end[payout.intent_id] = end
        return payout

    def make_ended(self):
        ended = [self.pay(500, SETTLED), self.pay(2801, FAILED), self.pay(2809, RETURNED)]
        for payout in ended:
            self.merchant.wait_for([payout.payout_id], {self.end[payout.intent_id]})

    def make_held(self):
        """HELD before the end, at the end, and at the ledger's step."""
        self.waits = self.pay(511, SETTLED)
        self.merchant.wait_for([self.waits.payout_id], {5, SETTLED})
        say(self.payer, self.waits.payout_id, 3, attempt=2)
        self.ended = self.pay(3801, FAILED)
        self.merchant.wait_for([self.ended.payout_id], {FAILED})
        say(self.payer, self.ended.payout_id, 3)
        self.merchant.wait_for([self.waits.payout_id, self.ended.payout_id], {HELD})

    def make_waiting(self):
        """EXECUTE that has not reached the bank, one whose worker died, and RESERVE."""
        self.world.bank.stop()
        retries = self.pay(521, SETTLED)
        wait_until(lambda: self.world.payments_rows(
            f"SELECT 1 FROM saga WHERE payout_id = '{retries.payout_id}' AND step = 2 AND tries > 0"), "it is tried again", 20)
        self.world.bank.start()

    def make_orphan(self, folder):
        plan = Plan(folder, "saga.execute.sent")
        self.world.payments.stop()
        self.world.payments.start(env=plan.env)
        self.pay(531, SETTLED)
        wait_until(plan.hit, "it came between the bank's answer and its own row", 20)
        wait_until(lambda: not self.world.payments.alive(), "it died there")

    def make_fresh(self):
        """Accepted, and the ledger away: RESERVE that is tried again; SENT whose confirmation is tried again."""
        sent = self.pay(541, SETTLED)
        self.merchant.wait_for([sent.payout_id], {5})
        self.merchant.recipient()
        self.world.ledger.stop()
        self.pay(551, SETTLED)
        wait_until(in_step(self.world, sent, 5), "the confirmation waits for the ledger", 20)


def test_NO_LOSS_a_database_of_the_first_version_goes_on(new_world, tmp_path):
    world = new_world({**mix.SETTINGS, **SETTINGS})
    payer = Payer(world)
    merchant = payer.merchant(deposit=1_000_000)
    merchant.recipient()
    life = Life(payer, merchant)
    life.make_ended()
    life.make_held()
    life.make_waiting()
    life.make_orphan(tmp_path)
    world.payments.start()
    life.make_fresh()
    world.payments.stop()
    write_as_the_first_version(world)
    assert {(8, SETTLED), (8, FAILED), (8, RETURNED), (8, HELD), (1, 4), (5, 5)} <= standing(world, merchant)
    held = {life.waits.intent_id: life.waits, life.ended.intent_id: life.ended}

    world.stack.migrate("payments-svc")
    rows = world.payments_rows("SELECT payout_id, step, held_state, hold FROM saga WHERE hold <> '' ORDER BY step")
    assert [row[1:] for row in rows] == [["4", "5", "RAIL_CONTRADICTION"], ["8", "7", "RAIL_CONTRADICTION"]]
    world.ledger.start()
    world.payments.start()
    others = [payout_id for payout_id in life.end if payout_id not in held]
    final = merchant.wait_for(others)
    assert {key: payout.state for key, payout in final.items()} == {key: life.end[key] for key in others}
    # What was held stands where it stood, and an order of a person leads out of it.
    order(world, merchant, life.waits.intent_id, 22)
    order(world, merchant, life.ended.intent_id, 20)
    assert reach(merchant, life.waits.intent_id, SETTLED)
    assert reach(merchant, life.ended.intent_id, FAILED).reason not in ("", "RAIL_CONTRADICTION")
    bank = payer.bank.payments()
    for payout in merchant.payouts():
        assert len(of_bank(bank, payout)) <= 1, "the bank saw more than one submission"
    assert payer.bank.duplicates() == []
    assert_books_at_rest(payer, [merchant.book_id])
    assert_ledger_equals_bank(payer)
    new = merchant.pay(600)
    merchant.wait_for([new.payout_id], {SETTLED})


def order(world, merchant, payout_id, kind):
    """An order of a person, as a case that is resolved writes it."""
    world.payments_rows(
        "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, rail_reference, at, source, actor, "
        f"order_number) VALUES ({merchant.book_id}, '{payout_id}', 'case/1', 0, {kind}, '', 'as ordered', '', now(), 2, 'test', 1)")
    world.payments_rows(f"UPDATE saga SET events = events + 1, due_at = now() WHERE payout_id = '{payout_id}'")
