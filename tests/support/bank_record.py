"""Whom the bank credited, and what, when and in whose name: its record of each item, against what was asked of us.

What the tests know of the people whom they pay is noted as they make them (`People`). The check goes from the bank to us: each
item that the bank was ever asked to pay must be a payout of this world, and be that payout in every particular.
"""

from __future__ import annotations

import csv
import datetime
import json
import time
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from .bank import Bank
from .waiting import INTERVAL_S

CHECKING, SAVINGS = 1, 2
PERSON, COMPANY = 1, 2
ACH = 1
NEW_YORK = ZoneInfo("America/New_York")
# Company entry descriptions that mean something else on ACH.
NOT_OURS = {"", "REVERSAL", "RETRY PYMT", "ACCTVERIFY"}
NAME_ON_ACH = 22


@dataclass(frozen=True)
class Person:
    routing: str
    account: str
    name: str
    account_type: int = CHECKING
    holder_type: int = PERSON

    @classmethod
    def of(cls, recipient) -> Person:
        """Of a NewRecipient message."""
        bank = recipient.bank_account
        return cls(bank.routing_code, bank.account_number, recipient.name, bank.account_type, recipient.holder_type)


class People:
    """Everybody whom the tests of one world may pay: by the recipient's id, or by the row of a payout file."""

    def __init__(self) -> None:
        self.by_recipient: dict[str, Person] = {}
        self.by_reference: dict[tuple[str, str], list[Person]] = defaultdict(list)
        self.other_amounts: set[str] = set()  # payouts for which a test knows that the bank has another amount
        self.in_parts: set[str] = set()  # payouts of which a part came back, and the rest stays out
        self.told_by_hand: set[str] = set()  # payouts that end by a file which a test has put into the outbox, and not the bank

    def hear(self, method: str, request, answer) -> None:
        """Of a call that was answered."""
        if method == "CreateRecipient":
            self.by_recipient[answer.recipient.recipient_id] = Person.of(request.recipient)
        elif method == "BulkCreateRecipients":
            for asked, result in zip(request.recipients, answer.results):
                if result.recipient.recipient_id:
                    self.by_recipient[result.recipient.recipient_id] = Person.of(asked)

    def read(self, text: str) -> None:
        """Of a payout file, as far as it can be read; a row that was corrected in a later file is known in both versions."""
        try:
            rows = list(csv.DictReader(text.lstrip("\ufeff").splitlines()))
        except csv.Error:
            return  # nothing that anybody could pay
        for row in rows:
            row = {key: value.strip() for key, value in row.items() if isinstance(key, str) and isinstance(value, str)}
            if row.get("reference") and row.get("merchant_id") and row.get("account_number"):
                person = Person(row.get("routing_code", ""), row["account_number"], row.get("recipient_name", ""),
                                SAVINGS if row.get("account_type") == "savings" else CHECKING,
                                COMPANY if row.get("holder_type") == "company" else PERSON)
                self.by_reference[row["merchant_id"], row["reference"]].append(person)

    def of(self, payout: dict) -> list[Person]:
        known = self.by_recipient.get(payout["recipient_id"])
        return [known] if known else self.by_reference.get((payout["merchant_id"], payout["external_reference"]), [])


# --- Banking days, read a second time from the Federal Reserve's list -----------------------------------------------------

def _nth(year: int, month: int, weekday: int, n: int) -> datetime.date:
    first = datetime.date(year, month, 1)
    return first + datetime.timedelta((weekday - first.weekday()) % 7 + 7 * (n - 1))


def _last_monday_of_may(year: int) -> datetime.date:
    end = datetime.date(year, 5, 31)
    return end - datetime.timedelta(end.weekday())


def holidays(year: int) -> set[datetime.date]:
    """A holiday on a Sunday is kept on Monday, one on a Saturday not at all."""
    fixed = [datetime.date(year, month, day) for month, day in ((1, 1), (6, 19), (7, 4), (11, 11), (12, 25))]
    kept = {day + datetime.timedelta(1) if day.weekday() == 6 else day for day in fixed}
    return kept | {_nth(year, 1, 0, 3), _nth(year, 2, 0, 3), _last_monday_of_may(year), _nth(year, 9, 0, 1),
                   _nth(year, 10, 0, 2), _nth(year, 11, 3, 4)}


def next_banking_day(day: datetime.date) -> datetime.date:
    day += datetime.timedelta(1)
    while day.weekday() >= 5 or day in holidays(day.year):
        day += datetime.timedelta(1)
    return day


def effective_dates(first_us: int, last_us: int) -> set[str]:
    """The banking day after the file was made, which was some time from first_us to last_us."""
    first, last = (datetime.datetime.fromtimestamp(us / 1e6, NEW_YORK).date() for us in (first_us, last_us))
    days = (first + datetime.timedelta(n) for n in range((last - first).days + 1))
    return {next_banking_day(day).strftime("%y%m%d") for day in days}


def name_on_ach(name: str) -> str:
    """Capitals without accents, as far as the tests have names; cut to the field."""
    for letter, letters in {"ß": "SS", "ø": "O", "Ø": "O", "æ": "AE", "Æ": "AE", "ł": "L", "Ł": "L", "đ": "D", "Đ": "D", "ı": "I"}.items():
        name = name.replace(letter, letters)
    plain = unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode()
    return plain.upper()[:NAME_ON_ACH].strip()


# --- The check -----------------------------------------------------------------------------------------------------------

