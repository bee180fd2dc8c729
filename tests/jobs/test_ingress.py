"""Jobs come in as plain JSON; each is done once, waits, or becomes a dead letter; nothing is lost and nothing loops."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.intake.admission import Admission
from mesh.jobs.journals.streams import ensure_streams
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.listing import list_jobs, show_job
from mesh.protocols.constraints import Budget
from mesh.protocols.dead_letters import DeadLetter
from mesh.protocols.errors import BadPayload, KeyReused, NoResponders, TimedOut, Unavailable, UnknownWorkflow
from mesh.protocols.ports import Clock, Ids
from mesh.protocols.submission import Answer, job_id_for_key, job_id_for_message
from mesh.testing.virtual_time import until

pytestmark = pytest.mark.virtual

IN = "mesh.default.in.default.echo"
SUBMIT = "mesh.default.submit.default.echo"


class Text(msgspec.Struct):
    text: str


@workflow("echo")
async def echo(job: Job, given: Text) -> str:
    return await job.call("echo", given.text, returns=str)


def world_of(clock: Clock, ids: Ids) -> World:
    return World(clock, ids, echo=lambda text: text.upper())


async def letters(world: World) -> list[DeadLetter]:
    stored = await world.client.store.read("mesh_default_DLQ", "mesh.default.dlq.>")
    return [msgspec.json.decode(each.data, type=DeadLetter) for each in stored]


async def rows(world: World) -> list[dict[str, Any]]:
    return await list_jobs(world.reader)


async def settled(world: World, count: int) -> list[dict[str, Any]]:
    """The jobs, once there are `count` and none is under way."""
    for _ in range(1000):
        found = await rows(world)
        if len(found) >= count and all(each["state"] not in ("submitted", "running") for each in found):
            return found
        await world.clock.sleep(0.1)
    raise AssertionError(found)


async def test_plain_json_from_any_client_gets_its_job_done(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    world.client.bus.publish(IN, b'{"text": "hello"}')
    (found,) = await settled(world, 1)
    assert {key: found[key] for key in ("id", "workflow", "version", "tenant", "state", "owner")} == {
        "id": job_id_for_message("mesh_default_IN", 1),
        "workflow": "echo",
        "version": 1,
        "tenant": "default",
        "state": "completed",
        "owner": "p",
    }
    shown = await show_job(world.reader, Values(world.client.store, world.subjects, clock), found["id"])
    assert (shown["result"], shown["source"]) == ("HELLO", "stream:mesh_default_IN:1")
    await world.close()


async def test_what_was_published_while_no_peer_was_up_waits_and_is_done(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    await world.crash("p")
    ack = await world.client.store.append(IN, b'{"text": "hello"}')
    await clock.sleep(3600)
    assert await rows(world) == []
    await world.host("q", echo, start=2)
    (found,) = await settled(world, 1)
    assert (found["id"], found["state"]) == (job_id_for_message(ack.stream, ack.sequence), "completed")
    assert await letters(world) == []
    await world.close()


async def test_where_nobody_hosts_it_a_key_still_names_the_job_that_it_named(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    first = await world.submit_job("echo", Text("hello"), key="order-17")
    assert await first.result(60) == "HELLO"
    await world.crash("p")
    again = await world.submit_job("echo", Text("hello"), key="order-17")
    assert (again.id, again.duplicate) == (first.id, True)
    with pytest.raises(KeyReused, match=first.id):
        await world.submit_job("echo", Text("another"), key="order-17")
    assert await world.client.store.read("mesh_default_IN", IN) == []
    await world.close()


async def test_a_submission_that_nobody_answers_ends_with_the_key_that_makes_it_the_same_job(
    clock: Clock, ids: Ids
) -> None:
    """The job was journaled, its submitter heard nothing: handed in under another key it would be done twice."""
    world = world_of(clock, ids)
    await world.host("p", echo)
    world.server.faults.filter = lambda message: not message.subject.startswith("_INBOX.")
    with pytest.raises(TimedOut, match="not known whether") as ended:
        await world.submit_job("echo", Text("hello"), timeout=5)
    world.server.faults.clear()
    handle = await world.submit_job("echo", Text("hello"), key=ended.value.detail["key"])
    assert (handle.id, handle.duplicate) == (ended.value.detail["job"], True)
    assert await handle.result(60) == "HELLO"
    assert len(await rows(world)) == 1
    await world.close()


async def test_hosts_of_other_workflows_leave_it_alone_meanwhile(clock: Clock, ids: Ids) -> None:
    @workflow("other")
    async def other(job: Job) -> None:
        return None

    world = world_of(clock, ids)
    await world.host("p", echo)
    await world.crash("p")
    await world.host("o", other)
    await world.client.store.append(IN, b'{"text": "hello"}')
    await clock.sleep(600)
    assert (await letters(world), await rows(world)) == ([], [])
    handle = await world.submit_job("echo", Text("waits"))
    await world.host("q", echo)
    assert await handle.result(60) == "WAITS"
    assert len(await settled(world, 2)) == 2
    await world.close()


async def test_a_redelivered_message_is_the_same_job(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    owner = await world.host("p", echo)
    await world.client.store.append(IN, b'{"text": "hello"}')
    await settled(world, 1)
    for number in range(3):
        consumer = await world.client.store.consumer("mesh_default_IN", f"again-{number}", (IN,))
        delivery = await consumer.next(1)
        assert delivery is not None
        await owner._ingress.handle(delivery)
    await settled(world, 1)
    assert len(world.contractor.calls) == 1
    assert (await letters(world), len(await rows(world))) == ([], 1)
    await world.close()


async def delivered(world: World, attempts: int) -> Any:
    """The first message of the ingress, as it comes for the so many-th time."""
    (stored,) = await world.client.store.read("mesh_default_IN", IN)
    return SimpleNamespace(message=stored, attempts=attempts)


async def test_a_message_that_nobody_could_store_for_hours_is_not_given_up(
    clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(clock, ids)
    owner = await world.host("p", echo)

    async def away(request: Any) -> Any:
        raise Unavailable("the journals are out of reach")

    with monkeypatch.context() as patched:
        patched.setattr(owner._ingress._admission, "admit", away)
        await world.client.store.append(IN, b'{"text": "hello"}')
        for attempts in range(1, 200):
            with pytest.raises(Unavailable):
                await owner._ingress.handle(await delivered(world, attempts))
    await owner._ingress.handle(await delivered(world, 200))
    (found,) = await settled(world, 1)
    assert (found["state"], await letters(world)) == ("completed", [])
    await world.close()


async def test_a_store_that_comes_and_goes_counts_against_no_message(
    clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away in the middle of each try, it does not even hear that the process came back from it."""
    world = world_of(clock, ids)
    owner = await world.host("p", echo)

    async def goes_away(request: Any) -> Any:
        world.server.cut("p")
        raise Unavailable("the journals are out of reach")

    with monkeypatch.context() as patched:
        patched.setattr(owner._ingress._admission, "admit", goes_away)
        await world.client.store.append(IN, b'{"text": "hello"}')
        for attempts in range(1, 30):
            with pytest.raises(Unavailable):
                await owner._ingress.handle(await delivered(world, attempts))
            world.server.restore("p")
    await owner._ingress.handle(await delivered(world, 30))
    (found,) = await settled(world, 1)
    assert (found["state"], await letters(world)) == ("completed", [])
    await world.close()


