"""`Variation`: what is done differently after a semantic failure. The same message again would fail again.

Another prompt, another agent, another tier: `ask(…, vary=(Variation(payload=shorter), Variation(target="senior")))`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import BudgetExceeded, Denied, InDoubt, MeshError, WaitExpired


class Variation(msgspec.Struct, frozen=True, kw_only=True):
    """What is different; the rest stays as it was asked for. `labels` are those that the instance must have besides."""

    payload: Any = msgspec.UNSET
    command: str = ""
    target: str = ""
    constraints: Constraints | None = None
    labels: dict[str, str] = {}

    @property
    def words(self) -> str:
        """What is different, for people."""
        parts = [f"asking {self.target}" if self.target else "", f"for {self.command}" if self.command else ""]
        parts += ["with another payload" if self.payload is not msgspec.UNSET else ""]
        parts += ["under other constraints" if self.constraints is not None or self.labels else ""]
        return " ".join(each for each in parts if each) or "as before"


Vary = Sequence[Variation] | Callable[[MeshError, int], Variation | None]
"""Those to try, in order; or what gives the next one, from the error and the number of variations made (from 1)."""

FINAL = (InDoubt, Denied, WaitExpired)
"""Semantic, and yet nothing to be varied: somebody must look, or has decided."""


def varies(error: MeshError) -> bool:
    """Whether another attempt, made differently, may help: the other side did its work, and that came to nothing."""
    if isinstance(error, BudgetExceeded):
        return True
    return error.error_class == "semantic" and error.blame != "caller" and not isinstance(error, FINAL)


def next_variation(vary: Vary, error: MeshError, number: int) -> Variation | None:
    """Variation `number`, from 1; None: there are no more."""
    if callable(vary):
        return vary(error, number)
    return vary[number - 1] if number <= len(vary) else None
