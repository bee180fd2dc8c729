"""What operators have decided, as far as it concerns jobs: `mesh.policy.Policy`, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mesh.policy.flags import V
from mesh.protocols.policies import Switch, TenantShare


class Decisions(Protocol):
    """The part of `Policy` that jobs look at. `switches` is empty while nothing is killed."""

    switches: Mapping[str, Switch]

    def killed(
        self, *, capability: str = "", tenant: str = "", step_kind: str = "", workflow: str = ""
    ) -> Switch | None:
        """The switch that kills any of these."""

    def flag(self, name: str, default: V, *, tenant: str = "", key: str = "") -> V:
        """What the flag is set to, or the default; a percentage is of `key`s."""

    def share(self, tenant: str) -> TenantShare:
        """What the tenant gets beside others."""

    def on_change(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        """Call this on every new decision; the answer takes the callback off again."""


class Undecided:
    """Nobody has decided anything."""

    def __init__(self) -> None:
        self.switches: Mapping[str, Switch] = {}
        self._standard = TenantShare()

    def killed(
        self, *, capability: str = "", tenant: str = "", step_kind: str = "", workflow: str = ""
    ) -> Switch | None:
        """Nothing is."""
        return None

    def flag(self, name: str, default: V, *, tenant: str = "", key: str = "") -> V:
        """The default."""
        return default

    def share(self, tenant: str) -> TenantShare:
        """The standard one."""
        return self._standard

    def on_change(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        """Nothing ever changes."""
        return lambda: None
