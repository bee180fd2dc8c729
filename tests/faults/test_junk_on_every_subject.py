"""A client with nats-py and bad manners throws everything at every family of subjects.

Faults: bytes that are no message, envelopes with one thing wrong in each, payloads nested without end or nearly a megabyte long,
replies and beats in another's name, reply subjects that would make us speak for the sender: on rpc, rep, cfp, beat, evt, in,
submit, live, roll, `$SRV`, and on the subjects of jobs. After each the processes run as before, without an exception in their
logs, and serve an honest client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from mesh.client.mesh import Mesh
from mesh.jobs.journals.journals import Journals
from mesh.jobs.outside.listing import list_jobs
from mesh.protocols.dead_letters import DeadLetter
from mesh.protocols.envelope import Envelope, decode
from mesh.testing.virtual_time import until
from tests.faults import junk
from tests.faults.crew import Crew
from tests.faults.expectations import listed, soon, told

pytestmark = [pytest.mark.server, pytest.mark.fault]

ROOT = "mesh.default"
HOSTILE_REPLIES = (
    "*",
    ">",
    f"{ROOT}.rep.*.one.t",
    f"{ROOT}.rep.client.one.t",
    f"{ROOT}.rpc.one.worker.one.client",
    f"{ROOT}.in.default.walk",
    f"{ROOT}.beat.one",
    "mesh.other.rpc.a.b.c.d",
    "$SYS.REQ.SERVER.PING",
    "$JS.API.STREAM.DELETE.mesh_default_JOB_0",
    "x" * 1000,
)


SENDER = ("agent", "instance", "process")
ENVELOPE = json.dumps(junk.envelope()).encode()


class Stranger:
    """Publishes anything, and hears what is answered to it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: dict[str, list[bytes]] = {}

    async def listen(self, subject: str) -> None:
        async def on_message(message: Msg) -> None:
            self.heard.setdefault(message.subject, []).append(message.data)

        await self.client.subscribe(subject, cb=on_message)
        await told(self.client)

    async def throw(self, subject: str, messages: Mapping[str, bytes], reply: str = "") -> None:
        """Each message; `reply` may hold a `#`, which becomes the number of the message."""
        for number, data in enumerate(messages.values()):
            await self.client.publish(subject, data, reply=reply.replace("#", str(number)))
        await told(self.client)

    async def unavailable(self, subject: str) -> None:
        """What the server says when nobody listens, said by somebody else."""
        header = b"NATS/1.0 503\r\n\r\n"
        assert self.client._transport is not None
        self.client._transport.write(b"HPUB %b %d %d\r\n%b\r\n" % (subject.encode(), len(header), len(header), header))
        await told(self.client)

    def answers(self, number: int, prefix: str = f"{ROOT}.rep.stranger.one.t") -> list[Envelope]:
        return [decode(each) for each in self.heard.get(f"{prefix}{number}", [])]


@pytest.fixture
async def stranger(raw: Client) -> Stranger:
    return Stranger(raw)


@pytest.fixture(autouse=True)
async def everything_as_before(crew: Crew, mesh: Mesh) -> AsyncIterator[None]:
    """One agent that also drives jobs; after the test it still does what it is for, and nothing unexpected was raised."""
    await crew.start("one", capacity=2, workflow=True)
    await listed(mesh, "one")
    heard: list[str] = []
    await mesh.subscribe(lambda event: heard.append(event.payload), "shop.opened", agent="client")
    yield
    assert crew.alive("one")
    crew.let("job")
    assert await soon(lambda: mesh.ask("work.echo", "after")) == ["one", "after"]
    assert await soon(lambda: mesh.call("work.echo", "after", mode="broadcast")) == ["one", "after"]
    assert await (await mesh.submit("walk", ["job"])).result(60) == ["one", "one"]
    await mesh.emit("shop.opened", "after")
    await until(lambda: heard[-1:] == ["after"])
    await mesh.emit("shop.closed", "after")
    await crew.did("kept-after")
    await listed(mesh, "one")
    assert not crew.mishaps("one")


