"""`Breaker`: stop calling what keeps failing. Sans-IO: it is told of calls and of the time, and answers.

Closed, it watches a rolling window. It opens when, of at least `calls` calls, half failed or four fifths were slow, or, at
low traffic, when `in_a_row` calls failed one after the other. Open, it refuses at once. When its time is over it lets
`permits` trial calls through (half-open), reserved at the moment they are admitted: all must succeed, one failure opens it
again for twice as long. Forced open is the kill switch: only a person closes it.

Only failures that are the target's count. The caller's mistakes, cancellations and refusals for capacity are `ignored`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from mesh.protocols.errors import BreakerOpen
from mesh.protocols.transitions import follow

State = Literal["closed", "open", "half-open", "forced-open"]
Step = Literal["tripped", "cooled", "recovered", "failed", "forced", "released"]
Verdict = Literal["success", "failure", "ignored"]

TRANSITIONS: dict[State, dict[Step, State]] = {
    "closed": {"tripped": "open", "forced": "forced-open"},
    "open": {"cooled": "half-open", "forced": "forced-open"},
    "half-open": {"recovered": "closed", "failed": "open", "forced": "forced-open"},
    "forced-open": {"released": "closed"},
}
"""State → step → state."""

MEANINGS: dict[Step, str] = {
    "tripped": "too many failed or slow calls in the window, or failures in a row",
    "cooled": "the open time is over and somebody calls",
    "recovered": "every trial call succeeded",
    "failed": "a trial call failed, or was slow",
    "forced": "a person opened it",
    "released": "a person closed it",
}


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to open, and for how long. Times are in seconds, shares from 0 to 1."""

    window: float = 30.0
    slots: int = 10
    calls: int = 20
    failing: float = 0.5
    slowing: float = 0.8
    slow: float = 4.0
    in_a_row: int = 3
    permits: int = 3
    first: float = 1.0
    longest: float = 60.0
    jitter: float = 0.2


class Permit:
    """The right to make one call; given back by `Breaker.record`. `trial` marks one of the half-open permits."""

    __slots__ = ("epoch", "trial")

    def __init__(self, epoch: int, trial: bool) -> None:
        self.epoch = epoch
        self.trial = trial


class Slot(msgspec.Struct):
    """The calls of one slice of the window."""

    number: int
    calls: int = 0
    failed: int = 0
    slow: int = 0


class Breaker:
    """The breaker of one (target, capability). `on_change` hears `(state, reason)`."""

    def __init__(
        self, policy: BreakerPolicy, source: random.Random, on_change: Callable[[State, str], None] | None = None
    ) -> None:
        self.policy = policy
        self.state: State = "closed"
        self.reason = ""
        self.retry_at = 0.0
        self._random = source
        self._on_change = on_change
        self._slots: deque[Slot] = deque()
        self._in_a_row = 0
        self._opened = 0
        self._epoch = 0
        self._permit = Permit(0, False)
        self._slots_a_second = policy.slots / policy.window
        self._reserved = 0
        self._passed = 0

    def admit(self, now: float) -> Permit:
        """May a call be made at `now`? Half-open, this reserves one of the trial permits.

        Raises:
            BreakerOpen: no; `retry_after` says when to ask again.
        """
        if self.state == "closed":
            return self._permit
        if self.state == "open" and now >= self.retry_at:
            self._step("cooled", "the open time is over")
            self._reserved = self._passed = 0
        if self.state == "half-open" and self._reserved < self.policy.permits:
            self._reserved += 1
            return Permit(self._epoch, True)
        raise BreakerOpen(f"not called: {self.reason}", retry_after=self._wait(now), detail={"state": self.state})

    def would_admit(self, now: float) -> bool:
        """What `admit` would say, without reserving anything: for choosing among targets."""
        if self.state == "open":
            return now >= self.retry_at
        return self.state == "closed" or (self.state == "half-open" and self._reserved < self.policy.permits)

    def record(self, permit: Permit, verdict: Verdict, seconds: float, now: float) -> None:
        """How an admitted call ended. One admitted before the last change of state counts no more."""
        if permit.epoch != self._epoch:
            return
        slow = seconds >= self.policy.slow and verdict != "ignored"
        if permit.trial:
            self._record_trial(verdict, slow, now)
        elif verdict == "success" and not slow:
            self._roll(now).calls += 1
            self._in_a_row = 0
        elif verdict != "ignored":
            self._record_call(verdict == "failure", slow, now)

    def force(self, reason: str) -> None:
        """The kill switch: open until `release`. Again: only the reason changes."""
        if self.state == "forced-open":
            self.reason = reason
        else:
            self._step("forced", reason)

    def release(self) -> None:
        """Take back `force`. If it is not forced: nothing happens."""
        if self.state == "forced-open":
            self._step("released", "released")
            self._forget()

    def counts(self, now: float) -> tuple[int, int, int]:
        """Calls, failures and slow calls in the window."""
        self._roll(now)
        return (
            sum(each.calls for each in self._slots),
            sum(each.failed for each in self._slots),
            sum(each.slow for each in self._slots),
        )

    def _record_call(self, failed: bool, slow: bool, now: float) -> None:
        slot = self._roll(now)
        slot.calls += 1
        slot.failed += failed
        slot.slow += slow
        self._in_a_row = self._in_a_row + 1 if failed else 0
        why = self._verdict(now) if failed or slow else ""
        if why:
            self._open("tripped", why, now)

    def _verdict(self, now: float) -> str:
        """Why it should open, or nothing."""
        calls, failed, slow = self.counts(now)
        policy = self.policy
        if calls >= policy.calls:
            if failed >= policy.failing * calls:
                return f"{failed} of the last {calls} calls failed"
            if slow >= policy.slowing * calls:
                return f"{slow} of the last {calls} calls took longer than {policy.slow:g} s"
        elif self._in_a_row >= policy.in_a_row:
            return f"the last {self._in_a_row} calls failed"
        return ""

    def _record_trial(self, verdict: Verdict, slow: bool, now: float) -> None:
        if verdict == "ignored":
            self._reserved -= 1
        elif verdict == "failure" or slow:
            self._open("failed", "a trial call failed" if verdict == "failure" else "a trial call was slow", now)
        else:
            self._passed += 1
            if self._passed >= self.policy.permits:
                self._step("recovered", "every trial call succeeded")
                self._forget()

    def _open(self, step: Step, why: str, now: float) -> None:
        self._opened += 1
        seconds = min(self.policy.longest, self.policy.first * 2 ** min(self._opened - 1, 32))
        self.retry_at = now + seconds * (1 + self.policy.jitter * self._random.random())
        self._step(step, why)

    def _step(self, step: Step, reason: str) -> None:
        self.state = follow(TRANSITIONS, self.state, step)
        self.reason = reason
        self._epoch += 1
        self._permit = Permit(self._epoch, False)
        if self._on_change is not None:
            self._on_change(self.state, reason)

    def _forget(self) -> None:
        self._slots.clear()
        self._in_a_row = self._opened = 0

    def _wait(self, now: float) -> float | None:
        return max(0.01, self.retry_at - now) if self.state != "forced-open" else None

    def _roll(self, now: float) -> Slot:
        """The present slot; those that have left the window are forgotten."""
        number = int(now * self._slots_a_second)
        if self._slots and self._slots[-1].number == number:
            return self._slots[-1]
        while self._slots and self._slots[0].number <= number - self.policy.slots:
            self._slots.popleft()
        if not self._slots or self._slots[-1].number < number:
            self._slots.append(Slot(number))
        return self._slots[-1]
