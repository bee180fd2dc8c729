"""What a person may do with the breakers of a process, over the wire; and that it is told, stored and known to all."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.peer import Peer
from mesh.actors.running.context import Context
from mesh.policy.policy import open_policies
from mesh.protocols.breaker_rows import BreakerRow, BreakersWanted
from mesh.protocols.errors import BadPayload, BreakerOpen, HandlerFailed, Killed, RateLimited
from mesh.protocols.policies import Entry, RateLimit, Switch
from mesh.resilience.deadline import Deadline
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Reviewer(Agent):
    version = "2.1.0"

    @command(capability="review.code", effect="pure")
    async def review(self, ctx: Context, bad: bool) -> str:
        if bad:
            raise ValueError("bad")
        async with ctx.tool("model.complete") as model:
            model.use(tokens_in=10, tokens_out=5)
        return ctx.process

    @command
    async def forget(self, ctx: Context) -> None:
        """A command that offers no capability."""


async def say(peer: Peer, process: str, wanted: Any) -> list[BreakerRow]:
    """As `mesh breaker` does."""
    question = peer.root.compose(peer.ids, "control", "breakers", msgspec.Raw(msgspec.json.encode(wanted)))
    subject = peer.subjects.rpc(process, "peer", "peer", peer.process)
    answer = await peer.exchange.ask(subject, question, deadline=Deadline.after(peer.clock, 2.0))
    return msgspec.json.decode(answer.payload, type=list[BreakerRow])


async def test_null_lists_what_there_is_of_every_kind(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer, process="one")
    two = (await neighbours.host(Reviewer, process="two")).peer
    client = await neighbours.client()
    assert await two.ask("reviewer.one", False, command="review") == "one"
    assert await two.ask("reviewer.two", False, command="review") == "two"
    rows = await say(client, "two", None)
    assert {(row.kind, row.target, row.capability) for row in rows} == {
        ("call", "one.reviewer.one", "review.code"),
        ("call", "two.reviewer.two", "review.code"),
        ("tool", "reviewer", "model.complete"),
        ("quality", "reviewer@2.1.0", "review.code"),
    }
    assert all(row.state == "closed" and row.history == () for row in rows)
    assert await say(client, "two", BreakersWanted(kind="tool")) == [row for row in rows if row.kind == "tool"]


async def test_a_breaker_that_was_never_needed_can_be_forced_by_agent_and_wildcard(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer, process="one")
    two = (await neighbours.host(Reviewer, process="two")).peer
    client = await neighbours.client()
    rows = await say(client, "two", BreakersWanted(act="open", target="reviewer", reason="why", by="ann@desk"))
    assert {(row.target, row.capability) for row in rows} == {
        (f"{process}.reviewer.{process}", what) for process in ("one", "two") for what in ("review.code", "forget")
    }
    assert {(row.state, row.reason, row.by) for row in rows} == {("forced-open", "why", "ann@desk")}
    with pytest.raises(BreakerOpen, match="why"):
        await two.ask("review.code", False)
    assert await client.ask("review.code", False) in ("one", "two")
    await say(client, "two", BreakersWanted(act="close", capability="review.*", by="bob@desk"))
    assert await two.ask("review.code", False) in ("one", "two")
    assert not two.breakers.allows("one.reviewer.one", "forget")


async def test_tools_and_versions_are_forced_by_their_kind(neighbours: Neighbours) -> None:
    one = (await neighbours.host(Reviewer, process="one")).peer
    client = await neighbours.client()
    wanted = BreakersWanted(act="open", kind="tool", target="reviewer", capability="model.complete", reason="why")
    assert [row.state for row in await say(client, "one", wanted)] == ["forced-open"]
    with pytest.raises(BreakerOpen, match=r"tool model\.complete not called: why"):
        await client.ask("reviewer", False, command="review")
    await say(client, "one", BreakersWanted(act="close", kind="tool", target="reviewer"))
    wanted = BreakersWanted(act="open", kind="quality", target="reviewer@2*", capability="review.code", reason="why")
    assert [row.target for row in await say(client, "one", wanted)] == ["reviewer@2.1.0"]
    with pytest.raises(BreakerOpen) as refused:
        await one.ask("reviewer", False, command="review")
    assert refused.value.detail["kind"] == "quality"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (BreakersWanted(act="open", target="reviewer"), "reason"),
        (BreakersWanted(act="open", reason="why"), "say which"),
        (BreakersWanted(act="reset"), "say which"),
        ({"act": "explode"}, "not what is asked of breakers"),
        (["x"], "not what is asked of breakers"),
    ],
)
async def test_what_says_too_little_is_refused(neighbours: Neighbours, wanted: Any, says: str) -> None:
    await neighbours.host(Reviewer, process="one")
    with pytest.raises(BadPayload, match=says):
        await say(await neighbours.client(), "one", wanted)


async def test_who_did_it_and_why_is_logged_and_stored(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer, process="one")
    client = await neighbours.client()
    heard: list[tuple[str, Any]] = []
    await client.events.subscribe(lambda event: heard.append((event.type, event.payload)))
    await say(
        client,
        "one",
        BreakersWanted(act="open", target="reviewer.one", capability="review.code", reason="why", by="ann"),
    )
    await say(client, "one", BreakersWanted(act="close", target="reviewer.one", by="bob"))
    await until(lambda: len(heard) == 2, timeout=5)
    about = {"process": "one", "kind": "call", "target": "one.reviewer.one", "capability": "review.code"}
    assert heard == [
        ("breaker.forced", {**about, "by": "ann", "reason": "why"}),
        ("breaker.released", {**about, "by": "bob", "reason": ""}),
    ]
    assert [(each["was"], each["state"], each["by"]) for each in neighbours.told("breaker.changed")] == [
        ("closed", "forced-open", "ann"),
        ("forced-open", "closed", "bob"),
    ]


async def test_a_change_is_told_with_all_there_is_to_know(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer, process="one")
    client = await neighbours.client()
    for _ in range(3):
        with pytest.raises(HandlerFailed):
            await client.ask("review.code", True)
    (told,) = neighbours.told("breaker.changed")
    assert {name: told[name] for name in ("level", "kind", "target", "capability", "was", "state", "reason", "by")} == {
        "level": "warning", "kind": "call", "target": "one.reviewer.one", "capability": "review.code", "was": "closed",
        "state": "open", "reason": "the last 3 calls failed", "by": "",
    }  # fmt: skip
    assert (told["calls"], told["failed"], told["slow"]) == (3, 3, 0)
    assert 1.0 <= told["retry_in"] <= 1.2


async def decide(peer: Peer, entry: Entry) -> None:
    key = entry.key  # type: ignore[attr-defined]
    revision = await (await open_policies(peer.store, peer.subjects)).put(key, msgspec.json.encode(entry))
    await until(lambda: peer.policy.revision(key) == revision)


async def test_a_tool_that_an_operator_killed_is_not_called(neighbours: Neighbours) -> None:
    one = (await neighbours.host(Reviewer, process="one")).peer
    client = await neighbours.client()
    await decide(one, Switch(what="tool", name="model.*", by="ann", reason="bills"))
    for _ in range(5):
        with pytest.raises(Killed, match="bills"):
            await client.ask("review.code", False)
    assert neighbours.told("tool.called") == []
    assert {row.state for row in one.tools.breakers.rows()} == {"closed"}
    assert {row.state for row in client.breakers.rows()} == {"closed"}


async def test_a_tool_that_is_called_too_often_is_not_called(neighbours: Neighbours) -> None:
    one = (await neighbours.host(Reviewer, process="one")).peer
    client = await neighbours.client()
    await decide(one, RateLimit(tool="model.complete", calls=60.0, burst=2.0))
    results = await asyncio.gather(
        *(client.ask("review.code", False, timeout=0.5) for _ in range(6)), return_exceptions=True
    )
    assert any(isinstance(each, RateLimited) for each in results) or any(
        isinstance(each, Exception) for each in results
    )
    assert len(neighbours.told("tool.called")) == sum(isinstance(each, str) for each in results) < 6
    assert {row.state for row in one.tools.breakers.rows()} == {"closed"}
