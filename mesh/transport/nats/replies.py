"""One inbox for every answer: a subscription, short tokens, and one timer for all questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.protocols.errors import MeshError, NoResponders, TimedOut
from mesh.protocols.ports import Message
from mesh.transport.listeners import call_message_handler
from mesh.transport.nats.deadlines import Deadlines
from mesh.transport.nats.received import means_nobody, message_of

_Question = tuple[asyncio.Future[Message], str, float, set[bytes]]
"""The answer that somebody waits for, the subject asked, the patience in seconds, and the slot of its deadline."""


class Replies:
    """The questions in flight, and who hears longer conversations, by the last token of their reply subject."""

    def __init__(self, inbox: str) -> None:
        self.inbox = inbox
        self._prefix = f"{inbox}.".encode()
        self._cut = len(self._prefix)
        self._count = 0
        self._questions: dict[bytes, _Question] = {}
        self._conversations: dict[bytes, Callable[[Message], None]] = {}
        self._deadlines = Deadlines(self._timed_out)

    def ask(self, subject: str, timeout: float) -> tuple[bytes, asyncio.Future[Message]]:
        """A reply subject and the future of its one answer, which fails with `TimedOut` by itself.

        Who does not want the answer any more cancels it; it is forgotten when its time is up.
        """
        token = self._token()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Message] = loop.create_future()
        self._questions[token] = (answer, subject, timeout, self._deadlines.add(loop, token, timeout))
        return self._prefix + token, answer

    def converse(self, handler: Callable[[Message], None]) -> str:
        """A reply subject for any number of answers, until `hang_up`."""
        token = self._token()
        self._conversations[token] = handler
        return (self._prefix + token).decode()

    def hang_up(self, reply: str) -> None:
        """Hear no more answers there. Again: nothing happens."""
        self._conversations.pop(reply.encode()[self._cut :], None)

    def receive(self, subject: bytes, reply: bytes, block: bytes, data: bytes) -> None:
        """An answer has come; one that nobody waits for any more is dropped."""
        token = subject[self._cut :]
        question = self._questions.pop(token, None)
        if question is None:
            handler = self._conversations.get(token)
            if handler is not None:
                call_message_handler(handler, message_of(subject, reply, block, data))
            return
        answer, asked, _, slot = question
        slot.discard(token)
        if answer.done():
            return
        if block and means_nobody(block, data):
            answer.set_exception(NoResponders(f"nobody listens on {asked}"))
        else:
            answer.set_result(message_of(subject, reply, block, data))

    def fail_all(self, error: Callable[[str], MeshError]) -> None:
        """No answer can come any more: every question fails with `error(its subject)`."""
        questions = list(self._questions.values())
        self._questions.clear()
        self._deadlines.clear()
        for answer, subject, _, _ in questions:
            _fail(answer, error(subject))

    def fail_subject(self, lowered: str, error: MeshError) -> None:
        """The server refuses a subject (it names it in its own case): whoever asked there need not wait."""
        for token, (answer, subject, _, slot) in list(self._questions.items()):
            if subject.lower() == lowered:
                del self._questions[token]
                slot.discard(token)
                _fail(answer, error)

    def _timed_out(self, token: bytes) -> None:
        answer, subject, timeout, _ = self._questions.pop(token)
        _fail(answer, TimedOut(f"no answer from {subject} within {timeout:g} s"))

    def _token(self) -> bytes:
        self._count += 1
        return b"%x" % self._count


def _fail(answer: asyncio.Future[Message], error: MeshError) -> None:
    if not answer.done():
        answer.set_exception(error)
