"""`Awaiting`: the part of a `Job` that waits: for a time, a signal, a person, another job."""

from __future__ import annotations

from typing import Any

from mesh.actors.declaring.contract import encode_payload
from mesh.jobs.authoring.branches import Branch, Missing
from mesh.jobs.authoring.job import Approval, Risk
from mesh.jobs.authoring.policy import NO_POLICY, StepPolicy
from mesh.jobs.authoring.workflow import Workflow
from mesh.jobs.outside.approvals import action_digest
from mesh.jobs.outside.words import because
from mesh.jobs.running.scope import current
from mesh.jobs.running.surroundings import Surroundings
from mesh.jobs.steps import local
from mesh.jobs.waiting.child_tries import ChildTries
from mesh.jobs.waiting.children import ChildTerms
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import DeadlineExceeded, Denied, StepMisused, WaitExpired
from mesh.protocols.job_events import Value, WaitKind, WaitOpened, WaitResolved
from mesh.protocols.naming.names import check_event_type
from mesh.protocols.submission import digest_of


class Awaiting(Surroundings):
    """Waits. No process holds the job meanwhile."""

    def sleep(self, seconds: float, *, key: str | None = None) -> Branch[None]:
        """A wait for a time."""
        if not 0 <= seconds < float("inf"):
            raise StepMisused(f"job.sleep: {seconds!r} is no time to wait: write seconds from 0")

        async def begin() -> None:
            await self._wait(key, "timer", "sleep", digest_of(encode_payload(seconds)), seconds)

        return Branch(begin, key=key, name="sleep")

    def wait(
        self, signal: str, *, returns: Any = Any, key: str | None = None, timeout: float | None = None
    ) -> Branch[Any]:
        """A wait for a signal."""
        contract = local.contract_of(returns)
        check_event_type(signal)

        async def begin() -> Any:
            answer = await self._wait(key, "signal", signal, "", timeout)
            _raise_expired(answer, f"no signal {signal!r} came within {timeout} s")
            return contract.decode(await self._values.load(answer.value or Value()))

        return Branch(begin, key=key, name=signal)

    def approval(
        self,
        action: str,
        about: Any = None,
        *,
        risk: Risk = "high",
        key: str | None = None,
        timeout: float | None = None,
    ) -> Branch[Approval]:
        """A wait for a person's yes."""
        check_event_type(action)
        raw = encode_payload(about)
        digest = action_digest(action, raw)

        async def begin() -> Approval:
            kept = await self._values.keep(raw, f"action {action}")
            answer = await self._wait(key, "approval", action, digest, timeout, about=kept, risk=risk)
            _raise_expired(answer, f"nobody answered about {action!r} within {timeout} s")
            if answer.how == "denied":
                raise Denied(
                    because(f"{action!r} was denied", answer.by, answer.reason),
                    detail={"by": answer.by, "reason": answer.reason},
                )
            return Approval(by=answer.by, reason=answer.reason, at=answer.at)

        return Branch(begin, key=key, name=action)

    def child(
        self,
        workflow: str | Workflow[Any],
        payload: Any = None,
        *,
        returns: Any = Any,
        key: str | None = None,
        timeout: float | None = None,
        constraints: Constraints | None = None,
        policy: StepPolicy | None = None,
    ) -> Branch[Any]:
        """A job of its own, and what comes of it."""
        name = workflow if isinstance(workflow, str) else workflow.name
        contract = workflow.output if not isinstance(workflow, str) and returns is Any else local.contract_of(returns)
        raw = encode_payload(payload)

        async def begin() -> Any:
            scope = current.get()
            whole = scope.begin(key, name)
            terms = ChildTerms(
                name, raw, self._limits.narrowed(whole, constraints or Constraints(priority=0)), timeout,
                self._limits.left, self.correlation, self._submitted.trace,
            )  # fmt: skip
            tries = ChildTries(self._children, self._waits, policy or NO_POLICY, self._seat.ids.random)
            try:
                return contract.decode(await self._values.load(await tries.result(scope, whole, terms)))
            except DeadlineExceeded as error:
                if tries.policy.on_timeout != "skip":
                    raise
                return Missing(key=key or name, error=error.fault())
            finally:
                scope.end(whole)

        return Branch(begin, key=key, name=name)

    async def _wait(
        self, key: str | None, kind: WaitKind, name: str, digest: str, seconds: float | None, **shown: Any
    ) -> WaitResolved:
        scope = current.get()
        whole = scope.begin(key, name)
        until = None if seconds is None else self._journal.job_time() + seconds
        try:
            return await self._waits.wait(
                scope, WaitOpened(key=whole, kind=kind, name=name, digest=digest, until=until, **shown)
            )
        finally:
            scope.end(whole)


def _raise_expired(answer: WaitResolved, message: str) -> None:
    if answer.how == "expired":
        raise WaitExpired(message)
