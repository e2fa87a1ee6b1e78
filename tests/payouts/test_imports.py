"""ImportService: a payout file that the server pays by itself. Each row is paid once, whoever dies, and nothing of a file with faults is."""

import csv
import hashlib
import io
import os
import signal

import grpc
import pytest
from support import mix, rpc, stubs
from support.crash import Plan, stopped, wait_until_killed
from support.payctl import COLUMNS, DONE, REFUSED, SERVICE, USAGE, Payctl, row
from support.paying import FAILED, SETTLED, Payer, assert_bank_agrees, unique
from support.waiting import wait_until

from run.certs import DOMAIN
from run.config import entry

PROTO = "payments/v1/import_service"
UPLOADING, VALIDATING, VALID, INVALID, RUNNING, FINISHED, CANCELED = range(1, 8)
OTHER = "payments-svc.2"
PART_MIN, PART_MAX = 64 << 10, 1 << 20
SETTINGS = {**mix.SETTINGS, "payments-svc": {**mix.SETTINGS["payments-svc"], "import.lease_ms": 1000, "import.poll_ms": 50}}


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


def table(rows, columns=None) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns or COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def rows_of(merchant, n, **change):
    return [row(merchant.id, unique("ref"), amount=f"{i + 1}.00", recipient_name=f"Ann Example {unique('n')}", **change) for i in range(n)]


class Importer:
    """A careful client of one merchant's imports: it repeats what it must."""

    def __init__(self, merchant):
        self.merchant, self.pb = merchant, stubs.modules(PROTO)[0]

    def call(self, method, import_id=None, **fields):
        payer = self.merchant.payer
        if import_id is not None:
            fields["import_id"] = import_id
        request = getattr(self.pb, f"{method}Request")(merchant_id=self.merchant.id, **fields)
        return rpc.persist(lambda: getattr(payer.world.stub(PROTO, "ImportService", payer.service, payer.identity), method), request)

    def refused(self, method, import_id=None, **fields):
        try:
            answer = self.call(method, import_id, **fields)
        except grpc.RpcError as error:
            failed = rpc.failure(error)
            return failed.code.name, failed.reason
        raise AssertionError(f"it should have been refused, and answered {answer}")

    def create(self, content: bytes, key=None, name="payouts.csv"):
        self.merchant.payer.world.people.read(content.decode("utf-8", "replace"))
        return getattr(self.call("CreateImport", idempotency_key=key or unique("import"), file_name=name, size_bytes=len(content)), "import")

    def get(self, import_id):
        return getattr(self.call("GetImport", import_id), "import")

    def upload(self, import_id, content: bytes, part=PART_MAX):
        for at in range(0, len(content), part):
            self.call("UploadImport", import_id, offset=at, data=content[at:at + part])
        self.call("FinishImport", import_id, sha256=hashlib.sha256(content).hexdigest())

    def wait_for(self, import_id, *states, timeout_s=30):
        def there():
            found = self.get(import_id)
            return found if found.state in states else None
        return wait_until(there, f"the import is in {states}", timeout_s)

    def checked(self, content: bytes):
        made = self.create(content)
        self.upload(made.import_id, content)
        return self.wait_for(made.import_id, VALID, INVALID)

    def paid(self, content: bytes):
        made = self.checked(content)
        assert made.state == VALID, self.faults(made.import_id)
        self.call("StartImport", made.import_id)
        return self.wait_for(made.import_id, FINISHED)

    def _pages(self, method, what, import_id, **fields):
        found, token = [], ""
        while True:
            answer = self.call(method, import_id, page_token=token, **{"page_size": 1000, **fields})
            found += getattr(answer, what)
            token = answer.next_page_token
            if not token:
                return found

    def faults(self, import_id, **fields):
        return [(fault.line, fault.field, fault.reason) for fault in self._pages("ListImportFaults", "faults", import_id, **fields)]

    def results(self, import_id, **fields):
        return self._pages("ListImportResults", "results", import_id, **fields)


def assert_paid_once(merchant, rows, results):
    """A payout for each row, and none beside; each is at the bank once."""
    assert [result.reference for result in results] == [line["reference"] for line in rows]
    assert all(result.payout_id and not result.reason for result in results), results
    final = merchant.wait_for([result.payout_id for result in results], {SETTLED})
    assert len(merchant.payouts()) == len(rows)
    for result, line in zip(results, rows):
        payout = final[result.payout_id]
        assert (payout.external_reference, payout.amount_minor) == (line["reference"], round(float(line["amount"]) * 100))
    assert_bank_agrees(merchant.payer, list(final.values()))


