"""EXPLAINED, TENANT: each call that writes leaves one row in the audit, and its name in the rows that it wrote."""

import hashlib
import uuid

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from support import permissions, stubs
from support.payctl import DONE, USAGE, Payctl
from support.paying import INSTANT, Payer, unique
from support.waiting import wait_until
from test_cases import Cases
from test_imports import FINISHED, VALID, Importer, rows_of, table

from run.certs import DOMAIN

# What neither changes anything nor may be called by an auditor.
ONLY_LOOKS = {"PayoutService.ValidatePayouts"}
# A repeat is a second order to do it again.
NEVER_A_REPEAT = {"InboxService.ApplyInbox"}
# A repeat begins a second one where the first has ended by then.
ENDS_BY_ITSELF = {"KeyService.RotateKeys"}
PROGRAM = f"{DOMAIN}/test"
COLUMNS = ("method", "program", "person", "stated", "merchant_id", "subject_type", "subject_id", "last_id", "subjects", "what")


def changing():
    """Auditors may read all, so what they may not call changes something."""
    table_, found = permissions.table(), permissions.methods()
    return {name for name, row in table_.items() if found[name][0] == "payments-svc" and "auditor" not in row.roles} - ONLY_LOOKS


def audited(world, request_id):
    rows = world.payments_rows(f"SELECT {', '.join(COLUMNS)} FROM audit WHERE request_id = '{request_id}' ORDER BY audit_id")
    found = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return [row for row in found if not row["method"].startswith("job/")]  # what an import pays names the request that started it


class Caller:
    """Calls each method twice, and looks at what the audit has of each call."""

    def __init__(self, world):
        self.world, self.payer, self.requests, self.called, self.wrong = world, Payer(world), {}, [], []

    def __call__(self, name, subject, /, *, what="", **fields):
        """subject: what the audit must name, as "type id", where {} is anything."""
        service, declared = permissions.methods()[name]
        request = declared.input_type._concrete_class(**fields)
        first, again = unique("request"), unique("request")
        answer = None
        for request_id in (first, again):
            packed = permissions.call(self.world.channel(service), declared, request.SerializeToString(), timeout=30,
                                      metadata=(("x-request-id", request_id),))
            answer = answer or declared.output_type._concrete_class.FromString(packed)
        self.world.people.hear(name.partition(".")[2], request, answer)
        self.called.append(name)
        self.requests[name] = first
        person = "ada" if "person" in declared.input_type.fields_by_name else ""
        rows = audited(self.world, first)
        expected = {"method": f"payments.v1.{name.replace('.', '/')}", "program": PROGRAM, "person": person,
                    "stated": "t" if person else "f", "what": what}
        if len(rows) != 1 or not expected.items() <= rows[0].items():
            self.wrong.append(f"{name}: {rows}, not one with {expected}")
        elif subject.replace("{}", rows[0]["subject_id"]) != f"{rows[0]['subject_type']} {rows[0]['subject_id']}":
            self.wrong.append(f"{name}: {rows} is not about {subject}")
        repeats = audited(self.world, again)
        allowed = {0, 1} if name in ENDS_BY_ITSELF else {1} if name in NEVER_A_REPEAT else {0}
        if len(repeats) not in allowed:
            self.wrong.append(f"{name}: a repeat left {repeats}")
        return answer


def refused_file(world):
    """An item of the inbox as a file that could not be read."""
    inbox_id = str(uuid.uuid4())
    world.payments_rows(f"INSERT INTO inbox VALUES (0, '{inbox_id}', 1, 1, '{unique('file')}', 1, sha256('{inbox_id}'), sha256('{inbox_id}'), '', "
                        "now(), now(), 3, 1, '', 0, 0, 1, 'FILE_UNREADABLE', 'not a file', 1, 1, now())")
    return inbox_id


