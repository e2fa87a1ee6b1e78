"""Lanes: two processes of pytest share the files of the integration, and nothing else."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from support import lanes

from run import layout


def item(file, name):
    return SimpleNamespace(path=Path("somewhere") / file, name=name)


def test_the_longest_files_come_first_and_all_else_keeps_its_order(tmp_path, monkeypatch):
    (tmp_path / "order.txt").write_text("test_lanes.py\ntest_holds.py\n", encoding="utf-8")
    monkeypatch.setattr(lanes, "LONGEST", tmp_path / "order.txt")
    items = [item("test_b.py", "1"), item("test_holds.py", "2"), item("test_holds.py", "3"), item("test_a.py", "4"),
             item("test_lanes.py", "5"), item("test_b.py", "6")]
    lanes.longest_first(items)
    assert [one.name for one in items] == ["5", "2", "3", "1", "4", "6"]


def test_a_name_without_a_file_is_a_mistake(tmp_path, monkeypatch):
    (tmp_path / "order.txt").write_text("test_lanes.py\ntest_that_was_renamed.py\n", encoding="utf-8")
    monkeypatch.setattr(lanes, "LONGEST", tmp_path / "order.txt")
    with pytest.raises(AssertionError, match="test_that_was_renamed.py"):
        lanes.longest()


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_ports_of_lanes_do_not_overlap(count, monkeypatch):
    seen = set()
    for lane in range(count):
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", str(count))
        monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{lane}")
        monkeypatch.setenv("DISBURSE_LANES", "")  # so that what take_ports sets is taken back
        monkeypatch.setenv("DISBURSE_LANE", "")
        lanes.take_ports()
        ports = set(layout.port_range())
        assert len(ports) >= 1000 and not ports & seen
        assert layout.free_port() in ports
        seen |= ports
    assert min(seen) == layout.PORT_MIN and max(seen) <= layout.PORT_MAX


def test_a_port_is_not_given_twice():
    """A service that was told its port may not listen yet."""
    given = [layout.free_port() for _ in range(300)]
    assert len(set(given)) == len(given)
