"""What most rounds do: an operation again and again, one by one or many at once; and the row for a ratio of two series."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from tests.benchmarks.ground import Ground
from tests.benchmarks.other import Other
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample, Series

Operation = Callable[[], Awaitable[object]]
AT_ONCE = 64


async def one_by_one(ground: Ground, other: Other | Sequence[Other], operation: Operation, turns: int) -> Sample:
    """Seconds an operation takes with nothing else in flight: the median of `turns`. `other` does the other part of it."""
    meter, times = ground.meter(*_all(other)), []
    for _ in range(turns):
        started = time.perf_counter()
        await operation()
        times.append(time.perf_counter() - started)
    return meter.sample(median(times), turns)


async def at_once(
    ground: Ground, other: Other | Sequence[Other], operation: Operation, turns: int, *, width: int = AT_ONCE
) -> Sample:
    """Operations a second with `width` in flight, `turns` of each. `other` does the other part of it."""

    async def again() -> None:
        for _ in range(turns):
            await operation()

    meter, started = ground.meter(*_all(other)), time.perf_counter()
    await asyncio.gather(*(again() for _ in range(width)))
    return meter.sample(width * turns / (time.perf_counter() - started), width * turns)


def ratio_row(target: Target, ours: Series, base: Series, about: str = "") -> Row:
    """How `ours` stands to `base`, round by round, and what an operation of either costs."""
    figure, least, most = ours.ratio(base)
    return Row(
        target=target, figure=figure, least=least, most=most, about=about,
        rounds=len(ours.samples), ours=ours.side(), base=base.side(),
    )  # fmt: skip


def _all(other: Other | Sequence[Other]) -> Sequence[Other]:
    return (other,) if isinstance(other, Other) else other
