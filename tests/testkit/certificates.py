"""Certificates of an authority of the tests' own."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Files: an authority, and what it signed."""

    authority: Path
    server: Path
    elsewhere: Path
    expired: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    """A certificate authority made for this run, with the openssl command."""

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
