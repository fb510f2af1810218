"""The executor: runs a plan and puts the response together."""

from gateway.federation.executor.execution import execute_plan
from gateway.federation.executor.fetcher import (
    Received,
    SubgraphFetcher,
    SubgraphRequest,
    SubgraphResponse,
    TypedFetcher,
    fetch_typed,
)

__all__ = [
    "Received",
    "SubgraphFetcher",
    "SubgraphRequest",
    "SubgraphResponse",
    "TypedFetcher",
    "execute_plan",
    "fetch_typed",
]
