"""Who a request comes from, and what it may do: ids, tokens, trusted proxies, operators, and how often it may ask."""

from gateway.identity.identifier import CredentialIdentifier, Identifier, clean_id, request_id

__all__ = ["CredentialIdentifier", "Identifier", "clean_id", "request_id"]
