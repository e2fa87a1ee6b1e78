"""Lists, balances as of a moment, statements and the change feed over the wire: codes and reasons, page tokens, and the cases of
the ledger's semantics that are about reading. That each query finds what brute force finds is tested in ledger-svc/query."""

import hashlib
import itertools
import threading
import time
import uuid

import grpc
import pytest
from support import ledger_only, rpc
from support.ledger import PENDING, POST, VOID, Ledger, new_id
from support.waiting import wait_until

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
ACCOUNT_IMPORTED, ACCOUNT_CLOSED = 16, 32
CLOSING_DEBIT, IMPORTED = 64, 256
NEWEST_FIRST = 2
DEBIT, CREDIT = 1, 2
OPEN, POSTED, VOIDED, EXPIRED = 1, 2, 3, 4
EXPIRE = 5
EFFECTIVE = 2
SECOND, HOUR, DAY = 10**6, 3600 * 10**6, 86400 * 10**6

books = itertools.count(9000)


@pytest.fixture(scope="module")
def world(servers):
    made = servers.world()
    try:
        made.clock = ledger_only.start(made)
        yield made
        made.stop_and_check()
    finally:
        made.remove()


@pytest.fixture
def book(world):
    return Ledger(world, next(books)).create()


def transfer_filter(book, fields):
    return book.pb.TransferFilter(**fields)


def transfers_page(book, fields=None, **more):
    request = book.pb.ListTransfersRequest(book_id=book.book_id, filter=transfer_filter(book, fields or {}), **more)
    return book.call("ListTransfers", request)


def pages(call):
    """All pages of call(page_token)."""
    token = ""
    while True:
        page = call(token)
        yield page
        token = page.next_page_token
        if not token:
            return


def sequences(book, fields=None, **more):
    return [row.sequence for page in pages(lambda token: transfers_page(book, fields, page_token=token, **more))
            for row in page.transfers]


def accounts_page(book, fields=None, **more):
    request = book.pb.ListAccountsRequest(book_id=book.book_id, filter=book.pb.AccountFilter(**(fields or {})), **more)
    return book.call("ListAccounts", request)


def account_ids(book, fields=None, **more):
    return [account.id for page in pages(lambda token: accounts_page(book, fields, page_token=token, **more))
            for account in page.accounts]


def history(book, account, fields=None, **more):
    request = book.pb.ListAccountBalancesRequest(
        book_id=book.book_id, filter=transfer_filter(book, {"account_id": account, **(fields or {})}), **more)
    return book.call("ListAccountBalances", request).balances


def four(balances):
    return (balances.debits_pending, balances.debits_posted, balances.credits_pending, balances.credits_posted)


def as_of(book, accounts, **moment):
    request = book.pb.GetAccountBalancesRequest(book_id=book.book_id, account_ids=accounts, as_of=book.pb.Moment(**moment))
    return [four(found.balances) for found in book.call("GetAccountBalances", request).balances]


def statement(book, account, **more):
    request = book.pb.GetAccountStatementRequest(book_id=book.book_id, account_id=account, **more)
    return book.call("GetAccountStatement", request)


def metadata(book, **entries):
    return [book.pb.MetadataEntry(key=key, value=value) for key, value in entries.items()]


# Histories.

def test_49_the_history_of_an_account_and_its_filters(book):
    a, b = book.account(), book.account()
    assert book.commit(book.transfer(a, b, 10, code=1), book.transfer(b, a, 11, code=2),
                       book.transfer(a, b, 12, code=1), book.transfer(b, a, 13, code=2)) == ["CREATED"] * 4
    rows = history(book, a)
    assert [(row.balances.debits_posted, row.balances.credits_posted) for row in rows] == [(10, 0), (10, 11), (22, 11), (22, 24)]
    assert [row.side for row in rows] == [DEBIT, CREDIT, DEBIT, CREDIT]
    assert [row.sequence for row in history(book, a, order=NEWEST_FIRST, page_size=3)] == [4, 3, 2]
    assert sequences(book, {"account_id": a, "code": 2}) == [2, 4]
    assert sequences(book, {"account_id": a, "side": DEBIT}) == [1, 3]
    second = transfers_page(book, {"account_id": a}).transfers[1]
    assert sequences(book, {"account_id": a, "side": CREDIT, "code": 2, "from_us": second.timestamp_us,
                            "to_us": second.timestamp_us + 1}, order=NEWEST_FIRST) == [2]


