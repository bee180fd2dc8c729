"""Numbers out of a query."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mesh.gateway.problems import BadHeader


def number(query: Mapping[str, str], name: str, default: float, *, least: float, most: float) -> float:
    """A number; above `most` it is `most`.

    Raises:
        BadHeader: it is none, or below `least`.
    """
    text = query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= least or math.isinf(value):
        raise BadHeader(f"`{name}` must be a number, at least {least:g}, got {text[:40]!r}")
    return min(value, most)
