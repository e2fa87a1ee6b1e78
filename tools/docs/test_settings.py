"""The page is made of what the programs say, and a stale one is noticed."""

from __future__ import annotations

from pathlib import Path

import settings


def fake_programs(folder: Path, said: str) -> Path:
    for name in settings.PROGRAMS:
        program = folder / name
        program.write_text(f"#!/bin/sh\n[ \"$1\" = --print-config-markdown ] && echo '{said}'\n", encoding="utf-8")
        program.chmod(0o755)
    return folder


def test_page__names_each_program_with_its_table(tmp_path: Path) -> None:
    page = settings.page(fake_programs(tmp_path, "| a.b | one |"))
    assert page.count("| a.b | one |") == 3
    for name in settings.PROGRAMS:
        assert f"## {name}\n" in page


def test_check__stale_page__fails_and_shows_the_line(tmp_path: Path, monkeypatch, capsys) -> None:
    folder = fake_programs(tmp_path, "| a.b | one |")
    monkeypatch.setattr(settings, "PAGE", tmp_path / "settings.md")
    assert settings.main(["--check", str(folder)]) == 1  # there is none yet
    assert settings.main([str(folder)]) == 0
    capsys.readouterr()
    assert settings.main(["--check", str(folder)]) == 0
    fake_programs(tmp_path, "| a.b | two |")
    assert settings.main(["--check", str(folder)]) == 1
    assert "| a.b | two |" in capsys.readouterr().out
