"""PURE in cmake/Disburse.cmake: a pure room links base and pure rooms, or the configuration fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CMAKE = Path(__file__).resolve().parents[2] / "cmake"
PROJECT = f"""cmake_minimum_required(VERSION 3.25)
project(rooms LANGUAGES NONE)
list(APPEND CMAKE_MODULE_PATH "{CMAKE}")
set(DISBURSE_FLAGS_ONLY ON)
include(Disburse)
enable_language(C)
disburse_library(base FOLDER base SOURCES a.c)
disburse_library(db FOLDER db SOURCES a.c LINKS base)
disburse_library(rules FOLDER rules PURE SOURCES a.c LINKS base)
"""


def configure(folder: Path, more: str) -> subprocess.CompletedProcess:
    for room in ("base", "db", "rules", "more"):
        (folder / room).mkdir()
        (folder / room / "a.c").write_text("int x;\n", encoding="ascii")
    (folder / "CMakeLists.txt").write_text(PROJECT + more, encoding="utf-8")
    return subprocess.run(["cmake", "-S", str(folder), "-B", str(folder / "build"), "-G", "Ninja"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("links", ["LINKS base", "LINKS base rules", "LINKS base PRIVATE_LINKS rules"])
def test_a_pure_room_links_base_and_pure_rooms(tmp_path, links):
    done = configure(tmp_path, f"disburse_library(more FOLDER more PURE SOURCES a.c {links})\n")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("links", ["LINKS base db", "LINKS base PRIVATE_LINKS db", "LINKS PkgConfig::openssl"])
def test_nothing_else(tmp_path, links):
    done = configure(tmp_path, f"disburse_library(more FOLDER more PURE SOURCES a.c {links})\n")
    assert done.returncode != 0
    assert "more is PURE: it must not link" in done.stderr