def test_49_the_history_of_an_account_takes_every_filter_of_a_list(book):
    """One row for each way to be left out. Each row that is left has the balance after it, whatever is between."""
    a, b = book.account(), book.account()
    hold = book.transfer(a, b, 5, flags=PENDING, code=7)
    named = {"external_reference": "inv 7", "user_data_128": new_id(), "user_data_64": 64, "user_data_32": 32}
    assert book.commit(book.transfer(a, b, 10, code=7, metadata=metadata(book, channel="web"), **named),
                       book.transfer(b, a, 3, code=8, metadata=metadata(book, channel="app")), hold,
                       book.transfer(amount=4, flags=POST, pending_id=hold.id)) == ["CREATED"] * 4
    assert book.commit(book.transfer(book.account(), b, 1, code=7)) == ["CREATED"]
    first, second, third, fourth = history(book, a)
    assert [row.sequence for row in (first, second, third, fourth)] == [1, 2, 3, 4]
    assert [four(row.balances) for row in (first, second, third, fourth)] == \
        [(0, 10, 0, 0), (0, 10, 0, 3), (5, 10, 0, 3), (0, 14, 0, 3)]
    for fields, rows in [
            ({"side": DEBIT}, [first, third, fourth]), ({"side": CREDIT}, [second]),
            ({"code": 7}, [first, third, fourth]), ({"code": 9}, []),
            ({"currency": "USD"}, [first, second, third, fourth]), ({"currency": "EUR"}, []),
            *(({name: value}, [first]) for name, value in named.items()),
            ({"metadata_key": "channel"}, [first, second]), ({"metadata_key": "channel", "metadata_value": "app"}, [second]),
            ({"kind": 2}, [third]), ({"kind": 3}, [fourth]), ({"pending_state": POSTED}, [third]), ({"pending_state": OPEN}, []),
            ({"from_us": second.timestamp_us, "to_us": fourth.timestamp_us}, [second, third]),
            ({"from_sequence": 2, "to_sequence": 3}, [second, third]),
            ({"effective_from_us": third.timestamp_us}, [third, fourth]), ({"effective_to_us": second.timestamp_us}, [first]),
            ({"side": DEBIT, "code": 7, "kind": 1, "metadata_key": "channel", "from_sequence": 1, **named}, [first]),
            ({"side": CREDIT, "code": 7}, [])]:
        assert list(history(book, a, fields)) == rows, fields
        assert list(history(book, a, fields, order=NEWEST_FIRST)) == rows[::-1], fields


@pytest.mark.parametrize("fields, reason, field", [
    ({"side": 3}, "INVALID_FILTER", "filter.side"),
    ({"code": 65536}, "INVALID_FILTER", "filter.code"),
    ({"currency": "QQQ"}, "INVALID_CURRENCY", "filter.currency"),
    ({"pending_state": 5}, "INVALID_FILTER", "filter.pending_state"),
    ({"from_sequence": 3, "to_sequence": 2}, "INVALID_FILTER", "filter.to_sequence"),
])
def test_52_an_invalid_filter_of_a_history_is_refused_by_name(book, fields, reason, field):
    request = book.pb.ListAccountBalancesRequest(book_id=book.book_id,
                                                 filter=transfer_filter(book, {"account_id": book.account(), **fields}))
    refusal = rpc.refused(book.stub.ListAccountBalances, request)
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, reason, [field])


def test_50_the_history_of_a_two_phase_transfer(book):
    a, b = book.account(), book.account()
    hold = book.transfer(a, b, 1, flags=PENDING)
    assert book.commit(hold, book.transfer(amount=1, flags=POST, pending_id=hold.id)) == ["CREATED"] * 2
    assert [four(row.balances) for row in history(book, a)] == [(1, 0, 0, 0), (0, 1, 0, 0)]


# Lists.

def test_what_has_become_of_transfers(book):
    a, b = book.account(), book.account()
    holds = [book.transfer(a, b, 5, flags=PENDING, timeout_s=1 if i == 3 else 0) for i in range(4)]
    plain = book.transfer(a, b, 1)
    assert book.commit(*holds, plain) == ["CREATED"] * 5
    assert book.commit(book.transfer(amount=5, flags=POST, pending_id=holds[1].id),
                       book.transfer(flags=VOID, pending_id=holds[2].id)) == ["CREATED"] * 2
    reversal = new_id()
    book.call("ReverseTransfers", book.pb.ReverseTransfersRequest(
        book_id=book.book_id, reversals=[book.pb.TransferReversal(id=reversal, transfer_id=plain.id)]))
    wait_until(lambda: sequences(book, {"kind": EXPIRE}), "the expiry", 20)
    for state, hold in ((OPEN, holds[0]), (POSTED, holds[1]), (VOIDED, holds[2]), (EXPIRED, holds[3])):
        found = transfers_page(book, {"pending_state": state}).transfers
        assert [(row.id, row.pending_state) for row in found] == [(hold.id, state)]
        assert sequences(book, {"pending_state": state, "account_id": b, "side": CREDIT}) == [found[0].sequence]
        assert sequences(book, {"pending_state": state, "account_id": b, "side": DEBIT}) == []
    request = book.pb.LookupTransfersRequest(book_id=book.book_id, ids=[plain.id, holds[3].id])
    looked_up = book.call("LookupTransfers", request).transfers
    assert looked_up[0].reversed_by_id == reversal and looked_up[1].pending_state == EXPIRED
    assert transfers_page(book, {"kind": 1}).transfers[0].reversed_by_id == reversal


