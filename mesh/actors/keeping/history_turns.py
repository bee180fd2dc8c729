"""`Turn` and `Transcript`: what was said in a conversation, and what falls off its end. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mesh.protocols.constraints import Usage
from mesh.protocols.errors import TooLarge

Role = Literal["system", "user", "assistant", "tool"]


class Turn(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing said. `content` is text or any JSON, `at` in Unix seconds; `usage` is what it cost. A `key` tells a turn
    that is added again from a new one."""

    role: Role
    content: Any
    at: float = 0.0
    usage: Usage = Usage()
    key: str = ""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The most that a conversation keeps: turns, and bytes of JSON."""

    turns: int = 50
    size: int = 64 * 1024

    def __post_init__(self) -> None:
        if self.turns < 2 or not 1024 <= self.size <= 1024 * 1024:
            raise TypeError(f"turns={self.turns}, size={self.size}: at least 2 turns, and 1 KiB to 1 MiB in all")


class Transcript(msgspec.Struct, frozen=True, omit_defaults=True):
    """The turns that are kept, oldest first, and how many were before them."""

    turns: tuple[Turn, ...] = ()
    fallen: int = 0

    def has(self, key: str) -> bool:
        """Whether a turn with this key is among them."""
        return bool(key) and any(each.key == key for each in self.turns)

    def with_turn(self, turn: Turn, bounds: Bounds, *, halve: bool) -> tuple[Transcript, tuple[Turn, ...]]:
        """One more turn, and the oldest ones that have to go for it; with `halve`, down to half of what may be kept, so that
        whoever sums them up is not asked for every turn.

        Raises:
            TooLarge: the turn alone is above the bound.
        """
        size = _size(turn)
        if size > bounds.size:
            raise TooLarge(
                f"a turn of {size} bytes; this history keeps {bounds.size} in all: put what is large into `ctx.objects()`, "
                "and its digest into the turn",
                detail={"size": size, "limit": bounds.size},
            )
        turns = (*self.turns, turn)
        sizes = [_size(each) for each in turns]
        if len(turns) <= bounds.turns and sum(sizes) <= bounds.size:
            return Transcript(turns, self.fallen), ()
        most, room = (bounds.turns // 2, bounds.size // 2) if halve else (bounds.turns, bounds.size)
        first = len(turns) - 1
        room -= sizes[first]
        while first > 0 and len(turns) - first < most and room >= sizes[first - 1]:
            first -= 1
            room -= sizes[first]
        return Transcript(turns[first:], self.fallen + first), turns[:first]

    def opened_with(self, summary: Turn) -> Transcript:
        """With a summary of what fell as its first turn."""
        return Transcript((summary, *self.turns), self.fallen)


def _size(turn: Turn) -> int:
    return len(msgspec.json.encode(turn))
