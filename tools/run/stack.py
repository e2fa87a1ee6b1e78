"""A run folder: cluster, certificates, secrets, settings and the service processes of one whole Disburse."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Callable, Iterator

from . import keys
from .certs import DOMAIN, Authority
from .cluster import Cluster
from .config import TESTING, entry, policy, render, replace
from .errors import RunError
from .layout import PROJECT, clean_environment, free_port, make_private, port_is_free
from .process import Daemon, log_tail, reap

# In the order of start; stopped in the other order.
PERSON = re.compile(r"[A-Za-z0-9._@+-]{1,128}")
SERVICES = ("bank-sim", "ledger-svc", "payments-svc")
MIGRATED = ("ledger-svc", "payments-svc")
LEAVES = ("ledger-svc", "payments-svc", "payctl")
PORTS = ("ledger", "payments", "webhook", "bank_https", "bank_sftp", "bank_admin")
BANK_ROUTING = "091000019"  # nine digits with a valid check digit
MIGRATE_SECONDS_MAX = 120
CHECK_SECONDS_MAX = 30


def quiet(_: str) -> None:
    pass


class Stack:
    """All of one run folder. Several stacks may share a cluster, each with its own pair of databases."""

    def __init__(self, folder: Path, *, build: Path | None = None, cluster: Cluster | None = None,
                 databases: tuple[str, str] = ("disburse_ledger", "disburse_payments"),
                 settings: dict[str, dict[str, object]] | None = None, env: dict[str, str] | None = None,
                 say: Callable[[str], None] = quiet, testing: bool = False):
        self.folder = folder.resolve()
        self.build = build if build is not None else self._recorded_build()
        self.cluster = cluster if cluster is not None else Cluster(self.folder)
        self.owns_cluster = cluster is None
        self.further_clusters: list[Cluster] = []  # standbys, and primaries that were: removed with the rest
        self.databases = databases
        self.settings = {service: dict((settings or {}).get(service, {})) for service in SERVICES}
        self.extra_env = dict(env or {})
        self.more_policy = ""  # entries beside those of tools/dev/policy.conf.in
        self.testing = testing  # whether the identity `test` may do everything
        self.say = say
        self.etc, self.certs = self.folder / "etc", self.folder / "certs"
        self.secrets, self.run = self.folder / "secrets", self.folder / "run"
        self.authority = Authority(self.certs, "ca")
        self.bank_authority = Authority(self.certs, "bank-ca")  # the bank is another house: its own authority
        self.services_file = self.etc / "pg_service.conf"
        self._daemons: dict[str, Daemon] = {}
        self.killed: dict[str, str] = {}  # services that `down` had to kill, and the end of their logs

    # Preparation.

    def prepare(self) -> None:
        """Everything that is a file. Safe to repeat: what exists and is good stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.folder.stat().st_uid == os.geteuid():
            self.folder.chmod(0o711)  # the cluster's user passes through to its own folder, nobody lists ours
        for folder in (self.etc, self.certs, self.secrets, self.run, self.folder / "log", self.folder / "bank"):
            make_private(folder)
        (self.run / "build").write_text(f"{self.build}\n", encoding="utf-8")
        keys.ensure_all(self.secrets)
        self.authority.ensure()
        for leaf in (*LEAVES, "test") if self.testing else LEAVES:
            self.authority.ensure_leaf(leaf)
        self.bank_authority.ensure().ensure_leaf("bank")
        if self.owns_cluster:
            self.cluster.create()

    def configure(self) -> None:
        """Writes the settings of all services; ports stay as they were, unless somebody else has taken them."""
        self.cluster.write_services(self.services_file, *self.databases)
        values = self.values()
        for service in SERVICES:
            render(service, values, self.settings[service], self.etc / f"{service}.ini")
        self.write_policy()
        self._write_env(values)

    @property
    def policy_file(self) -> Path:
        return self.etc / "policy.conf"

    def policy_text(self) -> str:
        return policy((TESTING if self.testing else "") + "".join(self._people()) + self.more_policy)

    @property
    def _people_file(self) -> Path:
        return self.folder / "people.json"

    def _people(self) -> Iterator[str]:
        if self._people_file.exists():
            for name, rights in json.loads(self._people_file.read_text(encoding="utf-8")).items():
                yield entry("identity", f"{DOMAIN}/person/{name}", person=name)
                yield entry("person", name, roles=rights["roles"], merchants=rights["merchants"])

    def add_person(self, name: str, roles: str, merchants: str) -> Path:
        """A certificate in the person's name, and rights in force at once; the file that a shell of the person's reads."""
        if not PERSON.fullmatch(name):
            raise RunError(f"{name} is no name of a person: letters, digits and . _ - @ +")
        if not self.policy_file.exists():
            raise RunError("nothing is set up yet: ./dev up")
        with self.locked():
            before = self._people_file.read_text(encoding="utf-8") if self._people_file.exists() else "{}"
            people = {**json.loads(before), name: {"roles": roles, "merchants": merchants}}
            replace(self._people_file, json.dumps(people, indent=1) + "\n")
            self.write_policy()
            try:
                self.check("payments-svc")
            except RunError:
                replace(self._people_file, before)
                self.write_policy()
                raise
            self.authority.ensure_leaf(f"person-{name}", uri=f"{DOMAIN}/person/{name}")
            return self._write_env(self.values(), name)

    def write_policy(self) -> None:
        """Services that run already read it again."""
        text = self.policy_text()
        if self.policy_file.exists() and self.policy_file.read_text(encoding="utf-8") == text:
            return
        replace(self.policy_file, text)
        for service in MIGRATED:
            if self._runs_as_wanted(service):
                self.daemon(service).signal(signal.SIGHUP)
                self.say(f"{service:<14} reads the new policy")

    def values(self) -> dict[str, object]:
        """The values that templates may name. Paths in them are relative to etc/, and so short."""
        ports = self._ports()
        return {
            **{f"{name}_port": port for name, port in ports.items()},
            "domain": DOMAIN,
            "folder": self.folder,
            "project": PROJECT,
            "descriptors": os.path.relpath(self.build / "proto" / "descriptors.pb", self.etc),
            "migrations": os.path.relpath(PROJECT / "migrations", self.etc),
            "bank_routing": BANK_ROUTING,
            "odfi_routing": BANK_ROUTING[:8],
            "ssh_user": pwd.getpwuid(os.geteuid()).pw_name,
        }

    def _ports(self) -> dict[str, int]:
        path = self.run / "ports.json"
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        running = any(self.daemon(service).alive() for service in SERVICES)
        ports: dict[str, int] = {}
        for name in PORTS:
            port = known.get(name)
            usable = isinstance(port, int) and (running or port_is_free(port))
            ports[name] = port if usable else free_port()
        path.write_text(json.dumps(ports) + "\n", encoding="utf-8")
        return ports

    def _recorded_build(self) -> Path:
        try:
            return Path((self.folder / "run" / "build").read_text(encoding="utf-8").strip())
        except OSError:
            return PROJECT / "build" / "release"

    # Processes.

    def binary(self, program: str) -> Path:
        return self.build / "bin" / program

    def env(self) -> dict[str, str]:
        """The environment of each of our processes, beside the caller's."""
        return {"PGSERVICEFILE": str(self.services_file), **self.extra_env}

    def daemon(self, service: str, *, instance: str | None = None) -> Daemon:
        """The process of a service; a named instance is a further one with settings of its own."""
        name = instance or service
        if name not in self._daemons:
            argv = [str(self.binary(service)), "--config", str(self.etc / f"{name}.ini")]
            self._daemons[name] = Daemon(name, argv, self.folder, env=self.env())
        return self._daemons[name]

    def add_instance(self, service: str, instance: str, settings: dict[str, object]) -> Daemon:
        """A second process of a service on the same database, with the settings that must differ; of bank-sim another bank."""
        own = {"server.ready_file": f"../run/{instance}.ready", "server.listen": "127.0.0.1:0", **settings}
        if service == "bank-sim":
            make_private(self.folder / instance)
            ports = {f"{part}.port": 0 for part in ("https", "sftp", "admin")}
            own = {"bank.dir": f"../{instance}", "bank.ready_file": f"../run/{instance}.ready", **ports, **settings}
        if service == "payments-svc":
            own.setdefault("instant.webhook_port", 0)  # the bank's webhooks go to the first one
        if service == "ledger-svc":
            own.setdefault("audit.heads_file", f"../run/{instance}.heads")  # each process keeps a file of its own
        render(service, self.values(), {**self.settings[service], **own}, self.etc / f"{instance}.ini")
        return self.daemon(service, instance=instance)

    def _fingerprint(self, service: str) -> str:
        """Changes when the program or its settings do."""
        binary = self.binary(service)
        try:
            program = f"{binary} {binary.stat().st_size} {binary.stat().st_mtime_ns}"
        except OSError:
            raise RunError(f"{binary} is missing: run ./dev build") from None
        settings = (self.etc / f"{service}.ini").read_bytes()
        return hashlib.sha256(program.encode() + b"\0" + settings).hexdigest()

    def _started_as(self, service: str) -> Path:
        return self.run / f"{service}.started_as"

    def _runs_as_wanted(self, service: str) -> bool:
        record = self._started_as(service)
        return (self.daemon(service).alive() and record.exists()
                and record.read_text(encoding="ascii") == self._fingerprint(service))

    def migrate(self, service: str) -> None:
        argv = [str(self.binary(service)), "migrate", "--config", str(self.etc / f"{service}.ini")]
        log = self.folder / "log" / f"{service}.migrate.log"
        with log.open("wb") as out:
            try:
                done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder,
                                      env={**clean_environment(), **self.env()}, timeout=MIGRATE_SECONDS_MAX, check=False)
            except FileNotFoundError:
                raise RunError(f"{argv[0]} is missing: run ./dev build") from None
            except subprocess.TimeoutExpired:
                raise RunError(f"{service} migrate took more than {MIGRATE_SECONDS_MAX} s, see {log}") from None
        if done.returncode != 0:
            text = log.read_text(encoding="utf-8", errors="replace").strip()
            raise RunError(f"{service} migrate failed with exit code {done.returncode}:\n{text}")

    def check(self, service: str) -> None:
        """The service opens every file that its settings name, and starts nothing: what stands against it is said before a stop."""
        argv = [str(self.binary(service)), "--check", "--config", str(self.etc / f"{service}.ini")]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd=self.folder, env={**clean_environment(), **self.env()}, timeout=CHECK_SECONDS_MAX, check=False)
        if done.returncode != 0:
            raise RunError(f"{service} would not start with these settings, so nothing was stopped:\n{done.stderr.strip()}")

    def up_database(self) -> None:
        with self.locked():
            if not self.run.is_dir():
                reap(self.folder)  # what outlived a run folder that somebody deleted
            self.prepare()
            if self.owns_cluster:
                self.say(f"PostgreSQL     {self.cluster.folder}")
                self.cluster.start()
                self.cluster.provision(*self.databases)
            self.configure()

    def up(self) -> None:
        """From nothing, or from any half of it, to three services that accept calls."""
        self.up_database()
        with self.locked():
            for service in SERVICES:
                if not self._runs_as_wanted(service):
                    self.check(service)
            for service in SERVICES:
                daemon = self.daemon(service)
                if daemon.alive() and not self._runs_as_wanted(service):
                    self.say(f"{service:<14} has another program or other settings now: restarting it")
                    daemon.stop()
                if not daemon.alive():
                    if service in MIGRATED:
                        self.migrate(service)
                    self._started_as(service).write_text(self._fingerprint(service), encoding="ascii")
                    daemon.start(wait=False)
                ready = daemon.wait_ready()
                ports = ", ".join(f"{name} {ready[name]}" for name in sorted(ready) if name.endswith("_port"))
                self.say(f"{service:<14} pid {daemon.pid}, {ports}")

    def down(self) -> bool:
        """Stops in order. False: some service did not drain in time and was killed; `killed` has the end of its log."""
        if not self.folder.is_dir():
            return True
        drained = True
        with self.locked():
            for daemon in reversed(self._known_daemons()):
                if daemon.alive():
                    clean = daemon.stop()
                    drained = drained and clean
                    if not clean:
                        self.killed[daemon.name] = log_tail(daemon.log_file)
                    self.say(f"{daemon.name:<14} {'stopped' if clean else 'did not stop in time: killed'}")
            left = reap(self.folder)
            if left:
                self.say(f"ended {left} more process(es) of this folder")
            if self.owns_cluster and self.cluster.running():
                self.cluster.stop()
                self.say("PostgreSQL     stopped")
        return drained

    def _known_daemons(self) -> list[Daemon]:
        names = [path.stem for path in sorted(self.run.glob("*.pid"))] if self.run.is_dir() else []
        ordered = [name for name in SERVICES if name in names] + [name for name in names if name not in SERVICES]
        return [self._daemons.get(name) or Daemon(name, [], self.folder) for name in ordered]

    def remove(self) -> None:
        """Stops all of it, at once, and leaves nothing behind."""
        for daemon in self._known_daemons():
            daemon.kill()
        if self.folder.is_dir():
            reap(self.folder, grace_s=1)
        for cluster in self.further_clusters:
            cluster.remove()
        if self.owns_cluster:
            self.cluster.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def status(self) -> list[tuple[str, str]]:
        """(name, state) of each part, for a person."""
        running = self.folder.is_dir() and self.cluster.running()
        parts = [("PostgreSQL", f"running, socket {self.cluster.socket}" if running else "stopped")]
        for service in SERVICES:
            daemon = self.daemon(service)
            text = "stopped"
            if daemon.alive():
                try:
                    ready = daemon.ready()
                    ports = ", ".join(f"{name} {ready[name]}" for name in sorted(ready) if name.endswith("_port"))
                    text = f"running, pid {daemon.pid}, {ports}"
                except RunError:
                    text = f"starting, pid {daemon.pid}"
            parts.append((service, text))
        return parts

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One `up` or `down` of a folder at a time; the lock goes with the process that holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("waiting for another ./dev that works on the same folder")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # For a person's shell and payctl.

    def client_env(self) -> dict[str, str]:
        return self._client_env(self.values())

    def _client_env(self, values: dict[str, object]) -> dict[str, str]:
        return {
            "PAYCTL_PAYMENTS": f"127.0.0.1:{values['payments_port']}",
            "PAYCTL_LEDGER": f"127.0.0.1:{values['ledger_port']}",
            "PAYCTL_BANK": f"127.0.0.1:{values['bank_admin_port']}",
            "PAYCTL_CA_FILE": str(self.authority.cert_file),
            "PAYCTL_CERT_FILE": str(self.certs / "payctl.crt"),
            "PAYCTL_KEY_FILE": str(self.certs / "payctl.key"),
            "PAYCTL_SERVER_NAME": "localhost",
            "PGSERVICEFILE": str(self.services_file),
            "no_proxy": "127.0.0.1,localhost",
        }

    def _write_env(self, values: dict[str, object], person: str | None = None) -> Path:
        path = self.folder / (f"env.{person}" if person else "env")
        variables = self._client_env(values)
        if person:
            variables |= {"PAYCTL_CERT_FILE": str(self.certs / f"person-{person}.crt"),
                          "PAYCTL_KEY_FILE": str(self.certs / f"person-{person}.key")}
        lines = [f"# For a shell: `. .run/{path.name}`, then payctl, or psql service=ledger_auditor."]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        lines.append(f"export PATH={shlex.quote(str(self.build / 'bin'))}:\"$PATH\"")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path
