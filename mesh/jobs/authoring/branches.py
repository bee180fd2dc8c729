"""`Branch`: a step that has been written down but not begun; `Missing`: what stands for one that came to nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

import msgspec

from mesh.protocols.errors import Fault

T = TypeVar("T")


class Branch(Generic[T]):
    """What `job.call`, `job.step` and `job.branch` give: it begins when it is awaited, or gathered, and runs once.

    `key` is None where none was given; `name` is the capability or function.
    """

    __slots__ = ("_start", "key", "name", "used")

    def __init__(self, start: Callable[[], Coroutine[Any, Any, T]], *, key: str | None, name: str) -> None:
        self._start = start
        self.key = key
        self.name = name
        self.used = False

    def start(self) -> Coroutine[Any, Any, T]:
        """The running of it.

        Raises:
            RuntimeError: it has been started before.
        """
        if self.used:
            raise RuntimeError(f"{self.name}: this step has been awaited already; call the job again for another one")
        self.used = True
        return self._start()

    def __await__(self) -> Generator[Any, Any, T]:
        return self.start().__await__()


class Missing(msgspec.Struct, frozen=True, kw_only=True, rename={"key": "missing"}):
    """A branch that failed or ran out of time. In JSON: `{"missing": <key>, "error": {"code": …}}`."""

    key: str
    error: Fault
