"""Who may call what, as docs/operating/policy.md says it to people, and callers of every kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from run.layout import PROJECT

from . import stubs

PAGE = PROJECT / "docs" / "operating" / "policy.md"
ROLES = ("platform", "payer", "maker", "checker", "operator", "compliance", "auditor", "bookkeeper")
COLUMNS = (*ROLES, "gateway")
SERVICES = {"payments": "payments-svc", "ledger": "ledger-svc"}


@dataclass(frozen=True)
class Row:
    roles: frozenset[str]
    merchants: str  # "own", "own or all", "all", "none"


def table() -> dict[str, Row]:
    """Service.Method -> who may call it, from the page."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = next(i for i, row in enumerate(cells) if row[0] == "method")
    rows: dict[str, Row] = {}
    for name, *marks in cells[head + 2:]:
        if not re.fullmatch(r"\w+Service\.\w+", name):
            break
        given = dict(zip(cells[head][1:], marks, strict=True))
        assert name not in rows, f"{name} stands twice in the table"
        rows[name] = Row(frozenset(role for role in COLUMNS if given[role] == "x"), given["merchants"])
    return rows


def methods() -> dict[str, tuple[str, MethodDescriptor]]:
    """Service.Method -> (service that has it, descriptor): all that there are in proto/, whatever the page says."""
    found = {}
    for package, service in SERVICES.items():
        for file in sorted((PROJECT / "proto" / package / "v1").glob("*.proto")):
            messages, _ = stubs.modules(f"{package}/v1/{file.stem}")
            for declared in messages.DESCRIPTOR.services_by_name.values():
                found.update({f"{declared.name}.{method.name}": (service, method) for method in declared.methods})
    return found


def names_merchant(method: MethodDescriptor) -> bool:
    field = method.input_type.fields_by_name.get("merchant_id")
    return field is not None and field.type == FieldDescriptor.TYPE_STRING


def call(channel, method: MethodDescriptor, request: bytes, **how):
    """The first answer, or the end, of any method; the answers are bytes."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.server_streaming:
        return next(channel.unary_stream(path)(request, **how), b"")
    return channel.unary_unary(path)(request, **how)
