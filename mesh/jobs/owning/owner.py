"""`Owner`: the jobs of one process. It takes them in, claims them, drives them, and hands them back when it leaves.

Any process that hosts a workflow's version may own its jobs. What it drives at once is bounded; what is beyond waits in the
journal, where others find it. A job whose owner is gone is claimed by the first who notices.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mesh.jobs.authoring.workflow import Workflow
from mesh.jobs.intake.admission import Admission, Admitted
from mesh.jobs.intake.dead_letters import DeadLetters
from mesh.jobs.intake.ingress import Ingress
from mesh.jobs.intake.unclaimed import GRACE, Unclaimed
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import ensure_streams
from mesh.jobs.journals.values import Values
from mesh.jobs.owning.backlog import Candidate
from mesh.jobs.owning.hosted import KnownWorkflow, KnownWorkflows
from mesh.jobs.owning.lookout import Lookout
from mesh.jobs.owning.room import Room
from mesh.jobs.owning.seat import Seat
from mesh.jobs.owning.tenure import Means, Tenure
from mesh.jobs.steps.calls import Contractor
from mesh.jobs.waiting.inbox import Inbox
from mesh.jobs.waiting.timers import Timers
from mesh.jobs.waiting.waking import Waking
from mesh.protocols.errors import Draining, LeaseLost, MeshError
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Message, Subscription
from mesh.registry.records import Figures

logger = logging.getLogger("mesh.jobs")

AT_ONCE = 64
LOOK_EVERY = 5.0
LOOK_SHARE = 20.0
"""Where looking takes long, it is done less often: so many times what it takes."""
HAND_BACK_WITHIN = 5.0


class Owner:
    """Takes in and drives the jobs of its workflows. `at_once` bounds those it drives; each waits mostly for its agents."""

    def __init__(
        self,
        seat: Seat,
        contractor: Contractor,
        *,
        at_once: int = AT_ONCE,
        look_every: float = LOOK_EVERY,
        grace: float = GRACE,
    ) -> None:
        self.seat = seat
        self.workflows: dict[tuple[str, int], Workflow[Any]] = {}
        self._newest: dict[str, Workflow[Any]] = {}
        self._look_every = look_every
        self.journals = Journals(seat.store, seat.subjects)
        self.known = KnownWorkflows(seat.store, seat.subjects)
        values = Values(seat.store, seat.subjects, seat.clock)
        letters = DeadLetters(seat, values)
        inbox = Inbox(self.journals, seat.clock)
        self._means = Means(seat, self.journals, values, letters, contractor, inbox, Timers(seat.store, seat.subjects))
        self._room = Room(at_once, seat.policy, seat.clock)
        admission = Admission(seat, self.journals, values, self._newest, hold=self._room.hold, let_go=self._room.let_go)
        self._ingress = Ingress(seat, admission, letters, self._room, admitted=self._take_in)
        self._unclaimed = Unclaimed(seat, admission, letters, self.known, grace=grace)
        self._waking = Waking(
            seat, self.journals, inbox, attend=self._attend, runnable=self._offer, elsewhere=self._hint
        )
        self._lookout = Lookout(seat, self.journals, self.workflows.keys())
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tenures: dict[str, Tenure] = {}
        self._states: dict[str, JobState] = {}
        """What some of the backlog amount to: read a moment ago, when they were woken."""
        self._look_now = asyncio.Event()
        self._hosting = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._hints: Subscription | None = None
        self._draining = False
        self.handled = 0
        self.on_load: Callable[[], None] = lambda: None
        self._forget = seat.policy.on_change(lambda _: self._decided())

    # -- its life

    async def host(self, workflow: Workflow[Any]) -> None:
        """Take in and drive the jobs of this version from now on, those first that are left over. Again: nothing happens.

        Raises:
            ValueError: another workflow of that name and version is hosted here. Draining: the process is leaving.
            Unavailable · TimedOut · NoResponders: the store is out of reach.
        """
        async with self._hosting:  # one after the other: what a first one begins, the next finds
            await self._host(workflow)
        self.look_soon()

    async def _host(self, workflow: Workflow[Any]) -> None:
        identity = (workflow.name, workflow.version)
        if self._draining:
            raise Draining(f"the process is leaving, and takes up no jobs of workflow {workflow.name!r} any more")
        if self.workflows.get(identity, workflow) is not workflow:
            raise ValueError(f"two workflows are called {workflow.name!r}, version {workflow.version}: change one")
        await self._begin()
        if workflow.name not in self._newest:
            await self._ingress.prepare(workflow.name)
        await self.known.register(_known(workflow))
        self.workflows[identity] = workflow
        if self._newest.get(workflow.name, workflow).version <= workflow.version:
            self._newest[workflow.name] = workflow
        await self._ingress.open(workflow.name)

    async def _begin(self) -> None:
        """Each part once; what failed before is begun now."""
        if not self._tasks:
            await ensure_streams(self.seat.store, self.seat.subjects)
            await self.known.start()
            loop = asyncio.get_running_loop()
            self._tasks = [
                loop.create_task(self._dispatch(), name="jobs dispatch"),
                loop.create_task(self._look(), name="jobs lookout"),
            ]
        if self._hints is None:
            self._hints = await self.seat.bus.subscribe(self.seat.subjects.hint_all(), self._hinted)
        await self._unclaimed.open()
        await self._waking.open()

    async def drain(self, within: float = 10.0) -> None:
        """Take nothing more in, finish what can be finished `within` seconds, and hand the rest back. Again: nothing happens."""
        await self._close()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=within)
        left = list(self._tenures.values())
        await self._cancel_runs()
        if left:
            handing = [asyncio.ensure_future(self._hand_back(each)) for each in left]
            _, late = await asyncio.wait(handing, timeout=HAND_BACK_WITHIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*handing, return_exceptions=True)
        await self._forget_all()

    async def stop(self) -> None:
        """Leave everything as it is, as a crash would: others claim it. Again: nothing happens."""
        await self._close()
        await self._cancel_runs()
        await self._forget_all()

    @property
    def figures(self) -> Figures:
        """How loaded it is, as the registry shows it."""
        return Figures(
            queue=len(self._room.backlog),
            running=len(self._running),
            capacity=self._room.places.most,
            handled=self.handled,
        )

    @property
    def running(self) -> Sequence[str]:
        """The ids of the jobs that are driven here now."""
        return list(self._running)

    def look_soon(self) -> None:
        """Somebody may have died: look for jobs without an owner now, not at the next turn."""
        self._look_now.set()

    def _decided(self) -> None:
        """Operators have decided something: what was held back may go on, and more or less may run at once."""
        self._room.stir()
        self.look_soon()

    # -- what comes in

    def _take_in(self, admitted: Admitted) -> None:
        if not admitted.open or (admitted.duplicate and admitted.job in self._room.places):
            return
        candidate = Candidate(
            job=admitted.job,
            tenant=admitted.tenant,
            workflow=admitted.workflow,
            version=admitted.version,
            priority=admitted.priority,
            epoch=admitted.epoch,
            snapshot=None if admitted.duplicate else 0,
        )
        if admitted.claimed:
            self._take_up(candidate, claimed=True)
        else:
            self._offer(candidate)

    def _offer(self, candidate: Candidate, known: JobState | None = None) -> None:
        """A job needs an owner: drive it here, or tell the others of it. `known` is what it amounts to, if that was just read."""
        ours = not self._draining and (candidate.workflow, candidate.version) in self.workflows
        if not ours or self._room.free <= 0:
            self._hint(candidate)
        if ours:
            self._room.backlog.add(candidate)
            if known is not None and len(self._states) < self._room.places.most:
                self._states[candidate.job] = known

    def _attend(self, job: str) -> bool:
        """Something was said to the job; whether it is driven here."""
        tenure = self._tenures.get(job)
        if tenure is not None:
            tenure.look()
        return tenure is not None

    def _hint(self, candidate: Candidate) -> None:
        subject = self.seat.subjects.hint(candidate.tenant, candidate.priority)
        self.seat.bus.publish(subject, msgspec.json.encode(candidate))

    def _hinted(self, message: Message) -> None:
        try:
            candidate = msgspec.json.decode(message.data, type=Candidate)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            logger.warning("a work hint that is none, on %s", message.subject)
            return
        if candidate.attend:
            self._attend(candidate.job)
            return
        hosted = (candidate.workflow, candidate.version) in self.workflows and not self._draining
        if hosted and candidate.job not in self._room.places and self._room.free > 0:
            self._room.backlog.add(candidate)

    async def _look(self) -> None:
        while True:
            self._look_now.clear()
            wait = await self._look_once() * (0.75 + 0.5 * self.seat.ids.random.random())
            try:
                async with asyncio.timeout(wait):
                    await self._look_now.wait()
            except TimeoutError:
                continue

    async def _look_once(self) -> float:
        """Queue up what needs an owner; seconds until the next look. One that failed does not say how long looking takes."""
        began = self.seat.clock.monotonic()
        try:
            for candidate in await self._lookout.look(self._room.places.jobs):
                self._room.backlog.add(candidate)
        except MeshError as error:
            logger.info("the journals are out of reach: %s", error)
        except Exception:
            logger.exception("looking for jobs failed")
        else:
            return max(self._look_every, LOOK_SHARE * (self.seat.clock.monotonic() - began))
        return self._look_every

    # -- driving

    async def _dispatch(self) -> None:
        while True:
            await self._room.for_who_waits()
            candidate = self._room.backlog.take()
            if candidate is None:
                continue
            if candidate.job not in self._room.places:
                self._take_up(candidate)
            else:
                self._states.pop(candidate.job, None)
                self._room.stir()

    def _take_up(self, candidate: Candidate, *, claimed: bool = False) -> None:
        job = candidate.job
        self._room.places.enter(job, candidate.tenant)
        workflow = self.workflows[candidate.workflow, candidate.version]
        tenure = self._tenures[job] = Tenure(
            self._means, workflow, candidate, claimed=claimed, known=self._states.pop(job, None)
        )
        task = self._running[job] = asyncio.get_running_loop().create_task(self._serve(tenure, job), name=f"job {job}")
        task.add_done_callback(lambda _: self._ended(job))
        self.on_load()

    def _ended(self, job: str) -> None:
        self._running.pop(job, None)
        self._room.let_go(job)
        tenure = self._tenures.pop(job)
        if tenure.left_over is not None:
            self._offer(tenure.left_over)
        self.handled += 1
        self.on_load()

    async def _serve(self, tenure: Tenure, job: str) -> None:
        try:
            await tenure.serve()
        except LeaseLost as error:
            logger.info("job %s: %s", job, error)
        except MeshError as error:
            logger.warning("job %s is left for later: %s", job, error)
        except Exception:
            logger.exception("job %s is left for later", job)

    # -- leaving

    async def _close(self) -> None:
        """What is being taken up in this moment is closed with the rest."""
        self._draining = True
        self._room.close()
        self._forget()
        async with self._hosting:
            await self._close_intake()

    async def _close_intake(self) -> None:
        await self._ingress.close()
        await self._unclaimed.close()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forget_all(self) -> None:
        """Hear nothing more: until its last job has ended or was handed back, an owner is told what is said to them."""
        await self._waking.close()
        if self._hints is not None:
            await self._hints.close()
        await self.known.stop()

    async def _cancel_runs(self) -> None:
        tasks = list(self._running.values())
        for tenure in self._tenures.values():
            tenure.leave()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _hand_back(self, tenure: Tenure) -> None:
        candidate = await tenure.hand_back("the process is leaving")
        if candidate is not None:
            self._hint(candidate)


def _known(workflow: Workflow[Any]) -> KnownWorkflow:
    return KnownWorkflow(
        name=workflow.name,
        version=workflow.version,
        input=workflow.parameters.contract.digest,
        output=workflow.output.digest,
        description=workflow.description,
    )
