"""Callbacks that must never hurt their caller: what they raise is logged, with the place it came from."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from mesh.protocols.ports import Message

log = logging.getLogger("mesh.transport")

Callback = Callable[[], Awaitable[None] | None]


def call_handler(handler: Callable[[Any], None], item: Any, where: str) -> None:
    """Hand `item` to `handler`; an exception is logged and goes no further."""
    try:
        handler(item)
    except Exception:
        log.exception("a handler of %s raised; the subscription goes on", where)


def call_message_handler(handler: Callable[[Message], None], message: Message) -> None:
    """Hand a message to its handler."""
    call_handler(handler, message, message.subject)


class Background:
    """Tasks that belong to one connection: their exceptions are logged, and `close` ends them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` beside everything else."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel what still runs and wait for it; the calling task itself is left alone."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s failed", task.get_name(), exc_info=task.exception())


class Listeners:
    """The callbacks of one occasion, called in the order they were added."""

    def __init__(self, occasion: str, background: Background) -> None:
        self._occasion = occasion
        self._background = background
        self._callbacks: list[Callback] = []

    def add(self, callback: Callback) -> None:
        """Call it on every further occasion."""
        self._callbacks.append(callback)

    def remove(self, callback: Callback) -> None:
        """Call it no more. Again: nothing happens."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def fire(self) -> None:
        """Call everybody; what is awaitable goes on in the background."""
        for callback in tuple(self._callbacks):
            try:
                result = callback()
            except Exception:
                log.exception("a callback of %s raised", self._occasion)
                continue
            if inspect.isawaitable(result):
                self._background.start(_await(result), f"{self._occasion} callback")


async def _await(result: Awaitable[None]) -> None:
    await result
