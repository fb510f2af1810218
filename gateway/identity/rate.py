"""How often callers may ask: a token bucket for each, of this process or shared by all through Redis."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from hashlib import blake2b
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Literal, Self, TypeVar

import msgspec
from starlette.types import Scope

from clients.call import Caller
from clients.clock import Clock
from clients.policy import RatePolicy
from clients.state.token_bucket import TokenBucket
from gateway.http.errors import Forbidden, RateLimited, RequestError, Unauthenticated
from gateway.identity.identifier import Identifier
from gateway.identity.proxies import Proxies, counted_as

if TYPE_CHECKING:
    from clients.stores.redis_tokens import RedisTokens, SharedBucket

Bucket = TypeVar("Bucket")


class Buckets(Generic[Bucket]):
    """A bucket for each key; beyond `most`, the one not asked for longest is given up. A full bucket is like none."""

    def __init__(self, make: Callable[[Hashable], Bucket], most: int, given_up: Callable[[Bucket], None]) -> None:
        self._make = make
        self._most = most
        self._given_up = given_up
        self._kept: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self._kept.values())

    def of(self, key: Hashable) -> Bucket:
        """The bucket of a key; a new one where there is none."""
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._make(key)
            if len(self._kept) > self._most:
                self._given_up(self._kept.popitem(last=False)[1])
        else:
            self._kept.move_to_end(key)
        return found

    def known(self, key: Hashable) -> Bucket | None:
        """The bucket of a key, if it has one."""
        return self._kept.get(key)


def local_buckets(capacity: int, per_s: float, most: int, clock: Clock) -> Buckets[TokenBucket]:
    """Buckets of this process."""
    return Buckets(lambda _: TokenBucket(capacity, per_s, now=clock.now()), most, lambda _: None)


class Limiter:
    """Lets a caller ask, or refuses. An async context manager."""

    def __init__(self, policy: RatePolicy, clock: Clock, most: int) -> None:
        self._policy = policy
        self._clock = clock
        self._buckets = local_buckets(policy.capacity, policy.per_s, most, clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def admit(self, key: Hashable) -> Awaitable[None] | None:
        """Count an operation of a caller; awaitable when others have to be asked first.

        Raises:
            RateLimited: it has to wait. The awaitable raises it, too.
        """
        now = self._clock.now()
        bucket = self._buckets.of(key)
        if not bucket.take(now):
            raise _refusal(self._policy, bucket.wait_s(now))
        return None


class SharedLimiter(Limiter):
    """Counts in Redis, for all processes together; for this process alone while Redis does not answer.

    Args:
        policy: the rate.
        clock: all time comes from it.
        most: callers kept count of here.
        redis: entered and left by this.
    """

    def __init__(self, policy: RatePolicy, clock: Clock, most: int, redis: "RedisTokens") -> None:
        super().__init__(policy, clock, most)
        self._redis = redis
        self._shared: Buckets[SharedBucket] = Buckets(self._make, most, self._give_up)
        self._given_up: set[SharedBucket] = set()  # while Redis is being asked for them

    async def __aenter__(self) -> Self:
        await self._redis.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for bucket in (*self._shared, *self._given_up):
                if bucket.busy:
                    await bucket.__aexit__(kind, error, trace)
        finally:
            await self._redis.__aexit__(kind, error, trace)

    def admit(self, key: Hashable) -> Awaitable[None] | None:
        """See `Limiter`."""
        now = self._clock.now()
        bucket = self._shared.of(key)
        if bucket.take(now):
            return None
        if bucket.wait_s(now) <= 0:
            return self._admit(bucket)
        raise _refusal(self._policy, bucket.wait_s(now))

    async def _admit(self, bucket: "SharedBucket") -> None:
        while (wait_s := bucket.wait_s(self._clock.now())) <= 0:
            await bucket.refill()
            if bucket.take(self._clock.now()):
                return
        raise _refusal(self._policy, wait_s)

    def _make(self, key: Hashable) -> "SharedBucket":
        name = blake2b(msgspec.json.encode(key), digest_size=16).hexdigest()  # ids of users are not for others to read
        return self._redis.bucket(f"caller:{name}", self._policy, self._clock)

    def _give_up(self, bucket: "SharedBucket") -> None:
        self._given_up = {each for each in (*self._given_up, bucket) if each.busy}


def _refusal(policy: RatePolicy, wait_s: float) -> RateLimited:
    return RateLimited(f"Asked too often: the limit is {policy.per_s:g} a second. Try again later.", wait_s)


class LimitedIdentifier:
    """An Identifier that refuses callers who ask too often.

    Args:
        inner: tells who they are.
        limiter: counts.
        proxies: tell where they are.
        by: whom to count.
    """

    def __init__(
        self, inner: Identifier, limiter: Limiter, proxies: Proxies, by: Literal["principal", "address"]
    ) -> None:
        self._inner = inner
        self._limiter = limiter
        self._proxies = proxies
        self._by_address = by == "address"

    def caller(
        self, scope: Scope, headers: Mapping[str, str], request_id: str, deadline: float
    ) -> Caller | Awaitable[Caller]:
        """See `Identifier`.

        Raises:
            RateLimited: it has to wait. The awaitable raises it, too.
        """
        if self._by_address:
            waiting = self._limiter.admit(self._address(scope, headers))
            if waiting is None:
                return self._inner.caller(scope, headers, request_id, deadline)
            return self._admitted_first(waiting, scope, headers, request_id, deadline)
        try:
            found = self._inner.caller(scope, headers, request_id, deadline)
        except (Forbidden, Unauthenticated) as error:  # whoever tries credentials is counted as well
            waiting = self._limiter.admit(self._address(scope, headers))
            if waiting is None:
                raise
            return self._refused(waiting, error)
        if not isinstance(found, Caller):
            return self._known_later(found, scope, headers)
        waiting = self._limiter.admit(self._principal(found, scope, headers))
        return found if waiting is None else self._after(waiting, found)

    async def _known_later(self, finding: Awaitable[Caller], scope: Scope, headers: Mapping[str, str]) -> Caller:
        try:
            found = await finding
        except (Forbidden, Unauthenticated):
            await _wait(self._limiter.admit(self._address(scope, headers)))
            raise
        await _wait(self._limiter.admit(self._principal(found, scope, headers)))
        return found

    async def _admitted_first(
        self, waiting: Awaitable[None], scope: Scope, headers: Mapping[str, str], request_id: str, deadline: float
    ) -> Caller:
        await waiting
        found = self._inner.caller(scope, headers, request_id, deadline)
        return found if isinstance(found, Caller) else await found

    @staticmethod
    async def _after(waiting: Awaitable[None], found: Caller) -> Caller:
        await waiting
        return found

    @staticmethod
    async def _refused(waiting: Awaitable[None], error: RequestError) -> Caller:
        await waiting
        raise error

    def _principal(self, caller: Caller, scope: Scope, headers: Mapping[str, str]) -> Hashable:
        if caller.authenticated and caller.user is not None:
            return (caller.tenant, caller.user)
        return self._address(scope, headers)

    def _address(self, scope: Scope, headers: Mapping[str, str]) -> str:
        return counted_as(self._proxies.client_address(scope, headers))


async def _wait(waiting: Awaitable[None] | None) -> None:
    if waiting is not None:
        await waiting
