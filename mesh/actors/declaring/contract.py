"""`Contract`: what a value must look like to pass into or out of a handler.

Made once, at class definition, from an annotation: msgspec Structs, dataclasses, plain annotated types, and pydantic
models wherever they stand in it. A payload is decoded here once; what does not fit never reaches a handler, and what a
handler returns that does not fit never leaves its process.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol, get_args, get_type_hints

import msgspec

from mesh.protocols.errors import BadPayload, BadResult
from mesh.registry.schemas import digest_of

_encoder = msgspec.json.Encoder()
_excerpts = reprlib.Repr()
_excerpts.maxstring = _excerpts.maxother = 1000
_excerpts.maxlist = _excerpts.maxtuple = _excerpts.maxdict = 20
"""What did not fit goes with the complaint, in so far as a person can read it."""
_NEVER_NAN = frozenset((str, int, bool, type(None)))


class Codec(Protocol):
    """How one library validates: both ways raise ValueError or TypeError (or RecursionError) for what does not fit."""

    def decode(self, raw: bytes | msgspec.Raw) -> Any:
        """The value in the JSON bytes."""

    def encode(self, value: Any) -> bytes:
        """The value as JSON bytes, valid for `decode`."""

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""

    def problems(self, error: Exception) -> list[dict[str, str]]:
        """What is wrong, each with a `path` and a `message`."""


class Contract:
    """One annotation as a two-way gate. `name` is how people read it."""

    __slots__ = ("_codec", "_decode", "_may_be_nan", "_schema", "annotation", "digest", "name")

    def __init__(self, annotation: Any, codec: Codec) -> None:
        self.annotation = annotation
        self.name = (
            annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
        )
        self._codec = codec
        self._decode: Callable[[bytes | msgspec.Raw], Any] = codec.decode
        self._may_be_nan = not _never_nan(annotation)
        self._schema = codec.schema()
        self.digest = digest_of(self._schema)

    @classmethod
    def of(cls, annotation: Any) -> Contract:
        """The contract of an annotation.

        Raises:
            TypeError: it cannot be validated or described by a JSON Schema; says why and what to use instead.
        """
        annotation = type(None) if annotation is None else annotation
        if needs_pydantic(annotation):
            from mesh.actors.declaring.pydantic_codec import PydanticCodec

            return cls(annotation, PydanticCodec(annotation))
        return cls(annotation, MsgspecCodec(annotation))

    def decode(self, raw: bytes | msgspec.Raw) -> Any:
        """The value in a payload.

        Raises:
            BadPayload: it does not fit; `detail["errors"]` says where.
        """
        try:
            return self._decode(raw)
        except (ValueError, TypeError, RecursionError) as error:
            raise BadPayload(**self._complaint(error)) from None

    def encode(self, value: Any) -> msgspec.Raw:
        """A value as payload, proven to fit.

        Raises:
            BadResult: it does not fit; NaN and infinity fit nowhere.
        """
        try:
            raw = self._codec.encode(value)
            if self._may_be_nan and b"null" in raw:
                _refuse_nan(value)
            return msgspec.Raw(raw)
        except (ValueError, TypeError, RecursionError) as error:
            complaint = self._complaint(error)
            complaint["detail"]["output"] = _excerpts.repr(value)
            raise BadResult(**complaint) from None

    def schema(self) -> dict[str, Any]:
        """The JSON Schema that is published in the registry under `digest`."""
        return self._schema

    def _complaint(self, error: Exception) -> dict[str, Any]:
        if isinstance(error, RecursionError):
            problems = [{"path": "$", "message": "nested too deeply"}]
        else:
            problems = self._codec.problems(error)
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return {
            "message": f"does not fit {self.name}: {first['message']} at {first['path']}{more}",
            "detail": {"errors": problems[:20]},
        }


class MsgspecCodec:
    """Structs, dataclasses, TypedDicts, containers and scalars; strict, as msgspec is."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation
        self._trusted = _never_nan(annotation)
        try:
            self._decoder = msgspec.json.Decoder(annotation)
            self.decode = self._untouched if annotation is msgspec.Raw else self._decoder.decode
            self._described = msgspec.json.schema(annotation)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{annotation!r} cannot be a contract: {str(error).splitlines()[0]} Use a pydantic model, a "
                "msgspec.Struct, a dataclass or a plain type such as str or list[int]."
            ) from None

    def _untouched(self, raw: bytes | msgspec.Raw) -> Any:
        """A `Raw` that is to stay one was read through with the envelope around it."""
        return raw if isinstance(raw, msgspec.Raw) else self._decoder.decode(raw)

    def encode(self, value: Any) -> bytes:
        """The value as JSON bytes; the bytes are read back, because a Struct's fields may hold anything."""
        raw = _encoder.encode(value)
        if not (self._trusted and type(value) is self._annotation):
            self._decoder.decode(raw)
        return raw

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        return self._described

    def problems(self, error: Exception) -> list[dict[str, str]]:
        """msgspec stops at the first problem and puts the path at the end of its message."""
        message, _, path = str(error).partition(" - at ")
        return [{"path": path.strip("`") or "$", "message": message}]


