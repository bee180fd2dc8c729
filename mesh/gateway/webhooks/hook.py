"""`Webhook`: one URL that wants to hear of one job's end, as the bucket keeps it."""

from __future__ import annotations

import base64
import hashlib
from typing import Literal

import msgspec

from mesh.protocols.errors import Semantic
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import BucketSpec
from mesh.protocols.subjects import Subjects

HOOKS = "hook."
GATEWAYS = "gateway."

HookState = Literal["waiting", "claimed", "delivered", "dead"]
"""`waiting` for the job's end, or for a gateway; `claimed` by `holder`; `dead`: given up until somebody retries it."""


class UnknownWebhook(Semantic):
    """No webhook has that id."""

    code = "unknown-webhook"
    blame = "caller"


class Webhook(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Kept under `hook.<id>`. Times are Unix seconds, for people.

    `workflow` and `digest` are those of the submission that asked: one that was refused, because its key named another job,
    must not be told of that job. `watcher` is the gateway that follows the job, `holder` the one that delivers.
    `status` and `reason` tell of the last attempt.
    """

    id: str
    tenant: str
    job: str
    url: str
    workflow: str
    digest: str
    registered_at: float
    state: HookState = "waiting"
    watcher: str = ""
    holder: str = ""
    attempts: int = 0
    status: int = 0
    reason: str = ""
    changed_at: float = 0.0

    @property
    def over(self) -> bool:
        """Whether nobody has to do anything about it any more."""
        return self.state in ("delivered", "dead")

    @property
    def message(self) -> str:
        """The `webhook-id`: the same for every attempt, so that the receiver can tell a repetition."""
        return f"msg_{self.id}"


def hook_id(tenant: str, job: str, url: str, workflow: str, digest: str) -> str:
    """The same submission with the same URL is the same webhook."""
    content = hashlib.sha256("\0".join((tenant, job, url, workflow, digest)).encode()).digest()
    return "w" + base64.b32encode(content[:15])[:23].decode().lower()


def concerns(hook: Webhook, state: JobState) -> bool:
    """Whether the job is the one whose submission asked for the webhook; of an archived one, its tombstone tells."""
    workflow = state.head.workflow if state.head is not None else ""
    source = state.submitted or state.archived
    return source is not None and (workflow, source.digest) == (hook.workflow, hook.digest)


def webhook_bucket(subjects: Subjects) -> BucketSpec:
    """The bucket: `hook.<id>` each webhook, `gateway.<id>` the lease of each gateway that delivers."""
    return BucketSpec(name=subjects.bucket("webhooks"), storage="file", description="completion webhooks")