def assert_no_file_is_kept(world, import_id):
    assert world.payments_rows(f"SELECT count(*) FROM import_part WHERE import_id = '{import_id}'") == [["0"]]


def test_a_file_is_checked_and_paid(payer):
    merchant = payer.merchant(deposit=10_000_000)
    importer, rows = Importer(merchant), rows_of(merchant, 5) + rows_of(merchant, 2, rail="ach")
    content = table(rows)
    made = importer.create(content)
    assert (made.state, made.size_bytes, made.received_bytes) == (UPLOADING, len(content), 0)
    importer.upload(made.import_id, content)
    valid = importer.wait_for(made.import_id, VALID, INVALID)
    assert (valid.state, valid.row_count, valid.fault_count, valid.handed_count) == (VALID, 7, 0, 0)
    assert merchant.payouts() == [], "a check pays nothing"
    importer.call("StartImport", made.import_id, person="ada")
    done = importer.wait_for(made.import_id, FINISHED)
    assert (done.handed_count, done.accepted_count, done.refused_count) == (7, 7, 0)
    assert done.started_by.endswith(" for ada") and done.actor and done.sha256 == hashlib.sha256(content).hexdigest()
    results = importer.results(made.import_id)
    assert [result.line for result in results] == list(range(2, 9))
    assert_paid_once(merchant, rows, results)
    assert importer.results(made.import_id, page_size=2) == results
    assert importer.results(made.import_id, refused_only=True) == []
    assert [found.import_id for found in importer.call("ListImports").imports] == [made.import_id]
    assert_no_file_is_kept(payer.world, made.import_id)


def test_rows_that_are_refused_do_not_hold_up_the_others(payer):
    """What only changes after the check: the reference was used for another payout meanwhile."""
    merchant = payer.merchant(deposit=10_000_000)
    importer, rows = Importer(merchant), rows_of(merchant, 4)
    content = table(rows)
    made = importer.checked(content)
    merchant.pay(999, idempotency_key=rows[2]["reference"])
    importer.call("StartImport", made.import_id)
    done = importer.wait_for(made.import_id, FINISHED)
    assert (done.accepted_count, done.refused_count) == (3, 1)
    refused = importer.results(made.import_id, refused_only=True)
    assert [(x.line, x.reference, x.reason, x.payout_id) for x in refused] == [(4, rows[2]["reference"], "IDEMPOTENCY_KEY_REUSED", "")]
    assert len(merchant.payouts()) == 4
    merchant.wait_for([payout.payout_id for payout in merchant.payouts()])


def test_without_funds_rows_are_taken_and_fail(payer):
    merchant = payer.merchant()
    importer, rows = Importer(merchant), rows_of(merchant, 2)
    done = importer.paid(table(rows))
    assert done.accepted_count == 2
    final = merchant.wait_for([result.payout_id for result in importer.results(done.import_id)], {FAILED})
    assert {payout.reason for payout in final.values()} == {"INSUFFICIENT_FUNDS"}


def changed(index, **change):
    return lambda rows: [{**line, **change} if i == index else line for i, line in enumerate(rows)]


