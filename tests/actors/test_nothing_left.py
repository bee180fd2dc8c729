"""A handler that finds no memory, or no file descriptor, has not failed: its process has nothing left, and another may have."""

from __future__ import annotations

import errno

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.protocols.errors import AgentLost, HandlerFailed
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Glutton(Agent):
    def __init__(self) -> None:
        self.hoard: list[int] = []

    @command
    async def eat(self, raising: str) -> int:
        self.hoard.append(1)
        if raising == "memory":
            raise MemoryError
        if raising == "files":
            raise OSError(errno.EMFILE, "Too many open files")
        if raising == "permission":
            raise PermissionError(errno.EACCES, "not yours")
        return len(self.hoard)


@pytest.mark.parametrize("what", ["memory", "files"])
async def test_its_caller_may_try_elsewhere_and_the_actor_starts_afresh(neighbours: Neighbours, what: str) -> None:
    actor = await neighbours.host(Glutton)
    client = await neighbours.client()
    with pytest.raises(AgentLost, match="nothing left to work with") as caught:
        await client.ask("glutton", what, command="eat")
    assert (caught.value.error_class, caught.value.origin) == ("transient", "glutton.host")
    await until(lambda: actor.state == "ready" and actor.supervision.restarts == 1)
    assert await client.ask("glutton", "nothing", command="eat") == 1


async def test_other_errors_of_the_system_are_the_handlers_own(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Glutton)
    with pytest.raises(HandlerFailed, match="PermissionError"):
        await (await neighbours.client()).ask("glutton", "permission", command="eat")
    assert actor.supervision.restarts == 0
