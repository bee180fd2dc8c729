"""What people are told of a job's waits and endings, in words."""

from __future__ import annotations

import msgspec

from mesh.protocols.job_events import WaitOpened


def why(decision: WaitOpened) -> str:
    """What a person must decide."""
    about = decision.about
    told = msgspec.json.decode(about.inline) if about is not None and about.ref is None else None
    return told if isinstance(told, str) else f"{decision.name}: a person must decide"


def because(what: str, by: str, reason: str) -> str:
    """What was done, by whom and for which reason, as far as that was said."""
    return what + (f" by {by}" if by else "") + (f": {reason}" if reason else "")
