"""The agent `host`: one instance a host, named like it, in the supervisor's own process. It answers for the host."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar, Protocol

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.marks import command
from mesh.host.host_record import HostRecord
from mesh.host.log_query import CALL, MOST, LogQuery, find_lines

NAME = "host"


class Hosting(Protocol):
    """What the agent needs of its host."""

    @property
    def record(self) -> HostRecord:
        """The host as it is now."""

    @property
    def logs(self) -> Path:
        """The folder of its logs."""

    def ask_to_drain(self) -> None:
        """Begin to drain, and return."""


class HostAgent(Agent):
    """One host of the mesh: its processes, its logs, and its end."""

    name: ClassVar[str] = NAME
    capacity: ClassVar[int] = 4

    def __init__(self, host: Hosting) -> None:
        self._host = host

    @command(capability="host.ps", effect="pure")
    async def ps(self) -> HostRecord:
        """The host and its processes, as `mesh ps` shows them."""
        return self._host.record

    @command(capability="host.logs", effect="pure", timeout=15.0)
    async def logs(
        self, job: str = "", agent: str = "", correlation: str = "", event: str = CALL, limit: int = MOST
    ) -> list[dict[str, Any]]:
        """The log lines of this host that match, oldest first; the newest `limit` (at most 1000) of them."""
        query = LogQuery(job=job, agent=agent, correlation=correlation, event=event, limit=limit)
        return await asyncio.to_thread(find_lines, self._host.logs, query)

    @command(effect="idempotent")
    async def drain(self) -> str:
        """Begin to drain the whole host. Again: it goes on draining."""
        self._host.ask_to_drain()
        return f"host {self._host.record.name} drains"
