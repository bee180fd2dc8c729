"""Two of three bidders answer anything at all: each call ends with a result or a typed error, and nothing is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, get_args

import msgspec
import pytest

from mesh.actors.exchanging.inbound import Inbound
from mesh.contract_net.composing import content_of, payload_of
from mesh.protocols import acts
from mesh.protocols.awards import AwardRecord
from mesh.protocols.conduct import Statement
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import VERSION, Envelope, Sender, encode
from mesh.protocols.errors import Fault, MeshError
from tests.contract_net.market_place import MarketPlace

pytestmark = pytest.mark.virtual

FIGURES = (0.0, -1.0, 1e308, -1e308, 1e-320, 0.05, 5.0)
FAULTS = (None, None, "x", "agent-lost", "unknown-agent", "draining", "bad-result")


class Babbler:
    """What the process says in answer to `inbound`, by chance; now and then something sensible."""

    def __init__(self, place: MarketPlace, process: str, random: Random) -> None:
        self._peer = place._peers[process]
        self._sensible, self._peer.on_act = self._peer.on_act, self.on_act
        self._process, self._random = process, random
        [self._actor] = self._peer.actors.values()

    def on_act(self, inbound: Inbound) -> None:
        if self._random.random() < 0.3:
            assert self._sensible is not None
            self._sensible(inbound)
            return
        for _ in range(self._random.randrange(4)):
            subject = self._peer.subjects.reply(inbound.sender, self._process, inbound.token)
            self._peer.bus.publish(subject, encode(self._envelope(content_of(inbound.envelope))))

    def _envelope(self, asked: Any) -> Envelope:
        pick, code = self._random.choice, self._random.choice(FAULTS)
        offers = isinstance(asked, acts.CallForProposal) and self._random.random() < 0.7
        act = (
            self._propose(asked.conversation) if offers else self._act(asked.conversation, getattr(asked, "award", ""))
        )
        name, payload = payload_of(act)
        detail = pick([{}, {"begun": False}, {"begun": 1}, {"retried": 1}])
        return Envelope(
            v=VERSION,
            id="m",
            kind=pick(["act"] * 9 + ["item", "progress", "reply", "command"]),
            name=pick([name] * 9 + ["babble"]),
            sender=Sender("worker", self._actor.instance, self._process),
            correlation="c",
            seq=pick([0, 0, 0, 1, 2, -3, 10**20]),
            usage=pick([None, Usage(money=1e308, duration=-1e308, tokens_in=10**30)]),
            fault=None if code is None else Fault(
                code=code, error_class=pick(["transient", "semantic", "catastrophic"]), message="m",
                retry_after=pick([None, *FIGURES]), origin=pick(["", self._process, self._actor.key]), detail=detail,
            ),
            payload=payload,
        )  # fmt: skip

    def _act(self, talk: str, award: str) -> msgspec.Struct:
        refusals = (self._refusal(),) * self._random.randrange(3)
        content = msgspec.Raw(self._random.choice([b"1", b"null"]))
        made: list[Callable[[], msgspec.Struct]] = [
            lambda: self._propose(talk),
            lambda: acts.Refuse(conversation=talk, refusals=refusals, award=award),
            lambda: acts.Confirm(conversation=talk, award=award, bid=self._bid()),
            lambda: acts.InformResult(conversation=talk, award=award, content=content, bid=self._bid()),
            lambda: acts.InformDone(conversation=talk, award=award),
            lambda: acts.Failure(conversation=talk, award=award, bid=self._bid()),
            lambda: acts.Misunderstood(conversation=talk, reason="no"),
            lambda: acts.Cancel(conversation=talk, award=award),
        ]
        return self._random.choice(made)()

    def _propose(self, talk: str) -> acts.Propose:
        some = self._random.randrange
        proposals = tuple(self._proposal() for _ in range(some(4)))
        return acts.Propose(conversation=talk, proposals=proposals, refusals=(self._refusal(),) * some(3))

    def _proposal(self) -> acts.Proposal:
        pick = self._random.choice
        return acts.Proposal(
            id=pick(["", "p1", "p2"]), agent=pick(["worker"] * 9 + ["w*"]), instance=self._name(),
            process=pick([self._process] * 4 + ["b", ""]), version=pick(["", "1"]), bid=self._bid(), valid_for=pick(FIGURES),
            effect=pick(["costly", "pure", "at_most_once"]),
        )  # fmt: skip

    def _refusal(self) -> acts.Refusal:
        reason = self._random.choice(get_args(acts.RefusalReason))
        retry_after = self._random.choice([None, *FIGURES])
        return acts.Refusal(
            agent="worker", instance=self._name(), reason=reason, retry_after=retry_after, bid=self._bid()
        )

    def _name(self) -> str:
        return str(self._random.choice([self._actor.instance, self._actor.instance, "nobody", "", "a.b*"]))

    def _bid(self) -> acts.Bid:
        pick = self._random.choice
        if pick([True, False]):
            return acts.Bid(latency=0.05)
        return acts.Bid(
            price=pick(FIGURES), latency=pick(FIGURES), success=pick([1.0, 0.5, 2.0, -1e308]),
            capacity=pick([0, 1, -5, 10**20]), queue=pick([0, -1, 10**20]),
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_answered_each_call_ends_and_leaves_nothing(
    place: MarketPlace, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    random = Random(seed)
    for name in ("a", "b", "c"):
        await place.worker(name)
    for name in ("a", "b"):
        Babbler(place, name, random)
    caller = await place.caller()

    async def call(number: int) -> None:
        await place.clock.sleep(0.05 * number)
        mode, timeout = random.choice(get_args(acts.Mode)), random.choice([0.3, 3.0, 20.0])
        with suppress(MeshError):
            assert (await place.contract(0.01, mode=mode, timeout=timeout)).award.won

    await asyncio.gather(*(call(number) for number in range(25)))
    await place.clock.sleep(30.0)
    assert not caplog.records, "nothing went wrong beside the calls"
    for record in place.ledger.records:
        assert msgspec.json.decode(msgspec.json.encode(record), type=AwardRecord) == record
    told = caller.learning.record.testify(100, place.clock.monotonic(), changed=False)
    assert msgspec.json.decode(msgspec.json.encode(told), type=tuple[Statement, ...]) == told
    assert not caller.quiet
    assert not caller._lingering
    assert not caller.watching.everybody()
    assert not caller.market._unanswered
    assert not caller.peer.exchange._waiting
