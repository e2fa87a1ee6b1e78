"""Data keys: a new one is taken up by instances that run, all is sealed anew under it while payouts go on, and no ring lacks a key in use."""

import hashlib
import hmac
import os
import secrets
import signal
import threading

import grpc
import pytest
from support import mix, rpc, stubs
from support.crash import Plan, stopped, wait_until_killed
from support.payctl import DONE, Payctl
from support.paying import FINAL, Payer
from support.waiting import wait_until

from run import RunError

OTHER = "payments-svc.2"
SETTINGS = {**mix.SETTINGS, "payments-svc": {**mix.SETTINGS["payments-svc"], "keys.pause_ms": 5, "keys.alive_ms": 1500,
                                      "keys.settle_ms": 200}}
SEALED = {"recipient": ("name_sealed", "account_sealed"), "submission": ("content_sealed",), "inbox": ("content_sealed",),
          "inbox_exception": ("raw_sealed",), "idempotency": ("CASE WHEN operation = 2 THEN response END",)}


class Ring:
    """The key files of both instances."""

    def __init__(self, world):
        self.world = world
        self.files = {"payments-svc": world.stack.secrets / "keyring", OTHER: world.stack.secrets / "keyring.2"}
        self.lines = dict([self.files["payments-svc"].read_text(encoding="ascii").split()])
        self.current = "k1"
        for service in self.files:
            self.write(service)

    def write(self, service, **change):
        """All keys, or others, and which is current."""
        lines, current = change.get("lines", self.lines), change.get("current", self.current)
        fresh = self.files[service].with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text("".join(f"{name} {key}\n" for name, key in lines.items()) + f"current {current}\n", encoding="ascii")
        os.replace(fresh, self.files[service])

    def add(self, name):
        self.lines[name] = secrets.token_hex(32)
        self.everywhere()

    def everywhere(self, *, signaled=True):
        """Both have taken the files up."""
        for service in self.files:
            self.write(service)
            if signaled:
                self.world.daemon(service).signal(signal.SIGHUP)
        opens = sorted(name for name, key in self.lines.items() if not key.startswith("mac "))
        wait_until(lambda: [(one.current_key_id, sorted(one.key_ids)) for one in self.look().instances] == 2 * [(self.current, opens)],
                   f"both instances have {opens} and seal with {self.current}")
        for service in self.files:
            wait_until(lambda service=service: self.world.metric(service, "data_keys_faulty") == 0, f"{service} has taken its file up")

    def make_current(self, name):
        self.current = name
        self.everywhere()

    def only_mac(self, name):
        key = bytes.fromhex(self.lines[name])
        self.lines[name] = "mac " + hmac.new(key, b"disburse mac 1", hashlib.sha256).hexdigest()

    def look(self, service="payments-svc"):
        messages, _ = stubs.modules("payments/v1/key_service")
        return rpc.persist(lambda: self.world.stub("payments/v1/key_service", "KeyService", service).ListKeys, messages.ListKeysRequest())

    def key(self, name):
        return next(key for key in self.look().keys if key.key_id == name)


@pytest.fixture(scope="module")
def ring(servers):
    world = servers.world(SETTINGS)
    try:
        world.up()
        made = Ring(world)
        world.stack.add_instance("payments-svc", OTHER, {"instant.webhook_port": 0, "keys.file": "../secrets/keyring.2"})
        world.daemon(OTHER).start()
        made.everywhere()
        yield made
        world.stop_and_check()
    finally:
        world.remove()


def under(world, name):
    """Sealed values under a key: column -> how many."""
    found = {}
    for table, columns in SEALED.items():
        for column in columns:
            (n,), = world.payments_rows(f"SELECT count(*) FROM {table} WHERE substring({column} FROM 3 FOR get_byte({column}, 1)) = '{name}'")
            if int(n) > 0:
                found[f"{table}.{column}"] = int(n)
    return found


