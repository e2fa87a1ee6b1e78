"""python3 -m run {up|down|status|remove|person|new-folder|sweep}: the environment commands behind ./dev."""

from __future__ import annotations

import argparse
import configparser
import os
import shutil
import sys
from pathlib import Path

from .errors import RunError
from .layout import DEFAULT_RUN
from .process import Identity, reap
from .stack import Stack


def read_settings(file: Path) -> dict[str, dict[str, object]]:
    """A file with a section for each service, whose keys are whole names: `[bank-sim]`, `faults.slow_pct = 5`."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    with file.open(encoding="utf-8") as lines:
        parser.read_file(lines)
    return {service: dict(parser[service]) for service in parser.sections()}


def up(args: argparse.Namespace) -> int:
    build = Path(args.build).resolve() if args.build else None
    settings = read_settings(Path(args.settings)) if args.settings else None
    stack = Stack(Path(args.folder), build=build, settings=settings, say=print)
    if args.database_only:
        stack.up_database()
    else:
        stack.up()
    return 0


def down(args: argparse.Namespace) -> int:
    return 0 if Stack(Path(args.folder), say=print).down() else 1


def status(args: argparse.Namespace) -> int:
    parts = Stack(Path(args.folder)).status()
    for name, text in parts:
        print(f"{name:<14} {text}")
    return 0 if all(text.startswith("running") for _, text in parts) else 3


def remove(args: argparse.Namespace) -> int:
    Stack(Path(args.folder)).remove()
    return 0


def person(args: argparse.Namespace) -> int:
    stack = Stack(Path(args.folder), say=print)
    path = stack.add_person(args.name, args.roles, args.merchants)
    print(f"`. {os.path.relpath(path)}` in a shell makes payctl act as {args.name}; `payctl whoami` says so")
    return 0


def new_folder(args: argparse.Namespace) -> int:
    """A folder for one test run, named after the process that owns it (and told apart by its start time)."""
    parent = Path(args.folder)
    parent.mkdir(parents=True, exist_ok=True)
    parent.chmod(0o711)
    owner = Identity.of(args.owner)
    if owner is None:
        raise RunError(f"there is no process {args.owner}")
    folder = parent / str(args.owner)
    if folder.exists():
        sweep_folder(folder)
    folder.mkdir(mode=0o711)
    owner.save(folder / "owner.json")
    print(folder.resolve())
    return 0


def sweep_folder(folder: Path) -> None:
    """Ends and removes every stack below a test run's folder, then the folder. Those without a cluster of their own first."""
    reap(folder, grace_s=1)  # the test program itself, when its owner was killed
    # A benchmark has its stacks in the folder itself, the lanes of the tests have a folder each.
    stacks = [Stack(lock.parent) for pattern in ("*/.lock", "*/*/.lock") for lock in folder.glob(pattern)]
    for stack in sorted(stacks, key=lambda stack: stack.cluster.folder.exists()):
        stack.remove()
    shutil.rmtree(folder, ignore_errors=True)


def sweep(args: argparse.Namespace) -> int:
    """Removes one test run's folder, or those of all runs whose owner is gone (killed, say, or a power cut)."""
    parent = Path(args.folder)
    if args.owner:
        sweep_folder(parent / str(args.owner))
        return 0
    for record in parent.glob("*/owner.json"):
        owner = Identity.load(record)
        if owner is None or not owner.alive():
            sweep_folder(record.parent)
    return 0


COMMANDS = {"up": up, "down": down, "status": status, "remove": remove, "person": person, "new-folder": new_folder, "sweep": sweep}


def main() -> int:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("--folder", default=os.environ.get("DISBURSE_RUN_FOLDER", str(DEFAULT_RUN)))
    parser.add_argument("--build", help="build folder whose programs are started")
    parser.add_argument("--settings", help="file with settings that differ, a section for each service")
    parser.add_argument("--database-only", action="store_true", help="stop after PostgreSQL is up")
    parser.add_argument("--owner", type=int, help="pid of the process that a test folder belongs to")
    parser.add_argument("--name", default="", help="of a person")
    parser.add_argument("--roles", default="auditor", help="of the person, separated by commas")
    parser.add_argument("--merchants", default="all", help="of the person, separated by commas")
    args = parser.parse_args()
    try:
        return COMMANDS[args.command](args)
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
