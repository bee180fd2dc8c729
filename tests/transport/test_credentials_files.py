"""A file that is to log us in, and what may stand in it instead."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import msgspec
import nkeys
import pytest

from mesh.protocols.errors import Unavailable
from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect
from tests.contract.places import eventually
from tests.transport.conftest import Dial
from tests.transport.fake_server import FakeServer, fake_server

SEED = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
PROOF = b"-----BEGIN USER NKEY SEED-----\n%b\n------END USER NKEY SEED------\n" % SEED


def _file(token: bytes) -> bytes:
    return b"-----BEGIN NATS USER JWT-----\n%b\n------END NATS USER JWT------\n\n*****\n\n" % token + PROOF


BROKEN = {
    "empty": b"",
    "only a seed": SEED,
    "no token": PROOF,
    "a token without end": b"-----BEGIN NATS USER JWT-----\n------END NATS USER JWT------\n" + PROOF,
    "no seed": _file(b"token").replace(PROOF, b""),
    "a seed cut short": _file(b"token").replace(SEED, SEED[:20]),
    "no text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
async def test_a_file_that_is_no_credentials_file_is_named(tmp_path: Path, dial: Dial, content: bytes) -> None:
    path = tmp_path / "user.creds"
    path.write_bytes(content)
    async with fake_server() as server:
        with pytest.raises(Unavailable, match=r"from NATS_CREDS\): .*user\.creds"):
            await dial(server.url, creds=str(path), source="NATS_CREDS")
        assert server.connections == 0


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", SEED[:20], b"\xff\xfe"], ids=["empty", "no seed", "cut short", "no text"]
)
async def test_a_file_that_is_no_seed_is_named(tmp_path: Path, dial: Dial, content: bytes) -> None:
    path = tmp_path / "user.nk"
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"user\.nk has no valid nkey seed"):
        await dial("nats://127.0.0.1:1", nkey_seed=str(path))


@pytest.mark.parametrize("field", ["creds", "nkey_seed"])
async def test_a_file_that_is_not_there_is_named(tmp_path: Path, dial: Dial, field: str) -> None:
    with pytest.raises(Unavailable, match=r"No such file.*missing"):
        await dial("nats://127.0.0.1:1", **{field: str(tmp_path / "missing")})


def _logins(server: FakeServer) -> list[Any]:
    lines = [line for line in server.heard if line.startswith(b"CONNECT ")]
    return [msgspec.json.decode(line.removeprefix(b"CONNECT ")) for line in lines]


async def test_a_token_is_shown_as_it_is_now_and_a_file_that_is_being_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "user.creds"
    path.write_bytes(_file(b"first"))
    async with fake_server() as server:
        server.news = {"nonce": "once", "auth_required": True}
        connection = await connect(ServerTarget(url=server.url, creds=str(path)))
        path.write_bytes(BROKEN["no token"])
        server.hang_up()
        await eventually(lambda: server.connections >= 3)
        path.write_bytes(_file(b"second"))
        await eventually(lambda: connection.bus.connected)
        assert [login["jwt"] for login in _logins(server)] == ["first", "second"]
        for login in _logins(server):
            assert nkeys.from_seed(bytearray(SEED)).verify(b"once", base64.b64decode(login["sig"]))
        await connection.close()
