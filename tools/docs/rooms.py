#!/usr/bin/python3
"""The table of rooms in ARCHITECTURE.md: which there are and which they need, out of CMake; what each holds, out of the first
sentence of its README.

Usage: rooms.py [--check]. With --check nothing is written; exit code 1 when the table is stale.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "ARCHITECTURE.md"
BEGIN, END = "<!-- rooms: written by ./dev docs -->", "<!-- end of rooms -->"
PARTS = ("shared", "ledger-svc", "payments-svc", "bank-sim", "cli", "ledger-verify")
ONE_ROW = ("bank-sim", "cli", "ledger-verify")  # the rooms of these are told by their own README
_LIBRARY = re.compile(r"disburse_(?:library|program)\(([^)]*)\)")
_KEYWORDS = ("FOLDER", "SOURCES", "LINKS", "PRIVATE_LINKS", "PURE")


@dataclass
class Room:
    folder: str
    targets: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def libraries(root: Path) -> list[tuple[str, str, list[str]]]:
    """(target, folder below root, what it links) of each library and program; what is for tests only is left out."""
    found = []
    for part in PARTS:
        for file in sorted((root / part).rglob("CMakeLists.txt")):
            text = re.sub(r"#.*", "", file.read_text(encoding="utf-8"))
            for match in _LIBRARY.finditer(text):
                words = match.group(1).split()
                values: dict[str, list[str]] = {}
                key = ""
                for word in words[1:]:
                    if word in _KEYWORDS:
                        key = word
                    else:
                        values.setdefault(key, []).append(word)
                inner = values.get("FOLDER", ["."])[0].strip('"').replace("${CMAKE_CURRENT_SOURCE_DIR}", ".")
                folder = (file.parent / inner).relative_to(root).as_posix()
                if not words[0].endswith("_testing"):
                    found.append((words[0], folder, values.get("LINKS", []) + values.get("PRIVATE_LINKS", [])))
    return found


def rooms(root: Path) -> list[Room]:
    found: dict[str, Room] = {}
    home: dict[str, str] = {}
    listed = libraries(root)
    for target, folder, links in listed:
        top = folder.split("/")[0]
        folder = top if top in ONE_ROW else folder
        home[target] = folder
        room = found.setdefault(folder, Room(folder))
        room.targets.append(target)
        room.links += links
    for room in found.values():
        needed = {home[link] for link in room.links if link in home} - {room.folder}
        room.links = sorted(needed, key=list(found).index)
    return list(found.values())


def first_sentence(readme: Path) -> str:
    """The first sentence of the first paragraph. Links become their text."""
    paragraph: list[str] = []
    for line in readme.read_text(encoding="utf-8").splitlines()[1:]:
        if not line.strip() and paragraph:
            break
        if line.strip():
            paragraph.append(line.strip())
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(paragraph))
    match = re.match(r"(.*?)[.](?=\s|$)", text)
    return (match.group(1) if match else text).strip().replace("|", "\\|")


def short(folder: str, beside: str) -> str:
    """The name of a room as its neighbours call it."""
    part = beside.split("/")[0]
    return folder.split("/", 1)[1] if "/" in folder and folder.split("/")[0] in (part, "shared") else folder


def table(root: Path) -> str:
    lines = ["| room | holds | needs |", "|---|---|---|"]
    for room in rooms(root):
        needs = ", ".join(short(link, room.folder) for link in room.links)
        lines.append(f"| `{room.folder}` | {first_sentence(root / room.folder / 'README.md')} | {needs} |")
    return "\n".join(lines)


def with_table(page: str, made: str) -> str:
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[:begin] + "\n" + made + "\n" + page[end:]


def check(root: Path) -> str:
    """Empty: the table is what the tree says."""
    page = (root / PAGE.name).read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        return f"{PAGE.name} has no place for the table of rooms"
    wanted = with_table(page, table(root))
    stale = [line for line in wanted.splitlines() if line not in page.splitlines()]
    return "" if wanted == page else "ARCHITECTURE.md is stale: run ./dev docs\n" + "\n".join(stale)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args(argv)
    if args.check:
        said = check(PROJECT)
        print(said, end="\n" if said else "")
        return 1 if said else 0
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table(PROJECT)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
