"""The shape of the house: rules about which file may know what, which the build does not see. Findings as structure.py has them.

- room-circle: the files of a room call each other in one direction. A call is `name(` of a function that another file of the
  folder defines; what is handed over as a pointer is a callback, and may go up.
- api-sql: the files of an `api` folder hold no SQL and read no rows: that is the business of departments.
- rail-named: no file of the payments service outside `rails/` names a scheme by its number, in C or in SQL; a rail's headers are
  included by its own files and by the registry.
"""

from __future__ import annotations

import re
from pathlib import Path

from structure import Finding, functions, strip_c

ROOMS = ("shared", "ledger-svc", "ledger-verify", "payments-svc", "bank-sim", "cli")  # where rooms are
RULES = ("room-circle", "api-sql", "rail-named")

# Folders whose files still call each other in a circle. Take a folder out when its circle is cut.
CIRCLES_LEFT = ("shared/rpc",)
_CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")
_SQL = re.compile(r'"\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|COPY|LOCK TABLE|SET LOCAL)\b')
_ROWS = re.compile(r"(?<![\w.>])(db_(?:exec|params_create|get_\w+|copy_\w+|rows|params))\b")
_RAIL = re.compile(r"\b(?:PAYMENTS__V1__RAIL__)?RAIL_(?:ACH|INSTANT|WIRE|WALLET)\b|\b(?:ACH|INSTANT)_SCHEME\b")
_RAIL_HEADER = re.compile(r'^#include "rails/(\w+)/')
_RAIL_SQL = re.compile(r'"[^"]*\b(?:rail|scheme) (?:=|<>|IN) \(?[0-9]')


def _test(file: Path) -> bool:
    return file.stem.endswith("_test") or "_test_" in file.stem or "testing" in file.parts


def calls(folder: Path) -> dict[str, set[str]]:
    """By file of the folder, tests left out: the files whose functions it calls."""
    code = {file.stem: strip_c(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.c")) if not _test(file)}
    home, own = {}, {}
    for stem, text in code.items():
        lines, own[stem] = text.split("\n"), set()
        for first, _, name in functions(text):
            if lines[first - 1].startswith("static"):
                own[stem].add(name)
            else:
                home[name] = stem
    return {stem: {home[name] for name in _CALL.findall(text) if name in home and name not in own[stem]} - {stem}
            for stem, text in code.items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A way from a file back to itself, or nothing."""
    done: set[str] = set()

    def walk(at: str, way: list[str]) -> list[str]:
        if at in way:
            return way[way.index(at):] + [at]
        if at in done:
            return []
        for following in sorted(graph[at]):
            found = walk(following, way + [at])
            if found:
                return found
        done.add(at)
        return []

    for start in sorted(graph):
        found = walk(start, [])
        if found:
            return found
    return []


def lint_circles(root: Path) -> list[Finding]:
    found = []
    folders = sorted({file.parent for name in ROOMS for file in (root / name).rglob("*.c")})
    for folder in folders:
        path = folder.relative_to(root).as_posix()
        way = circle(calls(folder))
        if way and path not in CIRCLES_LEFT:
            found.append(Finding(path, 1, "room-circle", " -> ".join(way)))
        elif not way and path in CIRCLES_LEFT:
            found.append(Finding(path, 1, "room-circle", "has none any more: take it out of CIRCLES_LEFT"))
    return found


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines of a file without their comments, the literals kept."""
    return [(i, re.sub(r"(^|\s)//.*", "", line)) for i, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)]


def lint_api(root: Path) -> list[Finding]:
    found = []
    for file in sorted(file for service in ("payments-svc", "ledger-svc") for file in (root / service / "api").glob("*.[ch]")):
        path = file.relative_to(root).as_posix()
        for i, line in _lines(file):
            if _SQL.search(line):
                found.append(Finding(path, i, "api-sql", "SQL stands in a department's sql.c"))
            match = None if _test(file) else _ROWS.search(line)
            if match:
                found.append(Finding(path, i, "api-sql", f"{match.group(1)}: a department's function answers structs"))
    return found


def lint_rails(root: Path) -> list[Finding]:
    found = []
    for file in sorted((root / "payments-svc").rglob("*.[ch]")):
        path = file.relative_to(root).as_posix()
        if _test(file) or path == "payments-svc/rails/registry.c":
            continue
        for i, line in _lines(file):
            header = _RAIL_HEADER.match(line)
            if header and not path.startswith(f"payments-svc/rails/{header.group(1)}/"):
                found.append(Finding(path, i, "rail-named", "a rail's headers are its own"))
            if path.startswith("payments-svc/rails/"):
                continue
            match = _RAIL.search(line) or _RAIL_SQL.search(line)
            if match:
                found.append(Finding(path, i, "rail-named", "only rails/ knows the schemes: ask the connection, or rail_scheme"))
    return found


def lint_house(root: Path) -> list[Finding]:
    return sorted(lint_circles(root) + lint_api(root) + lint_rails(root))
