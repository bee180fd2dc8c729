"""What is said of the effects of steps in more than one place."""

from __future__ import annotations

TOUCHING = frozenset({"at_most_once", "idempotent"})
"""Effects on the world outside. A fork does not repeat them unless it may."""
