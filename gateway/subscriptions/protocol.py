"""graphql-transport-ws as a state machine without I/O: text in, what is to be done out, and the texts to send.

GraphQL over WebSocket Protocol, https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from gateway.http.errors import LimitExceeded, MalformedRequest
from gateway.http.params import GraphQLParams, ParamLimits, from_body

SUBPROTOCOL = "graphql-transport-ws"
_LONGEST_REASON = 123  # bytes: a control frame's 125 less the code (RFC 6455 §5.5)


class CloseCode(enum.IntEnum):
    """Why a WebSocket is closed: RFC 6455 §7.4.1, and those of the protocol."""

    NORMAL = 1000
    GOING_AWAY = 1001
    TOO_LARGE = 1009
    INTERNAL_ERROR = 4500
    INVALID_MESSAGE = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    INIT_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY_INITS = 4429


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket; `reason` is cut to what a frame can carry."""

    code: CloseCode
    reason: str

    def __post_init__(self) -> None:
        cut = self.reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        object.__setattr__(self, "reason", cut)


@dataclass(frozen=True, slots=True)
class Initialise:
    """Find out who the client is; then `acknowledge`, or close."""

    payload: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin an operation."""

    id: str
    params: GraphQLParams


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer an operation with `error`: it is too large to look at."""

    id: str
    error: LimitExceeded


@dataclass(frozen=True, slots=True)
class End:
    """End an operation; nothing more is sent of it."""

    id: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Send a text."""

    text: str


Effect: TypeAlias = Close | Initialise | Begin | Refuse | End | Reply
"""What is to be done about a message of the client."""


class _Init(msgspec.Struct, tag="connection_init"):
    payload: dict[str, Any] | None = None


class _Ping(msgspec.Struct, tag="ping"):
    payload: dict[str, Any] | None = None


class _Pong(msgspec.Struct, tag="pong"):
    payload: dict[str, Any] | None = None


class _Subscribe(msgspec.Struct, tag="subscribe"):
    id: str
    payload: msgspec.Raw


class _Complete(msgspec.Struct, tag="complete"):
    id: str


class _Phase(enum.Enum):
    NEW = enum.auto()
    INITIALISING = enum.auto()
    READY = enum.auto()


_decoder = msgspec.json.Decoder(_Init | _Ping | _Pong | _Subscribe | _Complete)
_encoder = msgspec.json.Encoder()


class Protocol:
    """The server's side of one connection.

    Args:
        limits: of `variables` and `extensions`.
    """

    def __init__(self, limits: ParamLimits | None = None) -> None:
        self._limits = limits or ParamLimits()
        self._phase = _Phase.NEW
        self._active: set[str] = set()

    def received(self, text: str) -> Effect | None:
        """Take a message of the client; None when there is nothing to do about it."""
        try:
            message = _decoder.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
            return Close(CloseCode.INVALID_MESSAGE, f"Invalid message: {error}")
        if isinstance(message, _Subscribe):
            return self._subscribe(message)
        if isinstance(message, _Init):
            return self._init(message)
        if isinstance(message, _Complete):
            return End(message.id) if self.finish(message.id) else None
        return _PONG if isinstance(message, _Ping) else None

    def acknowledge(self) -> str:
        """The client is known: the message that lets it ask."""
        self._phase = _Phase.READY
        return '{"type":"connection_ack"}'

    def finish(self, id_: str) -> bool:
        """An operation is over, and its id free; False when it was before."""
        if id_ not in self._active:
            return False
        self._active.discard(id_)
        return True

    def _init(self, message: _Init) -> Effect:
        if self._phase is not _Phase.NEW:
            return Close(CloseCode.TOO_MANY_INITS, "Too many initialisation requests")
        self._phase = _Phase.INITIALISING
        return Initialise(message.payload or {})

    def _subscribe(self, message: _Subscribe) -> Effect:
        if self._phase is not _Phase.READY:
            return Close(CloseCode.UNAUTHORIZED, "Unauthorized")
        if not message.id:
            return Close(CloseCode.INVALID_MESSAGE, "Invalid message: the id is empty")
        if message.id in self._active:
            return Close(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {message.id} already exists")
        try:
            params = from_body(bytes(message.payload), self._limits)
        except MalformedRequest as error:
            return Close(CloseCode.INVALID_MESSAGE, f"Invalid message: {error}")
        except LimitExceeded as error:
            return Refuse(message.id, error)
        self._active.add(message.id)
        return Begin(message.id, params)


_PONG = Reply('{"type":"pong"}')


def next_message(id_: str, answer: bytes) -> str:
    """An answer of an operation; `answer` is JSON."""
    return _with_payload(id_, "next", answer)


def error_message(id_: str, errors: Sequence[Mapping[str, Any]]) -> str:
    """Why an operation has no answer; its last message."""
    return _with_payload(id_, "error", _encoder.encode(errors))


def complete_message(id_: str) -> str:
    """There will be no more answers; an operation's last message."""
    return f'{{"id":{_encoder.encode(id_).decode()},"type":"complete"}}'


def _with_payload(id_: str, kind: str, payload: bytes) -> str:
    return f'{{"id":{_encoder.encode(id_).decode()},"type":"{kind}","payload":{payload.decode()}}}'