class Traffic:
    """Payouts and readings by both instances while something else happens. None may fail."""

    def __init__(self, world):
        self.stop, self.failures, self.paid = threading.Event(), [], []
        self.payers = [Payer(world, service) for service in ("payments-svc", OTHER)]
        self.merchant = self.payers[0].merchant(deposit=1_000_000)
        self.recipients = [self.merchant.recipient(which=n) for n in range(4)]
        self.threads = [threading.Thread(target=self._run, args=(work, payer)) for work in (self._pay, self._read) for payer in self.payers]

    def _run(self, work, payer):
        while not self.stop.is_set():
            try:
                work(payer)
            except (grpc.RpcError, AssertionError) as error:
                self.failures.append(error)
                return

    def _pay(self, payer):
        request = self.merchant.request(100)
        self.paid.append((request, payer.stub("Payout").CreatePayout(request, timeout=20).payout.payout_id))

    def _read(self, payer):
        for recipient in self.recipients:
            payer.stub("Recipient").GetRecipient(payer.recipients_pb.GetRecipientRequest(
                merchant_id=self.merchant.id, recipient_id=recipient), timeout=20)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.paid) > 4 or self.failures, "payouts are taken in")
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures


def known_by_keys(world, merchant):
    """An import, and a change of a case of no book: their own rows have the hashes of their requests."""
    def call(service, method, **fields):
        messages, _ = stubs.modules(f"payments/v1/{service.lower()}_service")
        stub = world.stub(f"payments/v1/{service.lower()}_service", f"{service}Service", "payments-svc")
        rpc.persist(lambda: getattr(stub, method), getattr(messages, f"{method}Request")(**fields))
    ((case_id,),) = world.payments_rows(
        "INSERT INTO payment_case SELECT 0, gen_random_uuid(), 'CONNECTION_DOWN', 'connection', 'x', '', 'DOWN', '', 0, '', 1, '', '', 1, now(), "
        "now(), now() RETURNING case_id")
    call("Import", "CreateImport", merchant_id=merchant.id, idempotency_key="i", file_name="f.csv", size_bytes=10)
    call("Case", "CommentCase", book_id=0, case_id=case_id, comment="x", person="ada", idempotency_key="c")


def test_all_is_sealed_anew_under_load_and_the_old_key_goes(ring, tmp_path):
    world, payctl = ring.world, Payctl(ring.world, tmp_path)
    with Traffic(world) as traffic:
        known_by_keys(world, traffic.merchant)
        ring.add("k2")  # first known everywhere
        assert under(world, "k1") and not under(world, "k2")
        ring.make_current("k2")  # then it seals
        n = len(traffic.paid)
        wait_until(lambda: len(traffic.paid) > n + 10 or traffic.failures, "payouts are taken in under the new key")
        code, told, _ = payctl.json("keys", "rotate", "--person", "grace")
        assert code == DONE
    rotation = told["rotation"]
    assert (rotation["state"], rotation["key_id"]) == ("DONE", "k2")
    assert int(rotation["resealed_count"]) > 10 and not int(rotation.get("unreadable_count", 0)) and "for grace" in rotation["actor"]
    assert not under(world, "k1")
    final = traffic.merchant.wait_for([payout_id for _, payout_id in traffic.paid], FINAL)
    assert len(final) == len(traffic.paid)
    assert "k2" in payctl.run("keys")[1]

    # What is left of the old key are hashes of requests: without its data key, repeats are still known.
    old = ring.key("k1")
    assert not old.seals_values and old.hashes_requests and "payout: " in old.uses
    assert "import: 1" in old.uses and "change of a case: 1" in old.uses
    ring.only_mac("k1")
    ring.everywhere()
    world.payments.kill()
    world.payments.start()
    request, payout_id = traffic.paid[0]
    assert rpc.persist(lambda: Payer(world).stub("Payout").CreatePayout, request).payout.payout_id == payout_id
    changed = type(request)()
    changed.CopyFrom(request)
    changed.payout.amount_minor += 1
    assert rpc.refused(Payer(world).stub("Payout").CreatePayout, changed).reason == "IDEMPOTENCY_KEY_REUSED"


def refused_start(world):
    """The words of the log of an instance that does not start."""
    world.daemon(OTHER).kill()
    with pytest.raises(RunError) as failed:
        world.daemon(OTHER).start()
    return str(failed.value)


