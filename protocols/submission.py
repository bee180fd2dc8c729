"""A job as it is handed in: plain JSON, with what limits it in headers, from any NATS client.

    Mesh-Key          the submitter's own key: the same key is the same job (else `Nats-Msg-Id`)
    Mesh-Deadline     seconds from submission until nobody needs the result any more
    Mesh-Budget       `0.50` (money), or `money=0.5,tokens=20000,tool_calls=10,wall_time=60`
    Mesh-Boundary     the data boundary the work must stay in
    Mesh-Priority     0 (most urgent) to 3
    Mesh-Labels       `region=eu,gpu=yes`: labels that every agent working for the job must have
    Mesh-Correlation  the correlation id, where the submitter has one; `Mesh-Causation` likewise
    Mesh-Parent       the job, and the wait in it, that this one was begun by: `j5x… review` (the wait's key URL-encoded)
    traceparent       W3C trace context

Header names are read in any case. Whatever is wrong is named in a `BadPayload`.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from mesh.protocols.constraints import Budget, Constraints
from mesh.protocols.envelope import NULL
from mesh.protocols.errors import BadPayload, Fault, InvalidName
from mesh.protocols.naming.names import check_token

MAX_DEPTH = 100
"""How deep lists and objects of an input may be nested."""

MAX_DEADLINE = 10 * 365 * 86400.0

_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_NESTING = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)|[\[{\]}]', re.DOTALL)
"""A text that has no end goes to the end of the input: looked for again from each of its quotes, it would take for ever."""


class Terms(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What stands beside the input. `deadline` is in seconds from submission; an empty `key` means none was given. `parent` is
    a job's id, and `wait` the key of the wait in it that ends when this job does: both empty for most."""

    key: str = ""
    deadline: float | None = None
    constraints: Constraints = Constraints()
    correlation: str = ""
    causation: str = ""
    trace: str = ""
    parent: str = ""
    wait: str = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer to a `submit` request: a `job` that is journaled, or an `error`. `duplicate`: it had been submitted before."""

    job: str = ""
    duplicate: bool = False
    error: Fault | None = None


def job_id_for_key(tenant: str, key: str) -> str:
    """The id of the job that a tenant's key names."""
    return _job_id("key", tenant, key)


def not_known(job: str, key: str) -> str:
    """What there is to say of a submission that was not answered."""
    return f"it is not known whether job {job} is stored: handed in again with the key {key!r} it is the same job"


def job_id_for_message(stream: str, sequence: int) -> str:
    """The id of a job that came without a key: one message of the ingress stream, one job. Its publisher, who has the PubAck, can derive it, too."""
    return _job_id("message", stream, str(sequence))


