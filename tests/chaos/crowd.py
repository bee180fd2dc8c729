"""`Crowd`: the stations of one scenario: processes whose agents fail, hang, flood and are flooded."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from tests.chaos import station
from tests.chaos.books import Books
from tests.chaos.raising import raised_again
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

    def raised_again(self, *names: str) -> AbstractAsyncContextManager[None]:
        """While this runs, whoever of them dies is counted and started again, as a host does."""
        return raised_again(names, self.alive, self._relaunch)

    def _relaunch(self, name: str) -> None:
        self.deaths += 1
        self.launch(name)
