"""The summary decides whether a change is good: what it must not do is to call a broken run green."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import summary  # noqa: E402

CMOCKA = "[==========] Running 3 test(s).\n[==========] 3 test(s) run.\n[  PASSED  ] {} test(s).\n"


def write(tmp_path, cases: str) -> Path:
    path = tmp_path / "unit.xml"
    path.write_text(f"<testsuite>{cases}</testsuite>", encoding="utf-8")
    return path


def counts(tmp_path, cases: str) -> tuple[int, int, int]:
    found = summary.count_file(write(tmp_path, cases))
    return found.passed, found.failed, found.skipped


def test_cmocka_programs_count_their_tests(tmp_path):
    case = f'<testcase name="a" status="run"><system-out>{CMOCKA.format(3)}{CMOCKA.format(2)}</system-out></testcase>'
    assert counts(tmp_path, case) == (5, 0, 0)


def test_failed_cmocka_tests(tmp_path):
    text = CMOCKA.format(2) + "[  FAILED  ] 1 test(s), listed below:\n[  FAILED  ] test_x\n"
    case = f'<testcase name="a" status="fail"><failure/><system-out>{text}</system-out></testcase>'
    assert counts(tmp_path, case) == (2, 1, 0)


def test_a_program_that_ends_badly_after_its_tests_fails(tmp_path):
    case = f'<testcase name="a" status="fail"><failure/><system-out>{CMOCKA.format(3)}</system-out></testcase>'
    assert counts(tmp_path, case) == (3, 1, 0)


def test_a_program_that_could_not_be_run_fails(tmp_path):
    assert counts(tmp_path, '<testcase name="a" status="notrun"><skipped/></testcase>') == (0, 1, 0)


def test_pytest_cases(tmp_path):
    cases = '<testcase name="a"/><testcase name="b"><skipped/></testcase><testcase name="c"><error/></testcase>'
    assert counts(tmp_path, cases) == (1, 1, 1)


def test_an_empty_stage_a_skipped_stage_and_a_missing_one_fail(tmp_path):
    assert counts(tmp_path, "") == (0, 1, 0)
    assert counts(tmp_path, '<testcase name="b"><skipped/></testcase>') == (0, 1, 1)
    assert summary.count_file(tmp_path / "none.xml").failed == 1
    (tmp_path / "cut.xml").write_text("<testsuite><testcase", encoding="utf-8")
    assert summary.count_file(tmp_path / "cut.xml").failed == 1


def test_the_last_line_and_the_exit_code(tmp_path, capsys):
    good = write(tmp_path, '<testcase name="a"/>')
    assert summary.main([str(good)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 0 failed"
    assert summary.main([str(good), str(tmp_path / "none.xml")]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed"
