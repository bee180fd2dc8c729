"""A switch holds in every process a moment after it is set, and until it is lifted."""

from __future__ import annotations

import pytest

from mesh.policy.board import Change
from mesh.protocols.errors import Killed, MeshError
from mesh.protocols.policies import KINDS, Switch, entry_in, switch_key
from mesh.testing.virtual_time import until
from tests.policy.policy_operator import Operator

pytestmark = pytest.mark.virtual


def reviewer(**fields: object) -> Switch:
    return Switch(what="agent", name="reviewer", by="ada@desk", reason="it loops", **fields)  # type: ignore[arg-type]


async def test_nothing_is_killed_while_no_switch_is_set(operator: Operator) -> None:
    policy = await operator.watching()
    assert not policy.switches
    assert policy.killed(agent="reviewer", tenant="acme") is None


async def test_a_switch_is_in_force_everywhere_within_a_moment(operator: Operator) -> None:
    policies = [await operator.watching(f"p{number}") for number in range(5)]
    await operator.put(reviewer())
    began = operator.clock.monotonic()
    await until(lambda: all(each.killed(agent="reviewer") for each in policies))
    assert operator.clock.monotonic() - began < 1.0
    await operator.lift(reviewer().key)
    await until(lambda: not any(each.switches for each in policies))


async def test_a_process_that_starts_later_knows_of_it_from_its_first_moment(operator: Operator) -> None:
    await operator.put(reviewer())
    policy = await operator.watching()
    assert policy.killed(agent="reviewer") is not None


async def test_who_asks_is_told_who_killed_it_and_why(operator: Operator) -> None:
    await operator.put(reviewer())
    policy = await operator.watching()
    with pytest.raises(Killed, match=r"agent reviewer was killed by ada@desk: it loops") as raised:
        policy.check(agent="reviewer")
    assert raised.value.detail["by"] == "ada@desk"
    assert raised.value.blame == "nobody"


async def test_before_the_first_reading_everything_is_killed(operator: Operator) -> None:
    policy = operator.unstarted()
    assert policy.switches
    assert policy.killed(capability="pay.refund") is not None
    await policy.start()
    assert policy.killed(capability="pay.refund") is None


async def test_a_bucket_that_cannot_be_read_ends_the_start_with_a_clear_error(operator: Operator) -> None:
    policy = operator.unstarted()
    operator.server.stop()
    with pytest.raises(MeshError):
        await policy.start()
    assert policy.killed(agent="anybody") is not None


async def test_what_was_known_last_holds_while_the_server_is_away_and_after(operator: Operator) -> None:
    policy = await operator.watching()
    await operator.put(reviewer())
    await until(lambda: policy.killed(agent="reviewer"))
    operator.server.stop()
    assert policy.killed(agent="reviewer") is not None
    operator.server.start()
    await operator.put(Switch(what="tenant", name="acme"))
    await until(lambda: policy.killed(tenant="acme"))
    assert policy.killed(agent="reviewer") is not None


async def test_a_switch_whose_entry_cannot_be_read_holds_and_is_told(operator: Operator) -> None:
    policy = await operator.watching()
    await operator.put_raw("kill.tool.search", b"{nonsense")
    await until(lambda: policy.killed(tool="search"))
    (told,) = operator.told("policy.unreadable")
    assert told["key"] == "kill.tool.search"


async def test_an_entry_nobody_understands_is_told_and_changes_nothing(operator: Operator) -> None:
    policy = await operator.watching()
    for key in ("kill.planet.earth", "whatever", "kill.agent", "limit.agent", "flag."):
        if not key.endswith("."):
            await operator.put_raw(key, b"{}")
    await until(lambda: len(operator.told("policy.unreadable")) == 4)
    assert not policy.switches
    assert not policy.limits


async def test_a_plain_key_without_any_value_is_a_switch(operator: Operator) -> None:
    policy = await operator.watching()
    await operator.put_raw("kill.agent.reviewer", b"")
    await until(lambda: policy.killed(agent="reviewer"))
    assert not operator.told("policy.unreadable")


async def test_a_switch_with_an_end_is_lifted_at_its_end_even_without_the_server(operator: Operator) -> None:
    policy, clock = await operator.watching(), operator.clock
    changes: list[Change] = []
    policy.on_change(changes.append)
    await operator.put(reviewer(until=clock.now() + 3600))
    await until(lambda: policy.switches)
    operator.server.stop()
    await clock.sleep(3599)
    assert policy.killed(agent="reviewer") is not None
    await clock.sleep(2)
    assert policy.killed(agent="reviewer") is None
    assert [change.entry is None for change in changes] == [False, True]


