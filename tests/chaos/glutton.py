"""`Glutton`: an agent that works like every other, and takes all that its process is allowed to have when it is told to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, Literal

from mesh import Agent, command
from tests.chaos.plans import Act, Asked, Hands

Greed = Literal["memory", "files"]
A_GULP = 1 << 16
FOLDER = "CHAOS_FOLDER"
"""The environment variable that says where the targets of effects are."""


HOARD: list[Any] = []
"""What was taken. It is the process's: no fresh start of the agent gives it back."""


class Glutton(Agent):
    name = "glutton"
    capacity = 64

    def __init__(self) -> None:
        self._hands = Hands(Path(os.environ[FOLDER]), os.environ["MESH_PROCESS"], alone=True)

    @command(capability="chaos.act", effect="idempotent", timeout=60)
    async def act(self, job: str, act: Act) -> str:
        return await self._hands.carry_out(Asked(job, act))

    @command(effect="pure")
    async def pid(self) -> int:
        return os.getpid()

    @command
    async def take(self, what: Greed) -> None:
        """Everything, and never give it back. The last of it is refused, as it is to everybody else in the process."""
        while True:
            HOARD.append(_open() if what == "files" else bytearray(A_GULP))


def _open() -> IO[bytes]:
    return Path(os.devnull).open("rb")
