"""Promise TOLD: each change of a payout is in the feed exactly once, gapless and in order in its book. Each world of all tests is held
against its feed when it ends (support/feed_record.py); here is what is the feed's own."""

import re
import threading

import grpc
import pytest
from support import feed_record, mix, rpc
from support.crash import Plan, Reviver
from support.feed_record import Feed, plain
from support.paying import FAILED, INSTANT, SETTLED, Payer, unique
from support.waiting import wait_until
from test_maintain import maintained
from test_sql_portability import payments_copies, payments_statements

from run.certs import DOMAIN
from run.config import entry

OTHER = "payments-svc.2"
# The statements that may change what the world sees of a payout. The function that runs one adds what changed to the feed
# (feed_add), in the same transaction.
TOLD = {"saga_write", "saga_write_rare", "saga_reach_bank"}
PENDING = 3


def test_TOLD_no_other_statement_changes_the_state_of_a_payout():
    changing = {name for name, sql in payments_statements()
                if re.match(r"UPDATE saga\b", sql) and re.search(r"\b(state|held_state|hold) = ", sql.split(" FROM ")[0].split(" WHERE ")[0])}
    assert changing == TOLD
    assert not [name for name, sql in payments_statements() if re.match(r"INSERT INTO (saga|payout) ", sql)]
    assert sorted(table for table, _, _ in payments_copies() if table in ("saga", "payout")) == ["payout", "payout", "saga"]


# --- Reading ---

@pytest.fixture(scope="module")
def pair(servers, tmp_path_factory):
    """Two payments-svc on one database."""
    archives = tmp_path_factory.mktemp("archives")
    world = servers.world({**mix.SETTINGS, "payments-svc": {**mix.SETTINGS["payments-svc"], "retention.dir": str(archives)}})
    try:
        world.up()
        world.stack.add_instance("payments-svc", OTHER, {"instant.webhook_port": 0})
        world.daemon(OTHER).start()
        yield world
        world.stop_and_check()
    finally:
        world.remove()


def recorded(merchant):
    """The entries of the merchant's payouts by the tables, in the order of the feed."""
    own = {payout.payout_id for payout in merchant.payouts()}
    return [row[1:] for row in feed_record.entries(merchant.payer.world, book=merchant.book_id) if row[2] in own]


def test_TOLD_each_part_of_the_feed_can_be_read(pair):
    payer = Payer(pair)
    merchant = payer.merchant(deposit=100_000, prefix="feed")
    ids = [merchant.pay(amount, INSTANT).payout_id for amount in (100, 801, 300)]
    merchant.wait_for(ids)
    wanted = recorded(merchant)
    assert [row[2:4] for row in wanted if row[1] == ids[0]][0] == (0, PENDING)
    for service in ("payments-svc", OTHER):
        feed = Feed(pair, service)
        for after in [0, *(row[0] for row in wanted)]:
            assert feed.entries(after, merchant_id=merchant.id) == [row for row in wanted if row[0] > after]
    feed = Feed(pair)
    of_book = feed.entries(book_id=merchant.book_id)
    assert [row[0] for row in of_book] == list(range(1, feed.head(merchant.book_id) + 1))
    assert [row for row in of_book if row in wanted] == wanted
    assert [row[1:4] for row in feed.entries(merchant_id=merchant.id, states=[FAILED])] == [(ids[1], wanted_from(wanted, ids[1]), FAILED)]
    (failed,) = [row for row in wanted if row[3] == FAILED]
    assert failed[4] == merchant.payout(ids[1]).reason != ""
    last = list(feed.read(merchant_id=merchant.id))[-1]
    assert last.position == last.head_position == feed.head(merchant.book_id)


def wanted_from(rows, payout_id):
    return [row for row in rows if row[1] == payout_id][-1][2]


@pytest.mark.parametrize("asked, code, reason", [
    ({}, "INVALID_ARGUMENT", "BOOK_INVALID"),
    ({"book_id": -1}, "INVALID_ARGUMENT", "BOOK_INVALID"),
    ({"book_id": 999_999}, "NOT_FOUND", "BOOK_NOT_FOUND"),
    ({"merchant_id": "nobody-there"}, "NOT_FOUND", "MERCHANT_NOT_FOUND"),
    ({"book_id": 1, "after": -1}, "INVALID_ARGUMENT", "POSITION_INVALID"),
    ({"book_id": 1, "after": 2**60}, "FAILED_PRECONDITION", "FEED_POSITION_UNKNOWN"),
    ({"book_id": 1, "states": [99]}, "INVALID_ARGUMENT", "STATE_UNKNOWN"),
])
def test_what_cannot_be_read_is_refused(pair, asked, code, reason):
    with pytest.raises(grpc.RpcError) as refused:
        Feed(pair).entries(**asked)
    assert (refused.value.code().name, rpc.failure(refused.value).reason) == (code, reason)


