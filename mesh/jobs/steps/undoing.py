"""Undoing one step: itself a step, `<key>/undo`, that an agent or this process does, tried several times within its own limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from mesh.actors.running.doing import StepWork, being_done
from mesh.jobs.authoring.branches import Branch
from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.values import Values
from mesh.jobs.owning.seat import Seat
from mesh.jobs.running.scope import Scope, current
from mesh.jobs.steps import local
from mesh.jobs.steps.attempt import Attempt
from mesh.jobs.steps.calls import CallTerms
from mesh.jobs.steps.performing import Performing
from mesh.jobs.steps.saga import Offer
from mesh.jobs.steps.step import Outcome, Step
from mesh.jobs.steps.steps import handler_failed
from mesh.protocols.envelope import NULL
from mesh.protocols.errors import DeadlineExceeded, HandlerFailed, MeshError, NoBids, Transient
from mesh.protocols.job_step_state import StepState
from mesh.resilience.deadline import Deadline

PAUSE = 1.0
"""Seconds before the second attempt; it doubles."""
WORTH_ANOTHER = (Transient, NoBids, DeadlineExceeded, HandlerFailed)

Contract = Callable[[CallTerms, Step, Attempt], Awaitable[Outcome]]


class Undoing:
    """Does what `saga.Saga` decides. `contract` gives a call to an agent."""

    def __init__(
        self, seat: Seat, journal: Journal, values: Values, performing: Performing, contract: Contract
    ) -> None:
        self._seat = seat
        self._journal = journal
        self._values = values
        self._performing = performing
        self._contract = contract

    async def do(self, done: StepState, offer: Offer) -> None:
        """Undo the step. Again, after a crash: what is journaled is not done again, what was under way is.

        Raises:
            MeshError: it could not be done, in `attempts` attempts.
        """
        undo = offer.undo
        result = NULL if done.output is None else await self._values.load(done.output)
        number = f"#{done.undo_attempt}" if done.undo_attempt > 1 else ""
        kind: Any = "call" if isinstance(undo.what, str) else "local"
        step = Step(
            f"{done.key}/undo{number}", undo.name, kind, result, "idempotent", target=f"{done.key}/undo", undoes=True
        )

        async def work(attempt: Attempt) -> Outcome:
            if isinstance(undo.what, str):
                terms = CallTerms(undo.what, result, undo.within, {}, "idempotent", "standing", None)
                return await self._patiently(offer, lambda _: self._contract(terms, step, attempt), attempt)
            await attempt.start()
            return await self._patiently(offer, lambda number: self._local(step, offer, result, number), attempt)

        scope = Scope(self._journal.state.job, "", self._journal.state.updated_at)
        await self._performing.perform(scope, step, work)

    async def _patiently(
        self, offer: Offer, attempt_once: Callable[[int], Awaitable[Outcome]], attempt: Attempt
    ) -> Outcome:
        pause = PAUSE
        for number in range(1, offer.undo.attempts):
            try:
                return await attempt_once(number)
            except WORTH_ANOTHER as error:
                self._journal.check()
                wait = max(pause, error.retry_after or 0.0) * (0.5 + self._seat.ids.random.random())
            attempt.resume = None
            await self._seat.clock.sleep(wait)
            pause *= 2
        return await attempt_once(offer.undo.attempts)

    async def _local(self, step: Step, offer: Offer, result: msgspec.Raw, number: int) -> Outcome:
        """Somebody's function of the result. What it asks of the job has keys of its own, others at each attempt: a step that
        failed stays failed."""
        state, undo = self._journal.state, offer.undo
        path = f"{step.key}/" if number == 1 else f"{step.key}~{number}/"
        token = current.set(Scope(state.job, path, state.updated_at))
        correlation = state.submitted.correlation if state.submitted else state.job
        doing = StepWork(f"{state.job}/{step.target}", self._journal.tenant, correlation, self._seat.keeping)
        try:
            async with Deadline.after(self._seat.clock, undo.within).enforce(f"undoing {step.key}"):
                with being_done(doing):
                    made = await local.call(undo.what, (offer.contract.decode(result),))  # type: ignore[arg-type]
                if isinstance(made, Branch):
                    await made
        except MeshError:
            raise
        except Exception as error:
            raise handler_failed(error, undo.name) from error
        finally:
            current.reset(token)
        return Outcome(NULL)
