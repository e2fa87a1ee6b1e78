"""HEARD: every word of a bank is recorded raw before it is matched; one odd line never holds up the others; what matches nothing is an
exception that a person sees. With the real bank-sim, its sshd, and files that are put into its outbox by hand."""

import uuid

import grpc
import pytest
from support import stubs
from support.payctl import DONE, SERVICE, USAGE, Payctl
from support.paying import ACH, INSTANT, RETURNED, SETTLED, Payer
from support.waiting import wait_until

SENT = 5
NOBODY = "01930000-0000-7000-8000-000000000000"
FAST = {"payments-svc": {"saga.lease_ms": 1500, "instant.timeout_ms": 700, "saga.poll_ms": 50, "saga.backoff_base_ms": 50, "saga.resolve_after_ms": 700,
                         "ach.gather_ms": 100, "ach.poll_ms": 100, "ach.quiet_ms": 5000, "instant.ask_again_ms": 3000,
                         "instant.sweep_ms": 100, "ach.lease_ms": 1000, "ach.retry_base_ms": 20, "ach.retry_cap_ms": 500,
                         "ach.send_poll_ms": 25},
        "bank-sim": {"faults.odd_amounts": "true", "ach.poll_ms": 20, "ach.return_delay_ms": 200, "instant.return_delay_ms": 100}}


@pytest.fixture(scope="module")
def payer(servers):
    world = servers.world(FAST)
    try:
        yield Payer(world.up())
        world.stop_and_check()
    finally:
        world.remove()


def habits(payer, **changes):
    return payer.bank.post("/admin/habits", changes)


def rows(payer, sql):
    return payer.world.payments_rows(sql)


def outbox(payer):
    return payer.world.stack.folder / "bank" / "sftp" / "outbox"


