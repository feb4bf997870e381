"""Prometheus metrics of the proxy."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gtcrn_frontend.adapters.servers.close_codes import CloseReason

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LATENCY_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The metrics of one proxy, in a registry of their own.

    The gauge `gtcrn_proxy_rtf` is the real-time factor since the start; for the last minutes use
    `rate(gtcrn_proxy_compute_seconds_total[5m]) / rate(gtcrn_proxy_audio_seconds_total[5m])`.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.connections = Gauge("gtcrn_proxy_connections", "Connected clients.", registry=self._registry)
        self.streams = Counter("gtcrn_proxy_streams", "Utterances started.", registry=self._registry)
        self.audio_seconds = Counter(
            "gtcrn_proxy_audio_seconds", "Audio received, in seconds.", registry=self._registry
        )
        self.compute_seconds = Counter(
            "gtcrn_proxy_compute_seconds", "Time spent on enhancing, in seconds.", registry=self._registry
        )
        self.latency_seconds = Histogram(
            "gtcrn_proxy_latency_seconds",
            "Time from receiving a message until the audio it completes was sent to the recogniser, in seconds; "
            "excludes the algorithmic latency.",
            buckets=_LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self.handshakes = Gauge(
            "gtcrn_proxy_handshakes",
            "Connections whose handshake is not complete, and those of HTTP without a request in progress.",
            registry=self._registry,
        )
        self.farewells = Gauge(
            "gtcrn_proxy_turned_away",
            "Connections that are being told that they are too many.",
            registry=self._registry,
        )
        self.dropped_handshakes = Counter(
            "gtcrn_proxy_handshakes_dropped",
            "Connections dropped before their handshake was complete, as there were too many.",
            registry=self._registry,
        )
        self.passed_streams = Counter(
            "gtcrn_proxy_streams_passed",
            "Utterances that passed on unfiltered after an internal error.",
            registry=self._registry,
        )
        self._errors = Counter(
            "gtcrn_proxy_errors", "Connections that ended abnormally.", ["kind"], registry=self._registry
        )
        for trouble in CloseReason:  # create all labels at the start: a rate needs a first value
            self._errors.labels(trouble.value)
        self._audio_s = self._compute_s = 0.0
        rtf = Gauge("gtcrn_proxy_rtf", "Time spent on enhancing per audio, since the start.", registry=self._registry)
        rtf.set_function(lambda: self._compute_s / self._audio_s if self._audio_s else 0.0)
        ProcessCollector(registry=self._registry)

    def count_audio(self, seconds: float) -> None:
        """Counts audio that was received."""
        self._audio_s += seconds
        self.audio_seconds.inc(seconds)

    def count_compute(self, seconds: float) -> None:
        """Counts time spent on enhancing."""
        self._compute_s += seconds
        self.compute_seconds.inc(seconds)

    def count_trouble(self, trouble: CloseReason) -> None:
        """Counts a connection that ended abnormally."""
        self._errors.labels(trouble.value).inc()

    def exposition(self) -> str:
        """Returns all values in Prometheus' text format."""
        return generate_latest(self._registry).decode()
