"""What the server says while it works: a JSON object a line, or readable text on a terminal.

Whatever tenants choose can be in a message, so nothing in one starts a line or commands a terminal.
"""

import json
import logging
import sys
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO

import msgspec

from weftwork.telemetry.redaction import without_secrets
from weftwork.telemetry.trail import Trail, current

Form = Literal["auto", "json", "text"]
FORMS: tuple[Form, ...] = ("auto", "json", "text")
Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
TEXT_MAX = 8192
"""Characters of a message, and of what is told of an exception."""
LAST_LINES = 2000
"""How many lines are remembered for whoever asks for them."""
FIELDS = "weft"
"""The name in `extra` of the fields that a line has besides its message."""
_MADE = "weft_json"
_encode = msgspec.json.Encoder(enc_hook=str).encode


def told(**fields: object) -> Mapping[str, Any]:
    """`extra` of a line: fields beside its message."""
    return {FIELDS: fields}


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Once for a record, however many want it."""
        made: str | None = getattr(record, _MADE, None)
        if made is None:
            made = self._format(record)
            setattr(record, _MADE, made)
        return made

    def _format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **_named(current()),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = _trace(self, record)
        text = _encode(line).decode()
        # What is not ASCII may command a terminal, too.
        return text if text.isascii() else json.dumps(line, ensure_ascii=True, default=str)


class TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        words = {**_fields(record), **_named(current())}
        tail = "".join(f" {name}={_shown(value)}" for name, value in words.items())
        line = f"{_time(record)} {record.levelname} {record.name}: {_printable(_message(record))}{tail}"
        if record.exc_info:
            line += "".join(f"\n    | {_printable(one)}" for one in _trace(self, record).splitlines())
        return line


class LastLines(logging.Handler):
    """The newest lines, as the others have them."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)


def start_logging(form: Form = "auto", level: Level = "info", stream: TextIO | None = None) -> LastLines:
    """Everything that this process logs from now on, on standard error. What it was told before is forgotten."""
    out = stream or sys.stderr
    _ask_only_what_is_told()
    shown = logging.StreamHandler(out)
    is_json = form == "json" or (form == "auto" and not out.isatty())
    shown.setFormatter(JsonLines() if is_json else TextLines())
    last = LastLines()
    logging.basicConfig(level=level.upper(), handlers=[shown, last], force=True)
    return last


def _ask_only_what_is_told() -> None:
    """No line names threads, processes or places in the source, and finding them costs as much as the line."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # as logging's documentation has it ("Optimization")


def last_lines() -> tuple[str, ...]:
    """What this process said lately; nothing where it has not begun."""
    return next((one.lines for one in logging.getLogger().handlers if isinstance(one, LastLines)), ())


def _named(trail: Trail) -> dict[str, object]:
    """The request, or all of them in what a round says, and the trace."""
    traced: dict[str, object] = {"trace_id": trail.trace_id, "span_id": trail.span_id} if trail.trace_id else {}
    if len(trail.requests) > 1:
        return {"requests": list(trail.requests), **traced}
    return {"request_id": trail.requests[0], **traced} if trail.requests else traced


def _message(record: logging.LogRecord) -> str:
    return _cut(without_secrets(record.getMessage()))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found: Mapping[str, object] = getattr(record, FIELDS, {})
    return {name: without_secrets(value) if isinstance(value, str) else value for name, value in found.items()}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    assert record.exc_info
    return _cut(without_secrets(formatter.formatException(record.exc_info)), at_end=True)


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03}Z"


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


def _cut(text: str, *, at_end: bool = False) -> str:
    if len(text) <= TEXT_MAX:
        return text
    return f"… {text[-TEXT_MAX:]}" if at_end else f"{text[:TEXT_MAX]} …"


def _shown(value: object) -> str:
    text = _printable(str(value))
    return text if text and not set(text) & set(' ="') else json.dumps(text)


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
