"""Keyed rows that answer GraphQL documents and REST routes as a healthy upstream would."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, build_schema, graphql_sync
from starlette.responses import JSONResponse, Response

from clients.call import ProtocolName
from tests.testkit.behaviours import RecordedCall

_TYPES = {str: "String", bool: "Boolean", int: "Int", float: "Float"}


class Rows:
    """Keyed rows behind two protocols.

    GraphQL, at `/graphql`, for rows of `customers` with key `id` (graphql-core executes what is asked, so a wrong
    document is refused as it would be elsewhere)::

        type Query {
          customers(ids: [ID!], first: Int): [Customer]!   # in the order asked, null where unknown
          customer(id: ID!): Customer
        }
        type Mutation { touchCustomer(id: ID!): Customer } # counted in `touched`

    REST, at `/api`, in stored order, unknown ones left out::

        GET  /api/customers?ids=1,2        also ?ids=1&ids=2 and ?id=1&id=2; ?first=10
        POST /api/customers/search         {"ids": ["1", "2"]}
        GET  /api/customers/1              404 when unknown
        POST /api/customers/1/touch

    Attributes:
        by_key: the rows; may be changed at any time.
        touched: how often each key was touched by the mutation.
        failing: keys that give an error instead of a row.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]] = (),
        *,
        collection: str = "customers",
        entity: str | None = None,
        key: str = "id",
        types: Mapping[str, str] | None = None,
    ) -> None:
        """Take rows.

        Args:
            rows: must have the same fields; with none, the fields are those of `types`.
            collection: names the rows in both protocols.
            entity: the singular of `collection`; by default without its last letter.
            key: the field by which rows are asked for.
            types: GraphQL types of fields, where they do not follow from the first row.
        """
        stored = [dict(row) for row in rows]
        self.collection = collection
        self.entity = entity or collection[:-1]
        self.key = key
        self.by_key: dict[str, dict[str, Any]] = {str(row[key]): row for row in stored}
        self.touched: Counter[str] = Counter()
        self.failing: dict[str, GraphQLError] = {}
        self._schema = build_schema(self._sdl(stored[0] if stored else {}, dict(types or {})))

    def answer(self, call: RecordedCall) -> Response:
        """What a healthy upstream says to this call."""
        return self._graphql_answer(call) if call.protocol is ProtocolName.GRAPHQL else self._rest_answer(call)

    def _sdl(self, row: Mapping[str, Any], types: dict[str, str]) -> str:
        types = {name: _TYPES.get(type(value), "JSON") for name, value in row.items()} | {self.key: "ID!"} | types
        fields = " ".join(f"{name}: {kind}" for name, kind in types.items())
        name = self.entity[0].upper() + self.entity[1:]
        return f"""
            scalar JSON
            type {name} {{ {fields} }}
            type Query {{
              {self.collection}({self.key}s: [ID!], first: Int): [{name}]!
              {self.entity}({self.key}: ID!): {name}
            }}
            type Mutation {{ touch{name}({self.key}: ID!): {name} }}
        """

    def _graphql_answer(self, call: RecordedCall) -> Response:
        try:
            body = call.json
            document, variables, name = body["query"], body.get("variables"), body.get("operationName")
        except (ValueError, TypeError, KeyError, AttributeError):
            return JSONResponse({"errors": [{"message": "the body is no GraphQL request"}]}, 400)

        def one(info: GraphQLResolveInfo[Any], **arguments: str) -> Any:
            return self._graphql_row(arguments[self.key])

        def many(info: GraphQLResolveInfo[Any], first: int | None = None, **arguments: list[str] | None) -> Any:
            keys = arguments.get(f"{self.key}s")
            return [self._graphql_row(key) for key in (self.by_key if keys is None else keys)][:first]

        def touch(info: GraphQLResolveInfo[Any], **arguments: str) -> Any:
            self.touched[arguments[self.key]] += 1
            return self._graphql_row(arguments[self.key])

        touch_name = f"touch{self.entity[0].upper()}{self.entity[1:]}"
        root = {self.entity: one, self.collection: many, touch_name: touch}
        result = graphql_sync(self._schema, document, root, variable_values=variables, operation_name=name)
        return JSONResponse(result.formatted, 400 if result.data is None and result.errors else 200)

    def _graphql_row(self, key: str) -> dict[str, Any] | GraphQLError | None:
        return self.failing.get(key) or self.by_key.get(key)

    def _rest_answer(self, call: RecordedCall) -> Response:
        match call.method, call.path.removeprefix("/api/").split("/"):
            case "GET", [self.collection]:
                given = call.query.get(f"{self.key}s", []) + call.query.get(self.key, [])
                keys = {key for value in given for key in value.split(",")} if given else None
                first = call.query.get("first")
                return JSONResponse(self._select(keys)[: int(first[0]) if first else None])
            case "POST", [self.collection, "search"]:
                return JSONResponse(self._select({str(key) for key in call.json[f"{self.key}s"]}))
            case "GET", [self.collection, key]:
                return self._rest_row(key)
            case "POST", [self.collection, key, "touch"]:
                self.touched[key] += 1
                return self._rest_row(key)
        return JSONResponse({"error": f"no route {call.method} {call.path}"}, 404)

    def _select(self, keys: set[str] | None) -> list[dict[str, Any]]:
        return [row for key, row in self.by_key.items() if keys is None or key in keys]

    def _rest_row(self, key: str) -> Response:
        if key in self.failing:
            return JSONResponse({"error": self.failing[key].message}, 500)
        if key not in self.by_key:
            return JSONResponse({"error": f"no {self.entity} {key}"}, 404)
        return JSONResponse(self.by_key[key])
