"""`Seams`: places where the production code passes by, and is looked at without being changed: what it does there is told.

What is told is checked by rules that keep books of their own; nothing that the code believes of itself is taken for true.
The classes are wrapped once in a process of the operating system, around whatever bug is planted in them.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from mesh.actors.admitting.mailbox import Mailbox
from mesh.actors.asking.question import Question
from mesh.contract_net.hedged import HedgedCall
from mesh.contract_net.initiator import Initiator
from mesh.contract_net.mail import Mail
from mesh.contract_net.quiet import QuietAward
from mesh.jobs.steps.attempt import Attempt
from mesh.jobs.steps.steps import Steps
from mesh.jobs.waiting.children import Children
from mesh.policy.policy import Policy
from mesh.protocols.auction import Auction
from mesh.resilience.breaker import Breaker
from mesh.resilience.quality_breaker import QualityBreaker

Told = Callable[..., None]
PLACES: tuple[tuple[type, str], ...] = (
    (Breaker, "admit"), (Breaker, "record"), (Mailbox, "put"), (Mailbox, "take_in"), (Policy, "start"), (Policy, "_heard"), (Question, "__call__"),
    (Initiator, "give"), (Auction, "_lost"), (Auction, "_on_declined"), (Steps, "_do"), (Children, "_begin"), (HedgedCall, "run"),
    (Question, "envelope"), (QuietAward, "_envelope"), (Mail, "_envelope"), (QualityBreaker, "give_back"), (Attempt, "_begin"),
)  # fmt: skip


class Seams:
    """Who is told what in one simulation: by class and method, before it happens, or when it has returned. `on_error` hears of a
    rule that raises: the code that it looks at may well swallow that."""

    def __init__(self, on_error: Callable[[str], None] = lambda words: None) -> None:
        self.on_error = on_error
        self.told_before: dict[tuple[type, str], list[Told]] = {each: [] for each in PLACES}
        self.told_after: dict[tuple[type, str], list[Told]] = {each: [] for each in PLACES}

    def before(self, kind: type, method: str, told: Told) -> None:
        """Tell this one, too: object, arguments."""
        self.told_before[kind, method].append(told)

    def after(self, kind: type, method: str, told: Told) -> None:
        """Tell this one, too: object, result, arguments."""
        self.told_after[kind, method].append(told)


_present = Seams()
_wrapped: set[tuple[type, str]] = set()


def open_seams(on_error: Callable[[str], None]) -> Seams:
    """New ones, in place of those before: a process may run several simulations, one after the other."""
    global _present
    _present = Seams(on_error)
    for place in PLACES:
        if place not in _wrapped:
            _wrapped.add(place)
            _wrap(*place)
    return _present


def _tell(those: list[Told], *about: Any, **named: Any) -> None:
    try:
        for told in those:
            told(*about, **named)
    except Exception:
        _present.on_error(f"a rule raised: {traceback.format_exc()}")
        raise


def _wrap(kind: type, method: str) -> None:
    original, place = getattr(kind, method), (kind, method)

    def seen(self: Any, *arguments: Any, **named: Any) -> Any:
        _tell(_present.told_before[place], self, *arguments, **named)
        result = original(self, *arguments, **named)
        _tell(_present.told_after[place], self, result, *arguments, **named)
        return result

    setattr(kind, method, seen)
