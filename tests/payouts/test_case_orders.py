"""SEEN and EXPLAINED: a payout that is held is in a case; what a person orders goes on as said, and says who ordered it."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime

import grpc
import pytest
from support import stubs
from support.crash import Plan, wait_until_killed
from support.paying import ACH, FAILED, HELD, INSTANT, RETURNED, SETTLED, of_bank, paying
from support.payctl import Payctl
from support.session import Session
from support.waiting import wait_until

from test_cases import OPEN, RESOLVED, Cases

SENT = 5
REFUSED_KIND, SET, RETURNED_KIND = 2, 3, 4
SUBMISSION_SENT, SUBMISSION_REJECTED, SUBMISSION_UNKNOWN = 3, 5, 6
SETTINGS = {"payments-svc": {"saga.poll_ms": 50, "saga.resolve_after_ms": 86_400_000, "deadlines.every_ms": 200},
            "bank-sim": {"instant.settle_delay_ms": 86_400_000}}


@pytest.fixture(scope="module")
def payer(servers):
    """Its bank takes payouts and says no more: whatever is said in these tests, the tests say."""
    yield from paying(servers, SETTINGS)


@pytest.fixture(scope="module")
def cases(payer):
    return Cases(payer.world)


def say(payer, merchant, payout_id, kind, *, attempt=1, amount=0, reference=""):
    """As a bank says it: an event, which makes the saga due. What moves once more has another reference of the bank."""
    payer.world.payments_rows(
        "WITH said AS (INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, rail_reference, at, amount, "
        f"currency) SELECT {merchant.book_id}, '{payout_id}', 'said-' || count(*), {attempt}, {kind}, '', '', '{reference}', now(), {amount}, "
        f"'USD' FROM rail_event WHERE book_id = {merchant.book_id} AND payout_id = '{payout_id}' RETURNING 1) "
        "UPDATE saga SET events = events + 1, due_at = now() FROM said "
        f"WHERE book_id = {merchant.book_id} AND payout_id = '{payout_id}' RETURNING 1")


def case_of(cases, merchant, payout_id, **more):
    def look():
        found = cases.list(merchant_id=merchant.id, subject_type="payout", subject_id=payout_id, **more)
        assert len(found) <= 1, found
        return found[0] if found else None
    return wait_until(look, "a case of the payout")


def contradicted(payer, cases, amount=1_000):
    """(merchant, payout id, case) of one that was sent, and of which the bank says what cannot be: a second attempt, never made."""
    merchant = payer.merchant(deposit=10_000)
    payout_id = merchant.pay(amount, INSTANT).payout_id
    merchant.wait_for([payout_id], {SENT})
    say(payer, merchant, payout_id, SET, attempt=7)
    merchant.wait_for([payout_id], {HELD})
    return merchant, payout_id, case_of(cases, merchant, payout_id)


def unreadable(payer, cases):
    """(merchant, payout id, case, a function that repairs it) of one whose recipient cannot be opened."""
    merchant = payer.merchant(deposit=10_000)
    recipient = merchant.recipient()
    where = f"WHERE book_id = {merchant.book_id} AND recipient_id = '{recipient}'"
    flip = f"UPDATE recipient SET account_sealed = set_byte(account_sealed, 20, get_byte(account_sealed, 20) # 1) {where} RETURNING 1"
    payer.world.payments_rows(flip)
    payout_id = merchant.pay(1_000, INSTANT, recipient_id=recipient).payout_id
    merchant.wait_for([payout_id], {HELD})
    return merchant, payout_id, case_of(cases, merchant, payout_id), lambda: payer.world.payments_rows(flip)


def goes_on_to(state, merchant, payout_id):
    """Merchant.wait_for would not wait for one that is held, which it is until the order is taken up."""
    def look():
        found = merchant.payout(payout_id)
        last[:] = [found]
        return found if found.state == state else None
    last = []
    try:
        return wait_until(look, f"the payout is in {state}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it stands at {last} {merchant.timeline(payout_id).entries}") from None


def orders(merchant, payout_id):
    return [entry for entry in merchant.timeline(payout_id).entries if entry.outcome in ("ORDERED", "NOT_ORDERED")]


NEED_EVIDENCE = {"SEND_AGAIN", "MARK_PAID", "GIVE_BACK", "WRITE_OFF", "BANK_HAS_IT", "BANK_HAS_IT_NOT"}


def offered(cases, case, of_its_kind):
    """{resolution: needs evidence} that the case offers. Each of the others is told with the reason for which it is refused."""
    answer = cases.get(case)
    ways = {way.name: way.needs_evidence for way in answer.resolutions}
    why = {refusal.name: refusal.why for refusal in answer.refused}
    assert set(ways) | set(why) == of_its_kind and not set(ways) & set(why)
    assert all(needs == (name in NEED_EVIDENCE) for name, needs in ways.items())
    for name, text in why.items():
        failure = cases.refused("ResolveCase", book_id=case.book_id, case_id=case.case_id, resolution=name, person="ada",
                                evidence="the bank's letter", idempotency_key=f"offered-{name}")
        assert failure.code == grpc.StatusCode.FAILED_PRECONDITION and failure.message == text, (name, failure)
    left = cases.get(case)
    assert left.case.state == OPEN and [note.kind for note in left.notes] == [note.kind for note in answer.notes], "to look changes nothing"
    return ways


@pytest.mark.parametrize("situation", ["contradicted", "unreadable"])
def test_what_a_case_offers_is_accepted(payer, cases, situation):
    """Each that is offered, of one of its own."""
    make = contradicted if situation == "contradicted" else unreadable
    kind = {"RELEASE", "RETRY", "SEND_AGAIN", "MARK_PAID", "GIVE_BACK", "WRITE_OFF", "CANCEL"}
    ways = offered(cases, make(payer, cases)[2], kind)
    assert ways
    for name in ways:
        case = make(payer, cases)[2]
        assert name in offered(cases, case, kind)
        assert cases.resolve(case, name, evidence="the bank's letter").case.state == RESOLVED


def test_a_case_of_what_the_bank_has_offers_no_cancel(payer, cases, tmp_path):
    """PAYOUT_OVERDUE of a payout that is SENT."""
    merchant = payer.merchant(deposit=10_000)
    payout_id = merchant.pay(1_000, INSTANT).payout_id
    merchant.wait_for([payout_id], {SENT})
    case = cases.insert(book_id=merchant.book_id, kind="PAYOUT_OVERDUE", subject_type="payout", subject_id=payout_id, merchant_id=merchant.id)
    ways = offered(cases, case, {"RELEASE", "SEND_AGAIN", "MARK_PAID", "GIVE_BACK", "WRITE_OFF", "CANCEL", "DONE", "IGNORE"})
    assert "CANCEL" not in ways and "RELEASE" not in ways and {"DONE", "IGNORE"} <= set(ways)
    code, out, err = Payctl(payer.world, tmp_path).run("case", f"{case.book_id}/{case.case_id}")
    assert code == 0, err
    possible, refused = out.split("how it can be resolved now")[1].split("what is not possible now")
    assert "CANCEL" not in possible and "DONE" in possible
    assert "CANCEL" in refused and "it is at the bank, or may be" in refused
    cases.resolve(case, "DONE", comment="it is no matter")


def test_a_contradiction_is_in_a_case_that_says_what_to_do(payer, cases):
    merchant, payout_id, case = contradicted(payer, cases)
    assert (case.kind, case.state, case.amount_minor) == ("PAYOUT_CONTRADICTION", OPEN, 1_000)
    answer = cases.get(case)
    assert answer.payout.state == HELD and answer.next_step
    names = {way.name: way.needs_evidence for way in answer.resolutions}
    assert names == offered(cases, case, {"RELEASE", "RETRY", "SEND_AGAIN", "MARK_PAID", "GIVE_BACK", "WRITE_OFF", "CANCEL"})
    assert set(names) == {"MARK_PAID", "GIVE_BACK"}
    assert [note.kind for note in answer.notes] == ["OPENED"]


def test_MARK_PAID_needs_evidence_and_books_it(payer, cases):
    merchant, payout_id, case = contradicted(payer, cases)
    failure = cases.refused("ResolveCase", book_id=case.book_id, case_id=case.case_id, resolution="MARK_PAID", person="ada",
                            idempotency_key="k1")
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and failure.metadata["field"] == "evidence"
    for _ in range(2):
        answer = cases.resolve(case, "MARK_PAID", key="k1", evidence="statement of today, line 4")
        assert (answer.case.state, answer.case.resolution) == (RESOLVED, "MARK_PAID")
    goes_on_to(SETTLED, merchant, payout_id)
    assert merchant.balance() == (9_000, 0, 9_000)
    ordered = orders(merchant, payout_id)
    assert [(entry.reason, entry.detail) for entry in ordered] == [("MARK_PAID", "statement of today, line 4")]
    rows = payer.world.payments_rows(
        f"SELECT source, actor FROM rail_event WHERE book_id = {merchant.book_id} AND payout_id = '{payout_id}' AND kind = 22")
    assert len(rows) == 1 and rows[0][0] == "2" and rows[0][1].startswith("spiffe://") and rows[0][1].endswith(" for ada")


def test_GIVE_BACK_gives_the_money_back(payer, cases):
    merchant, payout_id, case = contradicted(payer, cases)
    cases.resolve(case, "GIVE_BACK", evidence="letter of the bank")
    goes_on_to(FAILED, merchant, payout_id)
    assert merchant.balance() == (10_000, 0, 10_000)


def test_RELEASE_goes_on_from_where_it_was_held(payer, cases):
    merchant, payout_id, case, repair = unreadable(payer, cases)
    assert case.kind == "PAYOUT_UNREADABLE"
    repair()
    cases.resolve(case, "RELEASE", comment="the key is back")
    assert goes_on_to(SENT, merchant, payout_id).attempts == 1


def test_RETRY_makes_a_new_attempt(payer, cases):
    merchant, payout_id, case, repair = unreadable(payer, cases)
    repair()
    cases.resolve(case, "RETRY")
    assert goes_on_to(SENT, merchant, payout_id).attempts >= 1
    assert [entry.reason for entry in orders(merchant, payout_id)] == ["RETRY"]


def test_WRITE_OFF_leaves_it_and_books_the_difference_elsewhere(payer, cases):
    merchant = payer.merchant(deposit=10_000)
    payout_id = merchant.pay(1_000, INSTANT).payout_id
    merchant.wait_for([payout_id], {SENT})
    say(payer, merchant, payout_id, SET)
    merchant.wait_for([payout_id], {SETTLED})
    say(payer, merchant, payout_id, RETURNED_KIND, amount=1_500)  # more came back than was sent
    merchant.wait_for([payout_id], {HELD})
    case = case_of(cases, merchant, payout_id)
    cases.resolve(case, "WRITE_OFF", evidence="the bank's mistake, to be cleared by month's end")
    wait_until(lambda: merchant.payout(payout_id).state != HELD, "it is not held any more")
    assert merchant.payout(payout_id).state == SETTLED
    wait_until(lambda: not cases.list(merchant_id=merchant.id), "no case is left")


def is_refused(cases, case, resolution, why):
    """The order is not taken: nothing is noted, and the case is open."""
    failure = cases.refused("ResolveCase", book_id=case.book_id, case_id=case.case_id, resolution=resolution, person="ada",
                            idempotency_key=f"refused-{resolution}")
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ORDER_NOT_POSSIBLE"), failure
    assert why in failure.message, failure
    answer = cases.get(case)
    assert answer.case.state == OPEN and all(note.kind != "RESOLVED" for note in answer.notes)


def test_SEEN_an_order_that_cannot_be_carried_out_is_refused(payer, cases):
    merchant, payout_id, case = contradicted(payer, cases)
    is_refused(cases, case, "RELEASE", "does not add up")  # letting it go on would not help
    assert merchant.payout(payout_id).state == HELD and orders(merchant, payout_id) == []
    cases.resolve(case, "GIVE_BACK", evidence="letter of the bank")
    goes_on_to(FAILED, merchant, payout_id)


def test_what_waits_for_its_bank_is_neither_canceled_nor_released(payer, cases):
    """Its case says that it is overdue, and offers both orders to what stands at another step."""
    merchant = payer.merchant(deposit=10_000)
    payout_id = merchant.pay(1_000, INSTANT).payout_id
    merchant.wait_for([payout_id], {SENT})
    case = cases.insert(book_id=merchant.book_id, kind="PAYOUT_OVERDUE", subject_type="payout", subject_id=payout_id, merchant_id=merchant.id)
    is_refused(cases, case, "CANCEL", "at the bank")
    is_refused(cases, case, "RELEASE", "not held")
    assert merchant.payout(payout_id).state == SENT and orders(merchant, payout_id) == []
    cases.resolve(case, "DONE", comment="the bank will tell")


# --- What the bank says after an order ---


def assert_proven(merchant):
    """Each payout of the merchant agrees with the ledger's journal, and nothing of it is left in transit."""
    pb = stubs.modules("payments/v1/reconciliation_service")[0]
    stub = merchant.payer.world.stub("payments/v1/reconciliation_service", "ReconciliationService", "payments-svc")
    parts = list(stub.ProveBook(pb.ProveBookRequest(book_id=merchant.book_id, merchant_id=merchant.id), timeout=30))
    assert sum(part.payouts_compared for part in parts) > 0
    assert [found for part in parts for found in part.differences] == []


