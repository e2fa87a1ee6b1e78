"""A bank that owes nobody a kindness: each of its habits alone, and all of them together.

Whatever the bank does, nobody is paid twice, nobody is lost, the money goes to whom it was meant for, and a line that means
nothing to us is an exception, while its file goes on.
"""

from __future__ import annotations

import pytest
from support.bank_habits import (ACH, BASE, DEPOSIT, FAILED, HELD, INSTANT, RETURNED, SETTINGS, SETTLED, TIMED, UNKIND, Unkind, judge,
                                 pay, wait)
from support.bank_record import BankRecord
from support.waiting import wait_until


@pytest.fixture(scope="module")
def shared(servers):
    """For habits under which every payout reaches its end: one world for all of them."""
    world = servers.world(SETTINGS)
    try:
        yield Unkind(world.up())
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture
def place(shared):
    return shared


@pytest.fixture(scope="module")
def timed(servers):
    """A connection whose bank never says what has settled."""
    world = servers.world(TIMED)
    try:
        yield Unkind(world.up())
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture(scope="module")
def direct(servers):
    """A connection to a file server that renames nothing."""
    world = servers.world({**SETTINGS, "payments-svc": {**SETTINGS["payments-svc"], "ach.direct_upload": "true"},
                           "bank-sim": {**SETTINGS["bank-sim"], "habits.sftp_refuse_renames": 1_000_000}})
    try:
        yield Unkind(world.up())
        world.stop_and_check()
    finally:
        world.remove()


# --- Files ----------------------------------------------------------------------------------------------------------------

FORMS = ["crlf", "fixed_94", "trim_blanks", "no_padding", "descending_traces", "blank_date", "status_2", "blank_names",
         "forward_codes"]


@pytest.mark.parametrize("habit", FORMS)
def test_a_return_file_of_another_form_is_read(place, habit):
    place.begin(**{habit: 1})
    judge(place, pay(place), exceptions={})


def test_all_forms_at_once_are_read(place):
    place.begin(**{habit: 1 for habit in FORMS if habit != "fixed_94"})
    judge(place, pay(place), exceptions={})


@pytest.mark.parametrize("habits, exceptions", [
    ({"odd_dishonored": 1}, {"DISPUTE"}), ({"odd_web": 1}, {"RETURN_OF_DEBIT", "UNKNOWN_ENTRY", "UNKNOWN_COMPANY"}),
    ({"odd_trace": 1}, {"UNKNOWN_ENTRY"}), ({"odd_company": 1}, {"UNKNOWN_COMPANY", "UNKNOWN_ENTRY"}),
], ids=["dishonored", "web", "trace", "company"])
def test_an_odd_line_becomes_an_exception_and_the_file_goes_on(place, habits, exceptions):
    """One case for each return file. No good line beside the bad one is lost."""
    place.begin(**habits)
    judge(place, pay(place))
    found = place.exceptions()
    assert found and set(found) <= exceptions, found


@pytest.mark.parametrize("habits", [{"archive": 0}, {"archive_files": 1}, {"archive_ms": 1}], ids=["none", "one", "brief"])
def test_NO_DOUBLE_without_an_archive(place, habits):
    place.begin(**habits)
    judge(place, pay(place), exceptions={})


def test_NO_DOUBLE_at_a_bank_that_takes_every_file(place):
    place.begin(duplicate_check=0)
    judge(place, pay(place), exceptions={})


def test_HEARD_files_under_names_of_the_bank(place):
    place.begin(bank_names=1)
    judge(place, pay(place), exceptions={})


def test_HEARD_files_that_are_still_being_written(place):
    place.begin(grow_ms=400)
    judge(place, pay(place), exceptions={})


