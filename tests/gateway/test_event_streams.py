"""A job's journal as server-sent events: every event once, whenever and however often the reader is cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from mesh.gateway.limits import Limits
from mesh.gateway.positions import Position, read_position
from mesh.gateway.problems import BadHeader
from mesh.gateway.sse import blocks
from mesh.gateway.tokens import bind
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.errors import JournalCorrupt
from mesh.protocols.job_events import Completed, Entry, JobHead, Progressed, Value
from mesh.protocols.job_state import JobState, Recorded
from mesh.testing.virtual_time import until
from tests.gateway.gate import Gate, door, gateway_on

pytestmark = [pytest.mark.server]


@dataclass
class Heard:
    id: str
    event: str
    sequence: int


def read(text: str) -> list[Heard]:
    """The events in a stream, comments left out."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append(Heard(fields["id"], fields["event"], json.loads(fields["data"])["sequence"]))
    return found


async def stream(gate: Gate, path: str, after: str = "") -> list[Heard]:
    async with gate.client.get(gate.site.url + path, headers={"Last-Event-ID": after} if after else {}) as answer:
        assert answer.status in (200, 204)
        return read(await answer.text())


async def test_the_stream_has_every_event_and_ends_with_the_last(gate: Gate) -> None:
    job = await gate.submit("acme", "hold", "stream")
    reading = asyncio.create_task(stream(gate, job["links"]["events"]))
    await until(lambda: gate.gateway.waiting > 0)
    door("stream").set()
    heard = await reading
    assert [each.event for each in heard][:2] == ["submitted", "owner.claimed"]
    assert heard[-1].event == "completed"
    assert [each.sequence for each in heard] == sorted(each.sequence for each in heard)


async def test_from_any_id_the_stream_goes_on_without_a_gap_or_a_repetition(gate: Gate) -> None:
    job = await gate.submit("acme", "shout", {"items": []})
    await gate.result("acme", job["job"])
    whole = await stream(gate, job["links"]["events"])
    for number, each in enumerate(whole, start=1):
        assert await stream(gate, job["links"]["events"], each.id) == whole[number:]
    async with gate.client.get(gate.site.url + job["links"]["events"], params={"after": whole[-1].id}) as answer:
        assert answer.status == 204


def test_events_of_one_entry_have_ids_of_their_own() -> None:
    head = JobHead(workflow="w", version=1, tenant="t", state="completed")
    events = (Progressed(text="one"), Progressed(text="two"), Completed(output=Value()))
    record = Recorded(Entry(id="e", job="j", tenant="t", head=head, events=events), 7, 0.0)
    ids = [each.partition(b"\n")[0] for each in blocks(record, Position())]
    assert ids == [b"id: 7/1", b"id: 7/2", b"id: 7"]
    for number, each in enumerate(ids):
        left = list(blocks(record, read_position(each.decode().removeprefix("id: "))))
        assert [one.partition(b"\n")[0] for one in left] == ids[number + 1 :]


@pytest.mark.parametrize("text", ["x", "-1", "1/", "1/x", "٣", "1" * 40])
def test_an_id_that_is_none_of_ours_is_refused(text: str) -> None:
    with pytest.raises(BadHeader, match="Last-Event-ID"):
        read_position(text)


async def test_silence_is_filled_with_comments_and_a_gateway_that_stops_ends_the_stream(
    url: str, workers: object
) -> None:
    async with gateway_on(url, limits=Limits(heartbeat=0.05, grace=5.0)) as gate:
        job = await gate.submit("acme", "hold", "silence")
        async with gate.client.get(gate.site.url + job["links"]["events"]) as answer:
            text = ""
            while text.count(": still here") < 2:
                news = await answer.content.readany()
                assert news, "the stream ended"
                text += news.decode()
            gate.gateway.stopping.set()
            text += (await answer.content.read()).decode()
        assert text.endswith(": the gateway is stopping, come back\n\n")
        assert read(text)[0].event == "submitted"
        door("silence").set()


async def test_a_token_that_is_taken_away_ends_its_streams(url: str, workers: object, tmp_path: Path) -> None:
    bound = tmp_path / "tokens.toml"
    bind(bound, "of-acme", ("acme",))
    mine = {"Authorization": "Bearer of-acme"}
    async with gateway_on(url, bound=bound, limits=Limits(heartbeat=0.05, grace=5.0)) as gate:
        job = await gate.submit("acme", "hold", "revoked")
        async with (
            gate.client.get(gate.site.url + job["links"]["events"], headers=mine) as answer,
            gate.client.get(gate.site.url + job["links"]["events"]) as others,
        ):
            await answer.content.readany()
            bound.write_text("[tokens]\n")
            async with asyncio.timeout(30):
                text = (await answer.content.read()).decode()
            assert text.endswith(": the token is no longer good\n\n")
            door("revoked").set()
            assert read((await others.content.read()).decode())[-1].event == "completed"


async def test_what_goes_wrong_in_the_middle_ends_the_stream_and_nothing_else_stands_in_it(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A second answer behind the head of the first would be read as part of an event."""
    job = await gate.submit("acme", "shout", {"items": []})
    await gate.result("acme", job["job"])
    follow = JobHandle.follow

    async def broken(self: JobHandle, state: JobState) -> AsyncGenerator[Recorded, None]:
        async for each in follow(self, state):
            yield each
            raise JournalCorrupt("it cannot be read any further")

    monkeypatch.setattr(JobHandle, "follow", broken)
    async with gate.client.get(gate.site.url + job["links"]["events"]) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await answer.text()
    assert [each.levelname for each in caplog.records if job["job"] in each.getMessage()] == ["ERROR"]


async def test_whoever_hangs_up_while_nothing_happens_is_no_news(
    url: str, workers: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The journal is being waited for at that moment: it is let go of first, and then closed."""
    async with gateway_on(url, limits=Limits(heartbeat=0.05, grace=5.0)) as gate:
        job = await gate.submit("acme", "hold", "hung-up")
        answer = await gate.client.get(gate.site.url + job["links"]["events"])
        heard = ""
        while ": still here" not in heard:
            heard += (await answer.content.readany()).decode()
        answer.close()
        await until(lambda: gate.gateway.waiting == 0)
        door("hung-up").set()
    assert [each for each in caplog.records if each.name == "mesh.gateway"] == []


async def test_no_more_may_wait_than_there_are_places(url: str, workers: object) -> None:
    async with gateway_on(url, limits=Limits(streams=1, grace=5.0)) as gate:
        job = await gate.submit("acme", "hold", "places")
        async with gate.client.get(gate.site.url + job["links"]["events"]) as first:
            await first.content.readany()
            async with gate.client.get(gate.site.url + job["links"]["events"]) as second:
                assert (second.status, "Retry-After" in second.headers) == (429, True)
        door("places").set()
