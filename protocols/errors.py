"""The errors that cross the wire, each with a code and a class.

    MeshError
    ├── Transient          a retry may help
    │   ├── NoResponders       nobody listens on the subject (NATS 503)
    │   ├── TimedOut           no answer within the time given to this attempt
    │   ├── Overloaded         a bounded queue is full; carries retry_after
    │   │   └── RateLimited        more calls or tokens than a rate limit gives; carries retry_after
    │   ├── Killed             an operator has killed it; says who and why
    │   ├── Unavailable        the server or the store is out of reach
    │   ├── BreakerOpen        refused here, before anything was sent
    │   ├── Draining           the instance takes no more work
    │   ├── AgentLost          the instance died with the work in its hands
    │   └── Conflict           compare-and-set met another revision
    ├── Semantic           the same message again fails again: vary it, fall back, or ask a person
    │   ├── BadEnvelope        not an envelope, or a hostile one
    │   ├── VersionUnsupported an envelope of an unknown major version
    │   ├── BadPayload         the input does not fit the contract (the caller's mistake)
    │   ├── BadResult          the output does not fit the contract (the author's mistake)
    │   ├── TooLarge           more bytes than the wire or the contract allows
    │   ├── InvalidName        a token that cannot stand in a subject
    │   ├── UnknownAgent · UnknownCommand · UnknownCapability · UnknownWorkflow · UnknownJob · UnknownLetter
    │   ├── HandlerFailed      the handler raised
    │   ├── Refused            the other side said no, and why
    │   ├── NoBids             nobody made an acceptable proposal
    │   ├── DeadlineExceeded   the absolute deadline has passed; nothing later can help
    │   ├── BudgetExceeded     the work would cost more than is left
    │   ├── CallCycle · TooManyHops
    │   ├── InDoubt            an at-most-once effect may or may not have happened
    │   ├── Denied             a person said no
    │   ├── WaitExpired        nobody answered in time
    │   ├── Cancelled          somebody asked for it to stop
    │   ├── KeyReused          the key names another job already
    │   ├── BranchesMissing    fewer branches of a gather succeeded than were needed
    │   ├── StateMismatch      what is stored does not fit the type that its agent declares
    │   ├── StepMisused        a workflow used a step in a way that could not be replayed
    │   └── NotUnderstood      the act or message type is unknown to the receiver
    └── Catastrophic       halt, compensate, alert
        ├── LeaseLost          this process no longer owns the job
        ├── Fenced             a newer epoch was seen
        ├── JournalCorrupt     the stored history breaks its own rules
        └── ReplayDiverged     the workflow does not do what its journal says it did

An error is raised at the far side, travels as a `Fault`, and arrives as its own type. A code this release does not know
arrives as the class it names, so that a newer peer's error is still retried, or not, as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import msgspec

from mesh.protocols.sayable import sayable_detail, sayable_text

ErrorClass = Literal["transient", "semantic", "catastrophic"]
Blame = Literal["target", "caller", "nobody"]


class Fault(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An error as it stands on the wire.

    `retry_after` is in seconds; `origin` names the agent (or process) that raised it; `detail` is JSON-able.
    """

    code: str
    error_class: ErrorClass
    message: str
    retry_after: float | None = None
    origin: str = ""
    detail: dict[str, Any] = {}


class MeshError(Exception):
    """Every error of the mesh. `blame` says whose record it counts against: breakers only count the target's."""

    code: ClassVar[str] = "error"
    error_class: ClassVar[ErrorClass] = "semantic"
    blame: ClassVar[Blame] = "target"

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        origin: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message or self.code)
        self.message = message or self.code
        self.retry_after = retry_after
        self.origin = origin
        self.detail: dict[str, Any] = dict(detail or {})

    def fault(self, origin: str = "") -> Fault:
        """This error as it goes on the wire, as much of it as can (`sayable.py`); an origin already known is kept."""
        return Fault(
            code=self.code,
            error_class=self.error_class,
            message=sayable_text(self.message),
            retry_after=self.retry_after,
            origin=self.origin or origin,
            detail=sayable_detail(self.detail) if self.detail else {},
        )


class Transient(MeshError):
    """A retry may help."""

    code = "transient"
    error_class = "transient"


class Semantic(MeshError):
    """The same message again fails again."""

    code = "semantic"
    error_class = "semantic"


class Catastrophic(MeshError):
    """Halt, compensate, alert."""

    code = "catastrophic"
    error_class = "catastrophic"


class NoResponders(Transient):
    """Nobody listens on the subject: the server said so at once (NATS status 503)."""

    code = "no-responders"


class TimedOut(Transient):
    """No answer came within the time given to this attempt."""

    code = "timed-out"


class Overloaded(Transient):
    """A bounded queue is full. `retry_after` says when to come back."""

    code = "overloaded"
    blame = "nobody"


class RateLimited(Overloaded):
    """A rate limit has no calls or tokens left. `retry_after` says when it has; `detail` carries `limit`, its key."""

    code = "rate-limited"


class Killed(Transient):
    """An operator has killed what was asked for. `detail` says `what`, its `name`, `by` whom, the `reason`, since when (`at`)
    and, where that is known, `until` when. It is not worth asking again before it is allowed."""

    code = "killed"
    blame = "nobody"


class Unavailable(Transient):
    """The server or the store is out of reach."""

    code = "unavailable"
    blame = "nobody"


class BreakerOpen(Transient):
    """Refused on this side because the target kept failing; nothing was sent."""

    code = "breaker-open"
    blame = "nobody"


class Draining(Transient):
    """The instance is going away and takes no more work."""

    code = "draining"
    blame = "nobody"


