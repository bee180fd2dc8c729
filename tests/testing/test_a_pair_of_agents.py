"""How users test their agents: a writer that subcontracts to a checker, which asks a model; both on a mesh in memory, in
virtual time, with a model that says what is written here, and with bad luck.

Read this one first; `test_faults.py` and `test_scripted_model.py` have the rest.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from mesh import Agent, Context, Mesh, command
from mesh.protocols.errors import DeadlineExceeded, HandlerFailed
from mesh.protocols.ports import Clock
from mesh.testing import Faults, MemoryServer, ScriptedModel, Turn, local_mesh

Model = Callable[[str], Awaitable[str]]


class Checker(Agent):
    """Asks a model whether a text is right."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @command(capability="text.check", effect="pure", timeout=20, reasoning=True)
    async def check(self, text: str) -> bool:
        return (await self.model(f"Is this right? {text}")).startswith("yes")


class Writer(Agent):
    """Writes a text, and lets whoever wins the auction check it."""

    @command(capability="text.write", effect="pure", timeout=60, reasoning=True)
    async def write(self, about: str, ctx: Context) -> str:
        for draft in (f"{about}, a first draft", f"{about}, a second draft"):
            if await ctx.call("text.check", {"text": draft}, returns=bool, timeout=20):
                return draft
        return "nothing"


@pytest.mark.virtual
async def test_the_writer_writes_again_when_the_checker_says_no(mesh_local: Mesh) -> None:
    with ScriptedModel(Turn("no", expect="first"), Turn("yes, it is", expect="second")) as model:
        await mesh_local.host(partial(Checker, model))
        await mesh_local.host(Writer)
        assert await mesh_local.ask("writer", about="Cats") == "Cats, a second draft"


@pytest.mark.virtual
async def test_a_slow_model_costs_the_test_nothing(mesh_local: Mesh, clock: Clock) -> None:
    model = ScriptedModel(Turn("yes", after=15.0))
    await mesh_local.host(partial(Checker, model))
    started, real = clock.monotonic(), time.monotonic()
    assert await mesh_local.ask("text.check", text="x", returns=bool)
    assert clock.monotonic() - started == pytest.approx(15.0, abs=0.1)
    assert time.monotonic() - real < 50


@pytest.mark.virtual
async def test_a_model_that_takes_too_long_ends_at_the_deadline(mesh_local: Mesh) -> None:
    await mesh_local.host(partial(Checker, ScriptedModel(Turn("yes", after=100.0))))
    with pytest.raises(DeadlineExceeded):
        await mesh_local.ask("text.check", text="x", timeout=10)


@pytest.mark.virtual
async def test_a_model_that_fails_is_a_typed_failure_at_the_caller(mesh_local: Mesh) -> None:
    await mesh_local.host(partial(Checker, ScriptedModel(ConnectionError("model is down"), repeat=True)))
    with pytest.raises(HandlerFailed, match="ConnectionError: model is down"):
        await mesh_local.ask("text.check", text="x")


@pytest.mark.virtual
async def test_when_a_checker_dies_at_work_another_takes_over(mesh_server: MemoryServer, mesh_local: Mesh) -> None:
    """Two checkers in processes of their own; the one that wins the award is killed while its model thinks."""
    faults = Faults(mesh_server)
    models: dict[str, ScriptedModel] = {}
    async with local_mesh(mesh_server, process="left") as left, local_mesh(mesh_server, process="right") as right:
        for mesh in (left, right):
            models[mesh.process] = dying = ScriptedModel(
                Turn(_killed_if_first(faults, mesh.process, models), after=2.0)
            )
            await mesh.host(partial(Checker, dying))
        await mesh_local.host(Writer)
        assert await mesh_local.ask("writer", about="Dogs") == "Dogs, a first draft"
    assert [len(model.asked) for model in models.values()] == [1, 1]


def _killed_if_first(faults: Faults, process: str, models: dict[str, ScriptedModel]) -> Callable[[str], str]:
    def answer(_: str) -> str:
        if sum(len(model.asked) for model in models.values()) == 1:
            faults.kill(process)
        return "yes"

    return answer
