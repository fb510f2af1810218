"""A configuration in one word, so that instances can be compared; no secret can be guessed from it."""

import hashlib
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.config.loading import may_be_secret
from gateway.config.model import Config
from gateway.yaml_source import Path

_SECRET = re.compile(r"(?:^|_)(?:secret|token|password|passphrase|credential|key)s?$")
_LEFT_OUT = "(left out)"


def config_hash(config: Config) -> str:
    """Of the configuration in effect: sixteen hexadecimal digits.

    Left out: what may be a secret by its place or its name, and of URLs user, password and query. Short secrets could
    be found by trying, if all else is known.
    """
    known = _without_secrets(msgspec.to_builtins(config, enc_hook=str), ())
    return hashlib.sha256(msgspec.json.encode(known, order="sorted")).hexdigest()[:16]


def _without_secrets(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_secrets(item, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(item, (*path, index)) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    if may_be_secret(path) or any(_SECRET.search(part) for part in path if isinstance(part, str)):
        return _LEFT_OUT
    return _without_user_and_query(value) if "://" in value else value


def _without_user_and_query(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return _LEFT_OUT
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
