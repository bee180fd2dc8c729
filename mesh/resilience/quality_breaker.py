"""`QualityBreaker`: the breaker of one agent version's outputs for one capability, fed by gates. Sans-IO.

It opens when half of at least `calls` outputs in the window failed their gates, or `in_a_row` verdicts of one gate did. Every
output has its verdict on the contract; other gates add theirs to outputs that are counted already: so there are as many
outputs as the busiest gate has seen. A trial passes when the gate at which most had failed lets it through.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from mesh.protocols.breaker_rows import Passage
from mesh.resilience.breaker import Breaker, BreakerPolicy, Permit
from mesh.resilience.breaker_window import Counts, Window

CONTRACT = "contract"
"""The gate that every output passes or fails: does it fit what its caller, and its author, said it would be?"""
QUALITY = BreakerPolicy(
    window=600.0, slots=20, calls=10, failing=0.5, slow=float("inf"), in_a_row=5, first=30.0, longest=1800.0
)
"""Outputs are slower than calls, and dearer to judge."""


class Gate(msgspec.Struct):
    """What one gate has said of these outputs."""

    window: Window
    in_a_row: int = 0


class QualityBreaker(Breaker):
    """`opened_by` is the gate at which most outputs had failed when it opened last."""

    __slots__ = ("_contract", "_gates", "opened_by")

    def __init__(
        self, policy: BreakerPolicy, source: random.Random, on_change: Callable[[Passage], None] | None = None
    ) -> None:
        super().__init__(policy, source, on_change)
        self._contract = self._gate()
        self._gates: dict[str, Gate] = {CONTRACT: self._contract}
        self.opened_by = ""

    def fits(self, now: float) -> None:
        """An output fits its contract: what nearly all of them do."""
        if self.state == "closed":
            self._contract.window.slot(now).calls += 1
            self._contract.in_a_row = 0
        else:
            self.said(CONTRACT, passed=True, now=now)

    def said(self, gate: str, *, passed: bool, now: float, again: bool = False) -> None:
        """A gate's verdict on one output; `again`, if the output has failed at another already."""
        if self.state == "closed":
            self._count(gate, passed=passed, again=again, now=now)
        elif self.state == "half-open" and self._trials:
            self._judge(gate, passed=passed, now=now)

    def give_back(self, permit: Permit, now: float) -> None:
        """There will be no output of this trial. Verdicts do not say of which trial they are: if one has taken its place, it
        gives back that one's."""
        if permit.epoch != self._epoch or permit.until <= now:
            return
        if permit in self._trials:
            self._trials.remove(permit)
        elif self._trials:
            del self._trials[0]

    def counts(self, now: float) -> Counts:
        """Outputs in the window, and how many of them failed."""
        each = [gate.window.counts(now) for gate in self._gates.values()]
        outputs = max(counts.calls for counts in each)
        return Counts(outputs, min(outputs, sum(counts.failed for counts in each)), 0)

    # -- inside

    def _count(self, gate: str, *, passed: bool, again: bool, now: float) -> None:
        counted = self._gates.get(gate)
        if counted is None:
            counted = self._gates[gate] = self._gate()
        slot = counted.window.slot(now)
        slot.calls += 1
        slot.failed += not passed and not again
        counted.in_a_row = 0 if passed else counted.in_a_row + 1
        if not passed and (why := self._why(gate, counted.in_a_row, now)):
            self.opened_by = max(self._gates, key=lambda name: self._gates[name].window.counts(now).failed)
            self.trip(why, now)

    def _why(self, gate: str, row: int, now: float) -> str:
        """Why it should open, or nothing."""
        outputs, failed, _ = self.counts(now)
        if outputs >= self.policy.calls and failed >= self.policy.failing * outputs:
            return f"{failed} of the last {outputs} outputs failed their gates, the last at {gate!r}"
        if row >= self.policy.in_a_row:
            return f"the last {row} outputs failed at {gate!r}"
        return ""

    def _judge(self, gate: str, *, passed: bool, now: float) -> None:
        """A trial output passes when the gate that opened the breaker says so; or any, if that one has fallen silent."""
        silent = now - self.history[-1].at > self.policy.hold
        if not passed or gate == self.opened_by or silent:
            self.record(self._trials[0], "success" if passed else "failure", 0.0, now)

    def _gate(self) -> Gate:
        return Gate(Window(self.policy.window, self.policy.slots))

    def _forget(self) -> None:
        super()._forget()
        for each in self._gates.values():
            each.window.clear()
            each.in_a_row = 0
