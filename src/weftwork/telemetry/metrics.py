"""Figures in Prometheus' form (https://prometheus.io/docs/instrumenting/exposition_formats/): those that grow while we
work, and those that are read when somebody asks.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
CALL_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
DRIVER_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OK = "OK"

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each, which nobody reads


@dataclass(frozen=True, slots=True)
class Figure:
    """One value that is read when somebody asks. `grows`: a counter, which starts anew with the process."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    grows: bool = False


class Metrics:
    """One per process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Histogram(
            "weft_call_duration_seconds",
            "Time from a call's arrival to its answer; watches are left out. `code` is OK or the reason.",
            ("method", "code"),
            buckets=CALL_BUCKETS_S,
            registry=self._registry,
        )
        self._calls_of: dict[tuple[str, str], Histogram] = {}
        """Looked up by us: the registry takes a lock for it, and every call is one."""
        self._drivers = Histogram(
            "weft_driver_operation_duration_seconds",
            "Time that a driver took to observe its target, to apply a plan, or until that was in force.",
            ("driver", "operation"),
            buckets=DRIVER_BUCKETS_S,
            registry=self._registry,
        )
        self._ovn = Histogram(
            "overlay_network_ovn_operations_duration_seconds",
            "OVN operation latency.",
            ("operation",),
            buckets=DRIVER_BUCKETS_S,
            registry=self._registry,
        )

    def call(self, method: str, code: str, seconds: float) -> None:
        series = self._calls_of.get((method, code))
        if series is None:
            series = self._calls_of[method, code] = self._calls.labels(method, code)
        series.observe(seconds)

    @contextmanager
    def operation(self, driver: str, operation: str) -> Iterator[None]:
        """Times what is done inside, whether or not it works."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self._drivers.labels(driver, operation).observe(seconds)
            if driver == "ovn":
                self._ovn.labels(operation).observe(seconds)

    def text(self, figures: Iterable[Figure] = ()) -> bytes:
        """Everything, as `CONTENT_TYPE`."""
        asked = CollectorRegistry()
        asked.register(_Read(tuple(figures)))
        return generate_latest(self._registry) + generate_latest(asked)


class _Read:
    def __init__(self, figures: tuple[Figure, ...]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for one in self._figures:
            family = families.get(one.name)
            if family is None:
                kind = CounterMetricFamily if one.grows else GaugeMetricFamily
                family = families[one.name] = kind(one.name, one.help, labels=tuple(one.labels))
            assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
            family.add_metric(tuple(one.labels.values()), one.value)
        yield from families.values()
