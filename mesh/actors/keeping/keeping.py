"""`Keeping`: what a process's agents keep: states, histories, and the effects they have had. Opened at first need."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from mesh.actors.exchanging.payloads import STORE, Payloads
from mesh.actors.keeping.effects import EffectStore, Gone, nobody_is
from mesh.actors.keeping.history import Histories, Summarise
from mesh.actors.keeping.history_turns import Bounds
from mesh.actors.keeping.state import States
from mesh.actors.keeping.state_shelf import Shelf
from mesh.protocols.ports import Clock, Ids, Store
from mesh.protocols.subjects import Subjects


class Keeping:
    """One process's access to the three buckets. `gone` and `listed` as in `EffectStore`."""

    def __init__(
        self,
        store: Store,
        subjects: Subjects,
        clock: Clock,
        ids: Ids,
        process: str,
        incarnation: str = "",
        *,
        gone: Gone = nobody_is,
        listed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._subjects = subjects
        self._clock = clock
        self._ids = ids
        self._process = process
        self._incarnation = incarnation
        self._gone = gone
        self._listed = listed

    @cached_property
    def states(self) -> States:
        """The durable values of agents."""
        return States(self._shelf("state"))

    @cached_property
    def effects(self) -> EffectStore:
        """The effects that agents and steps have had."""
        return EffectStore(
            self._shelf("effects"), self._clock, self._process, self._incarnation, gone=self._gone, listed=self._listed
        )

    def histories(self, agent: str, bounds: Bounds, summarise: Summarise | None = None) -> Histories:
        """The conversations of one agent."""
        return Histories(self._history, self._clock, agent, bounds, summarise)

    @cached_property
    def _history(self) -> Shelf:
        return self._shelf("history")

    def _shelf(self, name: str) -> Shelf:
        payloads = Payloads(self._store, self._subjects.bucket(STORE))
        return Shelf(self._store, self._subjects, self._clock, self._ids, payloads, name)
