"""What was stored is read to its end, however slow that is: a list that was cut short would be a wrong answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh import Mesh
from mesh.cli.exits import Exit
from mesh.cli.past import SILENCE, until_now
from mesh.cli.running import for_a_while, within
from mesh.protocols.errors import TimedOut
from mesh.protocols.ports import Clock, Stored
from mesh.transport.nats.store import NatsStore
from tests.command_line import CommandLine

virtual = pytest.mark.virtual


async def _told(mesh: Mesh, **which: Any) -> list[Any]:
    return [event.payload async for event in until_now(mesh, **which)]


class Slow:
    """A feed that begins late, pauses before each message, and stops for good after `most` of them."""

    def __init__(self, mesh: Mesh, patch: pytest.MonkeyPatch, *, pause: float = 0.0, most: int = 1000) -> None:
        self._follow, self._clock = mesh.peer.store.follow, mesh.peer.clock
        self._pause, self._most = pause, most
        self.stopped = asyncio.Event()
        patch.setattr(mesh.peer.store, "follow", self.follow)

    async def follow(self, *where: Any, **since: Any) -> AsyncIterator[Stored]:
        number = 0
        async for stored in self._follow(*where, **since):
            if number == self._most:
                self.stopped.set()
                await asyncio.Event().wait()
            number += 1
            await self._clock.sleep(self._pause)
            yield stored


@virtual
async def test_pauses_are_waited_out_and_the_last_event_is_known_to_be_the_last(
    mesh_local: Mesh, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await mesh_local.emit("thing.happened", number)
    Slow(mesh_local, monkeypatch, pause=0.9 * SILENCE)
    began = clock.monotonic()
    assert await _told(mesh_local) == [0, 1, 2]
    assert clock.monotonic() - began == pytest.approx(3 * 0.9 * SILENCE)


@virtual
async def test_what_does_not_come_though_it_is_there_is_no_end(
    mesh_local: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await mesh_local.emit("thing.happened", number)
    Slow(mesh_local, monkeypatch, most=2)
    found = until_now(mesh_local)
    assert [(await anext(found)).payload for _ in range(2)] == [0, 1]
    with pytest.raises(TimedOut, match="not all events"):
        await anext(found)


@virtual
async def test_what_is_removed_while_the_rest_is_read_is_not_waited_for(
    mesh_local: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await mesh_local.emit("thing.happened", number)
    slow = Slow(mesh_local, monkeypatch, most=2)
    reading = asyncio.create_task(_told(mesh_local))
    await slow.stopped.wait()
    peer = mesh_local.peer
    await peer.store.purge(peer.events.stream, peer.subjects.event_filter())
    assert await reading == [0, 1]


@virtual
async def test_only_what_was_wanted_is_waited_for(mesh_local: Mesh, clock: Clock) -> None:
    """Neither another type that came later, nor what is too old, nor what nobody can read."""
    assert await _told(mesh_local) == []
    await mesh_local.emit("thing.happened", 1)
    await mesh_local.emit("thing.else", 2)
    assert await _told(mesh_local, event_type="thing.happened") == [1]
    await clock.sleep(60.0)
    assert await _told(mesh_local, since=clock.now() - 30.0) == []
    peer = mesh_local.peer
    await peer.store.append(peer.subjects.event("default", "local", "thing.broken"), b"oops")
    assert await _told(mesh_local, since=clock.now() - 30.0) == []


@virtual
async def test_time_that_is_over_is_a_failure_where_there_is_an_end() -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    async def refused() -> None:
        raise TimeoutError("the system's own")

    await for_a_while(for_ever(), 5.0)
    with pytest.raises(TimedOut, match="reading took longer than 5 s"):
        await within(for_ever(), 5.0, "reading")
    with pytest.raises(TimeoutError, match="own"):
        await for_a_while(refused(), 5.0)
    with pytest.raises(TimeoutError, match="own"):
        await within(refused(), None, "reading")


@pytest.mark.server
@pytest.mark.parametrize("command", [("policy", "history"), ("events", "--type", "policy.changed")], ids=" ".join)
async def test_commands_fail_where_what_was_stored_does_not_come(
    cli: CommandLine, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_where: Any, **_since: Any) -> AsyncIterator[Stored]:
        await asyncio.Event().wait()
        yield Stored("never", b"", 0, 0.0)

    await cli.json("flag", "set", "model", "large")
    code, out, err = await cli(*command)
    assert (code, "flag" in out and "model" in out) == (0, True), err
    monkeypatch.setattr(NatsStore, "follow", nothing)
    code, out, err = await cli(*command, "--timeout", "0.2")
    assert (code, out, "took longer than 0.2 s" in err) == (Exit.TIMED_OUT, "", True), err
    monkeypatch.setattr("mesh.cli.past.SILENCE", 0.1)
    code, out, err = await cli(*command)
    assert (code, out, "not all events were read" in err) == (Exit.TIMED_OUT, "", True), err
