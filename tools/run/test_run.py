"""The environment, with a real PostgreSQL and with small stand-ins for the services."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from run import Authority, Cluster, Identity, RunError, Stack, config, keys, layout, process  # noqa: E402
from run.__main__ import sweep_folder  # noqa: E402

# A stand-in for a service: writes its ready file, ends on SIGTERM, misbehaves when the environment says so.
PROGRAM = """#!/usr/bin/python3
import configparser, json, os, pathlib, signal, subprocess, sys
assert sys.argv[-2] == "--config"
file = pathlib.Path(sys.argv[-1])
settings = configparser.ConfigParser(interpolation=None, strict=True)
settings.read(file)
if sys.argv[1] == "migrate":
    assert settings["migrate"]["conninfo"].startswith("service=")
    sys.exit(int(os.environ.get("FAKE_MIGRATE_EXIT", "0")))
if sys.argv[1] == "--check":
    print("a file is missing", file=sys.stderr)
    sys.exit(int(os.environ.get("FAKE_CHECK_EXIT", "0")))
how = os.environ.get("FAKE", "")
if how == "die":
    print("could not start: the reason", flush=True)
    sys.exit(7)
if how == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if how == "orphan":
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
if how != "silent":
    ready = file.parent / settings["server" if "server" in settings else "bank"]["ready_file"]
    ready.write_text(json.dumps({"pid": os.getpid(), "grpc_port": 1}))
signal.pause()
"""


@pytest.fixture(scope="module")
def place():
    """Short, and passable for the database's user."""
    with tempfile.TemporaryDirectory(prefix="disburse-run-", dir="/tmp") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def build(place):
    folder = place / "build"
    (folder / "bin").mkdir(parents=True)
    for name in ("bank-sim", "ledger-svc", "payments-svc"):
        program = folder / "bin" / name
        program.write_text(PROGRAM, encoding="utf-8")
        program.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def cluster(place):
    made = Cluster(place / "shared", sync=False)
    made.create()
    made.start()
    made.provision()
    yield made
    made.remove()
    assert not made.folder.exists()


@pytest.fixture
def stack(place, build, cluster):
    with tempfile.TemporaryDirectory(dir=place) as name:
        made = Stack(Path(name) / "s", build=build, cluster=cluster)
        yield made
        made.remove()
        assert process.marked(made.folder) == []


def daemon_names(stack):
    return [name for name, text in stack.status() if text.startswith("running")]


