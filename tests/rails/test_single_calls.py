"""The single call of an instant payment, seen as a submission: it has no row of its own, and yet an id, a state, its evidence and a place
in the list of what is open."""

import re

import grpc
import pytest
from support import stubs
from support.crash import Plan, Reviver
from support.pairs import named_in
from support.payctl import DONE, USAGE, Payctl
from support.paying import ACH, FAILED, INSTANT, SETTLED, Payer
from support.waiting import wait_until

FILE, CALL = 1, 2
PREPARED, SENDING, SENT, ACKED, REJECTED, UNKNOWN = 1, 2, 3, 4, 5, 6
SETTINGS = {"payments-svc": {"saga.lease_ms": 1000, "saga.poll_ms": 25, "saga.backoff_base_ms": 20, "saga.backoff_cap_ms": 200,
                             "saga.resolve_after_ms": 600_000, "instant.timeout_ms": 500, "instant.query_lag_ms": 600_000,
                             "ach.gather_ms": 40, "ach.poll_ms": 40}}
BOUNDARIES = [f"saga.execute.{at}" for at in ("prepared", "sent", "acked", "recorded", "committed")]


class Calls:
    def __init__(self, world):
        self.world, self.payer = world, Payer(world)
        name = "payments/v1/submission_service"
        self.stub, self.pb = world.stub(name, "SubmissionService", "payments-svc"), stubs.modules(name)[0]

    def get(self, submission_id, **more):
        return self.stub.GetSubmission(self.pb.GetSubmissionRequest(submission_id=submission_id, **more))

    def list(self, **filters):
        return list(self.stub.ListSubmissions(self.pb.ListSubmissionsRequest(kind=CALL, **filters)).submissions)

    def refused(self, method, **fields):
        with pytest.raises(grpc.RpcError) as failure:
            getattr(self.stub, method)(getattr(self.pb, f"{method}Request")(**fields))
        return failure.value.code()

    def shown(self, submission_id):
        """None while there is none, since its money is not reserved yet."""
        try:
            return self.get(submission_id)
        except grpc.RpcError as failure:
            assert failure.code() == grpc.StatusCode.NOT_FOUND, failure
            return None

    def wait(self, submission_id, state, kind=""):
        """Until it is in the state, and has evidence of the kind."""
        def found():
            answer = self.shown(submission_id)
            return answer if answer and answer.submission.state == state and (not kind or kind in kinds(answer)) else None
        return wait_until(found, f"{submission_id} is {state} {kind}")


@pytest.fixture(scope="module")
def calls(servers):
    world = servers.world(SETTINGS)
    try:
        yield Calls(world.up())
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture(scope="module")
def merchant(calls):
    return calls.payer.merchant(deposit=1_000_000)


def kinds(answer):
    return [step.kind for step in answer.evidence]


def test_a_call_that_is_taken_and_paid(calls, merchant):
    payout = merchant.pay(5_807)  # the bank takes it, and says no more by itself
    id = f"{merchant.id}/{payout.payout_id}:1"
    shown = calls.wait(id, SENT)
    one = shown.submission
    assert (one.kind, one.submission_id, one.rail, one.connection) == (CALL, id, INSTANT, "instant")
    assert (one.item_count, one.total_minor, one.currency, one.generation, one.book_id) == (1, 5_807, "USD", 1, merchant.book_id)
    assert (one.size_bytes, one.sha256, one.origin) == (0, "", "") and not one.HasField("stale_time")
    assert one.HasField("send_time") and one.create_time.ToNanoseconds() <= one.send_time.ToNanoseconds()
    assert kinds(shown) == ["BEGUN", "ACCEPTED"] and all(step.sender and step.epoch > 0 for step in shown.evidence)
    assert [(item.payout_id, item.attempt, item.number, item.amount_minor) for item in shown.items] == [(payout.payout_id, 1, 1, 5_807)]
    line = next(row for row in calls.payer.bank.payments() if row["payout"].endswith(payout.intent_id))
    assert line["key_or_trace"] == one.name, "it is the key that the bank knows it by"
    assert one.bank_reference == merchant.payout(payout.payout_id).rail_reference != ""
    assert [found.submission_id for found in calls.list(states=[SENT])] == [id]
    assert calls.list(states=[UNKNOWN]) == [] and calls.list(connection="ach") == [] and calls.list(rail=ACH) == []
    with_content = calls.get(id, with_content=True, after_number=1)
    assert with_content.content == "" and with_content.content_missing and not with_content.items
    # The bank is asked now, and says that it has paid.
    calls.world.payments_rows(f"UPDATE saga SET due_at = now() WHERE payout_id = '{payout.payout_id}' RETURNING 1")
    merchant.wait_for([payout.payout_id], {SETTLED})
    shown = calls.get(id)
    assert shown.submission.state == ACKED and kinds(shown) == ["BEGUN", "ACCEPTED", "ASKED", "SETTLED"]
    assert calls.list() == [], "what is finished is in no list but that of its payout"
    assert [(found.submission_id, found.state) for found in calls.list(merchant_id=merchant.id, payout_id=payout.payout_id)] == [(id, ACKED)]


