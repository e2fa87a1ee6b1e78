"""Two ledger-svc on one database, killed (SIGKILL) again and again under load, with a wall clock that steps back and forth. Clients
keep the history of what they were told, and afterwards it is held against the journal:

- every transfer that was acknowledged is there exactly once, where the client was told that it is;
- none that was definitely refused is there;
- one of unknown outcome is there once or not at all, and asking again with the same id settles it;
- sequences have no gap, times strictly increase.

DISBURSE_TEST_SEED repeats the choices (not the races); DISBURSE_CHAOS_SECONDS says how long.
"""

import os
import random
import threading
import time

import grpc
import pytest
from support import ledger_only, rpc
from support.ledger import LINKED, MAX, NO_OVERDRAFT, PENDING, POST, VOID, Ledger, new_id

SECONDS = int(os.environ.get("DISBURSE_CHAOS_SECONDS", 40))
SEED = int(os.environ.get("DISBURSE_TEST_SEED", time.time_ns() // 1000000))
CLIENTS = 10
BOOKS = (21, 22)
STEP_MAX_US = 5 * 60 * 1000000  # of the clock, in either direction
# A definite error of a whole call: nothing of it was done, and nothing will be.
DEFINITE = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND}


class Client(threading.Thread):
    """Sends random transfers to either process, and writes down what it is told: {id: (status, sequence, time)}."""

    def __init__(self, world, seed, accounts):
        super().__init__(daemon=True)
        self.dice = random.Random(seed)
        self.ledgers = {book_id: Ledger(world, book_id) for book_id in BOOKS}
        self.world, self.accounts = world, accounts
        self.told = {}  # id -> (book, status, sequence, time); the first definite answer
        self.unknown = {}  # id -> (book, the request that it was in); no answer yet
        self.pendings = {book_id: [] for book_id in BOOKS}
        self.stop = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set():
                book_id = self.dice.choice(BOOKS)
                if self.unknown and self.dice.random() < 0.5:
                    book_id, events = self.dice.choice(list(self.unknown.values()))  # the very same request again
                else:
                    events = self.events(book_id)
                self.send(book_id, events)
        except BaseException as error:  # handed to the test's thread
            self.failure = error

    def events(self, book_id):
        ledger, dice = self.ledgers[book_id], self.dice
        made = []
        for _ in range(dice.choice([1, 1, 2, 5, 20])):
            a, b = dice.sample(self.accounts[book_id], 2)
            kind = dice.random()
            if kind < 0.2:
                event = ledger.transfer(a, b, dice.randint(1, 5), flags=PENDING, timeout_s=dice.choice([0, 0, 1, 60]))
                self.pendings[book_id].append(event.id)
            elif kind < 0.35 and self.pendings[book_id]:
                pending_id = dice.choice(self.pendings[book_id][-20:])
                posts = dice.random() < 0.6
                event = ledger.transfer(amount=MAX if posts else 0, pending_id=pending_id, flags=POST if posts else VOID)
            else:
                event = ledger.transfer(a, b, dice.randint(0, 9))
            event.flags |= LINKED * (dice.random() < 0.2)
            made.append(event)
        made[-1].flags &= ~LINKED
        return made

    def send(self, book_id, events):
        ledger = self.ledgers[book_id]
        service = self.dice.choice(ledger_only.names(2))
        stub = self.world.stub("ledger/v1/ledger", "LedgerService", service)
        request = ledger.pb.CreateTransfersRequest(book_id=book_id, transfers=events)
        try:
            results = stub.CreateTransfers(request, timeout=5, wait_for_ready=self.dice.random() < 0.5).results
        except grpc.RpcError as error:
            assert error.code() in rpc.REPEATABLE, f"{error.code()} {error.details()}"
            self.unknown.update({event.id: (book_id, events) for event in events})
            self.stop.wait(0.05)  # a process that is down refuses at once
            return
        for chain in chains(list(zip(events, results))):
            statuses = [ledger.status(result.status) for _, result in chain]
            # A chain that was committed before stops at its first transfer, which EXISTS: so the others exist as well.
            again = "EXISTS" in statuses
            for (event, result), status in zip(chain, statuses):
                status = "EXISTS_WITH_ITS_CHAIN" if again and status == "LINKED_EVENT_FAILED" else status
                self.learn(book_id, event, status, result)

    def learn(self, book_id, event, status, result):
        asked_before = self.unknown.pop(event.id, None) is not None
        before = self.told.get(event.id)
        if status == "EXISTS":
            # The answer to the first try was lost, or a neighbour in its request is still being asked for.
            assert asked_before or (before and before[1] == "CREATED"), (event.id, before)
        if before is None:
            self.told[event.id] = (book_id, status, result.sequence, result.timestamp_us)
        elif before[1] in ("CREATED", "EXISTS"):
            assert (status, result.sequence, result.timestamp_us) == ("EXISTS", *before[2:]), (event.id, before, status)
        elif status in ("CREATED", "EXISTS"):
            raise AssertionError(f"{event.id} was refused ({before[1]}) and is {status} now")

    def settle(self, patience_s):
        """Asks for all that is open until there is an answer."""
        limit = time.monotonic() + patience_s
        while self.unknown:
            assert time.monotonic() < limit, f"{len(self.unknown)} transfers have no definite answer"
            self.send(*next(iter(self.unknown.values())))


def chains(pairs):
    """The (event, result) pairs, those of a linked chain together."""
    found = [[]]
    for event, result in pairs:
        found[-1].append((event, result))
        if not event.flags & LINKED:
            found.append([])
    return found[:-1]


def chaos(world, clock, dice, until):
    """Kills, starts and steps the clock; how often it did."""
    kills = steps = 0
    while time.monotonic() < until:
        daemon = world.daemon(dice.choice(ledger_only.names(2)))
        what = dice.random()
        if what < 0.4:
            daemon.kill()
            kills += 1
            time.sleep(dice.random() * 0.5)  # lint: the world's whim, nothing waits for it
            daemon.start(timeout_s=60)
        elif what < 0.6:
            daemon.pause()
            time.sleep(dice.random())
            daemon.resume()
        else:
            clock.step(dice.randint(-STEP_MAX_US, STEP_MAX_US // 2))
            steps += 1
        time.sleep(dice.random() * 1.5)
    return kills, steps


@pytest.fixture
def chaos_world(servers):
    world = servers.world()
    try:
        yield world, ledger_only.start(world, instances=2)
        world.stop_and_check()
    finally:
        world.remove()


def test_NO_LOSS_two_processes_killed_under_load_with_a_clock_that_steps_back(chaos_world):
    world, clock = chaos_world
    print(f"seed {SEED} (DISBURSE_TEST_SEED), {SECONDS} s (DISBURSE_CHAOS_SECONDS)")
    dice = random.Random(SEED)
    accounts = {}
    for book_id in BOOKS:
        ledger = Ledger(world, book_id).create()
        accounts[book_id] = [ledger.account() for _ in range(4)] + [ledger.account(flags=NO_OVERDRAFT) for _ in range(3)]
    clients = [Client(world, SEED + k, accounts) for k in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        kills, steps = chaos(world, clock, dice, time.monotonic() + SECONDS)
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(60)
    for client in clients:
        assert not client.is_alive(), "a client's call never ended"
        if client.failure is not None:
            raise client.failure
        client.settle(60)
    told = {id_: answer for client in clients for id_, answer in client.told.items()}
    statuses = [answer[1] for answer in told.values()]
    print(f"{kills} kills, {steps} steps of the clock, {len(told)} answers, {statuses.count('EXISTS')} learnt by asking again")
    assert kills >= 1 and steps >= 1 and statuses.count("CREATED") > 100
    for book_id in BOOKS:
        judge(Ledger(world, book_id), {id_: answer for id_, answer in told.items() if answer[0] == book_id})


def judge(ledger, told):
    rows = ledger.journal()
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1)), "sequences have a gap"
    times = [row.timestamp_us for row in rows]
    assert all(a < b for a, b in zip(times, times[1:])), "times do not increase"
    kept = [row for row in rows if row.id]
    there = {row.id: row for row in kept}
    assert len(there) == len(kept), "a transfer stands there twice"
    for id_, (_, status, sequence, timestamp_us) in told.items():
        if status in ("CREATED", "EXISTS"):
            assert id_ in there, f"{id_} was acknowledged as {sequence} and is lost"
            assert (there[id_].sequence, there[id_].timestamp_us) == (sequence, timestamp_us)
        elif status == "EXISTS_WITH_ITS_CHAIN":
            assert id_ in there, f"{id_} is lost, and its chain is not"
        else:
            assert id_ not in there, f"{id_} was refused ({status}) and is there"
    assert set(there) <= set(told), "the journal has what nobody sent"
    ledger.assert_balanced()
