"""The life of a payout on both rails, from the file of a merchant to the account of a recipient, and what explains it."""

import pytest
from support import stubs
from support.paying import (ACCOUNT_PREFIX, ACH, FAILED, INSTANT, NAME_PREFIX, RECIPIENTS, RETURNED, SETTLED, Payer,
                            assert_bank_agrees, assert_books_at_rest, assert_ledger_equals_bank, of_bank)

# (what, rail, currency, amount, final state, reason, submissions): the amount asks the bank for an outcome.
LIVES = [
    ("ach", ACH, "USD", 12_500, SETTLED, "", 1),
    ("ach returned R01", ACH, "USD", 10_901, RETURNED, "R01", 1),
    ("ach returned R02", ACH, "USD", 10_902, RETURNED, "R02", 1),
    ("ach returned R03", ACH, "USD", 10_903, RETURNED, "R03", 1),
    ("ach returned R04", ACH, "USD", 10_904, RETURNED, "R04", 1),
    ("ach returned R10", ACH, "USD", 10_910, RETURNED, "R10", 1),
    ("ach returned R16", ACH, "USD", 10_916, RETURNED, "R16", 1),
    ("ach returned R20", ACH, "USD", 10_920, RETURNED, "R20", 1),
    ("ach returned after settlement", ACH, "USD", 10_951, RETURNED, "R03", 1),
    ("instant", INSTANT, "USD", 777, SETTLED, "", 1),
    ("instant INR", INSTANT, "INR", 123_456, SETTLED, "", 1),
    ("instant refused", INSTANT, "USD", 10_801, FAILED, "AC04", 1),
    ("instant refused twice, then accepted", INSTANT, "USD", 10_802, SETTLED, "", 3),
    ("instant answer dropped", INSTANT, "USD", 10_803, SETTLED, "", None),
    ("instant 503 twice", INSTANT, "USD", 10_804, SETTLED, "", None),
    ("instant slow answer", INSTANT, "USD", 10_805, SETTLED, "", 1),
    ("instant webhook late", INSTANT, "USD", 10_806, SETTLED, "", 1),
    ("instant webhook missing", INSTANT, "USD", 10_807, SETTLED, "", 1),
    ("instant webhook twice", INSTANT, "USD", 10_808, SETTLED, "", 1),
    ("instant returned after settlement", INSTANT, "INR", 10_809, RETURNED, "AC04", 1),
]
SETTINGS = {"payments-svc": {"saga.resolve_after_ms": 700, "saga.poll_ms": 50, "saga.backoff_base_ms": 50,
                             "ach.gather_ms": 100, "ach.poll_ms": 100},
            "bank-sim": {"ach.return_delay_ms": 300, "instant.return_delay_ms": 300, "faults.slow_ms": 800,
                         "faults.webhook_late_ms": 500}}


@pytest.fixture(scope="module")
def lived(servers):
    """All the lives at once, in one world, lived to their ends: (payer, merchant, {what: payout})."""
    world = servers.world(SETTINGS)
    try:
        payer = Payer(world.up())
        merchant = payer.merchant(deposit=10_000_000, currencies=("INR", "USD"))
        made = {what: merchant.pay(amount, rail, currency, external_reference=what, description="INVOICE 7")
                for what, rail, currency, amount, *_ in LIVES}
        # SETTLED may still become RETURNED: wait for each one's own end.
        for state in (SETTLED, FAILED, RETURNED):
            merchant.wait_for([made[life[0]].payout_id for life in LIVES if life[4] == state], {state}, 60)
        now = {payout.payout_id: payout for payout in merchant.payouts()}
        yield payer, merchant, {what: now[payout.payout_id] for what, payout in made.items()}
        world.stop_and_check()
    finally:
        world.remove()


@pytest.mark.parametrize("what, rail, currency, amount, state, reason, attempts", LIVES, ids=[life[0] for life in LIVES])
def test_a_life(lived, what, rail, currency, amount, state, reason, attempts):
    _, merchant, payouts = lived
    payout = payouts[what]
    assert (payout.state, payout.reason) == (state, reason)
    assert (payout.rail, payout.currency, payout.amount_minor, payout.external_reference, payout.description) == (
        rail, currency, amount, what, "INVOICE 7")
    assert payout.merchant_id == merchant.id
    assert payout.recipient_id in {merchant.recipient(currency, n) for n in range(RECIPIENTS)}
    assert bool(payout.reason_text) == bool(reason)
    assert payout.update_time.ToDatetime() >= payout.create_time.ToDatetime()
    if attempts is not None:
        assert payout.attempts == attempts
    assert payout == merchant.payout(payout.payout_id)


