"""The rounds of an auction: whom to ask, how long to wait, and when another round is of no use.

Part of an auction. A round is a `Tender`; between two rounds lies a pause, which `freed` cuts short.
"""

from __future__ import annotations

from random import Random

from mesh.protocols.acts import Mode, Refusal
from mesh.protocols.auction_messages import Survey, Terms
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.scoring import weights
from mesh.protocols.selection import Choice, SelectionPolicy
from mesh.protocols.tender import Tender

DOUBLINGS = 4
"""How often the pause between rounds doubles at most."""


class Rounds:
    """Where an auction stands with its calls. `deadline` and every `now` are on one monotonic clock."""

    def __init__(self, mode: Mode, deadline: float, policy: SelectionPolicy, random: Random) -> None:
        self.mode = mode
        self.number = 1
        self.tender = Tender()
        self.avoid: set[str] = set()
        self._deadline = deadline
        self._policy = policy
        self._random = random
        self._waits = 0
        self._began: float | None = None
        self._next_mode = mode

    @property
    def paused(self) -> bool:
        """Whether the next round is being waited for."""
        return self.tender.phase == "paused"

    def window(self, now: float) -> float:
        """How long proposals are awaited."""
        return window(self._policy, now, self._deadline)

    def survey(self, now: float, mode: Mode | None = None) -> Survey:
        """Ask now, in another way if `mode` is given. The round stays the same."""
        self.mode = mode or self.mode
        self.tender = Tender()
        return Survey(self.number, self.mode, self.window(now), frozenset(self.avoid))

    def pause(self, now: float, candidates: tuple[Candidate, ...]) -> float:
        """How long to wait, if another round is to be held: as they said, else longer each time."""
        backoff = self._policy.pause * 2.0 ** min(self._waits, DOUBLINGS)
        return (self.tender.hint(candidates) or backoff) * (0.5 + self._random.random())

    def useless(self, now: float, pause: float, candidates: tuple[Candidate, ...]) -> bool:
        """Whether another round, after `pause`, would not help, or come too late, or be one too many.

        Quick work makes short pauses: rounds only run out when `busy` seconds have passed since the first of them, too.
        """
        self._began = now if self._began is None else self._began
        until = now + pause
        spent = self._waits + 1 >= self._policy.rounds and until - self._began >= self._policy.busy
        return spent or until >= self._deadline or self.tender.hopeless(candidates)

    def wait(self, until: float) -> None:
        """Pause. Where standing bids did not help, the next round asks; where nobody answered, it asks everybody."""
        silent = self.tender.silent
        self._next_mode = "broadcast" if silent else "directed" if self.mode == "standing" else self.mode
        self.tender.pause(until)

    def freed(self, now: float) -> Survey:
        """There may be room: look again, in the same way, since what is known is fresh now."""
        self.number += 1
        return self.survey(now)

    def waited(self, now: float) -> Survey:
        """The pause is over."""
        self._waits += 1
        self.number += 1
        return self.survey(now, self._next_mode)

    def record(self, terms: Terms, choice: Choice, number: int, award: str, at: float) -> AwardRecord:
        """The line of the ledger for a choice made in this round."""
        return written(
            terms, choice, award, at, mode=self.mode, round=self.number, number=number, known=self.tender.known,
            refusals=tuple(self.tender.refusals), policy=self._policy,
        )  # fmt: skip


def window(policy: SelectionPolicy, now: float, deadline: float) -> float:
    """How many seconds proposals are awaited: half of the time left at most, since the work needs some, too."""
    return min(policy.window, max(0.0, (deadline - now) / 2))


def written(
    terms: Terms,
    choice: Choice,
    award: str,
    at: float,
    *,
    mode: Mode = "standing",
    round: int = 1,
    number: int = 1,
    known: int = 0,
    refusals: tuple[Refusal, ...] = (),
    policy: SelectionPolicy | None = None,
) -> AwardRecord:
    """A choice that fell on somebody, as a line of the ledger."""
    assert choice.winner is not None
    return AwardRecord(
        award=award,
        conversation=terms.conversation,
        capability=terms.capability,
        effect=terms.effect,
        mode=mode,
        round=round,
        number=number,
        known=max(known, len(choice.candidates)),
        candidates=choice.candidates,
        refusals=refusals,
        winner=choice.winner.key,
        reason=choice.reason,
        at=at,
        weights=weights(policy),
        explored=choice.explored,
    )
