"""`AdmissionRules`: what must hold where work comes in: places, mailboxes, tenants' shares, and deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesh.actors.admitting.mailbox import LIMIT, Mailbox
from mesh.actors.running.work import Work
from tests.simulation.handling import Handling
from tests.simulation.place import HERE
from tests.simulation.seams import Seams
from tests.simulation.workload import AT_ONCE

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants
    from tests.simulation.policy_rules import PolicyRules


class AdmissionRules:
    """See the module. What runs is counted by the handlers themselves, what waits where it is put."""

    def __init__(self, invariants: Invariants, seams: Seams, policies: PolicyRules) -> None:
        self._invariants = invariants
        self._policies = policies
        self._room = invariants.world.configuration.room
        self._handlings = invariants.world.outside.handlings
        self._handlings.on_begin.append(self._begun)
        seams.after(Mailbox, "put", self._put)
        seams.after(Mailbox, "take_in", self._put)

    def _begun(self, handling: Handling) -> None:
        running, context = self._handlings.of(handling), handling.context
        if len(running) >= AT_ONCE:
            self._invariants.violated(f"{handling} begins while {len(running)} run there: its capacity is {AT_ONCE}")
        share = self._policies.share(handling.place, context.tenant)
        if share is not None and share.at_once is not None:
            beside = sum(each.context.tenant == context.tenant for each in running)
            if beside >= share.at_once:
                self._invariants.violated(f"{handling} begins while {beside} of its tenant run: {share.at_once} may")
        left = context.deadline.at - handling.place.offset - self._invariants.world.loop.now
        if left <= 0:
            self._invariants.violated(f"{handling} begins {-left:.3f} s after its deadline")

    def _put(self, mailbox: Mailbox, result: object, works: Any, host: Any) -> None:
        room = self._room if host.definition.name == "worker" else LIMIT
        if len(mailbox) > room:
            self._invariants.violated(f"{HERE.get()}: {len(mailbox)} messages wait for {host.key}: {room} may")
        if isinstance(works, Work):
            self._put_one(mailbox, works, host)

    def _put_one(self, mailbox: Mailbox, work: Work, host: Any) -> None:
        """More of a tenant than its share allows may wait from before; but nothing is added to them."""
        tenant = work.envelope.tenant
        share = self._policies.share(HERE.get(), tenant)
        if share is None or share.queue is None:
            return
        waiting = [each for each in mailbox if each.envelope.tenant == tenant]
        if len(waiting) > share.queue and work in waiting:
            self._invariants.violated(
                f"{HERE.get()}: {len(waiting)} messages of {tenant} wait for {host.key}: {share.queue} may"
            )
