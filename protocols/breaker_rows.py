"""What is said of circuit breakers: how one stands, what it went through, and what a person wants done with it.

Carried by the control message `breakers`: a `BreakersWanted` (or null: list all) is answered with `BreakerRow`s.
"""

from __future__ import annotations

from typing import Literal

import msgspec

BreakerState = Literal["closed", "open", "half-open", "forced-open"]
BreakerKind = Literal["call", "tool", "quality"]
"""`call`: an instance and one of its capabilities. `tool`: an agent and something outside. `quality`: the outputs of an agent's
version."""
BreakerAct = Literal["ls", "show", "open", "close", "reset"]


class Passage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One change of state: `at` that time (seconds, Unix time on the wire), from `was` to `state`, and `why`; `by` a person, if
    one did it."""

    at: float
    was: BreakerState
    state: BreakerState
    why: str
    by: str = ""


class BreakerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One breaker of one process. `target` is `<process>.<agent>.<instance>`, the agent of a tool, or `<agent>@<version>`;
    `capability` the capability, the command where it has none, or the tool.

    `calls`, `failed` and `slow` are counted in the window; `permits` is how many trial calls may be made (None unless it is
    half-open); `retry_in` is in seconds, None unless it is open; `by` is who forced it; `history` is told by `show` alone.
    """

    kind: BreakerKind
    target: str
    capability: str
    state: BreakerState
    reason: str
    calls: int
    failed: int
    slow: int
    permits: int | None = None
    retry_in: float | None = None
    by: str = ""
    history: tuple[Passage, ...] = ()


class BreakersWanted(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The payload of `breakers`. Empty names mean any; `target` may be an agent, an instance or a whole key, and it and
    `capability` may have wildcards (`*`, `?`). `open` needs a `reason`; `by` says who wants it."""

    act: BreakerAct = "ls"
    kind: BreakerKind | None = None
    target: str = ""
    capability: str = ""
    reason: str = ""
    by: str = ""
