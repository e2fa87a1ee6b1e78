#!/usr/bin/python3
"""Writes payouts.csv: 1,000 payouts as a marketplace would export them, the same bytes at every run.

The people, companies, routing numbers and accounts are made up. Some amounts end in three digits by which the simulator
bank is asked for an outcome (see README.md); all other amounts keep clear of them.
Usage: make_payouts.py [--check] [FILE]    --check: only compares, exit code 1 when the file differs
"""

from __future__ import annotations

import csv
import io
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

SEED = 20260930
ROWS = 1000
COLUMNS = ("reference", "merchant_id", "recipient_name", "holder_type", "rail", "currency", "amount", "routing_code",
           "account_number", "account_type", "description")

# What the last three digits of an amount in minor units ask the bank for, and how many rows ask for it.
OUTCOMES = {
    "ach": {901: 5, 902: 5, 903: 5, 904: 4, 910: 3, 916: 3, 920: 3, 951: 4},
    "instant": {801: 5, 802: 4, 803: 4, 804: 3, 805: 2, 806: 3, 807: 3, 808: 3, 809: 3},
}
ENDINGS = frozenset(ending for outcomes in OUTCOMES.values() for ending in outcomes)


@dataclass(frozen=True)
class Merchant:
    id: str
    prefix: str  # of its references
    lanes: tuple[tuple[str, str, int, int], ...]  # rail, currency, recipients, rows
    companies: float  # share of its recipients
    median: dict[str, int]  # minor units
    spread: float  # sigma of the logarithm
    descriptions: tuple[str, ...]


MERCHANTS = (
    Merchant("bazaar-lane", "BZL", (("ach", "USD", 148, 200), ("instant", "USD", 24, 30)), 0.35,
             {"USD": 18400}, 1.1, ("SALES W39", "SALES W39", "SALES ADJ")),
    Merchant("papertrail-books", "PTB", (("ach", "USD", 121, 150),), 0.12,
             {"USD": 6250}, 1.5, ("ROYALTIES",)),
    Merchant("hearth-and-home", "HNH", (("ach", "USD", 91, 150), ("instant", "USD", 26, 40)), 0.25,
             {"USD": 27500}, 0.9, ("BOOKINGS", "BOOKINGS", "DEP REFUND")),
    Merchant("quickfix-repairs", "QFR", (("ach", "USD", 40, 60), ("instant", "USD", 30, 50)), 0.5,
             {"USD": 32000}, 0.7, ("JOBS W39", "MATERIALS")),
    Merchant("metro-couriers", "MTC", (("instant", "USD", 75, 120),), 0.02,
             {"USD": 14200}, 0.5, ("SHIFTS", "SHIFTS", "TIPS")),
    Merchant("dabba-express", "DBX", (("instant", "INR", 145, 200),), 0.2,
             {"INR": 412000}, 0.8, ("ORDERS W39", "ORDERS W39", "TIPS")),
)