def call_all(call):
    world, payer, person = call.world, call.payer, {"person": "ada"}
    merchant = unique("m")
    of = {"merchant_id": merchant}
    call("MerchantService.CreateMerchant", f"merchant {merchant}", name="Test Merchant", currencies=["USD"], **of)
    call("MerchantService.UpdateMerchant", f"merchant {merchant}", default_connections=["instant"], **of, **person)
    deposit = call("MerchantService.CreateDeposit", "deposit {}", idempotency_key="d", amount_minor=900_000, currency="USD", **of)
    made = payer.merchant()
    made.id = merchant
    first, second = made.new_recipient(), [made.new_recipient(), made.new_recipient()]
    to = call("RecipientService.CreateRecipient", "recipients {}", recipient=first, **of).recipient.recipient_id
    call("RecipientService.BulkCreateRecipients", "recipients {}", recipients=second, **of)
    call("ConnectionService.PauseConnection", f"merchant {merchant}", what="a test", reason="a test", **of, **person)

    def payout(key):
        return payer.pb.NewPayout(idempotency_key=key, recipient_id=to, amount_minor=100, currency="USD", rail=INSTANT)

    one = call("PayoutService.CreatePayout", "payouts {}", payout=payout("one"), **of).payout
    many = call("PayoutService.BulkCreatePayouts", "payouts {}", payouts=[payout("two"), payout("three"), payout("one")], **of)
    call("PayoutService.CancelPayout", f"payout {one.payout_id}", what="a test", payout_id=one.payout_id, reason="a test", **of, **person)
    call("ConnectionService.ResumeConnection", f"merchant {merchant}", what="a test", reason="a test", **of, **person)
    made.wait_for([result.payout.payout_id for result in many.results[:2]])
    call("MerchantService.TakeBackDeposit", f"deposit {deposit.transfer_id}", deposit_id=deposit.transfer_id, reason="a test", **of)
    call_cases(call)
    call_inbox(call, refused_file(world))
    call_imports(call, payer.merchant(deposit=10_000))
    call_keys(call)
    return merchant


def call_cases(call):
    case = Cases(call.world).insert()
    of = {"book_id": case.book_id, "case_id": case.case_id, "person": "ada"}
    subject = f"case {case.case_id}"
    call("CaseService.AssignCase", subject, what="bob", owner="bob", idempotency_key="a", **of)
    call("CaseService.CommentCase", subject, comment="a test", idempotency_key="c", **of)
    call("CaseService.ResolveCase", subject, what="DONE", resolution="DONE", comment="a test", idempotency_key="r", **of)


def call_inbox(call, inbox_id):
    of = {"inbox_id": inbox_id, "person": "ada"}
    call("InboxService.RepairInbox", f"inbox {inbox_id}", what="a test", content=b"still not a file", reason="a test", **of)
    call("InboxService.ApplyInbox", f"inbox {inbox_id}", **of)
    call("InboxService.DismissException", f"inbox {inbox_id}", what="a test", reason="a test", line=0, **of)


def call_imports(call, merchant):
    importer, content = Importer(merchant), table(rows_of(merchant, 3))
    merchant.payer.world.people.read(content.decode())
    of = {"merchant_id": merchant.id}
    key = unique("import")
    made = getattr(call("ImportService.CreateImport", "import {}", idempotency_key=key, file_name="f.csv", size_bytes=len(content), **of), "import")
    of["import_id"], subject = made.import_id, f"import {made.import_id}"
    call("ImportService.UploadImport", subject, data=content, **of)
    call("ImportService.FinishImport", subject, sha256=hashlib.sha256(content).hexdigest(), **of)
    importer.wait_for(made.import_id, VALID)
    call("ImportService.StartImport", subject, person="ada", **of)
    importer.wait_for(made.import_id, FINISHED)
    other = importer.create(content)
    call("ImportService.CancelImport", f"import {other.import_id}", merchant_id=merchant.id, import_id=other.import_id)
    call.importer = importer


def call_keys(call):
    call("KeyService.RotateKeys", "key {}", person="ada")


@pytest.fixture(scope="module")
def called(world):
    call = Caller(world)
    call.merchant = call_all(call)
    return call


