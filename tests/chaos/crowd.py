"""`Crowd`: the stations of one scenario: processes whose agents fail, hang, flood and are flooded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.chaos import station
from tests.chaos.books import Books
from tests.chaos.station import Mood
from tests.faults.crew import Crew


class Crowd(Crew):
    """Stations by name; one that is started again under its name keeps its terms."""

    terms = station.Terms
    entry = staticmethod(station.forked)

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url, folder)
        self._known: dict[str, dict[str, Any]] = {}
        self.deaths = 0

    def launch(self, name: str, *, source: Path | None = None, **terms: Any) -> None:
        self._known[name] = {**self._known.get(name, {}), **terms}
        super().launch(name, source=source, **self._known[name])

    def mood(self, name: str, mood: Mood) -> None:
        """How it fares from now on."""
        (self.folder / f"mood-{name}").write_text(mood)

    def books(self, name: str) -> Books:
        """What its handlers did."""
        return Books(self.folder, name)

    @asynccontextmanager
    async def raised_again(self, *names: str) -> AsyncIterator[None]:
        """While this runs, whoever of them dies is counted and started again, as a host does."""
        keeping = asyncio.ensure_future(self._keep(names))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self, names: Sequence[str]) -> None:
        while True:
            for name in names:
                if not self.alive(name):
                    self.deaths += 1
                    self.launch(name)
            await asyncio.sleep(0.05)
