"""`Doing`: the work that the present task is about, for code that is handed no context: a client of some other system, deep
inside a handler or a step, that needs the idempotency key.

The invocation of a handler sets it, and so does a job around each local step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import Refused

if TYPE_CHECKING:
    from mesh.actors.keeping.effects import Effects
    from mesh.actors.keeping.keeping import Keeping


class Doing(Protocol):
    """One piece of work. `key` is its idempotency key: the same for every attempt at it."""

    @property
    def key(self) -> str: ...  # noqa: D102

    @property
    def tenant(self) -> str: ...  # noqa: D102

    @property
    def conversation(self) -> str: ...  # noqa: D102

    @property
    def effects(self) -> Effects: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class StepWork:
    """A local step of a job. `key` is the job's id and the step's key; `keeping` is what remembers its effects."""

    key: str
    tenant: str
    conversation: str
    keeping: Keeping

    @property
    def effects(self) -> Effects:
        """The effects of steps: one set a tenant, as their keys are unique already."""
        return self.keeping.effects.of(STEPS, self.tenant)


doing: ContextVar[Doing | None] = ContextVar("doing", default=None)
"""What is being done; None where nothing is, or nobody said."""
STEPS = "jobs"
"""Stands for the agent in the effects of local steps."""


@contextmanager
def being_done(work: Doing) -> Iterator[None]:
    """Inside, `work` is what is being done."""
    token = doing.set(work)
    try:
        yield
    finally:
        doing.reset(token)


def conversation_of(message: Envelope) -> str:
    """What a message belongs to: `ext.conversation`, which travels with everything that the first one causes, else its
    correlation."""
    named = message.ext.get("conversation")
    return named if isinstance(named, str) and named else message.correlation


def effect_key(name: str = "") -> str:
    """The idempotency key of the present work, the same in every attempt at it; with `name`, one of its own for each of
    several effects. Hand it to the target.

    Raises:
        Refused: this is neither a handler nor a step of a job.
    """
    key = _present("mesh.effect_key()").key
    return f"{key}/{name}" if name else key


def effects() -> Effects:
    """The effects of the present work: `await mesh.effects().once(mesh.effect_key("charge"), charge)`.

    Raises:
        Refused: this is neither a handler nor a step of a job.
    """
    return _present("mesh.effects()").effects


def _present(asked: str) -> Doing:
    present = doing.get()
    if present is None:
        raise Refused(
            f"{asked} belongs into a handler or a step of a job, and this is neither (a handler of live events takes "
            "`ctx: Context` to have one)",
            detail={"reason": "no-work"},
        )
    return present
