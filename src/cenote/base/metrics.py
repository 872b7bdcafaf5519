"""Counters, gauges and histograms, and how Prometheus reads them.

Owns: the three kinds, and the text exposition format 0.0.4
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
from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Counter", "Gauge", "Histogram", "Registry"]

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

    def lines(self) -> Iterator[str]:
        for labels, value in list(self.values.items()):
            yield f"{_series(self.name, self.labels, labels)} {_number(value)}"


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

    def lines(self) -> Iterator[str]:
        read = self._read()
        values = read if isinstance(read, Mapping) else {(): read}
        for labels, value in values.items():
            yield f"{_series(self.name, self.labels, labels)} {_number(value)}"


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

    def lines(self) -> Iterator[str]:
        names = (*self.labels, "le")
        for labels, counts in list(self._counts.items()):
            running = 0.0
            for bound, count in zip((*self.bounds, None), counts, strict=False):
                running += count
                le = "+Inf" if bound is None else _number(bound)
                yield f"{_series(self.name + '_bucket', names, (*labels, le))} {_number(running)}"
            yield f"{_series(self.name + '_sum', self.labels, labels)} {counts[-1]!r}"
            yield f"{_series(self.name + '_count', self.labels, labels)} {_number(running)}"


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

    def exposition(self) -> str:
        """Return every metric in Prometheus's text format."""
        lines = []
        for metric in self._metrics:
            lines.append(f"# HELP {metric.name} {metric.help}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines.extend(metric.lines())
        return "\n".join(lines) + "\n"