async def test_a_message_that_kills_whoever_takes_it_is_given_up_unread(
    clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(clock, ids)
    taken: list[int] = []

    async def dies(*about: Any) -> Any:
        taken.append(len(taken))
        await (
            asyncio.get_running_loop().create_future()
        )  # nothing after it is done, as nothing is in a process that is gone

    monkeypatch.setattr(Admission, "admit", dies)
    await ensure_streams(world.client.store, world.subjects)
    await world.client.store.append(IN, b'{"text": "hello"}')
    for start in range(10):
        await world.host("p", echo, start=start)
        while len(taken) == start:
            await clock.sleep(1)
        await world.crash("p", start)
    await world.host("p", echo, start=10)
    while not await letters(world):
        await clock.sleep(1)
    (letter,) = await letters(world)
    assert "5 processes took the message" in letter.reason.message
    assert len(taken) == 10
    await world.close()


async def test_a_key_is_one_job_whichever_way_it_comes(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    first = await world.submit_job("echo", Text("hello"), key="k")
    second = await world.submit_job("echo", Text("hello"), key="k")
    await world.client.store.append(IN, b'{ "text":"hello" }', headers={"Nats-Msg-Id": "k"})
    await world.client.store.append(IN, b'{"text":"hello"}', headers={"Mesh-Key": "k"})
    assert (first.id, second.id, first.duplicate, second.duplicate) == (second.id, first.id, False, True)
    assert first.id == job_id_for_key("default", "k")
    await clock.sleep(10)
    assert (len(await settled(world, 1)), len(world.contractor.calls)) == (1, 1)
    other = await world.submit_job("echo", Text("hello"), key="k", tenant="other")
    assert other.id != first.id
    with pytest.raises(KeyReused) as caught:
        await world.submit_job("echo", Text("something else"), key="k")
    assert caught.value.detail == {"job": first.id}
    await world.close()


async def test_concurrent_submissions_with_one_key_are_one_job(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    for name in "pqr":
        await world.host(name, echo)
    handles = await asyncio.gather(*(world.submit_job("echo", Text("hello"), key="k") for _ in range(20)))
    assert len({each.id for each in handles}) == 1
    assert sum(not each.duplicate for each in handles) == 1
    assert await handles[0].result(60) == "HELLO"
    assert len(world.contractor.calls) == 1
    await world.close()


async def test_headers_say_what_limits_the_job(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    headers = {"Mesh-Budget": "0.5", "Mesh-Labels": "region=eu", "Mesh-Boundary": "eu", "Mesh-Correlation": "mine"}
    await world.client.store.append(IN, b'{"text": "hello"}', headers={**headers, "Mesh-Deadline": "60"})
    await settled(world, 1)
    call = world.contractor.calls[0]
    assert call.constraints.budget == Budget(money=0.5)
    assert (call.constraints.labels, call.constraints.boundary) == ({"region": "eu"}, "eu")
    assert call.correlation == "mine"
    assert 0 < call.deadline.remaining() <= 60
    await world.close()


@pytest.mark.parametrize(
    ("data", "headers", "code"),
    [
        (b"not json", {}, "bad-payload"),
        (b'{"text": 1}', {}, "bad-payload"),
        (b'{"text": NaN}', {}, "bad-payload"),
        (b"", {}, "bad-payload"),
        (b"\xff\xfe", {}, "bad-payload"),
        (b"[" * 50_000, {}, "bad-payload"),
        (b'{"text": ' + b"[" * 300 + b"]" * 300 + b"}", {}, "bad-payload"),
        (b'{"text": "ok"}', {"Mesh-Deadline": "soon"}, "bad-payload"),
        (b'{"text": "ok"}', {"Mesh-Budget": "-1"}, "bad-payload"),
    ],
)
async def test_what_is_malformed_is_recorded_with_its_ingress_sequence_or_answered(
    data: bytes, headers: dict[str, str], code: str, clock: Clock, ids: Ids
) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    await world.client.store.append(IN, b'{"text": "first"}')
    ack = await world.client.store.append(IN, data, headers=headers)
    found = await settled(world, 2)
    assert sorted(each["state"] for each in found) == ["completed", "dead_lettered"]
    (letter,) = await letters(world)
    assert letter.source is not None
    assert (letter.reason.code, letter.source.sequence, letter.source.subject) == (code, ack.sequence, IN)
    assert letter.data() == data
    assert letter.job == job_id_for_message(ack.stream, ack.sequence)
    assert (letter.tenant, letter.workflow) == ("default", "echo")
    await clock.sleep(300)
    assert len(await letters(world)) == 1

    reply = await world.client.bus.request(SUBMIT, data, timeout=5, headers=headers)
    answer = msgspec.json.decode(reply.data, type=Answer)
    assert answer.error is not None
    assert (answer.error.code, answer.job) == (code, "")
    await world.close()


async def test_a_corrected_message_may_use_the_same_key(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    await world.client.store.append(IN, b"oops", headers={"Mesh-Key": "k"})
    await settled(world, 1)
    await world.client.store.append(IN, b'{"text": "right"}', headers={"Mesh-Key": "k"})
    found = await settled(world, 2)
    assert sorted(each["state"] for each in found) == ["completed", "dead_lettered"]
    await world.close()


@pytest.mark.parametrize(
    "subject",
    ["mesh.default.in.echo", "mesh.default.in.a.b.c", "mesh.default.in.Default.echo", "mesh.default.in.t.Echo_"],
)
async def test_a_subject_that_names_no_workflow_is_a_dead_letter(subject: str, clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    await world.client.store.append(subject, b'{"text": "hello"}')
    await clock.sleep(60)
    assert {(each.id, each.reason.code) for each in await letters(world)} == {
        ("dead.mesh_default_IN.1", "invalid-name")
    }
    assert await rows(world) == []
    await world.close()


@pytest.mark.parametrize("headers", [{}, {"Mesh-Key": "k"}])
async def test_what_became_a_job_before_is_no_dead_letter_when_it_comes_again_after_its_contract_has_changed(
    headers: dict[str, str], clock: Clock, ids: Ids
) -> None:
    """A server that was killed delivers once more what was acked before."""

    class Other(msgspec.Struct):
        page: int

    @workflow("echo", version=2)
    async def changed(job: Job, given: Other) -> str:
        return "other"

    world = world_of(clock, ids)
    await world.host("p", echo)
    await world.client.store.append(IN, b'{"text": "hello"}', headers=headers)
    await settled(world, 1)
    owner = await world.host("q", changed)
    await owner._ingress.handle(await delivered(world, 1))
    assert await letters(world) == []
    assert [each["state"] for each in await rows(world)] == ["completed"]
    await world.close()


async def test_an_unknown_workflow_is_a_dead_letter_and_never_runs_later(clock: Clock, ids: Ids) -> None:
    @workflow("later")
    async def later(job: Job) -> str:
        return "ran"

    world = world_of(clock, ids)
    for name in "pq":
        await world.host(name, echo)
    store = world.client.store
    ack = await store.append("mesh.default.in.default.later", b"null", headers={"Mesh-Key": "k"})
    (found,) = await settled(world, 1)
    assert (found["id"], found["state"], found["workflow"]) == (
        job_id_for_message(ack.stream, ack.sequence),
        "dead_lettered",
        "later",
    )
    (letter,) = await letters(world)
    assert (letter.reason.code, letter.tenant) == ("unknown-workflow", "default")
    with pytest.raises(UnknownWorkflow, match="known are echo"):
        await world.submit_job("later")
    await world.host("r", later)
    await clock.sleep(60)
    assert [each["state"] for each in await rows(world)] == ["dead_lettered"]
    handle = await world.submit_job("later", key="k")
    assert await handle.result(60) == "ran"
    await world.close()


async def test_a_workflow_that_comes_up_a_moment_later_is_waited_for(clock: Clock, ids: Ids) -> None:
    @workflow("later")
    async def later(job: Job) -> str:
        return "ran"

    world = world_of(clock, ids)
    await world.host("p", echo)
    await world.client.store.append("mesh.default.in.default.later", b"null")
    await clock.sleep(2)
    await world.host("r", later)
    assert [each["state"] for each in await settled(world, 1)] == ["completed"]
    await clock.sleep(60)
    assert await letters(world) == []
    await world.close()


async def test_nothing_is_answered_into_the_meshs_own_subjects(clock: Clock, ids: Ids) -> None:
    """A submitter names the reply subject: it must not make a host speak where only the host may."""
    world = world_of(clock, ids)
    await world.host("p", echo)
    heard: list[Any] = []
    await world.client.bus.subscribe("mesh.default.job.>", heard.append)
    await world.client.bus.subscribe("free.>", heard.append)
    for reply in ("mesh.default.job.default.0.x", "$JS.API.STREAM.DELETE.mesh_default_JOB_0", "free.inbox"):
        world.client.bus.publish(SUBMIT, b"oops", reply=reply)
    await clock.sleep(5)
    assert [each.subject for each in heard] == ["free.inbox"]
    await world.close()


async def test_while_the_store_is_away_a_message_is_neither_lost_nor_buried(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    await ensure_streams(world.client.store, world.subjects)
    world.server.faults.lose_appends("mesh.default.job.>", 12)
    await world.client.store.append(IN, b'{"text": "hello"}')
    (found,) = await settled(world, 1)
    assert found["state"] == "completed"
    assert await letters(world) == []
    await world.close()


async def test_a_restart_of_the_server_in_the_middle_loses_nothing(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    for number in range(20):
        await world.client.store.append(IN, b'{"text": "%d"}' % number)
        if number % 5 == 2:
            world.server.restart()
            await until(lambda: world.client.bus.connected)
    found = await settled(world, 20)
    assert {each["state"] for each in found} == {"completed"}
    assert len(found) == 20
    assert len(world.contractor.calls) == 20
    await world.close()


async def test_without_any_host_a_request_says_so_at_once(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await ensure_streams(world.client.store, world.subjects)
    with pytest.raises(NoResponders):
        await world.client.bus.request(SUBMIT, b"{}", timeout=5)
    with pytest.raises(UnknownWorkflow, match="mesh up"):
        await world.submit_job("echo", Text("x"))


async def test_a_bad_input_is_refused_at_the_submitter_as_its_own_type(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("p", echo)
    with pytest.raises(BadPayload):
        await world.submit_job("echo", {"text": float("nan")})
    with pytest.raises(BadPayload):
        await world.submit_job("echo", {"text": [1]})
    await world.close()
