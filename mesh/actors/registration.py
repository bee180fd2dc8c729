"""`Registration`: what the registry is told of this process's actors: records when they change, figures with the beats."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from mesh.registry.records import Figures, Instance
from mesh.registry.waiting import signalled

if TYPE_CHECKING:
    from mesh.actors.actor import Actor
    from mesh.actors.peer import Peer

FLUSH = 0.2
"""Seconds for which changed figures are gathered; a beat takes the latest."""
HEARD_WITHIN = 1.0
"""Seconds within which our own record comes back to us, unless the store is away."""


class Registration:
    """Keeps presence up to date. Presence begins with the first actor: a mere client has none."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._shown: dict[str, Instance] = {}
        self._changed: set[Actor] = set()
        self._flush: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Take the process's lease, then commands. Again, also meanwhile: the same one.

        Raises:
            NameTaken · Unavailable · TimedOut: as presence does.
        """
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._begin(), name="presence")
        try:
            await asyncio.shield(self._starting)
        except BaseException:
            if self._starting.done() and (self._starting.cancelled() or self._starting.exception() is not None):
                self._starting = None
            raise

    async def _begin(self) -> None:
        await self._peer.presence.start()
        await self._peer.listen()

    @property
    def begun(self) -> bool:
        """Whether the lease was taken."""
        return self._starting is not None and self._starting.done()

    async def add(self, actor: Actor) -> None:
        """List an actor, its schemas stored first. When this returns, it can be asked from here by its name."""
        record = self._shown[actor.key] = self.record(actor)
        await self._peer.presence.register(record, actor.definition.schemas)
        self.changed(actor)
        await self._heard_of(record.key)

    async def _heard_of(self, key: str) -> None:
        """Until our own directory lists it; not for long, the store may be away."""
        directory, listed = self._peer.directory, asyncio.Event()
        forget = directory.on_change(lambda change: listed.set() if directory.listing(key) else None)
        if directory.listing(key) is None:
            await signalled(listed, HEARD_WITHIN)
        forget()

    async def remove(self, actor: Actor) -> None:
        """List it no more. Again: nothing happens."""
        self._changed.discard(actor)
        record = self._shown.pop(actor.key, None)
        if record is not None:
            await self._peer.presence.deregister(record)

    def changed(self, actor: Actor) -> None:
        """Its figures or its state may have changed: tell soon."""
        if actor.key in self._shown:
            self._changed.add(actor)
            if self._flush is None:
                self._flush = actor.loop.call_later(FLUSH, self._tell)
            if self._shown[actor.key].state != actor.state:
                self._peer.spawn(self._update(actor), f"record {actor.key}")

    def record(self, actor: Actor) -> Instance:
        """What the registry shows of an actor."""
        identity, definition = self._peer.identity, actor.definition
        return Instance(
            agent=definition.name,
            version=definition.version,
            instance=actor.instance,
            process=identity.process,
            host=identity.host,
            pid=identity.pid,
            started_at=actor.started_at,
            state=actor.state,
            labels=dict(actor.labels),
            capabilities=definition.capabilities,
            commands=definition.commands,
            events=tuple(sorted({each.mark.event_type for each in definition.reactions})),
            stamps=msgspec.structs.replace(definition.stamps, agent_version=definition.version),
            description=definition.description,
        )

    def stop(self) -> None:
        """Tell nothing more."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None

    async def _update(self, actor: Actor) -> None:
        if actor.key in self._shown and self._shown[actor.key].state != actor.state:
            record = self._shown[actor.key] = msgspec.structs.replace(self._shown[actor.key], state=actor.state)
            await self._peer.presence.update(record)

    def _tell(self) -> None:
        self._flush = None
        changed, self._changed = self._changed, set()
        for actor in changed:
            self._peer.presence.set_figures(actor.key, self._figures(actor))

    def _figures(self, actor: Actor) -> Figures:
        """One actor speaks for the whole process's breakers."""
        figures = actor.figures()
        if actor.key == next(iter(self._shown), ""):
            return msgspec.structs.replace(figures, breakers=self._peer.breakers.open())
        return figures
