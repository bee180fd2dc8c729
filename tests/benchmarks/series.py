"""What the rounds of a bench leave behind: a `Sample` each, and a `Series` for each contender."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable

import msgspec

from tests.benchmarks.rows import Side


class Sample(msgspec.Struct, frozen=True):
    """One round of one contender: the figure (an operation's seconds, or operations a second), and processor seconds an
    operation in this process, in the others, and in the server."""

    figure: float
    here: float = 0.0
    there: float = 0.0
    server: float = 0.0


Contender = Callable[[], Awaitable[Sample]]


class Series(msgspec.Struct, frozen=True):
    """The samples of one contender, round by round."""

    samples: tuple[Sample, ...]

    @property
    def median(self) -> float:
        """The median figure."""
        return statistics.median(sample.figure for sample in self.samples)

    def ratio(self, base: Series) -> tuple[float, float, float]:
        """Median, least and most of this series over `base`, round by round."""
        found = [mine.figure / its.figure for mine, its in zip(self.samples, base.samples, strict=True)]
        return statistics.median(found), min(found), max(found)

    def inverted(self) -> Series:
        """Time an operation where the figures are operations a second."""
        return Series(tuple(msgspec.structs.replace(each, figure=1 / each.figure) for each in self.samples))

    def side(self) -> Side:
        """The medians, as a row keeps them."""
        return Side(
            **{
                name: statistics.median(getattr(each, name) for each in self.samples)
                for name in Sample.__struct_fields__
            }
        )

    def processor(self) -> str:
        """Processor microseconds an operation, for people: here, in the other processes, in the server."""
        return self.side().words()
