"""The ledger's additions to plain transfers, over the wire: reversals, closing, credit lines, imports, labels."""

import itertools
import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from run.layout import PROJECT
from support import rpc
from support.ledger import LINKED, MAX, NO_OVERDRAFT, PENDING, POST, VOID, Ledger, new_id

BALANCING_DEBIT, CLOSING_DEBIT, IMPORTED, FORCED = 16, 64, 256, 512
ACCOUNT_IMPORTED, ACCOUNT_CLOSED = 16, 32

books = itertools.count(7000)


@pytest.fixture
def book(world):
    return Ledger(world, next(books)).create()


@pytest.fixture
def pair(book):
    return book.account(), book.account()


def reverse(book, *reversals, force=False):
    wanted = [book.pb.TransferReversal(**one) for one in reversals]
    request = book.pb.ReverseTransfersRequest(book_id=book.book_id, reversals=wanted, force=force)
    return book.call("ReverseTransfers", request).results


def made(book, *args, **more):
    event = book.transfer(*args, **more)
    assert book.commit(event) == ["CREATED"]
    return event


def test_a_reversal_happens_once_and_says_what_it_did(book, pair):
    a, b = pair
    first = made(book, a, b, 40, user_data_64=9)
    wanted = {"id": new_id(), "transfer_id": first.id, "external_reference": "complaint 1"}
    done = reverse(book, wanted)[0]
    assert (book.status(done.status), done.transfer_id, len(done.reversals)) == ("CREATED", first.id, 1)
    row = done.reversals[0]
    assert (row.id, row.reverses_id, row.sequence, row.amount) == (wanted["id"], first.id, 2, 40)
    assert row.debit_balances.debits_posted == row.debit_balances.credits_posted == 40
    again = reverse(book, wanted)[0]
    assert book.status(again.status) == "EXISTS" and again.reversals == done.reversals
    later = reverse(book, {"id": new_id(), "transfer_id": first.id})[0]
    assert book.status(later.status) == "ALREADY_REVERSED" and later.reversals == done.reversals
    entry = book.journal()[1]
    assert (entry.reverses_id, entry.debit_account_id, entry.credit_account_id) == (first.id, b, a)
    assert (entry.external_reference, entry.user_data_64) == ("complaint 1", 9)
    book.assert_balanced()


def test_many_reverse_the_same_at_once(book, pair):
    first = made(book, *pair, 40)
    with ThreadPoolExecutor(32) as pool:
        results = list(pool.map(lambda _: reverse(book, {"id": new_id(), "transfer_id": first.id})[0], range(100)))
    statuses = [book.status(result.status) for result in results]
    assert statuses.count("CREATED") == 1 and statuses.count("ALREADY_REVERSED") == 99
    assert len({result.reversals[0].id for result in results}) == 1
    assert book.balances(pair[0]) == (0, 40, 0, 40)
    book.assert_balanced()


def test_a_group_is_reversed_whole_from_any_of_its_transfers(book, pair):
    a, b = pair
    alone = made(book, a, b, 1)
    group = [book.transfer(a, b, 10, flags=LINKED), book.transfer(b, a, 4, flags=LINKED), book.transfer(a, b, 3)]
    assert book.commit(*group) == ["CREATED"] * 3
    made(book, a, b, 2)
    wanted = {"id": new_id(), "transfer_id": group[1].id, "whole_group": True}
    done = reverse(book, wanted)[0]
    assert (book.status(done.status), done.transfer_id) == ("CREATED", group[1].id)
    assert [row.reverses_id for row in done.reversals] == [event.id for event in reversed(group)]
    assert [row.sequence for row in done.reversals] == [6, 7, 8]
    again = reverse(book, wanted)[0]
    assert book.status(again.status) == "EXISTS" and again.reversals == done.reversals
    other = reverse(book, {"id": new_id(), "transfer_id": group[0].id, "whole_group": True})[0]
    assert (book.status(other.status), other.transfer_id) == ("ALREADY_REVERSED", group[2].id)
    assert [row.id for row in other.reversals] == [done.reversals[0].id]
    single = reverse(book, {"id": new_id(), "transfer_id": alone.id, "whole_group": True})[0]
    assert book.status(single.status) == "CREATED" and len(single.reversals) == 1
    assert book.balances(a) == (0, 1 + 10 + 3 + 2 + 4, 0, 4 + 10 + 3 + 1)
    book.assert_balanced()


def test_a_group_fails_whole(book):
    source, wallet, shop = book.account(), book.account(flags=NO_OVERDRAFT), book.account(flags=NO_OVERDRAFT)
    group = [book.transfer(source, wallet, 10, flags=LINKED), book.transfer(wallet, shop, 10)]
    assert book.commit(*group) == ["CREATED"] * 2
    made(book, shop, source, 4)
    refused = reverse(book, {"id": new_id(), "transfer_id": group[0].id, "whole_group": True})[0]
    assert (book.status(refused.status), refused.transfer_id) == ("EXCEEDS_CREDITS", group[1].id)
    assert not refused.reversals
    forced = reverse(book, {"id": new_id(), "transfer_id": group[0].id, "whole_group": True}, force=True)[0]
    assert book.status(forced.status) == "CREATED"
    assert book.balances(shop) == (0, 14, 0, 10)
    assert book.journal()[-1].flags & FORCED
    assert book.commit(book.transfer(shop, source, 1)) == ["EXCEEDS_CREDITS"]
    book.assert_balanced()


