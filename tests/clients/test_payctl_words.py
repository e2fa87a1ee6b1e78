"""payctl's smaller commands and words: what a person who meets it first tries, and what it says to a slip."""

import json
import os
import pwd

import pytest
from support.paying import INSTANT, SETTLED, Payer
from support.payctl import DONE, NOT_SETTLED, SERVICE, USAGE, Payctl, row

CANCELED = 9


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


@pytest.fixture(scope="module")
def payctl(world, tmp_path_factory):
    return Payctl(world, tmp_path_factory.mktemp("payctl"))


@pytest.fixture(scope="module")
def paid(payer):
    """(merchant, payout) that has settled."""
    merchant = payer.merchant(deposit=10_000)
    payout = merchant.pay(1_000, INSTANT)
    return merchant, merchant.wait_for([payout.payout_id], {SETTLED})[payout.payout_id]


def test_capabilities(payctl):
    code, answer, err = payctl.json("capabilities")
    assert code == DONE, err
    assert {one["connection"] for one in answer["capabilities"]} == {"ach", "instant"}
    code, out, _ = payctl.run("capabilities")
    assert code == DONE and "99,999,999.99 USD" in out and "us_bank, in_bank" in out
    assert payctl.run("capabilities", "more")[0] == USAGE


@pytest.mark.parametrize("words", [
    ("help", "pay", "x"), ("pay", "a.csv", "x"), ("payout", "m/i", "x"), ("payouts", "x"), ("watch", "m", "x"), ("cancel", "m/i", "x"),
    ("balance", "m", "x"), ("deposits", "m", "x"), ("deposits", "take-back", "m/i", "x"), ("merchants", "list", "x"),
    ("merchants", "create", "surplus-words", "--currency", "USD", "x"), ("merchants", "deposit", "m", "x"), ("report", "x"), ("cases", "x"),
    ("case", "1/i", "resolve", "DONE", "x"), ("case", "1/i", "assign"), ("connections", "x"), ("recovery", "x"),
    ("connection", "ach", "pause", "x"), ("submissions", "x"), ("submission", "i", "x"), ("inbox", "apply", "1/i", "x"),
    ("inbox", "dismiss", "1/i", "0", "x"), ("capabilities", "x")])
def test_words_that_a_command_does_not_take(payctl, words):
    """Nothing is done with a part of what was said."""
    code, out, err = payctl.run(*words)
    assert code == USAGE and out == "" and err, (out, err)


def test_currencies_of_a_merchant(payctl):
    code, _, err = payctl.run("merchants", "create", "two-currencies", "--currency", "USD", "INR")
    assert code == USAGE and '"INR"' in err and "--currency" in err
    assert payctl.run("merchants", "create", "two-currencies", "--currency", "USD", "--currency", "INR")[0] == DONE
    code, out, _ = payctl.run("merchants")
    line, = [line for line in out.splitlines() if line.startswith("two-currencies ")]
    assert code == DONE and "INR USD" in line, line


def test_recipients(payctl, paid):
    merchant, payout = paid
    code, answer, err = payctl.json("recipients", f"{merchant.id}/{payout.recipient_id}")
    assert code == DONE, err
    assert [one["recipient_id"] for one in answer["recipients"]] == [payout.recipient_id]
    code, out, _ = payctl.run("recipients", f"{merchant.id}/{payout.recipient_id}")
    account = merchant.person(payout.recipient_id).account
    assert code == DONE and account[-4:] in out and account not in out
    assert payctl.run("recipients", f"{merchant.id}/{payout.payout_id}")[0] == SERVICE
    assert payctl.run("recipients")[0] == USAGE