async def test_on_change_hears_of_every_decision_and_can_be_taken_off(operator: Operator) -> None:
    policy = await operator.watching()
    changes: list[Change] = []
    off = policy.on_change(changes.append)
    await operator.put(reviewer())
    await until(lambda: changes)
    assert changes[0].key == "kill.agent.reviewer"
    off()
    await operator.lift("kill.agent.reviewer")
    await until(lambda: not policy.switches)
    assert len(changes) == 1


@pytest.mark.parametrize(
    ("switch", "killed", "spared"),
    [
        (Switch(what="capability", name="pay.*"), "pay.refund", "payout"),
        (Switch(what="capability", name="pay.*"), "pay", "review.pay"),
        (Switch(what="capability", name="pay.refund"), "pay.refund", "pay.refund.partial"),
        (Switch(what="tenant", name="*"), "anybody", ""),
        (Switch(what="step-kind", name="effect"), "effect", "effects"),
        (Switch(what="tool", name="https://search"), "https://search", "search"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
async def test_a_name_is_exact_or_ends_in_a_star(operator: Operator, switch: Switch, killed: str, spared: str) -> None:
    policy = await operator.watching()
    await operator.put(switch)
    await until(lambda: policy.switches)
    kind = switch.what.replace("-", "_")
    assert policy.killed(**{kind: killed}) is not None
    assert policy.killed(**{kind: spared}) is None


async def test_one_version_or_one_instance_is_killed_and_the_others_go_on(operator: Operator) -> None:
    policy = await operator.watching()
    await operator.put(Switch(what="version", name="reviewer@1.*"))
    await operator.put(Switch(what="instance", name="reviewer.r-2"))
    await until(lambda: len(policy.switches) == 2)
    assert policy.killed(agent="reviewer", version="1.2.0", instance="reviewer.r-1") is not None
    assert policy.killed(agent="other", version="1.2.0") is None
    assert policy.killed(agent="reviewer", version="2.0.0", instance="r-1") is None
    assert policy.killed(agent="reviewer", version="2.0.0", instance="r-2") is not None


async def test_a_narrow_switch_never_undoes_a_wide_one_and_the_exact_one_is_named(operator: Operator) -> None:
    policy = await operator.watching()
    for name in ("*", "pay.*", "pay.refund"):
        await operator.put(Switch(what="capability", name=name))
    await until(lambda: len(policy.switches) == 3)
    for left in ("pay.refund", "pay.*", "*"):
        found = policy.killed(capability="pay.refund")
        assert found is not None
        assert found.name == left
        await operator.lift(found.key)
        await until(lambda key=found.key: key not in policy.switches)
    assert policy.killed(capability="pay.refund") is None


@pytest.mark.parametrize("what", KINDS)
def test_every_kind_of_switch_survives_its_key(what: str) -> None:
    for name in ("a", "a.b", "a.*", "*", "ünder=way/1:2"):
        name = f"agent@{name}" if what == "version" and name != "*" else name
        key = switch_key(what, name)  # type: ignore[arg-type]
        assert not set(key) & set("*> \t@:")
        assert entry_in(key, b"{}") == Switch(what=what, name=name)  # type: ignore[arg-type]


async def test_two_spellings_of_one_name_must_both_be_lifted(operator: Operator) -> None:
    policy = await operator.watching()
    await operator.put_raw("kill.capability.pay.=2A", b"{}")
    await operator.put_raw("kill.capability.pay.=2a", b"{}")
    await until(lambda: policy.revision("kill.capability.pay.=2a"))
    await operator.lift("kill.capability.pay.=2A")
    await until(lambda: not policy.revision("kill.capability.pay.=2A"))
    assert policy.killed(capability="pay.refund") is not None
    await operator.lift("kill.capability.pay.=2a")
    await until(lambda: not policy.switches)


async def test_a_switch_with_an_end_is_lifted_however_its_key_was_spelt(operator: Operator) -> None:
    """Whoever writes it by hand need not know our spelling, and need not give the key a time to live."""
    policy = await operator.watching()
    end = operator.clock.now() + 60
    await operator.put_raw("kill.capability.pay.=2a", b'{"until": %d}' % end)
    await until(lambda: policy.killed(capability="pay.refund"))
    await operator.clock.sleep(61)
    assert policy.killed(capability="pay.refund") is None