# Given and family names that go together; the weight says how often.
PEOPLE_USD = (
    (6, "Emma Olivia Noah Liam Mason Ava Ethan Harper Logan Abigail Wyatt Grace".split(),
     "Johnson Walker Bennett O'Brien Murphy Sullivan Carter Reed Whitfield Hughes".split()),
    (4, "José María Lucía Andrés Sofía Martín Ximena Íñigo Raúl Noemí".split(),
     "García Hernández Muñoz Peña López Ibáñez Núñez Ramírez".split()),
    (2, "Aaliyah Darnell Imani Marcus Kehinde Ngozi Kwame".split(), "Washington Jefferson Okafor Adeyemi Mensah Boateng".split()),
    (2, "Łukasz Agnieszka Małgorzata Paweł Zbigniew".split(), "Wiśniewski Kowalczyk Wójcik Dąbrowska Żuk".split()),
    (1, "Jürgen Anneliese Björn Käthe Zoë".split(), "Müller Groß Schäfer Weiß Köhler".split()),
    (1, "Søren Åsa Bjørn Freja Øystein".split(), "Kjær Ångström Sørensen Lindqvist Østergård".split()),
    (1, "Thị Lan|Văn Minh|Thu Hà|Quốc Bảo".split("|"), "Nguyễn Trần Phạm Đặng Lê".split()),
    (1, "Chloé François Gaëlle Jérôme Anaïs".split(), "Lefèvre Bélanger Côté D'Aubigné".split()),
    (1, "Wei Mei-Ling Jia-Hao Xiaoyan".split(), "Chen Wang Zhang Liu Huang".split()),
    (1, "Yusuf Ayşe Çağla Gökhan Şule".split(), "Yılmaz Öztürk Şahin Doğan".split()),
)
PEOPLE_INR = (
    (6, "Aarav Priya Ananya Rohan Kavya Arjun Deepika Vikram Meera Sanjay Lakshmi Farhan".split(),
     "Sharma Iyer Patel Reddy Nair Chatterjee Deshpande Khan Kulkarni Singh".split()),
    (2, ["आरव", "प्रिया", "अनन्या", "रोहन", "कविता", "सुनील"], ["शर्मा", "पाटील", "वर्मा", "जोशी", "गुप्ता"]),
    (1, ["தமிழ்செல்வி", "முருகன்", "கவிதா"], ["சுப்ரமணியம்", "ராமசாமி"]),
    (1, ["Fatima", "Imran", "Zainab"], ["Qureshi", "Ansari", "D'Souza"]),
)
SHOPS_USD = ("Blue Heron", "Copper Kettle", "Maple & Thread", "Café Olé", "Nørrebro", "Señor Tostado", "Driftwood",
             "Ironbark", "Little Fern", "Sun & Moon", "Façade", "High Plains", "Juniper", "Old Mill", "Redwood Hollow")
TRADES_USD = ("Pottery LLC", "Ceramics", "Woodworks, Inc.", "Leather Co.", "Print Shop LLC", "Candles", "Repairs, LLC",
              "Plumbing Inc.", "Design Studio", "Textiles, Ltd.", "Rentals LLC", "Coffee Roasters, Inc.")
SHOPS_INR = ("Annapurna", "Shree Ganesh", "Saravana", "Malabar", "Punjab Da", "Udupi", "Bombay Chowk", "Hyderabad House")
TRADES_INR = ("Tiffins", "Foods Pvt. Ltd.", "Sweets", "Kitchen", "Dhaba", "Caterers, LLP")


def check_digit(eight: str) -> str:
    weights = (3, 7, 1, 3, 7, 1, 3, 7)
    return str(-sum(int(digit) * weight for digit, weight in zip(eight, weights)) % 10)


def routing_numbers(rng: Random, n: int) -> list[str]:
    """The first two digits are those of a Federal Reserve district: 01 to 12 for banks, 21 to 32 for thrifts."""
    districts = list(range(1, 13)) * 4 + list(range(21, 33))
    eights = [f"{rng.choice(districts):02}{rng.randrange(10**6):06}" for _ in range(n)]
    return [eight + check_digit(eight) for eight in eights]


def ifscs(rng: Random, n: int) -> list[str]:
    """Four letters (of banks that do not exist), a zero, six digits of the branch."""
    banks = ("DMOB", "NVBK", "KSHB", "SNDR", "PRTH", "GNGB")
    return [f"{rng.choice(banks)}0{rng.randrange(10**6):06}" for _ in range(n)]


def person(rng: Random, currency: str) -> str:
    groups = PEOPLE_USD if currency == "USD" else PEOPLE_INR
    _, given, family = rng.choices(groups, weights=[group[0] for group in groups])[0]
    name = f"{rng.choice(given)} {rng.choice(family)}"
    if given is PEOPLE_USD[0][1] and rng.random() < 0.3:  # a middle initial
        name = name.replace(" ", f" {rng.choice('ABCDEGHJKLMPRST')}. ", 1)
    return name


def company(rng: Random, currency: str) -> str:
    shops, trades = (SHOPS_USD, TRADES_USD) if currency == "USD" else (SHOPS_INR, TRADES_INR)
    return f"{rng.choice(shops)} {rng.choice(trades)}"


@dataclass(frozen=True)
class Recipient:
    name: str
    holder_type: str
    routing_code: str
    account_number: str
    account_type: str


