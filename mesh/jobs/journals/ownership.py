"""`Ownership`: whether this process may still write to a job, and who is told once it may not.

Part of a `Journal`. It is lost when a newer owner is seen, when the stream stays out of reach, or when the job is let go of;
and it is lost for good.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.protocols.errors import LeaseLost, MeshError


class Ownership:
    """Held until it is `lost`, which then says why. While it is `frozen` the workflow may add nothing more."""

    def __init__(self) -> None:
        self.lost: MeshError | None = None
        self.frozen: MeshError | None = None
        self._leaving = False
        self._on_lost: list[Callable[[MeshError], None]] = []

    def check(self) -> None:
        """Go on only as the owner.

        Raises:
            LeaseLost: this process is not the owner any more.
        """
        gone = self.lost or self.frozen
        if gone is not None:
            raise LeaseLost(gone.message)

    def on_lost(self, callback: Callable[[MeshError], None]) -> None:
        """Call this once the job is somebody else's (at once, if it is already)."""
        if self.lost is not None:
            callback(self.lost)
        else:
            self._on_lost.append(callback)

    @property
    def leaving(self) -> bool:
        """Whether somebody else will go on with the job: what is cancelled now must not be cancelled at the agents."""
        return self._leaving or self.lost is not None

    def leave(self) -> None:
        """The owner is about to stop without having finished."""
        self._leaving = True

    def freeze(self, reason: str) -> None:
        """Take nothing more from the workflow: the job is about to be let go of, and what its code still does on the way out
        must leave no trace."""
        self.frozen = LeaseLost(reason)

    def abandon(self, reason: str) -> None:
        """Give the job up without a word in the journal: it cannot be reached, or must not be. Somebody will claim it.

        Raises:
            LeaseLost: always.
        """
        self.lose(LeaseLost(reason))
        self.check()

    def lose(self, error: MeshError) -> None:
        """It is over, for this reason, and everybody who asked for it is told. Again: the first reason stands."""
        if self.lost is None:
            self.lost = as_lost(error)
            for callback in self._on_lost:
                callback(self.lost)


def as_lost(error: MeshError) -> MeshError:
    """What the owner is told whose journal met this error."""
    return error if isinstance(error, LeaseLost) else LeaseLost(f"the journal cannot go on: {error}")
