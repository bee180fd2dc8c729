"""`Seat`: what a process brings to the jobs it drives. The composition root fills it; tests fill it by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from mesh.actors.keeping.keeping import Keeping
from mesh.jobs.owning.decisions import Decisions, Undecided
from mesh.protocols.ports import Bus, Clock, Ids, Store
from mesh.protocols.subjects import Subjects
from mesh.registry.records import Capability
from mesh.resilience.fallback_cache import AnswerCache
from mesh.telemetry.telemetry import Telemetry, silent


class Incumbent(NamedTuple):
    """One start of a process, as it stands in the journals that it drives."""

    process: str
    incarnation: str


async def _nobody(owners: Collection[Incumbent]) -> Collection[Incumbent]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Seat:
    """One process. `incarnation` tells its starts apart.

    `holds_lease` says whether the registry has acknowledged this process lately: without that no new effect is begun.
    `unsettled` says whether the server was away a moment ago, so that who is missing may just not be back yet.
    `gone` tells which of some owners are dead. `declared` gives what the mesh declares of
    a capability, if anybody offers it; `policy` what operators have decided. `counts` is what the process has refused.
    """

    bus: Bus
    store: Store
    clock: Clock
    ids: Ids
    subjects: Subjects
    process: str
    incarnation: str = ""
    telemetry: Telemetry = field(default_factory=silent)
    holds_lease: Callable[[], bool] = lambda: True
    unsettled: Callable[[], bool] = lambda: False
    gone: Callable[[Collection[Incumbent]], Awaitable[Collection[Incumbent]]] = _nobody
    declared: Callable[[str], Capability | None] = lambda capability: None
    policy: Decisions = field(default_factory=Undecided)
    counts: Counter[str] = field(default_factory=Counter)

    @cached_property
    def answers(self) -> AnswerCache:
        """Good results of late, for steps that fall back on them."""
        return AnswerCache(self.clock)

    @cached_property
    def keeping(self) -> Keeping:
        """Where the effects of its local steps are remembered."""

        async def gone(process: str, incarnation: str) -> bool:
            return bool(await self.gone((Incumbent(process, incarnation),)))

        return Keeping(
            self.store, self.subjects, self.clock, self.ids, self.process, self.incarnation,
            gone=gone, listed=self.holds_lease,
        )  # fmt: skip