def encode_payload(value: Any) -> msgspec.Raw:
    """Any JSON-able value (models, Structs and dataclasses included) as a payload, by a caller that has no contract.

    Raises:
        BadPayload: it cannot be JSON, or holds NaN or infinity.
    """
    if isinstance(value, msgspec.Raw):
        return value
    try:
        raw = _any_encoder.encode(value)
        if _may_be_nan(value) and b"null" in raw:
            _refuse_nan(value)
        return msgspec.Raw(raw)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadPayload(f"this payload cannot be sent as JSON: {error}") from None


def _plain(value: Any) -> Any:
    """pydantic models within a payload, without importing pydantic."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON-able")


_any_encoder = msgspec.json.Encoder(enc_hook=_plain)


def needs_pydantic(annotation: Any, seen: frozenset[Any] = frozenset()) -> bool:
    """Whether pydantic must validate it: a model, a pydantic dataclass or constraint anywhere inside."""
    if "pydantic" not in sys.modules and "annotated_types" not in sys.modules:
        return False
    if hasattr(annotation, "__get_pydantic_core_schema__") or hasattr(annotation, "__pydantic_core_schema__"):
        return True
    metadata = getattr(annotation, "__metadata__", ())
    if any(type(each).__module__.split(".")[0] in ("pydantic", "annotated_types") for each in metadata):
        return True
    try:
        if annotation in seen:
            return False
        seen = seen | {annotation}
    except TypeError:
        return False
    return any(needs_pydantic(part, seen) for part in _parts(annotation))


def _parts(annotation: Any) -> Iterator[Any]:
    yield from get_args(annotation)
    if isinstance(annotation, type) and _has_fields(annotation):
        yield from _field_types(annotation)


def _has_fields(kind: type) -> bool:
    """Dataclasses, Structs and TypedDicts."""
    return dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct) or hasattr(kind, "__total__")


def _field_types(kind: type) -> Iterator[Any]:
    try:
        yield from get_type_hints(kind, include_extras=True).values()
    except NameError:
        return


def _never_nan(annotation: Any) -> bool:
    return isinstance(annotation, type) and annotation in _NEVER_NAN


def _may_be_nan(value: Any) -> bool:
    """False for strings and whole numbers, and dicts of them: to look for a null in 1 KiB takes longer than this."""
    if type(value) is dict:
        return not _NEVER_NAN.issuperset(map(type, value.values()))
    return type(value) not in _NEVER_NAN


def _refuse_nan(value: Any) -> None:
    """msgspec and pydantic write NaN as null: find out whether a null was one."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not JSON")
    elif isinstance(value, dict):
        for each in value.values():
            _refuse_nan(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            _refuse_nan(each)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _refuse_nan(getattr(value, name))
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        for each in vars(value).values():
            _refuse_nan(each)
