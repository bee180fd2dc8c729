"""`Tally`: how an instance does, measured: the source of its heartbeat figures and standing bids. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mesh.actors.declaring.handler import Handler
from mesh.protocols.acts import Bid
from mesh.registry.records import Figures

WEIGHT = 0.1
"""How much the newest call counts in the decayed means."""
KEPT = 1 - WEIGHT
SETTLED = 10
"""Calls after which a mean has settled: until then each counts as much as those before it."""
UNKNOWN_LATENCY = 0.05
"""Seconds assumed of a handler that has not run yet."""


class Mean(msgspec.Struct, gc=False):
    """Decayed mean of seconds and of success of one handler (or of the whole instance)."""

    latency: float = UNKNOWN_LATENCY
    success: float = 1.0
    handled: int = 0
    failed: int = 0
    busy: float = 0.0
    last_error: str = ""

    def add(self, seconds: float, succeeded: bool, times: int = 1) -> None:
        """One more call, or so many alike."""
        self.busy += seconds * times
        if times == 1 and succeeded and self.handled >= SETTLED:
            self.latency += WEIGHT * (seconds - self.latency)
            self.success += WEIGHT * (1.0 - self.success)
            self.handled += 1
            return
        self.latency = seconds + self._kept(times) * (self.latency - seconds)
        self.success = succeeded + KEPT**times * (self.success - succeeded)
        self.handled += times
        self.failed += 0 if succeeded else times

    def _kept(self, times: int) -> float:
        """How much the mean keeps of itself: the first calls count alike, from then on the newest counts `WEIGHT`."""
        handled = self.handled
        if handled >= SETTLED:
            return KEPT**times
        alike = min(times, SETTLED - handled)
        return handled / (handled + alike) * KEPT ** (times - alike)


class Tally(msgspec.Struct, gc=False):
    """The record of one instance since its process started: it survives restarts of the actor."""

    whole: Mean = msgspec.field(default_factory=Mean)
    by_command: dict[str, Mean] | None = None

    def add(self, command: str, seconds: float, succeeded: bool, error: str = "", *, times: int = 1) -> None:
        """One more call of `command`, or so many of `seconds` each; `error` says how it ended, empty if well."""
        self.whole.add(seconds, succeeded, times)
        if self.by_command is None:
            self.by_command = {}
        mean = self.by_command.get(command)
        if mean is None:
            mean = self.by_command[command] = Mean()
        mean.add(seconds, succeeded, times)
        if error:
            mean.last_error = error

    def of(self, command: str) -> Mean:
        """The record of one command; a fresh one if it has not run."""
        return (self.by_command and self.by_command.get(command)) or Mean()

    def bid(self, handler: Handler, *, waiting: int, running: int, capacity: int) -> Bid:
        """The bid the figures speak for: `latency` counts those ahead, each taking the mean time, `capacity` at once."""
        mean = self.of(handler.name)
        ahead = max(0, waiting + running + 1 - capacity) / capacity
        return Bid(
            price=handler.options.price,
            latency=mean.latency * (1 + ahead),
            success=mean.success,
            capacity=max(0, capacity - running - waiting),
            queue=waiting + running,
            tier=handler.options.tier,
        )

    def figures(self, handlers: Iterable[Handler], *, waiting: int, running: int, capacity: int) -> Figures:
        """What the next heartbeat says."""
        bids = {
            each.capability: self.bid(each, waiting=waiting, running=running, capacity=capacity)
            for each in handlers
            if each.capability
        }
        return Figures(
            queue=waiting,
            running=running,
            capacity=capacity,
            handled=self.whole.handled,
            latency=self.whole.latency if self.whole.handled else 0.0,
            success=self.whole.success,
            bids=bids,
        )