class TestCluster:
    def test_it_is_private(self, cluster):
        assert cluster.psql("postgres", "SHOW listen_addresses").strip() == ""
        assert cluster.psql("postgres", "SHOW fsync").strip() == "on"
        for folder in (cluster.folder, cluster.socket, cluster.data):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert cluster.folder.stat().st_uid != 0

    def test_the_server_is_not_root(self, cluster):
        pid = (cluster.data / "postmaster.pid").read_text(encoding="ascii").split()[0]
        assert Path(f"/proc/{pid}").stat().st_uid != 0

    def test_a_password_is_needed(self, cluster):
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        argv = ["/usr/bin/psql", "-w", "-h", str(cluster.socket), "-U", "ledger_service",
                "-d", "disburse_ledger", "-c", "SELECT 1"]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert done.returncode != 0 and "password" in done.stderr

    @pytest.mark.parametrize("role, database", [
        ("payments_service", "disburse_ledger"), ("payments_migrator", "disburse_ledger"),
        ("ledger_service", "disburse_payments"), ("ledger_auditor", "disburse_payments"), ("ledger_service", "postgres"),
    ])
    def test_a_role_stays_in_its_database(self, cluster, role, database):
        with pytest.raises(RunError, match="permission denied for database"):
            cluster.psql(database, "SELECT 1", role=role)

    @pytest.mark.parametrize("role", ["ledger_service", "ledger_auditor", "ledger_migrator"])
    @pytest.mark.parametrize("statement", ["CREATE TABLE t (a int)", "CREATE SCHEMA s", "CREATE TEMP TABLE t (a int)"])
    def test_only_the_owner_creates(self, cluster, role, statement):
        with pytest.raises(RunError, match="permission denied"):
            cluster.psql("disburse_ledger", statement, role=role)

    def test_the_migrator_creates_as_the_owner(self, cluster):
        for database, kind in (("disburse_ledger", "ledger"), ("disburse_payments", "payments")):
            sql = f"SET ROLE {kind}_owner; CREATE TABLE made (a int); DROP TABLE made; CREATE SCHEMA made; DROP SCHEMA made;"
            cluster.psql(database, sql, role=f"{kind}_migrator")

    @pytest.mark.parametrize("kind", ["ledger", "payments"])
    def test_nobody_else_is_the_owner(self, cluster, kind):
        member = cluster.rows("postgres", "SELECT m.rolname FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member "
                                          f"WHERE a.roleid = '{kind}_owner'::regrole")
        assert member == [[f"{kind}_migrator"]]
        assert cluster.rows("postgres", f"SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = '{kind}_owner'") == [["f", "f"]]
        assert cluster.rows("postgres", f"SELECT rolinherit FROM pg_roles WHERE rolname = '{kind}_migrator'") == [["f"]]

    def test_provision_again_and_copies(self, cluster):
        # Like a table that the migrator made before there was an owner.
        cluster.psql("disburse_ledger", "CREATE TABLE kept (a int); INSERT INTO kept VALUES (7); "
                                        "ALTER TABLE kept OWNER TO ledger_migrator;")
        cluster.provision()
        cluster.copy_database("disburse_ledger", "ledger_copy")
        with pytest.raises(RunError, match="permission denied for table kept"):
            cluster.psql("ledger_copy", "SELECT a FROM kept", role="ledger_migrator")
        assert cluster.rows("ledger_copy", "SET ROLE ledger_owner; SELECT a, a + 1 FROM kept", role="ledger_migrator") == [["7", "8"]]
        with pytest.raises(RunError, match="permission denied"):
            cluster.psql("ledger_copy", "SELECT 1", role="payments_service")
        cluster.drop_database("ledger_copy")
        cluster.psql("disburse_ledger", "DROP TABLE kept")

    def test_it_survives_an_immediate_stop(self, place):
        with tempfile.TemporaryDirectory(dir=place) as name:
            Path(name).chmod(0o711)
            made = Cluster(Path(name) / "c", sync=False)
            made.create()
            made.start()
            made.psql("postgres", "CREATE TABLE t (a int); INSERT INTO t VALUES (1);")
            made.stop("immediate")
            assert not made.running()
            made.create()
            made.start()
            assert made.psql("postgres", "SELECT a FROM t").strip() == "1"
            made.remove()

    def test_a_cluster_whose_run_folder_was_deleted_is_made_anew(self, place):
        with tempfile.TemporaryDirectory(dir=place) as name:
            Path(name).chmod(0o711)
            made = Cluster(Path(name) / "c", sync=False)
            made.create()
            made.start()
            subprocess.run(["rm", "-rf", str(made.secrets)], check=True)
            made.create()
            made.start()
            made.provision()
            made.remove()

    def test_a_long_path_moves_the_cluster(self, place):
        run = place / ("x" * 90)
        moved = layout.cluster_folder(run)
        assert moved.parent == Path("/var/tmp") and moved == layout.fallback_folder(run)
        assert layout.cluster_folder(place / "short") == place.resolve() / "short" / "pg"

    def test_a_folder_of_somebody_else_is_refused(self, place):
        open_folder = place / "open"
        open_folder.mkdir()
        open_folder.chmod(0o755)
        with pytest.raises(RunError, match="not a private folder"):
            layout.make_private(open_folder)
        (place / "link").symlink_to("/etc")
        with pytest.raises(RunError, match="not a private folder"):
            layout.make_private(place / "link")


    def test_the_callers_variables_do_not_lead_elsewhere(self, cluster, monkeypatch):
        for name, value in (("PGHOST", "/nowhere"), ("PGPORT", "1"), ("PGUSER", "x"), ("PGOPTIONS", "-c junk=1")):
            monkeypatch.setenv(name, value)
        assert cluster.psql("postgres", "SELECT 1").strip() == "1"
        cluster.stop()
        cluster.start()
        assert cluster.psql("postgres", "SELECT 1").strip() == "1"


class TestCertificates:
    def text(self, path):
        argv = ["openssl", "x509", "-in", str(path), "-noout", "-text"]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def test_a_leaf_is_an_svid(self, tmp_path):
        authority = Authority(tmp_path).ensure()
        cert, key = authority.ensure_leaf("ledger-svc")
        text = self.text(cert)
        assert "URI:spiffe://disburse/ledger-svc, DNS:localhost, IP Address:127.0.0.1" in text
        assert text.count("URI:") == 1 and "CA:FALSE" in text and "prime256v1" in text
        assert "X509v3 Key Usage: critical\n                Digital Signature\n" in text
        assert "TLS Web Server Authentication, TLS Web Client Authentication" in text
        subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", str(authority.cert_file), str(cert)],
                       check=True, capture_output=True)
        for secret in (key, authority.key_file):
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600

    def test_what_is_good_is_kept_and_the_rest_is_renewed(self, tmp_path):
        authority = Authority(tmp_path).ensure()
        cert, _ = authority.ensure_leaf("a")
        before = cert.read_bytes()
        authority.ensure().ensure_leaf("a")
        assert cert.read_bytes() == before
        authority.issue("a", days=1)
        soon = cert.read_bytes()
        authority.ensure_leaf("a")
        assert cert.read_bytes() != soon
        authority.cert_file.unlink()
        before = cert.read_bytes()
        authority.ensure().ensure_leaf("a")
        assert cert.read_bytes() != before


