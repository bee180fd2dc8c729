"""`Synthesiser`: the agent that makes one review of the specialists' reports."""

from __future__ import annotations

import asyncio

import msgspec

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.agents.review.changes import ChangeSet
from mesh.agents.review.findings import Missing, Report, Review
from mesh.agents.review.synthesis import synthesise


class Reports(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What came back of a review: the reports, and the parts that nobody delivered."""

    changes: ChangeSet
    reports: tuple[Report, ...] = ()
    missing: tuple[Missing, ...] = ()


class Synthesiser(Agent):
    """Joins reports: duplicates become one finding, disagreements are settled with the reason kept, the rest is ranked."""

    capacity = 2

    @command(capability="review.synthesize", effect="pure", timeout=20, price=0.001)
    async def synthesize(self, reports: Reports) -> Review:
        """Make one review. Again: the same one."""
        return await asyncio.to_thread(synthesise, reports.changes, reports.reports, reports.missing)
