"""`plan`: from a manifest to the processes of one host, each with a name that stays the same from start to start."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mesh.host.manifest import AgentEntry, Limits, Manifest, WorkflowEntry
from mesh.protocols.naming.names import check_token

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, kw_only=True)
class ProcessPlan:
    """One process. `token` names it in the mesh and is `<host>-<name>-<number>`; `instances` are numbered over the host.

    `kind` is "agent" or "workflow"; `files` are what is known to be loaded before it has told.
    """

    token: str
    name: str
    kind: str
    use: str
    instances: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()
    capacity: int | None = None
    labels: dict[str, str]
    environment: dict[str, str]
    limits: Limits


def plan(manifest: Manifest, host: str) -> tuple[ProcessPlan, ...]:
    """Every process of the manifest on a host of that name. The same manifest and name give the same tokens."""
    numbers: Counter[str] = Counter()
    instances: Counter[str] = Counter()
    planned: list[ProcessPlan] = []
    for agent in manifest.agents:
        planned += _agent(manifest, host, agent, numbers, instances)
    for workflow in manifest.workflows:
        planned += _workflow(manifest, host, workflow, numbers)
    return tuple(planned)


def _agent(
    manifest: Manifest, host: str, entry: AgentEntry, numbers: Counter[str], instances: Counter[str]
) -> list[ProcessPlan]:
    name = entry.name or name_of(entry.use)
    count, processes = entry.counts
    dealt: list[list[str]] = [[] for _ in range(processes)]
    for index in range(count):
        instances[name] += 1
        dealt[index % processes].append(str(instances[name]))
    return [
        ProcessPlan(
            token=_token(host, name, numbers),
            name=name,
            kind="agent",
            use=entry.use,
            instances=tuple(hand),
            capacity=entry.capacity,
            labels={**manifest.host.labels, **entry.labels},
            environment={**manifest.host.environment, **entry.environment},
            limits=entry.limits,
        )
        for hand in dealt
    ]


def _workflow(manifest: Manifest, host: str, entry: WorkflowEntry, numbers: Counter[str]) -> list[ProcessPlan]:
    name = entry.name or name_of(entry.use)
    return [
        ProcessPlan(
            token=_token(host, name, numbers),
            name=name,
            kind="workflow",
            use=entry.use,
            versions=entry.versions,
            labels=manifest.host.labels,
            environment={**manifest.host.environment, **entry.environment},
            limits=entry.limits,
        )
        for _ in range(entry.processes)
    ]


def _token(host: str, name: str, numbers: Counter[str]) -> str:
    numbers[name] += 1
    return check_token(f"{host}-{name}-{numbers[name]}", "process")


def name_of(use: str) -> str:
    """The name that stands for an agent before its code is loaded: `pkg.mod:PriceWatcher` is `price-watcher`."""
    place, _, name = use.rpartition(":") if ":" in use else (use, "", "")
    bare = name or Path(place).stem
    words = _HUMP.sub("-", bare).replace("_", "-").lower().strip("-")
    return re.sub(r"[^a-z0-9-]+", "-", words)[:40] or "agent"
