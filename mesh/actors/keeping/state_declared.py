"""What an agent class declares that it keeps: `durable` values and `histories` of conversations.

    class Clerk(Agent):
        accounts = durable(Account, default=Account)
        history = histories(turns=40)

Each becomes an attribute of the agent's object as soon as it is hosted. Mistakes are raised where the class is made.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, get_origin, overload

from mesh.actors.keeping.history import Histories, Summarise
from mesh.actors.keeping.history_turns import Bounds
from mesh.actors.keeping.state import State
from mesh.actors.keeping.state_kind import Migrate, StateKind
from mesh.protocols.errors import Refused
from mesh.protocols.naming.names import check_token

if TYPE_CHECKING:
    from mesh.actors.keeping.keeping import Keeping

T = TypeVar("T")
K = TypeVar("K")


class Declared(Generic[K]):
    """Something kept, as an attribute of an agent class. On the object of a hosted instance it is a `K`."""

    name: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or check_token(name.strip("_"), "kept attribute")
        self._attribute = name

    @overload
    def __get__(self, instance: None, owner: type) -> Declared[K]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> K: ...
    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        raise Refused(
            f"{owner.__name__}.{self._attribute} is there once the agent is hosted: use it in `on_start` and in handlers, and "
            "in a test host the agent on `local_mesh()`"
        )

    def bind(self, target: Any, keeping: Keeping, agent: str) -> None:
        """Give it to the object of an instance; looking there first, Python never comes to `__get__` again."""
        target.__dict__[self._attribute] = self.kept(keeping, agent)

    def kept(self, keeping: Keeping, agent: str) -> K:
        """What the object gets."""
        raise NotImplementedError


class Durable(Declared[State[T]]):
    """Values of one type; see `durable`."""

    def __init__(self, kind: StateKind[T], name: str = "") -> None:
        self.kind = kind
        self.name = check_token(name, "name=") if name else ""

    def kept(self, keeping: Keeping, agent: str) -> State[T]:
        """The agent's values under this name."""
        return keeping.states.of(agent, self.kind, self.name or "state")


class DeclaredHistories(Declared[Histories]):
    """Conversations; see `histories`."""

    def __init__(self, bounds: Bounds, summarise: Summarise | None) -> None:
        self.bounds = bounds
        self.summarise = summarise

    def kept(self, keeping: Keeping, agent: str) -> Histories:
        """The agent's conversations."""
        return keeping.histories(agent, self.bounds, self.summarise)


@overload
def durable(
    kind: type[T], *, default: T | Callable[[], T], name: str = "", schema: int = 1, migrate: Migrate | None = None
) -> Durable[T]: ...
@overload
def durable(kind: type[T], *, name: str = "", schema: int = 1, migrate: Migrate | None = None) -> Durable[T | None]: ...
def durable(kind: Any, *, default: Any = None, name: str = "", schema: int = 1, migrate: Migrate | None = None) -> Any:
    """Durable values of the type, each under a key: `await self.accounts.update(key, change)`; see `State`.

    `default` stands for a value where there is none: a value, or a callable that makes one. Raise `schema` when the type
    changes so that older values do not fit: `migrate(plain, schema)` gets such a value as plain JSON with the schema it was
    written under, and returns one that fits. It is written back with the next change. They are kept under `name`, by default
    that of the attribute, or `state`: two that a function agent has need a name each.

    Raises:
        TypeError: the type cannot be kept as JSON, or the default is not of it.
    """
    return Durable(StateKind(kind, default, schema=schema, migrate=migrate), name)


def histories(*, turns: int = 50, size: int = 64 * 1024, summarise: Summarise | None = None) -> DeclaredHistories:
    """Conversations of at most so many turns and bytes of JSON: `await self.history().add("user", text)`; see `History`.

    What is above falls off the oldest end. `summarise(turns)` may make a text of it, which is kept as the first turn; it
    may be async, is asked when about half of what is kept falls, and perhaps twice for the same turns.

    Raises:
        TypeError: bounds that nothing fits in.
    """
    return DeclaredHistories(Bounds(turns=turns, size=size), summarise)


def check_annotations(owner: type) -> None:
    """Whoever writes `accounts: State[Account]` means something, and would find nothing there.

    Raises:
        TypeError: an annotation of something kept without its declaration.
    """
    for name, annotation in inspect.get_annotations(owner).items():
        kind = _named(owner, annotation) if isinstance(annotation, str) else get_origin(annotation) or annotation
        if kind in (State, Histories) and not hasattr(owner, name):
            declared = "histories()" if kind is Histories else "durable(TheType)"
            raise TypeError(f"{owner.__qualname__}.{name} is only annotated: write `{name} = {declared}`")


def _named(owner: type, annotation: str) -> Any:
    """What the outermost name of an annotation means in the owner's module; None where it means nothing there."""
    found: Any = sys.modules.get(owner.__module__)
    for part in annotation.partition("[")[0].strip().split("."):
        found = getattr(found, part, None)
    return found


class Binds(Protocol):
    """What `AgentDefinition.keeps` holds."""

    def bind(self, target: Any, keeping: Keeping, agent: str) -> None:
        """Give it to the object of an instance."""
