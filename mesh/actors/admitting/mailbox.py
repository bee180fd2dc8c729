"""`Mailbox`: what waits for an actor. Bounded; it outlives the actor's restarts.

While all that wait are alike, of one tenant and one priority, it is a deque; else a `FairQueue`, until that is empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from mesh.actors.admitting.fairness import Host, alike
from mesh.actors.admitting.queueing import FairQueue
from mesh.actors.running.work import Work
from mesh.protocols.errors import Overloaded

LIMIT = 256
"""How many messages may wait, unless the agent says otherwise."""


class Mailbox:
    """At most `limit` waiting, in fair order."""

    __slots__ = ("_waiting", "limit")

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._waiting: deque[Work] | FairQueue | tuple[()] = ()

    def put(self, work: Work, host: Host) -> Work | None:
        """Let it wait. If that took somebody else's room, whose: it is out, and has to be told.

        Raises:
            Overloaded: there is no room, and nobody who should make some; `retry_after` is not filled in.
        """
        waiting = self._waiting
        if not host.shares:
            if not waiting:
                self._plain().append(work)
                return None
            if type(waiting) is deque and alike(waiting[-1], work):
                if len(waiting) >= self.limit:
                    raise self._full(work)
                waiting.append(work)
                return None
        return self._put_fairly(work, host)

    def take_in(self, works: Sequence[Work], host: Host) -> bool:
        """Let them all wait if there is room for all and they are alike what waits already, else none.

        They are alike one another: the first speaks for all.
        """
        waiting = self._waiting
        if host.shares or len(waiting) + len(works) > self.limit:
            return False
        if not waiting:
            waiting = self._plain()
        if type(waiting) is not deque or (waiting and not alike(waiting[-1], works[0])):
            return False
        waiting.extend(works)
        return True

    def take(self) -> Work | None:
        """Whose turn it is, or None: nothing waits that may be handled now."""
        return self._waiting.popleft() if self._waiting else None

    def ahead(self, work: Work, host: Host) -> int:
        """How many of those that wait would be handled before it."""
        waiting = self._waiting
        if not host.shares and (not waiting or (type(waiting) is deque and alike(waiting[-1], work))):
            return len(waiting)
        return self._fair(host).ahead(work)

    def withdraw(self, message_id: str, requester: str) -> Work | None:
        """Take out the message `requester` sent under this id, if it still waits."""
        waiting = self._waiting
        for work in waiting:
            if work.envelope.id == message_id and work.requester == requester:
                assert not isinstance(waiting, tuple)
                waiting.remove(work)
                return work
        return None

    def share_out(self, host: Host) -> None:
        """Shares were decided: what waits is in fair order from now on, of one tenant or of several. Again: nothing happens."""
        if self._waiting or isinstance(self._waiting, FairQueue):
            self._fair(host).reweigh()

    def clear(self) -> list[Work]:
        """Take everything out, whoever may be handled now."""
        waiting, self._waiting = list(self._waiting), ()
        return waiting

    @property
    def ready(self) -> bool:
        """Whether something waits that may be handled now."""
        waiting = self._waiting
        return waiting.ready if isinstance(waiting, FairQueue) else bool(waiting)

    def entered(self, work: Work) -> None:
        """It has a place now."""
        if isinstance(self._waiting, FairQueue):
            self._waiting.entered(work.envelope.tenant)

    def left(self, work: Work) -> None:
        """It has it no more."""
        if isinstance(self._waiting, FairQueue):
            self._waiting.left(work.envelope.tenant)

    def _put_fairly(self, work: Work, host: Host) -> Work | None:
        fair = self._fair(host)
        if fair.has_room(work, self.limit):
            fair.append(work)
            return None
        shed = fair.in_the_way(work)
        if shed is None:
            raise self._full(work)
        fair.remove(shed)
        fair.append(work)
        return shed

    def _plain(self) -> deque[Work]:
        """Nothing waits. An empty deque takes as much memory as the rest of an idle actor: it has none before its first."""
        waiting = self._waiting
        if type(waiting) is not deque:
            self._waiting = waiting = deque()
        return waiting

    def _fair(self, host: Host) -> FairQueue:
        if not isinstance(self._waiting, FairQueue):
            self._waiting = FairQueue(host, self._waiting)
        return self._waiting

    def _full(self, work: Work) -> Overloaded:
        tenant, waiting = work.envelope.tenant, len(self)
        why = f"the mailbox is full: {waiting} messages wait"
        if waiting < self.limit:
            why = f"as many messages of tenant {tenant} wait as its share allows"
        return Overloaded(why, detail={"limit": self.limit, "waiting": waiting, "tenant": tenant})

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Work]:
        return iter(tuple(self._waiting))
