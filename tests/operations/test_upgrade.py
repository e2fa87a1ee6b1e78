"""A database of the first version, with payouts in every state, is upgraded and goes on.

The rows are made by the service of today, brought to each place of their life, and then written down as the first version had
them: its tables (migrations 1 and 2), its HELD, which overwrote the step, its payout ids, which named the payout at the bank
and in the ledger, too, and its files, of which it knew only the entries: whether one had been uploaded, the log of each payout told."""

import ctypes
import ctypes.util
import os

from run.layout import PROJECT
from support import mix
from support.crash import Plan, wait_until_killed
from support.paying import (ACH, FAILED, HELD, INSTANT, RETURNED, SETTLED, Payer, assert_books_at_rest, assert_ledger_equals_bank,
                            of_bank)
from support.payctl import Payctl
from support.waiting import wait_until
from test_cases import Cases
from test_holds import reach, say

LONG_MS = 600_000  # nobody takes away what a worker has left, before the upgrade
SETTINGS = {"payments-svc": {"books.count": 4, "saga.lease_ms": LONG_MS, "saga.poll_ms": 50, "saga.backoff_base_ms": 50,
                             "saga.backoff_cap_ms": 500, "saga.resolve_after_ms": 60_000, "ach.gather_ms": 100, "ach.poll_ms": 100,
                             "ach.lease_ms": LONG_MS, "ach.list_lag_ms": 200, "ach.rebuild_ms": 0, "ach.case_after": 3},
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
    "ach_entry": "book_id, trace, payout_id, attempt, amount, file_id",
}
INTENT = "(SELECT p.intent_id FROM payout p WHERE p.book_id = t.book_id AND p.payout_id = {})"


SOURCES = {"ach_entry": "submission_item"}
# A payout whose file was not known to have been sent stood at EXECUTE, acting when its worker had begun.
IN_A_FILE = ("EXISTS (SELECT 1 FROM submission_item i JOIN submission f USING (book_id, submission_id) WHERE i.book_id = t.book_id "
             "AND i.payout_id = t.payout_id AND i.attempt = t.attempt AND f.state IN ({states}))")
OPEN, BEGUN, NEVER_BEGUN = (IN_A_FILE.format(states=states) for states in ("1, 2", "2", "1"))
HANDED_OVER = "(t.kind = 2 AND t.outcome = 10)"
CHANGED = {
    ("ach_entry", "trace"): "t.number",
    ("ach_entry", "file_id"): "t.submission_id",
    ("saga_lease", "ends_at"): "now()",  # its worker is gone
    ("saga", "phase"): f"CASE WHEN {BEGUN} THEN 1 ELSE t.phase END",
    ("saga", "due_at"): f"CASE WHEN {OPEN} THEN now() ELSE t.due_at END",
    ("saga", "tries"): f"CASE WHEN {NEVER_BEGUN} THEN 1 ELSE t.tries END",
    # That it is in a file was no outcome then: its upload had been tried in vain, or was begun; and if it ended, the bank had accepted it.
    ("step_log", "kind"): f"CASE WHEN {HANDED_OVER} AND {BEGUN} THEN 1 ELSE t.kind END",
    ("step_log", "outcome"): f"CASE WHEN NOT {HANDED_OVER} THEN t.outcome WHEN {BEGUN} THEN 0 WHEN {NEVER_BEGUN} THEN 3 ELSE 5 END",
}


def old_column(table, column):
    if column == "payout_id":
        return "t.intent_id" if table == "payout" else INTENT.format("t.payout_id")
    if column == "payout_ids":
        return f"ARRAY(SELECT {INTENT.format('x')} FROM unnest(t.payout_ids) AS x)"
    if (table, column) in CHANGED:
        return CHANGED[table, column]
    if table == "saga" and column in ("step", "reason", "reason_text"):
        held = {"step": "8", "reason": "t.hold", "reason_text": "t.hold_text"}[column]
        open_step = f"WHEN {OPEN} THEN 2 " if column == "step" else ""
        return f"CASE WHEN t.hold <> '' THEN {held} {open_step}ELSE t.{column} END"
    if table == "saga" and column == "outlook":
        return "CASE WHEN t.hold <> '' THEN 0 ELSE t.outlook END"
    return f"t.{column}"


