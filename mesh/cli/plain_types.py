"""Options of plain types, read without pydantic: typer would load it (a tenth of a second) to take a string for a string.

Only what is beyond doubt is read here; anything else goes to typer, which then says what is wrong with it, in its own words.
Typer keeps what reads a parameter in the attribute `_runtime_param`; where a release of it does not, nothing is changed.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

_FLOAT = re.compile(r"\d+(\.\d+)?\Z", re.ASCII)
_INT = re.compile(r"\d{1,18}\Z", re.ASCII)


class NotPlain(Exception):
    """The value is for typer to read, or to refuse."""


def read_plainly(command: Any) -> Any:
    """Have the parameters of a typer command, or of a group's commands, read here first. Returns the command."""
    usual = command.get_params
    command.get_params = lambda ctx: [_prepared(each) for each in usual(ctx)]
    for each in getattr(command, "commands", {}).values():
        read_plainly(each)
    return command


def _prepared(param: Any) -> Any:
    if hasattr(param, "type_descriptor") and getattr(param, "_runtime_param", False) is None:
        param._runtime_param = _Reader()
    return param


class _Reader:
    """What typer asks for the value of a parameter."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value as the type that the parameter declares."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        about = param.type_descriptor
        try:
            return plain_value(value, about.annotation, about.parameter_info.min, about.parameter_info.max)
        except NotPlain:
            param._runtime_param = None
            return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def plain_value(value: Any, wanted: Any, least: float | None = None, most: float | None = None) -> Any:
    """The value as `wanted`: a string, a number between `least` and `most`, a choice, or strings.

    Raises:
        NotPlain: it is not as simple as that.
    """
    if wanted is str and isinstance(value, str):
        return value
    if wanted == list[str] and isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return list(value)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return _choice(value, wanted)
    if wanted in (int, float):
        return _between(_number(value, wanted), least, most)
    raise NotPlain


def _choice(value: Any, wanted: type[Enum]) -> Enum:
    try:
        return wanted(value)
    except ValueError:
        raise NotPlain from None


def _number(value: Any, wanted: type[int] | type[float]) -> float:
    plain = (_INT if wanted is int else _FLOAT).match(value) if isinstance(value, str) else type(value) is wanted
    if not plain:
        raise NotPlain
    return wanted(value)


def _between(number: float, least: float | None, most: float | None) -> float:
    if (least is not None and number < least) or (most is not None and number > most):
        raise NotPlain
    return number
