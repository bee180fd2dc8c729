"""The reviewer that asks a model, through pydantic-ai. It bids on every kind of review, and only when a model is configured.

Dearer and slower than the tools, it finds what no rule describes. What it says is checked before it is handed on: a
finding must point at lines that the change touched. One that does not is kept apart as unverified, and no review shows it.
"""

from __future__ import annotations

import asyncio
import math
import os
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from pydantic import BaseModel, Field

from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.agents.review.analysers.tool import installed
from mesh.agents.review.attribution import excerpt_of
from mesh.agents.review.calibration import MODEL, honest
from mesh.agents.review.changes import Blobs, ChangeSet, FileChange
from mesh.agents.review.findings import Category, Finding, Report, to_artifact
from mesh.agents.review.masking import masked, without_secrets
from mesh.agents.review.objects import fetch
from mesh.agents.review.prompt import digest_of_prompt, instructions_for, shown
from mesh.agents.review.reviewer import Reviewer, every_text, only
from mesh.agents.review.team import MODEL_VARIABLE
from mesh.protocols.acts import Bid, CallForProposal
from mesh.protocols.artifacts import Artifact, Confidence, Evidence, Provenance, Verdict
from mesh.protocols.errors import HandlerFailed, Refused
from mesh.protocols.ports import Clock
from mesh.settings.errors import BadSettings
from mesh.telemetry.redaction import redacted

if TYPE_CHECKING:
    from pydantic_ai import Agent as Asker
    from pydantic_ai.models import Model

PRICE_VARIABLE = "MESH_MODEL_PRICE"
PRICE = 0.05
"""Money for one review, where MESH_MODEL_PRICE does not say."""
TIMEOUT = 120.0
REQUESTS = 4
MOST_FINDINGS = 40
GATE = "points-at-changed-lines"
NOT_SURER = 0.9
"""A model's own opinion of its certainty counts up to here."""


class ModelFinding(BaseModel):
    """One thing that is wrong, in lines that the change added or modified."""

    path: str = Field(max_length=1000)
    line: int = Field(ge=1, description="The first line, as numbered in the text.")
    end_line: int | None = Field(default=None, description="The last line, if there are several.")
    severity: Literal["critical", "high", "medium", "low", "info"]
    message: str = Field(min_length=3, max_length=400, description="What is wrong, and what follows from it.")
    suggestion: str = Field(default="", max_length=400, description="What to do instead.")
    confidence: float = Field(default=0.5, ge=0, le=1)


class ModelReport(BaseModel):
    """Everything that was found; an empty list when nothing was."""

    findings: list[ModelFinding] = Field(default_factory=list, max_length=MOST_FINDINGS)


