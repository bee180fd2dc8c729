"""`mesh doctor` warns before the disk or a stream is full: the thresholds, and that they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.cli.doctor_disk import GIGABYTE, disk_finding, fsync_finding
from mesh.cli.doctor_storage import limit_of, storage_finding, stream_checks, streams_finding, writes_finding
from mesh.clock import SystemClock
from mesh.protocols.ports import Clock, StreamSpec, StreamState
from mesh.settings.folder import MeshFolder
from mesh.transport.memory.server import MemoryServer


@pytest.mark.parametrize(
    ("free", "total", "state"),
    [(50, 100, "ok"), (9, 100, "warn"), (0.5, 2, "warn"), (0.1, 1, "fail")],
)
def test_a_disk_that_fills_up_is_warned_of_and_a_full_one_is_to_be_mended(
    free: float, total: float, state: str
) -> None:
    found = disk_finding(int(free * GIGABYTE), int(total * GIGABYTE), Path("store"))
    assert found.state == state
    assert ("mesh archive run" in found.do) == (state != "ok")


@pytest.mark.parametrize(
    ("used", "limit", "state"), [(79, 100, "ok"), (80, 100, "warn"), (95, 100, "fail"), (95, None, "ok")]
)
def test_storage_is_judged_by_what_the_account_may_store(used: int, limit: int | None, state: str) -> None:
    assert storage_finding(used, limit).state == state


def test_the_limit_is_the_accounts_or_the_embedded_servers_own(tmp_path: Path) -> None:
    folder = MeshFolder.of(tmp_path).create()
    assert limit_of({"limits": {"max_storage": 7}}, folder) == 7
    assert limit_of({"limits": {"max_storage": -1}}, folder) is None
    (folder.server / "nats-server.conf").write_text("jetstream {\n  max_file_store: 20GB\n}\n")
    assert limit_of({"limits": {"max_storage": -1}}, folder) == 20 * GIGABYTE
    assert limit_of({}, None) is None


def test_streams_near_their_limit_are_named() -> None:
    near = StreamState(name="mesh_default_EVT", size=85, limit=100)
    found = streams_finding([near, StreamState(name="mesh_default_IN", size=10**12)])
    assert (found.state, found.found) == ("warn", "mesh_default_EVT 85%")
    assert streams_finding([StreamState(name="mesh_default_EVT", size=10, limit=100)]).state == "ok"


async def test_a_restore_that_was_broken_off_is_to_be_mended() -> None:
    connection = MemoryServer().connect("doctor")
    assert [each.check for each in await stream_checks(connection, "default")] == ["streams"]
    await connection.store.ensure_stream(StreamSpec(name="mesh_default_RESTORING", subjects=("x.>",)))
    assert [each.state for each in await stream_checks(connection, "default")] == ["ok", "fail"]
    await connection.close()


def test_a_slow_disk_is_warned_of(tmp_path: Path) -> None:
    def ticking(step: float) -> Clock:
        class Ticking(SystemClock):
            at = 0.0

            def monotonic(self) -> float:
                self.at += step
                return self.at

        return Ticking()

    judge: Callable[[float], str] = lambda step: fsync_finding(tmp_path, ticking(step)).state  # noqa: E731
    assert (judge(0.001), judge(0.02)) == ("ok", "warn")
    assert fsync_finding(tmp_path / "nowhere", ticking(0.001)).state == "warn"
    assert list(tmp_path.iterdir()) == []


STARTED = "[7] 2026/11/21 04:37:37.413925 [INF] Starting nats-server\n"
GIVEN_UP = (
    "[7] 2026/11/21 04:37:37.510443 [ERR] JetStream stream 'MESH > mesh_default_JOB' critical write error: "
    "write /srv/store/jetstream/MESH/streams/mesh_default_JOB/msgs/1.blk: no space left on device\n"
)


def test_a_stream_that_the_server_gave_up_writing_to_needs_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "nats-server.log"
    assert writes_finding(log) is None
    log.write_text(STARTED)
    assert writes_finding(log) is None
    log.write_text(STARTED + GIVEN_UP + GIVEN_UP)
    found = writes_finding(log)
    assert found is not None
    assert (found.state, found.found) == (
        "fail", "the server writes no more to mesh_default_JOB (no space left on device)"
    )  # fmt: skip
    assert "mesh server start" in found.do
    log.write_text(STARTED + GIVEN_UP + STARTED)
    assert writes_finding(log) is None, "it was restarted since"
