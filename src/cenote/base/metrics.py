"""Counters, gauges and histograms, and how Prometheus reads them.

Owns: the three kinds, adding up those of several processes, and the text exposition format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/).
Does not own: what is counted, or serving it over HTTP.

Invariants:
1. A series costs one dictionary entry: label values come from closed sets (operations, statuses),
   never from clients.
2. Counting is one dictionary update, made on one thread; reading from another sees some recent
   state.

Why not prometheus_client: it takes a lock per count and 30 ms to import.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

__all__ = [
    "Counter",
    "Figure",
    "Gauge",
    "Histogram",
    "Registry",
    "exposition_of",
    "sum_figures",
]

Labels = tuple[str, ...]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _series(name: str, names: Labels, values: Labels) -> str:
    if not names:
        return name
    pairs = ",".join(f'{n}="{_escape(v)}"' for n, v in zip(names, values, strict=True))
    return f"{name}{{{pairs}}}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


class Figure(Struct, frozen=True, array_like=True):
    """What one metric stands at: a value any process can be told.

    `series` holds label values and numbers: one for counters and gauges; for histograms a count
    for each bound, one above them all, and the sum.
    """

    name: str
    help: str
    kind: str
    labels: Labels
    bounds: tuple[float, ...]
    series: list[tuple[Labels, list[float]]]

    def lines(self) -> Iterator[str]:
        """Yield the series in Prometheus's text format."""
        if self.kind != "histogram":
            for labels, numbers in self.series:
                yield f"{_series(self.name, self.labels, labels)} {_number(numbers[0])}"
            return
        names = (*self.labels, "le")
        for labels, counts in self.series:
            running = 0.0
            for bound, count in zip((*self.bounds, None), counts, strict=False):
                running += count
                le = "+Inf" if bound is None else _number(bound)
                yield f"{_series(self.name + '_bucket', names, (*labels, le))} {_number(running)}"
            yield f"{_series(self.name + '_sum', self.labels, labels)} {counts[-1]!r}"
            yield f"{_series(self.name + '_count', self.labels, labels)} {_number(running)}"


def exposition_of(figures: Iterable[Figure]) -> str:
    """Return figures in Prometheus's text format."""
    lines = []
    for figure in figures:
        lines.append(f"# HELP {figure.name} {figure.help}")
        lines.append(f"# TYPE {figure.name} {figure.kind}")
        lines.extend(figure.lines())
    return "\n".join(lines) + "\n"


def sum_figures(many: Iterable[Iterable[Figure]]) -> list[Figure]:
    """Add up the figures of several processes, series by series."""
    first: dict[str, Figure] = {}
    sums: dict[str, dict[Labels, list[float]]] = {}
    for figures in many:
        for figure in figures:
            first.setdefault(figure.name, figure)
            held = sums.setdefault(figure.name, {})
            for labels, numbers in figure.series:
                before = held.get(labels)
                if before is None:
                    held[labels] = list(numbers)
                else:
                    held[labels] = [a + b for a, b in zip(before, numbers, strict=True)]
    return [replace(figure, series=list(sums[name].items())) for name, figure in first.items()]


class Counter:
    """A sum that only grows, per combination of label values."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Labels = ()) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self.values: dict[Labels, float] = {} if labels else {(): 0}

    def add(self, amount: float = 1, labels: Labels = ()) -> None:
        values = self.values
        values[labels] = values.get(labels, 0) + amount

    def figure(self) -> Figure:
        """Return what it stands at."""
        series = [(labels, [value]) for labels, value in list(self.values.items())]
        return Figure(self.name, self.help, self.kind, self.labels, (), series)


class Gauge:
    """A value read when it is asked for: one number, or one per combination of label values."""

    kind = "gauge"

    def __init__(
        self,
        name: str,
        help: str,
        read: Callable[[], float | Mapping[Labels, float]],
        labels: Labels = (),
    ) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self._read = read

    def figure(self) -> Figure:
        """Return what it stands at."""
        read = self._read()
        values = read if isinstance(read, Mapping) else {(): read}
        series = [(labels, [value]) for labels, value in values.items()]
        return Figure(self.name, self.help, self.kind, self.labels, (), series)


class Histogram:
    """How often values fell below each bound, per combination of label values."""

    kind = "histogram"

    def __init__(self, name: str, help: str, bounds: Sequence[float], labels: Labels = ()) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self.bounds = tuple(sorted(bounds))
        self._counts: dict[Labels, list[float]] = {}

    def observe(self, value: float, labels: Labels = ()) -> None:
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0.0] * (len(self.bounds) + 2)
        counts[bisect_left(self.bounds, value)] += 1
        counts[-1] += value

    def figure(self) -> Figure:
        """Return what it stands at."""
        series = [(labels, list(counts)) for labels, counts in list(self._counts.items())]
        return Figure(self.name, self.help, self.kind, self.labels, self.bounds, series)


class Registry:
    """The metrics of one program, in the order they were made."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._metrics: list[Counter | Gauge | Histogram] = []

    def counter(self, name: str, help: str, labels: Labels = ()) -> Counter:
        metric = Counter(name, help, labels)
        self._metrics.append(metric)
        return metric

    def gauge(
        self,
        name: str,
        help: str,
        read: Callable[[], float | Mapping[Labels, float]],
        labels: Labels = (),
    ) -> Gauge:
        metric = Gauge(name, help, read, labels)
        self._metrics.append(metric)
        return metric

    def histogram(
        self, name: str, help: str, bounds: Sequence[float], labels: Labels = ()
    ) -> Histogram:
        metric = Histogram(name, help, bounds, labels)
        self._metrics.append(metric)
        return metric

    def figures(self) -> list[Figure]:
        """Return what every metric stands at."""
        return [metric.figure() for metric in self._metrics]

    def exposition(self) -> str:
        """Return every metric in Prometheus's text format."""
        return exposition_of(self.figures())
