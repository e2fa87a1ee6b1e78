"""payctl as a person uses it: a program, a file, an exit code, and words on the screen."""

import json
import os
import re
import sqlite3
from pathlib import Path

import pytest
from support.ledger import Ledger
from support.paying import Payer, assert_books_at_rest, assert_ledger_equals_bank, unique
from support.payctl import COLUMNS, DONE, NOT_SETTLED, REFUSED, SERVICE, USAGE, Payctl, row
from support.waiting import wait_until


@pytest.fixture(scope="module")
def payctl(world, tmp_path_factory):
    return Payctl(world, tmp_path_factory.mktemp("payctl"))


@pytest.fixture
def merchant(payctl):
    """Made and funded by payctl itself: 1,000.00 USD."""
    name = unique("shop")
    code, _, err = payctl.run("merchants", "create", name, "--name", "Shop", "--currency", "USD")
    assert code == DONE, err
    deposit = ("merchants", "deposit", name, "--amount", "1000.00", "--currency", "USD", "--key", "d1")
    for _ in range(2):  # once per key
        code, _, err = payctl.run(*deposit)
        assert code == DONE, err
    return name


def balance(payctl, merchant):
    code, answer, err = payctl.json("balance", merchant, "--prove")
    assert code == DONE, err
    assert [found["merchant_id"] for found in answer["merchants"]] == [merchant]
    line = answer["merchants"][0]["lines"][0]
    assert line["proven"] is True
    return int(line["available_minor"]), int(line["held_minor"]), int(line["total_minor"])


def test_pay_a_good_file_and_again(payctl, merchant, world):
    """Every payout settles; the second run pays nothing, and says so."""
    file = payctl.file([row(merchant, f"r{i}", rail="ach" if i % 2 else "instant", amount=f"{10 + i}.05",
                            recipient_name=f"Person {i % 3}") for i in range(8)])
    code, out, err = payctl.run("pay", file)
    assert code == DONE, (out, err)
    assert "8 rows: 8 accepted, 0 refused" in out and "SETTLED" in out
    left = 100_000 - sum((10 + i) * 100 + 5 for i in range(8))
    assert balance(payctl, merchant) == (left, 0, left)

    code, answer, err = payctl.json("pay", file)
    assert code == DONE, err
    assert (answer["rows"], answer["accepted"], answer["accepted_earlier"], answer["refused"]) == (8, 8, 8, 0)
    assert (answer["sent"], answer["unanswered"], answer["refusals"], answer["unsettled"]) == (True, 0, [], [])
    assert sum(line["count"] for line in answer["sums"]) == 8 and {line["state"] for line in answer["sums"]} == {"SETTLED"}
    assert balance(payctl, merchant) == (left, 0, left)
    code, out, _ = payctl.run("pay", file)
    assert code == DONE and "not paid again" in out
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant}'") == [["8"]]
    assert world.payments_rows(f"SELECT count(*) FROM recipient WHERE merchant_id = '{merchant}'") == [["8"]]
    payer = Payer(world)
    book_id = int(world.payments_rows(f"SELECT book_id FROM merchant_book WHERE merchant_id = '{merchant}'")[0][0])
    assert_books_at_rest(payer, [book_id])
    assert payer.bank.duplicates() == []


BAD = [({"amount": "0"}, "amount"), ({"amount": "-5"}, "amount"), ({"amount": "12.345"}, "amount"), ({"amount": "1e3"}, "amount"),
       ({"amount": ""}, "amount"), ({"currency": "XQX"}, "currency"), ({"currency": "INR", "rail": "ach", "routing_code": "HDFC0001234"}, "currency"),
       ({"rail": "pigeon"}, "rail"), ({"holder_type": "dog"}, "holder_type"), ({"account_type": ""}, "account_type"),
       ({"routing_code": "021000022"}, "routing_code"), ({"account_number": "12 34"}, "account_number"),
       ({"reference": ""}, "reference"), ({"merchant_id": "Not Valid"}, "merchant_id"), ({"recipient_name": ""}, "recipient_name"),
       ({"description": "more than ten"}, "description"), ({"amount": "99999999999.00", "rail": "ach"}, "amount")]


