"""Which failures are varied, which lead to a fallback, how time is kept back for it, and what a cache remembers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.errors import MeshError, every_error
from mesh.protocols.ports import Clock
from mesh.resilience.fallback import (
    MOST,
    Cached,
    Degraded,
    Fallback,
    FallbackAgent,
    Person,
    kept_back,
    worth_a_fallback,
)
from mesh.resilience.fallback_cache import AnswerCache, key_of
from mesh.resilience.variation import Variation, next_variation, varies

NEVER = {
    "bad-payload", "bad-envelope", "version-unsupported", "too-large", "invalid-name", "unknown-command",
    "unknown-capability", "unknown-workflow", "unknown-job", "unknown-letter", "call-cycle", "too-many-hops", "cancelled",
    "key-reused", "not-understood", "in-doubt", "denied", "wait-expired", "lease-lost", "fenced", "journal-corrupt",
    "replay-diverged", "catastrophic",
}  # fmt: skip
"""The caller's own mistakes; what a person decided, or must look at; and what must halt."""
KINDS = [each for each in every_error() if each is not MeshError and each.__module__ == MeshError.__module__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_a_fallback_stands_in_for_everything_but_one_s_own_mistakes(kind: type[MeshError]) -> None:
    assert worth_a_fallback(kind("x")) == (kind.code not in NEVER)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_only_semantic_failures_of_the_other_side_are_varied(kind: type[MeshError]) -> None:
    expected = kind.error_class == "semantic" and kind.code not in NEVER | {"unknown-agent", "deadline-exceeded"}
    assert varies(kind("x")) == expected


def test_variations_are_taken_in_order_or_made_of_the_error() -> None:
    one, two, error = Variation(payload=1), Variation(target="b"), MeshError("x")
    assert [next_variation((one, two), error, number) for number in (1, 2, 3)] == [one, two, None]
    assert next_variation(lambda error, number: two if number == 1 else None, error, 1) is two
    assert one.words == "with another payload"
    assert Variation(target="b", labels={"tier": "2"}).words == "asking b under other constraints"


fallbacks = st.lists(
    st.sampled_from([Cached(1.0), FallbackAgent("b"), Degraded(None), Person("p")]), max_size=6
)  # fmt: skip


@given(fallbacks)
def test_each_has_time_left_and_the_attempts_have_at_least_half(chain: list[Fallback]) -> None:
    ends = kept_back(tuple(chain))
    assert len(ends) == len(chain) + 1
    assert ends == sorted(ends)
    assert ends[0] >= 1.0 - MOST - 1e-9
    assert ends[-1] == pytest.approx(1.0)
    assert all(later > sooner for sooner, later, each in zip(ends, ends[1:], chain, strict=False) if each.share)


@pytest.mark.virtual
async def test_an_answer_is_kept_for_its_time(clock: Clock) -> None:
    cache = AnswerCache(clock)
    cache.put(b"k", msgspec.Raw(b"1"), "a.b")
    await clock.sleep(10.0)
    found = cache.get(b"k", 10.0)
    assert found is not None
    assert (found.payload, found.by) == (b"1", "a.b")
    assert cache.get(b"k", 9.0) is None


@pytest.mark.virtual
async def test_the_least_recently_used_is_forgotten_first(clock: Clock) -> None:
    cache = AnswerCache(clock, entries=2)
    for each in (b"a", b"b"):
        cache.put(each, msgspec.Raw(b"1"), "")
    cache.get(b"a", 1.0)
    cache.put(b"c", msgspec.Raw(b"1"), "")
    assert [cache.get(each, 1.0) is not None for each in (b"a", b"b", b"c")] == [True, False, True]


@pytest.mark.virtual
async def test_no_more_is_kept_than_there_is_room_for(clock: Clock) -> None:
    cache = AnswerCache(clock, size=1600)
    for number in range(100):
        cache.put(bytes([number]), msgspec.Raw(b"x" * 90), "")
    assert len(cache) == 17
    cache.put(b"big", msgspec.Raw(b"x" * 101), "")
    assert cache.get(b"big", 1.0) is None


def test_what_is_another_s_or_asked_of_others_is_another_question() -> None:
    raw = msgspec.Raw(b"1")
    keys = [
        key_of("t", "a", "c", raw, "", {}),
        key_of("u", "a", "c", raw, "", {}),
        key_of("t", "b", "c", raw, "", {}),
        key_of("t", "a", "d", raw, "", {}),
        key_of("t", "a", "c", msgspec.Raw(b"2"), "", {}),
        key_of("t", "a", "c", raw, "eu", {}),
        key_of("t", "a", "c", raw, "", {"zone": "b"}),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of("t", "a", "c", raw, "", {"x": "1", "y": "2"}) == key_of("t", "a", "c", raw, "", {"y": "2", "x": "1"})
