"""`alerts:` of gateway.yaml."""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import msgspec

from clients.auth import BadSecret
from clients.auth.secret import read_secret
from clients.policy import PositiveInt, PositiveSeconds
from gateway.alerts.alert import AlertType
from gateway.auth import SecretFile, SecretSource
from gateway.yaml_source import Finding, Path

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class WebhookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address that alerts are posted to."""

    url: str
    """http(s) URL. It may hold a token, so it is never shown."""
    secret: SecretSource
    """Signs each message (Standard Webhooks): `whsec_` and base64, as `${NAME}` or `{ file: … }`."""
    types: tuple[AlertType, ...] = tuple(AlertType)
    """Which alerts it gets. Default: all of them."""
    timeout_s: PositiveSeconds = 10.0
    """For one attempt. Default 10."""
    give_up_s: PositiveSeconds = 3600.0
    """How long one alert is tried to deliver, at growing intervals of up to five minutes. Default one hour."""

    def __repr__(self) -> str:
        return f"WebhookConfig(types={self.types!r})"  # an address may hold a token as well


class AlertsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told without being asked: circuits that open and close, and much that is served stale."""

    stale_ratio: Share | None = 0.1
    """Share of a service's calls in five minutes answered from before that raises an alert. Default 0.1; null: none."""
    stale_min_calls: PositiveInt = 20
    """With fewer calls in five minutes the share says nothing. Default 20."""
    every_s: PositiveSeconds = 15.0
    """How often the share is looked at. Default 15."""
    webhooks: list[WebhookConfig] = []
    """Who is told besides the log. Default nobody."""


def may_be_webhook_secret(path: Path) -> bool:
    """Whether what stands at the path of a gateway.yaml is kept out of messages."""
    return path[:2] == ("alerts", "webhooks") and path[3:4] in {("secret",), ("url",)}


def alerts_findings(alerts: AlertsConfig, folder: FilePath) -> Iterator[Finding]:
    """What types cannot say of it, its files looked at. `folder` is what file names are relative to."""
    path: Path = ("alerts", "webhooks")
    urls = [webhook.url for webhook in alerts.webhooks]
    for index, webhook in enumerate(alerts.webhooks):
        here = (*path, index)
        if wrong := _wrong_url(webhook.url):
            yield Finding((*here, "url"), wrong)
        if webhook.url in urls[:index]:
            yield Finding((*here, "url"), "is there twice; join the two, with the types of both")
        yield from _secret_findings((*here, "secret"), webhook.secret, folder)
        if not webhook.types:
            yield Finding((*here, "types"), "is empty, so nothing would be sent; name some, or remove it")


def located_alerts(alerts: AlertsConfig, folder: FilePath) -> AlertsConfig:
    """With the names of its files made absolute."""
    webhooks = [
        msgspec.structs.replace(webhook, secret=SecretFile(str(folder / webhook.secret.file)))
        if isinstance(webhook.secret, SecretFile)
        else webhook
        for webhook in alerts.webhooks
    ]
    return msgspec.structs.replace(alerts, webhooks=webhooks)


def not_a_webhook_secret(value: str) -> str | None:
    """Why a webhook cannot be signed with it (Standard Webhooks: 24 to 64 bytes); never quotes it."""
    try:
        key = base64.b64decode(value.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if 24 <= len(key) <= 64:
        return None
    return 'expected whsec_ and base64 of 24 to 64 bytes; `echo "whsec_$(openssl rand -base64 32)"` makes one'


def _secret_findings(path: Path, source: SecretSource, folder: FilePath) -> Iterator[Finding]:
    if isinstance(source, str):
        if wrong := not_a_webhook_secret(source):
            yield Finding(path, wrong)
        return
    try:
        read_secret(folder / source.file, not_a_webhook_secret)
    except BadSecret as error:
        yield Finding((*path, "file"), str(error))


def _wrong_url(url: str) -> str | None:
    """What is wrong with an address; never quotes it."""
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
        return "expected a URL such as https://hooks.example.org/breakwater"
    if "{" in url or "}" in url or any(not "!" <= character <= "~" for character in url):
        return "has characters that must be escaped in an address (%7B and the like)"
    if parts.username is not None:
        return "expected neither user nor password; messages are signed"
    return None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return None if parts.port == 0 else parts
    except ValueError:
        return None
