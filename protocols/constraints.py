"""What limits a piece of work, and what it used: `Budget`, `Constraints`, `Usage`.

Constraints travel on commands and calls, usage travels on replies. Down a chain of calls constraints only narrow.
"""

from __future__ import annotations

from math import inf
from typing import Literal

import msgspec

Effect = Literal["pure", "idempotent", "costly", "at_most_once"]
"""How a command may be repeated.

`pure`: freely. `idempotent`: with the same key. `costly`: may be re-run, and is charged again (LLM calls; the default).
`at_most_once`: never after a crash; it is in doubt until somebody decides.
"""

STRICTNESS: tuple[Effect, ...] = ("pure", "idempotent", "costly", "at_most_once")
"""Later ones may be repeated less."""


def stricter(one: Effect, other: Effect) -> Effect:
    """Of two that are declared, as while a release is rolled out, the one that does no harm for either."""
    return max(one, other, key=STRICTNESS.index)


PRIORITIES = (0, 1, 2, 3)
"""0 is the most urgent; 2 is the default."""


def _least(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What work consumed. Money is in the deployment's one currency, duration in seconds."""

    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    tool_calls: int = 0
    duration: float = 0.0
    exit_status: Literal["", "success", "semantic_failure", "exception"] = ""

    @classmethod
    def told(cls, *, tokens_in: int = 0, tokens_out: int = 0, money: float = 0.0, tool_calls: int = 0) -> Usage:
        """What somebody's own code says it consumed, in the types of the wire: an answer with others could not be read.

        Raises:
            ValueError: less than nothing, or no number; says which.
        """
        said = {"tokens_in": tokens_in, "tokens_out": tokens_out, "money": money, "tool_calls": tool_calls}
        wrong = [f"{name}={value}" for name, value in said.items() if not 0 <= value < inf]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: what was used is a number of at least 0")
        return cls(tokens_in=int(tokens_in), tokens_out=int(tokens_out), money=float(money), tool_calls=int(tool_calls))

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            money=self.money + other.money,
            tool_calls=self.tool_calls + other.tool_calls,
            duration=self.duration + other.duration,
            exit_status=other.exit_status or self.exit_status,
        )


class Budget(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The most that work may consume; null means no limit of that kind. Wall time is in seconds."""

    tokens: int | None = None
    money: float | None = None
    tool_calls: int | None = None
    wall_time: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value >= 0:  # nor NaN, which would be null on the wire: no limit
                raise ValueError(f"budget {name} must be a number that is not negative, got {value}")

    def narrow(self, other: Budget) -> Budget:
        """The tighter of both in every kind: a child's budget never widens its parent's."""
        tokens, calls = _least(self.tokens, other.tokens), _least(self.tool_calls, other.tool_calls)
        return Budget(
            tokens=None if tokens is None else int(tokens),
            money=_least(self.money, other.money),
            tool_calls=None if calls is None else int(calls),
            wall_time=_least(self.wall_time, other.wall_time),
        )

    def less(self, used: Usage) -> Budget:
        """What is left after `used`, never below zero."""
        return Budget(
            tokens=None if self.tokens is None else max(0, self.tokens - used.tokens_in - used.tokens_out),
            money=None if self.money is None else max(0.0, self.money - used.money),
            tool_calls=None if self.tool_calls is None else max(0, self.tool_calls - used.tool_calls),
            wall_time=None if self.wall_time is None else max(0.0, self.wall_time - used.duration),
        )

    def allows(self, used: Usage) -> bool:
        """Whether `used` stays within this budget."""
        return (
            (self.tokens is None or used.tokens_in + used.tokens_out <= self.tokens)
            and (self.money is None or used.money <= self.money)
            and (self.tool_calls is None or used.tool_calls <= self.tool_calls)
            and (self.wall_time is None or used.duration <= self.wall_time)
        )


class Constraints(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a caller demands of the work, apart from its deadline (which the envelope carries as time remaining).

    `boundary` names a data boundary that an instance must declare by the label `boundary` (empty: any);
    `labels` must all be matched by the instance; `priority` is 0 (most urgent) to 3.
    """

    budget: Budget = Budget()
    boundary: str = ""
    priority: int = 2
    labels: dict[str, str] = {}

    def __post_init__(self) -> None:
        if self.priority not in PRIORITIES:
            raise ValueError(f"priority must be one of {PRIORITIES}, got {self.priority}")

    def narrow(self, other: Constraints) -> Constraints:
        """Both constraints at once. A child may add labels, not change them; a boundary once set stays.

        Raises:
            ValueError: the child asks for another boundary or another value of a label.
        """
        if self.boundary and other.boundary and self.boundary != other.boundary:
            raise ValueError(f"data boundary {self.boundary!r} cannot be changed to {other.boundary!r}")
        for name, value in other.labels.items():
            if self.labels.get(name, value) != value:
                raise ValueError(f"label {name}={self.labels[name]!r} cannot be changed to {value!r}")
        return Constraints(
            budget=self.budget.narrow(other.budget),
            boundary=self.boundary or other.boundary,
            priority=max(self.priority, other.priority),
            labels={**self.labels, **other.labels},
        )

    @property
    def demanding(self) -> bool:
        """Whether an instance, or its bid, has to be looked at for them."""
        budget = self.budget
        return bool(self.labels or self.boundary) or budget.wall_time is not None or budget.money is not None

    def admits(self, labels: dict[str, str]) -> bool:
        """Whether an instance with these labels may do the work."""
        if self.boundary and labels.get("boundary") != self.boundary:
            return False
        return all(labels.get(name) == value for name, value in self.labels.items())
