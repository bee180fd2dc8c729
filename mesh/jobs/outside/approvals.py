"""The approvals that are open, over all jobs: what somebody must say yes or no to."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mesh.actors.declaring.contract import encode_payload
from mesh.jobs.journals.journals import Journals
from mesh.protocols.errors import UnknownJob
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import Recorded
from mesh.protocols.job_wait_state import WaitState
from mesh.protocols.submission import digest_of


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One open approval. `digest` names the exact action; `until` is when it expires, Unix seconds, None for never;
    `state` the job's."""

    job: str
    tenant: str
    workflow: str
    key: str
    action: str
    digest: str
    risk: str = ""
    until: float | None = None
    state: str = "waiting"


def action_digest(action: str, about: msgspec.Raw) -> str:
    """What names the exact action: its name and what it is about, together."""
    return digest_of(encode_payload({"action": action, "about": msgspec.Raw(bytes(about))}))


async def open_approvals(journals: Journals, tenant: str = "*") -> list[Approval]:
    """Every open approval that the heads of the journals name, those of the oldest entries first."""
    return [each for record in await journals.heads(tenant) for each in _of(record)]


def _of(record: Recorded) -> Iterator[Approval]:
    head = record.entry.head
    if head.state in TERMINAL:
        return
    for wait in head.waits:
        if wait.kind == "approval":
            yield Approval(
                job=record.entry.job,
                tenant=record.entry.tenant,
                workflow=head.workflow,
                key=wait.key,
                action=wait.name,
                digest=wait.digest,
                risk=wait.risk,
                until=wait.until,
                state=head.state,
            )


def the_approval(job: str, waits: list[WaitState], key: str) -> WaitState:
    """The open approval of a job with this key, or the only one where none is given.

    Raises:
        UnknownJob: there is none, or there are several; the message names them.
    """
    approvals = [each for each in waits if each.opened.kind == "approval"]
    if key:
        approvals = [each for each in approvals if each.opened.key == key]
    if len(approvals) == 1:
        return approvals[0]
    if approvals:
        keys = ", ".join(each.opened.key for each in approvals)
        raise UnknownJob(f"job {job} waits for several approvals: {keys}; write which one, as KEY")
    raise UnknownJob(
        f"job {job} waits for no approval{f' {key!r}' if key else ''}: `mesh approvals ls` lists those that are open"
    )
