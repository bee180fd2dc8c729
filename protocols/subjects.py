"""Every subject, stream and bucket name of the mesh is built and parsed here, and nowhere else.

A token that reaches a subject has been validated first: nats-py would let a client publish to a wildcard, and a dot in
a name would shift every token behind it. All names start with `mesh.<namespace>` (`mesh_<namespace>_` for streams and
buckets, where NATS allows no dots).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from zlib import crc32

from mesh.protocols.errors import InvalidName

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_CAPABILITY = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*\Z")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9][A-Za-z0-9-]*)*\Z")

DISCONNECTS = "$SYS.ACCOUNT.*.DISCONNECT"
"""Where the server tells that a connection ended, if the account imports it."""

ANYONE = "_"
"""Stands for the responder in a reply subject whose responder is not known yet (a broadcast)."""

SHARDS = tuple("0123456789abcdef")
"""The streams that journals are spread over: a stream syncs one message after the other to the disk, several at once."""


def check_token(token: str, what: str = "token") -> str:
    """The token itself, if it can stand in a subject: letters, digits, `-` and `_`, at most 128.

    Raises:
        InvalidName: says which name and what is allowed.
    """
    if not _TOKEN.match(token):
        raise InvalidName(
            f"{what} {token!r} cannot be used in a subject: use letters, digits, '-' and '_', at most 128, "
            "starting with a letter or digit"
        )
    return token


def check_name(name: str, what: str = "name") -> str:
    """The name itself, if it can name an agent, workflow, tenant, host or namespace: lower case, digits and `-`."""
    if not _NAME.match(name):
        raise InvalidName(f"{what} {name!r} is not allowed: use lower-case letters, digits and '-', at most 63")
    return name


def check_capability(capability: str) -> str:
    """The capability itself, if it is a dotted name such as `review.security`.

    No underscores: on the wire the dots become underscores, and both must not mean the same.
    """
    if len(capability) > 128 or not _CAPABILITY.match(capability):
        raise InvalidName(
            f"capability {capability!r} is not allowed: use lower-case letters, digits and '-', in parts joined by '.', "
            "such as 'review.security'"
        )
    return capability


def check_event_type(event_type: str) -> str:
    """The event type itself, if it is a dotted name such as `review.finished`."""
    if len(event_type) > 128 or not _EVENT_TYPE.match(event_type):
        raise InvalidName(
            f"event type {event_type!r} is not allowed: use letters, digits and '-', in parts joined by '.'"
        )
    return event_type


def shard_of(job: str) -> str:
    """Which of the SHARDS a job's journal is in: the last four bits of the CRC-32 (as in zlib) of its id, in hexadecimal.

    Raises:
        InvalidName: it can be no job's id.
    """
    return SHARDS[crc32(check_token(job, "job").encode()) % len(SHARDS)]


def may_be_answered(reply: str) -> bool:
    """Whether anybody may be answered on this reply subject: not on a mesh's own subjects nor on the server's, where whoever
    asks could have us speak in our name, and not on a pattern."""
    tokens = reply.split(".")
    return tokens[0] != "mesh" and not reply.startswith("$") and not any(each in ("", "*", ">") for each in tokens)


class Rpc(NamedTuple):
    """`rpc.<process>.<agent>.<instance>.<from-process>` in its parts."""

    process: str
    agent: str
    instance: str
    sender: str


class Reply(NamedTuple):
    """`rep.<requester>.<responder>.<token>` in its parts."""

    requester: str
    responder: str
    token: str


class Cfp(NamedTuple):
    """`cfp.<capability>.<from-process>` in its parts, the dots of the capability restored."""

    capability: str
    sender: str


class Work(NamedTuple):
    """`in.<tenant>.<workflow>` and `submit.<tenant>.<workflow>` in their parts."""

    tenant: str
    workflow: str


class Event(NamedTuple):
    """`evt.<tenant>.<agent>.<type…>` or `now.…` in its parts; the type may itself be dotted."""

    tenant: str
    agent: str
    type: str


class JobSubject(NamedTuple):
    """`job.<tenant>.<shard>.<id>` and `inbox.<tenant>.<id>` in their parts; the shard follows from the id."""

    tenant: str
    job: str


class Timer(NamedTuple):
    """`tim.set.<tenant>.<id>.<token>` and `tim.due.…` in their parts: a job's timers are told apart by token."""

    tenant: str
    job: str
    token: str