def written_off(merchant):
    """The written-off sum of the merchant's payouts, which suspense bears."""
    rows = merchant.payer.world.payments_rows(
        "SELECT coalesce(sum(s.written_off), 0) FROM saga s JOIN payout p USING (book_id, payout_id) "
        f"WHERE p.merchant_id = '{merchant.id}'")
    return int(rows[0][0])


@pytest.mark.parametrize("order, state, available, suspense", [
    ("MARK_PAID", SETTLED, 9_000, 0), ("GIVE_BACK", FAILED, 10_000, 0), ("RELEASE", FAILED, 10_000, 0), ("WRITE_OFF", FAILED, 10_000, 1_000)])
def test_SEEN_paid_by_the_bank_after_it_was_given_back(payer, cases, order, state, available, suspense):
    merchant, payout_id, case = contradicted(payer, cases)
    cases.resolve(case, "GIVE_BACK", evidence="letter of the bank")
    goes_on_to(FAILED, merchant, payout_id)
    say(payer, merchant, payout_id, SET, amount=1_000)
    merchant.wait_for([payout_id], {HELD})
    again = case_of(cases, merchant, payout_id)
    assert again.case_id != case.case_id and again.kind == "PAYOUT_CONTRADICTION"
    cases.resolve(again, order, evidence="statement of today")
    wait_until(lambda: len(orders(merchant, payout_id)) == 2, "the order is taken up")
    goes_on_to(state, merchant, payout_id)
    wait_until(lambda: merchant.balance() == (available, 0, available), "the merchant's money is as ordered")
    wait_until(lambda: written_off(merchant) == suspense, "the difference stands where it was ordered")
    assert [entry.outcome for entry in orders(merchant, payout_id)] == ["ORDERED", "ORDERED"]
    assert not cases.list(merchant_id=merchant.id), "no case is left"
    assert_proven(merchant)


