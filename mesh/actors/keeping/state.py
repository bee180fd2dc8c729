"""`State`: an agent's typed, durable values, each under a key. Shared by its instances; changed by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mesh.actors.keeping.state_kind import StateKind
from mesh.actors.keeping.state_shelf import Found, Shelf, text_of, token
from mesh.protocols.errors import Conflict

T = TypeVar("T")
ATTEMPTS = 50
"""Times that `update` tries against others."""


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """A value and its version, for `put(…, version=…)`. Version 0 stands for none; `at` is when it was written, Unix seconds."""

    value: T
    version: int
    at: float = 0.0


class States:
    """Where the states of all agents are: the bucket `state`."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def of(self, agent: str, kind: StateKind[T], name: str = "state") -> State[T]:
        """The values that an agent keeps under a name."""
        return State(self, f"{agent}.{name}", kind)


class State(Generic[T]):
    """The values of one agent under one name: `await state.get(key)`. They survive the restart of everything.

    A key is any text of at most 1,024 bytes. A value has at most 32 MiB; above 64 KiB it is kept in the object store. Where
    there is no value, `get` gives the default that was declared, or None.
    """

    def __init__(self, states: States, path: str, kind: StateKind[T]) -> None:
        self._shelf = states.shelf
        self._path = path
        self._kind = kind

    async def get(self, key: str) -> T:
        """The value, or the default where there is none.

        Raises:
            StateMismatch: what is stored does not fit the type; says how to migrate it.
        """
        return (await self.entry(key)).value

    async def entry(self, key: str) -> Versioned[T]:
        """The value with its version: `put` it back with that, and nothing that others wrote meanwhile is lost.

        Raises:
            StateMismatch: as `get`.
        """
        found = await self._shelf.get(self._at(key))
        return Versioned(self._read(key, found), found.version, found.at)

    async def put(self, key: str, value: T, *, version: int | None = None) -> int:
        """Store the value over whatever is there, and give its version; with `version`, only over that one (0: over none).

        Raises:
            Conflict: another version is there. BadResult: the value is not of the type. TooLarge · InvalidName.
        """
        raw, at = self._kind.encode(value), self._at(key)
        over = None if version is None else await self._over(at, version)
        return await self._shelf.put(at, raw, over=over, schema=self._kind.schema)

    async def update(self, key: str, change: Callable[[T], T]) -> T:
        """Store what `change` makes of the present value, and give it back.

        `change` may be called several times, each time with a fresh value, and must only compute. Nothing is lost to others
        who change the value at the same time.

        Raises:
            Conflict: others changed it `ATTEMPTS` times meanwhile. StateMismatch · BadResult: as `get` and `put`.
        """
        at = self._at(key)
        for attempt in range(ATTEMPTS):
            found = await self._shelf.get(at)
            changed = change(self._read(key, found))
            try:
                await self._shelf.put(at, self._kind.encode(changed), over=found, schema=self._kind.schema)
            except Conflict:
                await self._shelf.give_way(attempt)
            else:
                return changed
        raise Conflict(f"{self._name(key)} was changed by others {ATTEMPTS} times while it was updated")

    async def delete(self, key: str, *, version: int | None = None) -> None:
        """Forget the value; with `version`, only that one. Again: nothing happens.

        Raises:
            Conflict: another version is there.
        """
        at = self._at(key)
        await self._shelf.delete(at, over=None if version is None else await self._over(at, version))

    async def keys(self) -> list[str]:
        """The keys that have a value, in no order that means anything. Reads every value: for hundreds, not for millions."""
        return [text_of(each) for each in await self._shelf.keys(self._path)]

    def _read(self, key: str, found: Found) -> T:
        return self._kind.absent() if found.value is None else self._kind.decode(self._name(key), found)

    async def _over(self, at: str, version: int) -> Found:
        """What is there now if it has that version: its record knows the writes before, ours is to follow them."""
        found = await self._shelf.get(at)
        return found if found.version == version else Found(None, version)

    def _at(self, key: str) -> str:
        return f"{self._path}.{token(key)}"

    def _name(self, key: str) -> str:
        return f"{self._path}[{key!r}]"