class Subjects:
    """The names of one mesh: the namespace is fixed at construction, every other token is checked as it comes."""

    def __init__(self, namespace: str = "default") -> None:
        self.namespace = check_name(namespace, "namespace")
        self.prefix = f"mesh.{namespace}"
        self._skip = len(self.prefix) + 1

    # -- commands and replies

    def rpc(self, process: str, agent: str, instance: str, sender: str) -> str:
        """Where a command to one instance goes; `sender` is the process that publishes it."""
        return f"{self.prefix}.rpc.{check_token(process)}.{check_token(agent)}.{check_token(instance)}.{check_token(sender)}"

    def rpc_pattern(self, process: str, agent: str, instance: str) -> str:
        """The commands to one instance from whomever: what is shown to people."""
        return f"{self.prefix}.rpc.{check_token(process)}.{check_token(agent)}.{check_token(instance)}.*"

    def rpc_inbox(self, process: str) -> str:
        """The one subscription by which a process hears every command to its instances."""
        return f"{self.prefix}.rpc.{check_token(process)}.>"

    def reply(self, requester: str, responder: str, token: str) -> str:
        """Where a responder answers. Responders build this themselves; they answer no subject that was handed to them."""
        middle = responder if responder == ANYONE else check_token(responder)
        return f"{self.prefix}.rep.{check_token(requester)}.{middle}.{check_token(token)}"

    def reply_root(self, requester: str, responder: str) -> str:
        """What all reply subjects between two processes begin with; a checked token makes one of it."""
        middle = responder if responder == ANYONE else check_token(responder)
        return f"{self.prefix}.rep.{check_token(requester)}.{middle}."

    def reply_inbox(self, process: str) -> str:
        """The one subscription by which a process hears every reply to it."""
        return f"{self.prefix}.rep.{check_token(process)}.>"

    def cfp(self, capability: str, sender: str) -> str:
        """Where a call for proposals is broadcast."""
        return f"{self.prefix}.cfp.{check_capability(capability).replace('.', '_')}.{check_token(sender)}"

    def cfp_inbox(self, capability: str) -> str:
        """What a process subscribes to when one of its agents can do the capability."""
        return f"{self.prefix}.cfp.{check_capability(capability).replace('.', '_')}.*"

    # -- presence, events, telemetry

    def beat(self, process: str) -> str:
        """Heartbeats of one process."""
        return f"{self.prefix}.beat.{check_token(process)}"

    def beat_all(self) -> str:
        """Heartbeats of every process."""
        return f"{self.prefix}.beat.*"

    def event(self, tenant: str, agent: str, event_type: str) -> str:
        """Where an event is published; the durable stream EVT captures it."""
        return self._event("evt", tenant, agent, event_type)

    def now(self, tenant: str, agent: str, event_type: str) -> str:
        """Where an event is published that is heard now or never: no stream captures it."""
        return self._event("now", tenant, agent, event_type)

    def event_filter(self, tenant: str = "*", agent: str = "*", event_type: str = ">") -> str:
        """What to subscribe to: `*` for any tenant or agent, a type, `a.*` or `a.>` for types below `a`, `>` for all."""
        return self._event_filter("evt", tenant, agent, event_type)

    def now_filter(self, tenant: str = "*", agent: str = "*", event_type: str = ">") -> str:
        """The same for the events that nobody stores."""
        return self._event_filter("now", tenant, agent, event_type)

    def _event(self, family: str, tenant: str, agent: str, event_type: str) -> str:
        agent = check_token(agent, "agent")
        return f"{self.prefix}.{family}.{check_name(tenant, 'tenant')}.{agent}.{check_event_type(event_type)}"

    def _event_filter(self, family: str, tenant: str, agent: str, event_type: str) -> str:
        for part in event_type.split("."):
            if part not in ("*", ">"):
                check_event_type(part)
        if ">" in event_type.split(".")[:-1]:
            raise InvalidName(f"event type {event_type!r}: '>' may only stand at the end")
        tenant = tenant if tenant == "*" else check_name(tenant, "tenant")
        agent = agent if agent == "*" else check_token(agent, "agent")
        return f"{self.prefix}.{family}.{tenant}.{agent}.{event_type}"

    def live(self, process: str, incarnation: str) -> str:
        """Heard by this very incarnation of the process alone: a 503 here means that it is dead."""
        return f"{self.prefix}.live.{check_token(process)}.{check_token(incarnation, 'incarnation')}"

    def roll(self, requester: str, responder: str, token: str) -> str:
        """Where a process answers a roll call. Apart from `reply`: the server tells a 503 to one subscription only, so
        the subject it goes to must match no other subscription of the requester."""
        return f"{self.prefix}.roll.{check_token(requester)}.{check_token(responder)}.{check_token(token)}"

    def roll_call(self, requester: str, token: str) -> str:
        """The answers to one roll call, from whichever process."""
        return f"{self.prefix}.roll.{check_token(requester)}.*.{check_token(token)}"

    def telemetry(self, process: str) -> str:
        """Telemetry of one process; in no stream."""
        return f"{self.prefix}.tel.{check_token(process)}"

    def telemetry_all(self) -> str:
        """Telemetry of every process."""
        return f"{self.prefix}.tel.*"

    def tune(self, sender: str) -> str:
        """Where a process says that it listens to telemetry: nobody publishes any before."""
        return f"{self.prefix}.tune.{check_token(sender)}"

    def tune_all(self) -> str:
        """Whoever listens to telemetry."""
        return f"{self.prefix}.tune.*"

    # -- jobs

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

    def all_of(self, tenant: str) -> tuple[str, ...]:
        """Everything of one tenant that any stream may hold."""
        check_name(tenant, "tenant")
        families = ("job", "in", "inbox", "evt", "hint", "dlq", "tim.*")
        return (*(f"{self.prefix}.{family}.{tenant}.>" for family in families), f"{self.prefix}.dlq.{tenant}")

    # -- streams and buckets

    def stream(self, name: str) -> str:
        """The name of a stream, such as `mesh_default_EVT`."""
        return f"mesh_{self.namespace}_{check_token(name, 'stream')}"

    def job_stream(self, shard: str) -> str:
        """The name of a shard's stream of journals, such as `mesh_default_JOB_0`."""
        return self.stream(f"JOB_{shard}")

    def bucket(self, name: str) -> str:
        """The name of a key-value bucket or object store, such as `mesh_default_registry`."""
        return f"mesh_{self.namespace}_{check_token(name, 'bucket')}"

    # -- parsing

    def parse_rpc(self, subject: str) -> Rpc:
        """The parts of an rpc subject."""
        return Rpc(*self._parts(subject, "rpc", 4))

    def parse_reply(self, subject: str) -> Reply:
        """The parts of a reply subject."""
        return Reply(*self._parts(subject, "rep", 3))

    def parse_roll(self, subject: str) -> Reply:
        """The parts of the answer to a roll call."""
        return Reply(*self._parts(subject, "roll", 3))

    def parse_cfp(self, subject: str) -> Cfp:
        """The parts of a call for proposals."""
        capability, sender = self._parts(subject, "cfp", 2)
        return Cfp(capability.replace("_", "."), sender)

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

    def parse_telemetry(self, subject: str) -> str:
        """The process whose telemetry comes on a subject."""
        return self._parts(subject, "tel", 1)[0]

    def parse_event(self, subject: str) -> Event:
        """The tenant, agent and type of an event's subject, stored or not."""
        parts = subject[self._skip :].split(".")
        if not subject.startswith(self.prefix + ".") or parts[0] not in ("evt", "now") or len(parts) < 4:
            raise InvalidName(f"{subject!r} is not an event subject of {self.prefix}")
        return Event(parts[1], parts[2], ".".join(parts[3:]))

    def _parts(self, subject: str, family: str, count: int) -> list[str]:
        parts = subject[self._skip :].split(".")
        if not subject.startswith(self.prefix + ".") or parts[0] != family or len(parts) != count + 1:
            raise InvalidName(f"{subject!r} is not a {family} subject of {self.prefix}")
        return parts[1:]
