"""What other processes tell of bidders, in their beats: kept by what it is about, and by who says it.

Without I/O. A process's word about an agent that it hosts itself counts nothing, and neither does our own, which we know
better. Each word fades from the moment it was heard. How little a single word weighs is decided where it is read
(`protocols/learned.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mesh.protocols.conduct import Conduct, Forgetting, Statement

SUBJECTS = 4096
"""Versions of agents, each for one capability, of which something is kept; those not spoken of for longest go first."""
SPEAKERS = 16
"""Processes that are heard about one of them: those who spoke last."""
AT_ONCE = 64
"""Statements that are read of one beat; a process that tells more is not heard out."""

Subject = tuple[str, str, str]
"""Capability, agent, version."""


class Word(NamedTuple):
    """What one process said, and when (monotonic seconds)."""

    conduct: Conduct
    heard_at: float


class Hearsay:
    """The words of all processes but our own. `hosts` says whether a process hosts an agent."""

    def __init__(
        self,
        own: str = "",
        hosts: Callable[[str, str], bool] = lambda process, agent: False,
        forgetting: Forgetting | None = None,
    ) -> None:
        self._own = own
        self._hosts = hosts
        self._forgetting = forgetting or Forgetting()
        self._words: OrderedDict[Subject, OrderedDict[str, Word]] = OrderedDict()

    def told(self, process: str, statements: Iterable[Statement], now: float) -> None:
        """The process says this. Again: its newer word about the same stands in place of the older one."""
        if process == self._own:
            return
        for each in list(statements)[:AT_ONCE]:
            if each.conduct.sane and not self._hosts(process, each.agent):
                self._keep((each.capability, each.agent, each.version), process, Word(each.conduct, now))

    def _keep(self, subject: Subject, process: str, word: Word) -> None:
        words = self._words.setdefault(subject, OrderedDict())
        words[process] = word
        words.move_to_end(process)
        self._words.move_to_end(subject)
        if len(words) > SPEAKERS:
            words.popitem(last=False)
        if len(self._words) > SUBJECTS:
            self._words.popitem(last=False)

    def forget(self, process: str) -> None:
        """The process is gone, and its word with it."""
        for subject, words in list(self._words.items()):
            if words.pop(process, None) is not None and not words:
                del self._words[subject]

    def about(self, capability: str, now: float) -> dict[tuple[str, str], tuple[Conduct, ...]]:
        """Every word about those who offer the capability, as it is by now, by agent and version."""
        if not self._words:
            return {}
        found = {}
        for (spoken_of, agent, version), words in self._words.items():
            if spoken_of != capability:
                continue
            heard = tuple(
                each.conduct.faded(self._forgetting.kept(now - each.heard_at, 0))
                for process, each in words.items()
                if not self._hosts(process, agent)
            )
            if heard:
                found[agent, version] = heard
        return found

    def age(self, capability: str, agent: str, version: str, now: float) -> float | None:
        """Seconds since anybody spoke of it; None: nobody has."""
        words = self._words.get((capability, agent, version))
        return min(now - each.heard_at for each in words.values()) if words else None
