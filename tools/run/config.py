"""Settings files from the templates in tools/dev/*.ini.in: `@name@` is filled in, a name without a value is an error."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .certs import DOMAIN
from .errors import RunError
from .layout import PROJECT

TEMPLATES = PROJECT / "tools" / "dev"
# inih's line buffer, without its line end: a longer line would be cut, so it is refused here, by name.
LINE_BYTES_MAX = 195

_PLACEHOLDER = re.compile(r"@([a-z0-9_]+)@")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.-]+)\s*=")


def fill(text: str, values: dict[str, object], name: str) -> str:
    def value(match: re.Match) -> str:
        if match.group(1) not in values:
            raise RunError(f"{name}: nothing is known about @{match.group(1)}@")
        return str(values[match.group(1)])

    return _PLACEHOLDER.sub(value, text)


def override(text: str, settings: dict[str, object]) -> str:
    """Sets "section.key" in an INI text: in place where the key stands, at the section's head where it does not. A section may have
    points in its name, a key has none."""
    for name, value in settings.items():
        section, _, key = name.rpartition(".")
        lines, inside, done, head = text.splitlines(), False, False, -1
        for i, line in enumerate(lines):
            if line.strip().startswith("["):
                inside = line.strip() == f"[{section}]"
                head = i if inside else head
            elif inside and (match := _KEY.match(line)) and match.group(1) == key:
                lines[i], done = f"{key} = {value}", True
        if not done and head >= 0:
            lines.insert(head + 1, f"{key} = {value}")
        elif not done:
            lines += [f"[{section}]", f"{key} = {value}"]
        text = "\n".join(lines) + "\n"
    return text


def replace(target: Path, text: str) -> None:
    """In one step, so that nobody reads half of it."""
    temporary = target.with_name(target.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(0o600)
    os.replace(temporary, target)


# Tests and benchmarks do everything, and write into the ledger themselves.
TESTING = """
[identity @domain@/test]
roles = platform, payer, maker, checker, operator, compliance, auditor, bookkeeper
merchants = all
"""


def entry(kind: str, name: str, **keys: str) -> str:
    """A section of the policy."""
    return f"\n[{kind} {name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def policy(more: str = "") -> str:
    """The policy file of a run folder, and further entries."""
    template = TEMPLATES / "policy.conf.in"
    return fill(template.read_text(encoding="utf-8") + more, {"domain": DOMAIN}, template.name)


def render(service: str, values: dict[str, object], settings: dict[str, object], target: Path) -> None:
    template = TEMPLATES / f"{service}.ini.in"
    text = override(fill(template.read_text(encoding="utf-8"), values, template.name), settings)
    for line in text.splitlines():
        if len(line.encode()) > LINE_BYTES_MAX:
            raise RunError(f"{target.name}: this line is too long for the settings reader: {line}")
    replace(target, text)
