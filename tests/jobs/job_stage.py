"""What the tests of jobs share: a memory server with the streams of jobs, and jobs already handed in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec

from mesh.contract_net.calls import Call, Contracted
from mesh.jobs.authoring.workflow import Workflow
from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import ensure_streams
from mesh.jobs.outside.submission import JobHandle, submit
from mesh.jobs.owning.decisions import Decisions, Undecided
from mesh.jobs.owning.owner import Owner
from mesh.jobs.owning.seat import Seat
from mesh.protocols.acts import Bid
from mesh.protocols.awards import AwardRecord, Candidate, Score
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import Stamps
from mesh.protocols.errors import InDoubt, NoBids
from mesh.protocols.job_events import Entry, Submitted, Value, encode_entry
from mesh.protocols.job_head import advance
from mesh.protocols.ports import Clock, Ids
from mesh.protocols.subjects import Subjects
from mesh.transport.connection import Connection
from mesh.transport.memory.server import MemoryServer


class Stage:
    """One memory server and what stands on it."""

    def __init__(self, clock: Clock, ids: Ids, *, latency: float = 0.001) -> None:
        self.clock = clock
        self.ids = ids
        self.subjects = Subjects()
        self.server = MemoryServer(clock, ids, latency=latency)
        self.connections: list[Connection] = []

    def connect(self, name: str) -> Connection:
        connection = self.server.connect(name)
        self.connections.append(connection)
        return connection

    def journals(self, name: str = "reader") -> Journals:
        return Journals(self.connect(name).store, self.subjects)

    async def submit(self, job: str = "j1", workflow: str = "w", value: Any = None, **fields: Any) -> None:
        """A job as admission would journal it."""
        store = self.connect("submitter").store
        await ensure_streams(store, self.subjects)
        inline = msgspec.Raw(msgspec.json.encode(value))
        event = Submitted(workflow=workflow, version=1, input=Value(inline=inline), digest="d", **fields)
        head = advance(None, "default", (event,))
        entry = Entry(id=f"{job}-submitted", job=job, tenant="default", head=head, events=(event,))
        await store.append(self.subjects.job("default", job), encode_entry(entry), expected=0)

    async def journal(self, owner: str, job: str = "j1") -> Journal:
        """A writer in its own process; not the owner yet."""
        journals = self.journals(owner)
        state = await journals.state("default", job)
        return Journal(journals, self.clock, self.ids, state, tenant="default", owner=owner, incarnation=f"{owner}-1")


class FakeContractor:
    """Agents without a contract net: each capability is a function of the decoded input, awarded and journaled as real. What
    stands under `~degraded` in a result is what its agent says of it."""

    def __init__(self, clock: Clock, **capabilities: Callable[[Any], Any]) -> None:
        self.clock = clock
        self.capabilities = {name.replace("_", "."): each for name, each in capabilities.items()}
        self.calls: list[Call] = []

    async def contract(
        self,
        call: Call,
        *,
        ledger: Any = None,
        on_progress: Callable[[Any], None] | None = None,
        resume: AwardRecord | None = None,
        hands_over: Callable[[], bool] = lambda: False,
    ) -> Contracted:
        self.calls.append(call)
        if resume is not None and resume.effect == "at_most_once":
            raise InDoubt("the winner was lost, and may have done it")
        async with call.deadline.enforce(call.capability):
            return await self._contract(call, ledger, on_progress)

    async def _contract(self, call: Call, ledger: Any, on_progress: Callable[[Any], None] | None) -> Contracted:
        work = self.capabilities.get(call.capability)
        if work is None:
            raise NoBids(f"nobody offers {call.capability}")
        who = Candidate(agent="fake", instance="one", process="p", bid=Bid(price=0.1), score=Score(cost=0.1))
        record = AwardRecord(
            award=f"a{len(self.calls)}", conversation="c", capability=call.capability, mode=call.mode, winner=who.key,
            reason="the only one", at=self.clock.now(), effect=call.effect or "costly", candidates=(who,),
        )  # fmt: skip
        await ledger.award(record)
        value = work(msgspec.json.decode(call.input))
        if inspect.isawaitable(value):
            value = await value
        degraded = value.pop("~degraded", "") if isinstance(value, dict) else ""
        content = msgspec.Raw(msgspec.json.encode(value))
        return Contracted(content, Usage(money=0.1, tokens_in=10), record, Stamps(agent_version="1"), degraded=degraded)


class World(Stage):
    """A stage with hosts on it. Each host is a process: `crash` ends it as `kill -9` would."""

    def __init__(
        self, clock: Clock, ids: Ids, *, policy: Decisions | None = None, **capabilities: Callable[[Any], Any]
    ) -> None:
        super().__init__(clock, ids)
        self.policy = policy or Undecided()
        self.contractor = FakeContractor(clock, **capabilities)
        self.hosts: dict[str, Owner] = {}
        self.dead: set[str] = set()
        self.client = SimpleNamespace(
            bus=(connection := self.connect("client")).bus, store=connection.store, clock=clock, ids=ids,
            subjects=self.subjects,
        )  # fmt: skip
        self.reader = self.journals("reader")

    async def host(self, name: str, *workflows: Workflow[Any], start: int = 1, **bounds: Any) -> Owner:
        connection = self.connect(name)
        incarnation = f"{name}-{start}"

        async def gone(owners: Any) -> Any:
            return [each for each in owners if each.incarnation in self.dead]

        seat = Seat(
            bus=connection.bus, store=connection.store, clock=self.clock, ids=self.ids, subjects=self.subjects,
            process=name, incarnation=incarnation, gone=gone, policy=self.policy,
        )  # fmt: skip
        owner = self.hosts[incarnation] = Owner(seat, self.contractor, **bounds)
        for each in workflows:
            await owner.host(each)
        return owner

    async def crash(self, name: str, start: int = 1) -> None:
        """The process is gone from one moment to the next: nothing it does afterwards reaches anybody."""
        self.server.kill(name)
        self.dead.add(f"{name}-{start}")
        await self.hosts.pop(f"{name}-{start}").stop()

    async def submit_job(self, workflow: str, value: Any = None, **terms: Any) -> JobHandle:
        return await submit(self.client, workflow, value, **terms)

    async def close(self) -> None:
        for each in self.hosts.values():
            await each.stop()
