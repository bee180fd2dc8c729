"""The `code-review` workflow: collect, ask four specialists at once, make one review of what they say."""

from __future__ import annotations

from mesh.agents.review import findings
from mesh.agents.review.changes import ChangeSet, ReviewRequest
from mesh.agents.review.findings import Report, Review
from mesh.agents.review.synthesiser import Reports
from mesh.jobs.authoring.workflow import Job, Missing, workflow

PARTS = ("security", "logic", "complexity", "style")
"""What is reviewed, each by whoever wins the auction for `review.<part>`."""

COLLECT_TIMEOUT = 60.0
PART_TIMEOUT = 60.0
SYNTHESIS_TIMEOUT = 20.0


@workflow("code-review", version=1)
async def code_review(job: Job, request: ReviewRequest) -> Review:
    """Review a diff. A part that fails, or takes too long, is marked as missing; the rest is a review all the same."""
    where = {} if request.of_patch else {"repository": "yes"}
    changes = await job.call(
        "review.collect",
        request,
        returns=ChangeSet,
        key="collect",
        labels=where,
        timeout=COLLECT_TIMEOUT,
        mode="directed",
    )
    job.progress(f"{len(changes.files)} files, {len(changes.analysed)} to analyse")
    results = await job.gather(
        *(
            job.call(f"review.{part}", changes, returns=Report, key=part, timeout=PART_TIMEOUT, mode="directed")
            for part in PARTS
        )
    )
    reports = tuple(each for each in results if isinstance(each, Report))
    missing = tuple(_missing(each) for each in results if isinstance(each, Missing))
    whole = Reports(changes=changes, reports=reports, missing=missing)
    review = await job.call(
        "review.synthesize", whole, returns=Review, key="synthesize", timeout=SYNTHESIS_TIMEOUT, mode="directed"
    )
    await job.put_artifact("review.report", review, key="report", inputs=changes.digests[:50])
    return review


def _missing(branch: Missing) -> findings.Missing:
    return findings.Missing(capability=f"review.{branch.key}", reason=f"{branch.error.code}: {branch.error.message}")
