"""`Parameters`: how one JSON payload becomes the arguments of a handler.

- no parameter: the payload is null or `{}`;
- one parameter of an object type (model, Struct, dataclass, TypedDict, dict), a union or Any: it *is* the payload;
- anything else: the parameters are the fields of one JSON object, and a single scalar or list may also stand bare.

A parameter annotated `Context` is injected and is no part of the payload.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from mesh.actors.declaring.contract import Contract, needs_pydantic
from mesh.actors.running.context import Context
from mesh.protocols.errors import BadPayload

Shape = Literal["nothing", "whole", "fields"]
_EMPTY = (b"null", b"{}")


def resolve_hints(function: Callable[..., Any], local: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The function's annotations as types; `local` are names of the scope where it was written.

    Raises:
        TypeError: a name in an annotation cannot be found.
    """
    try:
        return typing.get_type_hints(function, localns=dict(local or {}), include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{where(function)}: {error}. Annotations of a handler are read when its class is made: define or import "
            "the type above the handler, and not only under TYPE_CHECKING."
        ) from None


def where(function: Callable[..., Any]) -> str:
    """The function by name, file and line, for messages about it."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    place = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    return f"{getattr(function, '__qualname__', function)}{place}"


class Parameters(msgspec.Struct, frozen=True):
    """The inputs of one handler. `contract` is that of the payload, `context` the name of the injected parameter."""

    shape: Shape
    names: tuple[str, ...]
    contract: Contract
    context: str | None = None

    @classmethod
    def of(cls, function: Callable[..., Any], hints: Mapping[str, Any], *, method: bool) -> Parameters:
        """Read a handler's signature; with `method`, its first parameter is `self`.

        Raises:
            TypeError: a parameter without annotation, `*args`, or a type that cannot be a contract.
        """
        parameters = list(inspect.signature(function).parameters.values())[1 if method else 0 :]
        fields = {each.name: (cls._annotation(function, each, hints), each.default) for each in parameters}
        context = next((name for name, (kind, _) in fields.items() if kind in (Context, Context | None)), None)
        fields.pop(context or "", None)
        shape, contract = _shape(function, fields)
        return cls(shape, tuple(fields), contract, context)

    @staticmethod
    def _annotation(function: Callable[..., Any], parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"{where(function)}: a handler cannot take {parameter}; give each input a name and a type.")
        if parameter.name not in hints:
            raise TypeError(
                f"{where(function)}: parameter {parameter.name!r} has no type; write `{parameter.name}: str`, a model, "
                "or `ctx: Context`."
            )
        return hints[parameter.name]

    def arguments(self, raw: msgspec.Raw) -> dict[str, Any]:
        """The keyword arguments in a payload.

        Raises:
            BadPayload: it does not fit.
        """
        if self.shape == "whole":
            return {self.names[0]: self.contract.decode(raw)}
        data = bytes(raw).strip()
        if self.shape == "nothing":
            if data not in _EMPTY:
                raise BadPayload("this command takes no input: send null or {}")
            return {}
        if len(self.names) == 1 and data[:1] != b"{":
            data = b'{"%s":%s}' % (self.names[0].encode(), data)
        value = self.contract.decode(data)
        if len(self.names) == 1:
            return {self.names[0]: getattr(value, self.names[0])}
        return {name: getattr(value, name) for name in self.names}


def _shape(function: Callable[..., Any], fields: dict[str, tuple[Any, Any]]) -> tuple[Shape, Contract]:
    contracts = {}
    for name, (kind, _) in fields.items():
        try:
            contracts[name] = Contract.of(kind)
        except TypeError as error:
            raise TypeError(f"{where(function)}: parameter {name!r}: {error}") from None
    if not fields:
        return "nothing", Contract.of(None)
    whole = next(iter(contracts.values()))
    if len(fields) == 1 and _is_object(whole.schema()):
        return "whole", whole
    return "fields", Contract.of(_record(function, fields))


def _is_object(schema: dict[str, Any]) -> bool:
    """Whether values of this schema are objects, or may be."""
    if "$ref" in schema:
        schema = schema.get("$defs", {}).get(schema["$ref"].rsplit("/", 1)[-1], {})
    return schema.get("type", "object") == "object" and "enum" not in schema and "const" not in schema


def _record(function: Callable[..., Any], fields: dict[str, tuple[Any, Any]]) -> type:
    """The parameters as one type; names it does not have are refused, as a call in Python would."""
    title = "".join(part.capitalize() for part in function.__name__.split("_")) + "Input"
    if any(needs_pydantic(kind) for kind, _ in fields.values()):
        from mesh.actors.declaring.pydantic_codec import record

        return record(title, {name: (kind, _required(default)) for name, (kind, default) in fields.items()})
    members = [
        (name, kind) if default is inspect.Parameter.empty else (name, kind, _fresh(default))
        for name, (kind, default) in fields.items()
    ]
    return msgspec.defstruct(title, members, kw_only=True, forbid_unknown_fields=True)


def _required(default: Any) -> Any:
    return ... if default is inspect.Parameter.empty else default


def _fresh(default: Any) -> Any:
    """msgspec refuses filled mutable defaults: copy them for each call."""
    if isinstance(default, list | dict | set) and default:
        return msgspec.field(default_factory=lambda: type(default)(default))
    return default
