from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.protocols.errors import Overloaded, Refused, Unavailable
from mesh.protocols.ports import BucketSpec, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect
from tests.contract.places import eventually
from tests.servers import RealServer, free_port
from tests.transport.conftest import Dial
from tests.transport.fake_server import fake_server

pytestmark = pytest.mark.server
LIMITED = '{ user: limited, password: pw, permissions: { publish: ["ok.>", "$JS.API.>", "_INBOX.>"], subscribe: ["ok.>", "_INBOX.>"] } }'


async def test_no_server_is_said_at_once_with_where_the_setting_came_from_and_what_to_do() -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=rf"{url} \(from NATS_URL\).*mesh up"):
        async with asyncio.timeout(30):
            await connect(ServerTarget(url=url, source="NATS_URL"), timeout=600)


async def test_a_server_that_never_greets_is_given_up_in_time() -> None:
    async with fake_server() as server:
        server.silent = True
        with pytest.raises(Unavailable):
            await connect(ServerTarget(url=server.url), timeout=0.5)


async def test_who_knows_its_server_by_name_logs_in_to_no_other_that_has_its_port() -> None:
    async with fake_server() as server:
        server.news = {"server_name": "ours"}
        target = ServerTarget(url=server.url, server_name="ours")
        connection = await connect(target, timeout=30)
        server.news = {"server_name": "theirs"}
        server.heard.clear()
        before = server.connections
        server.hang_up()
        await eventually(lambda: server.connections > before + 1)
        assert not connection.bus.connected
        with pytest.raises(Unavailable, match="somebody else's server listens there, theirs, and not ours"):
            await connect(target, timeout=30)
        assert not any(line.startswith(b"CONNECT") for line in server.heard)
        server.news = {"server_name": "ours"}
        await eventually(lambda: connection.bus.connected)
        await connection.close()


async def test_refused_credentials_are_said_to_be_refused(tmp_path: Path, dial: Dial) -> None:
    with RealServer(tmp_path, anonymous=False) as server:
        with pytest.raises(Unavailable, match="refused the credentials"):
            await dial(server.url, user="mesh", password="wrong")
        with pytest.raises(Unavailable, match="refused the credentials"):
            await dial(server.url)
        await dial(server.url, user="mesh", password="mesh")


async def test_an_nkey_logs_in_and_logs_in_again_after_a_restart(tmp_path: Path, dial: Dial) -> None:
    import nkeys

    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (tmp_path / "user.nk").write_bytes(seed)
    with RealServer(tmp_path / "server", users=f"{{ nkey: {public} }}", anonymous=False) as server:
        connection = await connect(ServerTarget(url=server.url, nkey_seed=str(tmp_path / "user.nk")))
        before = connection.bus.client
        server.restart()
        await eventually(lambda: connection.bus.client != before and connection.bus.connected)
        await connection.bus.flush()


async def test_of_several_servers_one_that_answers_is_enough(tmp_path: Path, dial: Dial) -> None:
    with RealServer(tmp_path) as server:
        connection = await dial(f"nats://127.0.0.1:{free_port()},{server.url}")
        await connection.bus.flush()


async def test_what_is_not_permitted_is_refused_and_everything_else_goes_on(tmp_path: Path, dial: Dial) -> None:
    with RealServer(tmp_path, users=LIMITED) as server:
        connection = await dial(server.url, user="limited", password="pw")
        heard: list[bytes] = []
        await connection.bus.subscribe("ok.A", lambda m: heard.append(m.data))
        with pytest.raises(Refused, match=r"no permission to subscribe to Secret\.x"):
            await connection.bus.subscribe("Secret.x", lambda m: None)
        with pytest.raises(Refused, match="no permission to publish"):
            await connection.bus.request("Secret.x", b"", timeout=30)
        connection.bus.publish("Secret.x", b"")
        connection.bus.publish("ok.A", b"fine")
        await eventually(lambda: heard == [b"fine"])
        assert connection.bus.connected


async def test_an_inbox_prefix_of_its_own_is_used(tmp_path: Path, dial: Dial) -> None:
    private = '{ user: own, password: pw, permissions: { publish: ["x", "_OWN.>"], subscribe: ["x", "_OWN.>"] } }'
    with RealServer(tmp_path, users=private) as server:
        connection = await dial(server.url, user="own", password="pw", inbox_prefix="_OWN")
        await connection.bus.subscribe("x", lambda m: connection.bus.publish(m.reply, b"yes"))
        assert (await connection.bus.request("x", b"", timeout=30)).data == b"yes"


def test_everything_runs_on_uvloop_too(tmp_path: Path) -> None:
    import uvloop

    async def live(server: RealServer) -> list[bytes]:
        connection = await connect(ServerTarget(url=server.url))
        await connection.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
        bucket = await connection.store.bucket(BucketSpec(name="B"))
        await bucket.put("k", b"v", revision=0)
        followed = connection.store.follow("S", "s.a")
        await connection.store.append("s.a", b"1")
        found = [(await anext(followed)).data]
        before = connection.bus.client
        server.restart()
        await eventually(lambda: connection.bus.client != before and connection.bus.connected)
        await connection.store.append("s.a", b"2")
        found.append((await anext(followed)).data)
        await connection.close()
        return found

    with RealServer(tmp_path) as server:
        assert uvloop.run(live(server)) == [b"1", b"2"]


@pytest.mark.fault
async def test_a_server_that_takes_nothing_makes_publishers_overloaded(tmp_path: Path, dial: Dial) -> None:
    with RealServer(tmp_path) as server:
        connection = await dial(server.url)
        server.freeze()

        def publish_without_end() -> None:
            for _ in range(200):
                connection.bus.publish("a", bytes(1_000_000))

        with pytest.raises(Overloaded) as caught:
            publish_without_end()
        assert caught.value.retry_after
        server.thaw()
        await connection.bus.flush(30)


def test_neither_nats_py_nor_aiohttp_is_loaded_before_it_is_needed(tmp_path: Path) -> None:
    script = tmp_path / "loads.py"
    script.write_text(
        "import sys\n"
        "import mesh.transport.connection, mesh.transport.memory.server\n"
        "assert 'nats' not in sys.modules\n"
        "import mesh.transport.nats.store\n"
        "assert 'nats' in sys.modules and 'aiohttp' not in sys.modules\n"
        "import aiohttp\n"
        "from mesh.transport.nats.library import with_websockets\n"
        "with_websockets()\n"
    )
    subprocess.run([sys.executable, str(script)], check=True, env={**os.environ})
