"""Submissions end to end: a file goes out once whatever is killed, also where the bank keeps no archive and pays duplicates; what is
known about it can be read, with account numbers masked."""

import re

import grpc
import pytest
from support import stubs
from support.crash import Plan, Reviver, stopped, wait_until_killed
from support.metrics import metric
from support.payctl import ACCOUNT, DONE, Payctl
from support.paying import ACH, SETTLED, Payer, assert_bank_agrees, assert_books_at_rest, of_bank
from support.waiting import wait_until
from test_cases import Cases
from test_connections import DOWN, ON, Connections

LEASE_MS = 1000
CANCELED = 9
FAST = {"saga.lease_ms": 1000, "instant.timeout_ms": 500, "saga.poll_ms": 25, "saga.backoff_base_ms": 20, "saga.backoff_cap_ms": 500, "ach.gather_ms": 40,
        "ach.poll_ms": 40, "ach.lease_ms": LEASE_MS, "ach.retry_base_ms": 20, "ach.retry_cap_ms": 200, "ach.send_poll_ms": 25,
        "ach.case_after": 4}
# Shows nothing of what it took, acknowledges nothing, and pays what comes twice.
UNKIND = {"habits.archive": 0, "habits.acks": 0, "habits.duplicate_check": 0}
OTHER = "payments-svc.2"


def states(world):
    return [state for (state,) in world.payments_rows("SELECT state FROM submission ORDER BY submission_id")]


def evidence(world, kind):
    return int(world.payments_rows(f"SELECT count(*) FROM submission_upload WHERE kind = {kind}")[0][0])


@pytest.fixture(scope="module")
def unkind(servers):
    world = servers.world({"payments-svc": FAST, "bank-sim": UNKIND})
    try:
        world.up()
        world.stack.add_instance("payments-svc", OTHER, {"instant.webhook_port": 0})
        yield Payer(world)
        world.stop_and_check()
    finally:
        world.remove()


def paid_once(payer, merchant, ids):
    final = merchant.wait_for(ids, {SETTLED})
    rows = payer.bank.payments()
    assert all(len(of_bank(rows, payout)) == 1 for payout in final.values()), "an entry was sent twice"
    assert_bank_agrees(payer, list(final.values()))
    assert_books_at_rest(payer, [merchant.book_id])


@pytest.mark.parametrize("rebuild_ms", [0, 5_000], ids=["bank away", "waits"])
def test_several_that_are_canceled_out_of_one_file_cost_one_file_id(new_world, rebuild_ms, tmp_path):
    """The bank is away, so the file lies there: the payouts that are not canceled go out in one more, when the bank is back. Neither they nor
    new ones use up file ids meanwhile, and the connection is seen to be down."""
    world = new_world({"payments-svc": {**FAST, "ach.gather_ms": 300, "ach.rebuild_ms": rebuild_ms}})
    payer, connections = Payer(world), Connections(world)
    merchant = payer.merchant(deposit=100_000)
    merchant.recipient()
    world.bank.kill()
    ids = [result.payout.payout_id for result in merchant.pay_many([merchant.new_payout(1_000 + n, ACH) for n in range(6)])]
    wait_until(lambda: world.payments_rows("SELECT count(*) FROM submission_item") == [["6"]], "they are in a file")
    assert len(states(world)) == 1
    if rebuild_ms == 0:
        wait_until(lambda: connections.list()["ach"].state == DOWN, "the bank is found to be away")
        assert "DOWN" in Payctl(world, tmp_path).run("connections")[1]
    for payout_id in ids[:4]:
        payer.call("Payout", "CancelPayout", payer.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=payout_id))
        merchant.wait_for([payout_id], {CANCELED})
    late = merchant.pay(1_900, ACH).payout_id
    if rebuild_ms == 0:
        wait_until(lambda: world.payments_rows(f"SELECT step, reason FROM saga WHERE payout_id = '{late}'") == [["2", "WAITS_FOR_BANK"]],
                   "what is new waits for the bank")
        assert len(states(world)) == 1
    world.bank.start()
    final = merchant.wait_for([*ids[4:], late], {SETTLED})
    assert len(states(world)) <= 3, "the first, the rest of it, and what was new"
    assert connections.list()["ach"].state == ON
    assert_bank_agrees(payer, list(final.values()))
    assert_books_at_rest(payer, [merchant.book_id])


@pytest.mark.parametrize("point", ["submission.begun", "ach.upload.begin", "ach.upload.written", "ach.upload.fenced", "ach.upload.renamed",
                                   "submission.finished"])
