"""The seam to the subgraphs: what is asked, what comes back."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from clients.subgraph import Shape


class SubgraphRequest(msgspec.Struct, frozen=True):
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
        id: its number in the plan; 0 for requests of no plan.
    """

    subgraph: str
    document: str
    operation_name: str | None
    variables: Mapping[str, Any]
    kind: Literal["query", "mutation"]
    path: tuple[str, ...]
    entities: tuple[tuple[str, str], ...]
    context: object = None
    id: int = 0


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


class Received(msgspec.Struct, frozen=True):
    """An answer: decoded, and as it came.

    Attributes:
        data: of the shape's class, of this request alone; None when the answer has errors or is out of shape.
        response: makes it as it came; for who cannot use `data`.
    """

    data: msgspec.Struct | None
    response: Callable[[], SubgraphResponse]


class TypedFetcher(SubgraphFetcher, Protocol):
    """A fetcher that decodes answers straight into classes. Others are helped out: their data goes through JSON."""

    async def fetch_typed(self, request: SubgraphRequest, shape: Shape) -> Received:
        """Send one request. Representations in its variables are Structs.

        Raises:
            FetchFailed: there is no usable GraphQL response.
        """
        ...


FetchTyped = Callable[[SubgraphRequest, Shape], Awaitable[Received]]
"""`TypedFetcher.fetch_typed`."""


def plain_variables(request: SubgraphRequest) -> dict[str, Any]:
    """A request's variables without objects of ours: representations become maps.

    What a client sent is left as it is: it has its form already, and a file has no other.
    """
    made = {name: msgspec.to_builtins(request.variables[name]) for _, name in request.entities}
    return {**request.variables, **made}


def typed(fetcher: SubgraphFetcher) -> FetchTyped:
    """`fetch_typed` of any fetcher: data of one that does not decode by itself goes through JSON."""
    own: FetchTyped | None = getattr(fetcher, "fetch_typed", None)
    if own is not None:
        return own

    async def converted(request: SubgraphRequest, shape: Shape) -> Received:
        response = await fetcher.fetch(msgspec.structs.replace(request, variables=plain_variables(request)))
        usable = None
        if not response.errors:
            try:
                usable = shape.decode(msgspec.json.encode(response.data))
            except msgspec.ValidationError:
                usable = None
        return Received(usable, lambda: response)

    return converted
