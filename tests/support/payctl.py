"""payctl as a person uses it: a program, a file, an exit code, and words on the screen."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess

from run.layout import clean_environment

from .world import BUILD, SANITIZER_ENV

COLUMNS = ["reference", "merchant_id", "recipient_name", "holder_type", "rail", "currency", "amount", "routing_code",
           "account_number", "account_type", "description"]
DONE, NOT_SETTLED, USAGE, SERVICE, REFUSED, OUTPUT = range(6)
ACCOUNT = "445566778899"
TIMEOUT_S = 120


def row(merchant, reference, **change):
    return {"reference": reference, "merchant_id": merchant, "recipient_name": "Ann Example", "holder_type": "individual",
            "rail": "instant", "currency": "USD", "amount": "12.50", "routing_code": "021000021", "account_number": ACCOUNT,
            "account_type": "checking", "description": "SALES", **change}


class Payctl:
    def __init__(self, world, folder):
        self.world, self.folder = world, folder

    def _start(self, args, env, **how):
        for name in args if "pay" in args else ():
            if os.path.isfile(name):
                with open(name, encoding="utf-8", errors="replace", newline="") as file:
                    self.world.people.read(file.read())
        variables = {**clean_environment(), **SANITIZER_ENV, **self.world.stack.client_env(), **(env or {})}
        return subprocess.Popen([str(BUILD / "bin" / "payctl"), *args], env=variables, **how)

    @staticmethod
    def _judged(code: int, out: str, err: str):
        assert "Sanitizer" not in err and "runtime error" not in err, err
        assert ACCOUNT not in out + err, "a bank account number was shown"
        return code, out, err

    def run(self, *args, env=None, stdin=None, stdout=subprocess.PIPE):
        """(exit code, stdout, stderr); a sanitizer's report fails. stdin: bytes, through a pipe. stdout: another place for it."""
        with self._start(args, env, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, stdout=stdout,
                         stderr=subprocess.PIPE) as process:
            try:
                if stdin is not None and "pay" in args:
                    self.world.people.read(stdin.decode("utf-8", "replace"))
                out, err = process.communicate(stdin, timeout=TIMEOUT_S)
            finally:
                process.kill()
        return self._judged(process.returncode, *(text.decode("utf-8", "replace") for text in (out or b"", err)))

    def run_on_terminal(self, *args):
        """The same with stderr on a terminal of its own. For little output: stdout is read when the program has ended."""
        ours, theirs = pty.openpty()
        seen = b""
        with self._start(args, None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs) as process:
            os.close(theirs)
            try:
                while chunk := os.read(ours, 65536):
                    seen += chunk
            except OSError:  # EIO: the last one who had the terminal open is gone
                pass
            finally:
                os.close(ours)
            try:
                out = process.communicate(timeout=TIMEOUT_S)[0]
            finally:
                process.kill()
        return self._judged(process.returncode, out.decode(), seen.decode())

    def json(self, *args, env=None):
        """(exit code, the one JSON value that is all of stdout, stderr)."""
        code, out, err = self.run("--json", *args, env=env)
        assert out, err
        return code, json.loads(out), err

    def file(self, rows, name="payouts.csv", columns=None):
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, columns or COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return str(path)