def make_recipients(rng: Random, merchant: Merchant, currency: str, n: int, banks: list[str]) -> list[Recipient]:
    found: list[Recipient] = []
    names: set[str] = set()
    while len(found) < n:
        is_company = rng.random() < merchant.companies
        name = (company if is_company else person)(rng, currency)
        if name in names and rng.random() < 0.9:  # namesakes occur, now and then
            continue
        names.add(name)
        digits = rng.choice((8, 9, 10, 12) if currency == "USD" else (11, 12, 14, 15))
        number = str(rng.randrange(10 ** (digits - 1), 10**digits))
        # Big banks have most of the accounts.
        bank = banks[min(int(rng.expovariate(1 / 9)), len(banks) - 1)]
        account_type = "savings" if not is_company and rng.random() < (0.2 if currency == "USD" else 0.8) else "checking"
        found.append(Recipient(name, "company" if is_company else "individual", bank, number, account_type))
    return found


def amount(rng: Random, median: int, spread: float) -> int:
    """Skewed: most are small, few are large. Never one of the endings that ask the bank for something."""
    while True:
        minor = round(math.exp(rng.gauss(math.log(median), spread)))
        if rng.random() < 0.15:
            minor = minor // 500 * 500  # round sums occur
        if 100 <= minor <= 100 * median and minor % 1000 not in ENDINGS:
            return minor


def lane_rows(rng: Random, merchant: Merchant, lane: tuple[str, str, int, int], banks: list[str]) -> list[dict]:
    """Each recipient at least once, a few of them often."""
    rail, currency, n_recipients, n_rows = lane
    recipients = make_recipients(rng, merchant, currency, n_recipients, banks)
    often = [recipients[min(int(rng.expovariate(1 / 12)), n_recipients - 1)] for _ in range(n_rows - n_recipients)]
    return [{
        "merchant_id": merchant.id, "recipient_name": r.name, "holder_type": r.holder_type, "rail": rail,
        "currency": currency,
        "minor": amount(rng, merchant.median[currency] * (3 if r.holder_type == "company" else 1), merchant.spread),
        "routing_code": r.routing_code, "account_number": r.account_number, "account_type": r.account_type,
        "description": rng.choice(merchant.descriptions),
    } for r in recipients + often]


def ask_for_outcomes(rng: Random, rows: list[dict]) -> None:
    """Gives some rows the endings of OUTCOMES: of recipients that are paid once, as a closed account is not paid again."""
    paid: dict[str, int] = {}
    for row in rows:
        paid[row["account_number"]] = paid.get(row["account_number"], 0) + 1
    for rail, outcomes in OUTCOMES.items():
        endings = [ending for ending, n in outcomes.items() for _ in range(n)]
        once = [row for row in rows if row["rail"] == rail and paid[row["account_number"]] == 1]
        for row, ending in zip(rng.sample(once, len(endings)), endings):
            row["minor"] = row["minor"] // 1000 * 1000 + ending


def make() -> str:
    rng = Random(SEED)
    banks = {"USD": routing_numbers(rng, 48), "INR": ifscs(rng, 30)}
    rows: list[dict] = []
    for merchant in MERCHANTS:
        own = [row for lane in merchant.lanes for row in lane_rows(rng, merchant, lane, banks[lane[1]])]
        rng.shuffle(own)
        for number, row in enumerate(own, 1):
            row["reference"] = f"{merchant.prefix}-2026W39-{number:05}"
        rows += own
    ask_for_outcomes(rng, rows)
    assert len(rows) == ROWS and sum(row["minor"] % 1000 in ENDINGS for row in rows) == sum(
        n for outcomes in OUTCOMES.values() for n in outcomes.values())
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        minor = row.pop("minor")
        writer.writerow({**row, "amount": f"{minor // 100}.{minor % 100:02}"})
    return out.getvalue()


def main() -> int:
    args = [arg for arg in sys.argv[1:] if arg != "--check"]
    target = Path(args[0]) if args else Path(__file__).with_name("payouts.csv")
    text = make().encode("utf-8")
    if "--check" in sys.argv[1:]:
        return 0 if target.read_bytes() == text else 1
    target.write_bytes(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
