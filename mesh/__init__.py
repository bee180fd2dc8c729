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
    from mesh.actors.declaring.definition import Agent as Agent
    from mesh.actors.declaring.definition import agent as agent
    from mesh.actors.declaring.handler import command as command
    from mesh.actors.declaring.handler import every as every
    from mesh.actors.declaring.handler import on_event as on_event
    from mesh.actors.keeping.history import History as History
    from mesh.actors.keeping.history_turns import Turn as Turn
    from mesh.actors.keeping.state import State as State
    from mesh.actors.keeping.state_declared import durable as durable
    from mesh.actors.keeping.state_declared import histories as histories
    from mesh.actors.running.context import Context as Context
    from mesh.actors.running.doing import effect_key as effect_key
    from mesh.actors.running.doing import effects as effects
    from mesh.actors.running.supervision import Poisoned as Poisoned
    from mesh.actors.running.supervision import RestartPolicy as RestartPolicy
    from mesh.actors.running.tools import tool as tool
    from mesh.client.mesh import Mesh as Mesh
    from mesh.client.running import run as run
    from mesh.jobs.authoring.branches import Missing as Missing
    from mesh.jobs.authoring.policy import StepPolicy as StepPolicy
    from mesh.jobs.authoring.undo import Undo as Undo
    from mesh.jobs.authoring.workflow import Approval as Approval
    from mesh.jobs.authoring.workflow import Job as Job
    from mesh.jobs.authoring.workflow import workflow as workflow
    from mesh.jobs.steps.doubts import NotDone as NotDone
    from mesh.jobs.steps.onward import AskPerson as AskPerson
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
    "Agent": "mesh.actors.declaring.definition",
    "Answer": "mesh.resilience.fallback",
    "Approval": "mesh.jobs.authoring.workflow",
    "Artifact": "mesh.protocols.artifacts",
    "AskPerson": "mesh.jobs.steps.onward",
    "Bid": "mesh.protocols.acts",
    "Budget": "mesh.protocols.constraints",
    "Cached": "mesh.resilience.fallback",
    "CallForProposal": "mesh.protocols.acts",
    "Confidence": "mesh.protocols.artifacts",
    "Constraints": "mesh.protocols.constraints",
    "Context": "mesh.actors.running.context",
    "Degraded": "mesh.resilience.fallback",
    "Evidence": "mesh.protocols.artifacts",
    "FallbackAgent": "mesh.resilience.fallback",
    "Hedge": "mesh.resilience.hedging",
    "History": "mesh.actors.keeping.history",
    "Job": "mesh.jobs.authoring.workflow",
    "Mesh": "mesh.client.mesh",
    "MeshError": "mesh.protocols.errors",
    "Missing": "mesh.jobs.authoring.branches",
    "NotDone": "mesh.jobs.steps.doubts",
    "Person": "mesh.resilience.fallback",
    "Poisoned": "mesh.actors.running.supervision",
    "RestartPolicy": "mesh.actors.running.supervision",
    "State": "mesh.actors.keeping.state",
    "StepPolicy": "mesh.jobs.authoring.policy",
    "Turn": "mesh.actors.keeping.history_turns",
    "Undo": "mesh.jobs.authoring.undo",
    "Usage": "mesh.protocols.constraints",
    "Variation": "mesh.resilience.variation",
    "Verdict": "mesh.protocols.artifacts",
    "agent": "mesh.actors.declaring.definition",
    "command": "mesh.actors.declaring.handler",
    "durable": "mesh.actors.keeping.state_declared",
    "effect_key": "mesh.actors.running.doing",
    "effects": "mesh.actors.running.doing",
    "every": "mesh.actors.declaring.handler",
    "histories": "mesh.actors.keeping.state_declared",
    "on_event": "mesh.actors.declaring.handler",
    "run": "mesh.client.running",
    "tool": "mesh.actors.running.tools",
    "workflow": "mesh.jobs.authoring.workflow",
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
