"""Merchants and their payouts as a careful client sees them: it repeats what it must with the same key, and never otherwise."""

from __future__ import annotations

import itertools
import uuid

from . import rpc, stubs
from .bank import Bank
from .bank_record import BankRecord, Person
from .ledger import Ledger
from .waiting import wait_until

ACH, INSTANT = 1, 2
SETTLED, FAILED, RETURNED, HELD = 6, 7, 8, 10
FINAL = {SETTLED, FAILED, RETURNED}
PROTOS = {"Merchant": "payments/v1/merchant_service", "Recipient": "payments/v1/recipient_service",
          "Payout": "payments/v1/payout_service"}
ROUTING = {"USD": "021000021", "INR": "HDFC0001234"}
# No two recipients of a run have one account number or one name, so that the bank's record tells them apart.
ACCOUNT_PREFIX, NAME_PREFIX = "0001234567", "Ann Example"
_accounts = itertools.count(uuid.uuid4().int % 5_000_000)
RECIPIENTS = 4  # of a merchant and currency

def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:16]}"


class Payer:
    """payments-svc of a world; `service` may be the name of a further instance."""

    def __init__(self, world, service: str = "payments-svc", identity: str = "test"):
        self.world, self.service, self.identity = world, service, identity
        self.pb = stubs.modules(PROTOS["Payout"])[0]
        self.merchants_pb = stubs.modules(PROTOS["Merchant"])[0]
        self.recipients_pb = stubs.modules(PROTOS["Recipient"])[0]
        self.bank = Bank(world)

    def stub(self, kind: str):
        return self.world.stub(PROTOS[kind], f"{kind}Service", self.service, self.identity)

    def call(self, kind: str, method: str, request, **how):
        """With patience: see rpc.persist. Whom a recipient stands for is noted for the bank's record."""
        answer = rpc.persist(lambda: getattr(self.stub(kind), method), request, **how)
        self.world.people.hear(method, request, answer)
        return answer

    def merchant(self, *, deposit: int = 0, currencies: tuple[str, ...] = ("USD",), prefix: str = "m") -> Merchant:
        merchant_id = unique(prefix)
        answer = self.call("Merchant", "CreateMerchant", self.merchants_pb.CreateMerchantRequest(
            merchant_id=merchant_id, name="Test Merchant", currencies=currencies))
        made = Merchant(self, merchant_id, answer.merchant.book_id)
        for currency in currencies if deposit else ():
            made.deposit(deposit, currency)
        return made

    def merchant_in_other_book(self, than: int, **more) -> Merchant:
        for _ in range(100):
            made = self.merchant(**more)
            if made.book_id != than:
                return made
        raise AssertionError("a hundred merchants, all in one book")


class Merchant:
    def __init__(self, payer: Payer, merchant_id: str, book_id: int):
        self.payer, self.id, self.book_id = payer, merchant_id, book_id
        self.ledger = Ledger(payer.world, book_id)
        self._recipients: dict[tuple[str, int], str] = {}

    def deposit(self, amount: int, currency: str = "USD", key: str | None = None):
        return self.payer.call("Merchant", "CreateDeposit", self.payer.merchants_pb.CreateDepositRequest(
            merchant_id=self.id, idempotency_key=key or unique("deposit"), amount_minor=amount, currency=currency))

    def new_recipient(self, currency: str = "USD", *, key: str | None = None, **bank):
        number = next(_accounts)
        account = {"routing_code": ROUTING.get(currency, ROUTING["USD"]), "account_number": f"{ACCOUNT_PREFIX}{number:07d}",
                   "account_type": 1, "currency": currency, **bank}
        return self.payer.recipients_pb.NewRecipient(
            idempotency_key=key or unique("recipient"), name=f"{NAME_PREFIX} {number}", holder_type=1,
            bank_account=self.payer.recipients_pb.BankAccount(**account))

    def recipient(self, currency: str = "USD", which: int = 0) -> str:
        """One of the merchant's recipients in this currency, all of which are made on first use."""
        if (currency, which) not in self._recipients:
            answer = self.payer.call("Recipient", "BulkCreateRecipients", self.payer.recipients_pb.BulkCreateRecipientsRequest(
                merchant_id=self.id, recipients=[self.new_recipient(currency) for _ in range(RECIPIENTS)]))
            for n, result in enumerate(answer.results):
                self._recipients[currency, n] = result.recipient.recipient_id
        return self._recipients[currency, which]

    def recipient_of(self, key: str, currency: str = "USD") -> str:
        """Neighbours are paid to different people, and a repeat of a key to the same."""
        return self.recipient(currency, sum(key.encode()) % RECIPIENTS)

    def person(self, recipient_id: str) -> Person:
        return self.payer.world.people.by_recipient[recipient_id]

    def new_payout(self, amount: int, rail: int = INSTANT, currency: str = "USD", **change):
        fields = {"idempotency_key": unique("payout"), "amount_minor": amount, "currency": currency, "rail": rail,
                  **change}
        if "recipient_id" not in fields:
            fields["recipient_id"] = self.recipient_of(fields["idempotency_key"], currency)
        return self.payer.pb.NewPayout(**fields)

    def request(self, *args, **more):
        return self.payer.pb.CreatePayoutRequest(merchant_id=self.id, payout=self.new_payout(*args, **more))

    def pay(self, *args, **more):
        return self.payer.call("Payout", "CreatePayout", self.request(*args, **more)).payout

    def pay_many(self, payouts: list):
        answer = self.payer.call("Payout", "BulkCreatePayouts", self.payer.pb.BulkCreatePayoutsRequest(
            merchant_id=self.id, payouts=payouts), timeout=30)
        assert len(answer.results) == len(payouts)
        return answer.results

    def payout(self, payout_id: str):
        return self.payer.call("Payout", "GetPayout", self.payer.pb.GetPayoutRequest(
            merchant_id=self.id, payout_id=payout_id)).payout

    def payouts(self, **filters) -> list:
        """All pages."""
        found, token = [], ""
        while True:
            answer = self.payer.call("Payout", "ListPayouts", self.payer.pb.ListPayoutsRequest(
                merchant_id=self.id, page_token=token, **{"page_size": 1000, **filters}))
            found += answer.payouts
            token = answer.next_page_token
            if not token:
                return found

    def timeline(self, payout_id: str):
        return self.payer.call("Payout", "GetPayoutTimeline", self.payer.pb.GetPayoutTimelineRequest(
            merchant_id=self.id, payout_id=payout_id))

    def balance(self, currency: str = "USD", *, prove: bool = True) -> tuple[int, int, int]:
        """(available, held, total), proven against the journal."""
        answer = self.payer.call("Merchant", "GetBalance", self.payer.merchants_pb.GetBalanceRequest(
            merchant_id=self.id, prove=prove))
        line = next(line for line in answer.lines if line.currency == currency)
        assert line.total_minor == line.available_minor + line.held_minor
        assert line.proven == prove, line
        return line.available_minor, line.held_minor, line.total_minor

    def wait_for(self, payout_ids: list[str], states: set[int] = frozenset(FINAL), timeout_s: float = 60) -> dict:
        """Until all are in one of the states; HELD is never waited for, unless asked for."""
        def standing():
            found = {payout.payout_id: payout for payout in self.payouts() if payout.payout_id in wanted}
            held = [payout for payout in found.values() if payout.state == HELD and HELD not in states]
            assert not held, f"a person would have to look at {held}"
            last.clear()
            last.update({key: (payout.state, payout.reason) for key, payout in found.items()})
            return found if len(found) == len(wanted) and all(p.state in states for p in found.values()) else None

        wanted, last = set(payout_ids), {}
        try:
            return wait_until(standing, f"all of {len(wanted)} payouts are in {sorted(states)}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; they stand at {last}") from None

    def refused(self, method: str, request, kind: str = "Payout") -> rpc.Failure:
        return rpc.refused(getattr(self.payer.stub(kind), method), request)


