"""Crash points (shared/base/crash.h): recording them, and the environment that makes a service die at one."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

from run.layout import PROJECT

from support.waiting import wait_until


def record_env(path: Path) -> dict[str, str]:
    return {"DISBURSE_CRASH_RECORD": str(path)}


def recorded(path: Path) -> list[str]:
    """In the order in which they were first passed."""
    return list(dict.fromkeys(path.read_text(encoding="ascii").split())) if path.exists() else []


class Plan:
    """A crash at the n-th hit of a point, once, by the process that gets there first."""

    def __init__(self, folder: Path, point: str, *, nth: int = 1, action: str = "kill"):
        folder.mkdir(parents=True, exist_ok=True)
        self.point = point
        self.done_file = folder / f"{point}.{nth}.done"
        self.done_file.unlink(missing_ok=True)
        self.env = {"DISBURSE_CRASH_AT": f"{point}:{nth}", "DISBURSE_CRASH_ACTION": action,
                    "DISBURSE_CRASH_DONE": str(self.done_file)}

    def hit(self) -> bool:
        return self.done_file.exists()


class PlanFile:
    """Crashes for a process that runs: it looks at the file whenever it passes a point."""

    def __init__(self, path: Path):
        self.path, self.done = path, path.with_name(path.name + ".done")
        self.env = {"DISBURSE_CRASH_PLAN": str(path)}

    def arm(self, point: str, action: str = "kill", *, nth: int = 1) -> None:
        """The file is whole when it is there."""
        self.done.unlink(missing_ok=True)
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(f"{point}:{nth} {action}\n", encoding="ascii")
        os.replace(fresh, self.path)

    def disarm(self) -> None:
        self.path.unlink(missing_ok=True)

    def hit(self) -> bool:
        return self.done.exists()


def wait_until_killed(daemon, plan, what: str, timeout_s: float = 30) -> None:
    """Until the plan's crash has come and the process is gone: the plan's mark is made before the process dies."""
    wait_until(plan.hit, what, timeout_s)
    daemon.wait_exit(10)


def stopped(daemon) -> bool:
    """Stands still by SIGSTOP."""
    try:
        with open(f"/proc/{daemon.pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "T"
    except FileNotFoundError:
        return False  # it is gone


class Reviver:
    """Starts a daemon again when it dies, as a supervisor would; without the crash, so it dies at most once."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.deaths = self.stops = 0
        self._stop_s: float | None = None
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def continue_after(self, seconds: float) -> None:
        """A process that is found standing still stands still for so long, and is then continued."""
        self._stop_s = seconds

    def __enter__(self) -> Reviver:
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._stop.set()
        self._thread.join(60)
        if self.failure is not None and kind is None:
            raise self.failure

    def _run(self) -> None:
        identity = self.daemon.identity
        try:
            while not self._stop.is_set():
                if identity is not None and not identity.wait(0.05):
                    if self._stop_s is not None and stopped(self.daemon):
                        self.stops += 1
                        time.sleep(self._stop_s)
                        self.daemon.resume()
                    continue
                self.deaths += 1
                self.daemon.wait_exit(10)
                self.daemon.start(timeout_s=60)
                identity = self.daemon.identity
        except BaseException as error:  # handed to the test's thread
            self.failure = error


def postgres_crasher(world, folder: Path) -> Path:
    """A program that stops the world's cluster as a power cut would, starts it again, writes a file `back`, and returns."""
    path = folder / "crash-postgres"
    path.write_text("#!/bin/sh\n"
                    "unset DISBURSE_RUN  # the server is no service process of the run folder\n"
                    f"PYTHONPATH={PROJECT / 'tools'} PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 -c '\n"
                    "import sys\n"
                    "from pathlib import Path\n"
                    "from run import Cluster\n"
                    f"cluster = Cluster(Path(\"{world.cluster.run}\"))\n"
                    "cluster.stop(\"immediate\")\n"
                    "assert not cluster.running()\n"
                    "cluster.start()\n"
                    f"Path(\"{folder / 'back'}\").touch()\n"
                    "' \"$0\"\n", encoding="utf-8")
    os.chmod(path, stat.S_IRWXU)
    return path
