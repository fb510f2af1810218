"""Wires to what is configured: upstreams, issuers of tokens, collectors of traces."""

from clients.transports.options import TlsFiles, WireOptions
from clients.transports.pyreqwest_wire import PyreqwestWire

# The wire ends by itself what a cancelled caller left behind; it must not be sooner than the caller's own timer.
_GIVE_UP_MARGIN_S = 0.25


def wire_to(
    files: TlsFiles, *, timeout_s: float, max_connections: int = 1, connect_to: tuple[str, str] | None = None
) -> PyreqwestWire:
    """A wire whose requests are given `timeout_s` by whoever sends them.

    Raises:
        OSError: a certificate cannot be read.
        ValueError: a certificate cannot be used.
    """
    return PyreqwestWire(
        WireOptions(
            ca_files=files.ca_files,
            client_cert_file=files.client_cert_file,
            client_key_file=files.client_key_file,
            max_connections=max_connections,
            give_up_s=timeout_s + _GIVE_UP_MARGIN_S,
            connect_to=connect_to,
        )
    )
