"""`Order`: a job that the client hands in, and what it is to do."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

STEPS = (
    ("local", 3), ("once", 2), ("call", 4), ("pay", 3), ("charge", 3), ("both", 2), ("sleep", 2), ("approval", 2),
    ("signal", 2), ("child", 1), ("saga", 2), ("fail", 1),
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """One job that the client hands in `at` so many seconds after everything is up. `plan` is what its workflow does."""

    at: float
    number: int
    tenant: str
    plan: tuple[dict[str, Any], ...]
    key: str
    published: bool = False
    """Into the ingress stream, as any NATS client would; else it is asked for."""
    words: tuple[dict[str, Any], ...] = ()
    """What is said to it: `{"at": …, "say": "cancel"|"pause"|"resume"}`."""


def plan_words(order: Order) -> str:
    """The plan in one line."""
    steps = ", ".join(f"{step['do']}({step['key']})" for step in order.plan)
    said = "".join(f"; {each['say']} at +{each['at']:.2f}s" for each in order.words)
    return steps + said


def orders(random: Random, chaos: float) -> tuple[Order, ...]:
    """What is handed in at any time, each its own thing."""
    kinds = [each for each in STEPS if random.random() < 0.6] or [STEPS[2], STEPS[3]]
    drawn = []
    for number in range(random.choice((1, 2, 2, 3, 4))):
        plan = tuple(
            a_step(random, random.choices([k for k, _ in kinds], [w for _, w in kinds])[0], place)
            for place in range(random.choice((1, 2, 3, 4, 6)))
        )
        words: tuple[dict[str, Any], ...] = ()
        if random.random() < 0.15:
            words = ({"at": random.random() * chaos, "say": "cancel"},)
        elif random.random() < 0.15:
            at = random.random() * chaos
            words = ({"at": at, "say": "pause"}, {"at": at + random.random() * 3, "say": "resume"})
        drawn.append(
            Order(
                at=random.random() * chaos * 0.6,
                number=number,
                tenant=random.choice(("red", "blue")),
                plan=plan,
                key=f"order-{number}",
                published=random.random() < 0.4,
                words=words,
            )
        )
    return tuple(drawn)


def a_step(random: Random, kind: str, place: int) -> dict[str, Any]:
    """A step of this kind."""
    step: dict[str, Any] = {"do": kind, "key": f"{kind}-{place}", "takes": random.choice((0.0, 0.001, 0.02, 0.3))}
    if kind in ("sleep",):
        step["seconds"] = random.choice((0.5, 1.5, 4.0))
    if kind in ("pay", "once"):
        step["reconcile"] = random.random() < 0.5
    if kind == "call":
        step["mode"] = random.choice(("standing", "standing", "directed", "broadcast"))
    return step
