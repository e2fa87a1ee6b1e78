"""PROVEN means that each payout agrees with the ledger and with the bank, not that sums do."""

import sqlite3
import threading
import time
from contextlib import contextmanager

import grpc
import pytest
from support import rpc, stubs
from support.bank import Bank
from support.ledger import Ledger
from support.paying import unique
from support.payctl import DONE, NOT_SETTLED, Payctl, row
from support.waiting import wait_until

BANK_OUT, BANK_RETURN = 12, 13


@pytest.fixture
def payctl(new_world, tmp_path):
    """A world of its own: the report looks at all of it."""
    return Payctl(new_world(), tmp_path)


def make(payctl, name, *currencies):
    for words in (["create", name, *(word for currency in currencies for word in ("--currency", currency))],
                  *(["deposit", name, "--amount", "1000.00", "--currency", currency, "--key", f"d-{currency}"] for currency in currencies)):
        code, _, err = payctl.run("merchants", *words)
        assert code == DONE, err
    return int(payctl.world.payments_rows(f"SELECT book_id FROM merchant_book WHERE merchant_id = '{name}'")[0][0])


def report(payctl):
    code, answer, err = payctl.json("report")
    assert code == (DONE if answer["agree"] else NOT_SETTLED), err
    _, people, _ = payctl.run("report")
    assert ("\nPROVEN:" in people) is answer["agree"] and ("NOT PROVEN" in people) is not answer["agree"]
    return answer, people


@contextmanager
def bank_book(payctl):
    """The bank's own book, to be changed behind its back."""
    book = sqlite3.connect(payctl.world.stack.folder / "bank" / "bank.db")
    try:
        yield book
        book.commit()
    finally:
        book.close()


def differences(answer, *names):
    return sorted(tuple(found.get(name) for name in names) for found in answer["differences"])


def test_one_paid_twice_and_another_never_is_not_proven(payctl):
    """Equal amounts: every sum of the three records agrees. The bank's book says that A was paid twice and B never."""
    shop = unique("shop")
    make(payctl, shop, "USD")
    code, _, err = payctl.run("pay", payctl.file([row(shop, name) for name in "ABC"]))
    assert code == DONE, err
    assert report(payctl)[0]["agree"] is True
    _, listed, _ = payctl.json("payouts", "--merchant", shop)
    ids = {payout["external_reference"]: payout["payout_id"] for payout in listed["payouts"]}
    with bank_book(payctl) as book:
        intents = dict(payctl.world.payments_rows("SELECT external_reference, intent_id FROM payout"))
        of_a, = book.execute("SELECT reference FROM instant_payments WHERE reference LIKE ?", (f"%{intents['A']}",)).fetchone()
        changed_id, of_b = book.execute("SELECT id, reference FROM instant_payments WHERE reference LIKE ?",
                                        (f"%{intents['B']}",)).fetchone()
        assert book.execute("UPDATE instant_payments SET reference = ? WHERE id = ?", (of_a, changed_id)).rowcount == 1
    answer, people = report(payctl)
    assert all(flow["equal"] for flow in answer["flows"]) and answer["balanced"] and answer["transit_empty"], "sums show it, too"
    assert differences(answer, "record", "payout_id", "expected_minor", "found_minor") == sorted(
        [("bank", ids["A"], 1250, 2500), ("bank", ids["B"], 1250, 0)])
    assert f"{shop}/{ids['A']} SETTLED: PAID_BY_BANK is 25.00 USD, and should be 12.50 USD" in people
    with bank_book(payctl) as book:  # as it was, for the check at the end of each world
        book.execute("UPDATE instant_payments SET reference = ? WHERE id = ?", (of_b, changed_id))


def test_a_payment_that_no_payout_stands_for(payctl):
    shop = unique("shop")
    make(payctl, shop, "USD")
    payctl.run("pay", payctl.file([row(shop, "one"), row(shop, "two", rail="ach")]))
    with bank_book(payctl) as book:
        was, = book.execute("SELECT individual_id FROM ach_entries").fetchone()
        assert book.execute("UPDATE ach_entries SET individual_id = 'SOMEBODY ELSE'").rowcount == 1
    answer, people = report(payctl)
    found = {(line["rail"], line["expected_minor"], line["found_minor"], line["bank_reference"] == "SOMEBODY ELSE")
             for line in answer["differences"]}
    assert found == {("ACH", 1250, 0, False), ("ACH", 0, 1250, True)}, answer["differences"]
    assert "no payout, bank reference SOMEBODY ELSE: PAID_BY_BANK is 12.50 USD, and should be 0.00 USD" in people
    with bank_book(payctl) as book:  # as it was, for the check at the end of each world
        book.execute("UPDATE ach_entries SET individual_id = ?", (was,))