class Seal:
    """What a keyring of one key seals (AES-256-GCM), opened and sealed again for another place."""

    def __init__(self, keyring):
        name, key = keyring.read_text(encoding="ascii").split()
        self.head, self.key = bytes([1, len(name)]) + name.encode(), bytes.fromhex(key)
        self.lib = ctypes.CDLL(ctypes.util.find_library("crypto"))
        for function in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
            getattr(self.lib, function).restype = ctypes.c_void_p

    def _run(self, encrypt, nonce, aad, data, tag):
        lib, out, n = self.lib, ctypes.create_string_buffer(len(data) + 16), ctypes.c_int()
        context, cipher = ctypes.c_void_p(lib.EVP_CIPHER_CTX_new()), ctypes.c_void_p(lib.EVP_aes_256_gcm())
        assert lib.EVP_CipherInit_ex(context, cipher, None, self.key, nonce, int(encrypt)) == 1
        for part in (self.head, aad):
            assert lib.EVP_CipherUpdate(context, None, ctypes.byref(n), part, len(part)) == 1
        assert lib.EVP_CipherUpdate(context, out, ctypes.byref(n), data, len(data)) == 1
        get_tag, set_tag = 0x10, 0x11
        if not encrypt:
            assert lib.EVP_CIPHER_CTX_ctrl(context, set_tag, 16, tag) == 1
        end = ctypes.c_int()
        assert lib.EVP_CipherFinal_ex(context, ctypes.byref(out, n.value), ctypes.byref(end)) == 1
        made = ctypes.create_string_buffer(16)
        if encrypt:
            assert lib.EVP_CIPHER_CTX_ctrl(context, get_tag, 16, made) == 1
        lib.EVP_CIPHER_CTX_free(context)
        return out.raw[:n.value] + (made.raw if encrypt else b"")

    def moved(self, sealed, place, to):
        body = sealed[len(self.head):]
        assert sealed.startswith(self.head)
        plain = self._run(False, body[:12], place.encode(), body[12:-16], body[-16:])
        nonce = os.urandom(12)
        return self.head + nonce + self._run(True, nonce, to.encode(), plain, None)


def write_files(world, seal, name, old):
    """ach_file and ach_counter, out of the submissions."""
    for book, file_id, file_name, entries, total, sha256, sealed, created_at in world.cluster.rows(
            name, "SELECT book_id, submission_id, name, items, total, encode(sha256, 'hex'), encode(content_sealed, 'hex'), created_at "
                  "FROM submission ORDER BY submission_id"):
        _, date, modifier, _ = file_name.split("-")
        content = seal.moved(bytes.fromhex(sealed), f"submission|content|{book}|{file_id}", f"ach_file|content|{book}|{file_id}")
        world.cluster.psql(old, f"INSERT INTO ach_file VALUES ({book}, '{file_id}', '{file_name}', '{date}', '{modifier}', {entries}, "
                                f"{total}, '\\x{sha256}', '\\x{content.hex()}', '{created_at}');")
    world.cluster.psql(old, "INSERT INTO ach_counter SELECT f.book_id, max(e.trace) + 1, max(f.file_date), count(DISTINCT f.modifier) "
                            "FROM ach_file f JOIN ach_entry e USING (book_id, file_id) GROUP BY f.book_id;")


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
        rows = cluster.psql(name, f"COPY (SELECT {picked} FROM {SOURCES.get(table, table)} t) TO STDOUT;")
        cluster.psql(old, f"COPY {table} ({columns}) FROM STDIN;\n{rows}\\.\n")
    write_files(world, Seal(world.stack.secrets / "keyring"), name, old)
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


def begun(world):
    """Steps of which there is an intent that nobody has come back to."""
    return {step for (step,) in world.payments_rows(
        "SELECT l.step FROM step_log l JOIN saga s USING (book_id, payout_id) WHERE l.kind = 1 AND l.seq > s.log_seq")}


def in_step(world, payout, step):
    return lambda: world.payments_rows(f"SELECT 1 FROM saga WHERE payout_id = '{payout.payout_id}' AND step = {step}")


