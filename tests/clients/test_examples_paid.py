"""examples/payouts.csv, paid: what examples/README.md says of its rows is what becomes of them, and it is paid once."""

from __future__ import annotations

import re
from collections import Counter

from run.layout import PROJECT
from support.paying import Payer, assert_books_at_rest
from support.payctl import DONE, NOT_SETTLED, Payctl
from support.waiting import wait_until

EXAMPLES = PROJECT / "examples"
FILE = str(EXAMPLES / "payouts.csv")
STATES = "SETTLED", "RETURNED", "FAILED"


def promised() -> tuple[Counter, Counter]:
    """Of the README: how many payouts end in each state; and (rail, ending, last state) of the rows that ask for trouble."""
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    totals = Counter({state: int(n) for n, state in re.findall(rf"(\d+) ({'|'.join(STATES)})\b", text)})
    wishes: Counter = Counter()
    for rail, ending, rows, end in re.findall(r"^\| (ACH|instant) \| (\d{3}) \| (\d+) \|.*\| ([^|]+) \|$", text, re.MULTILINE):
        wishes[rail.upper(), int(ending), re.findall("|".join(STATES), end)[-1]] = int(rows)
    assert len(totals) == 3 and wishes.total() == 62, "the README has other tables now"
    return totals, wishes


def standing(payctl: Payctl) -> Counter:
    code, answer, err = payctl.json("payouts", "--summary")
    assert code == DONE, err
    count: Counter = Counter()
    for merchant in answer["merchants"]:
        for line in merchant["lines"]:
            count[line["state"]] += line["count"]
    return count


def outcomes(payctl: Payctl, endings: set[tuple[str, int]]) -> Counter:
    code, answer, err = payctl.json("payouts", "--limit", "2000")
    assert code == DONE and len(answer["payouts"]) == 1000 and answer["limit_reached"] is False, err
    asked = [(payout["rail"], payout["amount_minor"] % 1000, payout["state"]) for payout in answer["payouts"]]
    return Counter(wish for wish in asked if wish[:2] in endings)


def test_NO_DOUBLE_the_examples_are_paid_as_their_readme_says_and_once(new_world, tmp_path):
    """The demo with a bank whose only faults are those that the amounts ask for, so that every number is known."""
    totals, wishes = promised()
    world = new_world()
    payctl, payer = Payctl(world, tmp_path), Payer(world)
    for what in ("create", "deposit"):
        code, _, err = payctl.run("merchants", what, "--from", FILE)
        assert code == DONE, err
    code, answer, err = payctl.json("pay", FILE)
    assert code == NOT_SETTLED, err
    assert (answer["rows"], answer["accepted"], answer["accepted_earlier"], answer["refused"]) == (1000, 1000, 0, 0)

    # Some are settled first, and come back after that.
    wait_until(lambda: standing(payctl) == totals, f"the payouts stand at {dict(totals)}")
    assert outcomes(payctl, {wish[:2] for wish in wishes}) == wishes
    code, out, err = payctl.run("report")
    assert code == DONE and "\nPROVEN: our payouts, the ledger and the bank agree to the last cent.\n" in out, (out, err)
    assert_books_at_rest(payer, [int(book_id) for book_id, in world.payments_rows("SELECT DISTINCT book_id FROM merchant_book")])
    assert payer.bank.duplicates() == []

    record, report = payer.bank.payments(), payer.bank.get("/admin/report")
    assert sum(line["times_credited"] - line["times_returned"] for line in record) == totals["SETTLED"]
    code, answer, err = payctl.json("pay", FILE)
    assert code == NOT_SETTLED, err
    assert (answer["accepted"], answer["accepted_earlier"], answer["refused"]) == (1000, 1000, 0)
    again: Counter = Counter()
    for line in answer["sums"]:
        again[line["state"]] += line["count"]
    assert again == totals
    assert payer.bank.payments() == record and payer.bank.get("/admin/report") == report, "the bank was asked again"
    assert world.payments_rows("SELECT count(*) FROM payout") == [["1000"]]
