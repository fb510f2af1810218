"""The seam to the subgraphs: what is asked, what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class SubgraphRequest:
    """One GraphQL request to one subgraph.

    Attributes:
        subgraph: its name.
        document: the operation, GraphQL text.
        operation_name: as in the document, None when the client gave none.
        variables: coerced, defaults applied; representations included.
        kind: a mutation must not be sent again.
        path: keys of the response where the answer belongs; empty at the root. Lists are not mentioned.
        entities: for entities by representation, each ``_entities`` field's response key and variable.
        context: what the caller of the engine passed, untouched.
    """

    subgraph: str
    document: str
    operation_name: str | None
    variables: Mapping[str, Any]
    kind: Literal["query", "mutation"]
    path: tuple[str, ...]
    entities: tuple[tuple[str, str], ...]
    context: object = None


@dataclass(frozen=True, slots=True)
class SubgraphResponse:
    """A GraphQL response as it came. Its shape is checked by the executor, not trusted."""

    data: Any = None
    errors: Sequence[Any] = field(default_factory=tuple)


class SubgraphFetcher(Protocol):
    """Sends requests to subgraphs."""

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        """Send one request.

        The executor owns the response's data afterwards and changes it. The call may be cancelled.

        Raises:
            FetchFailed: there is no usable GraphQL response.
        """
        ...
