"""Operations and services that do not fit are refused at start."""

from typing import Any

import pytest

from gateway.app import create_app
from gateway.checks import check_operations
from gateway.config import ConfigError, parse
from schema.build import SchemaError, build_schema, operations


def refused(services: str, imports: str = "[schema.customers]") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        create_app(parse(f"imports: {imports}\nservices:\n{services}", {}))
    return [str(finding) for finding in caught.value.findings]


BANK = "  bank: { rest: 'http://bank' }\n"
CUSTOMERS = "  customers: { graphql: 'http://crm', rest: 'http://crm', %s }\n"


def test_a_service_that_nobody_configured() -> None:
    found = refused(BANK)
    assert found == [
        "services: customers is missing; the field Query.customers is answered by it (there: bank)",
        "services: customers is missing; the field Query.customer is answered by it (there: bank)",
    ]


def test_a_service_without_the_protocol_that_is_needed() -> None:
    found = refused(CUSTOMERS % "" + "  bank: { graphql: 'http://bank' }\n")
    assert found == [
        "services.bank: cannot answer the field Customer.account: the operation Account.by_customer_id is declared for "
        "rest; add rest:"
    ]


def test_a_route_that_names_a_missing_argument() -> None:
    found = refused(BANK + CUSTOMERS % "routes: { Customer.by_id: 'GET /customers{?keys}' }")
    assert found == [
        'services.customers.routes.Customer.by_id: rest: "GET /customers{?keys}" names keys, which the operation does '
        "not have (its variables: ids)"
    ]


def test_a_route_that_loses_a_required_argument() -> None:
    (found,) = refused(BANK + CUSTOMERS % "routes: { Customer.by_id: 'GET /customers' }")
    assert "does not carry ids, which the operation requires" in found


def test_a_route_for_no_operation() -> None:
    (found,) = refused(BANK + CUSTOMERS % "routes: { Custmer.by_id: 'GET /customers{?ids}' }")
    assert (
        found
        == "services.customers.routes.Custmer.by_id: customers has no operation of that name (there: Customer.by_id)"
    )


REPLICA = "  replica: { graphql: 'http://replica', rest: 'http://replica', %s }\n"


def test_a_stand_in_that_does_not_carry_an_operation() -> None:
    (found,) = refused(
        "  bank: { rest: 'http://bank', fallback: { service: vault } }\n  vault: { graphql: 'http://vault' }\n"
        + CUSTOMERS % ""
    )
    assert found == (
        "services.vault: cannot answer the field Customer.account: the operation Account.by_customer_id is declared "
        "for rest; add rest:, or do not let it stand in for bank"
    )


def test_a_stand_ins_routes_are_held_against_the_operations_of_those_it_stands_in_for() -> None:
    standing_in = CUSTOMERS % "fallback: { service: replica }"
    (found,) = refused(BANK + standing_in + REPLICA % "routes: { Customer.by_id: 'GET /v2/customers{?keys}' }")
    assert found.startswith("services.replica.routes.Customer.by_id: ")
    assert "names keys" in found
    good = REPLICA % "routes: { Customer.by_id: 'GET /v2/customers{?ids}' }"
    create_app(parse("imports: [schema.customers]\nservices:\n" + BANK + standing_in + good, {}))


def test_a_subgraphs_stand_in_may_have_routes_for_its_fields_too() -> None:
    replica = "  replica: { rest: 'http://replica', routes: { Query.products: 'GET /products', %s } }\n"
    products = "  products: { graphql: 'http://p', subgraph: {}, fallback: { service: replica } }\n"
    text = "federation: {}\nimports: [schema.bank]\nservices:\n" + products + replica
    schema = build_schema([], federated=True)
    assert check_operations(schema, parse(text % "Product: 'GET /products{?ids}'", {})) == []
    (found,) = check_operations(schema, parse(text % "'not a name': 'GET /products'", {}))
    assert "replica has no operation of that name" in str(found)


def test_a_default_that_does_not_fit_its_operation() -> None:
    assert refused(BANK + CUSTOMERS % "fallback: { defaults: { Customer.by_id: { name: 5, email: a, tier: b } } }") == [
        "services.customers.fallback.defaults.Customer.by_id: Expected `str`, got `int` - at `$.name`"
    ]
    assert refused(BANK + CUSTOMERS % "fallback: { defaults: { Custmer.by_id: {} } }") == [
        "services.customers.fallback.defaults.Custmer.by_id: customers has no operation of that name "
        "(there: Customer.by_id)"
    ]


def test_every_declared_operation_is_found_with_its_field() -> None:
    schema = build_schema(["schema.customers", "schema.invoices"])
    found = {field: f"{operation.service}.{operation.name}" for field, operation in operations(schema)}
    assert found == {
        "Query.customers": "customers.Customer.by_id",
        "Query.customer": "customers.Customer.by_id",
        "Customer.account": "bank.Account.by_customer_id",
        "Query.invoices": "invoices.invoices",
        "Query.invoice": "invoices.invoice",
        "Invoice.customer": "customers.Customer.by_id",
        "Mutation.payInvoice": "invoices.payInvoice",
    }


@pytest.mark.parametrize(
    ("imports", "message"),
    [
        (["acme.orders"], "there is no module acme"),
        (["json"], "json declares no Query, Mutation or Subscription type, and no entity"),
        (
            ["tests.gateway.broken_operation"],
            r"broken_operation: operation crm.x: graphql: the document does not parse",
        ),
        (["tests.gateway.broken_type"], "is not valid"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(imports: list[str], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        build_schema(imports)


def test_the_schema_of_the_gateway_alone_has_health_and_upstreams() -> None:
    sdl: Any = build_schema().as_str()
    for line in ("upstreams(name: String = null): [Upstream!]\n", "health: Health!", "enum CircuitState {"):
        assert line in sdl
