"""What one process measures of bidders, others know: in the beats of those who host, and of nobody else."""

from __future__ import annotations

import asyncio

import pytest

from mesh.actors.declaring.handler import command
from mesh.contract_net.initiator import Initiator
from mesh.contract_net.track_record import Bidder
from mesh.protocols.acts import Bid, CallForProposal
from mesh.protocols.errors import DeadlineExceeded
from mesh.protocols.learned import HEARD, PRIOR, WORD, Learned
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace, Worker

pytestmark = pytest.mark.virtual


class Boaster(Worker):
    """Takes three seconds for what it promises in one."""

    name = "boaster"

    @command(capability="do", effect="pure")
    async def do(self, seconds: float | None) -> str:
        await asyncio.sleep(3.0)
        return "done"

    @do.bid
    def boast(self, call: CallForProposal, computed: Bid) -> Bid:
        return Bid(latency=1.0, capacity=computed.capacity, queue=computed.queue)


class Bystander(Worker):
    """Somebody to host, so that a process has beats."""

    name = "bystander"

    @command(capability="stand", effect="pure")
    async def stand(self) -> None:
        return


class Rival(Worker):
    """Offers the same, so that there is a choice."""

    name = "rival"

    @command(capability="do", effect="pure")
    async def do(self, seconds: float | None) -> str:
        await asyncio.sleep(3.0)
        return "done"


BOASTER = Bidder("b.boaster.b", "boaster", "1.0.0")


def believed(place: MarketPlace, process: str) -> Learned | None:
    return place.initiators[process].market.learned("do", BOASTER)


async def work(place: MarketPlace, initiator: Initiator, times: int) -> None:
    """Calls, each on the bid of a beat."""
    for _ in range(times):
        await initiator.contract(place.call(timeout=60.0))
        await place.clock.sleep(2.0)


async def test_who_hosts_tells_what_it_measured_and_everybody_goes_by_it(place: MarketPlace) -> None:
    await place.host(Boaster, process="b")
    await place.host(Bystander, process="teller")
    await place.peer("listener")
    teller = place.initiators["teller"]
    await work(place, teller, 12)
    await place.host(Rival, process="r")
    await until(lambda: believed(place, "listener") is not None and believed(place, "teller") is not None)
    own, heard = believed(place, "teller"), believed(place, "listener")
    assert own is not None
    assert heard is not None
    assert own.latency == pytest.approx(2.4, rel=0.15), "three seconds for one, and a prior of four calls"
    assert 1.1 < heard.latency <= (WORD * HEARD + PRIOR) / (WORD + PRIOR)


async def test_what_a_mere_client_measures_stays_its_own(place: MarketPlace) -> None:
    await place.host(Boaster, process="b")
    await place.host(Rival, process="r")
    client = await place.caller()
    await place.peer("listener")
    await work(place, client, 12)
    await place.clock.sleep(30.0)
    assert place._peers["listener"].directory.hearsay.about("do", place.clock.monotonic()) == {}


async def test_what_a_process_says_of_its_own_agents_is_not_kept(place: MarketPlace) -> None:
    await place.host(Boaster, process="b")
    await place.peer("listener")
    own = place.initiators["b"]
    await work(place, own, 6)
    await place.clock.sleep(30.0)
    assert place._peers["listener"].directory.hearsay.about("do", place.clock.monotonic()) == {}


async def test_a_winner_that_hangs_until_the_deadline_has_broken_its_commitment(place: MarketPlace) -> None:
    await place.host(Boaster, process="b")
    client = await place.caller()
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            await client.contract(place.call(timeout=1.5))
    conduct = client.learning.record.about("do", place.clock.monotonic())["boaster", "1.0.0"]
    assert conduct.broken == pytest.approx(2.0, rel=0.1)
    assert conduct.kept == 0.0