def test_a_file_with_bad_lines_is_not_sent_and_each_is_named(payctl, merchant, world):
    rows = [row(merchant, "good-1")]
    for i, (change, _) in enumerate(BAD):
        rows.append({**row(merchant, f"bad-{i}"), **change})
    rows += [row(merchant, "good-1"), row(merchant, "good-2")]  # the first of them is a reference used twice
    file = payctl.file(rows, "bad.csv")
    code, out, err = payctl.run("pay", file)
    assert code == USAGE, (out, err)
    for i, (_, column) in enumerate(BAD):
        line = next((text for text in err.splitlines() if text.startswith(f"{file}:{i + 3}:")), None)
        assert line is not None and column in line, (i + 3, column, err)
    assert f"{file}:{len(BAD) + 3}:" in err, "the reference that is used twice is not named"
    assert f"{file}:2:" not in err and f"{file}:{len(BAD) + 4}:" not in err, "a good line is named"
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant}'") == [["0"]]


def test_bad_lines_as_json(payctl, merchant):
    """Also of a long text, cut between two letters, and of one that is no UTF-8."""
    file = payctl.file([row(merchant, "good"), row(merchant, "bad-1", amount="1" + "é" * 30),
                        row(merchant, "bad-2", rail="pigeon"), row(merchant, "bad-3", amount="1£")])
    text = Path(file).read_text(encoding="utf-8")
    Path(file).write_bytes(text.replace("£", "\udca3").encode("utf-8", "surrogateescape"))
    for args in (["pay", file], ["pay", file, "--check"], ["merchants", "create", "--from", file],
                 ["merchants", "deposit", "--from", file]):
        code, answer, err = payctl.json(*args)
        assert code == USAGE and f"{file}:3:" in err, (args, err)
        assert (answer["sent"], answer["good"]) == (False, 1)
        assert [(bad["line"], bad["field"], bad["reason"]) for bad in answer["bad"]] == [
            (3, "amount", "AMOUNT_INVALID"), (4, "rail", "FIELD_INVALID"), (5, "amount", "INVALID_UTF8")]
        assert all(f":{bad['line']}: {bad['field']}: {bad['error']}\n" in err for bad in answer["bad"][:2])
        assert answer["bad"][0]["error"].startswith('"1' + "é" * 19 + '" is not an amount of USD')
        assert answer["bad"][2]["error"].startswith("is not UTF-8 text: byte 2 is 0xA3")
    code, answer, _ = payctl.json("pay", str(payctl.folder / "not-there.csv"))
    assert code == USAGE and [(bad["line"], bad["reason"]) for bad in answer["bad"]] == [(0, "FILE_UNREADABLE")]


def test_a_file_that_is_no_payout_file(payctl, merchant):
    missing = payctl.file([row(merchant, "x")], "missing.csv", [name for name in COLUMNS if name != "amount"])
    code, _, err = payctl.run("pay", missing)
    assert code == USAGE and "amount" in err
    code, _, err = payctl.run("pay", str(payctl.folder / "not-there.csv"))
    assert code == USAGE and "not-there.csv" in err
    empty = payctl.folder / "empty.csv"
    empty.write_text("", encoding="utf-8")
    assert payctl.run("pay", str(empty))[0] == USAGE


def test_check_sends_nothing(payctl, merchant, world):
    code, out, err = payctl.run("pay", payctl.file([row(merchant, "c1")]), "--check")
    assert code == DONE and "all good" in out, (out, err)
    code, answer, err = payctl.json("pay", payctl.file([row(merchant, "c1"), row(merchant, "c2")]), "--check")
    assert code == DONE and answer == {"sent": False, "good": 2, "bad": []}, err
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant}'") == [["0"]]


def test_payouts_that_do_not_settle_are_told_and_change_the_exit_code(payctl, merchant):
    file = payctl.file([row(merchant, "ok"), row(merchant, "refused", amount="8.01"), row(merchant, "back", rail="ach", amount="9.03"),
                        row(merchant, "too-much", amount="5000.00")])
    code, out, err = payctl.run("pay", file)
    assert code == NOT_SETTLED, (out, err)
    for word in ("AC04", "R03", "INSUFFICIENT_FUNDS", "FAILED", "RETURNED"):
        assert word in out, out
    code, answer, err = payctl.json("pay", file)
    assert code == NOT_SETTLED, err
    assert [(gone["line"], gone["merchant_id"], gone["reference"], gone["state"], gone["reason"]) for gone in answer["unsettled"]] == [
        (3, merchant, "refused", "FAILED", "AC04"), (4, merchant, "back", "RETURNED", "R03"),
        (5, merchant, "too-much", "FAILED", "INSUFFICIENT_FUNDS")]
    assert all(re.fullmatch("[0-9a-f-]{36}", gone["payout_id"]) and gone["reason_text"] for gone in answer["unsettled"])
    assert answer["refusals"] == [] and answer["refused"] == 0