class Life:
    """Payouts of one merchant, each left at another place; end says where it must come to. Its bank tells of the settlement of a file
    only on a later day, which a test brings."""

    def __init__(self, payer, merchant, folder):
        self.payer, self.world, self.merchant, self.folder = payer, payer.world, merchant, folder
        self.end = {}

    def pay(self, amount, end, rail=INSTANT):
        payout = self.merchant.pay(amount, rail)
        self.end[payout.intent_id] = end
        return payout

    def habits(self, **habits):
        self.payer.bank.post("/admin/habits", {**self.payer.bank.get("/admin/habits"), **habits})

    def make_ended(self):
        ended = [self.pay(500, SETTLED), self.pay(2801, FAILED), self.pay(2809, RETURNED), self.pay(1_300, SETTLED, ACH),
                 self.pay(1_901, RETURNED, ACH)]
        for payout in ended:
            self.merchant.wait_for([payout.payout_id], {self.end[payout.intent_id]})
        # A payout that has settled, and comes back after the upgrade.
        self.habits(settle_days=1)

    def make_held(self):
        """HELD before the end, at the end, and at the ledger's step."""
        self.waits = self.pay(511, SETTLED)
        self.merchant.wait_for([self.waits.payout_id], {5, SETTLED})
        say(self.payer, self.waits.payout_id, 3, attempt=2)
        self.ended = self.pay(3801, FAILED)
        self.merchant.wait_for([self.ended.payout_id], {FAILED})
        say(self.payer, self.ended.payout_id, 3)
        self.merchant.wait_for([self.waits.payout_id, self.ended.payout_id], {HELD})

    def make_sent(self):
        """At the bank, in files that it has acknowledged: one that will settle, one that will settle and come back."""
        sent = [self.pay(1_400, SETTLED, ACH), self.pay(1_951, RETURNED, ACH)]
        self.merchant.wait_for([payout.payout_id for payout in sent], {5})
        # What the bank has not taken yet would settle at once when it has forgotten its habits, as after its restart below.
        wait_until(lambda: not self.world.payments_rows("SELECT 1 FROM submission WHERE state = 3"), "the bank has acknowledged them", 20)
        self.came_back = sent[1]
        self.habits(acks=0)  # the next file is there, and we do not hear so

    def make_waiting(self):
        """EXECUTE that has not reached the bank."""
        self.world.bank.stop()
        retries = self.pay(521, SETTLED)
        wait_until(lambda: self.world.payments_rows(
            f"SELECT 1 FROM saga WHERE payout_id = '{retries.payout_id}' AND step = 2 AND tries > 0"), "it is tried again", 20)
        self.world.bank.start()
        self.habits(settle_days=1, acks=0)

    def dies_at(self, point, amount, end, rail=INSTANT):
        """The worker that had it is gone. What it has written stays as it is."""
        self.world.payments.stop()
        plan = Plan(self.folder, point)
        self.world.payments.start(env=plan.env)
        payout = self.pay(amount, end, rail)
        wait_until_killed(self.world.payments, plan, f"{point} is passed")
        self.world.payments.start()
        return payout

    def make_orphans(self):
        self.dies_at("saga.execute.sent", 531, SETTLED)
        self.dies_at("saga.resolve.prepared", 2803, SETTLED)  # its answer was lost
        self.dies_at("saga.void.prepared", 4801, FAILED)
        self.dies_at("saga.return.prepared", 4809, RETURNED)
        self.dies_at("ach.upload.renamed", 1_500, SETTLED, ACH)  # the bank has it, and nobody has heard so
        self.lost = self.dies_at("ach.upload.begin", 1_600, SETTLED, ACH)  # and of this one it has nothing

    def make_prepared(self):
        """In a file that nobody has begun to send."""
        self.restart(**{"ach.port": 1})
        self.prepared = self.pay(1_700, SETTLED, ACH)
        wait_until(lambda: self.world.payments_rows(
            f"SELECT 1 FROM submission_item i JOIN submission s USING (book_id, submission_id) WHERE s.state = 1 AND "
            f"payout_id = '{self.prepared.payout_id}'"), "its file is cut")

    def restart(self, **settings):
        self.world.payments.stop()
        self.world.stack.settings["payments-svc"].update(settings)
        self.world.stack.configure()
        self.world.payments.start()

    def make_fresh(self):
        """Accepted, and the ledger away: RESERVE that is tried again; SENT whose confirmation is tried again."""
        sent = self.pay(541, SETTLED)
        self.merchant.wait_for([sent.payout_id], {5})
        self.merchant.recipient()
        self.world.ledger.stop()
        self.pay(551, SETTLED)
        wait_until(in_step(self.world, sent, 5), "the confirmation waits for the ledger", 20)


def make_lives(payer, merchant, folder):
    life = Life(payer, merchant, folder)
    life.make_ended()
    life.make_held()
    life.make_sent()
    life.make_waiting()
    life.make_orphans()
    life.make_prepared()
    life.make_fresh()
    return life


