"""What makes the usual case fast can be switched off by a setting; an argument wins over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.ports import Clock, Ids, Message
from mesh.settings.choices import batches_choice, quiet_awards_choice
from mesh.settings.errors import BadSettings
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer


@pytest.mark.parametrize(
    ("name", "choice"), [("MESH_EVENT_BATCHES", batches_choice), ("MESH_QUIET_AWARDS", quiet_awards_choice)]
)
def test_the_settings_are_on_or_off(name: str, choice: Callable[[Mapping[str, str]], bool]) -> None:
    assert choice({})
    assert choice({name: "on"})
    assert not choice({name: "off"})
    with pytest.raises(BadSettings, match=f"{name}.*neither on nor off"):
        choice({name: "perhaps"})


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("setting", "argument", "messages"), [("on", None, 2), ("off", None, 3), ("off", True, 2), ("on", False, 3)]
)
async def test_events_leave_together_or_not(
    clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch, setting: str, argument: bool | None, messages: int
) -> None:
    monkeypatch.setenv("MESH_EVENT_BATCHES", setting)
    server = MemoryServer(clock, ids)
    wire: list[Message] = []
    await server.connect("wire").bus.subscribe("mesh.default.now.>", wire.append)
    over = Mesh.over(server.connect("a"), process="a", clock=clock, ids=ids, event_batches=argument)
    async with over as mesh:
        for number in range(3):
            await mesh.emit("n", number, stored=False)
    await until(lambda: len(wire) == messages)
