"""Journals written by hand, without a workflow: what is said to a job is written down as whoever hears of it would do it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from job_stage import Stage

from mesh.jobs.journals.streams import INBOX
from mesh.jobs.outside.control import Client
from mesh.protocols.job_events import Entry, Event, OwnerClaimed, Suspended, Value, WaitOpened, encode_entry
from mesh.protocols.job_head import advance
from mesh.protocols.job_inbox import read_said, taken
from mesh.protocols.job_state import JobState

ABOUT = {"to": "everyone", "text": "we are open"}
DIGEST = "sha256:" + "ab" * 32


def approval(key: str = "publish", **fields: Any) -> WaitOpened:
    """An approval as a workflow asks for it."""
    value = Value(inline=msgspec.Raw(msgspec.json.encode(ABOUT)))
    return WaitOpened(key=key, kind="approval", name="publish", digest=DIGEST, about=value, risk="high", **fields)


class Scribe:
    """Writes into the journal of one job of a stage, which nobody drives."""

    def __init__(self, stage: Stage, job: str = "j1") -> None:
        self.stage = stage
        self.job = job
        self.connection = stage.connect(f"scribe of {job}")
        self.journals = stage.journals(f"scribe-reader of {job}")
        self._task: asyncio.Task[None] | None = None

    async def waits(self, *waits: Event) -> None:
        """The job was claimed, waits for these, and its owner has let go of it."""
        state = await self.state()
        await self.write(OwnerClaimed(process="p"), *waits, Suspended(), owner="p", epoch=state.epoch + 1)

    async def write(self, *events: Event, owner: str = "", epoch: int | None = None) -> None:
        """One entry, after all others."""
        state = await self.state()
        entry = Entry(
            id=self.stage.ids.uuid(), job=self.job, tenant="default", head=advance(state.head, "default", events),
            events=events, epoch=state.epoch if epoch is None else epoch, owner=owner, previous=state.sequence,
        )  # fmt: skip
        assert state.objection(entry) == ""
        subject = self.stage.subjects.job("default", self.job)
        await self.connection.store.append(subject, encode_entry(entry), expected=state.sequence)

    async def state(self) -> JobState:
        return await self.journals.state("default", self.job)

    def listen(self) -> None:
        """Write down what is said from now on."""
        self._task = asyncio.get_running_loop().create_task(self._hear())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _hear(self) -> None:
        stream, subject = self.stage.subjects.stream(INBOX), self.stage.subjects.inbox("default", self.job)
        async for stored in self.connection.store.follow(stream, subject):
            state = await self.state()
            if not state.terminal and stored.sequence > state.inbox:
                await self.write(taken(state, read_said(stored.data), stored.sequence, stored.time))


def client_of(stage: Stage, name: str = "teller") -> Client:
    """A process that hosts nothing."""
    from types import SimpleNamespace

    connection = stage.connect(name)
    return SimpleNamespace(  # type: ignore[return-value]
        bus=connection.bus, store=connection.store, clock=stage.clock, ids=stage.ids, subjects=stage.subjects
    )
