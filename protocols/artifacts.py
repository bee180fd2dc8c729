"""What agents hand on: an `Artifact` with its `Evidence`, `Confidence` and `Verdict`s.

An artifact is a claim with its grounds. Downstream steps read validated artifacts only; the verdicts say who checked
what, and with which result.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Confidence(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How sure the author is, from 0 to 1, and what that rests on.

    `basis` is `measured` for a calibrated figure, `rule` for a deterministic check, `self` for a model's own opinion,
    which is advisory only.
    """

    value: float
    basis: Literal["measured", "rule", "self"] = "self"

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ValueError(f"confidence must be between 0 and 1, got {self.value}")


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One ground for a claim.

    `source` says where it was seen (a path, an address, an artifact id), `locator` where in it (`12`, `12-14`),
    `excerpt` quotes it, `digest` is `sha256:<hex>` of the source as it was read, `method` names what found it.
    Two pieces of evidence with the same `origin` are one for the purpose of agreement.
    """

    source: str
    method: str
    locator: str = ""
    excerpt: str = ""
    digest: str = ""
    origin: str = ""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one gate said of one artifact. `cannot_verify` is a valid result, and not a pass. A `minor` failure is worth
    telling, and does not count against the version that made it."""

    gate: str
    result: Literal["pass", "fail", "cannot_verify"]
    by: str
    reason: str = ""
    confidence: Confidence | None = None
    severity: Literal["minor", "major"] = "major"

    @property
    def passed(self) -> bool:
        """Whether the gate let it through."""
        return self.result == "pass"


class Provenance(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who made it, from what. `inputs` are artifact ids or digests."""

    agent: str
    version: str = ""
    instance: str = ""
    job: str = ""
    step: str = ""
    model: str = ""
    prompt_digest: str = ""
    policy_version: str = ""
    inputs: tuple[str, ...] = ()


class Artifact(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A validated, provenance-bearing output.

    `kind` is a dotted name such as `review.finding`; `content` is JSON-able, or `content_ref` names an object by digest;
    `made_at` is in Unix seconds; `ttl` in seconds from then, None for ever.
    """

    id: str
    kind: str
    provenance: Provenance
    content: Any = None
    content_ref: str = ""
    evidence: tuple[Evidence, ...] = ()
    confidence: Confidence = Confidence(value=0.0)
    verdicts: tuple[Verdict, ...] = ()
    made_at: float = 0.0
    ttl: float | None = None

    def expired(self, now: float) -> bool:
        """Whether its time has passed at `now` (Unix seconds)."""
        return self.ttl is not None and now >= self.made_at + self.ttl

    @property
    def verified(self) -> bool:
        """Checked by at least one gate, and failed or doubted by none."""
        return bool(self.verdicts) and all(verdict.passed for verdict in self.verdicts)

    @property
    def independent_sources(self) -> int:
        """How many grounds are really different: agreement on one shared source is not consensus."""
        return len({ground.origin or ground.source for ground in self.evidence})

    def with_verdict(self, verdict: Verdict) -> Artifact:
        """The same artifact with one more verdict."""
        return msgspec.structs.replace(self, verdicts=(*self.verdicts, verdict))
