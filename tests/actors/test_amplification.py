"""A chain of five agents whose last one fails: each layer repeats what failed right below it, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.actors.declaring.definition import FunctionAgent, agent
from mesh.actors.running.context import Context
from mesh.clock import SeededIds
from mesh.protocols.constraints import Effect
from mesh.protocols.errors import AgentLost, MeshError, NoResponders, Overloaded, TimedOut, Unavailable
from mesh.testing.virtual_time import VirtualClock, run_virtual
from tests.actors.neighbours import Neighbours

LAYERS, RESERVE = 5, 3
ERRORS: list[Callable[[], MeshError]] = [
    lambda: Overloaded("full", retry_after=0.01),
    lambda: Overloaded("full", retry_after=0.01, detail={"begun": False}),
    lambda: Unavailable("away"),
    lambda: AgentLost("gone"),
    lambda: TimedOut("silence"),
    lambda: NoResponders("nobody"),
]
effects = st.sampled_from(["pure", "idempotent", "costly"])


def layer(number: int, effect: Effect, work: Callable[[], Any]) -> FunctionAgent[Any, Any]:
    """Agent `number` of the chain, from 1: asks the next one; the last does `work`."""

    @agent(name=f"layer-{number}", effect=effect, timeout=60.0, capacity=100)
    async def ask_on(ctx: Context) -> None:
        if number < LAYERS:
            await ctx.ask(f"layer-{number + 1}")
        else:
            work()

    return ask_on


async def calls_at_the_last(seed: int, kinds: list[Effect], failing: list[bool], error: int) -> int:
    """How often the last of the chain is called, when the first is asked once for each of `failing`."""
    neighbours, calls, fails = Neighbours(clock := VirtualClock(), SeededIds(clock, seed)), 0, False

    def work() -> None:
        nonlocal calls
        calls += 1
        if fails:
            raise ERRORS[error]()

    try:
        for number, kind in enumerate(kinds, start=1):
            await neighbours.host(layer(number, kind, work), process=f"p{number}")
        client = await neighbours.client()
        for each in failing:
            fails = each
            with contextlib.suppress(MeshError):
                await client.ask("layer-1")
    finally:
        await neighbours.leave()
    return calls


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(effects, min_size=LAYERS, max_size=LAYERS),
    st.lists(st.booleans(), min_size=5, max_size=40),
    st.integers(0, len(ERRORS) - 1),
    st.integers(0, 99),
)
def test_the_last_is_called_a_tenth_more_often_at_most(
    kinds: list[Effect], failing: list[bool], error: int, seed: int
) -> None:
    calls = run_virtual(lambda: calls_at_the_last(seed, kinds, failing, error))
    assert calls <= len(failing) * 1.1 + RESERVE


@pytest.mark.virtual
async def test_the_layer_above_the_failing_one_repeats_and_says_so(clock: VirtualClock, ids: Any) -> None:
    neighbours, calls = Neighbours(clock, ids), [0] * (LAYERS + 1)

    def counting(number: int) -> FunctionAgent[Any, Any]:
        @agent(name=f"layer-{number}", effect="pure", timeout=60.0)
        async def ask_on(ctx: Context) -> None:
            calls[number] += 1
            if number == LAYERS:
                raise Overloaded("full", retry_after=0.01)
            await ctx.ask(f"layer-{number + 1}")

        return ask_on

    for number in range(1, LAYERS + 1):
        await neighbours.host(counting(number))
    with pytest.raises(Overloaded) as caught:
        await (await neighbours.client()).ask("layer-1")
    await asyncio.sleep(0)
    assert calls[1:] == [1, 1, 1, 1, 3]
    assert caught.value.detail["retried"] == 3
    assert caught.value.origin == "layer-5.host"
    await neighbours.leave()
