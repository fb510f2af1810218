import datetime
import enum
from typing import Any

import msgspec
import pytest

from clients.operation import Batch, GraphQLDocument, Kind, OperationError, RestRoute, check_route, operation


class Row(msgspec.Struct):
    id: str
    name: str = ""


MANY = "query Customers($ids: [ID!]!) { customers(ids: $ids) { id name } }"


def declare(**parts: Any) -> Any:
    return operation("crm", "customers", row=Row, **parts)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing at all": ({}, "give graphql=…, rest=…, or both"),
    "a document that does not parse": ({"graphql": "query {"}, "graphql: the document does not parse"),
    "two operations": (
        {"graphql": "query A { a } query B { b }"},
        "expected one query or mutation in the document, found 2",
    ),
    "only a fragment": ({"graphql": "fragment F on Customer { id }"}, "found none"),
    "a subscription": ({"graphql": "subscription { changed { id } }"}, "found a subscription"),
    "two root fields": ({"graphql": "{ a { id } b { id } }"}, "graphql_rows="),
    "a fragment at the root": ({"graphql": "{ ...F } fragment F on Query { a }"}, "graphql_rows="),
    "rows that are not selected": (
        {"graphql": "{ a { items { id } } }", "graphql_rows": "a.nodes"},
        "does not select nodes (found: items)",
    ),
    "rows below a scalar": ({"graphql": "{ a }", "graphql_rows": "a.b"}, "does not select b"),
    "no method": ({"rest": "/customers"}, 'rest: expected "METHOD /path"'),
    "an unknown method": ({"rest": "FETCH /customers"}, 'rest: expected "METHOD /path"'),
    "a method in lower case": ({"rest": "get /customers"}, 'rest: expected "METHOD /path"'),
    "a path without a slash": ({"rest": "GET customers"}, 'rest: expected "METHOD /path"'),
    "a space in the path": ({"rest": "GET /all customers"}, 'rest: expected "METHOD /path"'),
    "an open brace": ({"rest": "GET /customers/{id"}, "unbalanced or empty braces"),
    "a stray closing brace": ({"rest": "GET /customers/id}"}, "unbalanced or empty braces"),
    "an empty expression": ({"rest": "GET /customers/{}"}, "unbalanced or empty braces"),
    "a bad variable name": ({"rest": "GET /customers{?first-name}"}, "is no variable name; write {?ids}"),
    "a route with an unknown variable": (
        {"graphql": MANY, "rest": "GET /customers{?ids,sort}"},
        "names sort, which the operation does not have (its variables: ids)",
    ),
    "a route for an operation without variables": (
        {"graphql": "{ customers { id } }", "rest": "GET /customers{?ids}"},
        "(its variables: none)",
    ),
    "a route that loses a required variable": (
        {"graphql": MANY, "rest": "GET /customers"},
        "does not carry ids, which the operation requires; add it to the template, or use POST",
    ),
    "a route that loses the keys": (
        {"graphql": "query ($ids: [ID!]) { customers(ids: $ids) { id } }", "rest": "GET /customers", "key": "id"},
        "does not carry ids, which the operation requires",
    ),
    "a query declared as a mutation": (
        {"graphql": MANY, "kind": Kind.MUTATION},
        "kind: the document is a query, not a mutation",
    ),
    "a key without a list variable": (
        {"graphql": "query ($id: ID!) { customer(id: $id) { id } }", "key": "id"},
        "by: say which variable takes the keys: by=… (found: none)",
    ),
    "a key with two list variables": (
        {"graphql": "query ($a: [ID!], $b: [ID!]!) { customers(a: $a, b: $b) { id } }", "key": "id"},
        "(found: a, b)",
    ),
    "a key and a route with two variables": (
        {"rest": "GET /tenants/{tenant}/customers{?ids}", "key": "id"},
        "(found: ids, tenant)",
    ),
    "keys in a variable that is not there": (
        {"graphql": MANY, "key": "id", "by": "keys"},
        "by: there is no variable keys (found: ids)",
    ),
    "keys in a variable that no route has": (
        {"rest": "GET /customers", "key": "id", "by": "ids"},
        "by: there is no variable ids (found: none)",
    ),
    "keys in a variable that takes one": (
        {"graphql": "query ($id: ID!) { customer(id: $id) { id } }", "key": "id", "by": "id"},
        "by: $id takes ID!, expected a list of keys",
    ),
    "no key attributes": ({"graphql": MANY, "key": ()}, "key: name at least one attribute"),
    "batches of none": ({"graphql": MANY, "key": "id", "max_batch_size": 0}, "max_batch_size ≥ 1"),
}


