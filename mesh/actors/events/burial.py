"""`Burial`: an event that a durable handler could not use becomes a dead letter, with everything that is known of it.

This is all that agents need of dead letters; who looks at them, redrives and drops them stands above, with the jobs. What
does not work out here is raised, and the event comes again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from mesh.actors.exchanging.payloads import Payloads
from mesh.protocols.dead_letters import DeadLetter, Source, as_payload, some_headers
from mesh.protocols.envelope import Stamps
from mesh.protocols.errors import Fault
from mesh.protocols.ports import Store, Stored, StreamSpec
from mesh.protocols.references import LIMIT, Reference
from mesh.protocols.subjects import Subjects

DEAD_LETTERS = "DLQ"


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is not tried any more: as it was stored, whose handler it was for, and how that ended `attempts` times.

    `stamps` are those of the agent that failed; those of whoever emitted the event are in its envelope.
    """

    event: Stored
    stream: str
    tenant: str
    agent: str
    handler: str
    reason: Fault
    attempts: int
    stamps: Stamps


Bury = Callable[[GivenUp], Awaitable[None]]
"""Keeps it for good. Again: the same letter, which readers count once."""


def dead_letter_stream(subjects: Subjects) -> StreamSpec:
    """The stream that keeps dead letters until somebody drops them."""
    name = subjects.stream(DEAD_LETTERS)
    return StreamSpec(name=name, subjects=(subjects.dead_letter_all(),), description="dead letters")


class Burial:
    """The stream DLQ, for events. A `Bury`."""

    def __init__(self, store: Store, subjects: Subjects, payloads: Payloads) -> None:
        self._store = store
        self._subjects = subjects
        self._payloads = payloads
        self._ensured = False

    async def __call__(self, given_up: GivenUp) -> None:
        """Write the letter down.

        Raises:
            TimedOut · NoResponders · Unavailable: it is not certain that it is stored; do it again.
        """
        if not self._ensured:
            await self._store.ensure_stream(dead_letter_stream(self._subjects))
            self._ensured = True
        letter = await self._letter(given_up)
        subject = self._subjects.dead_letter(letter.tenant)
        await self._store.append(subject, msgspec.json.encode(letter), message_id=letter.id)

    async def _letter(self, given_up: GivenUp) -> DeadLetter:
        event, data = given_up.event, given_up.event.data
        large = len(data) > LIMIT
        text, encoding = as_payload(b"" if large else data)
        ref = None
        if large:
            ref = Reference(digest=await (await self._payloads.objects()).put(data), size=len(data))
        return DeadLetter(
            id=f"dead.{given_up.stream}.{event.sequence}.{given_up.agent}-{given_up.handler}",
            stage="event",
            reason=given_up.reason,
            tenant=given_up.tenant,
            agent=given_up.agent,
            handler=given_up.handler,
            stamps=given_up.stamps,
            source=Source(
                stream=given_up.stream,
                sequence=event.sequence,
                subject=event.subject,
                received_at=event.time,
                attempts=given_up.attempts,
            ),
            headers=some_headers(event.headers),
            payload=text,
            encoding=encoding,
            ref=ref,
        )
