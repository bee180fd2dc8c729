"""A target of effects, for tests that count them: `EffectTarget` stands for the bank, the mail server, the other system.

It is two append-only files, written with one fsynced `write` a line (`key pid time`, the key percent-encoded), so that any
number of processes and threads may share it and any of them may be killed at any point: the ledger at `path` has a line
for each effect, and `path` + ".asked" one for each request, written before the effect. One that honours keys does the
effect of each key once, as a payment provider with idempotency keys does; one that does not does it every time.

    target = EffectTarget(folder / "ledger")
    target.ask("order-7")           # True: it took effect now; a second time False
    target.count("order-7")         # 1, however often it was asked
    target.most                     # what a checker asserts on: the highest count of any key
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

EMPTY = "%"
"""Stands for the empty key: no other is encoded so."""


class Line(NamedTuple):
    """One effect, or one request: by which process, and when (Unix seconds)."""

    key: str
    pid: int
    at: float


class EffectTarget:
    """One ledger. Open it again, in another process or later: it goes on."""

    def __init__(self, path: Path | str, *, honours_keys: bool = True) -> None:
        self.path = Path(path)
        self.asked_path = self.path.with_name(self.path.name + ".asked")
        self.honours_keys = honours_keys
        self._thread_lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._read_to = 0

    def ask(self, key: str) -> bool:
        """Do the effect under `key`, and say whether it took effect now. It is on the disk when this returns."""
        _append(self.asked_path, key)
        with self._alone():
            if self.honours_keys and self._seen(key):
                return False
            _append(self.path, key)
            return True

    def count(self, key: str) -> int:
        """How often the effect of `key` was done."""
        return self.counts()[key]

    def asked(self, key: str) -> int:
        """How often it was asked for."""
        return Counter(each.key for each in self.requests())[key]

    def counts(self) -> Counter[str]:
        """Effects done, for each key."""
        return Counter(each.key for each in self.effects())

    @property
    def most(self) -> int:
        """The highest count of any key; 0 when nothing was done."""
        return max(self.counts().values(), default=0)

    def effects(self) -> list[Line]:
        """Every effect, in the order in which they were done."""
        return _lines(self.path)

    def requests(self) -> list[Line]:
        """Every request, honoured or not."""
        return _lines(self.asked_path)

    def _seen(self, key: str) -> bool:
        """Whether the ledger has the key; only what is new in it is read. Called by one at a time."""
        if self.path.exists():
            with self.path.open("rb") as ledger:
                ledger.seek(self._read_to)
                fresh = ledger.read()
            self._read_to += len(fresh)
            self._done.update(_line(each).key for each in fresh.decode().splitlines())
        return key in self._done

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread or process does an effect meanwhile; a killed one lets go by itself."""
        with self._thread_lock, self.path.with_name(self.path.name + ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _append(path: Path, key: str) -> None:
    line = f"{quote(key, safe='') or EMPTY} {os.getpid()} {time.time():.6f}\n".encode()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)


def _lines(path: Path) -> list[Line]:
    return [_line(each) for each in path.read_text().splitlines()] if path.exists() else []


def _line(text: str) -> Line:
    key, pid, at = text.split(" ")
    return Line("" if key == EMPTY else unquote(key), int(pid), float(at))
