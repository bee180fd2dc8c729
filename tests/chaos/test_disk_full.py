"""The server's disk is full, and an operator makes room.

The store lies on a small tmpfs that is mounted in a user namespace of the server's own: no privileges are needed where the
kernel lets users make such namespaces, and the scenario is skipped where it does not. nats-server does not write to a
stream again whose disk was full once, until it is restarted: the operator makes room and restarts it.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import MeshError, Unavailable
from mesh.protocols.ports import StreamSpec
from mesh.testing.virtual_time import until
from tests.chaos.fleet import Fleet, Handed
from tests.chaos.plans import Act, acts
from tests.chaos.scenario import Scenario
from tests.faults.expectations import joined
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")
SIZE = "48m"
HOLD = f'mkdir -p "$0" && mount -t tmpfs -o size={SIZE} tmpfs "$0" && echo ready && exec sleep 3600'


def _allowed() -> bool:
    try:
        return subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class SmallDisk:
    """A folder on a disk of its own, for as long as this is open; a process sees the disk if it is started by `inside`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holder = subprocess.Popen([*OWN_MOUNTS, "sh", "-c", HOLD, str(folder)], stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"

    @property
    def inside(self) -> tuple[str, ...]:
        """What a command is to be preceded by."""
        return ("nsenter", "--target", str(self._holder.pid), "--user", "--mount", "--preserve-credentials")

    @property
    def _ballast(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/root{self._folder}/ballast")

    def fill(self) -> None:
        """No byte is left on it."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with suppress(OSError):
                    while file.write(b"x" * size):
                        pass

    def make_room(self) -> None:
        """What filled it is removed."""
        self._ballast.unlink()

    def close(self) -> None:
        """The disk is gone."""
        self._holder.kill()
        self._holder.wait(10)
        assert self._holder.stdout is not None
        self._holder.stdout.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if not _allowed():
        pytest.skip("this kernel lets nobody mount a small disk without privileges")
    disk = SmallDisk(tmp_path / "server" / "store")
    yield disk
    disk.close()


@pytest.fixture
def server(disk: SmallDisk, tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server", before=disk.inside) as running:
        yield running


async def test_14_the_disk_is_full(
    chaos: Scenario, disk: SmallDisk, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """the server's disk is full; room is made, the server restarted · nothing acknowledged is lost, no job fails of it"""
    await fleet.start("one", "two")
    await fleet.hand_in_all(mesh, 8, acts(3))
    await fleet.over(mesh, within=150)
    plan = [Act(key="first"), Act(key="second", hold="second"), Act(key="third")]
    held = [await fleet.hand_in(mesh, plan) for _ in range(4)]
    await until(lambda: all(fleet.ledger.asked(f"{job.id}/second") for job in held))
    await asyncio.to_thread(disk.fill)
    fleet.let("second")
    refused = await _until_refused(fleet, mesh, chaos.pick(1, 30))
    disk.make_room()
    await asyncio.to_thread(server.restart)
    room = time.time()
    await fleet.over(mesh, within=150)
    await chaos.conclude(
        fleet, server.url, f"disk of {SIZE} full, {refused} jobs refused", "jobs went on", since=[room]
    )


async def test_14_the_store_is_full(chaos: Scenario, tmp_path: Path) -> None:
    """the store's limit is reached for a while; the limit is raised · nothing acknowledged is lost, no job fails of it"""
    with RealServer(tmp_path / "server", room="24MB") as server:
        fleet = Fleet(server.url, tmp_path, chaos.chance)
        try:
            async with joined(server.url, "client") as mesh:
                await _fill_the_store(chaos, server, fleet, mesh)
        finally:
            fleet.end()


async def _fill_the_store(chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh) -> None:
    await fleet.start("one", "two")
    plan = [Act(key="first"), Act(key="second", hold="second"), Act(key="third")]
    held = [await fleet.hand_in(mesh, plan) for _ in range(4)]
    await until(lambda: all(fleet.ledger.asked(f"{job.id}/second") for job in held))
    await mesh.peer.store.ensure_stream(StreamSpec(name="ballast", subjects=("ballast",)))
    for size in (100_000, 5_000, 200, 1):  # few of each: a slow disk takes its time over every one
        with suppress(Unavailable):
            while True:
                await mesh.peer.store.append("ballast", b"x" * size, timeout=60)
    fleet.let("second")
    refused = await _until_refused(fleet, mesh, chaos.pick(1, 30))
    server.room = "1GB"
    await asyncio.to_thread(server.restart)
    room = time.time()
    await fleet.over(mesh, within=150)
    await chaos.conclude(fleet, server.url, f"store full, {refused} jobs refused", "jobs went on", since=[room])


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
