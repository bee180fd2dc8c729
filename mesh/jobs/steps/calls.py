"""What a workflow asks of an agent, and the port to whoever finds one: the contract net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from mesh.contract_net.calls import Call, Contracted
from mesh.contract_net.ledger import AwardLedger
from mesh.protocols.acts import Mode
from mesh.protocols.awards import AwardRecord
from mesh.protocols.constraints import Constraints, Effect
from mesh.registry.records import Capability

DEFAULT_TIMEOUT = 30.0
"""Seconds for a call of a capability that nobody offers right now, so that nobody says how long it takes."""


class Contractor(Protocol):
    """Gives calls to agents: `contract_net.Initiator`."""

    async def contract(
        self,
        call: Call,
        *,
        ledger: AwardLedger | None = None,
        on_progress: Callable[[Any], None] | None = None,
        resume: AwardRecord | None = None,
        hands_over: Callable[[], bool] = lambda: False,
    ) -> Contracted:
        """Hold the auction, or go on from a journaled award, and wait for the winner's result.

        Cancelled, it cancels the work, unless `hands_over` says that another owner goes on with it."""


@dataclass(frozen=True, slots=True)
class CallTerms:
    """A `job.call` as it was written."""

    capability: str
    input: msgspec.Raw
    timeout: float | None
    labels: dict[str, str]
    effect: Effect | None
    mode: Mode
    constraints: Constraints | None

    def demands(self) -> Constraints:
        """What the call demands beyond the job."""
        return (self.constraints or Constraints(priority=0)).narrow(Constraints(priority=0, labels=self.labels))

    def seconds(self, declared: Capability | None) -> float:
        """Its time limit: its own, else the capability's, else `DEFAULT_TIMEOUT`."""
        if self.timeout is not None:
            return self.timeout
        return declared.timeout if declared else DEFAULT_TIMEOUT