async def test_commands_that_are_none_are_each_answered_with_a_type(stranger: Stranger) -> None:
    await stranger.listen(f"{ROOT}.rep.stranger.>")
    thrown = junk.envelopes()
    await stranger.throw(f"{ROOT}.rpc.one.worker.one.stranger", thrown, f"{ROOT}.rep.stranger.one.t#")
    await until(lambda: len(stranger.heard) == len(thrown))
    refusals = {"bad-envelope", "version-unsupported", "not-understood", "unknown-command", "bad-payload"}
    for number, what in enumerate(thrown):
        [answer] = stranger.answers(number)
        code = answer.fault.code if answer.fault else ""
        assert (code == "") if what in junk.HARMLESS else code in refusals | {"deadline-exceeded", "too-many-hops"}, (
            what
        )


@pytest.mark.parametrize("agent", ["nobody", "jobs", "client", "worker"])
async def test_whoever_is_named_the_answer_has_a_type(stranger: Stranger, agent: str) -> None:
    await stranger.listen(f"{ROOT}.rep.stranger.>")
    thrown = junk.envelopes()
    await stranger.throw(f"{ROOT}.rpc.one.{agent}.nobody.stranger", thrown, f"{ROOT}.rep.stranger.one.t#")
    await until(lambda: len(stranger.heard) == len(thrown))
    assert all(answer.fault for number in range(len(thrown)) for answer in stranger.answers(number))


async def test_a_command_that_wants_its_answer_elsewhere_is_not_answered(stranger: Stranger) -> None:
    for subject in HOSTILE_REPLIES:
        if "*" not in subject and ">" not in subject:
            await stranger.listen(subject)
    for subject in HOSTILE_REPLIES:
        await stranger.throw(f"{ROOT}.rpc.one.worker.one.stranger", {"command": ENVELOPE, "junk": b"{}"}, subject)
    await stranger.listen(f"{ROOT}.rep.stranger.>")
    await stranger.throw(f"{ROOT}.rpc.one.worker.one.stranger", {"last": ENVELOPE}, f"{ROOT}.rep.stranger.one.t0")
    await until(lambda: bool(stranger.heard))
    assert list(stranger.heard) == [f"{ROOT}.rep.stranger.one.t0"]


async def test_answers_in_anothers_name_are_not_heard_and_the_true_one_is(
    stranger: Stranger, crew: Crew, mesh: Mesh
) -> None:
    replies: list[str] = []

    async def overhear(message: Msg) -> None:
        replies.append(message.reply)

    await stranger.client.subscribe(f"{ROOT}.rpc.one.>", cb=overhear)
    await told(stranger.client)
    asked = asyncio.ensure_future(mesh.ask("worker", "held", command="hold"))
    await crew.did("begun-held")
    await until(lambda: bool(replies))
    token = replies[0].rpartition(".")[2]
    for responder in ("stranger", "_", "two"):
        await stranger.throw(f"{ROOT}.rep.client.{responder}.{token}", junk.envelopes(kind="reply"))
        await stranger.unavailable(f"{ROOT}.rep.client.{responder}.{token}")
    for other in ("nobody", "t0", "x" * 200):
        await stranger.throw(f"{ROOT}.rep.client.one.{other}", junk.envelopes("one", kind="reply"))
    await stranger.throw(f"{ROOT}.rep.client.one.{token}", {"other": junk.with_payload(b"1", "two", kind="reply")})
    crew.let("held")
    assert await asked == "one"


async def test_calls_for_proposals_that_are_none_are_answered_not_understood(stranger: Stranger) -> None:
    await stranger.listen(f"{ROOT}.rep.stranger.>")
    thrown = junk.envelopes(kind="act", name="call-for-proposal")
    await stranger.throw(f"{ROOT}.cfp.work_echo.stranger", thrown, f"{ROOT}.rep.stranger._.t#")
    await stranger.throw(f"{ROOT}.cfp.work_echo.stranger", thrown)
    await until(lambda: len(stranger.heard) == len(thrown))
    for number, what in enumerate(thrown):
        [answer] = stranger.answers(number)
        assert answer.name == "not-understood", what
    for subject in HOSTILE_REPLIES:
        await stranger.throw(f"{ROOT}.cfp.work_echo.stranger", thrown, subject)


