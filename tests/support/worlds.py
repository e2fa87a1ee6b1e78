"""Several worlds at once, for tests that wait more than they compute: each thread has a world of its own, and tests wait for theirs."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable

from run import RunError


class Worlds:
    """build(make) makes a house: whatever has the attribute `world`; make(...) is Servers.world, which is for one thread at a time.
    A world is renewed after `uses`, and after a failure, since what that left would be held against the next one."""

    def __init__(self, servers, build: Callable, *, at_once: int = 2, uses: int = 1_000_000):
        self.servers, self.build, self.uses = servers, build, uses
        self.pool = ThreadPoolExecutor(at_once, thread_name_prefix="world")
        self.mine = threading.local()
        self.lock = threading.Lock()
        self.houses: list = []
        self.ended: list[str] = []  # what was wrong with worlds that have ended

    def submit(self, work: Callable, *args) -> Future:
        """work(house, *args), in some world."""
        return self.pool.submit(self._run, work, args)

    def _run(self, work: Callable, args: tuple):
        house = getattr(self.mine, "house", None)
        if house is None or self.mine.uses >= self.uses:
            self.mine.house = None  # nobody retires it a second time, whatever comes of the next two steps
            self._retire(house)
            self.mine.house = house = self._built()
            self.mine.uses = 0
        self.mine.uses += 1
        try:
            return work(house, *args)
        except BaseException:
            self.mine.uses = self.uses
            raise

    def _make(self, *args, **more):
        with self.lock:
            return self.servers.world(*args, **more)

    def _built(self):
        house = self.build(self._make)
        with self.lock:
            self.houses.append(house)
        return house

    def _retire(self, house) -> None:
        if house is None:
            return
        try:
            house.world.stop_and_check()
        except (AssertionError, RunError) as error:
            self.ended.append(str(error))
        finally:
            with self.lock:
                self.houses.remove(house)
            house.world.remove()

    def close(self) -> None:
        """Ends all worlds, and says what was wrong with one."""
        self.pool.shutdown(cancel_futures=True)
        for house in list(self.houses):
            self._retire(house)
        assert not self.ended, "\n".join(self.ended)
