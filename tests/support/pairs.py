"""Pairs of crashes: while what the first one left is being recovered, the second one comes.

Pairs are run as chains. In a chain one death follows the other while payouts go on, so each two neighbours are a pair, and a death
costs a second instead of a whole world's life. Two kinds of chains: "again", in which the process that died is started again and dies
in its recovery; and "two", in which another instance lives, and dies while it takes over.
"""

from __future__ import annotations

import random
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from run import RunError
from run.layout import PROJECT, free_port

from . import mix, stubs
from .bank_record import BankRecord
from .crash import PlanFile, postgres_crasher, stopped
from .paying import ACH, FAILED, INSTANT, RETURNED, SETTLED, Payer, assert_books_at_rest
from .waiting import wait_until

AGAIN, TWO = "again", "two"
KILL, STOP, POSTGRES = "kill", "stop", "postgres"
OTHER = "payments-svc.2"
CHAINS_A_WORLD = 12  # its books have file ids for so many
LEASES_S = 1.2  # longer than both leases below
DEATHS = 10     # pairs of a chain
HIT_S = 30      # until a point must have been passed
MORE_S = 2      # until further payouts are made for it
SETTINGS = {**mix.SETTINGS, "payments-svc": {
    **mix.SETTINGS["payments-svc"], "deadlines.every_ms": 300,
    # Sessions of a process that stands still in the middle of a transaction end soon.
    "db.statement_timeout_ms": 3000,
    "db.conninfo": "service=payments_service application_name=payments-svc "
                   "options='-c idle_in_transaction_session_timeout=2000'"}}
# Few payouts, and yet all points: see test_crash_points.py for the whole mix.
LIVES = [(ACH, 1_000, SETTLED), (ACH, 1_951, RETURNED), (INSTANT, 1_100, SETTLED), (INSTANT, 1_801, FAILED), (INSTANT, 1_803, SETTLED),
         (INSTANT, 1_807, SETTLED), (INSTANT, 1_809, RETURNED), (INSTANT, mix.TOO_MUCH, FAILED)]

STEPS = ["reserve", "execute", "resolve", "confirm", "void", "return"]
BOUNDARIES = ["prepared", "sent", "acked", "recorded", "committed"]
# Passed only in the recovery from certain deaths: from one of a sender that has not finished, or of a worker that has a lease.
WHILE_SENDING = ["submission.begun", "ach.upload.begin", "ach.upload.written", "ach.upload.fenced"]
WHILE_LEASED = ["saga.claim.committed", "instant.post.begin", "instant.post.answered", "saga.outcome.copying",
                *(f"saga.{step}.{at}" for step in STEPS for at in ("prepared", "sent", "acked"))]
ONLY_AFTER = {"submission.taken_back": WHILE_SENDING, "saga.takeover.written": WHILE_LEASED, "saga.takeover.committed": WHILE_LEASED}


def named_in(room: str) -> list[str]:
    """The crash points that the sources of a room name. Those of the saga's steps are made from two lists."""
    found = set()
    for path in (PROJECT / room).rglob("*.c"):
        if not path.name.endswith("_test.c"):
            found |= set(re.findall(r'CRASH_POINT\("([^"]+)"\)', path.read_text(encoding="utf-8")))
    if room == "payments-svc":
        found |= {f"saga.{step}.{boundary}" for step in STEPS for boundary in BOUNDARIES}
    return sorted(found)


@dataclass(frozen=True)
class Death:
    point: str
    way: str = KILL

    def __str__(self) -> str:
        return self.point if self.way == KILL else f"{self.point}:{self.way}"

    @classmethod
    def of(cls, text: str) -> Death:
        point, _, way = text.partition(":")
        assert (way or KILL) in (KILL, STOP, POSTGRES), f"{way} is no way to die: {KILL}, {STOP} or {POSTGRES}"
        return cls(point, way or KILL)


@dataclass(frozen=True)
class Chain:
    kind: str
    deaths: tuple[Death, ...]

    def __str__(self) -> str:
        return f"{self.kind}={','.join(map(str, self.deaths))}"

    @classmethod
    def of(cls, text: str) -> Chain:
        """The printed form; without a kind it is "again"."""
        kind, equals, deaths = text.rpartition("=")
        assert (kind or AGAIN) in (AGAIN, TWO), f"{kind} is no kind of chain: {AGAIN} or {TWO}"
        return cls(kind or AGAIN, tuple(map(Death.of, deaths.split(","))))

    @property
    def pairs(self) -> int:
        return len(self.deaths) - 1


