"""`Source`: where an answer comes from. It stands in what `ask` returns with fallbacks, and in the journal of each step."""

from __future__ import annotations

from typing import Literal

Source = Literal["full", "cached", "agent", "degraded", "person"]
"""Everything but `full` stands in for what could not be had."""