# What is wrong, and how it is told: (line, column, reason). The same as `payctl pay --check` says.
HOSTILE = {
    "amount zero": (lambda rows: table(changed(0, amount="0")(rows)), [(2, "amount", "AMOUNT_NOT_POSITIVE")]),
    "amount with thousands": (lambda rows: table(rows).replace(b",1.00,", b",1,000.00,", 1), [(2, "", "CELL_COUNT")]),
    "NUL in the account": (lambda rows: table(changed(1, account_number="1234")(rows)).replace(b"1234,", b"12\x0034,"),
                           [(3, "account_number", "CONTROL_CHARACTER")]),
    "latin1": (lambda rows: table(changed(1, recipient_name="Zoe")(rows)).replace(b"Zoe", b"Zo\xeb"),
               [(3, "recipient_name", "INVALID_UTF8")]),
    "check digit": (lambda rows: table(changed(2, routing_code="021000022")(rows)), [(4, "routing_code", "ROUTING_NUMBER_INVALID")]),
    "above the limit of the rail": (lambda rows: table(changed(0, amount="100000000000.00", rail="ach")(rows)),
                                    [(2, "amount", "AMOUNT_TOO_LARGE")]),
    "currency of another merchant": (lambda rows: table(changed(0, currency="INR", routing_code="HDFC0001234")(rows)),
                                     [(2, "currency", "CURRENCY_NOT_HELD")]),
    "unknown connection": (lambda rows: table(changed(0, connection="nowhere")([{**x, "connection": ""} for x in rows]),
                                              [*COLUMNS, "connection"]), [(2, "connection", "CONNECTION_NOT_AVAILABLE")]),
    "a reference twice": (lambda rows: table([rows[0], rows[1], {**rows[2], "reference": rows[0]["reference"]}]),
                          [(4, "reference", "REFERENCE_REPEATED")]),
    "a column twice": (lambda rows: table(rows).replace(b"recipient_name", b"amount", 1), [(0, "amount", "COLUMN_REPEATED")]),
    "no such column": (lambda rows: table(rows).replace(b"recipient_name", b"name", 1), [(0, "header", "COLUMN_UNKNOWN")]),
    "a column is missing": (lambda rows: table(rows, [x for x in COLUMNS if x != "amount"]), [(0, "amount", "COLUMN_MISSING")]),
    "semicolons": (lambda rows: table(rows).replace(b",", b";"), [(0, "", "SEPARATOR_UNKNOWN")]),
    "carriage returns": (lambda rows: table(rows).replace(b"\n", b"\r"), [(0, "", "LINE_ENDS_CR")]),
    "UTF-16": (lambda rows: table(rows).decode().encode("utf-16"), [(0, "", "FILE_UTF16")]),
    "a workbook": (lambda rows: b"PK\x03\x04" + bytes(500), [(0, "", "FILE_NOT_CSV")]),
    "a quote out of place": (lambda rows: table(rows).replace(b"individual", b'indi"vidual', 1), [(0, "", "CSV_INVALID")]),
    "no rows": (lambda rows: table([]), [(0, "", "FILE_EMPTY")]),
}


@pytest.fixture(scope="module")
def shop(payer):
    return payer.merchant(deposit=10_000_000)


@pytest.mark.parametrize("name", HOSTILE)
def test_faults_are_those_of_payctl_pay(payer, shop, name, tmp_path):
    importer = Importer(shop)
    spoil, wanted = HOSTILE[name]
    content = spoil(rows_of(shop, 3))
    made = importer.checked(content)
    assert (made.state, importer.faults(made.import_id)) == (INVALID, wanted)
    assert made.fault_count == len(wanted)
    path = tmp_path / "payouts.csv"
    path.write_bytes(content)
    code, told, _ = Payctl(payer.world, tmp_path).json("pay", "--check", str(path))
    assert code == USAGE
    assert [(bad["line"], bad["field"], bad["reason"]) for bad in told["bad"]] == wanted, "payctl pay finds the same"
    assert importer.refused("StartImport", made.import_id) == ("FAILED_PRECONDITION", "IMPORT_NOT_VALID")
    assert_no_file_is_kept(payer.world, made.import_id)
    assert shop.payouts() == []


@pytest.mark.parametrize("dress", [lambda x: b"\xef\xbb\xbf" + x.replace(b"\n", b"\r\n"), lambda x: x + b",,,,,,,,,,\n\n"],
                         ids=["bom and crlf", "empty rows at the end"])
def test_files_of_spreadsheets_are_fine(payer, dress):
    merchant = payer.merchant(deposit=1_000_000)
    importer, rows = Importer(merchant), rows_of(merchant, 2)
    done = importer.paid(dress(table(rows)))
    assert_paid_once(merchant, rows, importer.results(done.import_id))


def test_rows_of_another_merchant_are_faults(payer, shop):
    importer = Importer(shop)
    other = payer.merchant()
    made = importer.checked(table([*rows_of(shop, 1), *rows_of(other, 1)]))
    assert (made.state, importer.faults(made.import_id)) == (INVALID, [(3, "merchant_id", "MERCHANT_DIFFERS")])


def test_an_account_number_in_a_wrong_column_is_not_shown(payer, shop):
    importer = Importer(shop)
    made = importer.checked(table(changed(0, amount="445566778899x")(rows_of(shop, 1))))
    faults = importer.call("ListImportFaults", made.import_id).faults
    assert [fault.reason for fault in faults] == ["AMOUNT_INVALID"] and "445566778899" not in str(faults)


