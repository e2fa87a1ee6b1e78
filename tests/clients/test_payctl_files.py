"""Payout files as people really send them: each odd form is taken as what it says, or refused with words that name what is wrong."""

import os
import threading
from pathlib import Path

import pytest
from support.payctl import COLUMNS, DONE, OUTPUT, REFUSED, USAGE, Payctl, row
from support.paying import unique

HEADER = ",".join(COLUMNS)


@pytest.fixture(scope="module")
def payctl(world, tmp_path_factory):
    return Payctl(world, tmp_path_factory.mktemp("payctl-files"))


@pytest.fixture(scope="module")
def merchant(payctl):
    name = unique("shop")
    for words in (("create", name, "--currency", "USD", "--currency", "INR"),
                  ("deposit", name, "--amount", "1000.00", "--currency", "USD", "--key", "d1")):
        code, _, err = payctl.run("merchants", *words)
        assert code == DONE, err
    return name


def line(merchant, reference, **change):
    return ",".join(row(merchant, reference, **change)[name] for name in COLUMNS)


def written(payctl, data):
    path = payctl.folder / f"{unique('file')}.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def bad(payctl, file):
    """The faults of a file by --check: [(line, field, reason)]. Paying the file sends nothing and tells the same faults."""
    code, answer, err = payctl.json("pay", file, "--check")
    assert code == USAGE and answer["sent"] is False, (answer, err)
    again, paid, _ = payctl.json("pay", file)
    assert (again, paid) == (code, answer)
    assert all(found["error"] for found in answer["bad"])
    return [(found["line"], found["field"], found["reason"]) for found in answer["bad"]]


def sent_nothing(world, merchant):
    return world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{merchant}'") == [["0"]] and world.payments_rows(
        f"SELECT count(*) FROM recipient WHERE merchant_id = '{merchant}'") == [["0"]]


def test_a_row_of_another_number_of_cells(payctl, merchant, world):
    """An amount with a comma in it makes one cell more than the header has columns: it was paid as 1.00 once."""
    columns = [name for name in COLUMNS if name != "amount"] + ["amount"]
    front = ",".join(row(merchant, "%s")[name] for name in columns[:-1])
    file = written(payctl, "\n".join([",".join(columns), front % "a" + ",1,234.56", front % "b" + ",5.00", front % "c"]) + "\n")
    assert bad(payctl, file) == [(2, "", "CELL_COUNT"), (4, "", "CELL_COUNT")]
    code, _, err = payctl.run("pay", file, "--check")
    assert code == USAGE and f"{file}:2: line: has 12 cells, and the header line has 11 columns\n" in err
    assert f"{file}:4: line: has 10 cells" in err
    many = written(payctl, f"{HEADER}\n{line(merchant, 'a')}{',' * 100}x\n")
    assert bad(payctl, many) == [(2, "", "CELL_COUNT")]
    assert sent_nothing(world, merchant)


@pytest.mark.parametrize(("header", "end", "field", "reason"), [
    (f"{HEADER},amount", ",99999.00", "amount", "COLUMN_REPEATED"),
    (f"{HEADER},account_number", ",99", "account_number", "COLUMN_REPEATED"),
    (f"{HEADER},Amount", ",99999.00", "header", "COLUMN_UNKNOWN"),
    (f"{HEADER},note", ",thanks", "header", "COLUMN_UNKNOWN"),
    (f"{HEADER},", ",", "", "COLUMN_UNKNOWN"),
    pytest.param(HEADER + ",x" * 100, ",x" * 100, "", "COLUMN_UNKNOWN", id="a hundred columns"),
])
def test_columns_that_are_repeated_or_unknown_refuse_the_file(payctl, merchant, world, header, end, field, reason):
    assert bad(payctl, written(payctl, f"{header}\n{line(merchant, 'a')}{end}\n")) == [(0, field, reason)]
    assert sent_nothing(world, merchant)


@pytest.mark.parametrize("column", COLUMNS)
def test_every_cell_is_text(payctl, merchant, world, column):
    """A NUL cut a cell once (account 1234), and one Latin-1 byte in a reference refused a thousand good rows."""
    rows = [line(merchant, f"r{i}").encode() for i in range(5)]
    at = COLUMNS.index(column)
    for i, (inside, place) in enumerate(((b"\0", 1), (b"\x1b", 1), (b"\t", 2), (b"\xc2\x85", 1), (b"\xd1", 1))):
        cells = rows[i].split(b",")
        cells[at] = cells[at][:place] + inside + cells[at][place:]
        rows[i] = b",".join(cells)
    file = written(payctl, HEADER.encode() + b"\n" + b"\n".join([*rows, line(merchant, "good").encode()]) + b"\n")
    assert bad(payctl, file) == [(i, column, "CONTROL_CHARACTER") for i in range(2, 6)] + [(6, column, "INVALID_UTF8")]
    _, _, err = payctl.run("pay", file, "--check")
    assert f"{file}:2: {column}: has a control character, U+0000, at byte 2\n" in err
    assert f"{file}:5: {column}: has a control character, U+0085, at byte 2\n" in err
    assert f"{file}:6: {column}: is not UTF-8 text: byte 2 is 0xD1" in err
    assert sent_nothing(world, merchant)