def test_money_on_its_way_is_said_before_anything_settled(new_world, tmp_path):
    """The first day of a rail: all payouts are sent, none has settled. No sum of settled payouts leads to the transit account."""
    payctl = Payctl(new_world({"bank-sim": {"ach.settle_delay_ms": 600_000}}), tmp_path)
    shop = unique("shop")
    make(payctl, shop, "USD")
    code, _, err = payctl.run("pay", payctl.file([row(shop, f"r{i}", rail="ach") for i in range(3)]), "--no-wait")
    assert code == DONE, err
    sent = "SELECT count(*) FROM saga WHERE state = 5"
    wait_until(lambda: payctl.world.payments_rows(sent) == [["3"]], "all are with the bank")
    answer, people = report(payctl)
    assert answer["agree"] is answer["transit_empty"] is False and answer["differences"] == []
    assert [(state["state"], state["count"]) for state in answer["states"]] == [("SENT", 3)]
    transit, = (account for account in answer["accounts"] if account["kind"] == "TRANSIT")
    assert (transit["rail"], transit["currency"], transit["found_posted_minor"]) == ("ACH", "USD", 0)
    assert transit["found_reserved_minor"] == transit["expected_reserved_minor"] == 3750
    assert "transit accounts are NOT empty" in people and "ach: 37.50 USD reserved" in people


def proof(payctl, book_id, **fields):
    """All messages of one ProveBook."""
    stubs.modules("payments/v1/common")
    messages, _ = stubs.modules("payments/v1/reconciliation_service")
    stub = payctl.world.stub("payments/v1/reconciliation_service", "ReconciliationService", "payments-svc")
    return list(stub.ProveBook(messages.ProveBookRequest(book_id=book_id, **fields), timeout=60))


def test_the_ledger_paid_one_twice_and_another_never(payctl):
    """The same inside of the ledger: what one payout has too much another one has too little, on the same accounts."""
    shop = unique("shop")
    book_id = make(payctl, shop, "USD")
    code, _, err = payctl.run("pay", payctl.file([row(shop, name) for name in "AB"]))
    assert code == DONE, err
    _, listed, _ = payctl.json("payouts", "--merchant", shop)
    ids = {payout["external_reference"]: payout["payout_id"] for payout in listed["payouts"]}
    intents = dict(payctl.world.payments_rows("SELECT external_reference, intent_id FROM payout"))
    answer, _ = report(payctl)
    assert answer["agree"] is True
    accounts = {account["kind"]: account["account_id"] for account in answer["accounts"]}
    ledger = Ledger(payctl.world, book_id)
    assert ledger.commit(ledger.transfer(accounts["BANK"], accounts["TRANSIT"], 1250, code=BANK_RETURN, user_data_128=intents["B"]),
                         ledger.transfer(accounts["TRANSIT"], accounts["BANK"], 1250, code=BANK_OUT,
                                         user_data_128=intents["A"])) == ["CREATED"] * 2
    answer, people = report(payctl)
    assert answer["balanced"] and answer["transit_empty"] and all(flow["equal"] for flow in answer["flows"]), "sums show it, too"
    of_ledger = {(line["payout_id"], line["figure"], line["expected_minor"], line["found_minor"])
                 for line in answer["differences"] if line["record"] == "ledger"}
    assert of_ledger == {(ids["A"], "TRANSIT", 0, -1250), (ids["A"], "AT_BANK", 1250, 2500),
                         (ids["B"], "TRANSIT", 0, 1250), (ids["B"], "AT_BANK", 1250, 0)}
    assert f"{shop}/{ids['B']} SETTLED: AT_BANK is 0.00 USD, and should be 12.50 USD" in people


