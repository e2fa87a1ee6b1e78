"""The feed of a world, replayed against its tables: promise TOLD, held at the end of every world.

Each book's entries are numbered without a gap; those of a timeline of the database begin at a multiple of 2^40. Each
payout's entries are a chain: the first is that it is new, and each begins with the state that the one before has led to. So nothing was
told twice, left out, or told in another order than it happened. The last entry of each payout is the state that its row has.
"""

from __future__ import annotations

from . import stubs

# One row for each entry, in the order of the feed.
ENTRIES = ("SELECT f.book_id, f.position - f.n + u.nth AS position, f.at, u.payout_id, u.was, u.became, u.reason FROM feed AS f "
           "CROSS JOIN LATERAL unnest(f.payout_ids, f.from_states, f.to_states, f.reasons) "
           "WITH ORDINALITY AS u(payout_id, was, became, reason, nth)")

GAPS = """SELECT book_id, position, 'comes after ' || before || ' with ' || n || ' entries' FROM (
    SELECT book_id, position, n, cardinality(payout_ids) AS ids, cardinality(from_states) AS was, cardinality(to_states) AS became,
        lag(position, 1, 0::bigint) OVER (PARTITION BY book_id ORDER BY position) AS before FROM feed) AS f
    WHERE (position - n <> before AND ((position - n) % 1099511627776 <> 0 OR position - n < before)) OR ids <> n OR was <> n OR became <> n"""

JUMPS = f"""SELECT payout_id, position, 'begins with ' || was || ' after ' || before FROM (
    SELECT *, lag(became, 1, 0::smallint) OVER (PARTITION BY book_id, payout_id ORDER BY position) AS before FROM ({ENTRIES}) AS e) AS j
    WHERE was <> before OR was = became"""

OTHERS = f"""SELECT s.payout_id, s.state, 'the feed says ' || coalesce(e.became::text, 'nothing') FROM saga AS s LEFT JOIN (
    SELECT DISTINCT ON (payout_id) payout_id, became FROM ({ENTRIES}) AS e ORDER BY payout_id, position DESC) AS e
    ON e.payout_id = s.payout_id WHERE e.became IS DISTINCT FROM s.state"""


def differences(world) -> list[str]:
    """The faults of the feed. Each statement sees one moment, so the services may go on meanwhile."""
    jumps, others = JUMPS, OTHERS
    if world.older_than_feed:
        jumps, others = jumps.replace("became, 1, 0::smallint", "became"), others.replace("LEFT JOIN", "JOIN")
    return [f"{what}: {' '.join(row)}" for what, sql in (("a gap", GAPS), ("a jump", jumps), ("another state", others))
            for row in world.payments_rows(f"SELECT * FROM ({sql}) AS x LIMIT 20")]


def entries(world, *, book: int | None = None) -> list[tuple]:
    """(book, position, payout id, from, to, reason), in order."""
    where = f" WHERE f.book_id = {book}" if book is not None else ""
    rows = world.payments_rows(f"SELECT book_id, position, payout_id, was, became, reason FROM ({ENTRIES}{where}) AS e ORDER BY 1, 2")
    return [(int(row[0]), int(row[1]), row[2], int(row[3]), int(row[4]), row[5]) for row in rows]


def check(world) -> str:
    """The differences as text, or an empty text."""
    found = differences(world)
    return "the feed does not say what the tables say:\n" + "\n".join(found) if found else ""


class Feed:
    """FeedService of one of the instances."""

    def __init__(self, world, service="payments-svc", identity="test"):
        self.pb, _ = stubs.modules("payments/v1/feed_service")
        self.stub = world.stub("payments/v1/feed_service", "FeedService", service, identity)

    def read(self, after=0, **asked):
        return self.stub.Read(self.pb.ReadRequest(after_position=after, **asked), timeout=60)

    def entries(self, after=0, **asked):
        return [plain(found) for part in self.read(after, **asked) for found in part.entries]

    def head(self, book):
        return self.stub.GetFeed(self.pb.GetFeedRequest(book_id=book), timeout=10).head_position


def plain(found):
    return (found.position, found.payout_id, found.from_state, found.to_state, found.reason)
