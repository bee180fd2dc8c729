"""A stranger's agent bids, takes awards from our initiators and workflows, and keeps its word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh import Agent, Job, command, workflow
from mesh.client.mesh import Mesh
from mesh.protocols.acts import Mode
from mesh.protocols.errors import AgentLost, MeshError, NoBids, Semantic
from mesh.protocols.selection import SelectionPolicy
from mesh.testing.virtual_time import until
from tests.foreign.agent import ForeignAgent, Trouble
from tests.foreign.membership import Member
from tests.foreign.wire import Wire

pytestmark = pytest.mark.server


async def reverse(payload: Any, progress: Any) -> Any:
    if payload["text"] == "?":
        raise Trouble("illegible", "not a word of it")
    await asyncio.sleep(payload.get("pause", 0))
    return payload["text"][::-1]


class Understudy(Agent):
    """Does the same, dearer."""

    @command(capability="text.reverse", effect="pure", price=1.0)
    async def reverse(self, text: str, pause: float = 0.0) -> str:
        return "understudy"


@workflow("backwards")
async def backwards(job: Job, text: str) -> str:
    """Somebody else turns it round."""
    return str(await job.call("text.reverse", {"text": text, "pause": 0.05}))


@pytest.fixture
async def mirror(wire: Wire, namespace: str, ours: Mesh) -> AsyncIterator[ForeignAgent]:
    member = Member(wire, namespace, "foreign-1")
    await member.join()
    mirror = ForeignAgent(member, "mirror", "text.reverse", "reverse", reverse)
    await mirror.start()
    await until(lambda: any(each.figures.bids for each in ours.directory.lookup("text.reverse")))
    ours.initiator.policy = SelectionPolicy(window=30.0)  # until all have answered: a busy machine takes its time
    yield mirror
    member.stop()


def heard(mirror: ForeignAgent) -> list[str]:
    return [each["name"] for each in mirror.heard]


@pytest.mark.parametrize("mode", ["standing", "directed", "broadcast"])
async def test_it_is_awarded_in_all_three_ways(mirror: ForeignAgent, ours: Mesh, mode: Mode) -> None:
    assert await ours.call("text.reverse", mode=mode, text="abc") == "cba"
    expected = ["accept-proposal"] if mode == "standing" else ["call-for-proposal", "accept-proposal"]
    assert heard(mirror)[: len(expected)] == expected


async def test_it_confirms_what_takes_longer(mirror: ForeignAgent, ours: Mesh) -> None:
    assert await ours.call("text.reverse", text="abc", pause=0.4, timeout=30) == "cba"
    assert len(heard(mirror)) <= 2  # confirmed, so not asked again, unless this machine is very busy


async def test_its_failure_is_the_callers(mirror: ForeignAgent, ours: Mesh) -> None:
    with pytest.raises(Semantic, match="not a word"):
        await ours.call("text.reverse", text="?")


async def test_its_bid_competes_with_ours(mirror: ForeignAgent, ours: Mesh) -> None:
    await ours.host(Understudy)
    await until(lambda: len(ours.directory.lookup("text.reverse")) == 2)
    assert await ours.call("text.reverse", mode="broadcast", text="abc") == "cba"
    mirror.bid = {**mirror.bid, "price": 2.0}
    assert await ours.call("text.reverse", mode="broadcast", text="abc") == "understudy"
    await until(lambda: heard(mirror)[-1] == "reject-proposal")
    assert mirror.heard[-1]["payload"].get("reason", "outbid") == "outbid"


@pytest.mark.parametrize("mode", ["standing", "directed", "broadcast"])
async def test_when_it_refuses_the_work_goes_to_another(mirror: ForeignAgent, ours: Mesh, mode: Mode) -> None:
    mirror.refuses = "capacity"
    said = ""
    while "not today" not in said:  # of a round in which it was too slow it is said that nobody answered
        with pytest.raises(NoBids) as caught:
            await ours.call("text.reverse", mode=mode, text="abc", timeout=30)
        said = str(caught.value)
    await ours.host(Understudy)
    await until(lambda: len(ours.directory.lookup("text.reverse")) == 2)
    assert await ours.call("text.reverse", mode=mode, text="abc") == "understudy"


async def test_an_award_that_it_missed_comes_again_as_a_copy(mirror: ForeignAgent, ours: Mesh) -> None:
    mirror.ignores = 1
    assert await ours.call("text.reverse", text="abc") == "cba"
    first, copy = mirror.heard[:2]
    assert first["payload"] == copy["payload"]
    assert copy["attempt"] == 2


async def test_a_copy_finds_the_result_that_was_lost(mirror: ForeignAgent, ours: Mesh) -> None:
    answered: list[Any] = []
    tell = mirror._tell
    mirror._tell = lambda commission: answered.append(commission) or (len(answered) > 1 and tell(commission))  # type: ignore[method-assign,assignment,func-returns-value]
    mirror._confirm = lambda commission: None  # type: ignore[method-assign]
    assert await ours.call("text.reverse", text="abc") == "cba"
    assert heard(mirror)[:2] == ["accept-proposal", "accept-proposal"]
    assert answered[0] is answered[1]


async def test_a_call_that_is_given_up_is_cancelled(mirror: ForeignAgent, ours: Mesh) -> None:
    calling = asyncio.ensure_future(ours.call("text.reverse", text="abc", pause=60, timeout=60))
    await until(lambda: bool(mirror.heard))
    calling.cancel()
    await until(lambda: heard(mirror)[-1] == "cancel")
    assert mirror.heard[-1]["payload"]["award"] == mirror.heard[0]["payload"]["award"]


async def test_when_its_connection_ends_the_work_goes_to_another(mirror: ForeignAgent, ours: Mesh) -> None:
    calling = asyncio.ensure_future(ours.call("text.reverse", text="abc", pause=60, timeout=60))
    await until(lambda: bool(mirror.heard))
    await ours.host(Understudy)
    mirror.member.stop()
    await mirror.member.wire.close()
    assert await asyncio.wait_for(calling, 30) == "understudy"


async def test_when_nobody_else_is_there_the_caller_is_told(mirror: ForeignAgent, ours: Mesh) -> None:
    calling = asyncio.ensure_future(ours.call("text.reverse", text="abc", pause=60, timeout=30))
    await until(lambda: bool(mirror.heard))
    mirror.member.stop()
    await mirror.member.wire.close()
    with pytest.raises(MeshError) as caught:
        await asyncio.wait_for(calling, 30)
    assert isinstance(caught.value, AgentLost)


async def test_a_workflow_calls_it_and_its_journal_says_so(mirror: ForeignAgent, ours: Mesh) -> None:
    await ours.host_workflow(backwards)
    job = await ours.submit("backwards", {"text": "abc"})
    assert await job.result(timeout=30) == "cba"
    state = await job.state()
    (step,) = state.steps.values()
    assert step.by == "mirror.foreign-1"
    assert step.awards[0].winner == "foreign-1.mirror.foreign-1"
    award = mirror.heard[0]
    assert (award["job"], award["epoch"], award["step"]) == (job.id, 1, step.key)
    assert award["correlation"] == job.id
