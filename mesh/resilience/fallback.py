"""What stands in when an ask comes to nothing: a cached answer, another agent, a degraded answer, a person.

    answer = await mesh.ask("rates", "EUR", fallbacks=(Cached(max_age=60), Degraded({"rate": None})))
    answer.value, answer.source            # … "full", "cached", "agent", "degraded" or "person"

They are tried in order. An answer always says what it is, and so does whatever is made out of it: a handler that used one
passes the mark on with its own reply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from mesh.protocols.answer_source import Source
from mesh.protocols.errors import BudgetExceeded, DeadlineExceeded, MeshError, Transient, UnknownAgent
from mesh.resilience.variation import FINAL

T = TypeVar("T")
MOST = 0.5
"""The most of the time that is kept back for all fallbacks together."""


class Answer(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What came of an ask with fallbacks. `why` says what went wrong where it is not `full`; `by` is `<agent>.<instance>`
    of whoever gave it, where somebody did."""

    value: T
    source: Source = "full"
    why: str = ""
    by: str = ""


class Cached(msgspec.Struct, frozen=True):
    """The last good answer to the very same question, at most `max_age` seconds old. Kept in this process, for those who ask
    with `Cached`: by target, command, payload, tenant and what the instance had to be."""

    max_age: float
    source: ClassVar[Source] = "cached"
    share: ClassVar[float] = 0.05


class FallbackAgent(msgspec.Struct, frozen=True):
    """Another agent (or instance, or capability), asked the same, or for another `command`."""

    target: str
    command: str = ""
    source: ClassVar[Source] = "agent"
    share: ClassVar[float] = 0.3


class Degraded(msgspec.Struct, frozen=True):
    """A value that is better than none; or a function that makes it of the error, plain or `async`."""

    value: Any | Callable[[MeshError], Any]
    source: ClassVar[Source] = "degraded"
    share: ClassVar[float] = 0.05


class Person(msgspec.Struct, frozen=True):
    """An agent behind which a person sits. It is asked with a patience of its own, in seconds, from the moment that the
    others have failed: beyond `timeout`, but never beyond the deadline of whoever waits for the caller."""

    target: str
    command: str = ""
    patience: float = 600.0
    source: ClassVar[Source] = "person"
    share: ClassVar[float] = 0.0


Fallback = Cached | FallbackAgent | Degraded | Person


def worth_a_fallback(error: MeshError) -> bool:
    """Whether something else may stand in: not for the caller's own mistakes, and not where somebody must look or has said no.

    An agent that is not there is worth one: a name that is wrong and one whose instances have all died look the same.
    """
    if isinstance(error, Transient | UnknownAgent | DeadlineExceeded | BudgetExceeded):
        return True
    return error.error_class == "semantic" and error.blame != "caller" and not isinstance(error, FINAL)


def kept_back(fallbacks: tuple[Fallback, ...]) -> list[float]:
    """The share of the whole time by which each must have begun: the attempts end at the first of them.

    Each keeps its own `share` back for itself, at most `MOST` together.
    """
    shares = [each.share for each in fallbacks]
    scale = min(1.0, MOST / total) if (total := sum(shares)) else 1.0
    return [1.0 - scale * sum(shares[number:]) for number in range(len(shares) + 1)]