def test_a_transfer_that_no_payout_stands_for_shows_on_its_account(payctl):
    shop = unique("shop")
    book_id = make(payctl, shop, "USD")
    payctl.run("pay", payctl.file([row(shop, "one")]))
    answer, _ = report(payctl)
    accounts = {account["kind"]: account["account_id"] for account in answer["accounts"]}
    ledger = Ledger(payctl.world, book_id)
    assert ledger.commit(ledger.transfer(accounts["BANK"], accounts["TRANSIT"], 7, code=BANK_RETURN)) == ["CREATED"]
    answer, people = report(payctl)
    assert {(line["record"], line["kind"], line["expected_posted_minor"], line["found_posted_minor"])
            for line in answer["differences"]} == {("account", "TRANSIT", 0, 7), ("account", "BANK", -98_750, -98_757)}
    assert answer["transit_empty"] is False and "instant: 0.00 USD reserved, 0.07 USD posted" in people


def test_every_end_of_a_payout_is_right(payctl):
    """Settled, refused, returned before and after it settled, without funds; two merchants, two currencies, a failed file."""
    first, second = unique("a"), unique("b")
    books = {make(payctl, first, "USD", "INR"), make(payctl, second, "USD")}
    inr = {"currency": "INR", "routing_code": "HDFC0001234"}
    rows = [row(first, "ok"), row(first, "inr", **inr), row(first, "refused", amount="8.01"), row(first, "back", rail="ach", amount="9.03"),
            row(first, "poor", amount="5000.00"), row(second, "ach", rail="ach"), row(second, "late", rail="ach", amount="9.51")]
    assert payctl.run("pay", payctl.file(rows))[0] == NOT_SETTLED
    late = "SELECT 1 FROM saga JOIN payout USING (book_id, payout_id) WHERE external_reference = 'late' AND state = 8"
    wait_until(lambda: payctl.world.payments_rows(late), "the late return is booked")
    answer, _ = report(payctl)
    assert answer["agree"] is True, answer["differences"]
    assert answer["payouts"] == len(rows)
    used = {(account["kind"], account["rail"], account["currency"]) for account in answer["accounts"]}
    assert used >= {("TRANSIT", "ACH", "USD"), ("TRANSIT", "INSTANT", "USD"), ("TRANSIT", "INSTANT", "INR"),
                    ("BANK", "UNSPECIFIED", "USD"), ("BANK", "UNSPECIFIED", "INR")}
    one, = (book_id for book_id in books if proof(payctl, book_id, merchant_id=second)[-1].payouts_compared == 2)
    messages = proof(payctl, one, merchant_id=second, with_payouts=True)
    assert {(payout.merchant_id, payout.at_bank_minor) for message in messages for payout in message.payouts} == {(second, 1250), (second, 0)}
    assert not any(message.accounts for message in messages), "the accounts are those of all merchants"


def test_TIED_OUT_a_part_that_came_back_is_no_difference(payctl):
    """A payout with a partial return stays settled: every sum subtracts the returned money."""
    name = unique("part")
    make(payctl, name, "USD")
    Bank(payctl.world).faults(odd_amounts=1)
    assert payctl.run("pay", payctl.file([row(name, "half", amount="8.10"), row(name, "whole")]))[0] == DONE
    wait_until(lambda: payctl.world.payments_rows("SELECT 1 FROM saga WHERE returned = 405"), "the half is booked")
    answer, people = report(payctl)
    assert answer["agree"] is True, answer["differences"]
    assert [flow["equal"] for flow in answer["flows"]] == [True] and "DIFFERENT" not in people
    assert answer["flows"][0]["settled_minor"] == 405 + 1250


def test_a_proof_is_right_while_payouts_move(payctl):
    """No payout differs because it was looked at in the middle of its way."""
    shop = unique("shop")
    book_id = make(payctl, shop, "USD")
    file = payctl.file([row(shop, f"r{i}", rail="ach" if i % 2 else "instant", amount="0.10") for i in range(2000)])
    ended = []
    paying = threading.Thread(target=lambda: ended.append(payctl.run("pay", file)))
    paying.start()
    seen = set()
    while paying.is_alive() or not seen:
        messages = proof(payctl, book_id, with_payouts=True)
        found = [(line.payout_id, line.state, line.figure, line.expected_minor, line.found_minor)
                 for message in messages for line in message.differences]
        assert found == []
        assert all((account.expected_posted_minor, account.expected_reserved_minor)
                   == (account.found_posted_minor, account.found_reserved_minor) for account in messages[-1].accounts)
        seen.update(payout.state for message in messages for payout in message.payouts)
    paying.join()
    assert ended[0][0] == DONE, ended[0]
    assert len(seen) > 1, "nothing was looked at on its way"
    assert report(payctl)[0]["agree"] is True