@pytest.mark.parametrize("order, state, available", [
    ("MARK_PAID", SETTLED, 9_000), ("RELEASE", SETTLED, 9_000), ("GIVE_BACK", RETURNED, 10_000)])
def test_SEEN_refused_by_the_bank_after_it_was_paid(payer, cases, order, state, available):
    merchant = payer.merchant(deposit=10_000)
    payout_id = merchant.pay(1_000, INSTANT).payout_id
    merchant.wait_for([payout_id], {SENT})
    say(payer, merchant, payout_id, SET, amount=1_000)
    merchant.wait_for([payout_id], {SETTLED})
    say(payer, merchant, payout_id, REFUSED_KIND)
    merchant.wait_for([payout_id], {HELD})
    cases.resolve(case_of(cases, merchant, payout_id), order, evidence="statement of today")
    goes_on_to(state, merchant, payout_id)
    wait_until(lambda: merchant.balance() == (available, 0, available), "the merchant's money is as ordered")
    assert not cases.list(merchant_id=merchant.id), "no case is left"
    assert_proven(merchant)


def test_CANCEL_of_what_is_at_the_bank_is_not_possible(payer, cases):
    merchant, payout_id, case = contradicted(payer, cases)
    is_refused(cases, case, "CANCEL", "at the bank")
    assert orders(merchant, payout_id) == []
    assert merchant.payout(payout_id).state == HELD and merchant.balance() == (9_000, 1_000, 10_000)


