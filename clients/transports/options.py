"""How a wire connects, whichever library it stands on."""

from dataclasses import dataclass
from pathlib import Path

USER_AGENT = "breakwater"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: `ca_files` are trusted besides the system's authorities; the others are as in `WireOptions`."""

    ca_files: tuple[Path, ...] = ()
    client_cert_file: Path | None = None
    client_key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class WireOptions:
    """TLS and pool. Certificates are always verified; there is no switch to turn that off.

    Files are PEM, and are read when the wire is built: OSError and ValueError come from there.

    Attributes:
        ca_files: trusted besides the system's authorities; each may hold several certificates.
        client_cert_file: shown to servers that ask for a certificate, with its chain; None shows none.
        client_key_file: its key, unencrypted; None when it is in `client_cert_file`.
        max_connections: requests under way at once; more wait for a free connection, in order.
        idle_s: seconds that an unused connection is kept.
        give_up_s: upper bound of one request in seconds. It is no caller's timeout and has to be larger than all of
            them: it ends what a cancelled caller left behind where the library cannot (see `PyreqwestWire`).
        connect_to: a host, and the IP address that connections to it go to; Host and TLS name stay the host's. None
            looks every host up.
    """

    ca_files: tuple[Path, ...] = ()
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    max_connections: int = 100
    idle_s: float = 4.0  # Node and uvicorn close after 5: using one just as it closes looks like a lost request
    give_up_s: float = 30.0
    connect_to: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.max_connections < 1:
            raise ValueError("max_connections must be at least 1")
        if self.idle_s <= 0 or self.give_up_s <= 0:
            raise ValueError("idle_s and give_up_s must be more than 0")
        if self.client_key_file is not None and self.client_cert_file is None:
            raise ValueError("client_key_file needs client_cert_file")


DEFAULTS = WireOptions()
NO_TLS_FILES = TlsFiles()