def test_labels_find_transfers_and_accounts(book):
    a = book.account(external_reference="iban:1", metadata=metadata(book, tier="gold", region="eu"))
    b = book.account(metadata=metadata(book, tier="silver"))
    c = book.account(user_data_64=2**64 - 1, code=65535)
    assert book.commit(book.transfer(a, b, 1, external_reference="inv 7", metadata=metadata(book, channel="web")),
                       book.transfer(b, c, 1, external_reference="inv 7"),
                       book.transfer(c, a, 1, metadata=metadata(book, channel="app", batch="1")),
                       book.transfer(a, c, 1, user_data_64=2**64 - 1, user_data_32=2**32 - 1)) == ["CREATED"] * 4
    assert sequences(book, {"external_reference": "inv 7"}) == [1, 2]
    assert sequences(book, {"external_reference": "inv 7", "account_id": a}) == [1]
    assert sequences(book, {"external_reference": "inv 7", "metadata_key": "channel"}) == [1]
    assert sequences(book, {"metadata_key": "channel"}, order=NEWEST_FIRST) == [3, 1]
    assert sequences(book, {"metadata_key": "channel", "metadata_value": "app", "account_id": c}) == [3]
    assert sequences(book, {"metadata_key": "chan"}) == []
    assert sequences(book, {"user_data_64": 2**64 - 1, "user_data_32": 2**32 - 1}) == [4]
    assert account_ids(book) == [a, b, c]
    assert account_ids(book, order=NEWEST_FIRST, page_size=1) == [c, b, a]
    assert account_ids(book, {"external_reference": "iban:1"}) == [a]
    assert account_ids(book, {"metadata_key": "tier"}) == [a, b]
    assert account_ids(book, {"metadata_key": "tier", "metadata_value": "silver"}) == [b]
    assert account_ids(book, {"user_data_64": 2**64 - 1, "code": 65535, "currency": "USD"}) == [c]
    assert account_ids(book, {"code": 65535, "currency": "EUR"}) == []
    assert account_ids(book, {"metadata_key": "tier", "from_us": book.lookup([b])[b].timestamp_us}) == [b]  # case 53


def test_closed_accounts_are_found_at_once_and_with_their_balances(book):
    a, b = book.account(), book.account()
    closing = book.transfer(a, b, 0, flags=PENDING | CLOSING_DEBIT)
    assert account_ids(book, {"flags": ACCOUNT_CLOSED}) == []
    assert book.commit(book.transfer(a, b, 9), closing) == ["CREATED"] * 2
    found = accounts_page(book, {"flags": ACCOUNT_CLOSED})
    assert [(account.id, account.debits_posted) for account in found.accounts] == [(a, 9)]
    assert found.sequence == 2
    assert book.commit(book.transfer(flags=VOID, pending_id=closing.id)) == ["CREATED"]
    assert account_ids(book, {"flags": ACCOUNT_CLOSED}) == []


# Page tokens.

def test_54_pages_under_inserts_neither_skip_nor_repeat(book):
    """Each page lets five transfers in while the next ones are read: fewer than a page has, so that oldest first catches up."""
    a, b = book.account(), book.account()
    stop, pages_read, written = threading.Event(), threading.Semaphore(0), []

    def write():
        while pages_read.acquire() and not stop.is_set():
            written.extend(book.commit(*(book.transfer(a, b, 1) for _ in range(5))))

    def read_page(token, fields, order):
        answer = transfers_page(book, fields, order=order, page_size=20, page_token=token)
        pages_read.release()
        return answer

    assert set(book.commit(*(book.transfer(a, b, 1) for _ in range(300)))) == {"CREATED"}
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for order in (1, NEWEST_FIRST):
            for fields in ({}, {"account_id": a}, {"account_id": b, "side": CREDIT}):
                walked = list(pages(lambda token, f=fields, o=order: read_page(token, f, o)))
                found = [row.sequence for page in walked for row in page.transfers]
                if order == NEWEST_FIRST:
                    assert found == list(range(walked[0].sequence, 0, -1))
                else:
                    assert found == list(range(1, walked[-1].sequence + 1))
    finally:
        stop.set()
        pages_read.release()
        writer.join(30)
    assert not writer.is_alive() and set(written) == {"CREATED"}


