"""Pages of jobs, the latest first. A cursor names the last row of a page, so that new jobs do not shift the next one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from mesh.gateway.problems import BadHeader
from mesh.jobs.outside.listing import Row


def page(rows: Sequence[Row], *, limit: int, after: str = "") -> tuple[list[Row], str]:
    """At most `limit` rows behind the cursor `after`, and the cursor of the next page; empty where there is none.

    Raises:
        BadHeader: the cursor is none of ours.
    """
    ordered = sorted(rows, key=_place, reverse=True)
    if after:
        behind = _read(after)
        ordered = [each for each in ordered if _place(each) < behind]
    shown = ordered[:limit]
    return shown, _written(_place(shown[-1])) if len(ordered) > limit else ""


def _place(row: Row) -> tuple[str, str]:
    return row["submitted_at"], row["id"]


def _written(place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode("|".join(place).encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[str, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    at, bar, job = text.partition("|")
    if not bar:
        raise BadHeader("`after` must be the `next` of an earlier page")
    return at, job