def put(payer, name, content):
    """Writes a file in place, as some banks do."""
    (outbox(payer) / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def item(payer, name):
    """State, about, events, exceptions of what was recorded under this name; None while it waits."""
    found = rows(payer, f"SELECT state, about, events, exceptions FROM inbox WHERE name = '{name}' AND state <> 1")
    return found[0] if found else None


def applied(payer, name):
    return wait_until(lambda: item(payer, name), f"{name} in the inbox")


def record(text):
    assert len(text) == 94, text
    return text


def returns(entries, company_id, *, form=lambda lines: "\n".join(lines) + "\n"):
    """A return file: entries are (code, original trace, cents, individual id, account)."""
    lines = [record(f"101{'1000000000':<10} 0910000192611300620A094101{'DISBURSE':<23}{'RETURNING BANK':<23}{'':<8}"),
             record(f"5220{'DISBURSE':<16}{'':<20}{company_id}PPD{'PAYOUT':<10}{'':<6}{'':<6}   1021000020000001")]
    for number, (code, trace, cents, individual, account) in enumerate(entries, 1):
        own = f"02100002{number:07d}"
        kind = "98" if code.startswith("C") else "99"
        lines += [record(f"621091000019{account:<17}{cents:010d}{individual:<15}{'ANN EXAMPLE':<22}  1{own}"),
                  record(f"7{kind}{code}{trace}      02100002{'1918171614' if kind == '98' else '':<44}{own}")]
    count, total = 2 * len(entries), sum(entry[2] for entry in entries)
    hash_ = len(entries) * 9100001 % 10**10
    lines += [record(f"8220{count:06d}{hash_:010d}{0:012d}{total:012d}{company_id}{'':<19}{'':<6}021000020000001"),
              record(f"9000001{(len(lines) + 11) // 10:06d}{count:08d}{hash_:010d}{0:012d}{total:012d}{'':<39}")]
    return form(lines)


def individual(payer, payout_id):
    ((intent,),) = rows(payer, f"SELECT intent_id FROM payout WHERE payout_id = '{payout_id}'")
    return intent.replace("-", "")[-15:].upper()


def account(merchant, payout):
    return merchant.person(payout.recipient_id).account


def carrier(payer, payout):
    """The file in the bank's archive that carried the payout; None before it is there. Traces repeat, individual ids do not."""
    who = individual(payer, payout.payout_id)
    return next((path for path in (payer.world.stack.folder / "bank" / "sftp" / "archive").iterdir() if who in path.read_text()), None)


def company_of(payer, payout):
    """The company that the payout's file names, and the file's name."""
    path = carrier(payer, payout)
    return next(line[40:50] for line in path.read_text().splitlines() if line[0] == "5"), path.name


def sent(payer, amounts):
    """Payouts of these amounts that the bank has and says nothing of."""
    habits(payer, settlement_lines=0)
    merchant = payer.merchant(deposit=10_000_000)
    ids = [merchant.pay(amount, ACH).payout_id for amount in amounts]
    payer.world.people.told_by_hand.update(ids)
    final = merchant.wait_for(ids, {SENT})
    wait_until(lambda: all(carrier(payer, final[i]) for i in ids), "the files in the archive")
    return merchant, [final[i] for i in ids]


def test_HEARD_odd_lines_hold_nobody_up(payer):
    merchant, payouts = sent(payer, [1_000, 2_000, 3_000, 4_000, 5_000])
    back, other_amount, other_id, changed, odd = payouts
    ours, _ = company_of(payer, back)

    def line(payout, code, cents=None, who=None):
        return (code, payout.rail_reference, payout.amount_minor if cents is None else cents,
                who or individual(payer, payout.payout_id), account(merchant, payout))

    put(payer, "RTN.0001.TXT", returns([
        line(back, "R03"), line(other_amount, "R03", 2_001), line(other_id, "R03", who="0123456789ABCDE"), line(changed, "C01", 0),
        ("R03", "091000019999999", 77, "X", "1"), line(odd, "R61"), line(back, "R03")], ours,
        form=lambda lines: "\r\n".join(text.rstrip() for text in lines)))
    state, about, events, exceptions = applied(payer, "RTN.0001.TXT")
    assert (state, about, events, exceptions) == ("2", "returns", "1", "6")
    assert merchant.wait_for([back.payout_id], {RETURNED})
    found = rows(payer, "SELECT x.line, x.reason, x.amount FROM inbox_exception x JOIN inbox b USING (book_id, inbox_id)"
                        " WHERE b.name = 'RTN.0001.TXT' ORDER BY 1")
    assert [row[1] for row in found] == ["OTHER_AMOUNT", "OTHER_RECIPIENT", "CHANGE", "UNKNOWN_ENTRY", "DISPUTE", "DOUBLED"]
    cases = rows(payer, "SELECT kind, code, amount FROM payment_case WHERE subject_type = 'inbox' AND state = 1 ORDER BY code")
    assert {("INBOX_LINE", "OTHER_AMOUNT", "2001"), ("INBOX_LINE", "UNKNOWN_ENTRY", "77"), ("INBOX_NOTICE", "CHANGE", "0"),
            ("INBOX_LINE", "DOUBLED", "1000")} <= set(map(tuple, cases))
    # The others still wait for the bank, and hear it.
    assert all(merchant.payout(payout.payout_id).state == SENT for payout in payouts[1:])
    _, name = company_of(payer, other_amount)
    at = "2026-11-30T06:20:00Z"
    put(payer, "POSTED.TXT", f"H,{name},1,{at}\r\nD,{other_amount.rail_reference},2000,SETTLED,{at}\r\nT,1,2000\r\n\r\n")
    assert merchant.wait_for([other_amount.payout_id], {SETTLED})


def test_HEARD_a_file_whose_sums_do_not_fit_is_kept_and_means_nothing(payer):
    merchant, (payout,) = sent(payer, [1_000])
    ours, _ = company_of(payer, payout)
    good = returns([("R03", payout.rail_reference, 1_000, individual(payer, payout.payout_id), account(merchant, payout))], ours)
    put(payer, "broken", good.replace("0000001000", "0000001001", 1))
    assert applied(payer, "broken")[0] == "3"
    assert rows(payer, "SELECT reason FROM inbox WHERE name = 'broken'") == [["BAD_FILE"]]
    assert rows(payer, "SELECT count(*) FROM payment_case WHERE kind = 'INBOX_FILE' AND state = 1") == [["1"]]
    assert merchant.payout(payout.payout_id).state == SENT
    put(payer, "good", good)
    assert merchant.wait_for([payout.payout_id], {RETURNED})


def test_HEARD_a_file_that_grows_is_not_judged_before_it_stands_still(payer):
    merchant, payouts = sent(payer, [1_000, 2_000])
    ours, _ = company_of(payer, payouts[0])
    whole = returns([("R03", payout.rail_reference, payout.amount_minor, individual(payer, payout.payout_id), account(merchant, payout))
                     for payout in payouts], ours)
    before = rows(payer, "SELECT count(*) FROM payment_case")
    with (outbox(payer) / "growing").open("w") as file:
        for at in range(0, len(whole), 100):
            file.write(whole[at:at + 100])
            file.flush()
            if at == 300:  # some looks of the poller find half of it, standing still
                for look in range(2):
                    put(payer, f"probe-{look}", f"H,nothing,{look},2026-11-30T06:20:00Z\nT,0,0\n")
                    applied(payer, f"probe-{look}")
                assert item(payer, "growing") is None and (outbox(payer) / "growing").exists()
    assert applied(payer, "growing")[:3] == ["2", "returns", "2"]
    assert merchant.wait_for([payout.payout_id for payout in payouts], {RETURNED})
    assert rows(payer, "SELECT count(*) FROM payment_case") == before


def test_HEARD_real_files_of_an_unkind_bank(payer):
    """Names, forms and odd lines as banks have them, among the returns and settlements of payouts."""
    habits(payer, settlement_lines=1, bank_names=1, returns_together=1, odd_dishonored=1, odd_web=1, odd_trace=1, odd_company=1,
           crlf=1, trim_blanks=1, no_padding=1, descending_traces=1, blank_date=1, status_2=1, blank_names=1, forward_codes=1,
           grow_ms=300)
    try:
        merchant = payer.merchant(deposit=10_000_000)
        wanted = {10_000: SETTLED, 20_901: RETURNED, 30_951: RETURNED, 40_955: RETURNED, 50_960: SETTLED}
        ids = {merchant.pay(amount, ACH).payout_id: state for amount, state in wanted.items()}
        for state in (SETTLED, RETURNED):
            merchant.wait_for([key for key, end in ids.items() if end == state], {state})
        wait_until(lambda: rows(payer, "SELECT 1 FROM inbox_exception WHERE reason = 'CHANGE'"), "the notification of change")
        # R93, which nobody knows, is booked, and a person looks at it.
        assert rows(payer, "SELECT amount FROM payment_case WHERE code = 'UNKNOWN_CODE' AND state = 1 AND text LIKE "
                           "'%the reason code R93, which is not known here; the money came back and is booked%'") == [["40955"]]
        reasons = {row[0] for row in rows(payer, "SELECT DISTINCT reason FROM inbox_exception")}
        assert {"DISPUTE", "UNKNOWN_ENTRY", "UNKNOWN_COMPANY", "CHANGE"} <= reasons
        assert rows(payer, "SELECT count(*) FROM inbox WHERE state = 3 AND name <> 'broken'") == [["0"]]
    finally:
        habits(payer, bank_names=0, returns_together=0, odd_dishonored=0, odd_web=0, odd_trace=0, odd_company=0, crlf=0, trim_blanks=0,
               no_padding=0, descending_traces=0, blank_date=0, status_2=0, blank_names=0, forward_codes=0, grow_ms=0)


def test_HEARD_webhooks_that_match_nothing_are_kept_and_answered(payer, tmp_path):
    """812: the message tells one minor unit more than moved. 813: one more message, about a payment that nobody ordered."""
    merchant = payer.merchant(deposit=10_000_000)
    ids = [merchant.pay(amount, INSTANT).payout_id for amount in (10_812, 20_813)]
    assert all(payout.state == SETTLED for payout in merchant.wait_for(ids).values())
    for reason in ("OTHER_AMOUNT", "UNKNOWN_PAYMENT"):
        wait_until(lambda reason=reason: rows(payer, "SELECT 1 FROM inbox_exception x JOIN inbox b USING (book_id, inbox_id)"
                                                     f" WHERE b.kind = 2 AND x.reason = '{reason}'"), reason)
    assert rows(payer, "SELECT amount FROM payment_case WHERE code = 'OTHER_AMOUNT' AND amount = 10813") == [["10813"]]
    # The payout in question has the name that payctl payout takes.
    payctl = Payctl(payer.world, tmp_path)
    (odd,) = [found for found in listed(payctl, "--exceptions", key="exceptions") if found["amount_minor"] == 10_813]
    name = f"{merchant.id}/{ids[0]}"
    assert f"{odd['merchant_id']}/{odd['payout_id']}" == name
    assert name in payctl.run("inbox", "--exceptions")[1] and payctl.run("payout", name)[0] == DONE
    assert name in payctl.run("inbox", f"{odd['book_id']}/{odd['inbox_id']}")[1]
    assert "1 exception(s); there are more: --limit N" in payctl.run("inbox", "--exceptions", "--limit", "1")[1]


def test_a_return_that_was_never_told_is_found_by_asking_again(payer):
    """815: settled, then returned; the bank's message about it is lost."""
    merchant = payer.merchant(deposit=10_000_000)
    payout_id = merchant.pay(10_815, INSTANT).payout_id
    assert merchant.wait_for([payout_id], {RETURNED})
    assert rows(payer, f"SELECT amount, currency FROM rail_event WHERE payout_id = '{payout_id}' AND kind = 4") == [["10815", "USD"]]
    assert rows(payer, "SELECT count(*) FROM inbox WHERE kind = 3 AND state = 2") == [["1"]]


def listed(payctl, *args, key="items"):
    code, shown, err = payctl.json("inbox", *args)
    assert code == DONE, err
    return shown[key]


def test_HEARD_a_person_repairs_a_file_and_dismisses_a_line(payer, tmp_path):
    """With payctl: what was refused is found, shown without account numbers, repaired and applied; an odd line is closed with its case."""
    payctl = Payctl(payer.world, tmp_path)
    merchant, (payout,) = sent(payer, [1_000])
    ours, _ = company_of(payer, payout)
    number = account(merchant, payout)
    good = returns([("R03", payout.rail_reference, 1_000, individual(payer, payout.payout_id), number),
                    ("R03", "091000019999998", 78, "X", "998877665544")], ours)
    put(payer, "to-repair", good.replace("0000001000", "0000001001", 1))
    assert applied(payer, "to-repair")[0] == "3"
    (item_,) = [found for found in listed(payctl, "--state", "REFUSED") if found["name"] == "to-repair"]
    code, shown, _ = payctl.run("inbox", item_["inbox_id"], "--content")
    assert code == DONE and payout.rail_reference in shown and number not in shown and number[-4:] in shown

    repaired = tmp_path / "repaired.ach"
    repaired.write_text(good + ("9" * 94 + "\n") * 110_000)  # more than ten megabytes: it goes in parts
    assert repaired.stat().st_size > 10_000_000
    assert payctl.run("inbox", "repair", item_["inbox_id"], str(repaired))[0] == USAGE, "without a reason"
    code, after, err = payctl.json("inbox", "repair", item_["inbox_id"], str(repaired), "--reason", "a digit was wrong", "--person", "ann")
    assert code == DONE, err
    assert (after["item"]["state"], after["item"]["version"], after["item"]["event_count"]) == ("APPLIED", 2, 1)
    assert after["versions"][1]["reason"] == "a digit was wrong" and after["versions"][1]["actor"].endswith("for ann")
    assert merchant.wait_for([payout.payout_id], {RETURNED})
    assert rows(payer, "SELECT count(*) FROM payment_case WHERE kind = 'INBOX_FILE' AND state = 1"
                       f" AND subject_id = '{item_['inbox_id']}'") == [["0"]]

    other = tmp_path / "other.ach"
    other.write_text(good.replace("998877665544", "998877665533"))
    repair = ("inbox", "repair", item_["inbox_id"], str(other), "--reason", "a slip of the hand")
    code, _, err = payctl.run(*repair)
    assert code == SERVICE and "--yes" in err, "it counts by now"
    # The first of many parts already says so, unless the item was repaired, since this may be that repair once more.
    put(payer, "applied-as-it-came", returns([("R03", "091000019999997", 79, "X", "998877665544")], ours))
    assert applied(payer, "applied-as-it-came")[0] == "2"
    ((as_it_came,),) = rows(payer, "SELECT inbox_id FROM inbox WHERE name = 'applied-as-it-came'")
    pb = stubs.modules("payments/v1/inbox_service")[0]
    ask = payer.world.stub("payments/v1/inbox_service", "InboxService", "payments-svc")
    part = pb.RepairInboxRequest(inbox_id=as_it_came, person="ann", reason="r", content=b"x", total_bytes=2)
    with pytest.raises(grpc.RpcError) as failure:
        ask.RepairInbox(part)
    assert failure.value.code() == grpc.StatusCode.FAILED_PRECONDITION and "was applied" in failure.value.details()
    part.inbox_id = item_["inbox_id"]
    ask.RepairInbox(part)
    assert rows(payer, f"SELECT version FROM inbox WHERE inbox_id = '{item_['inbox_id']}'") == [["2"]]

    (odd,) = [found for found in listed(payctl, "--exceptions", key="exceptions") if found["inbox_id"] == item_["inbox_id"]]
    assert odd["reason"] == "UNKNOWN_ENTRY" and "998877665544" not in odd["raw"] and "5544" in odd["raw"]
    subject = f"{item_['inbox_id']}:{odd['line']}"
    for _ in range(2):
        code, after, err = payctl.json("inbox", "dismiss", item_["inbox_id"], str(odd["line"]), "--reason", "the bank took it back")
        assert code == DONE, err
        assert after["exceptions"][-1]["state"] == "DISMISSED"
        assert rows(payer, f"SELECT state FROM payment_case WHERE subject_id = '{subject}'") == [["2"]]
    assert rows(payer, "SELECT count(*) FROM case_note WHERE text LIKE 'dismissed by % the bank took it back'") == [["1"]]
    # Applied once more: nothing counts twice, and nobody is asked again.
    code, after, err = payctl.json("inbox", "apply", item_["inbox_id"])
    assert code == DONE and after["item"]["event_count"] == 1, err
    assert rows(payer, f"SELECT state FROM payment_case WHERE subject_id = '{subject}'") == [["2"]]
    assert rows(payer, f"SELECT count(*) FROM rail_event WHERE payout_id = '{payout.payout_id}' AND kind = 4") == [["1"]]
    assert payctl.run("inbox", "dismiss", item_["inbox_id"], "77", "--reason", "none")[0] == SERVICE
    code, _, err = payctl.run(*repair, "--yes")
    assert code == DONE, err
    assert rows(payer, f"SELECT version, state FROM inbox WHERE inbox_id = '{item_['inbox_id']}'") == [["3", "2"]]


def test_the_inbox_is_listed_page_by_page(payer):
    pb = stubs.modules("payments/v1/inbox_service")[0]
    ask = payer.world.stub("payments/v1/inbox_service", "InboxService", "payments-svc")
    there = {row[0] for row in rows(payer, "SELECT inbox_id FROM inbox")}  # messages may come while pages are read
    whole, token = [], ""
    while True:
        page = ask.ListInbox(pb.ListInboxRequest(page_size=2, page_token=token))
        whole += [found.inbox_id for found in page.items]
        token = page.next_page_token
        if not token:
            break
    assert whole == sorted(set(whole), reverse=True)
    assert there <= set(whole)


@pytest.mark.parametrize(("method", "request_", "code"), [
    ("ListInbox", {"page_size": -1}, grpc.StatusCode.INVALID_ARGUMENT),
    ("ListInbox", {"states": [99]}, grpc.StatusCode.INVALID_ARGUMENT),
    ("ListInbox", {"rail": 99}, grpc.StatusCode.INVALID_ARGUMENT),
    ("ListInbox", {"page_token": "nonsense"}, grpc.StatusCode.INVALID_ARGUMENT),
    ("GetInbox", {"inbox_id": "x"}, grpc.StatusCode.INVALID_ARGUMENT),
    ("GetInbox", {"book_id": -1, "inbox_id": NOBODY}, grpc.StatusCode.INVALID_ARGUMENT),
    ("GetInbox", {"inbox_id": NOBODY}, grpc.StatusCode.NOT_FOUND),
    ("ListExceptions", {"with_closed": True}, grpc.StatusCode.INVALID_ARGUMENT),
    ("ListExceptions", {"page_token": "nonsense"}, grpc.StatusCode.INVALID_ARGUMENT),
    ("ApplyInbox", {"inbox_id": NOBODY, "person": ""}, grpc.StatusCode.INVALID_ARGUMENT),
    ("ApplyInbox", {"inbox_id": NOBODY, "person": "ann"}, grpc.StatusCode.NOT_FOUND),
    ("DismissException", {"inbox_id": NOBODY, "person": "ann"}, grpc.StatusCode.INVALID_ARGUMENT),
    ("DismissException", {"inbox_id": NOBODY, "person": "ann", "reason": "r"}, grpc.StatusCode.NOT_FOUND),
    ("RepairInbox", {"inbox_id": NOBODY, "person": "ann", "reason": "r"}, grpc.StatusCode.INVALID_ARGUMENT),
    ("RepairInbox", {"inbox_id": NOBODY, "person": "ann", "reason": "r", "content": b"x"}, grpc.StatusCode.NOT_FOUND),
    ("RepairInbox", {"inbox_id": NOBODY, "person": "ann", "reason": "r", "content": b"x", "total_bytes": 2}, grpc.StatusCode.NOT_FOUND),
    ("ApplyInbox", {"inbox_id": str(uuid.UUID(int=0)), "person": "ann"}, grpc.StatusCode.NOT_FOUND),
])
def test_what_the_inbox_refuses(payer, method, request_, code):
    pb = stubs.modules("payments/v1/inbox_service")[0]
    ask = payer.world.stub("payments/v1/inbox_service", "InboxService", "payments-svc")
    with pytest.raises(grpc.RpcError) as failure:
        getattr(ask, method)(getattr(pb, f"{method}Request")(**request_))
    assert failure.value.code() == code


def test_a_case_of_the_inbox_that_is_resolved_leaves_nothing_open(payer, tmp_path):
    """Its line is dismissed with it; another line of the same file stays, and payctl says so."""
    payctl = Payctl(payer.world, tmp_path)
    _, (payout,) = sent(payer, [1_000])
    ours, _ = company_of(payer, payout)
    put(payer, "two-odd-lines", returns([("R03", f"09100001999999{n}", 70 + n, "X", "998877665544") for n in (1, 2)], ours))
    assert applied(payer, "two-odd-lines")[3] == "2"
    first, second = [found for found in listed(payctl, "--exceptions", key="exceptions") if found["amount_minor"] in (71, 72)]
    item_id = first["inbox_id"]

    def resolve(odd, order):
        subject = f"{item_id}:{odd['line']}"
        ((case, book),) = rows(
            payer, f"SELECT book_id || '/' || case_id, book_id FROM payment_case WHERE subject_id = '{subject}' AND state = 1")
        # The case names the command that shows its item, and what it says that it is about is taken, too.
        assert f"payctl inbox {item_id} shows it" in payctl.run("case", case)[1]
        assert payctl.run("inbox", f"{book}/{subject}")[0] == DONE
        assert payctl.run("inbox", f"900001/{subject}")[0] == DONE, "a file is in book 0, whatever book its lines are about"
        code, _, err = payctl.run("case", case, "resolve", order, "--comment", "the bank takes it back", "--person", "ann")
        assert code == DONE, err
        return err

    assert f"payctl inbox {item_id} shows them" in resolve(first, "DONE")
    assert "still set aside" not in resolve(second, "IGNORE")
    assert rows(payer, f"SELECT state, closed_by, closed_reason FROM inbox_exception WHERE inbox_id = '{item_id}' ORDER BY line") == 2 * [
        ["2", rows(payer, f"SELECT closed_by FROM inbox_exception WHERE inbox_id = '{item_id}'")[0][0], "the bank takes it back"]]
    assert listed(payctl, item_id, key="exceptions")[0]["closed_by"].endswith("for ann")
    # A file that was refused as a whole.
    put(payer, "refused-whole", returns([("R03", payout.rail_reference, 1_000, "X", "1")], ours).replace("0000001000", "0000001001", 1))
    assert applied(payer, "refused-whole")[0] == "3"
    ((case, refused_id),) = rows(payer, "SELECT k.book_id || '/' || k.case_id, k.subject_id FROM payment_case k JOIN inbox i ON "
                                        "i.inbox_id::text = k.subject_id WHERE i.name = 'refused-whole' AND k.state = 1")
    assert payctl.run("case", case, "resolve", "DONE", "--comment", "the bank sends another one")[0] == DONE
    assert item(payer, "refused-whole")[0] == "4"
    assert listed(payctl, refused_id, key="exceptions")[0]["state"] == "DISMISSED"


def test_SEEN_more_books_than_a_list_looks_into(payer, tmp_path):
    """A list tells that something is missing, also by payctl."""
    pb = stubs.modules("payments/v1/inbox_service")[0]
    ask = payer.world.stub("payments/v1/inbox_service", "InboxService", "payments-svc")
    assert not ask.ListInbox(pb.ListInboxRequest()).books_left_out
    rows(payer, """INSERT INTO inbox SELECT 1000000 + n, gen_random_uuid(), 1, 2, '', 0, sha256(n::text::bytea), sha256(n::text::bytea), '',
                   now(), now(), 2, 1, '', 0, 0, 0, '', '', 0, 1, now() FROM generate_series(1, 4096) AS n""")
    try:
        assert ask.ListInbox(pb.ListInboxRequest()).books_left_out
        code, _, err = Payctl(payer.world, tmp_path).run("inbox")
        assert (code, "more books" in err) == (DONE, True)
    finally:
        rows(payer, "DELETE FROM inbox WHERE book_id > 1000000")
