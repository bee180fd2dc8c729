"""`Calling`: a step that an agent does, as a call of the contract net."""

from __future__ import annotations

from mesh.contract_net.calls import Call
from mesh.jobs.journals.journal import Journal
from mesh.jobs.owning.seat import Seat
from mesh.jobs.running.limits import Limits
from mesh.jobs.steps.attempt import Attempt
from mesh.jobs.steps.awarding import award
from mesh.jobs.steps.calls import CallTerms, Contractor
from mesh.jobs.steps.effects import TOUCHING
from mesh.jobs.steps.step import Outcome, Step
from mesh.protocols.envelope import Sender
from mesh.protocols.errors import Refused
from mesh.protocols.job_events import Submitted

AGENT = "jobs"
"""Under this name a process that drives jobs stands in the registry, and calls for proposals."""


class Calling:
    """The calls of one run."""

    def __init__(
        self, seat: Seat, journal: Journal, contractor: Contractor, limits: Limits, submitted: Submitted, workflow: str
    ) -> None:
        self._seat = seat
        self._journal = journal
        self._contractor = contractor
        self._limits = limits
        self._submitted = submitted
        self._workflow = workflow

    async def call(self, terms: CallTerms, step: Step, attempt: Attempt) -> Outcome:
        """Hold the auction, within what is left of time and budget."""
        self.must_be_allowed(step)
        job, capability = self._journal.state.job, self.offered(terms.capability)
        call = Call(
            capability=capability,
            input=terms.input,
            constraints=self._limits.narrowed(step.key, terms.demands()),
            deadline=self._limits.within(terms.seconds(self._seat.declared(capability))),
            effect=terms.effect,
            mode=terms.mode,
            key=f"{job}/{step.target or step.key}",
            tenant=self._journal.tenant,
            job=job,
            epoch=self._journal.epoch,
            step=step.key,
            attempt=attempt.number,
            correlation=self._submitted.correlation or job,
            causation=self._submitted.causation,
            trace=self._submitted.trace,
            sender=Sender(AGENT, self._workflow, self._seat.process),
        )
        done = await award(
            self._contractor, call, self._seat, attempt, lambda: self._journal.leaving, self._limits.left
        )
        by = f"{done.winner.agent}.{done.winner.instance}"
        return Outcome(done.content, done.usage, done.stamps, by=by, degraded=done.degraded)

    def must_be_allowed(self, step: Step) -> None:
        """A fork leaves the world outside alone, unless it may. What undoes its own steps is allowed.

        Raises:
            Refused: it may not.
        """
        forked = self._journal.state.forked
        if forked is not None and not forked.effects and step.effect in TOUCHING and not step.undoes:
            raise Refused(
                f"step {step.key}: it is {step.effect}, this job is a fork, and job {forked.job} has no outcome of it to give: "
                "fork with --allow-effects",
                detail={"reason": "effects"},
            )

    def offered(self, capability: str) -> str:
        """The capability that is called: a fork may try another agent in the place of one."""
        forked = self._journal.state.forked
        return forked.instead.get(capability, capability) if forked else capability
