"""Subjects of jobs: what is handed in, journals and their shards, inboxes, hints, timers, dead letters."""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from mesh.protocols.errors import InvalidName
from mesh.protocols.naming.names import check_name, check_token
from mesh.protocols.naming.root import Root

SHARDS = tuple("0123456789abcdef")
"""The streams that journals are spread over: a stream syncs one message after the other to the disk, several at once."""


def shard_of(job: str) -> str:
    """Which of the SHARDS a job's journal is in: the last four bits of the CRC-32 (as in zlib) of its id, in hexadecimal.

    Raises:
        InvalidName: it can be no job's id.
    """
    return SHARDS[crc32(check_token(job, "job").encode()) % len(SHARDS)]


class Work(NamedTuple):
    """`in.<tenant>.<workflow>` and `submit.<tenant>.<workflow>` in their parts."""

    tenant: str
    workflow: str


class JobSubject(NamedTuple):
    """`job.<tenant>.<shard>.<id>` and `inbox.<tenant>.<id>` in their parts; the shard follows from the id."""

    tenant: str
    job: str


class Timer(NamedTuple):
    """`tim.set.<tenant>.<id>.<token>` and `tim.due.…` in their parts: a job's timers are told apart by token."""

    tenant: str
    job: str
    token: str


class JobSubjects(Root):
    """Where jobs come in, stand, and are spoken to."""

    def ingress(self, tenant: str, workflow: str) -> str:
        """Where a job is published; the PubAck of the stream IN means *stored*."""
        return f"{self.prefix}.in.{check_name(tenant, 'tenant')}.{check_name(workflow, 'workflow')}"

    def ingress_filter(self, workflow: str = "*") -> str:
        """The ingress of one workflow, or of all, over every tenant."""
        return f"{self.prefix}.in.*.{workflow if workflow == '*' else check_name(workflow, 'workflow')}"

    def ingress_all(self) -> str:
        """Everything below the ingress, well formed or not: what the stream IN captures."""
        return f"{self.prefix}.in.>"

    def submit(self, tenant: str, workflow: str) -> str:
        """The same as a request with a reply: `{job}` or a typed error."""
        return f"{self.prefix}.submit.{check_name(tenant, 'tenant')}.{check_name(workflow, 'workflow')}"

    def submit_filter(self, workflow: str) -> str:
        """The submit requests of one workflow over every tenant."""
        return f"{self.prefix}.submit.*.{check_name(workflow, 'workflow')}"

    def job(self, tenant: str, job: str) -> str:
        """The one exact subject of a job's journal."""
        return f"{self.prefix}.job.{check_name(tenant, 'tenant')}.{shard_of(job)}.{job}"

    def job_filter(self, tenant: str = "*") -> str:
        """The journals of one tenant, or of all; in one shard's stream those of that shard."""
        return f"{self.prefix}.job.{tenant if tenant == '*' else check_name(tenant, 'tenant')}.*.*"

    def find_job(self, job: str) -> str:
        """One job's journal whoever its tenant is."""
        return f"{self.prefix}.job.*.{shard_of(job)}.{job}"

    def job_shard(self, shard: str) -> str:
        """Every journal of one shard: what its stream captures."""
        return f"{self.prefix}.job.*.{check_token(shard, 'shard')}.*"

    def job_all(self) -> str:
        """Every journal."""
        return f"{self.prefix}.job.*.*.*"

    def inbox(self, tenant: str, job: str) -> str:
        """Approvals, cancels and signals to a job; never under the journal's subject."""
        return f"{self.prefix}.inbox.{check_name(tenant, 'tenant')}.{check_token(job, 'job')}"

    def inbox_filter(self, tenant: str = "*") -> str:
        """The inboxes of one tenant's jobs, or of all: what the stream INBOX captures."""
        return f"{self.prefix}.inbox.{tenant if tenant == '*' else check_name(tenant, 'tenant')}.*"

    def hint(self, tenant: str, priority: int) -> str:
        """Work hints: a job of that tenant may need an owner."""
        return f"{self.prefix}.hint.{check_name(tenant, 'tenant')}.{priority:d}"

    def hint_all(self) -> str:
        """Every work hint."""
        return f"{self.prefix}.hint.*.*"

    def dead_letter_all(self) -> str:
        """Every tenant's dead letters: what the stream DLQ captures."""
        return f"{self.prefix}.dlq.*"

    def dead_letter(self, tenant: str) -> str:
        """Dead letters of one tenant."""
        return f"{self.prefix}.dlq.{check_name(tenant, 'tenant')}"

    def timer_set(self, tenant: str, job: str, token: str) -> str:
        """Where a timer of a job is set (a scheduled message); set again under its token, it replaces the one before."""
        return self._timer("set", tenant, job, token)

    def timer_due(self, tenant: str, job: str, token: str) -> str:
        """Where that timer comes due."""
        return self._timer("due", tenant, job, token)

    def timer_due_all(self) -> str:
        """Every timer that came due."""
        return f"{self.prefix}.tim.due.*.*.*"

    def timer_all(self) -> str:
        """Timers, set and due: what the stream TIM captures."""
        return f"{self.prefix}.tim.>"

    def timers_of(self, tenant: str = "*", job: str = "*") -> str:
        """The timers of a job, of a tenant's jobs, or of all: set and due."""
        tenant = tenant if tenant == "*" else check_name(tenant, "tenant")
        return f"{self.prefix}.tim.*.{tenant}.{job if job == '*' else check_token(job, 'job')}.*"

    def _timer(self, family: str, tenant: str, job: str, token: str) -> str:
        tenant = check_name(tenant, "tenant")
        return f"{self.prefix}.tim.{family}.{tenant}.{check_token(job, 'job')}.{check_token(token)}"

    def parse_ingress(self, subject: str) -> Work:
        """The tenant and workflow of an ingress subject.

        Raises:
            InvalidName: anybody may publish there, so the tokens are checked.
        """
        tenant, workflow = self._parts(subject, "in", 2)
        return Work(check_name(tenant, "tenant"), check_name(workflow, "workflow"))

    def parse_submit(self, subject: str) -> Work:
        """The tenant and workflow of a submit subject, checked."""
        tenant, workflow = self._parts(subject, "submit", 2)
        return Work(check_name(tenant, "tenant"), check_name(workflow, "workflow"))

    def parse_job(self, subject: str) -> JobSubject:
        """The tenant and id of a journal's subject."""
        tenant, shard, job = self._parts(subject, "job", 3)
        if shard != shard_of(job):
            raise InvalidName(f"{subject!r} is no journal's subject: job {job} is in shard {shard_of(job)}")
        return JobSubject(tenant, job)

    def parse_inbox(self, subject: str) -> JobSubject:
        """The tenant and id of the job that a message is for.

        Raises:
            InvalidName: anybody may publish there, so the tokens are checked.
        """
        tenant, job = self._parts(subject, "inbox", 2)
        return JobSubject(check_name(tenant, "tenant"), check_token(job, "job"))

    def parse_timer(self, subject: str) -> Timer:
        """The tenant, job and token of a timer's subject, whether it is the one it is set on or the one it comes due on, checked."""
        family, tenant, job, token = self._parts(subject, "tim", 4)
        if family not in ("set", "due"):
            raise InvalidName(f"{subject!r} is no timer of {self.prefix}: it is neither set nor due")
        return Timer(check_name(tenant, "tenant"), check_token(job, "job"), check_token(token))
