"""What must hold whatever happens. `Invariants` checks the cheap ones at every event, and the deep ones at the end.

It believes nobody: it reads the store of the server itself, and the world outside, and never asks the code under test.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from mesh.protocols.job_events import (
    Entry,
    OwnerClaimed,
    StepFailed,
    StepStarted,
    StepSucceeded,
    Submitted,
    WaitOpened,
    WaitResolved,
    decode_entry,
)
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import JobState, Recorded
from mesh.protocols.ports import Stored
from mesh.testing.virtual_time import _waiting_at
from mesh.transport.matching import matches
from tests.simulation.admission_rules import AdmissionRules
from tests.simulation.breaker_rules import BreakerRules
from tests.simulation.deadline_rules import DeadlineRules
from tests.simulation.degraded_rules import DegradedRules
from tests.simulation.gate_rules import GateRules
from tests.simulation.hedge_rules import HedgeRules
from tests.simulation.outside import Effect
from tests.simulation.policy_rules import PolicyRules
from tests.simulation.presence_rules import PresenceRules
from tests.simulation.recovery import recovered
from tests.simulation.rest import rest
from tests.simulation.retry_rules import RetryRules
from tests.simulation.seams import open_seams
from tests.simulation.token_rules import TokenRules
from tests.simulation.workload import Plan

if TYPE_CHECKING:
    from tests.simulation.operator import Operator
    from tests.simulation.world import World


OUR_OWN_FAULT = frozenset(
    {"handler-failed", "bad-payload", "bad-result", "replay-diverged", "journal-corrupt", "poison"}
)
"""What a job of this workload may not fail with, unless its plan wants it to fail."""


class Violation(AssertionError):
    """Something that must hold does not."""


@dataclass
class JobSeen:
    """One job as its journal tells it, folded here and now."""

    tenant: str
    workflow: str = ""
    state: JobState = field(default_factory=JobState)
    writers: dict[int, str] = field(default_factory=dict)
    """By epoch: who wrote under it."""
    outcomes: dict[str, str] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    timers: dict[str, float] = field(default_factory=dict)
    plan: tuple[str, ...] | None = None
    """The keys of an order's steps, one after the other."""
    key: str = ""
    """Under which it was handed in."""