def test_many_faults_are_counted_and_the_first_thousand_kept(payer, shop):
    importer = Importer(shop)
    made = importer.checked(table([{**x, "amount": "x"} for x in rows_of(shop, 1100)]))
    assert (made.state, made.fault_count) == (INVALID, 1100)
    assert importer.faults(made.import_id, page_size=300) == [(line, "amount", "AMOUNT_INVALID") for line in range(2, 1002)]


# --- the upload ---------------------------------------------------------------------------------------------------------


def test_an_upload_goes_on_where_it_broke_off(payer):
    merchant = payer.merchant(deposit=100_000_000)
    importer, rows = Importer(merchant), rows_of(merchant, 2000)
    content, key = table(rows), unique("import")
    assert len(content) > 3 * PART_MIN
    made = importer.create(content, key)
    importer.call("UploadImport", made.import_id, offset=0, data=content[:PART_MIN])
    assert importer.create(content, key).received_bytes == PART_MIN, "the same key finds it again"
    # Neither a gap, nor an overlap, nor a crumb.
    assert importer.refused("UploadImport", made.import_id, offset=PART_MIN + 1, data=content[PART_MIN + 1:2 * PART_MIN + 1]) == (
        "FAILED_PRECONDITION", "UPLOAD_OFFSET")
    assert importer.refused("UploadImport", made.import_id, offset=1, data=content[1:PART_MIN + 2]) == (
        "FAILED_PRECONDITION", "UPLOAD_OFFSET")
    assert importer.refused("UploadImport", made.import_id, offset=PART_MIN, data=b"x") == ("INVALID_ARGUMENT", "PART_SIZE_INVALID")
    assert importer.refused("UploadImport", made.import_id, offset=PART_MIN, data=b"") == ("INVALID_ARGUMENT", "PART_SIZE_INVALID")
    assert importer.refused("UploadImport", made.import_id, offset=-1, data=b"x") == ("INVALID_ARGUMENT", "PART_SIZE_INVALID")
    assert importer.refused("UploadImport", made.import_id, offset=PART_MIN, data=bytes(PART_MAX + 1)) == (
        "INVALID_ARGUMENT", "PART_SIZE_INVALID")
    assert importer.refused("FinishImport", made.import_id, sha256="0" * 64) == ("FAILED_PRECONDITION", "UPLOAD_INCOMPLETE")
    assert importer.refused("StartImport", made.import_id) == ("FAILED_PRECONDITION", "IMPORT_NOT_VALID")
    importer.upload(made.import_id, content, PART_MIN)  # from the beginning: what is there is taken as a repeat
    importer.call("FinishImport", made.import_id, sha256=hashlib.sha256(content).hexdigest())
    assert importer.refused("FinishImport", made.import_id, sha256="0" * 64) == ("FAILED_PRECONDITION", "IMPORT_NOT_UPLOADING")
    importer.wait_for(made.import_id, VALID)
    importer.call("StartImport", made.import_id)
    importer.call("StartImport", made.import_id)
    done = importer.wait_for(made.import_id, FINISHED)
    assert (done.row_count, done.accepted_count) == (2000, 2000)
    assert len(merchant.payouts()) == 2000
    assert len({result.payout_id for result in importer.results(made.import_id)}) == 2000


def test_bytes_are_sealed_and_held_against_their_sum(payer, shop):
    importer = Importer(shop)
    content = table(rows_of(shop, 3))
    made = importer.create(content)
    importer.call("UploadImport", made.import_id, offset=0, data=content)
    kept = payer.world.payments_rows(f"SELECT encode(sealed, 'hex') FROM import_part WHERE import_id = '{made.import_id}'")
    assert len(kept) == 1
    for secret in (b"445566778899", b"Ann Example"):
        assert secret in content and secret not in bytes.fromhex(kept[0][0])
    importer.call("FinishImport", made.import_id, sha256=hashlib.sha256(b"another file").hexdigest())
    assert importer.wait_for(made.import_id, VALID, INVALID).state == INVALID
    assert importer.faults(made.import_id) == [(0, "", "SHA256_MISMATCH")]


