"""What a gateway lends to whoever connects has an end: connections, heads, bodies, time; and it leaves in good order."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from mesh.gateway.address import Address, read_address
from mesh.gateway.limits import Limits
from mesh.settings.errors import BadSettings
from mesh.testing.virtual_time import until
from tests.gateway.gate import TOKEN, Gate, door, gateway_on

AUTHORIZED = f"Authorization: Bearer {TOKEN}\r\n"


async def connect(gate: Gate) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", gate.site.port)


SLOW = (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he")
LARGE = (
    "GET /healthz HTTP/1.1\r\nX: " + "x" * 10_000,
    "GET /" + "x" * 10_000 + " HTTP/1.1",
    "GET /healthz HTTP/1.1" + "\r\nX: y" * 100,
)


@pytest.mark.server
async def test_a_head_that_does_not_come_ends_the_connection(url: str) -> None:
    async with gateway_on(url, limits=Limits(idle=0.2)) as gate:
        for sent in SLOW:
            reader, writer = await connect(gate)
            writer.write(sent)
            async with asyncio.timeout(30):
                await reader.read()
            writer.close()


@pytest.mark.server
async def test_a_body_that_does_not_come_ends_the_request(url: str) -> None:
    async with gateway_on(url, limits=Limits(request=0.2, linger=0.1)) as gate:
        reader, writer = await connect(gate)
        head = f"POST /v1/acme/jobs/shout HTTP/1.1\r\nHost: x\r\n{AUTHORIZED}Content-Length: 10\r\n\r\n"
        writer.write(head.encode() + b"{")
        async with asyncio.timeout(30):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"class":"semantic"' in answer
        writer.close()


@pytest.mark.server
async def test_a_body_in_malformed_chunks_is_not_asked_for_again(url: str) -> None:
    """The parser tells of it only where the malformed chunk comes with the head."""
    async with gateway_on(url, limits=Limits(request=0.2, linger=0.1)) as gate:
        reader, writer = await connect(gate)
        head = f"POST /v1/acme/jobs/shout HTTP/1.1\r\nHost: x\r\n{AUTHORIZED}Transfer-Encoding: chunked\r\n"
        writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
        async with asyncio.timeout(30):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"zz\r\n")
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"class":"semantic"' in answer
        writer.close()


@pytest.mark.server
async def test_who_hangs_up_in_the_middle_of_a_body_is_one_line_and_no_error(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not the gateway that failed, and anybody with a token could fill its log with tracebacks."""
    for end in ("abort", "write_eof"):
        gate.told.clear()
        _, writer = await connect(gate)
        head = f"POST /v1/acme/jobs/shout HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n{AUTHORIZED}\r\n"
        writer.write(head.encode() + b"{")
        getattr(writer.transport, end)()
        await until(lambda: any(event == "http.request" for event, _ in gate.told))
        (told,) = [fields for event, fields in gate.told if event == "http.request"]
        assert (told["status"], told["route"]) == (499, "/v1/{tenant}/jobs/{workflow}")
        writer.close()
    assert [each for each in caplog.records if each.name.startswith("mesh.gateway")] == []


@pytest.mark.server
async def test_a_head_that_is_too_large_is_refused_and_not_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with gateway_on(url) as gate:
        for head in LARGE:
            reader, writer = await connect(gate)
            writer.write(f"{head}\r\nHost: x\r\n\r\n".encode())
            async with asyncio.timeout(30):
                assert b" 400 " in await reader.readline()
            writer.close()
    assert [each for each in caplog.records if each.name.startswith(("aiohttp", "mesh.gateway"))] == []


@pytest.mark.server
async def test_one_connection_too_many_is_told_to_come_back(url: str) -> None:
    async with gateway_on(url, limits=Limits(connections=2)) as gate:
        held = [await connect(gate) for _ in range(2)]
        await until(lambda: gate.site.connections == 2)
        reader, writer = await connect(gate)
        async with asyncio.timeout(30):
            assert (await reader.read()).startswith(b"HTTP/1.1 503")
        for _, each in (*held, (reader, writer)):
            each.close()


