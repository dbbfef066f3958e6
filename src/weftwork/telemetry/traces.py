"""Traces in OpenTelemetry's form, from a call to what a driver does for it. Off, they cost a call of nothing.

A span is begun where the present trail stands, and moves it on. A round of an agent carries several calls: its span
then begins a trace of its own, with a link to each of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from weftwork.telemetry.trail import Trail, along, begin, current

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, SpanContext, SpanKind

Attributes = Mapping[str, str | int | float | bool]
STOP_S = 2.0
"""What is not yet sent when the server stops has so long."""
QUEUE_MAX = 8192
"""Spans that wait to be sent; more are left out."""
SEND_EVERY_MS = 1000
NONE: Attributes = {}


class Open(Protocol):
    def end(self, code: str) -> None:
        """With the reason if it did not work; empty if it did."""
        ...


class Spans(Protocol):
    """Where work is told that takes time."""

    @property
    def is_on(self) -> bool: ...

    def begin(self, name: str) -> Open:
        """The span of a call, which its own task ends; the task's trail moves on to it."""
        ...

    def span(
        self, name: str, attributes: Attributes = NONE, links: Sequence[Trail] = ()
    ) -> AbstractContextManager[None]:
        """What is done inside, below the present trail's span, or linked; without either nothing is told.

        An exception ends it with its reason, and goes on.
        """
        ...


class _NoSpan:
    def end(self, code: str) -> None:
        return None


_NO_SPAN = _NoSpan()
_NOTHING: AbstractContextManager[None] = nullcontext()


class NoSpans:
    is_on = False

    def begin(self, name: str) -> Open:
        return _NO_SPAN

    def span(
        self, name: str, attributes: Attributes = NONE, links: Sequence[Trail] = ()
    ) -> AbstractContextManager[None]:
        return _NOTHING


class _Begun:
    def __init__(self, span: "Span") -> None:
        self._span = span

    def end(self, code: str) -> None:
        _end(self._span, code)


class OtlpSpans:
    is_on = True

    def __init__(self, provider: "TracerProvider") -> None:
        """Use `open_spans`."""
        from opentelemetry.trace import SpanKind

        self._provider = provider
        self._tracer = provider.get_tracer("weftwork")
        self._of_calls, self._inside = SpanKind.SERVER, SpanKind.INTERNAL

    def begin(self, name: str) -> Open:
        trail = current()
        span = self._start(name, self._of_calls, {"request.id": trail.request_id}, ())
        begin(_moved(trail, span))
        return _Begun(span)

    @contextmanager
    def span(self, name: str, attributes: Attributes = NONE, links: Sequence[Trail] = ()) -> Iterator[None]:
        if not current().trace_id and not any(one.trace_id for one in links):
            yield
            return
        span = self._start(name, self._inside, attributes, links)
        code = ""
        try:
            with along(_moved(current(), span)):
                yield
        except BaseException as error:
            code = getattr(error, "code", "") or type(error).__name__
            raise
        finally:
            _end(span, str(code))

    def close(self) -> None:
        """What waits is sent, if somebody takes it in time."""
        self._provider.force_flush(int(STOP_S * 1000))
        self._provider.shutdown()

    def _start(self, name: str, kind: "SpanKind", attributes: Attributes, links: Sequence[Trail]) -> "Span":
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, NonRecordingSpan, set_span_in_context

        trail = current()
        around = Context()
        if trail.trace_id:
            around = set_span_in_context(NonRecordingSpan(_place(trail)), around)
        linked = [Link(_place(one)) for one in links if one.trace_id]
        return self._tracer.start_span(name, around, kind, dict(attributes), linked)


def open_spans(endpoint: str, *, service: str = "weftwork", share: float = 1.0) -> OtlpSpans:
    """To a collector that speaks OTLP over gRPC, `http(s)://HOST:PORT`. `share` of the traces that begin here are
    told; whoever calls with a trace says it for theirs. What OTEL_* say besides is for the library to read.
    """
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))
    return spans_to(exporter, service=service, share=share)


def spans_to(exporter: "SpanExporter", *, service: str, share: float) -> OtlpSpans:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    resource = Resource.create({"service.name": service})
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(share)), resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, QUEUE_MAX, SEND_EVERY_MS))
    return OtlpSpans(provider)


def _place(trail: Trail) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    flags = TraceFlags(TraceFlags.SAMPLED if trail.is_sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trail.trace_id, 16), int(trail.span_id, 16), is_remote=True, trace_flags=flags)


def _moved(trail: Trail, span: "Span") -> Trail:
    place = span.get_span_context()
    return Trail(
        trail.requests, f"{place.trace_id:032x}", f"{place.span_id:016x}", is_sampled=place.trace_flags.sampled
    )


def _end(span: "Span", code: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    if code:
        span.set_attribute("error.type", code)
        span.set_status(Status(StatusCode.ERROR, code))
    span.end()
