"""Which headers cross the gateway, under which names: the client's to an upstream, an upstream's to the client."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

OF_ONE_CONNECTION = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Hop by hop: they say something of a connection, and end with it (RFC 9110 §7.6.1)."""

OF_ONE_MESSAGE = frozenset(
    {"accept-encoding", "content-encoding", "content-length", "content-type", "expect", "host", "content-digest"}
)
"""They say how one message is written, and the gateway writes its own."""

# A joined Set-Cookie comes apart where a name and `=` follow the comma; the comma of a date is followed by neither.
_BETWEEN_COOKIES = re.compile(r",[ \t]*(?=[!#$%&'*+\-.^_`|~0-9A-Za-z]+=)")
_UNFIT = re.compile(r"[^\t -~\x80-\xff]")  # for a header's value (RFC 9110 §5.5)
_MAX_BYTES = 16_000  # of one answer; servers and proxies refuse not much more
_COOKIES = "set-cookie"


@dataclass(frozen=True, slots=True)
class Renamed:
    """A header of the client that goes upstream under another name, or that has a default.

    Attributes:
        source: its lower-case name in the request.
        name: its lower-case name upstream.
        default: sent when the client sends none.
    """

    source: str
    name: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Relayed:
    """A header of an upstream's answer that goes to the client.

    Attributes:
        source: its lower-case name in the upstream's answer.
        name: its lower-case name in the gateway's.
        several: which value counts when several answers have one: the first to come, the last, or all of them.
    """

    source: str
    name: str
    several: Literal["first", "last", "append"] = "last"


def end_to_end(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers without those that `Connection` names, which are for the next hop alone; names in lower case."""
    connection = headers.get("connection")
    if connection is None or connection.lower() in {"keep-alive", "close"}:
        return headers
    nominated = _nominated(connection)
    return {name: value for name, value in headers.items() if name not in nominated}


def _nominated(connection: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in connection.split(","))


class Heard:
    """What the client is told of the headers of upstreams' answers; belongs to one request."""

    __slots__ = ("_found", "_size")

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}
        self._size = 0

    def take(self, rules: Sequence[Relayed], headers: Mapping[str, str]) -> None:
        """Take what the rules name from an upstream's answer."""
        nominated = _nominated(headers.get("connection", ""))
        for rule in rules:
            value = headers.get(rule.source)
            if value is None or rule.source in nominated or _UNFIT.search(value):
                continue
            self._size += len(rule.name) + len(value)
            if self._size > _MAX_BYTES:
                return
            self._put(rule, value)

    def _put(self, rule: Relayed, value: str) -> None:
        if rule.name == _COOKIES:
            self._found.setdefault(_COOKIES, []).extend(_BETWEEN_COOKIES.split(value))
        elif rule.name not in self._found or rule.several == "last":
            self._found[rule.name] = [value]
        elif rule.several == "append":
            self._found[rule.name].append(value)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Name and value of each line; several values of one header are one line, but for cookies."""
        for name, values in self._found.items():
            if name == _COOKIES:
                yield from ((name, value) for value in values)
            else:
                yield name, ", ".join(values)
