"""`Fault`: one piece of bad luck that a seed has drawn, and the kinds there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "crash", "crash-on-append", "crash-on-effect", "crash-on-word", "cut", "partition", "slow", "stop", "server", "leaderless", "clock",
    "storm", "disk", "drain", "sick", "switch", "limit", "share", "ail", "ration", "deaf",
]  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """`kind` happens to `target` `at` so many seconds after everything is up."""

    at: float
    kind: Kind
    target: str = ""
    seconds: float = 0.0
    """How long it lasts, or until the process is there again."""
    number: int = 0
    """At the how many-th occasion, or after how many steps; of a limit, calls a minute; of a ration, tokens; of a share, how many at once."""
    way: str = ""

    def __str__(self) -> str:
        words = [f"+{self.at:.2f}s {self.kind}", self.target, self.way]
        if self.number:
            words.append(f"no. {self.number}")
        if self.seconds:
            words.append(f"for {self.seconds:.2f}s")
        return " ".join(filter(None, words))
