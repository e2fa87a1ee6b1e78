"""A private PostgreSQL 15 cluster: a unix socket in a private folder, no TCP at all, never run by root."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from . import keys
from .errors import RunError
from .layout import clean_environment, cluster_folder, database_user, make_private, popen_as
from .process import log_tail

BIN = Path("/usr/lib/postgresql/15/bin")
ADMIN = "disburse_admin"
# Role -> the kind of database that it works in. Nobody logs in as the owner of schema and tables: the migrator takes its role while
# it migrates (`SET ROLE`, as an option of its connection), and can do nothing to a table without that.
OWNERS = ("ledger_owner", "payments_owner")
LEDGER_ROLES = ("ledger_migrator", "ledger_service", "ledger_sealer", "ledger_auditor")
PAYMENTS_ROLES = ("payments_migrator", "payments_service")
ROLES = LEDGER_ROLES + PAYMENTS_ROLES
START_SECONDS_MAX = 60
PORT = "5432"  # only a part of the socket's name

SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    "log_min_duration_statement": "1000",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "idle_in_transaction_session_timeout": "60s",
}


class Cluster:
    """The cluster of a run folder. Its data may lie elsewhere (see layout.cluster_folder)."""

    def __init__(self, run: Path, *, settings: dict[str, str] | None = None, sync: bool = True):
        self.run = run.resolve()
        self.folder = cluster_folder(self.run)
        self.data = self.folder / "data"
        self.socket = self.folder / "socket"
        self.log_file = self.folder / "postgres.log"
        self.secrets = self.run / "secrets"
        self.user = database_user()
        self.settings = {**SETTINGS, **(settings or {})}
        self.sync = sync  # of initdb only: fsync of the running server is always on

    # The server's life.

    def create(self) -> None:
        """Makes the data folder; what an interrupted run left of one is thrown away."""
        if self._exists():
            if keys.password_file(self.secrets, ADMIN).exists():
                return
            self.remove()  # the run folder was deleted, and with it every key to what this cluster holds
        self.run.mkdir(parents=True, exist_ok=True)
        make_private(self.secrets)
        make_private(self.folder, self.user)
        make_private(self.socket, self.user)
        unfinished, password_file = self.folder / "data.new", self.folder / "password"
        self._tool("rm", "-rf", str(unfinished))
        self._tool("tee", str(password_file), input=keys.ensure_password(self.secrets, ADMIN))
        try:
            self._tool(str(BIN / "initdb"), "-D", str(unfinished), "-U", ADMIN, f"--pwfile={password_file}",
                       "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
                       "--no-instructions", *([] if self.sync else ["--no-sync"]))
        finally:
            self._tool("rm", "-f", str(password_file))
        self._tool("mv", str(unfinished), str(self.data))

    def running(self) -> bool:
        done = self._tool(str(BIN / "pg_ctl"), "status", "-D", str(self.data), check=False)
        return done.returncode == 0

    def start(self) -> None:
        if self.running():
            return
        settings = {**self.settings, "unix_socket_directories": str(self.socket)}
        options = " ".join("-c " + shlex.quote(f"{name}={value}") for name, value in settings.items())
        # The log is pg_ctl's and the server's stdout too, so that neither keeps a pipe of ours open.
        done = self._tool(str(BIN / "pg_ctl"), "start", "-w", "-s", "-t", str(START_SECONDS_MAX), "-D", str(self.data),
                          "-l", str(self.log_file), "-o", options, check=False, capture=False)
        if done.returncode != 0:
            raise RunError(f"PostgreSQL did not start; the end of {self.log_file}:\n{log_tail(self.log_file)}")

    def stop(self, mode: str = "fast") -> None:
        """fast = clean; immediate = as a crash, recovered from the write-ahead log at the next start."""
        if not self.running():
            return
        self._tool(str(BIN / "pg_ctl"), "stop", "-w", "-s", "-t", "60", "-m", mode, "-D", str(self.data))

    def remove(self) -> None:
        if self._exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    # A second server that follows this one.

    def standby(self, run: Path, *, name: str = "standby") -> Cluster:
        """A copy of this running cluster that streams from it, started. `name` is what synchronous_standby_names may list."""
        made = Cluster(run, settings=self.settings, sync=self.sync)
        made.secrets = self.secrets  # its roles are ours
        made.run.mkdir(parents=True, exist_ok=True)
        made.settings.pop("synchronous_standby_names", None)
        make_private(made.folder, made.user)
        make_private(made.socket, made.user)
        password = made.folder / "passfile"
        made._tool("tee", str(password), input=f"*:*:*:{ADMIN}:{keys.ensure_password(self.secrets, ADMIN)}\n")
        source = f"host={self.socket} port={PORT} user={ADMIN} passfile={password} application_name={name}"
        made._tool(str(BIN / "pg_basebackup"), "-D", str(made.data), "-d", source, "-w", "-X", "stream", "-R",
                   "--checkpoint=fast", *([] if self.sync else ["--no-sync"]))
        made.start()
        return made

    def caught_up(self, name: str = "standby") -> bool:
        """Whether the standby has all that this cluster has written."""
        rows = self.rows("postgres", "SELECT flush_lsn >= pg_current_wal_flush_lsn() FROM pg_stat_replication "
                                     f"WHERE application_name = '{name}' AND state = 'streaming'")
        return rows == [["t"]]

    def take_over(self, primary: Cluster) -> None:
        """This standby becomes the primary, where that one was: its clients find it at the same socket. That one is stopped already."""
        self.stop()
        self.socket = primary.socket
        self.start()
        self._tool(str(BIN / "pg_ctl"), "promote", "-w", "-s", "-t", "60", "-D", str(self.data))

    # Roles and databases.

    def provision(self, ledger: str = "disburse_ledger", payments: str = "disburse_payments") -> None:
        """The roles and a pair of databases; all of it may exist already."""
        script = ["\\set QUIET on"]
        for owner, (migrator, *_) in zip(OWNERS, (LEDGER_ROLES, PAYMENTS_ROLES), strict=True):
            script.append(f"SELECT 'CREATE ROLE {owner}' WHERE NOT EXISTS "
                          f"(SELECT FROM pg_roles WHERE rolname = '{owner}') \\gexec")
            script.append(f"ALTER ROLE {owner} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;")
        for role in ROLES:
            verifier = keys.scram_verifier(keys.ensure_password(self.secrets, role))
            script.append(f"SELECT 'CREATE ROLE {role}' WHERE NOT EXISTS "
                          f"(SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec")
            script.append(f"ALTER ROLE {role} LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
                          f"PASSWORD '{verifier}';")
        script.append("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;")
        for database in (ledger, payments):
            script.append(f"SELECT 'CREATE DATABASE {database}' WHERE NOT EXISTS "
                          f"(SELECT FROM pg_database WHERE datname = '{database}') \\gexec")
        for owner, database, roles in zip(OWNERS, (ledger, payments), (LEDGER_ROLES, PAYMENTS_ROLES), strict=True):
            script.append(f"GRANT {owner} TO {roles[0]};")
            script.extend(_grants(database, owner, roles))
        self.psql("postgres", "\n".join(script) + "\n")

    def write_services(self, target: Path, ledger: str, payments: str) -> None:
        """pg_service.conf: names for connections, so that `service=ledger_service` is a whole connection string."""
        lines = []
        for roles, database in ((LEDGER_ROLES, ledger), (PAYMENTS_ROLES, payments), ((ADMIN,), "postgres")):
            for role in roles:
                lines += [f"[{role}]", f"host={self.socket}", f"port={PORT}", f"dbname={database}", f"user={role}",
                          f"passfile={keys.password_file(self.secrets, role)}", ""]
        target.write_text("\n".join(lines), encoding="utf-8")

    def psql(self, database: str, sql: str, *, role: str = ADMIN) -> str:
        """Runs a script, stops at its first error; the rows come back one a line, fields apart by '|'."""
        env = {**clean_environment(), "PGPASSFILE": str(keys.password_file(self.secrets, role)),
               "PGCONNECT_TIMEOUT": "10"}
        done = subprocess.run(
            [str(BIN / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.socket), "-p", PORT,
             "-U", role, "-d", database, "-w"], input=sql, capture_output=True, text=True, env=env, check=False)
        if done.returncode != 0:
            raise RunError(f"SQL failed in {database}: {done.stderr.strip()}")
        return done.stdout

    def rows(self, database: str, sql: str, *, role: str = ADMIN) -> list[list[str]]:
        return [line.split("|") for line in self.psql(database, sql, role=role).splitlines()]

    def copy_database(self, source: str, target: str) -> None:
        """A database as the template is, grants included; nobody may be connected to the template."""
        self.psql("postgres", f"CREATE DATABASE {target} TEMPLATE {source};\n")
        owner, roles = (OWNERS[0], LEDGER_ROLES) if "ledger" in source else (OWNERS[1], PAYMENTS_ROLES)
        self.psql("postgres", "\n".join(_database_grants(target, owner, roles)))

    def drop_database(self, name: str) -> None:
        self.psql("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE);\n")

    # Commands as the cluster's user.

    def _exists(self) -> bool:
        done = self._tool("test", "-f", str(self.data / "PG_VERSION"), check=False)
        return done.returncode == 0

    def _tool(self, *argv: str, input: str | None = None, check: bool = True,
              capture: bool = True) -> subprocess.CompletedProcess:
        streams: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if capture else {
            "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if input is None:
            streams["stdin"] = subprocess.DEVNULL
        cwd = str(self.folder) if self.folder.is_dir() else "/"
        done = subprocess.run(argv, input=input, text=True, cwd=cwd, umask=0o077, check=False, **streams,
                              **popen_as(self.user))
        if check and done.returncode != 0:
            raise RunError(f"{Path(argv[0]).name} failed:\n{(done.stdout or '').strip()}")
        return done


def _database_grants(database: str, owner: str, roles: tuple[str, ...]) -> list[str]:
    """Deny by default; only the owner may create."""
    return [
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC;",
        f"GRANT CONNECT ON DATABASE {database} TO {', '.join(roles)};",
        f"GRANT CREATE ON DATABASE {database} TO {owner};",
    ]


def _grants(database: str, owner: str, roles: tuple[str, ...]) -> list[str]:
    return _database_grants(database, owner, roles) + [
        f"\\connect {database}",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
        f"ALTER SCHEMA public OWNER TO {owner};",
        f"GRANT USAGE ON SCHEMA public TO {', '.join(roles)};",
        # In a database that was made when the migrator still owned the tables, they change hands.
        f"REVOKE CREATE ON DATABASE {database} FROM {roles[0]};",
        f"REASSIGN OWNED BY {roles[0]} TO {owner};",
    ]
