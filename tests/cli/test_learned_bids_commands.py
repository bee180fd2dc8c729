"""`mesh registry bids` and `mesh call --explain`: what was promised and what came, told by a process of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from mesh import Agent, Mesh, command
from mesh.cli.explaining import award_as_lines, award_as_row
from mesh.protocols.acts import Bid, CallForProposal
from mesh.protocols.awards import AwardRecord, Candidate, Score
from mesh.protocols.learned import Learned
from mesh.testing.virtual_time import until
from tests.command_line import CommandLine
from tests.servers import RealServer


class Boaster(Agent, name="boaster"):
    """Promises a fifth of what it takes."""

    @command(capability="boast", effect="pure")
    async def boast(self) -> None:
        await asyncio.sleep(0.3)

    @boast.bid
    def bid(self, call: CallForProposal, computed: Bid) -> Bid:
        """What it says."""
        return Bid(latency=0.02, price=0.01)


class Bystander(Agent, name="bystander"):
    """Somebody to host, so that its process has beats."""

    @command
    async def stand(self) -> None:
        return


@pytest.fixture
async def teller(server: RealServer) -> AsyncIterator[Mesh]:
    """A process that gave work to the boaster, and tells of it."""
    async with (
        Mesh.connect(server.url, process="there") as there,
        Mesh.connect(server.url, process="teller") as teller,
    ):
        await there.host(Boaster)
        await teller.host(Bystander)
        await until(lambda: bool(teller.directory.lookup("boast")), timeout=20)
        for _ in range(4):
            await teller.call("boast", timeout=50)
        yield teller


@pytest.mark.server
async def test_what_was_promised_is_shown_beside_what_came(teller: Mesh, cli: CommandLine) -> None:
    code, out, _ = await cli("registry", "bids", "boast", "-o", "json")
    assert code == 0
    [row] = json.loads(out)
    assert (row["agent"], row["version"], row["instances"], row["told_by"]) == ("boaster", "1.0.0", 1, 1)
    assert row["delivered_s"] >= 0.3
    assert row["kept"] == pytest.approx(4.0, rel=0.2)
    code, out, _ = await cli("registry", "bids", "boast")
    assert code == 0
    assert "boaster" in out
    code, out, err = await cli("call", "boast", "--explain")
    assert code == 0
    assert "weights: money 100, a second 1, certain failure 5; newcomers get 10% of awards at most" in err


@pytest.mark.server
async def test_a_capability_that_nobody_offers_is_an_error_that_names_those_there_are(
    teller: Mesh, cli: CommandLine
) -> None:
    code, _, err = await cli("registry", "bids", "no.such")
    assert code != 0
    assert "nobody offers 'no.such'; capabilities here: boast" in err
    code, _, err = await cli("registry", "bids", "not a capability")
    assert code != 0


def test_an_explanation_says_what_was_promised_learned_and_expected() -> None:
    late = Learned(latency=2.0, price=1.5, charge=0.01, success=0.5, reputation=0.9, calls=20.0)
    bid = Bid(latency=0.95, price=0.02)
    candidate = Candidate(
        agent="a", instance="i", process="p", bid=bid, reputation=0.9, learned=late, score=Score(cost=4.0, latency=1.95)
    )
    record = AwardRecord(
        award="t.1", conversation="t", capability="c", mode="standing", winner="p.a.i", reason="alone", at=0.0,
        candidates=(candidate,),
    )  # fmt: skip
    [_, weights, line] = award_as_lines(record)
    assert "promised price 0.02, latency 0.950 s, success 100%" in line
    assert "learned from 20.0 calls: latency ×2.00, price ×1.50 + 0.01, success ×0.50, reputation 90%" in line
    assert "expected price 0.04, latency 1.950 s, success 45%" in line
    [row] = award_as_row(record)["candidates"]
    assert row["expected"] == pytest.approx({"price": 0.04, "latency": 1.95, "success": 0.45})
    assert row["learned"]["latency"] == 2.0
    assert "certain failure 5" in weights
