"""One of the places where a service answers."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from clients.transports.base import Wire


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place where a service answers.

    Attributes:
        name: how it is shown: its origin or its address; never a credential.
        weight: its share of the calls, against the weights of the others.
        origin: stands in for scheme, host and port of the service's URLs; None leaves them as they are.
        wire: connects to it; None is the service's own wire.
    """

    name: str
    weight: int = 1
    origin: str | None = None
    wire: Wire | None = field(default=None, compare=False, repr=False)

    def url(self, url: str, origin_length: int) -> str:
        """A URL of the service, whose origin has `origin_length` characters, at this endpoint."""
        return url if self.origin is None else self.origin + url[origin_length:]


def origin_of(url: str) -> str:
    """Scheme, host and port of an absolute URL, as it spells them."""
    parts = urlsplit(url)
    return url[: len(parts.scheme) + len("://") + len(parts.netloc)]
