"""`Votes`: what becomes of a breaker's change: it is told, and this process's beats carry it to everybody's directory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.protocols.breaker_rows import Passage
from mesh.resilience.alarms import Alarm, alarms
from mesh.resilience.breakers import Breakers, Key

if TYPE_CHECKING:
    from mesh.actors.peer import Peer


class Votes:
    """The votes of one process: against instances, and against versions."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._voting = (peer.breakers, peer.quality)
        self._callbacks: list[Callable[[], None]] = [self._tell_first]
        self._lapse: Alarm | None = None
        for each in (*self._voting, peer.tools.breakers):
            self._watch(each)

    def cast(self) -> tuple[str, ...]:
        """Everything that is held against others here, as it stands in the figures of a beat."""
        breakers, quality = self._voting
        if not (breakers.troubled or quality.troubled):
            return ()
        return (*breakers.votes(), *quality.votes())

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call this whenever there may be other votes than before."""
        self._callbacks.append(callback)

    def stop(self) -> None:
        """Take nothing back any more."""
        if self._lapse is not None:
            self._lapse.cancel()

    def _watch(self, breakers: Breakers) -> None:
        breakers.on_change(lambda key, passage: self._changed(breakers, key, passage))

    def _changed(self, breakers: Breakers, key: Key, passage: Passage) -> None:
        (row,) = breakers.rows([key])
        self._peer.telemetry.emit(
            "breaker.changed", level="info" if passage.state == "closed" else "warning",
            kind=breakers.kind, target=key[0], capability=key[1], was=passage.was, state=passage.state, reason=passage.why,
            by=passage.by, calls=row.calls, failed=row.failed, slow=row.slow, retry_in=row.retry_in,
        )  # fmt: skip
        self._changed_votes()

    def _changed_votes(self) -> None:
        """Tell them, and look again when the first of them may lapse."""
        for callback in self._callbacks:
            callback()
        if self._lapse is not None:
            self._lapse.cancel()
            self._lapse = None
        due = min((at for each in self._voting if (at := each.lapse_at()) is not None), default=None)
        if due is not None:
            self._lapse = alarms().at(due, self._lapsed)

    def _lapsed(self) -> None:
        """Nobody here calls them any more. Of those that are gone from the mesh, nothing is kept."""
        self._lapse = None
        breakers = self._peer.breakers
        for target in {target for target, _ in breakers.troubled}:
            if self._peer.directory.listing(target) is None:
                breakers.forget(target)
        self._changed_votes()

    def _tell_first(self) -> None:
        if first := next(iter(self._peer.actors.values()), None):
            self._peer.changed(first)