def test_a_proof_goes_on_where_it_broke_off(new_world, tmp_path):
    """Windows of 100 payouts: each message's token leads to the rest, and the accounts are compared with the sum of all windows."""
    payctl = Payctl(new_world({"payments-svc": {"recon.window": 100}}), tmp_path)
    shop = unique("shop")
    book_id = make(payctl, shop, "USD")
    code, _, err = payctl.run("pay", payctl.file([row(shop, f"r{i}", amount="0.10") for i in range(230)]))
    assert code == DONE, err
    whole = proof(payctl, book_id)
    assert [message.payouts_compared for message in whole] == [100, 100, 30]
    assert [bool(message.resume_token) for message in whole] == [True, True, False]
    bank, = (account for account in whole[-1].accounts if account.kind == "BANK")
    assert bank.expected_posted_minor == bank.found_posted_minor == -100_000 + 230 * 10
    for at, message in enumerate(whole[:-1]):
        rest = proof(payctl, book_id, resume_token=message.resume_token)
        assert rest == whole[at + 1:]
    # What it says is believed, so it must be ours: another place to go on from, another sum, another MAC.
    for place in (100, 140, len(whole[0].resume_token) - 1):
        token = whole[0].resume_token
        forged = token[:place] + ("1" if token[place] == "0" else "0") + token[place + 1:]
        with pytest.raises(grpc.RpcError) as refused:
            proof(payctl, book_id, resume_token=forged)
        assert rpc.failure(refused.value).reason == "RESUME_TOKEN_INVALID"
    with pytest.raises(grpc.RpcError) as refused:
        proof(payctl, book_id + 1, resume_token=whole[0].resume_token)
    assert rpc.failure(refused.value).reason == "RESUME_TOKEN_INVALID"
    assert report(payctl)[0]["payouts"] == 230


def test_a_proof_does_not_wait_for_ever_for_its_reader(new_world, tmp_path):
    """It reads a message now and then, so that no single one takes long, and holds one of two places meanwhile."""
    payctl = Payctl(new_world({"payments-svc": {"recon.window": 100, "recon.reader_wait_ms": 1000}}), tmp_path)
    shop = unique("shop")
    book_id = make(payctl, shop, "USD")
    code, _, err = payctl.run("pay", payctl.file([row(shop, f"r{i}", amount="0.10") for i in range(950)]))
    assert code == DONE, err
    pb, stub = stubs.modules("payments/v1/reconciliation_service")
    world = payctl.world
    small = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
    with rpc.channel(world.daemon("payments-svc").ready()["grpc_port"], world.stack.certs, options=small) as channel:
        messages = stub.ReconciliationServiceStub(channel).ProveBook(pb.ProveBookRequest(book_id=book_id, with_payouts=True), timeout=60)
        with pytest.raises(grpc.RpcError) as cut_off:
            for _ in messages:
                time.sleep(0.3)
    assert rpc.failure(cut_off.value).reason == "READER_SLOW"


def test_requests_that_are_refused(payctl):
    shop = unique("shop")
    book_id = make(payctl, shop, "USD")
    for fields, reason in (({"book_id": 0}, "BOOK_INVALID"), ({"book_id": -1}, "BOOK_INVALID"),
                           ({"book_id": book_id, "merchant_id": "Not Valid"}, "MERCHANT_ID_INVALID"),
                           ({"book_id": book_id, "resume_token": "nonsense"}, "RESUME_TOKEN_INVALID")):
        with pytest.raises(grpc.RpcError) as refused:
            proof(payctl, **fields)
        assert (refused.value.code(), rpc.failure(refused.value).reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    with pytest.raises(grpc.RpcError) as refused:
        proof(payctl, 99)
    assert rpc.failure(refused.value).reason == "BOOK_NOT_FOUND"
    empty, = proof(payctl, book_id)
    assert (empty.payouts_compared, len(empty.differences), len(empty.accounts), empty.resume_token) == (0, 0, 1, "")
