"""Many clients of ledger-svc at once, on accounts that overlap in opposite orders: what one client is told never depends on how
the calls of the others are gathered, ordered or retried."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import ledger_only
from support.ledger import LINKED, MAX, NO_OVERDRAFT, PENDING, POST, VOID, Ledger, new_id

CLIENTS = 64
INSTANCES = 2


@pytest.fixture(scope="module", params=[1, INSTANCES], ids=["one process", "two processes"])
def setting(request, servers):
    """(world, its processes): one ledger-svc, or two of them on one database."""
    world = servers.world()
    try:
        ledger_only.start(world, instances=request.param)
        yield world, ledger_only.names(request.param)
        world.stop_and_check()
    finally:
        world.remove()


def clients_of(setting, book_id, n):
    """n clients of one book, spread over the processes. A call is made once: an error of any kind is a failure of the test."""
    world, services = setting
    first = Ledger(world, book_id).create()
    pb = first.pb
    stubs = [world.stub("ledger/v1/ledger", "LedgerService", services[k % len(services)]) for k in range(n)]

    def send(k, events):
        request = pb.CreateTransfersRequest(book_id=book_id, transfers=events)
        return stubs[k].CreateTransfers(request, timeout=120, wait_for_ready=True).results

    return first, send


def all_at_once(n, act):
    """act(k) for each of n clients, begun together; their answers in order."""
    together = threading.Barrier(n)

    def one(k):
        together.wait(60)
        return act(k)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(one, range(n)))


def test_64_clients_in_opposite_orders_see_no_deadlock_and_no_serialization_error(setting):
    seed = time.time_ns() // 1000000
    print(f"seed {seed}")
    ledger, send = clients_of(setting, 11, CLIENTS)
    accounts = [ledger.account() for _ in range(12)]

    def act(k):
        dice = random.Random(seed + k)
        made = []
        for _ in range(12):
            order = accounts if k % 2 == 0 else accounts[::-1]
            start = dice.randrange(len(order))
            ring = order[start:] + order[:start]
            events = [ledger.transfer(a, b, dice.randint(1, 9), flags=LINKED * (dice.random() < 0.3))
                      for a, b in zip(ring, ring[1:])]
            events[-1].flags = 0
            results = send(k, events)
            assert [ledger.status(result.status) for result in results] == ["CREATED"] * len(events)
            made += zip([event.id for event in events], [result.sequence for result in results])
        return made

    told = [pair for made in all_at_once(CLIENTS, act) for pair in made]
    assert sorted(sequence for _, sequence in told) == list(range(1, len(told) + 1))
    assert {row.id: row.sequence for row in ledger.journal()} == dict(told)
    ledger.assert_balanced()


def test_a_scarce_balance_is_spent_exactly_once_by_64_clients(setting):
    ledger, send = clients_of(setting, 12, CLIENTS)
    bank, wallet, shop = ledger.account(), ledger.account(flags=NO_OVERDRAFT), ledger.account()
    ledger.commit(ledger.transfer(bank, wallet, 100))

    def act(k):
        return [ledger.status(send(k, [ledger.transfer(wallet, shop, 7)])[0].status) for _ in range(4)]

    told = [status for made in all_at_once(CLIENTS, act) for status in made]
    assert told.count("CREATED") == 100 // 7
    assert told.count("EXCEEDS_CREDITS") == len(told) - 100 // 7
    assert ledger.balances(wallet) == (0, 98, 0, 100)
    ledger.assert_balanced()


def test_of_n_identical_creates_one_is_CREATED_and_the_others_EXISTS_with_its_time(setting):
    ledger, send = clients_of(setting, 13, CLIENTS)
    a, b = ledger.account(), ledger.account()
    for _ in range(5):
        same = ledger.transfer(a, b, 5)
        results = [results[0] for results in all_at_once(CLIENTS, lambda k: send(k, [same]))]
        statuses = [ledger.status(result.status) for result in results]
        assert statuses.count("CREATED") == 1 and statuses.count("EXISTS") == CLIENTS - 1
        assert len({(result.sequence, result.timestamp_us, result.amount) for result in results}) == 1
    assert ledger.balances(a) == (0, 25, 0, 0)


def test_of_n_creates_that_differ_under_one_id_one_is_CREATED_and_the_others_are_told_the_field(setting):
    ledger, send = clients_of(setting, 14, CLIENTS)
    a, b = ledger.account(), ledger.account()
    id_ = new_id()
    results = all_at_once(CLIENTS, lambda k: send(k, [ledger.transfer(a, b, 1 + k, id=id_)]))
    statuses = [ledger.status(result[0].status) for result in results]
    assert statuses.count("CREATED") == 1
    assert statuses.count("EXISTS_WITH_DIFFERENT_AMOUNT") == CLIENTS - 1
    winner = statuses.index("CREATED")
    assert ledger.balances(a) == (0, 1 + winner, 0, 0)


def test_100_concurrent_posts_of_one_pending_have_one_effect(setting):
    ledger, send = clients_of(setting, 15, 100)
    a, b = ledger.account(), ledger.account()
    pending = ledger.transfer(a, b, 50, flags=PENDING)
    assert ledger.commit(pending) == ["CREATED"]
    results = all_at_once(100, lambda k: send(k, [ledger.transfer(amount=MAX, pending_id=pending.id, flags=POST)]))
    statuses = [ledger.status(result[0].status) for result in results]
    assert statuses.count("CREATED") == 1 and statuses.count("PENDING_TRANSFER_ALREADY_POSTED") == 99
    assert ledger.balances(a) == (0, 50, 0, 0) and ledger.balances(b) == (0, 0, 0, 50)


def test_posts_and_voids_of_one_pending_have_one_winner_who_names_the_error(setting):
    ledger, send = clients_of(setting, 16, CLIENTS)
    a, b = ledger.account(), ledger.account()
    for _ in range(5):
        pending = ledger.transfer(a, b, 50, flags=PENDING)
        assert ledger.commit(pending) == ["CREATED"]

        def act(k, pending_id=pending.id):
            flags, amount = (POST, MAX) if k % 2 else (VOID, 0)
            return ledger.status(send(k, [ledger.transfer(amount=amount, pending_id=pending_id, flags=flags)])[0].status)

        statuses = all_at_once(CLIENTS, act)
        posted = statuses.index("CREATED") % 2 == 1
        assert statuses.count("CREATED") == 1
        loser = "PENDING_TRANSFER_ALREADY_POSTED" if posted else "PENDING_TRANSFER_ALREADY_VOIDED"
        assert statuses.count(loser) == CLIENTS - 1
    ledger.assert_balanced()


def test_of_100_concurrent_reversals_of_one_transfer_one_wins_and_the_others_learn_which(setting):
    world, services = setting
    ledger, _ = clients_of(setting, 17, 1)
    pb = ledger.pb
    a, b = ledger.account(), ledger.account()
    moved = ledger.transfer(a, b, 9)
    assert ledger.commit(moved) == ["CREATED"]
    stubs = [world.stub("ledger/v1/ledger", "LedgerService", service) for service in services]

    def act(k):
        wanted = pb.TransferReversal(id=new_id(), transfer_id=moved.id)
        request = pb.ReverseTransfersRequest(book_id=ledger.book_id, reversals=[wanted])
        return stubs[k % len(stubs)].ReverseTransfers(request, timeout=120, wait_for_ready=True).results[0]

    results = all_at_once(100, act)
    statuses = [ledger.status(result.status) for result in results]
    assert statuses.count("CREATED") == 1 and statuses.count("ALREADY_REVERSED") == 99
    assert len({result.reversals[0].id for result in results}) == 1
    assert ledger.balances(a) == (0, 9, 0, 9)
    ledger.assert_balanced()
