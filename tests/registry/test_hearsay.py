"""What is told of bidders in beats: kept by speaker, faded, bounded; and told seldom."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from mesh.protocols.conduct import Conduct, Statement
from mesh.protocols.ports import Bus, Clock
from mesh.protocols.subjects import Subjects
from mesh.registry import hearsay as module
from mesh.registry.hearsay import AT_ONCE, Hearsay
from mesh.registry.heart import Heart
from mesh.registry.promises import promises
from mesh.registry.records import Figures
from mesh.registry.statements import AGAIN, EVERY, MOST, Statements

SLOW = Conduct(
    tried=10.0, calls=8.0, promised=8.0, delivered=16.0, logs=5.5, squares=3.9, claimed=8.0, succeeded=8.0, kept=8.0
)


def of(agent: str, conduct: Conduct = SLOW, *, version: str = "1") -> Statement:
    return Statement(agent=agent, version=version, capability="do", conduct=conduct)


def test_each_process_has_one_word_and_its_newest_counts() -> None:
    hearsay = Hearsay("me")
    hearsay.told("p", [of("a")], 0.0)
    hearsay.told("p", [of("a", Conduct(calls=1.0))], 1.0)
    hearsay.told("q", [of("a")], 1.0)
    words = hearsay.about("do", 1.0)["a", "1"]
    assert [each.calls for each in words] == [1.0, 8.0]


def test_a_word_about_ones_own_agents_counts_nothing_and_neither_does_our_own() -> None:
    hearsay = Hearsay("me", lambda process, agent: (process, agent) == ("p", "mine"))
    hearsay.told("p", [of("mine"), of("other")], 0.0)
    hearsay.told("me", [of("third")], 0.0)
    assert list(hearsay.about("do", 0.0)) == [("other", "1")]


def test_who_hosts_the_agent_only_later_is_not_believed_then_either() -> None:
    hosted: set[tuple[str, str]] = set()
    hearsay = Hearsay("me", lambda process, agent: (process, agent) in hosted)
    hearsay.told("p", [of("mine")], 0.0)
    assert hearsay.about("do", 0.0)
    hosted.add(("p", "mine"))
    assert not hearsay.about("do", 0.0)


def test_what_the_dead_spoke_of_takes_no_room_from_what_the_living_speak_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUBJECTS", 2)
    hearsay = Hearsay("me")
    hearsay.told("alive", [of("a")], 0.0)
    hearsay.told("dead", [of("b")], 0.0)
    hearsay.forget("dead")
    hearsay.told("alive", [of("c")], 0.0)
    assert set(hearsay.about("do", 0.0)) == {("a", "1"), ("c", "1")}


def test_words_fade_from_the_moment_they_were_heard() -> None:
    hearsay = Hearsay("me")
    hearsay.told("p", [of("a")], 0.0)
    assert hearsay.about("do", 600.0)["a", "1"][0].calls == pytest.approx(4.0)
    assert hearsay.age("do", "a", "1", 600.0) == 600.0
    assert hearsay.age("do", "b", "1", 600.0) is None


def test_who_is_gone_says_nothing_any_more() -> None:
    hearsay = Hearsay("me")
    hearsay.told("p", [of("a")], 0.0)
    hearsay.forget("p")
    assert hearsay.about("do", 0.0) == {}


def test_sums_that_cannot_be_are_not_kept() -> None:
    hearsay = Hearsay("me")
    hearsay.told("p", [of("a", Conduct(calls=-1.0)), of("b", Conduct(delivered=1e300))], 0.0)
    assert hearsay.about("do", 0.0) == {}


def test_hearsay_is_bounded_in_subjects_and_in_speakers_and_nobody_is_heard_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SUBJECTS", 10)
    monkeypatch.setattr(module, "SPEAKERS", 3)
    hearsay = Hearsay("me")
    hearsay.told("p", [of(f"a{number}") for number in range(2 * AT_ONCE)], 0.0)
    assert list(hearsay.about("do", 0.0)) == [(f"a{number}", "1") for number in range(AT_ONCE - 10, AT_ONCE)]
    for number in range(9):
        hearsay.told(f"p{number}", [of("a")], float(number))
    assert len(hearsay.about("do", 9.0)["a", "1"]) == 3


class Source:
    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []

    def testify(self, most: int, now: float, *, changed: bool) -> tuple[Statement, ...]:
        self.asked.append((most, changed))
        return (of("a"),)


def test_a_process_tells_with_few_of_its_beats_what_changed_and_now_and_then_everything() -> None:
    statements, source = Statements(), Source()
    assert statements.due(0.0) == ()
    statements.source = source
    told = [number for number in range(int(AGAIN) + 1) if statements.due(float(number))]
    assert told == list(range(0, int(AGAIN) + 1, int(EVERY)))
    assert source.asked == [(MOST, False), *[(MOST, True)] * (len(told) - 2), (MOST, False)]
    assert statements.everything(99.0) == (of("a"),)


@pytest.mark.virtual
async def test_a_source_that_fails_does_not_stop_the_heart(clock: Clock) -> None:
    """A process without beats is passed over by everybody, though it lives."""

    class Broken:
        def testify(self, most: int, now: float, *, changed: bool) -> tuple[Statement, ...]:
            raise RuntimeError("a bug")

    sent: list[str] = []
    bus = SimpleNamespace(connected=True, publish=lambda subject, data: sent.append(subject))
    heart = Heart(cast(Bus, bus), clock, Subjects(), "p", "i", 1.0)
    heart.testify(Broken())
    beating = asyncio.ensure_future(heart.beat())
    for number in range(20):
        heart.set("a.1", Figures(queue=number))
        await clock.sleep(1.0)
    assert not beating.done()
    assert len(sent) >= 10
    beating.cancel()


def test_people_see_what_was_promised_beside_what_came() -> None:
    hearsay = Hearsay("me")
    for process in "pq":
        hearsay.told(process, [of("a")], 0.0)
    [row] = promises("do", [], hearsay, 60.0)
    assert (row["agent"], row["version"], row["instances"], row["told_by"], row["age_s"]) == ("a", "1", 0, 2, 60.0)
    assert (row["promised_s"], row["delivered_s"], row["ratio"]) == pytest.approx((0.95, 1.95, 2.0))
    assert row["success"] == row["success_claimed"] == 1.0
    assert 1.0 < row["believed"] < 2.0
    assert row["price_asked"] is None
