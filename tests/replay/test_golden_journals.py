"""Journals of earlier releases fit the code of this one: whole, and cut off at any entry, as a crash would leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.jobs.replay.recordings import read_recording, write_recording
from mesh.jobs.replay.replaying import replay
from mesh.protocols.errors import BadPayload
from mesh.testing import replayed
from tests.replay.golden_flows import FLOWS

pytestmark = pytest.mark.virtual
HERE = Path(__file__).parent
RECORDINGS = sorted(HERE.glob("*.jsonl"))
FLOW_OF = {each.name: each for each in FLOWS}


def flow_of(path: Path) -> Any:
    """The workflow that a recording is of: its name follows the version of the release."""
    return FLOW_OF[path.stem.partition("-")[2]]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_a_golden_journal_fits_the_code_of_today(path: Path, mesh_replayed: Any) -> None:
    (report,) = await mesh_replayed(path.name, flow_of(path))
    assert report.ended


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_a_golden_journal_fits_wherever_it_is_cut_off(path: Path) -> None:
    (records,) = read_recording(path).journals.values()
    for count in range(1, len(records)):
        report = await replay(records[:count], flow_of(path))
        assert report.ok, f"after entry {count}: {report}"


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_a_golden_journal_does_not_fit_another_workflow(path: Path) -> None:
    """So that the tests above can fail at all."""
    (records,) = read_recording(path).journals.values()
    others = [each for each in FLOWS if each is not flow_of(path)]
    reports = [
        await replay(records, each) for each in others if each.parameters.contract == flow_of(path).parameters.contract
    ]
    assert not any(each.ok for each in reports)


def test_every_golden_workflow_has_a_recording() -> None:
    assert {flow_of(path).name for path in RECORDINGS} == set(FLOW_OF)


async def test_a_recording_survives_the_file_and_damage_is_told(tmp_path: Path) -> None:
    (records,) = read_recording(RECORDINGS[0]).journals.values()
    copy = tmp_path / "copy.jsonl"
    write_recording(copy, records, {"sha256:" + "0" * 64: b"other"})
    with pytest.raises(BadPayload, match="line 6: the object is not the one that its digest names"):
        read_recording(copy)
    write_recording(copy, records, {})
    assert list(read_recording(copy).journals.values()) == [records]
    copy.write_text("{oops")
    with pytest.raises(BadPayload, match="is no recording"):
        read_recording(copy)
    with pytest.raises(AssertionError, match="no workflow golden-child version 1 was given"):
        await replayed(RECORDINGS[0])