class TestSettings:
    def test_placeholders(self):
        assert config.fill("a = @x@@y_1@", {"x": 1, "y_1": "z"}, "t") == "a = 1z"
        with pytest.raises(RunError, match="t: nothing is known about @w@"):
            config.fill("@w@", {}, "t")

    def test_overrides(self):
        text = "[a]\nx = 1\n; x = 9\n[b]\nx = 2\n"
        assert config.override(text, {"b.x": 3}) == "[a]\nx = 1\n; x = 9\n[b]\nx = 3\n"
        assert config.override(text, {"a.y": 4}) == "[a]\ny = 4\nx = 1\n; x = 9\n[b]\nx = 2\n"
        assert config.override(text, {"c.z": 5}) == text + "[c]\nz = 5\n"
        assert config.override(text, {"c.d.z": 5, "c.d.y": 6}) == text + "[c.d]\ny = 6\nz = 5\n"

    def test_a_line_that_inih_would_cut_is_refused(self, tmp_path, monkeypatch):
        (tmp_path / "t.ini.in").write_text("[a]\nx = @x@\n", encoding="utf-8")
        monkeypatch.setattr(config, "TEMPLATES", tmp_path)
        with pytest.raises(RunError, match="too long"):
            config.render("t", {"x": "y" * 200}, {}, tmp_path / "t.ini")

    def test_scram_verifier_is_accepted_by_the_server(self, cluster):
        verifier = keys.scram_verifier("secret")
        cluster.psql("postgres", f"CREATE ROLE scram_test LOGIN PASSWORD '{verifier}'; GRANT CONNECT ON DATABASE "
                                 "postgres TO scram_test;")
        keys.write_secret(keys.password_file(cluster.secrets, "scram_test"), "*:*:*:scram_test:secret\n")
        assert cluster.psql("postgres", "SELECT current_user", role="scram_test").strip() == "scram_test"
        keys.write_secret(keys.password_file(cluster.secrets, "scram_test"), "*:*:*:scram_test:wrong\n")
        with pytest.raises(RunError, match="password authentication failed"):
            cluster.psql("postgres", "SELECT 1", role="scram_test")
        cluster.psql("postgres", "REVOKE ALL ON DATABASE postgres FROM scram_test; DROP ROLE scram_test;")


