"""Python stubs of all our protos, generated with Debian's protoc and grpc_python_plugin into the build folder.

That they can be made and used by another language is itself a test of the published files.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import grpc

from run.layout import PROJECT

PROTO = PROJECT / "proto"
PLUGIN = "/usr/bin/grpc_python_plugin"


def generate(build: Path) -> Path:
    """Makes build/python anew when a proto is newer than it. Lanes that start together wait for the first of them."""
    with (build / "python.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _generate(build)


def _generate(build: Path) -> Path:
    target = build / "python"
    protos = sorted(PROTO.rglob("*.proto"))
    stamp = target / "stamp"
    if stamp.exists() and all(stamp.stat().st_mtime_ns > proto.stat().st_mtime_ns for proto in protos):
        return target
    fresh = build / f"python.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    subprocess.run(
        ["protoc", f"-I{PROTO}", "-I/usr/include", f"--python_out={fresh}", f"--grpc_python_out={fresh}",
         f"--plugin=protoc-gen-grpc_python={PLUGIN}", *(str(proto.relative_to(PROTO)) for proto in protos)],
        cwd=PROTO, check=True)
    (fresh / "stamp").touch()
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return target


def install(build: Path) -> None:
    """Makes the generated modules importable. The packages `grpc` and `google` exist already, so ours join them."""
    target = generate(build)
    if str(target) not in sys.path:
        sys.path.insert(0, str(target))
        grpc.__path__.append(str(target / "grpc"))
        importlib.invalidate_caches()


def modules(proto: str) -> tuple[ModuleType, ModuleType]:
    """(messages, services) of a file such as "ledger/v1/ledger"."""
    name = proto.replace("/", ".")
    return importlib.import_module(f"{name}_pb2"), importlib.import_module(f"{name}_pb2_grpc")
