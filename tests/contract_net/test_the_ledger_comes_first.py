"""Every award is in the ledger before it leaves; what the ledger refuses is never sent."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.contract_net.ledger import MemoryLedger
from mesh.protocols.awards import AwardRecord
from mesh.protocols.errors import DeadlineExceeded, LeaseLost
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace

pytestmark = pytest.mark.virtual


class Slow(MemoryLedger):
    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def award(self, record: AwardRecord) -> None:
        await super().award(record)
        await self.open.wait()


class Lost(MemoryLedger):
    async def award(self, record: AwardRecord) -> None:
        raise LeaseLost("another process owns the job")


async def test_no_award_leaves_before_the_ledger_has_it(place: MarketPlace) -> None:
    worker = await place.worker("a")
    caller, ledger = await place.caller(), Slow()
    work = asyncio.ensure_future(caller.contract(place.call(payload=0.0), ledger=ledger))
    await until(lambda: bool(ledger.records))
    await place.clock.sleep(1.0)
    assert "accept-proposal" not in place.seen
    ledger.open.set()
    await work
    assert len(worker.target.done) == 1


async def test_a_ledger_that_refuses_ends_the_call_with_its_error_and_frees_the_bidders(place: MarketPlace) -> None:
    worker = await place.worker("a")
    caller = await place.caller()
    with pytest.raises(LeaseLost):
        await caller.contract(place.call(mode="broadcast"), ledger=Lost())
    await until(lambda: "reject-proposal" in place.seen)
    await place.clock.sleep(0.01)
    assert "accept-proposal" not in place.seen
    assert place.participants["a"].book.bids.count(worker.key, place.clock.monotonic()) == 0


async def test_an_award_whose_deadline_passes_in_the_ledger_is_not_sent(place: MarketPlace) -> None:
    await place.worker("a", effect="at_most_once")
    caller, ledger = await place.caller(), Slow()
    work = asyncio.ensure_future(caller.contract(place.call(timeout=0.5), ledger=ledger))
    await place.clock.sleep(0.6)
    ledger.open.set()
    with pytest.raises(DeadlineExceeded):
        await work
    assert "accept-proposal" not in place.seen


async def test_a_journaled_award_is_taken_up_by_another_process_and_the_work_done_once(place: MarketPlace) -> None:
    """The owner of a job dies with its award out; the next one sends the same award under a newer epoch."""
    worker = await place.worker("a")
    await place.worker("b")
    terms = {"job": "j", "effect": "at_most_once"}
    first = place.start(0.5, epoch=1, **terms)
    await until(lambda: bool(place.ledger.records))
    [record] = place.ledger.records
    await place.clock.sleep(0.1)
    place.kill("client")
    await place.peer("heir")
    contracted = await place.initiators["heir"].contract(place.call(payload=0.5, epoch=2, **terms), resume=record)
    assert msgspec.json.decode(contracted.content) == record.won.process
    assert contracted.award.award == record.award
    assert len(place.executed(worker)) <= 1
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
