"""The streams of jobs as they should be, and the object store of large values.

IN keeps what was published until a host takes it in; JOB has one exact subject per job; DLQ keeps what nobody could use.
Nothing expires by itself: what was acknowledged is kept until somebody decides otherwise.
"""

from __future__ import annotations

from mesh.protocols.ports import BucketSpec, Store, StreamSpec
from mesh.protocols.subjects import Subjects

INGRESS = "IN"
JOURNAL = "JOB"
DEAD_LETTERS = "DLQ"
WORKFLOWS = "workflows"
SHORTEST_WINDOW = 0.1
"""Seconds, the least a server takes. It drops by message id across all subjects of a stream: two tenants with the same key
would lose one job. Admission tells duplicates by tenant and key, for good."""


def specs(subjects: Subjects) -> tuple[StreamSpec, ...]:
    """The three streams of one mesh."""
    return (
        StreamSpec(
            name=subjects.stream(INGRESS),
            subjects=(subjects.ingress_all(),),
            duplicate_window=SHORTEST_WINDOW,
            description="jobs handed in",
        ),
        StreamSpec(name=subjects.stream(JOURNAL), subjects=(subjects.job_all(),), description="journals of jobs"),
        StreamSpec(
            name=subjects.stream(DEAD_LETTERS), subjects=(subjects.dead_letter_all(),), description="dead letters"
        ),
    )


def workflows_bucket(subjects: Subjects) -> BucketSpec:
    """Every (workflow, version) that was ever hosted, under `<name>.<version>`."""
    return BucketSpec(name=subjects.bucket(WORKFLOWS), storage="file", description="workflows ever hosted")


async def ensure_streams(store: Store, subjects: Subjects) -> None:
    """Create what is missing. Again: nothing happens."""
    for spec in specs(subjects):
        await store.ensure_stream(spec)