class Invariants:
    """See the module. The first violation stands in `found` until `check` raises it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs: dict[str, JobSeen] = {}
        self.found: str = ""
        self.breakers: BreakerRules
        self.degraded: DegradedRules
        self.presence: PresenceRules
        self._journals = world.subjects.job_all()

    def watch(self) -> None:
        """From now on."""
        self.world.server.storage.appended.append(self._appended)
        self.world.outside.on_effect.append(self._effect)
        seams = open_seams(self.violated)
        self.breakers = BreakerRules(self, seams)
        RetryRules(self, seams)
        policies = PolicyRules(self, seams)
        AdmissionRules(self, seams, policies)
        GateRules(self, seams, policies)
        HedgeRules(self, seams)
        DeadlineRules(self, seams)
        TokenRules(self, seams)
        self.degraded = DegradedRules(self)
        self.presence = PresenceRules(self)

    def violated(self, words: str) -> None:
        """Remember it, if it is the first."""
        if not self.found:
            self.found = words
            self.world.tell("VIOLATED", words)
            self.world.loop.stop_soon = True

    def check(self) -> None:
        """Raises Violation for what was found."""
        if self.found:
            raise Violation(self.found)

    # -- at every append

    def _appended(self, stored: Stored) -> None:
        if not matches(self._journals, stored.subject):
            return
        entry = decode_entry(stored.data)
        job = self.jobs.get(entry.job)
        if job is None:
            job = self.jobs[entry.job] = JobSeen(entry.tenant)
            self._begun(job, entry)
        objection = job.state.objection(entry)
        if objection:
            self.violated(
                f"journal of {entry.job}: an entry is void, which compare-and-set should have kept out: {objection}"
            )
        self._fenced(job, entry)
        self._steps(job, entry, stored)
        job.state.apply(Recorded(entry, stored.sequence, stored.time))

    def _begun(self, job: JobSeen, entry: Entry) -> None:
        """A key of a tenant is one job, however often it is handed in."""
        submitted = entry.events[0]
        if not isinstance(submitted, Submitted):
            self.violated(f"journal of {entry.job} begins with {type(submitted).__name__}")
            return
        job.workflow = submitted.workflow
        if submitted.workflow == "order" and submitted.input.inline is not None:
            plan = msgspec.json.decode(submitted.input.inline, type=Plan)
            job.plan = tuple(step.key for step in plan.steps)
        job.key = submitted.key
        for other, seen in self.jobs.items():
            if seen is not job and (seen.tenant, seen.key) == (job.tenant, job.key) and job.key:
                self.violated(f"order {job.key} of {job.tenant} is two jobs: {other} and {entry.job}")

    def _fenced(self, job: JobSeen, entry: Entry) -> None:
        """In one epoch one start of one process writes."""
        if entry.epoch < job.state.epoch:
            self.violated(f"journal of {entry.job}: epoch {entry.epoch} after {job.state.epoch}")
        if not entry.owner:
            return
        incarnation = entry.head.incarnation or job.writers.get(entry.epoch, entry.owner).partition("/")[2]
        writer = f"{entry.owner}/{incarnation}"
        claims = any(isinstance(event, OwnerClaimed) for event in entry.events)
        if claims and entry.epoch in job.writers:
            self.violated(f"journal of {entry.job}: epoch {entry.epoch} is claimed twice")
        first = job.writers.setdefault(entry.epoch, writer)
        if first.partition("/")[0] != entry.owner:
            self.violated(f"journal of {entry.job}: {first} and {writer} both write in epoch {entry.epoch}")

    def _steps(self, job: JobSeen, entry: Entry, stored: Stored) -> None:
        for event in entry.events:
            if self.world.configuration.guests:
                self.degraded.journaled(entry.job, event)
            match event:
                case StepStarted():
                    job.started.add(event.key)
                    if event.key in job.outcomes:
                        self.violated(
                            f"job {entry.job}: step {event.key} is started again after {job.outcomes[event.key]}"
                        )
                case StepSucceeded() | StepFailed():
                    outcome = "success" if isinstance(event, StepSucceeded) else "failure"
                    if event.key in job.outcomes:
                        self.violated(
                            f"job {entry.job}: step {event.key} has two outcomes: {job.outcomes[event.key]}, {outcome}"
                        )
                    job.outcomes[event.key] = outcome
                case WaitOpened():
                    if event.kind == "timer" and event.until is not None:
                        job.timers[event.key] = event.until
                case WaitResolved():
                    job.answers[event.key] = job.answers.get(event.key, 0) + 1
                    if job.answers[event.key] > 1:
                        self.violated(f"job {entry.job}: wait {event.key} was answered twice")
                    due = job.timers.get(event.key)
                    if due is not None and event.how == "due" and stored.time < due - 1.5:
                        self.violated(f"job {entry.job}: timer {event.key} fired {due - stored.time:.2f} s early")

    # -- at every effect

    def _effect(self, effect: Effect, when: str) -> None:
        if when != "after":
            return
        same = [each for each in self.world.outside.effects if _about(each) == _about(effect)]
        if effect.kind in ("pay", "once") and len(same) > 1:
            self.violated(f"job {effect.job}: {effect.step} may be done at most once, and was done {len(same)} times")
        if effect.kind in ("charge", "refund", "pay", "once") and len({each.key for each in same}) > 1:
            self.violated(
                f"job {effect.job}: {effect.step} was done under different keys {[each.key for each in same]}"
            )
        if not effect.job:
            return
        job = self.jobs.get(effect.job)
        if job is None:
            self.violated(f"job {effect.job}: {effect.step} is done before the job is journaled")
            return
        if effect.kind in ("charge", "pay", "once", "compute") and effect.step not in job.started:
            self.violated(f"job {effect.job}: {effect.step} is done before the journal says that it is started")
        self._in_order(job, effect)

    def _in_order(self, job: JobSeen, effect: Effect) -> None:
        """What a plan has before a step has an outcome that is journaled, when the step has an effect."""
        plan = job.plan
        if effect.kind == "refund" or plan is None:
            return
        for step in plan:
            if effect.step.startswith(step):
                return
            if not any(key.startswith(step) for key in (*job.outcomes, *job.answers)):
                self.violated(f"job {effect.job}: {effect.step} is done before the journal has an outcome of {step}")

    # -- at the end

    def settled(self, operator: Operator) -> bool:
        """Whether everything that was handed in is over."""
        orders = self.world.configuration.orders
        return (
            len(operator.promised) == len(orders)
            and all(each.up for each in self.world.everybody.values())
            and all(job in self.jobs and self.jobs[job].state.status in TERMINAL for job in operator.promised)
            and all(each.state.status in TERMINAL for each in self.jobs.values())
        )

    async def finish(self, operator: Operator) -> None:
        """The deep ones."""
        self.check()
        for number, order in enumerate(self.world.configuration.orders):
            if not any(each.number == order.number for each in operator.promised.values()):
                self.violated(f"order {number} was never taken in, though all is well")
        for job, order in operator.promised.items():
            seen = self.jobs.get(job)
            if seen is None:
                self.violated(f"order {order.number} was promised as job {job}, which has no journal")
            elif seen.tenant != order.tenant:
                self.violated(f"job {job} of {order.tenant} is journaled for {seen.tenant}")
        for job, seen in self.jobs.items():
            fault = seen.state.fault
            if fault is not None and fault.code in OUR_OWN_FAULT and "Refusal" not in fault.message:
                self.violated(f"job {job} failed by {fault.code}, which no bad luck explains: {fault.message}")
            if seen.state.status not in TERMINAL:
                waits = ", ".join(f"{each.opened.kind} {each.opened.key}" for each in seen.state.open_waits)
                for line in waiting_of(self.world, seen.state.head.owner if seen.state.head else "", job):
                    self.world.tell("world", line)
                self.violated(
                    f"job {job} is still {seen.state.status} (owner {seen.state.head and seen.state.head.owner}; waits for {waits or 'nothing'})"
                )
        self.check()
        await self._at_rest()
        self.check()

    async def _at_rest(self) -> None:
        """When nothing is under way any more."""
        stuck = await recovered(self.world)
        if stuck:
            self.violated(f"when all was well again: {stuck}")
        if self.world.configuration.looks_back:
            found = await rest(self.world, self.presence) or next(self.breakers.unrest(), "")
            if found:
                self.violated(f"when all was over: {found}")


def _about(effect: Effect) -> tuple[str, ...]:
    """Which effects are the same one: a step's, or those of one call beside all jobs."""
    return effect[:3] if effect.job else (effect.kind, effect.key)


def waiting_of(world: World, owner: str, job: str) -> list[str]:
    """Where the tasks of the job's owner wait, those of the job itself first."""
    tasks = sorted(asyncio.all_tasks(world.loop), key=lambda task: (job not in task.get_name(), hash(task)))
    lines = []
    for task in tasks:
        places = _waiting_at(task)
        text = " > ".join(places)
        if job in task.get_name() or any(part in text for part in ("jobs/", "contract_net/")):
            lines.append(f"{task.get_name()} waits: {text}")
    return lines[:40]
