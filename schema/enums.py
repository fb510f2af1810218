"""Enums of the clients, who know no schema, with their names and descriptions there."""

import enum

import strawberry

from clients.call import ProtocolName


def describe(kind: type[enum.Enum], name: str, description: str, **values: str) -> None:
    """Give an enum its name in the schema, and a description to it and to each of its values.

    Before a type has a field of it: Strawberry would make an enum of its own otherwise.
    """
    strawberry.enum(kind, name=name, description=description)
    for value in kind.__strawberry_definition__.values:  # type: ignore[attr-defined]  # strawberry.enum put it there
        value.description = values[value.name]


describe(
    ProtocolName,
    "UpstreamProtocol",
    "How an upstream is spoken to.",
    GRAPHQL="Its GraphQL endpoint, asked first.",
    REST="Its REST routes, asked when GraphQL does not answer.",
)
