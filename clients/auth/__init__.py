"""What a service wants to see before it answers: credentials and signatures, put on each request before it is sent."""

from clients.auth.authorizer import AuthorizedWire, Authorizer, WireRequest
from clients.auth.credentials import ApiKeyHeader, ApiKeyQuery, Basic, Bearer
from clients.auth.oauth2 import OAuth2, OAuth2Client
from clients.auth.secret import BadSecret, FileSecret, Secret
from clients.auth.signer import Signer
from clients.auth.signing import SignatureInvalid, Verified, sign, verify

__all__ = [
    "ApiKeyHeader",
    "ApiKeyQuery",
    "AuthorizedWire",
    "Authorizer",
    "BadSecret",
    "Basic",
    "Bearer",
    "FileSecret",
    "OAuth2",
    "OAuth2Client",
    "Secret",
    "SignatureInvalid",
    "Signer",
    "Verified",
    "WireRequest",
    "sign",
    "verify",
]
