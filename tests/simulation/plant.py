"""`Plant`: a bug that is planted on purpose, and the seeds that find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Plant:
    """One planted bug."""

    name: str
    what: str
    install: Callable[[], None]
    seeds: tuple[int, ...]
    """Seeds that find it."""


PLANTS: dict[str, Plant] = {}


def planted(name: str, what: str, *seeds: int) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """The function below plants this bug."""

    def keep(install: Callable[[], None]) -> Callable[[], None]:
        PLANTS[name] = Plant(name, what, install, seeds)
        return install

    return keep