def test_NO_DOUBLE_the_bank_paid_each_exactly_once(lived):
    payer, _, payouts = lived
    assert_bank_agrees(payer, list(payouts.values()))
    rows = payer.bank.payments()
    for payout in payouts.values():
        last = [row for row in of_bank(rows, payout) if row["status"] != "refused"]
        if payout.state == SETTLED:
            reference = last[0]["key_or_trace"] if payout.rail == ACH else last[0]["payment_id"]
            assert payout.rail_reference == reference


def test_BALANCED_and_transit_accounts_empty(lived):
    payer, merchant, _ = lived
    assert_books_at_rest(payer, [merchant.book_id])
    assert_ledger_equals_bank(payer)


def test_the_balance_is_proven(lived):
    _, merchant, payouts = lived
    for currency in ("USD", "INR"):
        gone = sum(p.amount_minor for p in payouts.values() if p.state == SETTLED and p.currency == currency)
        assert merchant.balance(currency, prove=True) == (10_000_000 - gone, 0, 10_000_000 - gone)
        assert merchant.balance(currency, prove=False) == (10_000_000 - gone, 0, 10_000_000 - gone)


STEPS_OF = {  # the skeleton of each kind of life: (step, outcome) in order
    SETTLED: [("RESERVE", "DONE"), ("CONFIRM", "DONE")],
    FAILED: [("RESERVE", "DONE"), ("EXECUTE", "REFUSED"), ("VOID", "DONE")],
    RETURNED: [("RESERVE", "DONE")],
}


@pytest.mark.parametrize("what", [life[0] for life in LIVES])
def test_EXPLAINED_every_state_from_rows(lived, what):
    """Who, what, when, which attempt, which rail reference, which journal rows: the timeline alone tells the story."""
    payer, merchant, payouts = lived
    answer = merchant.timeline(payouts[what].payout_id)
    entries = list(answer.entries)
    assert answer.payout == payouts[what]
    log = [entry for entry in entries if entry.sequence > 0]
    assert [entry.sequence for entry in log] == list(range(1, len(log) + 1)), "the step log has a gap"
    times = [(entry.time.seconds, entry.time.nanos) for entry in entries]
    assert times == sorted(times)
    assert all(entry.worker and entry.epoch > 0 for entry in log)
    # Each outcome follows the intent of its own step and attempt, written by the same worker under the same epoch.
    open_intent = None
    for entry in log:
        if entry.kind == "INTENT":
            assert entry.outcome == "" and open_intent is None, entry
            open_intent = entry
        else:
            assert entry.kind == "OUTCOME" and entry.outcome not in ("", "OTHER"), entry
            if open_intent is not None:
                assert (open_intent.step, open_intent.attempt, open_intent.worker, open_intent.epoch) == (
                    entry.step, entry.attempt, entry.worker, entry.epoch)
            open_intent = None
    assert open_intent is None, "a finished payout has no open intent"
    outcomes = [(entry.step, entry.outcome) for entry in log if entry.kind == "OUTCOME"]
    rest = iter(outcomes)
    assert all(step in rest for step in STEPS_OF[answer.payout.state]), outcomes
    if answer.payout.state == RETURNED:
        assert outcomes[-1] in (("VOID", "DONE"), ("RETURN", "DONE")), outcomes
        assert any(entry.kind == "EVENT" and entry.outcome == "RETURNED" and entry.reason == answer.payout.reason
                   for entry in entries)
    # The ledger's work is in its journal under the ids that the log names.
    wanted = [entry.ledger_transfer_id for entry in log
              if entry.kind == "OUTCOME" and entry.outcome == "DONE" and entry.ledger_transfer_id]
    ledger = merchant.ledger
    found = ledger.stub.LookupTransfers(ledger.pb.LookupTransfersRequest(book_id=merchant.book_id, ids=wanted), timeout=10)
    assert [row.id for row in found.transfers] == list(dict.fromkeys(wanted)) and len(wanted) >= 2
    assert {row.user_data_128 for row in found.transfers} == {answer.payout.intent_id}
    # And what the rail was given stands there with its reference.
    if answer.payout.state != FAILED:
        assert any(entry.rail_reference == answer.payout.rail_reference for entry in entries)


