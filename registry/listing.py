"""One instance as a directory knows it, and what can change about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from mesh.protocols.acts import Bid
from mesh.registry.records import Figures, Instance, InstanceState

ChangeKind = Literal["process-up", "process-down", "instance-up", "instance-changed", "instance-down"]


class Listing(msgspec.Struct, eq=False, gc=False):
    """An instance's record, its latest figures, and what is held against it.

    Kept up to date in place: whoever holds a listing sees the present figures. `seen_at` is the monotonic time at which
    figures were last heard, None before that; `suspicion` says why it is suspected, empty if it is not; `by_votes`, that
    nothing but breakers of other processes speak against it; `key` is `<process>.<agent>.<instance>`.
    """

    record: Instance
    figures: Figures = Figures()
    seen_at: float | None = None
    suspicion: str = ""
    key: str = ""
    by_votes: bool = False

    def __post_init__(self) -> None:
        self.key = self.key or self.record.key

    def hear_bid(self, capability: str, bid: Bid, now: float) -> None:
        """A fresh bid for one capability came with an answer; the other figures stay what they are."""
        bids = {**self.figures.bids, capability: bid}
        self.figures, self.seen_at = msgspec.structs.replace(self.figures, bids=bids), now

    @property
    def agent(self) -> str:
        """The agent's name."""
        return self.record.agent

    @property
    def process(self) -> str:
        """The process it lives in."""
        return self.record.process

    @property
    def state(self) -> InstanceState:
        """What the instance says of itself; `suspect` where others have reason to doubt a ready one."""
        return "suspect" if self.suspicion and self.record.state == "ready" else self.record.state

    def fits(
        self, *, labels: Mapping[str, str] | None = None, version: str | None = None, state: str | None = None
    ) -> bool:
        """Whether it has all these labels, this version (`1` means any `1.…`), and this state (None: any)."""
        return (
            (state is None or self.state == state)
            and (version is None or self.record.version == version or self.record.version.startswith(f"{version}."))
            and all(self.record.labels.get(name) == value for name, value in (labels or {}).items())
        )


class Change(msgspec.Struct, frozen=True):
    """Something a directory learned. `listing` is None for processes; `why` is for people."""

    kind: ChangeKind
    process: str
    listing: Listing | None = None
    why: str = ""
