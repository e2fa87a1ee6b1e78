"""`--check` opens all that the settings name, so that what stands against a start is said before anything is stopped."""

import subprocess

import pytest
from run.errors import RunError

BROKEN = [
    ("payments-svc", "server.key_file", "../certs/test.key", "the key of the certificate is not the one in"),
    ("payments-svc", "server.ca_file", "../secrets/keyring", "CA file is not PEM"),
    ("payments-svc", "keys.file", "../secrets/bank_api_key", "line 1 of the key file"),
    ("payments-svc", "ach.key_file", "../secrets/keyring", "ach.key_file cannot be read as a private key"),
    ("payments-svc", "ach.host_key_file", "../secrets/none", "ach.host_key_file cannot be read as a public key"),
    ("payments-svc", "ach.fees", "a quarter", "ach.fees must be sums"),
    ("payments-svc", "ach.fees", "EUR 0.25", "ach.fees must be sums in USD"),
    ("payments-svc", "instant.fees", "JPY 1", "instant.fees must be sums in INR,USD"),
    ("payments-svc", "instant.timeout_ms", "9000", "must be at most half of saga.lease_ms"),
    ("payments-svc", "saga.backoff_cap_ms", "1", "saga.attempts_max, backoff_base_ms, backoff_cap_ms"),
    ("payments-svc", "ach.immediate_destination", "121042883", "ach.immediate_destination must be a routing number"),
    ("payments-svc", "ach.upload_dir", "outbox/", "ach.upload_dir is ach.outbox_dir"),
    ("payments-svc", "ach.inbox_dir", "outbox", "ach.inbox_dir is ach.outbox_dir"),
    ("payments-svc", "ach.refusal_reasons", "R03,,R04", "ach.refusal_reasons must be reasons"),
    ("payments-svc", "ach.rebuild_reasons", "*", "ach.rebuild_reasons must be reasons"),
    ("payments-svc", "ach.rebuild_reasons", "bad*header", "ach.rebuild_reasons must be reasons"),
    ("payments-svc", "rail.ach", "instant", "rail.ach must name a connection of the scheme ach"),
    ("payments-svc", "retention.dir", "../secrets/none", "retention.dir is not a folder"),
    ("payments-svc", "instant.api_key_file", "../secrets/none", "none"),
    ("payments-svc", "instant.webhook_secret_file", "../secrets/none", "none"),
    ("payments-svc", "instant.ca_file", "../secrets/none", "instant.ca_file cannot be read"),
    ("payments-svc", "server.policy_file", "../secrets/none", "secrets/none: cannot be opened"),
    ("ledger-svc", "server.policy_file", "ledger-svc.ini", "ledger-svc.ini:3: "),
    ("ledger-svc", "server.cert_file", "../certs/none.crt", "cannot open the certificate file"),
    ("ledger-svc", "audit.key_file", "../secrets/keyring", "key"),
    ("bank-sim", "https.api_key_file", "../secrets/none", "none"),
    ("bank-sim", "https.cert_file", "../certs/none.crt", "https.cert_file: cannot read"),
]


def check(world, service):
    daemon = world.daemon(service)
    return subprocess.run([*daemon.argv, "--check"], capture_output=True, text=True, env=daemon.env, timeout=30, check=False)


def test_what_runs_can_be_checked_beside_it(world):
    for service in ("bank-sim", "ledger-svc", "payments-svc"):
        before = world.daemon(service).ready()
        done = check(world, service)
        assert done.returncode == 0 and "can be used" in done.stdout, done
        assert world.daemon(service).ready() == before


@pytest.mark.parametrize("service, setting, value, said", BROKEN, ids=[f"{row[0]}-{row[1]}-{row[2]}" for row in BROKEN])
def test_a_file_that_cannot_be_used_is_named(new_stopped_world, service, setting, value, said):
    world = new_stopped_world
    known = world.stack.settings[service]
    world.stack.settings[service] = {**known, setting: value}
    try:
        world.stack.configure()
        done = check(world, service)
        assert done.returncode == 2 and said in done.stderr, done
        assert not world.daemon(service).alive()
    finally:
        world.stack.settings[service] = known
        world.stack.configure()


@pytest.fixture(scope="module")
def new_stopped_world(servers):
    """Its files are there, and nothing runs."""
    world = servers.world()
    try:
        world.stack.up_database()
        yield world
    finally:
        world.remove()


def test_up_checks_all_services_before_it_stops_one(new_world):
    """The first service would be restarted with settings that are good; the last one has a file that is not."""
    world = new_world()
    before = {service: world.daemon(service).pid for service in ("bank-sim", "ledger-svc", "payments-svc")}
    world.stack.settings["bank-sim"]["instant.settle_delay_ms"] = 77
    world.stack.settings["payments-svc"]["instant.api_key_file"] = "../secrets/none"
    with pytest.raises(RunError, match="payments-svc would not start with these settings, so nothing was stopped"):
        world.stack.up()
    assert {service: world.daemon(service).pid for service in before} == before
    del world.stack.settings["payments-svc"]["instant.api_key_file"]
    world.stack.up()
    after = {service: world.daemon(service).pid for service in before}
    assert after["bank-sim"] != before["bank-sim"] and after["ledger-svc"] == before["ledger-svc"]