class AgentLost(Transient):
    """The instance died, or its process did, while it held the work."""

    code = "agent-lost"


class Conflict(Transient):
    """A compare-and-set met another revision. `detail` may carry `expected` and `found`."""

    code = "conflict"
    blame = "nobody"


class BadEnvelope(Semantic):
    """The bytes are not an envelope, or one that no honest peer sends."""

    code = "bad-envelope"
    blame = "caller"


class VersionUnsupported(Semantic):
    """The envelope's major version is unknown here. `detail` carries `supported`."""

    code = "version-unsupported"
    blame = "caller"


class BadPayload(Semantic):
    """The input does not fit the contract. `detail` carries `errors` with their paths."""

    code = "bad-payload"
    blame = "caller"


class BadResult(Semantic):
    """A handler returned what its contract does not allow: its author's mistake."""

    code = "bad-result"


class TooLarge(Semantic):
    """More bytes than allowed. `detail` carries `size` and `limit`."""

    code = "too-large"
    blame = "caller"


class InvalidName(Semantic):
    """A name that cannot be a subject token."""

    code = "invalid-name"
    blame = "caller"


class UnknownAgent(Semantic):
    """No such agent or instance here."""

    code = "unknown-agent"
    blame = "caller"


class UnknownCommand(Semantic):
    """The agent has no command of that name."""

    code = "unknown-command"
    blame = "caller"


class UnknownCapability(Semantic):
    """Nobody in the mesh offers the capability."""

    code = "unknown-capability"
    blame = "caller"


class UnknownWorkflow(Semantic):
    """Nobody in the mesh hosts the workflow."""

    code = "unknown-workflow"
    blame = "caller"


class UnknownJob(Semantic):
    """No journal of that job exists."""

    code = "unknown-job"
    blame = "caller"


class UnknownLetter(Semantic):
    """No dead letter of that id, or several that might be meant."""

    code = "unknown-letter"
    blame = "caller"


class HandlerFailed(Semantic):
    """A handler raised. `detail` carries `exception` (its type) and `where` (file and line)."""

    code = "handler-failed"


class Refused(Semantic):
    """The other side said no. `detail` carries `reason`."""

    code = "refused"
    blame = "nobody"


class NoBids(Semantic):
    """Nobody made an acceptable proposal. `detail` carries `refusals`."""

    code = "no-bids"
    blame = "nobody"


class DeadlineExceeded(Semantic):
    """The absolute deadline has passed; no retry can help."""

    code = "deadline-exceeded"
    blame = "caller"


class BudgetExceeded(Semantic):
    """The work would cost more than what is left."""

    code = "budget-exceeded"
    blame = "caller"


class CallCycle(Semantic):
    """A call came back to an agent that is already waiting in the same chain."""

    code = "call-cycle"
    blame = "caller"


class TooManyHops(Semantic):
    """A chain of calls is longer than the hop limit."""

    code = "too-many-hops"
    blame = "caller"


class InDoubt(Semantic):
    """An at-most-once effect may or may not have happened; it is never re-run silently."""

    code = "in-doubt"


class Denied(Semantic):
    """A person said no. `detail` has `by` and `reason`."""

    code = "denied"
    blame = "nobody"


class WaitExpired(Semantic):
    """Nobody answered, or no signal came, in the time that there was."""

    code = "wait-expired"
    blame = "nobody"


class Cancelled(Semantic):
    """Somebody asked for the work to stop."""

    code = "cancelled"
    blame = "caller"


class KeyReused(Semantic):
    """The submitter's key names a job with another workflow or input. `detail` carries `job`."""

    code = "key-reused"
    blame = "caller"


class BranchesMissing(Semantic):
    """Fewer branches succeeded than were needed. `detail` carries `missing`: each key with its error's code."""

    code = "branches-missing"
    blame = "nobody"


class StateMismatch(Semantic):
    """A stored value does not fit the type that its agent declares now. `detail` carries `stored` and `declared`, the schema
    versions, and `version`."""

    code = "state-mismatch"


class StepMisused(Semantic):
    """A workflow used a step in a way that could not be replayed: its author's mistake; the message has the fix."""

    code = "step-misused"


class NotUnderstood(Semantic):
    """The act or message type is unknown to the receiver."""

    code = "not-understood"
    blame = "caller"


class LeaseLost(Catastrophic):
    """This process no longer owns the job; nothing more may be appended or started for it."""

    code = "lease-lost"
    blame = "nobody"


class Fenced(Catastrophic):
    """A newer epoch of the job has been seen here."""

    code = "fenced"
    blame = "nobody"


class JournalCorrupt(Catastrophic):
    """A stored journal breaks its own rules. `detail` carries `job` and `sequence`."""

    code = "journal-corrupt"


class ReplayDiverged(Catastrophic):
    """The workflow asks for another step than the journal has. `detail` carries `journaled` and `asked`."""

    code = "replay-diverged"


_CLASSES: dict[str, type[MeshError]] = {"transient": Transient, "semantic": Semantic, "catastrophic": Catastrophic}


def every_error() -> Iterator[type[MeshError]]:
    """Every error type, the tree walked from the top."""
    waiting: list[type[MeshError]] = [MeshError]
    while waiting:
        kind = waiting.pop(0)
        yield kind
        waiting.extend(kind.__subclasses__())


_BY_CODE: dict[str, type[MeshError]] = {kind.code: kind for kind in every_error()}


def from_fault(fault: Fault) -> MeshError:
    """The error a fault stands for, as its own type; an unknown code becomes the class it names."""
    kind = _BY_CODE.get(fault.code) or _CLASSES[fault.error_class]
    return kind(fault.message, retry_after=fault.retry_after, origin=fault.origin, detail=fault.detail)
