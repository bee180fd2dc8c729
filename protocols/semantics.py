"""Every message type and its promise: who may send it, what a duplicate does, what silence means.

The table is the specification: the wire protocol's documentation prints it, and a test holds it complete.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from mesh.protocols.envelope import Kind

Delivery = Literal["at most once", "at least once", "stored once"]


class Semantics(NamedTuple):
    """The promise of one message type."""

    kind: Kind
    name: str
    sender: str
    delivery: Delivery
    idempotent: bool
    duplicate: str
    silence: str


ANY = "*"

TABLE: tuple[Semantics, ...] = (
    Semantics(
        "command", ANY, "any process, to one instance", "at most once", False,
        "handled again: the effect class says whether that is harmless; a copy with the same key is the handler's to detect",
        "asked: `timed-out`, and nothing is known; told: nobody notices",
    ),
    Semantics(
        "event", ANY, "the instance it names", "stored once", True,
        "dropped by message id within the stream's duplicate window; subscribers may still see it twice",
        "the publisher's append fails typed; subscribers replay from the stream",
    ),
    Semantics(
        "reply", ANY, "the instance that was asked", "at most once", True,
        "ignored: the exchange is over", "the requester's deadline ends the exchange",
    ),
    Semantics(
        "item", ANY, "the instance that was asked", "at most once", True,
        "ignored by its number; a gap ends the exchange with `timed-out`", "the inactivity timeout ends the exchange",
    ),
    Semantics(
        "progress", ANY, "the instance that was asked", "at most once", True,
        "shown again", "the inactivity timeout ends the exchange; the deadline is never moved",
    ),
    Semantics(
        "control", "probe", "any process", "at most once", True,
        "answered again", "no responders: the process is gone; no answer: it is suspected",
    ),
    Semantics(
        "control", "cancel", "the process that sent the command", "at most once", True,
        "nothing happens", "the command runs on until its deadline",
    ),
    Semantics(
        "control", "breakers", "any process", "at most once", True,
        "done and answered again, to the same end", "the process is gone or busy; nothing is known of its breakers",
    ),
    Semantics(
        "control", "policy", "any process", "at most once", True,
        "answered again", "the process is gone or busy; nothing is known of what it obeys",
    ),
    Semantics(
        "act", "call-for-proposal", "initiator", "at most once", True,
        "answered with the same proposal", "no bid from that participant",
    ),
    Semantics(
        "act", "propose", "participant", "at most once", True,
        "the first counts", "the window closes; one that comes later is rejected as `late`",
    ),
    Semantics(
        "act", "refuse", "participant", "at most once", True,
        "the first counts", "as if refused when the window closes; after an award: probe",
    ),
    Semantics(
        "act", "not-understood", "participant", "at most once", True, "the first counts", "as if refused",
    ),
    Semantics(
        "act", "accept-proposal", "initiator", "at most once", True,
        "answered with `confirm` or the stored result; never begun again",
        "no answer in 250 ms is probed; a lost winner's work is re-awarded, or in doubt, by effect class",
    ),
    Semantics(
        "act", "reject-proposal", "initiator", "at most once", True,
        "nothing happens", "the proposal expires by itself and its capacity is free",
    ),
    Semantics(
        "act", "confirm", "participant holding the award", "at most once", True,
        "nothing happens", "no answer in 250 ms is probed",
    ),
    Semantics(
        "act", "inform-result", "participant holding the award", "at most once", True,
        "the first is applied, later ones are kept as evidence", "probed until the deadline",
    ),
    Semantics(
        "act", "inform-done", "participant holding the award", "at most once", True,
        "the first is applied", "probed until the deadline",
    ),
    Semantics(
        "act", "failure", "participant holding the award", "at most once", True,
        "the first is applied", "probed until the deadline",
    ),
    Semantics(
        "act", "cancel", "initiator of the award", "at most once", True,
        "answered again with what there is", "the work runs on until its deadline",
    ),
)  # fmt: skip


def as_markdown() -> str:
    """The table as the documentation prints it."""
    head = "| kind | name | sender | delivery | idempotent | a duplicate | silence |\n|---|---|---|---|---|---|---|\n"
    rows = (
        f"| {each.kind} | {'any' if each.name == ANY else f'`{each.name}`'} | {each.sender} | {each.delivery} | "
        f"{'yes' if each.idempotent else 'no'} | {each.duplicate} | {each.silence} |\n"
        for each in TABLE
    )
    return head + "".join(rows)