@pytest.mark.parametrize("fields, reason", [
    ({"size_bytes": 0}, "FILE_TOO_LARGE"), ({"size_bytes": -1}, "FILE_TOO_LARGE"), ({"size_bytes": 1 << 40}, "FILE_TOO_LARGE"),
    ({"file_name": ""}, "FIELD_MISSING"), ({"file_name": "x" * 256}, "FIELD_TOO_LONG"), ({"file_name": "a\nb"}, "FIELD_INVALID"),
    ({"idempotency_key": ""}, "IDEMPOTENCY_KEY_MISSING"), ({"idempotency_key": "x" * 129}, "FIELD_TOO_LONG"),
])
def test_a_creation_that_cannot_be(shop, fields, reason):
    asked = {"idempotency_key": unique("k"), "file_name": "f", "size_bytes": 10, **fields}
    assert Importer(shop).refused("CreateImport", **asked) == ("INVALID_ARGUMENT", reason)


def test_a_key_stands_for_one_import_and_a_merchant_sees_its_own(payer, shop):
    importer, stranger = Importer(shop), Importer(payer.merchant())
    key = unique("import")
    made = importer.create(b"x" * 10, key)
    assert importer.create(b"x" * 10, key).import_id == made.import_id
    assert importer.refused("CreateImport", idempotency_key=key, file_name="other.csv", size_bytes=10) == (
        "ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED")
    for method in ("GetImport", "StartImport", "CancelImport", "ListImportFaults", "ListImportResults"):
        assert stranger.refused(method, made.import_id) == ("NOT_FOUND", "IMPORT_NOT_FOUND")
    assert stranger.refused("UploadImport", made.import_id, offset=0, data=b"x" * 10) == ("NOT_FOUND", "IMPORT_NOT_FOUND")
    importer.call("CancelImport", made.import_id)
    assert importer.get(made.import_id).state == CANCELED
    importer.call("CancelImport", made.import_id)
    assert importer.refused("UploadImport", made.import_id, offset=0, data=b"x" * 10) == ("FAILED_PRECONDITION", "IMPORT_NOT_UPLOADING")


def test_a_key_is_kept_as_a_keyed_hash_and_older_rows_are_known(shop):
    importer, key = Importer(shop), unique("import")
    made = importer.create(b"x" * 10, key)
    of_it = f"WHERE import_id = '{made.import_id}'"
    rows = shop.payer.world.payments_rows
    ((kept,),) = rows(f"SELECT encode(request_hash, 'hex') FROM payment_import {of_it}")
    version, key_id_len = bytes.fromhex(kept)[:2]
    assert version == 1 and len(bytes.fromhex(kept)) == 2 + key_id_len + 32
    rows(f"UPDATE payment_import SET request_hash = NULL {of_it}")
    assert importer.create(b"x" * 10, key).import_id == made.import_id
    for other in ({"file_name": "other.csv", "size_bytes": 10}, {"file_name": "payouts.csv", "size_bytes": 11}):
        assert importer.refused("CreateImport", idempotency_key=key, **other) == ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED")
    importer.call("CancelImport", made.import_id)


def test_DEFINITE_ERRORS_a_known_key_is_answered_before_a_limit_is_looked_at(new_world):
    world = new_world()
    importer, key = Importer(Payer(world).merchant()), unique("import")
    made = importer.create(b"x" * 5000, key)
    world.payments.stop()
    world.stack.settings["payments-svc"].update({"import.bytes_max": 4096})
    world.stack.configure()
    world.payments.start()
    assert importer.create(b"x" * 5000, key).import_id == made.import_id
    assert importer.refused("CreateImport", idempotency_key=unique("k"), file_name="f", size_bytes=5000) == ("INVALID_ARGUMENT", "FILE_TOO_LARGE")
    assert importer.refused("CreateImport", idempotency_key=key, file_name="f", size_bytes=1 << 40) == ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED")


def test_limits_and_imports_that_nobody_goes_on_with(new_world):
    world = new_world({"payments-svc": {"import.open_max": 2, "import.rows_max": 3, "import.bytes_max": 5000, "import.idle_s": 1,
                                        "import.poll_ms": 50}})
    merchant = Payer(world).merchant()
    importer = Importer(merchant)
    assert importer.refused("CreateImport", idempotency_key="k", file_name="f", size_bytes=5001) == ("INVALID_ARGUMENT", "FILE_TOO_LARGE")
    made = importer.checked(table(rows_of(merchant, 4)))
    assert (made.state, importer.faults(made.import_id)) == (INVALID, [(0, "", "FILE_TOO_LARGE")])
    first = importer.create(b"x" * 10)
    importer.create(b"x" * 10)
    with pytest.raises(grpc.RpcError) as failed:
        payer = merchant.payer
        payer.world.stub(PROTO, "ImportService", payer.service, payer.identity).CreateImport(importer.pb.CreateImportRequest(
            merchant_id=merchant.id, idempotency_key="third", file_name="f", size_bytes=10), timeout=10)
    assert rpc.failure(failed.value).reason == "TOO_MANY_IMPORTS"
    importer.wait_for(first.import_id, CANCELED)
    importer.create(b"x" * 10)


