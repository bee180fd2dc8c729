"""`Caller`: many callers of one target; it knows what came of each call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from mesh import Agent, Mesh, command
from mesh.protocols.errors import MeshError
from tests.faults.expectations import soon


class Tallied(msgspec.Struct, kw_only=True):
    """What came of the calls of one process: how many by code (`ok` is no error), and the longest call in seconds."""

    codes: dict[str, int] = {}
    longest: float = 0.0

    @property
    def calls(self) -> int:
        return sum(self.codes.values())

    def add(self, code: str, seconds: float) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1
        self.longest = max(self.longest, seconds)

    def join(self, other: Tallied) -> None:
        """Put the other one's in."""
        for code, count in other.codes.items():
            self.codes[code] = self.codes.get(code, 0) + count
        self.longest = max(self.longest, other.longest)


class Caller(Agent):
    """Many callers of one target in one process, for as long as a test wants."""

    name = "caller"
    capacity = 4

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.tallied = self.given = Tallied()
        self.looked = ""
        self.calling: list[asyncio.Task[None]] = []
        self.storms: set[str] = set()

    @command
    async def begin(self, target: str, callers: int, timeout: float, pause: float) -> None:
        """So many callers ask the target, over and over, with a pause between."""
        asking = (self._ask_on(target, timeout, pause) for _ in range(callers))
        self.calling += [asyncio.ensure_future(each) for each in asking]

    @command
    async def fresh(self, look: str) -> Tallied:
        """What came of the calls since the last look. Again under the name of that look: the same, nothing is lost."""
        if look != self.looked:
            self.looked, self.given, self.tallied = look, self.tallied, Tallied()
        return self.given

    @command(timeout=60)
    async def end(self) -> Tallied:
        """No caller calls any more."""
        for each in self.calling:
            each.cancel()
        await asyncio.gather(*self.calling, return_exceptions=True)
        self.calling.clear()
        return self.tallied

    @command
    async def storm(self, name: str, target: str, callers: int, timeout: float) -> None:
        """So many callers, one call each, all at once. Again under this name: nothing happens."""
        if name in self.storms:
            return
        self.storms.add(name)
        self.calling = [each for each in self.calling if not each.done()]
        self.calling += [asyncio.ensure_future(self._ask(target, timeout)) for _ in range(callers)]

    @command
    async def breakers(self) -> list[str]:
        """The states of this process's breakers against the target."""
        return [each.state for each in self.mesh.peer.breakers.rows() if each.capability == "target.do"]

    async def _ask_on(self, target: str, timeout: float, pause: float) -> None:
        await asyncio.sleep(self.mesh.peer.ids.random.uniform(0, pause))
        while True:
            await self._ask(target, timeout)
            await asyncio.sleep(pause * self.mesh.peer.ids.random.uniform(0.5, 1.5))

    async def _ask(self, target: str, timeout: float) -> None:
        began = time.monotonic()
        try:
            await self.mesh.ask(target, timeout=timeout)
            code = "ok"
        except MeshError as error:
            code = error.code
        self.tallied.add(code, time.monotonic() - began)


async def fresh(mesh: Mesh, callers: Sequence[str], within: float) -> Tallied:
    """What came of the calls of these processes since the last look at them."""
    whole, look = Tallied(), {"look": f"{time.time()}"}
    for each in callers:
        whole.join(
            await soon(lambda each=each: mesh.ask(f"caller.{each}", look, command="fresh", returns=Tallied), within)
        )
    return whole
