"""`HedgeRules`: only what is `pure` is done twice, for at most a twentieth of the calls, and whoever called is answered once.

A hedge is a second attempt at an ask that is under way, or a second award of a call. What is pure, the workload says.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mesh.actors.asking.question import Question
from mesh.contract_net.hedged import HedgedCall
from mesh.contract_net.initiator import Initiator
from tests.simulation.place import HERE, Place
from tests.simulation.seams import Seams

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants

SHARE = 0.05
PURE = frozenset({"work.compute", "relay", "echo", "front", "middle", "source", "till", "scribe", "clerk"})
"""What may be done twice, as its authors have it."""

Key = tuple[Place, str, str]


class HedgeRules:
    """See the module."""

    def __init__(self, invariants: Invariants, seams: Seams) -> None:
        self._invariants = invariants
        self._calls: Counter[Key] = Counter()
        self._hedges: Counter[Key] = Counter()
        seams.before(Question, "__call__", self._attempted)
        seams.before(HedgedCall, "run", self._called)
        seams.after(Initiator, "give", self._given)

    def _attempted(self, question: Question, number: int) -> None:
        key = HERE.get(), "ask", question.route.what
        if question._twin:
            self._hedged(key)
        elif number == 1:
            self._calls[key] += 1

    def _called(self, call: HedgedCall) -> None:
        self._calls[HERE.get(), "call", call._call.capability] += 1

    def _given(self, initiator: Initiator, result: object, call: Any, *about: object, **heard: object) -> None:
        if heard.get("avoid"):
            self._hedged((HERE.get(), "call", call.capability))

    def _hedged(self, key: Key) -> None:
        place, how, what = key
        self._hedges[key] += 1
        if what not in PURE:
            self._invariants.violated(f"{place}: a second {how} for {what}, which may not be done twice")
        if self._hedges[key] > SHARE * self._calls[key] + 1e-6:
            self._invariants.violated(
                f"{place}: {self._calls[key]} times {how} for {what}, and {self._hedges[key]} of them hedged"
            )