# --- the ends of processes --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(servers):
    """A world whose second payments-svc is configured, and not running."""
    world = servers.world(SETTINGS)
    try:
        world.up()
        world.stack.add_instance("payments-svc", OTHER, {"instant.webhook_port": 0})
        yield world
        world.stop_and_check()
    finally:
        world.remove()


POINTS = ["import.claimed", "import.checked", "import.judged", "import.recipients.entered", "import.payouts.taken",
          "import.results.copied", "import.results.written", "intake.replied"]
LARGE = 2500  # rows: three batches


def began(importer, content):
    """Uploads and starts, whoever dies meanwhile; a careful client repeats."""
    made = importer.create(content)
    importer.upload(made.import_id, content)
    importer.wait_for(made.import_id, VALID)
    importer.call("StartImport", made.import_id)
    return made.import_id


@pytest.mark.parametrize("point, nth", [*((point, 1) for point in POINTS), ("import.payouts.taken", 2), ("import.results.copied", 3)])
def test_NO_DOUBLE_killed_and_gone_on_by_another_instance(pair, tmp_path, point, nth):
    world = pair
    merchant = Payer(world).merchant(deposit=10_000_000)
    rows = rows_of(merchant, LARGE)
    content = table([{**line, "amount": "1.00"} for line in rows])
    world.payments.kill()
    plan = Plan(tmp_path, point, nth=nth)
    world.payments.start(env=plan.env)
    importer = Importer(merchant)
    made = importer.create(content)
    importer.upload(made.import_id, content)
    if not plan.hit():
        wait_until(lambda: plan.hit() or importer_state(world, made.import_id) != VALIDATING, "it is checked, or dead")
    if not plan.hit():
        start(importer, made.import_id, plan)
        wait_until(lambda: plan.hit() or importer_state(world, made.import_id) == FINISHED, f"the first instance dies at {point}")
    assert plan.hit()
    world.daemon(OTHER).start()
    merchant.payer = Payer(world, OTHER)
    importer.wait_for(made.import_id, VALID, RUNNING, FINISHED)
    importer.call("StartImport", made.import_id)
    done = importer.wait_for(made.import_id, FINISHED)
    assert (done.handed_count, done.accepted_count, done.refused_count) == (LARGE, LARGE, 0)
    results = importer.results(made.import_id)
    assert [result.reference for result in results] == [line["reference"] for line in rows]
    assert len({result.payout_id for result in results}) == LARGE
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant.id}'") == [[str(LARGE)]]
    assert world.payments_rows(f"SELECT count(*) FROM recipient WHERE merchant_id = '{merchant.id}'") == [[str(LARGE)]]
    assert_no_file_is_kept(world, made.import_id)
    world.daemon(OTHER).kill()
    restart(world)


def test_an_import_ends_when_whoever_started_it_loses_the_right(pair, tmp_path):
    world = pair
    world.stack.authority.ensure_leaf("shop")
    merchant = Payer(world).merchant(deposit=10_000_000)
    world.set_policy(entry("identity", f"{DOMAIN}/shop", roles="payer", merchants=merchant.id))
    world.payments.kill()
    plan = Plan(tmp_path, "import.results.written", nth=1)
    world.payments.start(env=plan.env)
    importer = Importer(merchant)
    rows = rows_of(merchant, LARGE)
    content = table([{**line, "amount": "1.00"} for line in rows])
    made = importer.create(content)
    importer.upload(made.import_id, content)
    importer.wait_for(made.import_id, VALID)
    merchant.payer = Payer(world, identity="shop")
    start(importer, made.import_id, plan)
    wait_until_killed(world.payments, plan, "the instance dies after the first rows")
    world.stack.more_policy = ""
    world.stack.write_policy()
    world.payments.start()
    merchant.payer = Payer(world)
    ended = importer.wait_for(made.import_id, CANCELED)
    assert 0 < ended.handed_count < LARGE and ended.started_by == f"{DOMAIN}/shop"
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant.id}'") == [[str(ended.accepted_count)]]
    assert importer.faults(made.import_id) == [(0, "", "RIGHT_WITHDRAWN")]
    assert_no_file_is_kept(world, made.import_id)


