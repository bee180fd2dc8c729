"""`Leaving`: the part of a `Job` that leaves something behind, or that is the same in every run: artifacts, patches, time, chance,
and what is told on the way."""

from __future__ import annotations

import hashlib
import random
from typing import Any, cast

import msgspec

from mesh.actors.declaring.contract import encode_payload
from mesh.jobs.authoring.job import V
from mesh.jobs.running.scope import check_key, current
from mesh.jobs.running.surroundings import Surroundings
from mesh.policy.flags import fits
from mesh.protocols.artifacts import Artifact, Confidence, Evidence, Provenance
from mesh.protocols.job_events import ArtifactPut, FlagRead, PatchMarker, Progressed
from mesh.protocols.references import LIMIT


class Leaving(Surroundings):
    """What is left behind, and what repeats."""

    async def put_artifact(
        self,
        kind: str,
        content: Any = None,
        *,
        key: str | None = None,
        evidence: tuple[Evidence, ...] = (),
        confidence: Confidence | None = None,
        inputs: tuple[str, ...] = (),
        ttl: float | None = None,
    ) -> Artifact:
        """Add an artifact to the job. Again: the same artifact, put once."""
        scope = current.get()
        whole = scope.begin(key, kind)
        try:
            artifact_id = f"{self.id}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"
            known = self._journal.state.artifacts.get(artifact_id)
            if known is not None:
                return known
            if self.hold is not None:
                await self.hold.here(whole)
            inline, reference = await self._kept(content, f"artifact {kind}")
            artifact = Artifact(
                id=artifact_id,
                kind=kind,
                provenance=self._provenance(whole, inputs),
                content=inline,
                content_ref=reference,
                evidence=evidence,
                confidence=confidence or Confidence(value=0.0),
                made_at=self.now(),
                ttl=ttl,
            )
            await self._journal.append(ArtifactPut(artifact=artifact))
            return artifact
        finally:
            scope.end(whole)

    async def _kept(self, content: Any, what: str) -> tuple[Any, str]:
        """The content as it was encoded, or its digest where it is too large to stand in the journal."""
        raw = encode_payload(content)
        if len(bytes(raw)) > LIMIT:
            return None, await self._values.put(bytes(raw), what)
        return msgspec.json.decode(raw), ""

    def _provenance(self, step: str, inputs: tuple[str, ...]) -> Provenance:
        made_by = self._workflow
        return Provenance(agent=made_by.name, version=str(made_by.version), job=self.id, step=step, inputs=inputs)

    def artifact(self, artifact_id: str) -> Artifact:
        """One of the job's artifacts."""
        return self._journal.state.artifacts[artifact_id]

    async def put_object(self, data: bytes) -> str:
        """Keep bytes in the object store; gives their digest."""
        return await self._values.put(data)

    async def get_object(self, digest: str) -> bytes:
        """The bytes behind a digest."""
        return await self._values.get(digest)

    def now(self) -> float:
        """Unix seconds, as the journal has them."""
        return current.get().now

    @property
    def random(self) -> random.Random:
        """Chance, seeded by the job and the branch."""
        return current.get().random

    def uuid(self) -> str:
        """The next id of this job and branch."""
        return current.get().uuid()

    def patched(self, name: str) -> bool:
        """Whether the patch applies to this job, here; journaled when it does for the first time."""
        whole = current.get().path + check_key(name)
        if self.hold is not None:
            return whole in self._journal.state.patches
        applies = self.course.patched(whole)
        if applies is None:
            self._journal.note(PatchMarker(name=whole))
        return applies is not False

    def flag(self, name: str, default: V) -> V:
        """What the flag says, as it was first answered; a job that was here before it was asked for gets the default."""
        whole = current.get().path + check_key(name)
        known = self._journal.state.flags.get(whole)
        if known is None:
            policy = self._seat.policy
            known = default if self.course.ahead else policy.flag(name, default, tenant=self.tenant, key=self.id)
            if self.hold is None:
                self._journal.note(FlagRead(name=whole, value=known))
        return cast(V, known) if fits(known, default) else default

    def progress(self, text: str) -> None:
        """Say how far the job is; what was said before is not said again in a replay."""
        self._notes += self.hold is None
        if self._notes > self._notes_before and self.hold is None:
            self._journal.note(Progressed(text=str(text)[:500]))

    def log(self, message: str, /, *, level: str = "info", **fields: Any) -> None:
        """One line in the log; nothing while the job is replayed."""
        if not self.course.ahead and self.hold is None:
            about = {"job": self.id, "step": current.get().path.rstrip("/"), "correlation": self.correlation}
            self._seat.telemetry.emit("job.log", message=message, level=level, **(about | fields))
