"""Loading the agents and workflows that a manifest names; when that fails, saying what to do about it.

This runs the user's code: only in a worker, never in the supervisor.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from mesh.protocols.errors import Semantic

_EXTRAS = {
    "bandit": "review",
    "detect_secrets": "review",
    "radon": "review",
    "unidiff": "review",
    "vulture": "review",
    "pydantic_ai": "llm",
    "nkeys": "nkeys",
    "yaml": "yaml",
    "opentelemetry": "otel",
}


class CannotLoad(Semantic):
    """The code that the manifest names cannot be loaded. The message says what to do."""

    code = "cannot-load"


def load(use: str, folder: Path, kind: str = "agent") -> Any:
    """What `pkg.mod:Name`, `file.py:Name` or `file.py` stands for; `kind` is "agent" or "workflow".

    Files are relative to `folder`, whose modules come first, except where the mesh's own code is named: that needs nothing from
    a folder, which may be a stranger's repository with a module of any name in it. A file without a name stands for all its workflows, or for its
    one agent.

    Raises:
        CannotLoad: no such module, file or name, or its code fails.
    """
    place, _, name = use.rpartition(":") if not use.endswith(".py") else (use, "", "")
    if not use.startswith("mesh.") and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module = _file(folder / place, use) if place.endswith(".py") else _module(place, use)
    if name:
        return _named(module, name, use)
    return _only_agent(module, use) if kind == "agent" else _all_workflows(module, use)


def loaded_below(folder: Path) -> tuple[str, ...]:
    """The files below the folder that have been loaded so far: what `--reload` watches. Installed packages do not count."""
    root = str(folder.resolve())
    found = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and path.startswith(root) and "site-packages" not in path and path.endswith(".py"):
            found.add(path)
    return tuple(sorted(found))


def _module(name: str, use: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and (name == missing or name.startswith(missing + ".")):
            raise CannotLoad(
                f"{use}: there is no module {missing!r}, neither in the manifest's folder nor installed: "
                "correct the path, or install the package that has it"
            ) from error
        raise CannotLoad(_needs(use, missing)) from error
    except Exception as error:
        raise CannotLoad(_failed(use, error)) from error


def _file(path: Path, use: str) -> ModuleType:
    if not path.is_file():
        raise CannotLoad(f"{use}: there is no file {path}")
    name = path.stem if path.stem not in sys.modules else f"mesh_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise CannotLoad(_needs(use, error.name or "")) from error
    except Exception as error:
        raise CannotLoad(_failed(use, error)) from error
    return module


def _named(module: ModuleType, name: str, use: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        agents = ", ".join(_agents(module)) or "no agents"
        raise CannotLoad(f"{use}: there is no {name!r} in {module.__name__}, which has {agents}") from None


def _only_agent(module: ModuleType, use: str) -> Any:
    names = _agents(module)
    if len(names) == 1:
        return getattr(module, names[0])
    if names:
        raise CannotLoad(f"{use} has several agents: name one, such as {use}:{names[0]} ({', '.join(names)})")
    raise CannotLoad(f"{use} has no agent: decorate a function with @agent, or derive a class from Agent")


def _all_workflows(module: ModuleType, use: str) -> list[Any]:
    from mesh.jobs.authoring.workflow import Workflow

    found = [thing for thing in vars(module).values() if isinstance(thing, Workflow)]
    if not found:
        raise CannotLoad(f"{use} has no workflow: decorate a function with @workflow(NAME)")
    return found


def _agents(module: ModuleType) -> list[str]:
    from mesh.actors.declaring.definition import definition_of

    found = []
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__ or name.startswith("_"):
            continue
        try:
            definition_of(thing)
        except TypeError:
            continue
        found.append(name)
    return found


def _needs(use: str, missing: str) -> str:
    extra = _EXTRAS.get(missing.partition(".")[0])
    cure = f"pip install 'natsmesh[{extra}]'" if extra else f"pip install the package that has {missing!r}"
    return f"{use} needs the module {missing!r}, which is not installed: {cure}"


def _failed(use: str, error: Exception) -> str:
    where = ""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    elif frames:
        where = f" ({frames[-1].filename}, line {frames[-1].lineno})"
    return f"{use} fails while it is loaded: {type(error).__name__}: {error}{where}"
