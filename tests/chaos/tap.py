"""`Tap`: the commands that reach a process, counted on the wire; for as long as the process itself listens there.

Who listens is an addressee as far as the server knows: tap a process that is gone, and nobody is told that it is.
"""

from __future__ import annotations

from collections import Counter

from mesh.client.mesh import Mesh
from mesh.protocols.envelope import decode
from mesh.protocols.ports import Message, Subscription


class Tap:
    """`async with Tap(mesh, "target") as tap: … tap.calls`. `command` is which of them."""

    def __init__(self, mesh: Mesh, process: str, command: str) -> None:
        self._mesh = mesh
        self._process = process
        self._command = command
        self._subscription: Subscription | None = None
        self.attempts: Counter[int] = Counter()

    @property
    def calls(self) -> int:
        """First attempts."""
        return self.attempts[1]

    @property
    def retries(self) -> int:
        """All others."""
        return self.attempts.total() - self.attempts[1]

    async def __aenter__(self) -> Tap:
        peer = self._mesh.peer
        self._subscription = await peer.bus.subscribe(peer.subjects.rpc_inbox(self._process), self._hear)
        await peer.bus.flush()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._subscription is not None
        await self._subscription.close()

    def _hear(self, message: Message) -> None:
        envelope = decode(message.data)
        if envelope.kind == "command" and envelope.name == self._command:
            self.attempts[envelope.attempt] += 1
