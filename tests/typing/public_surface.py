"""Checked by mypy, never run: what the types of the public surface promise to those who build on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import assert_type

from mesh import (
    Agent,
    Answer,
    Approval,
    Artifact,
    AskPerson,
    Bid,
    Budget,
    Cached,
    CallForProposal,
    Confidence,
    Constraints,
    Context,
    Degraded,
    Evidence,
    FallbackAgent,
    Hedge,
    History,
    Job,
    Mesh,
    MeshError,
    NotDone,
    Person,
    State,
    StepPolicy,
    Turn,
    Undo,
    Usage,
    Variation,
    Verdict,
    agent,
    command,
    durable,
    effect_key,
    effects,
    every,
    histories,
    on_event,
    run,
    tool,
    workflow,
)
from mesh.protocols.artifacts import Provenance


@agent
async def greet(name: str) -> str:
    return f"Hello, {name}"


@agent(capability="count.words", effect="pure", timeout=2.0, labels={"tier": "cheap"})
def count(text: str) -> int:
    return len(text.split())


async def called_as_before() -> None:
    assert_type(await greet("Ada"), str)
    assert_type(count("a b"), int)


@tool("bank.charge", timeout=2.0, ignore=ValueError)
async def charge_card(ctx: Context, amount: float) -> str:
    return f"{ctx.agent} charged {amount}"


class Watcher(Agent, name="watcher", version="2.1.0"):
    capacity = 2

    async def on_start(self, ctx: Context) -> None:
        await ctx.emit("watcher.started", {"instance": ctx.instance})

    @command(capability="price.lookup", effect="idempotent", reasoning=True, price=0.1, tier=1)
    async def lookup(self, sku: str, ctx: Context) -> float:
        assert_type(ctx.constraints, Constraints)
        assert_type(ctx.deadline.remaining(), float)
        assert_type(await ctx.ask("other", {"sku": sku}, returns=float), float)
        rest = (Cached(max_age=60), FallbackAgent("third"), Person("ada", patience=3600), Degraded(0.0))
        assert_type(await ctx.ask("other", sku, returns=float, fallbacks=rest, timeout=2), Answer[float])
        ctx.degrade("no price of today")
        assert_type(await charge_card(ctx, 0.01), str)
        ctx.use(tokens_in=3, money=0.01)
        return 1.0

    @lookup.bid
    def bid_lookup(self, call: CallForProposal, bid: Bid) -> Bid | None:
        return bid if call.constraints.budget.money else None

    @command
    async def history(self, sku: str) -> AsyncIterator[float]:
        yield 1.0

    @on_event("price.changed", durable=True)
    async def changed(self, sku: str, price: float) -> None: ...

    @every(60)
    async def report(self) -> None: ...


@workflow("prices", version=3)
async def prices(job: Job, skus: list[str]) -> dict[str, float]:
    one = await job.call("price.lookup", {"sku": skus[0]}, returns=float, timeout=2)
    assert_type(one, float)
    branches = (job.call("price.lookup", {"sku": sku}, returns=float, key=sku) for sku in skus)
    for found in await job.gather(*branches, need=1):
        if isinstance(found, float):
            assert_type(found, float)
    assert_type(job.now(), float)
    assert_type(job.usage, Usage)
    return {}


def refund(receipt: str) -> None: ...


@workflow("order")
async def order(job: Job, skus: list[str]) -> str:
    said = await job.approval("order.pay", {"skus": skus}, risk="low", timeout=60)
    assert_type(said, Approval)
    assert_type(await job.wait("signed", returns=str), str)
    assert_type(await job.child(prices, skus, key="prices", timeout=60), dict[str, float])
    assert_type(await job.child("prices", skus, returns=dict), dict)  # type: ignore[type-arg]
    await job.map("price.lookup", skus, key=str, at_once=4, returns=float, compensate="price.forget")
    paid = await job.call("pay", skus, returns=str, effect="at_most_once", on_doubt="raise", reconcile=lambda: NotDone)
    assert_type(await job.step("pay", str.upper, paid, compensate=Undo(refund, within=5, attempts=2)), str)
    patient = StepPolicy(on_timeout="back_off", attempts=5, vary=(Variation(labels={"tier": "large"}),))
    assert_type(await job.call("pay", skus, returns=str, policy=patient), str)
    stood_in = await job.call("pay", skus, returns=str, fallbacks=(Cached(60), AskPerson("paid?", within=3600)))
    assert_type(stood_in, Answer[str])
    assert_type(await job.step("local", str.upper, paid, fallbacks=(Degraded(""),)), Answer[str])
    assert_type(job.flag("two-reviewers", False), bool)
    return paid


async def client() -> None:
    async with Mesh.connect("nats://127.0.0.1:4222", namespace="prod") as mesh:
        await mesh.host(Watcher, labels={"region": "eu"})
        await mesh.ask("watcher", sku="a", command="lookup")
        assert_type(await mesh.ask("watcher", sku="a", returns=float, tenant="acme", hedge=Hedge(share=0.01)), float)
        answer = await mesh.ask("watcher", sku="a", returns=float, fallbacks=(), vary=[Variation(payload={"sku": "b"})])
        assert_type(answer, Answer[float])
        assert_type(answer.value, float)
        await mesh.call("price.lookup", sku="a", mode="broadcast")
        handle = await mesh.submit("prices", ["a"], key="k", tenant="acme")
        assert_type(handle.id, str)
        async for event in mesh.events("price.*"):
            assert_type(event.sequence, int)


def artifacts() -> None:
    claim = Artifact(
        id="a",
        kind="x",
        provenance=Provenance(agent="a"),
        evidence=(Evidence(source="s", method="m"),),
        confidence=Confidence(value=1.0),
    )
    assert_type(claim.with_verdict(Verdict(gate="g", result="pass", by="b")), Artifact)
    assert_type(Budget(money=1.0).narrow(Budget()), Budget)
    assert_type(MeshError("x").retry_after, float | None)


def main() -> None:
    run(greet, Watcher, namespace="prod")


class Teller(Agent):
    balances = durable(int, default=0)
    names = durable(str)
    history = histories(turns=10)

    @command
    async def pay(self, owner: str, ctx: Context) -> int:
        assert_type(self.balances, State[int])
        assert_type(await self.balances.get(owner), int)
        assert_type(await self.balances.update(owner, lambda cents: cents + 1), int)
        assert_type(await self.balances.put(owner, 1, version=3), int)
        assert_type(await self.names.get(owner), str | None)
        assert_type(await ctx.state(Bid).get(owner), Bid | None)
        assert_type(self.history(), History)
        assert_type(await ctx.history().turns(), list[Turn])
        assert_type(await ctx.effects.once(ctx.key, charge), float)
        assert_type(await effects().once(effect_key("print"), count_one), int)
        return 1


async def charge(key: str) -> float:
    return 1.0


def count_one(key: str) -> int:
    return 1
