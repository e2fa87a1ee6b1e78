"""A world in which ledger-svc alone runs, with a wall clock that the test holds."""

from __future__ import annotations

from .clocks import Clock


def start(world, *, instances: int = 1) -> Clock:
    """The database and ledger-svc (and further instances: ledger-svc.2 …), all on one clock. For a world that is not up."""
    world.stack.up_database()
    world.stack.migrate("ledger-svc")
    clock = Clock(world.stack.folder / "clock")
    world.ledger.env.update(clock.env)
    world.ledger.start(wait=False)
    for k in range(2, instances + 1):
        other = world.stack.add_instance("ledger-svc", f"ledger-svc.{k}", {})
        other.env.update(clock.env)
        other.start(wait=False)
    for daemon in names(instances):
        world.daemon(daemon).wait_ready(60)
    return clock


def names(instances: int) -> list[str]:
    return ["ledger-svc"] + [f"ledger-svc.{k}" for k in range(2, instances + 1)]
