"""Structured logs: readable lines on a terminal, JSON elsewhere; account numbers never, whatever brings them.

An event passes one function here on its way to the renderer: `Finish`. Lines are whole when they are written, in one
write, so that processes may share a stream.
"""

import asyncio
import atexit
import contextlib
import io
import logging
import os
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Self, TextIO

import msgspec
import structlog
from structlog.typing import Processor

# An IBAN (ISO 13616), a card number in groups of four, or nine and more digits in a row: also of phone numbers.
_ACCOUNT = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
    r"|(?<!\d)\d{4}(?:[ -]\d{4}){2,4}(?!\d)"
    r"|\d{9,}"
)
_CLEAN = frozenset(
    {
        "request_id",
        "correlation_id",
        "trace_id",
        "plan",
        "digest",
        "serving",
        "kind",
        "duration_ms",
        "fetches",
        "served_by",
        "instance",
        "origin",
    }
)
"""Fields with ids, figures and words of our own, or clean ids of the client's; they are not looked at."""
_SECRETS = frozenset(
    {
        "accesstoken",
        "apikey",
        "authorization",
        "clientsecret",
        "cookie",
        "credential",
        "credentials",
        "cvc",
        "cvv",
        "iban",
        "idtoken",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "pin",
        "privatekey",
        "proxyauthorization",
        "refreshtoken",
        "secret",
        "setcookie",
        "token",
        "xapikey",
    }
)
_MASKED = "***"
_LEVELS = {"warn": "warning", "exception": "error", "fatal": "critical"}
_PLAIN = frozenset({int, float, bool, type(None)})
_SHORT = 64  # texts that come again and again: names, codes, tenants
_MOST_CAUSES = 10
_SOON_S = 0.05


def configure(
    *,
    json: bool,
    level: str,
    stream: TextIO = sys.stderr,
    mask: Collection[str] = (),
    exception_messages: bool = False,
) -> None:
    """Set the process's logging up; called once, by the command that serves.

    Args:
        json: else for people.
        level: the least that is written.
        stream: where to.
        mask: names of fields whose values are not written, besides those that never are.
        exception_messages: write what exceptions say, not only what they are and where they come from.
    """
    renderer: Processor = _json if json else _console(colors=stream.isatty())
    flush()
    atexit.unregister(flush)
    atexit.register(flush)
    lines = _Lines(stream)
    finish = Finish(mask=mask, exception_messages=exception_messages, json=json)
    structlog.configure(
        processors=[finish, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lines,
        cache_logger_on_first_use=True,
    )


def flush() -> None:
    """Write what waits to be written; to be called before the event loop ends."""
    lines = structlog.get_config()["logger_factory"]
    if isinstance(lines, _Lines):
        lines.flush()


def adopt(level: str, *, exception_messages: bool = False) -> None:
    """Have what libraries log (uvicorn, asyncio) written as lines of ours, masked like them; after `configure`."""
    root = logging.getLogger()
    root.handlers = [_Adopted(exception_messages=exception_messages)]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))


class _Adopted(logging.Handler):
    """Hands records of the standard library's logging on.

    Only the first line of what they say: asyncio adds an exception's words on the others.
    """

    def __init__(self, *, exception_messages: bool) -> None:
        super().__init__()
        self._whole = exception_messages

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        with contextlib.suppress(Exception):  # it must not break what it tells of
            said = record.getMessage()
            text = said if self._whole else said.partition("\n")[0]
            told = {"exc_info": record.exc_info[1]} if record.exc_info else {}
            structlog.get_logger().log(record.levelno, text, logger=record.name, **told)


