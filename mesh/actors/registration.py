"""`Registration`: what the registry is told of this process's actors: records when they change, figures with the beats."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from mesh.registry.records import Figures, Instance

if TYPE_CHECKING:
    from mesh.actors.declaring.definition import AgentDefinition
    from mesh.actors.peer import Peer
    from mesh.actors.running.actor import Actor

FLUSH = 0.2
"""Seconds for which changed figures are gathered at least. No beat can take them before the next is due, and so nobody
looks at them before that: computed five times a second, those of 500 busy instances took 3 % of a processor."""
AT_ONCE = 500
"""Of so many actors the figures are taken together; the others wait for the next time."""


class Registration:
    """Keeps presence up to date. Presence begins with the first actor: a mere client has none."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._shown: dict[str, Instance] = {}
        self._patterns: dict[str, tuple[AgentDefinition, Instance]] = {}
        self._changed: dict[Actor, None] = {}
        self._usual = Figures()
        self._flush: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None
        self._begun = False

    async def begin(self) -> None:
        """Take the process's lease, then commands. Again, also meanwhile: the same one.

        Raises:
            NameTaken · Unavailable · TimedOut: as presence does. Draining: it was stopped meanwhile.
        """
        if self._begun:
            return
        if self._starting is None or self._starting.done():  # what was tried before has failed
            self._starting = asyncio.get_running_loop().create_task(self._begin(), name="presence")
        starting = self._starting
        await asyncio.wait([starting])
        if starting.cancelled():
            raise self._peer.leaving()
        starting.result()

    async def _begin(self) -> None:
        await self._peer.presence.start()
        await self._peer.listen()
        self._begun = True

    @property
    def begun(self) -> bool:
        """Whether the lease was taken, or may have been."""
        return self._starting is not None and self._starting.done()

    async def add(self, actor: Actor) -> None:
        """List an actor, its schemas stored first. When this returns, it can be asked from here by its name."""
        first = self._patterns.get(actor.definition.name, (None,))[0] is not actor.definition
        record = self._shown[actor.key] = self.record(actor)
        await self._peer.presence.register(record, actor.definition.schemas if first else ())
        self.changed(actor)

    async def remove(self, actor: Actor) -> None:
        """List it no more. Again: nothing happens."""
        self._changed.pop(actor, None)
        record = self._shown.pop(actor.key, None)
        if record is not None:
            await self._peer.presence.deregister(record)

    def changed(self, actor: Actor) -> None:
        """Its figures or its state may have changed: tell soon."""
        if actor.key in self._shown:
            self._changed[actor] = None
            if self._flush is None:
                self._flush = actor.loop.call_later(max(FLUSH, self._peer.presence.silent_for), self._tell)
            if self._shown[actor.key].state != actor.state:
                self._peer.spawn(self._update(actor), f"record {actor.key}")

    def record(self, actor: Actor) -> Instance:
        """What the registry shows of an actor. Those of one definition have all but four fields in common."""
        pattern, definition = self._pattern(actor.definition), actor.definition
        return msgspec.structs.replace(
            pattern,
            instance=actor.instance,
            started_at=actor.started_at,
            state=actor.state,
            labels=pattern.labels if actor.labels is definition.labels else dict(actor.labels),
        )

    def _pattern(self, definition: AgentDefinition) -> Instance:
        known, pattern = self._patterns.get(definition.name, (None, None))
        if known is not definition or pattern is None:
            pattern = self._made(definition)
            self._patterns[definition.name] = (definition, pattern)
        return pattern

    def _made(self, definition: AgentDefinition) -> Instance:
        identity = self._peer.identity
        return Instance(
            agent=definition.name,
            version=definition.version,
            instance="",
            process=identity.process,
            host=identity.host,
            pid=identity.pid,
            started_at=0.0,
            labels=dict(definition.labels),
            capabilities=definition.capabilities,
            commands=definition.commands,
            events=tuple(sorted({each.mark.event_type for each in definition.reactions})),
            stamps=definition.stamps,
            description=definition.description,
            incarnation=identity.incarnation,
        )

    async def stop(self) -> None:
        """Tell nothing more, and take no place in the mesh that nobody would leave again."""
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None

    async def _update(self, actor: Actor) -> None:
        if actor.key in self._shown and self._shown[actor.key].state != actor.state:
            record = self._shown[actor.key] = msgspec.structs.replace(self._shown[actor.key], state=actor.state)
            await self._peer.presence.update(record)

    def _tell(self) -> None:
        self._flush = None
        for actor in list(islice(self._changed, AT_ONCE)):
            del self._changed[actor]
            self._peer.presence.set_figures(actor.key, self._figures(actor))
        if self._changed:
            self._flush = asyncio.get_running_loop().call_later(FLUSH, self._tell)

    def _figures(self, actor: Actor) -> Figures:
        """One actor speaks for the whole process's breakers. Those who are alike, as most idle ones are, share theirs."""
        figures = actor.figures()
        if actor.key == next(iter(self._shown), ""):
            return msgspec.structs.replace(figures, breakers=self._peer.votes.cast())
        if figures != self._usual:
            self._usual = figures
        return self._usual
