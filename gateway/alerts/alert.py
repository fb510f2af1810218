"""One alert, and how it travels."""

import enum
from datetime import datetime

import msgspec


class AlertType(enum.StrEnum):
    """What happened. Each kind of trouble has a type for its beginning and one for its end."""

    CIRCUIT_OPENED = "circuit.opened"
    CIRCUIT_CLOSED = "circuit.closed"
    STALE_HIGH = "stale.high"
    STALE_NORMAL = "stale.normal"

    @property
    def is_end(self) -> bool:
        """Whether it says that a trouble is over."""
        return self in {AlertType.CIRCUIT_CLOSED, AlertType.STALE_NORMAL}


class AlertData(msgspec.Struct, frozen=True, omit_defaults=True):
    """What it is about.

    Attributes:
        service: the upstream.
        reason: a sentence part, as `upstreams` shows it.
        instance: who says so.
        protocol: of the circuit, `graphql` or `rest`.
        operation: of the circuit, where each operation has one.
        stale_ratio: share of the last five minutes' calls that were answered, in part at least, from before.
    """

    service: str
    reason: str
    instance: str
    protocol: str | None = None
    operation: str | None = None
    stale_ratio: float | None = None


class Alert(msgspec.Struct, frozen=True):
    """The payload of a webhook, as Standard Webhooks has it: type, timestamp, data.

    Attributes:
        id: unique; the same in every attempt to deliver it, so that a receiver can tell repetitions.
    """

    id: str
    type: AlertType
    timestamp: datetime
    data: AlertData
