"""The options every command takes: `-o`, `--server`, `--context`, `--namespace`, `--timeout`.

A command declares `options: Options` as its first parameter and wears `@shared_options`; the five appear in its help and
arrive in that one value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from mesh.cli.exits import BadInput


class Format(StrEnum):
    """How results are printed on stdout."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Drawing(StrEnum):
    """The same, for what can be drawn as a Mermaid diagram."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    MERMAID = "mermaid"


@dataclass(frozen=True, slots=True)
class Options:
    """What the shared options said. `timeout` is in seconds and ends the waiting, never the work;
    `mermaid`: as a diagram, where the command wears `@drawn_options`."""

    output: Format = Format.TABLE
    server: str | None = None
    context: str | None = None
    namespace: str | None = None
    timeout: float | None = None
    mermaid: bool = False


_PANEL = "Shared options"
_CONTEXT = "typed"
_SHARED: dict[str, tuple[Any, Any]] = {
    "output": (
        Annotated[Format, typer.Option("-o", "--output", help="How to print results.", rich_help_panel=_PANEL)],
        Format.TABLE,
    ),
    "server": (
        Annotated[str | None, typer.Option(help="NATS server URL, before any setting.", rich_help_panel=_PANEL)],
        None,
    ),
    "context": (Annotated[str | None, typer.Option(help="A context of the NATS CLI.", rich_help_panel=_PANEL)], None),
    "namespace": (
        Annotated[
            str | None,
            typer.Option(help="Which mesh on that server (default: default).", rich_help_panel=_PANEL),
        ],
        None,
    ),
    "timeout": (
        Annotated[
            float | None,
            typer.Option(min=0.001, help="Seconds to wait; the work itself goes on.", rich_help_panel=_PANEL),
        ],
        None,
    ),
}

_DRAWN = Annotated[Drawing, typer.Option("-o", "--output", help="How to print results.", rich_help_panel=_PANEL)]


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the shared options; they reach it as its first parameter, an `Options`."""
    return _with_options(command, _SHARED)


def drawn_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command that can also print a Mermaid diagram."""
    return _with_options(command, {**_SHARED, "output": (_DRAWN, Drawing.TABLE)})


def _with_options(command: Callable[..., Any], options: dict[str, tuple[Any, Any]]) -> Callable[..., Any]:
    signature = inspect.signature(command, eval_str=True)
    own = [_as_typed(each) for each in list(signature.parameters.values())[1:]]
    paths = [each.name for each in own if _is_path(each)]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]

    @functools.wraps(command)
    def with_options(**given: Any) -> Any:
        refuse_empty(given.pop(_CONTEXT), given)
        given.update({name: Path(given[name]) for name in paths if given[name] is not None})
        chosen = {name: given.pop(name) for name in options}
        mermaid = chosen["output"] == Drawing.MERMAID
        chosen["output"] = Format.TABLE if mermaid else Format(chosen["output"].value)
        return command(Options(**chosen, mermaid=mermaid), **given)

    keyword_only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    context = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [*keyword_only, *shared, context]
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options


def _is_path(parameter: inspect.Parameter) -> bool:
    """Whether it is declared as `Annotated[Path, …]` or `Annotated[Path | None, …]`."""
    return next(iter(get_args(parameter.annotation)), None) in (Path, Path | None)


def _as_typed(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter; a path as the text that was typed, as `Path("")` is the folder one stands in."""
    if not _is_path(parameter):
        return parameter
    kind, declared = get_args(parameter.annotation)
    as_text = copy(declared)
    as_text.path_type = str
    return parameter.replace(annotation=Annotated[kind, as_text])


def refuse_empty(context: typer.Context, given: Mapping[str, Any]) -> None:
    """Refuse what was typed and says nothing: a variable of a script that was not set. It must not mean what leaving it out means,
    such as every tenant, no end, or another server; nor the only job there is, whose id begins so, nor the folder one stands in.

    Raises:
        BadInput: says which one.
    """
    for each in context.command.params:
        value, source = given.get(each.name or ""), context.get_parameter_source(each.name or "")
        if source is None or source.name != "COMMANDLINE":
            continue
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            named = max(each.opts, key=len) if each.param_type_name == "option" else (each.name or "").upper()
            raise BadInput(f"{named} is empty: say something, or leave it out")
