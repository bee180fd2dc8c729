"""`StateKind`: what a state holds: its type, what stands for nothing, and how older values become such as it declares now."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from mesh.actors.declaring.contract import Contract, encode_payload
from mesh.actors.keeping.state_shelf import Found
from mesh.protocols.errors import BadPayload, BadResult, StateMismatch

T = TypeVar("T")
Migrate = Callable[[Any, int], Any]
"""Gets a stored value as plain JSON and the schema version it was written under; gives one that fits now."""


class StateKind(Generic[T]):
    """One type of state. `schema` is its version; `default` is a value or a callable that makes one."""

    def __init__(self, kind: Any, default: Any = None, *, schema: int = 1, migrate: Migrate | None = None) -> None:
        self.contract = contract_of(kind)
        self.schema = schema
        self._default = default
        self._migrate = migrate
        if schema < 1:
            raise TypeError(f"schema={schema}: schema versions are whole numbers from 1")
        if migrate is not None and schema == 1:
            raise TypeError("migrate= is for values of older schemas: say which schema this one is, such as schema=2")
        self._stored_default = None if default is None else self._checked(self._made())

    def absent(self) -> T:
        """What stands for a value where there is none; a fresh one each time."""
        value: T
        if self._stored_default is None:
            value = None  # type: ignore[assignment]
        elif callable(self._default):
            value = self._made()
        else:
            value = self.contract.decode(self._stored_default)
        return value

    def encode(self, value: T) -> msgspec.Raw:
        """A value as it is stored.

        Raises:
            BadResult: it is not of this type.
        """
        return self.contract.encode(value)

    def decode(self, where: str, found: Found) -> T:
        """The value in what was found.

        Raises:
            StateMismatch: it does not fit the type, and no migration makes it fit.
        """
        assert found.value is not None
        if found.schema > self.schema:
            raise self._misfit(
                where,
                found,
                f"it was written under schema {found.schema}, and this code knows {self.schema}: run the newer one",
            )
        raw = found.value if found.schema == self.schema or self._migrate is None else self._migrated(where, found)
        try:
            value: T = self.contract.decode(raw)
        except BadPayload as error:
            raise self._misfit(where, found, f"it {error.message}: {self._advice(found)}") from None
        return value

    def _migrated(self, where: str, found: Found) -> msgspec.Raw:
        assert self._migrate is not None
        assert found.value is not None
        try:
            return encode_payload(self._migrate(msgspec.json.decode(found.value), found.schema))
        except Exception as error:
            why = f"migrate raised {type(error).__name__} for a value of schema {found.schema}: {error}"
            raise self._misfit(where, found, why) from error

    def _advice(self, found: Found) -> str:
        if found.schema == self.schema:
            return f"give the changed type schema={self.schema + 1} and a migrate= for schema {found.schema}"
        if self._migrate is None:
            return f"give it a migrate= for schema {found.schema}"
        return f"that is what migrate made of a value of schema {found.schema}"

    def _misfit(self, where: str, found: Found, why: str) -> StateMismatch:
        detail = {"stored": found.schema, "declared": self.schema, "version": found.version}
        return StateMismatch(f"the stored value of {where} cannot be used: {why}", detail=detail)

    def _made(self) -> Any:
        return self._default() if callable(self._default) else self._default

    def _checked(self, value: Any) -> msgspec.Raw:
        try:
            return self.contract.encode(value)
        except BadResult as error:
            raise TypeError(f"default= {error.message}") from None


def contract_of(kind: Any) -> Contract:
    """The contract of a type, made once: states and effects are asked for often, types are few."""
    try:
        hash(kind)
    except TypeError:
        return Contract.of(kind)
    return _remembered(kind)


@lru_cache(maxsize=512)
def _remembered(kind: Any) -> Contract:
    return Contract.of(kind)
