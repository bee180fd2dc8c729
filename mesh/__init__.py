"""The agent mesh on NATS.

    from mesh import agent, run

    @agent(capability="greet")
    async def greet(name: str) -> str:
        return f"Hello, {name}"

    run(greet)

What stands here is the public surface; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.actors.context import Context as Context
    from mesh.actors.definition import Agent as Agent
    from mesh.actors.definition import agent as agent
    from mesh.actors.doing import effect_key as effect_key
    from mesh.actors.doing import effects as effects
    from mesh.actors.handler import command as command
    from mesh.actors.handler import every as every
    from mesh.actors.handler import on_event as on_event
    from mesh.actors.history import History as History
    from mesh.actors.history_turns import Turn as Turn
    from mesh.actors.state import State as State
    from mesh.actors.state_declared import durable as durable
    from mesh.actors.state_declared import histories as histories
    from mesh.actors.supervision import Poisoned as Poisoned
    from mesh.actors.supervision import RestartPolicy as RestartPolicy
    from mesh.actors.tools import tool as tool
    from mesh.client.mesh import Mesh as Mesh
    from mesh.client.running import run as run
    from mesh.jobs.branches import Missing as Missing
    from mesh.jobs.doubts import NotDone as NotDone
    from mesh.jobs.onward import AskPerson as AskPerson
    from mesh.jobs.policy import StepPolicy as StepPolicy
    from mesh.jobs.undo import Undo as Undo
    from mesh.jobs.workflow import Approval as Approval
    from mesh.jobs.workflow import Job as Job
    from mesh.jobs.workflow import workflow as workflow
    from mesh.protocols.acts import Bid as Bid
    from mesh.protocols.acts import CallForProposal as CallForProposal
    from mesh.protocols.artifacts import Artifact as Artifact
    from mesh.protocols.artifacts import Confidence as Confidence
    from mesh.protocols.artifacts import Evidence as Evidence
    from mesh.protocols.artifacts import Verdict as Verdict
    from mesh.protocols.constraints import Budget as Budget
    from mesh.protocols.constraints import Constraints as Constraints
    from mesh.protocols.constraints import Usage as Usage
    from mesh.protocols.errors import MeshError as MeshError
    from mesh.resilience.fallback import Answer as Answer
    from mesh.resilience.fallback import Cached as Cached
    from mesh.resilience.fallback import Degraded as Degraded
    from mesh.resilience.fallback import FallbackAgent as FallbackAgent
    from mesh.resilience.fallback import Person as Person
    from mesh.resilience.hedging import Hedge as Hedge
    from mesh.resilience.variation import Variation as Variation

_HOMES: dict[str, str] = {
    "Agent": "mesh.actors.definition",
    "Answer": "mesh.resilience.fallback",
    "Approval": "mesh.jobs.workflow",
    "Artifact": "mesh.protocols.artifacts",
    "AskPerson": "mesh.jobs.onward",
    "Bid": "mesh.protocols.acts",
    "Budget": "mesh.protocols.constraints",
    "Cached": "mesh.resilience.fallback",
    "CallForProposal": "mesh.protocols.acts",
    "Confidence": "mesh.protocols.artifacts",
    "Constraints": "mesh.protocols.constraints",
    "Context": "mesh.actors.context",
    "Degraded": "mesh.resilience.fallback",
    "Evidence": "mesh.protocols.artifacts",
    "FallbackAgent": "mesh.resilience.fallback",
    "Hedge": "mesh.resilience.hedging",
    "History": "mesh.actors.history",
    "Job": "mesh.jobs.workflow",
    "Mesh": "mesh.client.mesh",
    "MeshError": "mesh.protocols.errors",
    "Missing": "mesh.jobs.branches",
    "NotDone": "mesh.jobs.doubts",
    "Person": "mesh.resilience.fallback",
    "Poisoned": "mesh.actors.supervision",
    "RestartPolicy": "mesh.actors.supervision",
    "State": "mesh.actors.state",
    "StepPolicy": "mesh.jobs.policy",
    "Turn": "mesh.actors.history_turns",
    "Undo": "mesh.jobs.undo",
    "Usage": "mesh.protocols.constraints",
    "Variation": "mesh.resilience.variation",
    "Verdict": "mesh.protocols.artifacts",
    "agent": "mesh.actors.definition",
    "command": "mesh.actors.handler",
    "durable": "mesh.actors.state_declared",
    "effect_key": "mesh.actors.doing",
    "effects": "mesh.actors.doing",
    "every": "mesh.actors.handler",
    "histories": "mesh.actors.state_declared",
    "on_event": "mesh.actors.handler",
    "run": "mesh.client.running",
    "tool": "mesh.actors.tools",
    "workflow": "mesh.jobs.workflow",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mesh' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
