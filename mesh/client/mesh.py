"""`Mesh`: a client that anyone can open, and the composition root of every process in a mesh.

    async with Mesh.connect() as mesh:
        print(await mesh.ask("greeter", name="Ada"))

Below: `Peer` speaks, the contract net bids and awards, jobs are submitted and owned. Here they are put together; what it can
say to agents stands in `speech`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.events.events import Event
from mesh.actors.peer import Connected, Identity, Peer
from mesh.client.speech import Speech
from mesh.clock import SystemClock, SystemIds
from mesh.contract_net.initiator import Initiator
from mesh.contract_net.knobs import forgetting_choice, policy_choice
from mesh.contract_net.participant import Participant
from mesh.protocols.naming.names import check_name
from mesh.protocols.ports import Clock, Ids, Subscription
from mesh.resilience.deadline import Deadline
from mesh.settings.choices import batches_choice, quiet_awards_choice
from mesh.settings.finding import find_server
from mesh.settings.target import ServerTarget, target_of
from mesh.telemetry.broadcast import Broadcast
from mesh.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from mesh.actors.running.actor import Actor
    from mesh.jobs.authoring.workflow import Workflow
    from mesh.jobs.host import JobHost
    from mesh.jobs.outside.approvals import Approval
    from mesh.jobs.outside.submission import JobHandle
    from mesh.registry.directory import Directory
    from mesh.telemetry.tuner import Hear


class Mesh(Speech):
    """One process's place in a mesh: ask, call, submit, subscribe, and host agents and workflows."""

    def __init__(self, connection: Connected, peer: Peer) -> None:
        self._connection = connection
        self.peer = peer
        self.initiator = Initiator(
            peer, policy=policy_choice(), forgetting=forgetting_choice(), quietly=quiet_awards_choice()
        )
        self.participant = Participant(peer)
        self._broadcast = Broadcast(peer.telemetry, peer.bus, peer.clock, peer.subjects, peer.process)
        self._jobs: JobHost | None = None

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        server: ServerTarget | str | None = None,
        *,
        namespace: str = "default",
        name: str = "client",
        process: str = "",
        host: str = "",
        tenant: str = "default",
        telemetry: Telemetry | None = None,
        event_batches: bool | None = None,
    ) -> AsyncIterator[Mesh]:
        """A mesh over a server: a URL, a target, or the one that settings name.

        `process` is the name of this process in the mesh, unique there; without one it is made from `name` and chance.
        `host` is where it runs, `tenant` on whose account it acts, `telemetry` hears what happens. `event_batches` says whether unstored events may
        leave together (without it, the setting `MESH_EVENT_BATCHES` does).

        Raises:
            Unavailable: no server is configured, or none answers. The message says what to do.
        """
        from mesh.transport.connection import connect

        clock = SystemClock()
        ids = SystemIds(clock)
        target = target_of(server, "the argument") if isinstance(server, str) else server or find_server()
        process = process or f"{check_name(name)}-{os.getpid()}-{ids.random.randrange(36**6):x}"
        async with await connect(target, name=process, clock=clock, ids=ids) as connection:
            over = cls.over(
                connection, process=process, host=host, namespace=namespace, clock=clock, ids=ids, telemetry=telemetry,
                event_batches=event_batches, tenant=tenant,
            )  # fmt: skip
            async with over as mesh:
                yield mesh

    @classmethod
    @asynccontextmanager
    async def over(
        cls,
        connection: Connected,
        *,
        process: str,
        clock: Clock,
        ids: Ids,
        host: str = "",
        namespace: str = "default",
        tenant: str = "default",
        telemetry: Telemetry | None = None,
        event_batches: bool | None = None,
    ) -> AsyncIterator[Mesh]:
        """A mesh over a connection that is there already, in memory or not; the connection stays open."""
        from mesh.protocols.envelope import VERSION

        identity = Identity(
            process=process, host=host or _host_name(), pid=os.getpid(), release=f"{VERSION}", incarnation=ids.uuid()
        )
        peer = Peer(
            connection, identity=identity, namespace=namespace, clock=clock, ids=ids, telemetry=telemetry or Telemetry(clock.now),
            event_batches=batches_choice() if event_batches is None else event_batches,
        )  # fmt: skip
        peer.root = msgspec.structs.replace(peer.root, tenant=check_name(tenant, "tenant"))
        mesh = cls(connection, peer)
        try:
            await peer.start()
            mesh.participant.start()
            mesh.initiator.start()
            peer.spawn(mesh._broadcast.start(), "broadcast")
            yield mesh
        finally:
            await mesh.stop()

    # -- who we are, who is there

    @property
    def process(self) -> str:
        """This process's name in the mesh."""
        return self.peer.process

    @property
    def directory(self) -> Directory:
        """Who is there, as this process knows it: look-ups are local."""
        return self.peer.directory

    @property
    def actors(self) -> Sequence[Actor]:
        """The instances that this process hosts."""
        return tuple(self.peer.actors.values())

    @property
    def workflows(self) -> Sequence[Workflow[Any]]:
        """The workflows that this process hosts, each version."""
        return tuple(self._jobs.owner.workflows.values()) if self._jobs is not None else ()

    @property
    def connected(self) -> bool:
        """Whether the server is within reach right now."""
        return self.peer.bus.connected

    # -- events

    async def emit(self, event_type: str, payload: Any = None, *, stored: bool = True) -> int:
        """Publish an event; it is stored under the sequence returned. Again: a second event. With `stored=False` it is
        heard now or never, and nothing is waited for: as `Peer.emit`."""
        if stored:
            return await self.peer.emit(event_type, payload)
        self.peer.events.announcing.announce(event_type, payload)
        return 0

    async def subscribe(
        self, callback: Callable[[Event], None], event_type: str = ">", *, agent: str = "*", tenant: str = "*"
    ) -> Subscription:
        """Hear events as they are emitted; what is emitted while the connection is away is missed. See `events`."""
        return await self.peer.events.subscribe(callback, event_type, agent=agent, tenant=tenant)

    def events(
        self,
        event_type: str = ">",
        *,
        agent: str = "*",
        tenant: str = "*",
        since: float | None = None,
        after: int | None = None,
    ) -> AsyncIterator[Event]:
        """Stored events from Unix time `since` or above a sequence, then new ones, without gaps: as `Events.follow`."""
        return self.peer.events.follow(event_type, agent=agent, tenant=tenant, since=since, after=after)

    async def telemetry(self, hear: Hear, *, process: str = "") -> Subscription:
        """Hear what the processes of the mesh (or one of them) tell of themselves, as it happens and at most once: calls,
        log lines, breakers, refusals. Nobody publishes any of it before; close the subscription to end it."""
        from mesh.telemetry.tuner import Tuner

        tuner = Tuner(self.peer.bus, self.peer.subjects, self.process, hear, process)
        await tuner.start()
        return tuner

    # -- jobs

    async def submit(self, workflow: str, payload: Any = None, **terms: Any) -> JobHandle:
        """Publish a job; when this returns it is stored. `terms`: key, tenant, deadline, constraints, as `jobs.outside.submission`."""
        from mesh.jobs.outside.submission import submit

        terms.setdefault("tenant", self.tenant)
        return await submit(self.peer, workflow, payload, **terms)

    def job(self, job: str, *, tenant: str | None = None) -> JobHandle:
        """A handle on a job that was submitted before."""
        from mesh.jobs.outside.submission import JobHandle

        return JobHandle(self.peer, job, tenant=self.tenant if tenant is None else tenant)

    async def approvals(self, tenant: str = "*") -> list[Approval]:
        """What waits for somebody's yes, of all jobs or of one tenant's. Answer with `job(…).approve(…)`."""
        from mesh.jobs.journals.journals import Journals
        from mesh.jobs.outside.approvals import open_approvals

        return await open_approvals(Journals(self.peer.store, self.peer.subjects), tenant)

    # -- host

    async def host(
        self,
        agent: Any,
        *,
        instance: str | None = None,
        labels: Mapping[str, str] | None = None,
        capacity: int | None = None,
    ) -> Actor:
        """Start an instance of an agent in this process: as `Peer.host`."""
        return await self.peer.host(agent, instance=instance, labels=labels, capacity=capacity)

    async def host_workflow(self, workflow: Any, versions: Sequence[int] = (), **options: Any) -> None:
        """Take in and run jobs of a workflow in this process."""
        if self._jobs is None:
            from mesh.jobs.host import JobHost

            self._jobs = JobHost(self.peer, self.initiator)
        await self._jobs.host(workflow, versions, **options)

    # -- leave

    async def drain(self, timeout: float = 30.0) -> None:
        """Take no more work, finish or hand back what is here within `timeout` seconds, and leave the mesh."""
        deadline = Deadline.after(self.peer.clock, timeout)
        if self._jobs is not None:
            await self._jobs.drain(timeout)
        await self.peer.drain(max(0.0, deadline.remaining()))

    async def stop(self) -> None:
        """Leave the mesh at once. Again: nothing happens."""
        try:
            if self._jobs is not None:
                await self._jobs.stop()
        finally:
            await self.peer.stop()
            await self._broadcast.stop()


def _host_name() -> str:
    return socket.gethostname().split(".")[0].lower() or "localhost"