def test_one_return_file_for_several_companies(place):
    """Both books' returns in one file, addressed to one of them."""
    place.begin(returns_together=1, settle_days=1)
    paid = pay(place)
    sent = [i for i, amount in paid.amounts.items() if amount < 5_000]
    wait_until(lambda: all(p.state == 5 for merchant in paid.merchants for p in merchant.payouts() if p.payout_id in sent),
               "all of ACH is sent")
    place.flush()
    judge(place, paid, exceptions={})
    together = [path.read_text() for path in (place.world.stack.folder / "bank/sftp/outbox/done").glob("ret-*")]
    companies = [{line[40:50] for line in text.splitlines() if line[0] == "5"} for text in together]
    assert any(len(each) == 2 for each in companies), companies


def test_a_settlement_after_days(place):
    place.begin(settle_days=2)
    paid = pay(place)
    waiting = [i for i, amount in paid.amounts.items() if amount < 5_000]
    wait_until(lambda: all(p.state == 5 for merchant in paid.merchants for p in merchant.payouts() if p.payout_id in waiting),
               "all of ACH is sent")
    place.flush()
    judge(place, paid, exceptions={})


def test_no_acknowledgement(place):
    place.begin(acks=0)
    judge(place, pay(place), exceptions={})


# --- Entries that are refused one by one ------------------------------------------------------------------------------------

REFUSED, CALLED_DUPLICATE, NAMED_TWICE = 3_970, 3_971, 3_972


@pytest.mark.parametrize("habits", [{}, {"refuse_late": 1}, {"bank_names": 1, "refuse_late": 1, "grow_ms": 400}],
                         ids=["at once", "late", "late and slowly"])
@pytest.mark.parametrize("counted", [1, 2])
def test_refused_entries_fail_and_the_others_are_paid(place, counted, habits):
    """Named twice it fails once. What the bank calls a duplicate may be paid, and here it is: it moves nothing, and a person looks."""
    place.begin(refuse_entries=counted, **habits)
    paid = pay(place, [*BASE, (ACH, REFUSED, FAILED), (ACH, CALLED_DUPLICATE, SETTLED), (ACH, NAMED_TWICE, FAILED)])
    judge(place, paid, exceptions={"REFUSED_ENTRY": 2})
    for payout_id in paid.of(REFUSED) + paid.of(NAMED_TWICE):
        said = place.world.payments_rows(f"SELECT kind, code, detail FROM rail_event WHERE payout_id = '{payout_id}' AND kind <> 1")
        assert said == [["2", "R03", "no such account"]], said
    mine = ",".join(f"'{payout_id}'" for payout_id in paid.wanted)
    states = place.world.payments_rows("SELECT DISTINCT s.state FROM submission AS s JOIN submission_item AS i USING (book_id, submission_id)"
                                       f" WHERE i.payout_id IN ({mine})")
    assert states == [["4"]], "each file is acknowledged"


def test_refused_entries_that_cost_the_whole_file(place):
    """The bank takes nothing of it: those that it names fail, and the others go out in another file."""
    place.begin(refuse_entries=3)
    paid = pay(place, [(ACH, 3_100, SETTLED), (ACH, 3_200, SETTLED), (ACH, REFUSED, FAILED)])
    wait(place, paid)
    files = place.rejected()[:len(place.rejected()) - place.rejected_before]  # the newest come first
    assert len(files) >= 2 and all(f["reason"] == "entries refused" for f in files), files
    judge(place, paid, exceptions={}, rejected=len(files))


def test_refused_entries_come_back_where_nothing_is_acknowledged(place):
    place.begin(refuse_entries=1, acks=0)
    judge(place, pay(place, [(ACH, 3_100, SETTLED), (ACH, REFUSED, RETURNED)]), exceptions={})