def test_what_cannot_be_reversed(book, pair):
    hold = made(book, *pair, 5, flags=PENDING)
    void = made(book, pending_id=hold.id, flags=VOID)
    statuses = [book.status(result.status) for result in reverse(
        book, {"id": new_id(), "transfer_id": hold.id}, {"id": new_id(), "transfer_id": void.id},
        {"id": new_id(), "transfer_id": new_id()}, {"id": new_id(), "transfer_id": new_id(), "whole_group": True},
        {"transfer_id": void.id}, {"transfer_id": void.id, "whole_group": True})]
    assert statuses == ["REVERSED_TRANSFER_IS_PENDING", "REVERSED_TRANSFER_IS_VOID", "REVERSED_TRANSFER_NOT_FOUND",
                        "REVERSED_TRANSFER_NOT_FOUND", "ID_MUST_NOT_BE_ZERO", "ID_MUST_NOT_BE_ZERO"]
    assert not reverse(book)


@pytest.mark.parametrize("change, reason, field", [
    ({"transfer_id": ""}, "NO_TRANSFER", "reversals[0].transfer_id"),
    ({"transfer_id": "x"}, "INVALID_UUID", "reversals[0].transfer_id"),
    ({"id": "x"}, "INVALID_UUID", "reversals[0].id"),
    ({"external_reference": "x" * 129}, "INVALID_EXTERNAL_REFERENCE", "reversals[0].external_reference"),
])
def test_a_malformed_reversal_is_refused_by_its_field(book, change, reason, field):
    one = book.pb.TransferReversal(**{"id": new_id(), "transfer_id": new_id(), **change})
    request = book.pb.ReverseTransfersRequest(book_id=book.book_id, reversals=[one])
    refusal = rpc.refused(book.stub.ReverseTransfers, request)
    assert (refusal.code, refusal.reason, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, reason, [field])


def test_reversals_of_an_unknown_book(world):
    ledger = Ledger(world, 6999)
    for whole_group in (False, True):
        one = ledger.pb.TransferReversal(id=new_id(), transfer_id=new_id(), whole_group=whole_group)
        request = ledger.pb.ReverseTransfersRequest(book_id=ledger.book_id, reversals=[one])
        refusal = rpc.refused(ledger.stub.ReverseTransfers, request)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "BOOK_NOT_FOUND")


def test_closing_is_seen_and_taken_back(book, pair):
    a, b = pair
    hold = made(book, a, b, 0, flags=PENDING | CLOSING_DEBIT)
    assert book.lookup([a])[a].flags == ACCOUNT_CLOSED and book.lookup([b])[b].flags == 0
    assert book.journal()[0].debit_closed and not book.journal()[0].credit_closed
    assert book.commit(book.transfer(a, b, 1)) == ["DEBIT_ACCOUNT_ALREADY_CLOSED"]
    assert book.commit(book.transfer(b, a, 1)) == ["CREDIT_ACCOUNT_ALREADY_CLOSED"]
    assert book.commit(book.transfer(pending_id=hold.id, flags=POST, amount=MAX)) == ["DEBIT_ACCOUNT_ALREADY_CLOSED"]
    made(book, pending_id=hold.id, flags=VOID)
    assert book.lookup([a])[a].flags == 0
    made(book, a, b, 1)
    closed = book.account(flags=ACCOUNT_CLOSED)
    assert book.commit(book.transfer(closed, b, 1)) == ["DEBIT_ACCOUNT_ALREADY_CLOSED"]


def test_a_credit_line_is_spent_to_the_last_unit(book):
    shop, wallet = book.account(), book.account(flags=NO_OVERDRAFT, lowest_balance=-100)
    assert book.commit(book.transfer(wallet, shop, 101), book.transfer(wallet, shop, 60)) == ["EXCEEDS_CREDITS", "CREATED"]
    result = book.send([book.transfer(wallet, shop, MAX, flags=BALANCING_DEBIT)])[0]
    assert (book.status(result.status), result.amount) == ("CREATED", 40)
    assert book.lookup([wallet])[wallet].lowest_balance == -100
    bad = [{"lowest_balance": 1, "flags": NO_OVERDRAFT}, {"lowest_balance": -1}]
    accounts = [book.pb.Account(id=new_id(), code=1, currency="USD", **fields) for fields in bad]
    assert book.accounts(accounts) == ["LOWEST_BALANCE_MUST_NOT_BE_POSITIVE", "LOWEST_BALANCE_MUST_BE_ZERO"]
    book.assert_balanced()


