"""Looking at jobs over HTTP gives what the command line gives, and nobody sees another tenant's."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.gateway import reading
from mesh.gateway.paging import page
from mesh.gateway.problems import BadHeader
from mesh.jobs.outside.listing import show_job
from mesh.testing.virtual_time import until
from tests.gateway.gate import Gate, door

pytestmark = [pytest.mark.server]


async def test_a_job_is_shown_as_the_command_line_shows_it(gate: Gate) -> None:
    job = await gate.submit("acme", "shout", {"items": [], "note": "hi"})
    await gate.result("acme", job["job"])
    status, shown = await gate.ask("GET", job["links"]["self"])
    peer = gate.mesh.peer
    expected = await show_job(gate.gateway.journals, gate.gateway.values, job["job"])
    assert status == 200
    assert shown.pop("links") == job["links"]
    assert shown == msgspec.json.decode(msgspec.json.encode(expected))
    assert (shown["state"], shown["result"], peer.process[:7]) == ("completed", {"text": "HI"}, "gateway")


async def test_a_job_that_failed_says_why(gate: Gate) -> None:
    job = await gate.submit("acme", "shout", {"items": [], "note": "no"})
    result = await gate.result("acme", job["job"])
    assert (result["state"], result["result"], result["error"]["code"]) == ("failed", None, "refused")
    assert result["error"]["message"] == "I will not"


async def test_a_long_poll_ends_with_the_job_and_says_so_when_it_goes_on(gate: Gate) -> None:
    job = await gate.submit("acme", "hold", "poll")
    path = job["links"]["result"]
    status, going_on = await gate.ask("GET", path)
    assert (status, going_on["id"]) == (202, job["job"])
    assert (await gate.ask("GET", f"{path}?wait=0.1"))[0] == 202
    waiting = asyncio.create_task(gate.ask("GET", f"{path}?wait=30"))
    await until(lambda: gate.gateway.waiting > 0)
    door("poll").set()
    status, done = await waiting
    assert (status, done["state"], done["result"]) == (200, "completed", "poll")


async def test_whoever_hangs_up_while_waiting_gives_the_place_back(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else clients that wait less long than they said, and ask again, take every place there is."""
    monkeypatch.setattr(reading, "LOOK", 0.05)
    job = await gate.submit("acme", "hold", "left")
    waiting = asyncio.create_task(gate.ask("GET", f"{job['links']['result']}?wait=60"))
    await until(lambda: gate.gateway.waiting > 0)
    waiting.cancel()
    await until(lambda: gate.gateway.waiting == 0)
    door("left").set()


async def test_another_tenants_job_is_not_there(gate: Gate) -> None:
    job = (await gate.submit("acme", "shout", {"items": []}))["job"]
    await gate.result("acme", job)
    for rest in ("", "/result", "/events"):
        status, problem = await gate.ask("GET", f"/v1/globex/jobs/{job}{rest}")
        assert (status, problem["code"]) == (404, "unknown-job")
    status, beginning = await gate.ask("GET", f"/v1/acme/jobs/{job[:8]}")
    assert (status, beginning["code"]) == (404, "unknown-job")


async def test_jobs_are_listed_page_by_page_though_new_ones_come(gate: Gate) -> None:
    made = [(await gate.submit("pages", "shout", {"items": []}))["job"] for _ in range(5)]
    seen, after = [], ""
    while True:
        status, found = await gate.ask("GET", f"/v1/pages/jobs?limit=2&workflow=shout&after={after}")
        assert status == 200
        assert len(found["jobs"]) <= 2
        seen += [each["id"] for each in found["jobs"]]
        await gate.submit("pages", "shout", {"items": []})
        after = found["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(made)
    assert (await gate.ask("GET", "/v1/pages/jobs?state=parked"))[1] == {"jobs": [], "next": None}


async def test_a_query_that_makes_no_sense_is_refused(gate: Gate) -> None:
    for query in ("limit=0", "limit=many", "limit=nan", "after=*", "after=aGVsbG8"):
        status, problem = await gate.ask("GET", f"/v1/acme/jobs?{query}")
        assert (status, problem["code"]) == (400, "bad-header")


def test_rows_of_one_moment_are_told_apart_by_their_id() -> None:
    rows = [{"submitted_at": "2026-01-01T00:00:00.000Z", "id": name} for name in "bca"]
    first, cursor = page(rows, limit=2)
    second, end = page(rows, limit=2, after=cursor)
    assert ["".join(each["id"] for each in part) for part in (first, second)] == ["cb", "a"]
    assert end == ""
    with pytest.raises(BadHeader):
        page(rows, limit=2, after="é")
