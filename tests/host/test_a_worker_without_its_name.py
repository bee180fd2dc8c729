"""A worker whose name another start has by now ends, to be started anew: its supervisor then waits for the name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from mesh.host.channel import Orders
from mesh.host.worker import Worker


@pytest.mark.parametrize("superseded", [False, True])
async def test_a_worker_that_lost_its_name_gives_up(superseded: bool) -> None:
    orders = Orders(
        token="one", host="h", namespace="default", target=Mock(), kind="agent", use="a:b", folder=".", beat_every=0.001
    )
    tether = Mock()
    worker = Worker(orders, tether, None)
    tether.beat.side_effect = lambda _: worker._stop.set()
    mesh: Any = SimpleNamespace(
        actors=(), connected=True, peer=SimpleNamespace(presence=SimpleNamespace(superseded=superseded))
    )
    await worker._beat(mesh)
    assert ("has its name" in worker._cannot_go_on) is superseded