def test_rows_that_the_service_refuses(payctl, merchant, world):
    """Merchants that do not exist, one sent before the others and one after. Nothing is sent; or all others are, if asked for."""
    first, last = "0-nobody", "zz-nobody"
    file = payctl.file([row(last, "theirs-3"), row(merchant, "mine-1"), row(first, "theirs-1"), row(merchant, "mine-2", rail="ach"),
                        row(first, "theirs-2")])
    bad = [(line, "merchant_id", "MERCHANT_NOT_FOUND", "no such merchant") for line in (2, 4, 6)]
    for words in (["pay", file, "--check"], ["pay", file]):
        code, answer, err = payctl.json(*words)
        assert code == USAGE and (answer["sent"], answer["good"]) == (False, 2), (answer, err)
        assert [(no["line"], no["field"], no["reason"], no["error"]) for no in answer["bad"]] == bad
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant}'") == [["0"]]

    code, out, err = payctl.run("pay", file, "--skip-bad")
    assert code == REFUSED, (out, err)
    assert "2 rows: 2 accepted, 0 refused, 3 bad and not sent\n" in out, out
    assert all(f"{file}:{line}: merchant_id: no such merchant\n" in err for line in (2, 4, 6)), err
    settled = 2 * 1250
    assert balance(payctl, merchant) == (100_000 - settled, 0, 100_000 - settled)
    _, listed, _ = payctl.json("payouts", "--merchant", merchant)
    assert sorted((payout["external_reference"], payout["state"]) for payout in listed["payouts"]) == [
        ("mine-1", "SETTLED"), ("mine-2", "SETTLED")]

    code, answer, err = payctl.json("pay", file, "--skip-bad")
    assert code == REFUSED, err
    assert (answer["accepted"], answer["accepted_earlier"], answer["refused"], answer["unanswered"]) == (2, 2, 0, 0)
    assert [(no["line"], no["field"], no["reason"], no["error"]) for no in answer["bad"]] == bad
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant}'") == [["2"]]


def test_one_row_that_the_service_refuses(payctl, merchant):
    """The same key with other money is refused for itself; its neighbour waits for it, unless it is said not to."""
    payctl.run("pay", payctl.file([row(merchant, "used")]))
    file = payctl.file([row(merchant, "used", amount="12.51"), row(merchant, "fresh")])
    code, answer, err = payctl.json("pay", file)
    assert (code, answer["good"]) == (USAGE, 1), err
    assert [(no["line"], no["reason"]) for no in answer["bad"]] == [(2, "IDEMPOTENCY_KEY_REUSED")]
    code, answer, err = payctl.json("pay", file, "--skip-bad")
    assert code == REFUSED, err
    assert [(no["line"], no["reason"]) for no in answer["bad"]] == [(2, "IDEMPOTENCY_KEY_REUSED")]
    assert [(line["state"], line["count"]) for line in answer["sums"]] == [("SETTLED", 1)]


def test_one_payout(payctl, merchant):
    payctl.run("pay", payctl.file([row(merchant, "one", rail="ach")]))
    code, listed, _ = payctl.json("payouts", "--merchant", merchant)
    assert code == DONE and len(listed["payouts"]) == 1
    payout = listed["payouts"][0]
    full_id = f"{merchant}/{payout['payout_id']}"
    code, out, err = payctl.run("payout", full_id)
    assert code == DONE, err
    for word in (full_id, "SETTLED", "12.50", payout["rail_reference"], "timeline", "RESERVE", "EXECUTE", "CONFIRM", "one"):
        assert word in out, (word, out)
    code, answer, _ = payctl.json("payout", full_id)
    assert code == DONE and answer["payout"]["state"].endswith("SETTLED") and len(answer["entries"]) >= 6
    code, _, err = payctl.run("payout", f"{merchant}/0190b1f0-0000-7000-8000-000000000001")
    assert code == SERVICE and "no such payout" in err
    assert payctl.run("payout", "nonsense")[0] == USAGE


