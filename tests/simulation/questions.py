"""`Question`: a call of the client beside its jobs, and which of them a seed draws."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

How = Literal[
    "ask", "tell", "call", "pay", "charge", "relay", "hedge", "hedge-call", "hedge-pay", "front", "front-dry", "front-auction", "till", "scribe",
    "clerk",
]  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One call of the client, `at` so many seconds after everything is up."""

    at: float
    how: How
    takes: float
    timeout: float
    key: str
    tenant: str = ""
    """On whose account; empty: the client's own."""

    def __str__(self) -> str:
        return f"{self.key} (+{self.at:.2f}s): {self.how} that takes {self.takes:g} s, within {self.timeout:g} s"


def questions(seed: int, chaos: float) -> tuple[Question, ...]:
    """What this seed asks; most ask nothing."""
    random = Random(f"asks {seed}")
    if random.random() < 0.6:
        return ()
    hows: list[How] = ["ask", "call", "call", "pay", "charge", "tell"]
    return tuple(
        Question(
            at=random.random() * chaos,
            how=random.choice(hows),
            takes=random.choice((0.0, 0.001, 0.05, 0.4)),
            timeout=random.choice((0.5, 2.0, 5.0)),
            key=f"ask-{number}",
        )
        for number in range(random.choice((3, 8, 20)))
    )
