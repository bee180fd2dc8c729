"""`Mailbox`: what waits for an actor. Bounded; it outlives the actor's restarts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import cast

from mesh.actors.work import Work
from mesh.protocols.errors import Overloaded

LIMIT = 256
"""How many messages may wait, unless the agent says otherwise."""


class Mailbox:
    """First in, first out, at most `limit` waiting."""

    __slots__ = ("_waiting", "limit")

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._waiting: deque[Work] | tuple[()] = ()

    def put(self, work: Work, *, retry_after: float) -> None:
        """Let it wait.

        Raises:
            Overloaded: `limit` wait already; come back after `retry_after` seconds.
        """
        if len(self._waiting) >= self.limit:
            raise Overloaded(
                f"the mailbox is full: {self.limit} messages wait",
                retry_after=retry_after,
                detail={"limit": self.limit},
            )
        if isinstance(self._waiting, tuple):  # an empty deque takes as much memory as the rest of an idle actor
            self._waiting = deque()
        self._waiting.append(work)

    def take_in(self, works: Sequence[Work]) -> bool:
        """Let them all wait if there is room for all, else none."""
        if len(self._waiting) + len(works) > self.limit:
            return False
        if isinstance(self._waiting, tuple):
            self._waiting = deque()
        self._waiting.extend(works)
        return True

    def take(self) -> Work | None:
        """The one that has waited longest, or None."""
        return self._waiting.popleft() if self._waiting else None

    def withdraw(self, message_id: str, requester: str) -> Work | None:
        """Take out the message `requester` sent under this id, if it still waits."""
        for work in self._waiting:
            if work.envelope.id == message_id and work.requester == requester:
                cast("deque[Work]", self._waiting).remove(work)
                return work
        return None

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Work]:
        return iter(tuple(self._waiting))
