"""Many clients of ledger-svc at once, on accounts that overlap in opposite orders: what one client is told never depends on how
the calls of the others are gathered, ordered or retried."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import ledger_only
from support.ledger import LINKED, MAX, NO_OVERDRAFT, PENDING, POST, VOID, Ledger, new_id
from support.waiting import wait_until

CLIENTS = 64
INSTANCES = 2
KIND_POST, KIND_VOID, KIND_EXPIRE = 3, 4, 5


@pytest.fixture(scope="module", params=[1, INSTANCES], ids=["one process", "two processes"])
def setting(request, servers):
    """(world, its processes): one ledger-svc, or two of them on one database. world.clock is what they take for the time."""
    world = servers.world()
    try:
        world.clock = ledger_only.start(world, instances=request.param)
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


def endings(ledger, first_sequence):
    """{id of a pending transfer: the journal rows that ended it}"""
    found = {}
    for row in ledger.journal(first_sequence):
        if row.kind in (KIND_POST, KIND_VOID, KIND_EXPIRE):
            found.setdefault(row.pending_id, []).append(row)
    return found


# How long before the deadline the clients begin, in ms: the first can only win against time, the last only lose, and in between
# time comes in the middle of them.
@pytest.mark.parametrize("lead_ms", [15000, 300, 100, 50, 20, 10, 5, 0])
def test_35_of_posts_voids_and_the_expiry_at_the_deadline_one_wins(setting, lead_ms):
    world, _ = setting
    ledger, send = clients_of(setting, 100 + lead_ms, CLIENTS)
    a, b = ledger.account(), ledger.account()
    holds = [ledger.transfer(a, b, 50, flags=PENDING, timeout_s=20) for _ in range(24)]
    made = ledger.send(holds)
    assert [ledger.status(result.status) for result in made] == ["CREATED"] * len(holds)
    deadlines = {hold.id: result.timestamp_us + 20 * 10**6 for hold, result in zip(holds, made)}
    together = threading.Barrier(CLIENTS, lambda: world.clock.set(min(deadlines.values()) - lead_ms * 1000))

    def act(k):
        dice = random.Random(k)
        tries = []
        together.wait(60)
        for hold in dice.sample(holds, 8):
            flags, amount = (POST, MAX) if dice.random() < 0.5 else (VOID, 0)
            event = ledger.transfer(amount=amount, pending_id=hold.id, flags=flags)
            tries.append((hold.id, event.id, ledger.status(send(k, [event])[0].status)))
        return tries

    with ThreadPoolExecutor(CLIENTS) as pool:
        tries = [one for made in pool.map(act, range(CLIENTS)) for one in made]
    world.clock.set(max(deadlines.values()) + 10**6)
    wait_until(lambda: len(endings(ledger, 1)) == len(holds), "every hold has ended")
    ended = endings(ledger, 1)
    for hold in holds:
        (row,) = ended[hold.id]  # exactly one
        told = {id_: status for pending_id, id_, status in tries if pending_id == hold.id}
        winners = [id_ for id_, status in told.items() if status == "CREATED"]
        loser = {KIND_POST: "PENDING_TRANSFER_ALREADY_POSTED", KIND_VOID: "PENDING_TRANSFER_ALREADY_VOIDED",
                 KIND_EXPIRE: "PENDING_TRANSFER_EXPIRED"}[row.kind]
        assert winners == ([row.id] if row.id else [])
        assert set(told.values()) <= {"CREATED", loser}
        assert (row.timestamp_us >= deadlines[hold.id]) == (row.kind == KIND_EXPIRE)
        assert row.released == 50
    kinds = [rows[0].kind for rows in ended.values()]
    print(f"{lead_ms} ms before the deadline: {kinds.count(KIND_POST)} posted, {kinds.count(KIND_VOID)} voided, "
          f"{kinds.count(KIND_EXPIRE)} expired")
    if lead_ms == 0:
        assert set(kinds) == {KIND_EXPIRE}
    elif lead_ms == 15000:
        tried = {pending_id for pending_id, _, _ in tries}
        assert all((ended[hold.id][0].kind != KIND_EXPIRE) == (hold.id in tried) for hold in holds)
    posted = 50 * kinds.count(KIND_POST)
    assert ledger.balances(a) == (0, posted, 0, 0) and ledger.balances(b) == (0, 0, 0, posted)
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


def test_of_100_concurrent_reversals_of_a_linked_group_and_of_one_of_it_exactly_one_wins(setting):
    world, services = setting
    ledger, _ = clients_of(setting, 18, 1)
    pb = ledger.pb
    accounts = [ledger.account() for _ in range(4)]
    stubs = [world.stub("ledger/v1/ledger", "LedgerService", service) for service in services]
    winners = set()
    for turn in range(12):
        before = [ledger.balances(account) for account in accounts]
        group = [ledger.transfer(a, b, 1 + turn, flags=LINKED) for a, b in zip(accounts, accounts[1:])]
        group[-1].flags = 0
        assert ledger.commit(*group) == ["CREATED"] * 3
        dice = random.Random(turn)
        order = dice.sample(range(100), 100)  # a hundred calls, of which one in four is for the second transfer alone

        def act(k, group=group, order=order):
            alone = order[k] % 4 == 3
            wanted = pb.TransferReversal(id=new_id(), transfer_id=group[1 if alone else order[k] % 4].id, whole_group=not alone)
            request = pb.ReverseTransfersRequest(book_id=ledger.book_id, reversals=[wanted])
            return alone, stubs[k % len(stubs)].ReverseTransfers(request, timeout=120, wait_for_ready=True).results[0]

        answers = all_at_once(100, act)
        statuses = [ledger.status(result.status) for _, result in answers]
        assert statuses.count("CREATED") == 1 and statuses.count("ALREADY_REVERSED") == 99
        alone, winner = answers[statuses.index("CREATED")]
        winners.add(alone)
        reversed_by = {reversal.reverses_id: reversal.id for reversal in winner.reversals}
        assert set(reversed_by) == ({group[1].id} if alone else {transfer.id for transfer in group})
        # The other callers are told of the winner's transfer, and the journal has it, too.
        for _, result in answers:
            for reversal in result.reversals:
                assert reversed_by[reversal.reverses_id] == reversal.id
        request = pb.LookupTransfersRequest(book_id=ledger.book_id, ids=[transfer.id for transfer in group])
        for transfer in ledger.call("LookupTransfers", request).transfers:
            assert transfer.reversed_by_id == reversed_by.get(transfer.id, "")
        amounts = [0 if transfer.id in reversed_by else 1 + turn for transfer in group]
        net = [moved_in - moved_out for moved_in, moved_out in zip([0] + amounts, amounts + [0])]
        after = [ledger.balances(account) for account in accounts]
        assert [(x[3] - x[1]) - (y[3] - y[1]) for x, y in zip(after, before)] == net
    print(f"won by {'both' if len(winners) == 2 else 'groups only' if winners == {False} else 'single ones only'}")
    ledger.assert_balanced()
