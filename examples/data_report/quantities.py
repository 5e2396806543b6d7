"""The numbers of a column: their range, their spread and those that lie far out.

Quartiles and the histogram come from an evenly spaced sample of bounded size; range, mean and outliers see all values.
"""

from __future__ import annotations

import heapq
import math
import statistics
from dataclasses import dataclass

from .text import number, plural, shown, sparkline

__all__ = ["Located", "NumberFindings", "NumberSummary"]

SAMPLE_SIZE = 4_096
EXTREMES_KEPT = 10
HISTOGRAM_WIDTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A value and the line of the file it stands in."""

    value: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSummary:
    smallest: float
    largest: float
    mean: float
    median: float
    histogram: list[int]
    """The counts of a sample between `histogram_from` and `histogram_to`, which leave the outliers aside."""
    histogram_from: float
    histogram_to: float
    outliers: list[Located]
    """Further from the middle half of the values than three times its width; at most ten at either end."""

    def lines(self) -> list[str]:
        lines = [
            f"{number(self.smallest)} to {number(self.largest)}, mean {number(self.mean)}, median {number(self.median)}"
        ]
        if self.histogram:
            low, high = number(self.histogram_from), number(self.histogram_to)
            stretch = HISTOGRAM_WIDTH // len(self.histogram)
            lines.append(f"{low} {''.join(column * stretch for column in sparkline(self.histogram))} {high}")
        if self.outliers:
            far = ", ".join(f"{shown(outlier.value, 12)} (line {outlier.line:,})" for outlier in self.outliers[:2])
            lines.append(f"! {plural(len(self.outliers), 'outlier')}: {far}{'' if len(self.outliers) < 3 else ', …'}")
        return lines


class NumberFindings:
    """Takes numbers one by one."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._sample: list[float] = []
        self._stride = 1
        # Heaps of the farthest values at either end, the nearest of them on top, ready to be pushed out.
        self._high: list[tuple[float, int, str]] = []
        self._low: list[tuple[float, int, str]] = []

    def add(self, value: float, text: str, line: int) -> None:
        if self._count % self._stride == 0:
            self._sample.append(value)
            if len(self._sample) == SAMPLE_SIZE:
                del self._sample[1::2]
                self._stride *= 2
        self._count += 1
        # A running mean, as a sum of large values would overflow.
        self._mean += value / self._count - self._mean / self._count
        for heap, key in ((self._high, value), (self._low, -value)):
            push = heapq.heappush if len(heap) < EXTREMES_KEPT else heapq.heappushpop
            push(heap, (key, -line, text))

    def summary(self) -> NumberSummary:
        first, median, third = (
            statistics.quantiles(self._sample, method="inclusive") if len(self._sample) > 1 else self._sample * 3
        )
        reach = 3 * (third - first)
        lowest, highest = first - reach, third + reach
        far = [(key - third, -line, text) for key, line, text in self._high if reach and key > highest]
        far += [(first + key, -line, text) for key, line, text in self._low if reach and -key < lowest]
        usual = [value for value in self._sample if lowest <= value <= highest]
        return NumberSummary(
            smallest=-max(self._low)[0],
            largest=max(self._high)[0],
            mean=self._mean,
            median=median,
            histogram=_histogram(usual),
            histogram_from=min(usual, default=first),
            histogram_to=max(usual, default=third),
            outliers=[Located(value=text, line=line) for _, line, text in sorted(far, reverse=True)],
        )


def _histogram(values: list[float]) -> list[int]:
    low, high = min(values, default=0.0), max(values, default=0.0)
    # A rating from 1 to 5 gets five bins, rather than gaps between its values.
    bins = [0] * min(HISTOGRAM_WIDTH, len(set(values)))
    if len(bins) < 2 or math.isinf(high - low):
        return []
    for value in values:
        bins[min(len(bins) - 1, int(len(bins) * ((value - low) / (high - low))))] += 1
    return bins