@pytest.mark.server
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does it")
async def test_who_asks_and_never_reads_loses_the_connection(url: str) -> None:
    """Without a token: what nobody reads fills the way back, and the connection would be held for ever."""
    async with gateway_on(url, limits=Limits(write=0.5, idle=60.0)) as gate:
        reader, writer = await connect(gate)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /v1/acme/jobs HTTP/1.1\r\nHost: x\r\n\r\n" * 50_000)
        await until(lambda: gate.site.connections == 1)
        await until(lambda: gate.site.connections == 0, timeout=40.0, poll=0.1)
        writer.close()


@pytest.mark.server
async def test_what_is_under_way_is_finished_when_the_gateway_stops(url: str, workers: object) -> None:
    async with gateway_on(url) as gate:
        job = await gate.submit("acme", "hold", "drain")
        polls = [asyncio.create_task(gate.ask("GET", f"{job['links']['result']}?wait=30")) for _ in range(3)]
        await until(lambda: gate.gateway.waiting == 3)
        gate.gateway.stopping.set()
        assert [status for status, _ in await asyncio.gather(*polls)] == [202] * 3
        assert (await gate.ask("GET", "/readyz"))[0] == 503
    door("drain").set()


@pytest.mark.parametrize("listen", ["127.0.0.1:8787", "[::1]:0", "localhost:80"])
def test_loopback_needs_nothing_more(listen: str) -> None:
    assert read_address(listen).loopback


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "[::]:8787", "10.0.0.5:80", "example.com:443"])
def test_beyond_loopback_it_is_tls_or_said_to_be_insecure(listen: str) -> None:
    with pytest.raises(BadSettings, match="--insecure"):
        read_address(listen)
    assert read_address(listen, insecure=True).scheme == "http"
    assert read_address(listen, certificate=Path("c"), key=Path("k")).scheme == "https"
    with pytest.raises(BadSettings, match="go together"):
        read_address(listen, certificate=Path("c"))


@pytest.mark.parametrize(
    "listen",
    ["", "8787", ":8787", "localhost:", "localhost:http", "localhost:99999", "a..b:80", "x" * 64 + ":80", "a\0b:80"],
)
def test_an_address_that_is_none_says_what_to_write(listen: str) -> None:
    with pytest.raises(BadSettings, match="HOST:PORT"):
        read_address(listen)


def test_a_certificate_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("x")
    with pytest.raises(BadSettings, match="--tls-cert"):
        Address(host="::1", port=0, certificate=tmp_path / "c", key=tmp_path / "c").tls()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> Address:
    """An address with a certificate."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
    ]  # fmt: skip
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=50)
    return Address(host="127.0.0.1", port=0, certificate=certificate, key=key)


@pytest.mark.server
async def test_with_a_certificate_it_speaks_tls(url: str, secured: Address) -> None:
    async with gateway_on(url, address=secured) as gate:
        trusting = ssl.create_default_context(cafile=secured.certificate)
        assert gate.site.url.startswith("https://")
        assert (await gate.ask("GET", "/readyz", ssl=trusting))[0] == 200


@pytest.mark.server
async def test_who_does_not_begin_the_handshake_counts_as_a_connection(url: str, secured: Address) -> None:
    async with gateway_on(url, address=secured, limits=Limits(connections=2)) as gate:
        held = [await connect(gate) for _ in range(2)]
        await until(lambda: gate.site.connections == 2)
        reader, writer = await connect(gate)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        for _, each in (*held, (reader, writer)):
            each.close()
        await until(lambda: gate.site.connections == 0)
        trusting = ssl.create_default_context(cafile=secured.certificate)
        assert (await gate.ask("GET", "/readyz", ssl=trusting))[0] == 200


@pytest.mark.server
async def test_a_gateway_that_stops_waits_for_no_handshake(url: str, secured: Address) -> None:
    async with gateway_on(url, address=secured) as gate:
        reader, writer = await connect(gate)
        await until(lambda: gate.site.connections == 1)
    assert gate.site.connections == 0
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize(("hard", "soft", "says"), [(4096, 2048, ""), (512, 512, "only 512 files may be open, 2048")])
def test_a_gateway_may_have_as_many_files_open_as_it_lets_connections_in(hard: int, soft: int, says: str) -> None:
    program = (
        "import resource as r; from mesh.gateway.open_files import make_room; "
        f"r.setrlimit(r.RLIMIT_NOFILE, (256, {hard})); make_room(1024); print(r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert (int(ended.stdout), says in ended.stderr) == (soft, True)
