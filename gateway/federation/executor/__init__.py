"""The executor: runs a plan and puts the response together."""

from gateway.federation.executor.execution import execute_plan
from gateway.federation.executor.fetcher import SubgraphFetcher, SubgraphRequest, SubgraphResponse

__all__ = ["SubgraphFetcher", "SubgraphRequest", "SubgraphResponse", "execute_plan"]
