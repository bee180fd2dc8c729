"""Which breakers a person means: by agent, instance or whole key, with wildcards where they are pleasant."""

from __future__ import annotations

from fnmatch import fnmatchcase

from mesh.protocols.breaker_rows import BreakerKind, BreakersWanted

Key = tuple[str, str]
"""Target and capability."""


def meant(wanted: BreakersWanted, kind: BreakerKind, key: Key) -> bool:
    """Whether the breaker under `key` is one of those."""
    target, capability = key
    return (
        (wanted.kind is None or wanted.kind == kind)
        and (not wanted.target or target_meant(wanted.target, target))
        and (not wanted.capability or fnmatchcase(capability, wanted.capability))
    )


def target_meant(pattern: str, target: str) -> bool:
    """Whether a target goes by that name: `<process>.<agent>.<instance>` also as its agent and as `<agent>.<instance>`,
    `<agent>@<version>` also as its agent."""
    return any(fnmatchcase(name, pattern) for name in _names(target))


def _names(target: str) -> tuple[str, ...]:
    agent, at, _ = target.partition("@")
    if at:
        return (target, agent)
    parts = target.split(".")
    return (target, parts[1], ".".join(parts[1:])) if len(parts) == 3 else (target,)