def test_TOLD_what_is_not_kept_any_more_is_not_left_out_in_silence(pair):
    payer = Payer(pair)
    merchant = payer.merchant(deposit=100_000, prefix="old")
    merchant.wait_for([merchant.pay(100).payout_id, merchant.pay(200).payout_id])
    feed, book = Feed(pair), merchant.book_id
    rows = feed.entries(book_id=book)
    # The first half of the book's rows is of long ago.
    first, last = (int(cell) for cell in pair.payments_rows(
        f"SELECT min(position), max(position) FROM (SELECT position, row_number() OVER (ORDER BY position) AS nth, count(*) OVER () AS n "
        f"FROM feed WHERE book_id = {book}) AS f WHERE 2 * nth <= n")[0])
    pair.payments_rows(f"UPDATE feed SET at = at - interval '91 days' WHERE book_id = {book} AND position <= {last}")
    assert re.search(rf"^feed +book {book}: ", maintained(pair), re.MULTILINE)
    with pytest.raises(grpc.RpcError) as refused:
        feed.entries(1, book_id=book)
    assert rpc.failure(refused.value).reason == "FEED_POSITION_GONE" and f"position {last}" in refused.value.details()
    assert feed.entries(book_id=book) == [row for row in rows if row[0] > last], "all that is kept"
    answer = feed.stub.GetFeed(feed.pb.GetFeedRequest(book_id=book), timeout=10)
    assert (answer.oldest_position, answer.head_position) == (last, rows[-1][0])
    assert feed.entries(last, book_id=book) == [row for row in rows if row[0] > last]
    # Out of its archive it is as it was, which the end of the world looks at, too.
    (file,) = pair.payments_rows(f"SELECT file FROM archive WHERE kind = 'feed' AND book_id = {book}")[0]
    maintained(pair, "--restore", file)
    pair.payments_rows("INSERT INTO feed SELECT * FROM restored_feed; DROP TABLE restored_feed")
    assert feed.entries(book_id=book) == rows and first <= last


# --- Following, while instances die ---

class Follower(threading.Thread):
    """Reads a merchant's part of the feed and begins again behind the last position whenever its stream breaks."""

    def __init__(self, first, open_stream, take):
        super().__init__(daemon=True)
        self.open_stream, self.take = open_stream, take
        self.where = (lambda part: part.position) if first == 0 else (lambda part: part.resume_token)
        self.position, self.found, self.breaks, self.stopping = first, [], 0, False
        self.stream = None

    def run(self):
        while not self.stopping:
            try:
                self.stream = self.open_stream(self.position)
                for part in self.stream:
                    self.found += self.take(part)
                    self.position = self.where(part) or self.position
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN):
                    raise
                self.breaks += 1

    def cut(self):
        """The stream ends where it is."""
        if self.stream is not None:
            self.stream.cancel()

    def end(self):
        self.stopping = True
        self.cut()
        self.join(30)
        assert not self.is_alive()


@pytest.mark.parametrize("point", ["feed.adding", "feed.committed"])
def test_TOLD_followers_miss_nothing_and_hear_nothing_twice(pair, point, test_folder):
    payer = Payer(pair)
    merchant = payer.merchant(deposit=mix.DEPOSIT, prefix="follow")
    merchant.recipient()
    pb = payer.pb
    first = pair.daemon("payments-svc")
    readers = [Follower(0, lambda after, service=service: Feed(pair, service).read(after, merchant_id=merchant.id, follow=True),
                        lambda part: [plain(found)[1:] for found in part.entries]) for service in ("payments-svc", OTHER)]
    watchers = [Follower("", lambda after, service=service: Payer(pair, service).stub("Payout").WatchPayouts(
                    pb.WatchPayoutsRequest(merchant_id=merchant.id, resume_token=after), timeout=60),
                    lambda part: [(payout.payout_id, payout.state) for payout in part.payouts]) for service in ("payments-svc", OTHER)]
    for one in readers + watchers:
        one.start()
    wait_until(lambda: all(one.stream is not None for one in readers) and all(one.position for one in watchers), "all have begun")
    first.kill()
    plan = Plan(test_folder / f"feed-{point}", point)
    first.start(env=plan.env)
    with Reviver(first):
        requests = [(merchant.request(amount, rail), end) for rail, amount, end in mix.EVERY]
        mixed = mix.Mixed(merchant)
        for request, end in requests:
            mixed.wanted[payer.call("Payout", "CreatePayout", request).payout.payout_id] = end
            for one in readers + watchers:
                one.cut()
        mixed.wait()
    assert plan.hit()
    head = Feed(pair, OTHER).head(merchant.book_id)
    # Whoever has read up to here has heard of everything; the last entries may be of others of the book.
    wanted = [row[1:] for row in recorded(merchant)]
    wait_until(lambda: all(len(one.found) >= len(wanted) for one in readers), f"the readers have read up to {head}")
    wait_until(lambda: all(len(one.found) >= len(wanted) for one in watchers), f"the watchers have read up to {head}")
    for one in readers + watchers:
        one.end()
    for one in readers:
        assert one.found == wanted and one.breaks > 0
    for one in watchers:
        assert one.found == [(row[0], row[2]) for row in wanted] and one.breaks > 0


