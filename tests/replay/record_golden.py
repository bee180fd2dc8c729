"""Recording golden journals: `python -m tests.replay.record_golden VERSION` runs every workflow of `golden_flows` on a real
server and writes `<VERSION>-<workflow>.jsonl` here. Those of earlier versions stay: they are what must go on to fit.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from mesh import Mesh
from mesh.jobs.journals.journals import Journals
from mesh.jobs.outside.handle import JobHandle
from mesh.jobs.replay.recordings import write_recording
from mesh.protocols.errors import MeshError
from tests.replay import golden_flows
from tests.replay.golden_flows import Wish
from tests.servers import RealServer

HERE = Path(__file__).parent
INPUTS = {"golden-steps": Wish("tea", 2), "golden-waits": Wish("tea"), "golden-child": "tea"}


async def main(version: str) -> None:
    """Record all of them."""
    with tempfile.TemporaryDirectory() as folder, RealServer(Path(folder)) as server:
        async with Mesh.connect(server.url, process="golden") as mesh:
            for each in golden_flows.AGENTS:
                await mesh.host(each)
            for flow in golden_flows.FLOWS:
                await mesh.host_workflow(flow)
            for flow in golden_flows.FLOWS:
                job = await _done(await mesh.submit(flow.name, INPUTS.get(flow.name)))
                records = await Journals(mesh.peer.store, mesh.peer.subjects).read("default", job.id)
                recording = HERE / f"{version}-{flow.name}.jsonl"
                write_recording(recording, records, {})
                _anywhere(recording)
                print(f"{flow.name}: {records[-1].entry.head.state}, {len(records)} entries")  # noqa: T201


def _anywhere(recording: Path) -> None:
    """Where the code stood on the machine that recorded it is nobody's business."""
    recording.write_text(recording.read_text(encoding="utf-8").replace(f"{HERE}/", ""), encoding="utf-8")


async def _done(job: JobHandle) -> JobHandle:
    """Answer whatever it asks, until it is over."""
    ending = asyncio.ensure_future(job.result(60))
    while not ending.done():
        await asyncio.wait({ending}, timeout=0.1)
        for wait in (await job.state()).open_waits:
            key, digest = wait.opened.key, wait.opened.digest
            if wait.opened.name == "buy":
                await job.approve(key, digest=digest, by="ann", reason="fine")
            elif wait.opened.name == "sell":
                await job.deny(key, digest=digest, by="bob", reason="not that")
            elif wait.opened.name == "go-on":
                await job.signal("go-on", 7, by="ann")
            elif wait.opened.kind == "resolution":
                await job.resolve(key, "succeeded", 7, by="ann")
    try:
        await ending
    except MeshError as error:
        print(f"  {error.code}")  # noqa: T201
    return job


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
