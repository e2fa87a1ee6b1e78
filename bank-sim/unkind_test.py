#!/usr/bin/python3
"""Each habit and each odd outcome of bank-sim, as its customers meet it.

usage: unkind_test.py PATH/TO/bank-sim [TEST...]
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import integration_test as kind  # noqa: E402
from integration_test import ORIGIN, TODAY, key_of, nacha, payment, wait_for  # noqa: E402

OTHER = "1100000002"
OF_REFUSED = "1100000003"  # an origin has 36 files a day
_modifiers = {origin: iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for origin in (ORIGIN, OTHER, OF_REFUSED)}
_days = iter(range(1, 10**6))


class Unkind(kind.Bank):
    def habits(self, **changes):
        return self.admin("POST", "/admin/habits", changes)

    def reset(self):
        self.admin("POST", "/admin/habits", self.kind)

    def file(self, entries, **how):
        """A file that nobody sent before: traces of its own."""
        number = next(_days)
        return nacha.make(entries, modifier=how.pop("modifier", None) or next(_modifiers[how.get("origin", ORIGIN)]), first_trace=1000 * number, **how)

    def taken(self, name):
        return wait_for(name, lambda: [f for f in self.admin("GET", "/admin/files") if f["file"] == name])[0]

    def items(self, **query):
        rows = self.admin("GET", "/admin/payments?limit=100000&" + "&".join("%s=%s" % q for q in query.items()))
        return rows

    def who(self, routing, account, name):
        return self.admin("POST", "/admin/who", {"routing": routing, "account": account, "name": name})["who"]

    def clear_outbox(self):
        for name in self.outbox():
            os.rename(self.dir + "/bank/sftp/outbox/" + name, self.dir + "/bank/sftp/outbox/done/" + name)

    def upload_and_flush(self, data, name=None):
        """Takes the file and brings every day that it waits for. Returns the outputs that came, by name."""
        self.clear_outbox()
        name = name or "u%d.ach" % next(_days)
        self.upload(name, data)
        self.admin("POST", "/admin/flush")
        self.admin("POST", "/admin/flush")  # the second part of a return waits for the first
        return {n: open(self.dir + "/bank/sftp/outbox/" + n, "rb").read() for n in self.outbox()}


def returns_in(outputs):
    return [data for name, data in sorted(outputs.items()) if name.startswith(("ret-", "FEDRTN"))]


def test_the_record_of_who(bank):
    bank.upload_and_flush(bank.file([(1234, "WHO")], sec="CCD"))
    row = bank.items(rail="ach", payout="WHO")[0]
    assert row["who"] == bank.who("021000021", "123456789", "ANN EXAMPLE") and len(row["who"]) == 64, row
    for other in (("021000022", "123456789", "ANN EXAMPLE"), ("021000021", "123456788", "ANN EXAMPLE"),
                  ("021000021", "123456789", "ANN EXAMPLF"), ("02100002112", "3456789", "ANN EXAMPLE")):
        assert bank.who(*other) != row["who"], other
    told = {k: row[k] for k in ("sec", "company_id", "company_name", "effective", "description", "account_type")}
    assert told == {"sec": "CCD", "company_id": "1100000001", "company_name": "ACME MARKET", "effective": TODAY,
                    "description": "PAYOUT", "account_type": "checking"}, told
    assert bank.curl("POST", "/v1/payments", payment(4321, "1/who"), key_of("who"))[0] == 201
    row = bank.items(rail="instant", payout="1/who")[0]
    assert row["who"] == bank.who("021000021", "12345678", "Ann Example"), row
    assert (row["account_type"], row["description"]) == ("checking", "payout") and "sec" not in row, row
    # The key stays with the bank, so a hash means the same after a restart.
    bank.stop()
    bank.start(**bank.settings)
    assert bank.who("021000021", "12345678", "Ann Example") == row["who"]
    status, answer = bank.curl("POST", "/admin/who", {"routing": "1", "account": "2", "name": "x" * 141}, port="admin_port")
    assert status == 400 and answer["field"] == "name", answer


def test_habits_are_checked(bank):
    for change in ({"archive": 2}, {"kindness": 1}, {"grow_ms": "1"}, {"acks": 0, "settle_days": -1}):
        assert bank.curl("POST", "/admin/habits", change, port="admin_port")[0] == 400, change
    assert bank.admin("GET", "/admin/habits") == bank.kind
    assert bank.habits(acks=False)["acks"] == 0


def test_no_archive(bank):
    bank.habits(archive=0)
    bank.upload_and_flush(bank.file([10]), "gone.ach")
    assert bank.taken("gone.ach")["status"] == "accepted"
    assert not os.path.exists(bank.dir + "/bank/sftp/archive/gone.ach")
    assert not os.path.exists(bank.dir + "/bank/sftp/inbox/gone.ach")


def test_archive_of_some_files_and_of_some_time(bank):
    archive = bank.dir + "/bank/sftp/archive"
    bank.habits(archive_files=2)
    for n in range(4):
        bank.upload_and_flush(bank.file([10]), "kept-%d.ach" % n)
    assert sorted(n for n in os.listdir(archive) if n.startswith("kept-")) == ["kept-2.ach", "kept-3.ach"]
    bank.habits(archive_files=0, archive_ms=1)
    wait_for("an empty archive", lambda: not os.listdir(archive))


def test_duplicates_are_taken_and_paid(bank):
    bank.habits(duplicate_check=0)
    data, before = bank.file([(777, "DUP")]), bank.money("ach")
    for name in ("dup.ach", "dup.ach", "dup-other-name.ach"):
        bank.upload_and_flush(data, name)
    assert bank.money("ach")[:2] == [before[0] + 3, before[1] + 3 * 777]
    rows = bank.items(rail="ach", payout="DUP")
    assert [r["times_credited"] for r in rows] == [1, 1, 1], rows
    assert [r["times_credited"] for r in bank.admin("GET", "/admin/duplicates") if r["payout"] == "DUP"] == [3]
    bank.reset()
    bank.upload_and_flush(data, "dup-again.ach")
    assert "duplicate file" in bank.taken("dup-again.ach")["reason"]


def test_no_acknowledgements_and_no_settlement_lines(bank):
    bank.habits(acks=0, settlement_lines=0)
    before = bank.money("ach")
    assert bank.upload_and_flush(bank.file([11, 22]), "silent.ach") == {}
    assert bank.upload_and_flush(b"rubbish\n", "rubbish.ach") == {}
    assert bank.taken("rubbish.ach")["status"] == "rejected"
    assert bank.money("ach")[:2] == [before[0] + 2, before[1] + 33]


def acks_in(outputs):
    return [json.loads(data) for name, data in sorted(outputs.items()) if ".ack" in name]


def statuses(bank, name):
    return {row["amount"]: (row["status"], row["times_credited"], row["times_returned"])
            for row in bank.items(rail="ach") if row["file"] == name}


def traces_of(bank, name):
    return {row["amount"]: row["key_or_trace"] for row in bank.items(rail="ach") if row["file"] == name}


def test_entries_that_are_refused_by_name(bank):
    """They are never paid and never come back, and the others are paid. One that is called a duplicate is paid all the same."""
    for counted in (1, 2):
        bank.habits(refuse_entries=counted)
        before, name = bank.money("ach"), "refuses-%d.ach" % counted
        outputs = bank.upload_and_flush(bank.file([100, 970, 971, 972], origin=OF_REFUSED), name)
        ack, = acks_in(outputs)
        trace = traces_of(bank, name)
        gone = {"code": "R03", "reason": "no such account"}
        assert ack["refused"] == [{"trace": trace[970], **gone},
                                  {"trace": trace[971], "code": "DUP", "reason": "duplicate of an earlier entry"},
                                  {"trace": trace[972], **gone}, {"trace": trace[972], **gone}], ack
        assert ack["status"] == "accepted" and ack["reason"] == "", ack
        assert (ack["entries"], ack["total"]) == ((4, 3013) if counted == 1 else (1, 100)), ack
        assert statuses(bank, name) == {100: ("settled", 1, 0), 970: ("refused", 0, 0), 971: ("settled", 1, 0),
                                        972: ("refused", 0, 0)}
        assert list(bank.money("ach")) == [before[0] + 2, before[1] + 1071, *before[2:]], "only those that it pays"
        assert not returns_in(outputs), outputs
        assert outputs[name + ".settle.1"].decode().splitlines()[-1] == "T,2,1071"
    assert bank.admin("GET", "/admin/report")["ach_entries_refused"] == 4


def test_refused_entries_come_back_at_a_bank_that_names_none(bank):
    for habits in ({}, {"refuse_entries": 1, "acks": 0}):
        bank.habits(**habits)
        outputs = bank.upload_and_flush(bank.file([100, 970], origin=OF_REFUSED))
        assert [nacha.returns(f)[0][0] for f in returns_in(outputs)] == ["R03"], outputs
        assert not any("refused" in ack for ack in acks_in(outputs)), outputs
        bank.reset()


def test_refused_entries_cost_the_whole_file(bank):
    bank.habits(refuse_entries=3)
    before = bank.money("ach")
    ack, = acks_in(bank.upload_and_flush(bank.file([100, 970], origin=OF_REFUSED), "whole.ach"))
    assert (ack["status"], ack["reason"], ack["entries"]) == ("rejected", "entries refused", 0), ack
    assert [r["code"] for r in ack["refused"]] == ["R03"], ack
    assert bank.money("ach") == before and statuses(bank, "whole.ach") == {}
    # One that it pays is no reason to take nothing.
    ack, = acks_in(bank.upload_and_flush(bank.file([100, 971], origin=OF_REFUSED), "most.ach"))
    assert (ack["status"], len(ack["refused"])) == ("accepted", 1), ack


def test_refused_entries_are_named_late(bank):
    bank.habits(refuse_entries=2, refuse_late=1)
    first, second = acks_in(bank.upload_and_flush(bank.file([100, 970], origin=OF_REFUSED), "late-names.ach"))
    assert "refused" not in first and len(second["refused"]) == 1, (first, second)
    assert all((ack["file"], ack["status"]) == ("late-names.ach", "accepted") for ack in (first, second)), (first, second)
    assert (first["entries"], second["entries"]) == (2, 1), (first, second)
    only, = acks_in(bank.upload_and_flush(bank.file([100], origin=OF_REFUSED), "late-none.ach"))
    assert "refused" not in only, only


def test_settlement_after_days(bank):
    bank.habits(settle_days=2)
    before = bank.money("ach")
    bank.upload("days.ach", bank.file([44]))
    assert bank.ack("days.ach")["status"] == "accepted"
    assert bank.money("ach") == before and not bank.taken("days.ach")["settled"]
    bank.admin("POST", "/admin/flush")
    assert bank.output("days.ach.settle.1").decode().splitlines()[-1] == "T,1,44"
    assert bank.money("ach")[0] == before[0] + 1


def test_names_of_the_bank(bank):
    bank.habits(bank_names=1)
    names = sorted(bank.upload_and_flush(bank.file([33, 901]), "named.ach"))
    assert [n.split(".")[0] for n in names] == ["ACKN", "FEDRTN", "POSTED"], names
    assert not any("named" in n for n in names)


def test_returns_in_parts_and_twice(bank):
    for amount, codes, sums in ((952, [("R03", 476)], 476), (953, [("R03", 476), ("R03", 477)], 953),
                                (954, [("R03", 954), ("R03", 954)], 954), (955, [("R93", 955)], 955)):
        before = bank.money("ach")
        files = returns_in(bank.upload_and_flush(bank.file([amount])))
        assert [nacha.returns(f)[0][::2] for f in files] == codes, (amount, files)
        assert bank.money("ach")[3] - before[3] == sums, amount


def test_notification_of_change(bank):
    before = bank.money("ach")
    files = returns_in(bank.upload_and_flush(bank.file([960])))
    assert len(files) == 1 and b"CORPAYOUT" in files[0] and b"\n798C01" in files[0], files
    assert bank.money("ach")[2:] == before[2:]


def test_odd_lines(bank):
    bank.habits(odd_dishonored=1, odd_web=1, odd_trace=1, odd_company=1)
    before = bank.money("ach")
    data = returns_in(bank.upload_and_flush(bank.file([3456, 951])))[0].decode()
    lines = data.splitlines()
    codes = sorted(line[3:6] for line in lines if line[0] == "7")
    assert codes == ["R02", "R03", "R03", "R10", "R61"], data
    assert any(line.startswith("5225SOMEBODY ELSE") and line[50:53] == "WEB" for line in lines), data
    # The stranger's return has a trace and an amount of ours.
    at = next(n for n, line in enumerate(lines) if line.startswith("799R02"))
    assert lines[at - 1][29:39] == "0000003456" and lines[at][6:21].endswith("000"), data
    assert bank.money("ach")[2:] == [before[2] + 1, before[3] + 951]
    # Sums and counts of the whole are right, so that each line is judged for itself.
    control = next(line for line in lines if line[0] == "9")
    assert int(control[31:43]) == 951 and int(control[43:55]) == 3456 + 3 * 951, control


def test_forms_of_return_files(bank):
    def one(**habits):
        bank.habits(**habits)
        files = returns_in(bank.upload_and_flush(bank.file([901])))
        bank.reset()
        return files[0]

    kind_bytes = one()
    assert len(kind_bytes) == 10 * 95
    assert one(crlf=1).count(b"\r\n") == 10
    fixed = one(fixed_94=1)
    assert len(fixed) == 940 and b"\n" not in fixed
    assert b" \n" not in one(trim_blanks=1)
    assert len(one(no_padding=1).splitlines()) == 6
    assert one(blank_date=1).splitlines()[1][69:75] == b"      "
    assert one(status_2=1).splitlines()[1][78:79] == b"2"
    assert b"ANN EXAMPLE" not in one(blank_names=1)
    assert one(forward_codes=1).splitlines()[2][:3] == b"622"
    bank.habits(descending_traces=1)
    lines = returns_in(bank.upload_and_flush(bank.file([901, 901, 901])))[0].decode().splitlines()
    traces = [line[79:] for line in lines if line[0] == "6"]
    assert len(traces) == 3 and traces == sorted(traces, reverse=True), traces


def test_one_return_file_for_several_companies(bank):
    bank.habits(returns_together=1, settle_days=1)
    bank.clear_outbox()
    bank.upload("together-1.ach", bank.file([901]))
    bank.upload("together-2.ach", bank.file([902], origin=OTHER))
    bank.ack("together-1.ach"), bank.ack("together-2.ach")
    bank.admin("POST", "/admin/flush")
    files = [n for n in bank.outbox() if n.startswith("ret-")]
    assert len(files) == 1, files
    assert sorted(code for code, _, _ in nacha.returns(bank.output(files[0]))) == ["R01", "R02"]


def test_files_that_grow(bank):
    bank.habits(grow_ms=800)
    bank.clear_outbox()
    path = bank.dir + "/bank/sftp/outbox/grows.ach.settle.1"
    bank.upload("grows.ach", bank.file([100] * 20))
    sizes = set()

    def whole():
        data = open(path, "rb").read() if os.path.exists(path) else b""
        sizes.add(len(data))
        return b"\nT,20,2000\n" in data

    wait_for("the whole report", whole)
    assert len(sizes - {0}) >= 3, sizes


def test_refusals_that_are_not_stored(bank):
    key = key_of("forgotten")
    status, first = bank.curl("POST", "/v1/payments", payment(801, "1/forgotten"), key)
    assert (status, first["status"]) == (201, "refused")
    assert bank.curl("GET", "/v1/payments/by-key/" + key)[0] == 200
    bank.habits(refusals_stored=0)
    key = key_of("forgotten-2")
    for _ in range(2):
        status, again = bank.curl("POST", "/v1/payments", payment(802, "1/forgotten-2"), key)
        assert (status, again["status"], again["retriable"]) == (201, "refused", True), again
        assert bank.curl("GET", "/v1/payments/by-key/" + key)[0] == 404
    assert bank.curl("POST", "/v1/payments", payment(802, "1/forgotten-2"), key)[1]["status"] == "accepted"


def test_a_repeat_is_judged_before_its_key(bank):
    bank.habits(key_first=0)
    key, before = key_of("repeat"), bank.money("instant")
    assert bank.curl("POST", "/v1/payments", payment(70, "1/repeat"), key)[1]["status"] == "accepted"
    answer = bank.curl("POST", "/v1/payments", payment(70, "1/repeat"), key)[1]
    assert (answer["status"], answer["code"], answer["retriable"]) == ("refused", "AM05", False), answer
    assert bank.curl("GET", "/v1/payments/by-key/" + key)[1]["status"] == "settled"
    assert bank.money("instant")[0] == before[0] + 1


def test_a_query_lags(bank):
    bank.habits(query_lag_count=2)
    key = key_of("lag")
    assert bank.curl("POST", "/v1/payments", payment(71, "1/lag"), key)[0] == 201
    assert [bank.curl("GET", "/v1/payments/by-key/" + key)[0] for _ in range(3)] == [404, 404, 200]
    bank.habits(query_lag_count=0, query_lag_ms=600000)
    key = key_of("lag-2")
    assert bank.curl("POST", "/v1/payments", payment(71, "1/lag-2"), key)[0] == 201
    assert bank.curl("GET", "/v1/payments/by-key/" + key)[0] == 404
    bank.reset()
    assert bank.curl("GET", "/v1/payments/by-key/" + key)[0] == 200


def told_of(bank, key):
    return [(b["type"], b["data"]["amount"]) for _, b in list(bank.hooks.got) if b["data"]["key"] == key]


def test_odd_webhooks(bank):
    def post(amount):
        key = key_of("odd-%d" % amount)
        assert bank.curl("POST", "/v1/payments", payment(amount, "1/odd-%d" % amount), key)[0] == 201
        return key

    back = bank.money("instant")[3]
    key = post(810)
    wait_for("a part", lambda: told_of(bank, key) == [("payment.settled", 810), ("payment.returned", 405)])
    now = bank.curl("GET", "/v1/payments/by-key/" + key)[1]
    assert (now["status"], now["amount"], now["returned_amount"]) == ("returned", 810, 405), now
    assert bank.money("instant")[3] - back == 405
    key = post(811)
    wait_for("both halves", lambda: sorted(told_of(bank, key)) == [
        ("payment.returned", 405), ("payment.returned", 406), ("payment.settled", 811)])
    assert len({i for i, b in bank.hooks.got if b["data"]["key"] == key}) == 3
    assert "returned_amount" not in bank.curl("GET", "/v1/payments/by-key/" + key)[1]
    key = post(812)
    wait_for("another amount", lambda: told_of(bank, key) == [("payment.settled", 813)])
    key = post(817)
    wait_for("another currency", lambda: [b["data"]["currency"] for _, b in list(bank.hooks.got) if b["data"]["key"] == key] == ["INR"])
    assert bank.curl("GET", "/v1/payments/by-key/" + key)[1]["currency"] == "USD"
    key = post(813)
    strangers = lambda: [b for _, b in list(bank.hooks.got) if b["data"]["amount"] == 813 and b["data"]["key"] != key  # noqa: E731
                         and b["data"]["reference"] != "1/odd-812"]
    wait_for("a stranger", lambda: len(strangers()) == 1 and told_of(bank, key) == [("payment.settled", 813)])
    key = key_of("odd-814")
    before = bank.curl("POST", "/v1/payments", payment(814, "1/odd-814"), key)
    assert before[0] == 201 and told_of(bank, key) == [("payment.settled", 814)], "the answer came first"
    key = post(815)
    wait_for("the return", lambda: bank.curl("GET", "/v1/payments/by-key/" + key)[1]["status"] == "returned")
    key_2 = post(816)
    wait_for("told twice", lambda: sorted(told_of(bank, key_2)) == [("payment.returned", 816)] * 2 + [("payment.settled", 816)])
    assert told_of(bank, key) == [("payment.settled", 815)]
    assert not bank.hooks.bad


def test_uploads_that_break_off(bank):
    bank.habits(sftp_drop_writes=1)
    local, data = bank.dir + "/breaks", bank.file([55] * 3)
    with open(local, "wb") as f:
        f.write(data)
    assert bank.sftp("put %s inbox/breaks.tmp" % local, check=False).returncode != 0
    part = open(bank.dir + "/bank/sftp/inbox/breaks.tmp", "rb").read()
    assert 0 < len(part) < len(data) and data.startswith(part), len(part)
    assert bank.admin("GET", "/admin/habits")["sftp_drop_writes"] == 0
    bank.sftp("put %s inbox/breaks.tmp" % local, "rename inbox/breaks.tmp inbox/breaks.ach")
    assert bank.ack("breaks.ach")["entries"] == 3


def test_renames_that_are_refused_or_lost(bank):
    local = bank.dir + "/rename"
    with open(local, "wb") as f:
        f.write(bank.file([56]))
    bank.habits(sftp_refuse_renames=1)
    assert bank.sftp("put %s inbox/r.tmp" % local, "rename inbox/r.tmp inbox/r.ach", check=False).returncode != 0
    assert os.path.exists(bank.dir + "/bank/sftp/inbox/r.tmp")
    bank.habits(sftp_lose_renames=1)
    assert bank.sftp("rename inbox/r.tmp inbox/r.ach", check=False).returncode != 0
    assert bank.ack("r.ach")["status"] == "accepted", "it was done all the same"


def test_lists_late_and_slowly(bank):
    bank.habits(sftp_list_late_ms=600000)
    bank.upload("late.ach", bank.file([57]))
    wait_for("the ack", lambda: os.path.exists(bank.dir + "/bank/sftp/outbox/late.ach.ack"))
    assert b"late.ach.ack" not in bank.sftp("ls outbox").stdout
    bank.sftp("get outbox/late.ach.ack %s/late" % bank.dir)  # it is there, for whom knows its name
    bank.reset()
    assert b"late.ach.ack" in bank.sftp("ls outbox").stdout
    bank.habits(sftp_slow_ms=100)
    start = time.monotonic()
    bank.sftp("ls outbox")
    assert time.monotonic() - start >= 0.3


def test_lists_names_only(bank):
    bank.upload("bare.ach", bank.file([58]))
    wait_for("the ack", lambda: os.path.exists(bank.dir + "/bank/sftp/outbox/bare.ach.ack"))
    assert b"-rw" in bank.sftp("ls -l outbox").stdout
    bank.habits(sftp_bare_names=1)
    listed = bank.sftp("ls outbox").stdout
    assert b"bare.ach.ack" in listed and b"done" in listed, listed
    assert b"-rw" not in bank.sftp("ls -n outbox").stdout, "what the server tells of itself"


def test_long_requests_end_the_session(bank):
    local = bank.dir + "/long"
    with open(local, "wb") as f:
        f.write(b"x" * 5000)
    bank.habits(sftp_packet_max=4000)
    assert bank.sftp("put %s inbox/long.tmp" % local, check=False).returncode != 0
    bank.habits(sftp_packet_max=6000)
    bank.sftp("put %s inbox/long-2.tmp" % local)
    for name in ("long.tmp", "long-2.tmp"):
        path = bank.dir + "/bank/sftp/inbox/" + name
        assert os.path.getsize(path) == (0 if name == "long.tmp" else 5000)
        os.remove(path)


def main():
    program, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    folder = kind.tempfile.mkdtemp(prefix="bank-sim-unkind-")
    bank, failed = Unkind(program, folder), []
    try:
        bank.start(sftp_relay="true", faults_odd_amounts="true", instant_return_delay_ms=50, ach_return_delay_ms=1)
        bank.kind = bank.admin("GET", "/admin/habits")
        for name, test in list(globals().items()):
            if name.startswith("test_") and (not names or name in names):
                try:
                    test(bank)
                    print("ok   " + name, flush=True)
                except Exception as e:  # noqa: BLE001: each test is reported
                    failed.append(name)
                    print("FAIL %s: %s: %s" % (name, type(e).__name__, e), flush=True)
                bank.reset()
        bank.stop()
        with open(folder + "/bank.log") as f:
            log = f.read()
        assert "ERROR: AddressSanitizer" not in log and "runtime error" not in log and "LeakSanitizer" not in log, log
        left = kind.run("pgrep", "-f", folder, check=False).stdout.decode().split()
        assert not left, "processes were left behind"
    finally:
        if bank.process is not None and bank.process.poll() is None:
            bank.process.kill()
        if failed:
            print("kept: " + folder)
        else:
            kind.shutil.rmtree(folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
