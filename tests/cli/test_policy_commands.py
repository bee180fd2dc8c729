"""`mesh kill|allow|flag|limit|policy` and `mesh tenant share`: what is said is in force, on record, and proven."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from mesh import Mesh, agent
from mesh.cli.exits import Exit
from mesh.protocols.errors import Killed
from mesh.registry.buckets import lease_key, open_leases
from mesh.registry.records import Lease
from mesh.testing.virtual_time import until
from tests.command_line import CommandLine
from tests.servers import RealServer

pytestmark = [pytest.mark.server]


@agent
async def reviewer(text: str) -> str:
    return text.upper()


@pytest.fixture
async def host(server: RealServer) -> AsyncIterator[Mesh]:
    async with Mesh.connect(server.url, process="host") as mesh:
        await mesh.host(reviewer)
        yield mesh


async def test_an_agent_is_killed_everywhere_listed_allowed_and_all_of_it_is_on_record(
    host: Mesh, cli: CommandLine
) -> None:
    assert await host.ask("reviewer", "a") == "A"
    decided = await cli.json("kill", "agent", "reviewer", "--reason", "it loops", "--by", "ada@desk", "--for", "1h")
    assert (decided["in_force"], decided["silent"], decided["seconds"] > 0.0) == (["host"], [], True)
    with pytest.raises(Killed, match="ada@desk: it loops"):
        await host.ask("reviewer", "a")
    (row,) = await cli.json("kill", "ls")
    assert (row["what"], row["name"], row["by"], row["reason"]) == ("agent", "reviewer", "ada@desk", "it loops")
    code, out, _ = await cli("allow", "agent", "reviewer", "--by", "bob@desk")
    assert (code, "in force in 1 process that hosts something after" in out) == (0, True)
    assert await host.ask("reviewer", "a") == "A"
    history: list[tuple[str, str, str]] = []
    async with asyncio.timeout(40):
        while history[-2:] != [
            ("set", "kill.agent.reviewer", "ada@desk"), ("unset", "kill.agent.reviewer", "bob@desk"),
        ]:  # fmt: skip
            rows = await cli.json("policy", "history", "--key", "kill.agent.")
            history = [(row["action"], row["key"], row["by"]) for row in rows]


async def test_a_client_goes_by_a_switch_though_it_is_not_counted_among_those_that_confirm(
    host: Mesh, server: RealServer, cli: CommandLine
) -> None:
    async with Mesh.connect(server.url, process="caller") as caller:
        assert await caller.ask("reviewer", "a") == "A"
        code, out, err = await cli("kill", "instance", "reviewer.host", "--reason", "it loops")
        assert (code, "in force in 1 process that hosts something" in out) == (0, True)
        assert "clients and gateways, which host nothing, are told as well but not asked" in err
        with pytest.raises(Killed, match="it loops"):
            await caller.ask("reviewer", "a")
        await until(lambda: caller.peer.policy.killed(instance="reviewer.host") is not None, timeout=20)
        code, _, _ = await cli("allow", "instance", "reviewer.host")
        assert code == 0


async def test_a_process_that_does_not_confirm_is_named_and_the_switch_holds_all_the_same(
    host: Mesh, cli: CommandLine
) -> None:
    """A lease that somebody holds who never answers; `--timeout` says how long that is waited for."""
    ghost = Lease(process="ghost", host="h", pid=1, incarnation="i", server_id="S", client_id=7, seconds=60)
    leases = await open_leases(host.peer.store, host.peer.subjects)
    await leases.put(lease_key("ghost"), msgspec.json.encode(ghost), ttl=60)
    try:
        code, out, err = await cli("kill", "tool", "search", "--reason", "it loops", "--timeout", "0.5")
    finally:
        await leases.delete(lease_key("ghost"))
    assert code == Exit.TIMED_OUT
    assert "tool search is killed" in out
    assert "not confirmed by ghost" in err
    assert "search" in [row["name"] for row in await cli.json("kill", "ls")]
    assert (await cli("allow", "tool", "search"))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("kill", "agent", "reviewer"), "--reason"),
        (("kill", "agent", "re*viewer", "--reason", "x"), "pay.*"),
        (("kill", "version", "1.2.0", "--reason", "x"), "reviewer@1.2.0"),
        (("kill", "tenant", "*", "--reason", "x"), "--yes"),
        (("kill", "step-kind", "effect", "--reason", "x"), "call, local, child"),
        (("kill", "tool", "a", "--reason", "x", "--for", "1h", "--until", "18:30"), "not both"),
        (("kill", "tool", "a", "--reason", "x", "--until", "2001-01-01"), "is over"),
        (("kill", "tool", "a", "--reason", "x", "--for", "999999999999d"), "no calendar"),
        (("kill", "tool", "a", "--reason", "x", "--for", "0"), "no time at all"),
        (("kill", "tool", "a", "--reason", "x", "--for", ""), "--for is empty"),
        (("kill", "tool", "a", "--reason", "x" * 501), "say it in 500"),
        (("kill", "tenant", "Acme", "--reason", "x"), "lower-case"),
        (("allow", "agent", "nobody"), "killed: nothing"),
        (("allow", "planet", "earth"), "planet"),
        (("flag", "set", "a flag", "1"), "letters"),
        (("flag", "set", "a-flag", "1", "--tenant", ""), "--tenant is empty"),
        (("flag", "set", "a-flag", "1", "--reason", "x" * 501), "say it in 500"),
        (("flag", "unset", "unknown"), "not set"),
        (("limit", "set", "agent", "reviewer"), "--calls"),
        (("limit", "set", "agent", "--calls", "60/min"), "say what and which"),
        (("limit", "set", "planet", "earth", "--calls", "60/min"), "planet"),
        (("limit", "set", "agent", "reviewer", "--calls", "many"), "60/min"),
        (("limit", "set", "agent", "reviewer", "--calls", "6000/min", "--burst", "1"), "at least"),
        (("limit", "set", "tenant", "acme", "tenant", "bar", "--calls", "60/min"), "each kind of thing once"),
        (("limit", "set", "agent", "reviewer", "--calls", "60/min", "--burst", "nan"), "at least"),
        (("limit", "set", "agent", "reviewer", "--calls", "7/min", "--burst", "1.02"), "at least 1.03"),
        (("limit", "set", "agent", "reviewer", "--calls", "7/min", "--token-burst", "5"), "without --tokens"),
        (("limit", "set", "agent", "reviewer", "--calls", "9999999999999/min"), "less than 1e12"),
        (("limit", "set", "capability", "pay.*", "--calls", "60/min"), "for each capability its own"),
        (("limit", "set", "tenant", "Acme", "--calls", "60/min"), "lower-case"),
        (("limit", "unset", "agent", "nobody"), "no limit"),
        (("tenant", "share", "acme"), "--weight"),
        (("tenant", "share", "acme", "--weight", "0"), "mesh kill tenant"),
        (("tenant", "share", "nobody", "--unset"), "no share"),
    ],
    ids=lambda each: " ".join(each[:3]) if isinstance(each, tuple) else "",
)
async def test_what_cannot_be_meant_is_said_so_and_changes_nothing(
    cli: CommandLine, arguments: tuple[str, ...], says: str
) -> None:
    code, _, err = await cli(*arguments)
    assert (code, says in err) == (2, True), err


async def test_an_allowed_name_may_still_be_killed_by_a_wider_switch(cli: CommandLine) -> None:
    await cli.json("kill", "capability", "pay.*", "--reason", "audit")
    await cli.json("kill", "capability", "pay.refund", "--reason", "audit")
    code, _, err = await cli("allow", "capability", "pay.refund")
    assert (code, "capability pay.*" in err) == (5, True)
    await cli.json("allow", "capability", "pay.*")
    assert await cli.json("kill", "ls") == []


async def test_what_is_allowed_may_be_killed_in_part_and_is_said_to_be(cli: CommandLine) -> None:
    await cli.json("kill", "agent", "reviewer", "--reason", "audit")
    await cli.json("kill", "version", "reviewer@1.2.0", "--reason", "audit")
    code, _, err = await cli("allow", "agent", "reviewer")
    assert (code, "but not all of it: version reviewer@1.2.0 is killed by a switch of its own" in err) == (0, True), err
    _, _, err = await cli("allow", "version", "reviewer@1.2.0")
    assert "but not all" not in err


async def test_a_name_that_nobody_has_is_killed_and_said_to_be_nobody_s(host: Mesh, cli: CommandLine) -> None:
    version = host.directory.instances("reviewer")[0].record.version
    code, out, err = await cli("kill", "version", f"reviewerr@{version}", "--reason", "typed at night", "--for", "1h")
    assert (code, "is killed" in out, f"there is: reviewer@{version})" in err) == (0, True, True)
    out = ""
    async with asyncio.timeout(40):
        while f"kill.version.reviewerr@{version} " not in out:  # names as people write them
            _, out, _ = await cli("policy", "history", "--key", "kill.version.")
    await cli("allow", "version", f"reviewerr@{version}")


async def test_flags_limits_and_shares_are_set_listed_and_unset(host: Mesh, cli: CommandLine) -> None:
    await cli.json("flag", "set", "model", "large", "--tenant", "acme", "--percent", "10")
    await cli.json("flag", "set", "retries", "3")
    flags = {row["name"]: row for row in await cli.json("flag", "ls")}
    assert (flags["model"]["value"], flags["model"]["percent"], flags["retries"]["value"]) == ("large", 10.0, 3)
    await cli.json("flag", "unset", "model", "--tenant", "acme")
    await cli.json("limit", "set", "agent", "reviewer", "--calls", "600/min", "--tokens", "100000/min")
    await host.ask("reviewer", "a")
    limits = {row["kind"]: row for row in await cli.json("limit", "ls")}
    assert (limits["calls"]["limit"], limits["calls"]["a_minute"]) == ("agent reviewer", 600.0)
    assert 0 < limits["calls"]["left"] <= limits["calls"]["burst"]
    await cli.json("limit", "unset", "agent", "reviewer")
    await cli.json("tenant", "share", "acme", "--weight", "3", "--at-once", "4")
    await cli.json("tenant", "share", "acme", "--queue", "100")
    (share,) = await cli.json("tenant", "ls")
    assert (share["weight"], share["at_once"], share["queue"]) == (3.0, 4, 100)
    assert host.peer.policy.share("acme").queue == 100
    keys = [row["key"] for row in await cli.json("policy", "ls")]
    assert keys == ["flag.retries", "share.acme"]
    await cli.json("flag", "unset", "retries")
    await cli.json("tenant", "share", "acme", "--unset")


async def test_what_nobody_can_read_is_shown_as_such(host: Mesh, cli: CommandLine) -> None:
    from mesh.policy.policy import open_policies

    bucket = await open_policies(host.peer.store, host.peer.subjects)
    await bucket.put("kill.tool.search", b"oops")
    (row,) = await cli.json("policy", "ls")
    assert "it holds" in row["trouble"]
    code, out, err = await cli("kill", "ls")
    assert (code, "search" in out, "cannot be read" in err) == (0, True, True)
    await cli.json("allow", "tool", "search")


async def test_a_flag_that_is_a_text_is_told_from_one_that_is_not(cli: CommandLine) -> None:
    _, out, _ = await cli("flag", "set", "bold", "True")
    assert 'flag bold is "True" (a text)' in out
    _, out, _ = await cli("flag", "ls")
    assert '"True"' in out
    await cli("flag", "set", "bold", "true", "--percent", "50")
    _, out, _ = await cli("policy", "ls")
    assert "name=bold value=true percent=50" in out
    await cli("flag", "unset", "bold")


async def test_nothing_found_says_of_what(host: Mesh, cli: CommandLine) -> None:
    assert "nothing of kill.planet was decided" in (await cli("policy", "history", "--key", "kill.planet"))[2]
    assert "no agent there is like that; agents here: reviewer" in (await cli("registry", "ls", "--label", "a=b"))[2]


async def test_how_far_back_may_be_before_there_were_calendars(cli: CommandLine) -> None:
    code, _, err = await cli("events", "--since", "99999999999d", "--type", "planet.formed")
    assert code == 0, err


async def test_an_agent_is_shown_with_what_it_offers_in_a_table_of_its_own(host: Mesh, cli: CommandLine) -> None:
    _, out, _ = await cli("registry", "show", "reviewer")
    fields, offers = out.split("\n\n")
    assert "declares" not in fields
    assert [line.split()[:4] for line in offers.splitlines()[::2]] == [
        ["CAPABILITY", "COMMAND", "EFFECT", "TIMEOUT"], ["–", "reviewer", "costly", "5"],
    ]  # fmt: skip
