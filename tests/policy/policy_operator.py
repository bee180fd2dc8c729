"""Somebody who sets and lifts switches, and processes that are to obey."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.policy.policy import Policy, open_policies
from mesh.protocols.policies import Entry
from mesh.protocols.ports import Bucket, Clock
from mesh.protocols.subjects import Subjects
from mesh.telemetry.telemetry import Fields, Telemetry
from mesh.transport.memory.server import MemoryServer


class Operator:
    """`watching` makes a process; `put` and `lift` change what it is to do; `log` is what the processes told."""

    def __init__(self, server: MemoryServer, clock: Clock) -> None:
        self.server, self.clock, self.subjects = server, clock, Subjects("default")
        self.connection = server.connect("operator")
        self.log: list[tuple[str, Fields]] = []
        self._telemetry = Telemetry(clock.now, lambda event, at, fields: self.log.append((event, fields)))
        self._policies: list[Policy] = []

    async def watching(self, process: str = "one") -> Policy:
        policy = self.unstarted(process)
        await policy.start()
        return policy

    def unstarted(self, process: str = "one") -> Policy:
        policy = Policy(self.server.connect(process).store, self.subjects, self.clock, self._telemetry)
        self._policies.append(policy)
        return policy

    async def bucket(self) -> Bucket:
        return await open_policies(self.connection.store, self.subjects)

    async def put(self, entry: Entry) -> int:
        return await self.put_raw(entry.key, msgspec.json.encode(entry))  # type: ignore[attr-defined]

    async def put_raw(self, key: str, value: bytes) -> int:
        return await (await self.bucket()).put(key, value)

    async def lift(self, key: str) -> None:
        await (await self.bucket()).delete(key)

    def told(self, event: str) -> list[dict[str, Any]]:
        return [dict(fields) for name, fields in self.log if name == event]

    async def leave(self) -> None:
        for policy in self._policies:
            await policy.stop()
