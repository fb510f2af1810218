"""The executor: runs a plan and puts the response together."""

from gateway.federation.executor.execution import execute_plan
from gateway.federation.executor.fetcher import (
    FetchTyped,
    Received,
    SubgraphFetcher,
    SubgraphRequest,
    SubgraphResponse,
    TypedFetcher,
    plain_variables,
    typed,
)

__all__ = [
    "FetchTyped",
    "Received",
    "SubgraphFetcher",
    "SubgraphRequest",
    "SubgraphResponse",
    "TypedFetcher",
    "execute_plan",
    "plain_variables",
    "typed",
]
