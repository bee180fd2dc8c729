"""The specialists, and the generalist that competes with them. Each is an agent of its own, in a process of its own.

They bid what was measured: the specialists start slower tools and miss nothing of the sample; the generalist starts one
quick tool, asks less, and misses some. Who wins depends on the deadline, the budget and who is busy.
"""

from __future__ import annotations

from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.agents.review.analysers.tool import INSTALL, installed
from mesh.agents.review.calibration import BUILTIN, QUICK, THOROUGH, honest
from mesh.agents.review.changes import ChangeSet
from mesh.agents.review.findings import Report
from mesh.agents.review.inspection import BUILTIN as BUILTIN_CHECKS
from mesh.agents.review.inspection import QUICK as QUICK_TOOLS
from mesh.agents.review.inspection import THOROUGH as TOOLS
from mesh.agents.review.reviewer import Reviewer
from mesh.protocols.acts import Bid, CallForProposal

SPECIALIST_PRICE = 0.003
QUICK_PRICE = 0.001
TIMEOUT = 60.0


class SecurityReviewer(Reviewer):
    """Finds what is dangerous: bandit for Python code, detect-secrets for files of any kind."""

    capacity = 2

    @command(capability="review.security", effect="pure", timeout=TIMEOUT, price=SPECIALIST_PRICE)
    async def security(self, changes: ChangeSet, ctx: Context) -> Report:
        """Review a change set for security. Again: the same findings, with the same ids."""
        return await self.report(ctx, "review.security", changes, TOOLS["review.security"], price=SPECIALIST_PRICE)

    @security.bid
    def bid_security(self, call: CallForProposal, bid: Bid) -> Bid | None:
        """What it expects, as long as one of its tools is installed."""
        able = installed("bandit") or installed("detect_secrets")
        return honest(bid, THOROUGH["review.security"], calls=self.handled) if able else None


class StyleReviewer(Reviewer):
    """Finds what does not look like the rest: ruff, by the reviewed repository's own declarative settings."""

    capacity = 2

    @command(capability="review.style", effect="pure", timeout=TIMEOUT, price=SPECIALIST_PRICE)
    async def style(self, changes: ChangeSet, ctx: Context) -> Report:
        """Review a change set for style. Again: the same findings, with the same ids."""
        return await self.report(ctx, "review.style", changes, TOOLS["review.style"], price=SPECIALIST_PRICE)

    @style.bid
    def bid_style(self, call: CallForProposal, bid: Bid) -> Bid | None:
        """What it expects, as long as its tool is installed."""
        return honest(bid, THOROUGH["review.style"], calls=self.handled) if installed("ruff") else None


class LogicReviewer(Reviewer):
    """Finds what does not work: pyflakes and bugbear by ruff, vulture for dead code, mypy where it is installed."""

    capacity = 2

    @command(capability="review.logic", effect="pure", timeout=TIMEOUT, price=SPECIALIST_PRICE)
    async def logic(self, changes: ChangeSet, ctx: Context) -> Report:
        """Review a change set for mistakes. Again: the same findings, with the same ids."""
        return await self.report(ctx, "review.logic", changes, TOOLS["review.logic"], price=SPECIALIST_PRICE)

    @logic.bid
    def bid_logic(self, call: CallForProposal, bid: Bid) -> Bid | None:
        """What it expects, as long as one of its tools is installed."""
        able = installed("ruff") or installed("vulture")
        return honest(bid, THOROUGH["review.logic"], calls=self.handled) if able else None


class ComplexityReviewer(Reviewer):
    """Finds functions that the change made too complex: radon."""

    capacity = 2

    @command(capability="review.complexity", effect="pure", timeout=TIMEOUT, price=SPECIALIST_PRICE)
    async def complexity(self, changes: ChangeSet, ctx: Context) -> Report:
        """Review a change set for complexity. Again: the same findings, with the same ids."""
        return await self.report(ctx, "review.complexity", changes, TOOLS["review.complexity"], price=SPECIALIST_PRICE)

    @complexity.bid
    def bid_complexity(self, call: CallForProposal, bid: Bid) -> Bid | None:
        """What it expects, as long as its tool is installed."""
        return honest(bid, THOROUGH["review.complexity"], calls=self.handled) if installed("radon") else None


class QuickReviewer(Reviewer):
    """The generalist: ruff alone, and where no tool is installed Python's own parser. Cheap and quick; it says it misses some."""

    capacity = 3

    @command(capability="review.security", effect="pure", timeout=TIMEOUT, price=QUICK_PRICE)
    async def security(self, changes: ChangeSet, ctx: Context) -> Report:
        """ruff's port of bandit; no secrets outside Python code."""
        return await self.quick(ctx, "review.security", changes)

    @command(capability="review.style", effect="pure", timeout=TIMEOUT, price=QUICK_PRICE)
    async def style(self, changes: ChangeSet, ctx: Context) -> Report:
        """ruff's style families, without the repository's settings."""
        return await self.quick(ctx, "review.style", changes)

    @command(capability="review.logic", effect="pure", timeout=TIMEOUT, price=QUICK_PRICE)
    async def logic(self, changes: ChangeSet, ctx: Context) -> Report:
        """pyflakes and bugbear by ruff; neither dead code nor types."""
        return await self.quick(ctx, "review.logic", changes)

    @command(capability="review.complexity", effect="pure", timeout=TIMEOUT, price=QUICK_PRICE)
    async def complexity(self, changes: ChangeSet, ctx: Context) -> Report:
        """The built-in count, where radon is not installed."""
        return await self.quick(ctx, "review.complexity", changes)

    async def quick(self, ctx: Context, capability: str, changes: ChangeSet) -> Report:
        """Review with ruff, or with the built-in checks."""
        tools = QUICK_TOOLS[capability] if has_ruff(capability) else BUILTIN_CHECKS[capability]
        return await self.report(ctx, capability, changes, tools, price=QUICK_PRICE)

    def remarks(self, ctx: Context, capability: str) -> tuple[str, ...]:
        """That it sees less than a specialist does."""
        if not has_ruff(capability):
            return (f"{ctx.agent} had only Python's own parser, which sees less than the review tools: {INSTALL}",)
        share = f"{QUICK[capability].coverage:.0%}"
        return (
            f"{capability} was done by {ctx.agent}, which finds {share} of what its specialist finds on the sample",
        )

    @security.bid
    @style.bid
    @logic.bid
    @complexity.bid
    def bid_quick(self, call: CallForProposal, bid: Bid) -> Bid | None:
        """What it expects of ruff, or of the built-in checks. It leaves complexity to radon where that is installed."""
        if call.capability == "review.complexity" and installed("radon"):
            return None
        known = QUICK if has_ruff(call.capability) else BUILTIN
        return honest(bid, known[call.capability], calls=self.handled)


def has_ruff(capability: str) -> bool:
    """Whether ruff is installed and has rules for this."""
    return capability in QUICK_TOOLS and installed("ruff")
