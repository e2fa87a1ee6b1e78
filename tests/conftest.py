"""Fixtures of all integration tests. `./dev test integration` sets the folder and the build that they work with."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

# gRPC's handlers before a fork wait for threads of its own, now and then for ever. What the tests fork becomes another program at once.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

HERE = Path(__file__).resolve().parent
# Tests lie in folders by subject; a test may use what another file offers, in whatever folder that is.
SUBJECTS = sorted({str(path.parent) for path in HERE.glob("*/test_*.py") if path.parent.name != "support"})
sys.path[:0] = [str(HERE), str(HERE.parent / "tools"), *SUBJECTS]

from support import lanes  # noqa: E402

lanes.take_ports()

from support.world import Servers, World  # noqa: E402


def pytest_addoption(parser):
    """The options that `./dev test crash` passes on: see test_crash_pairs.py."""
    group = parser.getgroup("crash pairs")
    group.addoption("--crash-seed", type=int, default=980554,
                    help="which pairs are drawn; one sample belongs to `./dev test`, `./dev test crash` draws another each time")
    group.addoption("--crash-pairs", type=int, default=200, help="how many are drawn")
    group.addoption("--crash-full", action="store_true", help="all pairs instead, with progress")
    group.addoption("--crash-pair", action="append", default=[], metavar="[KIND=]POINT[:WAY],POINT[:WAY],...",
                    help="only this chain of deaths, as a failure names it")
    group.addoption("--crash-worlds", type=int, default=2, help="chains that run at the same time")


def pytest_collection_modifyitems(items):
    """The files that take longest come first, so that lanes end at about the same time."""
    lanes.longest_first(items)


@pytest.fixture(scope="session")
def test_folder():
    """The lane's folder. It is below .run/test/, and ./dev sweeps it however the run ends. A bare pytest gets a temporary folder."""
    given = os.environ.get("DISBURSE_TEST_FOLDER")
    if given:
        folder = Path(given) / lanes.name()
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="disburse-test-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="session")
def servers(test_folder):
    """A PostgreSQL cluster of the run's own, with both schemas migrated."""
    made = Servers(test_folder)
    made.start()
    yield made
    made.remove()


def _running(servers: Servers):
    world = servers.world()
    try:
        yield world.up()
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture(scope="module")
def world(servers) -> World:
    """A running Disburse for all tests of a module. A test that kills, reconfigures or fills it up takes new_world."""
    yield from _running(servers)


@pytest.fixture
def new_world(servers):
    """A function that makes worlds for one test: new_world(settings={"payments-svc": {"saga.lease_ms": 500}})."""
    made: list[World] = []

    def make(settings=None, *, own_cluster: bool = False, up: bool = True) -> World:
        world = servers.world(settings, own_cluster=own_cluster)
        made.append(world)
        return world.up() if up else world

    try:
        yield make
        for world in made:
            world.stop_and_check()
    finally:
        for world in made:
            world.remove()
