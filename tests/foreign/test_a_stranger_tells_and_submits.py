"""A stranger tells and hears what happened, and hands in jobs: sections 7 and 8 of the document."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.actors.events.events import Event
from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.foreign import kept
from tests.foreign.our_agents import Clerk, letter, order
from tests.foreign.speech import Speaker

pytestmark = pytest.mark.server


# -- events


async def publish(stranger: Speaker, event: dict[str, Any]) -> dict[str, Any]:
    subject = f"{stranger.ns}.evt.default.{event['sender']['agent']}.{event['name']}"
    return await kept.append(stranger.wire, subject, json.dumps(event).encode(), {"Nats-Msg-Id": event["id"]})


async def test_an_event_of_a_stranger_is_heard_and_stored_once(stranger: Speaker, ours: Mesh) -> None:
    heard: list[Event] = []
    await ours.subscribe(heard.append, "weather.*")
    await ours.emit("something.else")  # so that the stream is there
    event = stranger.envelope("event", "weather.changed", {"to": "rain"})
    first, copy = await publish(stranger, event), await publish(stranger, event)
    assert copy["duplicate"]
    assert copy["seq"] == first["seq"]
    await until(lambda: bool(heard))
    assert (heard[0].agent, heard[0].type, heard[0].payload) == ("stranger", "weather.changed", {"to": "rain"})
    stored = [each async for each in _first(ours.events("weather.changed", after=0))]
    assert stored[0].envelope.id == event["id"]


async def _first(events: Any) -> Any:
    async for event in events:
        yield event
        break
    await events.aclose()


async def test_an_event_in_somebody_elses_name_is_not_heard(stranger: Speaker, ours: Mesh) -> None:
    await ours.emit("something.else")
    event = stranger.envelope("event", "weather.changed")
    subject = f"{stranger.ns}.evt.default.clerk.weather.changed"
    heard: list[Event] = []
    await ours.subscribe(heard.append)
    await kept.append(stranger.wire, subject, json.dumps(event).encode())
    await until(lambda: ours.peer.counts["bad-event"] == 1)
    assert heard == []


async def test_a_stranger_hears_events_and_reads_those_it_missed(stranger: Speaker, ours: Mesh) -> None:
    sequence = await ours.emit("tea.ready", {"cups": 2})
    stored = await kept.follow(stranger.wire, f"{stranger.names}EVT", f"{stranger.ns}.evt.default.*.tea.>")
    heard: asyncio.Queue[Any] = asyncio.Queue()
    stranger.wire.subscribe(f"{stranger.ns}.evt.default.*.tea.>", heard.put_nowait)
    await stranger.wire.flush()
    missed = await asyncio.wait_for(stored.get(), 30)
    assert (json.loads(missed.data)["name"], missed.reply.split(".")[5]) == ("tea.ready", str(sequence))
    await ours.emit("tea.cold")
    assert json.loads((await asyncio.wait_for(heard.get(), 30)).data)["kind"] == "event"


async def test_unstored_events_of_a_stranger_are_heard_alone_and_many_in_a_message(
    stranger: Speaker, ours: Mesh
) -> None:
    heard: list[Event] = []
    await ours.subscribe(heard.append, "weather.*")
    events = [stranger.envelope("event", "weather.changed", number) for number in range(3)]
    forged = {**events[0], "sender": {**events[0]["sender"], "agent": "clerk"}}
    subject = f"{stranger.ns}.now.default.stranger.weather.changed"
    stranger.wire.publish(subject, json.dumps(events[0]).encode())
    stranger.wire.publish(subject, json.dumps([events[1], forged, {"junk": 1}, events[2]]).encode())
    await until(lambda: len(heard) == 3)
    assert [event.payload for event in heard] == [0, 1, 2]
    assert ours.peer.counts["bad-event"] == 2


async def test_a_stranger_hears_unstored_events_in_their_order(stranger: Speaker, ours: Mesh) -> None:
    heard: list[Any] = []

    def listen(message: Any) -> None:
        said = json.loads(message.data)
        heard.extend(said if isinstance(said, list) else [said])

    stranger.wire.subscribe(f"{stranger.ns}.now.*.*.tea.>", listen)
    await stranger.wire.flush()
    for number in range(100):
        await ours.emit("tea.poured", number, stored=False)
    await until(lambda: len(heard) == 100)
    assert [each["payload"] for each in heard] == list(range(100))
    assert {(each["kind"], each["name"]) for each in heard} == {("event", "tea.poured")}


# -- telemetry


async def test_a_stranger_hears_what_processes_tell_while_it_says_that_it_listens(
    stranger: Speaker, ours: Mesh
) -> None:
    heard: list[Any] = []
    stranger.wire.subscribe(f"{stranger.ns}.tel.*", lambda message: heard.append(json.loads(message.data)))
    stranger.wire.publish(f"{stranger.ns}.tune.other", b'{"process": "nobody"}')

    def is_known_to_listen() -> bool:
        stranger.wire.publish(f"{stranger.ns}.tune.other", json.dumps({"seconds": 5}).encode())
        return ours.peer.telemetry.heard

    await until(is_known_to_listen)
    ours.peer.telemetry.emit("tea.spilled", cups=2, password="hunter2")

    def told() -> list[Any]:
        return [
            (each["fields"], at["dropped"]) for at in heard for each in at["events"] if each["event"] == "tea.spilled"
        ]

    await until(lambda: bool(told()))
    assert told() == [({"cups": 2, "password": "[redacted]"}, 0)]


# -- jobs


def job_id(*parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return "j" + base64.b32encode(digest).decode().lower()[:23]


async def to_the_end(stranger: Speaker, job: str, tenant: str = "default") -> list[dict[str, Any]]:
    """Every entry of the job's journal, up to the one that ends it."""
    entries: list[dict[str, Any]] = []
    journal = await kept.journal(stranger.wire, stranger.ns.removeprefix("mesh."), tenant, job)
    while not entries or entries[-1]["head"]["state"] in ("submitted", "running", "waiting", "paused"):
        entries.append(json.loads((await asyncio.wait_for(journal.get(), 30)).data))
    return entries