def test_a_ring_that_lacks_a_key_in_use_is_refused(ring):
    world = ring.world
    gone = {name: key for name, key in ring.lines.items() if name != "k1"}
    ring.write("payments-svc", lines=gone)
    wait_until(lambda: world.metric("payments-svc", "data_keys_faulty") == 1, "the ring without k1 was refused")
    assert ring.key("k1").compares  # the old one is in force
    ring.write(OTHER, lines=gone)
    why = refused_start(world)
    assert "the key ring lacks the key k1, which is in use by " in why and " payout: " in why
    # A key of which only hashes can be compared is not enough for what it has sealed.
    ring.lines["k1"], kept = ring.lines["k1"], ring.lines["k2"]
    mac_only = {**ring.lines, "k2": "mac " + "0" * 64, "k9": secrets.token_hex(32)}
    ring.write(OTHER, lines=mac_only, current="k9")
    assert "lacks the key k2" in refused_start(world)
    assert ring.lines["k2"] == kept
    ring.write(OTHER)
    world.daemon(OTHER).start()
    ring.everywhere(signaled=False)  # taken up again all the same


def faulty(world, service="payments-svc"):
    return world.metric(service, "data_keys_faulty") == 1


def test_a_name_means_one_key(ring):
    """Else values would be sealed under a key that no other instance has, and what is sealed could not be opened."""
    world = ring.world
    other = secrets.token_hex(32)
    assert ring.current in ring.lines and not ring.lines[ring.current].startswith("mac ")
    changed = {**ring.lines, ring.current: other}
    ring.write("payments-svc", lines=changed)
    wait_until(lambda: faulty(world), "another key under the name of the current one was refused")
    ring.write(OTHER, lines=changed)
    assert f"the key {ring.current} of the ring is another one than the key of that name that is in use" in refused_start(world)
    # Also of a key of which hashes alone are compared.
    ring.write(OTHER, lines={**ring.lines, "k1": "mac " + "0" * 64})
    assert "the key k1 of the ring is another one" in refused_start(world)
    ring.write(OTHER)
    world.daemon(OTHER).start()
    ring.everywhere(signaled=False)
    # A name that was never used may be given to another key, when no instance has the first one.
    first, second = {**ring.lines, "k8": secrets.token_hex(32)}, {**ring.lines, "k8": other}
    ring.write("payments-svc", lines=first)
    wait_until(lambda: any(key.key_id == "k8" and key.opens for key in ring.look().keys), "k8 is known")
    ring.write(OTHER, lines=second)
    world.daemon(OTHER).signal(signal.SIGHUP)
    wait_until(lambda: faulty(world, OTHER), "k8 of the other file is another key")
    ring.write("payments-svc")
    wait_until(lambda: not faulty(world, OTHER), "the other one's k8 is taken up when the first one is gone")
    ring.everywhere()


def test_a_ring_is_compared_with_what_an_older_version_has_sealed(ring):
    """Rows of an older version have no check value."""
    world = ring.world
    Payer(world).merchant(deposit=1_000).recipient()
    ring.write(OTHER, lines={**ring.lines, ring.current: secrets.token_hex(32)})
    world.payments.kill()  # it would write the value down again
    world.daemon(OTHER).kill()
    world.payments_rows("UPDATE data_key SET check_value = NULL")
    wait_until(lambda: not world.payments_rows("SELECT 1 FROM key_instance WHERE seen_at > now() - interval '1500 ms'"), "nobody runs")
    assert f"the key {ring.current} of the ring is another one than the key of that name that has sealed values" in refused_start(world)
    assert world.payments_rows("SELECT count(*) FROM data_key WHERE check_value IS NOT NULL") == [["0"]]
    ring.write(OTHER)
    world.daemon(OTHER).start()
    world.payments.start()
    ring.everywhere()
    assert world.payments_rows(f"SELECT count(*) FROM data_key WHERE check_value IS NULL AND key_id = '{ring.current}'") == [["0"]]


