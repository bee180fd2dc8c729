"""`Finding`: one thing that `mesh doctor` looked at."""

from __future__ import annotations

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and what to do about it when it is not fine. `fail`: the mesh cannot work so; `warn`: it works, with less."""

    check: str
    state: Literal["ok", "warn", "fail"]
    found: str
    do: str = ""


def fine(check: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check=check, state="ok", found=found)


def weak(check: str, found: str, do: str) -> Finding:
    """It works, with less."""
    return Finding(check=check, state="warn", found=found, do=do)


def broken(check: str, found: str, do: str) -> Finding:
    """It does not work."""
    return Finding(check=check, state="fail", found=found, do=do)