def test_a_page_token_goes_with_its_request(book):
    a, b = book.account(), book.account()
    assert set(book.commit(*(book.transfer(a, b, 1) for _ in range(10)))) == {"CREATED"}
    token = transfers_page(book, {"account_id": a}, page_size=3).next_page_token
    assert [row.sequence for row in transfers_page(book, {"account_id": a}, page_size=5, page_token=token).transfers] == \
        [4, 5, 6, 7, 8]  # of another size: allowed

    def refused(fields, **more):
        request = book.pb.ListTransfersRequest(book_id=book.book_id, filter=transfer_filter(book, fields), **more)
        refusal = rpc.refused(book.stub.ListTransfers, request)
        assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_PAGE_TOKEN", ["page_token"])

    refused({"account_id": b}, page_token=token)
    refused({"account_id": a, "code": 1}, page_token=token)
    refused({"account_id": a}, page_token=token, order=NEWEST_FIRST)
    refused({"account_id": a}, page_token=token[:-1] + ("0" if token[-1] != "0" else "1"))
    refused({"account_id": a}, page_token=("0" if token[0] != "0" else "1") + token[1:])
    refused({"account_id": a}, page_token="x" * len(token))
    refused({"account_id": a}, page_token="abc")
    other = rpc.refused(book.stub.ListAccountBalances, book.pb.ListAccountBalancesRequest(
        book_id=book.book_id, filter=transfer_filter(book, {"account_id": a}), page_token=token))
    assert other.reason == "INVALID_PAGE_TOKEN"
    listed = accounts_page(book, page_size=1).next_page_token
    again = rpc.refused(book.stub.ListAccounts, book.pb.ListAccountsRequest(
        book_id=book.book_id, filter=book.pb.AccountFilter(currency="USD"), page_token=listed))
    assert again.reason == "INVALID_PAGE_TOKEN"


