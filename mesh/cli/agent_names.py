"""What a new agent's file and class are called, so that they hide nothing that Python or the agent itself needs. Pure."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import sys
from dataclasses import dataclass
from pathlib import Path

_OF_THE_TEMPLATE = {"Agent", "Context"}
_OF_PYTEST = {"conftest"}


@dataclass(frozen=True)
class AgentNames:
    """`agent` as it is asked for; `module` and `cls` as Python can have them. `why` says where `module` is not the plain one."""

    agent: str
    module: str
    cls: str
    why: str = ""

    @property
    def capability(self) -> str:
        """What it offers."""
        return f"{self.agent}.answer"


def names_for(agent: str, folder: Path) -> AgentNames:
    """The names for an agent in a folder; `agent` has been checked."""
    plain = agent.replace("-", "_")
    cls = "".join(part.capitalize() for part in agent.split("-"))
    if plain[0].isdigit():
        return AgentNames(agent, f"agent_{plain}", f"Agent{cls}", "a module's name starts with a letter")
    why = _taken(plain, folder)
    module = f"{plain}_agent" if why else plain
    taken = keyword.iskeyword(cls) or hasattr(builtins, cls) or cls in _OF_THE_TEMPLATE
    return AgentNames(agent, module, f"{cls}Agent" if taken else cls, why)


def _taken(module: str, folder: Path) -> str:
    """Why a file must not be called so, or nothing."""
    if keyword.iskeyword(module):
        return f"`{module}` is a word of Python's own"
    if module in sys.stdlib_module_names:
        return f"{module}.py would hide Python's own module {module}"
    if module in _OF_PYTEST:
        return f"{module}.py means something to pytest"
    found = importlib.util.find_spec(module)
    if found is None or (found.origin and Path(found.origin).resolve().parent == folder.resolve()):
        return ""
    return f"{module}.py would hide the installed package {module}"