def test_NO_DOUBLE_killed_while_sending_to_a_bank_without_an_archive(unkind, point, tmp_path):
    """The bank no longer shows the renamed file: only our own evidence, and the settlement, tell that it arrived."""
    world = unkind.world
    merchant = unkind.merchant(deposit=100_000)
    merchant.recipient()
    plan = Plan(tmp_path, point)
    world.payments.stop()
    world.payments.start(env=plan.env)
    with Reviver(world.payments) as reviver:
        ids = [merchant.pay(1_000 + i, ACH).payout_id for i in range(3)]
        wait_until(plan.hit, f"{point} is passed")
        paid_once(unkind, merchant, ids)
    assert reviver.deaths == 1


@pytest.mark.parametrize("point", ["ach.upload.written", "ach.upload.fenced"])
def test_NO_DOUBLE_killed_again_while_its_upload_is_taken_back(unkind, point, tmp_path):
    """The second crash comes in the recovery from the first, before it is written down that nothing was sent."""
    world = unkind.world
    merchant = unkind.merchant(deposit=100_000)
    merchant.recipient()
    first, second = Plan(tmp_path, point), Plan(tmp_path, "submission.taken_back")
    world.payments.stop()
    world.payments.start(env=first.env)
    ids = [merchant.pay(1_000 + i, ACH).payout_id for i in range(2)]
    wait_until(lambda: first.hit() and not world.payments.alive(), "the first crash")
    world.payments.kill()
    world.payments.start(env=second.env)
    with Reviver(world.payments):
        wait_until(second.hit, "the second crash")
        paid_once(unkind, merchant, ids)


@pytest.mark.parametrize("point", ["ach.upload.written", "ach.upload.fenced"])
def test_FENCED_a_sender_that_stood_still_renames_nothing(unkind, point, tmp_path):
    """Stopped past its lease, right before and right after its last look at it. Another instance takes its file back and sends it;
    continued, the first one finds that the file is not its own, or that it is gone."""
    world = unkind.world
    first, second = world.payments, world.daemon(OTHER)
    merchant = unkind.merchant(deposit=100_000)
    merchant.recipient()
    plan = Plan(tmp_path, point, action="stop")
    first.stop()
    first.start(env=plan.env)
    ids = [merchant.pay(1_000 + i, ACH).payout_id for i in range(2)]
    wait_until(lambda: plan.hit() and stopped(first), f"the sender stands at {point}")
    second.start()
    other = Payer(world, OTHER)
    merchant.payer = other
    merchant.wait_for(ids, {SETTLED})
    assert stopped(first)
    first.resume()
    merchant.payer = unkind
    wait_until(lambda: metric(first, "submissions_lost_total") > 0, "the first one finds that it has lost it")
    paid_once(unkind, merchant, ids)
    second.stop()


def test_a_file_whose_dates_are_past_is_built_anew(new_world, tmp_path):
    """The upload never began, because the bank was away: the payouts come as a new attempt."""
    world = new_world({"payments-svc": {**FAST, "ach.port": 1}})
    payer = Payer(world)
    merchant = payer.merchant(deposit=10_000)
    payout_id = merchant.pay(1_000, ACH).payout_id
    wait_until(lambda: states(world) == ["1"], "a file is prepared")
    assert evidence(world, 1) == 0
    wait_until(lambda: world.payments_rows("SELECT count(*) FROM payment_case WHERE kind = 'SUBMISSION_OVERDUE'") == [["1"]],
               "a person is told that it cannot be sent")
    plan = Plan(tmp_path, "submission.withdrawn")
    world.payments.kill()
    world.payments_rows("UPDATE submission SET stale_at = now(), due_at = now(), lease_ends_at = NULL")
    world.payments.start(env=plan.env, wait=False)  # it may die before it is ready
    wait_until_killed(world.payments, plan, "it is withdrawn, and the service is killed there")
    world.payments.start()
    wait_until(lambda: states(world) == ["7", "1"], "a new file is prepared")
    wait_until(lambda: merchant.payout(payout_id).attempts == 2, "it is a new attempt")
    assert merchant.balance()[:2] == (9_000, 1_000)


@pytest.fixture(scope="module")
def sent(servers):
    """(payer, merchant, ids of its payouts), with one file that is acknowledged."""
    world = servers.world({"payments-svc": FAST})
    try:
        payer = Payer(world.up())
        merchant = payer.merchant(deposit=100_000)
        ids = [merchant.pay(1_000 + i, ACH).payout_id for i in range(3)]
        merchant.wait_for(ids, {SETTLED})
        wait_until(lambda: set(states(world)) == {"4"}, "the bank has acknowledged what was sent")
        yield payer, merchant, ids
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture(scope="module")
def submissions(sent):
    """(stub, messages of the service)."""
    payer, _, _ = sent
    name = "payments/v1/submission_service"
    return payer.world.stub(name, "SubmissionService", "payments-svc"), stubs.modules(name)[0]


