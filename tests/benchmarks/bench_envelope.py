"""Writing and reading an envelope, as an ask does it, with 1 KiB inside: left as it is (`Raw`), and typed on both sides.

Floors in microseconds of processor time. Machines differ, so the same Struct stands beside them without an envelope, written
and read by msgspec alone: what is above that is the envelope.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import msgspec

from mesh.actors.declaring.contract import Contract, encode_payload
from mesh.actors.exchanging.lineage import Lineage
from mesh.clock import SystemIds
from mesh.protocols.envelope import Sender, decode, encode
from tests.benchmarks.ground import PAYLOAD, Ground
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample, Series

RAW = Target(name="envelope written and read, 1 KiB Raw", floor=5.0, aim=3.0, unit="µs")
TYPED = Target(name="envelope written and read, 1 KiB typed", floor=12.0, aim=8.0, unit="µs")
COMPOSED = Target(name="the same, Raw, with a new id and all its fields each time", unit="µs")
BARE = Target(name="for comparison: the typed 1 KiB without an envelope, by msgspec alone", unit="µs")
AT_ONCE = 1000


class Finding(msgspec.Struct):
    """What a reviewer of ours might send: a few short fields and a long one, 1 KiB in all."""

    path: str
    line: int
    severity: str
    confidence: float
    tags: list[str]
    text: str


async def bench(ground: Ground) -> list[Row]:
    """Each in turn, so many at once; nothing leaves this process."""
    finding = Finding("src/engine/parser.py", 211, "warning", 0.75, ["style", "naming", "parser"], "")
    finding.text = "x" * (PAYLOAD - len(msgspec.json.encode(finding)))
    lineage, ids, contract = Lineage(sender=Sender("client", "asks", "asks")), SystemIds(), Contract.of(Finding)
    body = encode_payload(finding)
    envelope = lineage.compose(ids, "command", "review", body, remaining=29.5)
    encoder, decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Finding)

    def typed() -> None:
        data = encode(msgspec.structs.replace(envelope, payload=encode_payload(finding)))
        contract.decode(decode(data).payload)

    found = await ground.take_turns(
        ground.pick(15, 60),
        raw=_timed(lambda: decode(encode(envelope)), ground),
        typed=_timed(typed, ground),
        composed=_timed(
            lambda: decode(encode(lineage.compose(ids, "command", "review", body, remaining=29.5))), ground
        ),
        bare=_timed(lambda: decoder.decode(encoder.encode(finding)), ground),
    )
    size = f"{len(encode(envelope))} bytes, {len(body)} of them payload"
    return [
        _row(RAW, found["raw"], size),
        _row(TYPED, found["typed"]),
        _row(COMPOSED, found["composed"]),
        _row(BARE, found["bare"]),
    ]


def _timed(operation: Callable[[], object], ground: Ground) -> Callable[[], Awaitable[Sample]]:
    times = ground.pick(AT_ONCE, 5 * AT_ONCE)

    async def round_of_many() -> Sample:
        started = time.thread_time()
        for _ in range(times):
            operation()
        return Sample((time.thread_time() - started) / times)

    return round_of_many


def _row(target: Target, series: Series, about: str = "") -> Row:
    figures = [sample.figure * 1e6 for sample in series.samples]
    return Row(
        target=target,
        figure=series.median * 1e6,
        least=min(figures),
        most=max(figures),
        rounds=len(figures),
        about=about,
    )
