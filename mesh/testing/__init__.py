"""What tests of agents stand on: a mesh in memory, virtual time, a scripted model, and faults on demand.

    from mesh.testing import Faults, ScriptedModel, local_mesh

Each name is loaded when it is first used. `pytest_plugin` gives the same to pytest: `@pytest.mark.virtual`, and the
fixtures `clock`, `ids`, `mesh_server`, `mesh_local` and `mesh_replayed`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.testing.faults import Faults as Faults
    from mesh.testing.local import local_mesh as local_mesh
    from mesh.testing.replaying import replayed as replayed
    from mesh.testing.scripted_model import ScriptedModel as ScriptedModel
    from mesh.testing.scripted_model import ToolCall as ToolCall
    from mesh.testing.scripted_model import Turn as Turn
    from mesh.testing.virtual_time import VirtualClock as VirtualClock
    from mesh.testing.virtual_time import VirtualLoop as VirtualLoop
    from mesh.testing.virtual_time import run_virtual as run_virtual
    from mesh.testing.virtual_time import until as until
    from mesh.transport.memory.server import MemoryServer as MemoryServer

_HOMES: dict[str, str] = {
    "Faults": "mesh.testing.faults",
    "MemoryServer": "mesh.transport.memory.server",
    "ScriptedModel": "mesh.testing.scripted_model",
    "ToolCall": "mesh.testing.scripted_model",
    "Turn": "mesh.testing.scripted_model",
    "VirtualClock": "mesh.testing.virtual_time",
    "VirtualLoop": "mesh.testing.virtual_time",
    "local_mesh": "mesh.testing.local",
    "replayed": "mesh.testing.replaying",
    "run_virtual": "mesh.testing.virtual_time",
    "until": "mesh.testing.virtual_time",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mesh.testing' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