# --- Which pairs -----------------------------------------------------------------------------------------------------------


class Points:
    """The points that can follow each point. `rare`: points that these payouts do not pass."""

    def __init__(self, rare: set[str]):
        self.ledger = named_in("ledger-svc")
        rare = rare | set(ONLY_AFTER)
        self.payments = [point for point in named_in("payments-svc") if point not in rare]

    def at(self, kind: str, position: int) -> list[str]:
        """In a chain of two instances they die in turns, and the bank's webhooks go to the first one."""
        ours = [point for point in self.payments if kind == AGAIN or position % 2 == 0 or not point.startswith("webhook.")]
        return self.ledger + ours

    def way(self, kind: str, point: str, drawn: random.Random) -> str:
        if drawn.random() < 0.04:
            return POSTGRES
        return STOP if kind == TWO and point not in self.ledger and drawn.random() < 0.2 else KILL


def sampled(points: Points, seed: int, pairs: int) -> list[Chain]:
    """Random walks, half of either kind; the first ones are through what is passed only in a recovery."""
    drawn = random.Random(seed)
    chains = [_rare_walk(kind, drawn) for kind in (AGAIN, TWO)]
    left = pairs - sum(chain.pairs for chain in chains)
    while left > 0:
        kind = AGAIN if len(chains) % 2 == 0 else TWO
        deaths = []
        for position in range(min(left, DEATHS) + 1):
            point = drawn.choice(points.at(kind, position))
            follows = [rare for rare, after in ONLY_AFTER.items() if deaths and deaths[-1] in map(Death, after)]
            if follows and drawn.random() < 0.3:
                point = drawn.choice(follows)
            deaths.append(Death(point, points.way(kind, point, drawn)))
        chains.append(Chain(kind, tuple(deaths)))
        left -= chains[-1].pairs
    return chains


def _rare_walk(kind: str, drawn: random.Random) -> Chain:
    deaths = []
    for rare, after in ONLY_AFTER.items():
        deaths += [Death(drawn.choice(after)), Death(rare)]
    return Chain(kind, tuple(deaths))


def every(points: Points, seed: int) -> list[Chain]:
    """Each pair of either kind once: a circuit through all edges between the points, cut into chains."""
    drawn, chains = random.Random(seed), []
    for kind in (AGAIN, TWO):
        walk = _circuit(points, kind, drawn)
        for at in range(0, len(walk) - 1, DEATHS):
            deaths = tuple(Death(point, points.way(kind, point, drawn)) for point in walk[at:at + DEATHS + 1])
            chains.append(Chain(kind, deaths))
        for rare, after in ONLY_AFTER.items():
            for n, last in enumerate(points.at(kind, 0)):
                chains.append(Chain(kind, tuple(map(Death, (after[n % len(after)], rare, last)))))
    return chains


def _circuit(points: Points, kind: str, drawn: random.Random) -> list[str]:
    """Hierholzer's. A node is a point at an even or an odd position; of "again" there is one kind of position."""
    sides = 1 if kind == AGAIN else 2
    left = {(side, point): points.at(kind, side + 1) for side in range(sides) for point in points.at(kind, side)}
    for to in left.values():
        drawn.shuffle(to)
    stack, walk = [(0, points.at(kind, 0)[0])], []
    while stack:
        side, _ = stack[-1]
        if left[stack[-1]]:
            stack.append(((side + 1) % sides, left[stack[-1]].pop()))
        else:
            walk.append(stack.pop()[1])
    return walk[::-1]


# --- One chain -------------------------------------------------------------------------------------------------------------


class House:
    """A world in which chains run one after the other."""

    def __init__(self, world, folder: Path):
        self.world, self.folder = world, folder
        folder.mkdir(parents=True, exist_ok=True)
        world.up()
        world.stack.add_instance("payments-svc", OTHER, {"server.listen": f"127.0.0.1:{free_port()}"})
        self.crasher = postgres_crasher(world, folder)
        self.daemons = [world.ledger, world.payments, world.daemon(OTHER)]
        self.plans = {daemon.name: PlanFile(folder / f"{daemon.name}.plan") for daemon in self.daemons}
        for daemon in self.daemons:
            daemon.env.update(self.plans[daemon.name].env)
        for daemon in self.daemons[:2]:
            daemon.kill()
            daemon.start()

    def run(self, chain: Chain) -> Told:
        life = _Life(self, chain)
        try:
            life.set_the_stage()
            for position, death in enumerate(chain.deaths):
                life.die(position, death)
            return life.judge()
        except BaseException as error:
            life.give_up()
            error.add_note(f"of the chain {chain}\n{life.left_open()}")
            raise


