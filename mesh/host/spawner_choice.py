"""How a host starts its workers: from a nursery where that is safe, else a new Python for each."""

from __future__ import annotations

import sys

from mesh.host.manifest import Manifest
from mesh.host.nursery_client import NurserySpawner
from mesh.host.spawning import PlainSpawner, Spawner

_OURS = "mesh."


def spawner_for(manifest: Manifest, *, reload: bool = False) -> Spawner:
    """The spawner for a manifest. A nursery needs Linux, pays from the second process on, and has loaded what `--reload` may change."""
    processes = sum(each.counts[1] for each in manifest.agents)
    processes += sum(each.processes for each in manifest.workflows)
    if sys.platform != "linux" or reload or processes < 2:
        return PlainSpawner()
    return NurserySpawner(own_modules(manifest))


def own_modules(manifest: Manifest) -> tuple[str, ...]:
    """The modules of the mesh's own teams that the manifest names: loading them does nothing but define."""
    uses = [each.use for each in manifest.agents] + [each.use for each in manifest.workflows]
    return tuple(sorted({use.partition(":")[0] for use in uses if use.startswith(_OURS) and ":" in use}))
