"""`Gate`: while operators have killed what a step is of, the step is not begun. The job waits, which costs no owner; it goes on
when it is allowed again, or ends at its own deadline.

The wait is journaled under a key below the step's, of kind `killed`, and named after the switch. Whoever holds the job then
answers it (`lifted`); where nobody does, every host hears of the change, and takes the job up (`lookout`). What is under way
goes on, unless the switch says `now` and is about the whole job: then its owner lets go of the job where it stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count

import msgspec

from mesh.jobs.journals.journal import Journal
from mesh.jobs.owning.decisions import Decisions
from mesh.jobs.running.scope import Scope
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.errors import InvalidName, Killed
from mesh.protocols.job_events import Event, Value, WaitOpened, WaitResolved
from mesh.protocols.job_state import JobState
from mesh.protocols.policies import Switch, switch_key

SUFFIX = "/~killed"
"""Ends the key of a step's wait to be allowed, before its number."""
UNHEARD = 1.0
"""Seconds after which a step is tried again that somebody refused as killed, and nobody here knows why."""
WHOLE_JOB = "~killed"
"""Begins the key of the wait of a job that was stopped in the middle."""


class Gate:
    """That of one run. `may_begin` waits until a run may begin anything, `pause` for so many seconds."""

    def __init__(
        self,
        policy: Decisions,
        journal: Journal,
        waits: Waits,
        workflow: str,
        *,
        may_begin: Callable[[str], Awaitable[None]],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._may_begin = may_begin
        self._pause = pause
        self._policy = policy
        self._journal = journal
        self._waits = waits
        self._workflow = workflow

    async def passes(self, scope: Scope, key: str, *, step_kind: str, capability: str = "", workflow: str = "") -> None:
        """Wait until the job may begin something, and nothing that the step is of is killed: its kind, its capability, the job's
        workflow or tenant, or the workflow that it is a job of. When this returns, both are so.

        Raises:
            Cancelled: the job is being cancelled. LeaseLost.
        """
        while True:
            await self._may_begin(key)
            if not self._policy.switches:
                return
            switch = self._killed(step_kind, capability) or (workflow and self._policy.killed(workflow=workflow))
            if not switch:
                return
            await self._held(scope, key, switch.key, switch.error())

    async def refused(self, scope: Scope, key: str, error: Killed) -> None:
        """Wait until what somebody else has refused as killed is allowed; a moment, if as far as is known here it is.

        Raises:
            Cancelled: the job is being cancelled. LeaseLost.
        """
        try:
            name = switch_key(error.detail.get("what", ""), str(error.detail.get("name", "")))
        except InvalidName:
            name = ""
        if name in self._policy.switches:
            await self._held(scope, key, name, error)
        else:
            await self._pause(UNHEARD)

    def lifted(self, state: JobState) -> tuple[Event, ...]:
        """The answers to what waits for switches that are in force no more."""
        return tuple(
            WaitResolved(key=each.opened.key, how="allowed")
            for each in state.open_waits
            if each.opened.kind == "killed" and each.opened.name not in self._policy.switches
        )

    def stopped(self, state: JobState) -> tuple[Event, ...]:
        """The wait of a job that must be let go of as it stands, once it is told to; undoing goes on."""
        switch = self._killed("", "") if self._policy.switches and state.undoing is None else None
        if switch is None or not switch.now or stands_still(state):
            return ()
        number = next(n for n in count(1) if f"{WHOLE_JOB}#{n}" not in state.waits)
        return (_opened(f"{WHOLE_JOB}#{number}", switch.key, switch.error()),)

    def _killed(self, step_kind: str, capability: str) -> Switch | None:
        return self._policy.killed(
            tenant=self._journal.tenant, workflow=self._workflow, step_kind=step_kind, capability=capability
        )

    async def _held(self, scope: Scope, key: str, name: str, error: Killed) -> None:
        for number in count(1):
            wait = f"{key}{SUFFIX}#{number}"
            known = self._waits.knows(wait)
            if known is None or known.answer is None:
                await self._waits.wait(scope, known.opened if known else _opened(wait, name, error))
                return


def stands_still(state: JobState) -> bool:
    """Whether the job was stopped in the middle."""
    return any(each.opened.key.startswith(WHOLE_JOB) for each in state.open_waits)


def _opened(key: str, name: str, error: Killed) -> WaitOpened:
    about = Value(inline=msgspec.Raw(msgspec.json.encode(error.message)))
    return WaitOpened(key=key, kind="killed", name=name, about=about)
