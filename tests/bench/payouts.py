#!/usr/bin/python3
"""`./dev bench payouts --json`: starts a whole Disburse in a folder of its own, runs payouts_bench, prints its JSON.

The environment may change the size, for trials: BENCH_PAYOUTS=2000 BENCH_SINGLES=400 BENCH_NAIVE=50 ...
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from run import Stack  # noqa: E402
from run.layout import PROJECT, clean_environment  # noqa: E402

BUILD = Path(os.environ.get("DISBURSE_BUILD", PROJECT / "build" / "release"))
PARAMETERS = {"payouts": 20000, "singles": 2000, "in-flight": 64, "chunk": 1000, "bulk-threads": 4, "merchants": 16,
              "naive": 500}
SETTINGS = {
    # A file is cut after 100 ms, not 500, and its answer is looked for every 20 ms: the wait is the bank's timetable, and
    # would be a fifth of a run this short. (A bank takes 36 files a day of a customer; a run needs a dozen a book.)
    "payments-svc": {"ach.gather_ms": 100, "ach.poll_ms": 20, "saga.poll_ms": 50},
    # The naive loop pays through the instant interface without payments-svc knowing, so nobody waits for webhooks of it.
    "bank-sim": {"https.webhook_url": "", "instant.sync_settle": "true"},
}
TABLE = """CREATE TABLE naive_payout (payout_id uuid PRIMARY KEY, merchant_id text NOT NULL, recipient_id uuid NOT NULL,
    amount bigint NOT NULL, state text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
GRANT SELECT, INSERT, UPDATE ON naive_payout TO payments_service;
"""


def parameters() -> dict[str, int]:
    return {name: int(os.environ.get("BENCH_" + name.upper().replace("-", "_"), value))
            for name, value in PARAMETERS.items()}


def arguments(stack: Stack) -> list[str]:
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
        **parameters(),
    }
    return [f"--{name}={value}" for name, value in given.items()]


def run(folder: Path) -> int:
    stack = Stack(folder, build=BUILD, settings=SETTINGS, say=lambda line: print(line, file=sys.stderr))
    try:
        stack.up()
        stack.cluster.psql(stack.databases[1], f"SET ROLE payments_owner; {TABLE}", role="payments_migrator")
        env = {**clean_environment(), **stack.env(), "no_proxy": "127.0.0.1,localhost"}
        done = subprocess.run([BUILD / "bin" / "payouts_bench", *arguments(stack)], env=env, stdout=subprocess.PIPE,
                              check=False)
        if done.returncode == 0:
            figures = json.loads(done.stdout)
            figures["parameters"]["settings"] = SETTINGS
            print(json.dumps(figures, indent=2))
        return done.returncode
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
