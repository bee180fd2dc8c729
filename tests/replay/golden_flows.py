"""The workflows whose journals are golden: all that a workflow may do, as users write it.

Never change what one of them does without keeping the old journals replayable: that is what every user's jobs in flight rely
on. Something new gets a workflow of its own, and a recording.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mesh import AskPerson, Degraded, FallbackAgent, Job, StepPolicy, Variation, agent, workflow
from mesh.protocols.errors import Denied, HandlerFailed, NoBids, Refused, WaitExpired


class Wish(msgspec.Struct):
    """What somebody wants."""

    item: str
    amount: int = 1


@agent(name="clerk", capability="clerk.price", effect="pure")
async def clerk(item: str) -> float:
    if item == "nothing":
        raise Refused("there is no price for nothing")
    return len(item) * 1.5


@agent(name="till", capability="till.pay", effect="idempotent")
async def till(total: float) -> str:
    return f"paid {total:g}"


@agent(name="refunds", capability="till.refund", effect="idempotent")
async def refunds(receipt: str) -> str:
    return f"back: {receipt}"


@workflow("golden-steps")
async def steps(job: Job, wish: Wish) -> dict[str, Any]:
    """Local steps and calls, with keys and without, one after another and at once; artifacts, progress, time and chance."""
    doubled = await job.step("double", lambda amount: amount * 2, wish.amount)
    written = await job.step("write", str, doubled, effect="idempotent")
    prices = [await job.call("clerk.price", wish.item, returns=float) for _ in range(2)]
    job.progress("half of it")
    parts = await job.gather(
        job.call("clerk.price", "tea", key="tea", returns=float),
        job.branch("two", _both(job)),
        job.step("third", lambda: {"nested": [1, None, "ü"]}),
    )
    report = await job.put_artifact("golden.report", {"prices": prices})
    chance = job.random.random()
    told = await job.step("told", lambda *given: list(given), job.now() > 0, job.uuid()[:8] != "", 0 <= chance < 1)
    return {"written": written, "parts": parts, "report": report.kind, "told": told, "same": [job.uuid(), chance]}


async def _both(job: Job) -> list[float]:
    first = await job.call("clerk.price", "coffee", returns=float)
    return [first, await job.step("more", lambda price: price + 1, first)]


@workflow("golden-failures")
async def failures(job: Job) -> list[str]:
    """Steps that fail are met the same way again: refused, nobody there, a bug, a missing branch, one stopped by another."""
    met = []
    try:
        await job.call("clerk.price", "nothing", key="refused")
    except Refused as error:
        met.append(error.code)
    try:
        await job.call("nobody.offers", key="nobody")
    except NoBids as error:
        met.append(error.code)
    try:
        await job.step("bug", _bug)
    except HandlerFailed as error:
        met.append(error.code)
    marked = await job.gather(job.call("clerk.price", "tea", key="there"), job.call("nobody.offers", key="gone"))
    try:
        await job.gather(
            job.call("nobody.offers", key="first"), job.call("clerk.price", "x", key="second"), on_missing="raise"
        )
    except NoBids:
        met.append("stopped")
    return [*met, type(marked[1]).__name__]


def _bug() -> None:
    raise KeyError("a bug")


@workflow("golden-policies")
async def policies(job: Job) -> dict[str, Any]:
    """Steps that are tried again, varied, skipped and stood in for, by an agent, a value and a person; a flag."""
    late = StepPolicy(on_timeout="retry", attempts=2)
    again = await job.step("again", _slow, 3, timeout=0.1, policy=late, fallbacks=(Degraded("as before"),))
    backed = await job.gather(
        job.step("later", _slow, 3, timeout=0.1, policy=StepPolicy(on_timeout="back_off", attempts=2, first=0.1)),
        job.step("skipped", _slow, 3, timeout=0.1, policy=StepPolicy(on_timeout="skip")),
    )
    vary = (Variation(payload="nothing"), Variation(payload="coffee"))
    varied = await job.call("clerk.price", "nothing", key="varied", returns=float, policy=StepPolicy(vary=vary))
    agent = await job.call(
        "nobody.offers", "tea", key="agent", returns=float, fallbacks=(FallbackAgent("clerk.price"),)
    )
    person = await job.call("nobody.offers", key="person", returns=int, fallbacks=(AskPerson("how many?"),))
    flag = job.flag("golden", 0.5)
    return {
        "again": [again.value, again.source],
        "backed": [type(each).__name__ for each in backed],
        "varied": varied,
        "agent": [agent.value, agent.source, agent.by.partition(".")[0]],
        "person": [person.value, person.source, person.by],
        "flag": flag,
        "degraded": sorted(job.degraded),
    }


async def _slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "in time"


@workflow("golden-end")
async def end(job: Job) -> None:
    """A job that fails for good."""
    await job.step("begin", lambda: 1)
    raise Refused("it had to end so")


@workflow("golden-waits")
async def waits(job: Job, wish: Wish) -> dict[str, Any]:
    """A time, a signal, approvals that are given, denied and too late, and some at once."""
    await job.sleep(0.2)
    signal = await job.wait("go-on", returns=int)
    yes = await job.approval("buy", wish, risk="high")
    met = []
    try:
        await job.approval("sell", {"all": True})
    except Denied as error:
        met.append(error.code)
    try:
        await job.wait("never", timeout=0.2)
    except WaitExpired as error:
        met.append(error.code)
    both = await job.gather(job.sleep(0.1, key="short"), job.step("beside", lambda: "beside"))
    return {"signal": signal, "by": yes.by, "met": met, "both": both}


@workflow("golden-child")
async def child(job: Job, item: str) -> float:
    """A job that another one begins."""
    return await job.call("clerk.price", item, returns=float)


@workflow("golden-parent")
async def parent(job: Job) -> list[Any]:
    """Jobs below a job, one after another and at once; one of them fails."""
    first = await job.child(child, "tea", key="first")
    rest = await job.gather(job.child(child, "coffee", key="second"), job.child(child, "nothing", key="third"))
    return [first, rest[0], type(rest[1]).__name__]


@workflow("golden-saga")
async def saga(job: Job) -> None:
    """What was done is undone, the last first, by an agent and by a function."""
    await job.call("till.pay", 5.0, key="pay", returns=str, compensate="till.refund")
    await job.step("note", lambda: "noted", effect="idempotent", compensate=_strike_out)
    raise Refused("it does not go on")


def _strike_out(noted: str) -> str:
    return f"no longer {noted}"


@workflow("golden-patches")
async def patches(job: Job) -> list[Any]:
    """A patch at the top and one in each of two branches."""

    async def line(name: str) -> Any:
        return (
            await job.step("new", lambda: f"new {name}")
            if job.patched("better")
            else await job.step("old", lambda: name)
        )

    parts = await job.gather(job.branch("a", line("a")), job.branch("b", line("b")))
    return [*parts, job.patched("at the end".replace(" ", "-"))]


FLOWS = (steps, failures, end, waits, child, parent, saga, patches, policies)
AGENTS = (clerk, till, refunds)
