#!/usr/bin/python3
"""`./dev bench ledger --json`: the ledger's figures, and the two floors that they are held against, in one run.

copy_floor: the rows that the service has written, COPYed by a bare client into the same table with the same indexes.
pgbench_floor: pgbench's own TPC-B-like transactions, prepared, 8 clients, in the same cluster.

One book is filled to 10 million rows, which takes some minutes. Any size can be set for trials:
BENCH_ROUNDS=1 BENCH_ROUND_BATCHES=8 BENCH_FILL_ROWS=300000 BENCH_SINGLES_S=3 ...
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from run import Stack  # noqa: E402
from run.cluster import ADMIN, BIN  # noqa: E402
from run.layout import PROJECT, clean_environment  # noqa: E402

BUILD = Path(os.environ.get("DISBURSE_BUILD", PROJECT / "build" / "release"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
PARAMETERS = {"round-batches": 16, "in-flight": 4, "single-calls": 1000, "singles-in-flight": 256,
              "singles-s": 3, "fill-rows": 10_000_000, "list-calls": 2000}
# A page is a matter of a few milliseconds, which is what a hypervisor takes at a time: its figure is that of rounds that had the machine
# nearly for themselves, if there were any among so many.
QUIET_STEAL_PERCENT = 1
PAGE_ROUNDS_MAX = 3 * ROUNDS
SIZE_ROUNDS = int(os.environ.get("BENCH_SIZE_ROUNDS", "7"))
FIRST_SMALL_BOOK = 1001
# What anybody would give a database of this size; a quarter of the machine's memory is PostgreSQL's own advice.
CLUSTER = {"shared_buffers": "4GB", "max_wal_size": "8GB"}
PGBENCH_SCALE = 10
PGBENCH_SECONDS = int(os.environ.get("BENCH_PGBENCH_S", "3"))
COUNTED = ("commits", "batch_events", "checkpoints", "used_ids", "cache_misses", "commit_retries")
KINDS = ("uniform", "hot", "pending")
REACH = {"batches_uniform": 0.5, "batches_hot": 0.6, "batches_pending": 0.35, "one_in_flight": 1.6, "many_in_flight": 4,
         "large_book": 0.85, "list_transfers_p99_ms": 5, "resident_end_mib": 256}
TICKS = os.sysconf("SC_CLK_TCK")


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


class Program:
    """ledger_bench, part by part."""

    def __init__(self, stack: Stack):
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
        self.argv = [str(BUILD / "bin" / "ledger_bench"), *(f"--{name}={value}" for name, value in given.items())]
        self.env = {**clean_environment(), **stack.env(), "no_proxy": "127.0.0.1,localhost"}

    def run(self, part: str, book: int = 0) -> dict:
        done = subprocess.run([*self.argv, f"--part={part}", f"--book={book}"], env=self.env, stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise SystemExit(f"ledger_bench --part={part} ended with {done.returncode}")
        return json.loads(done.stdout or "{}")


def cpu_of(pid: int, *, reaped: bool = False) -> tuple[int, float]:
    """(parent, processor seconds so far) of a process, with those of its children that have ended or without."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15 if reaped else 13]) / TICKS


