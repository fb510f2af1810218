"""`tls:` of a service: whom it is trusted by, and what it is shown."""

import ssl
from pathlib import Path as FilePath

import msgspec

from clients.transports.options import TlsFiles
from gateway.yaml_source import Finding, Path


class TlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a service is trusted, and what it is shown; PEM files, relative to this file, read at start."""

    ca_files: tuple[str, ...] = ()
    """Certificate authorities that are trusted besides the system's. Default: none. Verifying cannot be turned off."""
    client_cert_file: str | None = None
    """Certificate, with its chain, for services that ask for one. Default: none is shown."""
    client_key_file: str | None = None
    """Its key, unencrypted. Default: it is in `client_cert_file`."""


def tls_findings(path: Path, tls: TlsConfig, folder: FilePath, addresses: list[str]) -> list[Finding]:
    """What is wrong with the `tls:` of the service at `path`, its files looked at.

    Args:
        path: of the service.
        tls: its `tls:`.
        folder: what file names are relative to.
        addresses: where the service is; empty when that is not known yet.
    """
    here = (*path, "tls")
    found = []
    if addresses and not any(address.startswith("https:") for address in addresses):
        found.append(Finding(here, "none of the service's addresses is https; remove it, or change an address"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for index, name in enumerate(tls.ca_files):
        try:
            context.load_verify_locations(folder / name)
        except OSError as error:  # ssl.SSLError is one
            found.append(Finding((*here, "ca_files", index), _words(folder / name, error, "certificate")))
    if tls.client_key_file is not None and tls.client_cert_file is None:
        found.append(Finding((*here, "client_key_file"), "needs client_cert_file"))
    elif tls.client_cert_file is not None:
        key = None if tls.client_key_file is None else folder / tls.client_key_file
        found += _wrong_pair(here, folder / tls.client_cert_file, key)
    return found


def located_tls(tls: TlsConfig | None, folder: FilePath) -> TlsConfig | None:
    """With the names of its files made absolute."""
    if tls is None:
        return None
    cert, key = tls.client_cert_file, tls.client_key_file
    return TlsConfig(
        ca_files=tuple(str(folder / name) for name in tls.ca_files),
        client_cert_file=None if cert is None else str(folder / cert),
        client_key_file=None if key is None else str(folder / key),
    )


def tls_files(tls: TlsConfig | None) -> TlsFiles:
    """As the wires take them."""
    if tls is None:
        return TlsFiles()
    cert, key = tls.client_cert_file, tls.client_key_file
    return TlsFiles(
        ca_files=tuple(FilePath(name) for name in tls.ca_files),
        client_cert_file=None if cert is None else FilePath(cert),
        client_key_file=None if key is None else FilePath(key),
    )


def _wrong_pair(path: Path, cert: FilePath, key: FilePath | None) -> list[Finding]:
    for name, file in (("client_cert_file", cert), ("client_key_file", key)):
        try:
            if file is not None:
                file.read_bytes()
        except OSError as error:
            return [Finding((*path, name), f"{file}: cannot be read: {error.strerror}")]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(cert, key, password=lambda: b"")  # without it, OpenSSL asks the terminal
    except (ssl.SSLError, ValueError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else None
        known = {"KEY_VALUES_MISMATCH": "the key is another certificate's"}
        words = known.get(str(reason), "expected a PEM certificate and its unencrypted key")
        return [Finding((*path, "client_cert_file"), f"{cert}: {words}")]
    return []


def _words(file: FilePath, error: OSError, what: str) -> str:
    if isinstance(error, ssl.SSLError):
        return f"{file}: holds no PEM {what}"
    return f"{file}: cannot be read: {error.strerror}"
