"""The whole of ledger-svc against the reference model (tests/ledger): random lives of books, played over gRPC, in batches and one
by one; then the books must balance, the journal must replay to the balances, and random queries must find what a search
through the journal finds.

DISBURSE_TEST_SEED repeats a run; DISBURSE_MODEL_EVENTS=100000 makes it as long as that of the posting rules alone.
"""

import os
import random
import time

import pytest
from support import ledger_only, model

SEED = int(os.environ.get("DISBURSE_TEST_SEED", time.time_ns() // 1000000))
EVENTS = int(os.environ.get("DISBURSE_MODEL_EVENTS", 1300))
QUERIES_PER_LIFE = int(os.environ.get("DISBURSE_MODEL_QUERIES", 60))


@pytest.fixture(scope="module")
def ledger_world(servers):
    world = servers.world()
    try:
        world.clock = ledger_only.start(world)
        yield world
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture(scope="module")
def played(ledger_world):
    """[(what must be, the book in which it was played)]: all lives, each in batches and then, in another book, one by one."""
    print(f"seed {SEED} (DISBURSE_TEST_SEED), {EVENTS} events (DISBURSE_MODEL_EVENTS)")
    books = []
    for life in model.lives(SEED, EVENTS):
        ledger_world.clock.set(life[0]["now_us"])
        whole = model.Player(ledger_world, 1000 + 2 * len(books))
        single = model.Player(ledger_world, 1001 + 2 * len(books))
        for at, step in enumerate(life[:-1]):
            ledger_world.clock.set(step["now_us"])
            got = whole.send(step["step"], step["events"])
            assert got == step["results"], f"seed {SEED}, life {len(books)}, step {at}: {step['events']}"
            one_by_one = [result for unit in model.units(step) for result in single.send(step["step"], unit)]
            assert one_by_one == step["results"], f"seed {SEED}, life {len(books)}, step {at}, one by one: {step['events']}"
        books.append((life[-1], whole, single))
    return books


def test_each_result_is_the_model_s_in_batches_and_one_by_one(played):
    assert played


def test_BALANCED_and_the_journal_is_the_model_s_and_replays_to_the_balances(played):
    for end, *players in played:
        for player in players:
            player.ledger.assert_balanced()
            rows = player.rows()
            assert rows == model.expected_rows(end)
            accounts = player.accounts([account["id"] for account in end["accounts"]])
            assert accounts == end["accounts"]
            replayed = model.replay(rows)
            for account in accounts:
                assert replayed.get(account["id"], [0, 0, 0, 0]) == account["balances"], account


# --- Queries ---------------------------------------------------------------------------------------------------------


def transfer_fits(row, filter_, state):
    """Checks one transfer against a TransferFilter, by brute force."""
    sides = {1: [row.debit_account_id], 2: [row.credit_account_id], 0: [row.debit_account_id, row.credit_account_id]}
    metadata = {entry.key: entry.value for entry in row.metadata}
    wanted_value = filter_.metadata_value
    return ((not filter_.account_id or filter_.account_id in sides[filter_.side])
            and (not filter_.code or row.code == filter_.code)
            and (not filter_.currency or row.currency == filter_.currency)
            and (not filter_.external_reference or row.external_reference == filter_.external_reference)
            and (not filter_.metadata_key or filter_.metadata_key in metadata)
            and (not wanted_value or metadata.get(filter_.metadata_key) == wanted_value)
            and (not filter_.user_data_128 or row.user_data_128 == filter_.user_data_128)
            and (not filter_.user_data_64 or row.user_data_64 == filter_.user_data_64)
            and (not filter_.user_data_32 or row.user_data_32 == filter_.user_data_32)
            and (not filter_.kind or row.kind == filter_.kind)
            and (not filter_.pending_state or state == filter_.pending_state)
            and (not filter_.from_us or row.timestamp_us >= filter_.from_us)
            and (not filter_.to_us or row.timestamp_us < filter_.to_us)
            and (not filter_.effective_from_us or row.effective_us >= filter_.effective_from_us)
            and (not filter_.effective_to_us or row.effective_us < filter_.effective_to_us)
            and (not filter_.from_sequence or row.sequence >= filter_.from_sequence)
            and (not filter_.to_sequence or row.sequence <= filter_.to_sequence))


def some(dice, values):
    """A value that occurs, mostly; or none."""
    return dice.choice(values) if values and dice.random() < 0.9 else None


def draw(dice, fields):
    """Two to five of the fields, of those that say something."""
    given = sorted(name for name, value in fields.items() if value)
    return {name: fields[name] for name in dice.sample(given, min(len(given), dice.randint(2, 5)))}


def random_transfer_filter(dice, pb, rows):
    """Several predicates, most of them true of some row that there is."""
    row = dice.choice(rows)
    later = dice.choice(rows)
    fields = {"code": row.code, "currency": row.currency, "external_reference": row.external_reference,
              "user_data_128": row.user_data_128, "user_data_64": row.user_data_64, "user_data_32": row.user_data_32,
              "kind": row.kind, "from_sequence": min(row.sequence, later.sequence),
              "to_sequence": max(row.sequence, later.sequence), "from_us": min(row.timestamp_us, later.timestamp_us),
              "to_us": max(row.timestamp_us, later.timestamp_us) + 1,
              "effective_from_us": min(row.effective_us, later.effective_us),
              "effective_to_us": max(row.effective_us, later.effective_us) + 1,
              "pending_state": dice.choice([1, 2, 3, 4])}
    if row.kind != 2:
        del fields[dice.choice(["kind", "pending_state"])]  # both are a contradiction, which may be refused
    chosen = draw(dice, fields)
    if dice.random() < 0.7:
        chosen["side"] = dice.choice([0, 1, 2])
        chosen["account_id"] = row.credit_account_id if chosen["side"] == 2 else row.debit_account_id
    if dice.random() < 0.25 and row.metadata:
        entry = dice.choice(list(row.metadata))
        chosen |= {"metadata_key": entry.key, **({"metadata_value": entry.value} if dice.random() < 0.5 else {})}
    return pb.TransferFilter(**chosen)


def all_pages(ledger, method, request, name, page_max):
    """Every item, in the order in which they came; a page may be short, none may be too long."""
    found, pages = [], 0
    while True:
        answer = ledger.call(method, request)
        items = getattr(answer, name)
        assert len(items) <= page_max
        found += items
        pages += 1
        assert pages < 5000, "the pages have no end"
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def test_random_filters_of_ListTransfers_find_what_brute_force_finds(played):
    dice = random.Random(SEED)
    for end, player, _ in played:
        pb, ledger = player.pb, player.ledger
        rows = ledger.journal()
        if not rows:
            continue  # a life in which every account was refused
        states = [model.PENDING_STATES[row["ended_by"]] if row["kind"] == 2 else 0 for row in end["rows"]]
        for _ in range(QUERIES_PER_LIFE):
            filter_ = random_transfer_filter(dice, pb, rows)
            order, size = dice.choice([0, 1, 2]), dice.choice([1, 3, 10, 100, 1000])
            request = pb.ListTransfersRequest(book_id=ledger.book_id, filter=filter_, order=order, page_size=size)
            wanted = [row.sequence for row, state in zip(rows, states) if transfer_fits(row, filter_, state)]
            found = all_pages(ledger, "ListTransfers", request, "transfers", size)
            got = [row.sequence for row in found]
            assert got == (wanted[::-1] if order == 2 else wanted), f"seed {SEED}: {filter_} {order} {size}"
            for row in found:
                assert row.pending_state == states[row.sequence - 1], row


def test_random_filters_of_ListAccounts_find_what_brute_force_finds(played):
    dice = random.Random(SEED + 1)
    for end, player, _ in played:
        pb, ledger = player.pb, player.ledger
        ids = [model.text_id(account["id"]) for account in end["accounts"]]
        accounts = sorted(ledger.lookup(ids).values(), key=lambda account: account.timestamp_us)
        for _ in range(QUERIES_PER_LIFE if accounts else 0):
            one, other = dice.choice(accounts), dice.choice(accounts)
            fields = {"code": one.code, "currency": one.currency, "external_reference": one.external_reference,
                      "user_data_128": one.user_data_128, "user_data_64": one.user_data_64,
                      "user_data_32": one.user_data_32, "from_us": min(one.timestamp_us, other.timestamp_us),
                      "to_us": max(one.timestamp_us, other.timestamp_us) + 1, "flags": one.flags & ~1}
            chosen = draw(dice, fields)
            if dice.random() < 0.3 and one.metadata:
                entry = dice.choice(list(one.metadata))
                chosen |= {"metadata_key": entry.key, **({"metadata_value": entry.value} if dice.random() < 0.5 else {})}
            order, size = dice.choice([0, 1, 2]), dice.choice([1, 3, 10, 100, 1000])
            request = pb.ListAccountsRequest(book_id=ledger.book_id, filter=pb.AccountFilter(**chosen), order=order,
                                             page_size=size)
            wanted = [account.id for account in accounts if account_fits(account, request.filter)]
            found = [account.id for account in all_pages(ledger, "ListAccounts", request, "accounts", size)]
            assert found == (wanted[::-1] if order == 2 else wanted), f"seed {SEED}: {chosen} {order} {size}"


def account_fits(account, filter_):
    metadata = {entry.key: entry.value for entry in account.metadata}
    return ((not filter_.code or account.code == filter_.code)
            and (not filter_.currency or account.currency == filter_.currency)
            and (not filter_.external_reference or account.external_reference == filter_.external_reference)
            and (not filter_.metadata_key or filter_.metadata_key in metadata)
            and (not filter_.metadata_value or metadata.get(filter_.metadata_key) == filter_.metadata_value)
            and (not filter_.user_data_128 or account.user_data_128 == filter_.user_data_128)
            and (not filter_.user_data_64 or account.user_data_64 == filter_.user_data_64)
            and (not filter_.user_data_32 or account.user_data_32 == filter_.user_data_32)
            and account.flags & filter_.flags == filter_.flags
            and (not filter_.from_us or account.timestamp_us >= filter_.from_us)
            and (not filter_.to_us or account.timestamp_us < filter_.to_us))


def test_balances_as_of_a_sequence_are_those_after_that_row(played):
    dice = random.Random(SEED + 2)
    for end, player, _ in played:
        pb, ledger, rows = player.pb, player.ledger, player.rows()
        if not rows:
            continue
        ids = [account["id"] for account in end["accounts"]]
        for _ in range(QUERIES_PER_LIFE // 6):
            sequence = dice.randint(1, len(rows))
            replayed = model.replay(rows[:sequence])
            answer = ledger.call("GetAccountBalances", pb.GetAccountBalancesRequest(
                book_id=ledger.book_id, account_ids=[model.text_id(id_) for id_ in ids],
                as_of=pb.Moment(known_at_sequence=sequence)))
            for line in answer.balances:
                wanted = replayed.get(model.number(line.account_id), [0, 0, 0, 0])
                assert model.balances(line.balances) == wanted, (sequence, line)
