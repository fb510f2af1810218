"""gateway.yaml and the environment become one frozen, validated Config; everything wrong is said at once."""

import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from clients.policy import PROFILES, RETRY_PRESETS
from gateway.alerts.config import located_alerts, may_be_webhook_secret
from gateway.auth import located_auth
from gateway.auth import may_be_secret as may_be_secret_of_auth
from gateway.config.contradictions import contradictions
from gateway.config.model import Config, SubgraphConfig
from gateway.identity.settings import located_identity, located_ops, may_be_admin_token
from gateway.persisting import located_persisting
from gateway.tls import located_tls
from gateway.validation import check
from gateway.yaml_source import Finding, Path, read


class ConfigError(Exception):
    """The configuration cannot be used. `findings` has everything that is wrong, each with its path and line."""

    def __init__(self, source: str, findings: list[Finding]) -> None:
        self.findings = findings
        count = f"{len(findings)} error{'s' if len(findings) > 1 else ''}"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  {finding}" for finding in findings))


def load(path: FilePath, environment: Mapping[str, str] = os.environ) -> Config:
    """Read, expand and validate a file.

    Raises:
        ConfigError: with everything that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [Finding((), f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [Finding((), "is not UTF-8 text")]) from error
    folder = path.resolve().parent
    return _located(parse(text, environment, source=str(path), folder=folder), folder)


def parse(
    text: str, environment: Mapping[str, str], *, source: str = "gateway.yaml", folder: FilePath | None = None
) -> Config:
    """Expand and validate the text of a gateway.yaml; the secrets and certificates that it names are looked at.

    `folder` is what file names are relative to; default: the working directory.

    Raises:
        ConfigError: with everything that is wrong.
    """
    document = read(text, environment)
    findings = document.findings
    data = document.data
    if not isinstance(data, dict):
        findings = findings or [Finding((), f"expected a mapping, found {type(data).__name__}")]
        data = {}
    unset = {finding.path for finding in findings}
    data = _with_profiles(data, findings)

    def secret(path: Path) -> bool:
        return path in document.expanded or may_be_secret(path)

    findings += [finding for finding in check(data, Config, secret=secret) if finding.path not in unset]
    if not findings:
        findings += contradictions(msgspec.convert(data, Config), folder or FilePath())
    if findings:
        placed = [Finding(f.path, f.message, f.line or document.line(f.path)) for f in findings]
        raise ConfigError(source, sorted(placed, key=lambda f: f.line or 0))
    return msgspec.convert(data, Config)


def may_be_secret(path: Path) -> bool:
    """Whether what stands at the path of a gateway.yaml is never shown."""
    ours = "headers" in path or path[:1] == ("redis",)
    return ours or may_be_secret_of_auth(path) or may_be_admin_token(path) or may_be_webhook_secret(path)


def is_url(text: str) -> bool:
    """Whether a supergraph is at an address, not in a file."""
    return text.startswith(("http://", "https://"))


def _located(config: Config, folder: FilePath) -> Config:
    """The configuration with its file names made absolute; they are relative to the file they stand in."""
    federation = config.federation
    if federation is not None:
        graph, kept = federation.supergraph, federation.last_good
        federation = msgspec.structs.replace(
            federation,
            supergraph=graph if graph is None or is_url(graph) else str(folder / graph),
            last_good=None if kept is None else str(folder / kept),
        )
    services = {
        name: service
        if service.subgraph is None or service.subgraph.sdl is None
        else msgspec.structs.replace(service, subgraph=SubgraphConfig(str(folder / service.subgraph.sdl)))
        for name, service in config.services.items()
    }
    for name, service in services.items():
        if service.auth is not None or service.tls is not None:
            auth = None if service.auth is None else located_auth(service.auth, folder)
            services[name] = msgspec.structs.replace(service, auth=auth, tls=located_tls(service.tls, folder))
    return msgspec.structs.replace(
        config,
        federation=federation,
        services=services,
        identity=located_identity(config.identity, folder),
        ops=located_ops(config.ops, folder),
        alerts=located_alerts(config.alerts, folder),
        persisted_queries=located_persisting(config.persisted_queries, folder),
    )


def _with_profiles(data: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """The data with each service's profile filled in under its own keys."""
    profiles: dict[str, dict[str, Any]] = {name: msgspec.to_builtins(p) for name, p in PROFILES.items()}
    own = data.get("profiles")
    merged_profiles = {}
    for name, entry in own.items() if isinstance(own, dict) else ():
        if not isinstance(entry, dict):
            merged_profiles[name] = entry
            continue
        base = entry.get("extends", "internal-standard")
        if not isinstance(base, str):
            base = "internal-standard"  # of the wrong type, which is said elsewhere
        if base not in profiles:
            findings.append(_unknown_profile(("profiles", str(name), "extends"), base, profiles))
            continue
        merged_profiles[name] = _merge(profiles[base], _with_preset(entry))
        profiles[str(name)] = {k: v for k, v in merged_profiles[name].items() if k != "extends"}
    services = data.get("services")
    merged = {}
    for name, entry in services.items() if isinstance(services, dict) else ():
        merged[name] = entry
        if not isinstance(entry, dict):
            continue
        profile = entry.get("profile", "internal-standard")
        if not isinstance(profile, str):
            profile = "internal-standard"
        if profile not in profiles:
            findings.append(_unknown_profile(("services", str(name), "profile"), profile, profiles))
            profile = "internal-standard"
        merged[name] = _merge(profiles[profile], _with_preset(entry))
    result = dict(data)
    if isinstance(own, dict):
        result["profiles"] = merged_profiles
    if isinstance(services, dict):
        result["services"] = merged
    return result


def _with_preset(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with what its retry preset stands for; the keys beside the preset win."""
    retry = entry.get("retry")
    if not isinstance(retry, dict) or not isinstance(preset := retry.get("preset"), str):
        return entry
    return {**entry, "retry": {**RETRY_PRESETS.get(preset, {}), **retry}}  # an unknown one is refused by its type


def _unknown_profile(path: Path, found: object, known: Mapping[str, object]) -> Finding:
    return Finding(path, f"unknown profile {found!r}; known: {', '.join(known)}")


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
