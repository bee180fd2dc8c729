"""Finding lines in a folder's logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.host.log_query import MOST_BYTES, LogQuery, find_lines


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    def line(at: int, **fields: object) -> str:
        return json.dumps({"time": f"2026-01-01T00:00:{at:02d}Z", "event": "agent.call", **fields})

    (tmp_path / "a.log").write_text(
        "\n".join(
            [line(3, job="j1", agent="x", correlation="c1"), "no json", "{broken", line(5, event="agent.log", job="j1")]
        )
    )
    (tmp_path / "a.log.1").write_text(line(1, job="j1", agent="y", correlation="c1") + "\n")
    (tmp_path / "b.log").write_text(line(2, job="j2", agent="x", correlation="c2", message="j1") + "\n")
    return tmp_path


def times(lines: list[dict[str, object]]) -> list[str]:
    return [str(line["time"])[-3:-1] for line in lines]


def test_lines_of_a_job_are_found_in_every_log_in_order_of_time(logs: Path) -> None:
    assert times(find_lines(logs, LogQuery(job="j1"))) == ["01", "03"]


def test_filters_go_together(logs: Path) -> None:
    assert times(find_lines(logs, LogQuery(agent="x"))) == ["02", "03"]
    assert times(find_lines(logs, LogQuery(agent="x", correlation="c2"))) == ["02"]


def test_every_event_is_found_when_asked_for(logs: Path) -> None:
    assert times(find_lines(logs, LogQuery(job="j1", event=""))) == ["01", "03", "05"]


def test_the_newest_lines_win_when_there_are_too_many(logs: Path) -> None:
    assert times(find_lines(logs, LogQuery(limit=2))) == ["02", "03"]


def test_an_answer_stays_small_however_long_the_lines_are(logs: Path) -> None:
    long = json.dumps({"time": "t", "event": "agent.call", "message": "x" * 100_000})
    (logs / "c.log").write_text("\n".join([long] * 20))
    assert 0 < len(json.dumps(find_lines(logs, LogQuery()))) <= MOST_BYTES + 1000


def test_no_logs_are_no_lines(tmp_path: Path) -> None:
    assert find_lines(tmp_path / "none", LogQuery()) == []


def test_lines_of_the_same_millisecond_stay_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    texts = [f'{{"time":"2026-11-21T10:00:00.000Z","event":"x","number":{number}}}' for number in range(5)]
    (tmp_path / "p.log").write_text("\n".join(texts) + "\n")
    assert [line["number"] for line in find_lines(tmp_path, LogQuery(event="x"))] == [0, 1, 2, 3, 4]
    assert [line["number"] for line in find_lines(tmp_path, LogQuery(event="x", limit=2))] == [3, 4]