class Balance(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    customer_id: str
    amount: float
    in_words: str = "nothing"


BALANCES: dict[str, Any] = {
    "row": Balance,
    "key": "customer_id",
    "graphql": "query ($ids: [ID!]!) { balances(ids: $ids) { customerId amount } }",
}


def test_a_default_is_read_when_it_is_declared_and_a_batched_row_gets_its_key() -> None:
    declared = operation("bank", "balances", **BALANCES, default={"amount": 0})
    assert declared.default is not None
    assert [declared.default.make(key) for key in ("1", "2")] == [
        Balance(customer_id="1", amount=0.0),
        Balance(customer_id="2", amount=0.0),
    ]
    several = operation(
        "bank",
        "several",
        row=Balance,
        key=("customer_id", "in_words"),
        rest="POST /balances",
        by="keys",
        kind=Kind.QUERY,
        default={"amount": 1},
    )
    assert several.default is not None
    assert several.default.make(("1", "one")) == Balance(customer_id="1", amount=1.0, in_words="one")


@pytest.mark.parametrize(
    ("row", "many", "default", "made"),
    [
        (Row, False, {"id": "0"}, Row("0")),
        (Row, True, [], []),
        (Row, True, [{"id": "0", "name": "none"}], [Row("0", "none")]),
        (float, False, 0, 0.0),
        (bool, False, False, False),
        (list[str], False, ["a"], ["a"]),
    ],
)
def test_a_default_is_what_the_operation_gives(row: Any, many: bool, default: Any, made: Any) -> None:
    declared = operation("crm", "x", row=row, many=many, rest="GET /x", default=default)
    assert declared.default is not None
    assert declared.default.make() == made
    assert operation("crm", "x", row=row, rest="GET /x").default is None


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({**BALANCES, "default": {"amount": "much"}}, r"default: Expected `float`, got `str` - at `\$.amount`"),
        ({**BALANCES, "default": {}}, "default: Object missing required field `amount`"),
        ({**BALANCES, "default": {"amount": 1, "amuont": 2}}, "default: Object contains unknown field `amuont`"),
        (
            {**BALANCES, "default": {"amount": 1, "customerId": "1"}},
            "default: Object contains unknown field `customerId`",
        ),
        ({**BALANCES, "row": dict, "default": {}}, "default: needs rows that are msgspec Structs"),
        (
            {"row": Row, "rest": "GET /x", "many": True, "default": {"id": "1"}},
            "default: Expected `array`, got `object`",
        ),
        ({"row": Row, "rest": "POST /x", "default": {"id": "1"}}, "default: a mutation has none"),
    ],
)
def test_a_default_that_does_not_fit_is_refused(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(OperationError, match=said):
        operation("bank", "balances", **parts)


@pytest.mark.parametrize(("parts", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_declaration_that_cannot_work_is_refused_and_named(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(OperationError) as refused:
        declare(**parts)
    assert str(refused.value).startswith("operation crm.customers: ")
    assert message in str(refused.value)


def test_a_document_tells_kind_name_rows_and_variables() -> None:
    declared = declare(graphql="mutation Touch($id: ID!, $n: Int! = 3, $at: String) { touched: touch(id: $id) { id } }")
    document = declared.graphql
    assert (declared.kind, document.name, document.rows) == (Kind.MUTATION, "Touch", ("touched",))
    assert declared.variables == {"id", "n", "at"}
    assert [document.is_required(name) for name in ("id", "n", "at")] == [True, False, False]
    assert document.selected == {"id"}


def test_rows_may_lie_deeper_and_beside_other_fields() -> None:
    declared = declare(graphql="{ page { total nodes { id name } } version }", graphql_rows="page.nodes", many=True)
    assert declared.graphql.rows == ("page", "nodes")
    assert declared.graphql.selected == {"id", "name"}
    assert (declared.many, declared.batch) == (True, None)


@pytest.mark.parametrize(
    "text",
    [
        "{ customers { ...F } } fragment F on Customer { id }",
        "{ customers { ... on Customer { id } } }",
        "{ customers }",
    ],
)
def test_what_a_row_has_is_unknown_behind_fragments_and_for_scalars(text: str) -> None:
    assert GraphQLDocument.parse(text).selected is None


@pytest.mark.parametrize(
    ("rest", "kind", "expected"),
    [
        ("GET /customers", None, Kind.QUERY),
        ("POST /customers", None, Kind.MUTATION),
        ("DELETE /customers/{id}", None, Kind.MUTATION),
        ("POST /customers/search", Kind.QUERY, Kind.QUERY),
        ("GET /customers/rebuild", Kind.MUTATION, Kind.MUTATION),
    ],
)
def test_without_a_document_the_method_tells_the_kind_unless_it_is_said(
    rest: str, kind: Kind | None, expected: Kind
) -> None:
    assert declare(rest=rest, kind=kind).kind is expected


def test_a_key_makes_a_batched_operation_of_many_rows() -> None:
    declared = declare(graphql=MANY, rest="GET /customers{?ids}", key="id", max_batch_size=50)
    assert declared.batch == Batch("ids", ("id",), 50)
    assert declared.many


def test_the_only_list_variable_takes_the_keys() -> None:
    text = "query ($ids: [ID!]!, $locale: String) { customers(ids: $ids, locale: $locale) { id } }"
    assert declare(graphql=text, key="id").batch.variable == "ids"


def test_keys_may_travel_in_the_body_of_a_post() -> None:
    declared = declare(rest="POST /customers/search", key="id", by="ids", kind=Kind.QUERY)
    assert declared.batch == Batch("ids", ("id",))


def test_a_route_with_a_body_carries_every_variable() -> None:
    assert declare(graphql=MANY, rest="POST /customers/search").rest.has_body


def test_a_key_is_compared_as_text_and_sent_as_it_is() -> None:
    one, two = Batch("ids", ("id",)), Batch("keys", ("id", "name"))
    assert [one.normal(7)] == one.normals(["7"]) == one.of_each([Row("7")])
    assert one.encode(7) == 7
    assert [two.normal((7, "x")), None] == [*two.normals([(7, "x")]), None] == two.of_each([Row("7", "x"), None])
    assert two.encode((7, "x")) == {"id": 7, "name": "x"}


def test_a_configured_route_is_checked_against_the_declaration() -> None:
    declared = declare(graphql=MANY, key="id")
    check_route(declared, RestRoute.parse("GET /v2/customers{?ids*}"))
    with pytest.raises(OperationError, match="names id, which"):
        check_route(declared, RestRoute.parse("GET /v2/customers{?id}"))


def test_a_configured_route_may_name_keys_that_the_declared_one_sends_in_its_body() -> None:
    declared = declare(rest="POST /customers/search", key="id", by="ids", kind=Kind.QUERY)
    check_route(declared, RestRoute.parse("GET /v2/customers{?ids}"))


class Tier(enum.Enum):
    GOLD = "gold"


FORMS: list[tuple[str, dict[str, Any], str]] = [
    ("/customers{?ids}", {"ids": ["1", "2"]}, "/customers?ids=1,2"),
    ("/customers{?ids}", {"ids": ["a,b", "c&d"]}, "/customers?ids=a%2Cb,c%26d"),
    ("/customers{?ids*}", {"ids": ["1", 2]}, "/customers?ids=1&ids=2"),
    ("/customers{?first,after}", {"first": 3}, "/customers?first=3"),
    ("/customers{?first}", {"first": None}, "/customers"),
    ("/customers?active=1{&ids}", {"ids": ["1"]}, "/customers?active=1&ids=1"),
    ("/customers?next=/a/b{&ids}", {"ids": ["1"]}, "/customers?next=/a/b&ids=1"),
    ("/customers/{id}", {"id": "1"}, "/customers/1"),
    ("/customers/{id}/orders/{n}", {"id": "é", "n": 2}, "/customers/%C3%A9/orders/2"),
    ("/customers/{id}", {"id": "a/b"}, "/customers/a%2Fb"),
    ("/customers/{id}", {"id": "../../admin"}, "/customers/..%2F..%2Fadmin"),
    ("/customers/{id}", {"id": "%2e%2e"}, "/customers/%252e%252e"),
    ("/customers/{id}", {"id": "a?b#c"}, "/customers/a%3Fb%23c"),
    ("/customers/{id}.json", {"id": ".."}, "/customers/...json"),
    ("/customers{/id}", {"id": "1"}, "/customers/1"),
    ("/", {}, "/"),
    ("/customers/", {}, "/customers/"),
    ("/customers{?vip}", {"vip": True}, "/customers?vip=true"),
    ("/customers{?vip*}", {"vip": [True, False]}, "/customers?vip=true&vip=false"),
    ("/customers{?tier}", {"tier": Tier.GOLD}, "/customers?tier=gold"),
    ("/customers{?since}", {"since": datetime.date(2026, 1, 2)}, "/customers?since=2026-01-02"),
    (
        "/customers{?since}",
        {"since": datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC)},
        "/customers?since=2026-01-02T03%3A00%3A00Z",
    ),
]


@pytest.mark.parametrize(("template", "variables", "expected"), FORMS)
def test_variables_fill_the_template(template: str, variables: dict[str, Any], expected: str) -> None:
    assert RestRoute.parse(f"GET {template}").path(variables) == expected


@pytest.mark.parametrize(
    ("template", "variables"),
    [
        ("/customers/{id}", {}),
        ("/customers/{id}", {"id": None}),
        ("/customers/{id}", {"id": ""}),
        ("/customers/{id}", {"id": "."}),
        ("/customers/{id}", {"id": ".."}),
        ("/customers/{id}/orders", {"id": ".."}),
        ("/customers/{a}{b}", {"a": ".", "b": "."}),
        ("/customers{/id}", {}),
        ("/customers{/id*}", {"id": ["1", "2"]}),
        ("/files/{+path}", {"path": "a/b"}),
        ("/files/{+path}", {"path": ".."}),
        ("/files/{+path}", {"path": "%2E%2e"}),
    ],
)
def test_a_path_that_would_name_another_resource_is_refused(template: str, variables: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the variables do not fill the path /"):
        RestRoute.parse(f"GET {template}").path(variables)


@pytest.mark.parametrize("template", ["/customers{?ids}", "/customers{?ids*}", "/customers/{ids}"])
def test_an_empty_list_is_refused_where_it_would_ask_for_everything(template: str) -> None:
    with pytest.raises(ValueError, match="ids is an empty list"):
        RestRoute.parse(f"GET {template}").path({"ids": []})


def test_a_route_shows_as_it_was_written() -> None:
    assert str(RestRoute.parse(" GET /customers{?ids*} ")) == "GET /customers{?ids*}"