@dataclass
class Told:
    """Of a chain that held."""

    seconds: float
    payouts: int
    late: list[str]  # pairs whose second death came when all was recovered


class _Life:
    def __init__(self, house: House, chain: Chain):
        self.house, self.world, self.chain = house, house.world, chain
        self.begun = time.monotonic()
        self.mixes: list[Future] = []
        self.pool = ThreadPoolExecutor(64, thread_name_prefix="mix")
        self.reviving: dict[str, Future] = {}
        self.late: list[str] = []
        self.died_at: float | None = None  # the last death, by the clock of the database's machine, which is ours

    def set_the_stage(self) -> None:
        other = self.world.daemon(OTHER)
        if self.chain.kind == TWO and not other.alive():
            other.start()
        if self.chain.kind == AGAIN and other.alive():
            other.stop()
        self.arm(0)

    def victim(self, position: int):
        death = self.chain.deaths[position]
        if death.point.startswith("journal."):
            return self.world.ledger
        return self.world.daemon(OTHER) if self.chain.kind == TWO and position % 2 == 1 else self.world.payments

    def arm(self, position: int) -> None:
        if position < len(self.chain.deaths):
            death = self.chain.deaths[position]
            action = f"exec:{self.house.crasher}" if death.way == POSTGRES else death.way
            self.house.plans[self.victim(position).name].arm(death.point, action)

    def die(self, position: int, death: Death) -> None:
        daemon = self.victim(position)
        self.await_back(daemon)
        self.pay(daemon)
        hit = self.await_hit(position, daemon)
        if position > 0 and not (hit and self.is_recovering()):
            self.late.append(f"{self.chain.deaths[position - 1]},{death}")
        if not hit:
            self.arm(position + 1)
            return
        self.died_at = time.time()
        if death.way == KILL:
            daemon.wait_exit(10)
        if death.way == STOP:
            wait_until(lambda: stopped(daemon), f"it stands at {death.point}")
        self.arm(position + 1)
        if death.way != POSTGRES:
            self.reviving[daemon.name] = self.pool.submit(self.revive, daemon, death)

    def revive(self, daemon, death: Death) -> None:
        if death.way == KILL:
            daemon.start(wait=False)  # it may pass its next point before it is ready
        else:
            time.sleep(LEASES_S)  # it stands still for longer than its leases: somebody else has them when it goes on
            daemon.resume()

    def await_back(self, daemon) -> None:
        if daemon.name in self.reviving:
            self.reviving.pop(daemon.name).result(90)

    def pay(self, daemon) -> None:
        service = daemon.name if daemon.name == OTHER else "payments-svc"
        payer = Payer(self.world, service)
        self.mixes.append(self.pool.submit(mix.start, payer, LIVES))

    def await_hit(self, position: int, daemon) -> bool:
        """False when nobody will pass it any more: what is passed only in a recovery, after somebody else has recovered all of it."""
        death, plan = self.chain.deaths[position], self.house.plans[daemon.name]
        limit, more = time.monotonic() + HIT_S, time.monotonic() + MORE_S
        while not plan.hit():
            now = time.monotonic()
            if death.point in ONLY_AFTER and position > 0 and not self.is_recovering():
                plan.disarm()
                return plan.hit()
            assert now < limit, f"{death} was never hit, at place {position + 1} of {self.chain}"
            assert daemon.alive() or plan.hit(), f"{daemon.name} is gone before {death}, at place {position + 1} of {self.chain}"
            if now > more:
                self.pay(daemon)
                more = now + MORE_S
            time.sleep(0.005)
        return True

    def is_recovering(self) -> bool:
        """Whether something is open that the last death found under way."""
        rows = wait_until(self.rows_or_none, "the database answers")
        return int(rows[0][0]) > 0

    def rows_or_none(self) -> list[list[str]] | None:
        try:
            return self.world.payments_rows(
                "SELECT count(*) FROM saga JOIN payout USING (book_id, payout_id) WHERE state NOT IN (6, 7, 8) "
                f"AND created_at < to_timestamp({self.died_at})")
        except RunError:
            return None

    # After the faults.

    def judge(self) -> Told:
        """NO-LOSS, NO-DOUBLE, BALANCED, PROVEN, EXPLAINED."""
        for future in self.reviving.values():
            future.result(90)
        for daemon in self.house.daemons[:2 if self.chain.kind == AGAIN else 3]:
            daemon.wait_ready(60)
        mixes = [future.result(90) for future in self.mixes]
        payer = Payer(self.world)
        payouts = []
        for mixed in mixes:
            mixed.merchant.payer = payer
            found = mixed.wait(60)
            assert {payout.payout_id: payout.state for payout in found} == mixed.wanted
            gone = sum(payout.amount_minor for payout in found if payout.state == SETTLED)
            assert mixed.merchant.balance() == (mix.DEPOSIT - gone, 0, mix.DEPOSIT - gone)
            payouts += found
        books = sorted({mixed.merchant.book_id for mixed in mixes})
        BankRecord(self.world, payer.bank).check()
        assert payer.bank.duplicates() == []
        assert_books_at_rest(payer, books)
        for book_id in books:
            assert_proven(self.world, book_id)
        self.assert_explained([mixed.merchant.id for mixed in mixes], len(payouts))
        self.pool.shutdown()
        return Told(time.monotonic() - self.begun, len(payouts), self.late)

    def assert_explained(self, merchants: list[str], n: int) -> None:
        """Each step log is gapless, and ends with an outcome; nothing is left over for a person."""
        names = ",".join(f"'{name}'" for name in merchants)
        rows = self.world.payments_rows(
            "SELECT l.payout_id, count(*), max(l.seq), (array_agg(l.kind ORDER BY l.seq DESC))[1] FROM step_log l "
            f"JOIN payout p USING (book_id, payout_id) WHERE p.merchant_id IN ({names}) GROUP BY l.payout_id")
        assert len(rows) == n
        for payout_id, count, last, kind in rows:
            assert count == last and kind == "2", (payout_id, count, last, kind)
        left = self.world.payments_rows(
            f"SELECT kind, subject_id, code FROM payment_case WHERE state = 1 AND merchant_id IN ({names})")
        assert left == [], "cases of payouts that are at their ends"

    def give_up(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def left_open(self) -> str:
        """What stands, where, and how it came there."""
        told = []
        for sql in LEFT_OPEN:
            try:
                told += ["", sql, *("|".join(row) for row in self.world.payments_rows(sql))]
            except RunError as error:
                told.append(str(error))
        return "\n".join(told)


def assert_proven(world, book_id: int) -> None:
    """PROVEN: each payout of the book agrees with the ledger's journal, and the accounts with their sum."""
    stubs.modules("payments/v1/common")
    messages, _ = stubs.modules("payments/v1/reconciliation_service")
    stub = world.stub("payments/v1/reconciliation_service", "ReconciliationService", "payments-svc")
    parts = list(stub.ProveBook(messages.ProveBookRequest(book_id=book_id), timeout=60, wait_for_ready=True))
    assert not any(part.differences for part in parts), parts
    for account in parts[-1].accounts:
        assert account.expected_posted_minor == account.found_posted_minor, account
        assert account.expected_reserved_minor == account.found_reserved_minor == 0, account


_OPEN = "(SELECT book_id, payout_id FROM saga WHERE state NOT IN (6, 7, 8) ORDER BY payout_id LIMIT 20) AS o"
LEFT_OPEN = [
    f"SELECT s.*, now() FROM saga s JOIN {_OPEN} USING (book_id, payout_id) ORDER BY s.payout_id",
    f"SELECT l.* FROM step_log l JOIN {_OPEN} USING (book_id, payout_id) ORDER BY l.payout_id, l.seq",
    f"SELECT v.* FROM rail_event v JOIN {_OPEN} USING (book_id, payout_id) ORDER BY v.payout_id",
    "SELECT * FROM saga_lease",
    "SELECT book_id, submission_id, name, state, tries, due_at, lease_ends_at, created_at FROM submission WHERE state NOT IN (4, 7)",
    "SELECT u.* FROM submission_upload u JOIN submission s USING (book_id, submission_id) WHERE s.state NOT IN (4, 7) ORDER BY at",
    "SELECT book_id, inbox_id, name, state, received_at FROM inbox WHERE state = 1",
]
