"""No message of ours contains itself, at any depth: protobuf-c unpacks by recursion, and a caller chooses the depth."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

OURS = ("ledger", "payments")  # folders of proto/


def compiled(root: Path) -> bytes:
    """The descriptor set of our protos and of all that they import."""
    protos = root / "proto"
    files = [file.relative_to(protos).as_posix() for folder in OURS for file in sorted((protos / folder).rglob("*.proto"))]
    with tempfile.NamedTemporaryFile(suffix=".pb") as out:
        subprocess.run(["protoc", "--include_imports", "-o", out.name, f"-I{protos}", "-I/usr/include", *files], check=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return Path(out.name).read_bytes()


def _contents(prefix: str, message: descriptor_pb2.DescriptorProto, found: dict[str, set[str]]) -> None:
    name = f"{prefix}.{message.name}"
    found[name] = {field.type_name for field in message.field if field.type_name}  # enums too: they contain nothing
    for inner in message.nested_type:  # entries of maps among them
        _contents(name, inner, found)


def recursive(descriptors: bytes) -> list[str]:
    """One line for each message that contains itself, with the way there."""
    contents: dict[str, set[str]] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        for message in file.message_type:
            _contents(f".{file.package}" if file.package else "", message, contents)

    def way_back(start: str, at: str, seen: set[str]) -> list[str] | None:
        for inner in sorted(contents.get(at, ())):
            if inner == start:
                return [at, start]
            if inner not in seen:
                seen.add(inner)
                rest = way_back(start, inner, seen)
                if rest:
                    return [at, *rest]
        return None

    ways = (way_back(name, name, set()) for name in sorted(contents))
    return [" contains ".join(name.lstrip(".") for name in way) for way in ways if way]


def check(root: Path) -> str:
    try:
        return "\n".join(recursive(compiled(root)))
    except subprocess.CalledProcessError as error:
        return error.stderr.decode(errors="replace") or "protoc failed"
