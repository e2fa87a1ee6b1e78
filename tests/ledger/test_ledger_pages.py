"""Readers of ledger-svc while others write: pages that neither skip nor repeat, and a slow reader whom no commit waits for."""

import itertools
import statistics
import threading
import time

import pytest
from support import ledger_only
from support.ledger import Ledger
from support.waiting import wait_until

ACCOUNT_NO_OVERDRAFT = 2
OLDEST_FIRST, NEWEST_FIRST = 1, 2
DEBIT, CREDIT = 1, 2
PAGE = 10
TURNS = 6  # with slow readers and without

books = itertools.count(9500)


@pytest.fixture(scope="module")
def world(servers):
    made = servers.world()
    try:
        ledger_only.start(made)
        yield made
        made.stop_and_check()
    finally:
        made.remove()


@pytest.fixture
def book(world):
    return Ledger(world, next(books)).create()


class Writer:
    """Does act(n) again and again, for n = 0, 1 …, beside the test, until the end of the block."""

    def __init__(self, act):
        self.act, self.n, self.failure = act, 0, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self._stop.wait(0.02):  # oldest first must be able to catch up
                self.act(self.n)
                self.n += 1
        except BaseException as error:  # handed to the test's thread
            self.failure = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure


def walk(book, method, request, name, writer):
    """All that the pages show, one item once each; the writer has written between any two of them."""
    found, token, pages = [], None, 0
    while token is None or token:
        before = writer.n
        request.page_size, request.page_token = PAGE, token or ""
        page = book.call(method, request)
        items = getattr(page, name)
        assert len(items) <= PAGE
        found += items
        token = page.next_page_token
        pages += 1
        assert pages < 2000, "the pages have no end"
        if token and pages < 8:
            wait_until(lambda n=before: writer.n > n or writer.failure, "something is written between two pages")
    assert pages > 3
    return found


def assert_a_run_of(found, everything, at_least, newest_first):
    """found is what there was when the walk began (at_least of it), and of what came later only what is next in line."""
    assert len(found) >= at_least
    if newest_first:
        found = found[::-1]
    assert found == everything[:len(found)]


@pytest.mark.parametrize("order", [OLDEST_FIRST, NEWEST_FIRST])
@pytest.mark.parametrize("fields", [{}, {"code": 2}, {"metadata_key": "tier", "metadata_value": "gold"},
                                    {"flags": ACCOUNT_NO_OVERDRAFT, "currency": "USD"}], ids=lambda fields: "+".join(fields) or "all")
def test_54_pages_of_ListAccounts_under_inserts_neither_skip_nor_repeat(book, order, fields):
    pb = book.pb

    def some(n):
        return [pb.Account(id=f"{n + 1:08x}-0000-4000-8000-{k:012x}", code=1 + k % 2, currency="USD",
                           flags=ACCOUNT_NO_OVERDRAFT * (k % 2),
                           metadata=[pb.MetadataEntry(key="tier", value="gold" if k % 2 else "silver")]) for k in range(6)]

    def make(n):
        assert book.accounts(some(n)) == ["CREATED"] * 6

    for n in range(30):
        make(1000000 + n)
    filter_ = pb.AccountFilter(**fields)
    with Writer(make) as writer:
        found = walk(book, "ListAccounts", pb.ListAccountsRequest(book_id=book.book_id, filter=filter_, order=order),
                     "accounts", writer)
    made = [*itertools.chain.from_iterable(some(1000000 + n) for n in range(30)),
            *itertools.chain.from_iterable(some(n) for n in range(writer.n))]
    wanted = [account.id for account in made if not fields or account.code == 2]  # each of the filters says the same
    assert_a_run_of([account.id for account in found], wanted, 180 if not fields else 90, order == NEWEST_FIRST)


@pytest.mark.parametrize("order", [OLDEST_FIRST, NEWEST_FIRST])
@pytest.mark.parametrize("fields", [{}, {"side": DEBIT}, {"side": CREDIT, "code": 2}],
                         ids=lambda fields: "+".join(fields) or "all")