class Finish:
    """Makes an event fit to be written: time, level, exceptions as text, nothing that must not be read.

    Args:
        mask: see `configure`.
        exception_messages: likewise.
        json: the line will be JSON, which escapes control characters itself.
    """

    def __init__(self, *, mask: Collection[str] = (), exception_messages: bool = False, json: bool = True) -> None:
        self._masked_names = _SECRETS | {_plain(name) for name in mask}
        self._masks = lru_cache(1_000)(self._is_masked)
        self._messages = exception_messages
        self._kept = "\n\t" if json else ""
        self._short = lru_cache(2_000)(self._shown)
        self._second, self._text = 0, ""

    def __call__(self, _logger: Any, method: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """See structlog's processors."""
        line: dict[str, Any] = {"timestamp": self._now(), "level": _LEVELS.get(method, method), "event": None}
        for name, value in event.items():
            if name in _CLEAN:
                line[name] = value
            elif name == "exc_info":
                self._tell(value, line)
            elif self._masks(name):
                line[name] = _MASKED
            elif type(value) in _PLAIN:
                line[name] = value
            else:
                line[name] = self._value(value)
        return line

    def _value(self, value: Any) -> Any:
        """A field's value, or what stands below it; keys are somebody's words, too."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, str):
            return self._short(value) if len(value) <= _SHORT else self._shown(value)
        if isinstance(value, dict):
            return {
                self._value(str(key)): _MASKED if self._masks(str(key)[:_SHORT]) else self._value(item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._value(item) for item in value]
        return self._shown(str(value))

    def _now(self) -> str:
        """RFC 3339, in UTC, to the microsecond; all but the fraction is made once a second."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._text}{int((now - second) * 1_000_000):06}Z"

    def _shown(self, text: str) -> str:
        """No more of an account number than its last four characters, and nothing that moves a terminal's cursor."""
        text = without_accounts(str(text))
        return text if text.isprintable() else "".join(self._escaped(text))

    def _escaped(self, text: str) -> Iterator[str]:
        for character in text:
            if character.isprintable() or character in self._kept:
                yield character
            else:
                yield character.encode("unicode_escape").decode()

    def _is_masked(self, name: str) -> bool:
        return _plain(name) in self._masked_names

    def _tell(self, found: Any, line: dict[str, Any]) -> None:
        error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
        if isinstance(error, BaseException):
            told = traceback.format_exception(error) if self._messages else _places(error)
            text = [part for entry in told for part in entry.rstrip("\n").split("\n")]
            # indented, so that no exception can write what looks like a line of ours
            line["exception"] = "\n".join(
                self._shown(part) if not i else "  " + self._shown(part) for i, part in enumerate(text)
            )


def without_accounts(text: str) -> str:
    """The text with no more of an account number than its last four characters."""
    return _ACCOUNT.sub(lambda match: "…" + match[0][-4:], text)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _places(error: BaseException, causes: int = _MOST_CAUSES) -> Iterator[str]:
    """What an exception is and where it comes from, its causes first, without a word of what it says."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and causes:
        yield from _places(cause, causes - 1)
        yield "which led to"
    if isinstance(error, BaseExceptionGroup) and causes:
        for each in error.exceptions:
            yield from _places(each, causes - 1)
            yield "which is part of"
    for frame in traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False):
        yield f'File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    kind = type(error)
    yield kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


_encoder = msgspec.json.Encoder()


def _json(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> bytes:
    return _encoder.encode(line)


def _console(*, colors: bool) -> Processor:
    render = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)

    def briefly(logger: Any, method: str, line: MutableMapping[str, Any]) -> str:
        if line.get("correlation_id") == line.get("request_id"):
            line.pop("correlation_id", None)
        return render(logger, method, line)

    return briefly


class _Lines:
    """Writes lines. What cannot be written is lost: a full disk is no reason not to answer.

    Letting go of the interpreter's lock for a write costs more than making a line. So while an event loop runs, lines
    of no urgency wait a moment for others: for the next warning, a full block, or `_SOON_S`. Whole lines are written,
    not more at once than a pipe takes in one piece, so that processes may share it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()
        try:
            self._file: int | None = stream.fileno()
        except (OSError, AttributeError, io.UnsupportedOperation):  # kept in memory
            self._file = None

    def __call__(self, *_: Any) -> Self:
        """Itself: all loggers write to one."""
        return self

    def info(self, line: str | bytes) -> None:
        """Write one line soon."""
        data = self._data(line)
        with self._lock:
            if self._size + len(data) > select.PIPE_BUF:
                self._write()
            first = not self._waiting
            self._waiting.append(data)
            self._size += len(data)
            if self._file is not None and (not first or self._is_timed()):
                return
            self._write()

    def msg(self, line: str | bytes) -> None:
        """Write one line now, after those that wait."""
        data = self._data(line)
        with self._lock:
            if self._size + len(data) > select.PIPE_BUF:
                self._write()
            self._waiting.append(data)
            self._write()

    debug = info
    log = warn = warning = error = critical = fatal = exception = msg

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            self._write()

    def _is_timed(self) -> bool:
        """Have what waits written soon; False where there is no loop to do it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        loop.call_later(_SOON_S, self.flush)
        return True

    def _write(self) -> None:
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        with contextlib.suppress(OSError, ValueError):
            if self._file is None:
                self._stream.write(data.decode())
            while self._file is not None and data:  # once, but for signals and pipes that are full
                data = data[os.write(self._file, data) :]

    @staticmethod
    def _data(line: str | bytes) -> bytes:
        return (line.encode() if isinstance(line, str) else line) + b"\n"
