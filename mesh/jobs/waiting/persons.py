"""`Persons`: asking somebody for the value of a step that came to nothing. The job is parked meanwhile, with an alert."""

from __future__ import annotations

from itertools import count

import msgspec

from mesh.actors.declaring.contract import Contract
from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.alerts import Alert, raise_alert
from mesh.jobs.owning.seat import Seat
from mesh.jobs.running.scope import Scope
from mesh.jobs.running.stillness import Stillness
from mesh.jobs.steps.onward import ASKED_AGAIN, AskPerson, Plan, first_fault
from mesh.jobs.steps.stand_ins import words
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.errors import HandlerFailed, MeshError, WaitExpired
from mesh.protocols.job_events import StepFailed, StepRetried, StepSucceeded, Value, WaitOpened, WaitResolved
from mesh.protocols.job_facts import Onward
from mesh.protocols.job_step_state import StepState

SUFFIX = "/~person"
"""Ends the key of the wait for a value, before the number of the attempt that it stands in for."""


class Persons:
    """Those of one run."""

    def __init__(self, seat: Seat, journal: Journal, values: Values, waits: Waits, stillness: Stillness) -> None:
        self._seat = seat
        self._journal = journal
        self._values = values
        self._waits = waits
        self._stillness = stillness

    async def ask(self, scope: Scope, step: StepState, person: AskPerson, plan: Plan, contract: Contract) -> None:
        """Ask, and journal what comes of it: the result, the failure, or how the step goes on. A value that does not fit is asked
        for once more, with what is wrong about it.

        Raises:
            Cancelled: the job is, meanwhile. LeaseLost.
        """
        error, wrong = first_fault(step.tries) or HandlerFailed(), ""
        for number in count(1):
            answer = await self._answer(scope, step, person, error, number, wrong)
            wrong = await self._wrong(answer, contract)
            if not wrong:
                await self._settle(step, answer, plan, error)
                return

    async def _answer(
        self, scope: Scope, step: StepState, person: AskPerson, error: MeshError, number: int, wrong: str
    ) -> WaitResolved:
        key = f"{step.key}{SUFFIX}#{step.attempt}" + (f".{number}" if number > 1 else "")
        scope.ahead.came_to(f"{step.key}/", key)
        known = self._waits.knows(key)
        if known is not None:
            return await self._waits.wait(scope, known.opened)
        told = (
            f"{person.question or f'what is the result of step {step.key!r} ({step.name})?'} It failed: {error.message}"
        )
        told += f"; the value that was given does not fit: {wrong}" if wrong else ""
        state = self._journal.state
        workflow = state.head.workflow if state.head else ""
        alert = Alert(job=state.job, workflow=workflow, key=key, what="step needs a value", reason=told)
        with self._stillness.working():
            await raise_alert(self._seat, self._journal.tenant, alert)
        until = None if person.within is None else self._journal.job_time() + person.within
        about = Value(inline=msgspec.Raw(msgspec.json.encode(told)))
        return await self._waits.wait(
            scope, WaitOpened(key=key, kind="resolution", name=step.key, about=about, until=until)
        )

    async def _wrong(self, answer: WaitResolved, contract: Contract) -> str:
        if answer.how != "succeeded":
            return ""
        try:
            contract.decode(await self._values.load(answer.value or Value()))
        except MeshError as error:
            return error.message
        return ""

    async def _settle(self, step: StepState, answer: WaitResolved, plan: Plan, error: MeshError) -> None:
        if answer.how == "succeeded":
            degraded = f"{words(AskPerson())}, because: {error.message}"
            await self._journal.append(
                StepSucceeded(
                    key=step.key, output=answer.value or Value(), by=answer.by, source="person", degraded=degraded
                )
            )
        elif answer.how == "retry":
            await self._go_on(step, error, "retry", ASKED_AGAIN)
        elif answer.how == "expired":
            following = plan.after(step.tries, WaitExpired("nobody answered in time"), self._seat.ids.random)
            if following is None:
                await self._journal.append(StepFailed(key=step.key, fault=error.fault()))
            else:
                await self._go_on(step, error, following.onward, following.what, following.number)
        else:
            said = f": {answer.reason}" if answer.reason else ""
            failure = HandlerFailed(f"{answer.by or 'somebody'} said that it failed{said}", detail={"by": answer.by})
            await self._journal.append(StepFailed(key=step.key, fault=failure.fault(), by=answer.by))

    async def _go_on(self, step: StepState, error: MeshError, onward: Onward, what: str, number: int = 0) -> None:
        fault = error.fault()
        await self._journal.append(
            StepRetried(key=step.key, attempt=step.attempt, fault=fault, onward=onward, what=what, number=number)
        )
