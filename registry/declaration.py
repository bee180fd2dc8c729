"""`Declaration`: what several instances together declare of one capability.

They nearly always say the same. While a release is rolled out that changes it they do not, and whatever has to be decided before
it is known who gets the work goes by the strictest of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mesh.protocols.constraints import STRICTNESS, Effect
from mesh.registry.records import Capability


class Declaration(msgspec.Struct, frozen=True):
    """`capability` as the strictest declares it; `effects` as each of them does."""

    capability: Capability
    effects: frozenset[Effect]

    @classmethod
    def of(cls, declared: Sequence[Capability]) -> Declaration:
        """What these say; of those that are equally strict, the first speaks. There is at least one."""
        strictest = max(declared, key=lambda each: STRICTNESS.index(each.effect))
        return cls(strictest, frozenset(each.effect for each in declared))