def rotate(ring):
    messages, _ = stubs.modules("payments/v1/key_service")
    stub = ring.world.stub("payments/v1/key_service", "KeyService", "payments-svc")
    return stub.RotateKeys(messages.RotateKeysRequest(person="grace"), timeout=20).rotation


def ended(ring):
    return ring.look().rotation.HasField("ended_time")


def test_a_rotation_waits_for_what_is_not_written_yet(ring):
    """A value may be sealed under the old key, and be committed when a walk has long passed its row."""
    world = ring.world
    ring.add("k4")
    before = ring.current
    ring.make_current("k4")
    world.payments_rows(f"UPDATE data_key SET sealing_at = now() + interval '1 hour' WHERE key_id = '{before}'")
    rotate(ring)
    rotation = ring.look().rotation
    assert rotation.HasField("waits_until_time") and not rotation.walked_count
    assert Payctl(world, None).run("keys")[1].count("waits until") == 1
    world.payments_rows(f"UPDATE data_key SET sealing_at = now() - interval '1 hour' WHERE key_id = '{before}'")
    wait_until(lambda: ended(ring), "it goes on")
    assert not under(world, before) and not ring.key(before).seals_values


def test_a_key_stays_in_use_that_an_instance_sealed_with_that_is_gone(ring, tmp_path):
    """It sealed behind the place of the walk, and left before the walk's end."""
    world = ring.world
    before = ring.current
    ring.add("k5")
    ring.make_current("k5")
    world.payments.kill()
    plan = Plan(tmp_path, "keys.batch.committed", action="stop")
    world.payments.start(env=plan.env)
    ring.look()
    world.daemon(OTHER).pause()  # the first one walks
    try:
        rotate(ring)
    except grpc.RpcError:
        pass  # it may stand still before its answer is out
    wait_until(lambda: plan.hit() and stopped(world.payments), "the walk stands behind its first batch")
    world.daemon(OTHER).resume()
    ring.write(OTHER, current=before)
    world.daemon(OTHER).signal(signal.SIGHUP)
    wait_until(lambda: world.payments_rows(f"SELECT 1 FROM key_instance WHERE current = '{before}'"), "the other seals with the old key")
    Payer(world, OTHER).merchant(deposit=1_000).recipient()
    assert under(world, before)
    world.daemon(OTHER).stop()
    # The walk has passed all recipients, of whichever book.
    world.payments_rows("UPDATE key_rotation SET target = 3, at_book = -1, at1 = '', at2 = '', at3 = '' WHERE state = 1")
    world.payments.resume()
    wait_until(lambda: ended(ring), "the walk is at its end")
    assert under(world, before) and ring.key(before).seals_values
    ring.write(OTHER)
    world.daemon(OTHER).start()
    ring.everywhere()


