"""`replayed`: the journals of jobs that once ran, as tests of the workflows of today.

    async def test_old_jobs_still_fit() -> None:
        await replayed("tests/journals/2026-01.jsonl", publish_review)

`mesh job replay ID --save FILE` writes such a file from a job that runs, waits or has ended.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mesh.jobs.authoring.workflow import Workflow
from mesh.jobs.replay.recordings import read_recording
from mesh.jobs.replay.replaying import Report, replay
from mesh.protocols.job_state import Recorded, fold


async def replayed(path: str | Path, *workflows: Workflow[Any]) -> list[Report]:
    """Replay every journal in a recording against the workflow of its name and version.

    Raises:
        AssertionError: the code would do something else than a journal says, both sides of it; or has no such workflow.
        BadPayload: the file is no recording.
    """
    recording = read_recording(Path(path))
    known = {(each.name, each.version): each for each in workflows}
    reports = []
    for job, records in recording.journals.items():
        workflow = known.get(_of(records))
        if workflow is None:
            raise AssertionError(f"{path}, job {job}: no workflow {' version '.join(map(str, _of(records)))} was given")
        report = await replay(records, workflow, recording.fetch)
        if not report.ok:
            raise AssertionError(f"{path}: {report}")
        reports.append(report)
    return reports


def _of(records: list[Recorded]) -> tuple[str, int]:
    head = fold(records).head
    return (head.workflow, head.version) if head else ("", 0)
