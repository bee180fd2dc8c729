"""`Lineage`: what one message hands down to the messages it causes.

Correlation, tenant, job, chain, deadline and constraints travel by themselves: a handler never copies them. Down a chain
they only narrow.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.protocols.constraints import Constraints
from mesh.protocols.envelope import NULL, VERSION, Envelope, Kind, Sender, Stamps
from mesh.protocols.errors import CallCycle, Refused, TooManyHops
from mesh.protocols.ports import Ids
from mesh.resilience.deadline import Deadline

MAX_HOPS = 8
"""How many agents may wait for one another in a chain."""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends, and on whose behalf. An empty `correlation` starts a new one."""

    sender: Sender
    correlation: str = ""
    causation: str = ""
    tenant: str = "default"
    job: str = ""
    epoch: int = 0
    step: str = ""
    hops: int = 0
    chain: tuple[str, ...] = ()
    deadline: Deadline | None = None
    constraints: Constraints | None = None
    trace: str = ""
    stamps: Stamps | None = None
    ext: dict[str, Any] = {}

    @classmethod
    def below(cls, cause: Envelope, sender: Sender, deadline: Deadline, stamps: Stamps | None = None) -> Lineage:
        """The lineage of what `sender` does while it handles `cause`."""
        return cls(
            sender=sender,
            correlation=cause.correlation,
            causation=cause.id,
            tenant=cause.tenant,
            job=cause.job,
            epoch=cause.epoch,
            step=cause.step,
            hops=cause.hops + 1,
            chain=(*cause.chain, sender.agent),
            deadline=deadline,
            constraints=cause.constraints,
            trace=cause.trace,
            stamps=stamps,
            ext=cause.ext,
        )

    def check_call(self, agent: str = "") -> None:
        """May it call `agent` and wait?

        Raises:
            CallCycle: that agent waits already, further up. TooManyHops: the chain is too long.
        """
        if agent and agent in self.chain:
            raise CallCycle(f"{agent} is already waiting in this chain: {' → '.join((*self.chain, agent))}")
        if self.hops > MAX_HOPS:
            raise TooManyHops(f"the chain of calls is longer than {MAX_HOPS}: {' → '.join(self.chain)}")

    def limits(self, timeout: float, deadline: Deadline) -> Deadline:
        """The deadline of a call: `timeout` seconds, no later than `deadline` or the one inherited."""
        inherited = deadline if self.deadline is None or deadline.at < self.deadline.at else self.deadline
        return inherited.narrow(timeout)

    def narrowed(self, constraints: Constraints | None) -> Constraints | None:
        """The inherited constraints and those of the call.

        Raises:
            Refused: the call would widen what was inherited.
        """
        if constraints is None or self.constraints is None:
            return constraints or self.constraints
        try:
            return self.constraints.narrow(constraints)
        except ValueError as error:
            raise Refused(str(error), detail={"reason": "constraints"}) from None

    def compose(
        self,
        ids: Ids,
        kind: Kind,
        name: str,
        payload: msgspec.Raw = NULL,
        *,
        waits: bool = True,
        remaining: float | None = None,
        constraints: Constraints | None = None,
        key: str = "",
        attempt: int = 1,
        version: int = VERSION,
    ) -> Envelope:
        """A new message below this lineage. With `waits` false the chain ends here: nobody waits for the answer."""
        message_id = ids.uuid()
        envelope = Envelope(
            v=version,
            id=message_id,
            kind=kind,
            name=name,
            sender=self.sender,
            correlation=self.correlation or message_id,
            attempt=attempt,
            remaining=remaining,
            key=key,
            constraints=constraints if constraints is not None else self.constraints,
            stamps=self.stamps,
            payload=payload,
        )
        return self._handed_down(envelope, waits) if self.inherits else envelope

    @property
    def inherits(self) -> bool:
        """Whether there is more to hand down than who sends: not for what a process asks of its own accord."""
        return bool(
            self.causation or self.hops or self.chain or self.job or self.epoch or self.step or self.trace or self.ext
        ) or self.tenant != "default"  # fmt: skip

    def _handed_down(self, envelope: Envelope, waits: bool) -> Envelope:
        return msgspec.structs.replace(
            envelope,
            causation=self.causation,
            tenant=self.tenant,
            job=self.job,
            epoch=self.epoch,
            step=self.step,
            hops=self.hops,
            chain=self.chain if waits else (),
            trace=self.trace,
            ext=self.ext,
        )
