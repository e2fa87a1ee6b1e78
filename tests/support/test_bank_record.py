"""The bank's record is worth something: each thing that may be wrong with a payment makes the comparison fail."""

from __future__ import annotations

import pytest
from support.bank_record import BankRecord, Person, effective_dates, name_on_ach, next_banking_day
from support.paying import ACH, INSTANT, SETTLED, Payer

DAY = {"2023-11-09": "2023-11-10", "2026-07-02": "2026-07-03", "2026-11-25": "2026-11-27", "2021-07-02": "2021-07-06",
       "2022-06-17": "2022-06-21", "2027-12-23": "2027-12-24", "2026-12-24": "2026-12-28"}


@pytest.fixture(scope="module")
def paid(servers):
    """A payout to each of four people, settled: (record, the last payout of each rail)."""
    world = servers.world()
    try:
        payer = Payer(world.up())
        merchant = payer.merchant(deposit=100_000)
        made = [merchant.pay(1200, rail, description="Rent", recipient_id=merchant.recipient(which=n))
                for n, rail in enumerate((ACH, INSTANT, ACH, ACH))]
        merchant.wait_for([payout.payout_id for payout in made], {SETTLED})
        yield BankRecord(world, payer.bank), {p.rail: p for p in made}
        world.stop_and_check()
    finally:
        world.remove()


def test_it_agrees_with_what_was_asked(paid):
    record, _ = paid
    assert len(record.check()) == 4


def known_as(record, payout, monkeypatch, **change):
    """The test believes something else of the recipient than what was asked."""
    people = record.world.people.by_recipient
    person = people[payout.recipient_id]
    monkeypatch.setitem(people, payout.recipient_id, Person(**{**person.__dict__, **change}))


@pytest.mark.parametrize("rail", [ACH, INSTANT])
@pytest.mark.parametrize("change, what", [({"account": "00099"}, "who"), ({"routing": "011401533"}, "who"),
                                          ({"name": "Bob Example"}, "who"), ({"account_type": 2}, "account_type")])
def test_another_person_is_seen(paid, monkeypatch, rail, change, what):
    record, payouts = paid
    known_as(record, payouts[rail], monkeypatch, **change)
    with pytest.raises(AssertionError, match=f"{what} is"):
        record.check(within_s=0)


def test_another_class_is_seen(paid, monkeypatch):
    record, payouts = paid
    known_as(record, payouts[ACH], monkeypatch, holder_type=2)
    with pytest.raises(AssertionError, match="sec is 'PPD', not 'CCD'"):
        record.check(within_s=0)


@pytest.mark.parametrize("field, value", [("amount", 1201), ("currency", "INR"), ("description", "OTHER"), ("company_id", "1000009999"),
                                          ("company_name", "SOMEBODY"), ("effective", "200101"), ("payout", "NOBODY"),
                                          ("times_credited", 2)])
def test_another_item_is_seen(paid, monkeypatch, field, value):
    """Changes a field that the bank has noted of the ACH entry."""
    record, _ = paid
    items = record.bank.payments()
    row = next(item for item in items if item["rail"] == "ach")
    row[field] = value
    monkeypatch.setattr(record.bank, "payments", lambda: items)
    with pytest.raises(AssertionError, match="difference"):
        record.check(within_s=0)


def test_a_second_payment_and_a_missing_one_are_seen(paid, monkeypatch):
    record, _ = paid
    items = record.bank.payments()
    monkeypatch.setattr(record.bank, "payments", lambda: [*items, items[0]])
    with pytest.raises(AssertionError, match="more than once"):
        record.check(within_s=0)
    monkeypatch.setattr(record.bank, "payments", lambda: items[1:])
    with pytest.raises(AssertionError, match="settled, but credited 0 times"):
        record.check(within_s=0)


def test_banking_days_and_names():
    import datetime
    for day, following in DAY.items():
        assert next_banking_day(datetime.date.fromisoformat(day)) == datetime.date.fromisoformat(following), day
    # Monday 03:00 in Greenwich is still Sunday in New York; the file of that moment is effective on Monday.
    assert effective_dates(1796007600_000000, 1796007600_000000) == {"261130"}
    assert name_on_ach("Łukasz Weiß-Nguyễn Đặng Øster") == "LUKASZ WEISS-NGUYEN DA"
