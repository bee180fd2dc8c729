"""The streams of jobs as they should be, and the object store of large values.

IN keeps what was published until a host takes it in; the JOB streams have one exact subject per job, INBOX what is said to
jobs, TIM what is due later; DLQ keeps what nobody could use. Nothing expires by itself: what was acknowledged is kept until
somebody decides otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from mesh.actors.events.burial import dead_letter_stream
from mesh.protocols.naming.jobs import SHARDS
from mesh.protocols.ports import BucketSpec, Store, StreamSpec
from mesh.protocols.subjects import Subjects

INGRESS = "IN"
INBOX = "INBOX"
TIMERS = "TIM"
WORKFLOWS = "workflows"
SHORTEST_WINDOW = 0.1
"""Seconds, the least a server takes. It drops by message id across all subjects of a stream: two tenants with the same key
would lose one job, two jobs that are told the same one message. Who reads tells duplicates by what they say, for good."""


def specs(subjects: Subjects) -> tuple[StreamSpec, ...]:
    """The streams of one mesh."""
    return (
        StreamSpec(
            name=subjects.stream(INGRESS),
            subjects=(subjects.ingress_all(),),
            duplicate_window=SHORTEST_WINDOW,
            description="jobs handed in",
        ),
        *_journals(subjects),
        StreamSpec(
            name=subjects.stream(INBOX),
            subjects=(subjects.inbox_filter(),),
            duplicate_window=SHORTEST_WINDOW,
            description="what is said to jobs",
        ),
        _timers(subjects),
        dead_letter_stream(subjects),
    )


def _journals(subjects: Subjects) -> Iterator[StreamSpec]:
    for shard in SHARDS:
        yield StreamSpec(
            name=subjects.job_stream(shard), subjects=(subjects.job_shard(shard),), description="journals of jobs"
        )


def _timers(subjects: Subjects) -> StreamSpec:
    """As a work queue it forgets a timer that came due once it is acked, and keeps those that wait, however long: measured,
    as is that a stream kept by interest drops a timer the moment it is set."""
    return StreamSpec(
        name=subjects.stream(TIMERS),
        subjects=(subjects.timer_all(),),
        retention="workqueue",
        duplicate_window=SHORTEST_WINDOW,
        allow_schedules=True,
        description="timers of jobs",
    )


def workflows_bucket(subjects: Subjects) -> BucketSpec:
    """Every (workflow, version) that was ever hosted, under `<name>.<version>`."""
    return BucketSpec(name=subjects.bucket(WORKFLOWS), storage="file", description="workflows ever hosted")


async def ensure_streams(store: Store, subjects: Subjects) -> None:
    """Create what is missing, all in one burst. Again: nothing happens."""
    await asyncio.gather(*(store.ensure_stream(spec) for spec in specs(subjects)))