def importer_state(world, import_id):
    return int(world.payments_rows(f"SELECT state FROM payment_import WHERE import_id = '{import_id}'")[0][0])


def start(importer, import_id, plan):
    """Its answer may be lost with the process."""
    payer = importer.merchant.payer
    try:
        payer.world.stub(PROTO, "ImportService", payer.service, payer.identity).StartImport(
            importer.pb.StartImportRequest(merchant_id=importer.merchant.id, import_id=import_id), timeout=10)
    except grpc.RpcError:
        assert plan.hit()


def restart(world):
    world.payments.kill()
    world.payments.start()


def test_FENCED_an_instance_that_was_stopped_records_nothing_twice(pair, tmp_path):
    """It stands still with a batch that was taken in; another instance goes on; continued, it finds out that it has lost the import."""
    world = pair
    merchant = Payer(world).merchant(deposit=10_000_000)
    rows = rows_of(merchant, 1500)
    content = table([{**line, "amount": "1.00"} for line in rows])
    world.payments.kill()
    plan = Plan(tmp_path, "import.payouts.taken", action="stop")
    world.payments.start(env=plan.env)
    importer = Importer(merchant)
    import_id = began(importer, content)
    wait_until(lambda: plan.hit() and stopped(world.payments), "the first instance stands still")
    world.daemon(OTHER).start()
    merchant.payer = Payer(world, OTHER)
    done = importer.wait_for(import_id, FINISHED)
    world.payments.resume()
    assert (done.handed_count, done.accepted_count) == (1500, 1500)
    before = importer.results(import_id)
    merchant.payer = Payer(world)
    assert importer.results(import_id) == before and importer.get(import_id) == done
    assert len({result.payout_id for result in before}) == 1500
    world.daemon(OTHER).kill()


def test_a_stop_leaves_the_import_to_another_instance_at_once(new_world, tmp_path):
    """Not when its lease is over: that would be in a minute."""
    world = new_world({**SETTINGS, "payments-svc": {**SETTINGS["payments-svc"], "import.lease_ms": 60_000}}, up=False)
    world.up()
    world.stack.add_instance("payments-svc", OTHER, {"instant.webhook_port": 0})
    merchant = Payer(world).merchant(deposit=10_000_000)
    content = table([{**line, "amount": "1.00"} for line in rows_of(merchant, LARGE)])
    world.payments.kill()
    plan = Plan(tmp_path, "import.payouts.taken", action="stop")
    world.payments.start(env=plan.env)
    importer = Importer(merchant)
    import_id = began(importer, content)
    wait_until(lambda: plan.hit() and stopped(world.payments), "the first instance is in the middle of it")
    os.kill(world.payments.pid, signal.SIGTERM)
    world.payments.resume()
    world.daemon(OTHER).start()
    merchant.payer = Payer(world, OTHER)
    done = importer.wait_for(import_id, FINISHED)
    assert (done.handed_count, done.accepted_count) == (LARGE, LARGE)
    assert len({result.payout_id for result in importer.results(import_id)}) == LARGE
    world.daemon(OTHER).stop()


@pytest.mark.parametrize("point", ["import.payouts.taken", "import.recipients.entered"])
def test_EXPLAINED_canceled_while_its_instance_is_dead(pair, tmp_path, point):
    """What the dead instance had handed in is found, and nothing more is."""
    world = pair
    merchant = Payer(world).merchant(deposit=10_000_000)
    rows = rows_of(merchant, LARGE)
    content = table([{**line, "amount": "1.00"} for line in rows])
    world.payments.kill()
    plan = Plan(tmp_path, point, nth=2)
    world.payments.start(env=plan.env)
    importer = Importer(merchant)
    import_id = began(importer, content)
    wait_until_killed(world.payments, plan, "the first instance is dead")
    # Canceled before another one takes it up: the lease is still the dead one's.
    world.payments_rows(f"UPDATE payment_import SET lease_ends_at = lease_ends_at + interval '1 hour' WHERE import_id = '{import_id}'")
    world.daemon(OTHER).start()
    merchant.payer = Payer(world, OTHER)
    assert getattr(importer.call("CancelImport", import_id), "import").canceling
    world.payments_rows(f"UPDATE payment_import SET lease_ends_at = now() WHERE import_id = '{import_id}'")
    ended = importer.wait_for(import_id, CANCELED)
    taken = 2000 if point == "import.payouts.taken" else 1000
    assert (ended.handed_count, ended.accepted_count, ended.refused_count) == (taken, taken, 0)
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant.id}'") == [[str(taken)]]
    assert len(importer.results(import_id)) == taken
    assert importer.refused("StartImport", import_id) == ("FAILED_PRECONDITION", "IMPORT_NOT_VALID")
    assert_no_file_is_kept(world, import_id)
    world.daemon(OTHER).kill()
    restart(world)