def test_EXPLAINED_the_summary_adds_up(lived):
    payer, merchant, payouts = lived
    answer = payer.call("Payout", "SummarizePayouts", payer.pb.SummarizePayoutsRequest(merchant_id=merchant.id))
    wanted = {}
    for payout in payouts.values():
        count, total = wanted.get((payout.state, payout.rail, payout.currency), (0, 0))
        wanted[payout.state, payout.rail, payout.currency] = (count + 1, total + payout.amount_minor)
    assert {(line.state, line.rail, line.currency): (line.count, int(line.sum_minor)) for line in answer.lines} == wanted


def test_no_bank_details_in_any_log_and_none_in_any_table(lived):
    """The account number of every recipient of this module: sealed in the tables, absent from the logs, unseen by callers."""
    payer, _, _ = lived
    world, number, name = payer.world, ACCOUNT_PREFIX, NAME_PREFIX
    for log in (world.stack.folder / "log").glob("*.log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        assert number not in text and name not in text, log
    assert world.payments_rows("SELECT count(*) FROM recipient")[0][0] != "0"
    for (table,) in world.payments_rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        needles = [number, number.encode().hex(), name, name.encode().hex(), name.upper().encode().hex()]
        where = " OR ".join(f"position('{needle}' in x::text) > 0" for needle in needles)
        found = world.payments_rows(f"SELECT count(*) FROM {table} AS x WHERE {where}")
        assert found == [["0"]], table


def test_the_kept_answers_hold_no_account_number(lived):
    payer, merchant, _ = lived
    number = ACCOUNT_PREFIX
    rows = payer.world.payments_rows(
        f"SELECT count(*) FROM idempotency AS x WHERE position('{number.encode().hex()}' in x::text) > 0")
    assert rows == [["0"]]
    recipients = stubs.modules("payments/v1/recipient_service")[0]
    answer = payer.call("Recipient", "GetRecipient", recipients.GetRecipientRequest(
        merchant_id=merchant.id, recipient_id=merchant.recipient("USD")))
    account = merchant.person(merchant.recipient("USD")).account
    assert answer.recipient.account_last4 == account[-4:] and number.encode() not in answer.SerializeToString()


def test_the_description_reaches_the_receiver_s_bank(new_world):
    """In the file as the bank archived it: a batch for each SEC and description, and each payout's entry under its own."""
    payer = Payer(new_world(SETTINGS))
    merchant = payer.merchant(deposit=1_000_000)
    company = merchant.new_recipient()
    company.name, company.holder_type = "Acme Ltd", 2
    company_id = payer.call("Recipient", "CreateRecipient", payer.recipients_pb.CreateRecipientRequest(
        merchant_id=merchant.id, recipient=company)).recipient.recipient_id
    wanted = {}  # payout id: (SEC, description in the file)
    for given, written in (("Rent May", "RENT MAY"), ("", "PAYOUT"), ("rent may", "RENT MAY"), ("REVERSAL", "PAYOUT")):
        for sec, recipient_id in (("PPD", merchant.recipient()), ("CCD", company_id)):
            payout = merchant.pay(1000, ACH, description=given, recipient_id=recipient_id)
            wanted[payout.payout_id] = (sec, written)
    final = merchant.wait_for(list(wanted), {SETTLED})
    found, headers = {}, {}  # trace: (SEC, description); file: batch headers
    for file in payer.world.stack.folder.glob("**/archive/*.ach"):
        for line in file.read_text(encoding="ascii").splitlines():
            if line[0] == "5":
                batch = (line[50:53], line[53:63].strip())
                headers.setdefault(file, []).append(batch)
            elif line[0] == "6":
                found[line[79:94]] = batch
    assert {payout_id: found[payout.rail_reference] for payout_id, payout in final.items()} == wanted
    assert len(found) == len(wanted) and all(len(batches) == len(set(batches)) for batches in headers.values()), headers
    assert_bank_agrees(payer, list(final.values()))