def of_bank(rows: list[dict], payout) -> list[dict]:
    """The bank's lines of one payout: all attempts. An ACH entry has room for the end of the intent's id only."""
    tail = payout.intent_id.replace("-", "").upper()[-15:] if payout.rail == ACH else payout.intent_id
    return [row for row in rows if row["payout"].endswith(tail)
            and row["rail"] == ("ach" if payout.rail == ACH else "instant")]


def assert_bank_agrees(payer: Payer, payouts: list) -> None:
    """NO-DOUBLE at the bank: what is SETTLED was credited exactly once, of all else nothing stays out."""
    rows = payer.bank.payments()
    for payout in payouts:
        lines = of_bank(rows, payout)
        credited = sum(line["times_credited"] for line in lines)
        returned = sum(line["times_returned"] for line in lines)
        assert all(line["amount"] == payout.amount_minor for line in lines), (payout, lines)
        if payout.state == SETTLED:
            assert (credited, returned) == (1, 0), f"settled, but credited {credited} times: {payout} {lines}"
        else:
            assert credited <= 1 and credited == returned, f"{payout} {lines}"
    assert payer.bank.duplicates() == []
    BankRecord(payer.world, payer.bank).check()


def assert_books_at_rest(payer: Payer, book_ids: list[int]) -> None:
    """BALANCED, and every transit account (code 200) is empty: nothing stands between us and the bank."""
    books = ",".join(str(book_id) for book_id in set(book_ids))
    for book_id in sorted(set(book_ids)):
        Ledger(payer.world, book_id).await_checkpoint()
        Ledger(payer.world, book_id).assert_balanced()
    left = payer.world.ledger_rows(
        "SELECT book_id, account_id, debits_pending, debits_posted, credits_pending, credits_posted FROM account "
        f"WHERE code = 200 AND book_id IN ({books}) "
        "AND (debits_pending <> 0 OR credits_pending <> 0 OR debits_posted <> credits_posted)")
    assert left == [], "transit accounts that are not empty"


def assert_ledger_equals_bank(payer: Payer) -> None:
    """Of the whole world: what left through our books (BANK_OUT less BANK_RETURN) is what the bank says that it paid."""
    rows = payer.world.ledger_rows(
        "SELECT currency, sum(CASE code WHEN 12 THEN amount ELSE -amount END) FROM transfer "
        "WHERE code IN (12, 13) GROUP BY currency")
    ours = {currency: int(total) for currency, total in rows if int(total) != 0}
    theirs = {currency: net for currency, net in payer.bank.net_by_currency().items() if net != 0}
    assert ours == theirs


def paying(servers, settings):
    """For a fixture: a Payer on a Disburse of its own. What its bank would have said the tests say themselves, so it is not held against
    the bank's record."""
    world = servers.world(settings)
    try:
        yield Payer(world.up())
        world.stop_and_check(of_the_bank=False)
    finally:
        world.remove()
