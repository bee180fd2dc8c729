"""`Speech`: what a client can say: ask, stream, tell and call, on account of its own tenant or of another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar, overload

import msgspec

from mesh.actors.asking.question import AskOptions, OnProgress
from mesh.actors.asking.routing import Target
from mesh.actors.exchanging.lineage import Lineage
from mesh.actors.peer import Peer
from mesh.protocols.acts import Mode
from mesh.protocols.constraints import Constraints, Effect
from mesh.protocols.naming.names import check_name
from mesh.resilience.fallback import Answer, Fallback
from mesh.resilience.hedging import Hedge
from mesh.resilience.variation import Vary

T = TypeVar("T")
OPTIONS = AskOptions.__optional_keys__
"""What `ask` and `stream` take by name besides the payload's own arguments."""


class Speech:
    """The speaking half of a `Mesh`. Arguments by name that are no options make the payload: `ask("greeter", name="Ada")`."""

    peer: Peer

    @property
    def tenant(self) -> str:
        """On whose account it acts, unless told otherwise."""
        return self.peer.root.tenant

    @overload
    async def ask(
        self, target: Target, payload: Any = None, *, returns: type[T], fallbacks: Sequence[Fallback], command: str = "",
        timeout: float | None = None, inactivity: float | None = None, on_progress: OnProgress | None = None,
        constraints: Constraints | None = None, key: str = "", hedge: Hedge | bool | None = None,
        vary: Vary | None = None, tenant: str | None = None, **arguments: Any,
    ) -> Answer[T]: ...  # fmt: skip
    @overload
    async def ask(
        self, target: Target, payload: Any = None, *, fallbacks: Sequence[Fallback], returns: Any = Any, command: str = "",
        timeout: float | None = None, inactivity: float | None = None, on_progress: OnProgress | None = None,
        constraints: Constraints | None = None, key: str = "", hedge: Hedge | bool | None = None,
        vary: Vary | None = None, tenant: str | None = None, **arguments: Any,
    ) -> Answer[Any]: ...  # fmt: skip
    @overload
    async def ask(
        self, target: Target, payload: Any = None, *, returns: type[T], command: str = "", timeout: float | None = None,
        inactivity: float | None = None, on_progress: OnProgress | None = None, constraints: Constraints | None = None,
        key: str = "", hedge: Hedge | bool | None = None, vary: Vary | None = None, tenant: str | None = None, **arguments: Any,
    ) -> T: ...  # fmt: skip
    @overload
    async def ask(
        self, target: Target, payload: Any = None, *, returns: Any = Any, command: str = "", timeout: float | None = None,
        inactivity: float | None = None, on_progress: OnProgress | None = None, constraints: Constraints | None = None,
        key: str = "", hedge: Hedge | bool | None = None, vary: Vary | None = None, tenant: str | None = None, **arguments: Any,
    ) -> Any: ...  # fmt: skip
    async def ask(
        self,
        target: Target,
        payload: Any = None,
        *,
        returns: Any = Any,
        fallbacks: Sequence[Fallback] | None = None,
        tenant: str | None = None,
        **named: Any,
    ) -> Any:
        """Ask an agent, `agent.instance` or capability, and wait: as `Peer.ask`. With `fallbacks`, even none, the result is
        an `Answer` that says what it is."""
        options, content = _sorted(payload, named)
        return await self.peer.ask(
            target, content, returns=returns, fallbacks=fallbacks, lineage=self._for(tenant), **options
        )

    def stream(
        self, target: Target, payload: Any = None, *, returns: Any = Any, tenant: str | None = None, **named: Any
    ) -> AsyncIterator[Any]:
        """The items of a streaming command as they come: as `Peer.stream`."""
        options, content = _sorted(payload, named)
        return self.peer.stream(target, content, returns=returns, lineage=self._for(tenant), **options)

    async def tell(
        self, target: Target, payload: Any = None, *, command: str = "", tenant: str | None = None, **arguments: Any
    ) -> None:
        """Send a command and do not wait: at most once. As `Peer.tell`."""
        await self.peer.tell(target, _payload(payload, arguments), command=command, lineage=self._for(tenant))

    async def call(
        self,
        capability: str,
        payload: Any = None,
        *,
        returns: Any = Any,
        mode: Mode = "standing",
        timeout: float | None = None,
        constraints: Constraints | None = None,
        effect: Effect | None = None,
        key: str = "",
        hedge: Hedge | bool | None = None,
        tenant: str | None = None,
        **arguments: Any,
    ) -> Any:
        """Hold an auction for the capability, and wait for what the winner returns: as `Peer.call`."""
        return await self.peer.call(
            capability, _payload(payload, arguments), returns=returns, mode=mode, timeout=timeout,
            constraints=constraints, effect=effect, key=key, hedge=hedge, lineage=self._for(tenant),
        )  # fmt: skip

    def _for(self, tenant: str | None) -> Lineage | None:
        """On whose behalf; None: our own.

        Raises:
            InvalidName: that is no name of a tenant.
        """
        if tenant is None:
            return None
        return msgspec.structs.replace(self.peer.root, tenant=check_name(tenant, "tenant"))


def _sorted(payload: Any, named: dict[str, Any]) -> tuple[Any, Any]:
    """The options among what was given by name, and the payload."""
    options = {name: named.pop(name) for name in OPTIONS & named.keys()} if named else named
    return options, _payload(payload, named)


def _payload(payload: Any, arguments: Mapping[str, Any]) -> Any:
    if not arguments:
        return payload
    if payload is not None:
        raise TypeError("give the payload as one value or as arguments by name, not both")
    return dict(arguments)