class TestStack:
    def test_up_again_and_down(self, stack):
        stack.up()
        assert daemon_names(stack) == ["PostgreSQL", "bank-sim", "ledger-svc", "payments-svc"]
        pids = {name: stack.daemon(name).pid for name in ("bank-sim", "ledger-svc", "payments-svc")}
        again = Stack(stack.folder, build=stack.build, cluster=stack.cluster)
        again.up()
        assert {name: again.daemon(name).pid for name in pids} == pids
        assert Stack(stack.folder, cluster=stack.cluster).down()
        assert daemon_names(stack) == ["PostgreSQL"]  # the shared cluster is not this stack's to stop
        assert again.down()

    def test_what_has_changed_is_restarted_and_nothing_else(self, stack):
        stack.up()
        pids = {name: stack.daemon(name).pid for name in ("bank-sim", "ledger-svc", "payments-svc")}
        changed = Stack(stack.folder, build=stack.build, cluster=stack.cluster, databases=stack.databases,
                        settings={"bank-sim": {"faults.slow_pct": 5}})
        changed.up()
        assert changed.daemon("bank-sim").pid != pids.pop("bank-sim")
        assert {name: changed.daemon(name).pid for name in pids} == pids

    def test_ports_are_kept_over_a_restart(self, stack):
        stack.up()
        ports = stack.values()["ledger_port"], stack.values()["payments_port"]
        stack.down()
        stack.up()
        assert (stack.values()["ledger_port"], stack.values()["payments_port"]) == ports

    def test_secrets_are_private_and_not_in_the_settings(self, stack):
        stack.up_database()
        settings = "".join(path.read_text(encoding="utf-8") for path in stack.etc.iterdir())
        for secret in stack.secrets.iterdir():
            if secret.suffix != ".pub":
                assert stat.S_IMODE(secret.stat().st_mode) == 0o600
                assert secret.read_text(encoding="ascii").strip().split(":")[-1].split()[-1] not in settings

    def test_kill_and_restart(self, stack):
        stack.up()
        ledger = stack.daemon("ledger-svc")
        ledger.kill()
        assert not ledger.alive() and ledger.exit_code == -signal.SIGKILL
        ledger.start()
        assert ledger.alive()

    def test_pause_and_stop(self, stack):
        stack.up()
        ledger = stack.daemon("ledger-svc")
        ledger.pause()
        assert ledger.alive()
        assert ledger.stop(grace_s=5)
        assert not ledger.alive()

    def test_two_instances(self, stack):
        stack.up()
        second = stack.add_instance("payments-svc", "payments-svc.2", {"saga.workers": 1})
        second.start()
        assert second.pid != stack.daemon("payments-svc").pid
        assert "workers = 1" in (stack.etc / "payments-svc.2.ini").read_text(encoding="utf-8")
        stack.down()
        assert not second.alive()

    def test_a_service_that_dies_is_told_with_its_log(self, stack):
        stack.up()
        bank = stack.daemon("bank-sim")
        bank.stop()
        with pytest.raises(RunError, match=r"(?s)bank-sim ended with exit code 7.*could not start: the reason"):
            bank.start(env={"FAKE": "die"})

    def test_a_service_that_never_gets_ready(self, stack):
        stack.up()
        bank = stack.daemon("bank-sim")
        bank.stop()
        with pytest.raises(RunError, match="was not ready after"):
            bank.start(env={"FAKE": "silent"}, timeout_s=0.3)

    def test_a_deaf_service_is_killed_and_told(self, stack):
        stack.up()
        bank = stack.daemon("bank-sim")
        bank.stop()
        bank.start(env={"FAKE": "deaf"})
        assert not bank.stop(grace_s=0.3)
        assert not bank.alive()

    def test_orphans_are_ended_too(self, stack):
        stack.up()
        bank = stack.daemon("bank-sim")
        bank.stop()
        bank.start(env={"FAKE": "orphan"})
        bank.kill()
        assert len(process.marked(stack.folder)) == 3  # two services and the orphan
        stack.down()
        assert process.marked(stack.folder) == []

    def test_a_failed_migration_stops_the_start(self, stack):
        stack.extra_env["FAKE_MIGRATE_EXIT"] = "4"
        with pytest.raises(RunError, match="ledger-svc migrate failed with exit code 4"):
            stack.up()

    def test_settings_that_are_refused_stop_nothing(self, stack):
        stack.up()
        pids = {name: stack.daemon(name).pid for name in ("bank-sim", "ledger-svc", "payments-svc")}
        changed = Stack(stack.folder, build=stack.build, cluster=stack.cluster, databases=stack.databases,
                        settings={"bank-sim": {"faults.slow_pct": 5}}, env={"FAKE_CHECK_EXIT": "2"})
        with pytest.raises(RunError, match="bank-sim would not start with these settings, so nothing was stopped:\na file is missing"):
            changed.up()
        assert {name: stack.daemon(name).pid for name in pids} == pids

    def test_a_reused_pid_is_not_ours(self, stack):
        stack.up()
        # As another program: the starter of the process would wait for its end.
        ledger = Stack(stack.folder, build=stack.build, cluster=stack.cluster).daemon("ledger-svc")
        real = ledger.identity
        mine = Identity.of(os.getpid())
        Identity(mine.pid, mine.start_ticks - 1, mine.boot_id).save(ledger.pid_file)
        assert not ledger.alive()
        ledger.kill()  # must not reach this very process
        real.save(ledger.pid_file)
        assert ledger.alive()

    @pytest.mark.parametrize("below", ["a", "lane/a"])
    def test_a_test_folder_is_swept_with_all_that_runs_in_it(self, place, build, below):
        folder = place / "sweep"
        (folder / below).parent.mkdir(mode=0o711, parents=True)
        folder.chmod(0o711)
        made = Stack(folder / below, build=build)
        made.cluster.sync = False
        made.up()
        daemons = [made.daemon(name).identity for name in ("bank-sim", "ledger-svc", "payments-svc")]
        postmaster = int((made.cluster.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        sweep_folder(folder)
        assert not folder.exists() and not any(identity.alive() for identity in daemons)
        assert Identity.of(postmaster) is None

    def test_ready_file_of_an_earlier_life_is_not_believed(self, stack):
        stack.up()
        bank = stack.daemon("bank-sim")
        bank.kill()
        bank.ready_file.write_text(json.dumps({"pid": 1}), encoding="utf-8")
        bank.start()
        assert bank.ready()["pid"] == bank.pid
