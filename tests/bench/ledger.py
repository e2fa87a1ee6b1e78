#!/usr/bin/python3
"""`./dev bench ledger --json`: the ledger's figures, and the two floors that they are held against, in one run.

copy_floor: the rows that the service has written, COPYed by a bare client into the same table with the same indexes.
pgbench_floor: pgbench's own TPC-B-like transactions, prepared, 8 clients, in the same cluster.

BENCH_FULL=1 fills one book to 10 million rows (some minutes) instead of one million. Any size can be set for trials:
BENCH_ROUNDS=1 BENCH_ROUND_BATCHES=8 BENCH_FILL_ROWS=300000 BENCH_SINGLES_S=3 ...
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from run import Stack  # noqa: E402
from run.cluster import ADMIN, BIN  # noqa: E402
from run.layout import PROJECT, clean_environment  # noqa: E402

BUILD = Path(os.environ.get("DISBURSE_BUILD", PROJECT / "build" / "release"))
FULL = bool(os.environ.get("BENCH_FULL"))
PARAMETERS = {"rounds": 5, "round-batches": 16, "in-flight": 4, "single-calls": 3000, "singles-in-flight": 256,
              "singles-s": 8, "fill-rows": 10_000_000 if FULL else 1_000_000, "list-calls": 2000}
PGBENCH_SCALE = 10
PGBENCH_SECONDS = int(os.environ.get("BENCH_PGBENCH_S", "8"))
KINDS = ("uniform", "hot", "pending")


def progress(line: str) -> None:
    print(line, file=sys.stderr)


def parameters() -> dict[str, int]:
    return {name: int(os.environ.get("BENCH_" + name.upper().replace("-", "_"), value))
            for name, value in PARAMETERS.items()}


class Pgbench:
    """pgbench in a database of its own beside the ledger's."""

    def __init__(self, stack: Stack, folder: Path):
        self.stack, self.folder = stack, folder
        stack.cluster.psql("postgres", "CREATE DATABASE pgbench;\n")
        self._run("-i", "-q", "-s", str(PGBENCH_SCALE))

    def _run(self, *argv: str) -> str:
        env = {**clean_environment(), **self.stack.env()}
        done = subprocess.run([str(BIN / "pgbench"), *argv, f"service={ADMIN} dbname=pgbench"], env=env,
                              cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"pgbench failed: {done.stderr}")
        return done.stdout

    def per_second(self, clients: int) -> float:
        out = self._run("-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(PGBENCH_SECONDS))
        return next(float(line.split()[2]) for line in out.splitlines() if line.startswith("tps = "))

    def median_us(self) -> float:
        """Of one transaction, one client."""
        self._run("-n", "-M", "prepared", "-c", "1", "-T", str(PGBENCH_SECONDS), "-l", "--log-prefix=pgbench")
        log, = self.folder.glob("pgbench.*")
        times = [int(line.split()[2]) for line in log.read_text(encoding="ascii").splitlines()]
        log.unlink()
        return statistics.median(times)


def run_program(stack: Stack) -> dict:
    ready = stack.daemon("ledger-svc").ready()
    given = {
        "ledger": f"127.0.0.1:{ready['grpc_port']}",
        "ca-file": stack.authority.cert_file,
        "cert-file": stack.certs / "test.crt",
        "key-file": stack.certs / "test.key",
        "conninfo": f"service={ADMIN} dbname={stack.databases[0]}",
        "ledger-pid": ready["pid"],
        **parameters(),
    }
    argv = [str(BUILD / "bin" / "ledger_bench"), *(f"--{name}={value}" for name, value in given.items())]
    env = {**clean_environment(), **stack.env(), "no_proxy": "127.0.0.1,localhost"}
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"ledger_bench ended with {done.returncode}")
    return json.loads(done.stdout)


def median_of_ratios(batches: list[dict], kind: str) -> dict:
    own = [b for b in batches if b["kind"] == kind]
    return {
        "per_s": statistics.median(b["service_per_s"] for b in own),
        "copy_floor_per_s": statistics.median(b["floor_per_s"] for b in own),
        "ratio": round(statistics.median(b["service_per_s"] / b["floor_per_s"] for b in own), 3),
        "ratios": [round(b["service_per_s"] / b["floor_per_s"], 3) for b in own],
    }


def figures(measured: dict, pgbench: dict) -> dict:
    fill = measured["fill"]
    resident = measured["resident"]
    return {
        **{f"batches_{kind}": median_of_ratios(measured["batches"], kind) for kind in KINDS},
        "one_in_flight": {
            "median_us": measured["single_median_us"],
            "pgbench_median_us": pgbench["median_us"],
            "ratio": round(measured["single_median_us"] / pgbench["median_us"], 3),
        },
        "many_in_flight": {
            "in_flight": parameters()["singles-in-flight"],
            "per_s": measured["singles_per_s"],
            "pgbench_floor_per_s": pgbench["per_s"],
            "ratio": round(measured["singles_per_s"] / pgbench["per_s"], 3),
        },
        "large_book": {**fill, "ratio": round(fill["per_s_at_end"] / fill["per_s_at_100000"], 3)},
        "list_transfers": {"p50_ms": measured.get("list_transfers_p50_us", 0) / 1000,
                           "p99_ms": measured.get("list_transfers_p99_us", 0) / 1000},
        "resident": {"samples": resident, "end_mib": resident[-1]["mib"],
                     "end_to_first": round(resident[-1]["mib"] / resident[0]["mib"], 3)},
        "reach": {"batches_uniform": 0.5, "batches_hot": 0.6, "batches_pending": 0.35, "one_in_flight": 1.6,
                  "many_in_flight": 4, "large_book": 0.85, "list_transfers_p99_ms": 5, "resident_end_mib": 256},
        "parameters": parameters(),
    }


def run(folder: Path) -> int:
    stack = Stack(folder, build=BUILD, say=progress)
    try:
        stack.up()
        for service in ("payments-svc", "bank-sim"):  # the ledger alone
            stack.daemon(service).stop()
        pgbench = Pgbench(stack, folder)
        floors = {"median_us": pgbench.median_us(), "per_s": pgbench.per_second(8)}
        progress(f"pgbench: {floors['median_us']} us with one client, {floors['per_s']:.0f} a second with 8")
        print(json.dumps(figures(run_program(stack), floors), indent=2))
        return 0
    finally:
        stack.remove()


def main() -> int:
    given = os.environ.get("DISBURSE_TEST_FOLDER")
    if given:
        return run(Path(given) / "bench")
    with tempfile.TemporaryDirectory(prefix="disburse-bench-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        return run(Path(name) / "bench")


if __name__ == "__main__":
    sys.exit(main())
