"""SEEN: what a person must look at is a case; the person's word is recorded, and the payout goes on."""

import uuid

import grpc
import pytest
from support import rpc, stubs
from support.paying import Payer, unique
from support.payctl import DONE, SERVICE, USAGE, Payctl

from run.layout import PROJECT

OPEN, RESOLVED = 1, 2
CASES_PAGE = PROJECT / "docs" / "payments" / "cases.md"


class Cases:
    """CaseService, as a person's tool uses it."""

    def __init__(self, world):
        self.world = world
        self.pb = stubs.modules("payments/v1/case_service")[0]

    def stub(self):
        return self.world.stub("payments/v1/case_service", "CaseService", "payments-svc")

    def call(self, method, **fields):
        return rpc.persist(lambda: getattr(self.stub(), method), getattr(self.pb, f"{method}Request")(**fields))

    def refused(self, method, **fields):
        return rpc.refused(getattr(self.stub(), method), getattr(self.pb, f"{method}Request")(**fields))

    def list(self, **filters):
        found, token = [], ""
        while True:
            answer = self.call("ListCases", page_token=token, **filters)
            found += answer.cases
            token = answer.next_page_token
            if not token:
                return found

    def get(self, case):
        return self.call("GetCase", book_id=case.book_id, case_id=case.case_id)

    def resolve(self, case, resolution, *, key=None, person="ada", **more):
        return self.call("ResolveCase", book_id=case.book_id, case_id=case.case_id, resolution=resolution, person=person,
                         idempotency_key=key or unique("case"), **more)

    def insert(self, *, book_id=1, kind="CONNECTION_DOWN", subject_type="connection", subject_id=None, merchant_id=""):
        """As the service opens one; the id is in the order of time, as UUIDv7 is."""
        rows = self.world.payments_rows(
            "INSERT INTO payment_case SELECT "
            f"{book_id}, ('0198' || lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000000)::bigint), 16, '0') || "
            f"left(md5(random()::text), 12))::uuid, '{kind}', '{subject_type}', '{subject_id or unique('c')}', '{merchant_id}', "
            "'DOWN', 'no answer', 0, '', 1, '', '', 1, now(), now() + interval '1 h', now(), NULL "
            "RETURNING book_id, case_id")
        return self.pb.Case(book_id=int(rows[0][0]), case_id=rows[0][1])


@pytest.fixture(scope="module")
def cases(world):
    return Cases(world)


@pytest.fixture(scope="module")
def payctl(world, tmp_path_factory):
    return Payctl(world, tmp_path_factory.mktemp("payctl"))


def test_lists_are_oldest_first_and_paged(cases):
    subject = unique("owner")
    made = [cases.insert() for _ in range(5)]
    for case in made:
        cases.call("AssignCase", book_id=1, case_id=case.case_id, owner=subject, person="ada", idempotency_key="assign")
    found = cases.list(owner=subject, page_size=2)
    assert [case.case_id for case in found] == [case.case_id for case in made]
    assert {case.owner for case in found} == {subject} and {case.state for case in found} == {OPEN}
    cases.resolve(made[0], "DONE", comment="it answers again")
    assert [case.case_id for case in cases.list(owner=subject, book_ids=[1])] == [case.case_id for case in made[1:]]
    resolved = cases.list(owner=subject, book_ids=[1], states=[RESOLVED])
    assert [(case.case_id, case.resolution) for case in resolved] == [(made[0].case_id, "DONE")]
    assert resolved[0].resolve_time.seconds > 0


def test_a_token_belongs_to_its_filters(cases):
    for _ in range(2):
        cases.insert()
    token = cases.call("ListCases", page_size=1).next_page_token
    assert cases.refused("ListCases", page_size=1, page_token=token, kind="CLOCK").reason == "PAGE_TOKEN_INVALID"


