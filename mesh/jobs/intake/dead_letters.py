"""`DeadLetters`: writes down what nobody could use, so that it is neither lost nor tried for ever."""

from __future__ import annotations

import msgspec

from mesh.jobs.journals.values import Values
from mesh.jobs.owning.seat import Seat
from mesh.protocols.dead_letters import DeadLetter, Source, as_payload, some_headers
from mesh.protocols.errors import Fault
from mesh.protocols.job_events import Value
from mesh.protocols.job_state import JobState
from mesh.protocols.job_step_state import StepState
from mesh.protocols.ports import Headers
from mesh.protocols.references import LIMIT, Reference

NOBODYS = "default"
"""The tenant whose dead letters hold what names no tenant."""


class DeadLetters:
    """The stream DLQ, for writing."""

    def __init__(self, seat: Seat, values: Values) -> None:
        self._seat = seat
        self._values = values

    async def bury_message(
        self,
        source: Source,
        data: bytes,
        headers: Headers | None,
        reason: Fault,
        *,
        tenant: str = "",
        workflow: str = "",
        job: str = "",
    ) -> None:
        """Keep a message of the ingress. Again: the same letter, which the stream drops or readers count once."""
        large = len(data) > LIMIT
        text, encoding = as_payload(b"" if large else data)
        await self.write(
            DeadLetter(
                id=letter_id(source),
                stage="ingress",
                reason=reason,
                tenant=tenant or NOBODYS,
                workflow=workflow,
                job=job,
                source=source,
                headers=some_headers(headers),
                payload=text,
                encoding=encoding,
                ref=Reference(digest=await self._values.put(data), size=len(data)) if large else None,
            )
        )

    async def bury_job(self, state: JobState, tenant: str, letter: str, reason: Fault) -> None:
        """Keep what is known of a job that is given up: its input, where its journal stands, and what it did not get over."""
        submitted = state.submitted
        stuck = _stuck(state)
        fault = stuck.fault if stuck else None
        given = submitted.input if submitted else Value()
        text, encoding = as_payload(b"" if given.ref else bytes(given.inline))
        await self.write(
            DeadLetter(
                id=letter,
                stage="job",
                reason=reason,
                tenant=tenant,
                workflow=submitted.workflow if submitted else "",
                job=state.job,
                step=stuck.key if stuck else "",
                epoch=state.epoch,
                sequence=state.sequence,
                output=str(fault.detail.get("output", "")) if fault else "",
                stamps=stuck.stamps if stuck else None,
                payload=text,
                encoding=encoding,
                ref=given.ref,
            )
        )

    async def write(self, letter: DeadLetter) -> None:
        """Append a letter, and say so in the log."""
        subject = self._seat.subjects.dead_letter(letter.tenant)
        await self._seat.store.append(subject, msgspec.json.encode(letter), message_id=letter.id)
        self._seat.telemetry.emit(
            "job.dead_lettered",
            level="error",
            letter=letter.id,
            tenant=letter.tenant,
            workflow=letter.workflow,
            job=letter.job,
            error=letter.reason.code,
            message=letter.reason.message,
            sequence=letter.source.sequence if letter.source else None,
        )


def letter_id(source: Source) -> str:
    """The id of the letter for one message of the ingress."""
    return f"dead.{source.stream}.{source.sequence}"


def _stuck(state: JobState) -> StepState | None:
    """The step that was begun last and has not succeeded."""
    left = [each for each in state.steps.values() if each.state != "succeeded"]
    return max(left, key=lambda each: each.started_at, default=None)
