"""`Acting`: the part of a `Job` that does something: calls, local steps, branches, and many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar, Unpack

from mesh.actors.declaring.contract import encode_payload
from mesh.actors.running.doing import StepWork, being_done
from mesh.jobs.authoring.branches import Branch, Missing
from mesh.jobs.authoring.job import OnMissing
from mesh.jobs.authoring.manner import Asked, Manner, arguments_of, instead, varied
from mesh.jobs.authoring.options import StepOptions
from mesh.jobs.authoring.policy import NO_POLICY, StepPolicy
from mesh.jobs.authoring.undo import Compensation, undo_of
from mesh.jobs.running import gathering
from mesh.jobs.running.mapping import AT_ONCE, Key, branches_of, name_of
from mesh.jobs.running.scope import Scope, current
from mesh.jobs.running.surroundings import Surroundings
from mesh.jobs.steps import local
from mesh.jobs.steps.attempt import Attempt, Work
from mesh.jobs.steps.calls import CallTerms
from mesh.jobs.steps.doubts import Doubt, OnDoubt, Reconcile
from mesh.jobs.steps.onward import NOTHING_PLANNED, Plan, variation_of
from mesh.jobs.steps.stand_ins import Fallbacks, StandIns, answer_of
from mesh.jobs.steps.step import Outcome, Step
from mesh.protocols.acts import Mode
from mesh.protocols.constraints import Constraints, Effect
from mesh.protocols.errors import DeadlineExceeded
from mesh.resilience.fallback_cache import key_of

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
        policy: StepPolicy | None = None,
        fallbacks: Fallbacks = (),
        compensate: Compensation | None = None,
        on_doubt: OnDoubt = "park",
        reconcile: Reconcile | None = None,
    ) -> Branch[Any]:
        """A step that an agent does, by auction."""
        contract = local.contract_of(returns)
        manner = Manner(contract, policy, fallbacks, undo_of(compensate), Doubt(contract, on_doubt, reconcile))
        terms = CallTerms(capability, encode_payload(payload), timeout, dict(labels or {}), effect, mode, constraints)
        manner.must_suit(effect, key or capability)

        async def begin() -> Any:
            declared = self._seat.declared(self._calling.offered(capability))
            actual = effect or (declared.effect if declared else "costly")
            manner.must_suit(actual, key or capability)

            async def work(attempt: Attempt) -> Outcome:
                different = variation_of(plan.policy, attempt.tries)
                return await self._calling.call(varied(terms, different), attempt.step, attempt)

            plan = self._plan(manner, actual)
            return await self._perform(manner, plan, Asked(key, capability, "call", terms.input, actual), terms, work)

        return Branch(begin, key=key, name=capability)

    def step(
        self,
        key: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        effect: Effect | None = None,
        timeout: float | None = None,
        policy: StepPolicy | None = None,
        fallbacks: Fallbacks = (),
        compensate: Compensation | None = None,
        on_doubt: OnDoubt = "park",
        reconcile: Reconcile | None = None,
    ) -> Branch[Any]:
        """A step that this process does itself."""
        contract, actual = local.result_contract(fn), effect or "pure"
        manner = Manner(contract, policy, fallbacks, undo_of(compensate), Doubt(contract, on_doubt, reconcile))
        manner.must_suit(actual, key)
        name = getattr(fn, "__qualname__", type(fn).__name__)
        asked = Asked(key, name, "local", encode_payload(list(args)), actual)
        terms = CallTerms(
            "", encode_payload(args[0] if len(args) == 1 else list(args)), timeout, {}, None, "standing", None
        )

        async def work(attempt: Attempt) -> Outcome:
            step = attempt.step
            self._calling.must_be_allowed(step)
            if actual != "pure":
                await attempt.start()
            deadline = self._limits.deadline if timeout is None else self._limits.within(timeout)
            given = arguments_of(args, variation_of(plan.policy, attempt.tries))
            named = step.target or step.key
            with being_done(StepWork(f"{self.id}/{named}", self.tenant, self.correlation, self._seat.keeping)):
                return await local.run(fn, given, contract, deadline, self._seat.clock, f"step {step.key}")

        plan = self._plan(manner, actual)

        async def begin() -> Any:
            return await self._perform(manner, plan, asked, terms, work)

        return Branch(begin, key=key, name=name)

    def branch(self, key: str, work: Coroutine[Any, Any, T], *, timeout: float | None = None) -> Branch[T]:
        """Several steps as one branch."""

        async def begin() -> T:
            outer = current.get()
            whole = outer.begin(key, "branch")
            scope = outer.below(key)
            token = current.set(scope)
            doing: Coroutine[Any, Any, Any] = work
            if self.hold is not None and self.hold.learns and self._branch_times.has_run_out(whole):
                self.hold.aside(work)
                doing = asyncio.sleep(0)
            try:
                result: T = await self._bounded(scope, whole, doing, timeout)
                self.course.over(scope.path)
                return result
            except BaseException:
                self.course.ahead.pass_over(scope.path)
                raise
            finally:
                doing.close()
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
            leave = self.hold.aside if self.hold is not None and self.hold.learns else gathering.stop
            results = await gathering.run_all(branches, raise_first=on_missing == "raise", leave=leave)
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
        fallbacks: Fallbacks = (),
        **options: Unpack[StepOptions],
    ) -> list[Any]:
        """A step for each item."""

        def begin(name: str, item: Any) -> Branch[Any]:
            if isinstance(work, str):
                return self.call(work, item, key=name, returns=returns, fallbacks=fallbacks, **options)
            return self.step(name, work, item, fallbacks=fallbacks, **options)

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

    def _plan(self, manner: Manner, effect: Effect) -> Plan:
        if manner.policy is None and not manner.fallbacks and self._workflow.policy is NO_POLICY:
            return NOTHING_PLANNED
        policy = self._workflow.policy.bounded(effect) if manner.policy is None else manner.policy
        return manner.plan(policy, lambda: self._limits.left)

    async def _perform(self, manner: Manner, plan: Plan, asked: Asked, terms: CallTerms, work: Work) -> Any:
        """Its result, or what stands for it. `terms` are those on which another capability may do it instead."""
        scope = current.get()
        whole = scope.begin(asked.key, asked.name)
        step = Step(whole, asked.name, asked.kind, asked.given, asked.effect)
        if manner.undo is not None:
            self._saga.offer(whole, manner.undo, manner.contract)
        stand_ins = self._stand_ins(manner, asked) if manner.fallbacks else None

        async def attempted(attempt: Attempt) -> Outcome:
            if stand_ins is None or not attempt.stance.fallback:
                outcome = await work(attempt)
                if stand_ins is not None:
                    stand_ins.keep(outcome)
                return outcome
            return await stand_ins.give(
                attempt, lambda target: self._calling.call(instead(terms, target), attempt.step, attempt)
            )

        try:
            content, known = await self._performing.perform(scope, step, attempted, manner.doubt, plan)
        finally:
            scope.end(whole)
        if known.skipped and known.fault is not None:
            return Missing(key=asked.key or asked.name, error=known.fault)
        value = manner.contract.decode(content)
        return answer_of(value, known.source, known.degraded, known.by) if manner.fallbacks else value

    def _stand_ins(self, manner: Manner, asked: Asked) -> StandIns:
        whole = self._limits.constraints
        key = key_of(self.tenant, asked.kind, asked.name, asked.given, whole.boundary, whole.labels)
        return StandIns(manner.fallbacks, manner.contract, self._seat.answers, key)

    async def _bounded(self, scope: Scope, whole: str, work: Coroutine[Any, Any, T], timeout: float | None) -> T:
        """A branch within its time; that it ran out of it is journaled, because a replay might be faster."""
        before = self._steps.recorded_failure(scope, whole)
        if before is not None:
            raise before
        if timeout is None:
            return await work
        try:
            return await self._branch_times.within(scope, whole, timeout, work)
        except DeadlineExceeded as error:
            if self.hold is not None:
                await self.hold.here(whole)
            await self._steps.record_failure(scope, whole, error)
            raise
