"""Why an award went to whom: every bid with what was promised, what is expected, and what it cost, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh.cli.output import plain, printable
from mesh.protocols.awards import AwardRecord, Candidate, Weights
from mesh.protocols.learned import Learned
from mesh.protocols.scoring import likely


def award_as_row(record: AwardRecord) -> dict[str, Any]:
    """The record as `-o json` prints it: each candidate with its `key`, its `total`, and what is `expected` of it."""
    row: dict[str, Any] = plain(record)
    row["weights"] = plain(record.weights)
    row["explored"] = record.explored
    row["candidates"] = [
        {
            **plain(each),
            "key": each.key,
            "total": each.score.total if each.score else None,
            "expected": likely(each)._asdict(),
        }
        for each in record.candidates
    ]
    return row


def award_as_lines(record: AwardRecord) -> Iterator[str]:
    """The record for people: the reason, the weights, a line for each bid, and one for each refusal."""
    yield f"award {record.number} ({record.mode}, round {record.round}, {record.known} known): {record.reason}"
    yield f"  weights: {_weights(record.weights)}"
    for each in sorted(record.candidates, key=_total):
        yield _bid_line(each, each.key == record.winner)
    for refusal in record.refusals:
        yield f"  – {refusal.agent}.{refusal.instance} refused: {refusal.reason} {refusal.message}".rstrip()


def _weights(weights: Weights) -> str:
    return (
        f"money {weights.price:g}, a second {weights.latency:g}, certain failure {weights.risk:g}; "
        f"newcomers get {weights.explore:.0%} of awards at most"
    )


def _total(candidate: Candidate) -> float:
    return candidate.score.total if candidate.score else float("inf")


def _bid_line(candidate: Candidate, won: bool) -> str:
    bid, score = candidate.bid, candidate.score
    figures = f"price {bid.price:g}, latency {bid.latency:.3f} s, success {bid.success:.0%}, queue {bid.queue}"
    parts = f"cost {score.cost:.2f} + latency {score.latency:.2f} + risk {score.risk:.2f}" if score else "not scored"
    bonus = f" - bonus {score.bonus:.2f}" if score and score.bonus else ""
    total = f"{score.total:.2f} = {parts}{bonus}" if score else parts
    why = f"  ✗ {candidate.rejected_because}" if candidate.rejected_because else ""
    learned = f"; {_learned(candidate, candidate.learned)}" if candidate.learned is not None else ""
    return printable(f"  {'★' if won else '·'} {candidate.key}: {total} (promised {figures}{learned}){why}")


def _learned(candidate: Candidate, learned: Learned) -> str:
    """What was learned of it, and what is expected therefore."""
    expected = likely(candidate)
    told = [
        f"latency ×{learned.latency:.2f}",
        f"price ×{learned.price:.2f}" + (f" + {learned.charge:.4g}" if learned.charge else ""),
        f"success ×{learned.success:.2f}",
        f"reputation {learned.reputation:.0%}",
    ]
    return (
        f"learned from {learned.calls:.1f} calls{', a newcomer' if learned.newcomer else ''}: {', '.join(told)}; "
        f"expected price {expected.price:.4g}, latency {expected.latency:.3f} s, success {expected.success:.0%}"
    )
