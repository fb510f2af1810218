"""Up to twenty subgraphs of one shape, each a path of one server; an answer is worked out once and then replayed.

Every subgraph `s1`, `s2`, … knows the entity `Item` and gives it one field of its own, `f1`, `f2`, …, and one step to
another item, `next1`, `next2`, …; the first one has the items' list. So a query can be made as wide (fields of several
subgraphs), as long (rows) and as deep (steps from subgraph to subgraph) as is wanted.
"""

import json
import os
from typing import Any

from graphql import ExecutionResult, GraphQLResolveInfo, GraphQLSchema, build_schema, graphql_sync

SUBGRAPHS = 20
PORT = int(os.environ.get("GROWTH_SUBGRAPHS_PORT", "4293"))

_LINK = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])'
_MACHINERY = """
scalar _Any
union _Entity = Item
extend type Query { _entities(representations: [_Any!]!): [_Entity]! }
"""


def _types(number: int, key: str = "") -> str:
    root = "items(first: Int!): [Item!]!" if number == 1 else f"only{number}: Int"
    return f"type Query {{ {root} }} type Item {key} {{ id: ID! f{number}: String next{number}: Item }}"


def sdl(number: int) -> str:
    """The SDL of one subgraph, for composition."""
    return _LINK + "\n" + _types(number, '@key(fields: "id")')


def _resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    """Any field of any subgraph."""
    name = info.field_name
    if name == "items":
        return [{"id": str(number)} for number in range(arguments["first"])]
    if name == "_entities":
        return [{"__typename": "Item", "id": each["id"]} for each in arguments["representations"]]
    if name == "id":
        return source["id"]
    if name.startswith("next"):
        return {"id": str(int(source["id"]) + 1)}
    return f"{name} of item {source['id']}"


_schemas: dict[str, GraphQLSchema] = {}
_seen: dict[tuple[str, bytes], bytes] = {}


def _answer(path: str, body: bytes) -> bytes:
    if path not in _schemas:
        number = int(path.removeprefix("/s"))
        _schemas[path] = build_schema(_types(number) + _MACHINERY)
    asked = json.loads(body)
    found: ExecutionResult = graphql_sync(
        _schemas[path],
        asked["query"],
        field_resolver=_resolve,
        type_resolver=lambda _value, _info, _kind: "Item",
        variable_values=asked.get("variables"),
    )
    return json.dumps(found.formatted, separators=(",", ":")).encode()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers each path as the subgraph of that name."""
    chunks = []
    while message := await receive():
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    key = scope["path"], b"".join(chunks)
    if key not in _seen:
        _seen[key] = _answer(*key)
    length = str(len(_seen[key])).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _seen[key]})