def test_watching_goes_on_behind_a_position(pair):
    payer = Payer(pair)
    merchant = payer.merchant(deposit=100_000, prefix="watch")

    def watch(**asked):
        return payer.stub("Payout").WatchPayouts(payer.pb.WatchPayoutsRequest(merchant_id=merchant.id, **asked), timeout=30)

    begun = token = next(watch()).resume_token  # before anything was paid
    ids = [merchant.pay(amount).payout_id for amount in (100, 200, 801)]
    merchant.wait_for(ids)
    wanted = recorded(merchant)
    seen = []
    while len(seen) < len(wanted):
        stream = watch(resume_token=token, until_terminal=True)
        part = next(stream)
        stream.cancel()
        seen += [(payout.payout_id, payout.state) for payout in part.payouts]
        token = part.resume_token or token
    assert seen == [(row[1], row[3]) for row in wanted]
    assert not list(watch(resume_token=token, until_terminal=True))
    other = payer.merchant(prefix="watch")
    refusal = pytest.raises(grpc.RpcError, next, payer.stub("Payout").WatchPayouts(
        payer.pb.WatchPayoutsRequest(merchant_id=other.id, resume_token=token), timeout=30))
    assert rpc.failure(refusal.value).reason == "RESUME_TOKEN_INVALID"
    named = [(payout.state, payout.reason) for part in watch(resume_token=begun, payout_ids=ids[2:], until_terminal=True)
             for payout in part.payouts]
    assert [state for state, _ in named] == [row[3] for row in wanted if row[1] == ids[2]]
    assert named[-1] == (FAILED, merchant.payout(ids[2]).reason)
    # Begun anew, a stream tells how they stand, and gives a token behind which nothing has happened.
    (part,) = list(watch(payout_ids=ids, until_terminal=True))
    assert {payout.payout_id: payout.state for payout in part.payouts} == {ids[0]: SETTLED, ids[1]: SETTLED, ids[2]: FAILED}
    assert not list(watch(resume_token=part.resume_token, until_terminal=True))


def test_a_slow_reader_holds_up_nobody(pair):
    """A follower that does not read: other followers go on, and no connection of the database waits for it."""
    payer = Payer(pair)
    merchant = payer.merchant(deposit=10_000_000, prefix="slow")
    slow = [Feed(pair).read(book_id=merchant.book_id, follow=True) for _ in range(6)]  # more than the streams have connections
    for _ in range(3):
        results = merchant.pay_many([merchant.new_payout(100) for _ in range(120)])
        merchant.wait_for([result.payout.payout_id for result in results])
    assert Feed(pair).entries(merchant_id=merchant.id) == recorded(merchant)
    for one in slow:
        one.cancel()


def test_TENANT_a_follower_ends_when_its_right_is_gone(pair):
    merchant = Payer(pair).merchant(deposit=1_000, prefix="mine").id
    name = unique("reader")
    pair.stack.authority.ensure_leaf(name)
    pair.set_policy(entry("identity", f"{DOMAIN}/{name}", roles="auditor", merchants=merchant))
    feed = Feed(pair, identity=name)
    with pytest.raises(grpc.RpcError) as refused:
        feed.entries(book_id=1)
    assert rpc.failure(refused.value).reason == "MERCHANTS_NOT_ALL"
    stream = feed.read(merchant_id=merchant, follow=True)
    pair.set_policy("")
    with pytest.raises(grpc.RpcError) as ended:
        list(stream)
    assert ended.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_how_far_readers_are_is_told(pair):
    payer = Payer(pair)
    merchant = payer.merchant(deposit=100_000, prefix="lag")
    merchant.wait_for([merchant.pay(100).payout_id])
    before = pair.metric("payments-svc", "feed_readers")
    stream = Feed(pair).read(merchant_id=merchant.id, follow=True)
    assert next(stream).entries
    assert pair.metric("payments-svc", "feed_readers") == before + 1
    wait_until(lambda: pair.metric("payments-svc", "feed_head", book=str(merchant.book_id)) == Feed(pair).head(merchant.book_id),
               "the gauge says where the feed ends")
    wait_until(lambda: pair.metric("payments-svc", "feed_lag_entries") == 0, "everybody has read all")
    stream.cancel()
    wait_until(lambda: pair.metric("payments-svc", "feed_readers") == before, "it has left")
