"""One inbox for every answer: a subscription, short tokens, and one timer per question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.protocols.errors import MeshError, NoResponders, TimedOut
from mesh.protocols.ports import Message


class _Question:
    """An answer that somebody waits for."""

    __slots__ = ("answer", "subject", "timer")

    def __init__(self, subject: str, answer: asyncio.Future[Message], timer: asyncio.TimerHandle) -> None:
        self.subject = subject
        self.answer = answer
        self.timer = timer

    def settle(self, message: Message) -> None:
        self.timer.cancel()
        if not self.answer.done():
            self.answer.set_result(message)

    def fail(self, error: MeshError) -> None:
        self.timer.cancel()
        if not self.answer.done():
            self.answer.set_exception(error)


class Replies:
    """The questions in flight, and who hears longer conversations, by the last token of their reply subject."""

    def __init__(self, inbox: str) -> None:
        self.inbox = inbox
        self._cut = len(inbox) + 1
        self._count = 0
        self._questions: dict[str, _Question] = {}
        self._conversations: dict[str, Callable[[Message], None]] = {}

    def ask(self, subject: str, timeout: float) -> tuple[str, asyncio.Future[Message]]:
        """A reply subject and the future of its one answer, which fails with `TimedOut` by itself."""
        token = self._token()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Message] = loop.create_future()
        timer = loop.call_later(max(0.0, timeout), self._timed_out, token, timeout)
        self._questions[token] = _Question(subject, answer, timer)
        answer.add_done_callback(lambda _: self._forget(token))
        return f"{self.inbox}.{token}", answer

    def converse(self, handler: Callable[[Message], None]) -> str:
        """A reply subject for any number of answers, until `hang_up`."""
        token = self._token()
        self._conversations[token] = handler
        return f"{self.inbox}.{token}"

    def hang_up(self, reply: str) -> None:
        """Hear no more answers there. Again: nothing happens."""
        self._conversations.pop(reply[self._cut :], None)

    def receive(self, message: Message) -> None:
        """An answer has come; one that nobody waits for any more is dropped."""
        token = message.subject[self._cut :]
        question = self._questions.get(token)
        if question is not None:
            if message.no_responders:
                question.fail(NoResponders(f"nobody listens on {question.subject}"))
            else:
                question.settle(message)
        elif token in self._conversations:
            self._conversations[token](message)

    def fail_all(self, error: Callable[[str], MeshError]) -> None:
        """No answer can come any more: every question fails with `error(its subject)`."""
        for question in list(self._questions.values()):
            question.fail(error(question.subject))

    def fail_subject(self, lowered: str, error: MeshError) -> None:
        """The server refuses a subject (it names it in its own case): whoever asked there need not wait."""
        for question in list(self._questions.values()):
            if question.subject.lower() == lowered:
                question.fail(error)

    def _timed_out(self, token: str, timeout: float) -> None:
        question = self._questions.get(token)
        if question is not None:
            question.fail(TimedOut(f"no answer from {question.subject} within {timeout:g} s"))

    def _forget(self, token: str) -> None:
        question = self._questions.pop(token, None)
        if question is not None:
            question.timer.cancel()

    def _token(self) -> str:
        self._count += 1
        return f"{self._count:x}"
