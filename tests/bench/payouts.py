#!/usr/bin/python3
"""`./dev bench payouts --json [--against REVISION]`: payouts through the whole saga, in a whole Disburse of its own.

With --against, the release build of that revision runs the same rounds in turns with this one, and the ratio is told.
The environment may change the size, for trials: BENCH_PAYOUTS=2000 BENCH_SINGLES=400 BENCH_NAIVE=50 BENCH_TURNS=1
BENCH_FINISHED=100000 ...
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "tools"), str(Path(__file__).resolve().parents[1])]

from bench.finished import fill  # noqa: E402
from bench.idle import idle_percent  # noqa: E402
from run import Stack  # noqa: E402
from run.layout import PROJECT, clean_environment  # noqa: E402

BUILD = Path(os.environ.get("DISBURSE_BUILD", PROJECT / "build" / "release"))
PARAMETERS = {"payouts": 20000, "singles": 2000, "in-flight": 64, "chunk": 1000, "bulk-threads": 4, "merchants": 16,
              "naive": 500}
TURNS = int(os.environ.get("BENCH_TURNS", "3"))
FINISHED = int(os.environ.get("BENCH_FINISHED", "2000000"))
IDLE_SECONDS = 60
SETTINGS = {
    # A file's answer is looked for every 20 ms: the wait is the bank's timetable, and would be a fifth of a run this short. Files
    # gather for 800 ms: a bank takes 36 a day of a customer, and when few are left, the service spreads them over the day.
    "payments-svc": {"ach.gather_ms": 800, "ach.poll_ms": 20, "saga.poll_ms": 50},
    # The naive loop pays through the instant interface without payments-svc knowing, so nobody waits for webhooks of it.
    "bank-sim": {"https.webhook_url": "", "instant.sync_settle": "true"},
}
TABLE = """CREATE TABLE IF NOT EXISTS naive_payout (payout_id uuid PRIMARY KEY, merchant_id text NOT NULL,
    recipient_id uuid NOT NULL, amount bigint NOT NULL, state text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
GRANT SELECT, INSERT, UPDATE ON naive_payout TO payments_service;
"""


def say(line: str) -> None:
    print(line, file=sys.stderr)


def parameters() -> dict[str, int]:
    return {name: int(os.environ.get("BENCH_" + name.upper().replace("-", "_"), value))
            for name, value in PARAMETERS.items()}


def arguments(stack: Stack, pace: int) -> list[str]:
    ready = {service: stack.daemon(service).ready() for service in ("ledger-svc", "payments-svc", "bank-sim")}
    given = {
        "payments": f"127.0.0.1:{ready['payments-svc']['grpc_port']}",
        "ledger": f"127.0.0.1:{ready['ledger-svc']['grpc_port']}",
        "bank-url": f"https://localhost:{ready['bank-sim']['https_port']}",
        "ca-file": stack.authority.cert_file,
        "cert-file": stack.certs / "test.crt",
        "key-file": stack.certs / "test.key",
        "bank-ca-file": stack.bank_authority.cert_file,
        "api-key-file": stack.secrets / "bank_api_key",
        "conninfo": "service=payments_service application_name=naive",
        "metrics-port": ready["payments-svc"]["metrics_port"],
        "ledger-pid": ready["ledger-svc"]["pid"],
        "payments-pid": ready["payments-svc"]["pid"],
        "bank-pid": ready["bank-sim"]["pid"],
        "pace": pace,
        **parameters(),
    }
    return [f"--{name}={value}" for name, value in given.items()]


def measured(stack: Stack, pace: int = 0) -> dict:
    env = {**clean_environment(), **stack.env(), "no_proxy": "127.0.0.1,localhost"}
    done = subprocess.run([BUILD / "bin" / "payouts_bench", *arguments(stack, pace)], env=env,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@contextlib.contextmanager
def started(folder: Path, **changed: object) -> Iterator[Stack]:
    """A Disburse of its own: a bank takes 36 files a day of a customer, so no two measurements share one."""
    settings = {**SETTINGS, "payments-svc": {**SETTINGS["payments-svc"], **changed}}
    stack = Stack(folder, build=BUILD, settings=settings, say=say, testing=True)
    try:
        stack.up()
        stack.cluster.psql(stack.databases[1], f"SET ROLE payments_owner; {TABLE}", role="payments_migrator")
        yield stack
    finally:
        stack.remove()


def one_turn(folder: Path) -> dict:
    with started(folder) as stack:
        return measured(stack)


# Another checkout's benchmark under this one's settings: files gather as long for both, or the ratio would tell of the wait.
WITH_OUR_SETTINGS = "import json, sys; from bench import payouts; " \
    "payouts.SETTINGS['payments-svc'].update(json.loads(sys.argv[1])); " \
    "sys.exit(getattr(payouts, 'just_rounds', payouts.main)())"


def turn_of(tree: Path, folder: Path) -> dict:
    """The same, by another checkout with its own benchmark and release build."""
    folder.mkdir(parents=True)
    env = {**os.environ, "DISBURSE_BUILD": str(tree / "build" / "release"), "DISBURSE_TEST_FOLDER": str(folder),
           "PYTHONPATH": f"{tree}/tests:{tree}/tools"}
    done = subprocess.run([sys.executable, "-c", WITH_OUR_SETTINGS, json.dumps(SETTINGS["payments-svc"])], env=env,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def just_rounds() -> int:
    """The stack that turn_of asks for, with nothing beside it."""
    print(json.dumps(one_turn(Path(os.environ["DISBURSE_TEST_FOLDER"]) / "bench")))
    return 0


def in_turns(folder: Path, before: Path) -> dict:
    turns = []
    for i in range(TURNS):
        say(f"turn {i + 1} of {TURNS}: before")
        old = mean_per_s(turn_of(before, folder / f"before{i}"))
        say(f"turn {i + 1} of {TURNS}: now")
        new = mean_per_s(one_turn(folder / f"now{i}"))
        turns.append({"before_per_s": old, "now_per_s": new, "ratio": round(new / old, 3)})
    return {"against_ratio": statistics.median(t["ratio"] for t in turns), "against_turns": turns}


def mean_per_s(figures: dict) -> float:
    return statistics.mean([figures["payouts_per_s"], figures["again_payouts_per_s"]])


def full(folder: Path, empty_per_s: float) -> dict:
    """The same on tables with many finished payouts."""
    with started(folder) as stack:
        say(f"{FINISHED} finished payouts")
        begun = time.monotonic()
        fill(stack, FINISHED)
        took = time.monotonic() - begun
        full_per_s = mean_per_s(measured(stack))
        return {"finished_payouts": FINISHED, "fill_s": round(took, 1), "full_payouts_per_s": full_per_s,
                "full_ratio": round(full_per_s / empty_per_s, 3)}


def idle(folder: Path) -> dict:
    """What all of it costs when nothing happens, as it is installed: with the settings that nobody has changed."""
    stack = Stack(folder, build=BUILD, say=say, testing=True)
    try:
        stack.up()
        say(f"idle for {IDLE_SECONDS} s")
        return {"idle_percent_of_a_core": idle_percent(stack, IDLE_SECONDS)}
    finally:
        stack.remove()


def half_load(folder: Path, per_s: float) -> dict:
    """Latency of CreatePayout while half of what the saga can do is asked for, for some seconds: longer than a file may gather."""
    with started(folder, **{"ach.gather_ms": 1000}) as stack:
        paced = measured(stack, pace=int(per_s / 2))
        return {f"half_load_{name}": value for name, value in paced.items()}


def run(folder: Path) -> int:
    before = os.environ.get("BENCH_AGAINST")
    figures = one_turn(folder / "empty")
    # Before the tables are filled: a disk that still forgets gigabytes of a removed database answers late.
    figures.update(half_load(folder / "half", figures["payouts_per_s"]))
    figures.update(full(folder / "full", mean_per_s(figures)))
    figures.update(idle(folder / "idle"))
    if before:
        figures.update(in_turns(folder, Path(before)))
    figures["parameters"]["settings"] = SETTINGS
    print(json.dumps(figures, indent=2))
    return 0


def main() -> int:
    given = os.environ.get("DISBURSE_TEST_FOLDER")
    if given:
        return run(Path(given))
    with tempfile.TemporaryDirectory(prefix="disburse-bench-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        return run(Path(name))


if __name__ == "__main__":
    sys.exit(main())
