"""`run`: an agent alone in its process, from `python greeter.py` to Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

from mesh import event_loop
from mesh.client.mesh import Mesh
from mesh.clock import SystemClock
from mesh.protocols.errors import MeshError
from mesh.settings.target import ServerTarget
from mesh.telemetry.log_lines import JsonLines
from mesh.telemetry.telemetry import Telemetry


def run(*agents: Any, server: ServerTarget | str | None = None, namespace: str = "default") -> None:
    """Host the agents until SIGTERM or Ctrl-C, also while they start, then drain and return; the log goes to stderr, one JSON
    object a line.

    Ends the program with exit code 3, and says what to do, where no server is to be found.
    """
    try:
        event_loop.run(_serve(agents, server, namespace))
    except MeshError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(3)


async def _serve(agents: tuple[Any, ...], server: ServerTarget | str | None, namespace: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    telemetry = Telemetry(SystemClock().now, JsonLines())
    async with Mesh.connect(server, namespace=namespace, name="run", telemetry=telemetry) as mesh:
        hosting, stopping = loop.create_task(_host(mesh, agents, telemetry)), loop.create_task(stop.wait())
        await asyncio.wait((hosting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if hosting.done():
            hosting.result()
            await stopping
        hosting.cancel()
        await asyncio.gather(hosting, return_exceptions=True)
        await mesh.drain()


async def _host(mesh: Mesh, agents: tuple[Any, ...], telemetry: Telemetry) -> None:
    for each in agents:
        actor = await mesh.host(each)
        telemetry.emit("agent.ready", agent=actor.definition.name, instance=actor.instance, process=mesh.process)