def test_rows_of_empty_cells_are_no_rows(payctl, merchant):
    """As spreadsheets write the rows below the last one. They count as lines all the same."""
    text = f"{HEADER}\r\n{line(merchant, 'e1')}\r\n{',' * 10}\r\n\r\n , ,{',' * 8}\r\n{line(merchant, 'e2', amount='x')}\r\n{',' * 10}\r\n,,\r\n"
    assert bad(payctl, written(payctl, text)) == [(6, "amount", "AMOUNT_INVALID")]
    code, answer, err = payctl.json("pay", written(payctl, text.replace(",x,", ",12.50,")), "--check")
    assert (code, answer) == (DONE, {"sent": False, "good": 2, "bad": []}), err
    assert bad(payctl, written(payctl, f"{HEADER}\n{',' * 10}\n")) == [(0, "", "FILE_EMPTY")]


def test_files_of_another_kind_are_told_so(payctl, merchant, world):
    text = f"{HEADER}\n{line(merchant, 'k1')}\n"
    for data, reason, word in ((text.encode("utf-16"), "FILE_UTF16", "UTF-16"), (text.encode("utf-16-le"), "FILE_UTF16", "UTF-16"),
                               (b"\xfe\xff" + text.encode("utf-16-be"), "FILE_UTF16", "UTF-16"),
                               (text.encode("utf-16-be"), "FILE_UTF16", "UTF-16"),
                               (text.replace(",", ";"), "SEPARATOR_UNKNOWN", "semicolons"),
                               ("sep=;\n" + text.replace(",", ";"), "SEPARATOR_UNKNOWN", "semicolons"),
                               (text.replace(",", "\t"), "SEPARATOR_UNKNOWN", "tabs"),
                               (text.replace(",", "|"), "SEPARATOR_UNKNOWN", "bars"),
                               (text.replace("\n", "\r"), "LINE_ENDS_CR", "carriage return"),
                               (b"PK\x03\x04" + bytes(100), "FILE_NOT_CSV", "workbook"),
                               (text + '"no end,' + "x" * 200_000, "CSV_INVALID", "line 3"),
                               (text + '"no end,\n' + text * 3, "CSV_INVALID", "line 3"),
                               (HEADER, "FILE_EMPTY", "no payouts"), (b"", "FILE_EMPTY", "no payouts")):
        file = written(payctl, data)
        assert bad(payctl, file) == [(0, "", reason)], data[:40]
        code, out, err = payctl.run("pay", file, "--check")
        assert (code, out) == (USAGE, "") and word in err and err.count("\n") == 1, err
    assert sent_nothing(world, merchant)


def test_a_carriage_return_inside_a_line_is_a_control_character(payctl, merchant):
    """Two rows with a lone carriage return between them are not two rows, and not one."""
    text = f"{HEADER}\n{line(merchant, 'm1')}\r{line(merchant, 'm2')}\n{line(merchant, 'm3')}\n"
    assert bad(payctl, written(payctl, text)) == [(2, "description", "CONTROL_CHARACTER")]


def test_amounts_are_digits_and_a_point(payctl, merchant):
    amounts = ['"1,234.56"', "1 234.56", "1'234.56", "$12.50", "12.50 USD", "+12.50", "12.", ".50", "1e3", "0x10", "١٢", "１２", "1.5.0",
               "92233720368547758.08", "1000000000000000000000"]
    rows = [line(merchant, f"a{i}", amount=amount) for i, amount in enumerate(amounts)]
    file = written(payctl, "\n".join([HEADER, *rows]) + "\n")
    assert bad(payctl, file) == [(i + 2, "amount", "AMOUNT_INVALID") for i in range(len(amounts))]
    yen = line(merchant, "y", currency="JPY", amount="12.50")  # a currency without decimals
    assert bad(payctl, written(payctl, f"{HEADER}\n{yen}\n")) == [(2, "amount", "AMOUNT_INVALID")]


def test_what_spreadsheets_write_is_taken(payctl, merchant):
    """A byte order mark, CRLF, quotes around all cells, blanks beside them, columns in another order."""
    columns = list(reversed(COLUMNS))
    cells = row(merchant, "s1", recipient_name="Lovelace, Ada")
    quoted = ",".join(f'"{cells[name]}"' for name in columns)
    blank = " , ".join({**cells, "reference": "s2", "recipient_name": "Ann"}[name] for name in columns)
    data = b"\xef\xbb\xbf" + f"{','.join(columns)}\r\n{quoted}\r\n{blank}\r\n".encode()
    code, answer, err = payctl.json("pay", written(payctl, data))
    assert code == DONE and (answer["accepted"], answer["refused"]) == (2, 0), (answer, err)
    # Text that a spreadsheet keeps as a formula is not what it shows: it is a bad line of that column.
    formula = line(merchant, "s3", routing_code='"=""021000021"""')
    assert bad(payctl, written(payctl, f"{HEADER}\n{formula}\n")) == [(2, "routing_code", "ROUTING_NUMBER_INVALID")]


