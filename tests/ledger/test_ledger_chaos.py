"""Two ledger-svc on one database, killed (SIGKILL) again and again under load, with a wall clock that steps back and forth. Clients
keep the history of what they were told, and afterwards it is held against the journal:

- every transfer that was acknowledged is there exactly once, where the client was told that it is;
- none that was definitely refused is there, be it alone or with its whole call;
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
SECONDS_MAX = 4 * SECONDS  # until there were enough kills and steps
KILLS_MIN, STEPS_BACK_MIN = 5, 3
CLIENTS = 10
BOOKS = (21, 22)
UNKNOWN_BOOK = 23
STEP_MAX_US = 5 * 60 * 1000000  # of the clock, in either direction
# A definite error of a whole call: nothing of it was done, and nothing will be.
DEFINITE = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND}


class Client(threading.Thread):
    """Sends random transfers to either process, and writes down what it is told: {id: (status, sequence, time)}."""

    def __init__(self, world, clock, seed, accounts):
        super().__init__(daemon=True)
        self.dice = random.Random(seed)
        self.ledgers = {book_id: Ledger(world, book_id) for book_id in BOOKS}
        self.world, self.clock, self.accounts = world, clock, accounts
        self.told = {}  # id -> (book, status, sequence, time); the first definite answer
        self.unknown = {}  # id -> (book, the request that it was in); no answer yet
        self.ahead = 0  # commits with a time that the clock has not come to
        self.refused_calls = {}  # code -> how many calls were refused with it
        self.pendings = {book_id: [] for book_id in BOOKS}
        self.stop = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set():
                book_id = self.dice.choice(BOOKS)
                if self.dice.random() < 0.1:
                    self.send_malformed(book_id)
                    continue
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

    def call(self, book_id, events):
        service = self.dice.choice(ledger_only.names(2))
        stub = self.world.stub("ledger/v1/ledger", "LedgerService", service)
        request = self.ledgers[BOOKS[0]].pb.CreateTransfersRequest(book_id=book_id, transfers=events)
        return stub.CreateTransfers(request, timeout=5, wait_for_ready=self.dice.random() < 0.5).results

    def send_malformed(self, book_id):
        """Transfers that are good, in a call that is not: one among them cannot be read, or there is no such book."""
        good = self.ledgers[book_id]
        a, b = self.accounts[book_id][:2]
        events = [good.transfer(a, b, self.dice.randint(0, 9)) for _ in range(self.dice.choice([1, 2, 5]))]
        kind = self.dice.choice(["id", "account", "amount", "book"])
        bad = good.transfer(a, b, 1)
        if kind == "id":
            bad.id = bad.id[:-1]
        elif kind == "account":
            bad.credit_account_id = "nobody"
        elif kind == "amount":
            bad.amount = -1
        if kind != "book":
            events.insert(self.dice.randint(0, len(events)), bad)
        try:
            answer = self.call(UNKNOWN_BOOK if kind == "book" else book_id, events)
            raise AssertionError(f"a call with a bad {kind} was answered: {answer}")
        except grpc.RpcError as error:
            assert error.code() in DEFINITE | rpc.REPEATABLE, f"{error.code()} {error.details()}"
            if error.code() in DEFINITE:
                self.refused_calls[error.code()] = self.refused_calls.get(error.code(), 0) + 1
        # Whatever came of the call, or of its answer: these must never appear, in either book.
        self.told.update({event.id: (book_id, "CALL_REFUSED", 0, 0) for event in events})

    def send(self, book_id, events):
        ledger = self.ledgers[book_id]
        try:
            results = self.call(book_id, events)
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
        self.ahead += status == "CREATED" and result.timestamp_us > self.clock.now_us()
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


def chaos(world, clock, dice):
    """Kills, starts and steps the clock; how often it killed, stepped the clock, and stepped it back."""
    kills = steps = back = 0
    begun = time.monotonic()
    while time.monotonic() < begun + SECONDS or kills < KILLS_MIN or back < STEPS_BACK_MIN:
        assert time.monotonic() < begun + SECONDS_MAX, f"only {kills} kills and {back} steps back"
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
            before_us = clock.now_us()
            clock.step(dice.randint(-STEP_MAX_US, STEP_MAX_US // 2))
            steps += 1
            back += clock.now_us() < before_us
        time.sleep(dice.random() * 1.5)
    return kills, steps, back


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
    clients = [Client(world, clock, SEED + k, accounts) for k in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        kills, steps, back = chaos(world, clock, dice)
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
    refused = {code.name: sum(client.refused_calls.get(code, 0) for client in clients) for code in sorted(DEFINITE, key=str)}
    print(f"{kills} kills, {steps} steps of the clock ({back} of them back), {len(told)} answers, "
          f"{statuses.count('EXISTS')} learnt by asking again, calls refused: {refused}")
    assert statuses.count("CREATED") > 100
    assert refused["INVALID_ARGUMENT"] >= 5 and refused["NOT_FOUND"] >= 1
    # The steps back were felt: there were commits while the clock was behind the book.
    assert sum(client.ahead for client in clients) > 0
    for book_id in BOOKS:
        judge(Ledger(world, book_id), {id_: answer for id_, answer in told.items() if answer[0] == book_id})
    assert world.ledger_rows(f"SELECT count(*) FROM transfer WHERE book_id = {UNKNOWN_BOOK}") == [["0"]]


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


def test_63_eight_identical_requests_around_a_kill_have_one_effect(chaos_world):
    world, _ = chaos_world
    ledger = Ledger(world, BOOKS[0]).create()
    a, b = ledger.account(), ledger.account()
    dice = random.Random(SEED)
    lost = 0
    for turn in range(8):
        events = [ledger.transfer(a, b, 3, flags=LINKED), ledger.transfer(b, a, 2)]
        request = ledger.pb.CreateTransfersRequest(book_id=ledger.book_id, transfers=events)
        together = threading.Barrier(9)
        answers, failures = [None] * 8, []

        def one(k, request=request, together=together, answers=answers, failures=failures):
            def call():  # where the process listens now
                return world.stub("ledger/v1/ledger", "LedgerService", ledger_only.names(2)[k % 2]).CreateTransfers

            together.wait(30)
            try:
                answers[k] = rpc.persist(call, request, timeout=5).results
            except Exception as error:  # handed to the test's thread
                failures.append(error)

        threads = [threading.Thread(target=one, args=(k,), daemon=True) for k in range(8)]
        for thread in threads:
            thread.start()
        daemon = world.daemon(ledger_only.names(2)[turn % 2])
        together.wait(30)
        time.sleep(dice.random() * 0.02)  # lint: the world's whim, nothing waits for it
        daemon.kill()
        daemon.start(timeout_s=60)
        for thread in threads:
            thread.join(90)
        assert not failures and all(results is not None for results in answers), failures
        first = [ledger.status(results[0].status) for results in answers]
        assert first.count("CREATED") <= 1 and set(first) <= {"CREATED", "EXISTS"}
        lost += first.count("CREATED") == 0  # who was told so is dead
        assert len({(results[0].sequence, results[0].timestamp_us) for results in answers}) == 1
        assert ledger.balances(a) == (0, 3 * (turn + 1), 0, 2 * (turn + 1))
        assert [row.id for row in ledger.journal()][-2:] == [event.id for event in events]
        assert len(ledger.journal()) == 2 * (turn + 1)
    print(f"seed {SEED} (DISBURSE_TEST_SEED), the first answer was lost {lost} times of 8")
    ledger.assert_balanced()