def forged(request, *place):
    """A token with the right checksum, which anybody can make: no secret goes into it."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.page_size, bare.page_token = 0, ""
    numbers = b"".join(number.to_bytes(8, "big", signed=True) for number in place)
    digest = hashlib.sha256()
    for part in (request.DESCRIPTOR.full_name.encode(), bare.SerializeToString(deterministic=True), numbers):
        digest.update(len(part).to_bytes(8, "big") + part)
    check = bytearray(digest.digest()[:16])
    check[6], check[8] = check[6] & 0x0f | 0x80, check[8] & 0x3f | 0x80
    made = type(request)()
    made.CopyFrom(request)
    made.page_token = (numbers + check).hex()
    return made


INT64_MIN, INT64_MAX = -2**63, 2**63 - 1


def test_a_forged_page_token_with_an_impossible_place_is_refused(book):
    """A place is a number from outside: those that no page ends at are refused, the others are places like any."""
    a, b = book.account(), book.account()
    assert set(book.commit(*(book.transfer(a, b, 1) for _ in range(10)))) == {"CREATED"}
    named = transfer_filter(book, {"account_id": a})
    for order in (1, NEWEST_FIRST):
        for method, request, rows in (
                ("ListTransfers", book.pb.ListTransfersRequest(book_id=book.book_id, order=order, page_size=3), "transfers"),
                ("ListAccountBalances", book.pb.ListAccountBalancesRequest(book_id=book.book_id, order=order, filter=named,
                                                                           page_size=3), "balances"),
                ("ListAccounts", book.pb.ListAccountsRequest(book_id=book.book_id, order=order, page_size=1), "accounts")):
            real = book.call(method, request).next_page_token
            assert forged(request, int(real[:16], 16)).page_token == real  # the forgery is as good as the service's own
            for place in (INT64_MIN, INT64_MIN + 1, -1, 0, INT64_MAX):
                refusal = rpc.refused(getattr(book.stub, method), forged(request, place))
                assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_PAGE_TOKEN", ["page_token"]), place
            found = [bool(getattr(book.call(method, forged(request, place)), rows)) for place in (1, INT64_MAX - 1)]
            assert found == ([False, True] if order == NEWEST_FIRST else [True, False]), (method, order)


def test_a_forged_page_token_of_a_statement(book):
    a, b = book.account(), book.account()
    assert set(book.commit(*(book.transfer(a, b, 1) for _ in range(10)))) == {"CREATED"}
    second = transfers_page(book).transfers[1]
    for basis in (1, EFFECTIVE):
        request = book.pb.GetAccountStatementRequest(book_id=book.book_id, account_id=a, basis=basis, page_size=3)
        true_place = [10, second.timestamp_us, 2, 0, 2, 0, 0]
        assert [entry.transfer.sequence for entry in book.call("GetAccountStatement", forged(request, *true_place)).entries] == \
            [3, 4, 5]
        for at, lowest, highest in ((0, 1, INT64_MAX - 1), (1, -1, INT64_MAX), (2, 1, INT64_MAX - 1),
                                    *((k, 0, INT64_MAX) for k in (3, 4, 5, 6))):
            for number in {INT64_MIN, lowest - 1, min(highest + 1, INT64_MAX)} - {highest}:
                place = [*true_place[:at], number, *true_place[at + 1:]]
                refusal = rpc.refused(book.stub.GetAccountStatement, forged(request, *place))
                assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_PAGE_TOKEN", ["page_token"]), place
            for number in (lowest, highest):
                place = [*true_place[:at], number, *true_place[at + 1:]]
                if (basis, at, number) == (EFFECTIVE, 4, INT64_MAX):  # one more debit is more than there can be
                    refusal = rpc.refused(book.stub.GetAccountStatement, forged(request, *place))
                    assert (refusal.code, refusal.reason) == (grpc.StatusCode.OUT_OF_RANGE, "BALANCE_OUT_OF_RANGE")
                else:
                    assert book.call("GetAccountStatement", forged(request, *place)).closing.debits_posted <= 10


def test_pages_of_rows_with_many_labels_fit_into_a_message(book):
    """Each row is 5 kB: a thousand of them are more than a message may be. Pages are short then, and the feed goes on."""
    a, b = book.account(), book.account()
    labels = metadata(book, **{f"{i:064}": "v" * 256 for i in range(16)})
    for _ in range(2):
        assert set(book.commit(*(book.transfer(a, b, 1, metadata=labels) for _ in range(500)))) == {"CREATED"}
    assert sequences(book, page_size=1000) == list(range(1, 1001))
    assert sequences(book, {"account_id": a}, page_size=1000, order=NEWEST_FIRST) == list(range(1000, 0, -1))
    assert len(transfers_page(book, page_size=1000).transfers) < 1000
    assert [row.sequence for row in book.journal(batch_max=1000)] == list(range(1, 1001))
    assert statement(book, a, page_size=1000).next_page_token


# Refusals.

FILTERS = [
    ({"account_id": "x"}, "INVALID_UUID", "filter.account_id"),
    ({"account_id": str(uuid.UUID(int=0))}, "INVALID_UUID", "filter.account_id"),
    ({"side": 1}, "INVALID_FILTER", "filter.side"),
    ({"account_id": new_id(), "side": 3}, "INVALID_FILTER", "filter.side"),
    ({"account_id": new_id(), "side": -1}, "INVALID_FILTER", "filter.side"),
    ({"code": 65536}, "INVALID_FILTER", "filter.code"),
    ({"currency": "usd"}, "INVALID_CURRENCY", "filter.currency"),
    ({"currency": "QQQ"}, "INVALID_CURRENCY", "filter.currency"),
    ({"external_reference": "r" * 129}, "INVALID_FILTER", "filter.external_reference"),
    ({"metadata_key": "k" * 65}, "INVALID_FILTER", "filter.metadata_key"),
    ({"metadata_value": "v"}, "INVALID_FILTER", "filter.metadata_value"),
    ({"metadata_key": "k", "metadata_value": "v" * 257}, "INVALID_FILTER", "filter.metadata_value"),
    ({"user_data_128": "1"}, "INVALID_UUID", "filter.user_data_128"),
    ({"kind": 6}, "INVALID_FILTER", "filter.kind"),
    ({"pending_state": 5}, "INVALID_FILTER", "filter.pending_state"),
    ({"pending_state": 1, "kind": 1}, "INVALID_FILTER", "filter.pending_state"),
    ({"from_us": -1}, "INVALID_TIME_RANGE", "filter.from_us"),
    ({"to_us": -1}, "INVALID_TIME_RANGE", "filter.to_us"),
    ({"from_us": 5, "to_us": 5}, "INVALID_TIME_RANGE", "filter.to_us"),
    ({"effective_from_us": -1}, "INVALID_TIME_RANGE", "filter.effective_from_us"),
    ({"effective_from_us": 2, "effective_to_us": 1}, "INVALID_TIME_RANGE", "filter.effective_to_us"),
    ({"from_sequence": -1}, "INVALID_FILTER", "filter.from_sequence"),
    ({"to_sequence": -1}, "INVALID_FILTER", "filter.to_sequence"),
    ({"from_sequence": 3, "to_sequence": 2}, "INVALID_FILTER", "filter.to_sequence"),
]


@pytest.mark.parametrize("fields, reason, field", FILTERS)
def test_52_an_invalid_filter_is_refused_by_name(book, fields, reason, field):
    request = book.pb.ListTransfersRequest(book_id=book.book_id, filter=transfer_filter(book, fields))
    refusal = rpc.refused(book.stub.ListTransfers, request)
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, reason, [field])
    assert refusal.message.startswith(field)


@pytest.mark.parametrize("fields, reason, field", [
    ({"code": 70000}, "INVALID_FILTER", "filter.code"),
    ({"currency": "EURO"}, "INVALID_CURRENCY", "filter.currency"),
    ({"currency": "QQQ"}, "INVALID_CURRENCY", "filter.currency"),
    ({"external_reference": "r" * 129}, "INVALID_FILTER", "filter.external_reference"),
    ({"metadata_value": "v"}, "INVALID_FILTER", "filter.metadata_value"),
    ({"user_data_128": "1"}, "INVALID_UUID", "filter.user_data_128"),
    ({"flags": 64}, "INVALID_FILTER", "filter.flags"),
    ({"from_us": 5, "to_us": 4}, "INVALID_TIME_RANGE", "filter.to_us"),
])
def test_52_an_invalid_filter_of_accounts_is_refused_by_name(book, fields, reason, field):
    request = book.pb.ListAccountsRequest(book_id=book.book_id, filter=book.pb.AccountFilter(**fields))
    refusal = rpc.refused(book.stub.ListAccounts, request)
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, reason, [field])


def refused_calls(pb, book_id):
    account = new_id()
    named = pb.TransferFilter(account_id=account)
    return [
        ("ListTransfers", pb.ListTransfersRequest(book_id=0), INVALID, "INVALID_BOOK_ID", "book_id"),
        ("ListTransfers", pb.ListTransfersRequest(book_id=424242), NOT_FOUND, "BOOK_NOT_FOUND", ""),
        ("ListTransfers", pb.ListTransfersRequest(book_id=book_id, filter=named), NOT_FOUND, "ACCOUNT_NOT_FOUND", ""),
        ("ListTransfers", pb.ListTransfersRequest(book_id=book_id, page_size=1001), INVALID, "INVALID_PAGE_SIZE", "page_size"),
        ("ListTransfers", pb.ListTransfersRequest(book_id=book_id, order=3), INVALID, "INVALID_ORDER", "order"),
        ("ListAccounts", pb.ListAccountsRequest(book_id=424242), NOT_FOUND, "BOOK_NOT_FOUND", ""),
        ("ListAccounts", pb.ListAccountsRequest(book_id=book_id, page_size=1001), INVALID, "INVALID_PAGE_SIZE", "page_size"),
        ("ListAccountBalances", pb.ListAccountBalancesRequest(book_id=book_id), INVALID, "INVALID_FILTER", "filter.account_id"),
        ("ListAccountBalances", pb.ListAccountBalancesRequest(book_id=book_id, filter=named), NOT_FOUND, "ACCOUNT_NOT_FOUND", ""),
        ("GetAccountBalances", pb.GetAccountBalancesRequest(book_id=book_id), INVALID, "NO_IDS", "account_ids"),
        ("GetAccountBalances", pb.GetAccountBalancesRequest(book_id=book_id, account_ids=["1"]), INVALID, "INVALID_UUID",
         "account_ids[0]"),
        ("GetAccountBalances", pb.GetAccountBalancesRequest(book_id=book_id, account_ids=[account] * 1001), INVALID,
         "BATCH_TOO_LARGE", "account_ids"),
        ("GetAccountBalances", pb.GetAccountBalancesRequest(book_id=book_id, account_ids=[account], as_of=pb.Moment(
            known_at_us=1, known_at_sequence=1)), INVALID, "INVALID_MOMENT", "as_of.known_at_us"),
        ("GetAccountBalances", pb.GetAccountBalancesRequest(book_id=book_id, account_ids=[account], as_of=pb.Moment(
            effective_at_us=-1)), INVALID, "INVALID_MOMENT", "as_of.effective_at_us"),
        ("GetAccountStatement", pb.GetAccountStatementRequest(book_id=book_id), INVALID, "INVALID_UUID", "account_id"),
        ("GetAccountStatement", pb.GetAccountStatementRequest(book_id=book_id, account_id=account), NOT_FOUND,
         "ACCOUNT_NOT_FOUND", ""),
        ("GetAccountStatement", pb.GetAccountStatementRequest(book_id=book_id, account_id=account, basis=3), INVALID,
         "INVALID_BASIS", "basis"),
        ("GetAccountStatement", pb.GetAccountStatementRequest(book_id=book_id, account_id=account, from_us=2, to_us=1), INVALID,
         "INVALID_TIME_RANGE", "to_us"),
        ("GetAccountStatement", pb.GetAccountStatementRequest(book_id=book_id, account_id=account, known_at_sequence=-1), INVALID,
         "INVALID_SEQUENCE", "known_at_sequence"),
        ("GetAccountStatement", pb.GetAccountStatementRequest(book_id=book_id, account_id=account, page_token="00"), INVALID,
         "INVALID_PAGE_TOKEN", "page_token"),
    ]


def test_what_cannot_be_answered_is_refused_by_name(book):
    for method, request, code, reason, field in refused_calls(book.pb, book.book_id):
        refusal = rpc.refused(getattr(book.stub, method), request)
        assert (refusal.code, refusal.reason) == (code, reason), (method, request)
        assert refusal.fields == ([field] if field else []), (method, request)


# As of.

def imported_account(book, us):
    wanted = book.pb.Account(id=new_id(), code=1, currency="USD", flags=ACCOUNT_IMPORTED, timestamp_us=us)
    assert book.accounts([wanted]) == ["CREATED"]
    return wanted.id


def test_57_backdated_entries_as_known_at_and_as_effective_at(book):
    now = book.world.clock.now_us()
    a, b = imported_account(book, now - 10 * DAY), imported_account(book, now - 10 * DAY + 1)
    assert book.commit(book.transfer(a, b, 100)) == ["CREATED"]
    first = transfers_page(book).transfers[0]
    assert book.commit(book.transfer(a, b, 7, flags=IMPORTED, timestamp_us=now - 5 * DAY)) == ["CREATED"]
    assert as_of(book, [a, b]) == [(0, 107, 0, 0), (0, 0, 0, 107)]
    # Not before its date, however it was known; from its date on, if it was known.
    assert as_of(book, [a], effective_at_us=now - 5 * DAY - 1) == [(0, 0, 0, 0)]
    assert as_of(book, [a], effective_at_us=now - 5 * DAY) == [(0, 7, 0, 0)]
    assert as_of(book, [a], effective_at_us=now - 5 * DAY, known_at_sequence=1) == [(0, 0, 0, 0)]
    assert as_of(book, [a], known_at_sequence=1) == [(0, 100, 0, 0)]
    assert as_of(book, [a], known_at_us=first.timestamp_us) == [(0, 100, 0, 0)]
    assert as_of(book, [a], known_at_us=first.timestamp_us - 1) == [(0, 0, 0, 0)]
    assert as_of(book, [a], effective_at_us=first.timestamp_us) == [(0, 107, 0, 0)]
    assert sequences(book, {"effective_to_us": now - DAY}) == [2]
    assert sequences(book, {"effective_from_us": now - DAY}) == [1]
    assert as_of(book, [new_id(), b, b]) == [(0, 0, 0, 107)]


def test_balances_by_effective_time_that_nobody_can_have_are_refused(book):
    """Two holds of all there is, one after the other by commit and both at once by their dates."""
    now = book.world.clock.now_us()
    a, b = imported_account(book, now - 10 * DAY), imported_account(book, now - 10 * DAY + 1)
    first = book.transfer(a, b, INT64_MAX, flags=PENDING | IMPORTED, timestamp_us=now - 5 * DAY)
    assert book.commit(first) == ["CREATED"]
    assert book.commit(book.transfer(flags=VOID, pending_id=first.id)) == ["CREATED"]
    second = book.transfer(a, b, INT64_MAX, flags=PENDING | IMPORTED, timestamp_us=now - 4 * DAY)
    assert book.commit(second) == ["CREATED"]
    assert as_of(book, [a]) == [(INT64_MAX, 0, 0, 0)]
    assert as_of(book, [a], effective_at_us=now - 5 * DAY) == [(INT64_MAX, 0, 0, 0)]
    for method, request in (
            ("GetAccountBalances", book.pb.GetAccountBalancesRequest(
                book_id=book.book_id, account_ids=[a], as_of=book.pb.Moment(effective_at_us=now - 4 * DAY))),
            ("GetAccountStatement", book.pb.GetAccountStatementRequest(book_id=book.book_id, account_id=a, basis=EFFECTIVE)),
            ("GetAccountStatement", book.pb.GetAccountStatementRequest(book_id=book.book_id, account_id=a, basis=EFFECTIVE,
                                                                       from_us=now - 3 * DAY))):
        refusal = rpc.refused(getattr(book.stub, method), request)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.OUT_OF_RANGE, "BALANCE_OUT_OF_RANGE"), method
    assert [entry.transfer.sequence for entry in statement(book, a).entries] == [1, 2, 3]


def test_statements_by_commit_and_by_effective_time(book):
    now = book.world.clock.now_us()
    a, b = imported_account(book, now - 10 * DAY), imported_account(book, now - 10 * DAY + 1)
    assert book.commit(book.transfer(a, b, 100), book.transfer(b, a, 30)) == ["CREATED"] * 2
    assert book.commit(book.transfer(a, b, 5, flags=IMPORTED, timestamp_us=now - 5 * DAY),
                       book.transfer(a, b, 7, flags=IMPORTED, timestamp_us=now - 3 * DAY)) == ["CREATED"] * 2

    def lines(found):
        return [(entry.transfer.sequence, entry.side, four(entry.balances)) for entry in found.entries]

    whole = statement(book, a)
    assert (four(whole.opening), four(whole.closing), whole.sequence) == ((0, 0, 0, 0), (0, 112, 0, 30), 4)
    assert lines(whole) == [(1, DEBIT, (0, 100, 0, 0)), (2, CREDIT, (0, 100, 0, 30)), (3, DEBIT, (0, 105, 0, 30)),
                            (4, DEBIT, (0, 112, 0, 30))]
    assert whole.account.id == a and whole.account.debits_posted == 112
    whole = statement(book, a, basis=EFFECTIVE)
    assert (four(whole.opening), four(whole.closing)) == ((0, 0, 0, 0), (0, 112, 0, 30))
    assert lines(whole) == [(3, DEBIT, (0, 5, 0, 0)), (4, DEBIT, (0, 12, 0, 0)), (1, DEBIT, (0, 112, 0, 0)),
                            (2, CREDIT, (0, 112, 0, 30))]
    middle = statement(book, a, basis=EFFECTIVE, from_us=now - 4 * DAY, to_us=now - 2 * DAY)
    assert (four(middle.opening), lines(middle), four(middle.closing)) == \
        ((0, 5, 0, 0), [(4, DEBIT, (0, 12, 0, 0))], (0, 12, 0, 0))
    early = statement(book, a, basis=EFFECTIVE, known_at_sequence=2)
    assert (lines(early), early.sequence) == ([(1, DEBIT, (0, 100, 0, 0)), (2, CREDIT, (0, 100, 0, 30))], 2)


def test_the_pages_of_a_statement_agree_whatever_comes_in_between(book):
    a, b = book.account(), book.account()
    assert set(book.commit(*(book.transfer(a, b, 1) for _ in range(25)))) == {"CREATED"}
    for basis in (1, EFFECTIVE):
        seen, token, first = [], "", None
        while first is None or token:
            page = statement(book, a, basis=basis, page_size=10, page_token=token)
            first = first or page
            assert (page.sequence, four(page.closing)) == (first.sequence, four(first.closing))
            seen += [entry.balances.debits_posted for entry in page.entries]
            token = page.next_page_token
            assert book.commit(book.transfer(a, b, 1)) == ["CREATED"]
        assert seen == list(range(1, first.sequence + 1))
        refusal = rpc.refused(book.stub.GetAccountStatement, book.pb.GetAccountStatementRequest(
            book_id=book.book_id, account_id=a, basis=basis, from_us=1, page_token=first.next_page_token))
        assert refusal.reason == "INVALID_PAGE_TOKEN"


def test_55_what_was_acknowledged_is_in_every_answer_from_then_on(book):
    a, b = book.account(), book.account()
    reader = Ledger(book.world, book.book_id)
    for n in range(1, 31):
        assert book.commit(book.transfer(a, b, 1)) == ["CREATED"]
        assert transfers_page(reader, {"account_id": a}, order=NEWEST_FIRST, page_size=1).transfers[0].sequence == n
        assert as_of(reader, [a]) == [(0, n, 0, 0)]
        assert accounts_page(reader, page_size=1).accounts[0].debits_posted == n
        assert statement(reader, a, page_size=1).closing.debits_posted == n


# The change feed.

def follow(book, from_sequence=1, **more):
    request = book.pb.ReadJournalRequest(book_id=book.book_id, from_sequence=from_sequence, follow=True, **more)
    return book.stub.ReadJournal(request, timeout=120)


def test_37_an_expiry_is_an_event_of_the_feed_as_it_happens(book):
    a, b = book.account(), book.account()
    stream = follow(book)
    hold = book.transfer(a, b, 38, flags=PENDING, timeout_s=1)
    assert book.commit(hold, book.transfer(a, b, 10)) == ["CREATED"] * 2
    rows = []
    while len(rows) < 3:
        rows += next(stream).transfers
    stream.cancel()
    expired = rows[2]
    assert (expired.kind, expired.id, expired.pending_id, expired.released, expired.sequence) == (EXPIRE, "", hold.id, 38, 3)
    assert four(rows[1].debit_balances) == (38, 10, 0, 0) and four(expired.debit_balances) == (0, 10, 0, 0)
    assert expired.timestamp_us >= rows[0].expires_us
