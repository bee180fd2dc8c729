"""`Retention`: how long ended jobs stay in the journal, how long their tombstones, and where archives go."""

from __future__ import annotations

from typing import Literal

import msgspec

DAY = 86400.0
Format = Literal["jsonl", "parquet"]


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[retention]` of a manifest. Days may be fractions.

    `days`: an ended job older than that is archived; None: no job is, unless its tenant is named. `tenants` has other days
    for some tenants. `horizon`: how many days a tombstone stays, and with it the promise that a repeated key is told the old
    outcome. `folder` is where archives are written, relative to the manifest's; `format` is how.
    """

    days: float | None = None
    tenants: dict[str, float] = {}
    horizon: float = 30.0
    folder: str = ".mesh/archive"
    format: Format = "jsonl"

    def __post_init__(self) -> None:
        if self.horizon <= 0 or (self.days is not None and self.days < 0) or any(d < 0 for d in self.tenants.values()):
            raise ValueError("days must be at least 0, and the horizon more than 0")

    def due(self, tenant: str, ended: float, now: float) -> bool:
        """Whether a job of that tenant that ended then (Unix seconds) is to be archived."""
        days = self.tenants.get(tenant, self.days)
        return days is not None and now - ended >= days * DAY

    def outlived(self, archived: float, now: float) -> bool:
        """Whether a tombstone that was set then is to be removed."""
        return now - archived >= self.horizon * DAY
