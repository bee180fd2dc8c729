"""autogen-core's `send_message` beside our `ask`: in one process, and over gRPC to an agent in another one.

Over gRPC there are three processes, as over NATS: who asks, the host that passes messages on, and the worker that answers.
In one process nothing travels: beside it stands our `ask` of an agent in the same process, on a mesh in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from mesh.testing.local import local_mesh
from tests.benchmarks.beside import TEXT, Neighbour, beside, echo, missing
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.rows import Row
from tests.servers import free_port

try:
    from autogen_core import (
        AgentId,
        AgentRuntime,
        MessageContext,
        RoutedAgent,
        SingleThreadedAgentRuntime,
        message_handler,
    )
    from autogen_core import try_get_known_serializers_for_type as serializers
    from autogen_ext.runtimes.grpc import GrpcWorkerAgentRuntime, GrpcWorkerAgentRuntimeHost
except ImportError as error:
    raise missing("autogen-ext[grpc]", error) from error

ECHO = AgentId("echo", "default")


@dataclass
class Text:
    """What is carried."""

    text: str


class Echo(RoutedAgent):
    """Gives back what came."""

    @message_handler
    async def answer(self, message: Text, ctx: MessageContext) -> Text:
        """The one handler."""
        return message


async def main(url: str, side: str, address: str) -> AsyncIterator[str]:
    """The host, or the worker that answers."""
    if side == "host":
        host = GrpcWorkerAgentRuntimeHost(address)
        host.start()
        yield ""
        await host.stop(grace=0)
        return
    worker = await _connected(address)
    await _agent(worker)
    yield ""
    await worker.stop()


async def bench(ground: Ground) -> list[Row]:
    """Three neighbours: autogen in process, ours in process, autogen over gRPC."""
    address = f"127.0.0.1:{free_port()}"
    others = [await ground.other("bench_beside_autogen", side, address) for side in ("host", "worker")]
    async with AsyncExitStack() as ends:
        alone = SingleThreadedAgentRuntime()
        await _agent(alone)
        alone.start()
        ends.push_async_callback(alone.stop)
        far = await _connected(address)
        ends.push_async_callback(far.stop)
        local = await ends.enter_async_context(local_mesh())
        await local.host(echo)
        await there(lambda: local.directory.instances("echo"))

        async def ask() -> None:
            await local.ask("echo", text=TEXT, returns=str)

        return await beside(
            ground,
            Neighbour("autogen-core in process", lambda: alone.send_message(Text(TEXT), ECHO), pace=2),
            Neighbour("ask in process", ask, pace=2),
            Neighbour("autogen gRPC", lambda: far.send_message(Text(TEXT), ECHO), others, pace=4),
        )


async def _connected(address: str) -> GrpcWorkerAgentRuntime:
    worker = GrpcWorkerAgentRuntime(host_address=address)
    await worker.start()
    worker.add_message_serializer(serializers(Text))
    return worker


async def _agent(runtime: AgentRuntime) -> None:
    await Echo.register(runtime, ECHO.type, lambda: Echo("echo"))