def test_a_pipe_is_a_file(payctl, merchant, tmp_path):
    data = f"{HEADER}\n{line(merchant, 'pipe')}\n".encode()
    code, out, err = payctl.run("pay", "-", stdin=data)
    assert code == DONE and out.startswith("1 rows: 1 accepted"), (out, err)
    code, out, err = payctl.run("pay", "-", "--no-wait", stdin=data)
    assert "`payctl pay -` with the same lines again shows how it stands" in out, (out, err)
    code, out, err = payctl.run("pay", "-", "--check", stdin=data.replace(b"12.50", b"x"))
    assert code == USAGE and 'stdin:2: amount: "x"' in err, err
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    writer.start()
    code, out, err = payctl.run("pay", str(fifo))
    writer.join()
    assert code == DONE and "1 of them by an earlier run" in out, (out, err)
    code, _, err = payctl.run("pay", str(tmp_path))
    assert code == USAGE and "cannot be read" in err


def test_what_cannot_be_written_is_an_error(payctl, merchant):
    """A full disk, and a pipe that nobody reads: not exit code 0 with half of a report."""
    file = written(payctl, f"{HEADER}\n{line(merchant, 'full')}\n")
    _, listed, _ = payctl.json("payouts", "--merchant", merchant, "--limit", "1")
    one = f"{merchant}/{listed['payouts'][0]['payout_id']}"
    for words in (["pay", file], ["--json", "pay", file], ["pay", file, "--check"], ["payouts", "--merchant", merchant], ["balance"],
                  ["--json", "merchants"], ["--help"], ["--version"], ["pay", "--help"], ["watch", one, "--until-done"],
                  ["payout", one]):
        with Path("/dev/full").open("wb") as full:
            code, _, err = payctl.run(*words, stdout=full)
        assert code == OUTPUT and "stdout could not be written" in err, (words, code, err)
        reading, writing = os.pipe()
        os.close(reading)
        try:
            code, _, err = payctl.run(*words, stdout=writing)
        finally:
            os.close(writing)
        assert code == OUTPUT and "stdout could not be written" in err, (words, code, err)
    with Path("/dev/full").open("wb") as full:  # the line that is bad says more than the disk that is full
        code, _, err = payctl.run("--json", "pay", written(payctl, f"{HEADER}\n{line(merchant, 'x', amount='x')}\n"), stdout=full)
    assert code == USAGE and "AMOUNT" not in err and "is not an amount" in err and "stdout could not be written" in err


def test_the_check_knows_the_services_limits(new_world, tmp_path):
    """Another limit and another set of rails than the defaults: what --check accepts the service accepts, as it is its own answer."""
    payctl = Payctl(new_world({"payments-svc": {"ach.enabled": "false"}}), tmp_path)
    name = unique("limits")
    payctl.run("merchants", "create", name, "--currency", "USD")
    rows = [line(name, "good"), line(name, "huge", amount="10000000.01"), line(name, "ach", rail="ach"), line(name, "inr", currency="INR", routing_code="HDFC0001234")]
    file = written(payctl, "\n".join([HEADER, *rows, line(name, "x", amount="x")]) + "\n")
    found = bad(payctl, file)
    assert (4, "rail", "RAIL_NOT_AVAILABLE") in found and (5, "currency", "CURRENCY_NOT_HELD") in found and (6, "amount", "AMOUNT_INVALID") in found
    assert sent_nothing(payctl.world, name)
    # Whatever the check finds good is accepted, and nothing else.
    good = {i for i in range(2, 7)} - {number for number, _, _ in found}
    code, answer, err = payctl.json("pay", file, "--skip-bad", "--no-wait")
    assert code == REFUSED and (answer["accepted"], answer["refused"]) == (len(good), 0), (answer, err)
    assert [no["line"] for no in answer["bad"]] == sorted(number for number, _, _ in found)


def test_keys_tell_nothing_of_the_account(payctl, merchant, world):
    """The key of a recipient comes from the row's reference: two accounts cannot be told apart by it, and one row keeps its key."""
    name = unique("keys")
    code, _, err = payctl.run("merchants", "create", name, "--currency", "USD")
    assert code == DONE, err
    other = row(name, "k2", account_number="1")
    payctl.run("pay", payctl.file([row(name, "k1"), other]), "--no-wait")
    # Sorted in another way, with a row more: the same rows, which are not paid again.
    code, answer, err = payctl.json("pay", payctl.file([row(name, "k0"), other, row(name, "k1")]), "--no-wait")
    assert code == DONE and (answer["accepted"], answer["accepted_earlier"], answer["refused"]) == (3, 2, 0), (answer, err)
    # Other details under the same reference: refused, whatever they are.
    code, answer, err = payctl.json("pay", payctl.file([row(name, "k1", account_number="2")]), "--no-wait")
    assert [(no["line"], no["reason"]) for no in answer["bad"]] == [(2, "IDEMPOTENCY_KEY_REUSED")], err
    assert world.payments_rows(f"SELECT count(*) FROM payout WHERE merchant_id = '{name}'") == [["3"]]