class Cost:
    """Processor time of a part, in microseconds a call: where the time of a call goes, on both sides of it."""

    def __init__(self, stack: Stack):
        self.service = stack.daemon("ledger-svc").pid
        self.postmaster = int((stack.cluster.data / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def _now(self) -> dict[str, float]:
        backends = cpu_of(self.postmaster, reaped=True)[1]
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                parent, seconds = cpu_of(int(entry.name))
                backends += seconds if parent == self.postmaster else 0
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {"client": own.ru_utime + own.ru_stime, "service": cpu_of(self.service)[1], "postgresql": backends}

    def run(self, program: Program, part: str, seconds: int) -> dict:
        before = self._now()
        answer = program.run(part)
        after = self._now()
        calls = answer["per_s"] * seconds
        return {**answer, "cpu_us_a_call": {name: round((after[name] - before[name]) * 1e6 / calls, 1) for name in after}}


def large_against_small(large: Program, book: int, small: Program) -> dict:
    """Batches into the large book, and in turns into a new one of 100,000 rows in a database that holds no more than such books."""
    speeds = {"per_s_at_end": [], "per_s_at_100000": []}
    for number in range(SIZE_ROUNDS):
        small.run("small-book", FIRST_SMALL_BOOK + number)
        turns = [("per_s_at_end", large, book), ("per_s_at_100000", small, FIRST_SMALL_BOOK + number)]
        for name, program, own in turns if number % 2 == 0 else reversed(turns):
            speeds[name].append(program.run("step", own)["per_s"])
        progress(f"size {number + 1}: " + ", ".join(f"{k} {v[-1]}" for k, v in speeds.items()))
    return speeds


def machine_ticks() -> tuple[int, int]:
    """(stolen by the hypervisor, all) of all processors so far."""
    fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return fields[7], sum(fields)


def with_steal(measure_round: Callable[[], dict]) -> dict:
    """A round's measurements, and the share of processor time that the hypervisor gave to others meanwhile."""
    stolen, total = machine_ticks()
    answer = measure_round()
    now_stolen, now_total = machine_ticks()
    return {**answer, "steal_percent": round(100 * (now_stolen - stolen) / (now_total - total), 1)}


def quiet(rounds: list[dict]) -> list[dict]:
    return [r for r in rounds if r["steal_percent"] <= QUIET_STEAL_PERCENT]


def pages(program: Program) -> list[dict]:
    def in_ms() -> dict:
        return {name.replace("_us", "_ms"): us / 1000 for name, us in program.run("lists").items()}

    rounds: list[dict] = []
    while len(quiet(rounds)) < ROUNDS and len(rounds) < PAGE_ROUNDS_MAX:
        rounds.append(with_steal(in_ms))
        progress(f"page {len(rounds)}: " + ", ".join(f"{k} {v}" for k, v in rounds[-1].items()))
    return rounds


def come_to_rest(stack: Stack) -> None:
    """What autovacuum and the checkpointer do within minutes of such a load. Until then the first reader of a page has to look up
    the transactions of its rows, and writes the page to the WAL for it."""
    progress("vacuum")
    for statement in ("VACUUM (ANALYZE)", "CHECKPOINT"):
        stack.cluster.psql(stack.databases[0], statement + ";\n")


def measure(stack: Stack, folder: Path) -> dict:
    """The sides of a comparison take turns, round by round, because the machine is never the same for long."""
    program, pgbench, cost = Program(stack), Pgbench(stack, folder / "large"), Cost(stack)
    program.run("set-up")

    def one_round() -> dict:
        return {
            "batches": program.run("batches")["batches"],
            "pgbench_us": pgbench.median_us(), "single_us": program.run("single")["median_us"],
            "pgbench_per_s": pgbench.per_second(8), "many": cost.run(program, "many", parameters()["singles-s"]),
        }

    rounds = []
    for number in range(ROUNDS):
        rounds.append(with_steal(one_round))
        progress(f"round {number + 1}: " + ", ".join(f"{k} {v}" for k, v in rounds[-1].items() if k != "batches"))
    fill = program.run("fill")
    with ledger(folder / "small") as small:
        sizes = large_against_small(program, fill["book"], Program(small))
    come_to_rest(stack)
    return {"rounds": rounds, **fill, "sizes": sizes, "pages": pages(program)}


def counters(stack: Stack) -> dict[str, float]:
    """The service's own metrics, by name with labels."""
    port = stack.daemon("ledger-svc").ready()["metrics_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def where_the_time_goes(metrics: dict[str, float]) -> dict[str, float]:
    """Seconds in each phase of all commits of the run."""
    prefix = 'ledger_commit_phase_seconds_sum{phase="'
    return {name[len(prefix):-2]: round(value, 2) for name, value in metrics.items() if name.startswith(prefix)}


def held_against(own: list[float], floor: list[float], own_name: str, floor_name: str) -> dict:
    ratios = [round(a / b, 3) for a, b in zip(own, floor)]
    return {own_name: statistics.median(own), floor_name: statistics.median(floor),
            "ratio": statistics.median(ratios), "ratios": ratios}


def batches(rounds: list[dict], kind: str) -> dict:
    own = [b for r in rounds for b in r["batches"] if b["kind"] == kind]
    return held_against([b["service_per_s"] for b in own], [b["floor_per_s"] for b in own], "per_s", "copy_floor_per_s")


def page_figures(rounds: list[dict]) -> dict:
    def median(of: list[dict]) -> dict:
        return {name: round(statistics.median(r[name] for r in of), 3) for name in rounds[0]}

    figure = median(quiet(rounds) or rounds)
    return {**figure, "ratio": round(figure["p99_ms"] / REACH["list_transfers_p99_ms"], 3),
            "over_floor": {name: round(figure[f"{name}_ms"] / figure[f"floor_{name}_ms"], 2) for name in ("p50", "p99")},
            "quiet_rounds": len(quiet(rounds)), "of_all_rounds": median(rounds), "rounds": rounds}


def figures(measured: dict) -> dict:
    rounds, resident, sizes = (measured[name] for name in ("rounds", "resident", "sizes"))
    last = resident[-1]["mib"]
    return {
        **{f"batches_{kind}": batches(rounds, kind) for kind in KINDS},
        "one_in_flight": held_against([r["single_us"] for r in rounds], [r["pgbench_us"] for r in rounds],
                                      "median_us", "pgbench_median_us"),
        "many_in_flight": {
            **held_against([r["many"]["per_s"] for r in rounds], [r["pgbench_per_s"] for r in rounds], "per_s",
                           "pgbench_floor_per_s"),
            "cpu_us_a_call": {name: statistics.median(r["many"]["cpu_us_a_call"][name] for r in rounds)
                              for name in rounds[0]["many"]["cpu_us_a_call"]}},
        "large_book": {"rows": measured["rows"], **held_against(sizes["per_s_at_end"], sizes["per_s_at_100000"], "per_s_at_end",
                                                                "per_s_at_100000")},
        "list_transfers": page_figures(measured["pages"]),
        "resident": {"samples": resident, "end_mib": last, "ratio": round(last / REACH["resident_end_mib"], 3),
                     "end_to_first": round(last / resident[0]["mib"], 3)},
        "steal_percent": [r["steal_percent"] for r in rounds],
        "reach": REACH,
        "parameters": {"rounds": ROUNDS, **parameters()},
    }


@contextlib.contextmanager
def ledger(folder: Path) -> Iterator[Stack]:
    """A ledger-svc on a cluster of its own, and nothing else."""
    stack = Stack(folder, build=BUILD, say=progress, testing=True)
    stack.cluster.settings.update(CLUSTER)
    try:
        stack.up()
        for service in ("payments-svc", "bank-sim"):
            stack.daemon(service).stop()
        yield stack
    finally:
        stack.remove()


def run(folder: Path) -> int:
    with ledger(folder / "large") as stack:
        answer = figures(measure(stack, folder))
        metrics = counters(stack)
        answer["phases_s"] = where_the_time_goes(metrics)
        answer["commits"] = {name: metrics[f"ledger_{name}_total"] for name in COUNTED}
        print(json.dumps(answer, indent=2))
    return 0


def main() -> int:
    given = os.environ.get("DISBURSE_TEST_FOLDER")
    if given:
        return run(Path(given) / "bench")
    with tempfile.TemporaryDirectory(prefix="disburse-bench-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        return run(Path(name) / "bench")


if __name__ == "__main__":
    sys.exit(main())
