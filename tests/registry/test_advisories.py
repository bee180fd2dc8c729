"""Advisories are read for what they say of a connection, never for its name."""

from __future__ import annotations

import json

import pytest

from mesh.registry.advisories import disconnected

REAL = {
    "type": "io.nats.server.advisory.v1.client_disconnect",
    "server": {"name": "s", "id": "NBNZ", "ver": "2.15.1"},
    "client": {"id": 7, "acc": "MESH", "name": "x", "kind": "Client"},
    "reason": "Client Closed",
}


def test_a_real_advisory_names_its_connection() -> None:
    told = disconnected(json.dumps(REAL).encode())
    assert told is not None
    assert told.connection == ("NBNZ", 7)
    assert told.speaks_of_death


@pytest.mark.parametrize("reason", ["Server Shutdown", "Slow Consumer (Pending Bytes)", "Authentication Expired", ""])
def test_a_server_that_closes_connections_says_nothing_of_the_process(reason: str) -> None:
    told = disconnected(json.dumps({**REAL, "reason": reason}).encode())
    assert told is not None
    assert not told.speaks_of_death


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b'{"server": {"id": 1}, "client": {"id": "x"}}', b"\xff"])
def test_what_is_no_advisory_is_ignored(data: bytes) -> None:
    assert disconnected(data) is None