def test_recipients_of_a_merchant(payctl, payer):
    """Newest first, by pages, and of no other merchant."""
    merchant, other = payer.merchant(currencies=("USD", "INR")), payer.merchant()
    made = [merchant.recipient(which=n) for n in range(4)] + [merchant.recipient("INR", which=n) for n in range(4)]
    other.recipient()
    pb, found, token = payer.recipients_pb, [], ""
    while True:
        page = payer.call("Recipient", "ListRecipients", pb.ListRecipientsRequest(merchant_id=merchant.id, page_size=3, page_token=token))
        assert 1 <= len(page.recipients) <= 3
        found += page.recipients
        token = page.next_page_token
        if not token:
            break
    assert [one.recipient_id for one in found] == sorted(made, reverse=True)
    for one in found:
        assert one == payer.call("Recipient", "GetRecipient", pb.GetRecipientRequest(merchant_id=merchant.id, recipient_id=one.recipient_id)).recipient
    first = payer.call("Recipient", "ListRecipients", pb.ListRecipientsRequest(merchant_id=merchant.id, page_size=1))
    with_other = pb.ListRecipientsRequest(merchant_id=other.id, page_token=first.next_page_token)
    assert merchant.refused("ListRecipients", with_other, "Recipient").reason == "PAGE_TOKEN_INVALID"
    code, out, err = payctl.run("recipients", "--merchant", merchant.id)
    assert code == DONE and "8 recipient(s)\n" in out and all(one in out for one in made), out + err
    assert all(merchant.person(one).account not in out for one in made)
    code, out, _ = payctl.run("recipients", "--merchant", merchant.id, "--limit", "3")
    assert code == DONE and "3 recipient(s); there are more: --limit N" in out and max(made) in out
    assert payctl.run("recipients", "--merchant", merchant.id, f"{merchant.id}/{made[0]}")[0] == USAGE
    assert payctl.run("recipients", "--merchant", "no-such")[0] == SERVICE


def test_a_routing_code_of_the_other_currency(payctl, paid):
    """The row's rail and currency do not go together: the words say where the wish for an IFSC comes from."""
    code, _, err = payctl.run("pay", "--check", payctl.file([row(paid[0].id, "inr", rail="ach", currency="INR")]))
    assert code == USAGE and "since the currency is INR: a payout by ACH is in USD" in err, err


def test_prove_of_a_book_a_merchant_and_all(payctl, paid, payer):
    merchant, payout = paid
    code, answer, err = payctl.json("prove", str(merchant.book_id))
    assert code == DONE and answer["proven"] is True, (answer, err)
    (book,) = answer["books"]
    assert book["book_id"] == merchant.book_id and book["payouts"] >= 1 and book["differences"] == [] and book["accounts"] != []
    code, out, _ = payctl.run("prove", "--merchant", merchant.id)
    assert code == DONE and "1 payout(s) of 1 book(s) compared with the ledger: PROVEN" in out
    assert payctl.run("prove")[0] == DONE
    assert payctl.run("prove", "one")[0] == USAGE and payctl.run("prove", "--merchant", "nobody-knows")[0] == SERVICE
    # A figure that is not as the payout's state asks for.
    where = f"WHERE book_id = {merchant.book_id} AND payout_id = '{payout.payout_id}'"
    payer.world.payments_rows(f"UPDATE saga SET returned = 1 {where} RETURNING 1")
    try:
        code, out, _ = payctl.run("prove", str(merchant.book_id))
        assert code == NOT_SETTLED and "NOT PROVEN" in out and "FROM_MERCHANT" in out and payout.payout_id in out
        code, answer, _ = payctl.json("prove", "--merchant", merchant.id)
        assert code == NOT_SETTLED and answer["proven"] is False and answer["books"][0]["differences"] != []
        code, out, _ = payctl.run("payout", f"{merchant.id}/{payout.payout_id}")
        assert code == DONE and "came back  0.01 USD" in out
    finally:
        payer.world.payments_rows(f"UPDATE saga SET returned = NULL {where} RETURNING 1")


def test_prove_leaves_out_no_book(payctl, paid):
    """However many are named: one that the ledger does not have is the last of them, and is not passed over."""
    merchant, _ = paid
    code, out, err = payctl.run("prove", *[str(merchant.book_id)] * 1000, "700001")
    assert code == SERVICE and "PROVEN" not in out and "700001" in err and "BOOK_NOT_FOUND" in err
    code, answer, err = payctl.json("prove", *[str(merchant.book_id)] * 1000)
    assert code == DONE and [book["book_id"] for book in answer["books"]] == [merchant.book_id], (answer, err)


