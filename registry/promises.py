"""What people and programs are shown of how bidders keep their promises, out of what processes tell. Pure.

The keys of a row are stable: programs read them from `mesh registry bids -o json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mesh.protocols.conduct import GRAIN, Conduct
from mesh.protocols.learned import Evidence, learn
from mesh.registry.hearsay import Hearsay
from mesh.registry.listing import Listing

Row = dict[str, Any]


def promises(capability: str, listings: Sequence[Listing], hearsay: Hearsay, now: float) -> list[Row]:
    """One row for each version that offers the capability or is spoken of. `now` is in monotonic seconds."""
    offered = Counter((each.record.agent, each.record.version) for each in listings)
    spoken = hearsay.about(capability, now)
    return [
        {
            "agent": agent,
            "version": version,
            "instances": offered[agent, version],
            **_figures(spoken.get((agent, version), ())),
            "age_s": _rounded(hearsay.age(capability, agent, version, now), 1),
        }
        for agent, version in sorted({*offered, *spoken})
    ]


def _figures(words: tuple[Conduct, ...]) -> Row:
    """Means of what was promised and delivered in the calls that count, and what is believed of it; None where nobody told."""
    whole = _together(words)
    learned = learn(Evidence(words=words))
    calls = whole.calls
    return {
        "calls": round(whole.weight, 1),
        "promised_s": _rounded(whole.promised / calls - GRAIN if calls else None, 4),
        "delivered_s": _rounded(whole.delivered / calls - GRAIN if calls else None, 4),
        "ratio": _rounded(whole.ratio, 3),
        "spread": _rounded(whole.spread if calls else None, 3),
        "believed": round(learned.latency, 3),
        "price_asked": _rounded(whole.asked / whole.priced if whole.priced else None, 6),
        "price_paid": _rounded(whole.paid / whole.priced if whole.priced else None, 6),
        "success_claimed": _rounded(whole.claimed / whole.kept if whole.kept else None, 4),
        "success": _rounded(whole.succeeded / whole.kept if whole.kept else None, 4),
        "kept": round(whole.kept, 1),
        "broken": round(whole.broken, 1),
        "told_by": len(words),
    }


def _together(words: tuple[Conduct, ...]) -> Conduct:
    return Conduct(**{name: sum(getattr(each, name) for each in words) for name in Conduct.__struct_fields__})


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
