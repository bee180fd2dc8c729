"""Agents that are there only where a seed has drawn something for them to do (`ordeal.py`): each is one thing that may go wrong.

echo                     answers at once, or slowly where it ails: what hedges are for
front → middle → source  a chain that ends in a fallback: who asks in front must hear of it
till                     calls a tool, which may fail or hang
scribe                   may write what does not fit its contract
clerk                    uses so many tokens with each call
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from mesh import Agent, Context, command
from mesh.protocols.errors import MeshError, Transient
from mesh.resilience.fallback import Degraded
from tests.simulation.outside import Outside
from tests.simulation.workload import AT_ONCE, LESS

TOKENS = 5
"""That a clerk uses with each call."""
SLOW = 0.3
"""Seconds that a slow echo takes."""
TOOLS = 3
"""Calls of its tool that a till makes at once."""


def guests_of(outside: Outside, wanted: Collection[str]) -> dict[str, type[Agent]]:
    """Those that are wanted, by name."""
    makers = {"echo": _echo, "chain": _chain, "till": _till, "scribe": _scribe, "clerk": _clerk}
    return {name: agent for each in wanted for name, agent in makers[each](outside).items()}


def _echo(outside: Outside) -> dict[str, type[Agent]]:
    class Echo(Agent, name="echo", version="1.0.0", capacity=AT_ONCE):
        @command(capability="echo", effect="pure", timeout=5.0)
        async def echo(self, word: str, ctx: Context) -> str:
            with outside.handlings.begun("echo", ctx):
                await asyncio.sleep(SLOW if outside.ails("echo") else 0.002)
                return word

    return {"echo": Echo}


def _chain(outside: Outside) -> dict[str, type[Agent]]:
    begun = outside.handlings.begun

    class Source(Agent, name="source", version="1.0.0", capacity=AT_ONCE):
        @command(capability="source", effect="pure", timeout=5.0)
        async def source(self, fails: bool, ctx: Context) -> str:
            with begun("source", ctx):
                if fails:
                    raise Transient("it is dry")
                return "whole"

    class Middle(Agent, name="middle", version="1.0.0", capacity=AT_ONCE):
        @command(capability="middle", effect="pure", timeout=5.0)
        async def middle(self, fails: bool, ctx: Context) -> Any:
            with begun("middle", ctx):
                answer = await ctx.ask("source", {"fails": fails}, timeout=1.0, fallbacks=(Degraded(LESS),))
                return answer.value

    class Front(Agent, name="front", version="1.0.0", capacity=AT_ONCE):
        @command(capability="front", effect="pure", timeout=5.0)
        async def front(self, fails: bool, auction: bool, ctx: Context) -> str:
            with begun("front", ctx):
                ask = ctx.call if auction else ctx.ask
                return f"made of {await ask('middle', {'fails': fails})}"

    return {"source": Source, "middle": Middle, "front": Front}


def _till(outside: Outside) -> dict[str, type[Agent]]:
    async def pay(ctx: Context) -> None:
        async with ctx.tool("bank", timeout=0.5), outside.using("bank"):
            match outside.ails("bank"):
                case "fails":
                    raise Transient("the bank is closed")
                case "hangs":
                    await asyncio.sleep(3600)
            await asyncio.sleep(0.02)

    class Till(Agent, name="till", version="1.0.0", capacity=AT_ONCE):
        @command(capability="till", effect="pure", timeout=5.0)
        async def till(self, word: str, ctx: Context) -> str:
            with outside.handlings.begun("till", ctx):
                ended = await asyncio.gather(*(pay(ctx) for _ in range(TOOLS)), return_exceptions=True)
                for each in ended:
                    if isinstance(each, BaseException) and not isinstance(each, MeshError):
                        raise each
                return word

    return {"till": Till}


def _scribe(outside: Outside) -> dict[str, type[Agent]]:
    class Scribe(Agent, name="scribe", version="1.0.0", capacity=AT_ONCE):
        @command(capability="scribe", effect="pure", timeout=5.0)
        async def scribe(self, word: str, ctx: Context) -> Any:
            with outside.handlings.begun("scribe", ctx):
                await asyncio.sleep(0.01)
                return ["a blot"] if outside.ails("scribe") else word

    return {"scribe": Scribe}


def _clerk(outside: Outside) -> dict[str, type[Agent]]:
    class Clerk(Agent, name="clerk", version="1.0.0", capacity=AT_ONCE):
        @command(capability="clerk", effect="pure", timeout=5.0)
        async def clerk(self, word: str, ctx: Context) -> str:
            with outside.handlings.begun("clerk", ctx):
                await asyncio.sleep(0.02)
                ctx.use(tokens_in=TOKENS)
                return word

    return {"clerk": Clerk}