# --- Looking ---

LOCKED = ("saga_slot, saga_lease, saga, submission, submission_item, submission_upload, forgotten_entry, rail_event, inbox, inbox_exception, "
          "payment_case, case_note")


@contextmanager
def nobody_writes(world):
    """Meanwhile rows can be read by whoever locks none of them, and by nobody else."""
    def hold():
        """None when the service had some of them, and wanted the others: PostgreSQL ends one of the two."""
        one = Session(world)
        if one.run(f"BEGIN;\nLOCK TABLE {LOCKED} IN EXCLUSIVE MODE;\nSELECT 'held'") == "held":
            return one
        one.end()
        return None
    one = wait_until(hold, "the tables are locked")
    try:
        yield
    finally:
        one.end()


def looks_only(payer, cases, case):
    """Listing a case's options takes no lock and writes nothing. Returns the answer."""
    before = cases.get(case)
    assert before.refused, "else it is not told from an answer that judges nothing"
    with nobody_writes(payer.world):
        during = cases.stub().GetCase(cases.pb.GetCaseRequest(book_id=case.book_id, case_id=case.case_id), timeout=10)
    assert (list(during.resolutions), list(during.refused)) == (list(before.resolutions), list(before.refused))
    return during


@pytest.mark.parametrize("situation", ["contradicted", "unreadable"])
def test_who_looks_at_a_case_of_a_payout_neither_locks_nor_writes(payer, cases, situation):
    make = contradicted if situation == "contradicted" else unreadable
    looks_only(payer, cases, make(payer, cases)[2])