def test_a_key_seals_only_when_all_instances_know_it(ring):
    world = ring.world
    more = {**ring.lines, "k3": secrets.token_hex(32)}
    ring.write("payments-svc", lines=more, current="k3")
    wait_until(lambda: world.metric("payments-svc", "data_keys_faulty") == 1, "k3, which the other does not know, was refused")
    assert ring.key(ring.current).current and not under(world, "k3")
    messages, _ = stubs.modules("payments/v1/key_service")
    ring.lines = more
    ring.everywhere()
    ring.write("payments-svc", current="k3")
    wait_until(lambda: ring.key("k3").current, "one instance seals with k3")
    refusal = rpc.refused(world.stub("payments/v1/key_service", "KeyService", OTHER).RotateKeys, messages.RotateKeysRequest(person="grace"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "KEYS_DIFFER")
    ring.make_current("k3")


@pytest.mark.parametrize("point", ["keys.batch.resealed", "keys.batch.committed"])
def test_a_walk_goes_on_where_a_killed_instance_left_it(ring, tmp_path, point):
    world = ring.world
    name = f"k{len(ring.lines) + 10}"
    before = ring.current
    merchant = Payer(world).merchant(deposit=100_000)
    merchant.recipient()
    ring.add(name)
    ring.make_current(name)
    assert under(world, before)
    world.daemon(OTHER).stop()
    world.payments.kill()
    plan = Plan(tmp_path, point, nth=2)
    world.payments.start(env=plan.env)
    messages, _ = stubs.modules("payments/v1/key_service")
    ring.look()  # the connection is one to the new process
    try:
        world.stub("payments/v1/key_service", "KeyService", "payments-svc").RotateKeys(messages.RotateKeysRequest(person="grace"), timeout=20)
    except grpc.RpcError:
        pass  # the answer may be lost with the instance
    wait_until_killed(world.payments, plan, f"it dies at {point}")
    world.daemon(OTHER).start()
    wait_until(lambda: ring_of_other(ring).rotation.HasField("ended_time"), "the other instance has gone on with it")
    rotation = ring_of_other(ring).rotation
    assert rotation.key_id == name and rotation.unreadable_count == 0
    assert not under(world, before)
    world.payments.start()
    wait_until(lambda: len(ring.look().instances) == 2, "the dead instance is forgotten")


def reseal(world, row, head, fresh):
    """The recipient's name is sealed anew by the service's role, as whoever has taken the service over would try: how many rows."""
    book, recipient, _ = row
    sql = (f"SELECT keys_reseal('recipient name', {book}, ARRAY['{recipient}'], ARRAY[''], ARRAY[''], ARRAY[{head}]::bytea[], "
           f"ARRAY[{fresh}]::bytea[])")
    return int(world.cluster.psql(world.stack.databases[1], sql, role="payments_service").strip())


def test_APPEND_ONLY_what_is_sealed_changes_only_with_its_key(ring):
    """The service's role writes over nothing: a function of the owner puts an envelope of a rotation's key in the place of an older one."""
    world = ring.world
    Payer(world).merchant(deposit=1_000).recipient()
    for table, columns in (*SEALED.items(), ("idempotency", ("response",)), ("inbox_version", ("content_sealed",))):
        for column in columns if table != "idempotency" else ("response",):
            with pytest.raises(RunError, match="permission denied"):
                world.cluster.psql(world.stack.databases[1], f"UPDATE {table} SET {column} = {column}", role="payments_service")
    row, = world.payments_rows("SELECT book_id, recipient_id, encode(name_sealed, 'hex') FROM recipient ORDER BY recipient_id DESC LIMIT 1")
    sealed = bytes.fromhex(row[2])
    n = 2 + sealed[1] + 12
    head, other = f"'\\x{sealed[:n].hex()}'", b"\x01\x04evil" + secrets.token_bytes(12 + len(sealed) - n)
    fresh = f"'\\x{other.hex()}'"
    with pytest.raises(RunError, match="no rotation goes on"):
        reseal(world, row, head, fresh)
    # Of a key that no instance has: nobody walks.
    world.payments_rows("INSERT INTO key_rotation SELECT 0, gen_random_uuid(), 'evil', 1, 'x', now(), NULL, 0, -1, '', '', '', 0, 0, 0, NULL")
    try:
        for bad_head, bad_fresh in ((head, "NULL"), (head, "''"), (head, f"'\\x{sealed.hex()}'"), (head, "'\\x01046576696c'"), ("''", fresh),
                                    ("NULL", fresh), ("'\\x01'", fresh), (fresh, fresh)):
            with pytest.raises(RunError, match="an envelope is not under the key of the rotation|index -?[0-9]+ out of valid range"):
                reseal(world, row, bad_head, bad_fresh)
        for resized in (other[:-1], other + b"x"):
            assert reseal(world, row, head, f"'\\x{resized.hex()}'") == 0
        assert reseal(world, row, head.replace(head[-6:], "00000'"), fresh) == 0  # another nonce than that of the row
        assert reseal(world, row, head, fresh) == 1 and reseal(world, row, head, fresh) == 0
        again = f"'\\x{other[:18].hex()}'"
        with pytest.raises(RunError, match="an envelope is not under the key of the rotation"):
            reseal(world, row, again, fresh)
    finally:
        world.payments_rows(f"UPDATE recipient SET name_sealed = '\\x{row[2]}' WHERE recipient_id = '{row[1]}'; "
                            "DELETE FROM key_rotation WHERE key_id = 'evil'")


def ring_of_other(ring):
    return ring.look(OTHER)
