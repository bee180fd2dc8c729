"""What a manifest may not say although every single value has the right type. Pure."""

from __future__ import annotations

import re

from mesh.host.manifest import AgentEntry, Limits, Manifest, WorkflowEntry
from mesh.host.restarts import RestartPolicy
from mesh.protocols.errors import InvalidName
from mesh.protocols.naming.names import check_name

_LONGEST = 86400.0
_LEAST_MEMORY, _MOST_BYTES = 64 * 1024**2, 2**62
_MOST_FILES = 2**30
_USE = re.compile(r"(?:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*|[^:]+\.py(?::[A-Za-z_]\w*)?)\Z")


def contradictions(manifest: Manifest) -> list[tuple[str, str]]:
    """Each mistake as the key it stands under and what is wrong with it."""
    found: list[tuple[str, str]] = []
    if not manifest.agents and not manifest.workflows:
        found.append(
            ("", 'nothing to launch: add an [[agents]] table with use = "package.module:Name" or "file.py:Name"')
        )
    found += _bad_names(manifest)
    for index, agent in enumerate(manifest.agents):
        found += _bad_entry(f"agents[{index}]", agent)
        found += _bad_counts(f"agents[{index}]", agent)
    for index, workflow in enumerate(manifest.workflows):
        found += _bad_entry(f"workflows[{index}]", workflow)
        if workflow.processes < 1:
            found.append((f"workflows[{index}].processes", "must be at least 1"))
    found += _bad_restarts(manifest.host.restarts)
    for name in ("start_timeout", "hung_after", "grace"):
        if not 0 < getattr(manifest.host, name) <= _LONGEST:
            found.append((f"host.{name}", "must be more than 0 seconds, and at most a day"))
    return found + _bad_environment("host", manifest.host.environment)


def _bad_restarts(policy: RestartPolicy) -> list[tuple[str, str]]:
    found = [
        (f"host.restarts.{name}", "must be more than 0 seconds")
        for name in ("base", "cap", "window", "stable_after")
        if not getattr(policy, name) > 0
    ]
    return [*found, ("host.restarts.crashes", "must be at least 0")] if policy.crashes < 0 else found


def _bad_names(manifest: Manifest) -> list[tuple[str, str]]:
    names = {"mesh.namespace": manifest.mesh.namespace, "host.name": manifest.host.name}
    return [(key, problem) for key, name in names.items() if name is not None and (problem := _name_problem(name))]


def _bad_entry(key: str, entry: AgentEntry | WorkflowEntry) -> list[tuple[str, str]]:
    found = []
    if not _USE.match(entry.use):
        found.append((f"{key}.use", f'{entry.use!r} names nothing: write "package.module:Name" or "file.py:Name"'))
    if entry.name is not None and (problem := _name_problem(entry.name)):
        found.append((f"{key}.name", problem))
    found += _bad_environment(key, entry.environment)
    return found + [(f"{key}.limits.{name}", problem) for name, problem in _bad_limits(entry.limits)]


def _bad_environment(key: str, environment: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (f"{key}.environment", f"{name!r} cannot be a variable: no name has '=' in it, nothing a zero byte")
        for name, value in environment.items()
        if not name or "=" in name or "\0" in name + value
    ]


def _bad_limits(limits: Limits) -> list[tuple[str, str]]:
    found = []
    try:
        if limits.memory_bytes is not None and not _LEAST_MEMORY <= limits.memory_bytes < _MOST_BYTES:
            found.append(("memory", 'must be at least "64MB": with less, Python itself cannot start'))
    except ValueError as error:
        found.append(("memory", str(error)))
    if limits.nice is not None and not 0 <= limits.nice <= 19:
        found.append(("nice", "must be from 0 (normal) to 19 (yields to everybody)"))
    if limits.open_files is not None and not 32 <= limits.open_files <= _MOST_FILES:
        found.append(("open_files", f"must be at least 32, or Python itself cannot start, and at most {_MOST_FILES}"))
    return found


def _bad_counts(key: str, entry: AgentEntry) -> list[tuple[str, str]]:
    found = [
        (f"{key}.{name}", "must be at least 1")
        for name in ("instances", "processes", "capacity")
        if (getattr(entry, name) or 1) < 1 or getattr(entry, name) == 0
    ]
    if found:
        return found
    instances, processes = entry.counts
    if processes > instances:
        advice = f"{processes} processes for {instances} instances: raise instances, or lower processes"
        return [(f"{key}.processes", advice)]
    return []


def _name_problem(name: str) -> str:
    try:
        check_name(name)
    except InvalidName as error:
        return str(error)
    return ""
