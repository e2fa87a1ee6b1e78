"""A whole Disburse for tests: a stack with its own databases, ports, certificates and processes, and clients to it."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from pathlib import Path

import grpc

from run import Daemon, RunError, Stack, config
from run.layout import PROJECT

from . import feed_record, metrics, rpc, stubs
from .bank import Bank
from .bank_record import BankRecord, People
from .waiting import wait_until

BUILD = Path(os.environ.get("DISBURSE_BUILD", PROJECT / "build" / "dev"))
_REPORT = re.compile(r"ERROR: (?:Address|Leak|Undefined\w*)Sanitizer|runtime error: |AddressSanitizer:DEADLYSIGNAL")
SANITIZER_ENV = {
    "ASAN_OPTIONS": "exitcode=99:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
}


# Tests that look into account rows themselves wait for a checkpoint: let it come soon.
SETTINGS = {"ledger-svc": {"journal.checkpoint_ms": 250}}


def with_ours(settings: dict[str, dict[str, object]] | None) -> dict[str, dict[str, object]]:
    given = settings or {}
    return {service: {**SETTINGS.get(service, {}), **given.get(service, {})} for service in {*SETTINGS, *given}}


class Servers:
    """The cluster that most worlds share, with a migrated pair of databases that new worlds copy."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.shared = Stack(folder / "shared", build=BUILD, env=SANITIZER_ENV, testing=True)
        self.shared.cluster.sync = False
        self.made = 0

    def start(self) -> None:
        self.shared.up_database()
        self.shared.migrate("ledger-svc")
        self.shared.migrate("payments-svc")

    def world(self, settings: dict[str, dict[str, object]] | None = None, *, own_cluster: bool = False) -> World:
        """own_cluster: for tests that stop PostgreSQL. Not started yet: see World.up."""
        self.made += 1
        settings = with_ours(settings)
        folder = self.folder / f"w{self.made}"
        if own_cluster:
            stack = Stack(folder, build=BUILD, settings=settings, env=SANITIZER_ENV, testing=True)
            stack.cluster.sync = False
            return World(stack)
        names = (f"ledger_{self.made}", f"payments_{self.made}")
        cluster = self.shared.cluster
        for source, target in zip(self.shared.databases, names):
            cluster.copy_database(source, target)
        return World(Stack(folder, build=BUILD, cluster=cluster, databases=names, settings=settings, env=SANITIZER_ENV, testing=True))

    def remove(self) -> None:
        self.shared.remove()


class World:
    """A running Disburse. Attributes: stack, and clients that follow the services over restarts."""

    def __init__(self, stack: Stack):
        self.stack = stack
        self._channels: dict[tuple, grpc.Channel] = {}
        self._ports: dict[str, int] = {}
        self.people = People()
        self.older_than_feed = False  # it has payouts from before the feed
        self.bank_of: dict[str, str] = {}  # connection -> the daemon that is its bank, where that is not bank-sim
        stubs.install(BUILD)

    # Processes.

    def up(self) -> World:
        self.stack.up()
        return self

    def daemon(self, name: str) -> Daemon:
        return self.stack.daemon(name)

    @property
    def ledger(self) -> Daemon:
        return self.daemon("ledger-svc")

    @property
    def payments(self) -> Daemon:
        return self.daemon("payments-svc")

    @property
    def bank(self) -> Daemon:
        return self.daemon("bank-sim")

    @property
    def cluster(self):
        return self.stack.cluster

    def stop_and_check(self, *, of_the_bank: bool = True, of_the_feed: bool = True) -> None:
        """Stops all services and fails when one did not drain or a sanitizer reported. Databases stay for the caller. A module whose
        tests say themselves what a bank would have said is not held against the bank's record, and one that writes payouts into
        the tables itself is not held against the feed."""
        difference = self._bank_record_differs() if of_the_bank else ""
        difference = difference or (self._feed_differs() if of_the_feed else "")
        self.close()
        drained = self.stack.down()
        reports = self.sanitizer_reports()
        assert not reports, "a sanitizer reported:\n" + "\n".join(reports)
        killed = "\n".join(f"{name}, whose log ends with:\n{end}" for name, end in self.stack.killed.items())
        assert drained, f"did not stop within its grace: {killed}"
        assert not difference, difference

    def _bank_record_differs(self) -> str:
        """Whom, what and when the bank has paid, at the end of every world: see bank_record.py."""
        try:
            self.cluster.start()
            for name in {"bank-sim", *self.bank_of.values()}:
                if not self.daemon(name).alive():
                    self.daemon(name).start()
            BankRecord(self, Bank(self)).check()
        except AssertionError as error:
            return str(error)
        return ""

    def _feed_differs(self) -> str:
        """Whether the feed says what the tables say, at the end of every world: see feed_record.py."""
        self.cluster.start()
        return feed_record.check(self)

    def sanitizer_reports(self) -> list[str]:
        found = []
        for log in sorted((self.stack.folder / "log").glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace")
            match = _REPORT.search(text)
            if match:
                found.append(f"{log}:\n{text[match.start():match.start() + 6000]}")
        return found

    def remove(self) -> None:
        """Its databases in a shared cluster stay until the cluster goes: dropping one waits for a checkpoint, seconds each."""
        self.close()
        self.stack.remove()

    def metric(self, service: str, name: str, **labels: str) -> float:
        return metrics.metric(self.daemon(service), name, **labels)

    def reload_policy(self, more: str) -> str:
        """Entries beside the usual ones. Both services have read them, and judged them, when this returns; the version of the file."""
        self.stack.more_policy = more
        config.replace(self.stack.policy_file, self.stack.policy_text())
        for service in ("payments-svc", "ledger-svc"):
            read = self.metric(service, "authz_policy_reads_total")
            self.daemon(service).signal(signal.SIGHUP)
            wait_until(lambda service=service, read=read: self.metric(service, "authz_policy_reads_total") > read,
                       f"{service} has read the new policy")
        return hashlib.sha256(self.stack.policy_file.read_bytes()).hexdigest()[:12]

    def set_policy(self, more: str) -> None:
        """The same, of a policy that must be taken."""
        version = self.reload_policy(more)
        for service in ("payments-svc", "ledger-svc"):
            assert self.metric(service, "authz_policy_version") == int(version, 16), f"{service} has refused the policy"

    # Clients.

    def channel(self, service: str, identity: str = "test", *, ca: str = "ca", certs: Path | None = None) -> grpc.Channel:
        """A channel to where the service listens now, made once. The service may be an instance's name."""
        port = self._port(service)
        key = (port, identity, ca, certs)
        if key not in self._channels:
            self._channels[key] = rpc.channel(port, certs or self.stack.certs, identity, ca=ca)
        return self._channels[key]

    def _port(self, service: str) -> int:
        """While a service is down, the port that it had: it comes back there, and a call may wait for it."""
        try:
            self._ports[service] = self.daemon(service).ready()["grpc_port"]
        except RunError:
            if service not in self._ports:
                raise
        return self._ports[service]

    def stub(self, proto: str, name: str, service: str, identity: str = "test"):
        """E.g. stub("ledger/v1/ledger", "LedgerService", "ledger-svc")."""
        return getattr(stubs.modules(proto)[1], f"{name}Stub")(self.channel(service, identity))

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    # Databases, as the tests' auditor sees them: rows of strings.

    def ledger_rows(self, sql: str) -> list[list[str]]:
        return self.cluster.rows(self.stack.databases[0], sql)

    def payments_rows(self, sql: str) -> list[list[str]]:
        return self.cluster.rows(self.stack.databases[1], sql)