def _job_id(*parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return "j" + base64.b32encode(digest[:15])[:23].decode().lower()


def read_input(data: bytes) -> msgspec.Raw:
    """The input in `data`, known to be JSON that anybody can decode; no bytes at all mean `null`.

    Raises:
        BadPayload: not JSON (NaN and infinity are not), not UTF-8, or nested deeper than `MAX_DEPTH`.
    """
    if not data:
        return NULL
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _too_deep(data):
        raise BadPayload(f"the input is nested deeper than {MAX_DEPTH} levels")
    try:
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadPayload(f"the input is not JSON: {error}") from None
    return msgspec.Raw(data)


def _too_deep(data: bytes) -> bool:
    depth = 0
    for match in _NESTING.finditer(data):
        if match[0] in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif match[0] in b"]}":
            depth -= 1
    return False


def digest_of(value: bytes | msgspec.Raw) -> str:
    """`sha256:<hex>` of a JSON value, whatever its white space and the order of its keys."""
    canonical = msgspec.json.encode(msgspec.json.decode(value), order="deterministic")
    return "sha256:" + hashlib.sha256(canonical).hexdigest()


def headers_of(terms: Terms) -> dict[str, str]:
    """The headers that say these terms.

    Raises:
        BadPayload: something cannot be written in a header (a line break, a comma in a label).
    """
    limits = terms.constraints
    budget = msgspec.to_builtins(limits.budget)
    said = {
        "Mesh-Key": terms.key,
        "Mesh-Deadline": "" if terms.deadline is None else repr(terms.deadline),
        "Mesh-Budget": ",".join(f"{name}={value}" for name, value in budget.items()),
        "Mesh-Boundary": limits.boundary,
        "Mesh-Priority": "" if limits.priority == Constraints().priority else str(limits.priority),
        "Mesh-Labels": ",".join(f"{name}={value}" for name, value in limits.labels.items()),
        "Mesh-Correlation": terms.correlation,
        "Mesh-Causation": terms.causation,
        "Mesh-Parent": f"{terms.parent} {quote(terms.wait)}" if terms.parent else "",
        "traceparent": terms.trace,
    }
    headers = {name: value for name, value in said.items() if value}
    if any(not value.isprintable() for value in headers.values()) or terms_of(headers) != terms:
        raise BadPayload(f"these terms cannot be written in headers: {headers}")
    return headers


def terms_of(headers: Mapping[str, str] | None) -> Terms:
    """The terms that the headers say.

    Raises:
        BadPayload: names the header and what it may hold.
    """
    said = {name.lower(): value.strip() for name, value in (headers or {}).items()}
    trace = said.get("traceparent", "")
    parent, wait = _parent(said.get("mesh-parent", ""))
    return Terms(
        key=_text(said, "mesh-key") or _text(said, "nats-msg-id"),
        deadline=_deadline(said.get("mesh-deadline", "")),
        constraints=_constraints(said),
        correlation=_text(said, "mesh-correlation"),
        causation=_text(said, "mesh-causation"),
        trace=trace if _TRACE.match(trace) else "",
        parent=parent,
        wait=wait,
    )


def parse_budget(text: str) -> Budget:
    """A budget as people write it: `0.50`, or `money=0.5,tokens=20000`.

    Raises:
        BadPayload: says what may be written.
    """
    pairs = {"money": text} if "=" not in text else parse_labels(text, "a budget")
    try:
        return msgspec.convert({name: _number(value) for name, value in pairs.items()}, _StrictBudget).budget()
    except (msgspec.ValidationError, ValueError) as error:
        raise BadPayload(
            f"a budget is a number (money) or a list such as 'money=0.5,tokens=20000,tool_calls=10,wall_time=60', "
            f"got {text!r}: {error}"
        ) from None


def parse_labels(text: str, what: str = "labels") -> dict[str, str]:
    """`a=b,c=d` as a mapping.

    Raises:
        BadPayload: says what may be written.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not name.strip() or not sign for name, sign, _ in pairs):
        raise BadPayload(f"{what} must be written 'name=value,name=value', got {text!r}")
    return {name.strip(): value.strip() for name, _, value in pairs}


class _StrictBudget(msgspec.Struct, forbid_unknown_fields=True):
    tokens: float | None = None
    money: float | None = None
    tool_calls: float | None = None
    wall_time: float | None = None

    def budget(self) -> Budget:
        return Budget(
            tokens=None if self.tokens is None else int(self.tokens),
            money=self.money,
            tool_calls=None if self.tool_calls is None else int(self.tool_calls),
            wall_time=self.wall_time,
        )


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _text(said: Mapping[str, Any], name: str) -> str:
    value = str(said.get(name, ""))
    if len(value) > 256 or not value.isprintable():
        raise BadPayload(f"header {name} must be printable and at most 256 characters")
    return value


def _parent(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    job, _, wait = text.partition(" ")
    try:
        return check_token(job, "job"), unquote(wait, errors="strict")
    except (InvalidName, UnicodeError) as error:
        raise BadPayload(
            f"header mesh-parent must be a job's id and the key of a wait in it, got {text!r}: {error}"
        ) from None


def _deadline(text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = _number(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MAX_DEADLINE:
        raise BadPayload(f"header mesh-deadline must be a number of seconds above 0, got {text!r}")
    return seconds


def _constraints(said: Mapping[str, str]) -> Constraints:
    priority = said.get("mesh-priority", "")
    if priority not in ("", "0", "1", "2", "3"):
        raise BadPayload(f"header mesh-priority must be 0 (most urgent), 1, 2 or 3, got {priority!r}")
    return Constraints(
        budget=parse_budget(said["mesh-budget"]) if said.get("mesh-budget") else Budget(),
        boundary=_text(said, "mesh-boundary"),
        priority=int(priority) if priority else Constraints().priority,
        labels=parse_labels(said.get("mesh-labels", ""), "header mesh-labels"),
    )
