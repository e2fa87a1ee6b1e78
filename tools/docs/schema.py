#!/usr/bin/python3
"""migrations/<service>/schema.sql: what a database is after all migrations, in one file, for people who read.

Usage: schema.py [--check] BUILD_FOLDER. Migrates two new databases in a PostgreSQL of its own, which is gone afterwards, and
writes what pg_dump says of them. With --check nothing is written; exit code 1 when a file is not what the migrations make.
"""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tools"))
from run import keys  # noqa: E402
from run.cluster import ADMIN, BIN, PORT, Cluster  # noqa: E402
from run.layout import clean_environment  # noqa: E402
from run.stack import Stack  # noqa: E402

SERVICES = {"ledger": "ledger-svc", "payments": "payments-svc"}
DUMP_SECONDS_MAX = 60
DIFF_LINES_MAX = 40
HEAD = """\
-- What migrations/{name} makes of an empty database: tables, indexes, and what each role may do. Written by `./dev docs`, for people
-- who read: do not edit, it is never run. Months of partitioned tables, which `payments-svc maintain` adds, are left out.
"""


def page_file(name: str) -> Path:
    return PROJECT / "migrations" / name / "schema.sql"


def dump(cluster: Cluster, database: str) -> str:
    env = {**clean_environment(), "PGPASSFILE": str(keys.password_file(cluster.secrets, ADMIN)), "PGCONNECT_TIMEOUT": "10"}
    months = [row[0] for row in cluster.rows(database, "SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
                                                       "WHERE c.relkind = 'r' ORDER BY 1")]
    done = subprocess.run([str(BIN / "pg_dump"), "--schema-only", "--no-owner", "-h", str(cluster.socket), "-p", PORT, "-U", ADMIN,
                           "-w", *(f"--exclude-table={month}" for month in months), database],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, timeout=DUMP_SECONDS_MAX, check=True)
    return done.stdout


def normalised(text: str) -> str:
    """pg_dump's text without what depends on its version and on the session: comments, settings, its own restrictions."""
    kept = [line.rstrip() for line in text.splitlines()
            if not line.startswith(("--", "SET ", "SELECT pg_catalog.set_config(", "\\restrict", "\\unrestrict"))]
    lines = [line for i, line in enumerate(kept) if line or (i > 0 and kept[i - 1])]
    return "\n".join(lines).strip("\n") + "\n"


def page(name: str, cluster: Cluster, database: str) -> str:
    return HEAD.format(name=name) + "\n" + normalised(dump(cluster, database))


def difference(name: str, wanted: str) -> str:
    """The first lines in which the file differs from what it should be; empty: it is true."""
    path = page_file(name)
    present = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = difflib.unified_diff(present.splitlines(), wanted.splitlines(), "the file", "the migrations", lineterm="", n=1)
    return "\n".join(list(lines)[:DIFF_LINES_MAX])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("build", type=Path)
    args = parser.parse_args(argv)
    stale = 0
    with tempfile.TemporaryDirectory(prefix="disburse-schema-", dir="/var/tmp") as folder:
        stack = Stack(Path(folder) / "run", build=args.build.resolve())
        stack.cluster.sync = False
        try:
            stack.up_database()
            for (name, service), database in zip(SERVICES.items(), stack.databases, strict=True):
                stack.migrate(service)
                wanted = page(name, stack.cluster, database)
                if not args.check:
                    page_file(name).write_text(wanted, encoding="utf-8")
                elif said := difference(name, wanted):
                    stale += 1
                    print(f"{page_file(name).relative_to(PROJECT)} is stale: run ./dev docs\n{said}")
        finally:
            stack.remove()
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
