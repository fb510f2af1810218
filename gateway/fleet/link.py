"""The instances' place in Redis: a key for each that expires, a list of their names, and a stream of commands.

All keys begin with `breakwater:fleet:`. An instance writes in one transaction: one that is killed leaves
nothing half done, and what it left goes by itself.
"""

from random import Random
from typing import Any

from clients.clock import Clock
from clients.state.circuit import CircuitStatus
from clients.stores.redis_calls import RedisCalls

_PREFIX = b"breakwater:fleet:"
_NAMES = _PREFIX + b"instances"  # sorted by when they last told, in seconds
_COMMANDS = _PREFIX + b"commands"
_FORGOTTEN_S = 600  # names of instances that told nothing for so long, and the list when nobody tells anything
_MOST_INSTANCES = 500
_MOST_COMMANDS = 200
_COMMANDS_LIVE_S = 600
_TIMEOUT_S = 0.5  # nobody waits for it but who asks for the fleet
_CONNECTIONS = 2


class FleetLink:
    """Asks Redis, with a deadline and behind a circuit of its own.

    Args:
        url: as redis-py takes it.
        clock: all time comes from it.
        random: the source of jitter for its circuit.
        timeout_s: most that a call may take.
    """

    def __init__(self, url: str, clock: Clock, random: Random, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._calls = RedisCalls(url, clock, random, timeout_s=timeout_s, max_connections=_CONNECTIONS)
        self._clock = clock
        self._last: Any = None  # the id of the last command that was read

    def status(self) -> CircuitStatus:
        """Its circuit, read as data."""
        return self._calls.status()

    async def tell(self, instance: str, digest: bytes, ttl_s: float) -> list[bytes] | None:
        """Tell of an instance; gives the commands since the last time, None when Redis does not answer.

        The first time there are none: what was commanded before was not for this instance.
        """
        name, now = instance.encode(), self._clock.wall().timestamp()
        pipeline = self._calls.pipeline(transaction=True)
        pipeline.set(_PREFIX + name, digest, px=max(1, round(ttl_s * 1000)))
        pipeline.zadd(_NAMES, {name: now})
        pipeline.zremrangebyscore(_NAMES, "-inf", now - _FORGOTTEN_S)
        pipeline.zremrangebyrank(_NAMES, 0, -_MOST_INSTANCES - 1)
        pipeline.expire(_NAMES, _FORGOTTEN_S)
        if self._last is None:
            pipeline.xrevrange(_COMMANDS, count=1)
        else:
            pipeline.xread({_COMMANDS: self._last}, count=_MOST_COMMANDS)
        match await self._calls.ask(pipeline):
            case [*_, list(found)]:
                pass
            case _:
                return None
        if self._last is None:
            self._last = found[0][0] if found else b"0-0"
            return []
        commands = found[0][1] if found else []
        if commands:
            self._last = commands[-1][0]
        return [fields[b"c"] for _, fields in commands if b"c" in fields]

    async def others(self, instance: str) -> list[bytes] | None:
        """What the other instances tell of themselves; None when Redis does not answer."""
        listing = self._calls.pipeline()
        listing.zrevrange(_NAMES, 0, _MOST_INSTANCES - 1)
        match await self._calls.ask(listing):
            case [list(names)]:
                names = [name for name in names if name != instance.encode()]
            case _:
                return None
        if not names:
            return []
        reading = self._calls.pipeline()
        reading.mget([_PREFIX + name for name in names])
        match await self._calls.ask(reading):
            case [list(values)]:
                return [value for value in values if value is not None]
            case _:
                return None

    async def command(self, command: bytes) -> bool:
        """Command all other instances; False when Redis does not take it."""
        pipeline = self._calls.pipeline(transaction=True)
        pipeline.xadd(_COMMANDS, {"c": command}, maxlen=_MOST_COMMANDS, approximate=False)
        pipeline.expire(_COMMANDS, _COMMANDS_LIVE_S)
        match await self._calls.ask(pipeline):
            case [bytes(), *_]:
                return True
            case _:
                return False

    async def leave(self, instance: str) -> None:
        """Tell that an instance is gone."""
        name = instance.encode()
        pipeline = self._calls.pipeline(transaction=True)
        pipeline.delete(_PREFIX + name)
        pipeline.zrem(_NAMES, name)
        await self._calls.ask(pipeline)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._calls.aclose()
