"""gateway.yaml: what may stand in it, how it is read, and what is refused."""

from gateway.config.loading import ConfigError, is_url, load, parse
from gateway.config.model import Config, FederationConfig, RedisConfig, ServiceConfig
from gateway.identity.settings import IdentityConfig

__all__ = [
    "Config",
    "ConfigError",
    "FederationConfig",
    "IdentityConfig",
    "RedisConfig",
    "ServiceConfig",
    "is_url",
    "load",
    "parse",
]
