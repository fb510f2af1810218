"""The section `persisted_queries`: texts that clients send once, and a list of the operations that may be run."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from clients.policy import PositiveInt, PositiveSeconds
from gateway.yaml_source import Finding


class AutomaticConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Automatic persisted queries: a client that has sent a document once may send its hash from then on."""

    max_bytes: PositiveInt = 10_000_000
    """Bytes of documents kept in memory, the least recently used go first. Default 10 MB."""
    ttl_s: PositiveSeconds = 86_400.0
    """How long Redis keeps a document, where there is a section redis. Default one day."""


class SafelistConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operations that clients are known to send, from a manifest file."""

    file: Annotated[str, msgspec.Meta(min_length=1)]
    """The manifest, relative to this file: Apollo's `apollo-persisted-query-manifest`, or a mapping of ids to texts."""
    mode: Literal["log", "enforce"] = "log"
    """`enforce` refuses any other operation; `log` says which are unknown, and answers them. Default log."""
    poll_interval_s: PositiveSeconds | None = 10.0
    """How often the file is looked at for a newer one; null reads it once. Default 10."""


class PersistedQueriesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Documents that are known by an identifier. Both parts are off by default."""

    automatic: AutomaticConfig | None = None
    """`{}` turns automatic persisted queries on."""
    safelist: SafelistConfig | None = None
    """The operations that may be run. By default any that is valid."""


def persisting_findings(config: PersistedQueriesConfig) -> list[Finding]:
    """What contradicts itself."""
    if config.automatic is not None and config.safelist is not None and config.safelist.mode == "enforce":
        message = "has no use where only the safelist's operations are run; remove it, or set safelist.mode to log"
        return [Finding(("persisted_queries", "automatic"), message)]
    return []


def located_persisting(config: PersistedQueriesConfig, folder: Path) -> PersistedQueriesConfig:
    """With the manifest's name made absolute."""
    if config.safelist is None:
        return config
    safelist = msgspec.structs.replace(config.safelist, file=str(folder / config.safelist.file))
    return msgspec.structs.replace(config, safelist=safelist)
