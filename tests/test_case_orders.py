"""SEEN and EXPLAINED: a payout that is held is in a case; what a person orders goes on as said, and says who ordered it."""

import grpc
import pytest
from support.paying import FAILED, HELD, INSTANT, SETTLED, Payer
from support.waiting import wait_until

from test_cases import OPEN, RESOLVED, Cases

SENT = 5
SET, RETURNED_KIND = 3, 4
SETTINGS = {"payments-svc": {"saga.poll_ms": 50, "saga.resolve_after_ms": 86_400_000, "deadlines.every_ms": 200},
            "bank-sim": {"instant.settle_delay_ms": 86_400_000}}


@pytest.fixture(scope="module")
def payer(servers):
    """Its bank takes payouts and says no more: whatever is said in these tests, the tests say."""
    world = servers.world(SETTINGS)
    try:
        yield Payer(world.up())
        world.stop_and_check(of_the_bank=False)
    finally:
        world.remove()


@pytest.fixture(scope="module")
def cases(payer):
    return Cases(payer.world)


def say(payer, merchant, payout_id, kind, *, attempt=1, amount=0):
    """As a bank says it: an event, which makes the saga due."""
    payer.world.payments_rows(
        "WITH said AS (INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, rail_reference, at, amount, "
        f"currency) SELECT {merchant.book_id}, '{payout_id}', 'said-' || count(*), {attempt}, {kind}, '', '', '', now(), {amount}, "
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


def test_a_contradiction_is_in_a_case_that_says_what_to_do(payer, cases):
    merchant, payout_id, case = contradicted(payer, cases)
    assert (case.kind, case.state, case.amount_minor) == ("PAYOUT_CONTRADICTION", OPEN, 1_000)
    answer = cases.get(case)
    assert answer.payout.state == HELD and answer.next_step
    names = {way.name: way.needs_evidence for way in answer.resolutions}
    assert names == {"RELEASE": False, "RETRY": False, "MARK_PAID": True, "GIVE_BACK": True, "WRITE_OFF": True, "CANCEL": False}
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


def test_SEEN_an_order_that_cannot_be_carried_out_comes_back_as_a_case(payer, cases):
    merchant, payout_id, case = contradicted(payer, cases)
    cases.resolve(case, "RELEASE")  # what the bank says does not add up: letting it go on would not help
    wait_until(lambda: orders(merchant, payout_id), "the order was heard")
    again = case_of(cases, merchant, payout_id)
    assert again.case_id != case.case_id and again.kind == "PAYOUT_CONTRADICTION"
    assert again.text
    assert merchant.payout(payout_id).state == HELD
    cases.resolve(again, "GIVE_BACK", evidence="letter of the bank")
    goes_on_to(FAILED, merchant, payout_id)
