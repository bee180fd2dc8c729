"""Bugs that are planted in breakers, retry budgets, mailboxes and policies. As `planted.py`, which has those of jobs and awards."""

from __future__ import annotations

from typing import Any

from mesh.actors.admitting.mailbox import Mailbox
from mesh.actors.admitting.queueing import FairQueue
from mesh.actors.running import actor as actors
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.contract_net.permission import Permission
from mesh.policy import limiter
from mesh.resilience.breaker import Breaker
from mesh.resilience.budget import RetryBudget
from tests.simulation.place import HERE
from tests.simulation.plant import planted


@planted("one-trial-more", "a half-open breaker lets a trial call through beyond its permits", 13, 37)
def one_trial_more() -> None:
    permits = Breaker.permits
    Breaker.permits = lambda self, now: permits(self, now) + (self.state == "half-open")  # type: ignore[method-assign]


@planted("open-for-ever", "a breaker that is open never lets a trial call through", 13, 9)
def open_for_ever() -> None:
    opened = Breaker._open

    def for_ever(self: Breaker, *why: Any) -> None:
        opened(self, *why)
        self.retry_at += 1e9

    Breaker._open = for_ever  # type: ignore[method-assign]


@planted("permit-kept", "the permit of an award that came to nothing is not given back", 42, 45)
def permit_kept() -> None:
    Permission.give_back = lambda self, clock, *, expired: None  # type: ignore[method-assign]


@planted("budget-without-end", "a retry budget gives whatever is asked of it", 20, 13)
def budget_without_end() -> None:
    RetryBudget.spend = lambda self: True  # type: ignore[method-assign]


@planted("mailbox-without-bound", "a mailbox takes whatever comes", 37, 27)
def mailbox_without_bound() -> None:
    begin = Mailbox.__init__
    Mailbox.__init__ = lambda self, limit=0: begin(self, 1_000_000)  # type: ignore[method-assign]


@planted("one-more-at-once", "an agent handles one message more at once than it has places", 20, 13)
def one_more_at_once() -> None:
    begin = Actor.__init__

    def wide(self: Actor, *made: Any, **options: Any) -> None:
        begin(self, *made, **options)
        self.capacity += 1

    Actor.__init__ = wide  # type: ignore[method-assign]


@planted("at-once-unbounded", "a tenant has as many places as there are, whatever its share says", 52, 9)
def at_once_unbounded() -> None:
    FairQueue._may_enter = lambda self, lane: True  # type: ignore[method-assign]


@planted("switch-not-looked-at", "what waits in a mailbox is begun, though it was killed meanwhile", 2, 62)
def switch_not_looked_at() -> None:
    actors.killed_work = lambda policy, actor, work: None


@planted("expired-begun", "a call whose deadline has passed in the mailbox is begun all the same", 177, 204)
def expired_begun() -> None:
    handle = Actor._handle

    async def careless(self: Actor, work: Any, task: Any) -> bool:
        work.begun = work.begun or work.deadline.expired
        return await handle(self, work, task)

    Actor._handle = careless  # type: ignore[method-assign]


@planted("ration-for-each", "every process has the whole of a rate limit for itself", 94, 37)
def ration_for_each() -> None:
    key = limiter.state_key
    limiter.state_key = lambda *limit: f"{key(*limit)}.{HERE.get().name}"  # type: ignore[assignment]


@planted("degraded-unsaid", "an answer that was made of a degraded one does not say so", 53, 42)
def degraded_unsaid() -> None:
    Context.degrade = lambda self, why: None  # type: ignore[method-assign]
