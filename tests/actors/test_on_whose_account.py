"""A client acts for a tenant: its own, or the one it names; what is caused by it is on the same account."""

from __future__ import annotations

import pytest

from mesh import Context, agent
from mesh.client.mesh import Mesh
from mesh.protocols.errors import InvalidName
from mesh.protocols.ports import Clock, Ids
from mesh.testing.local import local_mesh
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer

pytestmark = pytest.mark.virtual


@agent(capability="tell", effect="pure")
async def teller(ctx: Context) -> str:
    return ctx.tenant


@agent
async def asker(ctx: Context) -> str:
    return await ctx.ask("teller", returns=str)


async def test_it_is_that_of_the_connection_or_the_one_named(clock: Clock, ids: Ids) -> None:
    server = MemoryServer(clock, ids)
    async with local_mesh(server, process="host") as host:
        await host.host(teller)
        await host.host(asker)
        connection = server.connect("client")
        async with Mesh.over(connection, process="client", clock=clock, ids=ids, tenant="acme") as mesh:
            await until(lambda: bool(mesh.directory.instances("asker") and mesh.directory.instances("teller")))
            assert mesh.tenant == "acme"
            assert await mesh.ask("asker") == "acme"
            assert await mesh.call("tell") == "acme"
            assert await mesh.ask("asker", tenant="globex", returns=str) == "globex"
            assert await mesh.call("tell", tenant="globex") == "globex"
            assert mesh.job("j").tenant == "acme"
            with pytest.raises(InvalidName):
                await mesh.ask("asker", tenant="Not a name")


async def test_options_are_told_from_arguments(clock: Clock, ids: Ids) -> None:
    @agent
    async def greet(name: str, key_word: str) -> str:
        return f"{key_word} {name}"

    async with local_mesh(clock=clock, ids=ids) as mesh:
        await mesh.host(greet)
        assert await mesh.ask("greet", name="Ada", key_word="Hello", timeout=2.0, hedge=False) == "Hello Ada"
        with pytest.raises(TypeError, match="not both"):
            await mesh.ask("greet", {"name": "Ada"}, key_word="Hello")
