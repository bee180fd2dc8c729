"""What people are told of a job's waits and endings, in words."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mesh.protocols.job_events import WaitOpened

MOST_TOLD = 8
"""Degraded steps told one by one."""


def why(decision: WaitOpened) -> str:
    """What a person must decide."""
    about = decision.about
    told = msgspec.json.decode(about.inline) if about is not None and about.ref is None else None
    return told if isinstance(told, str) else f"{decision.name}: a person must decide"


def in_short(degraded: Mapping[str, str]) -> str:
    """Which steps gave less than was asked for, and why, on one line; nothing if none did."""
    told = "; ".join(f"{key}: {why}" for key, why in list(degraded.items())[:MOST_TOLD])
    more = len(degraded) - MOST_TOLD
    return told + (f"; and {more} more" if more > 0 else "")


def because(what: str, by: str, reason: str) -> str:
    """What was done, by whom and for which reason, as far as that was said."""
    return what + (f" by {by}" if by else "") + (f": {reason}" if reason else "")
