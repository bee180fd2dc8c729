"""What the manifest of a folder says of the mesh and its server, for commands that launch nothing: they start quickly."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mesh.host.manifest import DEFAULT_FILE, MeshTable


def mesh_table(folder: Path) -> MeshTable:
    """The `[mesh]` table of the folder's manifest.

    Nothing when there is no manifest, or none that can be read: whatever else is wrong with it is the business of `mesh up`.
    """
    try:
        text = (folder / DEFAULT_FILE).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return MeshTable()
    import tomllib  # only now: most folders have no manifest

    try:
        return msgspec.convert(tomllib.loads(text).get("mesh", {}), MeshTable)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError):
        return MeshTable()
