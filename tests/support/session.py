"""A session on a world's database of payments that stays open: its transaction holds what it has locked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from run import keys
from run.cluster import ADMIN, BIN, PORT
from run.layout import clean_environment

END = "-- end of the answer --"


class Session:
    def __init__(self, world):
        env = {**clean_environment(), "PGPASSFILE": str(keys.password_file(world.cluster.secrets, ADMIN))}
        argv = [str(BIN / "psql"), "-X", "-q", "-A", "-t", "-h", str(world.cluster.socket), "-p", PORT, "-U", ADMIN,
                "-d", world.stack.databases[1], "-w"]
        self.psql = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)

    def run(self, sql: str) -> str:
        """The answers to the statements, with the errors of the database."""
        self.psql.stdin.write(f"{sql};\n\\echo '{END}'\n")
        self.psql.stdin.flush()
        lines = []
        while (line := self.psql.stdout.readline()).rstrip("\n") != END:
            assert line, f"the session has ended: {lines}"
            lines.append(line)
        return "".join(lines).strip()

    def end(self) -> None:
        self.psql.kill()
        self.psql.communicate()


@contextmanager
def session(world) -> Iterator[Session]:
    one = Session(world)
    try:
        yield one
    finally:
        one.end()