# --- The file server ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("habits", [
    {"sftp_drop_writes": 2}, {"sftp_refuse_renames": 2}, {"sftp_lose_renames": 2}, {"sftp_slow_ms": 20},
    {"sftp_list_late_ms": 1500}, {"sftp_bare_names": 1},
    # A rename of which nobody knows, at a bank that has no archive and takes every file.
    {"sftp_lose_renames": 2, "archive": 0, "duplicate_check": 0},
    {"sftp_drop_writes": 3, "archive": 0, "duplicate_check": 0, "acks": 0},
], ids=["drops", "refuses renames", "loses renames", "slow", "lists late", "lists names only", "loses renames, no archive", "drops, no words"])
def test_NO_DOUBLE_with_a_file_server_that(place, habits):
    place.begin(**habits)
    judge(place, pay(place), exceptions={})


@pytest.mark.parametrize("habits", [{}, {"archive": 0, "duplicate_check": 0}], ids=["archive", "no archive"])
def test_NO_DOUBLE_a_file_server_that_renames_nothing(direct, habits):
    """Neither can what the bank writes be put away."""
    direct.begin(**habits)
    judge(direct, pay(direct), exceptions={})
    assert direct.payer.bank.get("/admin/habits")["sftp_refuse_renames"] < 1_000_000, "renames were asked for, and refused"


def test_a_file_server_that_ends_the_session_over_a_long_request(place):
    """The protocol promises 34,000 bytes, and not more. Each description is a batch of its own, so the file is longer than that."""
    place.begin(sftp_packet_max=34_000)
    merchant = place.payer.merchant(deposit=DEPOSIT, prefix="unkind")
    answer = merchant.pay_many([merchant.new_payout(3_100, ACH, description=f"WAGES {n}") for n in range(150)])
    merchant.wait_for([each.payout.payout_id for each in answer], {SETTLED})
    longest = max(path.stat().st_size for path in (place.world.stack.folder / "bank/sftp/archive").iterdir())
    assert longest > 34_000, longest
    BankRecord(place.world, place.payer.bank).check()


# --- Instant --------------------------------------------------------------------------------------------------------------

def test_refusals_that_are_not_stored(place):
    place.begin(refusals_stored=0)
    judge(place, pay(place), exceptions={})


@pytest.mark.parametrize("habits", [{"query_lag_count": 2}, {"query_lag_ms": 1500}], ids=["count", "time"])
def test_UNKNOWN_IS_A_STATE_while_a_query_lags(place, habits):
    place.begin(**habits)
    judge(place, pay(place), exceptions={})


def test_a_repeat_that_is_judged_before_its_key(place):
    place.begin(key_first=0)
    judge(place, pay(place), exceptions={})


def test_NO_LOSS_a_refusal_of_the_repeat_is_not_one_of_the_payment(place):
    """The answer is lost, the query does not find it yet, and the repeat is refused as a duplicate: it was paid."""
    place.begin(key_first=0, query_lag_count=1)
    judge(place, pay(place), exceptions={})


# --- Odd outcomes of single payments --------------------------------------------------------------------------------------

@pytest.mark.parametrize("rail, amount, end, exceptions", [
    (INSTANT, 6_808, SETTLED, {}), (INSTANT, 6_806, SETTLED, {}), (INSTANT, 6_814, SETTLED, {}),
    (INSTANT, 6_812, SETTLED, {"OTHER_AMOUNT": 2}), (INSTANT, 6_817, SETTLED, {"OTHER_CURRENCY": 2}),
    (INSTANT, 6_813, SETTLED, {"UNKNOWN_PAYMENT": 2}),
    (INSTANT, 6_811, RETURNED, {}),
    (ACH, 6_953, RETURNED, {}), (ACH, 6_955, RETURNED, {}),
    (ACH, 6_960, SETTLED, {"CHANGE": 2}),
], ids=["webhook twice", "webhook late", "webhook before the answer", "webhook with another amount",
        "webhook with another currency", "webhook of a stranger",
        "instant in halves", "ach in halves", "ach unknown code",
        "notification of change"])
def test_an_odd_outcome(place, rail, amount, end, exceptions):
    place.begin()
    judge(place, pay(place, [*BASE, (rail, amount, end)]), exceptions=exceptions)