def test_payouts_with_filters(payctl, merchant):
    payctl.run("pay", payctl.file([row(merchant, "a"), row(merchant, "b", amount="8.01"), row(merchant, "c", rail="ach")]))

    def references(*args):
        code, answer, err = payctl.json("payouts", "--merchant", merchant, *args)
        assert code == DONE, err
        return sorted(payout["external_reference"] for payout in answer.get("payouts", []))

    assert references() == ["a", "b", "c"]
    assert references("--state", "FAILED") == ["b"]
    assert references("--rail", "ach") == ["c"]
    assert references("--reference", "a") == ["a"]
    assert len(references("--limit", "2")) == 2
    code, out, _ = payctl.run("payouts", "--merchant", merchant, "--summary")
    assert code == DONE and "SETTLED" in out and "FAILED" in out
    assert payctl.run("payouts", "--state", "SLEEPING")[0] == USAGE
    assert payctl.run("payouts", "--limit", "0")[0] == USAGE


def test_balance_for_people(payctl, merchant):
    code, out, _ = payctl.run("balance", merchant, "--prove")
    assert code == DONE and "1,000.00" in out.replace("1000.00", "1,000.00") and "equals its" in out
    code, _, err = payctl.run("balance", "nobody-at-all")
    assert code == SERVICE and "no such merchant" in err


def test_deposits_for_people_and_programs(payctl, merchant, world):
    payer = Payer(world)
    made = payer.call("Merchant", "CreateDeposit", payer.merchants_pb.CreateDepositRequest(
        merchant_id=merchant, idempotency_key="wire-1", amount_minor=5, currency="USD", reference="wire 1"))
    code, out, err = payctl.run("deposits", merchant, "--state", "CREDITED")
    assert code == DONE, err
    (line,) = [line for line in out.splitlines() if "wire 1" in line]
    assert f"{merchant}/{made.transfer_id}" in line and "0.05 USD" in line and "CREDITED" in line
    code, answer, err = payctl.json("deposits", merchant)
    assert code == DONE, err
    (found,) = answer["merchants"]
    assert found["merchant_id"] == merchant
    (deposit,) = [one for one in found["deposits"] if one["idempotency_key"] == "wire-1"]
    assert (deposit["deposit_id"], deposit["state"], deposit["reference"]) == (made.transfer_id, "CREDITED", "wire 1")
    assert payctl.run("deposits", merchant, "--state", "GONE")[0] == USAGE
    code, _, err = payctl.run("deposits", "nobody-at-all")
    assert code == SERVICE and "no such merchant" in err


def test_a_balance_that_was_tampered_with(payctl, merchant, world):
    """The ledger's kept balance is one cent less than the sum of its entries: GetBalance and payctl both say so."""
    payer = Payer(world)
    code, answer, err = payctl.json("merchants", "deposit", merchant, "--amount", "1000.00", "--currency", "USD", "--key", "d1")
    assert code == DONE, err
    account, book_id = world.ledger_rows("SELECT credit_account_id, book_id FROM transfer "
                                         f"WHERE transfer_id = '{answer['deposits'][0]['transfer_id']}'")[0]
    change = f"UPDATE account SET credits_posted = credits_posted + %d WHERE book_id = {book_id} AND account_id = '{account}'"

    def get_balance(prove):
        line, = payer.call("Merchant", "GetBalance", payer.merchants_pb.GetBalanceRequest(merchant_id=merchant, prove=prove)).lines
        return line.total_minor, line.proven, line.entries

    assert get_balance(True) == (100_000, True, 1)
    Ledger(world, int(book_id)).await_checkpoint()  # what the row says is what is read
    world.ledger_rows(change % -1)
    try:
        assert get_balance(True) == (99_999, False, 1)
        assert get_balance(False) == (99_999, False, 0)  # proves nothing, and does not say that it did
        people = payctl.run("balance", merchant, "--prove")
        machines = payctl.json("balance", merchant, "--prove")
        not_asked = payctl.run("balance", merchant)
    finally:
        world.ledger_rows(change % 1)
    assert people[0] == NOT_SETTLED and "DIFFERS from its entries" in people[1] and "equals" not in people[1], people
    assert machines[0] == NOT_SETTLED and machines[1]["merchants"][0]["lines"][0]["proven"] is False, machines
    assert not_asked[0] == DONE and "DIFFERS" not in not_asked[1], not_asked
    assert balance(payctl, merchant) == (100_000, 0, 100_000)


