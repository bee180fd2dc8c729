"""`Echoes`: which messages of a job's inbox were said before, under the same message id.

The server drops a copy that comes within a moment. One that was on its way for longer (its sender heard nothing, and said it
again) is stored twice, and may stand behind what was said meanwhile: a pause behind the resume that answered it.
"""

from __future__ import annotations

from collections import OrderedDict

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import INBOX
from mesh.protocols.ports import Stored

MESSAGE_ID = "nats-msg-id"
JOBS = 256
"""Jobs whose ids are remembered; those of another are read again when it is told something."""


def id_of(stored: Stored) -> str:
    """What the sender calls the message; empty if it gave no id."""
    return next((value for name, value in (stored.headers or {}).items() if name.lower() == MESSAGE_ID), "")


class Heard:
    """The ids of one inbox up to a sequence, each with the sequence at which it was said first."""

    def __init__(self) -> None:
        self.upto = 0
        self._first: dict[str, int] = {}

    def add(self, stored: Stored) -> int:
        """The first sequence at which this was said: its own, if it is no echo. Again: nothing happens."""
        self.upto = max(self.upto, stored.sequence)
        said = id_of(stored)
        return self._first.setdefault(said, stored.sequence) if said else stored.sequence


class Echoes:
    """Those of all jobs that this process hears for, one message after the other."""

    def __init__(self, journals: Journals) -> None:
        self._store = journals.store
        self._subjects = journals.subjects
        self._jobs: OrderedDict[tuple[str, str], Heard] = OrderedDict()

    async def first(self, tenant: str, job: str, stored: Stored, before: int) -> int:
        """The sequence at which this was said first. `before` is that of the message which the journal has last.

        Raises:
            Transient: the store is out of reach.
        """
        heard = self._jobs.setdefault((tenant, job), Heard())
        self._jobs.move_to_end((tenant, job))
        if before > heard.upto:
            await self._catch_up(heard, tenant, job, stored)
        if len(self._jobs) > JOBS:
            self._jobs.popitem(last=False)
        return heard.add(stored)

    async def _catch_up(self, heard: Heard, tenant: str, job: str, stored: Stored) -> None:
        """Hear what others have heard: nearly never, for most jobs are told one thing."""
        stream, subject = self._subjects.stream(INBOX), self._subjects.inbox(tenant, job)
        for each in await self._store.read(stream, subject, after=heard.upto):
            if each.sequence < stored.sequence:
                heard.add(each)