def test_54_pages_of_ListAccountBalances_under_inserts_neither_skip_nor_repeat(book, order, fields):
    pb = book.pb
    a, b = book.account(), book.account()

    def move(_):  # the balance of a tells the entries apart: each adds one to its debits or to its credits
        assert set(book.commit(book.transfer(a, b, 1, code=1), book.transfer(b, a, 1, code=2),
                               book.transfer(a, b, 1, code=2))) == {"CREATED"}

    for _ in range(60):
        move(None)
    filter_ = pb.TransferFilter(account_id=a, **fields)
    with Writer(move) as writer:
        found = walk(book, "ListAccountBalances",
                     pb.ListAccountBalancesRequest(book_id=book.book_id, filter=filter_, order=order), "balances", writer)
    wanted, debits, credits = [], 0, 0
    for n in range(3 * (60 + writer.n)):
        side, code = ((DEBIT, 1), (CREDIT, 2), (DEBIT, 2))[n % 3]
        debits, credits = debits + (side == DEBIT), credits + (side == CREDIT)
        if fields.get("side", side) == side and fields.get("code", code) == code:
            wanted.append((n + 1, debits, credits))
    shown = [(line.sequence, line.balances.debits_posted, line.balances.credits_posted) for line in found]
    at_least = {0: 180, 1: 120, 2: 60}[len(fields)]
    assert_a_run_of(shown, wanted, at_least, order == NEWEST_FIRST)


def cpu_ticks(daemon):
    """Processor time of the process so far, in hundredths of a second."""
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_slow_readers_do_not_slow_commits(book):
    """Eight readers take the first message and stop, with far more behind it than any buffer holds. A commit takes as long as it
    does without them: rounds with and without them take turns, so that what else the machine does is in both. Other readers go
    on; and when the slow ones read again they miss nothing."""
    a, b = book.account(), book.account()
    for _ in range(4):
        assert {result.status for result in book.send([book.transfer(a, b, 1) for _ in range(8000)])} == {1}
    last = 32000
    # On a connection of their own, as other clients are.
    reader = Ledger(book.world, book.book_id, identity="payctl")

    def follow():
        request = book.pb.ReadJournalRequest(book_id=book.book_id, from_sequence=1, follow=True, batch_max=1000)
        return reader.stub.ReadJournal(request, timeout=600)

    def commits():
        """How long some commits took, each, and what the service computed for all of them."""
        nonlocal last
        taken, ticks = [], cpu_ticks(book.world.ledger)
        for _ in range(20):
            begun = time.monotonic()
            assert book.commit(book.transfer(a, b, 1)) == ["CREATED"]
            taken.append(time.monotonic() - begun)
            last += 1
        return taken, cpu_ticks(book.world.ledger) - ticks

    commits()  # warms up
    usual = max(commits()[1] for _ in range(3))

    def rest():
        """Until commits are all that the service does: the buffers of who reads are full, or gone. Counted in what it computes,
        which the load of the machine does not change."""
        wait_until(lambda: commits()[1] <= 2 * usual + 1, "the service does nothing but commit", 120)

    alone, beside = [], []
    for turn in range(TURNS):
        rest()
        alone += commits()[0]
        slow = [follow() for _ in range(8)]
        firsts = [next(stream) for stream in slow]
        assert all(len(first.transfers) > 0 for first in firsts)
        rest()
        beside += commits()[0]
        if turn < TURNS - 1:
            for stream in slow:
                stream.cancel()
    ratio = statistics.median(beside) / statistics.median(alone)
    print(f"median commit: {statistics.median(alone) * 1e3:.2f} ms alone, {statistics.median(beside) * 1e3:.2f} ms beside 8 slow "
          f"readers, ratio {ratio:.2f}")
    assert ratio < 1.5
    assert [row.sequence for row in book.journal(last - 1)] == [last - 1, last]
    for stream, first in zip(slow, firsts):
        expected = 1
        for part in itertools.chain([first], stream):
            for row in part.transfers:
                assert row.sequence == expected
                expected += 1
            if expected > last:
                break
        stream.cancel()