def test_a_return_whose_webhook_was_lost_is_asked_for(place):
    place.begin()
    judge(place, pay(place, [*BASE, (INSTANT, 6_815, RETURNED)]), exceptions={})


@pytest.mark.parametrize("rail, amount, exceptions", [(INSTANT, 6_816, {}), (ACH, 6_954, {"RETURNED_AGAIN": 2})],
                         ids=["instant", "ach"])
def test_NO_DOUBLE_a_return_that_is_told_twice_counts_once(place, rail, amount, exceptions):
    """Under another name. An instant bank is asked how much came back in all; of a file nobody can be asked, so a person looks."""
    place.begin()
    paid = pay(place, [*BASE, (rail, amount, RETURNED)])
    judge(place, paid, exceptions=exceptions)


@pytest.mark.parametrize("rail, amount", [(INSTANT, 6_810), (ACH, 6_952)], ids=["instant", "ach"])
def test_a_part_that_comes_back_is_the_merchant_s(place, rail, amount):
    """Half of it stays with the recipient, and half is the merchant's again: whatever the payout is called after that."""
    place.begin()
    paid = pay(place, BASE)
    odd = [(merchant, merchant.pay(amount, rail).payout_id) for merchant in paid.merchants]
    judge(place, paid, exceptions={}, others=dict(odd), at_rest=False)
    for merchant, payout_id in odd:
        gone = sum(p.amount_minor for p in merchant.payouts() if p.state == SETTLED and p.payout_id != payout_id)
        left = DEPOSIT - gone - amount + amount // 2
        wait_until(lambda m=merchant, n=left: m.balance() == (n, 0, n), f"the merchant has {left}", 30)


def test_no_settlement_lines(timed):
    """Settled is known by the timetable, where no bank says so; what came back before is not settled, and what comes later is a return."""
    timed.begin(settlement_lines=0)
    paid = pay(timed)
    timed.bring_settlement(paid)
    judge(timed, paid, exceptions={})
    told = timed.world.payments_rows("SELECT s.state, e.source, e.amount, e.n, count(*) FROM saga AS s CROSS JOIN LATERAL "
                                     "(SELECT source, amount, count(*) AS n FROM rail_event AS x WHERE x.book_id = s.book_id "
                                     "AND x.payout_id = s.payout_id AND x.kind = 3 GROUP BY 1, 2) AS e WHERE s.rail = 1 GROUP BY 1, 2, 3, 4")
    settled = ["6", "3", "0", "1", "6"]  # each by the timer, once; what comes back may be settled before it or not
    assert settled in told and all(line[1:4] == settled[1:4] for line in told), told
    assert timed.world.payments_rows("SELECT count(*) FROM submission WHERE settles_at IS NOT NULL AND state NOT IN (5, 7)") == [["0"]]


def test_a_bank_that_tells_of_a_settlement_all_the_same_counts_once(timed):
    timed.begin(settle_days=1)
    paid = pay(timed)
    timed.bring_settlement(paid)
    wait_until(lambda: all(p.state == SETTLED for m in paid.merchants for p in m.payouts() if paid.amounts[p.payout_id] < 5_000),
               "the timer has settled all of them", 30)
    timed.flush()  # the lines, and two returns of each merchant after its payout has settled
    judge(timed, paid, exceptions={})


def test_the_timetable_survives_a_restart(timed):
    timed.begin(settlement_lines=0)
    paid = pay(timed, [(ACH, 3_100, SETTLED), (ACH, 4_901, RETURNED)])
    timed.world.payments.kill()
    timed.world.payments.start()
    timed.bring_settlement(paid)
    judge(timed, paid, exceptions={})


def test_NO_DOUBLE_with_no_kindness_at_all(timed):
    timed.begin(**UNKIND)
    paid = pay(timed)
    timed.bring_settlement(paid)
    judge(timed, paid)
