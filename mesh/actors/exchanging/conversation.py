"""`Conversation`: one message sent, any number of answers, from one responder or from many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from mesh.actors.exchanging.inbound import Inbound
from mesh.protocols.errors import MeshError
from mesh.resilience.deadline import Deadline

BOUND = 10_000
"""Answers that may wait to be read; more are dropped and counted."""


class Conversation:
    """The answers to one message, in the order they come; `async for` ends at the deadline or at `close`.

    Only the responder that was addressed is heard (`responder`; `_` hears anyone).
    """

    def __init__(
        self,
        token: str,
        responder: str,
        deadline: Deadline,
        forget: Callable[[str], None],
        whole: Callable[[Inbound], Awaitable[Inbound]],
    ) -> None:
        self.token = token
        self.responder = responder
        self.reply = ""
        self.deadline = deadline
        self.dropped = 0
        self._forget = forget
        self._whole = whole
        self._arrived: deque[Inbound | MeshError] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def heard(self, answer: Inbound) -> None:
        """An answer came."""
        if len(self._arrived) >= BOUND:
            self.dropped += 1
            return
        self._arrived.append(answer)
        self._wake()

    def failed(self, error: MeshError) -> None:
        """There will be no (more) answers: whoever reads next gets this."""
        self._arrived.append(error)
        self._wake()

    async def next(self, timeout: float | None = None) -> Inbound | None:
        """The next answer, or None when none came before `timeout` seconds, the deadline, or `close`.

        Raises:
            NoResponders: nobody heard the message.
        """
        at = self.deadline.narrow(timeout).at
        while not self._arrived:
            if self._closed or self.deadline.clock.monotonic() >= at:
                return None
            await self._wait(at)
        answer = self._arrived.popleft()
        if isinstance(answer, MeshError):
            raise answer
        if answer.envelope.ref is None:
            return answer
        async with self.deadline.enforce("fetching an answer"):
            return await self._whole(answer)

    async def _wait(self, at: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_at(at, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Hear no more. Again: nothing happens."""
        self._closed = True
        self._forget(self.token)
        self._wake()

    def __aiter__(self) -> Conversation:
        return self

    async def __anext__(self) -> Inbound:
        answer = await self.next()
        if answer is None:
            self.close()
            raise StopAsyncIteration
        return answer

    async def __aenter__(self) -> Conversation:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