def test_TENANT_every_changing_method_leaves_one_row_and_a_repeat_none(called):
    """A new method that changes something and is not called here, or writes no row, is red."""
    assert set(called.called) == changing()
    assert not called.wrong, "\n".join(called.wrong)


@pytest.mark.parametrize("table_, method, prefix", [
    ("payout", "PayoutService.CreatePayout", ""), ("payout", "PayoutService.BulkCreatePayouts", ""),
    ("recipient", "RecipientService.CreateRecipient", ""), ("recipient", "RecipientService.BulkCreateRecipients", ""),
    ("deposit", "MerchantService.CreateDeposit", ""), ("deposit", "MerchantService.TakeBackDeposit", "back_"),
    ("merchant", "MerchantService.CreateMerchant", "")])
def test_EXPLAINED_a_row_names_who_wrote_it(called, table_, method, prefix):
    (audit,) = audited(called.world, called.requests[method])
    rows = called.world.payments_rows(f"SELECT {prefix}actor, {prefix}trace_id IS NOT NULL FROM {table_} "
                                      f"WHERE {prefix}request_id = '{called.requests[method]}'")
    assert rows == [[PROGRAM, "t"]] * int(audit["subjects"])


def test_EXPLAINED_a_run_of_payouts_is_found_by_its_request(called):
    request_id = called.requests["PayoutService.BulkCreatePayouts"]
    (audit,) = audited(called.world, request_id)
    ids = [row[0] for row in called.world.payments_rows(f"SELECT payout_id FROM payout WHERE request_id = '{request_id}' ORDER BY 1")]
    assert [ids[0], ids[-1], str(len(ids))] == [audit["subject_id"], audit["last_id"], audit["subjects"]] and len(ids) == 2


def test_EXPLAINED_the_job_pays_for_who_started_the_import(called):
    merchant = called.importer.merchant
    request_id = called.requests["ImportService.StartImport"]
    rows = called.world.payments_rows("SELECT method, program, person, subject_type, subjects FROM audit WHERE method = 'job/imports' "
                                      f"AND request_id = '{request_id}' AND merchant_id = '{merchant.id}' ORDER BY audit_id")
    assert rows == [["job/imports", PROGRAM, "ada", kind, "3"] for kind in ("recipients", "payouts")]
    rows = called.world.payments_rows(f"SELECT actor, request_id FROM payout WHERE merchant_id = '{merchant.id}'")
    assert rows == [[f"{PROGRAM} says for ada", request_id]] * 3


def test_a_refused_call_leaves_nothing(world):
    merchant, request_id = Payer(world).merchant(), unique("request")
    messages, _ = stubs.modules("payments/v1/payout_service")
    stub = world.stub("payments/v1/payout_service", "PayoutService", "payments-svc")
    wanted = merchant.new_payout(1, currency="INR", recipient_id=merchant.recipient())
    answer = stub.BulkCreatePayouts(messages.BulkCreatePayoutsRequest(merchant_id=merchant.id, payouts=[wanted]), timeout=30,
                                    metadata=(("x-request-id", request_id),))
    assert answer.results[0].error.reason and audited(world, request_id) == []
    assert wait_until(lambda: merchant.payouts() == [], "no payout")


# --- AuditService, payctl --------------------------------------------------------------------------------------------------


class Auditor:
    def __init__(self, world, identity="test"):
        self.messages, _ = stubs.modules("payments/v1/audit_service")
        self.stub = world.stub("payments/v1/audit_service", "AuditService", "payments-svc", identity)

    def page(self, **fields):
        return self.stub.ListAudit(self.messages.ListAuditRequest(**fields), timeout=30)

    def all(self, **fields):
        found, token = [], ""
        while True:
            page = self.page(page_token=token, **fields)
            found += page.entries
            token = page.next_page_token
            if not token:
                return found

    def ids(self, **fields):
        return [entry.entry_id for entry in self.all(**fields)]


@pytest.fixture(scope="module")
def auditor(called):
    return Auditor(called.world)


def kept(called, where):
    return [row[0] for row in called.world.payments_rows(f"SELECT audit_id FROM audit WHERE {where} ORDER BY audit_id DESC")]


