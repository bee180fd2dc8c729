"""`Declared`: what those who offer a capability say of it, as far as a call of it has to know before anybody has won.

They may differ, while a release is rolled out that changes it. Then the strictest speaks for all until there is a winner, which
speaks for itself.
"""

from __future__ import annotations

import msgspec

from mesh.contract_net.calls import Call
from mesh.protocols.constraints import Effect
from mesh.registry.directory import Directory


class Declared:
    """As the directory knows it at the moment."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def effect(self, capability: str) -> Effect:
        """How often it may be done; of nobody's, the default."""
        declared = self._directory.declared(capability)
        return declared.effect if declared else "costly"

    def known(self, capability: str) -> bool:
        """Whether anybody is there who declares it. While nobody is, it is nobody's mistake that it is not known to be pure."""
        return self._directory.declared(capability) is not None

    def timeout(self, capability: str) -> float | None:
        """The default seconds of the capability, if anybody declares it."""
        declared = self._directory.declared(capability)
        return declared.timeout if declared else None

    def hedged(self, call: Call) -> bool:
        """Whether they say that it is worth a second award when it takes long."""
        declared = self._directory.declared(call.capability) if call.effect == "pure" else None
        return declared is not None and declared.hedge

    def keyed(self, capability: str, effect: Effect) -> bool:
        """Whether such a call needs a key: also where they differ, for one of them may look at it."""
        return effect == "idempotent" or len(self._directory.effects(capability)) > 1

    def alike(self, call: Call) -> bool:
        """Whether it does not matter to the effect who wins; else an auction is made, and goes by the winner's own."""
        effects = self._directory.effects(call.capability)
        return len(effects) <= 1 and ("at_most_once" not in effects or call.effect == "at_most_once")

    def of(self, key: str, call: Call) -> Effect:
        """What one instance declares; the call's own effect while that is not listed."""
        listing = self._directory.listing(key)
        declared = listing.record.offers(call.capability) if listing is not None else None
        return declared.effect if declared is not None else call.effect or "costly"

    def complete(self, call: Call, conversation: str) -> Call:
        """The call with its effect, if it says none, and with a key and a correlation if it needs them."""
        if call.effect is not None and call.correlation and (call.key or call.effect != "idempotent"):
            return call
        effect = call.effect or self.effect(call.capability)
        return msgspec.structs.replace(
            call,
            effect=effect,
            listed=call.listed or call.effect is None,
            key=call.key or (conversation if self.keyed(call.capability, effect) else ""),
            correlation=call.correlation or conversation,
        )
