import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients.transports import HttpxWire, PyreqwestWire, Wire, WireOptions

MakeWire = Callable[..., Wire]


@pytest.fixture(params=[PyreqwestWire, HttpxWire])
async def make_wire(request: pytest.FixtureRequest) -> AsyncIterator[MakeWire]:
    """Builds wires of one kind and closes them; the suite runs once for each kind."""
    made: list[Wire] = []

    def make(**options: object) -> Wire:
        made.append(request.param(WireOptions(**options)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for wire in made:
        await wire.aclose()


@dataclass(frozen=True)
class Certificates:
    """Files: an authority, and what it signed."""

    authority: Path
    server: Path
    elsewhere: Path
    expired: Path
    client: Path
    client_key: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate authority made for this run, with the openssl command."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    def signed(name: str, alternative: str, days: int) -> Path:
        """The certificate and its key in one file."""
        (folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\nbasicConstraints=CA:FALSE\n")
        new_key(f"{name}.key")
        openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", str(days), "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        )
        both = folder / f"{name}.pem"
        both.write_bytes((folder / f"{name}.crt").read_bytes() + (folder / f"{name}.key").read_bytes())
        return both

    def new_key(name: str) -> None:
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name)

    new_key("ca.key")
    openssl(
        *("req", "-x509", "-new", "-key", "ca.key", "-days", "2", "-subj", "/CN=Test authority", "-out", "ca.pem"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"),
    )
    return Certificates(
        authority=folder / "ca.pem",
        server=signed("server", "IP:127.0.0.1", 2),
        elsewhere=signed("elsewhere", "DNS:elsewhere.test", 2),
        expired=signed("expired", "IP:127.0.0.1", -1),
        client=signed("client", "DNS:client.test", 2).with_suffix(".crt"),
        client_key=folder / "client.key",
    )
