"""What the manifest of a folder says of the mesh and its server, for commands that launch nothing: they start quickly."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mesh.host.manifest import DEFAULT_FILE, MeshTable
from mesh.settings.errors import BadSettings

_OR_SAY = "or say --server (or --context) and --namespace"


def mesh_table(folder: Path) -> MeshTable:
    """The `[mesh]` table of the folder's manifest; nothing when there is no manifest. What is wrong in other tables of it is the
    business of `mesh up`.

    Raises:
        BadSettings: nobody can know which mesh it means. To guess could mean to kill an agent of another one.
    """
    path = folder / DEFAULT_FILE
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return MeshTable()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path} cannot be read ({error}): mend it, {_OR_SAY}") from error
    import tomllib  # only now: most folders have no manifest

    try:
        return msgspec.convert(tomllib.loads(text).get("mesh", {}), MeshTable)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadSettings(f"{path} does not say which mesh it means ({error}): mend it, {_OR_SAY}") from error