def test_a_call_whose_bank_says_by_itself_that_it_has_paid(calls, merchant):
    payout = merchant.pay(5_100)
    merchant.wait_for([payout.payout_id], {SETTLED})
    shown = calls.get(f"{merchant.id}/{payout.payout_id}:1")
    assert shown.submission.state == ACKED and kinds(shown)[0] == "BEGUN"
    (said,) = [step for step in shown.evidence if step.kind == "SETTLED"]  # perhaps before its answer was written
    assert said.inbox_id and not said.sender and said.epoch == 0


def test_a_call_that_is_refused(calls, merchant):
    payout = merchant.pay(5_801)
    merchant.wait_for([payout.payout_id], {FAILED})
    shown = calls.get(f"{merchant.id}/{payout.payout_id}:1")
    assert (shown.submission.state, shown.submission.reason) == (REJECTED, "AC04") and shown.submission.reason_text
    assert kinds(shown) == ["BEGUN", "REFUSED"] and shown.evidence[-1].detail.startswith("AC04 ")
    assert not shown.submission.HasField("send_time") and not shown.submission.HasField("due_time")


def test_a_call_that_is_refused_for_now_and_made_again(calls, merchant):
    payout = merchant.pay(5_802)  # refused twice, then taken
    merchant.wait_for([payout.payout_id], {SETTLED})
    ids = [f"{merchant.id}/{payout.payout_id}:{attempt}" for attempt in (1, 2, 3)]
    listed = calls.list(merchant_id=merchant.id, payout_id=payout.payout_id)
    assert [(one.submission_id, one.state, one.generation) for one in listed] == list(zip(ids, (REJECTED, REJECTED, ACKED), (1, 2, 3)))
    assert len({one.name for one in listed}) == 3, "each attempt has a key of its own"
    assert [one.reason for one in listed[:2]] == ["AM04", "AM04"]
    assert [one.submission_id for one in calls.list(merchant_id=merchant.id, payout_id=payout.payout_id, page_size=2)] == ids[1:]
    assert calls.list(merchant_id=merchant.id, payout_id=payout.payout_id, connection="ach") == []
    for one in listed:
        assert calls.get(one.submission_id).submission == one
    assert calls.refused("GetSubmission", submission_id=f"{merchant.id}/{payout.payout_id}:4") == grpc.StatusCode.NOT_FOUND


def test_UNKNOWN_IS_A_STATE_of_a_call_too(calls, merchant):
    """The bank takes it and does not answer, and when it is asked it does not find it yet."""
    bank = calls.payer.bank
    bank.post("/admin/habits", {"query_lag_count": 1000})
    bank.faults(by_amount=0, drop_answer_pct=100, webhook_missing_pct=100)
    try:
        payout = merchant.pay(5_500)
        id = f"{merchant.id}/{payout.payout_id}:1"
        one = calls.wait(id, UNKNOWN, "NOT_SEEN").submission  # the bank was asked
        assert one.tries > 0 and one.HasField("due_time") and not one.HasField("send_time")
        assert id in [found.submission_id for found in calls.list(states=[UNKNOWN])] and calls.list(states=[PREPARED, SENT]) == []
    finally:
        bank.faults(by_amount=1, drop_answer_pct=0, webhook_missing_pct=0)
        bank.post("/admin/habits", {"query_lag_count": 0})
    merchant.wait_for([payout.payout_id], {SETTLED})
    shown = calls.get(id)
    assert shown.submission.state == ACKED and kinds(shown)[:2] == ["BEGUN", "UNKNOWN"] and kinds(shown)[-1] == "SETTLED"


def test_a_call_that_certainly_never_arrived(calls, merchant):
    """The bank's door is shut: it is the same attempt that is sent again."""
    calls.world.bank.stop()
    try:
        payout = merchant.pay(5_200)
        id = f"{merchant.id}/{payout.payout_id}:1"
        assert calls.shown(id) is None or calls.shown(id).submission.state in (PREPARED, SENDING)
        one = calls.wait(id, PREPARED, "NOT_SENT").submission
        assert one.reason and one.tries > 0 and not one.HasField("send_time")
        assert id in [found.submission_id for found in calls.list()]
        assert calls.refused("GetSubmission", submission_id=f"{merchant.id}/{payout.payout_id}:2") == grpc.StatusCode.NOT_FOUND
    finally:
        calls.world.bank.start()
    merchant.wait_for([payout.payout_id], {SETTLED})
    shown = calls.get(id)
    assert shown.submission.state == ACKED and shown.submission.generation == 1 and "NOT_SENT" in kinds(shown)