# In hex, because a text may have what separates rows and columns.
_PAYOUTS = """SELECT encode(convert_to(coalesce(json_agg(json_build_object('payout_id', p.payout_id, 'intent_id', p.intent_id, 'book', p.book_id,
  'merchant_id', p.merchant_id, 'recipient_id', p.recipient_id, 'amount', p.amount, 'returned', coalesce(s.returned, 0), 'currency', p.currency, 'rail', c.scheme, 'connection', c.name,
  'external_reference', p.external_reference, 'description', p.description, 'state', s.state,
  'from_us', (extract(epoch FROM p.created_at) * 1e6)::bigint, 'to_us', (extract(epoch FROM s.updated_at) * 1e6)::bigint)), '[]')::text, 'UTF8'), 'hex')
  FROM payout p JOIN saga s USING (book_id, payout_id) JOIN connection c ON c.number = p.rail"""
SETTLED, RETURNED, FAILED = 6, 8, 7


class BankRecord:
    def __init__(self, world, bank):
        self.world, self.bank = world, bank
        self.banks = {name: bank if name == bank.name else Bank(world, name) for name in {bank.name, *world.bank_of.values()}}
        self._hashes: dict[tuple[str, str, str, str], str] = {}

    def setting(self, connection: str, key: str, default):
        section = connection if connection in ("ach", "instant") else f"connection.{connection}"
        return self.world.stack.settings["payments-svc"].get(f"{section}.{key}", default)

    def who(self, bank: str, routing: str, account: str, name: str) -> str:
        key = bank, routing, account, name
        if key not in self._hashes:
            self._hashes[key] = self.banks[bank].post("/admin/who", {"routing": routing, "account": account, "name": name})["who"]
        return self._hashes[key]

    def payouts(self) -> list[dict]:
        return json.loads(bytes.fromhex(self.world.payments_rows(_PAYOUTS)[0][0]))

    def check(self, within_s: float = 10) -> list[dict]:
        """Every item of the bank, and every payout that says that it is settled. Returns the items. Payouts of others may be on their
        way, and are waited for: a return is at the bank before we have heard of it."""
        limit = time.monotonic() + within_s
        while True:
            items, wrong = self._compare()
            if not wrong:
                return items
            assert time.monotonic() < limit, f"{len(wrong)} differences between the bank's record and what was asked:\n" + "\n".join(wrong[:20])
            time.sleep(INTERVAL_S)

    def _compare(self) -> tuple[list[dict], list[str]]:
        payouts = self.payouts()
        items = [{**item, "bank": name} for name, bank in self.banks.items() for item in bank.payments()]
        by_reference = {f"{p['book']}/{p['intent_id']}": p for p in payouts if p["rail"] != ACH}
        by_tail = {p["intent_id"].replace("-", "").upper()[-15:]: p for p in payouts if p["rail"] == ACH}
        paid: dict[str, list[dict]] = defaultdict(list)
        wrong = []
        for item in items:
            payout = by_tail.get(item["payout"]) if item["rail"] == "ach" else by_reference.get(item["payout"])
            if payout is None:
                wrong.append(f"nobody asked for it: {item}")
                continue
            paid[payout["payout_id"]].append(item)
            wrong += [f"{what}: {item} of {payout}" for what in self._differences(item, payout)]
        for payout in payouts:
            if payout["payout_id"] in self.world.people.in_parts | self.world.people.told_by_hand:
                continue
            wrong += [f"{what}: {payout} {paid[payout['payout_id']]}" for what in _money(payout, paid[payout["payout_id"]])]
        return items, wrong

    def _differences(self, item: dict, payout: dict) -> list[str]:
        people = self.world.people.of(payout)
        if not people:
            return ["the test knows nobody of this recipient id or reference"]
        found = [self._told_otherwise(item, payout, person) for person in people]
        return min(found, key=len)

    def _told_otherwise(self, item: dict, payout: dict, person: Person) -> list[str]:
        ach = payout["rail"] == ACH
        name = name_on_ach(person.name) if ach else person.name
        amount = item["amount"] if payout["payout_id"] in self.world.people.other_amounts else payout["amount"]
        bank = self.world.bank_of.get(payout["connection"], self.bank.name)
        wanted = {"bank": bank, "who": self.who(item["bank"], person.routing, person.account, name), "amount": amount,
                  "currency": payout["currency"],
                  "account_type": "savings" if person.account_type == SAVINGS else "checking",
                  "description": payout["description"]}
        if ach:
            said = payout["description"].upper().strip()
            wanted["description"] = "PAYOUT" if said in NOT_OURS else said
            wanted["sec"] = "CCD" if person.holder_type == COMPANY else "PPD"
            wanted["company_id"] = f"1{int(self.setting(payout['connection'], 'company_id_base', 0)) + payout['book']:09d}"
            wanted["company_name"] = str(self.setting(payout["connection"], "company_name", "DISBURSE"))
        wrong = [f"{key} is {item[key]!r}, not {value!r}" for key, value in wanted.items() if item[key] != value]
        if ach and item["effective"] not in (dates := effective_dates(payout["from_us"], max(payout["from_us"], payout["to_us"]))):
            wrong.append(f"effective is {item['effective']}, not one of {sorted(dates)}")
        return wrong


def _money(payout: dict, items: list[dict]) -> list[str]:
    """NO-DOUBLE, over all attempts of one payout."""
    credited = sum(item["times_credited"] for item in items)
    out = sum(item["credited_sum"] - item["returned_sum"] for item in items)
    if out > payout["amount"] or out < 0:
        return [f"{out} is out, more than once"]
    if payout["state"] == SETTLED and (credited, out) != (1, payout["amount"] - payout["returned"]):
        return [f"settled, but credited {credited} times and {out} is out"]
    if payout["state"] in (FAILED, RETURNED) and out != 0:
        return [f"ended, but {out} is out"]
    return []
