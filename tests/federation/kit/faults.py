"""Faults of subgraphs, drawn from a salt and the request: whoever sends the same request meets the same fault."""

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any

from gateway.federation.errors import FetchFailed
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from tests.federation.kit.world import WorldFetcher

_LEAVES: list[Any] = [None, 7, -1.5, True, "", "é", [], ["x"], {}, {"__typename": "Nobody"}]
_TURNS = 8  # of the event loop; more than executors differ by in sending a request as soon as it can be sent


class FaultyFetcher:
    """Spoils answers, the same request always in the same way, whoever asks.

    Answers arrive in the order of the plan's numbers, whatever was asked first: which of two that contradict each other
    counts is a question of arrival.
    """

    def __init__(self, inner: WorldFetcher, salt: int) -> None:
        self.inner = inner
        self.salt = salt
        self.sent: list[str] = []

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        asked = json.dumps([request.subgraph, request.document, request.path, request.variables], sort_keys=True)
        self.sent.append(asked)
        for _ in range(_TURNS << min(request.id, 10)):
            await asyncio.sleep(0)
        response = await self.inner.fetch(request)
        random = Random(f"{self.salt} {asked}")
        if random.random() < 0.5:
            return response
        return random.choice(_FAULTS)(random, request, response)


def _refused(_: Random, request: SubgraphRequest, __: SubgraphResponse) -> SubgraphResponse:
    raise FetchFailed(request.subgraph, f"{request.subgraph}: down", "UPSTREAM_UNREACHABLE")


def _broken(_: Random, __: SubgraphRequest, ___: SubgraphResponse) -> SubgraphResponse:
    raise ValueError("a fault nobody foresaw")


def _without_data(_: Random, __: SubgraphRequest, ___: SubgraphResponse) -> SubgraphResponse:
    return SubgraphResponse(None, [{"message": "no"}])


def _with_error(random: Random, _: SubgraphRequest, response: SubgraphResponse) -> SubgraphResponse:
    path: list[Any] = []
    value = response.data
    while isinstance(value, dict | list) and value and random.random() < 0.8:
        path.append(random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value)))
        value = value[path[-1]]
    return SubgraphResponse(response.data, [{"message": "odd", "path": path}])


def _spoilt(random: Random, _: SubgraphRequest, response: SubgraphResponse) -> SubgraphResponse:
    """One place of the data is something else, or is not there."""
    places: list[Callable[[Any], None]] = []
    removals: list[Callable[[], None]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            for key in list(value) if isinstance(value, dict) else range(len(value)):
                places.append(lambda new, at=value, key=key: at.__setitem__(key, new))  # type: ignore[misc]
                removals.append(lambda at=value, key=key: at.__delitem__(key))  # type: ignore[misc]
                walk(value[key])

    walk(response.data)
    if places and random.random() < 0.7:
        random.choice(places)(random.choice(_LEAVES))
    elif removals:
        random.choice(removals)()
    return response


_FAULTS: list[Callable[[Random, SubgraphRequest, SubgraphResponse], SubgraphResponse]] = [
    _refused,
    _broken,
    _without_data,
    _with_error,
    _spoilt,
    _spoilt,
    _spoilt,
]