def watched(out):
    """The lines of watch --json: each one whole object."""
    assert out.endswith("\n")
    return [json.loads(line) for line in out.splitlines()]


def test_watch_until_done(payctl, merchant):
    """Exit code 0 when all that it showed has settled. What changes while nobody looks is not shown twice."""
    code, out, err = payctl.run("pay", payctl.file([row(merchant, "w1"), row(merchant, "w2", rail="ach")]), "--no-wait")
    assert code == DONE, (out, err)
    code, out, err = payctl.run("watch", merchant, "--until-done")
    assert code == DONE, (out, err)
    code, listed, _ = payctl.json("payouts", "--merchant", merchant)
    assert {payout["state"] for payout in listed["payouts"]} == {"SETTLED"}
    full_id = f"{merchant}/{listed['payouts'][0]['payout_id']}"
    code, out, err = payctl.run("watch", full_id, "--until-done")
    assert code == DONE and full_id in out and "SETTLED" in out, (out, err)
    code, out, err = payctl.run("--json", "watch", full_id, "--until-done")
    assert code == DONE and watched(out) == [listed["payouts"][0]], (out, err)


def test_the_feed_of_a_merchant_and_of_its_book(payctl, merchant):
    code, out, err = payctl.run("pay", payctl.file([row(merchant, "f1"), row(merchant, "f2")]))
    assert code == DONE, (out, err)
    code, out, err = payctl.run("--json", "feed", "--merchant", merchant)
    entries = watched(out)
    assert code == DONE and entries and {entry["merchant_id"] for entry in entries} == {merchant}, (out, err)
    assert set(entries[0]) == {"position", "at", "payout_id", "merchant_id", "from_state", "to_state", "reason"}
    positions = [int(entry["position"]) for entry in entries]
    assert positions == sorted(set(positions))
    code, out, _ = payctl.run("--json", "feed", "--merchant", merchant, "--from", str(positions[0]), "--state", "SETTLED")
    assert code == DONE and watched(out) == [entry for entry in entries[1:] if entry["to_state"] == "SETTLED"]
    code, out, _ = payctl.run("feed", "--merchant", merchant)
    assert code == DONE and len(out.splitlines()) == len(entries) and f"new         PENDING     {merchant}/" in out
    for wrong in ([], ["--book", "x"], ["--merchant", merchant, "--from", "-1"], ["--merchant", merchant, "--state", "GONE"], ["x"]):
        assert payctl.run("feed", *wrong)[0] == USAGE, wrong
    code, _, err = payctl.run("feed", "--merchant", merchant, "--from", str(2**60))
    assert code == SERVICE and "the feed ends at position" in err


def test_watch_a_payout_that_does_not_settle(payctl, merchant):
    """Exit code 1, whether it ended before the watch began or under its eyes."""
    for reference, change, state in (("refused", {"amount": "8.01"}, "FAILED"), ("back", {"rail": "ach", "amount": "9.03"}, "RETURNED")):
        code, _, err = payctl.run("pay", payctl.file([row(merchant, reference, **change)]), "--no-wait")
        assert code == DONE, err
        _, listed, _ = payctl.json("payouts", "--merchant", merchant, "--reference", reference)
        full_id = f"{merchant}/{listed['payouts'][0]['payout_id']}"
        for _ in range(2):
            code, out, err = payctl.run("--json", "watch", full_id, "--until-done")
            assert code == NOT_SETTLED, (out, err)
            seen = watched(out)
            assert {f"{payout['merchant_id']}/{payout['payout_id']}" for payout in seen} == {full_id}
            assert seen[-1]["state"] == state
    code, _, err = payctl.run("watch", f"{merchant}/0190b1f0-0000-7000-8000-000000000001", "--until-done")
    assert code == SERVICE and "no payout" in err


