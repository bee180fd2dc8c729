"""A job's call that nobody hears: given up at once, unless somebody who is there offers what it calls for. One whose winners
are lost: called again, but not where it was somebody below the winner."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from mesh.contract_net.calls import Call
from mesh.jobs.steps.awarding import award
from mesh.protocols.constraints import Constraints
from mesh.protocols.envelope import Sender
from mesh.protocols.errors import AgentLost, MeshError, NoBids
from mesh.protocols.ports import Clock, Ids
from mesh.registry.records import Capability
from mesh.resilience.deadline import Deadline

pytestmark = pytest.mark.virtual


class Deaf:
    """A mesh in which nobody listens for the first calls."""

    def __init__(self, times: int) -> None:
        self.left = times

    async def contract(self, call: Call, **_: Any) -> str:
        self.left -= 1
        if self.left >= 0:
            raise NoBids("nobody listens", detail={"refusals": [], "rounds": 1})
        return "done"


class Losing:
    """A mesh in which each call ends like this."""

    def __init__(self, error: MeshError) -> None:
        self.error, self.calls = error, 0

    async def contract(self, call: Call, **_: Any) -> str:
        self.calls += 1
        raise self.error


async def called(clock: Clock, ids: Ids, net: Deaf | Losing, offered: Capability | None) -> Any:
    seat = SimpleNamespace(clock=clock, ids=ids, unsettled=lambda: False, declared=lambda capability: offered)
    call = Call(
        capability="work.do",
        input=msgspec.Raw(b"null"),
        constraints=Constraints(),
        deadline=Deadline.after(clock, 20),
        key="k",
        sender=Sender("jobs", "flow", "p"),
    )
    attempt = SimpleNamespace(resume=None, progress=lambda value: None)
    return await award(net, call, seat, attempt, lambda: False)  # type: ignore[arg-type]


async def test_an_agent_on_its_way_to_another_server_is_waited_for(clock: Clock, ids: Ids) -> None:
    assert await called(clock, ids, Deaf(3), Capability(name="work.do", command="do")) == "done"


async def test_what_nobody_offers_is_not_waited_for(clock: Clock, ids: Ids) -> None:
    net = Deaf(3)
    with pytest.raises(NoBids):
        await called(clock, ids, net, None)
    assert net.left == 2


async def test_a_step_whose_winners_are_lost_is_called_again_twice(clock: Clock, ids: Ids) -> None:
    net = Losing(AgentLost("four winners were lost"))
    with pytest.raises(AgentLost):
        await called(clock, ids, net, None)
    assert net.calls == 3


async def test_a_call_that_the_budget_of_retries_ended_counts_for_as_many_winners_as_it_lost(
    clock: Clock, ids: Ids
) -> None:
    net = Losing(AgentLost("one winner was lost", detail={"losses": 1}))
    with pytest.raises(AgentLost):
        await called(clock, ids, net, None)
    assert net.calls == 12, "as many winners as three calls with four awards each would lose"


@pytest.mark.parametrize(
    "below",
    [
        AgentLost("whom the winner asked was lost", detail={"retried": 3}),
        NoBids("whom the winner called was busy", detail={"retried": 1, "refusals": ["a.b: capacity: it is full"]}),
    ],
)
async def test_what_was_repeated_below_the_winner_is_not_repeated_by_the_job(
    clock: Clock, ids: Ids, below: MeshError
) -> None:
    net = Losing(below)
    with pytest.raises(MeshError) as caught:
        await called(clock, ids, net, None)
    assert caught.value is below
    assert net.calls == 1
