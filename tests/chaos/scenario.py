"""`Scenario`: one fault and what was done about it; `conclude` asks the checker and writes the row of the table."""

from __future__ import annotations

import asyncio
import bisect
import os
import random
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import MeshError
from tests.chaos.checker import check
from tests.chaos.doom import Death
from tests.chaos.evidence import Evidence
from tests.chaos.fleet import Fleet
from tests.chaos.report import Row, spread
from tests.faults.expectations import reached

T = TypeVar("T")

SIZES = ("quick", "full", "soak")


SIZE = os.environ.get("CHAOS", "quick")
assert SIZE in SIZES, f"CHAOS={SIZE}: write one of {', '.join(SIZES)}"
not_quick = pytest.mark.skipif(
    SIZE == "quick", reason="a variant for make chaos: another form of it is part of make test"
)


class Scenario:
    """`seed` decides every choice. `size` says how much of it is run: `quick` in `make test`, `full` in `make chaos`."""

    def __init__(self, number: int, fault: str, seed: int, size: str, rows: list[Row]) -> None:
        self.number = number
        self.fault = fault
        self.seed = seed
        self.size = size
        self.chance = random.Random(seed)
        self._rows = rows
        self._began = time.monotonic()

    def pick(self, quick: T, full: T) -> T:
        """One amount for `make test`, another one for `make chaos` and `make soak`."""
        return quick if self.size == "quick" else full

    async def conclude(
        self,
        fleet: Fleet,
        url: str,
        done: str,
        held: str,
        *,
        states: Iterable[str] = ("completed",),
        open_allowed: bool = False,
        recovery: str = "",
        since: Sequence[float] | None = None,
        worst: bool = False,
    ) -> Evidence:
        """Gather the evidence over a connection of its own, check it, and write it down; gives the evidence.

        Recovery is measured from the deaths of owners, or from these moments (Unix seconds) until any job moves again; with
        `worst`, until one does in the stream that stands still the longest.
        """
        async with await reached(url, name="checker") as connection:
            evidence = await Evidence.gather(connection)
        verdict = check(fleet, evidence, states=states, open_allowed=open_allowed)
        if since is None:
            times = recoveries(fleet.doom.deaths, evidence)
        else:
            times = worst_standstills(since, evidence) if worst else standstills(since, evidence)
        self.note(done, f"{held}; {verdict}", recovery or spread(times))
        return evidence

    def note(self, done: str, held: str, recovery: str) -> None:
        """One row of the table."""
        row = Row(self.number, self.fault, done, held, recovery, self.seed, time.monotonic() - self._began)
        self._rows.append(row)
        print(f"[{self.number}] seed {self.seed}: {done}; {held}; recovery {recovery}")  # noqa: T201 - shown when it fails


def recoveries(deaths: Sequence[Death], evidence: Evidence) -> list[float]:
    """Seconds from each death of an owner to the claim of the next one, job by job."""
    found = []
    for records in evidence.journals.values():
        owner = ""
        for record in records:
            entry = record.entry
            if owner and entry.owner and any(type(event).__name__ == "OwnerClaimed" for event in entry.events):
                fatal = [each.at for each in deaths if each.process == owner and each.at <= record.time]
                if fatal:
                    found.append(record.time - fatal[-1])
            owner = entry.head.owner
    return found


def standstills(since: Sequence[float], evidence: Evidence) -> list[float]:
    """Seconds from each of these moments (Unix seconds) to the next entry in any journal."""
    return _waits(since, sorted(time for stream, times in evidence.times.items() if "_JOB" in stream for time in times))


def worst_standstills(since: Sequence[float], evidence: Evidence) -> list[float]:
    """The same for the stream of journals that stood still the longest."""
    each = [_waits(since, times) for stream, times in evidence.times.items() if "_JOB" in stream]
    return [max(waits) for waits in zip(*(waits for waits in each if len(waits) == len(since)), strict=True)]


def _waits(since: Sequence[float], times: list[float]) -> list[float]:
    places = [bisect.bisect_left(times, moment) for moment in since]
    return [times[place] - moment for place, moment in zip(places, since, strict=True) if place < len(times)]


async def until_owned(mesh: Mesh, job: str, *, by: str = "", timeout: float = 60.0) -> str:
    """Who drives the job, as soon as somebody does (or `by` does)."""
    handle: Any = mesh.job(job)
    async with asyncio.timeout(timeout):
        while True:
            with suppress(MeshError):
                state = await handle.state()
                if state.status == "running" and state.head is not None and by in ("", state.head.owner):
                    return str(state.head.owner)
            await asyncio.sleep(0.02)
