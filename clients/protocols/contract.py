"""Whether an upstream still understands the documents declared for it; asked by `gateway check`, never at run time."""

from collections.abc import Sequence

import gql
import httpx
from gql.transport.exceptions import TransportError
from gql.transport.httpx import HTTPXAsyncTransport
from graphql import GraphQLError

from clients.operation import Operation
from clients.service import Service
from clients.transports.as_httpx import WireTransport
from clients.transports.base import Wire

_MAX_SCHEMA_BYTES = 20_000_000


async def check_documents(
    service: Service, operations: Sequence[Operation], *, wire: Wire | None = None, timeout_s: float = 10.0
) -> list[str]:
    """Validate the documents against the schema that the upstream gives by introspection, over `wire` where given.

    Returns:
        One sentence for each document that does not fit, or one that says why the schema could not be had.
    """
    documents = [o for o in operations if o.graphql is not None]
    if service.graphql is None or not documents:
        return []
    transport = HTTPXAsyncTransport(
        url=service.graphql,
        headers=dict(service.headers),
        timeout=timeout_s,
        trust_env=False,
        follow_redirects=False,
        transport=None if wire is None else WireTransport(wire, max_body_bytes=_MAX_SCHEMA_BYTES),
    )
    client = gql.Client(transport=transport, fetch_schema_from_transport=True)
    try:
        async with client:
            wrong = []
            for operation in documents:
                if operation.graphql is not None:
                    wrong += _invalid(client, operation, operation.graphql.text)
            return wrong
    except (TransportError, httpx.HTTPError, GraphQLError, OSError) as error:
        return [f"no schema from {service.graphql}: {str(error) or type(error).__name__}"]


def _invalid(client: gql.Client, operation: Operation, text: str) -> list[str]:
    try:
        client.validate(gql.gql(text))
    except GraphQLError as error:
        return [f"the operation {operation.name} does not fit: {error.message}"]
    return []
