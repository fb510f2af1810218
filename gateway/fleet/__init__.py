"""The processes that serve together, as far as they share a Redis: what each tells of itself, and of what was done."""

from random import Random

from clients.clock import Clock
from gateway.config import RedisConfig
from gateway.fleet.fleet import Fleet, Others

__all__ = ["Fleet", "Others", "open_fleet"]


def open_fleet(instance: str, config: RedisConfig, clock: Clock, random: Random) -> Fleet:
    """The fleet of those that share this Redis."""
    from gateway.fleet.link import FleetLink  # noqa: PLC0415 - the library is optional

    return Fleet(instance, clock, FleetLink(config.url, clock, random), every_s=config.fleet_every_s)
