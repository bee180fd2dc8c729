"""What the tests of jobs share: a memory server with the streams of jobs, and jobs already handed in."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.jobs.journal import Journal
from mesh.jobs.journals import Journals
from mesh.jobs.streams import ensure_streams
from mesh.protocols.job_events import Entry, Submitted, Value, encode_entry
from mesh.protocols.job_state import advance
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