class LlmReviewer(Reviewer):
    """Asks the model that MESH_MODEL names (as pydantic-ai names models); makes no bid where there is none."""

    capacity = 2

    def __init__(
        self, model: Model | str | None = None, *, price: float | None = None, clock: Clock | None = None
    ) -> None:
        """What is not given is read from the environment.

        Raises:
            BadSettings: MESH_MODEL_PRICE is no price.
        """
        super().__init__(clock)
        self.model = model or os.environ.get(MODEL_VARIABLE, "")
        self.price = _price(os.environ.get(PRICE_VARIABLE)) if price is None else price
        self._askers: dict[Category, Asker[None, ModelReport]] = {}

    @command(capability="review.security", effect="costly", timeout=TIMEOUT, reasoning=True, price=PRICE, tier=2)
    async def security(self, changes: ChangeSet, ctx: Context) -> Report:
        """Ask the model for vulnerabilities. Again: charged again."""
        return await self.ask_model(ctx, "security", changes)

    @command(capability="review.logic", effect="costly", timeout=TIMEOUT, reasoning=True, price=PRICE, tier=2)
    async def logic(self, changes: ChangeSet, ctx: Context) -> Report:
        """Ask the model for mistakes. Again: charged again."""
        return await self.ask_model(ctx, "logic", changes)

    @command(capability="review.complexity", effect="costly", timeout=TIMEOUT, reasoning=True, price=PRICE, tier=2)
    async def complexity(self, changes: ChangeSet, ctx: Context) -> Report:
        """Ask the model for what is harder than its task. Again: charged again."""
        return await self.ask_model(ctx, "complexity", changes)

    @command(capability="review.style", effect="costly", timeout=TIMEOUT, reasoning=True, price=PRICE, tier=2)
    async def style(self, changes: ChangeSet, ctx: Context) -> Report:
        """Ask the model for style. Again: charged again."""
        return await self.ask_model(ctx, "style", changes)

    @security.bid
    @logic.bid
    @complexity.bid
    @style.bid
    def bid_model(self, call: CallForProposal, bid: Bid) -> Bid | None:
        """Dear, slow and sure; none without a model."""
        if not self.model or not installed("pydantic_ai"):
            return None
        dear = honest(bid, MODEL[call.capability], calls=self.handled)
        return msgspec.structs.replace(dear, price=self.price, confidence=0.95)

    async def ask_model(self, ctx: Context, category: Category, changes: ChangeSet) -> Report:
        """Show the model the change, and check what it says.

        Raises:
            Refused: no model is configured. HandlerFailed: the model could not be asked, or gave no usable answer.
        """
        if not self.model:
            raise Refused(f"no model is configured: set {MODEL_VARIABLE}, such as {MODEL_VARIABLE}=openai:gpt-5")
        seen = only(changes, every_text)
        blobs = await fetch(await ctx.objects(), seen.bundles, seen.digests)
        text, notes = await asyncio.to_thread(shown, seen, blobs)
        said = await self._asked(ctx, category, text) if text else ModelReport()
        self.handled += 1
        artifacts = tuple(self._checked(ctx, category, each, seen, blobs) for each in said.findings)
        return Report(agent=ctx.agent, capability=f"review.{category}", findings=artifacts, notes=notes)

    async def _asked(self, ctx: Context, category: Category, text: str) -> ModelReport:
        from pydantic_ai import UsageLimits
        from pydantic_ai.exceptions import AgentRunError, UserError

        try:
            asker = self._asker(category)
            result = await asker.run(text, usage_limits=UsageLimits(request_limit=REQUESTS))
        except (AgentRunError, UserError, ImportError) as error:
            raise HandlerFailed(
                f"the model {self._name()} could not review: {type(error).__name__}: {redacted(str(error))}"
            ) from error
        used = _usage_of(result)
        ctx.use(tokens_in=used.input_tokens or 0, tokens_out=used.output_tokens or 0, money=self.price)
        return result.output

    def _asker(self, category: Category) -> Asker[None, ModelReport]:
        """The pydantic-ai agent of one kind of review, made when first needed: importing the library takes a second."""
        from pydantic_ai import Agent as Asker

        if category not in self._askers:
            self._askers[category] = Asker(
                self.model,
                output_type=ModelReport,
                instructions=instructions_for(category),
                retries=1,
                name="llm-reviewer",
            )
        return self._askers[category]

    def _name(self) -> str:
        return self.model if isinstance(self.model, str) else self.model.model_name

    def _checked(
        self, ctx: Context, category: Category, said: ModelFinding, changes: ChangeSet, blobs: Blobs
    ) -> Artifact:
        file = changes.file(said.path)
        why_not = doubt(said, file, blobs)
        verdict = Verdict(gate=GATE, result="cannot_verify" if why_not else "pass", by=ctx.agent, reason=why_not)
        finding = _finding(said, category, file, blobs, model=self._name())
        who = Provenance(
            agent=ctx.agent,
            version=self.version,
            instance=ctx.instance,
            job=ctx.job,
            step=ctx.step,
            model=self._name(),
            prompt_digest=digest_of_prompt(category),
            inputs=(file.after,) if file else (),
        )
        return to_artifact(finding, who, verdicts=(verdict,), made_at=self.clock.now())


def _price(text: str | None) -> float:
    try:
        price = PRICE if text is None else float(text)
    except ValueError:
        price = math.nan
    if not 0 <= price < math.inf:
        raise BadSettings(f"{PRICE_VARIABLE} must be a number of at least 0, such as {PRICE}, not {text!r}")
    return price


def doubt(said: ModelFinding, file: FileChange | None, blobs: Blobs) -> str:
    """Why a model's finding cannot be verified; empty when it points at changed lines that exist."""
    if file is None:
        return "no such file in the change"
    last = said.end_line or said.line
    if last < said.line or last > blobs[file.after].count(b"\n") + 1:
        return "no such lines in the file"
    return "" if file.changed(said.line, last) else "the change does not touch these lines"


def _finding(said: ModelFinding, category: Category, file: FileChange | None, blobs: Blobs, *, model: str) -> Finding:
    lines = blobs[file.after].decode("utf-8", "replace").split("\n") if file else []
    last = said.end_line or said.line
    excerpt = excerpt_of(lines, said.line, last)
    grounds = Evidence(
        source=said.path,
        method=f"model:{model}",
        locator=str(said.line) if last == said.line else f"{said.line}-{last}",
        excerpt=masked(excerpt) if category == "security" else without_secrets(excerpt),
        digest=file.after if file else "",
        origin=f"model:{model}",
    )
    return Finding(
        path=said.path,
        line=said.line,
        end_line=last if last > said.line else 0,
        severity=said.severity,
        category=category,
        rule="model:review",
        topic=f"model:{category}",
        message=said.message,
        suggestion=said.suggestion,
        evidence=(grounds,),
        confidence=Confidence(value=min(NOT_SURER, said.confidence), basis="self"),
    )


def _usage_of(result: Any) -> Any:
    """The usage of a run: a property since pydantic-ai 2, a method before."""
    return result.usage if hasattr(result.usage, "input_tokens") else result.usage()
