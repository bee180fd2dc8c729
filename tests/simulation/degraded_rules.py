"""`DegradedRules`: a result that was made of less than was asked for says so, on every message and in every journal.

What is less has `LESS` in it, whoever made it: so what is marked is held against what is there, and nobody's mark is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mesh.protocols.job_events import StepSucceeded, WaitResolved
from mesh.protocols.ports import Message
from tests.simulation.workload import LESS

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants

MARK = LESS.encode()
ANSWERS = ("reply", "act")


class DegradedRules:
    """See the module."""

    def __init__(self, invariants: Invariants) -> None:
        self._invariants = invariants
        invariants.world.outside.on_told.append(self._told)
        if invariants.world.configuration.guests:
            invariants.world.server.passing.append(self._passes)

    def _passes(self, message: Message) -> None:
        """An answer on its way from one process to another."""
        if MARK not in message.data:
            return
        said = msgspec.json.decode(message.data)
        if (
            said.get("kind") in ANSWERS
            and MARK in msgspec.json.encode(said.get("payload"))
            and not said.get("degraded")
        ):
            self._invariants.violated(f"{said['sender']} answers with less than was asked for, and does not say so")

    def journaled(self, job: str, event: Any) -> None:
        """A step's result, or a child's."""
        match event:
            case StepSucceeded():
                self._marked(job, event.key, event.output, event.degraded)
            case WaitResolved() if event.value is not None:
                self._marked(job, event.key, event.value, event.degraded)

    def _marked(self, job: str, key: str, value: Any, degraded: str) -> None:
        less = value.inline is not None and MARK in bytes(value.inline)
        if less and not degraded:
            self._invariants.violated(f"job {job}: {key} has less than was asked for, and its journal does not say so")
        elif degraded and not less:
            self._invariants.violated(f"job {job}: {key} has all that was asked for, and is journaled as degraded")

    def _told(self, job: str, results: dict[str, str], degraded: dict[str, str]) -> None:
        """What a workflow is told in the end of its own steps."""
        for key, result in results.items():
            if (LESS in result) != any(each.startswith(key) for each in degraded):
                self._invariants.violated(
                    f"job {job}: {key} came to {result!r}, and its workflow is told of {degraded}"
                )

    def answered(self, what: str, value: Any, source: str) -> None:
        """An answer to the client."""
        if (LESS in str(value)) != (source != "full"):
            self._invariants.violated(f"{what} was handed {value!r} as {source}")