def test_imported_entries_keep_both_times(book):
    old = [book.pb.Account(id=new_id(), code=1, currency="USD", flags=ACCOUNT_IMPORTED, timestamp_us=at) for at in (10, 20)]
    assert book.accounts(old) == ["CREATED"] * 2
    assert book.accounts(old) == ["EXISTS"] * 2
    a, b = (account.id for account in old)
    found = book.lookup([b])[b]
    assert found.effective_us == 20 < found.timestamp_us
    live = made(book, a, b, 1)
    late = [book.transfer(a, b, 2, flags=IMPORTED, timestamp_us=at) for at in (50, 50, 20, 60)]
    assert book.commit(*late) == ["CREATED", "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS",
                                  "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS", "CREATED"]
    assert book.commit(late[0]) == ["EXISTS"]
    assert book.commit(book.transfer(a, b, 2, flags=IMPORTED, timestamp_us=20)) == [
        "IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT"]
    rows = book.journal()
    assert [row.id for row in rows] == [live.id, late[0].id, late[3].id]
    assert [row.effective_us for row in rows] == [rows[0].timestamp_us, 50, 60]
    assert rows[0].timestamp_us < rows[1].timestamp_us < rows[2].timestamp_us
    book.assert_balanced()


def test_labels_come_back_sorted(book, pair):
    entry = book.pb.MetadataEntry
    metadata = [entry(key="region", value="eu"), entry(key="a"), entry(key="é", value="x" * 256)]
    account = book.pb.Account(id=new_id(), code=1, currency="USD", external_reference="iban:é", metadata=metadata)
    assert book.accounts([account]) == ["CREATED"]
    assert book.accounts([account]) == ["EXISTS"]
    found = book.lookup([account.id])[account.id]
    assert found.external_reference == "iban:é" and [one.key for one in found.metadata] == ["a", "region", "é"]
    event = made(book, *pair, 1, external_reference="invoice 7", metadata=metadata)
    event.metadata.reverse()  # the order of entries means nothing
    assert book.commit(event) == ["EXISTS"]
    row = book.journal()[0]
    assert row.external_reference == "invoice 7" and [one.value for one in row.metadata] == ["", "eu", "x" * 256]
    assert len(row.leaf_hash) == 32
    account.id = new_id()
    assert book.accounts([account]) == ["EXTERNAL_REFERENCE_EXISTS"]


@pytest.mark.parametrize("fields, reason, member", [
    ({"external_reference": "x" * 129}, "INVALID_EXTERNAL_REFERENCE", "external_reference"),
    ({"metadata": [{"key": ""}]}, "INVALID_METADATA", "metadata"),
    ({"metadata": [{"key": "k" * 65}]}, "INVALID_METADATA", "metadata"),
    ({"metadata": [{"key": "k", "value": "v" * 257}]}, "INVALID_METADATA", "metadata"),
    ({"metadata": [{"key": "k"}, {"key": "k"}]}, "DUPLICATE_METADATA_KEY", "metadata"),
    ({"metadata": [{"key": str(n)} for n in range(17)]}, "TOO_MUCH_METADATA", "metadata"),
])
def test_labels_that_are_too_long(book, fields, reason, member):
    account = book.pb.Account(id=new_id(), code=1, currency="USD", **fields)
    for call, request, path in (
            (book.stub.CreateAccounts, book.pb.CreateAccountsRequest(book_id=book.book_id, accounts=[account]), "accounts"),
            (book.stub.CreateTransfers, book.pb.CreateTransfersRequest(
                book_id=book.book_id, transfers=[book.transfer(new_id(), new_id(), 1, **fields)]), "transfers")):
        refusal = rpc.refused(call, request)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert refusal.fields == [f"{path}[0].{member}"]


def test_group_reversal_ids_are_derived(book, pair):
    """docs/ledger-semantics.md says how, so that a client can know them before."""
    import hashlib
    first, key = made(book, *pair, 1), new_id()
    done = reverse(book, {"id": key, "transfer_id": first.id, "whole_group": True})[0]
    parts = [b"reversal", uuid.UUID(key).bytes, uuid.UUID(first.id).bytes]
    digest = hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
    raw = bytearray(digest[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    assert done.reversals[0].id == str(uuid.UUID(bytes=bytes(raw)))


def test_the_page_names_every_status(world):
    ledger = Ledger(world, 1)
    page = (PROJECT / "docs" / "ledger-semantics.md").read_text(encoding="utf-8")
    transfers, accounts = page.split("## Statuses of an account")
    for text, enum, prefix in ((transfers, ledger.pb.CreateTransferStatus, "CREATE_TRANSFER_STATUS_"),
                               (accounts, ledger.pb.CreateAccountStatus, "CREATE_ACCOUNT_STATUS_")):
        named = re.findall(r"^\* `([A-Z0-9_]+)`:", text, re.MULTILINE)
        wanted = {name.removeprefix(prefix) for name in enum.keys()} - {"UNSPECIFIED"}
        assert set(named) == wanted and len(named) == len(wanted)