# --- Submissions ---

ACH_FAST = {"saga.lease_ms": 1000, "instant.timeout_ms": 500, "saga.poll_ms": 25, "saga.backoff_base_ms": 20, "ach.gather_ms": 40, "ach.poll_ms": 40,
            "ach.lease_ms": 1000, "ach.retry_base_ms": 20, "ach.retry_cap_ms": 200, "ach.send_poll_ms": 25, "ach.case_after": 3,
            "deadlines.every_ms": 200}
# Shows nothing of what it took, and says nothing of it: only a person can find out.
SILENT = {"habits.archive": 0, "habits.acks": 0, "habits.duplicate_check": 0, "habits.settlement_lines": 0}


@pytest.fixture(scope="module")
def silent(servers):
    yield from paying(servers, {"payments-svc": ACH_FAST, "bank-sim": SILENT})


def submissions(merchant):
    """(id, state) of each that has a payout of the merchant, the oldest first."""
    return merchant.payer.world.payments_rows(
        "SELECT DISTINCT s.submission_id, s.state FROM submission s JOIN submission_item i USING (book_id, submission_id) "
        f"JOIN payout p USING (book_id, payout_id) WHERE p.merchant_id = '{merchant.id}' ORDER BY 1")


def unknown(payer, tmp_path, point):
    """(merchant, ids of its payouts, case) of a file whose sender died at a point, and of which nobody knows whether it arrived."""
    world = payer.world
    merchant = payer.merchant(deposit=10_000)
    merchant.recipient()
    plan = Plan(tmp_path, point)
    world.payments.stop()
    world.payments.start(env=plan.env)
    made = merchant.pay_many([merchant.new_payout(1_000 + i, ACH) for i in range(2)])
    ids = [result.payout.payout_id for result in made]
    wait_until_killed(world.payments, plan, f"the sender dies at {point}")
    # A bank that clears up its folder: no temporary file proves that the last step was not taken.
    for path in (world.stack.folder / "bank" / "sftp" / "inbox").glob("*.tmp"):
        path.unlink()
    world.payments.start()
    found = Cases(world)
    wait_until(lambda: [state for _, state in submissions(merchant)] == [str(SUBMISSION_UNKNOWN)], "nobody knows where it is")
    ((submission_id, _),) = submissions(merchant)
    (case,) = wait_until(lambda: [
        one for one in found.list(kind="SUBMISSION_UNKNOWN") if one.subject_id == submission_id], "a case")
    return merchant, ids, case


def entries_at_the_bank(payer, merchant, ids):
    rows = payer.bank.payments()
    return [len(of_bank(rows, merchant.payout(payout_id))) for payout_id in ids]


def settle(payer, merchant, ids, attempt):
    for i, payout_id in enumerate(ids):
        say(payer, merchant, payout_id, SET, attempt=attempt, amount=1_000 + i)
    return merchant.wait_for(ids, {SETTLED})


