"""What makes a message of ours a Standard Webhook: the signature, and any 2xx for a receipt."""

from collections.abc import Mapping
from datetime import UTC

from standardwebhooks import Webhook

from clients.auth import Secret
from clients.clock import Clock
from clients.transports.base import Wire, WireResponse

_NO_CONTENT = 204


class SigningWire:
    """A wire that signs what it sends as Standard Webhooks has it, and takes any 2xx for a receipt.

    Args:
        wire: to one host.
        secrets: of each webhook there, by URL; read for each message, as they may be rotated.
        clock: its wall time is signed.
    """

    def __init__(self, wire: Wire, secrets: Mapping[str, Secret], clock: Clock) -> None:
        self._wire = wire
        self._secrets = secrets
        self._clock = clock

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        """See `Wire`. Each attempt has its own time; the id is that of the message."""
        text = (body or b"").decode()
        message_id, at = headers["idempotency-key"], self._clock.wall().astimezone(UTC)
        signed = {
            **headers,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self._secrets[url].reveal()).sign(message_id, at, text),
        }
        response = await self._wire.send(method, url, signed, body, max_body_bytes=max_body_bytes)
        return WireResponse(_NO_CONTENT, {}, b"") if 200 <= response.status < 300 else response

    async def aclose(self) -> None:
        """Close the wire below."""
        await self._wire.aclose()
