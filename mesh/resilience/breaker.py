"""`Breaker`: stop calling what keeps failing. Sans-IO: it is told of calls and of the time, and answers.

Closed, it watches a rolling window. It opens when, of at least `calls` calls, half failed or four fifths were slow, or, at
low traffic, when `in_a_row` calls failed one after the other. Open, it refuses at once. When its time is over it lets
`permits` trial calls through (half-open), reserved at the moment they are admitted: all must succeed, one failure opens it
again for twice as long. Forced open is the kill switch: only a person closes it.

A permit whose holder never tells how the call ended is not lost: when its time is over, its place is free. Only failures that
are the target's count. The caller's mistakes, cancellations and refusals for capacity are `ignored`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

import msgspec

from mesh.protocols.breaker_rows import BreakerState as State
from mesh.protocols.breaker_rows import Passage
from mesh.protocols.errors import BreakerOpen
from mesh.protocols.transitions import follow
from mesh.resilience.breaker_window import Counts, Window

Step = Literal["tripped", "cooled", "recovered", "failed", "forced", "released", "reset"]
Outcome = Literal["success", "failure", "ignored"]

TRANSITIONS: dict[State, dict[Step, State]] = {
    "closed": {"tripped": "open", "forced": "forced-open"},
    "open": {"cooled": "half-open", "forced": "forced-open", "released": "closed", "reset": "closed"},
    "half-open": {
        "recovered": "closed",
        "failed": "open",
        "forced": "forced-open",
        "released": "closed",
        "reset": "closed",
    },
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
    "reset": "a person had it forget what it had counted",
}

LATE = 1.0
"""Seconds after its end at which a trial call that was not heard of counts as lost: on a busy loop alarms are late, and its
place must not be given away just before its failure opens the breaker."""
PASSAGES = 20
"""So many changes of state are remembered."""


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to open, and for how long. Times are in seconds, shares from 0 to 1.

    `hold` is how long a trial call may be under way before its place is given to another.
    """

    window: float = 30.0
    slots: int = 10
    calls: int = 20
    failing: float = 0.5
    slowing: float = 0.8
    slow: float = 4.0
    in_a_row: int = 3
    permits: int = 3
    hold: float = 300.0
    first: float = 1.0
    longest: float = 60.0
    jitter: float = 0.2


class Permit:
    """The right to make one call; given back by `Breaker.record`. `trial` marks one of the half-open permits, whose place is
    kept `until` that time."""

    __slots__ = ("epoch", "trial", "until")

    def __init__(self, epoch: int, trial: bool, until: float = 0.0) -> None:
        self.epoch = epoch
        self.trial = trial
        self.until = until