def test_BANK_HAS_IT_its_payouts_wait_for_the_banks_word(silent, tmp_path):
    cases = Cases(silent.world)
    merchant, ids, case = unknown(silent, tmp_path, "ach.upload.renamed")
    refusal = cases.refused("ResolveCase", book_id=case.book_id, case_id=case.case_id, resolution="BANK_HAS_IT", person="ada",
                            idempotency_key="k1")
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT and refusal.metadata["field"] == "evidence"
    for _ in range(2):
        assert cases.resolve(case, "BANK_HAS_IT", key="k1", evidence="seen in the bank's portal").case.state == RESOLVED
    merchant.wait_for(ids, {SENT})
    assert [state for _, state in submissions(merchant)] == [str(SUBMISSION_SENT)]
    # A later order that says the opposite is refused.
    refusal = cases.refused("ResolveCase", book_id=case.book_id, case_id=case.case_id, resolution="BANK_HAS_IT_NOT", person="bob",
                            idempotency_key="k2", evidence="not in the portal")
    assert refusal.code == grpc.StatusCode.FAILED_PRECONDITION
    assert entries_at_the_bank(silent, merchant, ids) == [1, 1]
    assert all(payout.attempts == 1 for payout in settle(silent, merchant, ids, 1).values())
    assert merchant.balance() == (7_999, 0, 7_999)
    assert_proven(merchant)


def test_BANK_HAS_IT_NOT_its_payouts_are_sent_anew_once(silent, tmp_path):
    cases = Cases(silent.world)
    merchant, ids, case = unknown(silent, tmp_path, "ach.upload.fenced")
    assert entries_at_the_bank(silent, merchant, ids) == [0, 0]
    cases.resolve(case, "BANK_HAS_IT_NOT", evidence="the bank's operator, by telephone")
    final = merchant.wait_for(ids, {SENT})
    assert all(payout.attempts == 2 for payout in final.values())
    assert [state for _, state in submissions(merchant)] == [str(SUBMISSION_REJECTED), str(SUBMISSION_SENT)]
    wait_until(lambda: entries_at_the_bank(silent, merchant, ids) == [1, 1], "the bank has each once")
    settle(silent, merchant, ids, 2)
    assert merchant.balance() == (7_999, 0, 7_999)
    assert_proven(merchant)


def test_SEEN_BANK_HAS_IT_NOT_was_wrong_what_is_paid_twice_is_a_case(silent, tmp_path):
    """A person's mistake: the bank has both files. The ledger pays once, and the second payment stands in a case."""
    cases = Cases(silent.world)
    merchant, ids, case = unknown(silent, tmp_path, "ach.upload.renamed")
    cases.resolve(case, "BANK_HAS_IT_NOT", evidence="looked into the wrong account")
    wait_until(lambda: entries_at_the_bank(silent, merchant, ids) == [2, 2], "the bank has each twice")
    settle(silent, merchant, ids, 2)
    say(silent, merchant, ids[0], SET, attempt=1, amount=1_000)
    merchant.wait_for(ids[:1], {HELD})
    assert merchant.balance() == (7_999, 0, 7_999)
    odd = case_of(cases, merchant, ids[0])
    assert odd.kind == "PAYOUT_CONTRADICTION"
    cases.resolve(odd, "RELEASE", comment="the bank reverses its second entry")
    goes_on_to(SETTLED, merchant, ids[0])
    assert merchant.balance() == (7_999, 0, 7_999)
    assert_proven(merchant)


def test_who_looks_at_a_case_of_a_submission_neither_locks_nor_writes(silent):
    """The bank has settled it, and nobody knows whether it has it: BANK_HAS_IT would write of each of its items."""
    cases = Cases(silent.world)
    merchant = silent.merchant(deposit=10_000)
    ids = [result.payout.payout_id for result in merchant.pay_many([merchant.new_payout(1_000 + i, ACH) for i in range(2)])]
    merchant.wait_for(ids, {SENT})
    settle(silent, merchant, ids, 1)
    ((submission_id, state),) = submissions(merchant)
    where = f"WHERE book_id = {merchant.book_id} AND submission_id = '{submission_id}' RETURNING 1"
    silent.world.payments_rows(f"UPDATE submission SET state = {SUBMISSION_UNKNOWN} {where}")
    case = cases.insert(book_id=merchant.book_id, kind="SUBMISSION_UNKNOWN", subject_type="submission", subject_id=submission_id)
    answer = looks_only(silent, cases, case)
    assert [way.name for way in answer.resolutions] == ["BANK_HAS_IT", "DONE", "IGNORE"]
    assert [way.name for way in answer.refused] == ["BANK_HAS_IT_NOT"]
    cases.resolve(case, "BANK_HAS_IT", evidence="seen in the bank's portal")
    assert submissions(merchant) == [[submission_id, state]]


