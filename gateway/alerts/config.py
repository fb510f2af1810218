"""`alerts:` of gateway.yaml."""

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from standardwebhooks import Webhook

from clients.policy import PositiveInt, PositiveSeconds
from gateway.alerts.alert import AlertType
from gateway.yaml_source import Finding, Path

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class WebhookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address that alerts are posted to."""

    url: str
    """http(s) URL."""
    secret: str
    """Signs each message (Standard Webhooks): `whsec_` and base64, from `${NAME}`."""
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


def alerts_findings(path: Path, alerts: AlertsConfig) -> list[Finding]:
    """What types cannot say of it."""
    found: list[Finding] = []
    urls = [webhook.url for webhook in alerts.webhooks]
    for index, webhook in enumerate(alerts.webhooks):
        here = (*path, "webhooks", index)
        parts = urlsplit(webhook.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
            found.append(Finding((*here, "url"), "expected a URL such as https://hooks.example.org/breakwater"))
        elif "{" in webhook.url or "}" in webhook.url or not webhook.url.isascii() or " " in webhook.url:
            found.append(
                Finding((*here, "url"), "has characters that must be escaped in an address (%7B and the like)")
            )
        elif parts.username is not None:
            found.append(Finding((*here, "url"), "expected neither user nor password; messages are signed"))
        if webhook.url in urls[:index]:
            found.append(Finding((*here, "url"), "is there twice; join the two, with the types of both"))
        if not usable(webhook.secret):
            message = "expected whsec_ and base64 of 24 to 64 bytes; `openssl rand -base64 32` makes one"
            found.append(Finding((*here, "secret"), message))
        if not webhook.types:
            found.append(Finding((*here, "types"), "is empty, so nothing would be sent; name some, or remove it"))
    return found


def usable(secret: str) -> bool:
    """Whether a webhook can be signed with it (Standard Webhooks: 24 to 64 bytes)."""
    try:
        key = Webhook(secret)._whsecret  # noqa: SLF001
    except ValueError:
        return False
    return 24 <= len(key) <= 64
