"""Transfers over the wire: single-phase, pending, post, void, chains, limits, ids, expiry. The rules themselves have unit
tests case by case (ledger-svc/domain); here the whole path to the database and back is held against them."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.ledger import LINKED, MAX, NO_OVERCREDIT, NO_OVERDRAFT, PENDING, POST, VOID, Ledger, new_id
from support.waiting import wait_until

books = itertools.count(2000)


@pytest.fixture
def book(world):
    return Ledger(world, next(books)).create()


@pytest.fixture
def pair(book):
    return book.account(), book.account()


def test_a_transfer_moves_money_and_its_result_says_all(book, pair):
    a, b = pair
    event = book.transfer(a, b, 250, user_data_64=7)
    result = book.send([event])[0]
    assert (book.status(result.status), result.sequence, result.amount) == ("CREATED", 1, 250)
    assert result.debit_balances.debits_posted == 250 and result.credit_balances.credits_posted == 250
    assert book.balances(a) == (0, 250, 0, 0) and book.balances(b) == (0, 0, 0, 250)
    row = book.journal()[0]
    assert (row.id, row.sequence, row.timestamp_us, row.user_data_64) == (event.id, 1, result.timestamp_us, 7)


def test_a_repeat_answers_what_the_first_one_did(book, pair):
    event = book.transfer(*pair, 10)
    first = book.send([event])[0]
    assert book.commit(book.transfer(*pair, 5)) == ["CREATED"]
    again = book.send([event])[0]
    assert book.status(again.status) == "EXISTS"
    again.status = first.status
    assert again == first  # the balances, too, are those right after the first


@pytest.mark.parametrize("change, status", [
    ({"amount": 11}, "EXISTS_WITH_DIFFERENT_AMOUNT"), ({"flags": PENDING}, "EXISTS_WITH_DIFFERENT_FLAGS"),
    ({"code": 2}, "EXISTS_WITH_DIFFERENT_CODE"), ({"user_data_32": 1}, "EXISTS_WITH_DIFFERENT_USER_DATA_32"),
    ({"user_data_64": 1}, "EXISTS_WITH_DIFFERENT_USER_DATA_64"),
    ({"user_data_128": "00000000-0000-4000-8000-000000000001"}, "EXISTS_WITH_DIFFERENT_USER_DATA_128"),
])
def test_an_id_is_used_once_for_ever(book, pair, change, status):
    a, b = pair
    fields = {"id": new_id(), "debit_account_id": a, "credit_account_id": b, "amount": 10}
    assert book.commit(book.transfer(**_named(fields))) == ["CREATED"]
    assert book.commit(book.transfer(**_named({**fields, **change}))) == [status]
    assert book.balances(a) == (0, 10, 0, 0)


def _named(fields):
    fields = dict(fields)
    return {"debit": fields.pop("debit_account_id"), "credit": fields.pop("credit_account_id"), **fields}


def test_other_accounts_under_a_used_id(book, pair):
    a, b = pair
    event = book.transfer(a, b, 10)
    assert book.commit(event) == ["CREATED"]
    assert book.commit(book.transfer(book.account(), b, 10, id=event.id)) == ["EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID"]
    assert book.commit(book.transfer(a, book.account(), 10, id=event.id)) == ["EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID"]


def test_a_refusal_that_could_pass_burns_the_id(book, pair):
    a, b = pair
    later = new_id()
    event = book.transfer(later, b, 1)
    assert book.commit(event) == ["DEBIT_ACCOUNT_NOT_FOUND"]
    assert book.accounts([book.pb.Account(id=later, code=1, currency="USD")]) == ["CREATED"]
    assert book.commit(event) == ["ID_ALREADY_FAILED"]
    assert book.commit(book.transfer(later, b, 1)) == ["CREATED"]


@pytest.mark.parametrize("change, status", [
    ({"id": ""}, "ID_MUST_NOT_BE_ZERO"), ({"flags": PENDING | POST}, "FLAGS_ARE_MUTUALLY_EXCLUSIVE"),
    ({"flags": 1 << 12}, "RESERVED_FLAG"), ({"debit": ""}, "DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO"),
    ({"credit": ""}, "CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO"), ({"pending_id": new_id()}, "PENDING_ID_MUST_BE_ZERO"),
    ({"timeout_s": 1}, "TIMEOUT_RESERVED_FOR_PENDING_TRANSFER"), ({"currency": ""}, "LEDGER_MUST_NOT_BE_ZERO"),
    ({"code": 0}, "CODE_MUST_NOT_BE_ZERO"), ({"currency": "INR"}, "TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS"),
    ({"timestamp_us": 1}, "TIMESTAMP_MUST_BE_ZERO"), ({"flags": LINKED}, "LINKED_EVENT_CHAIN_OPEN"),
])
def test_a_transfer_that_cannot_be(book, pair, change, status):
    assert book.commit(book.transfer(**{"debit": pair[0], "credit": pair[1], "amount": 1, **change})) == [status]
    assert book.balances(pair[0]) == (0, 0, 0, 0)


def test_accounts_must_differ_and_share_a_currency(book, pair):
    assert book.commit(book.transfer(pair[0], pair[0], 1)) == ["ACCOUNTS_MUST_BE_DIFFERENT"]
    assert book.commit(book.transfer(pair[0], book.account(currency="INR"), 1)) == ["ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER"]


def test_pending_then_post_in_part(book, pair):
    a, b = pair
    reserve = book.transfer(a, b, 100, flags=PENDING)
    assert book.commit(reserve) == ["CREATED"]
    assert book.balances(a) == (100, 0, 0, 0) and book.balances(b) == (0, 0, 100, 0)
    post = book.transfer(amount=60, flags=POST, pending_id=reserve.id)
    assert book.commit(post) == ["CREATED"]
    assert book.balances(a) == (0, 60, 0, 0) and book.balances(b) == (0, 0, 0, 60)
    assert book.commit(post) == ["EXISTS"]
    assert book.commit(book.transfer(amount=MAX, flags=POST, pending_id=reserve.id)) == ["PENDING_TRANSFER_ALREADY_POSTED"]
    assert book.commit(book.transfer(flags=VOID, pending_id=reserve.id)) == ["PENDING_TRANSFER_ALREADY_POSTED"]
    row = book.journal(2)[0]
    assert (row.amount, row.released, row.kind) == (60, 100, book.pb.TRANSFER_KIND_POST)


def test_pending_then_void(book, pair):
    a, b = pair
    reserve = book.transfer(a, b, 100, flags=PENDING)
    assert book.commit(reserve, book.transfer(flags=VOID, pending_id=reserve.id)) == ["CREATED", "CREATED"]
    assert book.balances(a) == (0, 0, 0, 0)
    assert book.commit(book.transfer(amount=MAX, flags=POST, pending_id=reserve.id)) == ["PENDING_TRANSFER_ALREADY_VOIDED"]


def test_post_of_what_is_not_pending(book, pair):
    single = book.transfer(*pair, 1)
    assert book.commit(single, book.transfer(amount=1, flags=POST, pending_id=single.id)) == [
        "CREATED", "PENDING_TRANSFER_NOT_PENDING"]
    assert book.commit(book.transfer(amount=1, flags=POST, pending_id=new_id())) == ["PENDING_TRANSFER_NOT_FOUND"]
    reserve = book.transfer(*pair, 10, flags=PENDING)
    assert book.commit(reserve, book.transfer(amount=11, flags=POST, pending_id=reserve.id)) == [
        "CREATED", "EXCEEDS_PENDING_TRANSFER_AMOUNT"]


def test_a_pending_transfer_expires_by_the_clock(book, pair):
    a, _ = pair
    reserve = book.transfer(*pair, 100, flags=PENDING, timeout_s=1)
    assert book.commit(reserve) == ["CREATED"]
    wait_until(lambda: book.balances(a) == (0, 0, 0, 0), "the reserved money is released", 15)
    assert book.commit(book.transfer(amount=MAX, flags=POST, pending_id=reserve.id)) == ["PENDING_TRANSFER_EXPIRED"]
    row = book.journal(2)[0]
    assert (row.kind, row.id, row.pending_id) == (book.pb.TRANSFER_KIND_EXPIRE, "", reserve.id)
    book.assert_balanced()


def test_a_chain_commits_together_or_not_at_all(book, pair):
    a, b = pair
    poor = book.account(flags=NO_OVERDRAFT)
    chain = [book.transfer(a, b, 1, flags=LINKED), book.transfer(poor, b, 1, flags=LINKED), book.transfer(a, b, 1)]
    assert book.commit(*chain, book.transfer(a, b, 5)) == [
        "LINKED_EVENT_FAILED", "EXCEEDS_CREDITS", "LINKED_EVENT_FAILED", "CREATED"]
    assert book.balances(a) == (0, 5, 0, 0)
    # Ids of the chain that failed for another's sake may be used again.
    assert book.commit(book.transfer(a, b, 1, id=chain[0].id, flags=LINKED), book.transfer(a, b, 1, id=chain[2].id)) == [
        "CREATED", "CREATED"]


def test_NO_OVERDRAFT_both_limits(book, pair):
    a, b = pair
    wallet, asset = book.account(flags=NO_OVERDRAFT), book.account(flags=NO_OVERCREDIT)
    assert book.commit(book.transfer(wallet, b, 1)) == ["EXCEEDS_CREDITS"]
    assert book.commit(book.transfer(a, asset, 1)) == ["EXCEEDS_DEBITS"]
    assert book.commit(book.transfer(a, wallet, 10), book.transfer(wallet, b, 4, flags=PENDING),
                       book.transfer(wallet, b, 7), book.transfer(wallet, b, 6)) == [
        "CREATED", "CREATED", "EXCEEDS_CREDITS", "CREATED"]
    assert book.balances(wallet) == (4, 6, 0, 10)


def test_NO_OVERDRAFT_under_concurrent_overlapping_batches(book):
    """40 callers, each batch draws on the same three wallets: exactly what is there goes out, from each."""
    bank, sink = book.account(), book.account()
    wallets = [book.account(flags=NO_OVERDRAFT) for _ in range(3)]
    assert book.commit(*(book.transfer(bank, wallet, 1000) for wallet in wallets)) == ["CREATED"] * 3
    batches = [[book.transfer(wallets[(i + k) % 3], sink, 7) for k in range(15)] for i in range(40)]
    with ThreadPoolExecutor(40) as pool:
        results = [status for statuses in pool.map(lambda batch: book.commit(*batch), batches) for status in statuses]
    assert set(results) == {"CREATED", "EXCEEDS_CREDITS"}
    assert results.count("CREATED") == 3 * (1000 // 7)
    assert all(book.balances(wallet) == (0, 994, 0, 1000) for wallet in wallets)
    book.assert_balanced()


def test_NO_DOUBLE_the_same_batch_from_many_callers_at_once(book, pair):
    batch = [book.transfer(*pair, i + 1) for i in range(100)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: book.send(batch), range(16)))
    for row in zip(*answers):
        statuses = [book.status(result.status) for result in row]
        assert statuses.count("CREATED") == 1 and statuses.count("EXISTS") == 15
        assert len({result.sequence for result in row}) == 1
    assert book.balances(pair[0]) == (0, 5050, 0, 0)
    book.assert_balanced()


def test_sequences_are_gapless_and_times_increase_under_load(book, pair):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: book.commit(*(book.transfer(*pair, 1) for _ in range(20))), range(20)))
    rows = book.journal()
    assert [row.sequence for row in rows] == list(range(1, 401))
    times = [row.timestamp_us for row in rows]
    assert times == sorted(set(times))


def test_overflow_is_refused_not_wrapped(book, pair):
    assert book.commit(book.transfer(*pair, MAX), book.transfer(*pair, 1)) == ["CREATED", "OVERFLOWS_DEBITS_POSTED"]
    assert book.balances(pair[0]) == (0, MAX, 0, 0)


def test_a_restart_forgets_nothing(new_world):
    world = new_world()
    book = Ledger(world, 1).create()
    a, b = book.account(), book.account()
    events = [book.transfer(a, b, 3) for _ in range(10)]
    before = book.send(events)
    world.ledger.kill()
    world.ledger.start()
    after = book.send(events)
    assert [(x.sequence, x.timestamp_us, x.debit_balances) for x in before] == [
        (x.sequence, x.timestamp_us, x.debit_balances) for x in after]
    assert book.balances(a) == (0, 30, 0, 0)
    book.assert_balanced()