def events_of(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (event for entry in entries for event in entry["events"])


@pytest.fixture
async def hosted(ours: Mesh) -> Mesh:
    await ours.host(Clerk, instance="desk")
    await ours.host_workflow(letter)
    await ours.host_workflow(order)
    return ours


async def test_a_message_to_the_ingress_becomes_a_job_whose_journal_tells_everything(
    stranger: Speaker, hosted: Mesh
) -> None:
    headers = {
        "Mesh-Key": "first", "Mesh-Deadline": "20", "Mesh-Budget": "money=0.5,tokens=1000", "Mesh-Priority": "1",
        "Mesh-Labels": "floor=first", "Mesh-Correlation": "c-1",
    }  # fmt: skip
    stored = await kept.append(stranger.wire, f"{stranger.ns}.in.acme.letter", b'{"text": "dear all"}', headers)
    entries = await to_the_end(stranger, job_id("key", "acme", "first"), "acme")
    assert [each["type"] for each in events_of(entries)] == [
        "submitted", "owner.claimed", "step.started", "step.succeeded", "completed",
    ]  # fmt: skip
    submitted, claimed, started, succeeded, completed = events_of(entries)
    assert submitted["constraints"] == {
        "budget": {"tokens": 1000, "money": 0.5}, "priority": 1, "labels": {"floor": "first"}
    }  # fmt: skip
    assert (submitted["deadline"], submitted["correlation"]) == (20.0, "c-1")
    assert submitted["source"] == f"stream:{stored['stream']}:{stored['seq']}"
    assert (claimed["process"], entries[1]["epoch"]) == ("ours", 1)
    assert started["award"]["winner"] == "ours.clerk.desk"
    assert succeeded["output"] == completed["output"] == {"inline": "DEAR ALL"}


async def test_without_a_key_the_id_follows_from_the_acknowledgement(stranger: Speaker, hosted: Mesh) -> None:
    stored = await kept.append(stranger.wire, f"{stranger.ns}.in.default.letter", b'{"text": "x"}')
    entries = await to_the_end(stranger, job_id("message", stored["stream"], str(stored["seq"])))
    assert entries[-1]["head"] | {"incarnation": "", "submitted_at": 0} == {
        "workflow": "letter", "version": 3, "tenant": "default", "state": "completed", "owner": "ours",
        "incarnation": "", "submitted_at": 0,
    }  # fmt: skip


async def submit(stranger: Speaker, workflow: str, data: bytes, key: str) -> Any:
    subject = f"{stranger.ns}.submit.default.{workflow}"
    (answer,) = await stranger.wire.request(subject, data, {"Mesh-Key": key})
    return json.loads(answer.data) if not answer.status else answer.status


async def test_a_request_is_answered_with_the_job_or_with_why_not(stranger: Speaker, hosted: Mesh) -> None:
    assert await submit(stranger, "letter", b'{"text": "x"}', "k1") == {"job": job_id("key", "default", "k1")}
    again = await submit(stranger, "letter", b'{ "text" : "x" }', "k1")
    assert again == {"job": job_id("key", "default", "k1"), "duplicate": True}
    assert (await submit(stranger, "letter", b'{"text": "y"}', "k1"))["error"]["code"] == "key-reused"
    assert (await submit(stranger, "letter", b'{"text": 7}', "k2"))["error"]["code"] == "bad-payload"
    assert await submit(stranger, "postcard", b"{}", "k3") == "503"


async def test_what_can_never_be_a_job_is_found_among_the_dead_letters(stranger: Speaker, hosted: Mesh) -> None:
    stored = await kept.append(stranger.wire, f"{stranger.ns}.in.default.letter", b'{"text": ')
    letters = await kept.follow(stranger.wire, f"{stranger.names}DLQ", f"{stranger.ns}.dlq.default")
    dead = json.loads((await asyncio.wait_for(letters.get(), 30)).data)
    assert (dead["reason"]["code"], dead["payload"]) == ("bad-payload", '{"text": ')
    assert (dead["source"]["stream"], dead["source"]["sequence"]) == (stored["stream"], stored["seq"])
    entries = await to_the_end(stranger, dead["job"])
    assert entries[-1]["head"]["state"] == "dead_lettered"


async def until_it_waits(stranger: Speaker, job: str, name: str) -> dict[str, Any]:
    """What the job waits for, by the head of its journal's last entry."""
    journal = await kept.journal(stranger.wire, stranger.ns.removeprefix("mesh."), "default", job)
    while True:
        head = json.loads((await asyncio.wait_for(journal.get(), 30)).data)["head"]
        for wait in head.get("waits", ()):
            if wait["name"] == name:
                return dict(wait)


async def test_a_stranger_answers_what_a_job_waits_for(stranger: Speaker, hosted: Mesh) -> None:
    job = job_id("key", "default", "o1")
    await submit(stranger, "order", b'{"number": 4}', "o1")
    wait = await until_it_waits(stranger, job, "order.confirm")
    exact = json.dumps({"about": {"number": 4}, "action": "order.confirm"}, separators=(",", ":"))
    assert wait["digest"] == "sha256:" + hashlib.sha256(exact.encode()).hexdigest()
    inbox = f"{stranger.ns}.inbox.default.{job}"
    for said in (
        {"type": "approve", "key": wait["key"], "digest": "sha256:0", "by": "mallory"},
        {"type": "nonsense"},
        {"type": "approve", "key": wait["key"], "digest": wait["digest"], "by": "ann"},
        {"type": "signal", "name": "paid", "value": {"amount": 40}},
    ):
        await kept.append(stranger.wire, inbox, json.dumps(said).encode())
    entries = await to_the_end(stranger, job)
    assert entries[-1]["events"][-1]["output"] == {"inline": ["ann", {"amount": 40}]}
    said_nothing = [each for each in events_of(entries) if each["type"] == "inbox.passed"]
    assert [each.get("by", "") for each in said_nothing] == ["mallory", ""]


async def test_a_stranger_cancels_a_job(stranger: Speaker, hosted: Mesh) -> None:
    job = job_id("key", "default", "o2")
    await submit(stranger, "order", b'{"number": 5}', "o2")
    await until_it_waits(stranger, job, "order.confirm")
    await kept.append(stranger.wire, f"{stranger.ns}.inbox.default.{job}", b'{"type": "cancel", "by": "ann"}')
    assert (await to_the_end(stranger, job))[-1]["head"]["state"] == "cancelled"
