"""The server's disk is full, and an operator makes room.

The store lies on a small tmpfs that is mounted in a user namespace of the server's own: no privileges are needed where the
kernel lets users make such namespaces, and the scenario is skipped where it does not.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import MeshError
from mesh.testing.virtual_time import until
from tests.chaos.fleet import Fleet, Handed
from tests.chaos.plans import Act, acts
from tests.chaos.scenario import Scenario
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")
SIZE = "48m"
SMALL_DISK = f'mkdir -p "$0" && mount -t tmpfs -o size={SIZE} tmpfs "$0" && exec "$@"'


def _allowed() -> bool:
    try:
        return subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class SmallDisk(RealServer):
    """A server whose store has 48 MB. They are gone with the process: it is not for restarts by SIGKILL."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, before=(*OWN_MOUNTS, "sh", "-c", SMALL_DISK, str(folder / "store")))
        self._ballast = folder / "store" / "ballast"

    def fill(self) -> None:
        """No byte is left on its disk."""
        with self._inside(self._ballast).open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                while True:
                    try:
                        if not file.write(b"x" * size):
                            break
                    except OSError:
                        break

    def make_room(self) -> None:
        """What filled it is removed."""
        self._inside(self._ballast).unlink()

    def _inside(self, path: Path) -> Path:
        return Path(f"/proc/{self.pid}/root{path}")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    if not _allowed():
        pytest.skip("this kernel lets nobody mount a small disk without privileges")
    with SmallDisk(tmp_path / "server") as running:
        yield running


@pytest.fixture
def small_fleet(small: SmallDisk, tmp_path: Path, chaos: Scenario) -> Iterator[Fleet]:
    fleet = Fleet(small.url, tmp_path, chaos.chance)
    yield fleet
    fleet.end()


@pytest.fixture
async def small_mesh(small: SmallDisk) -> AsyncIterator[Mesh]:
    async with Mesh.connect(small.url, process="client") as mesh:
        yield mesh


async def test_14_the_disk_is_full(chaos: Scenario, small: SmallDisk, small_fleet: Fleet, small_mesh: Mesh) -> None:
    """the server's disk is full for a while · nothing acknowledged is lost, no job fails of it, and all go on afterwards"""
    fleet, mesh = small_fleet, small_mesh
    await fleet.start("one", "two")
    await fleet.hand_in_all(mesh, 8, acts(3))
    await fleet.over(mesh, within=20)
    held = [
        await fleet.hand_in(mesh, [Act(key="first"), Act(key="second", hold="second"), Act(key="third")])
        for _ in "1234"
    ]
    await until(lambda: all(fleet.ledger.asked(f"{job.id}/second") for job in held))
    await asyncio.to_thread(small.fill)
    fleet.let("second")
    refused = await _until_refused(fleet, mesh, chaos.pick(3, 30))
    small.make_room()
    room = time.time()
    await fleet.over(mesh, within=90)
    await chaos.conclude(fleet, small.url, f"disk of {SIZE} full, {refused} jobs refused", "jobs went on", since=[room])


async def _until_refused(fleet: Fleet, mesh: Mesh, times: int) -> int:
    """Hand jobs in until so many have been refused; a few may still fit into pages that are there already."""
    refused = 0
    while refused < times:
        try:
            job = await mesh.submit("chain", acts(1), timeout=2)
            fleet.handed.append(Handed(job.id, ["step-0"]))
        except MeshError:
            refused += 1
    return refused