def test_what_is_no_call(calls, merchant):
    other = calls.payer.merchant()
    instant, ach = merchant.pay(5_300), merchant.pay(1_000, ACH)
    merchant.wait_for([instant.payout_id, ach.payout_id], {SETTLED})
    for id, code in ((f"{other.id}/{instant.payout_id}:1", grpc.StatusCode.NOT_FOUND),
                     (f"nobody/{instant.payout_id}:1", grpc.StatusCode.NOT_FOUND),
                     (f"{merchant.id}/{ach.payout_id}:1", grpc.StatusCode.NOT_FOUND),  # it left in a file
                     (f"{merchant.id}/{instant.payout_id}:2", grpc.StatusCode.NOT_FOUND),
                     (f"{merchant.id}/{instant.payout_id}:0", grpc.StatusCode.INVALID_ARGUMENT),
                     (f"{merchant.id}/{instant.payout_id}", grpc.StatusCode.INVALID_ARGUMENT),
                     (f"{merchant.id}/1:1", grpc.StatusCode.INVALID_ARGUMENT), ("/", grpc.StatusCode.INVALID_ARGUMENT)):
        assert calls.refused("GetSubmission", submission_id=id) == code, id
    assert calls.list(merchant_id=merchant.id, payout_id=ach.payout_id) == []
    (file,) = calls.stub.ListSubmissions(calls.pb.ListSubmissionsRequest(kind=FILE)).submissions
    assert file.kind == FILE and file.bank_reference == ""


@pytest.mark.parametrize("fields", [
    {"kind": 3}, {"kind": CALL, "page_token": "x"}, {"kind": CALL, "states": [99]}, {"kind": CALL, "page_size": -1},
    {"kind": CALL, "payout_id": "01930000-0000-7000-8000-000000000000"}, {"kind": CALL, "merchant_id": "m"},
    {"kind": CALL, "payout_id": "x", "merchant_id": "m"}, {"merchant_id": "m", "payout_id": "01930000-0000-7000-8000-000000000000"},
    {"kind": CALL, "connection": "none"},
    *({"kind": kind, "states": [state]} for kind in (FILE, CALL) for state in (0, -1, -5, -2**31, 2**31 - 1))])
def test_bad_questions_about_calls_are_refused(calls, fields):
    assert calls.refused("ListSubmissions", **fields) == grpc.StatusCode.INVALID_ARGUMENT


def test_payctl_shows_calls(calls, merchant, tmp_path):
    payctl = Payctl(calls.world, tmp_path)
    payout = merchant.pay(6_802)
    merchant.wait_for([payout.payout_id], {SETTLED})
    open_one = merchant.pay(5_807)
    id = f"{merchant.id}/{open_one.payout_id}:1"
    calls.wait(id, SENT)
    code, out, err = payctl.run("submissions", "--kind", "call", "--state", "SENT")
    assert code == DONE and not err and re.search(rf"^{id} +SENT +instant ", out, re.MULTILINE) and "1 submission(s)" in out
    assert payctl.run("submissions", "--kind", "GONE")[0] == USAGE
    code, out, err = payctl.run("payout", f"{merchant.id}/{payout.payout_id}")
    assert code == DONE and not err and re.search(rf"^{merchant.id}/{payout.payout_id}:2 +REJECTED", out, re.MULTILINE)
    code, out, err = payctl.run("submission", f"{merchant.id}/{payout.payout_id}:2", "--content")
    assert code == DONE and not err
    for words in ("state      REJECTED  AM04", "single call", "attempt    2", "BEGUN", "REFUSED", payout.payout_id, "is not kept"):
        assert words in out, words
    calls.world.payments_rows(f"UPDATE saga SET due_at = now() WHERE payout_id = '{open_one.payout_id}' RETURNING 1")
    merchant.wait_for([open_one.payout_id], {SETTLED})


def test_the_crash_suite_kills_at_each_boundary_of_a_call():
    assert set(BOUNDARIES) <= set(named_in("payments-svc"))


def test_NO_DOUBLE_a_call_whose_worker_is_killed_is_unknown_until_the_bank_is_asked(calls, merchant, tmp_path):
    """Killed right after the bank had taken it: our rows know of the intent only."""
    world = calls.world
    plan = Plan(tmp_path, "saga.execute.sent")
    world.payments.stop()
    world.payments.start(env=plan.env)
    with Reviver(world.payments):
        payout = merchant.pay(5_400)
        wait_until(plan.hit, "it is killed")
        merchant.wait_for([payout.payout_id], {SETTLED})
    shown = calls.get(f"{merchant.id}/{payout.payout_id}:1")
    assert shown.submission.state == ACKED and kinds(shown)[0] == "BEGUN" and "NOT_SENT" not in kinds(shown)
