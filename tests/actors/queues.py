"""What the tests of queues share: work by tenant and priority, and a host that decides shares."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import msgspec

from mesh.actors.declaring.definition import agent
from mesh.actors.running.work import NOBODY, Work
from mesh.protocols.constraints import Constraints
from mesh.protocols.envelope import Envelope, Sender
from mesh.resilience.deadline import Deadline


@agent(capability="do.it", price=0.5, tier=1)
async def do_it() -> None: ...


HANDLER = do_it.definition.handlers["do_it"]
_numbers = itertools.count()


class Given(msgspec.Struct, frozen=True):
    """What one tenant gets."""

    weight: float = 1.0
    at_once: int | None = None
    queue: int | None = None


class Landlord:
    """Whose queue it is, without an actor."""

    def __init__(self, capacity: int = 1, **shares: Given) -> None:
        self.capacity = capacity
        self.shares: Mapping[str, Given] = shares
        self.places: dict[str, int] = {}

    def share(self, tenant: str) -> Given:
        return self.shares.get(tenant, Given())

    def held(self) -> dict[str, int]:
        return dict(self.places)


def work(
    tenant: str = "default", priority: int | None = None, at: float = 0.0, name: str = "", sender: str = "p"
) -> Work:
    """A message that was offered at that time."""
    envelope = Envelope(
        v=1, id=name or f"m{next(_numbers)}", kind="command", name="do_it", sender=Sender("a", "b", sender),
        correlation="c", tenant=tenant, constraints=None if priority is None else Constraints(priority=priority),
    )  # fmt: skip
    return Work(envelope, HANDLER, NOBODY, Deadline(None, 0.0), sender, at)  # type: ignore[arg-type]
