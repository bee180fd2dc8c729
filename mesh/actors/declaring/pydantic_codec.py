"""Contracts that pydantic validates. Imported only when an annotation has something of pydantic's in it."""

from __future__ import annotations

from typing import Any

import msgspec
import pydantic


class PydanticCodec:
    """A TypeAdapter behind the codec's four methods. Lax or strict is the model's own choice."""

    def __init__(self, annotation: Any) -> None:
        try:
            self._adapter = pydantic.TypeAdapter[Any](annotation)
            self._described = self._adapter.json_schema()
        except pydantic.errors.PydanticUserError as error:
            raise TypeError(
                f"{annotation!r} cannot be a contract: {str(error).splitlines()[0]} "
                "Do not put a msgspec.Struct inside a pydantic type, or the other way round."
            ) from None

    def decode(self, raw: bytes | msgspec.Raw) -> Any:
        """The value in the JSON bytes. pydantic would take NaN, so msgspec reads them first."""
        data = bytes(raw)
        msgspec.json.decode(data, type=msgspec.Raw)
        return self._adapter.validate_json(data)

    def encode(self, value: Any) -> bytes:
        """The value as JSON bytes. They are read back: a model's fields may have been set to anything."""
        raw = self._adapter.dump_json(value, by_alias=True, warnings=False)
        self._adapter.validate_json(raw)
        return raw

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        return self._described

    def problems(self, error: Exception) -> list[dict[str, str]]:
        """Every problem, its path in the same form as msgspec's."""
        if not isinstance(error, pydantic.ValidationError):
            return [{"path": "$", "message": str(error)}]
        return [
            {
                "path": "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in each["loc"]),
                "message": each["msg"],
            }
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]


def record(title: str, fields: dict[str, tuple[Any, Any]]) -> type:
    """A model of several parameters, each with its type and default (`...` where there is none)."""
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    return pydantic.create_model(title, __config__=config, **fields)  # type: ignore[call-overload, no-any-return]
