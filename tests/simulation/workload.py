"""What the simulated mesh is given to do: agents with effects of every class, and a workflow that does what its input says."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec

import mesh
from mesh import Agent, Context, Job, command, workflow
from mesh.jobs.authoring.workflow import Workflow
from mesh.protocols.errors import Transient
from mesh.resilience.fallback import Degraded
from tests.simulation.outside import Outside
from tests.simulation.place import HERE
from tests.simulation.strain import ROOM

CALL = 20
"""Seconds for which an agent is waited for."""
AT_ONCE = 2
"""Messages that an agent handles at once."""
LESS = "less-than-asked"
"""What a relay answers where it has nothing better."""


class Step(msgspec.Struct, omit_defaults=True):
    """One step of a plan."""

    do: str
    key: str
    takes: float = 0.0
    seconds: float = 0.0
    reconcile: bool = False
    mode: str = "standing"
    fails: bool = False


class Plan(msgspec.Struct):
    """The input of a job."""

    number: int
    steps: list[Step]


class Refusal(Exception):
    """The workflow wants to fail."""


def agents_of(outside: Outside, room: int = ROOM) -> dict[str, type[Agent]]:
    """The agents by what they do, with their effects in this world. So many messages may wait for a worker."""
    begun = outside.handlings.begun

    async def done(kind: str, ctx: Context) -> str:
        await outside.approach(kind, ctx.job, ctx.step, ctx.key)
        return outside.do(kind, ctx.job, ctx.step, ctx.key)

    async def suffer() -> None:
        match outside.sick.get(HERE.get().name):
            case "fails":
                raise Transient("out of order")
            case "hangs":
                await asyncio.sleep(3600)

    class Worker(Agent, name="worker", version="1.0.0", capacity=AT_ONCE, mailbox=room):
        @command(capability="work.compute", effect="pure", timeout=5.0)
        async def compute(self, takes: float, ctx: Context) -> str:
            with begun("work.compute", ctx):
                if outside.sick:
                    await suffer()
                await asyncio.sleep(takes)
                await done("compute", ctx)
                return f"{ctx.step}!"

        @command(capability="work.charge", effect="idempotent", timeout=5.0)
        async def charge(self, takes: float, ctx: Context) -> str:
            with begun("work.charge", ctx):
                await asyncio.sleep(takes)
                receipt = await done("charge", ctx)
                await asyncio.sleep(takes)
                return receipt

        @command(capability="work.refund", effect="idempotent", timeout=5.0)
        async def refund(self, receipt: str, ctx: Context) -> str:
            with begun("work.refund", ctx):
                await done("refund", ctx)
                return receipt

    class Payer(Agent, name="payer", version="1.0.0", capacity=AT_ONCE):
        @command(capability="pay.once", effect="at_most_once", timeout=5.0)
        async def pay(self, takes: float, ctx: Context) -> str:
            with begun("pay.once", ctx):
                await asyncio.sleep(takes)
                receipt = await done("pay", ctx)
                await asyncio.sleep(takes)
                return receipt

    class Relay(Agent, name="relay", version="1.0.0", capacity=AT_ONCE):
        @command(capability="relay", effect="pure", timeout=5.0)
        async def relay(self, takes: float, ctx: Context) -> Any:
            with begun("relay", ctx):
                wanted = {"takes": takes}
                answer = await ctx.ask("worker", wanted, command="compute", fallbacks=(Degraded(LESS),))
                return answer.value

    return {"work": Worker, "pay": Payer, "relay": Relay}


class Doing:
    """What a step of a plan does: the method of its name."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def do(self, job: Job, step: Step) -> str:
        """One step."""
        return str(await getattr(self, f"_{step.do}")(job, step))

    def _local(self, job: Job, step: Step) -> Any:
        def pure() -> str:
            """Pure, and seen all the same."""
            self._outside.do("local", job.id, step.key, "")
            return f"{step.key}!"

        return job.step(step.key, pure)

    def _once(self, job: Job, step: Step) -> Any:
        def once() -> str:
            return self._outside.do("once", job.id, step.key, mesh.effect_key())

        return job.step(step.key, once, effect="at_most_once", reconcile=self._finding(job, step))

    def _call(self, job: Job, step: Step) -> Any:
        return job.call("work.compute", {"takes": step.takes}, key=step.key, returns=str, timeout=CALL, mode=step.mode)

    def _pay(self, job: Job, step: Step) -> Any:
        return job.call(
            "pay.once", {"takes": step.takes}, key=step.key, returns=str, timeout=CALL,
            reconcile=self._finding(job, step),
        )  # fmt: skip

    def _charge(self, job: Job, step: Step) -> Any:
        return job.call("work.charge", {"takes": step.takes}, key=step.key, returns=str, timeout=CALL)

    def _saga(self, job: Job, step: Step) -> Any:
        return job.call(
            "work.charge", {"takes": step.takes}, key=step.key, returns=str, timeout=CALL, compensate="work.refund"
        )

    async def _both(self, job: Job, step: Step) -> str:
        calls = (
            job.call("work.compute", {"takes": step.takes}, key=f"{step.key}{each}", returns=str, timeout=CALL)
            for each in "ab"
        )
        return "+".join(map(str, await job.gather(*calls)))

    def _sleep(self, job: Job, step: Step) -> Any:
        return job.sleep(step.seconds, key=step.key)

    async def _approval(self, job: Job, step: Step) -> str:
        return f"by {(await job.approval(step.key, {'step': step.key}, key=step.key)).by}"

    def _signal(self, job: Job, step: Step) -> Any:
        return job.wait(step.key, returns=str, key=step.key)

    def _child(self, job: Job, step: Step) -> Any:
        return job.child("part", step.key, key=step.key)

    def _front(self, job: Job, step: Step) -> Any:
        return job.call("front", {"fails": step.fails, "auction": False}, key=step.key, returns=str, timeout=CALL)

    async def _instead(self, job: Job, step: Step) -> str:
        answer = await job.call(
            "source", {"fails": step.fails}, key=step.key, returns=str, timeout=2.0, fallbacks=(Degraded(LESS),)
        )
        return answer.value

    def _kin(self, job: Job, step: Step) -> Any:
        return job.child("kin", step.fails, key=step.key)

    async def _fail(self, job: Job, step: Step) -> str:
        raise Refusal(step.key)

    def _finding(self, job: Job, step: Step) -> Any:
        """Asked what became of a step: it knows what was done, and nothing else for certain."""
        if not step.reconcile:
            return None

        async def find() -> str:
            if self._outside.did(step.do, job.id, step.key):
                return "found"
            raise Refusal("it may still be on its way: ask a person")  # to say that it was not done must be final

        return find


def workflows_of(outside: Outside, guests: Collection[str] = ()) -> list[Workflow[Any]]:
    """The workflows: `order` does its plan, `part` is a child's, and so is `kin`, where there is a chain to ask."""
    doing = Doing(outside)

    @workflow("order", version=1)
    async def order(job: Job, plan: Plan) -> list[str]:
        results = {step.key: await doing.do(job, step) for step in plan.steps}
        outside.told(job.id, results, dict(job.degraded))
        return list(results.values())

    @workflow("part", version=1)
    async def part(job: Job, name: str) -> str:
        return await job.call("work.compute", {"takes": 0.01}, key=name, returns=str, timeout=CALL)

    @workflow("kin", version=1)
    async def kin(job: Job, fails: bool) -> str:
        return await job.call("middle", {"fails": fails}, key="middle", returns=str, timeout=CALL)

    return [order, part, kin] if "chain" in guests else [order, part]


__all__ = ["AT_ONCE", "LESS", "Plan", "Step", "agents_of", "workflows_of"]