def test_an_entry_says_who_what_when_and_on_what(called, auditor):
    (entry,) = auditor.all(request_id=called.requests["PayoutService.BulkCreatePayouts"])
    row = called.world.payments_rows(f"SELECT book_id, floor(extract(epoch FROM at))::bigint, replace(trace_id::text, '-', ''), subject_id, last_id "
                                     f"FROM audit WHERE audit_id = '{entry.entry_id}'")[0]
    assert [str(entry.book_id), str(entry.time.seconds), entry.trace_id, entry.subject_id, entry.last_subject_id] == row
    assert (entry.method, entry.program, entry.person, entry.person_stated) == ("payments.v1.PayoutService/BulkCreatePayouts", PROGRAM, "", False)
    assert (entry.merchant_id, entry.subject_type, entry.subject_count) == (called.merchant, "payouts", 2)
    (entry,) = auditor.all(request_id=called.requests["PayoutService.CancelPayout"])
    assert (entry.person, entry.person_stated, entry.what, entry.last_subject_id) == ("ada", True, "a test", "")


@pytest.mark.parametrize("fields, where", [
    ({}, "true"),
    ({"program": PROGRAM}, f"program = '{PROGRAM}'"),
    ({"person": "ada"}, "person = 'ada'"),
    ({"person": "ada", "method": "job/imports"}, "person = 'ada' AND method = 'job/imports'"),
    ({"method": "payments.v1.PayoutService/CancelPayout"}, "method = 'payments.v1.PayoutService/CancelPayout'"),
    ({"merchant_id": "{merchant}"}, "merchant_id = '{merchant}'"),
    ({"merchant_id": "{merchant}", "person": "ada"}, "merchant_id = '{merchant}' AND person = 'ada'"),
    ({"request_id": "{request}"}, "request_id = '{request}'"),
    ({"request_id": "{request}", "person": "bob"}, "false")])
def test_filters_are_met_all_at_once_newest_first_page_by_page(called, auditor, fields, where):
    names = {"merchant": called.merchant, "request": called.requests["ImportService.StartImport"]}
    fields = {key: value.format(**names) for key, value in fields.items()}
    wanted = kept(called, where.format(**names))
    assert auditor.ids(**fields) == wanted and (wanted or where == "false")
    assert auditor.ids(page_size=2, **fields) == wanted


def test_a_payout_is_found_by_its_id_with_the_run_that_made_it(called, auditor):
    one = auditor.all(request_id=called.requests["PayoutService.CreatePayout"])[0].subject_id
    methods = [entry.method.partition("/")[2] for entry in auditor.all(subject_id=one)]
    assert methods == ["CancelPayout", "CreatePayout"]
    request_id = called.requests["PayoutService.BulkCreatePayouts"]
    for payout_id, in called.world.payments_rows(f"SELECT payout_id FROM payout WHERE request_id = '{request_id}'"):
        for text in (payout_id, payout_id.upper()):
            assert [entry.request_id for entry in auditor.all(subject_id=text, merchant_id=called.merchant)] == [request_id]
    assert auditor.all(subject_id=str(uuid.uuid4())) == [] == auditor.all(subject_id="no-such-thing")


def test_a_run_is_found_only_by_the_call_that_made_it(world, auditor):
    """A caller may give all its requests one id, which others may give, too."""
    payer, other = Payer(world), Payer(world, identity="payctl")
    merchant = payer.merchant(deposit=10_000)
    theirs = payer.merchant(deposit=10_000)
    metadata = (("x-request-id", unique("constant")),)
    made = [caller.stub("Payout").CreatePayout(of.request(100), timeout=20, metadata=metadata).payout.payout_id
            for caller, of in ((payer, merchant), (payer, theirs), (other, merchant), (payer, merchant))]
    # Another program's run under the same request id, around all of them.
    world.payments_rows(
        f"INSERT INTO audit SELECT book_id, (left(audit_id::text, 35) || CASE right(audit_id::text, 1) WHEN '0' THEN '1' ELSE '0' END)::uuid, "
        f"at, method, 'spiffe://other', person, stated, request_id, trace_id, merchant_id, subject_type, '{min(made)}', '{max(made)}', 4, what "
        f"FROM audit WHERE request_id = '{metadata[0][1]}'")
    for payout_id, program, of in zip(made, ("test", "test", "payctl", "test"), (merchant, theirs, merchant, merchant), strict=True):
        (entry,) = auditor.all(subject_id=payout_id)
        assert (entry.program, entry.merchant_id) == (f"{DOMAIN}/{program}", of.id)
        assert entry.subject_id <= payout_id <= entry.last_subject_id


