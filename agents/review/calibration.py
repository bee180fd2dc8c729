"""What reviewers may honestly bid: measured figures, corrected for what they cannot see.

Latency, queue and the share of calls that succeeded are measured by the mesh. Two things it cannot measure: how long a
first call takes, and how much of what there is to find a successful call finds. Both were measured on the sample (a test
measures them again), and stand here.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from mesh.protocols.acts import Bid

DEFECTS = 8
"""Defects of one kind in a bad change (the sample has 7 of security, 10 of logic, 6 of style). A reviewer that finds a share
c of all defects misses none of n with probability cⁿ: that is the success it bids. Success means nothing missed."""


@dataclass(frozen=True)
class Calibration:
    """`seconds` a first call takes, and `coverage`: the share of the sample's planted defects that it finds."""

    seconds: float
    coverage: float


THOROUGH = {
    "review.security": Calibration(0.9, 1.0),
    "review.style": Calibration(0.15, 1.0),
    "review.logic": Calibration(1.8, 1.0),
    "review.complexity": Calibration(0.25, 1.0),
}
QUICK = {
    "review.security": Calibration(0.15, 0.85),
    "review.style": Calibration(0.15, 0.8),
    "review.logic": Calibration(0.15, 0.8),
}
BUILTIN = {capability: Calibration(0.25, 0.7) for capability in THOROUGH}
"""The built-in checks find nearly all that is planted in the sample, which they were written by. Of what the tools find in
1,600 files of the standard library and of other projects, they find all that is about complexity, two fifths of security, and
a third of logic and style. They bid less than the former and more than the latter, and less than whoever has a tool."""
MODEL = {capability: Calibration(8.0, 0.98) for capability in THOROUGH}


def honest(bid: Bid, known: Calibration, *, calls: int) -> Bid:
    """The computed bid with what the mesh cannot know. `calls`: how many this instance has handled since it started."""
    latency = max(bid.latency, known.seconds) if calls == 0 else bid.latency
    success = bid.success * known.coverage**DEFECTS
    return msgspec.structs.replace(bid, latency=latency, success=success, confidence=known.coverage)
