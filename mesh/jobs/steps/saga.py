"""`Saga`: undoing what a failed or cancelled job had done, the last first, each once.

The journal says how far it is: a successor goes on where the last owner stopped, and never forward. An undoing that fails for
good parks the job, with an alert, until a person has said what became of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from mesh.actors.declaring.contract import Contract
from mesh.jobs.authoring.undo import Undo
from mesh.jobs.journals.journal import Journal
from mesh.jobs.outside.alerts import Alert, raise_alert
from mesh.jobs.owning.seat import Seat
from mesh.jobs.running.scope import Scope
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.errors import Fault, JournalCorrupt, MeshError
from mesh.protocols.job_events import (
    CompFailed,
    CompStarted,
    CompSucceeded,
    Event,
    Value,
    WaitOpened,
    WaitResolved,
)
from mesh.protocols.job_step_state import StepState

SUFFIX = "/~undo"
"""Ends the key of the wait for a decision about an undoing that failed."""


class Offer(NamedTuple):
    """How a step is undone; `contract` reads its result."""

    undo: Undo
    contract: Contract


Do = Callable[[StepState, Offer], Awaitable[None]]
"""Undo one step; raises a MeshError when it cannot be done."""


class Saga:
    """The undoings of one run. `offers` are filled as the workflow comes to its steps."""

    def __init__(self, seat: Seat, journal: Journal, waits: Waits) -> None:
        self._seat = seat
        self._journal = journal
        self._waits = waits
        self._offers: dict[str, Offer] = {}

    def offer(self, key: str, undo: Undo, contract: Contract) -> None:
        """Should the step of this key have succeeded when the job fails, it is undone so."""
        self._offers[key] = Offer(undo, contract)

    @property
    def begun(self) -> bool:
        """Whether the job is being undone: then it never goes forward again."""
        return self._journal.state.undoing is not None

    def due(self) -> list[StepState]:
        """The steps that are to be undone, the last success first."""
        steps = [each for each in self._journal.state.steps.values() if self._is_due(each)]
        return sorted(steps, key=lambda each: each.ended_at)[::-1]

    async def unwind(self, fault: Fault, do: Do) -> list[str]:
        """Undo them, one after the other; the keys of those that a person has given up.

        Raises:
            LeaseLost: somebody else goes on with it.
        """
        await self._drop_waits()
        return [each.key for each in self.due() if not await self._undone(each, fault, do)]

    def _is_due(self, step: StepState) -> bool:
        if step.undoing is not None:
            return step.undoing != "succeeded"
        nothing_was_done = step.source in ("cached", "degraded")
        return step.state == "succeeded" and step.key in self._offers and step.epoch > 0 and not nothing_was_done

    async def _drop_waits(self) -> None:
        """Nobody waits any more for what the workflow waited for."""
        state = self._journal.state

        def dropped() -> tuple[Event, ...]:
            left = [each.opened.key for each in state.open_waits if SUFFIX not in each.opened.key]
            return tuple(WaitResolved(key=key, how="dropped") for key in left)

        if dropped():
            await self._journal.decide(dropped)

    async def _undone(self, step: StepState, fault: Fault, do: Do) -> bool:
        """Whether it is undone in the end; False: a person has said that it stays as it is."""
        while step.undoing != "succeeded":
            if step.undoing == "failed":
                answer = await self._decision(step)
                if answer.how == "failed":
                    return False
                if answer.how == "succeeded":
                    await self._journal.append(CompSucceeded(key=step.key, by=answer.by))
                    break
            if step.undoing != "started":
                await self._journal.append(CompStarted(key=step.key, attempt=step.undo_attempt + 1, fault=fault))
            await self._journal.append(await self._try(step, do))
        return True

    async def _try(self, step: StepState, do: Do) -> Event:
        try:
            offer = self._offers.get(step.key)
            if offer is None:
                raise JournalCorrupt(f"the workflow does not say any more how {step.key!r} is undone")
            await do(step, offer)
        except MeshError as error:
            self._journal.check()
            return CompFailed(key=step.key, fault=error.fault())
        return CompSucceeded(key=step.key)

    async def _decision(self, step: StepState) -> WaitResolved:
        """What a person says of it. The alert is raised before the job is parked, so that none is parked in silence."""
        state = self._journal.state
        key = step.key + SUFFIX + (f"#{step.undo_attempt}" if step.undo_attempt > 1 else "")
        why = step.undo_fault.message if step.undo_fault else "it is not known why"
        reason = f"step {step.key!r} could not be undone: {why}"
        if self._waits.knows(key) is None:
            workflow = state.head.workflow if state.head else ""
            alert = Alert(job=state.job, workflow=workflow, key=key, what="compensation failed", reason=reason)
            await raise_alert(self._seat, self._journal.tenant, alert)
        about = Value(inline=msgspec.Raw(msgspec.json.encode(reason)))
        scope = Scope(state.job, "", state.updated_at)
        return await self._waits.wait(scope, WaitOpened(key=key, kind="resolution", name=step.key, about=about))
