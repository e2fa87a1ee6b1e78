"""examples/pay_client.py is what docs/clients.md says: it makes its stubs, pays once, and reads why it is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
from run.layout import PROJECT, clean_environment
from support.bank_record import Person
from support.paying import Payer, unique


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


def run(payer, tmp_path, *words, **env):
    variables = {**clean_environment(), **payer.world.stack.client_env(), **env}
    done = subprocess.run([sys.executable, PROJECT / "examples" / "pay_client.py", "--stubs", tmp_path / "stubs", *words], env=variables,
                          capture_output=True, text=True, timeout=120, check=False)
    merchant, reference = words[:2]
    payer.world.people.by_reference[merchant, reference].append(Person("021000021", "0001234567", "Ann Example"))
    return done.returncode, done.stdout, done.stderr


def test_it_pays_once_however_often_it_is_run(payer, tmp_path):
    merchant, reference = payer.merchant(deposit=10_000), unique("invoice")
    first = run(payer, tmp_path, merchant.id, reference, "1234")
    assert first[0] == 0 and "PAYOUT_STATE_SETTLED" in first[1], first
    assert run(payer, tmp_path, merchant.id, reference, "1234") == first
    assert merchant.balance() == (10_000 - 1_234, 0, 10_000 - 1_234)
    (payout,) = merchant.payouts()
    assert payout.external_reference == reference


def test_it_tells_why_it_is_refused(payer, tmp_path):
    merchant, reference = payer.merchant(deposit=1_000), unique("invoice")
    code, out, err = run(payer, tmp_path, merchant.id, reference, "-5")
    assert (code, out) == (3, "") and err.startswith("INVALID_ARGUMENT AMOUNT_NOT_POSITIVE payout.amount_minor: "), err
    assert run(payer, tmp_path, merchant.id, reference, "500")[0] == 0
    code, _, err = run(payer, tmp_path, merchant.id, reference, "501")
    assert code == 3 and err.startswith("ALREADY_EXISTS IDEMPOTENCY_KEY_REUSED "), err
    code, out, _ = run(payer, tmp_path, merchant.id, unique("invoice"), "2000")
    assert code == 1 and "INSUFFICIENT_FUNDS" in out


def test_without_the_environment_it_says_what_is_missing(payer, tmp_path):
    code, _, err = run(payer, tmp_path, "nobody", unique("invoice"), "1", PAYCTL_CERT_FILE="")
    assert code != 0
    assert err.startswith("PAYCTL_CERT_FILE must be set") and "Traceback" not in err, err
