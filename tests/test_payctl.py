"""payctl as a person uses it: a program, a file, an exit code, and words on the screen."""

import csv
import json
import os
import sqlite3
import subprocess

import pytest
from run.layout import clean_environment
from support.paying import Payer, assert_books_at_rest, assert_ledger_equals_bank, unique
from support.waiting import wait_until
from support.world import BUILD, SANITIZER_ENV

COLUMNS = ["reference", "merchant_id", "recipient_name", "holder_type", "rail", "currency", "amount", "routing_code",
           "account_number", "account_type", "description"]
DONE, NOT_SETTLED, USAGE, SERVICE, REFUSED = range(5)
ACCOUNT = "445566778899"


class Payctl:
    def __init__(self, world, folder):
        self.world, self.folder = world, folder

    def run(self, *args, env=None):
        """(exit code, stdout, stderr); a sanitizer's report fails."""
        variables = {**clean_environment(), **SANITIZER_ENV, **self.world.stack.client_env(), **(env or {})}
        done = subprocess.run([str(BUILD / "bin" / "payctl"), *args], capture_output=True, text=True, timeout=120,
                              env=variables, stdin=subprocess.DEVNULL, check=False)
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        assert ACCOUNT not in done.stdout + done.stderr, "a bank account number was shown"
        return done.returncode, done.stdout, done.stderr

    def json(self, *args):
        code, out, err = self.run("--json", *args)
        return code, json.loads(out), err

    def file(self, rows, name="payouts.csv", columns=None):
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, columns or COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return str(path)


@pytest.fixture(scope="module")
def payctl(world, tmp_path_factory):
    return Payctl(world, tmp_path_factory.mktemp("payctl"))


def row(merchant, reference, **change):
    return {"reference": reference, "merchant_id": merchant, "recipient_name": "Ann Example", "holder_type": "individual",
            "rail": "instant", "currency": "USD", "amount": "12.50", "routing_code": "021000021", "account_number": ACCOUNT,
            "account_type": "checking", "description": "SALES", **change}


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
    line = answer["lines"][0]
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
    assert sum(line["count"] for line in answer["sums"]) == 8 and {line["state"] for line in answer["sums"]} == {"SETTLED"}
    assert balance(payctl, merchant) == (left, 0, left)
    code, out, _ = payctl.run("pay", file)
    assert code == DONE and "not paid again" in out
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant}'") == [["8"]]
    assert world.payments_rows(f"SELECT count(*) FROM recipient WHERE merchant_id = '{merchant}'") == [["3"]]
    payer = Payer(world)
    book_id = int(world.payments_rows(f"SELECT book_id FROM merchant_book WHERE merchant_id = '{merchant}'")[0][0])
    assert_books_at_rest(payer, [book_id])
    assert payer.bank.duplicates() == []


BAD = [({"amount": "0"}, "amount"), ({"amount": "-5"}, "amount"), ({"amount": "12.345"}, "amount"), ({"amount": "1e3"}, "amount"),
       ({"amount": ""}, "amount"), ({"currency": "XQX"}, "currency"), ({"currency": "INR", "rail": "ach"}, "currency"),
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
    assert code == DONE, (out, err)
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant}'") == [["0"]]


def test_payouts_that_do_not_settle_are_told_and_change_the_exit_code(payctl, merchant):
    file = payctl.file([row(merchant, "ok"), row(merchant, "refused", amount="8.01"), row(merchant, "back", rail="ach", amount="9.03"),
                        row(merchant, "too-much", amount="5000.00")])
    code, out, err = payctl.run("pay", file)
    assert code == NOT_SETTLED, (out, err)
    for word in ("AC04", "R03", "INSUFFICIENT_FUNDS", "FAILED", "RETURNED"):
        assert word in out, out


def test_rows_that_the_service_refuses(payctl, merchant):
    """A merchant that does not exist: these rows are refused, the others are taken."""
    code, out, err = payctl.run("pay", payctl.file([row(merchant, "mine"), row("nobody-at-all", "theirs")]))
    assert code in (REFUSED, SERVICE), (out, err)
    assert "merchant" in (out + err).lower()


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


def test_watch_until_done(payctl, merchant):
    code, out, err = payctl.run("pay", payctl.file([row(merchant, "w1"), row(merchant, "w2", rail="ach")]), "--no-wait")
    assert code == DONE, (out, err)
    code, out, err = payctl.run("watch", merchant, "--until-done")
    assert code in (DONE, NOT_SETTLED), (out, err)
    code, listed, _ = payctl.json("payouts", "--merchant", merchant)
    assert {payout["state"].removeprefix("PAYOUT_STATE_") for payout in listed["payouts"]} == {"SETTLED"}


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
    code, answer, _ = payctl.json("report")
    assert code == DONE and isinstance(answer, dict)
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
    assert code == NOT_SETTLED, out


def test_the_service_is_away(payctl, merchant):
    away = {"PAYCTL_PAYMENTS": "127.0.0.1:1"}
    for command in (["payouts", "--merchant", merchant], ["balance", merchant], ["pay", payctl.file([row(merchant, "x")])]):
        code, out, err = payctl.run(*command, env=away)
        assert code == SERVICE and err.strip(), (command, out, err)


def test_the_wrong_certificate(payctl, merchant, world):
    certs = world.stack.certs
    code, _, err = payctl.run("balance", merchant, env={"PAYCTL_CERT_FILE": str(certs / "ledger-svc.crt"),
                                                        "PAYCTL_KEY_FILE": str(certs / "ledger-svc.key")})
    assert code == SERVICE and err.strip()


def test_help_version_and_wrong_words(payctl):
    code, out, _ = payctl.run("--help")
    assert code == DONE and "Exit codes" in out and "payctl" in out
    assert payctl.run("--version")[0] == DONE
    for args in ([], ["fly"], ["--nonsense"], ["pay"], ["pay", "a", "b"], ["watch"], ["balance", "a", "b"]):
        code, out, err = payctl.run(*args)
        assert code == USAGE and err, args
    assert payctl.run("payouts", env={"PAYCTL_CERT_FILE": os.devnull})[0] != DONE


def test_json_is_all_there_is_on_stdout(payctl, merchant):
    file = payctl.file([row(merchant, "j1")])
    for args in (["pay", file], ["balance", merchant], ["payouts", "--merchant", merchant], ["report"], ["merchants"]):
        _, out, _ = payctl.run("--json", *args)
        decoder, rest = json.JSONDecoder(), out.strip()
        assert rest
        while rest:  # one value, or one for each merchant
            _, end = decoder.raw_decode(rest)
            rest = rest[end:].strip()
