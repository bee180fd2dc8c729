"""`JobHost`: a peer that hosts workflows. It stands in the registry as an instance of the agent `jobs`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.jobs.authoring.workflow import Workflow
from mesh.jobs.owning.liveness import seat_of
from mesh.jobs.owning.owner import Owner
from mesh.jobs.steps.calling import AGENT
from mesh.jobs.steps.calls import Contractor
from mesh.registry.listing import Change
from mesh.registry.records import Instance, Schema

if TYPE_CHECKING:
    from mesh.actors.peer import Peer


TELL_AFTER = 0.02
"""Seconds for which changes of the load are gathered."""


class JobHost:
    """The workflows of one process: `host` them, then `drain` or `stop`. `contractor` gives their calls to agents."""

    def __init__(self, peer: Peer, contractor: Contractor, **bounds: Any) -> None:
        self._peer = peer
        self.owner = Owner(seat_of(peer), contractor, **bounds)
        self._started_at = peer.clock.now()
        self._telling: asyncio.TimerHandle | None = None
        self._left = False
        self._forget = peer.directory.on_change(self._changed)
        self.owner.on_load = self._load_changed
        peer.votes.on_change(self._load_changed)

    async def host(self, workflows: Workflow[Any] | Iterable[Workflow[Any]], versions: Sequence[int] = ()) -> None:
        """Take in and drive the jobs of a workflow, or of several versions of it, and list them. Again: nothing happens.

        `versions` says which of them; none means all.

        Raises:
            TypeError: it is no workflow. ValueError: a version that is asked for is not among them.
            NameTaken: another living process has this process's name. Draining: this one is leaving. Unavailable: the store is out
                of reach.
        """
        chosen = _chosen(workflows, versions)
        await self._peer.registration.begin()
        for workflow in chosen:
            await self.owner.host(workflow)
        await self._peer.presence.register(self._record("ready"), self._schemas())
        self._tell_load()

    async def drain(self, within: float = 30.0) -> None:
        """Take nothing more in, finish what can be finished `within` seconds, and hand the rest back."""
        self._forget()
        if self.owner.workflows:
            await self._peer.presence.update(self._record("draining"))
        await self.owner.drain(within)
        self._tell_no_more()
        if self.owner.workflows:
            await self._peer.presence.deregister(self._record("draining"))

    async def stop(self) -> None:
        """Leave at once: others claim what is left. Again: nothing happens."""
        self._forget()
        self._tell_no_more()
        await self.owner.stop()

    def _load_changed(self) -> None:
        """Jobs begin and end many at a time: what that amounts to is told once a moment."""
        if self._telling is None and not self._left:
            self._telling = asyncio.get_running_loop().call_later(TELL_AFTER, self._tell_load)

    def _tell_no_more(self) -> None:
        self._left = True
        if self._telling is not None:
            self._telling.cancel()

    def _tell_load(self) -> None:
        """Its figures also tell which agents its calls are kept from by breakers."""
        self._telling = None
        figures = msgspec.structs.replace(self.owner.figures, breakers=self._peer.votes.cast())
        self._peer.presence.set_figures(f"{AGENT}.{self._peer.process}", figures)

    def _changed(self, change: Change) -> None:
        if change.kind == "process-down":
            self.owner.look_soon()

    def _record(self, state: Any) -> Instance:
        versions: dict[str, list[str]] = {}
        newest: dict[str, Workflow[Any]] = {}
        for (name, version), workflow in sorted(self.owner.workflows.items(), key=lambda item: item[0]):
            versions.setdefault(f"workflow.{name}", []).append(str(version))
            newest[name] = workflow
        peer = self._peer
        return Instance(
            agent=AGENT,
            version="1.0.0",
            instance=peer.process,
            process=peer.process,
            host=peer.identity.host,
            pid=peer.identity.pid,
            started_at=self._started_at,
            state=state,
            labels={name: ",".join(each) for name, each in versions.items()},
            capabilities=tuple(each.capability for each in newest.values()),
            description="drives jobs",
        )

    def _schemas(self) -> list[Schema]:
        schemas = {each.digest: each for workflow in self.owner.workflows.values() for each in workflow.schemas}
        return list(schemas.values())


def _chosen(workflows: Any, versions: Sequence[int]) -> list[Workflow[Any]]:
    several = isinstance(workflows, Iterable) and not isinstance(workflows, Workflow)
    found = list(workflows) if several else [workflows]
    for each in found:
        if not isinstance(each, Workflow):
            raise TypeError(f"{each!r} is no workflow: decorate the function with @workflow(name, version=1)")
    missing = set(versions) - {each.version for each in found}
    if missing:
        there = ", ".join(f"{each.name} {each.version}" for each in found)
        raise ValueError(f"version {', '.join(map(str, sorted(missing)))} is asked for, and the code has {there}")
    return [each for each in found if not versions or each.version in versions]
