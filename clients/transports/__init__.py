"""The wire: one seam, one adapter a library."""

from clients.transports.base import (
    Wire,
    WireBroken,
    WireConnectError,
    WireError,
    WireResponse,
    WireTooLarge,
    WireUnauthorized,
)
from clients.transports.httpx_wire import HttpxWire
from clients.transports.options import WireOptions
from clients.transports.pyreqwest_wire import PyreqwestWire

__all__ = [
    "HttpxWire",
    "PyreqwestWire",
    "Wire",
    "WireBroken",
    "WireConnectError",
    "WireError",
    "WireOptions",
    "WireResponse",
    "WireTooLarge",
    "WireUnauthorized",
]