@pytest.fixture
def stuck(servers):
    """No submission leaves: the folder for them is not there."""
    pace = {**ACH_FAST, "ach.upload_dir": "nowhere", "ach.retry_base_ms": 60_000, "ach.retry_cap_ms": 60_000}
    yield from paying(servers, {"payments-svc": pace})


def test_a_case_of_what_waits_in_a_submission_offers_what_is_accepted(stuck):
    """An order takes the payout out of it, which whoever looks does not."""
    payer, cases = stuck, Cases(stuck.world)

    def waiting():
        merchant = payer.merchant(deposit=10_000)
        payout_id = merchant.pay(1_000, ACH).payout_id
        wait_until(lambda: payer.world.payments_rows(
            f"SELECT f.state, f.tries > 0 FROM saga AS s JOIN submission_item AS i USING (book_id, payout_id, attempt) JOIN submission AS f "
            f"USING (book_id, submission_id) WHERE s.book_id = {merchant.book_id} AND s.payout_id = '{payout_id}' AND s.step = 4 "
            "AND f.lease_ends_at IS NULL") == [["1", "t"]], "the first try to send it has failed")
        return merchant, cases.insert(book_id=merchant.book_id, kind="PAYOUT_OVERDUE", subject_type="payout", subject_id=payout_id,
                                      merchant_id=merchant.id)
    merchant, case = waiting()
    ways = looks_only(payer, cases, case).resolutions
    ((_, state),) = submissions(merchant)
    assert state == "1" and {"CANCEL", "GIVE_BACK"} <= {way.name for way in ways}, (state, ways)
    for way in ways:
        _, case = waiting()
        assert way.name in offered(cases, case, {"RELEASE", "SEND_AGAIN", "MARK_PAID", "GIVE_BACK", "WRITE_OFF", "CANCEL", "DONE", "IGNORE"})
        assert cases.resolve(case, way.name, evidence="the bank's letter").case.state == RESOLVED


def accepted_after_all(payer, submission_id):
    """The bank's acknowledgement of a file that counts as never taken."""
    ((name, items, total),) = payer.world.payments_rows(f"SELECT name, items, total FROM submission WHERE submission_id = '{submission_id}'")
    said = {"file": name, "status": "accepted", "entries": int(items), "total": int(total), "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    (payer.world.stack.folder / "bank" / "sftp" / "outbox" / f"after-all-{submission_id}").write_text(json.dumps(said))


def test_NO_DOUBLE_the_first_file_is_taken_after_the_next_was_sent(silent, tmp_path):
    """Each payout may be paid twice: none is booked before a person has looked, and then as the person has found out."""
    cases = Cases(silent.world)
    merchant, ids, case = unknown(silent, tmp_path, "ach.upload.fenced")
    cases.resolve(case, "BANK_HAS_IT_NOT", evidence="the bank's operator, by telephone")
    wait_until(lambda: entries_at_the_bank(silent, merchant, ids) == [1, 1], "the bank has each once")
    merchant.wait_for(ids, {SENT})
    accepted_after_all(silent, case.subject_id)
    merchant.wait_for(ids, {HELD})
    for i, payout_id in enumerate(ids):
        odd = case_of(cases, merchant, payout_id)
        assert odd.kind == "PAYOUT_CONTRADICTION" and "earlier attempt" in odd.text
        say(silent, merchant, payout_id, SET, attempt=2, amount=1_000 + i)
    wait_until(lambda: silent.world.payments_rows(
        f"SELECT count(*) FROM saga WHERE book_id = {merchant.book_id} AND events = events_seen AND state = 10") == [["2"]], "both are heard")
    assert merchant.balance() == (7_999, 2_001, 10_000), "neither is booked"
    # One of them was paid by the second file, as the bank says by telephone; the first file it has not got after all.
    cases.resolve(case_of(cases, merchant, ids[0]), "MARK_PAID", evidence="the bank's operator, by telephone")
    goes_on_to(SETTLED, merchant, ids[0])
    (again,) = [one for one in cases.list(kind="SUBMISSION_UNKNOWN") if one.subject_id == case.subject_id]
    cases.resolve(again, "BANK_HAS_IT_NOT", evidence="the bank's letter")
    goes_on_to(SETTLED, merchant, ids[1])
    assert merchant.balance() == (7_999, 0, 7_999)
    assert_proven(merchant)