def test_a_submission_is_listed_and_shown(sent, submissions):
    payer, _, ids = sent
    stub, pb = submissions
    listed = list(stub.ListSubmissions(pb.ListSubmissionsRequest()).submissions)
    assert listed and all(one.state == 4 and one.rail == ACH for one in listed)
    assert sum(one.item_count for one in listed) == len(ids) and sum(one.total_minor for one in listed) == 3_003
    found = []
    for one in listed:
        shown = stub.GetSubmission(pb.GetSubmissionRequest(submission_id=one.submission_id, with_content=True))
        assert shown.submission == one
        assert [step.kind for step in shown.evidence] == ["BEGUN", "LAST_STEP", "FINISHED", "ACCEPTED"]
        found += [item.payout_id for item in shown.items]
        lines = shown.content.splitlines()
        entries = [line for line in lines if line[0] == "6"]
        assert len(entries) == one.item_count and all(len(line) == 94 for line in lines)
        assert all(re.fullmatch(r"\*+[A-Z0-9-]{4} *", line[12:29]) for line in entries)
        assert one.submission_id.replace("-", "")[-12:] in one.name
    assert sorted(found) == sorted(ids)


def test_submissions_are_filtered_and_paged(sent, submissions):
    stub, pb = submissions
    every = [one.submission_id for one in stub.ListSubmissions(pb.ListSubmissionsRequest()).submissions]
    paged, token = [], ""
    while True:
        page = stub.ListSubmissions(pb.ListSubmissionsRequest(page_size=1, page_token=token, states=[4]))
        paged += [one.submission_id for one in page.submissions]
        token = page.next_page_token
        if not token:
            break
    assert paged == every
    twice = stub.ListSubmissions(pb.ListSubmissionsRequest(states=[4, 3, 4]))
    once = stub.ListSubmissions(pb.ListSubmissionsRequest(states=[3, 4]))
    assert [one.submission_id for one in twice.submissions] == [one.submission_id for one in once.submissions]
    for request in (pb.ListSubmissionsRequest(states=[6]), pb.ListSubmissionsRequest(rail=2)):
        assert not stub.ListSubmissions(request).submissions
    made = stub.GetSubmission(pb.GetSubmissionRequest(submission_id=every[0])).submission.create_time
    before = pb.ListSubmissionsRequest()
    before.to_time.seconds = made.seconds - 3600
    after = pb.ListSubmissionsRequest()
    after.from_time.seconds = made.seconds - 3600
    assert not stub.ListSubmissions(before).submissions
    assert [one.submission_id for one in stub.ListSubmissions(after).submissions] == every


@pytest.mark.parametrize("method, fields, code", [
    ("ListSubmissions", {"page_size": -1}, grpc.StatusCode.INVALID_ARGUMENT),
    ("ListSubmissions", {"states": [99]}, grpc.StatusCode.INVALID_ARGUMENT),
    ("ListSubmissions", {"page_token": "nonsense"}, grpc.StatusCode.INVALID_ARGUMENT),
    ("GetSubmission", {"submission_id": "x"}, grpc.StatusCode.INVALID_ARGUMENT),
    ("GetSubmission", {"submission_id": "01930000-0000-7000-8000-000000000000"}, grpc.StatusCode.NOT_FOUND),
])
def test_bad_questions_about_submissions_are_refused(submissions, method, fields, code):
    stub, pb = submissions
    with pytest.raises(grpc.RpcError) as failure:
        getattr(stub, method)(getattr(pb, f"{method}Request")(**fields))
    assert failure.value.code() == code


def test_payctl_shows_submissions(sent, tmp_path):
    payer, _, ids = sent
    payctl = Payctl(payer.world, tmp_path)
    code, out, err = payctl.run("submissions", "--state", "ACKED")
    assert code == DONE and not err and "ACKED" in out
    id = re.search(r"^([0-9a-f-]{36})", out, re.MULTILINE)[1]
    code, out, err = payctl.run("submission", id, "--content")
    assert code == DONE and not err
    assert "FINISHED" in out and "ACCEPTED" in out and any(payout_id in out for payout_id in ids)
    # From a payout to its file, and to what a person must decide about that.
    merchant, in_it = sent[1].id, next(payout_id for payout_id in ids if payout_id in out)
    ((book,),) = payer.world.payments_rows(f"SELECT book_id FROM submission WHERE submission_id = '{id}'")
    case = Cases(payer.world).insert(book_id=int(book), kind="SUBMISSION_UNKNOWN", subject_type="submission", subject_id=id)
    code, shown, err = payctl.run("payout", f"{merchant}/{in_it}")
    assert code == DONE and f"ACKED: payctl submission {id} shows it" in shown, (shown, err)
    assert f"payctl case {book}/{case.case_id} says what to do" in shown
    Cases(payer.world).resolve(case, "DONE")
    assert ACCOUNT not in out and re.search(r"\*{5}", out)