LOOKED_AT = 20_000


def test_a_page_looks_at_so_many_entries(world, auditor):
    """A filter that nothing meets would hold a connection until its deadline."""
    world.payments_rows(
        "INSERT INTO audit (book_id, audit_id, at, method, program, person, stated, request_id, merchant_id, subject_type, subject_id, "
        "last_id, subjects, what) SELECT 0, (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid, '2020-01-01', 'job/none', "
        f"'old', 'grace', false, 'old', '', 'nothing', 'none', '', 1, '' FROM generate_series(1, {2 * LOOKED_AT + 10}) AS n")
    for fields in ({}, {"person": "grace"}, {"request_id": "old"}):
        pages, token = 0, ""
        while True:
            page = auditor.page(page_token=token, method="job/never", **fields)
            assert not page.entries
            pages, token = pages + 1, page.next_page_token
            if not token:
                break
        assert pages >= 3
    (first,) = world.payments_rows("SELECT min(audit_id::text) FROM audit WHERE request_id = 'old'")
    oldest = auditor.all(program="old", page_size=1000)
    assert len(oldest) == 2 * LOOKED_AT + 10 and [oldest[-1].entry_id] == first


def test_times_bound_it(called, auditor):
    (entry,) = auditor.all(request_id=called.requests["MerchantService.CreateDeposit"])
    after = Timestamp(seconds=entry.time.seconds, nanos=entry.time.nanos + 1000)
    if after.nanos >= 10**9:
        after.seconds, after.nanos = after.seconds + 1, after.nanos - 10**9
    of = {"request_id": entry.request_id}
    assert auditor.ids(from_time=entry.time, to_time=after, **of) == [entry.entry_id]
    assert auditor.ids(to_time=entry.time, **of) == [] == auditor.ids(from_time=after, **of)


def test_a_token_belongs_to_its_filters(called, auditor):
    token = auditor.page(page_size=1).next_page_token
    with pytest.raises(grpc.RpcError) as refused:
        auditor.page(page_size=1, page_token=token, person="ada")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_payctl_tells_who_created_a_payout_and_what_a_request_wrote(called, tmp_path):
    payctl, request_id = Payctl(called.world, tmp_path), called.requests["PayoutService.CreatePayout"]
    code, out, err = payctl.json("audit", "--request", request_id)
    assert code == DONE and len(out["entries"]) == 1 and out["limit_reached"] is False, err
    payout_id = out["entries"][0]["subject_id"]
    code, shown, err = payctl.json("payout", f"{called.merchant}/{payout_id}")
    assert code == DONE, err
    assert shown["created_by"] == {"actor": PROGRAM, "request_id": request_id, "trace_id": out["entries"][0]["trace_id"]}
    code, text, _ = payctl.run("payout", f"{called.merchant}/{payout_id}")
    assert code == DONE and f"by         {PROGRAM}\nrequest    {request_id}\n" in text
    code, text, _ = payctl.run("audit", "--merchant", called.merchant, "--person", "ada", "--limit", "1")
    assert code == DONE and "1 entries; there are more" in text and f"{PROGRAM} says for ada" in text, text
    for wrong in (("--from", "yesterday"), ("--limit", "0"), ("--to", "2026-12-01T08:30"), ("x",)):
        assert payctl.run("audit", *wrong)[0] == USAGE, wrong
    code, text, _ = payctl.run("audit", "--to", "2020-01-01")
    assert code == DONE and "0 entries\n" in text
