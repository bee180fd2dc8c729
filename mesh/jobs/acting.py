"""`Acting`: the part of a `Job` that does something: calls, local steps, branches, and many at once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from mesh.actors.contract import encode_payload
from mesh.actors.doing import StepWork, being_done
from mesh.jobs import gathering, local
from mesh.jobs.branches import Branch
from mesh.jobs.calls import CallTerms
from mesh.jobs.doubts import Doubt, OnDoubt, Reconcile
from mesh.jobs.mapping import AT_ONCE, Key, branches_of, name_of
from mesh.jobs.scope import Scope, current
from mesh.jobs.steps import Attempt, Outcome, Step
from mesh.jobs.surroundings import Surroundings
from mesh.jobs.undo import Compensation, Undo, undo_of
from mesh.jobs.workflow import OnMissing
from mesh.protocols.acts import Mode
from mesh.protocols.constraints import Constraints, Effect
from mesh.protocols.errors import DeadlineExceeded
from mesh.resilience.deadline import Deadline

T = TypeVar("T")


class Acting(Surroundings):
    """Steps, and branches of them."""

    def call(
        self,
        capability: str,
        payload: Any = None,
        *,
        returns: Any = Any,
        key: str | None = None,
        timeout: float | None = None,
        labels: Mapping[str, str] | None = None,
        effect: Effect | None = None,
        mode: Mode = "standing",
        constraints: Constraints | None = None,
        compensate: Compensation | None = None,
        on_doubt: OnDoubt = "park",
        reconcile: Reconcile | None = None,
    ) -> Branch[Any]:
        """A step that an agent does, by auction."""
        contract = local.contract_of(returns)
        undo, doubt = undo_of(compensate), Doubt(contract, on_doubt, reconcile)
        terms = CallTerms(capability, encode_payload(payload), timeout, dict(labels or {}), effect, mode, constraints)

        async def begin() -> Any:
            declared = self._seat.declared(self._calling.offered(capability))
            actual = effect or (declared.effect if declared else "costly")
            raw = await self._perform(
                key, capability, "call", terms.input, actual,
                lambda step, attempt: self._calling.call(terms, step, attempt), doubt, undo,
            )  # fmt: skip
            return contract.decode(raw)

        return Branch(begin, key=key, name=capability)

    def step(
        self,
        key: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        effect: Effect = "pure",
        timeout: float | None = None,
        compensate: Compensation | None = None,
        on_doubt: OnDoubt = "park",
        reconcile: Reconcile | None = None,
    ) -> Branch[Any]:
        """A step that this process does itself."""
        contract = local.result_contract(fn)
        undo, doubt = undo_of(compensate), Doubt(contract, on_doubt, reconcile)
        name = getattr(fn, "__qualname__", type(fn).__name__)
        given = encode_payload(list(args))

        async def work(step: Step, attempt: Attempt) -> Outcome:
            self._calling.must_be_allowed(step)
            if effect != "pure":
                await attempt.start()
            deadline = self._limits.deadline if timeout is None else self._limits.within(timeout)
            with being_done(StepWork(f"{self.id}/{step.key}", self.tenant, self.correlation, self._seat.keeping)):
                return await local.run(fn, args, contract, deadline, self._seat.clock, f"step {step.key}")

        async def begin() -> Any:
            return contract.decode(await self._perform(key, name, "local", given, effect, work, doubt, undo))

        return Branch(begin, key=key, name=name)

    def branch(self, key: str, work: Coroutine[Any, Any, T], *, timeout: float | None = None) -> Branch[T]:
        """Several steps as one branch."""

        async def begin() -> T:
            outer = current.get()
            whole = outer.begin(key, "branch")
            scope = outer.below(key)
            token = current.set(scope)
            try:
                result = await self._bounded(scope, whole, work, timeout)
                self.course.over(scope.path)
                return result
            except BaseException:
                self.course.ahead.pass_over(scope.path)
                raise
            finally:
                work.close()
                current.reset(token)
                outer.saw(scope.now)
                outer.end(whole)

        return Branch(begin, key=key, name="branch")

    async def gather(
        self, *branches: Branch[Any], need: int | None = None, on_missing: OnMissing = "mark"
    ) -> list[Any]:
        """Run branches at once; what fails is marked."""
        gathering.check_branches(branches)
        if not branches:
            return []
        path = current.get().path
        try:
            results = await gathering.run_all(branches, raise_first=on_missing == "raise")
        except BaseException:
            for each in branches:
                self.course.ahead.give_up(path, str(each.key))
            raise
        return gathering.marked(branches, results, need, drop=on_missing == "drop")

    async def map(
        self,
        work: str | Callable[..., Any],
        items: Iterable[Any],
        *,
        key: Key | None = None,
        at_once: int = AT_ONCE,
        need: int | None = None,
        on_missing: OnMissing = "mark",
        returns: Any = Any,
        timeout: float | None = None,
        effect: Effect | None = None,
        compensate: Compensation | None = None,
    ) -> list[Any]:
        """A step for each item."""
        limits: dict[str, Any] = {"timeout": timeout, "compensate": compensate}

        def begin(name: str, item: Any) -> Branch[Any]:
            if isinstance(work, str):
                return self.call(work, item, key=name, returns=returns, effect=effect, **limits)
            return self.step(name, work, item, effect=effect or "pure", **limits)

        outer = current.get()
        whole = outer.begin(None, name_of(work))
        scope = outer.below(whole[len(outer.path) :])
        token = current.set(scope)
        try:
            results = await self.gather(*branches_of(items, key, at_once, begin), need=need, on_missing=on_missing)
            self.course.over(scope.path)
            return results
        except BaseException:
            self.course.ahead.pass_over(scope.path)
            raise
        finally:
            current.reset(token)
            outer.saw(scope.now)
            outer.end(whole)

    async def _perform(
        self,
        key: str | None,
        name: str,
        kind: Any,
        given: msgspec.Raw,
        effect: Effect,
        work: Any,
        doubt: Doubt,
        undo: Undo | None,
    ) -> msgspec.Raw:
        scope = current.get()
        whole = scope.begin(key, name)
        step = Step(whole, name, kind, given, effect)
        if undo is not None:
            self._saga.offer(whole, undo, doubt.contract)
        try:
            return await self._performing.perform(scope, step, lambda attempt: work(attempt.step, attempt), doubt)
        finally:
            scope.end(whole)

    async def _bounded(self, scope: Scope, whole: str, work: Coroutine[Any, Any, T], timeout: float | None) -> T:
        """A branch within its time; that it ran out of it is journaled, because a replay might be faster."""
        before = self._steps.recorded_failure(scope, whole)
        if before is not None:
            raise before
        deadline = None if timeout is None else Deadline.after(self._seat.clock, timeout)
        if deadline is None:
            return await work
        try:
            async with deadline.enforce(f"branch {whole}"):
                return await work
        except DeadlineExceeded as error:
            if self.hold is not None:
                await self.hold.here(whole)
            await self._steps.record_failure(scope, whole, error)
            raise