class Breaker:
    """The breaker of one (target, capability). `on_change` hears of each passage.

    `retry_at` is when the open time ends; `asked_at`, when it was last opened to trial calls or let one through. `history` are
    the latest passages, on the clock that the breaker is told.
    """

    __slots__ = (
        "_epoch", "_in_a_row", "_on_change", "_opened", "_passed", "_permit", "_random", "_trials", "_window", "asked_at",
        "by", "history", "policy", "reason", "retry_at", "state",
    )  # fmt: skip

    def __init__(
        self, policy: BreakerPolicy, source: random.Random, on_change: Callable[[Passage], None] | None = None
    ) -> None:
        self.policy = policy
        self.state: State = "closed"
        self.reason = ""
        self.by = ""
        self.retry_at = self.asked_at = 0.0
        self.history: tuple[Passage, ...] = ()
        self._random = source
        self._on_change = on_change
        self._window = Window(policy.window, policy.slots)
        self._in_a_row = self._opened = self._epoch = self._passed = 0
        self._permit = Permit(0, False)
        self._trials: list[Permit] = []

    # -- calls

    def admit(self, now: float, until: float | None = None) -> Permit:
        """May a call be made at `now`? Half-open, this reserves one of the trial permits, if known `until` the call's end.

        Raises:
            BreakerOpen: no; `retry_after` says when to ask again.
        """
        if self.state == "closed":
            return self._permit
        if self.state == "open" and now >= self.retry_at:
            self._step("cooled", "the open time is over", now)
        if self.state == "half-open" and self.permits(now):
            return self._try(now, until)
        raise BreakerOpen(f"not called: {self.reason}", retry_after=self._wait(now), detail={"state": self.state})

    def would_admit(self, now: float) -> bool:
        """What `admit` would say, without reserving anything: for choosing among targets."""
        if self.state == "open":
            return now >= self.retry_at
        return self.state == "closed" or (self.state == "half-open" and self.permits(now) > 0)

    def permits(self, now: float) -> int:
        """How many more trial calls would be let through while it is half-open. Places that were never given back count
        again when their time is over."""
        held = sum(each.until > now for each in self._trials)
        return max(0, self.policy.permits - self._passed - held)

    def record(self, permit: Permit, outcome: Outcome, seconds: float, now: float) -> None:
        """How an admitted call ended. One admitted before the last change of state counts no more."""
        if permit.epoch != self._epoch:
            return
        slow = seconds >= self.policy.slow and outcome != "ignored"
        if permit.trial:
            self._record_trial(permit, outcome, slow, now)
        elif outcome == "success" and not slow:
            self._window.slot(now).calls += 1
            self._in_a_row = 0
        elif outcome != "ignored":
            self._record_call(outcome == "failure", slow, now)

    def trip(self, why: str, now: float) -> None:
        """Open it on what somebody else has counted. Unless it is closed, nothing happens."""
        if self.state == "closed":
            self._open("tripped", why, now)

    # -- a person

    def force(self, reason: str, now: float, by: str = "") -> None:
        """The kill switch: open until `release`. Again: only who and why change."""
        self.by = by
        if self.state == "forced-open":
            self.reason = reason
        else:
            self._step("forced", reason, now)

    def release(self, now: float, by: str = "") -> None:
        """Close it, forced or not, and forget what was counted. If it is closed: nothing happens."""
        if self.state != "closed":
            self.by = by
            self._step("released", "a person closed it", now)
            self._forget()

    def reset(self, now: float, by: str = "") -> None:
        """Forget what was counted: an open one closes, a forced one stays as it is."""
        if self.state in ("open", "half-open"):
            self.by = by
            self._step("reset", "a person had it forget", now)
        self._forget()

    # -- looking

    def counts(self, now: float) -> Counts:
        """Calls, failures and slow calls in the window."""
        return self._window.counts(now)

    def idle(self, now: float, seconds: float) -> bool:
        """Whether nobody has made use of its trial calls for so long, though it would have let them through."""
        return self.asked_at + seconds <= now and not any(each.until > now for each in self._trials)

    # -- inside

    def _try(self, now: float, until: float | None) -> Permit:
        """A trial call; the places of those that were never heard of again are free."""
        longest = now + self.policy.hold
        permit = Permit(self._epoch, True, longest if until is None else min(longest, until + LATE))
        self._trials = [each for each in self._trials if each.until > now]
        self._trials.append(permit)
        self.asked_at = now
        return permit

    def _record_call(self, failed: bool, slow: bool, now: float) -> None:
        slot = self._window.slot(now)
        slot.calls += 1
        slot.failed += failed
        slot.slow += slow
        self._in_a_row = self._in_a_row + 1 if failed else 0
        why = self._why_open(now) if failed or slow else ""
        if why:
            self._open("tripped", why, now)

    def _why_open(self, now: float) -> str:
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

    def _record_trial(self, permit: Permit, outcome: Outcome, slow: bool, now: float) -> None:
        """One whose place was given to another counts only if it failed."""
        held = permit in self._trials
        if held:
            self._trials.remove(permit)
        if outcome == "failure" or slow:
            self._open("failed", "a trial call failed" if outcome == "failure" else "a trial call was slow", now)
        elif held and outcome == "success":
            self._passed += 1
            if self._passed >= self.policy.permits:
                self._step("recovered", "every trial call succeeded", now)
                self._forget()

    def _open(self, step: Step, why: str, now: float) -> None:
        self._opened += 1
        seconds = min(self.policy.longest, self.policy.first * 2 ** min(self._opened - 1, 32))
        self.retry_at = self.asked_at = now + seconds * (1 + self.policy.jitter * self._random.random())
        self._step(step, why, now)

    def _step(self, step: Step, reason: str, now: float) -> None:
        was, self.state = self.state, follow(TRANSITIONS, self.state, step)
        if step not in ("forced", "released", "reset"):
            self.by = ""
        self.reason = reason
        self._epoch += 1
        self._permit = Permit(self._epoch, False)
        self._trials, self._passed = [], 0
        passage = Passage(at=now, was=was, state=self.state, why=reason, by=self.by)
        self.history = (*self.history[1 - PASSAGES :], passage)
        if self._on_change is not None:
            self._on_change(passage)

    def _forget(self) -> None:
        self._window.clear()
        self._in_a_row = self._opened = 0

    def _wait(self, now: float) -> float | None:
        return max(0.01, self.retry_at - now) if self.state != "forced-open" else None
