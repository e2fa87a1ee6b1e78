"""Long-running processes: started apart from the terminal, known by more than their pid, ended by it alone."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import RunError
from .layout import clean_environment

# Every process that we start, and so its children too, carries this variable with the run folder as value.
MARK = "DISBURSE_RUN"
POLL_MS = 20
LOG_TAIL_LINES = 25


@dataclass(frozen=True)
class Identity:
    """A process, told apart from a later one that got the same pid."""

    pid: int
    start_ticks: int
    boot_id: str

    @staticmethod
    def of(pid: int) -> Identity | None:
        """None: there is no such process, or it is a zombie."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()  # the name in the second field may hold anything
        if fields[0] in "ZX":
            return None
        return Identity(pid, int(fields[19]), boot)

    @staticmethod
    def load(path: Path) -> Identity | None:
        try:
            return Identity(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        os.replace(temporary, path)

    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    def open(self) -> int | None:
        """A pidfd of exactly this process; None when it has ended. The caller closes it."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if self.alive():  # checked after the open: from here on the pid cannot become another's
            return fd
        os.close(fd)
        return None

    def send(self, number: signal.Signals) -> bool:
        """False: it has ended already."""
        fd = self.open()
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True

    def wait(self, timeout_s: float) -> bool:
        """Whether the process has ended within the time."""
        fd = self.open()
        if fd is None:
            return True
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return bool(poll.poll(timeout_s * 1000))
        finally:
            os.close(fd)

    def end(self, grace_s: float) -> bool:
        """SIGTERM, and SIGKILL when the grace is over. False: it had to be killed."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # a stopped process would never see the SIGTERM
        if self.wait(grace_s):
            return True
        self.send(signal.SIGKILL)
        self.wait(10)
        return False


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 64 * 1024))
            text = log.read().decode("utf-8", errors="replace")
    except OSError:
        return "  (no log)"
    return "\n".join("  " + line for line in text.splitlines()[-lines:]) or "  (the log is empty)"


class Daemon:
    """One service process of a run folder, with its pid file, log and ready file."""

    def __init__(self, name: str, argv: list[str], folder: Path, *, env: dict[str, str] | None = None):
        self.name = name
        self.argv = argv
        self.folder = folder
        self.env = dict(env or {})
        self.log_file = folder / "log" / f"{name}.log"
        self.pid_file = folder / "run" / f"{name}.pid"
        self.ready_file = folder / "run" / f"{name}.ready"
        self.exit_code: int | None = None  # of the last run, when this object started it
        self._child: subprocess.Popen | None = None

    @property
    def identity(self) -> Identity | None:
        known = Identity.load(self.pid_file)
        return known if known is not None and known.alive() else None

    @property
    def pid(self) -> int | None:
        known = self.identity
        return None if known is None else known.pid

    def alive(self) -> bool:
        self._reap()
        return self.identity is not None

    def ready(self) -> dict:
        """The content of the ready file: pid, ports and what else the service tells."""
        try:
            return json.loads(self.ready_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise RunError(f"{self.name} is not ready: {self.ready_file} cannot be read") from None

    def start(self, *, timeout_s: float = 30, wait: bool = True, env: dict[str, str] | None = None) -> None:
        """env: for this one life of the process only (a crash point, say)."""
        if self.alive():
            raise RunError(f"{self.name} runs already (pid {self.pid})")
        if not os.access(self.argv[0], os.X_OK):
            raise RunError(f"{self.argv[0]} is missing: run ./dev build")
        self.ready_file.unlink(missing_ok=True)
        variables = {**clean_environment(), **self.env, **(env or {}), MARK: str(self.folder.resolve())}
        with self.log_file.open("ab") as log:
            self._child = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=variables,
                start_new_session=True,
            )
        identity = Identity.of(self._child.pid)
        if identity is None:
            raise RunError(self._died())
        identity.save(self.pid_file)
        if wait:
            self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s: float = 30) -> dict:
        """Until the ready file names our process; the process' death or the time's end raises with the log's tail."""
        limit = time.monotonic() + timeout_s
        identity = Identity.load(self.pid_file)
        while identity is not None and not identity.wait(POLL_MS / 1000):
            try:
                told = json.loads(self.ready_file.read_text(encoding="utf-8"))
                if told.get("pid") == identity.pid:
                    return told
            except (OSError, ValueError):
                pass
            if time.monotonic() > limit:
                raise RunError(f"{self.name} was not ready after {timeout_s:.0f} s; the end of {self.log_file}:\n"
                               + log_tail(self.log_file))
        raise RunError(self._died())

    def _died(self) -> str:
        self._reap()
        code = "" if self.exit_code is None else f" with exit code {self.exit_code}"
        return f"{self.name} ended{code}; the end of {self.log_file}:\n{log_tail(self.log_file)}"

    def _reap(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            self.exit_code = self._child.returncode
            self._child = None

    def signal(self, number: signal.Signals) -> bool:
        known = self.identity
        return known is not None and known.send(number)

    def kill(self) -> None:
        """kill -9, and gone when this returns."""
        known = self.identity
        if known is not None:
            known.send(signal.SIGKILL)
            known.wait(10)
        self._finish()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def wait_exit(self, timeout_s: float = 30) -> int | None:
        """Until the process has ended by itself (a crash point, say); its exit code, negative for a signal."""
        known = self.identity
        if known is not None and not known.wait(timeout_s):
            raise RunError(f"{self.name} still runs after {timeout_s:.0f} s")
        self._finish()
        return self.exit_code

    def stop(self, *, grace_s: float = 25) -> bool:
        """Drains with SIGTERM. False: it did not end in time and was killed."""
        known = self.identity
        drained = known is None or known.end(grace_s)
        self._finish()
        return drained

    def _finish(self) -> None:
        if self._child is not None:
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                pass
        self._reap()
        self.ready_file.unlink(missing_ok=True)
        self.pid_file.unlink(missing_ok=True)


def marked(folder: Path) -> list[Identity]:
    """All processes that carry the folder's mark, orphans of killed services among them."""
    wanted = f"{MARK}={folder.resolve()}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        identity = Identity.of(int(entry.name)) if wanted in variables else None
        if identity is not None:
            found.append(identity)
    return found


def reap(folder: Path, grace_s: float = 5) -> int:
    """Ends whatever still carries the folder's mark; how many there were."""
    found = marked(folder)
    for identity in found:
        identity.send(signal.SIGTERM)
        identity.send(signal.SIGCONT)
    for identity in found:
        identity.end(grace_s)
    return len(found)