async def test_acts_that_are_none_are_each_answered(stranger: Stranger) -> None:
    await stranger.listen(f"{ROOT}.rep.stranger.>")
    acts = ["accept-proposal", "reject-proposal", "cancel", "propose", "inform-result", "failure", "not-understood"]
    count = 0
    for act in acts:
        thrown = junk.envelopes(kind="act", name=act)
        prefix = f"{ROOT}.rep.stranger.one.{act}"
        await stranger.throw(f"{ROOT}.rpc.one.worker.one.stranger", thrown, f"{prefix}#")
        count += len(thrown)
    await until(lambda: len(stranger.heard) == count)


async def test_beats_that_are_none_or_another_s_change_nothing(stranger: Stranger, mesh: Mesh) -> None:
    lease = mesh.directory.process("one")
    assert lease is not None
    beat = {"process": "one", "incarnation": lease.incarnation, "number": 1}
    absurd = {"queue": -5, "running": 10**15, "capacity": -1, "latency": -1e308, "success": 1e308, "bids": {}}
    liars = {
        "of nobody": {**beat, "process": "nobody"},
        "of an earlier life": {**beat, "incarnation": "x", "figures": {"worker.one": absurd}},
        "of another": {**beat, "process": "two"},
        "absurd": {**beat, "figures": {"worker.one": absurd, "": absurd, "a.b.c.d": absurd}},
        "of thousands": {**beat, "figures": {f"worker.{number}": absurd for number in range(5000)}},
        "without end": {**beat, "more": True, "number": -1},
    }
    thrown = {**junk.BYTES, **{what: json.dumps(each).encode() for what, each in liars.items()}}
    for process in ("one", "nobody", "client"):
        await stranger.throw(f"{ROOT}.beat.{process}", thrown)


async def test_events_that_are_none_are_passed_over_by_the_durable_and_the_others(
    stranger: Stranger, mesh: Mesh
) -> None:
    for kind in ("shop.opened", "shop.closed"):
        for agent in ("client", "stranger", "worker"):
            thrown = junk.envelopes(kind="event", name=kind)
            numbers = junk.with_payload(b"1e400", kind="event", name=kind, sender=dict.fromkeys(SENDER, agent))
            together = {f"[{what}": b"[%b]" % data for what, data in thrown.items()}
            await stranger.throw(f"{ROOT}.evt.default.{agent}.{kind}", {**thrown, "numbers": numbers})
            await stranger.throw(f"{ROOT}.now.default.{agent}.{kind}", {**thrown, **together, "numbers": numbers})
    followed = mesh.events("shop.closed", after=0)
    await mesh.emit("shop.closed", "honest")
    async with asyncio.timeout(60):
        while (await anext(followed)).payload != "honest":
            pass


async def test_jobs_that_are_none_are_dead_letters_each_and_others_are_done(stranger: Stranger, mesh: Mesh) -> None:
    thrown = {**junk.BYTES, "envelope": ENVELOPE, "numbers": b"[1e400]"}
    await stranger.throw(f"{ROOT}.in.default.walk", thrown)
    await stranger.throw(f"{ROOT}.in.default.nobody-does-this", {"job": b"[]"})
    await stranger.throw(f"{ROOT}.in.BAD.walk", {"tenant": b"[]"})
    await stranger.throw(f"{ROOT}.in.a.b.c.d", {"subject": b"[]"})
    await until_buried(mesh, len(thrown))  # the list is a job, and the tenant of another message is none
    assert {each.source.subject for each in await letters(mesh) if each.source} >= {
        f"{ROOT}.in.default.walk",
        f"{ROOT}.in.BAD.walk",
    }


async def until_buried(mesh: Mesh, count: int) -> None:
    """Until there are so many dead letters."""
    async with asyncio.timeout(60):
        async for _ in mesh.peer.store.follow("mesh_default_DLQ", f"{ROOT}.dlq.default", after=0):
            if len(await letters(mesh)) >= count:
                return


async def letters(mesh: Mesh) -> list[DeadLetter]:
    stored = await mesh.peer.store.read("mesh_default_DLQ", f"{ROOT}.dlq.default")
    return [msgspec.json.decode(each.data, type=DeadLetter) for each in stored]


