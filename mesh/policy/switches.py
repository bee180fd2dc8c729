"""`Switches`: who is killed. Without I/O.

Every switch that covers something kills it, whatever its kind: there are no exceptions to a switch, and a narrower one
does not undo a wider one. Which of several is named is decided by ORDER, then an exact name before a pattern, then the
longer pattern: that is the one to allow first.
"""

from __future__ import annotations

from typing import Final

from mesh.protocols.policies import Switch, What

ORDER: Final[tuple[What, ...]] = (
    "tenant", "workflow", "step-kind", "capability", "tool", "agent", "version", "instance",
)  # fmt: skip


class _Kind:
    """The switches of one kind."""

    __slots__ = ("exact", "patterns")

    def __init__(self) -> None:
        self.exact: dict[str, Switch] = {}
        self.patterns: list[Switch] = []

    def put(self, switch: Switch) -> None:
        self.drop(switch.name)
        if switch.name.endswith("*"):
            self.patterns.append(switch)
            self.patterns.sort(key=lambda each: -len(each.name))
        else:
            self.exact[switch.name] = switch

    def drop(self, name: str) -> None:
        self.exact.pop(name, None)
        self.patterns = [each for each in self.patterns if each.name != name]

    def find(self, name: str) -> Switch | None:
        found = self.exact.get(name)
        return found or next((each for each in self.patterns if each.covers(name)), None)


class Switches:
    """All that are in force. `all` is keyed as the bucket is; it is empty while nothing is killed."""

    def __init__(self) -> None:
        self.all: dict[str, Switch] = {}
        self._kinds: dict[What, _Kind] = {}

    def put(self, switch: Switch) -> None:
        """It is in force. Again: the newer one is."""
        self.all[switch.key] = switch
        self._kinds.setdefault(switch.what, _Kind()).put(switch)

    def drop(self, key: str) -> None:
        """It is in force no more. Again: nothing happens."""
        switch = self.all.pop(key, None)
        if switch is not None:
            self._kinds[switch.what].drop(switch.name)

    def find(self, names: dict[What, str]) -> Switch | None:
        """The switch that kills any of these, in ORDER."""
        kinds = self._kinds
        for what in ORDER:
            if what in kinds and (name := names.get(what)) and (found := kinds[what].find(name)) is not None:
                return found
        return None
