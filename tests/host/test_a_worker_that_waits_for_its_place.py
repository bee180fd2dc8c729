"""A worker that is started while the server is away waits for it: its start is not what failed, and no restart mends it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from unittest.mock import Mock

import pytest

from mesh.host.channel import Orders
from mesh.host.worker import Worker
from mesh.protocols.errors import BadPayload, MeshError, TimedOut, Unavailable
from mesh.registry.lease import NameTaken


class Places:
    """Places in the mesh: there are none for as long as there are errors left; the last one stays if it is to stay."""

    def __init__(self, *errors: MeshError, stays: bool = False) -> None:
        self._errors = list(errors)
        self._stays = stays
        self.asked = 0

    @asynccontextmanager
    async def taken(self, *_: Any, **__: Any) -> AsyncIterator[Places]:
        self.asked += 1
        if self._errors:
            raise self._errors[0] if self._stays else self._errors.pop(0)
        yield self


async def entered(places: Places, monkeypatch: pytest.MonkeyPatch, patience: float) -> object:
    monkeypatch.setattr("mesh.host.worker.taken_place", places.taken)
    monkeypatch.setattr("mesh.host.worker._RETRY", 0.001)
    orders = Orders(
        token="one", host="h", namespace="n", target=Mock(), kind="agent", use="a:b", folder=".", patience=patience
    )
    async with AsyncExitStack() as stack:
        return await Worker(orders, Mock(), None)._enter(stack, Mock())


async def test_it_waits_for_a_server_that_is_away_and_for_a_store_that_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = Unavailable("no NATS server answers")
    places = Places(away, away, away, TimedOut("no answer of the store"), NameTaken("held"))
    with caplog.at_level(logging.WARNING, "mesh.host.worker"):
        assert await entered(places, monkeypatch, 40.0) is places
    assert [record.getMessage() for record in caplog.records] == [
        "one waits for its place: no NATS server answers",
        "one waits for its place: no answer of the store",
        "one waits for its place: held",
    ]


@pytest.mark.parametrize("error", [Unavailable("no NATS server answers"), NameTaken("held")])
async def test_it_does_not_wait_for_ever(error: MeshError, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(error, stays=True)
    with pytest.raises(type(error)):
        await entered(places, monkeypatch, 0.02)
    assert places.asked > 1


async def test_it_does_not_wait_for_what_waiting_does_not_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(BadPayload("no"))
    with pytest.raises(BadPayload):
        await entered(places, monkeypatch, 40.0)
    assert places.asked == 1
