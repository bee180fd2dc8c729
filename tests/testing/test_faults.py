"""Each fault, on a mesh of two processes in memory: what is broken, who notices, and what the mesh makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mesh import Agent, Context, Job, Mesh, command, on_event, workflow
from mesh.protocols.errors import AgentLost, DeadlineExceeded, HandlerFailed, NoBids, TimedOut, UnknownAgent
from mesh.protocols.ports import Clock
from mesh.testing import Faults, MemoryServer, local_mesh, until

pytestmark = pytest.mark.virtual


class Worker(Agent):
    """Remembers what it did."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.heard: list[str] = []

    @command(capability="work.do", effect="pure", timeout=10)
    async def do(self, what: str) -> str:
        self.done.append(what)
        return f"did {what}"

    @command(capability="work.stream", effect="pure")
    async def each(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    @command(effect="pure")
    def plainly(self) -> str:
        return "plain"

    @command(effect="pure")
    async def who(self, ctx: Context) -> str:
        return ctx.process

    @on_event("news.out")
    async def hear(self, what: str) -> None:
        self.heard.append(what)


@pytest.fixture
def faults(mesh_server: MemoryServer) -> Faults:
    return Faults(mesh_server)


@pytest.fixture
async def other(mesh_server: MemoryServer) -> AsyncIterator[Mesh]:
    """A process beside `mesh_local`, with one worker."""
    async with local_mesh(mesh_server, process="other") as mesh:
        await mesh.host(Worker)
        yield mesh


def worker(mesh: Mesh) -> Worker:
    found = mesh.actors[0].target
    assert isinstance(found, Worker)
    return found


async def items(mesh: Mesh, payload: object) -> list[int]:
    return [item async for item in mesh.stream("worker", payload, command="each")]


# -- processes


async def test_a_killed_process_takes_what_was_asked_of_it_with_it(
    mesh_local: Mesh, other: Mesh, faults: Faults
) -> None:
    faults.slow("worker", 5.0)
    asked = asyncio.ensure_future(mesh_local.ask("worker", what="x", command="do", timeout=8))
    await until(lambda: other.actors[0].running == 1)
    faults.kill("other")
    with pytest.raises((AgentLost, UnknownAgent)):
        await asked
    await until(lambda: not mesh_local.directory.agents())


async def test_a_killed_process_comes_back_under_its_name_with_fresh_agents(
    mesh_local: Mesh, other: Mesh, faults: Faults
) -> None:
    await mesh_local.ask("worker", what="before", command="do")
    again = await faults.restart("other")
    await until(lambda: bool(mesh_local.directory.lookup("work.do")))
    assert await mesh_local.ask("worker", what="after", command="do") == "did after"
    assert worker(again).done == ["after"]


async def test_a_killed_process_drives_its_jobs_on_when_it_is_back(
    mesh_local: Mesh, other: Mesh, faults: Faults
) -> None:
    await other.host_workflow(two_steps)
    faults.slow("worker", 3.0, command="work.do")
    handle = await mesh_local.submit("two-steps")
    await until(lambda: other.actors[0].running == 1)
    again = await faults.restart("other")
    assert again.workflows == (two_steps,)
    assert await handle.result(timeout=60) == ["did one", "did two"]


@workflow("two-steps", version=1)
async def two_steps(job: Job, nothing: None) -> list[str]:
    return [await job.call("work.do", {"what": what}, returns=str, key=what, timeout=20) for what in ("one", "two")]


async def test_a_cut_process_is_out_of_reach_until_it_is_restored(
    mesh_local: Mesh, other: Mesh, faults: Faults
) -> None:
    faults.cut("other")
    await until(lambda: not mesh_local.directory.agents())
    with pytest.raises(NoBids):
        await mesh_local.call("work.do", what="x", timeout=2)
    faults.restore("other")
    await until(lambda: bool(mesh_local.directory.lookup("work.do")))
    assert await mesh_local.call("work.do", what="x") == "did x"
    assert worker(other).done == ["x"]


async def test_a_partition_is_noticed_only_when_the_lease_runs_out(
    mesh_local: Mesh, other: Mesh, faults: Faults, clock: Clock
) -> None:
    faults.cut("other", noticed=False)
    await clock.sleep(1.0)
    assert mesh_local.directory.lookup("work.do")
    await until(lambda: not mesh_local.directory.lookup("work.do"), timeout=10)


async def test_everybody_is_back_after_the_server_restarted(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    faults.restart_server()
    await until(lambda: bool(mesh_local.directory.lookup("work.do")), timeout=20)
    assert await mesh_local.ask("worker", what="x", command="do") == "did x"


async def test_a_name_that_nobody_has_is_an_error_that_says_who_is_there(
    mesh_local: Mesh, other: Mesh, faults: Faults
) -> None:
    with pytest.raises(LookupError, match=r"'elsewhere'.*local, other"):
        faults.kill("elsewhere")
    with pytest.raises(LookupError, match="elsewhere"):
        await faults.restart("elsewhere")


# -- agents


async def test_a_frozen_agent_is_listed_and_silent_until_it_thaws(
    mesh_local: Mesh, other: Mesh, faults: Faults, clock: Clock
) -> None:
    faults.freeze("worker")
    asked = asyncio.ensure_future(mesh_local.ask("worker", what="x", command="do", timeout=9))
    await clock.sleep(5)
    assert not asked.done()
    assert mesh_local.directory.lookup("work.do")
    assert worker(other).done == []
    faults.thaw("worker")
    assert await asked == "did x"


async def test_what_one_injector_froze_another_of_the_same_server_thaws(
    mesh_local: Mesh, other: Mesh, faults: Faults
) -> None:
    faults.freeze("worker")
    Faults(mesh_local).thaw("worker")
    assert await mesh_local.ask("worker", what="x", command="do", timeout=9) == "did x"
    faults.freeze("worker")
    with pytest.raises(DeadlineExceeded):
        await mesh_local.ask("worker", what="x", command="do", timeout=1)


async def test_work_of_a_frozen_agent_goes_to_another(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    await mesh_local.host(Worker)
    faults.freeze("worker.other")
    results = [await mesh_local.call("work.do", what=str(number), timeout=9) for number in range(4)]
    assert results == [f"did {number}" for number in range(4)]
    assert worker(other).done == []


async def test_a_handler_raises_as_often_as_it_was_told_to(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    faults.fail("worker", ValueError("out of luck"), command="do", times=2)
    for _ in range(2):
        with pytest.raises(HandlerFailed, match="ValueError: out of luck"):
            await mesh_local.ask("worker", what="x", command="do")
    assert await mesh_local.ask("worker", what="x", command="do") == "did x"


@pytest.mark.parametrize(("name", "payload"), [("each", {"count": 2}), ("plainly", None), ("who", None)])
async def test_handlers_of_every_kind_can_fail(
    mesh_local: Mesh, other: Mesh, faults: Faults, name: str, payload: object
) -> None:
    faults.fail("worker.other", KeyError, command=name)
    with pytest.raises(HandlerFailed, match="KeyError"):
        await (mesh_local.ask("worker", payload, command=name) if name != "each" else items(mesh_local, payload))


async def test_a_slow_handler_keeps_its_agent_busy(mesh_local: Mesh, other: Mesh, faults: Faults, clock: Clock) -> None:
    faults.slow("worker", 4.0, times=2)
    started = clock.monotonic()
    both = (mesh_local.ask("worker", what=what, command="do", timeout=9) for what in ("a", "b"))
    assert await asyncio.gather(*both) == ["did a", "did b"]
    assert clock.monotonic() - started == pytest.approx(8.0, abs=0.1)


async def test_a_slow_stream_begins_late(mesh_local: Mesh, other: Mesh, faults: Faults, clock: Clock) -> None:
    faults.slow("worker", 2.0, command="work.stream")
    started = clock.monotonic()
    assert [item async for item in mesh_local.stream("work.stream", {"count": 2})] == [0, 1]
    assert clock.monotonic() - started == pytest.approx(2.0, abs=0.1)


async def test_a_plain_function_cannot_be_slowed_down_and_says_so(
    mesh_local: Mesh, other: Mesh, faults: Faults
) -> None:
    faults.slow("worker", 2.0, command="plainly")
    with pytest.raises(HandlerFailed, match="make it `async def`"):
        await mesh_local.ask("worker", command="plainly")


# -- messages


async def test_a_lost_question_is_never_handled(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    faults.drop(agent="worker", command="do")
    with pytest.raises(DeadlineExceeded):
        await mesh_local.ask("worker", what="lost", command="do", timeout=2)
    assert await mesh_local.ask("worker", what="kept", command="do", timeout=2) == "did kept"
    assert worker(other).done == ["kept"]


async def test_a_lost_answer_was_handled_all_the_same(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    faults.drop(agent="worker", answer=True)
    with pytest.raises(DeadlineExceeded):
        await mesh_local.ask("worker", what="x", command="do", timeout=2)
    assert worker(other).done == ["x"]


async def test_a_lost_award_is_repaired_and_the_work_done_once(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    faults.drop(act="accept-proposal", command="work.do")
    assert await mesh_local.call("work.do", what="x", timeout=9) == "did x"
    assert worker(other).done == ["x"]


async def test_a_doubled_award_is_done_once_and_a_doubled_question_twice(
    mesh_local: Mesh, other: Mesh, faults: Faults
) -> None:
    faults.duplicate(agent="worker", act="accept-proposal")
    await mesh_local.call("work.do", what="award", timeout=9)
    faults.duplicate(command="do")
    await mesh_local.ask("worker", what="question", command="do")
    await until(lambda: len(worker(other).done) == 3)
    assert worker(other).done == ["award", "question", "question"]


async def test_a_late_message_is_overtaken(mesh_local: Mesh, other: Mesh, faults: Faults, clock: Clock) -> None:
    faults.delay(3.0, agent="worker")
    started = clock.monotonic()
    late = asyncio.ensure_future(mesh_local.ask("worker", what="first", command="do"))
    await asyncio.sleep(0.1)
    await mesh_local.ask("worker", what="second", command="do")
    await late
    assert worker(other).done == ["second", "first"]
    assert clock.monotonic() - started == pytest.approx(3.0, abs=0.1)


async def test_a_lost_event_is_not_heard_but_stored(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    faults.drop(event="news.*")
    first = await mesh_local.emit("news.out", {"what": "lost"})
    await mesh_local.emit("news.out", {"what": "heard"})
    await until(lambda: bool(worker(other).heard))
    assert worker(other).heard == ["heard"]
    async for event in mesh_local.events("news.out", after=first - 1):
        assert event.sequence == first
        break


async def test_unstored_events_go_astray_message_by_message(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    faults.drop(event="news.*")
    for what in ("alone, and lost", "first of two", "second of two"):
        await mesh_local.emit("news.out", {"what": what}, stored=False)
    await until(lambda: worker(other).heard == ["first of two", "second of two"])
    faults.drop(event="news.*", times=2)
    for what in ("alone", "first of two", "second of two"):
        await mesh_local.emit("news.out", {"what": what}, stored=False)
    await until(lambda: not faults.due)
    assert worker(other).heard == ["first of two", "second of two"]


async def test_an_event_whose_ack_is_lost_is_stored_and_times_out(
    mesh_local: Mesh, other: Mesh, faults: Faults
) -> None:
    faults.lose_acks("events")
    with pytest.raises(TimedOut):
        await mesh_local.emit("news.out", {"what": "x"})
    await until(lambda: worker(other).heard == ["x"])


async def test_a_journal_survives_lost_acks_and_lost_writes(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    await other.host_workflow(two_steps)
    faults.lose_acks("journals", times=2)
    faults.lose_writes("journals")
    handle = await mesh_local.submit("two-steps")
    assert await handle.result(timeout=60) == ["did one", "did two"]
    assert worker(other).done == ["one", "two"]


# -- how it is used


async def test_clear_ends_every_fault_and_lets_go_what_was_held(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    faults.fail("worker", times=9)
    faults.drop(agent="worker", times=9)
    faults.freeze("worker")
    faults.clear()
    assert await mesh_local.ask("worker", what="x", command="do") == "did x"


async def test_a_fault_that_never_struck_is_still_due(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    faults.fail("wroker")
    faults.drop(agent="worker", times=2)
    faults.lose_acks("events")
    assert faults.due == 4
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            await mesh_local.ask("worker", what="x", command="do", timeout=1)
    assert faults.due == 2


async def test_two_injectors_of_one_server_are_one(mesh_local: Mesh, other: Mesh, faults: Faults) -> None:
    Faults(mesh_local).drop(agent="worker", times=9)
    faults.clear()
    assert await mesh_local.ask("worker", what="x", command="do") == "did x"


async def test_a_rule_about_every_message_is_refused(faults: Faults) -> None:
    with pytest.raises(ValueError, match="say which messages"):
        faults.drop()
    with pytest.raises(ValueError, match="event= alone"):
        faults.drop(event="a", command="b")
    with pytest.raises(ValueError, match="at least 1"):
        faults.drop(agent="a", times=0)


async def test_faults_are_for_meshes_in_memory_only(mesh_local: Mesh) -> None:
    with pytest.raises(TypeError, match="in memory"):
        Faults(Mesh(mesh_local._connection, mesh_local.peer))
