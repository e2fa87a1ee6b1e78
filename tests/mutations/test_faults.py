"""The table of faults follows the code, also when nobody puts the faults in."""

import pytest
from faults import FAULTS

from run.layout import PROJECT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_line_of_a_fault_is_in_its_file_once(fault):
    assert (PROJECT / fault.file).read_text(encoding="utf-8").count(fault.old) == 1
