"""The caller's trace goes along with its calls: the span that OpenTelemetry knows of here, else $TRACEPARENT."""

import os
import sys

TRACEPARENT = "traceparent"


def traced() -> tuple[tuple[str, str], ...]:
    """As metadata. A process that has not loaded OpenTelemetry has no span of it."""
    parent = _of_span() if "opentelemetry.trace" in sys.modules else ""
    parent = parent or os.environ.get(TRACEPARENT.upper(), "")
    return ((TRACEPARENT, parent),) if parent.isascii() and parent.isprintable() and parent else ()


def _of_span() -> str:
    from opentelemetry import trace

    place = trace.get_current_span().get_span_context()
    if not place.is_valid:
        return ""
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-{int(place.trace_flags):02x}"
