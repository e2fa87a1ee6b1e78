"""Makes NACHA files for the tests of the bank, and reads its return files. A third reading of the format, in another language."""

import datetime


def check_digit(eight):
    total = sum(w * int(d) for w, d in zip((3, 7, 1, 3, 7, 1, 3, 7), eight))
    return str((10 - total % 10) % 10)


def make(entries, *, destination="091000019", origin="1100000001", modifier="A", date=None, sec="PPD", odfi="09100001",
         first_trace=1, rdfi="02100002"):
    """entries: list of amounts in cents, or of (amount, individual id)."""
    date = date or datetime.datetime.now(datetime.timezone.utc).strftime("%y%m%d")
    records = ["101" + (" " + destination) + origin.rjust(10) + date + "0942" + modifier + "094101"
               + "SIMULATOR BANK".ljust(23) + "DISBURSE".ljust(23) + " " * 8]
    records.append("5220" + "ACME MARKET".ljust(16) + " " * 20 + "1100000001" + sec + "PAYOUT".ljust(10) + date + date
                   + "   1" + odfi + "0000001")
    total = 0
    for n, item in enumerate(entries):
        amount, ident = item if isinstance(item, tuple) else (item, "P%014d" % (first_trace + n))
        total += amount
        records.append("622" + rdfi + check_digit(rdfi) + "123456789".ljust(17) + "%010d" % amount + ident.ljust(15)
                       + "ANN EXAMPLE".ljust(22) + "  " + "0" + odfi + "%07d" % (first_trace + n))
    count, entry_hash = len(entries), (int(rdfi) * len(entries)) % 10**10
    records.append("8220" + "%06d%010d%012d%012d" % (count, entry_hash, 0, total) + "1100000001" + " " * 25 + odfi
                   + "0000001")
    blocks = (len(records) + 1 + 9) // 10
    records.append("9" + "%06d%06d%08d%010d%012d%012d" % (1, blocks, count, entry_hash, 0, total) + " " * 39)
    while len(records) % 10:
        records.append("9" * 94)
    assert all(len(r) == 94 for r in records), [len(r) for r in records]
    return "".join(r + "\n" for r in records).encode("ascii")


def returns(data):
    """[(reason, original trace, amount)] of a return file; asserts what a careful reader would."""
    lines = data.decode("ascii").splitlines()
    assert len(lines) % 10 == 0 and all(len(r) == 94 for r in lines)
    out, amount, count = [], 0, 0
    for r in lines:
        if r[0] == "6":
            assert r[1:3] in ("21", "31"), r[1:3]
            assert r[11] == check_digit(r[3:11])
            amount, count = int(r[29:39]), count + 1
        elif r[0] == "7":
            assert r[1:3] == "99"
            out.append((r[3:6], r[6:21], amount))
            count += 1
        elif r[0] == "9" and r != "9" * 94:
            assert int(r[13:21]) == count
    return out
