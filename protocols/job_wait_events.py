"""What a job waits for, and what was said to it meanwhile.

Every message of a job's inbox is journaled as exactly one event, which names it by its sequence in the inbox stream:
`JobState.inbox` is the last of them.
"""

from __future__ import annotations

from typing import Literal

from mesh.protocols.constraints import Usage
from mesh.protocols.errors import Fault
from mesh.protocols.job_facts import JobEvent, Value

WaitKind = Literal["timer", "approval", "signal", "child", "resolution", "killed"]
"""`resolution`: a person must say what became of a step, or what is to be done. `killed`: an operator must allow something."""

How = Literal[
    "due", "expired", "approved", "denied", "signalled", "ended", "succeeded", "failed", "retry", "dropped", "allowed"
]
"""`due`: a timer. `ended`: a child, whichever way. `succeeded`, `failed` and `retry` are what a person may say of a step in
doubt; `dropped`: nobody waits for it any more; `allowed`: what was killed is not."""


class WaitOpened(JobEvent, frozen=True, tag="wait.opened"):
    """The workflow waits here. `key` is of the same kind as the keys of steps.

    `name` is what is waited for: the signal, the action to be approved, the child's workflow, the step in doubt, the key
    of the switch that kills it.
    `digest` is that of the input: for an approval, of the exact action. `about` is shown to who decides. `until` is job
    time, Unix seconds: when a timer is due, or anything else expires. `child` is a job's id.
    """

    key: str
    kind: WaitKind
    name: str = ""
    digest: str = ""
    about: Value | None = None
    risk: str = ""
    until: float | None = None
    child: str = ""


class WaitResolved(JobEvent, frozen=True, tag="wait.resolved"):
    """The wait is over. `value` is what it gives to the workflow, or `fault` what it raises there; `by` and `reason` are a
    person's. `at` is when it came about, by the server's clock; `inbox` the message that said so, 0 where none did. `usage` is what a child has used: it counts
    for its parent, too; `degraded` why a child's result is less than was asked for."""

    key: str
    how: How
    value: Value | None = None
    fault: Fault | None = None
    by: str = ""
    reason: str = ""
    at: float = 0.0
    inbox: int = 0
    usage: Usage = Usage()
    degraded: str = ""


class SignalReceived(JobEvent, frozen=True, tag="signal.received"):
    """A signal that nothing waits for yet; the first wait for that name takes it, named by `inbox`."""

    name: str
    inbox: int
    value: Value | None = None
    by: str = ""


class CancelRequested(JobEvent, frozen=True, tag="cancel.requested"):
    """Somebody asked for the job to end."""

    by: str = ""
    reason: str = ""
    inbox: int = 0


class PauseRequested(JobEvent, frozen=True, tag="pause.requested"):
    """Somebody asked that nothing more be begun. `now`: and that what is under way be stopped."""

    by: str = ""
    reason: str = ""
    now: bool = False
    inbox: int = 0


class Resumed(JobEvent, frozen=True, tag="resumed"):
    """The pause is over."""

    by: str = ""
    reason: str = ""
    inbox: int = 0


class InboxPassed(JobEvent, frozen=True, tag="inbox.passed"):
    """A message of the inbox that changed nothing, and why: it came too late, or fits nothing that is waited for."""

    inbox: int
    message: str
    reason: str
    by: str = ""
