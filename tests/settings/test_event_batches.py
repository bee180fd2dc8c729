"""Whether unstored events may leave together is a setting, and an argument wins over it."""

from __future__ import annotations

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.ports import Clock, Ids, Message
from mesh.settings import BadSettings, batches_choice
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer


def test_the_setting_is_on_or_off() -> None:
    assert batches_choice({})
    assert batches_choice({"MESH_EVENT_BATCHES": "on"})
    assert not batches_choice({"MESH_EVENT_BATCHES": "off"})
    with pytest.raises(BadSettings, match="neither on nor off"):
        batches_choice({"MESH_EVENT_BATCHES": "perhaps"})


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("setting", "argument", "messages"), [("on", None, 2), ("off", None, 3), ("off", True, 2), ("on", False, 3)]
)
async def test_a_mesh_does_as_it_is_told(
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