async def test_requests_for_jobs_that_are_none_are_each_answered(stranger: Stranger) -> None:
    await stranger.listen("answers.>")
    thrown = {**junk.BYTES, "envelope": ENVELOPE, "numbers": b"[1e400]"}
    del thrown["a list"]
    await stranger.throw(f"{ROOT}.submit.default.walk", thrown, "answers.#")
    await until(lambda: len(stranger.heard) == len(thrown))
    assert all(msgspec.json.decode(data)["error"]["code"] for [data] in stranger.heard.values())
    for subject in HOSTILE_REPLIES:
        await stranger.throw(f"{ROOT}.submit.default.walk", {"job": b"[]", "junk": b"{"}, subject)


async def test_questions_whether_it_lives_are_answered_to_whom_they_may_be(stranger: Stranger, mesh: Mesh) -> None:
    lease = mesh.directory.process("one")
    assert lease is not None
    for subject in (*HOSTILE_REPLIES, f"{ROOT}.roll.*.one.t", f"{ROOT}.roll.client.two.t", ""):
        await stranger.throw(f"{ROOT}.live.one.{lease.incarnation}", junk.BYTES, subject)
    await stranger.listen(f"{ROOT}.roll.stranger.>")
    await stranger.throw(f"{ROOT}.live.one.{lease.incarnation}", {"honest": b""}, f"{ROOT}.roll.stranger.one.t")
    await until(lambda: bool(stranger.heard))


async def test_answers_to_roll_calls_in_anothers_name_bury_nobody_else(stranger: Stranger, mesh: Mesh) -> None:
    async def answer_first(message: Msg) -> None:
        for data in junk.BYTES.values():
            await stranger.client.publish(message.reply, data)
            await stranger.client.publish(message.reply.replace(".one.", ".stranger."), data)

    await stranger.client.subscribe(f"{ROOT}.live.>", cb=answer_first)
    await told(stranger.client)
    for _ in range(3):
        assert {each.process for each in await mesh.directory.verified(20)} == {"one"}


async def test_questions_of_micro_clients_are_answered_to_whom_they_may_be(stranger: Stranger) -> None:
    questions = ["PING", "INFO", "STATS", "PING.worker", "INFO.worker.x", "STATS.worker.x.y", "RESET", "ping", "PING.*"]
    for question in questions:
        for subject in (*HOSTILE_REPLIES, ""):
            if "*" not in question:
                await stranger.throw(f"$SRV.{question}", {"nothing": b"", "junk": b"{" * 1000}, subject)
    await stranger.listen("answers.>")
    await stranger.throw("$SRV.PING.worker", {"honest": b""}, "answers.#")
    await until(lambda: bool(stranger.heard))


async def test_whatever_else_is_said_in_the_mesh_is_passed_over(stranger: Stranger) -> None:
    for family in (
        "tel.one",
        "tune.one",
        "now.x",
        "hint.default.2",
        "hint.default.x",
        "inbox.default.x",
        "tim.set.x",
        "dlq.default",
        "x",
    ):
        await stranger.throw(f"{ROOT}.{family}", junk.envelopes())
    for short in ("rpc.one", "rpc.one.worker", "rpc.one.worker.one.stranger.more", "rep.client", "rep.client.a.b.c"):
        await stranger.throw(f"{ROOT}.{short}", junk.envelopes(), f"{ROOT}.rep.stranger.one.t#")


async def test_what_is_no_record_lease_or_advisory_is_passed_over(stranger: Stranger) -> None:
    liar = b'{"server":{"id":"x"},"client":{"id":1},"reason":"\xff"}'
    await stranger.throw("$SYS.ACCOUNT.MESH.DISCONNECT", {**junk.BYTES, "no text": liar})
    for key in ("leases.proc.nobody", "leases.x", "registry.one.worker.two", "registry.a.b.c", "registry.x"):
        await stranger.throw(f"$KV.mesh_default_{key}", junk.BYTES)


async def test_a_journal_that_is_none_spoils_no_other_job(stranger: Stranger, crew: Crew, mesh: Mesh) -> None:
    job = await mesh.submit("walk", ["held"])
    await crew.did("begun-held")
    await stranger.throw(f"{ROOT}.job.default.nonsense", junk.BYTES)
    await crew.start("two", workflow=True)
    crew.kill("one")
    crew.let("held")
    assert (await job.result(20))[1:] == ["two"]
    assert job.id in {each["id"] for each in await list_jobs(Journals(mesh.peer.store, mesh.peer.subjects))}
    await crew.start("one", capacity=2, workflow=True)
    crew.kill("two")
    await listed(mesh, "one")
