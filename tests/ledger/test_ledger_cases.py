"""docs/ledger-semantics.md says where each numbered case is held; this says that it is."""

import re

from run.layout import PROJECT

CASES = 67
NOT_HELD = {12, 46}  # a decision, and what the ledger does not do: the page says so


def rows():
    page = (PROJECT / "docs" / "ledger-semantics.md").read_text(encoding="utf-8")
    for line in page.split("## Where the cases are held")[1].splitlines():
        if re.match(r"\| \d", line):
            numbers, _, held = (cell.strip() for cell in line.strip("|").split("|"))
            yield [int(number) for number in numbers.split(", ")], held


def test_every_case_is_in_the_table_once():
    numbers = [number for row, _ in rows() for number in row]
    assert sorted(numbers) == list(range(1, CASES + 1))


def test_the_tests_that_it_names_are_there():
    for numbers, held in rows():
        found = re.findall(r"`((?:tests|ledger-svc)/[\w/-]+_?\w*\.(?:c|py))`(?:: ((?:`\w+`(?:, )?)+))?", held)
        assert found or set(numbers) <= NOT_HELD, numbers
        for path, names in found:
            text = (PROJECT / path).read_text(encoding="utf-8")
            for name in re.findall(r"`(\w+)`", names):
                assert re.search(rf"^(?:static void|def) {name}\w*\(", text, re.MULTILINE), f"{path}: no test begins with {name}"


def test_every_numbered_test_is_of_a_case_that_the_table_gives_to_its_file():
    given = {(number, path) for numbers, held in rows() for number in numbers for path in re.findall(r"`([\w/-]+\.(?:c|py))`", held)}
    for path in [*(PROJECT / "ledger-svc").rglob("*_test.c"), PROJECT / "tests" / "ledger" / "test_ledger_queries.py"]:
        text = path.read_text(encoding="utf-8")
        for digits in re.findall(r"^(?:static void test_case|def test)_((?:\d\d_)+)", text, re.MULTILINE):
            for number in map(int, digits.strip("_").split("_")):
                assert (number, str(path.relative_to(PROJECT))) in given, f"{path}: case {number}"