@pytest.mark.parametrize("words, option, takes", [
    (("payouts", "--state", "PAID"), "--state", "SETTLED"), (("payouts", "--rail", "wire"), "--rail", "ACH, INSTANT"),
    (("payouts", "--limit", "0"), "--limit", "1 to 1,000,000"), (("submissions", "--state", "GONE"), "--state", "DISPUTED"),
    (("inbox", "--state", "GONE"), "--state", "DISMISSED"), (("inbox", "--limit", "many"), "--limit", "1 to 10,000"),
    (("cases", "--book", "x"), "--book", "the number of a book")])
def test_a_value_that_an_option_does_not_take(payctl, words, option, takes):
    code, out, err = payctl.run(*words)
    assert code == USAGE and out == "" and f"{option} takes" in err and takes in err and f'"{words[-1]}"' in err


def test_inbox_shows_as_many_as_are_asked_for(payctl, paid):
    merchant, _ = paid
    merchant.wait_for([merchant.pay(100, INSTANT).payout_id], {SETTLED})  # which the bank tells by another message
    code, answer, err = payctl.json("inbox", "--limit", "1")
    assert code == DONE and len(answer["items"]) == 1 and answer["limit_reached"] is True, (answer, err)


def test_who_gives_an_order_is_known_without_being_said(payctl, payer):
    """Also where the environment names nobody, as for root in a container; through sudo it is whoever called it."""
    def actor(env):
        merchant = payer.merchant()
        assert payctl.run("connection", "instant", "pause", "--merchant", merchant.id, "--reason", "a look", env=env)[0] == DONE
        try:
            answer = json.loads(payctl.run("--json", "connections")[1])
            return next(one["actor"] for one in answer["pauses"] if one["merchant_id"] == merchant.id)
        finally:
            payctl.run("connection", "instant", "resume", "--merchant", merchant.id, "--reason", "seen")

    nobody = {"USER": "", "LOGNAME": "", "SUDO_USER": ""}
    assert actor(nobody).endswith(pwd.getpwuid(os.geteuid()).pw_name)
    assert actor({**nobody, "SUDO_USER": "ann"}).endswith("ann")


def test_timeline_says_who_gave_an_order(payctl, payer):
    merchant = payer.merchant(deposit=10_000)
    assert payctl.run("connection", "instant", "pause", "--merchant", merchant.id, "--reason", "a look")[0] == DONE
    payout = merchant.pay(1_000, INSTANT)
    name = f"{merchant.id}/{payout.payout_id}"
    code, _, err = payctl.run("cancel", name, "--reason", "a mistake", "--person", "bob")
    assert code == DONE, err
    assert payctl.run("connection", "instant", "resume", "--merchant", merchant.id, "--reason", "seen")[0] == DONE
    merchant.wait_for([payout.payout_id], {CANCELED})
    code, out, _ = payctl.run("payout", name)
    (line,) = [line for line in out.splitlines() if "a mistake" in line and " by " in line]
    assert code == DONE and line.rstrip().endswith("by bob"), out


def test_bad_lines_are_told_in_the_order_of_the_file(payctl, payer):
    """Faults that payctl finds, and faults that the service finds, which is asked later."""
    merchant = payer.merchant()
    limit = {"rail": "instant", "amount": "99999999.00"}  # which only the service knows
    file = payctl.file([row(merchant.id, "a", **limit), row(merchant.id, "b", amount="x"), row(merchant.id, "c", **limit),
                        row(merchant.id, "d", currency="XQX"), row(merchant.id, "e")])
    code, _, err = payctl.run("pay", file, "--check")
    assert code == USAGE and [int(line.split(":")[1]) for line in err.splitlines() if f"{file}:" in line] == [2, 3, 4, 5]


def test_a_deposit_says_that_its_key_counts_once(payctl, payer):
    merchant = payer.merchant()
    for _ in range(2):
        code, out, err = payctl.run("merchants", "deposit", merchant.id, "--amount", "5.00", "--currency", "USD", "--key", "d-1")
        assert code == DONE and "under the key d-1, once however often this is run" in out, err
    assert merchant.balance()[0] == 500