def test_refusals_name_the_field(cases):
    case = cases.insert()
    name = {"book_id": case.book_id, "case_id": case.case_id}
    assert cases.refused("ListCases", states=[RESOLVED]).metadata["field"] == "book_ids"
    assert cases.refused("ListCases", subject_type="payout").metadata["field"] == "subject_id"
    assert cases.refused("ListCases", states=[7]).reason == "STATE_UNKNOWN"
    unknown = cases.refused("ListCases", kind="PAYOUT_HOLD")
    assert (unknown.reason, unknown.metadata["field"]) == ("KIND_UNKNOWN", "kind") and "PAYOUT_HELD, PAYOUT_CONTRADICTION" in unknown.message
    unknown = cases.refused("ListCases", book_ids=[99])
    assert (unknown.reason, unknown.metadata["field"]) == ("BOOK_NOT_FOUND", "book_ids") and "no book 99" in unknown.message
    assert cases.list(book_ids=[2]) == []  # one of those that new merchants are spread over
    beyond = cases.insert(book_id=98)  # a bank may name a book that no merchant has
    assert [case.case_id for case in cases.list(book_ids=[98])] == [beyond.case_id]
    assert cases.refused("ListCases", merchant_id="no-such-merchant").code == grpc.StatusCode.NOT_FOUND
    assert cases.refused("GetCase", book_id=1, case_id=str(uuid.uuid4())).reason == "CASE_NOT_FOUND"
    assert cases.refused("GetCase", book_id=-1, case_id=case.case_id).metadata["field"] == "book_id"
    assert cases.refused("GetCase", book_id=1, case_id="x").metadata["field"] == "case_id"
    assert cases.refused("CommentCase", **name, comment="x", person="ada").metadata["field"] == "idempotency_key"
    assert cases.refused("CommentCase", **name, comment="x", idempotency_key="k").metadata["field"] == "person"
    assert cases.refused("CommentCase", **name, person="ada", idempotency_key="k").metadata["field"] == "comment"
    assert cases.refused("ResolveCase", **name, person="ada", idempotency_key="k",
                         resolution="RELEASE").reason == "RESOLUTION_NOT_ALLOWED"  # of a payout only
    assert len(cases.get(case).notes) == 0  # nothing of it was written


def test_DEFINITE_ERRORS_a_repeat_answers_the_same_and_another_resolution_is_refused(cases):
    case = cases.insert()
    name = {"book_id": case.book_id, "case_id": case.case_id}
    for _ in range(2):
        answer = cases.resolve(case, "DONE", key="k1", comment="restarted")
        assert (answer.case.state, answer.case.resolution) == (RESOLVED, "DONE")
    assert cases.refused("ResolveCase", **name, person="ada", idempotency_key="k1", resolution="IGNORE",
                         comment="restarted").reason == "IDEMPOTENCY_KEY_REUSED"
    failure = cases.refused("ResolveCase", **name, person="ada", idempotency_key="k2", resolution="IGNORE")
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CASE_RESOLVED")
    assert [note.kind for note in cases.get(case).notes] == ["RESOLVED"]


def raw(cases, method, **fields):
    """The bytes of the answer as they came over the wire."""
    call = cases.world.channel("payments-svc").unary_unary(
        f"/payments.v1.CaseService/{method}", request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=lambda data: data)
    return rpc.persist(lambda: call, getattr(cases.pb, f"{method}Request")(**fields), timeout=20)


def changes_of(case):
    """One of each kind, with a key of its own."""
    name = {"book_id": case.book_id, "case_id": case.case_id, "person": "ada"}
    return [("AssignCase", {**name, "owner": "grace", "idempotency_key": "a"}),
            ("CommentCase", {**name, "comment": "called the bank", "idempotency_key": "c"}),
            ("ResolveCase", {**name, "resolution": "DONE", "comment": "restarted", "idempotency_key": "r"})]


@pytest.mark.parametrize("book_id", [0, 1])
def test_DEFINITE_ERRORS_a_repeat_gets_the_bytes_of_the_first_answer(cases, book_id):
    """Whatever became of the case since; and a key says nothing of what it stands for."""
    case = cases.insert(book_id=book_id)
    calls, answers = changes_of(case), []
    for method, fields in calls:
        answers.append(raw(cases, method, **fields))
        if method != "ResolveCase":
            cases.call("AssignCase", book_id=book_id, case_id=case.case_id, owner=unique("o"), person="ada", idempotency_key=unique("k"))
    assert [raw(cases, method, **fields) for method, fields in calls] == answers
    for method, fields in calls:
        assert cases.refused(method, **{**fields, "person": "bob"}).reason == "IDEMPOTENCY_KEY_REUSED"  # nobody repeats for another
    assert cases.refused("CommentCase", **{**calls[1][1], "idempotency_key": "a"}).reason == "IDEMPOTENCY_KEY_REUSED"
    assert len(cases.get(case).notes) == 5
    for (kept,) in cases.world.payments_rows(f"SELECT encode(request_hash, 'hex') FROM case_note WHERE case_id = '{case.case_id}'"):
        version, key_id_len = bytes.fromhex(kept)[:2]
        assert version == 1 and len(bytes.fromhex(kept)) == 2 + key_id_len + 32