BAR = re.compile(r"\r(sending|paying) +\[(#*)(\.*)\] (\d+)/(\d+) ")


def test_progress_on_a_terminal(payctl, merchant):
    """A bar of thirty places that is drawn over itself, from nothing to all of it; on stderr, so that the report stands alone."""
    code, out, err = payctl.run_on_terminal("pay", payctl.file([row(merchant, f"t{i}", rail="ach" if i % 2 else "instant")
                                                                for i in range(4)]))
    assert code == DONE, (out, err)
    for label in ("sending", "paying"):
        bars = [found.groups()[1:] for found in BAR.finditer(err) if found[1] == label]
        assert bars[0] == ("", "." * 30, "0", "4") and bars[-1] == ("#" * 30, "", "4", "4"), err
        assert all(len(done) == 30 * int(n) // int(total) and len(done + left) == 30 for done, left, n, total in bars), bars
    assert "4 SETTLED" in err
    assert out.startswith("4 rows: 4 accepted") and "\r" not in out and "[" not in out
    code, out, err = payctl.run_on_terminal("--json", "pay", payctl.file([row(merchant, "t0")]))
    assert code == DONE and err == "" and json.loads(out)["accepted"] == 1, err


def test_progress_in_a_pipe(payctl, merchant):
    """Nothing, or plain lines for who asks for them: nothing that a log file would show as rubbish."""
    file = payctl.file([row(merchant, "p1"), row(merchant, "p2")])
    code, _, err = payctl.run("pay", file, "--progress")
    assert code == DONE and "\r" not in err and "#" not in err
    assert re.search(r"^sending: 2/2 $", err, re.M) and re.search(r"^paying: 2/2 2 SETTLED$", err, re.M), err
    code, _, err = payctl.run("pay", file)
    assert (code, err) == (DONE, "")


REPORT_KEYS = {"agree", "balanced", "transit_empty", "payouts", "states", "banks", "not_compared", "flows", "accounts", "differences",
               "trial_balance"}


def report_as_json(payctl, payer):
    """All that the report for people has, and the sums behind its net figures, as the services and the bank say them."""
    code, answer, _ = payctl.json("report")
    assert code == DONE
    assert set(answer) == REPORT_KEYS
    assert answer["differences"] == [] and answer["payouts"] == sum(line["count"] for line in answer["states"]) > 0
    assert answer["agree"] is answer["balanced"] is answer["transit_empty"] is True
    books = payer.world.payments_rows("SELECT DISTINCT book_id FROM merchant_book")
    assert {book["book_id"] for book in answer["trial_balance"]} == {int(book_id) for book_id, in books}
    for book in answer["trial_balance"]:
        found = Ledger(payer.world, book["book_id"]).trial_balance()
        assert (book["balanced"], book["sequence"]) == (True, found.sequence)
        assert [(line["currency"], line["debits_posted"], line["credits_posted"], line["debits_pending"], line["credits_pending"])
                for line in book["lines"]] == [(line.currency, line.debits_posted, line.credits_posted, line.debits_pending,
                                                line.credits_pending) for line in found.lines] != []
    bank = {(line["rail"].upper(), line["currency"]): (line["credited_sum"], line["returned_sum"])
            for line in payer.bank.get("/admin/report")["by_currency"]}
    assert {(flow["rail"], flow["currency"]): (flow["bank_paid_minor"], flow["bank_returned_minor"])
            for flow in answer["flows"]} == bank
    assert bank["ACH", "USD"][1] > 0, "no return: the gross sums would be the net ones"
    for flow in answer["flows"]:
        assert flow["equal"] is True and flow["settled_count"] > 0
        assert flow["ledger_minor"] == flow["settled_minor"]
        assert flow["bank_minor"] == flow["bank_paid_minor"] - flow["bank_returned_minor"] == flow["settled_minor"]
    assert sum(line["sum_minor"] for line in answer["states"] if line["state"] == "SETTLED") == sum(
        flow["settled_minor"] for flow in answer["flows"])


def test_report_three_records_agree(payctl, merchant, world):
    payctl.run("pay", payctl.file([row(merchant, f"p{i}", rail="ach" if i % 2 else "instant") for i in range(6)]
                                  + [row(merchant, "late", rail="ach", amount="9.51")]))
    # `late` is settled, and comes back half a second later: until we have heard of it, the records rightly differ.
    returned = f"SELECT 1 FROM saga JOIN payout USING (book_id, payout_id) WHERE merchant_id = '{merchant}' AND state = 8"
    wait_until(lambda: world.payments_rows(returned), "the late return is booked")
    payer = Payer(world)
    assert_ledger_equals_bank(payer)
    code, out, err = payctl.run("report")
    assert code == DONE, (out, err)
    assert "\nPROVEN: our payouts, the ledger and the bank agree to the last cent.\n" in out
    report_as_json(payctl, payer)
    # The other way round: one cent more in the bank's book, and the report says that they differ.
    with sqlite3.connect(world.stack.folder / "bank" / "bank.db") as book:
        item = book.execute("SELECT rail, item FROM movements WHERE kind = 1 LIMIT 1").fetchone()
        change = "UPDATE movements SET amount = amount + ? WHERE rail = ? AND item = ? AND kind = 1"
        book.execute(change, (1, *item))
        book.commit()
        try:
            code, out, _ = payctl.run("report")
        finally:
            book.execute(change, (-1, *item))
            book.commit()
    assert code == NOT_SETTLED and "DIFFERENT" in out and "NOT PROVEN" in out, out


def test_the_service_is_away(payctl, merchant):
    away = {"PAYCTL_PAYMENTS": "127.0.0.1:1"}
    for command in (["payouts", "--merchant", merchant], ["balance", merchant], ["pay", payctl.file([row(merchant, "x")])]):
        code, out, err = payctl.run(*command, env=away)
        assert code == SERVICE and err.strip(), (command, out, err)
    code, answer, err = payctl.json("pay", payctl.file([row(merchant, "x"), row(merchant, "y")]), env=away)
    assert code == SERVICE and err.strip()
    assert (answer["sent"], answer["rows"], answer["accepted"], answer["refused"], answer["unanswered"]) == (False, 2, 0, 0, 2)
    code, _, err = payctl.run("pay", payctl.file([row(merchant, "x")]), env={"PAYCTL_PAYMENTS": ""})
    assert code == SERVICE and "PAYCTL_PAYMENTS" in err


def test_the_wrong_certificate(payctl, merchant, world):
    certs = world.stack.certs
    code, _, err = payctl.run("balance", merchant, env={"PAYCTL_CERT_FILE": str(certs / "ledger-svc.crt"),
                                                        "PAYCTL_KEY_FILE": str(certs / "ledger-svc.key")})
    assert code == SERVICE and err.strip()
    # Who we are concerns all rows alike: not "refused, and the others were taken".
    code, out, err = payctl.run("pay", payctl.file([row(merchant, "x")]), env={"PAYCTL_CERT_FILE": str(certs / "ledger-svc.crt"),
                                                                             "PAYCTL_KEY_FILE": str(certs / "ledger-svc.key")})
    assert code == SERVICE and "1 rows: 0 accepted, 0 refused, 1 without an answer" in out, (out, err)


def test_help_version_and_wrong_words(payctl):
    code, out, _ = payctl.run("--help")
    assert code == DONE and "Exit codes" in out and "payctl" in out
    assert payctl.run("--version")[0] == DONE
    for args in ([], ["fly"], ["--nonsense"], ["pay"], ["pay", "a", "b"], ["watch"], ["balance", "a", "b"]):
        code, out, err = payctl.run(*args)
        assert code == USAGE and err, args
    assert payctl.run("payouts", env={"PAYCTL_CERT_FILE": os.devnull})[0] != DONE


def test_json_is_all_there_is_on_stdout(payctl, merchant):
    """The form of each command as --help has it; payctl.json refuses more than one value."""
    sent = {"sent", "rows", "accepted", "accepted_earlier", "refused", "unanswered", "sums", "refusals", "unsettled", "bad"}
    file = payctl.file([row(merchant, "j1"), row(merchant, "j2", rail="ach")])
    payctl.run("pay", file)
    _, listed, _ = payctl.json("payouts", "--merchant", merchant)
    full_id = f"{merchant}/{listed['payouts'][0]['payout_id']}"
    of_others = payctl.file([row(unique("other"), "o1")], "others.csv")
    for args, keys in ((["pay", file], sent), (["pay", file, "--no-wait"], sent), (["pay", file, "--check"], {"sent", "good", "bad"}),
                       (["payout", full_id], {"payout", "entries", "submission_id", "pause", "created_by"}), (["payouts"], {"payouts", "limit_reached"}),
                       (["payouts", "--summary"], {"merchants"}), (["balance"], {"merchants"}), (["balance", "--prove"], {"merchants"}),
                       (["merchants"], {"merchants"}), (["merchants", "create", "--from", of_others], {"merchants"}),
                       (["merchants", "deposit", "--from", of_others], {"deposits"}),
                       (["report"], REPORT_KEYS)):
        code, answer, err = payctl.json(*args)
        assert code in (DONE, NOT_SETTLED) and set(answer) == keys, (args, answer, err)


def test_json_of_several_merchants_names_each(payctl, merchant):
    other = unique("shop")
    code, answer, err = payctl.json("merchants", "create", other, "--name", "Second", "--currency", "USD", "--currency", "INR")
    assert code == DONE, err
    made, = answer["merchants"]
    assert (made["merchant_id"], made["name"], made["currencies"]) == (other, "Second", ["INR", "USD"]) and made["book_id"] >= 0
    code, answer, err = payctl.json("merchants", "deposit", other, "--amount", "70.01", "--currency", "INR", "--key", "k")
    assert code == DONE, err
    deposit, = answer["deposits"]
    assert (deposit["merchant_id"], deposit["amount_minor"], deposit["currency"]) == (other, 7001, "INR")
    payctl.run("pay", payctl.file([row(merchant, "a"), row(merchant, "b", amount="8.01")]))

    def by_merchant(*args):
        code, answer, err = payctl.json(*args)
        assert code == DONE, err
        named = [found["merchant_id"] for found in answer["merchants"]]
        assert len(set(named)) == len(named) and {merchant, other} <= set(named)
        return {found["merchant_id"]: found for found in answer["merchants"]}

    summary = by_merchant("payouts", "--summary")
    assert {(line["state"], line["rail"], line["count"], line["sum_minor"]) for line in summary[merchant]["lines"]} == {
        ("SETTLED", "INSTANT", 1, "1250"), ("FAILED", "INSTANT", 1, "801")}
    assert summary[other]["lines"] == []
    balances = by_merchant("balance", "--prove")
    assert [(line["currency"], line["total_minor"], line["proven"]) for line in balances[other]["lines"]] == [
        ("INR", 7001, True), ("USD", 0, True)]
    assert [line["total_minor"] for line in balances[merchant]["lines"]] == [100_000 - 1250]
    assert by_merchant("merchants", "list")[other]["name"] == "Second"


def test_json_of_merchants_of_a_file(payctl):
    """One merchant and one deposit for each currency. A failure still tells what was made before, and sets the exit code."""
    first, second = unique("0"), unique("1")
    inr = {"currency": "INR", "routing_code": "HDFC0001234"}
    file = payctl.file([row(first, "a"), row(first, "b", **inr), row(second, "c", amount="3.00")])
    code, out, err = payctl.run("--json", "merchants", "deposit", "--from", file)
    assert (code, out) == (SERVICE, "") and "no such merchant" in err
    code, _, err = payctl.run("merchants", "create", first, "--currency", "USD", "--currency", "INR")
    assert code == DONE, err

    def deposits():
        code, answer, err = payctl.json("merchants", "deposit", "--from", file)
        return code, [(made["merchant_id"], made["currency"], made["amount_minor"]) for made in answer["deposits"]], err

    code, made, err = deposits()
    assert (code, made) == (SERVICE, [(first, "INR", 1250), (first, "USD", 1250)]) and second in err
    code, answer, err = payctl.json("merchants", "create", "--from", file)
    assert code == DONE, err
    assert [(made["merchant_id"], made["currencies"]) for made in answer["merchants"]] == [(first, ["INR", "USD"]), (second, ["USD"])]
    code, made, err = deposits()
    assert (code, made) == (DONE, [(first, "INR", 1250), (first, "USD", 1250), (second, "USD", 300)]), err
    _, answer, _ = payctl.json("balance", first)
    assert [(line["currency"], line["total_minor"]) for line in answer["merchants"][0]["lines"]] == [("INR", 1250), ("USD", 1250)]
