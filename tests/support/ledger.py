"""A client of ledger-svc as tests write it: short words for events, statuses by name, and the proof that books balance."""

from __future__ import annotations

import uuid

from run import RunError

from . import rpc, stubs
from .waiting import wait_until

MAX = 2**63 - 1
LINKED, PENDING, POST, VOID = 1, 2, 4, 8
NO_OVERDRAFT, NO_OVERCREDIT = 2, 4  # account flags


def new_id() -> str:
    return str(uuid.uuid4())


class Ledger:
    """Calls on one book of one world."""

    def __init__(self, world, book_id: int, identity: str = "test"):
        self.world = world
        self.book_id = book_id
        self.pb = stubs.modules("ledger/v1/ledger")[0]
        self.identity = identity

    @property
    def stub(self):
        return self.world.stub("ledger/v1/ledger", "LedgerService", "ledger-svc", self.identity)

    def call(self, method: str, request):
        return rpc.persist(lambda: getattr(self.stub, method), request, timeout=30)

    def create(self, name: str = "test book") -> Ledger:
        self.call("CreateBook", self.pb.CreateBookRequest(book_id=self.book_id, name=name))
        return self

    def status(self, number: int, kind: str = "CREATE_TRANSFER_STATUS") -> str:
        enum = self.pb.CreateTransferStatus if kind == "CREATE_TRANSFER_STATUS" else self.pb.CreateAccountStatus
        return enum.Name(number).removeprefix(kind + "_")

    # Accounts.

    def account(self, *, flags: int = 0, currency: str = "USD", code: int = 1, **more) -> str:
        """Makes an account that must be new; its id."""
        wanted = self.pb.Account(id=new_id(), code=code, currency=currency, flags=flags, **more)
        assert self.accounts([wanted]) == ["CREATED"]
        return wanted.id

    def accounts(self, wanted: list) -> list[str]:
        request = self.pb.CreateAccountsRequest(book_id=self.book_id, accounts=wanted)
        answer = self.call("CreateAccounts", request)
        return [self.status(result.status, "CREATE_ACCOUNT_STATUS") for result in answer.results]

    def lookup(self, ids: list[str]) -> dict:
        answer = self.call("LookupAccounts", self.pb.LookupAccountsRequest(book_id=self.book_id, ids=ids))
        return {account.id: account for account in answer.accounts}

    def balances(self, account_id: str) -> tuple[int, int, int, int]:
        """(debits pending, debits posted, credits pending, credits posted)"""
        found = self.lookup([account_id])[account_id]
        return found.debits_pending, found.debits_posted, found.credits_pending, found.credits_posted

    # Transfers.

    def transfer(self, debit: str = "", credit: str = "", amount: int = 0, **more):
        """An event; id, currency and code are filled in where a new transfer needs them."""
        fields = {"id": new_id(), "debit_account_id": debit, "credit_account_id": credit, "amount": amount, **more}
        if not fields.get("flags", 0) & (POST | VOID):
            fields = {"currency": "USD", "code": 1, **fields}
        return self.pb.Transfer(**fields)

    def send(self, events: list):
        request = self.pb.CreateTransfersRequest(book_id=self.book_id, transfers=events)
        return self.call("CreateTransfers", request).results

    def commit(self, *events) -> list[str]:
        """The names of the statuses."""
        return [self.status(result.status) for result in self.send(list(events))]

    def journal(self, from_sequence: int = 1, **more) -> list:
        request = self.pb.ReadJournalRequest(book_id=self.book_id, from_sequence=from_sequence, **more)
        return [row for part in self.stub.ReadJournal(request, timeout=60, wait_for_ready=True) for row in part.transfers]

    def trial_balance(self):
        return self.call("GetTrialBalance", self.pb.GetTrialBalanceRequest(book_id=self.book_id))

    def check(self, ids: list[str]):
        return self.call("CheckAccounts", self.pb.CheckAccountsRequest(book_id=self.book_id, ids=ids)).checks

    # Proofs.

    def assert_balanced(self) -> None:
        """BALANCED: debits equal credits, and each kept balance equals the sum of its entries."""
        answer = self.trial_balance()
        assert answer.balanced, answer
        for line in answer.lines:
            assert line.debits_pending == line.credits_pending and line.debits_posted == line.credits_posted, line
        rows = self.world.ledger_rows(f"SELECT account_id FROM account WHERE book_id = {self.book_id}")
        ids = [row[0] for row in rows]
        for at in range(0, len(ids), 1000):
            for checked in self.check(ids[at:at + 1000]):
                assert checked.equal, checked
        sequences = [row.sequence for row in self.journal()]
        assert sequences == list(range(1, len(sequences) + 1)), "the journal has a gap"
        assert answer.sequence >= len(sequences)

    def await_checkpoint(self) -> None:
        """Until the account table says what the journal says. Whoever looks there himself must wait for it."""
        sql = f"SELECT count(*) FROM book_head WHERE book_id = {self.book_id} AND checkpoint_sequence < sequence"
        wait_until(lambda: self._rows_or_none(sql) == [["0"]], "a checkpoint of the book")

    def _rows_or_none(self, sql: str) -> list[list[str]] | None:
        """None while PostgreSQL is away: a crash point of the checkpoint itself stops it."""
        try:
            return self.world.ledger_rows(sql)
        except RunError:
            return None
