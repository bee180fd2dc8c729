"""`Seams`: places where the production code passes by, and is looked at without being changed: what it does there is told.

What is told is checked by rules that keep books of their own; nothing that the code believes of itself is taken for true.
The classes are wrapped once in a process of the operating system, around whatever bug is planted in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.actors.admitting.mailbox import Mailbox
from mesh.actors.asking.question import Question
from mesh.contract_net.initiator import Initiator
from mesh.policy.policy import Policy
from mesh.protocols.auction import Auction
from mesh.resilience.breaker import Breaker

Told = Callable[..., None]
AFTER: tuple[tuple[type, str], ...] = (
    (Breaker, "admit"), (Breaker, "record"), (Mailbox, "put"), (Mailbox, "take_in"), (Initiator, "give"), (Auction, "_lost"),
    (Auction, "_on_declined"),
)  # fmt: skip
"""Told of when it has returned: object, result, arguments."""
BEFORE: tuple[tuple[type, str], ...] = ((Policy, "_heard"), (Question, "__call__"))
"""Told of before it happens: object, arguments."""


class Seams:
    """Who is told what in one simulation: by class and method."""

    def __init__(self) -> None:
        self._told: dict[tuple[type, str], list[Told]] = {each: [] for each in (*AFTER, *BEFORE)}

    def on(self, kind: type, method: str, told: Told) -> None:
        """Tell this one, too."""
        self._told[kind, method].append(told)

    def of(self, kind: type, method: str) -> list[Told]:
        """Who is told."""
        return self._told[kind, method]


_present = Seams()
_wrapped: set[type] = set()


def open_seams() -> Seams:
    """New ones, in place of those before: a process may run several simulations, one after the other."""
    global _present
    _present = Seams()
    if not _wrapped:
        for kind, method in AFTER:
            _wrap(kind, method, _after)
        for kind, method in BEFORE:
            _wrap(kind, method, _before)
    return _present


def _wrap(kind: type, method: str, how: Callable[..., Any]) -> None:
    _wrapped.add(kind)
    setattr(kind, method, how(kind, method, getattr(kind, method)))


def _after(kind: type, method: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def seen(self: Any, *arguments: Any, **named: Any) -> Any:
        result = original(self, *arguments, **named)
        for told in _present.of(kind, method):
            told(self, result, *arguments, **named)
        return result

    return seen


def _before(kind: type, method: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def seen(self: Any, *arguments: Any, **named: Any) -> Any:
        for told in _present.of(kind, method):
            told(self, *arguments, **named)
        return original(self, *arguments, **named)

    return seen
