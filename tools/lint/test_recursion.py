"""A message that contains itself is found, however far the way, and nothing else is."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import recursion  # noqa: E402


def found(tmp_path, messages: str) -> list[str]:
    file = tmp_path / "t.proto"
    file.write_text(f'syntax = "proto3"; package t;\n{messages}\n', encoding="utf-8")
    out = tmp_path / "t.pb"
    subprocess.run(["protoc", "-o", str(out), f"-I{tmp_path}", "t.proto"], check=True)
    return recursion.recursive(out.read_bytes())


def test_messages_in_messages_are_fine(tmp_path):
    assert found(tmp_path, "message A { B b = 1; repeated B more = 2; C c = 3; } message B { C c = 1; E e = 2; } "
                           "message C { int64 n = 1; map<string, E> m = 2; } enum E { E_UNSPECIFIED = 0; }") == []


def test_itself(tmp_path):
    assert found(tmp_path, "message A { repeated A inner = 1; }") == ["t.A contains t.A"]


def test_by_way_of_others(tmp_path):
    assert found(tmp_path, "message A { B b = 1; } message B { C c = 1; } message C { A a = 1; } message D { A a = 1; }") == [
        "t.A contains t.B contains t.C contains t.A", "t.B contains t.C contains t.A contains t.B",
        "t.C contains t.A contains t.B contains t.C"]


def test_by_way_of_a_map_and_a_nested_message(tmp_path):
    assert found(tmp_path, "message A { map<string, A> m = 1; }") == ["t.A contains t.A.MEntry contains t.A",
                                                                      "t.A.MEntry contains t.A contains t.A.MEntry"]
    assert found(tmp_path, "message A { message B { A a = 1; } oneof o { B b = 1; int64 n = 2; } }") != []


def test_our_own_protos_were_looked_at():
    """Not an empty set: the check would be green for ever."""
    project = Path(__file__).resolve().parents[2]
    assert b"CreateTransfersRequest" in recursion.compiled(project) and recursion.check(project) == ""
