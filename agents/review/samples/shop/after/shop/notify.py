"""Telling customers what happens to their orders. Clean, though a careless reader may wonder."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

PASSWORD_HINT_SUBJECT = "Your password hint"


def token() -> str:
    """A value nobody can guess, for a link in a mail."""
    return secrets.token_urlsafe(32)


def deliver(send: Callable[[str], None], messages: Sequence[str] = ()) -> int:
    """Send every message; one that fails is logged, and the others go on."""
    sent = 0
    for message in messages:
        try:
            send(message)
        except OSError:
            log.exception("a message could not be sent")
        else:
            sent += 1
    return sent


def senders(names: Sequence[str], send: Callable[[str, str], None]) -> list[Callable[[str], None]]:
    """One function a customer, each bound to its own name."""

    def bound(name: str) -> Callable[[str], None]:
        return lambda text: send(name, text)

    return [bound(name) for name in names]
