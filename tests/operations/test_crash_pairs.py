"""NO-LOSS after two crashes: the second one comes while the first one is being recovered, in the same service, in another instance of
it that takes over, or in the ledger. Drawn by a seed that is told; `./dev test crash --pair` plays one again, `--full` plays all.

What a pair is, and how it is run: support/pairs.py. What must hold afterwards: every payout at its own end and none in a case, paid
once by the bank's own record, the books balanced, proven payout by payout, and the clearing accounts empty.
"""

import time

import pytest
from support import pairs
from support.worlds import Worlds
from test_crash_points import RARE_POINTS

OFTEN_HERE = {"jobs.taken"}  # by the settings of these worlds
ONCE_A_LIFE = {"submission.numbered"}  # numbers are taken many at a time: a process that runs already may have enough


def pytest_generate_tests(metafunc):
    if "chain" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption
    seed = option("--crash-seed")
    points = pairs.Points((RARE_POINTS - OFTEN_HERE) | ONCE_A_LIFE)
    if option("--crash-pair"):
        chains = [pairs.Chain.of(text) for text in option("--crash-pair")]
    elif option("--crash-full"):
        chains = pairs.every(points, seed)
    else:
        chains = pairs.sampled(points, seed, option("--crash-pairs"))
    metafunc.parametrize("chain", chains, ids=[f"seed{seed}-{n}" for n in range(len(chains))])


@pytest.fixture(scope="module")
def running(servers, tmp_path_factory, request):
    """{id of a test: what will be told of its chain}; all are begun now, some at the same time."""
    folder = tmp_path_factory.mktemp("pairs")

    def build(make):
        world = make(pairs.SETTINGS, own_cluster=True)
        return pairs.House(world, folder / world.stack.folder.name)

    worlds = Worlds(servers, build, at_once=request.config.getoption("--crash-worlds"), uses=pairs.CHAINS_A_WORLD)
    mine = [item for item in request.session.items if item.module is request.module and "chain" in getattr(item, "fixturenames", ())]
    try:
        yield Progress({item.nodeid: worlds.submit(pairs.House.run, item.callspec.params["chain"]) for item in mine},
                       [item.callspec.params["chain"] for item in mine])
    finally:
        worlds.close()


class Progress:
    def __init__(self, told, chains):
        self.told = told
        self.begun, self.total, self.pairs, self.late = time.monotonic(), sum(chain.pairs for chain in chains), 0, 0

    def result(self, nodeid, chain):
        told = self.told[nodeid].result()
        self.pairs += chain.pairs
        self.late += len(told.late)
        so_far = time.monotonic() - self.begun
        left = so_far / max(self.pairs, 1) * (self.total - self.pairs)
        print(f" {self.pairs} of {self.total} pairs in {so_far:.0f} s, {self.late} when all was recovered, {left / 60:.0f} min left",
              flush=True)
        return told


def test_NO_LOSS_killed_again_while_recovering(running, chain, request):
    told = running.result(request.node.nodeid, chain)
    assert told.payouts >= len(pairs.LIVES) * len(chain.deaths)


def test_all_pairs_are_each_pair_once():
    """The pairs of `--full`: of either kind, every point after every other and after itself."""
    points = pairs.Points((RARE_POINTS - OFTEN_HERE) | ONCE_A_LIFE)
    chains = pairs.every(points, 1)
    for kind, sides in ((pairs.AGAIN, 1), (pairs.TWO, 2)):
        found = []
        for chain in chains:
            assert 1 <= chain.pairs <= pairs.DEATHS
            names = [death.point for death in chain.deaths]
            if chain.kind == kind and not set(names) & set(pairs.ONLY_AFTER):
                found += zip(names, names[1:])
        wanted = [(first, second) for side in range(sides) for first in points.at(kind, side) for second in points.at(kind, side + 1)]
        assert sorted(found) == sorted(wanted)


def test_a_chain_is_read_as_it_is_printed():
    for chain in pairs.sampled(pairs.Points(RARE_POINTS), 3, 40):
        assert pairs.Chain.of(str(chain)) == chain
    assert pairs.Chain.of("a,b:stop") == pairs.Chain(pairs.AGAIN, (pairs.Death("a"), pairs.Death("b", pairs.STOP)))
