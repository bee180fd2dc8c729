"""`Ending`: waiting for a job's end without following its journal, for whoever wants nothing but the result.

A server gives every entry to plain subscribers, too, and before it has stored it, if it stores it at all. So what is heard there
is a hint, and what counts is read from the stream. A hint that was missed costs a few seconds. `following` is for whoever wants
each entry.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.snapshots import snapshot_at
from mesh.jobs.outside.following import PATIENCE, Client
from mesh.protocols.errors import Refused, Transient, UnknownJob
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Message, Subscription

LOOK_EVERY = 2.0
"""Seconds after which the journal is looked at without a hint."""
FIRST_PAUSE = 0.001
"""Seconds until an entry that was heard of is looked for again, when it is not stored yet; then twice as long, and so on."""


class _Head(msgspec.Struct):
    state: str = ""
    snapshot: int = 0


class _Glance(msgspec.Struct):
    """As much of an entry as tells whether it ends the job."""

    head: _Head


_glance = msgspec.json.Decoder(_Glance)


class Ending:
    """The end of one job. `status` is the last that was seen of it."""

    def __init__(self, client: Client, tenant: str, job: str) -> None:
        self.status = "not journaled yet"
        self._client = client
        self._journals = Journals(client.store, client.subjects)
        self._tenant = tenant
        self._job = job
        self._news = asyncio.Event()
        self._hinted: _Head | None = None
        self._subscription: Subscription | None = None
        self._may_listen = True

    async def wait(self) -> JobState:
        """The job's state once it is over. A job that is not journaled yet is waited for.

        Raises:
            Transient: the server was away for `PATIENCE` seconds.
        """
        give_up, pause = self._patience(), FIRST_PAUSE
        try:
            while True:
                self._news.clear()
                try:
                    state = await self._look()
                    give_up = self._patience()
                except Transient:
                    if self._client.clock.monotonic() >= give_up:
                        raise
                    state = None
                if state is not None:
                    return state
                pause = await self._pause(pause)
        finally:
            if self._subscription is not None:
                await self._subscription.close()

    async def _listen(self) -> None:
        """Hear what goes by. Who may not subscribe looks every few seconds."""
        try:
            subject = self._client.subjects.job(self._tenant, self._job)
            self._subscription = await self._client.bus.subscribe(subject, self._heard)
        except Refused:
            self._may_listen = False

    def _heard(self, message: Message) -> None:
        """An entry went by; one that ends the job is worth a look."""
        try:
            head = _glance.decode(message.data).head
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        if head.state in TERMINAL:
            self._hinted = head
            self._news.set()

    async def _look(self) -> JobState | None:
        """At the last entry first: as long as the job goes on, that is all there is to see."""
        if self._hinted is not None:
            return await self._folded(self._hinted.snapshot)
        if self._subscription is None and self._may_listen:
            await self._listen()
        last = await self._journals.last(self._tenant, self._job)
        if last is None:
            return None
        self.status = last.entry.head.state
        return await self._folded(snapshot_at(last)) if self.status in TERMINAL else None

    async def _folded(self, snapshot: int) -> JobState | None:
        try:
            state = await self._journals.state(self._tenant, self._job, snapshot=snapshot)
        except UnknownJob:
            return None
        self.status = state.status
        return state if state.terminal else None

    async def _pause(self, pause: float) -> float:
        """Until there is news, or it is time to look again; how long the next pause is."""
        soon = self._hinted is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(min(pause, LOOK_EVERY) if soon else LOOK_EVERY):
                await self._news.wait()
        return pause * 2 if soon else pause

    def _patience(self) -> float:
        return self._client.clock.monotonic() + PATIENCE
