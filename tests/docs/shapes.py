"""The shapes of what stands on the wire, as the documentation prints them: from the Structs themselves, so that they are true."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, get_args

import msgspec
from msgspec import inspect as types

from mesh.actors.events import batch
from mesh.actors.exchanging import dispatch
from mesh.contract_net import composing, confirming
from mesh.protocols import (
    acts,
    artifacts,
    awards,
    breaker_rows,
    conduct,
    constraints,
    dead_letters,
    envelope,
    errors,
    job_inbox,
    learned,
    policies,
    references,
    submission,
)
from mesh.protocols import job_events as jobs
from mesh.protocols.job_rules import COMP_TRANSITIONS, STEP_TRANSITIONS, TRANSITIONS, WAIT_TRANSITIONS
from mesh.protocols.selection import SelectionPolicy
from mesh.registry import beats, directory, records
from mesh.telemetry import broadcast, report

OFFERS = (acts.Bid, acts.Proposal, acts.Refusal)
REGISTRY = (
    records.Lease, records.Instance, records.Capability, records.Beat, records.Figures, conduct.Statement, conduct.Conduct,
)  # fmt: skip
ENTRIES = (
    jobs.Entry,
    jobs.JobHead,
    jobs.OpenWait,
    jobs.Parent,
    jobs.Value,
    references.Reference,
    awards.AwardRecord,
    awards.Candidate,
    awards.Score,
    awards.Weights,
    learned.Learned,
)
ARTIFACTS = (artifacts.Artifact, artifacts.Provenance, artifacts.Evidence, artifacts.Confidence, artifacts.Verdict)
TELEMETRY = (report.Tune, report.Report, report.Told)
BREAKERS = (breaker_rows.BreakersWanted, breaker_rows.BreakerRow, breaker_rows.Passage)
LETTERS = (dead_letters.DeadLetter, dead_letters.Source)
ENVELOPE = (constraints.Constraints, constraints.Budget, constraints.Usage, envelope.Stamps, errors.Fault)
EVENTS: tuple[type[msgspec.Struct], ...] = tuple(
    kind
    for family in (jobs.Life, jobs.Step, jobs.Wait, jobs.Control, jobs.Saga, jobs.History, jobs.Trace)
    for kind in get_args(family)
)


def shapes(kinds: Iterable[type[msgspec.Struct]], names: Iterable[str] = ()) -> str:
    """One paragraph a Struct: what it is for, and its fields with their types and defaults."""
    listed = list(kinds)
    titles = list(names) or [kind.__name__ for kind in listed]
    return "\n".join(
        f"**{title}**: {_words(kind)}\\\n{_fields(kind)}\n" for title, kind in zip(titles, listed, strict=True)
    )


def performatives() -> str:
    """The content of every act."""
    return shapes(acts.ACTS.values(), (f"`{name}`" for name in acts.ACTS))


def job_events() -> str:
    """Every event of a journal."""
    return shapes(EVENTS, (f"`{kind.__struct_config__.tag}`" for kind in EVENTS))


def inbox() -> str:
    """Everything that may be said to a job."""
    kinds = get_args(job_inbox.Said)
    return shapes(kinds, (f"`{kind.__struct_config__.tag}`" for kind in kinds))


def job_rules() -> str:
    """Which event may follow in which state."""
    rows = ["| state | event → next state |", "|---|---|"]
    tables = (
        (TRANSITIONS, "job"),
        (STEP_TRANSITIONS, "step"),
        (WAIT_TRANSITIONS, "wait"),
        (COMP_TRANSITIONS, "undoing"),
    )
    for table, what in tables:
        for state, steps in table.items():
            leads = ", ".join(f"`{event}` → {target}" for event, target in steps.items()) or "none: it is over"
            rows.append(f"| {what} {state} | {leads} |")
    return "\n".join(rows) + "\n"


def faults() -> str:
    """Every code with its class."""
    roots = (errors.MeshError, errors.Transient, errors.Semantic, errors.Catastrophic)
    kinds = [each for each in errors.every_error() if each.__module__ == errors.__name__ and each not in roots]
    kinds.sort(key=lambda each: (_ORDER[each.error_class], each.code))
    rows = (f"| `{each.code}` | {each.error_class} | {_words(each)} |\n" for each in kinds)
    return "| code | class | means |\n|---|---|---|\n" + "".join(rows)


def decisions() -> str:
    """What operators decide, by the keys in the bucket, and what is left of limits."""
    kinds = (policies.Switch, policies.Flag, policies.RateLimit, policies.TenantShare, policies.LimitState)
    return shapes(kinds, ("`kill.…`", "`flag.…`", "`limit.…`", "`share.…`", "in the bucket `limits`"))


def limits() -> str:
    """The numbers that a peer meets."""
    policy = SelectionPolicy()
    rows = [
        ("a payload, or whole envelope, that our side sends in the message itself", f"{references.LIMIT // 1024} KiB"),
        ("a payload by reference", f"{references.LARGEST >> 20} MiB"),
        ("an input that travels in a call for proposals", f"{composing.INLINE // 1024} KiB"),
        ("nesting of a job's input", f"{submission.MAX_DEPTH} levels"),
        ("the value of `Mesh-Key`, `Mesh-Boundary` and the ids in headers", "256 printable characters"),
        ("agents waiting for one another in a chain (`hops`)", "8"),
        ("`remaining` that is honoured", f"{dispatch.LONGEST / 3600:g} h"),
        ("large payloads that one process fetches at once", str(dispatch.FETCHES)),
        ("instances in one part of a beat", str(beats.PART)),
        ("instances in one beat, or in one answer to a roll call", str(beats.MOST)),
        ("a directory that opens asks at most", f"{directory.ASK_AT_START} processes"),
        ("unstored events in one message of ours", f"{batch.MOST}, and {batch.BYTES // 1024} KiB unless one has more"),
        ("an unstored event of ours waits for others at most", f"{batch.WINDOW * 1000:g} ms"),
        ("telemetry events in one message", f"{broadcast.FULL // 1024} KiB; one has no more"),
        ("a wish to hear telemetry lasts at most", f"{report.AT_MOST:g} s"),
        ("an award is confirmed if no result is ready after", f"{confirming.CONFIRM_AFTER * 1000:g} ms"),
        ("our initiators await proposals for", f"{policy.window * 1000:g} ms, at most half of the time left"),
        ("our initiators await the first answer to an award for", f"{policy.patience * 1000:g} ms"),
        ("then copies are sent, each awaited as long", f"{policy.probes}"),
        ("a running award is asked after (by a copy) every", f"{policy.check:g} s"),
    ]
    return "| what | how much |\n|---|---|\n" + "".join(f"| {what} | {value} |\n" for what, value in rows)


_ORDER = {"transient": 0, "semantic": 1, "catastrophic": 2}


def _words(kind: type) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


def _fields(kind: type[msgspec.Struct]) -> str:
    found = types.type_info(kind)
    assert isinstance(found, types.StructType)
    tag = [f'`type` "{found.tag}"'] if found.tag is not None else []
    return " · ".join([*tag, *(f"`{each.encode_name}` {_field(each)}" for each in found.fields)])


def _field(field: types.Field) -> str:
    if field.required:
        return _kind(field.type)
    default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    shown = default if isinstance(default, msgspec.Raw) else msgspec.json.encode(default)
    return f"{_kind(field.type)} = {bytes(shown).decode()}"


def _kind(kind: Any) -> str:
    match kind:
        case types.StructType():
            return kind.cls.__name__
        case types.VarTupleType() | types.ListType():
            return (
                "list of any job event"
                if isinstance(kind.item_type, types.UnionType)
                else f"list of {_kind(kind.item_type)}"
            )
        case types.DictType():
            return f"object of {_kind(kind.value_type)}"
        case types.LiteralType():
            return " | ".join(f'"{value}"' for value in kind.values)
        case types.UnionType():
            return " or ".join(_kind(each) for each in kind.types)
    return _PLAIN[type(kind)]


_PLAIN: dict[type, str] = {
    types.IntType: "int", types.FloatType: "number", types.StrType: "string", types.BoolType: "bool",
    types.NoneType: "null", types.RawType: "any JSON", types.AnyType: "any JSON",
}  # fmt: skip