def files(world):
    return sorted(int(state) for (state,) in world.payments_rows("SELECT state FROM submission"))


def test_NO_LOSS_a_database_of_the_first_version_goes_on(new_world, tmp_path):
    world = new_world({service: {**mix.SETTINGS.get(service, {}), **SETTINGS.get(service, {})} for service in {*mix.SETTINGS, *SETTINGS}})
    world.older_than_feed = True
    payer = Payer(world)
    merchant = payer.merchant(deposit=1_000_000)
    merchant.recipient()
    life = make_lives(payer, merchant, tmp_path)
    world.payments.stop()
    port = world.stack.settings["payments-svc"].pop("ach.port")
    assert port == 1
    write_as_the_first_version(world)
    assert {(8, SETTLED), (8, FAILED), (8, RETURNED), (8, HELD), (1, 4), (2, 4), (3, 4), (4, 5), (5, 5), (6, 4)} <= standing(
        world, merchant)
    assert {"2", "3", "6", "7"} <= begun(world), "workers were at EXECUTE, RESOLVE, VOID and RETURN"
    held = {life.waits.intent_id: life.waits, life.ended.intent_id: life.ended}

    world.stack.configure()
    world.stack.migrate("payments-svc")
    rows = world.payments_rows("SELECT payout_id, step, held_state, hold FROM saga WHERE hold <> '' ORDER BY step")
    assert [row[1:] for row in rows] == [["4", "5", "RAIL_CONTRADICTION"], ["8", "7", "RAIL_CONTRADICTION"]]
    assert files(world).count(1) == 1 and files(world).count(2) == 2
    world.ledger.start()
    world.payments.start()
    find_the_lost_file(world, life)
    payer.bank.post("/admin/flush")
    merchant.wait_for([life.came_back.intent_id], {RETURNED})
    payer.bank.post("/admin/flush")
    others = [payout_id for payout_id in life.end if payout_id not in held]
    for state in (FAILED, RETURNED, SETTLED):
        merchant.wait_for([payout_id for payout_id in others if life.end[payout_id] == state], {state})
    # Held payouts are where they were, and an order of a person frees them.
    order(world, merchant, life.waits.intent_id, 22)
    order(world, merchant, life.ended.intent_id, 20)
    assert reach(merchant, life.waits.intent_id, SETTLED)
    assert reach(merchant, life.ended.intent_id, FAILED).reason not in ("", "RAIL_CONTRADICTION")
    assert {payout.payout_id: payout.state for payout in merchant.payouts()} == life.end
    bank = payer.bank.payments()
    for payout in merchant.payouts():
        assert len(of_bank(bank, payout)) <= 1, "the bank saw more than one submission"
    assert payer.bank.duplicates() == []
    new = [merchant.pay(600), merchant.pay(1_800, ACH)]
    merchant.wait_for([new[1].payout_id], {5})
    payer.bank.post("/admin/flush")
    merchant.wait_for([payout.payout_id for payout in new], {SETTLED})
    assert_books_at_rest(payer, [merchant.book_id])
    assert_ledger_equals_bank(payer)
    _, answer, _ = Payctl(world, tmp_path).json("report")
    assert answer["agree"], answer["differences"]


def find_the_lost_file(world, life):
    """The first version left no trace of an upload: whether this one was begun nobody knows, and the bank does not show it. A person asks
    the bank."""
    cases = Cases(world)
    (case,) = wait_until(lambda: cases.list(kind="SUBMISSION_UNKNOWN"), "a case of the file")
    ((of_payout,),) = world.payments_rows(
        f"SELECT submission_id FROM submission_item WHERE payout_id = '{life.lost.intent_id}' AND attempt = 1")
    assert case.subject_id == of_payout
    cases.resolve(case, "BANK_HAS_IT_NOT", evidence="the bank's operator, by telephone")


def order(world, merchant, payout_id, kind):
    """An order of a person, as a case that is resolved writes it."""
    world.payments_rows(
        "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, rail_reference, at, source, actor, "
        f"order_number) VALUES ({merchant.book_id}, '{payout_id}', 'case/1', 0, {kind}, '', 'as ordered', '', now(), 2, 'test', 1)")
    world.payments_rows(f"UPDATE saga SET events = events + 1, due_at = now() WHERE payout_id = '{payout_id}'")
