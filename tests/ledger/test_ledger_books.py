"""Books, accounts, lookups, limits of calls, trial balance and the proof of balances, over the wire."""

import itertools

import grpc
import pytest
from support import rpc
from support.ledger import LINKED, MAX, NO_OVERCREDIT, NO_OVERDRAFT, Ledger, new_id

books = itertools.count(1000)


@pytest.fixture
def book(world):
    return Ledger(world, next(books)).create()


def test_a_book_is_made_once(world):
    ledger = Ledger(world, next(books))
    first = ledger.stub.CreateBook(ledger.pb.CreateBookRequest(book_id=ledger.book_id, name="a"), timeout=5)
    again = ledger.stub.CreateBook(ledger.pb.CreateBookRequest(book_id=ledger.book_id, name="a"), timeout=5)
    assert first == again and first.book.created_us > 0 and first.book.last_sequence == 0
    refusal = rpc.refused(ledger.stub.CreateBook, ledger.pb.CreateBookRequest(book_id=ledger.book_id, name="b"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "BOOK_EXISTS_WITH_DIFFERENT_NAME")
    assert refusal.domain == "ledger.disburse"


@pytest.mark.parametrize("book_id, name, reason, field", [
    (0, "a", "INVALID_BOOK_ID", "book_id"), (-1, "a", "INVALID_BOOK_ID", "book_id"),
    (999_999, "", "INVALID_NAME", "name"), (999_999, "x" * 201, "INVALID_NAME", "name"),
])
def test_a_book_needs_an_id_and_a_name(world, book_id, name, reason, field):
    ledger = Ledger(world, 1)
    refusal = rpc.refused(ledger.stub.CreateBook, ledger.pb.CreateBookRequest(book_id=book_id, name=name))
    assert (refusal.code, refusal.reason, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, reason, [field])


def test_a_call_about_no_book_is_not_found(world):
    ledger = Ledger(world, 987_654_321)
    account = ledger.pb.Account(id=new_id(), code=1, currency="USD")
    for call, request in (
            (ledger.stub.CreateAccounts, ledger.pb.CreateAccountsRequest(book_id=ledger.book_id, accounts=[account])),
            (ledger.stub.CreateTransfers, ledger.pb.CreateTransfersRequest(
                book_id=ledger.book_id, transfers=[ledger.transfer(new_id(), new_id(), 1)])),
            (ledger.stub.LookupAccounts, ledger.pb.LookupAccountsRequest(book_id=ledger.book_id, ids=[new_id()])),
            (ledger.stub.LookupTransfers, ledger.pb.LookupTransfersRequest(book_id=ledger.book_id, ids=[new_id()])),
            (ledger.stub.GetTrialBalance, ledger.pb.GetTrialBalanceRequest(book_id=ledger.book_id)),
            (ledger.stub.CheckAccounts, ledger.pb.CheckAccountsRequest(book_id=ledger.book_id, ids=[new_id()]))):
        refusal = rpc.refused(call, request)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "BOOK_NOT_FOUND"), call


def test_an_account_keeps_all_its_fields_and_repeats_as_exists(book):
    wanted = book.pb.Account(id=new_id(), code=65535, currency="INR", flags=NO_OVERDRAFT, user_data_128=new_id(),
                             user_data_64=2**64 - 1, user_data_32=2**32 - 1)
    assert book.accounts([wanted]) == ["CREATED"]
    found = book.lookup([wanted.id])[wanted.id]
    assert found.timestamp_us > 0
    assert found.effective_us == found.timestamp_us
    found.timestamp_us = found.effective_us = 0
    assert found == wanted
    assert book.accounts([wanted, wanted]) == ["EXISTS", "EXISTS"]


@pytest.mark.parametrize("change, status", [
    ({"flags": NO_OVERCREDIT}, "EXISTS_WITH_DIFFERENT_FLAGS"),
    ({"user_data_128": "00000000-0000-4000-8000-000000000001"}, "EXISTS_WITH_DIFFERENT_USER_DATA_128"),
    ({"user_data_64": 9}, "EXISTS_WITH_DIFFERENT_USER_DATA_64"),
    ({"user_data_32": 9}, "EXISTS_WITH_DIFFERENT_USER_DATA_32"),
    ({"currency": "INR"}, "EXISTS_WITH_DIFFERENT_LEDGER"), ({"code": 9}, "EXISTS_WITH_DIFFERENT_CODE"),
])
def test_an_account_id_stands_for_one_account_for_ever(book, change, status):
    fields = {"id": new_id(), "code": 1, "currency": "USD"}
    assert book.accounts([book.pb.Account(**fields)]) == ["CREATED"]
    assert book.accounts([book.pb.Account(**{**fields, **change})]) == [status]


@pytest.mark.parametrize("change, status", [
    ({"id": ""}, "ID_MUST_NOT_BE_ZERO"), ({"id": "00000000-0000-0000-0000-000000000000"}, "ID_MUST_NOT_BE_ZERO"),
    ({"id": "ffffffff-ffff-ffff-ffff-ffffffffffff"}, "ID_MUST_NOT_BE_INT_MAX"),
    ({"flags": 64}, "RESERVED_FLAG"), ({"flags": 6}, "FLAGS_ARE_MUTUALLY_EXCLUSIVE"),
    ({"code": 0}, "CODE_MUST_NOT_BE_ZERO"), ({"code": 65536}, "CODE_MUST_NOT_BE_ZERO"),
    ({"currency": ""}, "LEDGER_MUST_NOT_BE_ZERO"), ({"currency": "QQQ"}, "LEDGER_MUST_NOT_BE_ZERO"),
    ({"debits_posted": 1}, "DEBITS_POSTED_MUST_BE_ZERO"), ({"credits_pending": 1}, "CREDITS_PENDING_MUST_BE_ZERO"),
    ({"timestamp_us": 1}, "TIMESTAMP_MUST_BE_ZERO"), ({"flags": LINKED}, "LINKED_EVENT_CHAIN_OPEN"),
])
def test_an_account_that_cannot_be(book, change, status):
    assert book.accounts([book.pb.Account(**{"id": new_id(), "code": 1, "currency": "USD", **change})]) == [status]


