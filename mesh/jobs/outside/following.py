"""Following a job from outside: every entry that counts, over restarts of anything. Below it stand the journals."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from mesh.jobs.journals.journals import Journals
from mesh.protocols.errors import Transient
from mesh.protocols.job_state import JobState, Recorded
from mesh.protocols.ports import Bus, Clock, Ids, Store
from mesh.protocols.subjects import Subjects

PATIENCE = 60.0
"""Seconds for which a server that is away is waited for while a job is followed."""


class Client(Protocol):
    """What it takes to hand jobs in, to follow them, and to tell them something; a `Peer` is one."""

    @property
    def bus(self) -> Bus: ...  # noqa: D102

    @property
    def store(self) -> Store: ...  # noqa: D102

    @property
    def clock(self) -> Clock: ...  # noqa: D102

    @property
    def ids(self) -> Ids: ...  # noqa: D102

    @property
    def subjects(self) -> Subjects: ...  # noqa: D102


async def follow(client: Client, tenant: str, job: str, state: JobState) -> AsyncGenerator[Recorded, None]:
    """The entries after `state`, then new ones as they are stored, up to the last one; those that are void left out.

    `state` is folded along. A job that is not journaled yet is waited for.

    Raises:
        Transient: the server was away for `PATIENCE` seconds.
    """
    journals = Journals(client.store, client.subjects)
    give_up = client.clock.monotonic() + PATIENCE
    while not state.terminal:
        try:
            async with aclosing(journals.follow(tenant, job, after=state.sequence)) as records:
                async for record in records:
                    give_up = client.clock.monotonic() + PATIENCE
                    if state.apply(record):
                        yield record
                    if state.terminal:
                        return
        except Transient:
            if client.clock.monotonic() >= give_up:
                raise
            await client.clock.sleep(0.2)
