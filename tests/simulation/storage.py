"""`SimulatedStorage`: what the simulated server keeps, with the quirks that were measured on the real one.

Quirks.replicas      1 or 3: how a retry after a lost ack is answered, and whether reads may lag behind
Quirks.disk          seconds until an append is acknowledged; it counts before
Quirks.lose_acks     how likely the answer to an append is never sent
Quirks.land_late     how likely an append is stored only after its caller has given up
Quirks.lag           seconds by which a read may lag behind (replicas 3)
Quirks.forget_acks   seconds of consumers' acks that a kill takes back
Quirks.advisories    whether disconnects are told
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from mesh.protocols.ports import BucketSpec, Clock, KeyValue, Stored
from mesh.transport.memory.bucket import KeySpace
from mesh.transport.memory.storage import Storage
from tests.simulation.durable import ForgetfulDurable
from tests.simulation.network import true_time

if TYPE_CHECKING:
    from tests.simulation.session import Follow


@dataclass
class Quirks:
    """See the module."""

    replicas: int = 1
    disk: float = 0.0
    disk_spread: float = 0.0
    lose_acks: float = 0.0
    land_late: float = 0.0
    lag: float = 0.0
    forget_acks: float = 0.0
    expire_late: float = 0.25
    advisories: bool = True


class SimulatedStorage(Storage):
    """`Storage` whose consumers forget acks in a crash, and whose followers are sessions."""

    def __init__(self, clock: Clock, random: Random, quirks: Quirks) -> None:
        super().__init__(clock)
        self.random = random
        self.quirks = quirks
        self.followers: list[Follow] = []
        self.appended: list[Callable[[Stored], None]] = []
        """Told of every message that a stream stores, at that very moment."""

    def announce(self, stream: str) -> None:
        """As in memory; followers hear of it through their connections."""
        log = self._logs[stream]
        stored = log.get(log.last_sequence)
        if stored is not None:
            for tell in self.appended:
                tell(stored)
        for each in self.followers:
            if each.stream == stream:
                each.go_on()
        super().announce(stream)

    def durable(self, stream: str, name: str) -> ForgetfulDurable:
        """The durable consumer of that name, made if needed."""
        key = (stream, name)
        if key not in self._durables:
            self._durables[key] = ForgetfulDurable(self.log(stream), name)
        found = self._durables[key]
        assert isinstance(found, ForgetfulDurable)
        return found

    def space(self, spec: BucketSpec) -> KeySpace:
        """The bucket, made if needed."""
        if spec.name not in self._spaces:
            self._spaces[spec.name] = LateSpace(spec, self.random, self.quirks)
        return self._spaces[spec.name]

    def crash(self) -> None:
        """As in memory; the acks of the last moments are forgotten."""
        super().crash()
        self.followers.clear()
        for durable in self._durables.values():
            assert isinstance(durable, ForgetfulDurable)
            durable.forget_acks(self.random.random() * self.quirks.forget_acks)


class LateSpace(KeySpace):
    """Keys whose expiry comes a moment late, and which a follower may still show as they were."""

    def __init__(self, spec: BucketSpec, random: Random, quirks: Quirks) -> None:
        super().__init__(spec)
        self._draw = random.random
        self._quirks = quirks
        self._before: dict[str, tuple[float, KeyValue | None]] = {}

    def put(self, key: str, value: bytes, ttl: int | None, revision: int | None) -> int:
        """As in memory."""
        late = None if ttl is None else ttl + self._quirks.expire_late * (0.4 + 0.6 * self._draw())
        return super().put(key, value, late, revision)  # type: ignore[arg-type]

    def seen(self, key: str, since: float) -> KeyValue | None:
        """What a follower shows that has heard nothing since then."""
        when, before = self._before.get(key, (-1.0, None))
        return before if when > since else self.get(key)

    def _write(self, key: str, value: bytes | None) -> KeyValue:
        if self._quirks.lag:
            self._before[key] = (true_time(asyncio.get_running_loop()), self.get(key))
        return super()._write(key, value)
