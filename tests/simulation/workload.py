"""What the simulated mesh is given to do: agents with effects of every class, and a workflow that does what its input says."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

import mesh
from mesh import Agent, Context, Job, command, workflow
from mesh.jobs.workflow import Workflow
from mesh.protocols.errors import MeshError
from tests.simulation.outside import Outside

TENANTS = ("red", "blue")


class Step(msgspec.Struct, omit_defaults=True):
    """One step of a plan."""

    do: str
    key: str
    takes: float = 0.0
    seconds: float = 0.0
    reconcile: bool = False
    mode: str = "standing"


class Plan(msgspec.Struct):
    """The input of a job."""

    number: int
    steps: list[Step]


class Refusal(Exception):
    """The workflow wants to fail."""


def agents_of(outside: Outside) -> dict[str, type[Agent]]:
    """The agents by what they do, with their effects in this world."""

    async def done(kind: str, ctx: Context) -> str:
        await outside.approach(kind, ctx.job, ctx.step, ctx.key)
        return outside.do(kind, ctx.job, ctx.step, ctx.key)

    class Worker(Agent, name="worker", version="1.0.0", capacity=2):
        @command(capability="work.compute", effect="pure", timeout=5.0)
        async def compute(self, takes: float, ctx: Context) -> str:
            await asyncio.sleep(takes)
            await done("compute", ctx)
            return f"{ctx.step}!"

        @command(capability="work.charge", effect="idempotent", timeout=5.0)
        async def charge(self, takes: float, ctx: Context) -> str:
            await asyncio.sleep(takes)
            receipt = await done("charge", ctx)
            await asyncio.sleep(takes)
            return receipt

        @command(capability="work.refund", effect="idempotent", timeout=5.0)
        async def refund(self, receipt: str, ctx: Context) -> str:
            await done("refund", ctx)
            return receipt

    class Payer(Agent, name="payer", version="1.0.0", capacity=2):
        @command(capability="pay.once", effect="at_most_once", timeout=5.0)
        async def pay(self, takes: float, ctx: Context) -> str:
            await asyncio.sleep(takes)
            receipt = await done("pay", ctx)
            await asyncio.sleep(takes)
            return receipt

    return {"work": Worker, "pay": Payer}


def workflows_of(outside: Outside) -> list[Workflow[Any]]:
    """The workflows: `order` does its plan, `part` is a child's."""

    @workflow("order", version=1)
    async def order(job: Job, plan: Plan) -> list[str]:
        done: list[str] = []
        for step in plan.steps:
            done.append(await one(job, step))
        return done

    @workflow("part", version=1)
    async def part(job: Job, name: str) -> str:
        return await job.call("work.compute", {"takes": 0.01}, key=name, returns=str, timeout=20)

    async def one(job: Job, step: Step) -> str:
        match step.do:
            case "local":
                return await job.step(step.key, _local, step.key)
            case "once":
                return await job.step(
                    step.key, once, job.id, step.key, effect="at_most_once", reconcile=_found(job, step)
                )
            case "call":
                return await job.call(
                    "work.compute", {"takes": step.takes}, key=step.key, returns=str, timeout=20, mode=step.mode
                )
            case "pay":
                return await job.call(
                    "pay.once",
                    {"takes": step.takes},
                    key=step.key,
                    returns=str,
                    timeout=20,
                    reconcile=_found(job, step),
                )
            case "charge":
                return await job.call("work.charge", {"takes": step.takes}, key=step.key, returns=str, timeout=20)
            case "saga":
                return await job.call(
                    "work.charge",
                    {"takes": step.takes},
                    key=step.key,
                    returns=str,
                    timeout=20,
                    compensate="work.refund",
                )
            case _:
                return await waits(job, step)

    async def waits(job: Job, step: Step) -> str:
        match step.do:
            case "both":
                calls = (
                    job.call("work.compute", {"takes": step.takes}, key=f"{step.key}{n}", returns=str, timeout=20)
                    for n in "ab"
                )
                return "+".join(await job.gather(*calls))
            case "sleep":
                await job.sleep(step.seconds, key=step.key)
                return "slept"
            case "approval":
                said = await job.approval(step.key, {"step": step.key}, key=step.key)
                return f"by {said.by}"
            case "signal":
                return str(await job.wait(step.key, returns=str, key=step.key))
            case "child":
                return str(await job.child("part", step.key, key=step.key))
            case _:
                raise Refusal(step.key)

    def once(job_id: str, key: str) -> str:
        return outside.do("once", job_id, key, mesh.effect_key())

    def _found(job: Job, step: Step) -> Any:
        if not step.reconcile:
            return None

        async def find() -> str:
            if outside.did(step.do, job.id, step.key):
                return "found"
            raise Refusal("it may still be on its way: ask a person")  # to say that it was not done must be final

        return find

    return [order, part]


def _local(key: str) -> str:
    return f"{key}!"


__all__ = ["MeshError", "Plan", "Step", "agents_of", "workflows_of"]
