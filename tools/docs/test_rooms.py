"""The table of rooms follows CMake and the READMEs, and a stale one is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import rooms


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder, cmake, readme in (
            ("shared/base", "disburse_library(base FOLDER . SOURCES a.c LINKS Threads::Threads)", "Words of all: a, b. More."),
            ("shared/db", "# disburse_library(no)\ndisburse_library(db\n  SOURCES a.c\n  LINKS base)\n"
                          "disburse_library(db_testing FOLDER testing SOURCES t.c LINKS db)", "The [database](x.md)\nof all. More."),
            ("payments-svc/saga", "disburse_library(saga SOURCES s.c LINKS domain PRIVATE_LINKS db)", "Runs payouts"),
            ("payments-svc/domain", "disburse_library(domain SOURCES d.c LINKS base)", "Rules. Pure."),
            ("bank-sim", "disburse_library(bank_ach FOLDER ach SOURCES a.c LINKS base)\ndisburse_program(bank-sim SOURCES m.c LINKS bank_ach)",
             "A bank.")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "CMakeLists.txt").write_text(cmake + "\n", encoding="utf-8")
        (tmp_path / folder / "README.md").write_text(f"# {folder}\n\n{readme}\n\nNext.\n", encoding="utf-8")
    (tmp_path / "ARCHITECTURE.md").write_text(f"# A\n\n{rooms.BEGIN}\n{rooms.END}\n\nRest.\n", encoding="utf-8")
    return tmp_path


def test_table__rooms_what_they_hold_and_need(tree: Path) -> None:
    assert rooms.table(tree).splitlines()[2:] == [
        "| `shared/base` | Words of all: a, b |  |",
        "| `shared/db` | The database of all | base |",
        "| `payments-svc/domain` | Rules | base |",
        "| `payments-svc/saga` | Runs payouts | db, domain |",
        "| `bank-sim` | A bank | base |"]


def test_check__stale_table__shows_the_rows(tree: Path) -> None:
    assert "| `shared/db` |" in rooms.check(tree)
    page = tree / "ARCHITECTURE.md"
    page.write_text(rooms.with_table(page.read_text(encoding="utf-8"), rooms.table(tree)), encoding="utf-8")
    assert rooms.check(tree) == ""
    assert page.read_text(encoding="utf-8").endswith("\n\nRest.\n")
    (tree / "payments-svc/domain/README.md").write_text("# d\n\nOther rules.\n", encoding="utf-8")
    assert "Other rules" in rooms.check(tree) and "shared/db" not in rooms.check(tree)


def test_check__no_place_for_it__says_so(tree: Path) -> None:
    (tree / "ARCHITECTURE.md").write_text("# A\n", encoding="utf-8")
    assert "no place" in rooms.check(tree)
