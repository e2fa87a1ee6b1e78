"""The list of the files that take longest is read from the results of a run."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent / "longest.py"
RESULTS = """<testsuites><testsuite>
<testcase classname="tests.test_short" name="a" time="14.5"/>
<testcase classname="tests.payouts.test_long" name="b" time="10"/>
<testcase classname="tests.payouts.test_long.TestClass" name="c" time="10"/>
<testcase classname="tests.test_longest" name="d" time="60.5"/>
</testsuite></testsuites>"""


def told(tmp_path, *options: str) -> str:
    results = tmp_path / "integration.xml"
    results.write_text(RESULTS, encoding="utf-8")
    return subprocess.run([sys.executable, PROGRAM, results, *options], capture_output=True, text=True, check=True).stdout


def test_the_sum_of_a_file_decides(tmp_path):
    assert told(tmp_path) == "test_longest.py\ntest_long.py\n"


def test_seconds_of_all_files(tmp_path):
    assert told(tmp_path, "--seconds").split() == ["60.5", "test_longest.py", "20.0", "test_long.py", "14.5", "test_short.py"]