def test_keys_of_notes_of_an_older_version_are_still_known(cases):
    """Neither a hash nor an answer was kept: the columns are compared, and the case is answered as it stands."""
    case = cases.insert()
    calls = changes_of(case)
    answers = [raw(cases, method, **fields) for method, fields in calls]
    cases.world.payments_rows(f"UPDATE case_note SET request_hash = NULL, response = NULL WHERE case_id = '{case.case_id}'")
    assert [raw(cases, method, **fields) for method, fields in calls] == 3 * answers[-1:]
    for method, fields in calls:
        assert cases.refused(method, **{**fields, "person": "bob"}).reason == "IDEMPOTENCY_KEY_REUSED"
    assert len(cases.get(case).notes) == 3


def test_EXPLAINED_who_what_and_when(cases):
    case = cases.insert(kind="KIND_TO_COME")
    name = {"book_id": case.book_id, "case_id": case.case_id, "person": "ada"}
    for _ in range(2):
        cases.call("CommentCase", **name, comment="called the bank", idempotency_key="c1")
    answer = cases.get(case)
    assert [(note.kind, note.person, note.text) for note in answer.notes] == [("COMMENT", "ada", "called the bank")]
    assert answer.notes[0].program.startswith("spiffe://")
    # A kind of another version is explained as far as can be.
    assert answer.next_step and {r.name for r in answer.resolutions} == {"DONE", "IGNORE"}
    cases.resolve(case, "IGNORE")
    answer = cases.get(case)
    assert answer.next_step == "" and len(answer.resolutions) == 0


def test_payctl_shows_and_resolves(cases, payctl):
    case = cases.insert()
    name = f"{case.book_id}/{case.case_id}"
    code, out, _ = payctl.run("cases", "--book", str(case.book_id))
    assert code == DONE and name in out and "no answer" in out
    code, out, _ = payctl.run("case", name)
    assert code == DONE and "next step" in out and "DONE" in out and "nobody yet" in out
    code, out, _ = payctl.run("case", name, "assign", "grace", "--person", "ada")
    assert code == DONE and "owner      grace" in out
    code, out, _ = payctl.run("case", name, "comment", "asked the bank", "--person", "grace")
    assert code == DONE and "asked the bank" in out
    for _ in range(2):  # the same command is the same request
        code, out, _ = payctl.run("case", name, "resolve", "DONE", "--comment", "it is back", "--person", "grace")
        assert code == DONE and "RESOLVED  DONE" in out
    assert out.count("it is back") == 1
    code, _, err = payctl.run("case", name, "resolve", "ignore")  # in either case
    assert code == SERVICE and "another way" in err
    code, _, err = payctl.run("case", name, "resolve", "pay_it")
    assert code == SERVICE and "RELEASE, RETRY" in err and "DONE, IGNORE" in err
    code, answer, _ = payctl.json("case", name)
    assert code == DONE and answer["case"]["resolution"] == "DONE" and len(answer["notes"]) == 3
    code, answer, _ = payctl.json("cases", "--book", str(case.book_id), "--all")
    assert code == DONE and case.case_id in {found["case_id"] for found in answer["cases"]}
    for wrong in (("case",), ("case", "x"), ("case", name, "close", "x"), ("cases", "--all"), ("cases", "more"),
                  ("cases", "--book", "x")):
        assert payctl.run(*wrong)[0] == USAGE, wrong


def test_payctl_takes_kinds_in_either_case_and_refuses_others(cases, payctl):
    case = cases.insert(kind="CONNECTION_NUMBERS")
    code, answer, _ = payctl.json("cases", "--kind", "connection_numbers", "--book", str(case.book_id))
    assert code == DONE and case.case_id in {found["case_id"] for found in answer["cases"]}
    code, out, err = payctl.run("cases", "--kind", "foo")
    assert code == USAGE and out == "" and '"FOO"' in err
    of_the_page = [line.split(" |")[0].removeprefix("| ") for line in CASES_PAGE.read_text().split("## Kinds")[1].splitlines()
                   if line.startswith("| ") and not line.startswith("| kind")]
    assert len(of_the_page) > 20 and ", ".join(of_the_page) in " ".join(err.split()), err