# --- payctl -----------------------------------------------------------------------------------------------------------------


def test_payctl_import(payer, tmp_path):
    payctl = Payctl(payer.world, tmp_path)
    merchant = payer.merchant(deposit=10_000_000)
    rows = rows_of(merchant, 3)
    path = payctl.file(rows)
    payer.world.people.read(open(path, encoding="utf-8").read())
    code, told, _ = payctl.json("import", path, "--merchant", merchant.id, "--check")
    assert (code, told["state"], told["row_count"]) == (DONE, "VALID", 3) and merchant.payouts() == []
    code, told, _ = payctl.json("import", path, "--merchant", merchant.id)
    assert (code, told["state"], told["accepted_count"], told["faults"], told["refusals"]) == (DONE, "DONE", 3, [], [])
    name = f"{merchant.id}/{told['import_id']}"
    # Again, it is the same import; by calls, the same payouts.
    assert payctl.json("import", path, "--merchant", merchant.id)[1]["import_id"] == told["import_id"]
    code, paid, _ = payctl.json("pay", path)
    assert (code, paid["accepted"], paid["accepted_earlier"]) == (DONE, 3, 3)
    assert len(merchant.payouts()) == 3
    code, listed, _ = payctl.json("imports", "--merchant", merchant.id)
    assert code == DONE and [found["import_id"] for found in listed["imports"]] == [told["import_id"]]
    code, results, _ = payctl.json("import-result", name)
    assert code == DONE and [found["reference"] for found in results["results"]] == [line["reference"] for line in rows]
    code, out, _ = payctl.run("import-result", name)
    assert code == DONE and rows[2]["reference"] in out and "DONE" in out
    assert payctl.run("imports", "--merchant", merchant.id)[1].count(merchant.id) == 1
    # After `payctl pay`, an import of the same file finds its payouts.
    again = payctl.file(rows_of(merchant, 2), name="other.csv")
    assert payctl.run("pay", again)[0] == DONE
    code, told, _ = payctl.json("import", again, "--merchant", merchant.id)
    assert (code, told["accepted_count"]) == (DONE, 2) and len(merchant.payouts()) == 5


def test_payctl_import_of_a_bad_file_and_words(payer, tmp_path):
    payctl = Payctl(payer.world, tmp_path)
    merchant = payer.merchant(deposit=10_000_000)
    path = payctl.file(changed(0, amount="0")(rows_of(merchant, 2)), name="bad.csv")
    code, out, err = payctl.run("import", path, "--merchant", merchant.id)
    assert code == USAGE and f"{path}:2: amount: must be above 0" in err and "INVALID" in out
    code, told, _ = payctl.json("import", path, "--merchant", merchant.id)
    assert code == USAGE and [(x["line"], x["field"], x["reason"]) for x in told["faults"]] == [(2, "amount", "AMOUNT_NOT_POSITIVE")]
    assert merchant.payouts() == []
    rows = rows_of(merchant, 2)
    path = payctl.file(rows, name="taken.csv")
    payer.world.people.read(open(path, encoding="utf-8").read())
    assert payctl.run("import", path, "--merchant", merchant.id, "--check")[0] == DONE
    merchant.pay(777, idempotency_key=rows[1]["reference"])
    code, _, err = payctl.run("import", path, "--merchant", merchant.id)
    assert code == REFUSED and "taken.csv:3:" in err
    other = payctl.file(rows_of(merchant, 1), name="canceled.csv")
    _, told, _ = payctl.json("import", other, "--merchant", merchant.id, "--check")
    code, told, _ = payctl.json("import", "--cancel", f"{merchant.id}/{told['import_id']}")
    assert (code, told["state"]) == (DONE, "CANCELED")
    for words in (["import"], ["import", path], ["import", "--cancel", "x"], ["imports"], ["import-result"], ["import-result", "x"]):
        assert payctl.run(*words)[0] == USAGE, words
    assert payctl.run("import", path, "--merchant", "nobody")[0] == SERVICE
    merchant.wait_for([payout.payout_id for payout in merchant.payouts()])
