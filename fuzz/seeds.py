#!/usr/bin/python3
"""Writes the first inputs of the corpora: real messages, files and answers, in the form that the targets read.

Usage: seeds.py BUILD (whose Python stubs are used). `./dev fuzz` grows what is here; `./dev fuzz --minimise` makes it small again.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "tools")]

from support import stubs  # noqa: E402

A, B, C, D = ("00000000-0000-0000-0000-%012x" % n for n in (1, 2, 3, 4))
T1, T2, T3 = ("00000000-0000-0000-0001-%012x" % n for n in (1, 2, 3))


def write(target: str, data: bytes) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def ledger_requests(pb):
    entries = [pb.MetadataEntry(key="kind", value="test"), pb.MetadataEntry(key="number", value="7")]
    labels = {"user_data_128": T3, "user_data_64": 5, "user_data_32": 6, "code": 1, "external_reference": "order-1",
              "metadata": entries}
    plain = {"debit_account_id": A, "credit_account_id": B, "amount": 100, "currency": "USD"}
    filter_ = pb.TransferFilter(account_id=A, side=1, code=1, currency="USD", external_reference="order-1", metadata_key="kind",
                                metadata_value="test", user_data_128=T3, user_data_64=5, user_data_32=6, from_us=1,
                                to_us=2**60, from_sequence=1, to_sequence=9)
    yield "CreateBook", pb.CreateBookRequest(book_id=1, name="book")
    yield "CreateAccounts", pb.CreateAccountsRequest(book_id=1, accounts=[
        pb.Account(id=T1, currency="USD", flags=2, lowest_balance=-5, **labels), pb.Account(id=T2, currency="EUR", code=2, flags=1),
        pb.Account(id=T3, currency="JPY", code=2, flags=48, timestamp_us=9)])
    yield "LookupAccounts", pb.LookupAccountsRequest(book_id=1, ids=[A, B, A])
    yield "CreateTransfers", pb.CreateTransfersRequest(book_id=1, transfers=[
        pb.Transfer(id=T1, flags=2, timeout_s=9, **plain, **labels),
        pb.Transfer(id=T2, flags=5, pending_id=T1, amount=2**63 - 1), pb.Transfer(id=T3, flags=8, pending_id=T1)])
    yield "CreateTransfers", pb.CreateTransfersRequest(book_id=1, transfers=[
        pb.Transfer(id=T1, flags=1, code=1, **plain), pb.Transfer(id=T1, flags=16 | 32, code=1, **plain),
        pb.Transfer(id=T2, flags=2 | 64 | 128, code=1, **plain)])
    yield "CreateTransfers", pb.CreateTransfersRequest(book_id=1, transfers=[
        pb.Transfer(id=T1, flags=256, timestamp_us=1_700_000_000_000_000, code=1, **plain)])
    yield "LookupTransfers", pb.LookupTransfersRequest(book_id=1, ids=[T1, T2])
    yield "ReverseTransfers", pb.ReverseTransfersRequest(book_id=1, force=True, reversals=[
        pb.TransferReversal(id=T2, transfer_id=T1, **labels), pb.TransferReversal(id=T3, transfer_id=T1)])
    yield "ReverseTransfers", pb.ReverseTransfersRequest(book_id=1, reversals=[
        pb.TransferReversal(id=T2, transfer_id=T1, whole_group=True)])
    yield "ListAccounts", pb.ListAccountsRequest(book_id=1, order=2, page_size=10, filter=pb.AccountFilter(
        code=1, currency="USD", external_reference="x", metadata_key="kind", metadata_value="test", flags=2, from_us=1, to_us=9))
    yield "ListTransfers", pb.ListTransfersRequest(book_id=1, filter=filter_, order=1, page_size=1000)
    yield "ListTransfers", pb.ListTransfersRequest(book_id=1, page_token="00" * 32, filter=pb.TransferFilter(
        kind=2, pending_state=1, effective_from_us=1, effective_to_us=5))
    yield "ListAccountBalances", pb.ListAccountBalancesRequest(book_id=1, filter=filter_, order=2, page_size=5)
    # The places of pages, at the ends of what they can be and beyond: see fuzz_ledger_api.c.
    for place in (1, 5, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 1):
        token = f"!{place:016x}"
        for order in (1, 2):
            yield "ListTransfers", pb.ListTransfersRequest(book_id=1, order=order, page_size=2, page_token=token)
            yield "ListAccounts", pb.ListAccountsRequest(book_id=1, order=order, page_size=2, page_token=token)
            yield "ListAccountBalances", pb.ListAccountBalancesRequest(
                book_id=1, order=order, page_size=2, page_token=token, filter=pb.TransferFilter(account_id=A))
        for basis in (1, 2):
            for at in range(7):
                numbers = [9, 2000, 2, 0, 0, 0, 0]
                numbers[at] = place
                yield "GetAccountStatement", pb.GetAccountStatementRequest(
                    book_id=1, account_id=A, basis=basis, page_size=3, page_token="!" + "".join(f"{n:016x}" for n in numbers))
    yield "GetAccountBalances", pb.GetAccountBalancesRequest(book_id=1, account_ids=[A, B], as_of=pb.Moment(known_at_us=5,
                                                                                                           effective_at_us=4))
    yield "GetAccountBalances", pb.GetAccountBalancesRequest(book_id=1, account_ids=[A], as_of=pb.Moment(known_at_sequence=5))
    yield "GetAccountStatement", pb.GetAccountStatementRequest(book_id=1, account_id=A, basis=2, from_us=1, to_us=9, page_size=5,
                                                               known_at_sequence=7)
    yield "GetTrialBalance", pb.GetTrialBalanceRequest(book_id=1)
    yield "CheckAccounts", pb.CheckAccountsRequest(book_id=1, ids=[A, B])
    yield "CheckBook", pb.CheckBookRequest(book_id=1)
    yield "ReadJournal", pb.ReadJournalRequest(book_id=1, from_sequence=1, batch_max=10)
    yield "GetTreeHead", pb.GetTreeHeadRequest(book_id=1, tree_size=5)
    yield "GetInclusionProof", pb.GetInclusionProofRequest(book_id=1, sequence=3, tree_size=5)
    yield "GetInclusionProof", pb.GetInclusionProofRequest(book_id=1, transfer_id=T1)
    yield "GetConsistencyProof", pb.GetConsistencyProofRequest(book_id=1, first_tree_size=3, second_tree_size=9)


def ledger() -> None:
    pb = stubs.modules("ledger/v1/ledger")[0]
    names = [method.name for method in pb.DESCRIPTOR.services_by_name["LedgerService"].methods]
    for name, request in ledger_requests(pb):
        write("ledger_api", bytes([names.index(name)]) + request.SerializeToString())


def payments() -> None:
    merchant = stubs.modules("payments/v1/merchant_service")[0]
    recipient = stubs.modules("payments/v1/recipient_service")[0]
    payout = stubs.modules("payments/v1/payout_service")[0]
    bank = recipient.BankAccount(routing_code="021000021", account_number="000123456789", account_type=1, currency="USD")
    new = payout.NewPayout(idempotency_key="key-1", amount_minor=100, currency="USD", rail=1, recipient_id=A)
    requests = {
        0: {"CreateMerchant": merchant.CreateMerchantRequest(merchant_id="m-1", name="Ann", currencies=["USD", "EUR"])},
        1: {"CreatePayout": payout.CreatePayoutRequest(merchant_id="m-1", payout=new),
            "BulkCreatePayouts": payout.BulkCreatePayoutsRequest(merchant_id="m-1", payouts=[new, new])},
        2: {"CreateRecipient": recipient.CreateRecipientRequest(merchant_id="m-1", recipient=recipient.NewRecipient(
            idempotency_key="r-1", name="Ann Example", holder_type=1, bank_account=bank))},
    }
    services = [merchant.DESCRIPTOR.services_by_name["MerchantService"], payout.DESCRIPTOR.services_by_name["PayoutService"],
                recipient.DESCRIPTOR.services_by_name["RecipientService"]]
    for number, by_name in requests.items():
        names = [method.name for method in services[number].methods]
        for name, request in by_name.items():
            write("wire", bytes([number + 3 * names.index(name)]) + request.SerializeToString())


def journal() -> None:
    form = struct.pack(">BqqqqBII3s16s16s16sq", 1, 1, 1, 1000, 1000, 1, 0, 1, b"USD", bytes(15) + b"\1", bytes(15) + b"\2",
                       bytes(15) + b"\3", 100)
    form += struct.pack(">qqqqB", 0, 100, 0, 0, 0) + struct.pack(">qqqqB", 0, 0, 0, 100, 0)
    form += bytes(16) + struct.pack(">qqI", 0, 0, 0) + bytes(16) + bytes(16) + struct.pack(">QI", 0, 0)
    form += struct.pack(">H", 5) + b"order" + struct.pack(">H", 5) + b"\1k\0\1v"
    leaf = hashlib.sha256(b"\0" + form).digest()
    row = struct.pack(">I", len(form)) + form + leaf
    write("journal_file", b"disburse-journal-v1\n" + struct.pack(">q", 1) + row)
    write("journal_file", b"disburse-journal-v1\n" + struct.pack(">q", 1) + row + row[:-1])


def bank() -> None:
    key = "ab" * 32
    payment = {"payment_id": "pay_1", "key": key, "status": "settled", "amount": 100, "currency": "USD",
               "reference": f"1/{A}", "code": "AC01", "text": "wrong account", "retriable": True}
    for status in ("accepted", "settled", "refused", "returned"):
        payment["status"] = status
        text = json.dumps(payment).encode()
        write("instant", b"\0" + text)
        write("instant", b"\2\0" + text)
        write("instant", b"\2\x80" + text)
        write("instant", b"\1" + json.dumps({"type": f"payment.{status}", "timestamp": "2026-11-21T09:00:00.25Z",
                                             "data": payment}).encode())
    write("instant", b"\2\6" + json.dumps({"error": "invalid", "field": "amount", "message": "no"}).encode())
    write("bank_instant", json.dumps({
        "amount": 100, "currency": "USD", "reference": f"1/{A}", "description": "PAYOUT", "creditor": {
            "name": "Ann Example", "routing_code": "021000021", "account_number": "000123456789", "account_type": "checking"}}).encode())
    write("bank_instant", key.encode())
    rails = HERE.parent / "payments-svc" / "rails" / "ach" / "testdata"
    for name in ("payouts.ach", "returns.ach"):
        write("nacha", (rails / name).read_bytes())
    write("ach_reports", b"\2" + (rails / "returns.ach").read_bytes())
    write("bank_nacha", b"\0" + (HERE.parent / "bank-sim" / "testdata" / "valid.ach").read_bytes())
    write("bank_nacha", b"\1" + (rails / "returns.ach").read_bytes())
    name = "1000000001-20260102-A.ach"
    ack = {"file": name, "status": "accepted", "entries": 2, "total": 300, "at": "2026-01-02T10:00:00Z", "reason": ""}
    write("ach_reports", b"\0" + json.dumps(ack).encode())
    write("ach_reports", b"\0" + json.dumps({**ack, "status": "rejected", "reason": "no"}).encode())
    settled = f"H,{name},1,2026-01-02T10:00:00Z\nD,091000010000001,100,SETTLED,2026-01-02T10:00:00Z\nT,1,100\n"
    write("ach_reports", b"\1" + settled.encode())
    for report in (f"{name}.ack", f"{name}.settle.1", "ret-1000000001-20260102-1.ach"):
        write("ach_reports", b"\3" + report.encode())


def rest() -> None:
    for which, text in enumerate(["m-1", "key-1", "Ann Example", A, "USD", "021000021", "HDFC0001234", "000123456789", "PAYROLL",
                                  "12345678", "EUR"]):
        write("payments_rules", bytes([which]) + text.encode())
    filters = b"merchant=m-1"
    token = hashlib.sha256(filters).hexdigest()
    for length in (64, 32, 16):
        write("page_token", bytes([len(filters)]) + filters + (token[:length] + "00" * 16).encode())
    for path in sorted((HERE.parent / "tools" / "dev").glob("*.ini*")):
        for at, section in enumerate(path.read_text(encoding="utf-8").split("\n\n")):
            write("settings", section.encode()[:600] + b"\n" * (at % 2))
    write("settings", b'[a]\nk = "x \\" \\\\ \\; y"\n')
    page = (HERE.parent / "docs" / "operating" / "policy.md").read_text(encoding="utf-8")
    example = page.split("```")[1].strip("\n") + "\n"
    write("policy", example.encode())
    for section in example.split("\n\n"):
        write("policy", section.encode() + b"\n")
    write("policy", b"[identity spiffe://d/x]\nroles = gateway, payer\n")
    head = "reference,merchant_id,recipient_name,holder_type,rail,currency,amount,routing_code,account_number,account_type,description"
    line = "r-1,acme,Ann Example,individual,instant,USD,12.50,021000021,445566778899,checking,SALES"
    for text in (f"{head}\n{line}\n", f"\ufeff{head}\r\n{line}\r\n", f"{head}\n{line}\n{line}\n",
                 f'{head}\n"r-2","acme","A ""B"" C",business,ach,USD,"1,000.00",021000021,1,savings,"x\ny"\n',
                 f"{head.replace('amount,', '')}\n", f"{head}\n{line.replace('12.50', '-1')}\n", f"{head.replace(',', ';')}\n"):
        write("payout_file", text.encode())
    zero = "00" * 32
    write("tree_head", (f'{{"book_id":1,"tree_size":2,"root_hash":"{zero}","previous_tree_size":0,"previous_root_hash":"{zero}",'
                        f'"timestamp_us":3,"key_id":"{zero}","signature":"{zero}{zero}"}}').encode())


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    stubs.install(Path(sys.argv[1]).resolve())
    for part in (ledger, payments, journal, bank, rest):
        part()
    return 0


if __name__ == "__main__":
    sys.exit(main())
