"""Each thing that a released program must have can be found missing."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import hardening  # noqa: E402

GOOD = ["-O2", "-fPIE", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3", "-pie", "-Wl,-z,relro,-z,now",
        "-Wl,-z,noexecstack"]


def program(folder: Path, *more: str) -> Path:
    out = folder / "program"
    source = hardening.PROJECT / "cmake" / "probe" / "probe.c"
    subprocess.run(["gcc", *GOOD, *more, "-o", str(out), str(source)], check=True)
    return out


def test_nothing_is_missing_with_all_flags(tmp_path):
    assert hardening.missing(program(tmp_path)) == []


@pytest.mark.parametrize("flags, what", [
    (["-no-pie", "-fno-pie"], ["position-independent (PIE)"]),
    (["-Wl,-z,norelro"], ["read-only relocations (RELRO)"]),
    (["-Wl,-z,lazy"], ["relocations all done at start (BIND_NOW)"]),
    (["-Wl,-z,execstack"], ["a stack that is not executable"]),
    (["-fno-stack-protector"], ["the stack protector"]),
    (["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=0"], ["fortified functions"]),
    (["-fsanitize=undefined"], ["no sanitizer"]),
])
def test_a_flag_that_was_lost_is_noticed(tmp_path, flags, what):
    assert hardening.missing(program(tmp_path, *flags)) == what


def test_writable_code_is_noticed(tmp_path):
    source, out = tmp_path / "bare.c", tmp_path / "bare"
    source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    subprocess.run(["gcc", "-nostdlib", "-static", "-Wl,--omagic,--no-warn-rwx-segments,-e,main", "-o", str(out), str(source)],
                   check=True)
    assert "no memory both writable and executable" in hardening.missing(out)
