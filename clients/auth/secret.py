"""Values that are never shown: given once, or kept in a file that may be rotated while the process runs."""

from collections.abc import Callable
from pathlib import Path

from clients.clock import Clock

_RECHECK_S = 1.0  # a stat each second costs nothing; a rotation need not be seen sooner, and a 401 looks at once
_MAX_BYTES = 65_536

Reason = Callable[[str], str | None]
"""Why a value cannot be used where it is meant to go; None when it can. Never quotes the value."""

Tell = Callable[[str], None]
"""Gets what is wrong for operators to know; called seldom, and never with a secret."""


class BadSecret(ValueError):
    """A secret cannot be read, or cannot be used where it is meant to go; the message does not quote it."""


class Secret:
    """A value that shows neither in `repr` nor in `str`, and that neither `copy` nor `pickle` takes along."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value as it is now; keep it no longer than it takes to send it."""
        return self._value

    def reread(self) -> None:
        """Look now whether it was rotated, as after a 401."""

    @property
    def trouble(self) -> str:
        """What is wrong with it, for everybody to read; empty for nothing."""
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not copied or pickled")


class FileSecret(Secret):
    """The text of a file, without the line break at its end; read again when the file is another one or has changed.

    Looked at once a second at most. A new text that cannot be read or used is told once, and the last good one stays.

    Args:
        path: UTF-8 text, 64 KiB at most.
        reason: why a text cannot be used.
        clock: all time comes from it.
        tell: gets what is wrong with a newer one, without the value.

    Raises:
        BadSecret: it cannot be read or used at the start.
    """

    __slots__ = ("_clock", "_look_at", "_path", "_reason", "_seen", "_tell", "_trouble")

    def __init__(self, path: Path, reason: Reason, clock: Clock, tell: Tell) -> None:
        self._path = path
        self._reason = reason
        self._clock = clock
        self._tell = tell
        self._trouble = ""
        self._seen = _signature(path)
        super().__init__(read_secret(path, reason))
        self._look_at = clock.now() + _RECHECK_S

    def reveal(self) -> str:
        """The text as it is now, or the last good one."""
        if self._clock.now() >= self._look_at:
            self.reread()
        return self._value

    @property
    def trouble(self) -> str:
        """Whether there is a newer text that cannot be used; `tell` got the file's name and the reason."""
        return "a newer secret cannot be used; the log says why" if self._trouble else ""

    def reread(self) -> None:
        """Look now."""
        self._look_at = self._clock.now() + _RECHECK_S
        try:
            seen = _signature(self._path)
            if seen == self._seen:
                self._trouble = ""
                return
            self._value = read_secret(self._path, self._reason)
        except BadSecret as error:
            if str(error) != self._trouble:
                self._tell(f"{error}; the last good one stays in use")
            self._trouble = str(error)
        else:
            self._seen = seen
            self._trouble = ""


def read_secret(path: Path, reason: Reason) -> str:
    """The text of a secret's file.

    Raises:
        BadSecret: it cannot be read or used.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise BadSecret(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSecret(f"{path}: is not UTF-8 text") from None  # the error quotes the bytes
    if len(data) > _MAX_BYTES:
        raise BadSecret(f"{path}: is larger than {_MAX_BYTES} bytes; is it the right file?")
    text = text.removesuffix("\n").removesuffix("\r")  # editors and `echo` end a file with one
    if wrong := reason(text):
        raise BadSecret(f"{path}: {wrong}")
    return text


def _signature(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()  # of what a link leads to: Kubernetes rotates by turning a link
    except OSError as error:
        raise BadSecret(f"{path}: cannot be read: {error.strerror}") from None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def not_for_header(value: str) -> str | None:
    """Why a value cannot be a header's or a part of one: RFC 9110 §5.5, without what only old servers take."""
    if not value:
        return "is empty"
    if any(not " " <= c <= "~" for c in value):
        return "a header cannot carry its line break, control character or letter outside ASCII; remove it"
    if value != value.strip(" "):
        return "begins or ends with a space, which a header cannot carry; remove it"
    return None


def not_a_token(value: str) -> str | None:
    """Why a value cannot be a bearer token: RFC 6750 §2.1 has no spaces in it."""
    return not_for_header(value) or ("holds a space; give the token alone, without `Bearer`" if " " in value else None)


def not_text(value: str) -> str | None:
    """Why a value cannot be a password, a key or the like: nothing, or control characters (RFC 7617 §2)."""
    if not value:
        return "is empty"
    if any(c < " " or c == "\x7f" for c in value):
        return "holds a line break or another control character; remove it"
    return None


def not_a_signing_key(value: str) -> str | None:
    """Why a value cannot sign: also too short to withstand guessing (NIST SP 800-107 §5.3.4 asks for 14 bytes)."""
    return not_text(value) or ("is shorter than 16 bytes; make a longer one" if len(value.encode()) < 16 else None)
