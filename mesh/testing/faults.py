"""`Faults`: bad luck on demand, for a mesh in memory.

    faults = Faults(mesh)
    faults.kill("worker")                        # a process dies
    faults.drop(agent="greeter", times=2)        # messages are lost
    faults.fail("greeter", RuntimeError("no"))   # a handler raises

What it breaks, it breaks as the world does: nobody is told more than they would be told there.
"""

from __future__ import annotations

import math
from typing import Literal

from mesh.client.mesh import Mesh
from mesh.protocols.subjects import Subjects
from mesh.testing.handler_faults import HandlerFaults, HandlerRule
from mesh.testing.message_faults import MessageFaults, Rule, Which
from mesh.testing.processes import process_of, server_of
from mesh.transport.memory.server import MemoryServer

Writes = Literal["events", "jobs", "journals"]


class Faults:
    """The fault injector of one server in memory. Several for the same server are one."""

    def __init__(self, place: MemoryServer | Mesh) -> None:
        server = server_of(place) if isinstance(place, Mesh) else place
        if server is None:
            raise TypeError("faults are for meshes in memory: give a MemoryServer, or a mesh that local_mesh opened")
        self.server = server
        self._messages = MessageFaults.of(server)
        self._handlers = HandlerFaults.of(server)

    # -- processes, by the name that `local_mesh(process=…)` gave them

    def cut(self, process: str, *, noticed: bool = True) -> None:
        """The process loses its connection until `restore`. `noticed=False`: a partition, of which nobody is told."""
        self.server.cut(self._known(process), noticed=noticed)

    def restore(self, process: str) -> None:
        """The connection is back. Again: nothing happens."""
        self.server.restore(self._known(process))

    def kill(self, process: str) -> None:
        """The process dies on the spot, as by `kill -9`: nothing is handed back, nothing it still does is heard."""
        self.server.kill(self._known(process))

    async def restart(self, process: str) -> Mesh:
        """The process dies as by `kill`, and starts again under its name with the same agents and workflows, their state
        fresh. The mesh that stands there now is returned; the old one is of no more use.

        Raises:
            LookupError: no process of that name was made by `local_mesh`.
        """
        found = process_of(self.server, process)
        if found is None:
            raise LookupError(f"no process {process!r} was made by local_mesh on this server")
        return await found.restart()

    def restart_server(self) -> None:
        """The server dies and is back at once: everybody reconnects, what it kept in memory is gone."""
        self.server.restart()

    # -- agents, by name or `name.instance`

    def freeze(self, agent: str) -> None:
        """The agent hears nothing and is not heard until `thaw`, but stays listed: a process that was stopped, or hangs.
        Again: nothing happens.
        """
        frozen = self._messages.frozen
        if agent not in frozen:
            both = (Which(agent=agent), Which(agent=agent, answer=True))
            frozen[agent] = self._messages.add(Rule("hold", both, math.inf))

    def thaw(self, agent: str) -> None:
        """What waited for the agent reaches it, in its order, and what it said is heard. Again: nothing happens."""
        rule = self._messages.frozen.pop(agent, None)
        if rule is not None:
            self._messages.remove(rule)

    def fail(
        self,
        agent: str,
        error: BaseException | type[BaseException] = RuntimeError,
        *,
        command: str = "",
        times: int = 1,
    ) -> None:
        """The next `times` calls of the agent (of one command or capability of it) raise `error` instead of being handled."""
        self._handlers.add(HandlerRule(agent, command, _count(times), error))

    def slow(self, agent: str, seconds: float, *, command: str = "", times: int = 1) -> None:
        """The next `times` calls wait for `seconds` before they are handled; the agent is busy meanwhile."""
        self._handlers.add(HandlerRule(agent, command, _count(times), seconds=seconds))

    # -- messages; `agent` is whom they are for, of events and answers the author

    def drop(
        self,
        *,
        agent: str = "",
        command: str = "",
        event: str = "",
        act: str = "",
        answer: bool = False,
        times: int = 1,
    ) -> None:
        """The next `times` messages that fit reach nobody: `command` by name or capability, `event` by type, `act` by
        performative (`accept-proposal`), with `answer` what comes back. An event is stored all the same.
        """
        self._messages.add(Rule("drop", (Which(agent, command, event, act, answer),), _count(times)))

    def delay(
        self, seconds: float, *, agent: str = "", command: str = "", event: str = "", act: str = "", answer: bool = False,
        times: int = 1,
    ) -> None:  # fmt: skip
        """The next `times` messages that fit arrive `seconds` late, and are overtaken. As `drop`."""
        self._messages.add(Rule("delay", (Which(agent, command, event, act, answer),), _count(times), seconds))

    def duplicate(
        self,
        *,
        agent: str = "",
        command: str = "",
        event: str = "",
        act: str = "",
        answer: bool = False,
        times: int = 1,
    ) -> None:
        """The next `times` messages that fit arrive twice. As `drop`."""
        self._messages.add(Rule("duplicate", (Which(agent, command, event, act, answer),), _count(times)))

    # -- what is stored

    def lose_acks(self, of: Writes, *, times: int = 1, namespace: str = "default") -> None:
        """The next `times` events, submitted jobs or journal entries are stored, but who stored them hears only `TimedOut`."""
        self.server.faults.lose_acks(_written(of, namespace), _count(times))

    def lose_writes(self, of: Writes, *, times: int = 1, namespace: str = "default") -> None:
        """The next `times` of them are not stored, and who stored them hears only `TimedOut`."""
        self.server.faults.lose_appends(_written(of, namespace), _count(times))

    @property
    def due(self) -> int:
        """How many faults were asked for and have not happened yet: not 0 at the end of a test, one never struck."""
        return self._messages.due + self._handlers.due + self.server.faults.due

    def clear(self) -> None:
        """No more faults, and everything frozen thaws. Who was cut off or killed stays so."""
        self._messages.clear()
        self._handlers.clear()
        self.server.faults.clear()

    def _known(self, process: str) -> str:
        if process not in self.server.names:
            there = ", ".join(sorted(filter(None, self.server.names))) or "none"
            raise LookupError(f"no process {process!r} is connected to this server; there: {there}")
        return process


def _count(times: int) -> int:
    if times < 1:
        raise ValueError(f"times must be at least 1, not {times}")
    return times


def _written(of: Writes, namespace: str) -> str:
    subjects = Subjects(namespace)
    return {"events": subjects.event_filter(), "jobs": subjects.ingress_all(), "journals": subjects.job_all()}[of]