def test_linked_accounts_are_made_together_or_not_at_all(book):
    good, bad, apart = (book.pb.Account(id=new_id(), code=1, currency="USD") for _ in range(3))
    good.flags = LINKED
    bad.code = 0
    assert book.accounts([good, bad, apart]) == ["LINKED_EVENT_FAILED", "CODE_MUST_NOT_BE_ZERO", "CREATED"]
    assert set(book.lookup([good.id, bad.id, apart.id])) == {apart.id}


def test_lookups_have_the_order_of_the_request_and_leave_out_what_is_unknown(book):
    a, b = book.account(), book.account()
    ids = [b, new_id(), a, b]
    answer = book.stub.LookupAccounts(book.pb.LookupAccountsRequest(book_id=book.book_id, ids=ids), timeout=5)
    assert [found.id for found in answer.accounts] == [b, a]
    one, two = book.transfer(a, b, 1), book.transfer(a, b, 2, user_data_128=new_id())
    assert book.commit(one, two) == ["CREATED", "CREATED"]
    request = book.pb.LookupTransfersRequest(book_id=book.book_id, ids=[two.id, new_id(), one.id, two.id])
    found = book.stub.LookupTransfers(request, timeout=5).transfers
    assert [(row.id, row.amount, row.sequence) for row in found] == [(two.id, 2, 2), (one.id, 1, 1)]
    assert found[0].user_data_128 == two.user_data_128
    assert found[0].debit_balances.debits_posted == 3


@pytest.mark.parametrize("method, n, reason", [
    ("CreateAccounts", 8191, "BATCH_TOO_LARGE"), ("CreateTransfers", 8191, "BATCH_TOO_LARGE"),
    ("LookupAccounts", 8191, "BATCH_TOO_LARGE"), ("LookupTransfers", 8191, "BATCH_TOO_LARGE"),
    ("CheckAccounts", 1001, "BATCH_TOO_LARGE"), ("CheckAccounts", 0, "NO_IDS"),
])
def test_each_call_has_its_limit(book, method, n, reason):
    items = {"CreateAccounts": {"accounts": [book.pb.Account()] * n}, "CreateTransfers": {"transfers": [book.pb.Transfer()] * n}}
    request = getattr(book.pb, f"{method}Request")(book_id=book.book_id, **items.get(method, {"ids": [new_id()] * n}))
    refusal = rpc.refused(getattr(book.stub, method), request)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


def test_the_largest_batch_is_one_commit(book):
    a, b = book.account(), book.account()
    events = [book.transfer(a, b, 1) for _ in range(8190)]
    results = book.send(events)
    assert {book.status(result.status) for result in results} == {"CREATED"}
    assert [result.sequence for result in results] == list(range(1, 8191))
    assert results[-1].debit_balances.debits_posted == 8190
    assert {book.status(result.status) for result in book.send(events)} == {"EXISTS"}
    assert book.balances(a) == (0, 8190, 0, 0)


def test_empty_batches_are_answered(book):
    assert list(book.send([])) == [] and book.accounts([]) == []


def test_BALANCED_by_currency_posted_and_pending(book):
    usd, usd2, inr, inr2 = book.account(), book.account(), book.account(currency="INR"), book.account(currency="INR")
    assert book.commit(book.transfer(usd, usd2, MAX), book.transfer(inr, inr2, 5, currency="INR"),
                       book.transfer(inr2, inr, 7, currency="INR", flags=2)) == ["CREATED"] * 3
    answer = book.trial_balance()
    assert answer.balanced and answer.sequence == 3
    assert [(line.currency, line.debits_pending, line.debits_posted, line.accounts) for line in answer.lines] == [
        ("INR", "7", "5", 2), ("USD", "0", str(MAX), 2)]
    book.assert_balanced()


def test_the_trial_balance_may_pass_an_int64(book):
    pairs = [(book.account(), book.account()) for _ in range(3)]
    assert book.commit(*(book.transfer(a, b, MAX) for a, b in pairs)) == ["CREATED"] * 3
    assert book.trial_balance().lines[0].debits_posted == str(3 * MAX)


def test_a_proof_sees_a_balance_that_was_tampered_with(book):
    a, b = book.account(), book.account()
    assert book.commit(book.transfer(a, b, 100)) == ["CREATED"]
    assert [(found.equal, found.entries) for found in book.check([a, b])] == [(True, 1), (True, 1)]
    book.await_checkpoint()
    book.world.ledger_rows(f"UPDATE account SET debits_posted = 99 WHERE account_id = '{a}'")
    found = book.check([b, a])
    assert [check.equal for check in found] == [True, False]
    assert (found[1].kept.debits_posted, found[1].recomputed.debits_posted) == (99, 100)
    assert not book.trial_balance().balanced
    book.world.ledger_rows(f"UPDATE account SET debits_posted = 100 WHERE account_id = '{a}'")
